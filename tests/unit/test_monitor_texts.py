"""The pages have a word in both languages for every code that they may show. The codes come from where they are defined."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, get_type_hints

import pytest
from codes_said import assigned, called, sources
from contract import TOPICS, validator

from drivers.devices.camera import CameraState
from drivers.devices.escpos_printer import Paper, PrinterStatus
from drivers.devices.szzt_zt588 import _camel, _vendor_name
from drivers.errors import ConfigurationFault, DeviceError, DeviceFault, LinkError, LinkTimeout, OutcomeUnknown, ProtocolError
from drivers.protocols.puloon_messages import CassetteStatus, ErrorCode, ErrorStatus, Sensors, Status
from drivers.protocols.szzt_zt588_commands import ErrorCode as PadErrorCode
from drivers.protocols.szzt_zt588_extension import Reason as PadReason
from drivers.transports.base import MonotonicClock
from kiosk_ui.monitor import alarms, command_states, commands, contract, people
from kiosk_ui.monitor.grading import GRADES, NO_FAULT, TAMPERED
from kiosk_ui.monitor.web.app import OPENAPI, STATIC
from terminal.core.commands import CheckPinPad
from terminal.core.events import NOT_SENT, DeviceNoted
from terminal.core.model import Device
from terminal.fleet.alarm_table import ALARMS
from terminal.fleet.health import NEAR_END
from terminal.fleet.wear import KINDS
from terminal.workers.service import failed, reason_of
from terminal.workers.services.dispenser import fault_of, missing_cassette
from terminal.workers.services.printer import PrinterService

LANGUAGES = ("zh", "en")
MONITOR = ("kiosk_ui/monitor/*.py", "kiosk_ui/monitor/web/*.py")
SCHEMAS = json.loads(OPENAPI.read_text(encoding="utf-8"))["components"]["schemas"]


@cache
def words(language: str) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads((STATIC / "texts" / f"{language}.json").read_text(encoding="utf-8"))
    return found


def untold(kind: str, codes: set[str], *, without: Collection[str] = ()) -> set[str]:
    """Keys that a language lacks, as the language and the key."""
    assert codes, kind
    keys = {f"{kind}.{code}" for code in codes.difference(without, ("", None))}
    return {f"{language}: {key}" for language in LANGUAGES for key in keys - words(language).keys()}


def data(type_: str) -> dict[str, Any]:
    found: dict[str, Any] = validator(type_).schema["properties"]["data"]["properties"]
    return found


def definition(type_: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = validator(type_).schema["$defs"][name]["properties"]
    return found


# --- what a terminal tells


TOLD = [
    ("failure", "ATMWithdrawalCompletionAdvice", "failureReason"),
    ("transaction", "ATMWithdrawalCompletionAdvice", "transactionStatus"),
    ("said", "ATMDeviceControlResult", "state"),
    ("result", "ATMDeviceControlResult", "result"),
    ("alarm", "ATMExceptionAdvice", "alarm"),
    ("alarmState", "ATMExceptionAdvice", "state"),
    ("severity", "ATMExceptionAdvice", "severity"),
    ("device", "ATMExceptionAdvice", "device"),
    ("device", "DeviceStatusChanged", "device"),
    ("service", "GlobalStatusChanged", "globalStatus"),
    ("configuration", "ConfigurationReported", "state"),
    ("security", "SecurityEvent", "event"),
    ("reason", "SecurityEvent", "reason"),
    ("faceDecision", "ATMFaceVerificationAdvice", "decision"),
    ("facePurpose", "ATMFaceVerificationAdvice", "purpose"),
]


@pytest.mark.parametrize(("kind", "type_", "field"), TOLD)
def test_what_the_messages_list(kind: str, type_: str, field: str) -> None:
    assert untold(kind, set(data(type_)[field]["enum"])) == set()


def test_messages_and_their_parts() -> None:
    unit, evidence = definition("CashUnitChanged", "cashUnit"), definition("ATMExceptionAdvice", "evidence")
    shown = {name for name, form in evidence.items() if form["type"] not in ("array", "object")}
    consents = {one["properties"]["consent"]["const"] for one in validator("ATMFaceConsentAdvice").schema["properties"]["data"]["oneOf"]}
    told = {type_ for leaf in ("event", "alarm", "txn", "cmd/resp") for type_ in TOPICS[leaf]}
    missing = (
        untold("event", told) | untold("consent", consents) | untold("evidence", shown) | untold("class", set(evidence["class"]["enum"]))
    )
    missing |= untold("status", set(definition("DeviceStatusChanged", "status")["device"]["enum"]))
    missing |= untold("service", set(definition("ATMDeviceReport", "report")["service"]["enum"]))
    missing |= untold("accuracy", set(unit["accuracy"]["enum"])) | untold("unitStatus", set(unit["status"]["enum"]), without={"ok"})
    assert missing | untold("measure", set(KINDS)) == set()


def test_why_a_terminal_is_not_well() -> None:
    """Codes of the core, those of the monitor's own judgement, and what stands behind ``cash.`` and ``...Alarm``."""
    core, judged = sources("terminal/core/service.py"), sources("kiosk_ui/monitor/grading.py")
    reasons = called(core, "append", 0)
    own = called(judged, "append", 0) | called(judged, "extend", 0) | assigned(judged, "why")
    assert "journalFailed" in reasons and {"silent", "linkLost", "outboxHigh", "criticalAlarm", "cash.#"} <= own
    unit = definition("CashUnitChanged", "cashUnit")
    cash = {f"cash.{status}" for status in unit["status"]["enum"] if status != "ok"} | {"cash.empty", "cash.low"}
    assert untold("why", reasons | own | cash | {"majorAlarm", "minorAlarm"}, without={"cash.#"}) == set()
    assert untold("latch", called(sources("terminal/core/*.py"), "Latch", 0)) == set()
    statuses = set(definition("DeviceStatusChanged", "status")["device"]["enum"])
    assert untold("status", statuses - NO_FAULT - TAMPERED | {"tampered"}) == set()


