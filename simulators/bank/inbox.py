"""What came from terminals: each numbered message once, cumulative acknowledgements, refusals, discrepancies, who is online."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from simulators.bank.messages import Envelope, Malformed, digest, utc_text
from simulators.bank.store import Store

MAX_KEPT_PAYLOAD = 65536


class Inbox:
    """Every verb runs inside the caller's transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def receive(self, kind: str, found: Envelope, now: datetime) -> str:
        """`new`, `repeated`, or `reused`: the same number with another content, which is not applied."""
        mark = digest([found.type, found.data.values])
        text = json.dumps(found.data.values, ensure_ascii=False)
        values = (found.terminal, kind, found.epoch, found.seq, found.type, found.time, utc_text(now), mark, text)
        if self._store.execute("INSERT INTO inbox VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", *values).rowcount:
            return "new"
        row = self._store.one(
            "SELECT digest FROM inbox WHERE terminal=? AND class=? AND epoch=? AND seq=?", found.terminal, kind, found.epoch, found.seq
        )
        return "repeated" if row and row["digest"] == mark else "reused"

    def answered(self, kind: str, transaction_id: str, attempt: int, data: Mapping[str, Any]) -> dict[str, Any] | None:
        """The stored answer to a request that came before; Malformed when it comes with another content now."""
        row = self._store.one(
            "SELECT digest, response FROM request WHERE kind=? AND transaction_id=? AND attempt=?", kind, transaction_id, attempt
        )
        if row is None:
            return None
        if row["digest"] != digest(data):
            raise Malformed("data: this transactionId and attempt came before with another content")
        stored: dict[str, Any] = json.loads(row["response"])
        return stored

    def keep_answer(self, kind: str, transaction_id: str, attempt: int, data: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        self._store.execute("INSERT INTO request VALUES (?,?,?,?,?)", kind, transaction_id, attempt, digest(data), json.dumps(answer))

    def acknowledge(self, terminal: str, kind: str, epoch: int) -> int:
        """Move the acknowledgement to the end of the unbroken run from 1 on, and return it; 0 when number 1 is missing."""
        key = (terminal, kind, epoch)
        before = self._store.number("SELECT upto FROM acknowledged WHERE terminal=? AND class=? AND epoch=?", *key)
        upto = before
        for row in self._store.execute(
            "SELECT seq FROM inbox WHERE terminal=? AND class=? AND epoch=? AND seq>? ORDER BY seq", *key, before
        ):
            if row["seq"] != upto + 1:
                break
            upto += 1
        if upto != before:
            self._set(terminal, kind, epoch, upto)
        return upto

    def skip(self, terminal: str, kind: str, epoch: int, upto: int, now: datetime) -> int:
        """An operator declares everything up to `upto` lost (this bank's store was replaced): recorded, then acknowledged."""
        before = self._store.number("SELECT upto FROM acknowledged WHERE terminal=? AND class=? AND epoch=?", terminal, kind, epoch)
        if upto > before:
            self.discrepancy("", "sequenceSkipped", f"{terminal}/{kind}/{epoch}: {before + 1} to {upto} given up by an operator", now)
            self._set(terminal, kind, epoch, upto)
        return self.acknowledge(terminal, kind, epoch)

    def _set(self, terminal: str, kind: str, epoch: int, upto: int) -> None:
        self._store.execute(
            "INSERT INTO acknowledged VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET upto = excluded.upto", terminal, kind, epoch, upto
        )

    def refuse(self, base: str, leaf: str, message_id: str, reason: str, payload: bytes, now: datetime) -> None:
        """A message that was not applied. The payload is kept for a person to look at, except of `auth`, where card data may be in it."""
        kept = "" if leaf == "auth" else payload[:MAX_KEPT_PAYLOAD].decode(errors="replace")
        self._store.execute(
            "INSERT INTO refusal (at, base, leaf, message_id, reason, digest, payload) VALUES (?,?,?,?,?,?,?)",
            utc_text(now),
            base,
            leaf,
            message_id,
            reason,
            hashlib.sha256(payload).hexdigest(),
            kept,
        )

    def discrepancy(self, transaction_id: str, kind: str, detail: str, now: datetime) -> None:
        """Something a person has to look at."""
        self._store.execute(
            "INSERT INTO discrepancy (at, transaction_id, kind, detail) VALUES (?,?,?,?)", utc_text(now), transaction_id, kind, detail
        )

    def seen(self, base: str, now: datetime, state: str | None = None) -> None:
        """Note that a terminal spoke, and its `state` when it said (or its will says) one."""
        at = utc_text(now)
        self._store.execute(
            "INSERT INTO terminal (base, state, since, last_seen) VALUES (?,?,?,?)"
            " ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen",
            base,
            state or "unknown",
            at,
            at,
        )
        if state:
            self._store.execute("UPDATE terminal SET state = ?, since = ? WHERE base = ? AND state <> ?", state, at, base, state)

    def telemetry(self, found: Envelope) -> None:
        """Only the newest report of a terminal is kept."""
        self._store.execute(
            "UPDATE terminal SET telemetry = ?, telemetry_epoch = ?, telemetry_seq = ?"
            " WHERE base = ? AND (telemetry_epoch < ? OR (telemetry_epoch = ? AND telemetry_seq < ?))",
            json.dumps(found.data.values, ensure_ascii=False),
            found.epoch,
            found.seq,
            found.base,
            found.epoch,
            found.epoch,
            found.seq,
        )
