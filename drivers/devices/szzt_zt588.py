"""Driver of the SZZT ZT588 encrypting PIN pad with the extension commands of docs/pinpad-extensions.md.

The clear PIN never leaves the pad: during PIN entry a digit arrives as the mask character, and what is fetched is an encrypted
block. All cryptography is the pad's; this file only carries key blocks in and PIN blocks out, both as `Secret`.

Verbs that may be asked twice are resent after a second of silence, four times at most. `get_pin_block` is never resent: the pad
destroys the PIN as it answers, so a lost answer needs a new entry by the customer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, unique

from drivers.errors import ConfigurationFault, DeviceError, DeviceFault, LinkTimeout, ProtocolError
from drivers.protocols import szzt_zt588_commands as vendor
from drivers.protocols import szzt_zt588_extension as extension
from drivers.protocols.szzt_zt588 import MAX_TEXT, Frame, KeyPress, Noise, Parser, encode
from drivers.protocols.szzt_zt588_commands import Answer
from drivers.secret import Secret
from drivers.transports.base import ByteStream, Clock, Deadline

ANSWER_S = 1.0
PIN_BLOCK_S = 5.0  # never asked twice, so given longer
ATTEMPTS = 5
FRAME_GAP_S = 0.3  # a frame that stands still this long is over
MASK = ord("*")
SLOTS = {"pin-aes": 1, "pin-tdes": 2}
FORMATS = {"iso9564-4": (4, "pin-aes"), "iso9564-0": (0, "pin-tdes")}
ENTRY_LIMIT_S = 60

# What the 24 positions send, row by row; the four columns are digits, digits, digits, function key.
SCANCODES = b"123\x1b456\x0c789\x08.0#\rACEGBDFH"
FUNCTIONS = {
    0x0D: "enter",
    0x1B: "cancel",
    0x0C: "clear",
    0x08: "backspace",
    **{ord(letter): f"fdk{number:02d}" for number, letter in enumerate("ABCDEFGH", 1)},
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key press. `function` names a function key (enter, cancel, clear, backspace, fdk01..fdk08, decPoint).

    `digit` is "0".."9" or "00" in clear entry. In PIN entry a digit key has neither: Key(None, None).
    """

    function: str | None
    digit: str | None = None

    def __repr__(self) -> str:
        return f"Key({self.function or ('digit' if self.digit else 'mask')})"


@dataclass(frozen=True, slots=True)
class PinPadIdentity:
    """`blank`: no keys were ever injected. `serial` is the vendor's four characters; the full one is in the status."""

    model: str
    hardware_version: str
    software_version: str
    production_date: str
    serial: str
    blank: bool


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """`ksn` of the last block made with it; empty for a fixed key. `check_value` six hex digits."""

    slot: str
    usage: str
    algorithm: str
    check_value: str
    ksn: bytes


@dataclass(frozen=True, slots=True)
class PinPadStatus:
    """`mode` idle, pin, complete, clear; `masks` digits entered so far."""

    serial: str
    mode: str
    masks: int
    tampered: bool
    keys: tuple[LoadedKey, ...]


@dataclass(frozen=True, slots=True)
class PinBlock:
    """`format` iso9564-4 (16 bytes) or iso9564-0 (8 bytes); `ksn` 12 or 10 bytes."""

    format: str
    block: Secret[bytes]
    ksn: bytes


@unique
class _Entry(IntEnum):
    NONE = 0
    PIN = 1
    CLEAR = 2


