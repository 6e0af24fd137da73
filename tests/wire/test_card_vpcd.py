"""The card by the terminal's own reader on the vpcd wire: no pcscd, and deadlines that hold."""

from __future__ import annotations

import datetime
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.emv.capk import load_capks
from drivers.emv.cryptogram import Kind
from drivers.emv.faults import CardFault
from drivers.emv.session import EmvSession
from drivers.emv.terminal import TerminalData, TransactionData
from drivers.errors import ConfigurationFault, LinkError
from drivers.transports.base import CardPresence, Deadline, MonotonicClock
from drivers.transports.vpcd_wire import VpcdReader
from simulators.card.capk import capk_toml
from simulators.card.keys import load_card_keys
from simulators.control import Control
from simulators.crypto.emv import issuer_response, load_issuer_keys, verify_arqc

pytestmark = pytest.mark.wire
CLOCK = MonotonicClock()
EMPTY = CardPresence(False, b"", 0)
NOON = datetime.datetime(2026, 11, 22, 4, 0, tzinfo=datetime.UTC)


def after(seconds: float = 20.0) -> Deadline:
    return Deadline.after(CLOCK, seconds)


@pytest.fixture
def reader() -> Iterator[VpcdReader]:
    found = VpcdReader("127.0.0.1", 0, CLOCK)
    yield found
    found.close()


@pytest.fixture
def hand(reader: VpcdReader, tmp_path: Path) -> Iterator[Control]:
    path = tmp_path / "control"
    command = [sys.executable, "-m", "simulators.card", "--port", str(reader.port), "--control", str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    assert process.stdout.readline() == b"ready\n"
    control = Control(path)
    yield control
    control.close()
    process.stdin.close()  # the simulator ends with its parent
    assert process.wait(10) == 0
    process.stdout.close()
    assert not path.exists()


def session(reader: VpcdReader, folder: Path) -> EmvSession:
    path = folder / "capk.toml"
    path.write_text(capk_toml(load_card_keys()), encoding="utf-8")
    return EmvSession(reader.connect(), TerminalData(), lambda n: bytes(n), load_capks(path))


@pytest.mark.parametrize(("card", "pan", "psn"), [("everyday", "6228480000000015", 1), ("two-applications", "6228480000000023", 1)])
def test_a_withdrawal(reader: VpcdReader, hand: Control, tmp_path: Path, card: str, pan: str, psn: int) -> None:
    assert reader.wait_change(None, after(0)) == EMPTY
    hand.call("insert", card=card)
    seen = reader.wait_change(EMPTY, after())
    assert seen.present and seen.generation == 1 and seen.atr[:1] == b"\x3b"
    s = session(reader, tmp_path)
    s.select(s.applications(after())[0], after())
    first = s.first_generate_ac(TransactionData(10_000, "CNY", NOON, 1), after())
    check = verify_arqc(first.field55, pan, psn, load_issuer_keys())
    assert check.ok, check.reason
    assert s.second_generate_ac(issuer_response(check, True, load_issuer_keys()), True, after()).kind is Kind.TC
    hand.call("remove")
    gone = reader.wait_change(seen, after())
    assert not gone.present and gone.generation == 1


def test_a_card_pulled_in_the_middle_of_a_command(reader: VpcdReader, hand: Control, tmp_path: Path) -> None:
    hand.call("insert", card="everyday")
    reader.wait_change(EMPTY, after())
    s = session(reader, tmp_path)
    hand.call("pull_after", ins="A8")
    with pytest.raises(LinkError):
        s.select(s.applications(after())[0], after())
    assert not reader.wait_change(None, after(0)).present
    with pytest.raises(LinkError, match="no card"):
        reader.connect()


def test_a_mute_card_is_given_up_at_the_deadline_and_its_late_answer_never_read(reader: VpcdReader, hand: Control, tmp_path: Path) -> None:
    hand.call("insert", card="everyday")
    seen = reader.wait_change(EMPTY, after())
    s = session(reader, tmp_path)
    candidate = s.applications(after())[0]
    hand.call("slow", seconds=0.4)
    with pytest.raises(CardFault) as caught:
        s.select(candidate, after(0.2))
    assert caught.value.name == "mute"
    hand.call("clear_faults")
    with pytest.raises(LinkError, match="closed"):
        s.select(candidate, after())
    while seen.generation == 1 or not seen.present:
        seen = reader.wait_change(seen, after())
    s = session(reader, tmp_path)
    assert s.select(s.applications(after())[0], after()).masked_pan == "622848******0015"


def test_a_swapped_card_has_another_generation_and_the_old_channel_is_dead(reader: VpcdReader, hand: Control, tmp_path: Path) -> None:
    hand.call("insert", card="everyday")
    seen = reader.wait_change(EMPTY, after())
    s = session(reader, tmp_path)
    candidate = s.applications(after())[0]
    hand.call("swap", card="static")
    with pytest.raises(LinkError):
        s.select(candidate, after())
    while not (seen.present and seen.generation == 2):
        seen = reader.wait_change(seen, after())
    s = session(reader, tmp_path)
    assert s.select(s.applications(after())[0], after()).masked_pan == "622848******0031"


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationFault, match=str(port)):
            VpcdReader("127.0.0.1", port, CLOCK)


def test_the_simulators_start_says_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simulators.card", "--control", str(tmp_path / "c"), "--insert", "gold"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert 'there is no card "gold"' in ended.stderr and "Traceback" not in ended.stderr
