"""Enrolled faces from the command line: ``python -m simulators.bank.face_cli --control SOCKET list | rotate | remove ... | proofs``.

Speaks with the bank's process over its control wire. Prints facts; there is nothing of a face to print.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from simulators.control import Control, ControlError


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.bank.face_cli", description="Enrolled faces at the simulated bank.")
    parser.add_argument("--control", required=True, help="the bank's control socket")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="who is enrolled, since when, under which key generation")
    verbs.add_parser("consents", help="consents given and withdrawn")
    verbs.add_parser("rotate", help="seal every template under a new key and destroy the old one")
    remove = verbs.add_parser("remove", help="delete a customer's template, with proof")
    remove.add_argument("customer")
    remove.add_argument("--by", required=True, help="who asked for it: goes into the proof")
    expire = verbs.add_parser("expire", help="delete templates that were not used for so long, with proof")
    expire.add_argument("--months", type=int, required=True)
    verbs.add_parser("proofs", help="the chain of deletions, checked")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """0; 1 when the chain of proofs is broken; 2 when the bank refuses or cannot be reached."""
    arguments = _arguments(argv)
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "list": ("faces", {}),
        "consents": ("face_consents", {}),
        "rotate": ("face_rotate", {}),
        "remove": ("face_remove", {"customer": getattr(arguments, "customer", ""), "by": getattr(arguments, "by", "")}),
        "expire": ("face_expire", {"months": getattr(arguments, "months", 0)}),
        "proofs": ("face_proofs", {}),
    }
    verb, values = calls[arguments.verb]
    try:
        said = Control(arguments.control).call(verb, **values)
    except (ControlError, OSError) as error:
        sys.stderr.write(f"face_cli: {error}\n")
        return 2
    sys.stdout.write(json.dumps(said, ensure_ascii=False, indent=2) + "\n")
    return 1 if arguments.verb == "proofs" and said["broken_at"] else 0


if __name__ == "__main__":
    sys.exit(main())
