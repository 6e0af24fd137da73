"""What a bench says about the place of its store."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from store_kind import kind_in, store_kind

MOUNTINFO = """22 27 0:20 / /proc rw,nosuid shared:11 - proc proc rw
27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
31 25 0:26 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,size=24684100k
40 27 0:31 /a\\040folder /tmp rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(("major", "minor", "kind"), [(254, 1, "disk"), (0, 26, "tmpfs"), (0, 31, "tmpfs"), (7, 7, "disk")])
def test_memory_and_disk_are_told_apart(major: int, minor: int, kind: str) -> None:
    assert kind_in(MOUNTINFO, os.makedev(major, minor)) == kind


def test_without_a_folder_it_is_the_temporary_one() -> None:
    assert store_kind(None) == store_kind(Path(tempfile.gettempdir()))
