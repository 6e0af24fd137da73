"""The card slot as a process: ``python -m simulators.card --port 35963 --control PATH [--cast FILE] [--insert NAME]``.

Its port is TCP, as a client of vpcd (pcscd's virtual reader) or of the terminal's own vpcd reader. Prints ``ready`` once its control
socket exists; ends on SIGTERM or when its standard input closes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from simulators.card.slot import CardSlot
from simulators.ports.vpcd import Control, VpcdLink
from simulators.process import Loop

RETRY_S = 0.05
# no hand puts a card back faster, and a reader that polls (pcscd: 0.2 to 0.4 s) must see the slot empty; `swap` is faster on purpose
REINSERTION_S = 0.5


class CardProcess:
    """Keeps the wire as the slot is: connected while a card is in."""

    def __init__(self, slot: CardSlot, host: str, port: int, loop: Loop) -> None:
        self._slot, self._host, self._port, self._loop = slot, host, port, loop
        self._link: VpcdLink | None = None
        self._linked_generation = 0
        self._retry_at = 0.0
        self._due: deque[tuple[float, bytes]] = deque()

    def control(self, do: str, arguments: dict[str, Any]) -> Any:
        result = self._slot.control(do, arguments, time.monotonic())
        self._follow(time.monotonic())
        return result

    def tick(self, now: float) -> None:
        self._follow(now)
        while self._due and self._due[0][0] <= now:
            self._send(self._due.popleft()[1])

    def next_wakeup(self) -> float | None:
        moments = [at for at, _ in list(self._due)[:1]]
        if self._slot.present and self._link is None:
            moments.append(self._retry_at)
        return min(moments, default=None)

    def _follow(self, now: float) -> None:
        """Close what does not belong to the card that is in; connect when one is and the reader listens."""
        if self._link and (not self._slot.present or self._linked_generation != self._slot.generation):
            swapped = self._slot.present
            self._drop()
            self._retry_at = now if swapped else now + REINSERTION_S
        if self._link is None and self._slot.present and now >= self._retry_at:
            try:
                self._link = VpcdLink(self._host, self._port)
            except OSError:
                self._retry_at = now + RETRY_S
                return
            self._linked_generation = self._slot.generation
            self._loop.add(self._link, self._read)

    def _drop(self) -> None:
        if self._link:
            self._loop.remove(self._link)
            self._link.close()
            self._link = None
        self._due.clear()
        self._slot.power_off()

    def _read(self) -> None:
        frames = self._link.read() if self._link else []
        if frames is None:
            self._drop()
            self._retry_at = time.monotonic() + RETRY_S
            return
        for frame in frames:
            self._frame(frame)

    def _frame(self, frame: bytes) -> None:
        if len(frame) == 1:
            if frame[0] == Control.OFF:
                self._slot.power_off()
            elif frame[0] in (Control.ON, Control.RESET):
                self._slot.power_on()
            elif frame[0] == Control.ATR:
                self._send(self._slot.atr)
            return
        reply = self._slot.transmit(frame)
        now = time.monotonic()
        if reply.gone:
            self._follow(now)
        elif reply.data is not None and reply.delay_s:
            self._due.append((now + reply.delay_s, reply.data))
        elif reply.data is not None:
            self._send(reply.data)

    def _send(self, frame: bytes) -> None:
        try:
            if self._link:
                self._link.send(frame)
        except OSError:
            self._drop()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="simulators.card", description="A slot with simulated EMV cards behind the vpcd wire.")
    parser.add_argument("--host", default="127.0.0.1", help="where the virtual reader listens")
    parser.add_argument("--port", type=int, default=35963, help="its TCP port")
    parser.add_argument("--control", type=Path, required=True, help="path of the control socket")
    parser.add_argument("--cast", type=Path, help="TOML file with the cards; the project's cast when not given")
    parser.add_argument("--insert", metavar="NAME", help="the card that is in from the start")
    options = parser.parse_args(arguments)
    try:
        slot = CardSlot.of_cast(options.cast)
        if options.insert:
            slot.insert(options.insert)
    except (OSError, ValueError) as error:
        print(f"simulators.card: {error}", file=sys.stderr)
        return 2
    loop = Loop()
    process = CardProcess(slot, options.host, options.port, loop)
    loop.serve_control(options.control, process.control)
    loop.stop_on_stdin_eof()
    print("ready", flush=True)
    loop.run(process.tick, process.next_wakeup)
    options.control.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
