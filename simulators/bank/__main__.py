"""The bank host as a process: ``python -m simulators.bank --broker mqtt://127.0.0.1:1883 --store FILE --control SOCKET``.

Prints ``ready`` once it is subscribed (again after every reconnection only on the control wire: `state`). Ends on SIGTERM, SIGINT,
or, with ``--stdin-eof``, when its standard input closes.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from simulators.bank.books import Books
from simulators.bank.cards import CastError, load_cast
from simulators.bank.centre import HOLDS_S, Centre, load_or_create_centre
from simulators.bank.faults import Faults
from simulators.bank.host import BankHost
from simulators.bank.keys import BankKeys, KeyFileError, load_or_create
from simulators.bank.link import BankLink, Tls
from simulators.bank.messages import ACKNOWLEDGED
from simulators.bank.retention import Retention
from simulators.bank.store import Store, StoreError
from simulators.bank.template_keys import TemplateKeys
from simulators.bank.templates import TemplatesError, load_templates
from simulators.crypto.emv import load_issuer_keys
from simulators.crypto.host_pin import HostPinKeys, decrypt_pin
from simulators.process import Loop

TEMPLATE_KEYS_FILE = "face-template-keys.json"


def bank_keys(folder: Path) -> BankKeys:
    """The bank's own keys in `folder` (made when there are none) with the test issuer's and the test PIN keys."""
    pins = HostPinKeys.load()
    return load_or_create(folder, load_issuer_keys(), lambda form, block, ksn, pan: decrypt_pin(form, block, ksn, pan, pins))


class Controls:
    """The verbs of the control wire."""

    def __init__(self, host: BankHost, faults: Faults, link: BankLink, centre: Centre) -> None:
        self._host = host
        self._centre = centre
        self._books = Books(host)
        self._faults = faults
        self._link = link

    def __call__(self, do: str, arguments: dict[str, Any]) -> Any:
        verbs: dict[str, Callable[..., Any]] = {
            "state": self._state,
            "account": self._books.account,
            "transaction": self._books.transaction,
            "messages": self._messages,
            "refusals": lambda: self._books.refusals(),
            "set_balance": lambda name, minor: self._books.set_balance(name, minor, datetime.now(UTC)),
            "fault": lambda kind, **rest: self._faults.set(kind, rest),
            "skip": self._skip,
            "reset": self._reset,
            **self._faces(),
            "public_key": lambda: self._host.keys.public_hex,
            "centre_key": lambda: self._centre.public_hex,
            "order": self._order,
            "desire": self._desire,
            "results": self._results,
        }
        if do not in verbs:
            raise ValueError(f"no verb {do}; known are {', '.join(verbs)}")
        return verbs[do](**arguments)

    def _state(self, most: int = 50) -> dict[str, Any]:
        return {
            "subscribed": self._link.subscribed,
            "accounts": self._books.accounts(),
            "transactions": self._books.transactions(most),
            "discrepancies": self._books.discrepancies(),
            "refusals": self._books.refusals(),
            "terminals": self._books.terminals(),
            "faults": self._faults.state(),
            "unbalanced": self._host.ledger.check(),
            "own_time_ms": own_time_ms(list(self._link.own_times_s)),
        }

    def _faces(self) -> dict[str, Callable[..., Any]]:
        """What an operator may see and do of enrolled faces: facts, a new key, deletion, proofs. Never a template."""
        faces, store = self._host.faces, self._host.store

        def remove(customer: str, by: str) -> str:
            with store.transaction():
                return faces.remove(customer, "operator", by, datetime.now(UTC))

        def expire(months: int) -> list[str]:
            with store.transaction():
                return faces.expire(months, datetime.now(UTC))

        return {
            "faces": faces.all,
            "face_consents": self._host.face_management.consents,
            "face_rotate": faces.rotate,
            "face_remove": remove,
            "face_expire": expire,
            "face_proofs": lambda: {"proofs": faces.proofs(), "broken_at": faces.broken_link()},
        }

    def _messages(self, kind: str, most: int = 100) -> list[dict[str, Any]]:
        if kind not in ACKNOWLEDGED:
            raise ValueError(f"kind is one of {', '.join(ACKNOWLEDGED)}")
        return self._books.messages(kind, most)

    def _order(self, base: str, command: str, parameters: dict[str, Any] | None = None, **how: Any) -> str:
        """Sign and send; the order's id. `how`: role, by, approved_by, reason, holds_s, command_id."""
        message = self._centre.order(base, command, parameters or {}, datetime.now(UTC), **how)
        self._link.send(f"{base}/cmd", message, expiry_s=max(1, int(how.get("holds_s", HOLDS_S))))
        return str(message["data"]["commandId"])

    def _desire(self, base: str, version: int, configuration: dict[str, Any]) -> None:
        message = self._centre.desired(base, version, configuration, datetime.now(UTC))
        self._link.send(f"{base}/desired", message, retain=True)

    def _results(self, command_id: str) -> list[dict[str, Any]]:
        """Everything a terminal has reported of an order, the newest last."""
        found = self._books.messages("audit", 1000)
        return [one["data"] for one in found if one["type"] == "ATMDeviceControlResult" and one["data"].get("commandId") == command_id]

    def _skip(self, terminal: str, kind: str, epoch: int, upto: int) -> int:
        with self._host.store.transaction():
            return self._host.inbox.skip(terminal, kind, epoch, upto, datetime.now(UTC))

    def _reset(self) -> dict[str, Any]:
        self._faults.clear()
        self._books.reset(datetime.now(UTC))
        return self._state()


