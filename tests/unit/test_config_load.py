"""The configuration file: a good one loads, with the paths that are its own; the document knows every setting."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from least_config import LEAST, SECTIONS, with_setting, written

from terminal.config import Config, KioskSection, UnitSection, load
from terminal.core.cash import CashUnit
from terminal.core.model import Timeouts


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