# --- what a device says: detail of its status, and reason of a command that failed at it


def said_by_the_dispenser() -> set[str]:
    well = Status(ErrorStatus.of(0), Sensors(False, False, False, False, False), (CassetteStatus(0, False, 1, 0, 0),))
    errors = {ErrorStatus.of(code).name for code in (*ErrorCode, 0x7A)} - {"ok"}
    found = {fault_of(replace(well, error=ErrorStatus.of(code))) for code in ErrorCode} | errors
    found |= {fault_of(replace(well, sensors=replace(well.sensors, exit=True))), fault_of(replace(well, cassettes=()))}
    return found | {missing_cassette(well, (0, 1, 0, 0)), *(f"{NEAR_END}{number}" for number in range(1, 5))}


def said_by_the_pin_pad() -> set[str]:
    unlisted = {_vendor_name(0xEA), _camel("REASON_7F")}
    return {_vendor_name(code) for code in PadErrorCode} | {_camel(reason.name) for reason in PadReason} | unlisted


def said_by_the_printer() -> set[str]:
    """Of every status that the driver can report."""
    found: set[str] = set()

    class Driver:
        def __init__(self, status: PrinterStatus) -> None:
            self.status = lambda _: status

    devices = get_type_hints(PrinterStatus)["device"].__args__
    for device, paper, cover in itertools.product(devices, Paper, (True, False)):
        service = PrinterService(lambda: pytest.fail("opened"), MonotonicClock(), 48, False)
        service._driver = Driver(PrinterStatus(device, paper, cover, False, False, False))  # type: ignore[assignment]
        try:
            found |= {one.detail for one in service.poll() if isinstance(one, DeviceNoted)}
        except DeviceFault as fault:
            found.add(fault.name)
    assert {"paperLow", "paperOut", "coverOpen"} <= found
    return found


