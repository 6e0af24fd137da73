"""When which outbox row goes out: FIFO per class, windows, resending, throttled drain. No threads, no sockets; time is an argument.

A row's life: sent -> PUBACK by the broker -> (telemetry: deleted) -> the bank's cumulative acknowledgement -> deleted. PUBACK
is neither delivery nor disk, so a `txn`, `alarm` or `audit` row that no acknowledgement covers is sent again, same key, after
`resend_s`, doubling to `resend_max_s`. A PUBACK reason >= 0x80 (refused) or 0x10 (nobody subscribed) is treated the same.

Rows that were waiting when the link came up, or while the class was stuck, are **backlog**: they are sent at `drain_per_s`
over all classes (a burst of one second's worth first). Rows stored after that go out at once when no backlog of their class is before them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from terminal.adapters.outbox import ACKNOWLEDGED, OutboxClass, OutboxRow

ORDER: tuple[OutboxClass, ...] = (*ACKNOWLEDGED, "telemetry")
REFUSED = 0x80
START = (0, 0)


class PendingRows(Protocol):
    """What the shipper needs of the outbox (outbox_sender.Outbox, or a model in a test)."""

    def pending(self, klass: OutboxClass, after: tuple[int, int], limit: int) -> list[OutboxRow]: ...

    def row(self, klass: OutboxClass, position: tuple[int, int]) -> OutboxRow | None: ...

    def newest(self, klass: OutboxClass) -> tuple[int, int]: ...

    def assigned(self, klass: OutboxClass) -> dict[int, int]: ...

    def settle(self, klass: OutboxClass, epoch: int, upto: int) -> int: ...

    def forget(self, klass: OutboxClass, position: tuple[int, int]) -> None: ...


@dataclass(frozen=True, slots=True)
class ShippingPolicy:
    """`ack_window`: rows per class that may be out without the bank's acknowledgement."""

    resend_s: float = 30.0
    resend_max_s: float = 300.0
    drain_per_s: float = 20.0
    ack_window: int = 128

    def __post_init__(self) -> None:
        if min(self.resend_s, self.resend_max_s, self.drain_per_s, self.ack_window) <= 0:
            raise ValueError("resend_s, resend_max_s, drain_per_s and ack_window must be more than 0")


@dataclass(slots=True)
class _Sent:
    attempts: int
    resend_at: float | None
    """None until the broker has answered: MQTT 5 resends nothing on a living connection."""


@dataclass(slots=True)
class _Lane:
    klass: OutboxClass
    cursor: tuple[int, int] = START
    backlog_upto: tuple[int, int] = START
    out: dict[tuple[int, int], _Sent] = field(default_factory=dict)
    look: bool = False
    """There may be rows behind the cursor."""
    stuck: bool = False
    """Its window was full: what has gathered meanwhile is backlog."""


