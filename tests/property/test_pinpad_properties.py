"""Whatever comes over the line, in pieces of whatever size: the codec neither crashes nor invents; whole entries over bad lines."""

from __future__ import annotations

import contextlib
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.devices.szzt_zt588 import Key, SzztZt588
from drivers.errors import DeviceError, DeviceFault
from drivers.protocols.szzt_zt588 import Frame, Item, KeyPress, Noise, Parser, encode
from drivers.secret import Secret
from drivers.transports.base import ByteStream, Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.crypto.dukpt_aes import MAX_COUNTER, next_counter
from simulators.crypto.dukpt_tdes import next_counter as next_tdes_counter
from simulators.crypto.host_pin import HostPinKeys, decrypt_pin, key_blocks_for
from simulators.crypto.pin_block import PinBlockError, decipher_format_4, decode_format_0, encipher_format_4, encode_format_0
from simulators.crypto.tr31 import KeyBlockError, unwrap
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_frames import FrameReader, frame
from simulators.devices.pinpad_vault import Vault, VolatileMemory

KEYS = HostPinKeys.load()
SLOW_IS_FINE = settings(max_examples=60, deadline=None)
PAN = "6228480000000015"
TEXTS = st.binary(min_size=1, max_size=999).map(lambda data: data.replace(b"\x02", b"\x20"))
PINS = st.text("0123456789", min_size=4, max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@SLOW_IS_FINE
@given(st.lists(TEXTS | st.sampled_from([b"*", b"\r", b"5"]), max_size=6), st.lists(st.integers(0, 10_000), max_size=20))
def test_frames_and_keys_come_out_as_they_went_in(items: list[bytes], cuts: list[int]) -> None:
    keys = {b"*", b"\r", b"5"}
    data = b"".join(item if item in keys else encode(item) for item in items)
    parser = Parser()
    out: list[Item] = [item for piece in pieces(data, cuts) for item in parser.feed(piece)]
    assert out == [KeyPress(item[0]) if item in keys else Frame(item) for item in items]


@SLOW_IS_FINE
@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=20))
def test_any_bytes_are_accounted_for_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    whole, cut = Parser(), Parser()
    first = whole.feed(data)
    assert [item for piece in pieces(data, cuts) for item in cut.feed(piece)] == first
    sizes = [len(encode(item.text)) if isinstance(item, Frame) else item.count if isinstance(item, Noise) else 1 for item in first]
    left = whole.abandon()
    assert sum(sizes) + left == len(data)
    assert left <= 1005


@SLOW_IS_FINE
@given(TEXTS, st.integers(0, 7999), st.integers(1, 255))
def test_a_damaged_frame_is_never_taken_for_another(text: bytes, at: int, flip: int) -> None:
    good = encode(text)
    at %= len(good)
    bad = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
    frames = [item for item in Parser().feed(bad) if isinstance(item, Frame)]
    assert frames in ([], [Frame(text)])  # the same text only when a checksum digit changed its case


@SLOW_IS_FINE
@given(TEXTS)
def test_driver_and_simulator_write_the_same_frame(text: bytes) -> None:
    assert frame(text) == encode(text)
    assert FrameReader().feed(encode(text)) == [text]


@SLOW_IS_FINE
@given(st.binary(max_size=3000), TEXTS)
def test_the_pad_finds_a_frame_behind_garbage(garbage: bytes, text: bytes) -> None:
    reader = FrameReader()
    reader.feed(garbage)
    reader.feed(bytes(1100))
    assert text in reader.feed(frame(text))


@SLOW_IS_FINE
@given(st.lists(st.binary(max_size=200), max_size=10))
def test_no_bytes_make_the_pad_fail(chunks: list[bytes]) -> None:
    pad = PinPad(Vault(KEYS.kbpk, VolatileMemory(), random.Random(1).randbytes))
    for now, chunk in enumerate(chunks):
        pad.feed(chunk, now)
        pad.feed(frame(chunk), now)
        pad.feed(frame(b";" + chunk), now)
        pad.take_output(now + 0.5)
    parser = Parser()
    pad.feed(frame(b";S00"), 100.0)
    assert any(isinstance(item, Frame) for item in parser.feed(pad.take_output(200.0)))


