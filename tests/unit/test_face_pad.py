"""The recorder asks first, the recordings keep what was seen, the intervals are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from terminal.face.pad.intervals import clopper_pearson
from terminal.face.pad.picture import as_svg
from terminal.face.pad.recorder import CONFIRMATION, Refused, confirm
from terminal.face.pad.recording import Meta, RecordingError, Writer, recordings
from terminal.face.pad.report import Judged, as_text, rows


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (0, 10, 0.0, 0.3085),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (10, 10, 0.6915, 1.0),
        (0, 200, 0.0, 0.0183),
        (8, 200, 0.0174, 0.0773),
    ],
)
def test_intervals_against_published_tables(hits: int, count: int, low: float, high: float) -> None:
    assert clopper_pearson(hits, count) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("hits", "count"), [(1, 0), (-1, 5), (6, 5), (0, 0)])
def test_no_share(hits: int, count: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        clopper_pearson(hits, count)


def meta(**changes: Any) -> Meta:
    fields = {
        "species": "live",
        "subject": "s1",
        "consent": "form 7",
        "recorded_at": "",
        "turns": ("turnLeft",),
        "draws": (1, 0),
        "fps": 15.0,
    }
    return Meta(**{**fields, **changes})


def test_without_the_whole_sentence_nothing_goes_on() -> None:
    asked: list[str] = []
    for answer in ("", "y", "yes", "the consent is not signed"):
        with pytest.raises(Refused, match="the camera was not opened"):
            confirm(lambda text, answer=answer: asked.append(text) or answer, "s1", "form 7")  # type: ignore[misc,func-returns-value]
    confirm(lambda text: f" {CONFIRMATION.upper()} ", "s1", "form 7")
    assert all("s1" in text and "form 7" in text for text in asked)


@pytest.mark.parametrize("changes", [{"species": "../x"}, {"species": ""}, {"subject": "a b"}, {"consent": "  "}])
def test_names_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(RecordingError):
        meta(**changes)


def test_what_the_recorder_saw_is_what_a_reader_sees(tmp_path: Path) -> None:
    random = numpy.random.default_rng(1)
    writer = Writer(tmp_path / "pad" / "one")
    seen = [writer.add(number / 15, random.integers(0, 255, (48, 64, 3), dtype=numpy.uint8)) for number in range(5)]
    with pytest.raises(RecordingError, match="no finished recording"):
        recordings(tmp_path / "pad")
    writer.close(meta())
    (found,) = recordings(tmp_path / "pad")
    assert found.meta == meta()
    read = list(found.frames())
    assert [at for at, _ in read] == [number / 15 for number in range(5)]
    assert all((one == other).all() for one, (_, other) in zip(seen, read, strict=True))
    assert (found.folder / "frames.bin").stat().st_mode & 0o777 == 0o600 and found.folder.stat().st_mode & 0o777 == 0o700


def test_a_cut_recording_is_named(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "one")
    writer.add(0.0, numpy.zeros((48, 64, 3), numpy.uint8))
    writer.close(meta())
    path = tmp_path / "one" / "frames.bin"
    whole = path.read_bytes()
    for content in (whole[:6], whole[:-30], whole[:12] + b"x" * (len(whole) - 12)):
        path.write_bytes(content)
        (found,) = recordings(tmp_path)
        with pytest.raises(RecordingError, match=r"one: frames\.bin"):
            list(found.frames())
    (tmp_path / "one" / "meta.json").write_text("[]")
    with pytest.raises(RecordingError, match="no recording's meta data"):
        recordings(tmp_path)


JUDGED = [
    *[Judged("live", True, True, "")] * 18,
    Judged("live", False, False, "noResponse"),
    Judged("live", True, False, "matcher"),
    *[Judged("print", False, False, "flat")] * 9,
    Judged("print", True, False, "matcher"),
]


def test_the_rates_by_species() -> None:
    live, printed = rows(JUDGED)
    assert [(name, hits, share) for name, hits, share, *_ in live.rates()] == [("BPCER", 1, 0.05), ("FRR", 2, 0.1)]
    assert [(name, hits, share) for name, hits, share, *_ in printed.rates()] == [("APCER", 1, 0.1), ("IAPAR", 0, 0.0)]
    assert live.non_response == 1
    text = as_text([live, printed], passive=False)
    assert "none configured" in text and "no certification" in text and "flat 9" in text and "0.25% to 44.50%" in text


def test_the_picture_names_every_rate() -> None:
    svg = as_svg(rows(JUDGED), "Presentation attacks: sface <b>")
    for word in ("APCER", "IAPAR", "BPCER", "living people", "print", "1 of 10; at most 44.5%", "&lt;b&gt;"):
        assert word in svg
