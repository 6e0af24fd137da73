"""One person before the camera, frame by frame, until it is known whether they are alive and which frames show them best.

Pure but for the pictures it keeps: fed with moments, frames, faces; it says what the person should do, and when it is over. The verifier
gives it frames and compares what it kept; this file knows nothing of templates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from drivers.devices.camera import CameraState, picture_state
from terminal.face.challenge import Challenge, Phase
from terminal.face.liveness import FrameWatch
from terminal.face.quality import Quality, QualityLimits, gate, measure
from terminal.face.tracking import Track
from terminal.face.turns import narrowness
from terminal.face.values import Detection, FrameRefused, Hint, Stage

if TYPE_CHECKING:
    from drivers.devices.camera import Frame
    from terminal.face.values import Embedding

SIMILAR_AREA = 0.5
"""A second face of at least this share of the largest one's area: whose account is it?"""
SEVERAL_FRAMES = 6
COVERED_S = 1.5
KEPT = 6
"""Frames kept on each side of the challenge; the best are compared, all of them are enrolled."""
APART_S = 0.09
EMBED_EVERY_S = 0.09
"""During the turns: every second frame of a camera of 15 a second. The boxes are compared in every frame."""

Ending = Literal["", "done", "notLive", "severalFaces", "cameraFault"]
Embed = Callable[["Frame", Detection], "Embedding"]


class Kept(NamedTuple):
    """A frame that may be compared."""

    at: float
    frame: Frame
    face: Detection
    quality: Quality
    embedding: Embedding

    @property
    def worth(self) -> float:
        return self.quality.sharpness * self.quality.eye_distance_px


@dataclass(frozen=True, slots=True)
class SessionRules:
    """`frames_after`: straight frames wanted when the challenge is done (without one: in all)."""

    limits: QualityLimits
    frames_after: int = 3
    max_frames: int = 900


