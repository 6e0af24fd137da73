"""The alarms with their memory: each change is journalled, stored for the bank and remembered in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Kept
from terminal.fleet.alarm_table import ALARMS
from terminal.fleet.alarms import Board, Change, Condition, Key, Standing, look, next_look, recovered
from terminal.fleet.post import Post

SPACE = "alarm"


class AlarmDesk:
    def __init__(self, post: Post) -> None:
        self._post = post
        delays = post.settings.delays_s
        kinds = {**ALARMS, **{code: replace(ALARMS[code], on_delay_s=delay) for code, delay in delays.items() if code in ALARMS}}
        known = [standing for name, value in post.kept(SPACE).items() if (standing := _standing(name, value)) is not None]
        self._board = recovered(known, post.now, kinds)

    def look(self, conditions: Iterable[Condition]) -> None:
        """Nothing changes when the disk refuses: the next look tells it."""
        board, changes = look(self._board, conditions, self._post.now)
        if not changes or self._tell(board, changes):
            self._board = board

    def next_look(self) -> float | None:
        return next_look(self._board, self._post.now)

    def standing(self, code: str, device: str | None = None) -> bool:
        return self._board.standing(code, device)

    def _tell(self, board: Board, changes: tuple[Change, ...]) -> bool:
        at = self._post.at
        advices = [self._advice(board, change, at) for change in changes]
        entries = [
            Entry("alarmRaised" if change.raised else "alarmReturned", change.standing.transaction_id, _plain(advice))
            for change, advice in zip(changes, advices, strict=True)
        ]
        outgoing = [Outgoing("alarm", "alarm", "ATMExceptionAdvice", advice) for advice in advices]
        before = self._board.standings
        kept = [
            Kept(SPACE, _name(one.key), {"raised": one.raised, "number": one.number, "told": one.told, "transactionId": one.transaction_id})
            for one in board.standings.values()
            if _remembered(one) != _remembered(before.get(one.key))
        ]
        return self._post.agent.record(entries, outgoing, kept)

    def _advice(self, board: Board, change: Change, at: str) -> dict[str, Any]:
        standing = change.standing
        advice: dict[str, Any] = {
            "alarmId": self._id(board, standing.key),
            "alarm": standing.code,
            "device": standing.device,
            "severity": change.severity.value,
            "state": "raised" if change.raised else "returned",
            "at": at,
            "cause": None if change.cause is None else self._id(board, change.cause),
            "suppressed": change.cause is not None,
            "evidence": dict(change.evidence),
        }
        return advice if standing.transaction_id is None else {**advice, "transactionId": standing.transaction_id}

    def _id(self, board: Board, key: Key) -> str:
        terminal = self._post.state.config.terminal_id
        return f"{terminal}/{key[0]}/{key[1] or '-'}/{board.standings[key].number}"


def _name(key: Key) -> str:
    return f"{key[0]}/{key[1] or '-'}"


def _remembered(one: Standing | None) -> tuple[object, ...]:
    return (False, 0, True, None) if one is None else (one.raised, one.number, one.told, one.transaction_id)


def _standing(name: str, value: Mapping[str, Any]) -> Standing | None:
    """None for an alarm that this version does not have any more."""
    code, _, device = name.partition("/")
    if code not in ALARMS:
        return None
    named = None if device == "-" else device
    return Standing(code, named, value["raised"], number=value["number"], told=value["told"], transaction_id=value["transactionId"])


def _plain(advice: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in advice.items() if name not in ("at", "transactionId")}
