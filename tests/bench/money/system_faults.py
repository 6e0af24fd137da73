"""What can go wrong with processes, power, disk, clock, broker and bank. Striking may end the process that runs.

Each kind declares the caution that it justifies (kinds.py): a process that dies leaves a doubt only while a dispense is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from money.device_faults import dispenser_power
from money.kinds import AWAY, DOUBT, LOST, WHILE_OPEN, Effect, Strike, kind
from money.stops import stop_agent, stop_child, until_continued
from simulators.broker.memory import BrokerFault
from terminal.core.model import Device

if TYPE_CHECKING:
    from money.world import World


# --- processes and the machine


def _worker(device: Device) -> Strike:
    def strike(world: World) -> Effect:
        return world.life.kill_worker(device)

    return strike


def _hanging_worker(device: Device) -> Strike:
    def strike(world: World, seconds: float | None) -> Effect:
        return stop_child(world, world.life.children.get(device), seconds)

    return strike


HANG = (None, 0.5, 4.0, 12.0, 20.0)
"""Seconds, or until somebody kills it."""

for _worker_device, _weight in (
    (Device.DISPENSER, 1.5),
    (Device.CARD_READER, 1.0),
    (Device.PIN_PAD, 0.6),
    (Device.PRINTER, 0.3),
    (Device.FACE, 0.3),
):
    _leads = (DOUBT,) if _worker_device is Device.DISPENSER else ()
    _dies = (*_leads, WHILE_OPEN)
    kind(f"process/{_worker_device.value}", _weight, *_dies)(_worker(_worker_device))
    kind(f"process/{_worker_device.value}Hangs", _weight * 0.7, *_leads, seconds=HANG)(_hanging_worker(_worker_device))


@kind("process/page", 0.4)
def page_dies(world: World) -> Effect:
    return world.life.kill_page()


@kind("process/pageHangs", 0.4, seconds=HANG)
def page_hangs(world: World, seconds: float | None) -> Effect:
    return world.life.stop_page(seconds)


@kind("process/agent", 6.0, DOUBT, WHILE_OPEN, seconds=(0.5, 0.1, 5.0, 30.0))
def agent_dies(world: World, seconds: float) -> Effect:
    alive = world.life.alive
    world.end_life(seconds, power=False)
    return alive


@kind("process/agentHangs", 1.0, LOST, seconds=(12.0, 2.0, 40.0))
def agent_hangs(world: World, seconds: float) -> Effect:
    return stop_agent(world, seconds)


@kind("machine/powerCut", 4.0, DOUBT, WHILE_OPEN, seconds=(20.0, 3.0), dispenser=(False, True))
def power_cut(world: World, seconds: float, dispenser: bool) -> Effect:
    alive = world.life.alive
    if dispenser:
        dispenser_power(world, seconds)
    world.end_life(seconds, power=True)
    return alive


@kind("disk/refuses", 1.5, LOST, appends=(1, 2, 5))
def disk_refuses(world: World, appends: int) -> Effect:
    disk = world.disk
    disk.refusals = appends
    return lambda: disk.refusals < appends


@kind("disk/syncFails", 1.5, DOUBT)
def sync_fails(world: World) -> Effect:
    disk = world.disk
    disk.lies, before = 1, disk.lied
    return lambda: disk.lied > before


@kind("disk/full", 1.0, LOST, seconds=AWAY)
def disk_full(world: World, seconds: float) -> None:
    world.disk.full = True

    def free() -> None:
        world.disk.full = False

    world.time.later(seconds, free)


@kind("clock/jumps", 0.8, seconds=(3600.0, -3600.0, 90_000.0, -90_000.0, -3.0))
def clock_jumps(world: World, seconds: float) -> None:
    world.wall_offset_s += seconds


# --- the bank's side


@kind("broker/connectionCut", 1.0)
def connection_cut(world: World) -> Effect:
    return world.broker.cut("T0001")


@kind("broker/bankCut", 0.5)
def bank_cut(world: World) -> Effect:
    return world.broker.cut("bank-host")


@kind("broker/crash", 1.5, seconds=AWAY)
def broker_crash(world: World, seconds: float) -> Effect:
    up = world.broker.up
    world.broker.crash()
    world.time.later(seconds, world.broker.restart)
    return up


@kind("broker/hangs", 0.8, seconds=(8.0, 2.0, 20.0, 40.0))
def broker_hangs(world: World, seconds: float) -> Effect:
    world.broker.stop()
    until_continued(world, seconds, world.broker.go_on)
    return world.broker.up


def _broker(fault: str) -> Strike:
    def strike(world: World, leaf: str, count: int) -> Effect:
        armed = BrokerFault(fault, leaf, count)
        world.broker.faults.append(armed)
        return lambda: armed.count < count

    return strike


kind("broker/lose", 1.0, leaf=("txn", "txn", "event", "/ack", "auth", "auth/resp", ""), count=(1, 2, 3, 4, 5))(_broker("lose"))
for _fault in ("duplicate", "reorder", "muteAck", "refuse"):
    kind(f"broker/{_fault}", 0.7, leaf=("txn", "/ack", "auth", "auth/resp", ""), count=(1, 2, 5))(_broker(_fault))


@kind("bank/down", 0.8, seconds=AWAY)
def bank_down(world: World, seconds: float) -> None:
    world.bank.faults.down = True

    def up() -> None:
        world.bank.faults.down = False

    world.time.later(seconds, up)


@kind("bank/crash", 1.0, seconds=AWAY)
def bank_crash(world: World, seconds: float) -> Effect:
    alive = world.bank.alive
    world.bank.crash(seconds)
    return alive


@kind("bank/hangs", 0.8, seconds=(8.0, 2.0, 20.0, 40.0))
def bank_hangs(world: World, seconds: float) -> Effect:
    world.bank.stop()
    until_continued(world, seconds, world.bank.go_on)
    return world.bank.alive


def _bank(fault: str, field: str = "") -> Strike:
    """`field` of the bank's faults: what is armed, and changed when it was used up."""

    def strike(world: World, **arguments: Any) -> Effect:
        bank = world.bank
        faults, received = bank.faults, bank.received
        faults.set(fault, arguments)
        armed = str(getattr(faults, field)) if field else ""
        return lambda: bank.received > received if not field else str(getattr(faults, field)) != armed

    return strike


kind("bank/slow", 0.5, seconds=(1.0, 5.0))(_bank("slow"))
kind("bank/late", 0.8, seconds=(14.0, 6.0))(_bank("late", "late_s"))
kind("bank/silent", 0.8, n=(1, 2))(_bank("silent", "silent"))
kind("bank/ackSilent", 0.8, n=(1, 3))(_bank("ack_silent", "ack_silent"))
kind("bank/answersTwice", 0.6, n=(1, 2))(_bank("duplicate_responses", "duplicate_responses"))
kind("bank/script", 0.3, tag=("71", "72"), header=("841E0000", "84180000"))(_bank("script_next", "planned"))


@kind("bank/crashBeforeAck", 0.8)
def crash_before_ack(world: World) -> Effect:
    bank = world.bank
    bank.faults.set("crash_before_ack", {})
    lives = bank.lives
    return lambda: bank.lives > lives


DECLINES = ("insufficientFunds", "incorrectPin", "limitExceeded", "cardBlocked", "pinTriesExceeded", "systemError")


@kind("bank/declines", 1.0, reason=DECLINES)
def bank_declines(world: World, reason: str) -> Effect:
    arguments = {"reason": reason, "actions": ["PINR"] if reason == "incorrectPin" else []}
    return _bank("decline_next", "planned")(world, **arguments)
