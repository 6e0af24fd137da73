"""Taking a command back while the sender is at it: before it looked, between PUBLISH and PUBACK, and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from monitor_database import rows, take
from monitor_says import Terminal
from sqlalchemy import update

from kiosk_ui.monitor.audit import Who
from kiosk_ui.monitor.commands import MIN_LIFE_S, CommandError, Ordered, order, withdraw
from kiosk_ui.monitor.config import load_config
from kiosk_ui.monitor.database import Database
from kiosk_ui.monitor.log import now_ms
from kiosk_ui.monitor.mqtt import NO_SUBSCRIBER, Published
from kiosk_ui.monitor.schema import COMMAND
from kiosk_ui.monitor.sender import Sender
from kiosk_ui.monitor.signing import load_signer, new_key

OLGA, OTTO = Who("olga", "operator"), Who("otto", "operator")
WEEK_S = 7 * 86_400
TAKEN = 0  # PUBACK without a complaint


class Line:
    """The sender's MQTT session, as far as it goes here: remembers what was published."""

    def __init__(self) -> None:
        self.published: list[dict[str, Any]] = []

    def publish(self, topic: str, message: bytes, **_: Any) -> int:
        self.published.append(json.loads(message)["data"])
        return len(self.published)


class Centre:
    """A terminal that is known, people who order, and a sender whose steps the test takes."""

    def __init__(self, folder: Path) -> None:
        new_key(folder / "centre.pem")
        path = folder / "monitor.toml"
        path.write_text('[broker]\nurl = "mqtt://127.0.0.1:1"\n[signing]\nkey = "centre.pem"\n', encoding="utf-8")
        config = load_config(path)
        assert config.signing is not None
        self.signer = load_signer(config.signing)
        self.database = Database(config.database, folder)
        self.database.prepare()
        self.now = now_ms()
        self.terminal = Terminal(now=self.now)
        take(self.database, [self.terminal.state()], now=self.now)
        self.line = Line()
        self.sender = Sender(config, self.database)
        self.sender._session = self.line  # type: ignore[assignment]

    def order(self, command: str = "enterService") -> str:
        with self.database.write() as connection:
            return order(connection, Ordered("T0001", command, {}, "the branch opens", WEEK_S), OLGA, self.signer, self.now)

    def withdraw(self, identity: str, *, later_ms: int = 0) -> str | None:
        with self.database.write() as connection:
            return withdraw(connection, identity, "the branch stays shut", OTTO, self.signer, self.now + later_ms)

    def sender_looks(self) -> list[str]:
        """The ids of what it publishes this time."""
        before = len(self.line.published)
        self.sender._again_at.clear()  # five seconds pass
        self.sender._send_queued()
        return [one["commandId"] for one in self.line.published[before:]]

    def broker_answers(self, reason: int = TAKEN) -> None:
        self.sender._published(Published(len(self.line.published), reason))

    def terminal_says(self, identity: str, state: str, **more: Any) -> None:
        take(self.database, [self.terminal.result(identity, state, command="enterService", **more)], now=self.now)

    def row(self, identity: str) -> dict[str, Any]:
        return next(row for row in rows(self.database, COMMAND) if row["command_id"] == identity)

    def state(self, identity: str) -> str:
        return str(self.row(identity)["state"])


@pytest.fixture
def centre(tmp_path: Path) -> Any:
    found = Centre(tmp_path)
    yield found
    found.sender._wake.close()
    found.database.close()


def test_it_waits_for_a_terminal_that_is_away_and_never_leaves(centre: Centre) -> None:
    identity = centre.order()
    assert centre.sender_looks() == [identity]
    centre.broker_answers(NO_SUBSCRIBER)
    assert centre.state(identity) == "queued"
    assert centre.withdraw(identity) is None
    assert centre.state(identity) == "withdrawn" and centre.sender_looks() == []


def test_the_broker_has_it_already_so_the_terminal_is_asked_to_cancel(centre: Centre) -> None:
    """The person saw `queued`; by the time they pressed it was sent."""
    identity = centre.order()
    centre.sender_looks()
    centre.broker_answers()
    cancel = centre.withdraw(identity, later_ms=3_600_000)
    assert cancel is not None and centre.state(identity) == "sent", "nothing is claimed that only the terminal can know"
    row = centre.row(cancel)
    assert (row["command"], row["state"], row["issued_by"], row["reason"]) == ("cancel", "queued", "otto", "the branch stays shut")
    assert row["expires_at"] == centre.row(identity)["expires_at"], "it holds as long as what it cancels"
    assert json.loads(row["signed"])["parameters"] == {"commandId": identity}
    centre.terminal_says(identity, "cancelled", result="SUCC", reason="cancelled")
    assert centre.state(identity) == "cancelled"
    with pytest.raises(CommandError, match="no longer be taken back"):
        centre.withdraw(identity)


def test_a_command_at_its_end_is_cancelled_by_one_that_lives_long_enough_to_be_sent(centre: Centre) -> None:
    identity = centre.order()
    centre.sender_looks()
    centre.broker_answers()
    cancel = centre.withdraw(identity, later_ms=WEEK_S * 1000 - 1)
    assert cancel is not None and centre.row(cancel)["expires_at"] == centre.now + WEEK_S * 1000 - 1 + MIN_LIFE_S * 1000


def test_it_was_just_leaving_so_the_terminals_word_replaces_the_withdrawal(centre: Centre) -> None:
    """Published, the broker's answer outstanding, withdrawn: nobody here can know whether the terminal gets it."""
    identity = centre.order()
    assert centre.sender_looks() == [identity]
    assert centre.withdraw(identity) is None
    centre.broker_answers()
    assert centre.state(identity) == "withdrawn"
    centre.terminal_says(identity, "received")
    assert centre.state(identity) == "delivered"
    centre.terminal_says(identity, "succeeded", result="SUCC")
    assert centre.state(identity) == "succeeded" and centre.sender_looks() == []


def test_a_cancel_is_not_cancelled_and_without_a_key_nobody_can_ask(centre: Centre) -> None:
    identity = centre.order()
    centre.sender_looks()
    centre.broker_answers()
    cancel = centre.withdraw(identity)
    assert cancel is not None
    with centre.database.write() as connection, pytest.raises(CommandError, match="no signing key"):
        withdraw(connection, identity, "the branch stays shut", OTTO, None, centre.now)
    with centre.database.write() as connection:
        connection.execute(update(COMMAND).where(COMMAND.c.command_id == cancel).values(state="sent"))
    with pytest.raises(CommandError, match="no longer be taken back"):
        centre.withdraw(cancel)


def test_what_waits_for_a_second_person_or_in_the_queue_needs_no_key(centre: Centre) -> None:
    for command, state in (("leaveService", "awaitingApproval"), ("enterService", "queued")):
        identity = centre.order(command)
        assert centre.state(identity) == state
        with centre.database.write() as connection:
            assert withdraw(connection, identity, "the branch stays shut", OTTO, None, centre.now) is None
        assert centre.state(identity) == "withdrawn"
