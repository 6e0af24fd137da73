"""Where a bench's store lies: a figure of commits a second says nothing without it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

IN_MEMORY = ("tmpfs", "ramfs")


def store_kind(folder: Path | None) -> str:
    """ "tmpfs" or "disk"; None is the temporary folder."""
    device = (Path(tempfile.gettempdir()) if folder is None else folder).stat().st_dev
    return kind_in(Path("/proc/self/mountinfo").read_text(encoding="utf-8"), device)


def kind_in(mountinfo: str, device: int) -> str:
    """proc(5): `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS... - TYPE SOURCE OPTIONS`."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return "tmpfs" if after.split()[0] in IN_MEMORY else "disk"
    return "disk"
