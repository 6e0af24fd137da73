"""What is known of one terminal, made of its messages. Pure, and the same in whatever order the messages come: of each part the
newest message counts (terminal's time, then epoch and seq), so workers need not agree on an order.

A picture is plain JSON. Only `link`, `linkAt` and `heard` follow the order of arrival: a will carries the time of the connection
that it ends, so nothing but its arrival says when it happened.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kiosk_ui.monitor.contract import MAX_NUMBER, Message, Refused, milliseconds

Picture = dict[str, Any]
Key = list[Any]
AHEAD_MS = 60_000  # a clock that is further ahead is not believed
SPOKE_AGAIN_MS = 2_000  # what was in another worker's hands when the will came
FRESH_MS = 120_000
WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MAX_DEVICES, MAX_UNITS = 32, 32
ONE_TYPE = {"state": "ATMDeviceReport", "telemetry": "TelemetryReport", "reported": "ConfigurationReported"}
_UNIT_NUMBERS = ("minor", "initial", "presented", "rejected", "unknown", "count")
_UNIT_WORDS = ("currency", "accuracy", "status", "replenishmentStatus")


def empty() -> Picture:
    return {"link": "unknown", "linkAt": 0, "heard": 0, "state": {}, "devices": {}, "units": {}, "telemetry": {}, "reported": {}}


def heard(picture: Picture, message: Message, received: int) -> None:
    """The terminal spoke (or its will did): link and last word."""
    if message.leaf == "state":
        link = message.data.get("state")
        if link != picture["link"]:
            picture["link"], picture["linkAt"] = link, received
        if link == "offline":
            return
    elif picture["link"] != "online" and received - picture["linkAt"] > SPOKE_AGAIN_MS and received - message.at < FRESH_MS:
        picture["link"], picture["linkAt"] = "online", received
    if message.retained:  # the broker still holds it: no will has come since
        picture["vouched"] = received
    picture["heard"] = max(picture["heard"], min(message.at, received) if message.retained else received)


def apply(picture: Picture, message: Message, received: int) -> None:
    """The part of the picture that the message is about. Refused, with the picture unchanged, when its data does not read."""
    key = [min(message.at, received + AHEAD_MS), message.epoch or MAX_NUMBER, message.seq, message.digest[:12]]
    change = _CHANGES.get((message.leaf, message.type))
    if change is not None:
        change(picture, message.data, key)
    elif message.leaf in ONE_TYPE:
        raise Refused("unknownType", f"{message.leaf} carries {ONE_TYPE[message.leaf]}")
    picture["journal"] = max(picture.get("journal", 0), message.journal)


def believed(at: int, received: int) -> int:
    """The terminal's time, unless its clock is ahead: then, when it came."""
    return at if at <= received + AHEAD_MS else received


def word(data: dict[str, Any], name: str, *, optional: bool = False) -> str | None:
    value = data.get(name)
    if optional and value in (None, ""):
        return None
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise Refused("badData", f"data.{name} is not a code")
    return value


def line(data: dict[str, Any], name: str) -> str:
    """Text for a person, made fit to show; "" when there is none."""
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused("badData", f"data.{name} is not text")
    return "".join(one for one in (value or "")[:200] if one.isprintable())


