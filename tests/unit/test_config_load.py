"""The configuration file: a good one loads, a wrong one is refused with a sentence that names the place; the document knows them all."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from terminal.config import (
    BankSection,
    CardSection,
    CashSection,
    Config,
    ConfigError,
    KioskSection,
    PinPadSection,
    PrinterSection,
    SerialSection,
    TerminalSection,
    UnitSection,
    load,
)
from terminal.config_face import FaceSection
from terminal.config_fleet import CentreSection, FleetSection, InspectionSection
from terminal.core.cash import CashUnit
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


def test_the_least_file_loads_and_paths_are_the_files_own(tmp_path: Path) -> None:
    config = load(written(tmp_path, LEAST))
    assert config.terminal.store == tmp_path / "data/t.sqlite"
    assert config.bank.public_key == tmp_path / "keys/bank.pub"
    assert config.card.ca_keys == tmp_path / "ca-keys.toml"
    assert config.dispenser.port == Path("/dev/ttyS0")
    assert config.pin_pad.key_blocks == tmp_path / "key-blocks.json", "also a path that nobody wrote down"
    assert config.face is None and config.timeouts == Timeouts() and config.kiosk == KioskSection()


def test_a_file_found_by_a_relative_path_has_the_same_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, LEAST)
    monkeypatch.chdir(tmp_path)
    assert load(Path("terminal.toml")) == load(tmp_path / "terminal.toml")


def test_what_the_core_must_know(tmp_path: Path) -> None:
    text = with_setting("terminal", 'language = "en"') + '\n[face]\ncamera = "0"\nfrom_minor = 100000\n[timeouts]\ninput_s = 60\n'
    core = load(written(tmp_path, text)).core()
    assert (core.terminal_id, core.currency, core.language, core.languages) == ("T0001", "CNY", "en", ("zh", "en"))
    assert core.units[0] == CashUnit("1", 10_000, 200) and len(core.units) == 4
    assert (core.presets_minor, core.limit_minor, core.max_notes) == ((10_000, 20_000), 300_000, 40)
    assert (core.face_from_minor, core.pin_format) == (100_000, "iso9564-4")
    assert core.timeouts == dataclasses.replace(Timeouts(), input_s=60)
    assert load(written(tmp_path, LEAST)).core().face_from_minor is None


def test_every_setting_can_be_written(tmp_path: Path) -> None:
    text = with_setting("terminal", 'head_key = "head.key"')
    config = load(written(tmp_path, text + '[kiosk]\nport = 8080\npixel_pitch_mm = 1\nframe_origin = "http://127.0.0.1:9"\n'))
    assert config.kiosk == KioskSection(8080, 1, "http://127.0.0.1:9")
    assert config.terminal.head_key == tmp_path / "head.key"


# --- files that are none


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read \(No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "terminal.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(path)


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    assert refusal(tmp_path, "[terminal\n").startswith("is not TOML: ")


# --- each wrong thing gets its sentence


def test_an_empty_file(tmp_path: Path) -> None:
    assert refusal(tmp_path, "") == "terminal is missing"


@pytest.mark.parametrize("section", ["terminal", "bank", "cash", "dispenser", "card", "pin_pad", "printer"])
def test_a_section_that_is_missing(tmp_path: Path, section: str) -> None:
    parts = [part for part in re.split(r"(?m)^(?=\[)", LEAST) if not part.startswith((f"[{section}]", f"[[{section}."))]
    assert refusal(tmp_path, "".join(parts)) == f"{section} is missing"


REQUIRED = [
    (section, field.name)
    for section, kind in SECTIONS.items()
    for field in dataclasses.fields(kind)
    if section not in ("face", "timeouts", "kiosk")
    and field.default is dataclasses.MISSING
    and field.default_factory is dataclasses.MISSING
    and field.name != "unit"
]


@pytest.mark.parametrize(("section", "name"), REQUIRED)
def test_a_setting_that_is_missing(tmp_path: Path, section: str, name: str) -> None:
    before, after = LEAST.split(f"[{section}]\n", 1)
    after = re.sub(rf"(?m)^{name} = .*\n", "", after, count=1)
    assert refusal(tmp_path, f"{before}[{section}]\n{after}") == f"{section}.{name} is missing"


def test_a_unit_without_its_count(tmp_path: Path) -> None:
    assert refusal(tmp_path, LEAST.replace("initial = 0\n", "")) == "cash.unit[3].initial is missing"


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_a_setting_that_nobody_knows(tmp_path: Path, section: str) -> None:
    sentence = refusal(tmp_path, with_setting(section, "colour = 1"))
    assert sentence.startswith(f"{section}.colour is not a setting; known here: ")
    assert all(field.name in sentence for field in dataclasses.fields(SECTIONS[section]))


def test_a_section_that_nobody_knows(tmp_path: Path) -> None:
    assert refusal(tmp_path, LEAST + "[toaster]\nslots = 2\n").startswith("toaster is not a setting; known here: terminal, bank, ")


@pytest.mark.parametrize(
    ("section", "line", "sentence"),
    [
        ("terminal", "id = 7", "terminal.id must be a text, not 7"),
        ("terminal", "store = 7", "terminal.store must be a path, not 7"),
        ("terminal", 'store = ""', "terminal.store must be a path, not ''"),
        ("terminal", 'languages = "zh"', "terminal.languages must be a list with at least one item"),
        ("terminal", "languages = []", "terminal.languages must be a list with at least one item"),
        ("terminal", "languages = [1]", "terminal.languages[0] must be a text, not 1"),
        ("bank", 'drain_per_s = "20"', "bank.drain_per_s must be a number, not '20'"),
        ("bank", "drain_per_s = true", "bank.drain_per_s must be a number, not True"),
        ("bank", "clean_start = 1", "bank.clean_start must be true or false, not 1"),
        ("cash", "limit_minor = 3000.5", "cash.limit_minor must be a whole number, not 3000.5"),
        ("cash", "limit_minor = true", "cash.limit_minor must be a whole number, not True"),
        ("cash", "presets_minor = [100.0]", "cash.presets_minor[0] must be a whole number, not 100.0"),
        ("printer", 'confirms = "yes"', "printer.confirms must be true or false, not 'yes'"),
        ("dispenser", "baudrate = 9600.0", "dispenser.baudrate must be a whole number, not 9600.0"),
        ("timeouts", 'input_s = "30"', "timeouts.input_s must be a number, not '30'"),
    ],
)
def test_a_setting_of_another_kind(tmp_path: Path, section: str, line: str, sentence: str) -> None:
    assert refusal(tmp_path, with_setting(section, line)) == sentence


def test_a_section_that_is_no_table(tmp_path: Path) -> None:
    assert refusal(tmp_path, "kiosk = 5\n" + LEAST) == "kiosk must be a table"
    assert refusal(
        tmp_path, LEAST.replace("[[cash.unit]]", "[cash.unit]", 1).split("[[cash.unit]]")[0] + LEAST[LEAST.index("[dispenser]") :]
    ) == ("cash.unit must be a list with at least one item")


CHECKS = [
    ("fleet", "telemetry_s = 4", "fleet.telemetry_s is at least 5"),
    ("fleet", "healthy_s = 9", "fleet.healthy_s is at least 10"),
    ("fleet", "out_of_service_s = inf", "fleet: every time is above 0, at most a day"),
    ("centre", 'key = [{id = "a", file = "x"}, {id = "a", file = "y"}]', "centre.key: every id is there once"),
    ("inspection", 'camera = [{device = "safe", source = "1"}]', "inspection.camera: a device is one of cardReader"),
    ("inspection", 'camera = [{device = "printer", source = "1"}, {device = "printer", source = "2"}]', "inspection.camera: one camera"),
    ("terminal", 'id = ""', "terminal.id must be 1 to 16 letters and digits"),
    ("terminal", 'id = "T-1"', "terminal.id must be 1 to 16 letters and digits"),
    ("terminal", 'id = "T00000000000000001"', "terminal.id must be 1 to 16 letters and digits"),
    ("terminal", 'branch = "a/b"', "terminal.branch must be 1 to 16 letters and digits"),
    ("terminal", 'branch = "B1\\n"', "terminal.branch must be 1 to 16 letters and digits"),
    ("terminal", 'currency = "yuan"', "terminal.currency"),
    ("terminal", 'country = "156"', "terminal.country"),
    ("terminal", 'language = "fr"', "terminal.language must be one of terminal.languages"),
    ("terminal", 'languages = ["zh", "fr"]', 'terminal.languages: known are "zh" and "en"'),
    ("terminal", 'mode = "fast"', 'terminal.mode must be "standard" or "elderly"'),
    ("bank", 'url = "http://bank"', "bank.url must begin with mqtt:// or mqtts://"),
    ("bank", "drain_per_s = 0", "bank.max_backoff_s and bank.drain_per_s are above 0"),
    ("bank", "max_backoff_s = -1.0", "bank.max_backoff_s and bank.drain_per_s are above 0"),
    ("bank", "boot_spread_s = -1", "bank.boot_spread_s is not below 0"),
    ("bank", "boot_spread_s = inf", "bank: every time is finite"),
    ("bank", "max_backoff_s = nan", "bank: every time is finite"),
    ("cash", "presets_minor = [0]", "cash.presets_minor: each above 0, at most cash.limit_minor"),
    ("cash", "presets_minor = [300100]", "cash.presets_minor: each above 0, at most cash.limit_minor"),
    ("cash", "max_notes = 0", "cash.max_notes must be 1 to 100 (the dispenser's limit)"),
    ("cash", "max_notes = 101", "cash.max_notes must be 1 to 100 (the dispenser's limit)"),
    ("card", 'reader = "usb"', 'card.reader must be "pcsc" or "vpcd"'),
    ("card", "port = 0", "card.port must be 1 to 65535"),
    ("card", "port = 65536", "card.port must be 1 to 65535"),
    ("pin_pad", 'format = "iso9564-3"', 'pin_pad.format must be "iso9564-4" or "iso9564-0"'),
    ("kiosk", "port = 65536", "kiosk.port must be 0 to 65535"),
    ("kiosk", "pixel_pitch_mm = 0.0", "kiosk.pixel_pitch_mm must be 0.02 to 2.0"),
    ("kiosk", "pixel_pitch_mm = nan", "kiosk.pixel_pitch_mm must be 0.02 to 2.0"),
    ("face", 'camera = "0"\nfrom_minor = 0', "face.from_minor is above 0"),
    *(
        ("face", f'camera = "0"\nfrom_minor = 100\n{line}', f"face.{sentence}")
        for line, sentence in (
            ('backend = "magic"', "backend must be one of sface, dlib"),
            ("high_security_accept = 0.44\nhigh_security_from_minor = 100", "high_security_accept must be face.accept or more"),
            ("high_security_accept = 0.49\nhigh_security_from_minor = 99", "high_security_from_minor must not be below face.from_minor"),
            ("high_security_from_minor = 200", "high_security_accept and face.high_security_from_minor belong together"),
            ("high_security_accept = 0.49", "high_security_accept and face.high_security_from_minor belong together"),
            ("attempts = 6", "attempts must be 1 to 5"),
            ("challenge_turns = 0", "challenge_turns must be 1 to 4"),
            ("width = 100", "width and face.height must be 160 x 120 to 1920 x 1080"),
            ("fps = 4", "fps must be 5 to 60"),
            ('passive_model = "m.onnx"', "passive_sha256 must be the sha256 of face.passive_model"),
            (f'passive_sha256 = "{"a" * 64}"', "passive_sha256 is given without face.passive_model"),
            ('passive_format = "onnx"', 'passive_format must be "minifasnet" or "faceplugin"'),
            ("passive_threshold = 1.0", "passive_threshold must be above 0 and below 1"),
            ("retention_months = 0", "retention_months must be 1 to 60"),
            (f'controller = "{"x" * 81}"', "controller must be a name of at most 80 characters"),
            (f'mirror = "{"m" * 108}"', "mirror must be a path of at most 107 bytes"),
        )
    ),
    *(
        ("face", f'camera = "0"\nfrom_minor = 100\n{line}', f"face: {sentence}")
        for line, sentence in (
            ("accept = 0.43", "the face threshold 'accept' is 0.43: with this model it must be at least 0.433"),
            ("accept = nan", "face thresholds must be cosines between 0 and 1"),
            ('backend = "dlib"\naccept = 0.5', "the face threshold 'accept' is 0.5: with this model it must be at least 0.949"),
            ("ask_again = 0.46", "the face threshold 'ask_again' is 0.46"),
        )
    ),
    ("face", 'camera = ""\nfrom_minor = 100', "face.camera must name a device or a recording"),
    *(
        (section, line, f"{section}.{sentence}")
        for section in ("dispenser", "pin_pad", "printer")
        for line, sentence in (
            ('parity = "X"', 'parity must be "N", "E" or "O"'),
            ("stop_bits = 3", "stop_bits must be 1 or 2"),
            ("data_bits = 6", "data_bits must be 7 or 8"),
            ("baudrate = 0", "baudrate must be above 0"),
        )
    ),
    *(
        ("timeouts", f"{field.name} = {bad}", "timeouts: every time is above 0")
        for field in dataclasses.fields(Timeouts)
        for bad in ("0", "nan", "inf")
    ),
]


@pytest.mark.parametrize(("section", "line", "sentence"), CHECKS)
def test_a_value_that_cannot_be(tmp_path: Path, section: str, line: str, sentence: str) -> None:
    assert refusal(tmp_path, with_setting(section, line)).startswith(sentence)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("denomination_minor = 1000\n", "denomination_minor = 0\n", "cash.unit: a denomination is above 0"),
        ("denomination_minor = 1000\n", "denomination_minor = 1050\n", "cash.unit: a denomination is in whole currency units"),
        ("initial = 0\n", "initial = -1\n", "cash.unit: a count is not below 0"),
        ('unit = "4"\n', 'unit = "3"\n', "cash.unit: "),
        ('[[cash.unit]]\nunit = "4"\ndenomination_minor = 1000\ninitial = 0\n', "", "cash.unit: the dispenser has four cassettes"),
    ],
)
def test_units_that_cannot_be(tmp_path: Path, before: str, after: str, sentence: str) -> None:
    assert LEAST.count(before) == 1
    assert refusal(tmp_path, LEAST.replace(before, after)).startswith(sentence)


# --- the document


def test_the_document_knows_every_setting_and_its_default() -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
    for section in dataclasses.fields(Config):
        assert f"## `[{section.name}]`" in text, section.name
    for section_name, kind in SECTIONS.items():
        part = text.split(f"## `[{section_name}]`", 1)[1].split("\n## ", 1)[0]
        rows = {row.split("|")[1].strip(): row for row in part.splitlines() if row.startswith("| `")}
        for field in dataclasses.fields(kind):
            row = rows.get(f"`{field.name}`") or rows.get(f"`unit.{field.name}`")
            assert row is not None, f"{section_name}.{field.name}"
            if field.default not in (dataclasses.MISSING, None):
                assert f"`{shown(field.default)}`" in row, f"{section_name}.{field.name}: its default is {shown(field.default)}"
            elif field.default is dataclasses.MISSING:
                assert "needed" in row, f"{section_name}.{field.name} has no default"
    for field in dataclasses.fields(UnitSection):
        assert f"| `unit.{field.name}` |" in text


def shown(value: Any) -> str:
    """As TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return f'"{value}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(shown(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_the_documents_example_loads(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
    example = text.split("```toml\n", 1)[1].split("```", 1)[0]
    config = load(written(tmp_path, example))
    assert config.face is not None and config.bank.url.startswith("mqtts://")
