"""Everything a withdrawal leaves behind or says aloud is searched for what must never be there."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from simulators.camera.scenes import make_scenes
from simulators.stage.customer import Customer
from simulators.stage.demo import TIMEOUTS
from simulators.stage.scenarios import PIN, Scene, success
from simulators.stage.setting import Options, Stage

pytestmark = pytest.mark.wire
CACHE = Path(__file__).parents[2] / ".cache" / "camera"
PAN = "6228480000000015"


def listen(stage: Stage, heard: list[bytes]) -> mqtt.Client:
    """Every message on the broker, topic included."""
    assert stage.broker is not None
    subscribed = threading.Event()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_message = lambda _client, _data, message: heard.append(message.topic.encode() + b" " + message.payload)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(stage.broker.host, stage.broker.port)
    client.subscribe("#", qos=1)
    client.loop_start()
    assert subscribed.wait(10)
    return client


def test_no_pin_no_pan_no_template_anywhere() -> None:
    make_scenes(CACHE)
    template = json.loads((CACHE / "templates.json").read_text())["templates"]["customer"]["encoding"]
    folder = Path(tempfile.mkdtemp(prefix="branch-"))
    stage = Stage(folder, Options(faces=CACHE, timeouts=TIMEOUTS, mechanics=4.0, printer_bytes_per_s=9600.0))
    heard: list[bytes] = []
    views: list[str] = []
    try:
        stage.set()
        client = listen(stage, heard)
        customer = Customer(stage, lambda who, what: views.append(what))
        success(Scene(stage, customer, lambda *_: None))
        customer.goes()
        client.loop_stop()
        client.disconnect()
        states = [json.dumps(stage.hand(name).call("state")) for name in ("pinpad", "dispenser", "printer")]
    finally:
        stage.strike()
    left = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.is_relative_to(folder)}
    shutil.rmtree(folder)
    terminals_own = {path: data for path, data in left.items() if "bank" not in path.relative_to(folder).parts}
    assert any(path.name == "journal.sqlite" for path in terminals_own)
    spoken = [*heard, *(text.encode() for text in (*views, *states)), *terminals_own.values()]
    assert any(b"ATMWithdrawalRequest" in message for message in heard)
    assert any(b"ATMWithdrawalCompletionAdvice" in message for message in heard)
    for secret in (PAN.encode(), PAN.encode().hex().encode(), bytes.fromhex(PAN), template.encode(), bytes.fromhex(template)):
        assert not [data[:80] for data in spoken if secret in data]
    assert not [message for message in heard if PIN.encode() in message]
    assert not [text for text in (*views, *states) if PIN in text]
    assert not [path for path, data in terminals_own.items() if PIN.encode() in data and path.suffix in (".sqlite", ".log", ".jsonl")]
