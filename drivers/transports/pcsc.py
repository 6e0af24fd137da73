"""A card reader by PC/SC (pyscard): the one file that names `smartcard`. PC/SC Workgroup Part 5; pcsc-lite's winscard interface.

pyscard's own CardMonitor threads end silently when pcscd restarts, so this is a plain loop over SCardGetStatusChange with short
waits and a context that is rebuilt. A card that never answers blocks SCardTransmit (and SCardConnect) in the C library for ever:
no deadline reaches in there. That is why a reader lives in a worker process, which is killed when its command is overdue.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from smartcard import scard

from drivers.errors import LinkError, LinkTimeout
from drivers.protocols.apdu import Exchange
from drivers.transports.base import CardPresence, Clock, Deadline

POLL_S = 0.2
NOTICED_WITHIN_S = 0.6  # pcscd polls readers that cannot notify each 0.2 to 0.4 s
EVENT_COUNTER_SHIFT = 16  # pcsc-lite counts insertions and removals in the high half of the event state
EVENT_COUNTER_MASK = 0xFFFF
# these say that the context is worthless: pcscd went away or came back
CONTEXT_LOST = frozenset(
    {
        scard.SCARD_E_NO_SERVICE,
        scard.SCARD_E_SERVICE_STOPPED,
        scard.SCARD_E_INVALID_HANDLE,
        scard.SCARD_F_COMM_ERROR,
        scard.SCARD_E_SYSTEM_CANCELLED,
    }
)
READER_GONE = frozenset({scard.SCARD_E_UNKNOWN_READER, scard.SCARD_E_READER_UNAVAILABLE, scard.SCARD_E_NO_READERS_AVAILABLE})


def message(result: int) -> str:
    """PC/SC's own words for a result."""
    return str(scard.SCardGetErrorMessage(result)).rstrip(".")


class PcscChannel:
    """A powered card, held exclusively. `generation` is the insertion it belongs to: a handle never reaches another card."""

    def __init__(self, context: Any, handle: Any, t0: bool, generation: int, lost: Callable[[], None]) -> None:
        self._context, self._handle = context, handle
        self._t0 = t0
        self._lost = lost
        self.generation = generation

    def transmit(self, apdu: bytes, deadline: Deadline) -> bytes:
        """LinkError when the card was pulled or exchanged, LinkTimeout when the deadline had passed before something was sent."""
        exchange = Exchange(apdu, t0=self._t0)
        while exchange.outgoing is not None:
            if deadline.expired:
                raise LinkTimeout("the time for the card ran out")
            exchange.incoming(self._once(exchange.outgoing))
        return exchange.answer

    def _once(self, apdu: bytes) -> bytes:
        if self._handle is None:
            raise LinkError("the card's channel is closed")
        protocol = scard.SCARD_PCI_T0 if self._t0 else scard.SCARD_PCI_T1
        result, answer = scard.SCardTransmit(self._handle, protocol, list(apdu))
        if result != scard.SCARD_S_SUCCESS:
            self._release(scard.SCARD_LEAVE_CARD)
            self._lost()
            raise LinkError(f"the card is gone or does not answer: {message(result)}")
        if len(answer) < 2:  # a card pulled in the middle of a command comes back as success with nothing
            self._release(scard.SCARD_LEAVE_CARD)
            self._lost()
            raise LinkError("the card was pulled in the middle of a command")
        return bytes(answer)

    def close(self) -> None:
        """Power off and give the reader free. After a restart of pcscd both fail, which changes nothing."""
        self._release(scard.SCARD_UNPOWER_CARD)

    def _release(self, disposition: int) -> None:
        """A handle that is not given back keeps the reader to itself, even for the next card.

        A card that was just pulled is left alone: when powering it off fails, pcscd calls the slot empty before its own poll has seen
        it, and a card put in meanwhile is not noticed at all.
        """
        if self._handle is not None:
            scard.SCardDisconnect(self._handle, disposition)
            scard.SCardReleaseContext(self._context)
            self._handle = self._context = None


