"""A bad wire in a PIN entry: what is asked again, what never is, and that noise becomes neither digit nor amount."""

from __future__ import annotations

import pytest
from pin_pad_bench import MASK, PAN, PIN, Bench, refused

from drivers.devices.szzt_zt588 import Key
from drivers.errors import DeviceError, LinkTimeout, ProtocolError
from drivers.secret import Secret


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
