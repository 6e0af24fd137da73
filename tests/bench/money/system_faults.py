"""What can go wrong with processes, power, disk, clock, broker and bank. Striking may end the process that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from money.device_faults import dispenser_power
from money.kinds import AWAY, Strike, kind
from simulators.broker.memory import BrokerFault
from terminal.core.model import Device

if TYPE_CHECKING:
    from money.world import World


# --- processes and the machine


def _worker(device: Device) -> Strike:
    def strike(world: World) -> None:
        world.life.kill_worker(device)

    return strike


for _worker_device, _weight in (
    (Device.DISPENSER, 1.5),
    (Device.CARD_READER, 1.0),
    (Device.PIN_PAD, 0.6),
    (Device.PRINTER, 0.3),
    (Device.FACE, 0.3),
):
    kind(f"process/{_worker_device.value}", _weight)(_worker(_worker_device))


@kind("process/page", 0.4)
def page_dies(world: World) -> None:
    world.life.kill_page()


@kind("process/agent", 6.0, seconds=(0.5, 0.1, 5.0, 30.0))
def agent_dies(world: World, seconds: float) -> None:
    world.end_life(seconds, power=False)


@kind("machine/powerCut", 4.0, seconds=(20.0, 3.0), dispenser=(False, True))
def power_cut(world: World, seconds: float, dispenser: bool) -> None:
    if dispenser:
        dispenser_power(world, seconds)
    world.end_life(seconds, power=True)


@kind("disk/refuses", 1.5, appends=(1, 2, 5))
def disk_refuses(world: World, appends: int) -> None:
    world.disk.refusals = appends


@kind("disk/syncFails", 1.5)
def sync_fails(world: World) -> None:
    world.disk.lies = 1


@kind("disk/full", 1.0, seconds=AWAY)
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
def connection_cut(world: World) -> None:
    world.broker.cut("T0001")


@kind("broker/bankCut", 0.5)
def bank_cut(world: World) -> None:
    world.broker.cut("bank-host")


@kind("broker/crash", 1.5, seconds=AWAY)
def broker_crash(world: World, seconds: float) -> None:
    world.broker.crash()
    world.time.later(seconds, world.broker.restart)


def _broker(fault: str) -> Strike:
    def strike(world: World, leaf: str, count: int) -> None:
        world.broker.faults.append(BrokerFault(fault, leaf, count))

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
def bank_crash(world: World, seconds: float) -> None:
    world.bank.crash(seconds)


def _bank(fault: str) -> Strike:
    def strike(world: World, **arguments: Any) -> None:
        world.bank.faults.set(fault, arguments)

    return strike


kind("bank/slow", 0.5, seconds=(1.0, 5.0))(_bank("slow"))
kind("bank/late", 0.8, seconds=(14.0, 6.0))(_bank("late"))
kind("bank/silent", 0.8, n=(1, 2))(_bank("silent"))
kind("bank/ackSilent", 0.8, n=(1, 3))(_bank("ack_silent"))
kind("bank/answersTwice", 0.6, n=(1, 2))(_bank("duplicate_responses"))
kind("bank/crashBeforeAck", 0.8)(_bank("crash_before_ack"))
kind("bank/script", 0.3, tag=("71", "72"), header=("841E0000", "84180000"))(_bank("script_next"))
DECLINES = ("insufficientFunds", "incorrectPin", "limitExceeded", "cardBlocked", "pinTriesExceeded", "systemError")


@kind("bank/declines", 1.0, reason=DECLINES)
def bank_declines(world: World, reason: str) -> None:
    world.bank.faults.set("decline_next", {"reason": reason, "actions": ["PINR"] if reason == "incorrectPin" else []})
