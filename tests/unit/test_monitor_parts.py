"""Forecast, grades, states of commands, configuration, passwords: the monitor's parts by themselves."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitor_database import new_database, rows, take
from monitor_says import NOW, Terminal

from kiosk_ui.monitor import command_states as states
from kiosk_ui.monitor import people
from kiosk_ui.monitor.config import ConfigError, SigningSection, ThresholdSection, load_config
from kiosk_ui.monitor.contract import read
from kiosk_ui.monitor.forecast import HOUR_MS, empty_at
from kiosk_ui.monitor.grading import judge, listen, summarise
from kiosk_ui.monitor.observer import adopt
from kiosk_ui.monitor.picture import apply, empty, heard
from kiosk_ui.monitor.schema import AUDIT, RUN
from kiosk_ui.monitor.signing import canonical, load_signer, new_key
from kiosk_ui.monitor.web.app import STATIC

PRESENT = NOW // HOUR_MS


def test_a_steady_use_empties_when_arithmetic_says() -> None:
    used = [(hour, 10) for hour in range(PRESENT - 100, PRESENT)]
    found = empty_at(100, used, NOW)
    assert found is not None and abs(found - NOW - 10 * HOUR_MS) < HOUR_MS


def test_nights_are_quiet_in_the_forecast() -> None:
    """Used at eight hours of the day only: 100 notes at 10 an hour last into the second day's hours."""
    open_hours = {(PRESENT + n) % 24 for n in range(8)}
    used = [(hour, 10) for hour in range(PRESENT - 24 * 7, PRESENT) if hour % 24 in open_hours]
    found = empty_at(100, used, NOW)
    assert found is not None and 24 * HOUR_MS < found - NOW < 27 * HOUR_MS


def test_too_little_known_says_nothing() -> None:
    assert empty_at(50, [], NOW) is None
    assert empty_at(50, [(PRESENT - 2, 40)], NOW) is None
    assert empty_at(5000, [(hour, 1) for hour in range(PRESENT - 50, PRESENT)], NOW) is None, "not within two weeks"
    assert empty_at(0, [], NOW) == NOW


@given(st.integers(1, 3000), st.lists(st.tuples(st.integers(PRESENT - 400, PRESENT + 5), st.integers(0, 60)), max_size=60))
def test_a_forecast_is_never_in_the_past_and_more_notes_last_longer(count: int, used: list[tuple[int, int]]) -> None:
    found, more = empty_at(count, used, NOW), empty_at(count + 50, used, NOW)
    assert found is None or found >= NOW
    assert more is None or (found is not None and more >= found)


def grade(*said: tuple[str, bytes], now: int = NOW, worst: str = "") -> tuple[str, tuple[str, ...]]:
    picture = empty()
    for topic, payload in said:
        message = read(topic, payload)
        apply(picture, message, NOW)
        heard(picture, message, NOW)
    line = summarise("T0001", "B001", "", 1, picture)
    line.worst = worst
    listen(line, now, ThresholdSection().silent_after_s, 0)
    judge(line, now, ThresholdSection())
    return line.grade, line.why


def test_grades() -> None:
    terminal = Terminal()
    assert grade(terminal.state()) == ("ok", ())
    assert grade() == ("offline", ("neverHeard",))
    assert grade(terminal.state(), now=NOW + 301_000) == ("offline", ("silent",))
    assert grade(terminal.state(), terminal.offline()) == ("offline", ("linkLost",))
    assert grade(terminal.state(at=NOW - 9), terminal.device("cardReader", "hardwareError")) == ("fault", ("cardReader.hardwareError",))
    assert grade(terminal.state(at=NOW - 9), terminal.device("printer", "hardwareError")) == ("attention", ("printer.hardwareError",))
    assert grade(terminal.state(at=NOW - 9), terminal.device("faceVerifier", "noDevice")) == ("ok", ())
    assert grade(terminal.state(at=NOW - 9), terminal.device("printer", "fraudAttempt")) == ("fault", ("printer.tampered",))
    assert grade(terminal.state(service="outOfService", reasons=["noCash"])) == ("fault", ("noCash",))
    assert grade(terminal.state(service="outOfService", reasons=[])) == ("fault", ("outOfService",))
    assert grade(terminal.state(service="outOfService", reasons=["outOfServiceByOperator"])) == ("attention", ("outOfServiceByOperator",))
    assert grade(terminal.state(at=NOW - 9), terminal.cash("1", 3, replenishment="low")) == ("attention", ("cash.low",))
    assert grade(terminal.state(latched={"transactionId": "T0001-00000001", "cause": "outcomeUnknown"}))[0] == "fault"
    assert grade(terminal.state(), worst="critical") == ("fault", ("criticalAlarm",))
    assert grade(terminal.state(), worst="minor") == ("attention", ("minorAlarm",))
    late = terminal.agent(certificateDaysLeft=9, clockOffsetMs=-60_000)
    assert grade(terminal.state(agent=late))[1] == ("clockWrong", "certificateExpiring")


SAID = ("received", "waiting", "executing", "succeeded", "failed", "refused", "cancelled", "expired")


def test_a_final_word_of_the_terminal_is_never_taken_back() -> None:
    for state, said in itertools.product(("succeeded", "failed", "cancelled", "expired", "rejected"), SAID):
        assert states.advance(state, None, said, None) is None
    for said in SAID:
        assert states.advance("timedOut", None, said, None) == (said if said in SAID[3:] else None), "a late result still counts"
    assert states.advance("sent", None, "executing", None) == "delivered"
    for said in SAID:
        assert states.advance("withdrawn", None, said, None) == (said if said in SAID[3:] else "delivered"), "it was leaving already"


