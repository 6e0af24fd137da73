"""The pipeline by its name in the configuration: `sface` (default) or `dlib` (of `face_recognition`); YuNet finds the faces for both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drivers.errors import ConfigurationFault
from terminal.face.bands import Bands, bands_of
from terminal.face.detector import YuNetDetector
from terminal.face.embedder_dlib import DlibEmbedder
from terminal.face.embedder_sface import SFaceEmbedder
from terminal.face.values import Detector, Embedder


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """`models`: a folder with the same files, instead of the packages'. A threshold of None is the backend's own."""

    models: Path | None = None
    accept: float | None = None
    ask_again: float | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    name: str
    detector: Detector
    embedder: Embedder
    bands: Bands

    @property
    def model_sha256(self) -> str:
        return self.embedder.model_sha256


def load_backend(name: str = "sface", config: BackendConfig | None = None) -> Backend:
    """Loads and checks the models, within half a second (dlib: a second). One thread. ConfigurationFault says what is missing."""
    config = config or BackendConfig()
    bands = bands_of(name, config.accept, config.ask_again)
    try:
        import cv2
    except ImportError as error:
        raise ConfigurationFault(f"face: OpenCV cannot be loaded ({type(error).__name__}; install the extra 'face')") from None
    cv2.setNumThreads(1)  # with a second thread pool on two cores everything takes three times as long (measured)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    detector = YuNetDetector(config.models)
    embedder: Embedder = SFaceEmbedder(config.models) if name == "sface" else DlibEmbedder(config.models)
    return Backend(name, detector, embedder, bands)