class SzztZt588:
    """One pad on one stream. Faults carry names of XFS4IoT: keyNotFound, accessDenied, noPin, minimumLength, entryTimeout, ..."""

    def __init__(self, stream: ByteStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock
        self._parser = Parser()
        self._keys: deque[int] = deque(maxlen=256)
        self._entry = _Entry.NONE
        self._sequence = 0

    def initialise(self, deadline: Deadline) -> PinPadIdentity:
        """Set the wire form, our scan codes and the mask, end any entry a predecessor left open; who the pad is."""
        self._control(vendor.Parameter.COMMUNICATION, vendor.COMMUNICATION_HEX, deadline)
        self.stop_entry(deadline)
        self._vendor(vendor.LoadScancodeTable(SCANCODES), deadline)
        self._control(vendor.Parameter.MASK, bytes([MASK]), deadline)
        return self.identify(deadline)

    def identify(self, deadline: Deadline) -> PinPadIdentity:
        """Command 3. Moves nothing."""
        answer = self._vendor(vendor.AskUserInformation(), deadline)
        info = vendor.parse_user_information(answer.data)
        return PinPadIdentity(info.model, info.hardware_version, info.software_version, info.production_date, info.serial, info.blank)

    def load_key_block(self, slot_name: str, block: Secret[str], deadline: Deadline) -> str:
        """Put a TR-31 block into "pin-aes" or "pin-tdes"; the check value (six hex digits).

        DeviceFault: keyInvalid (the authenticator does not match), useViolation (not a PIN key), tampered, accessDenied (blank pad).
        """
        if slot_name not in SLOTS:
            raise ConfigurationFault(f"there is no key slot {slot_name!r}; known are {', '.join(SLOTS)}")
        if not block.reveal().isascii() or not 0 < len(block.reveal()) <= MAX_TEXT - 6:
            raise ConfigurationFault("a key block is ASCII and fits one frame")
        answer = self._ask(extension.LoadKeyBlock(SLOTS[slot_name], block), deadline)
        return extension.parse_check_value(answer.data)

    def start_pin_entry(self, minimum: int, maximum: int, deadline: Deadline, *, limit_s: int = ENTRY_LIMIT_S) -> None:
        """Let the customer type; the pad counts, and ends the entry after `limit_s` seconds. DeviceFault: keyNotFound, tampered."""
        if not 4 <= minimum <= maximum <= 12 or not 0 < limit_s <= 999:
            raise ConfigurationFault("a PIN has 4 to 12 digits, an entry 1 to 999 seconds")
        self._start(extension.StartPinEntry(minimum, maximum, limit_s), _Entry.PIN, deadline)

    def start_clear_entry(self, deadline: Deadline, *, limit_s: int = ENTRY_LIMIT_S) -> None:
        """Digits in the clear, for amounts. Never ask for a PIN while this is on."""
        if not 0 < limit_s <= 999:
            raise ConfigurationFault("an entry lasts 1 to 999 seconds")
        self._start(extension.StartClearEntry(limit_s), _Entry.CLEAR, deadline)

    def next_key(self, deadline: Deadline) -> Key | None:
        """The next key press; None when the deadline passes. DeviceFault entryTimeout when the pad ended the entry."""
        while True:
            while self._keys:
                key = self._meaning(self._keys.popleft())
                if key is not None:
                    return key
            if deadline.expired:
                return None
            step = deadline.sooner(FRAME_GAP_S) if self._parser.pending else deadline
            data = self._stream.read(step)
            if not data:
                self._parser.abandon()
            self._keys.extend(item.code for item in self._parser.feed(data) if isinstance(item, KeyPress))

    def get_pin_block(self, pan: Secret[str], format: str, deadline: Deadline) -> PinBlock:
        """The encrypted PIN, once per entry. NEVER resent: after LinkError or ProtocolError start a new entry.

        DeviceFault: minimumLength (the entry goes on), noPin (not ended by enter, or already fetched), entryTimeout, keyNotFound,
        dukptOverflow, formatNotSupported, useViolation, tampered.
        """
        if format not in FORMATS:
            raise ConfigurationFault(f"unknown PIN block format; known are {', '.join(FORMATS)}")
        digits = pan.reveal()
        if not 13 <= len(digits) <= 19 or not (digits.isascii() and digits.isdigit()):
            raise ConfigurationFault("a PAN has 13 to 19 digits")
        number, slot = FORMATS[format]
        try:
            answer = self._ask(extension.GetPinBlock(SLOTS[slot], number, pan), deadline, attempts=1, answer_s=PIN_BLOCK_S)
            kind, ksn, block = extension.parse_pin_block(answer.data)
            if kind != number:
                raise ProtocolError("the PIN pad made a block of another format")
        except DeviceFault:
            raise
        except DeviceError as error:
            error.retryable = False
            self._entry = _Entry.NONE
            raise
        self._entry = _Entry.NONE
        return PinBlock(format, Secret(block), ksn)

    def stop_entry(self, deadline: Deadline) -> None:
        """End any entry and destroy what was typed. Idempotent."""
        self._ask(extension.StopEntry(), deadline)
        self._entry = _Entry.NONE
        self._keys.clear()

    def status(self, deadline: Deadline) -> PinPadStatus:
        """Moves nothing; also answers when the pad is tampered."""
        state = extension.parse_status(self._ask(extension.AskStatus(), deadline).data)
        names = {number: name for name, number in SLOTS.items()}
        keys = tuple(
            LoadedKey(names.get(item.slot, f"slot-{item.slot}"), item.usage, item.algorithm, item.check_value, item.ksn)
            for item in state.slots
        )
        return PinPadStatus(state.serial, state.mode.name.lower(), state.masks, state.tampered, keys)

    def close(self) -> None:
        self._stream.close()

    def _start(self, request: extension.Request, entry: _Entry, deadline: Deadline) -> None:
        """Stop, then start, as one step: a start whose answer was lost is not answered with sequenceError the second time."""
        for left in range(ATTEMPTS - 1, -1, -1):
            self.stop_entry(deadline)
            try:
                self._ask(request, deadline, attempts=1)
            except (LinkTimeout, ProtocolError):
                if not left or deadline.expired:
                    raise
            else:
                self._entry = entry
                return

    def _meaning(self, code: int) -> Key | None:
        """None for a byte that means nothing in this entry (noise, or a key pressed while no entry is on)."""
        if self._entry is _Entry.NONE:
            return None
        if code == extension.ENDED_BY_PAD:
            self._entry = _Entry.NONE
            raise DeviceFault("the PIN pad ended the entry", code=vendor.ErrorCode.INPUT_TIMED_OUT, name="entryTimeout")
        if code in FUNCTIONS:
            return Key(FUNCTIONS[code])
        if self._entry is _Entry.PIN:
            if 0x30 <= code <= 0x39:
                raise ProtocolError("the PIN pad sent an unmasked key during PIN entry")
            return Key(None) if code == MASK else None
        if 0x30 <= code <= 0x39:
            return Key(None, chr(code))
        return {ord("#"): Key(None, "00"), ord("."): Key("decPoint")}.get(code)

    def _control(self, parameter: vendor.Parameter, value: bytes, deadline: Deadline) -> None:
        self._vendor(vendor.Control(parameter, value), deadline)

    def _vendor(self, request: vendor.AskUserInformation | vendor.LoadScancodeTable | vendor.Control, deadline: Deadline) -> Answer:
        """The vendor's commands carry no sequence: answers of our extension are told apart by their mark, others by length."""
        long = isinstance(request, vendor.AskUserInformation)

        def match(text: bytes) -> Answer | None:
            if text[1:2] == bytes([extension.MARK]) or not text:
                return None
            answer = vendor.parse_answer(text)
            return answer if answer.refused or not long or len(answer.data) == vendor.USER_INFORMATION_LENGTH else None

        answer = self._exchange(request.text(), match, deadline, ATTEMPTS)
        if answer.refused:
            raise self._fault(answer.status, _vendor_name(answer.status))
        return answer

    def _ask(self, request: extension.Request, deadline: Deadline, attempts: int = ATTEMPTS, answer_s: float = ANSWER_S) -> Answer:
        self._sequence = (self._sequence + 1) & 0xFF
        sequence = self._sequence
        text = extension.request_text(request, sequence)
        answer = self._exchange(text, lambda reply: extension.match_answer(reply, request, sequence), deadline, attempts, answer_s)
        if answer.refused:
            reason = extension.parse_reason(answer.data)
            known = {item.value: item.name for item in extension.Reason}
            raise self._fault(answer.status, _camel(known.get(reason, f"REASON_{reason:02X}")))
        return answer

    def _fault(self, status: int, name: str) -> DeviceFault:
        if name == "entryTimeout":
            self._entry = _Entry.NONE
        return DeviceFault(f"the PIN pad refused: {name}", code=status, name=name)

    def _exchange(
        self, text: bytes, match: Callable[[bytes], Answer | None], deadline: Deadline, attempts: int, answer_s: float = ANSWER_S
    ) -> Answer:
        """Send, wait, resend. Key bytes that come with an attempt that fails are dropped: they may be a damaged answer's."""
        damaged = False
        self._take(self._stream.discard_input())
        for attempt in range(attempts):
            if attempt:
                self._stream.discard_input()
            self._parser.abandon()
            self._stream.write(encode(text), deadline)
            step = deadline.sooner(answer_s)
            presses: list[int] = []
            while not step.expired:
                data = self._stream.read(step)
                for item in self._parser.feed(data):
                    damaged = damaged or isinstance(item, Noise)
                    if isinstance(item, KeyPress):
                        presses.append(item.code)
                    elif isinstance(item, Frame) and (answer := match(item.text)) is not None:
                        self._keys.extend(presses)
                        return answer
            if deadline.expired:
                break
        if damaged:
            raise ProtocolError("the PIN pad's answer was damaged")
        raise LinkTimeout("the PIN pad did not answer")

    def _take(self, data: bytes) -> None:
        """Key presses that arrived between verbs are kept; frames among them are late answers and are not."""
        self._keys.extend(item.code for item in self._parser.feed(data) if isinstance(item, KeyPress))


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def _vendor_name(status: int) -> str:
    known = {item.value: item.name for item in vendor.ErrorCode}
    return _camel(known.get(status, f"ERROR_{status:02X}"))
