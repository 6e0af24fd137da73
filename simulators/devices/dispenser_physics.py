"""The mechanics of a four-cassette cash dispenser: where every note lies, at every moment. It knows nothing of the wire.

A note goes pick -> CHK -> DVT -> EJT -> EXIT -> outlet tray, or from DVT over RJT into the reject bin, one note at a time, each hop
taking its time. The power may go at any moment: what is on the path stays there. Nothing creates or loses a note: see `check`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

CASSETTES = 4
HOP_S = 0.03  # four hops: 120 ms a note
START_S = 0.15  # motors
PICK_TRIES_S = 0.9  # an empty cassette is tried for this long
MAX_NOTES = 100  # of one transaction, rejected ones included
MAX_REJECTS = 10
SENSORS = ("chk", "dvt", "ejt", "exit", "rjt")
JAM_ERRORS = {"chk": 0x02, "dvt": 0x03, "ejt": 0x04, "exit": 0x05}

OK, PICK_UP, ON_PATH, TOO_MANY, TOO_MANY_REJECTS, PURGE_ABNORMAL = 0x00, 0x01, 0x0B, 0x0C, 0x0D, 0x0E
NO_CASSETTE, NEAR_END, NO_REJECT_TRAY, FOREIGN_NOTE = 0x24, 0x25, 0x26, 0x40

Run = Generator[float, None, None]


@dataclass(slots=True)
class Cassette:
    """One slot, top first. `initial` is what was ever loaded: a refill adds to it, a removal by hand takes from it."""

    denomination: str
    remaining: int
    type: int
    near_end_at: int = 20
    present: bool = True
    initial: int = 0

    @property
    def near_end(self) -> bool:
        return self.remaining <= self.near_end_at


@dataclass(slots=True)
class PathNote:
    """`cassette` is the slot (0..3) that the note came from."""

    cassette: int
    place: str


@dataclass(slots=True)
class Jam:
    """A note sticks at `place` once `after_notes` more notes have passed, and the place stays blocked until a person clears it."""

    place: str
    after_notes: int


@dataclass(slots=True)
class Counts:
    """What the electronics counted of one movement. In RAM: gone with the power."""

    command: int
    error: int = OK
    exits: list[int] = field(default_factory=lambda: [0] * CASSETTES)
    rejects: list[int] = field(default_factory=lambda: [0] * CASSETTES)


class PowerLost(Exception):
    """Thrown inside a movement when the planned cut comes."""


class Mechanics:
    """All the notes and what may happen to them. A movement is a generator that yields the seconds until its next step."""

    def __init__(self, cassettes: Sequence[Cassette]) -> None:
        if len(cassettes) != CASSETTES:
            raise ValueError(f"{len(cassettes)} cassettes: this unit has {CASSETTES}")
        self.cassettes = list(cassettes)
        for cassette in self.cassettes:
            cassette.initial = cassette.initial or cassette.remaining
        self.path: list[PathNote] = []
        self.reject_bin = [0] * CASSETTES
        self.reject_bin_present = True
        self.outlet: list[int] = []
        self.taken = [0] * CASSETTES
        self.by_hand = [0] * CASSETTES  # taken out of the path or the reject bin by a technician
        self.jam: Jam | None = None
        self.doubles: list[int] = []  # for each coming double pick: as how many notes the unit will count it
        self.foreign: list[int] = []  # slots whose note will come instead of the one asked for
        self.near_end_detection = False
        self.passed = 0  # notes that left through EXIT, ever: the witness of a planned power cut
        self.on_step: Callable[[str], None] = lambda place: None  # may raise PowerLost

    # ---- movements ----

    def dispense(self, quantities: Sequence[int], order: Sequence[int], counts: Counts, *, to_reject: bool) -> Run:
        """`quantities` by cassette type, picked in `order` of types. Nothing asked for: "no cassette requested" (24h)."""
        if not any(quantities):
            counts.error = NO_CASSETTE
            return
        yield START_S
        counts.error = self._refusal(quantities)
        for kind in order:
            owed = quantities[kind - 1]
            while owed and counts.error == OK:
                slot = self._slot_of(kind)
                if slot is None:
                    counts.error = NO_CASSETTE
                elif sum(counts.exits) + sum(counts.rejects) >= MAX_NOTES:
                    counts.error = TOO_MANY
                else:
                    good = yield from self._one_note(slot, counts, to_reject=to_reject)
                    owed -= good

    def _refusal(self, quantities: Sequence[int]) -> int:
        if self.path:
            return ON_PATH
        if not self.reject_bin_present:
            return NO_REJECT_TRAY
        for kind, wanted in enumerate(quantities, start=1):
            slot = self._slot_of(kind)
            if wanted and slot is None:
                return NO_CASSETTE
            if wanted and slot is not None and self.near_end_detection and self.cassettes[slot].near_end:
                return NEAR_END
        return OK

    def _slot_of(self, kind: int) -> int | None:
        return next((n for n, c in enumerate(self.cassettes) if c.present and c.type == kind), None)

    def _one_note(self, slot: int, counts: Counts, *, to_reject: bool) -> Generator[float, None, bool]:
        """One pick and where it leads. True when it counts towards what was asked for."""
        source = slot
        if self.foreign and self.cassettes[self.foreign[0]].remaining and self.cassettes[self.foreign[0]].present:
            source = self.foreign.pop(0)
        if not self.cassettes[source].remaining:
            yield PICK_TRIES_S
            counts.error = PICK_UP
            return False
        reported = 0
        picked = 1
        if self.doubles and self.cassettes[source].remaining > 1 and source == slot:
            picked, reported = 2, self.doubles.pop(0)
        notes = [PathNote(source, "chk") for _ in range(picked)]
        self.cassettes[source].remaining -= picked
        self.path += notes
        reject = to_reject or picked > 1 or source != slot
        for place in ("chk", "dvt", "rjt") if reject else ("chk", "dvt", "ejt", "exit"):
            for note in notes:
                note.place = place
            yield HOP_S
            if self.jam and self.jam.place == place and self.jam.after_notes <= 0:
                counts.error = JAM_ERRORS[place]
                return False
            self.on_step(place)
        self._arrive(notes, counts, reject=reject, reported=reported or 1)
        if source != slot:
            counts.error = FOREIGN_NOTE + source
        elif reject and not to_reject and sum(counts.rejects) > MAX_REJECTS:
            counts.error = TOO_MANY_REJECTS
        return reject == to_reject

    def _arrive(self, notes: list[PathNote], counts: Counts, *, reject: bool, reported: int) -> None:
        slot = notes[0].cassette
        for note in notes:
            self.path.remove(note)
        if reject:
            self.reject_bin[slot] += len(notes)
            counts.rejects[slot] += reported
        else:
            self.outlet.append(slot)
            self.passed += 1
            counts.exits[slot] += 1
        if self.jam:
            self.jam.after_notes -= 1
        self.on_step("out" if not reject else "bin")

    def purge(self, counts: Counts) -> Run:
        """Path to the reject bin; a note that stands in EXIT comes out. A jam does not yield to it."""
        yield START_S
        if not self.reject_bin_present:
            counts.error = NO_REJECT_TRAY
            return
        for note in list(self.path):
            yield HOP_S * 2
            if self.jam and self.jam.place == note.place:
                counts.error = PURGE_ABNORMAL
                return
            self._arrive([note], counts, reject=note.place != "exit", reported=1)
        yield START_S

    # ---- the hands of people ----

    def set_count(self, slot: int, count: int) -> None:
        cassette = self.cassettes[slot]
        cassette.initial += count - cassette.remaining
        cassette.remaining = count

    def exchange(self, slot: int, other: int) -> None:
        """Two cassettes change places. What is written down by slot goes with them: it is of the cassette."""
        self.cassettes[slot], self.cassettes[other] = self.cassettes[other], self.cassettes[slot]
        for counted in (self.reject_bin, self.taken, self.by_hand):
            counted[slot], counted[other] = counted[other], counted[slot]
        places = {slot: other, other: slot}
        for note in self.path:
            note.cassette = places.get(note.cassette, note.cassette)
        for slots in (self.outlet, self.foreign):
            slots[:] = [places.get(one, one) for one in slots]

    def take_notes(self, *, from_exit: bool = False) -> list[int]:
        """The customer takes what lies in the outlet, and what stands in the EXIT slot when `from_exit`. Slots, in order."""
        notes, self.outlet = self.outlet, []
        for note in [n for n in self.path if from_exit and n.place == "exit"]:
            self.path.remove(note)
            notes.append(note.cassette)
        for slot in notes:
            self.taken[slot] += 1
        return notes

    def clear_path(self) -> int:
        """A technician takes every note off the path and removes the jam."""
        self.jam = None
        cleared = len(self.path)
        for note in self.path:
            self.by_hand[note.cassette] += 1
        self.path = []
        return cleared

    def empty_reject_bin(self) -> int:
        emptied = sum(self.reject_bin)
        self.by_hand = [a + b for a, b in zip(self.by_hand, self.reject_bin, strict=True)]
        self.reject_bin = [0] * CASSETTES
        return emptied

    # ---- the truth ----

    def check(self) -> None:
        """Every note that was ever loaded is somewhere, once."""
        for slot, cassette in enumerate(self.cassettes):
            found = cassette.remaining + self.reject_bin[slot] + self.taken[slot] + self.by_hand[slot]
            found += sum(note.cassette == slot for note in self.path) + self.outlet.count(slot)
            if found != cassette.initial or cassette.remaining < 0:
                raise AssertionError(f"cassette {slot + 1}: {cassette.initial} notes were loaded, {found} are found")

    def snapshot(self) -> dict[str, Any]:
        return {
            "cassettes": [
                {
                    "unit": slot + 1,
                    "denomination": c.denomination,
                    "type": c.type,
                    "present": c.present,
                    "initial": c.initial,
                    "remaining": c.remaining,
                    "near_end_at": c.near_end_at,
                    "near_end": c.near_end,
                }
                for slot, c in enumerate(self.cassettes)
            ],
            "path": [{"cassette": note.cassette + 1, "place": note.place} for note in self.path],
            "reject_bin": {"present": self.reject_bin_present, "notes": list(self.reject_bin)},
            "outlet": grouped(self.outlet),
            "taken": list(self.taken),
            "by_hand": list(self.by_hand),
            "passed": self.passed,
            "jam": None if self.jam is None else {"where": self.jam.place, "after_notes": self.jam.after_notes},
        }


def grouped(slots: Sequence[int]) -> list[list[int]]:
    """[0, 0, 2] -> [[1, 2], [3, 1]]: pairs of cassette and number, in the order in which the notes lie."""
    groups: list[list[int]] = []
    for slot in slots:
        if groups and groups[-1][0] == slot + 1:
            groups[-1][1] += 1
        else:
            groups.append([slot + 1, 1])
    return groups