class Shipper:
    """Methods may raise what `rows` raises."""

    def __init__(self, rows: PendingRows, policy: ShippingPolicy) -> None:
        self._rows = rows
        self._policy = policy
        self._lanes = {klass: _Lane(klass) for klass in ORDER}
        self._sent_upto: dict[tuple[OutboxClass, int], int] = {}
        self._tokens, self._tokens_at = 0.0, 0.0
        self._connected = False
        for klass in ACKNOWLEDGED:  # what is there now may have been sent by an earlier run
            self._sent_upto.update({(klass, epoch): seq for epoch, seq in rows.assigned(klass).items()})

    def connected(self, now: float) -> None:
        """Everything that is there is sent (again), at the drain's pace."""
        self._connected = True
        self._tokens, self._tokens_at = max(1.0, self._policy.drain_per_s), now
        for lane in self._lanes.values():
            lane.cursor, lane.look, lane.stuck = START, True, False
            lane.out.clear()
            lane.backlog_upto = self._rows.newest(lane.klass)

    def disconnected(self) -> None:
        """What is out is unknown; message ids die with the connection."""
        self._connected = False
        for lane in self._lanes.values():
            lane.out.clear()

    def notify(self) -> None:
        """Rows were stored."""
        for lane in self._lanes.values():
            lane.look = True

    def take(self, now: float, unix_s: float, slots: int) -> list[OutboxRow]:
        """At most `slots` rows to publish now; they count as sent. Expired telemetry is deleted on the way."""
        if not self._connected or slots <= 0:
            return []
        self._refill(now)
        taken: list[OutboxRow] = []
        for lane in self._lanes.values():
            if lane.out:
                taken += self._resends(lane, now, slots - len(taken))
            if lane.look:
                taken += self._firsts(lane, unix_s, slots - len(taken))
        return taken

    def _resends(self, lane: _Lane, now: float, slots: int) -> list[OutboxRow]:
        taken: list[OutboxRow] = []
        due = [position for position, sent in lane.out.items() if sent.resend_at is not None and sent.resend_at <= now]
        for position in sorted(due):
            if len(taken) >= slots or self._tokens < 1:
                break
            row = self._rows.row(lane.klass, position)
            if row is None:  # settled, or dropped for newer telemetry
                del lane.out[position]
                lane.look = True
                continue
            self._tokens -= 1
            lane.out[position] = _Sent(lane.out[position].attempts + 1, None)
            taken.append(row)
        return taken

    def _firsts(self, lane: _Lane, unix_s: float, slots: int) -> list[OutboxRow]:
        room = self._policy.ack_window - len(lane.out)
        if slots <= 0:
            return []
        if room <= 0:
            lane.stuck = True
            return []
        if lane.stuck:
            lane.stuck, lane.backlog_upto = False, self._rows.newest(lane.klass)
        taken: list[OutboxRow] = []
        limit = min(room, slots)
        found = self._rows.pending(lane.klass, lane.cursor, limit)
        for row in found:
            if row.expires is not None and row.expires <= unix_s:
                self._rows.forget(lane.klass, row.position)
                lane.cursor = row.position
                continue
            if row.position <= lane.backlog_upto:
                if self._tokens < 1:
                    return taken
                self._tokens -= 1
            lane.cursor = row.position
            lane.out[row.position] = _Sent(1, None)
            high = self._sent_upto.get((lane.klass, row.epoch), 0)
            self._sent_upto[lane.klass, row.epoch] = max(high, row.seq)
            taken.append(row)
        lane.look = len(found) == limit
        return taken

    def puback(self, row: OutboxRow, reason: int, now: float) -> None:
        """The broker's answer to one sending of `row`."""
        lane = self._lanes[row.klass]
        sent = lane.out.get(row.position)
        if row.klass == "telemetry" and reason < REFUSED:
            self._rows.forget(row.klass, row.position)
            lane.out.pop(row.position, None)
        elif sent is not None:
            delay = min(self._policy.resend_s * 2 ** min(sent.attempts - 1, 16), self._policy.resend_max_s)
            sent.resend_at = now + delay

    def acknowledge(self, klass: str, epoch: int, upto: int) -> str:
        """The bank has everything of `epoch` up to `upto`. "", or why that cannot be (nothing is deleted then)."""
        lane = next((lane for lane in self._lanes.values() if lane.klass == klass and klass in ACKNOWLEDGED), None)
        if lane is None:
            return "it acknowledges a class that is not kept for acknowledgement"
        if epoch not in self._rows.assigned(lane.klass):
            return f"it acknowledges {klass} of epoch {epoch}, which this terminal never used"
        sent = self._sent_upto.get((lane.klass, epoch), 0)
        if upto > sent:
            return f"it acknowledges {klass} of epoch {epoch} up to {upto}, but only {sent} were sent"
        self._rows.settle(lane.klass, epoch, upto)
        for position in [position for position in lane.out if position[0] == epoch and position[1] <= upto]:
            del lane.out[position]
        lane.look = True
        return ""

    def next_wakeup(self, now: float) -> float | None:
        """When `take` may have something (given free slots); None: not before something happens."""
        if not self._connected:
            return None
        self._refill(now)
        moments = [sent.resend_at for lane in self._lanes.values() for sent in lane.out.values() if sent.resend_at is not None]
        if any(lane.look and len(lane.out) < self._policy.ack_window for lane in self._lanes.values()):
            moments.append(now)
        if not moments:
            return None
        token_at = now if self._tokens >= 1 else now + (1 - self._tokens) / self._policy.drain_per_s
        return max(min(moments), token_at)

    def _refill(self, now: float) -> None:
        gained = (now - self._tokens_at) * self._policy.drain_per_s
        self._tokens = min(max(1.0, self._policy.drain_per_s), self._tokens + gained)
        self._tokens_at = now
