"""The attendant, put together from the configuration and what the agent stands on."""

from __future__ import annotations

import base64
import contextlib
import functools
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from terminal.adapters.journal import canonical
from terminal.adapters.keys import read_centre_key
from terminal.adapters.sealing import must_be_sealed
from terminal.adapters.store import Store
from terminal.agent import Agent
from terminal.config import Config
from terminal.core.model import Device
from terminal.fleet.attendant import Attendant, Desk
from terminal.fleet.desired_desk import DesiredDesk
from terminal.fleet.desired_file import Start
from terminal.fleet.health import cash_units
from terminal.fleet.order_book import Outcome, failed
from terminal.fleet.order_desk import Means, OrderDesk
from terminal.fleet.orders import Keys
from terminal.fleet.post import FleetSettings, Post, Surroundings
from terminal.fleet.reporter import Reporter

MOST_RANGE_BYTES = 48_000

PictureOf = Callable[[Device, Callable[[Outcome], None]], bool]


def settings_of(config: Config) -> FleetSettings:
    fleet = config.fleet
    delays = {
        "deviceOffline": fleet.device_offline_s,
        "hostUnreachable": fleet.host_unreachable_s,
        "terminalOutOfService": fleet.out_of_service_s,
    }
    return FleetSettings(fleet.telemetry_s, fleet.state_every_s, low_threshold=config.cash.low_threshold, delays_s=delays)


def centre_keys(config: Config) -> Keys:
    """KeyFileError for a file that holds none."""
    return {key.id: read_centre_key(key.file) for key in config.centre.key}


@functools.cache
def own_version() -> str:
    """Of the installed package; its metadata is a file that is read once."""
    return version("smart-branch")


def _to_log(sentence: str) -> None:
    """Standard error may be closed by whoever started us: that ends nothing."""
    with contextlib.suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)


def attendant_of(
    config: Config,
    agent: Agent,
    store: Store,
    surroundings: Surroundings,
    *,
    restart_worker: Callable[[Device], None],
    picture: PictureOf,
    keys: Keys,
    start: Start | None = None,
    say: Callable[[str], None] = _to_log,
) -> Attendant:
    """The agent's ports must be plugged in. `start` None: nothing is configured from afar."""
    ports = agent.ports
    post = Post(agent, surroundings, settings_of(config), store.kept, own_version(), ports.wall_clock(), ports.clock.now())
    reporter = Reporter(post)

    def refused(topic: str, reason: str) -> None:
        reporter.counts.refused[f"{topic}/{reason}"] += 1

    def status() -> Mapping[str, Any]:
        return {"state": "online", **reporter.health(post.facts())}

    def counters() -> Mapping[str, Any]:
        units = cash_units(post.state, post.settings.low_threshold)
        return {"cashUnits": units, "lastTransaction": post.state.last_transaction}

    means = Means(keys, status, counters, lambda first, last: journal_range(store, first, last), restart_worker, picture, refused)
    desks: tuple[Desk, ...] = (OrderDesk(post, means),)
    if start is not None:
        desks = (*desks, DesiredDesk(post, start, keys, config.fleet.healthy_s, refused))
    return Attendant(post, reporter, desks, say)


def picture_outcome(device: Device, jpeg: bytes | None) -> Outcome:
    if jpeg is None:
        return failed("HRDW", "noPicture")
    data = {"device": device.value, "mediaType": "image/jpeg", "base64": base64.b64encode(jpeg).decode()}
    return Outcome("succeeded", "SUCC", data=data)


def journal_range(store: Store, first: int, last: int) -> dict[str, Any]:
    """Entries `first` to `last`, as many as one message carries; `next` is the first left out, or null.

    What the store seals may be a customer's, and does not leave: such an entry comes without its data.
    """
    entries: list[dict[str, Any]] = []
    size = 0
    for entry in store.entries(after_seq=first - 1, opened=False):
        if entry.seq > last:
            break
        withheld = bool(entry.sealed) or must_be_sealed(entry.kind, entry.transaction_id)
        line = {"seq": entry.seq, "at": entry.at, "kind": entry.kind, "transactionId": entry.transaction_id}
        line["data"] = None if withheld else entry.data
        size += len(canonical(line).encode()) + len(entry.hash) + 16
        if size > MOST_RANGE_BYTES:
            return {"entries": entries, "next": entry.seq}
        entries.append({**line, "hash": entry.hash})
    return {"entries": entries, "next": None}
