"""One pipeline in a process of its own, for `speed`: loads at the first line, verifies at each "go", tells its memory at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    name, path = sys.argv[1], sys.argv[2]
    input()
    before = time.perf_counter(), time.process_time()
    verify = _face_recognition() if name == "face_recognition" else _shipped(name)
    loaded = {"load_s": time.perf_counter() - before[0], "load_cpu_s": time.process_time() - before[1]}
    import cv2

    frame = cv2.imread(path)
    print(json.dumps(loaded), flush=True)
    while input() == "go":
        wall, cpu = time.perf_counter(), time.process_time()
        verify(frame)
        told = {"wall_ms": (time.perf_counter() - wall) * 1000, "cpu_ms": (time.process_time() - cpu) * 1000}
        print(json.dumps(told), flush=True)
    print(json.dumps({"rss_mb": _greatest_memory_kib() / 1024}), flush=True)


def _greatest_memory_kib() -> int:
    """Of this process alone: the figure that `getrusage` gives is at least the parent's before the exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def _shipped(name: str) -> Callable[[Any], object]:
    """Detect, measure the quality, gate, align, embed, match, decide: what the worker does with a frame that it compares."""
    import numpy

    from terminal.face.backend import load_backend
    from terminal.face.quality import QualityLimits, gate, measure
    from terminal.face.scores import cosine, unit

    backend, limits = load_backend(name), QualityLimits()
    template = unit(numpy.random.default_rng(1).normal(size=128))

    def verify(frame: Any) -> object:
        (face,) = backend.detector.detect(frame)
        hint = gate(measure(frame, face), limits)
        if hint:
            raise RuntimeError(f"the frame to measure with is not good enough: {hint}")
        return backend.bands.decide(cosine(backend.embedder.embed(frame, face), template))

    return verify


def _face_recognition() -> Callable[[Any], object]:
    """As its documentation says: encodings of the picture with the defaults, compared with a known one."""
    import warnings

    warnings.simplefilter("ignore")
    import face_recognition
    import numpy

    known = [numpy.random.default_rng(1).normal(size=128)]

    def verify(frame: Any) -> object:
        rgb = numpy.ascontiguousarray(frame[:, :, ::-1])
        return face_recognition.compare_faces(known, face_recognition.face_encodings(rgb)[0])

    return verify


if __name__ == "__main__":
    main()
