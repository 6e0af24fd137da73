"""The model files of the dlib back-end: where they are and whether they are the right ones.

They come with the package `face_recognition_models` (of `face_recognition`, the documented origin of this pipeline) and are loaded as
files: importing those packages would load a 100 MB landmark model that may not be used commercially, need `pkg_resources`, and cost
166 MiB instead of 75. Only the 5-point landmarks are used. Each file is pinned by its sha256; a template carries the encoder's.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import ConfigurationFault

ENCODER_FILE = "dlib_face_recognition_resnet_model_v1.dat"
ENCODER_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
LANDMARKS_FILE = "shape_predictor_5_face_landmarks.dat"
LANDMARKS_SHA256 = "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Checked paths. `encoder_sha256` is what a template's `model` must be."""

    encoder: Path
    landmarks: Path
    encoder_sha256: str = ENCODER_SHA256


def find_models(folder: Path | None = None) -> ModelFiles:
    """The checked files in `folder`, by default the installed package's. ConfigurationFault says which file is missing or changed."""
    if folder is None:
        found = importlib.util.find_spec("face_recognition_models")
        if found is None or found.origin is None:
            raise ConfigurationFault("face models: the package face_recognition_models is not installed (install the extra 'face')")
        folder = Path(found.origin).parent / "models"
    for name, sha256 in ((ENCODER_FILE, ENCODER_SHA256), (LANDMARKS_FILE, LANDMARKS_SHA256)):
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigurationFault(f"face models: {folder / name} cannot be read ({error.strerror})") from None
        if digest != sha256:
            raise ConfigurationFault(f"face models: {folder / name} is not the file that was tested (its sha256 differs)")
    return ModelFiles(folder / ENCODER_FILE, folder / LANDMARKS_FILE)
