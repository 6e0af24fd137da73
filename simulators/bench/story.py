"""Two states of the simulators -> what happened in between, in sentences for the bench's log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

State = dict[str, Any]


def changes(old: State, new: State) -> Iterator[tuple[str, str]]:
    """(device, sentence), for what a person would notice."""
    for name, tell in (("dispenser", _dispenser), ("card", _card), ("pinpad", _pinpad), ("printer", _printer), ("bank", _bank)):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            if before is not after:
                yield name, "is there" if before is None else "is gone"
            continue
        for sentence in tell(before, after):
            yield name, sentence
    camera = (old.get("camera") or {}).get("scene"), (new.get("camera") or {}).get("scene")
    if camera[0] != camera[1]:
        yield "camera", f"shows {camera[1]}"


def _notes(groups: list[list[int]]) -> str:
    return ", ".join(f"{count} from cassette {unit}" for unit, count in groups)


def _dispenser(old: State, new: State) -> Iterator[str]:
    if old["power"] != new["power"]:
        yield f"power {new['power']}"
    if not old["outlet"] and new["outlet"]:
        yield "notes are being presented"
    if old["busy"] and not new["busy"] and new["outlet"]:
        yield f"presented: {_notes(new['outlet'])}"
    if old["outlet"] and not new["outlet"]:
        yield "the outlet is empty"
    rejected = len(new["reject_bin"]["notes"]) - len(old["reject_bin"]["notes"])
    if rejected > 0:
        yield f"{rejected} into the reject bin"
    if old["jam"] != new["jam"] and new["jam"]:
        yield f"jam armed at {new['jam']['where']}"
    status = new.get("last_status")
    if status and status != old.get("last_status") and status["error"]:
        yield f"command {status['command']} ended with error {status['error']:02X}h"


def _card(old: State, new: State) -> Iterator[str]:
    if old["inserted"] != new["inserted"] or old["generation"] != new["generation"]:
        card = new.get("card")
        yield f"{card['profile']} is in" if card else "no card in the slot"
    if not old["powered"] and new["powered"]:
        yield "the reader powers the chip"


def _pinpad(old: State, new: State) -> Iterator[str]:
    if old["mode"] != new["mode"]:
        yield f"mode {new['mode']}"
    if not old["tampered"] and new["tampered"]:
        yield "tampered: its keys are erased"


def _printer(old: State, new: State) -> Iterator[str]:
    known = {one["number"] for one in old["receipts"]}
    for receipt in new["receipts"]:
        if receipt["number"] not in known:
            yield f"receipt {receipt['number']} " + ("is cut" if receipt["cut"] else "is torn off")
    for field in ("paper", "cover_open", "cutter_error", "power"):
        if old[field] != new[field]:
            yield f"{field.replace('_', ' ')}: {new[field]}"


def _bank(old: State, new: State) -> Iterator[str]:
    known = {one["transaction_id"]: one["status"] for one in old["transactions"]}
    for one in reversed(new["transactions"]):
        if known.get(one["transaction_id"]) != one["status"]:
            reason = f" ({one['reason']})" if one.get("reason") else ""
            yield f"{one['transaction_id']}: {one['status']}{reason}"
    if len(new["discrepancies"]) > len(old["discrepancies"]):
        found = new["discrepancies"][0]
        yield f"discrepancy {found['kind']} in {found['transaction_id']}"
    if old["subscribed"] != new["subscribed"]:
        yield "connected to the broker" if new["subscribed"] else "lost the broker"