def said_of_any_device() -> set[str]:
    """What the layers between a device and the core say of it; and the names of services' own faults."""
    errors: list[DeviceError] = [one("") for one in (ConfigurationFault, LinkError, LinkTimeout, ProtocolError, OutcomeUnknown)]
    found = {reason_of(one) for one in errors} | {failed(CheckPinPad(1, 1.0), one).name for one in errors} | {NOT_SENT}
    workers = sources("terminal/workers/*.py", "terminal/workers/services/*.py")
    found |= called(workers, "DeviceFault", "name") | called(workers, "DeviceLost", 1) | called(workers, "CommandFailed", 3)
    found |= called(sources("terminal/core/*.py"), "with_device", 3)
    assert {"workerLost", "restartsUsedUp", "tampered", "cardGone"} <= found
    return found


SAYS = [said_by_the_dispenser, said_by_the_pin_pad, said_by_the_printer, said_of_any_device]


def with_number(code: str) -> set[str]:
    """The keys under which the pages look for a detail: itself, or its beginning when a number ends it (texts.js)."""
    numbered = re.fullmatch(r"([a-z][A-Za-z]*?)([0-9A-F][0-9A-Fa-f]?)", code)
    return {f"detail.{code}", *([f"detail.{numbered[1]}#"] if numbered else [])}


@pytest.mark.parametrize("said", SAYS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_device_says_of_itself(said: Any, language: str) -> None:
    assert {code for code in said() - {""} if not with_number(code) & words(language).keys()} == set()


def test_what_a_camera_says() -> None:
    assert untold("detail", {str(state) for state in CameraState}) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_how_an_order_may_end(language: str) -> None:
    """A reason of the orders' own, or what a device said."""
    fleet = sources("terminal/fleet/*.py")
    ended = called(fleet, "failed", 1) | called(fleet, "Outcome", 2)
    assert {"noCamera", "overtaken", "noAnswer", "expired", "cannotBeSent"} <= ended
    assert {code for code in ended if not {f"reason.{code}", f"detail.{code}"} & words(language).keys()} == set()


# --- what the monitor says


def test_grades_states_roles_and_commands() -> None:
    alarm = SCHEMAS["Alarm"]["properties"]
    missing = untold("state", set(command_states.STATES)) | untold("grade", set(GRADES)) | untold("role", {*people.ROLES, "system", "none"})
    missing |= untold("standing", set(alarm["standing"]["enum"])) | untold("aside", set(alarm["aside"]["enum"]))
    missing |= untold("command", set(commands.CATALOGUE)) | untold("device", set(commands.DEVICES) | {one.value for one in Device})
    missing |= untold("alarm", {*ALARMS, alarms.OFFLINE}) | untold("refusal", set(contract.REASONS))
    assert missing == set()


def test_every_action_in_the_audit() -> None:
    recorded = called(sources(*MONITOR), "record", 2)
    built = {"alarm.#": set(alarms.ACTIONS), "command.#": {"rejected", "withdrawn"}, "person.#": {"add", "password", "role", "close"}}
    assert {one for one in recorded if one.endswith("#")} == built.keys()
    every = recorded | {f"{kind[:-1]}{name}" for kind, names in built.items() for name in names}
    assert untold("action", every, without=built) == set()


def test_every_refusal_has_a_sentence() -> None:
    """Of the API, of the rules behind it, and of the pages themselves."""
    web, rules = sources("kiosk_ui/monitor/web/*.py"), sources("kiosk_ui/monitor/*.py")
    refused = called(web, "Refusal", 1) | called(rules, "CommandError", 0) | called(rules, "AlarmError", 0)
    assert {"wrongToken", "badExpiry", "tooFast", "unknownAlarm"} <= refused
    for path in STATIC.rglob("*.js"):
        refused |= set(re.findall(r'error: "(\w+)"', path.read_text(encoding="utf-8")))
    assert untold("error", refused | {"unknown", "network"}) == set()