class PcscReader:
    """The first reader whose name fits `name_pattern` (as in file names: ``*`` and ``?``)."""

    def __init__(self, name_pattern: str, clock: Clock) -> None:
        self._pattern = name_pattern
        self._clock = clock
        self._context: Any = None
        self._name = ""
        self._state = scard.SCARD_STATE_UNAWARE
        self._present = False
        self._counter = 0
        self._generation = 0
        self._last_atr = b""
        self._channel: PcscChannel | None = None
        self._was_lost = False
        self._lost_at: float | None = None  # when a handle broke whose card pcscd has not seen leave

    def wait_change(self, last: CardPresence | None, deadline: Deadline) -> CardPresence:
        """LinkError when by the deadline there was no service or no such reader; the next call looks again.

        The context is rebuilt as often as it takes, so a restart of pcscd shows as a new generation, not as an error.
        """
        while True:
            try:
                seen = self._look(deadline)
            except LinkError:
                if deadline.expired:
                    raise
                self._clock.sleep(min(POLL_S / 2, deadline.remaining()))
                continue
            if seen != last or deadline.expired:
                return seen

    def _look(self, deadline: Deadline) -> CardPresence:
        """The state now or after one short wait for a change."""
        self._establish()
        wait_ms = int(1000 * min(POLL_S, deadline.remaining()))
        result, states = scard.SCardGetStatusChange(self._context, wait_ms, [(self._name, self._state)])
        if result == scard.SCARD_E_TIMEOUT:
            self._resolve_loss()
            return self._presence(self._last_atr)
        if result != scard.SCARD_S_SUCCESS:
            self._lose()
            raise LinkError(f"the reader cannot be asked: {message(result)}")
        _, state, atr = states[0]
        if state & (scard.SCARD_STATE_UNKNOWN | scard.SCARD_STATE_UNAVAILABLE | scard.SCARD_STATE_IGNORE):
            self._lose()
            raise LinkError(f"the reader {self._name} is gone")
        self._count(state, first=self._state == scard.SCARD_STATE_UNAWARE)
        self._state = state & ~scard.SCARD_STATE_CHANGED
        self._last_atr = bytes(atr) if self._present else b""
        return self._presence(self._last_atr)

    def _presence(self, atr: bytes) -> CardPresence:
        return CardPresence(self._present, atr, self._generation)

    def _count(self, state: int, *, first: bool) -> None:
        """Insertions, also those that came and went between two looks: the event counter grows by one at every in and out.

        What happened before the first look of a context is nobody's business.
        """
        present = bool(state & scard.SCARD_STATE_PRESENT)
        counter = state >> EVENT_COUNTER_SHIFT & EVENT_COUNTER_MASK
        events = int(present) if first else (counter - self._counter) & EVENT_COUNTER_MASK
        if not present or events:
            self._lost_at = None  # pcscd has seen it
        if present and not self._present:
            self._generation += 1 + max(0, events - 1) // 2
        elif present:
            self._generation += events // 2
        self._present, self._counter = present, counter

    def _handle_lost(self) -> None:
        self._lost_at, self._was_lost = self._clock.now(), True

    def _resolve_loss(self) -> None:
        """A card swapped between two polls of pcscd makes no event: the broken handle is the only witness of another insertion."""
        if self._lost_at is not None and self._present and self._clock.now() - self._lost_at > NOTICED_WITHIN_S:
            self._generation += 1
            self._lost_at = None

    def _establish(self) -> None:
        if self._context is None:
            result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
            if result != scard.SCARD_S_SUCCESS:
                raise LinkError(f"there is no PC/SC service: {message(result)}")
            self._context = context
        if not self._name:
            self._name = self._find()

    def _find(self) -> str:
        result, names = scard.SCardListReaders(self._context, [])
        if result not in (scard.SCARD_S_SUCCESS, scard.SCARD_E_NO_READERS_AVAILABLE):
            self._lose()
            raise LinkError(f"the readers cannot be listed: {message(result)}")
        name = next((one for one in names if fnmatchcase(one, self._pattern)), "")
        if not name:
            raise LinkError(f'no reader is called "{self._pattern}" (there are: {", ".join(names) or "none"})')
        return str(name)

    def _lose(self) -> None:
        """Forget the context; whatever card is there next is another insertion."""
        if self._context is not None:
            scard.SCardReleaseContext(self._context)
        self._context, self._name, self._state = None, "", scard.SCARD_STATE_UNAWARE
        self._present, self._counter, self._last_atr, self._lost_at = False, 0, b"", None

    def connect(self) -> PcscChannel:
        """Exclusive; an earlier channel ends. The channel has a context of its own, so that its end does not disturb the watch."""
        if self._channel is not None:
            self._channel.close()
        self._establish()
        name = self._name
        result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
        if result != scard.SCARD_S_SUCCESS:
            self._lose()
            raise LinkError(f"there is no PC/SC service: {message(result)}")
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        result, handle, protocol = scard.SCardConnect(context, name, scard.SCARD_SHARE_EXCLUSIVE, protocols)
        if result != scard.SCARD_S_SUCCESS:
            scard.SCardReleaseContext(context)
            if result in CONTEXT_LOST | READER_GONE:
                self._lose()
            raise LinkError(f"the card cannot be connected: {message(result)}")
        if self._was_lost:  # pcscd may still believe in the card before: its protocol and answer to reset are not this one's
            result, protocol = scard.SCardReconnect(handle, scard.SCARD_SHARE_EXCLUSIVE, protocols, scard.SCARD_RESET_CARD)
            if result != scard.SCARD_S_SUCCESS:
                scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)
                scard.SCardReleaseContext(context)
                raise LinkError(f"the card cannot be reset: {message(result)}")
            self._was_lost = False
            if self._lost_at is not None:
                self._generation, self._lost_at = self._generation + 1, None
        t0 = protocol == scard.SCARD_PROTOCOL_T0
        self._channel = PcscChannel(context, handle, t0, self._generation, self._handle_lost)
        return self._channel

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._lose()
