"""SFace (Zhong et al.: "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition", 2021): 13 to 22 ms on one thread.

OpenCV 5's own wrapper (FaceRecognizerSF) fails on this file, so the network is run as a plain one: RGB, 0..255, "data", 1 x 3 x 112 x 112.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationFault
from terminal.face.aligner import CHIP_PX, align
from terminal.face.models import SFACE, read_model
from terminal.face.scores import unit
from terminal.face.values import Detection, ModelFault

if TYPE_CHECKING:
    from drivers.devices.camera import Frame
    from terminal.face.values import Embedding

INPUT = "data"


class SFaceEmbedder:
    """Single-threaded. ConfigurationFault when the model is missing, another one, or OpenCV cannot load it."""

    model_sha256 = SFACE.sha256

    def __init__(self, folder: Path | None = None) -> None:
        import cv2
        import numpy

        self._cv2 = cv2
        content = numpy.frombuffer(read_model(SFACE, folder), numpy.uint8)
        try:
            self._network = cv2.dnn.readNetFromONNX(content)
        except cv2.error as error:
            raise ConfigurationFault(f"face model {SFACE.name}: OpenCV {cv2.__version__} cannot load it ({error.err})") from None

    def embed(self, frame: Frame, face: Detection) -> Embedding:
        return self.embed_chip(align(frame, face))

    def embed_chip(self, chip: Frame) -> Embedding:
        """Of a face that `align` already cut out. ModelFault when the network gives no finite vector."""
        blob = self._cv2.dnn.blobFromImage(chip, 1.0, (CHIP_PX, CHIP_PX), (0, 0, 0), swapRB=True)
        self._network.setInput(blob, INPUT)
        try:
            return unit(self._network.forward()[0])
        except self._cv2.error as error:
            raise ModelFault(f"SFace gave nothing ({error.err})") from None
