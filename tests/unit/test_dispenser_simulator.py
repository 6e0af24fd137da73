"""The simulated unit as a machine: its mechanics in time, the hands of people, its wire manners, its state file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simulators.devices.dispenser import Dispenser, Options
from simulators.devices.dispenser_store import StoredDispenser, cassettes_from, default_cassettes, main

DISPENSE_3 = bytes.fromhex("04 30 02 52 23 20 20 20 20 20 20 20 20 20 20 20 20 20 20 03 44")
STATUS = bytes.fromhex("04 30 02 50 03 65")


def run(unit: Any, until: float, start: float = 0.0) -> list[tuple[float, bytes]]:
    """Everything the unit says up to `until`, with its moment."""
    said: list[tuple[float, bytes]] = []
    now = start
    while True:
        data = unit.take_output(now)
        if data:
            said.append((round(now, 3), data))
        wake = unit.next_wakeup()
        assert wake is None or wake > now
        if wake is None or wake > until:
            return said
        now = wake


def test_notes_move_one_by_one_in_their_own_time() -> None:
    unit = Dispenser(default_cassettes())
    unit.feed(DISPENSE_3, 0.0)
    places = []
    for step in range(18):
        now = 0.17 + step * 0.03
        unit.take_output(now)
        truth = unit.snapshot(now)
        places.append((truth["path"][0]["place"] if truth["path"] else "-", sum(n for _, n in truth["outlet"])))
    hop = ["chk", "dvt", "ejt", "exit"]
    assert places[:12] == [(place, note) for note in range(3) for place in hop]
    assert places[12:] == [("-", 3)] * 6
    assert unit.next_wakeup() is not None  # the answer waits for its acknowledgement


def test_speed_makes_everything_mechanical_faster() -> None:
    moments = {}
    for speed in (1.0, 10.0):
        unit = Dispenser(default_cassettes(), Options(speed=speed))
        unit.feed(DISPENSE_3, 0.0)
        moments[speed] = next(at for at, data in run(unit, 5.0) if data[:1] == b"\x01")
    assert moments[1.0] == pytest.approx(0.01 + 0.15 + 3 * 0.12 + 0.02)
    assert moments[10.0] == pytest.approx(0.01 + 0.051 + 0.02)


def test_an_answer_is_repeated_three_times_and_then_given_up() -> None:
    unit = Dispenser(default_cassettes())
    unit.feed(STATUS, 0.0)
    answers = [at for at, data in run(unit, 60.0) if data[:1] == b"\x01"]
    assert answers == [0.03, 1.03, 2.03, 3.03]
    unit.feed(b"\x06", 5.0)
    assert run(unit, 10.0, 5.0) == []  # nobody waits for this ACK any more


def test_wire_manners() -> None:
    unit = Dispenser(default_cassettes())
    unit.feed(STATUS[:-1] + b"\x00", 0.0)
    assert run(unit, 0.5) == [(0.01, b"\x15")]
    unit.feed(STATUS[:3], 1.0)
    unit.feed(STATUS[3:], 1.5)  # later than 200 ms: forgotten
    assert run(unit, 2.0, 1.5) == []
    unit.feed(b"\x04\x04\x30\x99noise\x06\x15" + STATUS, 3.0)
    assert [data[:1] for _, data in run(unit, 3.1, 3.0)] == [b"\x06", b"\x01"]
    unit.feed(b"\x06", 3.1)
    assert run(unit, 4.0, 3.1) == [(3.11, b"\x04")]
    unit.feed(b"\x04\x30\x02" + b"A" * 60, 4.5)
    unit.feed(bytes.fromhex("04 30 02 99 03 ac"), 5.0)
    assert run(unit, 5.2, 5.0) == [(5.01, b"\x06"), (5.03, bytes.fromhex("01 30 02 99 50 03 f9"))]


def test_a_busy_unit_hears_only_reset_which_stops_it() -> None:
    unit = Dispenser(default_cassettes(), Options(last_status_survives="reset"))
    unit.feed(DISPENSE_3, 0.0)
    unit.feed(STATUS, 0.2)
    unit.feed(bytes.fromhex("04 30 02 44 03 71"), 0.35)
    assert unit.snapshot(0.35)["power"] == "booting"
    assert [c["executed"] for c in unit.control("history", {}, 0.4)["commands"]] == [True, False, True]
    unit.feed(STATUS, 1.0)
    assert run(unit, 2.0, 1.0) == []
    truth = unit.snapshot(3.0)
    assert len(truth["path"]) == 1
    assert truth["last_status"]["exits"] == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("do", "arguments", "sentence"),
    [
        ("fly", {}, "nothing one can do"),
        ("jam", {}, "jam: missing a required argument: 'where'"),
        ("jam", {"where": "roof"}, "one of chk, dvt, ejt, exit"),
        ("jam", {"where": ["chk"]}, "jam: "),
        ("jam", {"where": "chk", "after_notes": -1}, "after_notes -1"),
        ("set_cassette", {"unit": 5}, "unit 5"),
        ("set_cassette", {"unit": True}, "unit True"),
        ("set_cassette", {"unit": 1, "count": 5001}, "count 5001"),
        ("set_cassette", {"unit": 1, "type": 0}, "type 0"),
        ("set_cassette", {"unit": 1, "denomination": 100}, "denomination 100"),
        ("insert_cassette", {"unit": 1}, "already there"),
        ("double_note", {"count": 0}, "count 0"),
        ("double_note", {"reported": 3}, "reported 3"),
        ("stray_note", {"unit": 1, "place": "roof"}, "place 'roof'"),
        ("power", {}, "on or off"),
        ("power", {"cut_after_notes": 1, "at": "roof"}, "at 'roof'"),
        ("fault", {"kind": "fire"}, "fault 'fire'"),
        ("fault", {"kind": "nak", "count": 0}, "at least 1"),
        ("fault", {"kind": "nak", "seconds": -1}, "negative"),
        ("fault", {"kind": "nak", "colour": "red"}, "colour"),
        ("configure", {"taste": 1}, "unknown option taste"),
        ("configure", {"speed": 0}, "speed"),
        ("configure", {"reset_replies": 3}, "reset_replies"),
        ("configure", {"last_status_survives": "fire"}, "last_status_survives"),
    ],
)
def test_senseless_requests_get_a_sentence_and_change_nothing(do: str, arguments: dict[str, Any], sentence: str) -> None:
    unit = Dispenser(default_cassettes())
    before = unit.snapshot(0.0)
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        unit.control(do, arguments, 0.0)
    assert unit.snapshot(0.0) == before


def test_hands_stay_out_of_a_moving_machine() -> None:
    unit = Dispenser(default_cassettes())
    unit.feed(DISPENSE_3, 0.0)
    for do, arguments in (("clear_jam", {}), ("take_notes", {"from_exit": True}), ("stray_note", {"unit": 1, "place": "dvt"})):
        with pytest.raises(ValueError, match="moving"):
            unit.control(do, arguments, 0.2)
    assert unit.control("take_notes", {}, 0.5) == [[1, 2]]  # but the outlet is open
    with pytest.raises(ValueError, match="is not there"):
        [unit.control("remove_cassette", {"unit": 2}, 5.0) for _ in range(2)]


def test_a_customer_can_pull_out_the_note_that_stands_in_the_slot() -> None:
    unit = Dispenser(default_cassettes())
    unit.control("stray_note", {"unit": 2, "place": "exit"}, 0.0)
    assert unit.control("take_notes", {}, 0.0) == []
    assert unit.control("take_notes", {"from_exit": True}, 0.0) == [[2, 1]]
    assert unit.snapshot(0.0)["taken"] == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "list of 4"),
        ([{"colour": "red"}, {}, {}, {}], "unknown colour"),
        ([{"count": -1}, {}, {}, {}], "count -1"),
        ([{"type": 9}, {}, {}, {}], "type 9"),
        ([{"denomination": 5}, {}, {}, {}], "denomination is a text"),
    ],
)
def test_cassettes_of_the_command_line_are_judged(given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        cassettes_from(given)


def test_notes_outlive_the_process(tmp_path: Path) -> None:
    file = tmp_path / "state" / "dispenser.json"
    unit = StoredDispenser(Dispenser(default_cassettes()), file)
    unit.control("jam", {"where": "exit", "after_notes": 2}, 0.0)
    unit.feed(DISPENSE_3, 0.0)
    for now in (0.3, 0.5, 0.9):
        unit.take_output(now)
    unit.control("take_notes", {}, 1.0)
    unit.control("reject_bin", {"present": False}, 1.0)
    unit.control("stray_note", {"unit": 3, "place": "rjt"}, 9.0)
    before = unit.control("state", {}, 9.0)

    again = StoredDispenser(Dispenser(default_cassettes()), file)
    after = again.control("state", {}, 0.0)
    for key in ("cassettes", "path", "reject_bin", "outlet", "taken", "by_hand", "passed", "eeprom", "jam"):
        assert after[key] == before[key], key
    assert after["path"] == [{"cassette": 1, "place": "exit"}, {"cassette": 3, "place": "rjt"}]
    assert after["last_status"] is None


def test_the_last_result_outlives_the_process_when_the_unit_is_of_that_kind(tmp_path: Path) -> None:
    file = tmp_path / "dispenser.json"
    options = Options(last_status_survives="power")
    unit = StoredDispenser(Dispenser(default_cassettes(), options), file)
    unit.feed(DISPENSE_3, 0.0)
    unit.take_output(0.35)  # killed here
    again = StoredDispenser(Dispenser(default_cassettes(), options), file)
    state = again.control("state", {}, 0.0)
    assert (state["last_status"]["exits"], state["outlet"], len(state["path"])) == ([1, 0, 0, 0], [[1, 1]], 1)
    assert again.next_wakeup() is None


@pytest.mark.parametrize("damage", ["", "[]", '{"version": 2}', "null", "notes"])
def test_a_damaged_state_file_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "dispenser.json"
    file.write_text(damage)
    with pytest.raises(ValueError, match="is not a dispenser's state"):
        StoredDispenser(Dispenser(default_cassettes()), file)
    assert file.read_text() == damage


def test_a_state_file_whose_notes_do_not_add_up_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "dispenser.json"
    StoredDispenser(Dispenser(default_cassettes()), file)
    saved = json.loads(file.read_text())
    saved["outlet"].append(0)
    file.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="400 notes were loaded, 401 are found"):
        StoredDispenser(Dispenser(default_cassettes()), file)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [(["--cassettes", "[1]"], "list of 4"), (["--cassettes", "{"], "Expecting"), (["--speed", "0"], "speed must be positive")],
)
def test_the_command_line_refuses_with_a_sentence(extra: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--link", "/nowhere/l", "--control", "/nowhere/c", *extra])
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err
