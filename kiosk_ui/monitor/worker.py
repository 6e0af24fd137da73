"""An ingest worker, a process of its own: a share of the subscription, batches to the database, then PUBACK and `ack`.

`python -m kiosk_ui.monitor.worker --config FILE --number 1`. Ends when its standard input closes. Order of things for each batch:
commit, then the cumulative acknowledgements to the terminals, then PUBACK to the broker. Killed anywhere in between, the broker or
the terminal sends again, and the ranges in the database know what has been applied.

On standard output, for the server: `worker 1 subscribed` when it hears the terminals and can store what they say, `worker 1 deaf`
when it no longer does.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import sys
import time
import uuid
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from kiosk_ui.monitor.config import Config, ConfigError, load_config
from kiosk_ui.monitor.contract import LEAVES, Message, Refused, read, utc_text
from kiosk_ui.monitor.database import Database, DatabaseError, first_line, lasting
from kiosk_ui.monitor.ingest import Ack, Batch, Outcome
from kiosk_ui.monitor.log import encode, now_ms, say
from kiosk_ui.monitor.mqtt import CROWDED, Arrived, Backoff, Connected, Ended, Session, Subscribed, Unreachable
from kiosk_ui.monitor.refusals import Refusal

IDLE_S = 1.0
RETAINED_QUIET_S = 3.0
LAG_BUCKETS_MS = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 3_600_000)


class Worker:
    """`turn` is one round of the loop."""

    def __init__(self, config: Config, database: Database, number: int, stdin: Any) -> None:
        self._config, self._database, self._number, self._stdin = config, database, number, stdin
        self._topics = [f"$share/{config.monitor.name}/bank/v1/+/+/{leaf}" for leaf in LEAVES]
        # a shared subscription gets no retained messages (MQTT 5, 4.8.2): one worker asks for them once, then lets go
        self._retained_topics = ["bank/v1/+/+/state", "bank/v1/+/+/reported"] if number == 1 else []
        self._retained_until = 0.0
        self._backoff = Backoff(config.broker.max_backoff_s, random.Random())
        self._database_backoff = Backoff(10.0, random.Random())
        self._session: Session | None = None
        self._connect_at = 0.0
        self._store_at = 0.0
        self._waiting: deque[Arrived] = deque()
        self._complained = False
        self._subscribed, self._stores, self._said = False, True, False

    def turn(self) -> None:
        now = time.monotonic()
        if self._session is None:
            if now < self._connect_at:
                _sleep(self._stdin, min(IDLE_S, self._connect_at - now))
                return
            self._connect()
        elif self._waiting and now >= self._store_at:
            self._pump(0.0)
            if self._waiting:  # the connection may have ended in the meantime, and what waited went with it
                self._store()
        else:
            self._pump(min(IDLE_S, self._store_at - now) if self._waiting else IDLE_S)

    def close(self) -> None:
        if self._session is not None:
            self._session.disconnect()

    # --- the broker

    def _connect(self) -> None:
        try:
            session = Session(self._config.broker, f"{self._config.monitor.name}-ingest-{self._number}", self._config.ingest.window)
            session.connect()
        except Unreachable as error:
            self._lost(str(error), crowded=False)
            return
        self._session = session
        session.subscribe(self._topics, retained=False)
        if self._retained_topics:
            session.subscribe(self._retained_topics)
            self._retained_until = time.monotonic() + RETAINED_QUIET_S

    def _lost(self, text: str, *, crowded: bool) -> None:
        self._session = None
        self._subscribed = False
        self._say_whether_it_hears()
        self._waiting.clear()  # without PUBACK they come again
        self._connect_at = time.monotonic() + self._backoff.delay(crowded=crowded)
        if not self._complained:
            say(f"worker {self._number}: no broker: {text}")
        self._complained = True

    def _pump(self, timeout_s: float) -> None:
        assert self._session is not None
        for happening in self._session.pump(timeout_s, self._stdin):
            if isinstance(happening, Arrived):
                self._arrived(happening)
            elif isinstance(happening, Ended):
                self._lost(happening.text, crowded=happening.reason in CROWDED)
                return
            elif isinstance(happening, Subscribed):
                self._answered(happening)
            elif isinstance(happening, Connected):
                self._backoff.reset()
        if self._retained_until and time.monotonic() > self._retained_until:
            self._session.unsubscribe(self._retained_topics)
            self._retained_until = 0.0

    def _answered(self, happening: Subscribed) -> None:
        if happening.refused:
            say(f"worker {self._number}: the broker refuses a subscription: {', '.join(happening.refused)}")
            assert self._session is not None
            self._session.disconnect()
            self._lost("subscription refused", crowded=True)
            return
        if self._complained:
            say(f"worker {self._number}: connected again")
        self._complained = False
        self._subscribed = True
        self._say_whether_it_hears()

    def _say_whether_it_hears(self) -> None:
        hears = self._subscribed and self._stores
        if hears != self._said:
            self._said = hears
            with suppress(BrokenPipeError):  # the server is gone; our standard input says so next
                sys.stdout.write(f"worker {self._number} {'subscribed' if hears else 'deaf'}\n")
                sys.stdout.flush()

    def _arrived(self, message: Arrived) -> None:
        if message.retained and self._retained_until:
            self._retained_until = time.monotonic() + RETAINED_QUIET_S
        self._waiting.append(message)

    # --- the database

    def _store(self) -> None:
        assert self._session is not None
        batch = [self._waiting[index] for index in range(min(len(self._waiting), self._config.ingest.batch))]
        try:
            outcome = self._apply(batch)
        except SQLAlchemyError as error:
            if lasting(error):
                outcome = self._one_by_one(batch)
            else:
                say(f"worker {self._number}: the database: {first_line(error)}")
                self._store_at = time.monotonic() + self._database_backoff.delay()
                self._stores = False
                self._say_whether_it_hears()
                return
        self._database_backoff.reset()
        self._stores = True
        self._say_whether_it_hears()
        for ack in outcome.acks:
            self._session.publish(f"{ack.base}/ack", acknowledgement(ack, now_ms()))
        for message in batch:
            self._session.acknowledge(message.mid)
            self._waiting.popleft()

    def _apply(self, batch: list[Arrived]) -> Outcome:
        """One transaction; durable when this returns."""
        messages, refused = readable(batch)
        now = now_ms()
        counted = Counter(batches=1, received=len(batch))
        for message in messages:
            if message.klass:
                counted[f"lag.{bucket(now - message.at)}"] += 1
                counted["lag_ms"] += max(0, now - message.at)
        with self._database.write() as connection:
            work = Batch(connection, self._number, now_ms, self._config.retention.event_days)
            work.apply(messages, refused)
            return work.store(counted)

    def _one_by_one(self, batch: list[Arrived]) -> Outcome:
        """The database refuses something in the batch: the others must not suffer, and what it was is kept."""
        whole = Outcome()
        for message in batch:
            try:
                outcome = self._apply([message])
            except SQLAlchemyError as error:
                if not lasting(error):
                    raise
                say(f"worker {self._number}: a message cannot be stored: {first_line(error)}")
                with self._database.write() as connection:
                    work = Batch(connection, self._number, now_ms, self._config.retention.event_days)
                    work.apply([], [Refusal(message.topic, "notStored", type(error).__name__, message.payload)])
                    outcome = work.store(Counter(received=1))
            whole.acks += outcome.acks
        return whole


def readable(batch: list[Arrived]) -> tuple[list[Message], list[Refusal]]:
    messages, refused = [], []
    for one in batch:
        try:
            messages.append(read(one.topic, one.payload, retained=one.retained))
        except Refused as error:
            refused.append(Refusal(one.topic, error.reason, error.detail, one.payload))
    return messages, refused


def bucket(lag_ms: int) -> str:
    return next((str(edge) for edge in LAG_BUCKETS_MS if lag_ms <= edge), "more")


def acknowledgement(ack: Ack, now: int) -> bytes:
    data = {"class": ack.klass, "epoch": ack.epoch, "upto": ack.upto}
    fields = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": "bank/v1",
        "type": "ATMCompletionAcknowledgement",
        "subject": ack.base,
    }
    return encode(
        {
            **fields,
            "time": utc_text(now),
            "datacontenttype": "application/json",
            "dataschema": "smart-branch:ATMCompletionAcknowledgement:1",
            "data": data,
        }
    )


def _sleep(stdin: Any, seconds: float) -> None:
    select.select([stdin], [], [], seconds)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m kiosk_ui.monitor.worker", description="One ingest worker of branch-monitor.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--number", type=int, required=True)
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config)
        database = Database(config.database, arguments.config.resolve().parent)
    except (ConfigError, DatabaseError) as error:
        say(str(error))
        return 2
    worker = Worker(config, database, arguments.number, sys.stdin)
    while not _ended(sys.stdin):
        worker.turn()
    worker.close()
    database.close()
    return 0


def _ended(stdin: Any) -> bool:
    """The parent is gone or wants the end: its side of our standard input is closed."""
    return bool(select.select([stdin], [], [], 0)[0]) and not os.read(stdin.fileno(), 64)


if __name__ == "__main__":
    sys.exit(main())
