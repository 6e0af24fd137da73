"""The driver and the simulated pad on one line in virtual time: what a customer, a host and a bad wire do to a PIN entry."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from drivers.devices.szzt_zt588 import Key, SzztZt588
from drivers.errors import ConfigurationFault, DeviceError, DeviceFault, LinkTimeout, ProtocolError
from drivers.secret import Secret
from drivers.transports.base import ByteStream, Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.crypto.host_pin import HostPinKeys, decrypt_pin, key_blocks_for
from simulators.crypto.tr31 import KeyBlockHeader, wrap
from simulators.devices.pinpad_device import PinPad
from simulators.devices.pinpad_vault import Vault, VolatileMemory

KEYS = HostPinKeys.load()
PAN = "6228480000000015"
PIN = "135790"
MASK = Key(None)


class Bench:
    """Pad, line, driver, and the customer's hand."""

    def __init__(self, memory: VolatileMemory | None = None, wrapped: Callable[[ByteStream], ByteStream] = lambda stream: stream) -> None:
        self.clock = VirtualClock()
        self.memory = memory or VolatileMemory()
        self.pad = PinPad(Vault(KEYS.kbpk, self.memory, random.Random(1).randbytes))
        self.driver = SzztZt588(wrapped(MemoryStream(self.pad, self.clock)), self.clock)

    def soon(self, seconds: float = 10.0) -> Deadline:
        return Deadline.after(self.clock, seconds)

    def hand(self, do: str, **arguments: Any) -> Any:
        return self.pad.control(do, arguments, self.clock.now())

    def load(self) -> None:
        blocks = key_blocks_for("ZT588SIM00000001", KEYS)
        for name, block in blocks.items():
            self.driver.load_key_block(name, Secret(block), self.soon())

    def ready(self) -> Bench:
        self.driver.initialise(self.soon())
        self.load()
        return self

    def keys(self, count: int) -> list[Key | None]:
        return [self.driver.next_key(self.soon(1)) for _ in range(count)]

    def enter(self, pin: str = PIN) -> None:
        """Start an entry, type, press enter."""
        self.driver.start_pin_entry(4, 12, self.soon())
        self.hand("type", digits=pin)
        self.hand("press", key="enter")
        assert self.keys(len(pin) + 1) == [MASK] * len(pin) + [Key("enter")]

    def block(self, format: str = "iso9564-4") -> str:
        made = self.driver.get_pin_block(Secret(PAN), format, self.soon())
        return decrypt_pin(made.format, made.block.reveal(), made.ksn, PAN, KEYS)


def refused(name: str, call: Callable[[], object]) -> None:
    with pytest.raises(DeviceFault) as caught:
        call()
    assert caught.value.name == name


@pytest.mark.parametrize("format", ["iso9564-4", "iso9564-0"])
def test_keys_pressed_become_a_block_that_the_bank_opens(format: str) -> None:
    bench = Bench().ready()
    bench.enter()
    assert bench.block(format) == PIN
    refused("noPin", lambda: bench.block(format))


def test_every_block_has_its_own_key() -> None:
    bench = Bench().ready()
    seen = set()
    for _ in range(20):
        bench.enter()
        made = bench.driver.get_pin_block(Secret(PAN), "iso9564-0", bench.soon())
        assert decrypt_pin("iso9564-0", made.block.reveal(), made.ksn, PAN, KEYS) == PIN
        seen.add(made.block.reveal())
    assert len(seen) == 20


def test_identity_and_status() -> None:
    bench = Bench()
    identity = bench.driver.initialise(bench.soon())
    assert (identity.model, identity.serial, identity.blank) == ("ZT588", "0001", False)
    assert bench.driver.status(bench.soon()).keys == ()
    bench.load()
    status = bench.driver.status(bench.soon())
    assert (status.serial, status.mode, status.masks, status.tampered) == ("ZT588SIM00000001", "idle", 0, False)
    shown = [(key.slot, key.usage, key.algorithm, len(key.ksn)) for key in status.keys]
    assert shown == [
        ("pin-aes", "B1", "A", 12),
        ("pin-tdes", "B1", "T", 10),
    ]
    bench.enter()
    assert bench.driver.status(bench.soon()).mode == "complete"
    bench.block()
    after = bench.driver.status(bench.soon()).keys[0].ksn
    assert int.from_bytes(after[8:], "big") == 1


