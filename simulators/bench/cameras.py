"""What stands before the simulated camera: its source is a symbolic link, and choosing a scene points it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulators.camera.scenes import SCENES, scene_path, show

UNPLUGGED = "unplugged"
JPEG_START, JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class CameraHand:
    """`scenes`: the folder that ``python -m simulators.camera`` filled; `link`: the path that is the camera's source."""

    scenes: Path
    link: Path

    def state(self) -> dict[str, Any] | None:
        """What is shown and what could be; None when no scene was ever made."""
        ready = [name for name in SCENES if scene_path(self.scenes, name).is_file()]
        if not ready:
            return None
        target = self.link.resolve() if self.link.is_symlink() else None
        shown = next((name for name in ready if scene_path(self.scenes, name).resolve() == target), None)
        return {"scene": shown or (UNPLUGGED if target is None else "unknown"), "scenes": [*ready, UNPLUGGED]}

    def show(self, scene: str) -> None:
        """ValueError says what is wrong."""
        show(scene, self.scenes, self.link)

    def still(self, scene: str) -> bytes | None:
        """The last picture of a scene (Motion JPEG: the pictures stand whole in the file)."""
        path = scene_path(self.scenes, scene)
        if scene not in SCENES or not path.is_file():
            return None
        data = path.read_bytes()
        start = data.rfind(JPEG_START)
        end = data.find(JPEG_END, start)
        return data[start : end + 2] if 0 <= start < end else None