class Session:
    """`see` every shot. `ending` is empty while it goes on; then `reason` says more. `room`: enough picture around the face (passive)."""

    def __init__(self, rules: SessionRules, challenge: Challenge | None, watch: FrameWatch, embed: Embed) -> None:
        self._rules, self._watch, self._embed = rules, watch, embed
        self._track = Track()
        self.challenge = challenge
        self.room: Callable[[Frame, Detection], bool] = lambda frame, face: True
        self.before: list[Kept] = []
        self.after: list[Kept] = []
        self.frames = 0
        self.hint: Hint = ""
        self.faces_seen = 0
        self.several = 0
        self.ending: Ending = ""
        self.reason = ""
        self.camera = CameraState.WELL
        self._covered_since: float | None = None
        self._embedded_at = float("-inf")

    @property
    def begun(self) -> bool:
        """Something was asked for: from now on whoever leaves has not passed."""
        return self.challenge is not None and self.challenge.asked

    @property
    def stage(self) -> Stage:
        if self.ending:
            return "compare"
        return "look" if self.challenge is None else self.challenge.stage

    @property
    def done(self) -> int:
        return len(self.after) if self.challenge is None else self.challenge.done

    @property
    def of(self) -> int:
        return self._rules.frames_after if self.challenge is None else self.challenge.of

    def see(self, at: float, frame: Frame, faces: list[Detection]) -> None:
        if self.ending or not self._fresh(at, frame):
            return None
        self.frames += 1
        if self.frames > self._rules.max_frames:
            return self._end("notLive", "noResponse") if self.begun else None
        self._look_at_picture(at, frame, bool(faces))
        largest = max(faces, key=lambda face: face.area, default=None)
        if largest is None:
            self.hint = "moreLight" if self.camera is CameraState.DARK else "noFace"
            return self._missed(at)
        if sum(face.area >= SIMILAR_AREA * largest.area for face in faces) > 1:
            self.several, self.hint = self.several + 1, "onePerson"
            self.faces_seen += 1
            return self._end("severalFaces", "severalFaces") if self.several >= SEVERAL_FRAMES else self._missed(at)
        try:
            self._follow(at, frame, largest)
        except FrameRefused:
            self._missed(at)
        return None

    # --- the camera

    def _fresh(self, at: float, frame: Frame) -> bool:
        fresh = self._watch.see(at, frame)
        if self._watch.oddity == "frozenFrames":
            covered = picture_state(frame) is CameraState.COVERED
            self.camera = CameraState.COVERED if covered else CameraState.FROZEN
            self._end("cameraFault", str(self.camera))
        elif self._watch.oddity:
            self._end("notLive", self._watch.oddity)
        return fresh

    def _look_at_picture(self, at: float, frame: Frame, somebody: bool) -> None:
        self.camera = picture_state(frame)
        if somebody and self.camera is CameraState.COVERED:  # one tone, and yet a face: not covered
            self.camera = CameraState.WELL
        if self.camera is not CameraState.COVERED:
            self._covered_since = None
        elif self._covered_since is None:
            self._covered_since = at
        elif at - self._covered_since >= COVERED_S:
            self._end("cameraFault", str(self.camera))

    # --- the person

    def _missed(self, at: float) -> None:
        self._track.missed(at)
        self._broke()
        if self.challenge is not None and not self.ending:
            self.challenge.pass_time(at)
            self._heed(self.challenge)

    def _follow(self, at: float, frame: Frame, face: Detection) -> None:
        quality = measure(frame, face)
        self.faces_seen += 1
        wanting: Hint = gate(quality, self._rules.limits) or ("" if self.room(frame, face) else "goBack")
        wanted = not wanting and (self.challenge is None or self.challenge.before or self.challenge.after)
        embedding = self._embed(frame, face) if wanted or at - self._embedded_at >= EMBED_EVERY_S else None
        if embedding is not None:
            self._embedded_at = at
        if not self._track.follow(at, face, embedding):
            if not self._broke() and self.challenge is not None:
                self.challenge.pass_time(at)
                self._heed(self.challenge)
            return None
        if self._watch.surroundings(frame, face, self.begun):
            return self._end("notLive", self._watch.oddity)
        kept = None if wanting or embedding is None else Kept(at, frame, face, quality, embedding)
        turning = self.challenge is not None and self.challenge.phase in (Phase.TURN, Phase.HOLD, Phase.BACK)
        self.hint = "" if turning else wanting
        if self.challenge is None:
            self._collect(self.after, kept)
            if len(self.after) >= self._rules.frames_after:
                self._end("done", "notAsked")
            return None
        return self._challenge(self.challenge, at, face, kept)

    def _challenge(self, challenge: Challenge, at: float, face: Detection, kept: Kept | None) -> None:
        if challenge.before:
            if kept is None and challenge.phase is Phase.SETTLE:
                return
            self._collect(self.before, kept)
        if challenge.after:
            self._collect(self.after, kept)
        challenge.see(at, face.yaw5, narrowness(face), self._track.alike)
        if challenge.after and len(self.after) >= self._rules.frames_after:
            challenge.conclude()
        self._heed(challenge)

    def _heed(self, challenge: Challenge) -> None:
        if challenge.phase is Phase.FAILED:
            self._end("notLive", challenge.failure)
        elif challenge.phase is Phase.PASSED:
            if self.before and self.after:
                self._end("done", "passed")
            else:
                self._end("notLive", "notStraight")

    def _broke(self) -> bool:
        """Who walks away before anything was asked for starts again; afterwards it is the end."""
        if not self._track.broken:
            return False
        if self.begun:
            self._end("notLive", self._track.broken)
        else:
            self._track = Track()
            self.before.clear()
            self.after.clear()
            if self.challenge is not None:
                self.challenge.restart()
        return True

    def _collect(self, into: list[Kept], kept: Kept | None) -> None:
        """Not every neighbour: frames that lie a little apart say more. Of those before the challenge the last ones stay."""
        if kept is None or (into and kept.at - into[-1].at < APART_S):
            return
        into.append(kept._replace(frame=kept.frame.copy()))
        if len(into) > KEPT:
            into.remove(min(into[:-1], key=lambda one: one.worth))

    def _end(self, ending: Ending, reason: str) -> None:
        if not self.ending:
            self.ending, self.reason = ending, reason
