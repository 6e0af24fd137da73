"""`branch-terminal face pad report`: the recordings judged by challenge, passive network and matcher; error rates by species.

As ISO/IEC 30107-3 names them: APCER, the share of an attack species' presentations that passed for living (challenge and passive
network); IAPAR, the share that the whole system accepted (the matcher as well); BPCER, the share of living presentations that did not pass
for living. Presentations during which nobody did what was asked count as "not live" and are given as non-responses too. The first living
recording of each subject is their enrolment and is not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from terminal.face.backend import Backend
from terminal.face.challenge import Challenge, Turn
from terminal.face.liveness import FrameWatch
from terminal.face.pad.intervals import clopper_pearson
from terminal.face.pad.recording import LIVE, Recording, RecordingError
from terminal.face.passive import Passive
from terminal.face.scores import LEAST_FRAMES, NotAlike, cosine, mean_template
from terminal.face.session import Kept, Session, SessionRules
from terminal.face.verifier import FaceConfig

if TYPE_CHECKING:
    from terminal.face.values import Embedding

NON_RESPONSE = ("noResponse", "notBegun")


@dataclass(frozen=True, slots=True)
class Judged:
    """`live`: passed challenge and passive network. `accepted`: the matcher too. `reason`: why not."""

    species: str
    live: bool
    accepted: bool
    reason: str


@dataclass(slots=True)
class Row:
    """One species. For "live" `passed` is who passed for living; for an attack as well, and that is the error."""

    species: str
    count: int = 0
    passed: int = 0
    accepted: int = 0
    non_response: int = 0
    reasons: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def rates(self) -> Iterator[tuple[str, int, float, float, float]]:
        """Name, errors, share, and its limits."""
        errors = {"BPCER": self.count - self.passed} if self.species == LIVE else {"APCER": self.passed, "IAPAR": self.accepted}
        if self.species == LIVE:
            errors["FRR"] = self.count - self.accepted
        for name, hits in errors.items():
            yield name, hits, hits / self.count, *clopper_pearson(hits, self.count)


class _Drawn:
    """The random numbers of the recording, in their order."""

    def __init__(self, draws: Sequence[int]) -> None:
        self._draws = iter(draws)

    def __call__(self, below: int) -> int:
        return min(next(self._draws, 0), below - 1)


class Judge:
    """Plays recordings through the same parts as a verification."""

    def __init__(self, config: FaceConfig, backend: Backend, passive: Passive | None) -> None:
        self._config, self._backend, self._passive = config, backend, passive
        self._templates: dict[str, Embedding] = {}

    def judge(self, found: Iterable[Recording]) -> list[Judged]:
        """RecordingError: an attack on somebody of whom there is no living recording."""
        everything = list(found)
        enrolments: set[int] = set()
        for number, one in enumerate(everything):
            if one.meta.species == LIVE and one.meta.subject not in self._templates and self._enrol(one):
                enrolments.add(number)
        missing = {one.meta.subject for one in everything} - set(self._templates)
        if missing:
            raise RecordingError(f"no usable living recording to enrol from: {', '.join(sorted(missing))}")
        return [self._one(one) for number, one in enumerate(everything) if number not in enrolments]

    def _play(self, one: Recording) -> Session:
        drawn = _Drawn(one.meta.draws[self._draws_of_turns(one) :])
        turns: tuple[Turn, ...] = one.meta.turns  # type: ignore[assignment]
        session = Session(
            SessionRules(self._config.limits), Challenge(turns, drawn), FrameWatch(one.meta.fps), self._backend.embedder.embed
        )
        for at, frame in one.frames():
            session.see(at, frame, self._backend.detector.detect(frame))
            if session.ending:
                break
        return session

    @staticmethod
    def _draws_of_turns(one: Recording) -> int:
        """One for the count and one for each side."""
        return 1 + len(one.meta.turns)

    def _enrol(self, one: Recording) -> bool:
        session = self._play(one)
        kept = [*session.before, *session.after]
        if len(kept) < LEAST_FRAMES:
            return False
        try:
            self._templates[one.meta.subject] = mean_template([each.embedding for each in kept], self._backend.bands.accept)
        except NotAlike:
            return False
        return True

    def _one(self, one: Recording) -> Judged:
        session = self._play(one)
        if session.ending != "done":
            return Judged(one.meta.species, False, False, session.reason or ("noResponse" if session.begun else "notBegun"))
        sides = [max(side, key=lambda each: each.worth) for side in (session.before, session.after)]
        if not self._alive(sides):
            return Judged(one.meta.species, False, False, "passive")
        score = min(cosine(each.embedding, self._templates[one.meta.subject]) for each in sides)
        accepted = self._backend.bands.decide(score) == "accept"
        return Judged(one.meta.species, True, accepted, "" if accepted else "matcher")

    def _alive(self, sides: Iterable[Kept]) -> bool:
        return self._passive is None or all(self._passive.live(each.frame, each.face) for each in sides)


def rows(judged: Iterable[Judged]) -> list[Row]:
    """By species, the living first."""
    found: dict[str, Row] = {}
    for one in judged:
        row = found.setdefault(one.species, Row(one.species))
        row.count += 1
        row.passed += one.live
        row.accepted += one.accepted
        row.non_response += one.reason in NON_RESPONSE
        if one.reason:
            row.reasons[one.reason] += 1
    return sorted(found.values(), key=lambda row: (row.species != LIVE, row.species))


def as_text(table: Sequence[Row], passive: bool) -> str:
    lines = [f"{'species':<20} {'n':>5} {'rate':<6} {'errors':>6} {'share':>8}   95 % interval (Clopper-Pearson)"]
    for row in table:
        for name, hits, share, low, high in row.rates():
            lines.append(f"{row.species:<20} {row.count:>5} {name:<6} {hits:>6} {share:>8.2%}   {low:.2%} to {high:.2%}")
        why = ", ".join(f"{reason} {count}" for reason, count in sorted(row.reasons.items(), key=lambda pair: -pair[1]))
        lines.append(f"{'':<20} non-responses {row.non_response}" + (f"; {why}" if why else ""))
    lines.append("")
    lines.append("Passive network: " + ("configured." if passive else "none configured; the challenge stands alone."))
    lines.append("A report on recordings of one's own is no certification; ISO/IEC 30107-3 wants an independent laboratory.")
    return "\n".join(lines)
