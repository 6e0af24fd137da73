"""The pad's keys: which it takes and for what, what tampering leaves of them, and counters that never go back."""

from __future__ import annotations

from pin_pad_bench import KEYS, MASK, PAN, PIN, Bench, refused

from drivers.secret import Secret
from simulators.crypto.host_pin import key_blocks_for
from simulators.crypto.tr31 import KeyBlockHeader, wrap
from simulators.devices.pinpad_vault import VolatileMemory


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
