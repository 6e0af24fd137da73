"""The printer's driver against the simulated printer, in one thread and in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.devices.escpos_printer import EscPosPrinter, Paper, PrinterStatus, PrintFault, Receipt, ReceiptLine
from drivers.errors import LinkTimeout, ProtocolError
from drivers.transports.base import Deadline
from drivers.transports.memory import MemoryStream, VirtualClock
from simulators.devices.printer import Printer

RECEIPT = Receipt(
    (
        ReceiptLine("智慧银行", align="center", bold=True, size="double"),
        ReceiptLine("Withdrawal 取款", align="center"),
        ReceiptLine("交易号 T0001-00000017"),
        ReceiptLine("卡号 6228 48** **** 0015"),
        ReceiptLine("金额 Amount: CNY 200.00", align="right"),
        ReceiptLine("谢谢！ Thank you."),
    ),
    "zh",
)


class Bench:
    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        self.device = Printer(**options)
        self.printer = EscPosPrinter(MemoryStream(self.device, self.clock), self.clock)

    def do(self, verb: str, **arguments: Any) -> Any:
        return self.device.control(verb, arguments, self.clock.now())

    def at(self, seconds: float, verb: str, **arguments: Any) -> None:
        self.clock.call_at(seconds, lambda: self.do(verb, **arguments))

    def status(self) -> PrinterStatus:
        return self.printer.status(Deadline.after(self.clock, 5))

    def print(self, receipt: Receipt = RECEIPT, seconds: float = 30) -> PrinterStatus:
        return self.printer.print_receipt(receipt, Deadline.after(self.clock, seconds))

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.do("state")
        return state


def test_a_receipt_in_two_languages_comes_out_cut() -> None:
    bench = Bench()
    status = bench.print()
    (receipt,) = bench.state["receipts"]
    assert receipt["lines"] == [line.text for line in RECEIPT.lines]
    assert receipt["cut"] and not receipt["taken"]
    assert (status.device, status.paper) == ("online", Paper.FULL)
    assert bench.state["unknown_commands"] == [] and bench.state["lost_bytes"] == 0


def test_printing_ends_only_when_the_paper_is_cut() -> None:
    """At 100 bytes a second the receipt takes seconds; print_receipt comes back after the last of them, not before."""
    bench = Bench(bytes_per_s=100)
    bench.print()
    assert len(bench.state["receipts"]) == 1 and bench.state["hanging"] == []
    assert bench.clock.now() > 2


@pytest.mark.parametrize(
    ("verb", "arguments", "device", "paper", "flag"),
    [
        ("paper", {"level": "low"}, "online", "low", None),
        ("paper", {"level": "out"}, "offline", "out", None),
        ("cover", {"open": True}, "userError", "full", "cover_open"),
        ("cutter_error", {"on": True}, "hardwareError", "jammed", "cutter_error"),
        ("unrecoverable", {"on": True}, "hardwareError", "full", "unrecoverable"),
        ("overheated", {"on": True}, "offline", "full", "auto_recoverable"),
    ],
)
def test_status_in_the_standards_words(verb: str, arguments: dict[str, Any], device: str, paper: str, flag: str | None) -> None:
    bench = Bench()
    bench.do(verb, **arguments)
    status = bench.status()
    assert (status.device, status.paper) == (device, paper)
    assert {name for name in ("cover_open", "cutter_error", "unrecoverable", "auto_recoverable") if getattr(status, name)} == (
        {flag} if flag else set()
    )


@pytest.mark.parametrize(
    ("verb", "arguments", "name", "code"),
    [
        ("paper", {"level": "out"}, "paperOut", 0x7E),
        ("cover", {"open": True}, "coverOpen", 0x16),
        ("cutter_error", {"on": True}, "paperJam", 0x1A),
        ("unrecoverable", {"on": True}, "hardwareError", 0x32),
        ("overheated", {"on": True}, "overheated", 0x52),
    ],
)
def test_a_printer_that_is_not_ready_is_sent_nothing(verb: str, arguments: dict[str, Any], name: str, code: int) -> None:
    bench = Bench()
    bench.do(verb, **arguments)
    with pytest.raises(PrintFault) as fault:
        bench.print()
    assert (fault.value.name, fault.value.code, fault.value.printed) == (name, code, False)
    assert bench.state["hanging"] == [] and bench.state["receipts"] == []


def test_paper_that_runs_out_in_the_middle_is_told_and_the_rest_is_not_given_to_the_next_customer() -> None:
    bench = Bench()
    bench.do("paper", remaining_mm=12)
    with pytest.raises(PrintFault) as fault:
        bench.print()
    assert (fault.value.name, fault.value.printed) == ("paperOut", False)
    bench.do("paper", level="full")
    bench.clock.sleep(10)
    torn = bench.state["receipts"][0]
    assert torn["lines"] == [line.text for line in RECEIPT.lines][:3] and not torn["cut"]
    assert bench.state["hanging"] == []
    bench.print(Receipt((ReceiptLine("next customer"),)))
    assert bench.state["receipts"][1]["lines"] == ["next customer"]


def test_a_cutter_that_sticks_at_the_end_is_told() -> None:
    bench = Bench()
    bench.do("cutter_error", when="next_cut")
    with pytest.raises(PrintFault) as fault:
        bench.print()
    assert (fault.value.name, fault.value.printed) == ("paperJam", False)


def test_a_cover_opened_and_closed_in_the_middle_only_delays() -> None:
    bench = Bench()
    bench.at(0.10, "cover", open=True)
    bench.at(0.12, "cover", open=False)
    bench.print()
    assert bench.state["receipts"][0]["lines"] == [line.text for line in RECEIPT.lines]


def test_a_cover_that_stays_open_is_told() -> None:
    bench = Bench()
    bench.at(0.1, "cover", open=True)
    with pytest.raises(PrintFault, match="cover is open") as fault:
        bench.print()
    assert not fault.value.printed


def test_silence_is_a_link_error_before_and_in_the_middle() -> None:
    bench = Bench()
    bench.do("power", on=False)
    with pytest.raises(LinkTimeout, match="does not answer DLE EOT 1"):
        bench.status()
    bench = Bench()
    bench.at(0.1, "power", on=False)
    with pytest.raises(LinkTimeout, match="nobody knows how much"):
        bench.print(seconds=5)


def test_one_lost_answer_is_asked_for_again_and_noise_is_named() -> None:
    bench = Bench()
    bench.do("fault", kind="drop")
    assert bench.status().device == "online"
    bench.do("fault", kind="garbage", count=2)
    with pytest.raises(ProtocolError, match="bytes that are no status"):
        bench.status()
    assert bench.status().paper is Paper.FULL


def test_noise_while_printing_is_not_taken_for_the_confirmation() -> None:
    bench = Bench()
    bench.at(0.05, "fault", kind="garbage", count=1)
    bench.print()
    assert len(bench.state["receipts"]) == 1


def test_text_too_wide_is_wrapped_not_lost() -> None:
    bench = Bench()
    bench.print(
        Receipt((ReceiptLine("请妥善保管您的凭条。" * 4), ReceiptLine("Please keep this receipt for your own records, thank you.")))
    )
    lines = bench.state["receipts"][0]["lines"]
    assert lines[:2] == ["请妥善保管您的凭条。" * 2 + "请妥善保", "管您的凭条。请妥善保管您的凭条。"]
    assert lines[2:] == ["Please keep this receipt for your own records,", "thank you."]


@pytest.mark.parametrize("text", ["a\x1bp0", "\x10\x04\x01", "line\nbreak", "tab\t", "\u202eright to left", "\ud800", "x" * 401])
def test_text_that_could_be_a_command_is_refused_before_anything_is_sent(text: str) -> None:
    bench = Bench()
    with pytest.raises(PrintFault, match="a receipt line") as fault:
        bench.print(Receipt((ReceiptLine("fine"), ReceiptLine(text))))
    assert fault.value.name == "invalidData" and not fault.value.retryable
    assert bench.state["hanging"] == [] and bench.state["buffered_bytes"] == 0


def test_an_empty_and_an_endless_receipt_are_refused() -> None:
    for lines in ((), (ReceiptLine("x"),) * 201):
        with pytest.raises(PrintFault, match="1 to 200 lines"):
            Bench().print(Receipt(lines))
    with pytest.raises(ValueError, match="columns"):
        EscPosPrinter(MemoryStream(Printer(), VirtualClock()), VirtualClock(), columns=0)


def test_a_clone_without_gs_r_is_asked_in_real_time_only() -> None:
    bench = Bench(bytes_per_s=1e6)
    bench.printer = EscPosPrinter(MemoryStream(bench.device, bench.clock), bench.clock, confirms=False)
    assert bench.print().paper is Paper.FULL
    bench.do("paper", level="out")
    with pytest.raises(PrintFault, match="out of paper"):
        bench.print()


def test_a_receipt_is_taken_once() -> None:
    bench = Bench()
    bench.print()
    assert bench.do("take_receipt")["number"] == 1
    with pytest.raises(ValueError, match="no receipt to take"):
        bench.do("take_receipt")


def test_a_picture_of_every_receipt(tmp_path: Path) -> None:
    from PIL import Image

    bench = Bench(pictures=tmp_path)
    bench.print()
    with Image.open(bench.state["receipts"][0]["picture"]) as picture:
        assert picture.width == 640 and picture.getextrema()[0] < 64


def test_without_a_chinese_font_the_picture_shows_code_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.setattr("simulators.devices.printer_paper.FONTS", ())
    bench = Bench(pictures=tmp_path)
    bench.print()
    with Image.open(bench.state["receipts"][0]["picture"]) as picture:
        assert picture.getextrema()[0] < 64
