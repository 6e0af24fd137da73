"""The pad as its own process: real pty, real kill -9, real HTTP. And nothing it emits anywhere holds the PIN."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.devices.szzt_zt588 import Key, SzztZt588
from drivers.protocols.szzt_zt588_trace import TraceMask
from drivers.secret import Secret
from drivers.transports.base import Deadline, MonotonicClock
from drivers.transports.serial_port import SerialPort
from drivers.transports.tap import Tap, TapRecord
from simulators.control import Control, ControlError
from simulators.crypto.host_pin import HostPinKeys, decrypt_pin, key_blocks_for

pytestmark = pytest.mark.wire
KEYS = HostPinKeys.load()
SERIAL = "ZT588WIRE0000007"
PAN = "6228480000000015"
PIN = "8305174926"
CLOCK = MonotonicClock()


class PadProcess:
    """One simulator process and everything that came out of it."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "pad.state"
        self.wire = folder / "pad.tty"
        self._control_path = folder / "pad.control"
        self.heard = b""
        self.answers = ""
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "simulators.devices.pinpad", "--link", str(self.wire), "--control", str(self._control_path)]
        self.process = subprocess.Popen(
            [*command, "--state", str(self.state), "--serial", SERIAL],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout
        ready = self.process.stdout.readline()
        match = re.fullmatch(rb"ready http_port=(\d+)\n", ready)
        assert match, ready
        self.http_port = int(match[1])
        self.control = Control(self._control_path)
        self.records: list[TapRecord] = []
        self.port = SerialPort(str(self.wire), clock=CLOCK)
        self.driver = SzztZt588(Tap(self.port, self._record, CLOCK), CLOCK)

    def _record(self, record: TapRecord) -> None:
        self.records.append(record)

    def hand(self, do: str, **arguments: object) -> dict[str, object]:
        answer = self.control.call(do, **arguments)
        self.answers += json.dumps(answer)
        return answer or {}

    def press(self, body: bytes, method: str = "POST", path: str = "/press", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Content-Type": "application/json", **given})
        response = connection.getresponse()
        self.heard += response.read() + str(response.headers).encode()
        connection.close()
        return response

    def ready(self) -> SzztZt588:
        self.driver.initialise(soon())
        for name, block in key_blocks_for(SERIAL, KEYS).items():
            self.driver.load_key_block(name, Secret(block), soon())
        return self.driver

    def counter(self) -> int:
        return int.from_bytes(self.driver.status(soon()).keys[0].ksn[8:], "big")

    def end(self, number: int = signal.SIGTERM) -> int:
        self.control.close()
        self.driver.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        if self.process.stdin and self.process.stdin.closed:
            self.process.stdin = None  # communicate() would flush it
        output, _ = self.process.communicate(timeout=10)
        self.heard += output
        return self.process.returncode


def soon() -> Deadline:
    return Deadline.after(CLOCK, 10)


@pytest.fixture
def pad(tmp_path: Path) -> Iterator[PadProcess]:
    process = PadProcess(tmp_path)
    yield process
    process.end()


def entered(pad: PadProcess, pin: str, *, by_http: bool = False) -> list[Key | None]:
    pad.driver.start_pin_entry(4, 12, soon())
    for digit in pin:
        if by_http:
            assert pad.press(json.dumps({"key": digit}).encode()).status == 204
        else:
            pad.hand("press", key=digit)
    pad.hand("press", key="enter")
    return [pad.driver.next_key(soon()) for _ in range(len(pin) + 1)]


@pytest.mark.parametrize(("format", "by_http"), [("iso9564-4", False), ("iso9564-0", True)])
def test_fingers_to_bank_and_the_pin_is_nowhere_in_between(pad: PadProcess, format: str, by_http: bool) -> None:
    driver = pad.ready()
    assert entered(pad, PIN, by_http=by_http) == [Key(None)] * len(PIN) + [Key("enter")]
    state = pad.hand("state")
    assert (state["mode"], state["mask_count"], state["http_port"]) == ("complete", len(PIN), pad.http_port)
    made = driver.get_pin_block(Secret(PAN), format, soon())
    assert decrypt_pin(format, made.block.reveal(), made.ksn, PAN, KEYS) == PIN
    pad.hand("state")
    with pytest.raises(ControlError) as caught:
        pad.hand("press", key=PIN)
    assert pad.end() == 0
    wire = b"".join(record.data for record in pad.records)
    everything = wire + pad.heard + pad.answers.encode() + pad.state.read_bytes() + str(caught.value).encode()
    assert len(everything) > 500
    for trace in (PIN, PIN.encode().hex(), PIN.encode().hex().upper(), " ".join(PIN), ",".join(PIN)):
        assert trace.encode() not in everything
    assert bytes.fromhex(PIN) not in everything
    # Not even one digit after another on its own: outside frames only masks and enter ever came.
    came = b"".join(record.data for record in pad.records if record.direction.value == "fromDevice")
    presses = re.sub(rb"\x02\d{3}[^\x02]*?\x03[0-9A-F]{2}", b"", came)
    assert presses == b"*" * len(PIN) + b"\r"


def test_a_masked_trace_holds_neither_pan_nor_block_nor_amount(pad: PadProcess) -> None:
    shown: list[bytes] = []
    driver = SzztZt588(Tap(pad.port, lambda record: shown.append(record.data), CLOCK, TraceMask()), CLOCK)
    pad.driver = driver
    pad.ready()
    entered(pad, PIN)
    made = driver.get_pin_block(Secret(PAN), "iso9564-4", soon())
    driver.start_clear_entry(soon())
    pad.hand("type", digits="4711")
    assert [driver.next_key(soon()) for _ in range(4)] == [Key(None, digit) for digit in "4711"]
    trace = b"".join(shown)
    for secret in (
        PAN.encode(),
        made.block.reveal().hex().upper().encode(),
        *(block.encode() for block in key_blocks_for(SERIAL, KEYS).values()),
    ):
        assert secret not in trace
    assert b"****" in trace
    assert b"4711" not in trace


def test_the_counter_survives_kill_9(pad: PadProcess) -> None:
    pad.ready()
    for expected in (1, 2, 3):
        entered(pad, "1357")
        made = pad.driver.get_pin_block(Secret(PAN), "iso9564-4", soon())
        assert int.from_bytes(made.ksn[8:], "big") == expected
        pad.end(signal.SIGKILL)
        pad.start()
        assert pad.counter() == expected  # keys and counter are still there
    assert pad.state.stat().st_mode & 0o077 == 0


def test_a_block_whose_answer_is_lost_has_used_its_counter(pad: PadProcess) -> None:
    pad.ready()
    entered(pad, "1357")
    pad.hand("fault", name="drop_reply", value=1)
    with pytest.raises(Exception, match="did not answer"):
        pad.driver.get_pin_block(Secret(PAN), "iso9564-4", Deadline.after(CLOCK, 0.3))
    pad.end(signal.SIGKILL)
    pad.start()
    assert pad.counter() == 1


def test_the_door_lets_only_this_machine_in(pad: PadProcess) -> None:
    key = b'{"key": "5"}'
    here = f"http://127.0.0.1:{pad.http_port + 1}"
    answer = pad.press(key, Origin=here)
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, here)
    assert pad.press(b"", "OPTIONS", Origin="http://localhost:8080").status == 204
    foreign = pad.press(key, Origin="https://example.com")
    assert (foreign.status, foreign.headers["Access-Control-Allow-Origin"]) == (403, None)
    assert pad.press(b"", "OPTIONS", Origin="http://127.0.0.1.example.com").status == 403
    assert pad.press(key, Origin="null").status == 403
    assert pad.press(key, Host="evil.example:80").status == 403
    assert pad.press(key, Content_Type="text/plain").status == 400
    assert pad.press(key, "GET").status == 405
    assert pad.press(key, path="/state").status == 404
    for body in (b'{"key": "12"}', b"{}", b"[]", b"5", b"\xff", b'{"key": 5}'):
        assert pad.press(body).status == 400


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00" * 5000,
        b"POST /press HTTP/1.1\r\nContent-Length: 99999\r\n\r\n",
        b"POST /press HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_the_door_refuses_what_is_no_bounded_request(pad: PadProcess, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", pad.http_port), timeout=5) as client:
        client.sendall(request_bytes)
        assert client.recv(100).startswith(b"HTTP/1.1 4")
    assert pad.hand("state")["mode"] == "idle"


