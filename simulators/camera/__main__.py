"""python -m simulators.camera --cache DIR [--show SCENE --link PATH]: make the scenes and templates, put one before the camera."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from simulators.camera.encode import EncodingFailed
from simulators.camera.faces import FacesUnavailable
from simulators.camera.scenes import SCENES, make_scenes, show


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulators.camera", description="Recorded scenes and enrolled templates.")
    parser.add_argument("--cache", type=Path, required=True, help="the folder for photographs, scenes and templates.json")
    parser.add_argument("--show", metavar="SCENE", help=f"put a scene before the camera: {', '.join(SCENES)}, unplugged")
    parser.add_argument("--link", type=Path, help="the path that is the camera's source (with --show)")
    options = parser.parse_args()
    if (options.show is None) != (options.link is None):
        parser.error("--show and --link go together")
    start = time.monotonic()
    try:
        templates = make_scenes(options.cache, lambda step: print(f"{time.monotonic() - start:5.1f} s  {step}", flush=True))
        if options.show is not None:
            show(options.show, options.cache, options.link)
    except (FacesUnavailable, EncodingFailed, ValueError, OSError) as error:
        print(f"camera scenes: {error}", file=sys.stderr)
        return 1
    print(f"{time.monotonic() - start:5.1f} s  {templates}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
