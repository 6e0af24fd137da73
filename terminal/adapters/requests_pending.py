"""Requests that a customer waits for: which are open, which came too late, which were answered. Time is an argument.

A request is published once. Its answer is matched by correlation data; when a bridge dropped that, by `data.inResponseTo`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

REMEMBERED = 1_024

Verdict = Literal["answer", "late", "repeated"]


@dataclass(slots=True)
class OpenRequest:
    """`expires_at` is monotonic seconds. `published` is False while it waits for a free slot in the window."""

    request_id: str
    payload: bytes
    expires_at: float
    published: bool = False


class PendingRequests:
    """Single-threaded."""

    def __init__(self) -> None:
        self._open: dict[str, OpenRequest] = {}
        self._answered: OrderedDict[str, None] = OrderedDict()

    def add(self, request: OpenRequest) -> None:
        self._open[request.request_id] = request

    def unpublished(self) -> list[OpenRequest]:
        """In the order they were made."""
        return [request for request in self._open.values() if not request.published]

    def verdict(self, request_id: str) -> Verdict:
        """What an answer to `request_id` is; closes the request. Unknown ones (of an earlier run, too) are late."""
        if request_id in self._answered:
            return "repeated"
        self._answered[request_id] = None
        while len(self._answered) > REMEMBERED:
            self._answered.popitem(last=False)
        return "late" if self._open.pop(request_id, None) is None else "answer"

    def drop(self, request_id: str) -> bool:
        """Give up; False when it is not open."""
        return self._open.pop(request_id, None) is not None

    def expired(self, now: float) -> list[OpenRequest]:
        """Those whose time is up, no longer open."""
        late = [request for request in self._open.values() if request.expires_at <= now]
        for request in late:
            del self._open[request.request_id]
        return late

    def next_expiry(self) -> float | None:
        return min((request.expires_at for request in self._open.values()), default=None)
