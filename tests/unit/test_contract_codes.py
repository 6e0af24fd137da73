"""Where a schema of docs/schemas lists codes or names that the code has too, the two are the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import pytest
from contract import validator

from drivers.devices.camera import CameraState
from kiosk_ui.monitor import commands
from kiosk_ui.monitor.desired import SETTINGS as CENTRES_SETTINGS
from simulators.bank.verify import RESPONSE_CODES
from terminal.adapters.sealing import OPEN_KINDS
from terminal.core.facing import audited
from terminal.core.model import FaceEvidence
from terminal.face import bands, challenge, liveness, tracking, turns
from terminal.face.values import Decision
from terminal.fleet import orders
from terminal.fleet.alarm_table import ALARMS
from terminal.fleet.counts import NAMES, TIMED
from terminal.fleet.desired import SETTINGS

OF_THE_SESSION = {"passed", "notAsked", "notBegun", "noResponse", "notStraight", "severalFaces"}


def data(type_: str) -> dict[str, Any]:
    found: dict[str, Any] = validator(type_).schema["properties"]["data"]["properties"]
    return found


def test_alarms_and_counts() -> None:
    assert set(data("ATMExceptionAdvice")["alarm"]["enum"]) == set(ALARMS)
    report = data("TelemetryReport")
    assert set(report["counts"]["properties"]) == set(NAMES)
    assert set(report["timings_ms"]["propertyNames"]["enum"]) == set(TIMED.values())


def test_what_may_be_set_from_afar_is_one_list_for_terminal_centre_and_contract() -> None:
    tables = data("ConfigurationDesired")["configuration"]["properties"]
    assert {name: set(table["properties"]) for name, table in tables.items()} == {name: set(names) for name, names in SETTINGS.items()}
    assert {name: set(names) for name, names in CENTRES_SETTINGS.items()} == {name: set(names) for name, names in SETTINGS.items()}


def test_what_may_be_ordered_and_by_whom_is_one_list_for_terminal_and_centre() -> None:
    assert set(commands.CATALOGUE) == orders.COMMANDS
    assert {name: set(wanted) for name, wanted in commands.CATALOGUE.items()} == {
        name: set(orders.PARAMETERS.get(name, ())) for name in orders.COMMANDS
    }
    assert set(commands.TWO_PEOPLE) == orders.TWO_PEOPLE <= orders.COMMANDS
    assert set(commands.DEVICES) == orders.DEVICES and commands.JOURNAL_MOST == orders.RANGE_MOST


def test_the_evidence_of_a_look() -> None:
    schema = validator("ATMFaceVerificationAdvice").schema
    assert set(data("ATMFaceVerificationAdvice")["decision"]["enum"]) == {*get_args(Decision), "stopped"}
    evidence = schema["$defs"]["evidence"]["properties"]
    assert set(evidence["band"]["enum"]) == {"", *get_args(bands.Band)}
    broken = {*get_args(challenge.Failure), *get_args(liveness.Oddity), *get_args(tracking.Break)}
    assert set(evidence["liveness"]["enum"]) == {*OF_THE_SESSION, *broken, str(CameraState.COVERED), str(CameraState.FROZEN)}
    assert all(turn in evidence["challenge"]["pattern"] for turn in get_args(turns.Turn))


@pytest.mark.parametrize(
    "evidence", [FaceEvidence(), FaceEvidence("sface", "ab" * 32, "accept", 0.6, 0.45, 0.4, "passed", "turnLeft,turnRight")]
)
def test_a_look_as_the_core_tells_it(evidence: FaceEvidence) -> None:
    [advice] = audited("T0001-00000001", "verification", "accepted", 1, evidence).outgoing
    schema = validator(advice.type)
    within = schema.evolve(schema={**schema.schema["properties"]["data"], "$defs": schema.schema["$defs"]})
    assert list(within.iter_errors(dict(advice.data))) == []
    assert list(within.iter_errors({**advice.data, "evidence": asdict(evidence)})), "the names of the code are not the contract's"
    assert list(within.iter_errors({**advice.data, "picture": ""}))


def test_what_a_range_of_the_journal_may_tell() -> None:
    machine, other = validator("ATMDeviceControlResult").schema["$defs"]["journalEntry"]["oneOf"]
    assert set(machine["properties"]["kind"]["enum"]) == OPEN_KINDS and machine["properties"]["transactionId"] == {"type": "null"}
    assert other["properties"]["data"] == {"type": "null"}


def test_the_reasons_of_a_decision() -> None:
    told = {name: set(data(f"ATM{name}Response")["reason"]["enum"]) for name in ("Withdrawal", "Inquiry", "FaceManagement")}
    assert set.union(*told.values()) == set(RESPONSE_CODES) - {""}
    assert "noTemplate" in told["Inquiry"] - told["Withdrawal"] and "templateRefused" in told["FaceManagement"] - told["Withdrawal"]
    assert "CHDA" in data("ATMWithdrawalResponse")["actions"]["items"]["enum"]