def test_the_refusal_of_a_second_copy_says_nothing_of_the_first() -> None:
    assert states.advance("delivered", None, "refused", "replayed") is None
    assert states.advance("sent", None, "refused", "replayed") == "refused"
    assert states.advance("refused", "replayed", "succeeded", None) == "succeeded"
    assert states.advance("refused", "wrongRole", "succeeded", None) is None


WRONG = [
    ("", "broker is missing"),
    ('[broker]\nurl = "http://x"', "broker.url must be"),
    ('[broker]\nurl = "mqtts://x"', "broker.ca is needed"),
    ('[broker]\nurl = "mqtt://x"\nport = 7', "broker.port is not a setting"),
    ('[broker]\nurl = "mqtt://x"\n[ingest]\nworkers = 99', "ingest.workers must be 1 to 16"),
    ('[broker]\nurl = "mqtt://x"\n[ingest]\nworkers = "2"', "ingest.workers must be a whole number"),
    ('[broker]\nurl = "mqtt://x"\n[database]\nurl = "mysql://x"', "database.url must begin with"),
    ('[broker]\nurl = "mqtt://x"\n[server]\nhost = "0.0.0.0"', "passwords need TLS"),
    ('[broker]\nurl = "mqtt://x"\n[server]\nhost = "here"', "server.host must be an address"),
    ('[broker]\nurl = "mqtt://x"\n[server]\norigin = "monitor"', "server.origin must be as"),
    ('[broker]\nurl = "mqtt://x"\n[monitor]\ntime_zone = "Mars/Olympus"', "there is no zone"),
    ('[broker]\nurl = "mqtt://x"\n[[region]]\nid = "a"\nzh = "a"\nen = "a"\nbranches = []', "region[0].branches must be a list"),
    ("broker", "monitor.toml"),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_a_wrong_configuration_is_refused_with_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert sentence in str(refused.value)


def test_passwords_are_hashed_with_a_salt_and_weak_ones_refused() -> None:
    one, two = people.hash_password("correct horse"), people.hash_password("correct horse")
    assert one != two and "correct" not in one and people.verify_password("correct horse", one) and not people.verify_password("wrong", one)
    for name, password in (("li", "short"), ("wanglei", "wanglei12345"), ("li", "aaaaaaaaaaaa"), ("li", "x" * 300)):
        with pytest.raises(people.PeopleError):
            people.check_password(name, password)


def test_a_signing_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "centre.pem"
    made = new_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_signer(SigningSection(path)).key_id == made.key_id
    with pytest.raises(FileExistsError):
        new_key(path)
    os.chmod(path, 0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        load_signer(SigningSection(path))
    with pytest.raises(ValueError, match="whole numbers"):
        canonical({"a": [{"b": 1.5}]})


def test_what_a_terminal_no_longer_has_is_given_up_after_a_time_and_recorded(tmp_path: Path) -> None:
    with new_database("sqlite", tmp_path) as database:
        terminal = Terminal()
        terminal.seq["audit"] = 7
        said = [terminal.cash("1", 5), terminal.cash("1", 4)]
        for again in range(4):
            assert take(database, said, now=NOW + again * 60_000).acks == []
        with database.write() as connection:
            assert adopt(connection, NOW + 300_000, 600_000) == []
            assert adopt(connection, NOW + 700_000, 600_000) == ["T0001/audit/1: 1-7"]
        assert [ack.upto for ack in take(database, said, now=NOW + 700_000).acks] == [9]
        assert rows(database, RUN)[0]["blocked_since"] is None
        assert rows(database, AUDIT)[0]["who"] == "monitor"


def test_new_numbers_after_a_long_time_show_that_somebody_else_acknowledges(tmp_path: Path) -> None:
    with new_database("sqlite", tmp_path) as database:
        terminal = Terminal()
        terminal.seq["audit"] = 7
        take(database, [terminal.cash("1", 5)])
        with database.write() as connection:
            assert adopt(connection, NOW + 700_000, 600_000) == [], "it may just be silent"
        take(database, [terminal.cash("1", 4)], now=NOW + 700_000)
        with database.write() as connection:
            assert adopt(connection, NOW + 700_000, 600_000) == ["T0001/audit/1: 1-7"]


def test_both_languages_have_the_same_words_and_blanks() -> None:
    import re

    texts = {lang: json.loads((STATIC / "texts" / f"{lang}.json").read_text(encoding="utf-8")) for lang in ("zh", "en")}
    assert set(texts["zh"]) == set(texts["en"])
    for key, zh in texts["zh"].items():
        assert sorted(re.findall(r"\{\w+\}", zh)) == sorted(re.findall(r"\{\w+\}", texts["en"][key])), key


def test_every_word_that_the_pages_ask_for_is_there() -> None:
    import re

    words = json.loads((STATIC / "texts" / "en.json").read_text(encoding="utf-8"))
    asked: set[str] = set()
    for path in STATIC.rglob("*.js"):
        asked |= set(re.findall(r'\bt\("([\w.]+)"', path.read_text(encoding="utf-8")))
    assert len(asked) > 80 and asked <= set(words), asked - set(words)