def test_clear_backspace_and_cancel() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 6, bench.soon())
    bench.hand("type", digits="99")
    bench.hand("press", key="clear")
    bench.hand("type", digits="1358")
    bench.hand("press", key="backspace")
    bench.hand("type", digits="790")
    bench.hand("press", key="enter")
    names = [key and key.function for key in bench.keys(12)]
    assert names == [None, None, "clear", None, None, None, None, "backspace", None, None, None, "enter"]
    assert bench.block() == PIN
    bench.driver.start_pin_entry(4, 6, bench.soon())
    bench.hand("type", digits="1234")
    bench.hand("press", key="cancel")
    assert bench.keys(5)[-1] == Key("cancel")
    assert bench.hand("state")["mask_count"] == 0
    refused("noPin", bench.block)


def test_the_pad_counts_and_not_the_host() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 6, bench.soon())
    bench.hand("type", digits="135")
    bench.hand("press", key="enter")
    assert bench.keys(4) == [MASK, MASK, MASK, Key("enter")]
    refused("minimumLength", bench.block)
    bench.hand("type", digits="790864")  # the seventh and later digits are not taken
    bench.hand("press", key="enter")
    assert bench.keys(4) == [MASK, MASK, MASK, Key("enter")]
    assert bench.block() == "135790"


def test_keys_that_are_no_digit_do_nothing_in_pin_entry() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 12, bench.soon())
    for key in (".", "00", "fdk03"):
        bench.hand("press", key=key)
    assert bench.keys(2) == [Key("fdk03"), None]
    assert bench.hand("state")["mask_count"] == 0


def test_an_entry_ends_by_itself() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 12, bench.soon(), limit_s=30)
    bench.hand("type", digits="12")
    assert bench.keys(2) == [MASK, MASK]
    refused("entryTimeout", lambda: bench.driver.next_key(bench.soon(60)))
    assert bench.clock.now() == pytest.approx(30, abs=0.1)
    assert bench.hand("state")["mask_count"] == 0
    refused("entryTimeout", bench.block)
    bench.enter()
    assert bench.block() == PIN


def test_a_pin_that_nobody_fetches_is_destroyed() -> None:
    bench = Bench().ready()
    bench.enter()
    bench.clock.advance_to(bench.clock.now() + 61)
    refused("entryTimeout", bench.block)


def test_amount_entry_shows_digits() -> None:
    bench = Bench().ready()
    bench.driver.start_clear_entry(bench.soon())
    for key in ("2", "00", "backspace", ".", "fdk01", "fdk08", "enter"):
        bench.hand("press", key=key)
    assert bench.keys(8) == [
        Key(None, "2"),
        Key(None, "00"),
        Key("backspace"),
        Key("decPoint"),
        Key("fdk01"),
        Key("fdk08"),
        Key("enter"),
        None,
    ]
    bench.driver.stop_entry(bench.soon())
    bench.hand("press", key="5")
    assert bench.keys(1) == [None]
    refused("noPin", bench.block)


def test_digits_of_an_amount_never_become_a_pin() -> None:
    bench = Bench().ready()
    bench.driver.start_clear_entry(bench.soon())
    bench.hand("type", digits="5000")
    assert len(bench.keys(4)) == 4
    bench.driver.start_pin_entry(4, 12, bench.soon())
    bench.hand("press", key="enter")
    assert bench.keys(1) == [Key("enter")]
    refused("noPin", bench.block)


def test_keys_pressed_before_an_entry_do_not_count() -> None:
    bench = Bench().ready()
    bench.hand("type", digits="9999")
    bench.clock.advance_to(bench.clock.now() + 1)
    bench.enter()
    assert bench.block() == PIN


def test_a_bouncing_key_is_one_press() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 12, bench.soon())
    for digit in "1122":
        bench.hand("bounce", key=digit)
    bench.hand("bounce", key="enter")
    assert bench.keys(6) == [MASK] * 4 + [Key("enter"), None]
    assert bench.block() == "1122"


def test_wrong_keys_are_refused_by_name() -> None:
    bench = Bench()
    bench.driver.initialise(bench.soon())
    refused("keyNotFound", lambda: bench.driver.start_pin_entry(4, 12, bench.soon()))
    good = key_blocks_for("PAD", KEYS)["pin-aes"]

    def load(block: str) -> None:
        bench.driver.load_key_block("pin-aes", Secret(block), bench.soon())

    refused("keyInvalid", lambda: load(good[:-1] + ("0" if good[-1] != "0" else "1")))
    refused("keyInvalid", lambda: load(wrap(bytes(32), KeyBlockHeader("P0", "A", "E"), bytes(16))))
    refused("keyInvalid", lambda: load(wrap(KEYS.kbpk, KeyBlockHeader("B1", "A", "X"), bytes(16))))
    refused("keyInvalid", lambda: load(wrap(KEYS.kbpk, KeyBlockHeader("B1", "A", "X", optional={"IK": "00"}), bytes(16))))
    for header in (
        KeyBlockHeader("B0", "A", "X"),
        KeyBlockHeader("D0", "A", "E"),
        KeyBlockHeader("P0", "A", "D"),
        KeyBlockHeader("P0", "R", "E"),
        KeyBlockHeader("M3", "T", "G"),
    ):
        refused("useViolation", lambda header=header: load(wrap(KEYS.kbpk, header, bytes(16))))
    assert bench.hand("state")["keys"] == {}
    load(good)
    bench.enter()
    refused("keyNotFound", lambda: bench.block("iso9564-0"))


