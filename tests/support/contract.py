"""The contract with the bank, held against what tests and demo really send: a topic, a type or a field that it does not know is a failure.

`TOPICS` says which messages a topic carries; a test holds it against docs/asyncapi.yaml as @asyncapi/parser reads it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from jsonschema import Draft202012Validator, FormatChecker
from paho.mqtt.enums import CallbackAPIVersion

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
TOPICS: Mapping[str, frozenset[str]] = {
    "state": frozenset({"ATMDeviceReport"}),
    "telemetry": frozenset({"TelemetryReport"}),
    "event": frozenset(
        {
            *("GlobalStatusChanged", "DeviceStatusChanged", "CashUnitChanged", "SecurityEvent"),
            "ATMFaceVerificationAdvice",
        }
    ),
    "alarm": frozenset({"ATMExceptionAdvice"}),
    "txn": frozenset({"ATMWithdrawalCompletionAdvice", "ATMFaceConsentAdvice"}),
    "auth": frozenset({"ATMWithdrawalRequest", "ATMInquiryRequest", "ATMFaceManagementRequest"}),
    "auth/resp": frozenset({"ATMWithdrawalResponse", "ATMInquiryResponse", "ATMFaceManagementResponse"}),
    "ack": frozenset({"ATMCompletionAcknowledgement"}),
    "cmd": frozenset({"ATMDeviceControl"}),
    "cmd/resp": frozenset({"ATMDeviceControlResult"}),
    "desired": frozenset({"ConfigurationDesired"}),
    "reported": frozenset({"ConfigurationReported"}),
}


@cache
def validator(type_: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{type_}.json").read_text(encoding="utf-8")), format_checker=FormatChecker())


def fault(topic: str, payload: bytes | str) -> str:
    """What is wrong with a message on a topic, as a sentence; ""."""
    parts = topic.split("/", 4)
    if parts[:2] != ["bank", "v1"] or len(parts) != 5 or parts[4] not in TOPICS:
        return f"{topic}: the contract has no such topic"
    try:
        message = json.loads(payload)
    except ValueError:
        return f"{topic}: not JSON"
    type_ = message.get("type") if isinstance(message, dict) else None
    if type_ not in TOPICS[parts[4]]:
        return f"{topic}: the contract has no {type_} there"
    return message_fault(message)


def message_fault(message: Mapping[str, Any]) -> str:
    """What is wrong with a message, wherever it goes."""
    type_ = str(message.get("type"))
    if not any(type_ in types for types in TOPICS.values()):
        return f"{type_}: the contract has no such message"
    errors = sorted(validator(type_).iter_errors(message), key=lambda error: len(error.absolute_path))
    return "; ".join(f"{type_} at {error.json_path}: {error.message[:300]}" for error in errors[:3])


class Recorder:
    """Everything that was seen, by topic leaf and type, and every fault."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.faults: list[str] = []

    def saw(self, topic: str, payload: bytes | str) -> None:
        found = fault(topic, payload)
        if found:
            self.faults.append(found)
            return
        self.seen[f"{topic.split('/', 4)[4]} {json.loads(payload)['type']}"] += 1


class Listener:
    """A client of a real broker that listens to all terminals, for as long as the broker is there. `leaves`: of what is said on these."""

    def __init__(self, url: str, recorder: Recorder, leaves: Sequence[str] = ("#",)) -> None:
        parts = urlsplit(url)
        self.listens = threading.Event()
        self._recorder = recorder
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="contract", protocol=mqtt.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe([(f"bank/v1/+/+/{leaf}", 1) for leaf in leaves])
        self._client.on_subscribe = lambda *_: self.listens.set()
        self._client.on_message = self._on_message
        assert parts.hostname is not None
        self._client.connect(parts.hostname, parts.port or 1883, clean_start=mqtt.MQTT_CLEAN_START_FIRST_ONLY)
        self._client.loop_start()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._recorder.saw(message.topic, message.payload)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._client.disconnect()
        self._client.loop_stop()
