"""Whatever comes on the monitor's topics: refused with a counted reason or applied, never an error that stops a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monitor_database import counters, new_database, rows, take
from monitor_says import NOW, ORDER, Terminal, utc

from kiosk_ui.monitor.config import ThresholdSection
from kiosk_ui.monitor.contract import LEAVES, REASONS, Refused, read
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.grading import judge, summarise
from kiosk_ui.monitor.picture import apply, empty, heard
from kiosk_ui.monitor.schema import REFUSAL, TERMINAL

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with new_database("sqlite", tmp_path_factory.mktemp("bad")) as found:
        yield found


def valid() -> list[tuple[str, bytes]]:
    terminal = Terminal()
    return [
        *(
            terminal.state(),
            terminal.telemetry(),
            terminal.device("printer", "offline"),
            terminal.cash("1", 5),
            terminal.alarm("consumableLow"),
        ),
        *(terminal.advice(), terminal.result(ORDER, "succeeded"), terminal.offline()),
        terminal.says("reported", "ConfigurationReported", {"version": 3, "state": "applied", "active": 3, "reason": "", "at": utc(NOW)}),
    ]


VALID = valid()
THRESHOLD = ThresholdSection()


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    for key, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths(one, (*at, key))


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid message in which one thing was replaced, or taken out."""
    topic, payload = draw(st.sampled_from(VALID))
    message = json.loads(payload)
    places = [place for place in paths(message) if place]
    place = draw(st.sampled_from(places))
    inner = message
    for key in place[:-1]:
        inner = inner[key]
    if draw(st.booleans()):
        inner[place[-1]] = draw(JSON)
    else:
        del inner[place[-1]]
    return topic, json.dumps(message).encode()


RANDOM_TOPICS = st.sampled_from([f"bank/v1/B001/T0001/{leaf}" for leaf in LEAVES]) | st.text(max_size=40)
ANYTHING = st.tuples(RANDOM_TOPICS, st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode())) | mutated()


@settings(max_examples=300)
@given(said=st.lists(ANYTHING, max_size=8))
def test_each_message_is_counted_as_applied_repeated_or_refused(said: list[tuple[str, bytes]], database: Database) -> None:
    before = counters(database)
    take(database, said)
    new = counters(database) - before
    assert new["received"] == len(said)
    told = sum(n for name, n in new.items() if name.split(".")[0] in ("taken", "repeated", "refused"))
    assert told >= len(said)
    assert {name.split(".")[1] for name in new if name.startswith("refused.")} <= set(REASONS)
    for row in rows(database, TERMINAL):
        known = json.loads(row["picture"])
        judge(summarise(row["terminal"], row["branch"], "", 1, known), NOW, THRESHOLD)
    assert all(len(row["payload"]) <= 2048 for row in rows(database, REFUSAL))


@settings(max_examples=500)
@given(said=mutated())
def test_a_refused_message_leaves_the_picture_as_it_was(said: tuple[str, bytes]) -> None:
    picture = empty()
    for topic, payload in VALID:
        message = read(topic, payload)
        apply(picture, message, NOW)
        heard(picture, message, NOW)
    before = json.dumps(picture)
    try:
        apply(picture, read(*said), NOW)
    except Refused:
        assert json.dumps(picture) == before
    json.dumps(picture, allow_nan=False)


@given(st.binary(max_size=400), st.text(max_size=60))
def test_reading_ends_in_a_message_or_a_reason(payload: bytes, topic: str) -> None:
    for where in (topic, "bank/v1/B001/T0001/event"):
        try:
            read(where, payload)
        except Refused as refused:
            assert refused.reason in REASONS