def test_a_key_is_only_used_for_its_own_format() -> None:
    bench = Bench()
    bench.driver.initialise(bench.soon())
    bench.driver.load_key_block("pin-aes", Secret(key_blocks_for("PAD", KEYS)["pin-tdes"]), bench.soon())
    bench.enter()
    refused("useViolation", bench.block)


def test_a_fixed_pin_key_has_no_serial_number() -> None:
    bench = Bench()
    bench.driver.initialise(bench.soon())
    key = bytes(range(16))
    bench.driver.load_key_block("pin-aes", Secret(wrap(KEYS.kbpk, KeyBlockHeader("P0", "A", "E"), key)), bench.soon())
    bench.enter()
    made = bench.driver.get_pin_block(Secret(PAN), "iso9564-4", bench.soon())
    assert made.ksn == b""
    assert bench.driver.status(bench.soon()).keys[0].ksn == b""


def test_tamper_destroys_keys_and_locks() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 12, bench.soon())
    bench.hand("type", digits="1357")
    assert bench.keys(4) == [MASK] * 4
    bench.hand("tamper")
    refused("entryTimeout", lambda: bench.keys(1))
    refused("tampered", bench.block)
    refused("tampered", bench.load)
    refused("tampered", lambda: bench.driver.start_pin_entry(4, 12, bench.soon()))
    refused("tampered", lambda: bench.driver.start_clear_entry(bench.soon()))
    status = bench.driver.status(bench.soon())
    assert (status.tampered, status.keys) == (True, ())
    assert bench.driver.identify(bench.soon()).blank
    again = Bench(bench.memory)
    assert again.driver.status(again.soon()).tampered
    again.hand("repair")
    again.ready().enter()
    assert again.block() == PIN


def test_counters_go_on_after_power_loss_reload_and_tamper() -> None:
    memory = VolatileMemory()
    counters = []
    for event in ("", "power", "tamper", "reload"):
        bench = Bench(memory)
        if event == "tamper":
            bench.hand("tamper")
            bench.hand("repair")
        bench.ready().enter()
        if event == "power":
            bench.hand("power", on=False)
            bench.hand("power", on=True)
            refused("noPin", bench.block)
            bench.ready().enter()
        made = bench.driver.get_pin_block(Secret(PAN), "iso9564-4", bench.soon())
        counters.append(int.from_bytes(made.ksn[8:], "big"))
    assert counters == [1, 2, 3, 4]


def test_the_last_counter_and_then_no_more() -> None:
    memory = VolatileMemory()
    bench = Bench(memory).ready()
    ids = [key.ksn for key in bench.driver.status(bench.soon()).keys]
    memory.save(memory.load() | {"counters": {ids[0][:8].hex(): 0xFFFEFFFF, ids[1].hex(): 0x1FF800}})
    bench = Bench(memory)
    bench.driver.initialise(bench.soon())
    bench.enter()
    assert bench.block() == PIN
    bench.enter()
    refused("dukptOverflow", bench.block)
    bench.enter()
    refused("dukptOverflow", lambda: bench.block("iso9564-0"))


def test_lost_and_damaged_answers_of_harmless_verbs_are_asked_again() -> None:
    bench = Bench().ready()
    for fault in ("drop_reply", "corrupt"):
        bench.hand("fault", name=fault, value=2)
        assert not bench.driver.status(bench.soon()).tampered
        bench.hand("fault", name=fault, value=3)
        bench.driver.start_pin_entry(4, 12, bench.soon(30))
        bench.hand("type", digits="13")
        assert bench.keys(3) == [MASK, MASK, None]
        bench.driver.stop_entry(bench.soon())
    bench.hand("fault", name="garbage", value="0230FF0202")
    assert bench.driver.status(bench.soon()).mode == "idle"
    bench.hand("fault", name="delay", value=1.5)
    assert bench.driver.status(bench.soon()).mode == "idle"
    bench.enter()
    assert bench.block() == PIN


