"""Fetching the photographs: what is said when the package index cannot be reached, or gives something else."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import pytest

from simulators.camera import __main__ as command
from simulators.camera import faces
from simulators.camera.faces import FacesUnavailable, fetch_faces


def fake_pip(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(faces, "_pip", lambda work: [sys.executable, "-c", script])


def test_an_unreachable_index_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake_pip(monkeypatch, "import sys; sys.stderr.write('WARNING: retrying\\nERROR: no matching distribution\\n'); sys.exit(1)")
    monkeypatch.setattr(sys, "argv", ["simulators.camera", "--cache", str(tmp_path / "cache")])
    assert command.main() == 1
    said = capsys.readouterr().err
    assert "could not fetch face-recognition==1.3.0" in said and "no matching distribution" in said and "reachable" in said
    assert len(said.splitlines()) == 1
    assert list((tmp_path / "cache").glob("scene*")) == []


def test_another_archive_than_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(faces.INSIDE + "obama.jpg"))
    script = f"import pathlib, sys; p = pathlib.Path(sys.argv[sys.argv.index('--dest') + 1]); (p / '{faces.ARCHIVE}').write_bytes("
    fake_pip(monkeypatch, script + repr(content.getvalue()) + ")")
    with pytest.raises(FacesUnavailable, match="sha256 differs"):
        fetch_faces(tmp_path)
    assert list((tmp_path / "photographs").iterdir()) == []