def whole(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_NUMBER:
        raise Refused("badData", f"data.{name} is not an integer")
    return value


def _table(data: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = data.get(name)
    if value is not None and not isinstance(value, dict):
        raise Refused("badData", f"data.{name} is not an object")
    return value


def _newer(key: Key, picture: Picture, name: str) -> bool:
    return bool(key > picture.get(name, []))


def _state(picture: Picture, data: dict[str, Any], key: Key) -> None:
    if data.get("state") not in ("online", "offline"):
        raise Refused("badData", "data.state is neither online nor offline")
    if data["state"] == "offline":
        return
    service, reasons = word(data, "service", optional=True), data.get("reasons")
    agent, latched = _table(data, "agent"), _table(data, "latched")
    if reasons is not None and not (
        isinstance(reasons, list) and all(isinstance(one, str) and (one == "" or WORD.fullmatch(one)) for one in reasons)
    ):
        raise Refused("badData", "data.reasons is not a list of codes")
    devices, units = _devices(data), _units(data)
    restarts = {name: whole(one, "restarts") or 0 for name, one in (data.get("devices") or {}).items()}
    if _newer(key, picture, "stateKey"):
        picture["stateKey"] = key
        picture["state"] = {
            "service": service,
            "reasons": [one for one in reasons or [] if one][:16],
            "since": milliseconds(data.get("since")),
            "latched": latched,
            "agent": agent or {},
            "restarts": restarts,
        }
    _replace(picture, "devices", devices, key)
    _replace(picture, "units", units, key)


def _replace(picture: Picture, name: str, found: dict[str, Any] | None, key: Key) -> None:
    """A whole set: what it does not name is gone, unless it is newer."""
    if found is None:
        return
    whole_set = f"{name}Key"
    for one, value in found.items():
        _put(picture, name, one, value, key)
    if _newer(key, picture, whole_set):
        picture[whole_set] = key
        picture[name] = {one: value for one, value in picture[name].items() if value["key"] >= key}


def _put(picture: Picture, name: str, one: str, value: dict[str, Any], key: Key) -> None:
    have = picture[name].get(one)
    if key >= picture.get(f"{name}Key", []) and (have is None or key > have["key"]):
        picture[name][one] = {**value, "key": key}


def _device(data: dict[str, Any]) -> dict[str, Any]:
    return {"device": word(data, "device"), "detail": line(data, "detail")}


def _devices(data: dict[str, Any]) -> dict[str, Any] | None:
    found = _table(data, "devices")
    if found is None:
        return None
    if len(found) > MAX_DEVICES or not all(WORD.fullmatch(name) and isinstance(one, dict) for name, one in found.items()):
        raise Refused("badData", "data.devices is not a table of devices")
    return {name: _device(one) for name, one in found.items()}


def _unit(data: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(data, dict):
        raise Refused("badData", "a cash unit is not an object")
    values: dict[str, Any] = {name: whole(data, name) for name in _UNIT_NUMBERS}
    values |= {name: word(data, name, optional=True) for name in _UNIT_WORDS}
    return str(word(data, "unit")), values


def _units(data: dict[str, Any]) -> dict[str, Any] | None:
    found = data.get("cashUnits")
    if found is None:
        return None
    if not isinstance(found, list) or len(found) > MAX_UNITS:
        raise Refused("badData", "data.cashUnits is not a list of cash units")
    return dict(_unit(one) for one in found)


def _telemetry(picture: Picture, data: dict[str, Any], key: Key) -> None:
    agent, counts, timings = _table(data, "agent"), _table(data, "counts"), _table(data, "timings_ms")
    order = [key[1], key[2]]
    if order > picture.get("telemetryKey", []):
        picture["telemetryKey"], picture["telemetryAt"] = order, key[0]
        picture["telemetry"] = {"agent": agent or {}, "counts": counts or {}, "timings_ms": timings or {}}


def _device_changed(picture: Picture, data: dict[str, Any], key: Key) -> None:
    to = _table(data, "to")
    if to is None:
        raise Refused("badData", "data.to is missing")
    _put(picture, "devices", str(word(data, "device")), _device(to), key)


def _unit_changed(picture: Picture, data: dict[str, Any], key: Key) -> None:
    name, value = _unit(data)
    _put(picture, "units", name, value, key)


def _reported(picture: Picture, data: dict[str, Any], key: Key) -> None:
    version, state, reason = whole(data, "version"), word(data, "state"), line(data, "reason")
    if _newer(key, picture, "reportedKey"):
        picture["reportedKey"] = key
        picture["reported"] = {
            "version": version,
            "state": state,
            "active": data.get("active"),
            "reason": reason,
            "at": key[0],
        }


_CHANGES: dict[tuple[str, str], Callable[[Picture, dict[str, Any], Key], None]] = {
    ("state", "ATMDeviceReport"): _state,
    ("telemetry", "TelemetryReport"): _telemetry,
    ("event", "DeviceStatusChanged"): _device_changed,
    ("event", "CashUnitChanged"): _unit_changed,
    ("reported", "ConfigurationReported"): _reported,
}
