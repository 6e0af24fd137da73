"""dlib's ResNet (King 2017), the network of `face_recognition`, with its five points: 80 to 130 ms on one thread.

Its five points are corners of eyes and the base of the nose, not YuNet's, so they are sought anew, in the box that dlib's own detector
would have given: over 400 images of LFW its side is the geometric mean of YuNet's width and height (median ratio .99), a twentieth of the
width further down.

dlib compares vectors by their distance, of a length near 1.4; here they are brought to length 1 and compared by cosine like SFace's, so
templates and scores have one form. That separates people a little better than the distance (docs/decisions/0011).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from drivers.errors import ConfigurationFault
from terminal.face.models import DLIB_ENCODER, DLIB_LANDMARKS, check_model
from terminal.face.scores import unit
from terminal.face.values import Detection

if TYPE_CHECKING:
    from drivers.devices.camera import Frame
    from terminal.face.values import Embedding

LOWER = 0.05


class DlibEmbedder:
    """Single-threaded. ConfigurationFault when a model is missing or another one, or dlib is not installed."""

    model_sha256 = DLIB_ENCODER.sha256

    def __init__(self, folder: Path | None = None) -> None:
        landmarks, encoder = check_model(DLIB_LANDMARKS, folder), check_model(DLIB_ENCODER, folder)
        try:
            import dlib
        except ImportError:
            raise ConfigurationFault("face back-end dlib: dlib is not installed (install the extra 'face')") from None
        import numpy

        self._dlib, self._numpy = dlib, numpy
        try:
            self._landmarks = dlib.shape_predictor(str(landmarks))
            self._network = dlib.face_recognition_model_v1(str(encoder))
        except RuntimeError as error:
            raise ConfigurationFault(f"face models of dlib: cannot be loaded ({type(error).__name__})") from None

    def embed(self, frame: Frame, face: Detection) -> Embedding:
        """ModelFault when the network gives no finite vector."""
        picture = self._numpy.ascontiguousarray(frame[:, :, ::-1])
        side = (face.width * face.height) ** 0.5
        left, top = face.centre.x - side / 2, face.centre.y + LOWER * face.width - side / 2
        box = self._dlib.rectangle(round(left), round(top), round(left + side), round(top + side))
        return unit(self._network.compute_face_descriptor(picture, self._landmarks(picture, box)))