def test_idle_visitors_do_not_block_the_door(pad: PadProcess) -> None:
    idle = [socket.create_connection(("127.0.0.1", pad.http_port), timeout=5) for _ in range(40)]
    assert pad.press(b'{"key": "5"}').status == 204
    for client in idle:
        client.close()
    assert pad.press(b'{"key": "5"}').status == 204


def test_a_tampered_pad_stays_tampered(pad: PadProcess) -> None:
    pad.ready()
    pad.hand("tamper")
    pad.end(signal.SIGKILL)
    pad.start()
    status = pad.driver.status(soon())
    assert (status.tampered, status.keys) == (True, ())


@pytest.mark.parametrize("contents", ["", "[]", '{"tampered": false, "slots": {"1": "D"}, "counters": {}}', '{"tampered": 0}'])
def test_a_broken_state_file_is_a_sentence(tmp_path: Path, contents: str) -> None:
    state = tmp_path / "state"
    state.write_text(contents)
    command = [sys.executable, "-m", "simulators.devices.pinpad", "--link", str(tmp_path / "l"), "--control", str(tmp_path / "c")]
    ended = subprocess.run([*command, "--state", str(state)], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert ended.returncode == 2
    assert ended.stderr.startswith("pinpad: ")
    assert "Traceback" not in ended.stderr


def test_the_pad_ends_with_its_parent(pad: PadProcess) -> None:
    assert pad.process.stdin
    pad.process.stdin.close()
    assert pad.process.wait(timeout=10) == 0
    assert not pad.wire.exists()
