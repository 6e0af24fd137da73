"""The alarms' machine by itself: delays, deadband, root causes, floods; hypothesis looks for a history that breaks its promises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terminal.fleet.alarm_table import ALARMS, MEASURED_IN, AlarmKind, Severity, severity_of
from terminal.fleet.alarms import FLOOD_MOST, FLOOD_WINDOW_S, Board, Change, Condition, look, next_look, recovered

DOCUMENT = Path(__file__).parents[2] / "docs" / "alarms.md"


class Play:
    """A board and its clock."""

    def __init__(self) -> None:
        self.board, self.now = Board(), 0.0
        self.told: list[Change] = []

    def at(self, now: float, *conditions: Condition) -> list[str]:
        self.now = now
        self.board, changes = look(self.board, conditions, now)
        self.told += changes
        return [f"{'+' if change.raised else '-'}{change.standing.code}/{change.standing.device or '-'}" for change in changes]


def on(code: str, device: str | None = None) -> Condition:
    return Condition(code, device, True)


def test_an_alarm_waits_for_its_condition_to_last() -> None:
    play = Play()
    assert play.at(0, on("hostUnreachable")) == []
    assert next_look(play.board, 0) == 60
    assert play.at(59.9, on("hostUnreachable")) == []
    assert play.at(60, on("hostUnreachable")) == ["+hostUnreachable/-"]
    assert play.at(61) == [] and next_look(play.board, 61) == 91
    assert play.at(90, on("hostUnreachable")) == [], "it flutters: nothing is told"
    assert play.at(100) == []
    assert play.at(130) == ["-hostUnreachable/-"] and next_look(play.board, 130) is None


def test_a_condition_that_goes_before_its_time_was_none() -> None:
    play = Play()
    play.at(0, on("deviceOffline", "printer"))
    assert play.at(29) == [] and play.at(31, on("deviceOffline", "printer")) == [] and play.at(60, on("deviceOffline", "printer")) == []
    assert play.at(61, on("deviceOffline", "printer")) == ["+deviceOffline/printer"]


def test_what_is_not_known_changes_nothing() -> None:
    play = Play()
    assert play.at(0, on("deviceOutOfService", "pinPad")) == ["+deviceOutOfService/pinPad"]
    assert play.at(500, Condition("deviceOutOfService", "pinPad")) == []
    assert play.at(600, Condition("diskLow", value=None)) == []


def test_a_measured_value_has_a_deadband() -> None:
    play = Play()
    disk = lambda mib: Condition("diskLow", value=mib)  # noqa: E731
    play.at(0, disk(512.0))
    assert play.at(30, disk(500.0)) == ["+diskLow/-"]
    assert play.at(100, disk(700.0)) == [] and play.at(200, disk(767.0)) == [], "above the limit, within the deadband"
    assert play.at(300, disk(768.0)) == [] and play.at(330, disk(768.0)) == ["-diskLow/-"]
    score = lambda value: Condition("serviceSoon", "cashDispenser", value=value)  # noqa: E731
    assert play.at(400, score(6.9)) == [] and play.at(500, score(7.0)) == ["+serviceSoon/cashDispenser"]
    assert play.at(600, score(3.6)) == [] and play.at(700, score(3.5)) == [] and play.at(760, score(3.4)) == ["-serviceSoon/cashDispenser"]


def test_a_root_cause_hides_its_consequences_and_is_named() -> None:
    play = Play()
    play.at(0, on("cashOutLatched", "cashDispenser"), on("terminalOutOfService"))
    play.at(60, on("cashOutLatched", "cashDispenser"), on("terminalOutOfService"))
    assert play.told[1].cause == ("cashOutLatched", "cashDispenser")
    play.at(61, on("deviceOutOfService", "printer"), on("deviceOffline", "pinPad"))
    assert [change.cause for change in play.told[2:]] == [None, None]


def test_only_the_devices_own_root_cause_hides_it() -> None:
    play = Play()
    both = (on("deviceTampered", "pinPad"), on("deviceOffline", "pinPad"), on("deviceOffline", "printer"))
    play.at(0, *both)
    play.at(30, *both)
    assert {change.standing.key: change.cause for change in play.told} == {
        ("deviceTampered", "pinPad"): None,
        ("deviceOffline", "pinPad"): ("deviceTampered", "pinPad"),
        ("deviceOffline", "printer"): None,
    }


def flood(number: int) -> Iterable[Condition]:
    return [on("cashUnitLow", f"cashUnit{one}") for one in range(number)]


def test_a_flood_is_told_as_one_and_what_stands_after_it_is_told_then() -> None:
    play = Play()
    assert len(play.at(0, *flood(FLOOD_MOST))) == FLOOD_MOST
    assert play.at(1, *flood(14)) == ["+alarmFlood/-"]
    assert play.told[-1].evidence == {"withheld": 4, "codes": ["cashUnitLow"], "within_s": 600}
    assert play.at(2, *flood(14), on("cashOutLatched", "cashDispenser")) == ["+cashOutLatched/cashDispenser"], "critical ones always"
    assert play.at(3, *flood(13), on("cashOutLatched", "cashDispenser")) == [], "one that was never told returns untold"
    later = play.at(FLOOD_WINDOW_S + 1, *flood(13), on("cashOutLatched", "cashDispenser"))
    assert later == ["+cashUnitLow/cashUnit10", "+cashUnitLow/cashUnit11", "+cashUnitLow/cashUnit12", "-alarmFlood/-"]


def test_what_stood_before_a_restart_is_not_raised_again() -> None:
    play = Play()
    play.at(0, on("noCash"))
    play.board = recovered(play.board.standings.values(), 1_000.0)
    assert play.at(1_000, on("noCash")) == []
    assert play.at(1_001) == ["-noCash/-"]
    assert play.at(1_002, on("noCash")) == ["+noCash/-"]
    assert play.board.standings["noCash", None].number == 2


# --- whatever happens

CODES = ("cashOutLatched", "hostUnreachable", "deviceOffline", "cashUnitLow", "terminalOutOfService", "consumableLow")
SIGHTS = st.lists(
    st.tuples(st.sampled_from(CODES), st.sampled_from((None, "printer", "pinPad")), st.sampled_from((True, False, None))), max_size=8
)
HISTORY = st.lists(st.tuples(st.floats(0.0, 400.0), SIGHTS), max_size=40)


FLOODED = ("alarmFlood", None)


def test_what_was_withheld_and_is_only_returning_when_the_flood_ends_is_told_and_then_that_it_has_returned() -> None:
    play = Play()
    play.at(0, *flood(FLOOD_MOST))
    assert play.at(1, *flood(FLOOD_MOST), on("consumableLow", "printer")) == ["+alarmFlood/-"]
    assert play.at(FLOOD_WINDOW_S, *flood(FLOOD_MOST)) == ["+consumableLow/printer", "-alarmFlood/-"]
    assert play.at(FLOOD_WINDOW_S + 5, *flood(FLOOD_MOST)) == ["-consumableLow/printer"]


@given(HISTORY)
def test_raised_and_returned_take_turns_and_delays_are_kept(history: list[tuple[float, list[tuple[str, str | None, bool | None]]]]) -> None:
    play, now = Play(), 0.0
    held: dict[tuple[str, str | None], tuple[bool, float]] = {}
    stands: set[tuple[str, str | None]] = set()
    open_: set[tuple[str, str | None]] = set()
    for pause, sights in history:
        now += pause
        conditions = {(code, device): Condition(code, device, holds) for code, device, holds in sights}
        for key in {*held, *conditions}:
            holds = conditions[key].holds if key in conditions else False
            if holds is not None and holds != held.get(key, (False, 0.0))[0]:
                held[key] = (holds, now)
        for (code, device), (holds, since) in held.items():
            if holds != ((code, device) in stands) and now >= since + (ALARMS[code].on_delay_s if holds else ALARMS[code].off_delay_s):
                stands ^= {(code, device)}
        before = len(play.told)
        play.at(now, *conditions.values())
        for change in play.told[before:]:
            key = change.standing.key
            assert (key in open_) != change.raised, "raised twice, or returned without standing"
            open_ ^= {key}
            if key[0] != "alarmFlood":
                assert change.raised == (key in stands), "told too early, or of something else"
        assert open_ <= stands | {FLOODED}
        assert FLOODED in open_ or open_ == stands, "all that stands is told, but in a flood"
        moment = next_look(play.board, now)
        assert moment is None or moment > now, "a look that is due at once would never end"


@given(HISTORY)
def test_a_flood_never_tells_more_than_its_limit(history: list[tuple[float, list[tuple[str, str | None, bool | None]]]]) -> None:
    play, now = Play(), 0.0
    raised: list[float] = []
    for pause, sights in history:
        now += pause
        play.at(now, *{(code, device): Condition(code, device, holds) for code, device, holds in sights}.values())
        flooded = play.board.standing("alarmFlood")
        raised += [now for change in play.told if change.raised and change.severity is not Severity.CRITICAL]
        play.told.clear()
        if flooded:
            assert len([at for at in play.board.raised_at if at + FLOOD_WINDOW_S > now]) >= FLOOD_MOST


def test_a_board_forgets_how_its_delays_began_but_not_what_stands() -> None:
    play = Play()
    play.at(0, on("hostUnreachable"))
    board = recovered(play.board.standings.values(), 50.0)
    assert next_look(board, 50.0) is None, "a delay begins anew"
    assert not board.standing("hostUnreachable")


# --- the table


def test_every_alarm_is_in_the_document_with_its_severity() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for kind in ALARMS.values():
        row = next((line for line in text.splitlines() if line.startswith(f"| `{kind.code}` |")), "")
        assert kind.severity.value in row, kind.code
        assert len(row.split("|")) == 7 and len(row.split("|")[5].strip()) > 10, f"{kind.code}: what should a person do?"


def test_root_causes_exist_and_measured_alarms_have_a_unit() -> None:
    for kind in ALARMS.values():
        assert all(root in ALARMS for root in kind.hidden_by)
        assert (kind.raise_at is not None) == (kind.code in MEASURED_IN)


def test_a_measured_alarm_needs_two_limits() -> None:
    for limits in ({"raise_at": 1.0}, {"raise_at": 1.0, "clear_at": 1.0}):
        with pytest.raises(ValueError, match="two different limits"):
            AlarmKind("x", Severity.MINOR, **limits)


def test_a_printer_is_not_as_bad_as_a_dispenser() -> None:
    assert severity_of("deviceOutOfService", "cashDispenser") is Severity.CRITICAL
    assert severity_of("deviceOutOfService", "printer") is Severity.MAJOR
    assert severity_of("deviceOffline", "printer") is Severity.MINOR
    assert replace(ALARMS["noCash"]).severity is Severity.CRITICAL
