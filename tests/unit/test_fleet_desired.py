"""Desired and reported: verified, checked as the file is, on trial between customers, kept or rolled back; a bad one never stays."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from fleet_play import BASE, CENTRE, FleetBench, World

from simulators.bank.centre import canonical
from terminal.adapters import link_events as link
from terminal.config import ConfigError
from terminal.core import events as e
from terminal.core.model import Device, Phase
from terminal.fleet import desired_file
from terminal.fleet.desired import SETTINGS, overlaid
from terminal.fleet.desired_file import Memory, Version
from terminal.fleet.order_desk import RESTART_EXIT


@pytest.fixture
def bench(tmp_path: Path) -> FleetBench:
    return FleetBench(World(tmp_path))


def desire(bench: FleetBench, number: int, configuration: dict[str, Any], **changes: Any) -> None:
    data = {**CENTRE.desired(BASE, number, configuration, bench.world.wall())["data"], **changes}
    bench.hear(link.DesiredArrived(data))


def reported(bench: FleetBench) -> tuple[int, str, int, str]:
    data = bench.link.documents["reported"]
    return data["version"], data["state"], data["active"], data["reason"]


LIMIT = {"cash": {"limit_minor": 100_000}, "timeouts": {"input_s": "12.5"}}


def test_at_the_start_the_terminals_own_file_holds(bench: FleetBench) -> None:
    assert reported(bench) == (0, "applied", 0, "")


def test_a_version_is_tried_by_a_restart_and_kept_when_it_is_well(bench: FleetBench) -> None:
    desire(bench, 1, LIMIT)
    assert bench.agent.exit_code == RESTART_EXIT and reported(bench) == (1, "pending", 1, "")
    again = bench.restart(well=False)
    assert (again.agent.state.config.limit_minor, again.agent.state.config.timeouts.input_s) == (100_000, 12.5)
    assert reported(again) == (1, "pending", 1, "")
    again.open()
    assert reported(again) == (1, "applied", 1, "")
    assert again.link.documents["state"]["agent"]["configurationVersion"] == 1
    third = again.restart()
    assert third.agent.state.config.limit_minor == 100_000 and reported(third) == (1, "applied", 1, "")
    assert third.agent.exit_code == 0
    assert [kind for kind in third.kinds if kind == "configurationChanged"] == ["configurationChanged"] * 3


def test_it_waits_for_the_customer(bench: FleetBench) -> None:
    bench.agent.take(e.CardInserted())
    desire(bench, 1, LIMIT)
    bench.pass_s(2.0)
    assert bench.agent.exit_code == 0 and reported(bench) == (1, "pending", 0, "waitsForCustomer")
    bench.agent.take(e.CardRemoved())
    bench.pass_s(30.0)
    assert bench.agent.state.phase is Phase.IDLE and bench.agent.exit_code == RESTART_EXIT


def retained(bench: FleetBench, number: int, configuration: dict[str, Any]) -> link.DesiredArrived:
    """What the broker keeps and sends with every connection."""
    return link.DesiredArrived(CENTRE.desired(BASE, number, configuration, bench.world.wall())["data"])


def test_one_that_waited_for_a_customer_is_tried_after_a_restart_in_between(bench: FleetBench) -> None:
    message = retained(bench, 1, LIMIT)
    bench.agent.take(e.CardInserted())
    bench.hear(message)
    written = bench.kinds.count("configurationChanged")
    bench.hear(message)
    assert bench.kinds.count("configurationChanged") == written, "the connection was lost and came back: it waits as before"
    again = bench.restart()  # the power failed, or the centre ordered it
    assert again.agent.exit_code == 0 and reported(again) == (1, "pending", 0, "waitsForCustomer"), "and that is still true"
    again.agent.take(e.CardInserted())
    again.hear(message)
    assert again.agent.exit_code == 0 and reported(again) == (1, "pending", 0, "waitsForCustomer"), "another customer is there"
    again.agent.take(e.CardRemoved())
    again.pass_s(30.0)
    assert again.agent.exit_code == RESTART_EXIT and reported(again) == (1, "pending", 1, "")
    third = again.restart()
    third.hear(message)
    assert reported(third) == (1, "applied", 1, "") and third.agent.state.config.limit_minor == 100_000 and third.agent.exit_code == 0


def test_one_that_waits_gives_way_to_a_newer_one_even_if_that_is_rejected(bench: FleetBench) -> None:
    bench.agent.take(e.CardInserted())
    desire(bench, 1, LIMIT)
    desire(bench, 2, {"cash": {"limit_minor": 5}})
    bench.agent.take(e.CardRemoved())
    bench.pass_s(30.0)
    assert bench.agent.exit_code == 0 and reported(bench)[:3] == (2, "rejected", 0)


def test_one_that_waited_is_verified_again_and_checked_against_the_file_as_it_is_now(bench: FleetBench) -> None:
    message = retained(bench, 1, {"cash": {"limit_minor": 100_000}, "face": {"accept": "0.5"}})
    bench.agent.take(e.CardInserted())
    bench.hear(message)
    bench.world.file.write_text(bench.world.file.read_text(encoding="utf-8").split("[face]")[0], encoding="utf-8")
    again = bench.restart()
    again.hear(link.DesiredArrived({**message.data, "configuration": {}}))
    assert again.datas("SecurityEvent")[-1]["reason"] == "badSignature" and reported(again)[1] == "pending"
    again.hear(message)
    assert reported(again) == (1, "rejected", 0, "face: this terminal has no face verifier") and again.agent.exit_code == 0


def test_one_that_comes_while_another_is_on_trial_is_neither_lost_nor_called_applied(bench: FleetBench) -> None:
    desire(bench, 1, LIMIT)
    on_trial = bench.restart(well=False)
    message = retained(on_trial, 2, {"cash": {"limit_minor": 150_000}})
    on_trial.hear(message)
    assert reported(on_trial) == (2, "pending", 1, "waitsForCustomer")
    for device in Device:
        on_trial.agent.take(e.DeviceOnline(device))
    on_trial.hear(link.LinkUp())
    on_trial.agent.take(e.DispenserInitialised(on_trial.workers[Device.DISPENSER].commands[-1].command_id, ""))
    on_trial.agent.take(e.CardInserted())
    on_trial.drain()
    assert reported(on_trial) == (2, "pending", 1, "waitsForCustomer") and on_trial.start.memory.good.version == 0
    again = on_trial.restart()
    assert again.start.memory.good.version == 1, "the first has proved itself"
    again.hear(message)
    assert again.agent.exit_code == RESTART_EXIT
    third = again.restart()
    assert reported(third) == (2, "applied", 2, "") and third.agent.state.config.limit_minor == 150_000


def test_the_same_desired_again_while_it_is_on_trial_has_to_prove_itself(bench: FleetBench) -> None:
    desire(bench, 1, LIMIT)
    sick = bench.restart(well=False)
    message = retained(sick, 2, LIMIT)
    sick.hear(message)
    assert reported(sick) == (2, "pending", 1, "waitsForCustomer")
    sick.pass_s(121.0)
    assert sick.agent.exit_code == RESTART_EXIT
    again = sick.restart()
    assert again.agent.state.config.limit_minor == 300_000, "what did not prove itself is not the good one"
    assert reported(again) == (2, "pending", 0, "waitsForCustomer") and again.agent.exit_code == 0


def test_a_trial_is_not_measured_against_a_terminal_that_is_only_coming_up(bench: FleetBench) -> None:
    message = retained(bench, 1, LIMIT)
    starting = bench.restart(well=False)
    starting.hear(link.LinkUp())
    starting.hear(message)
    starting.pass_s(5.0)
    assert starting.agent.exit_code == 0 and reported(starting) == (1, "pending", 0, "waitsForCustomer")
    starting.open()
    assert starting.agent.exit_code == RESTART_EXIT
    sick = starting.restart(well=False)
    sick.pass_s(121.0)
    assert reported(sick) == (1, "rolledBack", 0, "notHealthyInTime"), "it was well before"


def test_a_terminal_that_stays_ill_is_configured_all_the_same(bench: FleetBench) -> None:
    message = retained(bench, 1, LIMIT)
    ill = bench.restart(well=False)
    ill.hear(link.LinkUp())
    for device in (Device.CARD_READER, Device.PIN_PAD, Device.PRINTER):
        ill.agent.take(e.DeviceOnline(device))
    ill.hear(message)
    ill.pass_s(119.0)
    assert ill.agent.exit_code == 0
    ill.pass_s(2.0)
    assert ill.agent.exit_code == RESTART_EXIT and ill.start.memory.verdict == "applied"


def test_one_rejected_while_another_is_on_trial_stays_rejected(bench: FleetBench) -> None:
    desire(bench, 1, LIMIT)
    on_trial = bench.restart(well=False)
    desire(on_trial, 2, {"cash": {"limit_minor": 5}})
    on_trial.open()
    assert reported(on_trial)[:3] == (2, "rejected", 1)
    assert on_trial.restart().start.memory.good.version == 1


def test_one_that_could_not_be_written_is_not_decided_and_is_tried_when_it_comes_again(
    bench: FleetBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    message = retained(bench, 1, LIMIT)
    bench.agent.take(e.CardInserted())
    bench.hear(message)
    with monkeypatch.context() as disk:
        disk.setattr(desired_file, "write", full)
        bench.agent.take(e.CardRemoved())
        bench.pass_s(30.0)
        assert bench.agent.exit_code == 0 and reported(bench) == (1, "pending", 0, "notWritten: No space left on device")
        bench.hear(message)
        assert bench.agent.exit_code == 0 and reported(bench)[1] == "pending", "it still does not write"
    bench.hear(message)
    assert bench.agent.exit_code == RESTART_EXIT and reported(bench) == (1, "pending", 1, "")
    assert bench.restart().agent.state.config.limit_minor == 100_000


def test_one_that_does_not_come_back_well_in_time_is_rolled_back(bench: FleetBench) -> None:
    desire(bench, 1, LIMIT)
    sick = bench.restart(well=False)
    for device in (Device.CARD_READER, Device.PIN_PAD, Device.PRINTER):
        sick.agent.take(e.DeviceOnline(device))
    sick.pass_s(121.0)
    assert sick.agent.exit_code == RESTART_EXIT and reported(sick) == (1, "rolledBack", 0, "notHealthyInTime")
    again = sick.restart()
    assert again.agent.state.config.limit_minor == 300_000 and reported(again) == (1, "rolledBack", 0, "notHealthyInTime")
    again.pass_s(5.0)
    assert ("configurationRolledBack", "raised", None) in again.alarms()
    desire(again, 2, {})
    again.pass_s(5.0)
    assert reported(again) == (2, "applied", 2, "") and ("configurationRolledBack", "returned", None) in again.alarms()


def test_one_under_which_the_agent_does_not_stay_is_rolled_back_without_it(bench: FleetBench) -> None:
    desire(bench, 1, LIMIT)
    bench.store.close()
    for _ in range(desired_file.STARTS):
        assert desired_file.start(bench.world.file).memory.trial is not None  # started, and died
    found = desired_file.start(bench.world.file)
    assert found.memory.verdict == "rolledBack" and found.config.cash.limit_minor == 300_000


def test_what_was_out_of_service_before_need_not_be_in_service_after(bench: FleetBench) -> None:
    bench.order("leaveService", approved_by="supervisor-1")
    desire(bench, 1, LIMIT)
    again = bench.restart()
    assert reported(again) == (1, "applied", 1, "")


@pytest.mark.parametrize(
    ("configuration", "why"),
    [
        ({"cash": {"limit_minor": 5}}, "cash.presets_minor: each above 0, at most cash.limit_minor"),
        ({"cash": {"unit": []}}, "cash.unit cannot be set from afar"),
        ({"bank": {"url": "mqtt://127.0.0.1:1"}}, "bank cannot be set from afar"),
        ({"centre": {"key": []}}, "centre cannot be set from afar"),
        ({"face": {"accept": "0.3"}}, "face: the face threshold 'accept' is 0.3: with this model it must be at least 0.433"),
        ({"face": {"accept": "0.5", "ask_again": "0.6"}}, "face: the face threshold 'ask_again' is 0.6: it must be above 0 and not above"),
        ({"face": {"high_security_accept": "0.6"}}, "face.high_security_accept and face.high_security_from_minor belong together"),
        ({"face": {"challenge_turns": 1}}, "face.challenge_turns cannot be set from afar"),
        ({"face": {"camera": "1"}}, "face.camera cannot be set from afar"),
        ({"timeouts": {"input_s": "soon"}}, "timeouts.input_s must be a number"),
        ({"timeouts": []}, "timeouts cannot be set from afar"),
        ({"terminal": {"language": "fr"}}, "terminal.language must be one of terminal.languages"),
        ({"terminal": {"language": 6222020200113}}, "a value that must not be written down"),
        ({"fleet": {"healthy_s": 1}}, "fleet.healthy_s cannot be set from afar"),
    ],
)
def test_one_that_cannot_be_is_rejected_with_the_files_own_sentence(bench: FleetBench, configuration: dict[str, Any], why: str) -> None:
    desire(bench, 1, configuration)
    version, state, active, reason = reported(bench)
    assert (version, state, active) == (1, "rejected", 0) and reason.startswith(why)
    assert bench.agent.exit_code == 0
    assert reported(bench.restart())[:3] == (1, "rejected", 0)


def test_what_changes_nothing_needs_no_restart(bench: FleetBench) -> None:
    desire(bench, 3, {"cash": {"limit_minor": 300_000}})
    assert bench.agent.exit_code == 0 and reported(bench) == (3, "applied", 3, "")


def test_forged_replayed_and_anothers(bench: FleetBench) -> None:
    def reason() -> str:
        return str(bench.datas("SecurityEvent")[-1]["reason"])

    desire(bench, 4, LIMIT, version=5)
    assert reason() == "badSignature"
    desire(bench, 4, LIMIT, keyId="nobody")
    assert reason() == "unknownKey"
    desire(bench, 0, LIMIT)
    assert reason() == "malformed"
    desire(bench, 4, {"face": {"accept": "0.44"}}, colour="red")
    assert reason() == "malformed"
    desire(bench, 4, {"timeouts": {"input_s": 10**400}})
    assert reason() == "malformed"
    theirs = CENTRE.desired("bank/v1/B001/T0002", 4, LIMIT, bench.world.wall())["data"]
    bench.hear(link.DesiredArrived(theirs))
    assert reason() == "wrongTerminal"
    assert reported(bench) == (0, "applied", 0, "")
    desire(bench, 4, {})
    desire(bench, 3, LIMIT)
    assert reason() == "replayed" and reported(bench) == (4, "applied", 4, "")
    events = len(bench.datas("SecurityEvent"))
    desire(bench, 4, {})
    assert len(bench.datas("SecurityEvent")) == events, "retained, it comes with every connection"


def test_of_a_flood_of_forgeries_some_are_written_down_and_all_are_counted(bench: FleetBench) -> None:
    for version in range(1, 101):
        desire(bench, version, LIMIT, keyId="nobody")
    assert len(bench.datas("SecurityEvent")) == 20 and bench.kinds.count("configurationRefused") == 20
    assert bench.attendant._reporter.counts.refused["desired/unknownKey"] == 100
    bench.pass_s(31.0)
    desire(bench, 101, LIMIT, keyId="nobody")
    assert len(bench.datas("SecurityEvent")) == 21, "and two a minute from then on"


def test_numbers_with_a_fraction_are_signed_as_text() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        canonical({"face": {"accept": 0.44}})


def test_a_damaged_memory_is_set_aside_and_the_terminal_starts(bench: FleetBench, capsys: pytest.CaptureFixture[str]) -> None:
    path = desired_file.path_of(bench.start.config)
    for rubbish in ("", "{", "[]", '{"good": 1}', json.dumps({"good": {"version": 1}})):
        path.write_text(rubbish)
        assert desired_file.start(bench.world.file).memory == Memory()
        assert "is set aside" in capsys.readouterr().err and not path.exists()


def test_a_good_version_that_the_file_does_not_fit_any_more_is_dropped(bench: FleetBench, capsys: pytest.CaptureFixture[str]) -> None:
    path = desired_file.path_of(bench.start.config)
    desired_file.write(path, Memory(good=Version(7, {"face": {"accept": "0.44"}}), newest=7))
    assert desired_file.start(bench.world.file).memory.active.version == 7
    text = bench.world.file.read_text(encoding="utf-8")
    bench.world.file.write_text(text.split("[face]")[0], encoding="utf-8")
    found = desired_file.start(bench.world.file)
    assert (found.memory.verdict, found.memory.active.version, found.memory.newest) == ("rolledBack", 0, 7)
    assert "does not fit" in capsys.readouterr().err


def test_a_good_version_that_does_not_fit_any_more_leaves_the_one_that_waits(bench: FleetBench) -> None:
    path = desired_file.path_of(bench.start.config)
    good = Version(7, {"face": {"accept": "0.44"}})
    desired_file.write(path, Memory(good=good, newest=8, verdict="pending", reason="waitsForCustomer"))
    bench.world.file.write_text(bench.world.file.read_text(encoding="utf-8").split("[face]")[0], encoding="utf-8")
    found = bench.restart()
    assert reported(found) == (8, "pending", 0, "waitsForCustomer")
    found.hear(retained(found, 8, LIMIT))
    assert found.agent.exit_code == RESTART_EXIT


def test_a_memory_survives_being_written_halfway(bench: FleetBench) -> None:
    path = desired_file.path_of(bench.start.config)
    desired_file.write(path, Memory(good=Version(2, LIMIT), newest=2))
    path.with_name("desired.json.new").write_text("{half")
    assert desired_file.read(path).good == Version(2, LIMIT)
    assert path.stat().st_mode & 0o777 == 0o600


def test_everything_that_may_be_set_is_a_setting(bench: FleetBench) -> None:
    for section, names in SETTINGS.items():
        known = getattr(bench.start.config, section)
        for name in names:
            assert hasattr(known, name), f"{section}.{name}"
            with pytest.raises(ConfigError, match=f"{section}.{name}"):
                overlaid(bench.start.table, {section: {name: {"no": "value"}}}, bench.start.base)