@SLOW_IS_FINE
@given(PINS, st.text("0123456789", min_size=13, max_size=19), st.binary(min_size=16, max_size=16), st.integers())
def test_pin_blocks_open_to_what_was_sealed(pin: str, pan: str, key: bytes, seed: int) -> None:
    assert decode_format_0(encode_format_0(pin, pan), pan) == pin
    assert decipher_format_4(key, encipher_format_4(key, bytearray(pin.encode()), pan, random.Random(seed).randbytes), pan) == pin


@SLOW_IS_FINE
@given(st.binary(min_size=16, max_size=16), st.binary(min_size=12, max_size=12))
def test_a_random_block_is_refused_or_digits_and_never_a_crash(block: bytes, ksn: bytes) -> None:
    with contextlib.suppress(PinBlockError):
        assert decrypt_pin("iso9564-4", block, ksn, PAN, KEYS).isdigit()


@SLOW_IS_FINE
@given(st.text(max_size=200))
def test_any_text_as_key_block_is_refused(text: str) -> None:
    with pytest.raises(KeyBlockError):
        unwrap(KEYS.kbpk, text)


@SLOW_IS_FINE
@given(st.integers(0, MAX_COUNTER - 1), st.integers(0, 0x1FF7FF))
def test_counters_grow_and_stay_light(aes: int, tdes: int) -> None:
    following = next_counter(aes)
    assert following > aes
    assert following.bit_count() <= 16
    assert next_tdes_counter(tdes) > tdes
    assert next_tdes_counter(tdes).bit_count() <= 10


class BadLine:
    """A line that cuts answers into single bytes, and loses or damages some of what crosses it, by a seed."""

    def __init__(self, inner: ByteStream, seed: int, *, single: bool, loss: float) -> None:
        self._inner = inner
        self._source = random.Random(seed)
        self._single = single
        self._loss = loss
        self._held = b""

    def write(self, data: bytes, deadline: Deadline) -> None:
        if self._source.random() >= self._loss:
            self._inner.write(data, deadline)

    def read(self, deadline: Deadline) -> bytes:
        if not self._held:
            data = self._inner.read(deadline)
            if data and data[0] == 2 and self._source.random() < self._loss:
                at = self._source.randrange(len(data))
                data = data[:at] + data[at + 1 :] if self._source.random() < 0.5 else data[:at] + bytes([data[at] ^ 0x11]) + data[at + 1 :]
            self._held = data
        size = 1 if self._single else len(self._held)
        piece, self._held = self._held[:size], self._held[size:]
        return piece

    def discard_input(self) -> bytes:
        held, self._held = self._held, b""
        return held + self._inner.discard_input()

    def close(self) -> None:
        self._inner.close()


@SLOW_IS_FINE
@given(st.integers(0, 1 << 30), PINS, st.booleans(), st.sampled_from([0.0, 0.1, 0.2]), st.sampled_from(["iso9564-4", "iso9564-0"]))
def test_an_entry_over_a_bad_line_gives_the_right_pin_or_an_error(seed: int, pin: str, single: bool, loss: float, format: str) -> None:
    """Loss is made on frames; single lost key presses would rightly be missing masks and are told apart by the count."""
    clock = VirtualClock()
    pad = PinPad(Vault(KEYS.kbpk, VolatileMemory(), random.Random(seed).randbytes))
    driver = SzztZt588(BadLine(MemoryStream(pad, clock), seed, single=single, loss=loss), clock)

    def soon() -> Deadline:
        return Deadline.after(clock, 40)

    seen_ksn: set[bytes] = set()
    for _ in range(3):
        try:
            driver.initialise(soon())
            for name, block in key_blocks_for("PAD", KEYS).items():
                driver.load_key_block(name, Secret(block), soon())
            driver.start_pin_entry(4, 12, soon())
            pad.control("type", {"digits": pin}, clock.now())
            pad.control("press", {"key": "enter"}, clock.now())
            keys = [driver.next_key(Deadline.after(clock, 1)) for _ in range(len(pin) + 1)]
            made = driver.get_pin_block(Secret(PAN), format, soon())
        except DeviceError as error:
            assert loss, error
            assert not isinstance(error, DeviceFault) or error.name in ("noPin", "minimumLength")
            assert pin not in str(error)
            continue
        assert keys == [Key(None)] * len(pin) + [Key("enter")]
        assert decrypt_pin(format, made.block.reveal(), made.ksn, PAN, KEYS) == pin
        assert made.ksn not in seen_ksn
        seen_ksn.add(made.ksn)
    assert loss or len(seen_ksn) == 3
