"""The least configuration file that loads, ways to change a setting of it, and the sentence that refuses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from terminal.config import (
    BankSection,
    CardSection,
    CashSection,
    ConfigError,
    KioskSection,
    PinPadSection,
    PrinterSection,
    SerialSection,
    TerminalSection,
    load,
)
from terminal.config_face import FaceSection
from terminal.config_fleet import CentreSection, FleetSection, InspectionSection
from terminal.core.model import Timeouts

LEAST = """
[terminal]
id = "T0001"
branch = "B001"
store = "data/t.sqlite"

[bank]
url = "mqtt://127.0.0.1:1883"
public_key = "keys/bank.pub"

[cash]
presets_minor = [10000, 20000]
limit_minor = 300000

[[cash.unit]]
unit = "1"
denomination_minor = 10000
initial = 200

[[cash.unit]]
unit = "2"
denomination_minor = 5000
initial = 200

[[cash.unit]]
unit = "3"
denomination_minor = 2000
initial = 200

[[cash.unit]]
unit = "4"
denomination_minor = 1000
initial = 0

[dispenser]
port = "/dev/ttyS0"

[card]
ca_keys = "ca-keys.toml"

[pin_pad]
port = "/dev/ttyS1"

[printer]
port = "/dev/ttyS2"
"""
SECTIONS: dict[str, type[Any]] = {
    "terminal": TerminalSection,
    "bank": BankSection,
    "cash": CashSection,
    "dispenser": SerialSection,
    "card": CardSection,
    "pin_pad": PinPadSection,
    "printer": PrinterSection,
    "kiosk": KioskSection,
    "face": FaceSection,
    "timeouts": Timeouts,
    "fleet": FleetSection,
    "centre": CentreSection,
    "inspection": InspectionSection,
}


def written(folder: Path, text: str) -> Path:
    path = folder / "terminal.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ") and "\n" not in sentence.removeprefix(f"{path}: ").strip()
    return sentence.removeprefix(f"{path}: ")


def with_setting(section: str, line: str) -> str:
    """The good file with one setting of a section added or replaced."""
    name = line.split("=")[0].strip()
    head = f"[{section}]"
    if head not in LEAST:
        return f"{LEAST}\n{head}\n{line}\n"
    before, after = LEAST.split(f"{head}\n", 1)
    body, *rest = re.split(r"(?m)^(?=\[)", after, maxsplit=1)
    kept = "".join(one + "\n" for one in body.splitlines() if one.split("=")[0].strip() != name)
    return f"{before}{head}\n{line}\n{kept}{''.join(rest)}"
