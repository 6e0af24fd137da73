"""The session's table in every state that can be reached: no event raises, no row lies about where it leads, no phase is a dead end."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from core_play import waits
from core_samples import ANSWERED_BY, samples
from core_states import Node, asked_in, explored
from core_ways import SECRETS, at

from terminal.core import commands as c
from terminal.core import diagram
from terminal.core import events as e
from terminal.core.model import Device, Phase
from terminal.core.session import EVERYWHERE, TRANSITIONS, answer_to, step
from terminal.core.views import view_of

EVENTS = [kind for _, kind in inspect.getmembers(e, inspect.isclass) if issubclass(kind, e.Event) and kind is not e.Event]


def test_every_event_class_has_samples() -> None:
    for kind in EVENTS:
        assert all(type(one) is kind for one in samples(kind, 1))


NOT_THE_CORES = {c.CheckCardReader, c.CheckPinPad, c.CheckDispenser, c.CheckPrinter, c.CheckFaceVerifier}
"""The attendant's: the core neither asks them nor waits for their answer."""


def test_every_question_has_an_answer() -> None:
    asked = {
        kind for _, kind in inspect.getmembers(c, inspect.isclass) if issubclass(kind, c.DeviceCommand) and kind is not c.DeviceCommand
    }
    assert asked > NOT_THE_CORES
    assert asked - NOT_THE_CORES | {c.Authorise, c.FetchTemplate, c.ManageFace} == set(ANSWERED_BY)


def test_every_phase_is_reached() -> None:
    assert {node.state.phase for node in explored().nodes} == set(Phase)


def test_steps_lead_only_where_their_rows_say() -> None:
    for (phase, kind), reached in explored().led.items():
        row = TRANSITIONS.get((phase, kind)) or EVERYWHERE.get(kind)
        allowed = {phase, *(row.targets if row else ())}
        assert reached <= allowed, f"{phase.value} + {kind.__name__} led to {[one.value for one in reached - allowed]}"


def test_rows_promise_nothing_that_never_happens() -> None:
    """A target that is never reached is a line in the diagram that lies."""
    led = explored().led
    for (phase, kind), row in TRANSITIONS.items():
        never = set(row.targets) - led.get((phase, kind), set())
        assert not never, f"{phase.value} + {kind.__name__} never leads to {sorted(one.value for one in never)}"
    for kind, row in EVERYWHERE.items():
        reached = {
            to for (phase, event), targets in led.items() if event is kind and (phase, kind) not in TRANSITIONS for to in targets - {phase}
        }
        assert set(row.targets) <= reached, f"{kind.__name__} never leads to {sorted(one.value for one in set(row.targets) - reached)}"


def test_every_wait_ends() -> None:
    for node in explored().nodes:
        assert waits(node.state), f"{node.state.phase.value} with {list(node.asked)}: nothing will ever come"


def test_no_phase_is_a_dead_end() -> None:
    """With nobody there: time passes, devices fail to answer, the card is taken at last. Every state comes to rest."""
    for node in explored().nodes:
        if node.state.phase is Phase.UNKNOWN:
            continue
        for _ in range(20):
            if node.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE):
                break
            event = nobody(node)
            state, commands = step(node.state, event)
            node = Node(state, {**node.asked, **asked_in(commands)})
        assert node.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE), node.state.phase


def nobody(node: Node) -> e.Event:
    state = node.state
    if state.phase is Phase.EJECTING:
        return e.CardRemoved()
    if state.timer and (state.phase, e.TimerExpired) in TRANSITIONS:
        return e.TimerExpired(state.timer)
    whom, (number, _) = next((whom, one) for whom, one in node.asked.items() if whom != "bank")
    return e.CommandFailed(number, Device(whom), "workerLost", "workerLost")


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_raises_in_any_state(kind: type[e.Event]) -> None:
    """With the number that is awaited, a stale one and none; also what no device would say now. Stale answers change nothing."""
    by_phase: dict[Phase, list[Node]] = {}
    for node in explored().nodes:
        by_phase.setdefault(node.state.phase, []).append(node)
    for nodes in by_phase.values():
        for node in nodes[:: max(1, len(nodes) // 12)]:
            state = node.state
            for number in {0, state.serial + 1, state.timer, *state.pending.values()}:
                for event in samples(kind, number):
                    after, commands = step(state, event)
                    awaited = answer_to(event)
                    if awaited is not None and state.pending.get(awaited[0]) != awaited[1]:
                        assert after == state and [type(one) for one in commands] == [c.Ignore]
                    view_of(after)


def test_an_event_that_nobody_expects_is_reported_and_changes_nothing() -> None:
    state = at(Phase.IDLE).state
    assert step(state, e.KeyPressed("1")) == (state, (c.Ignore("idle", "KeyPressed"),))


def test_no_step_sends_before_it_has_recorded() -> None:
    """All records of a step come before whatever the step sends: journal, then act."""
    assert explored().records
    for state, event, commands in explored().records:
        kinds = [isinstance(command, c.Record) for command in commands]
        assert kinds == sorted(kinds, reverse=True), f"{state.phase.value} + {type(event).__name__}: a record after a command"


def test_a_dispense_is_sent_from_one_place_under_all_its_conditions() -> None:
    assert explored().dispensing
    for state, event, commands in explored().dispensing:
        assert state.phase is Phase.RETURNING_CARD and isinstance(event, e.CardRemoved)
        assert isinstance(commands[0], c.Record) and commands[0].entries[0].kind == "dispenseIntended"
        assert state.transaction is not None and state.transaction.approved and state.dispenser_ready and state.latch is None


def test_nothing_that_leaves_holds_a_secret() -> None:
    said = [repr(view_of(node.state)) + repr(node.state) for node in explored().nodes]
    said += [repr(commands) for _, _, commands in explored().records]
    assert not any(secret in one for one in said for secret in SECRETS)


# --- the diagram


def test_the_document_shows_the_table() -> None:
    root = Path(__file__).parents[2]
    assert diagram.block() in (root / "docs/session.md").read_text(encoding="utf-8"), "run: python -m terminal.core.diagram"
    readme = root / "README.md"
    if readme.exists() and diagram.BEGIN in (text := readme.read_text(encoding="utf-8")):
        assert diagram.block(diagram.FACE_SERVICES) in text


def test_the_diagram_has_every_phase_and_every_event_of_the_table() -> None:
    text = diagram.mermaid()
    for phase in Phase:
        assert phase.value in text
    for (phase, event), row in TRANSITIONS.items():
        if set(row.targets) - {phase}:
            assert event.__name__ in text


def test_the_document_explains_every_phase() -> None:
    text = (Path(__file__).parents[2] / "docs/session.md").read_text(encoding="utf-8")
    for phase in Phase:
        assert f"| `{phase.value}` |" in text


def test_values_are_frozen() -> None:
    for module in (c, e):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if is_dataclass(kind) and kind.__module__ == module.__name__:
                assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
