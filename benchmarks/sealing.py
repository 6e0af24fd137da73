"""`./run bench sealing`: what sealing data at rest costs: events stored a second (entry and message, one FULL transaction each), and read.

Plain and sealed take turns in the same run, so that both meet the same disk and the same neighbours. The last line is one JSON object:
medians over the rounds of inserts a second, of messages opened a second on the way out, and of entries read a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "bench"))

from figures import setting
from store_kind import store_kind

from drivers.secret import Secret
from terminal.adapters.journal import Entry
from terminal.adapters.outbox import Outgoing
from terminal.adapters.outbox_sender import Outbox
from terminal.adapters.sealing import DataKeys
from terminal.adapters.store import Store

NOTES = [{"unit": "1", "minor": 10_000, "presented": 2, "rejected": 0}]
UNITS = [
    {"unit": str(n), "denomination_minor": 10_000, "initial": 2000, "presented": 17, "rejected": 0, "unknown": 0, "accuracy": "accurate"}
    for n in range(1, 5)
]


def settled(number: int) -> tuple[Entry, Outgoing]:
    """What one withdrawal leaves at its end, as the core writes it."""
    identity = f"T0001-{number:08d}"
    amount = {"minor": 20_000, "currency": "CNY"}
    advice = {"transactionId": identity, "transactionStatus": "SCSS", "requestedAmount": amount, "presentedAmount": amount, "notes": NOTES}
    advice |= {"reconciles": False, "presented": "FULL", "iccRelatedData": "9F2608A1B2C3D4E5F60718" * 8}
    data = {"status": "SCSS", "presented": "FULL", "requestedMinor": 20_000, "presentedMinor": 20_000, "reason": "", "units": UNITS}
    data |= {"latch": None, "lastTransaction": number}
    return Entry("transactionSettled", identity, data), Outgoing("txn", "txn", "ATMWithdrawalCompletionAdvice", advice)


def one_round(folder: Path, keys: DataKeys | None, events: int) -> dict[str, float]:
    path = folder / "t.sqlite"
    written = [settled(number) for number in range(1, events + 1)]
    with closing(Store.open(path, "T0001", "B001", data_keys=keys)) as store:
        inserts = rate(events, lambda: [store.append([entry], [message]) for entry, message in written])
        entries = rate(events, lambda: list(store.entries()))
        with closing(Outbox(path, sealer=store.sealer)) as outbox:
            messages = rate(events, lambda: outbox.pending("txn", (0, 0), events))
    return {"inserts_per_s": inserts, "messages_opened_per_s": messages, "entries_read_per_s": entries}


def rate(events: int, work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return events / (time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(prog="run bench sealing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000, help="in a round")
    parser.add_argument("--rounds", type=int, default=7, help="of each kind")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured (default: the temporary folder)")
    arguments = parser.parse_args()
    if min(arguments.events, arguments.rounds) < 1:
        parser.error("--events and --rounds must be at least 1")
    keys = DataKeys(1, {1: Secret(os.urandom(32))})
    found: dict[str, list[dict[str, float]]] = {"plain": [], "sealed": []}
    for number in range(arguments.rounds):
        for kind in ("plain", "sealed") if number % 2 == 0 else ("sealed", "plain"):
            with tempfile.TemporaryDirectory(prefix="sealing-", dir=arguments.folder) as folder:
                found[kind].append(one_round(Path(folder), keys if kind == "sealed" else None, arguments.events))
            sys.stdout.write(f"{kind:<7} {found[kind][-1]['inserts_per_s']:8.0f} inserts/s\n")
    medians = {kind: {name: round(statistics.median(one[name] for one in rounds)) for name in rounds[0]} for kind, rounds in found.items()}
    ratio = medians["sealed"]["inserts_per_s"] / medians["plain"]["inserts_per_s"]
    figures = {"bench": "sealing", "events": arguments.events, "rounds": arguments.rounds, **medians, "inserts_ratio": round(ratio, 3)}
    figures["store"] = store_kind(arguments.folder)
    sys.stdout.write(json.dumps({**figures, **setting("cryptography")}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
