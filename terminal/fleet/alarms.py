"""Alarms as a state machine (after ISA-18.2, ANSI/ISA-18.2-2016): conditions and time in, changes out. Pure: no clock, no I/O.

Of each (code, device) the board knows: nothing; a condition that has not stood long enough (pending); raised; raised with its
condition gone, but not long enough (returning). A change is told when it is raised and when it has returned; acknowledging and
shelving are the centre's. `holds` None (not known: a device that is only starting): as before.

Root causes hide their consequences: a change of a hidden alarm is told all the same, with `suppressed` and the root's id.
Flood: more than ten raised within ten minutes; then only critical ones are told one by one, and the rest by one `alarmFlood`
that counts them, until the ten minutes hold fewer. What was withheld and still stands is told then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from terminal.core.values import replace
from terminal.fleet.alarm_table import ALARMS, AlarmKind, Severity, severity_of

FLOOD_MOST, FLOOD_WINDOW_S = 10, 600.0
FLOOD = "alarmFlood"
Key = tuple[str, str | None]
_RANKS = {code: rank for rank, code in enumerate(ALARMS)}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is the case now. Either `holds` (None: not known) or, for a measured alarm, `value` (None: not known)."""

    code: str
    device: str | None = None
    holds: bool | None = None
    value: float | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    transaction_id: str | None = None

    @property
    def key(self) -> Key:
        return self.code, self.device


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of one (code, device). `since` is when the condition last turned; `number` counts the times it was raised.

    `told` False: raised during a flood and not told one by one.
    """

    code: str
    device: str | None
    raised: bool = False
    condition: bool = False
    since: float = 0.0
    number: int = 0
    told: bool = True
    transaction_id: str | None = None

    @property
    def key(self) -> Key:
        return self.code, self.device


@dataclass(frozen=True, slots=True)
class Change:
    """To be journalled and told. `raised` False: it has returned."""

    standing: Standing
    severity: Severity
    raised: bool
    cause: Key | None
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Board:
    """All that is remembered. `raised_at`: when alarms were raised within the flood's window."""

    standings: Mapping[Key, Standing] = field(default_factory=dict)
    raised_at: tuple[float, ...] = ()
    kinds: Mapping[str, AlarmKind] = field(default_factory=lambda: ALARMS)

    def standing(self, code: str, device: str | None = None) -> bool:
        found = self.standings.get((code, device))
        return found is not None and found.raised


def recovered(known: Iterable[Standing], now: float, kinds: Mapping[str, AlarmKind] = ALARMS) -> Board:
    """After a restart: what stood stands, as if its condition had held until now; delays begin anew."""
    return Board({one.key: replace(one, condition=one.raised, since=now) for one in known}, kinds=kinds)


def look(board: Board, conditions: Iterable[Condition], now: float) -> tuple[Board, tuple[Change, ...]]:
    """One look at everything. A standing alarm of which no condition speaks any more is as if it said False."""
    spoken = {one.key: one for one in conditions}
    standings = dict(board.standings)
    raised: list[Key] = []
    returned: list[Key] = []
    speaking = {key for key, one in spoken.items() if one.holds or one.value is not None}  # the others can only end what stands
    for key in sorted(speaking.union(standings), key=_order):
        if key[0] == FLOOD:
            continue
        before = standings.get(key) or Standing(key[0], key[1], since=now)
        after = _turned(before, spoken.get(key) or Condition(*key, holds=False), board.kinds[key[0]], now)
        if after.raised != before.raised:
            (raised if after.raised else returned).append(key)
        if after is not before:
            standings[key] = after
    board = replace(board, standings=standings)
    if not raised and not returned and not board.standing(FLOOD):
        return board, ()
    return _told(board, raised, returned, spoken, now)


def next_look(board: Board, now: float) -> float | None:
    """When a delay runs out, if nothing else happens before."""
    moments = [one.since + _delay(board.kinds[one.code], one) for one in board.standings.values() if one.condition != one.raised]
    if board.standing(FLOOD):
        moments.append(board.raised_at[0] + FLOOD_WINDOW_S if board.raised_at else now)
    return min(moments, default=None)


def _order(key: Key) -> tuple[int, str]:
    """Worst first: root causes are told before what they hide."""
    return _RANKS[key[0]], key[1] or ""


def _turned(before: Standing, condition: Condition, kind: AlarmKind, now: float) -> Standing:
    holds = condition.holds
    if kind.raise_at is not None:
        # no condition at all says False; a condition whose value is not known says nothing
        holds = holds if condition.value is None else kind.holds(condition.value, before.condition)
    holds = before.condition if holds is None else holds
    after = before if holds == before.condition else replace(before, condition=holds, since=now)
    if after.condition != after.raised and now >= after.since + _delay(kind, after):
        number = after.number + (1 if after.condition else 0)
        transaction_id = condition.transaction_id if after.condition else after.transaction_id
        after = replace(after, raised=after.condition, number=number, transaction_id=transaction_id)
    return after


def _delay(kind: AlarmKind, standing: Standing) -> float:
    return kind.on_delay_s if standing.condition else kind.off_delay_s


def _told(
    board: Board, raised: list[Key], returned: list[Key], spoken: Mapping[Key, Condition], now: float
) -> tuple[Board, tuple[Change, ...]]:
    standings = dict(board.standings)
    recent = tuple(at for at in board.raised_at if at + FLOOD_WINDOW_S > now)
    flooded = board.standing(FLOOD)
    changes: list[Change] = []

    def change(key: Key, on: bool) -> Change:
        evidence = spoken[key].evidence if key in spoken else {}
        return Change(standings[key], severity_of(*key), on, _cause(replace(board, standings=standings), key), evidence)

    for key in returned:
        if standings[key].told:
            changes.append(change(key, False))
        standings[key] = replace(standings[key], told=True)
    for key in raised:
        flooded = flooded or len(recent) >= FLOOD_MOST
        recent = (*recent, now)
        told = not flooded or severity_of(*key) is Severity.CRITICAL
        standings[key] = replace(standings[key], told=told)
        if told:
            changes.append(change(key, True))
    if flooded and len(recent) < FLOOD_MOST:  # it is over: what still stands is told now
        flooded = False
        for key in sorted((one.key for one in standings.values() if one.raised and not one.told), key=_order):
            standings[key] = replace(standings[key], told=True)
            changes.append(change(key, True))
    board, flood = _flood(replace(board, standings=standings, raised_at=recent[-FLOOD_MOST * 10 :]), flooded, now)
    return board, (*changes, *flood)


def _flood(board: Board, flooded: bool, now: float) -> tuple[Board, tuple[Change, ...]]:
    before = board.standings.get((FLOOD, None)) or Standing(FLOOD, None)
    if flooded == before.raised:
        return board, ()
    after = replace(before, raised=flooded, condition=flooded, since=now, number=before.number + (1 if flooded else 0))
    withheld = [one for one in board.standings.values() if one.raised and not one.told]
    evidence = {"withheld": len(withheld), "codes": sorted({one.code for one in withheld}), "within_s": int(FLOOD_WINDOW_S)}
    board = replace(board, standings={**board.standings, (FLOOD, None): after})
    return board, (Change(after, severity_of(FLOOD, None), flooded, None, evidence),)


def _cause(board: Board, key: Key) -> Key | None:
    """The first standing root cause of this alarm, of the same device or (root or consequence) of the terminal as a whole."""
    for code in board.kinds[key[0]].hidden_by:
        for root in sorted((one.key for one in board.standings.values() if one.code == code and one.raised), key=_order):
            if key[1] is None or root[1] is None or root[1] == key[1]:
                return root
    return None