def own_time_ms(times_s: list[float]) -> dict[str, float]:
    """From a request taken up to its answer ready to send, the commit to disk included."""
    if len(times_s) < 2:
        return {"n": len(times_s)}
    cuts = quantiles(times_s, n=100)
    return {"n": len(times_s), "p50": round(cuts[49] * 1000, 3), "p99": round(cuts[98] * 1000, 3)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.bank", description="The bank host simulator.")
    parser.add_argument("--store", type=Path, required=True, help="SQLite file; the bank's keys lie beside it")
    parser.add_argument("--broker", help="mqtt://host:port or mqtts://host:port")
    parser.add_argument("--control", type=Path, help="Unix socket for the control wire")
    parser.add_argument("--cast", type=Path, help="cards and accounts (default: simulators/cast.toml)")
    parser.add_argument("--templates", type=Path, help="enrolled faces (JSON); without it nobody is enrolled")
    parser.add_argument(
        "--face-retention-months",
        type=int,
        default=12,
        help="templates that were not used for so long are deleted, with proof (default: %(default)s, the consent's)",
    )
    parser.add_argument("--ca", type=Path, help="certificate authority of the broker, for mqtts")
    parser.add_argument("--cert", type=Path, help="the bank's certificate, for mqtts")
    parser.add_argument("--key", type=Path, help="its private key")
    parser.add_argument(
        "--acknowledges",
        default=",".join(ACKNOWLEDGED),
        help="classes that this host acknowledges, with commas between them (default: %(default)s); txn beside a monitor",
    )
    parser.add_argument("--stdin-eof", action="store_true", help="end when standard input closes")
    parser.add_argument("--print-public-key", action="store_true", help="print the bank's public key (hex) and end")
    arguments = parser.parse_args()
    arguments.acknowledges = tuple(filter(None, arguments.acknowledges.split(",")))
    if not set(arguments.acknowledges) <= set(ACKNOWLEDGED):
        parser.error(f"--acknowledges: known are {', '.join(ACKNOWLEDGED)}")
    if not 1 <= arguments.face_retention_months <= 60:
        parser.error("--face-retention-months is 1 to 60")
    if not arguments.print_public_key and not (arguments.broker and arguments.control):
        parser.error("--broker and --control are needed")
    return arguments


def _run(arguments: argparse.Namespace) -> int:
    keys = bank_keys(arguments.store.parent)
    if arguments.print_public_key:
        sys.stdout.write(keys.public_hex + "\n")
        return 0
    cast = load_cast(arguments.cast, keys)
    template_keys = TemplateKeys(arguments.store.parent / TEMPLATE_KEYS_FILE, keys, secrets.token_bytes)
    host = BankHost(
        Store(arguments.store),
        cast,
        keys,
        datetime.now(UTC),
        templates=load_templates(arguments.templates),
        template_keys=template_keys,
        acknowledges=arguments.acknowledges,
    )
    faults = Faults(host.planned)
    told: list[bool] = []

    def ready() -> None:
        if not told:
            told.append(True)
            sys.stdout.write("ready\n")
            sys.stdout.flush()

    tls = Tls(arguments.ca, arguments.cert, arguments.key) if arguments.ca else None
    loop = Loop()
    link = BankLink(host, arguments.broker, faults, on_ready=ready, tls=tls)
    loop.add(link.wake_fd, lambda: None)
    loop.serve_control(arguments.control, Controls(host, faults, link, load_or_create_centre(arguments.store.parent)))
    if arguments.stdin_eof:
        loop.stop_on_stdin_eof()
    retention = Retention(host.store, host.faces, arguments.face_retention_months, lambda: datetime.now(UTC))

    def tick(now: float) -> None:
        link.tick(now)
        retention.tick(now)

    loop.run(tick, lambda: min(filter(None, (link.next_wakeup(), retention.next_wakeup()))))
    link.close()
    host.store.close()
    arguments.control.unlink(missing_ok=True)
    return 0


def main() -> int:
    try:
        return _run(_arguments())
    except (StoreError, KeyFileError, CastError, TemplatesError, ValueError, OSError) as error:
        sys.stderr.write(f"bank: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
