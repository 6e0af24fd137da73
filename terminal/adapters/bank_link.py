"""The terminal's line to the bank: requests that a customer waits for, and the outbox (docs/bank-messages.md, MQTT 5).

Built to be trusted with one property: what the outbox holds leaves it only when the bank says so. Requests are the opposite:
published once, never resent, and their silence is reported as what it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from drivers.transports.base import Clock, MonotonicClock
from terminal.adapters.clock import WallClock, iso_ms, utc_now
from terminal.adapters.envelope import encode_envelope
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_events import LinkEvent, RequestFailed
from terminal.adapters.link_loop import LinkLoop
from terminal.adapters.link_means import LinkMeans
from terminal.adapters.requests_pending import OpenRequest
from terminal.adapters.sealing import RowSealer


class BankLink:
    """Safe to call from any thread; `inbox` is called from the link's thread (and from `request` when there is no link): it must
    only enqueue. The store at `store_path` must exist; `sealer` is the store's. LinkConfigError when a TLS file cannot be used.
    """

    def __init__(
        self,
        config: LinkConfig,
        store_path: Path | str,
        inbox: Callable[[LinkEvent], None],
        *,
        clock: Clock | None = None,
        wall_clock: WallClock = utc_now,
        chance: random.Random | None = None,
        means: LinkMeans | None = None,
        sealer: RowSealer | None = None,
    ) -> None:
        self._config = config
        self._inbox = inbox
        self._clock = clock or MonotonicClock()
        self._wall_clock = wall_clock
        self._means = means or LinkMeans()
        self._loop = LinkLoop(config, Path(store_path), inbox, self._clock, wall_clock, chance or random.Random(), self._means, sealer)
        self._thread = self._means.thread(self._loop.run, "bank-link")

    def start(self) -> None:
        """Begin connecting (after the boot delay)."""
        self._thread.start()

    @property
    def up(self) -> bool:
        """Connected and subscribed, as far as is known."""
        return self._loop.up and self._thread.is_alive()

    @property
    def certificate_ends(self) -> datetime | None:
        """When the certificate that the last connection was made with ends; None without one."""
        return self._loop.renewal.ends()

    def request(self, type_: str, data: Mapping[str, Any], timeout_s: float) -> str:
        """Publish once; the request's id. Exactly one of ResponseArrived and RequestFailed follows in the inbox.

        ValueError when `data` cannot be a message (a Secret in it, NaN, more than 64 KiB).
        """
        request_id = self._means.identify()
        time = iso_ms(self._wall_clock())
        payload = encode_envelope(id_=request_id, source=self._config.base, type_=type_, time=time, data=data)
        if not self.up:
            self._inbox(RequestFailed(request_id, "offline"))
            return request_id
        self._loop.requests.append(OpenRequest(request_id, payload, self._clock.now() + timeout_s))
        self._loop.wake.set()
        return request_id

    def notify(self) -> None:
        """Rows were appended to the outbox: ship them now."""
        self._loop.rows_stored = True
        self._loop.wake.set()

    def report(self, data: Mapping[str, Any]) -> None:
        """What the retained `state` message says beside `online`, now and after every reconnection. ValueError as in `request`."""
        self.retain("state", "ATMDeviceReport", data)

    def retain(self, leaf: str, type_: str, data: Mapping[str, Any]) -> None:
        """A retained message of ours on ``{base}/{leaf}``, now and after every reconnection. ValueError as in `request`."""
        encode_envelope(id_="0" * 36, source=self._config.base, type_=type_, time="0" * 24, data=data)
        self._loop.documents = {**self._loop.documents, leaf: (type_, dict(data))}
        self._loop.changed.add(leaf)
        self._loop.wake.set()

    @property
    def clock_offset_ms(self) -> int | None:
        """How far the bank's clock is ahead of ours (terminal/adapters/link_inbound.py); None before it was heard."""
        return self._loop.clock_offset_ms

    def close(self, timeout_s: float = 5.0) -> bool:
        """Publish `offline`, disconnect, end the thread. False when it did not end in time (it is a daemon). Idempotent."""
        self._loop.closing = True
        self._loop.wake.set()
        if self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
