"""A wrong configuration file is refused with a sentence that names the place."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from least_config import LEAST, SECTIONS, refusal, with_setting

from terminal.config import ConfigError, load
from terminal.core.model import Timeouts

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