@pytest.mark.parametrize(("fault", "expected"), [("drop_reply", LinkTimeout), ("corrupt", ProtocolError)])
def test_a_lost_pin_block_is_never_asked_for_again(fault: str, expected: type[DeviceError]) -> None:
    bench = Bench().ready()
    bench.enter()
    bench.hand("fault", name=fault)
    with pytest.raises(expected) as caught:
        bench.block()
    assert not caught.value.retryable
    refused("noPin", bench.block)  # destroyed in the pad: the customer types again
    bench.enter()
    made = bench.driver.get_pin_block(Secret(PAN), "iso9564-4", bench.soon())
    assert int.from_bytes(made.ksn[8:], "big") == 2  # the counter of the lost block is gone too


def test_a_late_answer_is_not_taken_for_another() -> None:
    bench = Bench().ready()
    bench.enter()
    bench.hand("fault", name="delay", value=6.0)
    with pytest.raises(LinkTimeout):
        bench.block()
    bench.enter("246802")
    assert bench.block() == "246802"


def test_a_silent_pad_is_reported_by_the_deadline() -> None:
    bench = Bench().ready()
    bench.hand("fault", name="silent", value=True)
    before = bench.clock.now()
    with pytest.raises(LinkTimeout):
        bench.driver.status(bench.soon(60))
    assert bench.clock.now() - before == pytest.approx(5.0)
    with pytest.raises(LinkTimeout):
        bench.driver.start_clear_entry(bench.soon(2))
    bench.hand("fault", name="silent", value=False)
    assert bench.driver.status(bench.soon()).mode == "idle"


def test_a_damaged_frame_never_becomes_an_amount() -> None:
    bench = Bench().ready()
    bench.driver.start_clear_entry(bench.soon())
    bench.hand("fault", name="corrupt")
    bench.driver.status(bench.soon())
    bench.hand("fault", name="noise", value="02303031393903")  # a broken frame out of nothing: 001 99 ETX
    bench.hand("type", digits="78")
    assert bench.keys(2) == [Key(None, "8"), None]  # a press right behind the noise is lost: better than a digit out of nothing


def test_noise_in_an_entry_is_no_key() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 12, bench.soon())
    bench.hand("fault", name="noise", value="00ff0302")
    bench.clock.advance_to(bench.clock.now() + 0.1)
    assert bench.keys(1) == [None]
    bench.hand("type", digits="1")
    assert bench.keys(2) == [MASK, None]


def test_an_unmasked_key_in_pin_entry_is_an_error_without_the_digit() -> None:
    bench = Bench().ready()
    bench.driver.start_pin_entry(4, 12, bench.soon())
    bench.hand("fault", name="noise", value=b"7".hex())
    with pytest.raises(ProtocolError) as caught:
        bench.keys(1)
    assert "7" not in str(caught.value)


def test_what_the_host_asks_wrongly_is_said_at_once() -> None:
    bench = Bench().ready()
    for call in (
        lambda: bench.driver.start_pin_entry(3, 12, bench.soon()),
        lambda: bench.driver.start_pin_entry(6, 4, bench.soon()),
        lambda: bench.driver.start_pin_entry(4, 12, bench.soon(), limit_s=0),
        lambda: bench.driver.start_clear_entry(bench.soon(), limit_s=1000),
        lambda: bench.driver.load_key_block("pin-rsa", Secret("D0016"), bench.soon()),
        lambda: bench.driver.load_key_block("pin-aes", Secret(""), bench.soon()),
        lambda: bench.driver.get_pin_block(Secret(PAN), "iso9564-3", bench.soon()),
        lambda: bench.driver.get_pin_block(Secret("123"), "iso9564-4", bench.soon()),
    ):
        with pytest.raises(ConfigurationFault):
            call()


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run() -> tuple[bytes, bytes]:
        bench = Bench().ready()
        bench.enter()
        made = bench.driver.get_pin_block(Secret(PAN), "iso9564-4", bench.soon())
        return made.block.reveal(), made.ksn

    assert run() == run()


@pytest.mark.parametrize(
    ("do", "arguments"),
    [
        ("press", {"key": "12345"}),
        ("press", {}),
        ("type", {"digits": "12a4567"}),
        ("type", {"digits": 1234567}),
        ("power", {"on": "1234567"}),
        ("fault", {"name": "1234567"}),
        ("fault", {"name": "delay", "value": -1}),
        ("1234567", {}),
    ],
)
def test_a_wrong_hand_gets_a_sentence_without_what_it_typed(do: str, arguments: dict[str, Any]) -> None:
    bench = Bench()
    with pytest.raises(ValueError) as caught:
        bench.hand(do, **arguments)
    assert "12345" not in str(caught.value)
    assert "a4567" not in str(caught.value)


def test_more_keys_than_a_hand_has_are_refused() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match="too many keys"):
        for _ in range(100):
            bench.hand("press", key="1")
