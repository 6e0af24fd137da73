"""Photographs of two public persons to stand before the simulated camera. They are not part of this project: they are fetched.

The source distribution of `face-recognition` 1.3.0 on the Python package index carries official portraits of two heads of state of the
USA (works of the US government). pip downloads it, verifies the pinned sha256, and only the photographs are taken out. Nothing is
installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path

REQUIREMENT = "face-recognition==1.3.0"
ARCHIVE = "face_recognition-1.3.0.tar.gz"
SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
INSIDE = "face_recognition-1.3.0/tests/test_images/"
PHOTOGRAPHS = {
    "obama.jpg": "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6",
    "obama2.jpg": "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6",
    "obama3.jpg": "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3",
    "biden.jpg": "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c",
}
LIMIT_S = 180


class FacesUnavailable(Exception):
    """The photographs cannot be had; the sentence says why and what to do."""


def fetch_faces(cache: Path) -> Path:
    """The folder with the photographs, fetched once. FacesUnavailable when the package index cannot be reached."""
    folder = cache / "photographs"
    if all(_digest(folder / name) == sha256 for name, sha256 in PHOTOGRAPHS.items()):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as work:
        archive = _download(Path(work))
        if _digest(archive) != SHA256:
            raise FacesUnavailable(f"{archive.name} is not the file that was expected (its sha256 differs)")
        _extract(archive, folder)
    return folder


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _extract(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as content:
        for name in PHOTOGRAPHS:
            member = content.extractfile(INSIDE + name)
            if member is None:
                raise FacesUnavailable(f"{archive.name} has no {name}")
            fresh = folder / (name + ".new")
            fresh.write_bytes(member.read())
            fresh.replace(folder / name)


def _download(work: Path) -> Path:
    """pip with --require-hashes. Its own set-up step only reads the package's metadata, with the setuptools that is installed here."""
    wanted = work / "wanted.txt"
    wanted.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n", encoding="utf-8")
    command = [*_pip(work), "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--retries", "2"]
    if importlib.util.find_spec("setuptools") is not None:
        command.append("--no-build-isolation")
    try:
        done = subprocess.run(
            [*command, "--dest", str(work), "--requirement", str(wanted)],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
            check=False,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
        )
    except subprocess.TimeoutExpired:
        raise FacesUnavailable(f"pip did not finish fetching {REQUIREMENT} within {LIMIT_S} s: is the package index reachable?") from None
    if not (work / ARCHIVE).is_file():
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:] or ["nothing"]
        raise FacesUnavailable(f"pip could not fetch {REQUIREMENT} (it said: {said[-1].strip()}); is the package index reachable?")
    return work / ARCHIVE


def _pip(work: Path) -> list[str]:
    """This environment's pip; where it has none (made by uv), the one that Python carries, put into a folder that is thrown away."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    place = work / "pip"
    try:
        venv.create(place, with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise FacesUnavailable(f"no pip here, and Python's own cannot be set up ({type(error).__name__}): install python3-venv") from None
    found = next(place.glob("lib/*/site-packages/pip"), None)
    if found is None:
        raise FacesUnavailable("no pip here, and Python's own cannot be set up: install python3-venv")
    return [sys.executable, str(found)]  # our interpreter runs its code, so that our setuptools is used
