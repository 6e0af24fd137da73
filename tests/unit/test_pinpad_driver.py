"""The driver and the simulated pad on one line in virtual time: what a customer and a host do to a PIN entry."""

from __future__ import annotations

from typing import Any

import pytest
from pin_pad_bench import KEYS, MASK, PAN, PIN, Bench, refused

from drivers.devices.szzt_zt588 import Key
from drivers.errors import ConfigurationFault
from drivers.secret import Secret
from simulators.crypto.host_pin import decrypt_pin


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
