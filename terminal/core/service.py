"""Start, recovery, devices coming and going, in and out of service."""

from __future__ import annotations

from types import MappingProxyType

from terminal.core import cash
from terminal.core.cash import DispenserResult
from terminal.core.commands import AskLastStatus, Command, EndAgent, InitialiseDispenser, Outgoing, Record, ReleaseCard
from terminal.core.events import (
    CardInserted,
    CardRemoved,
    CommandFailed,
    DeviceGaveUp,
    DeviceLost,
    DeviceNoted,
    DeviceOnline,
    DispenserInitialised,
    LastStatusRead,
    LateResponseArrived,
    LinkDown,
    LinkUp,
    ServiceOrdered,
    Started,
    StopRequested,
    StoreFailed,
    TimerExpired,
)
from terminal.core.model import Device, DeviceState, DeviceStatus, FaceSight, Failure, OpenDispense, Phase, State
from terminal.core.settling import checkpoint, settle_dispensed, settle_in_doubt, settle_without_cash
from terminal.core.steps import Step, ask, goto, online, record, stay, stop_entry, with_device
from terminal.core.values import replace

LAST_STATUS_S = 30.0
INITIALISE_S = 30.0
END_AFTER_S = 60.0
"""From resting with a journal that failed to the end of the process: a disk that stays full costs a restart a minute, not a loop."""
TOLD = (
    *(Phase.PRESENTING, Phase.PRINTING, Phase.THANKING, Phase.FAILED, Phase.EJECTING),
    *(Phase.FACE_SERVICE_DONE, Phase.PRINTING_CONFIRMATION),
)


def reasons_out_of_service(state: State) -> tuple[str, ...]:
    """Codes, worst first; empty when a customer can be served."""
    reasons = []
    if state.store_failed:
        reasons.append("journalFailed")
    if state.stopping:
        reasons.append("stopping")
    if state.latch is not None:
        reasons.append("cashOutLatched" if state.latch.reason == "outcomeUnknown" else "cashDispenser")
    if (not online(state, Device.DISPENSER) or not state.dispenser_ready) and "cashDispenser" not in reasons:
        reasons.append("cashDispenser")
    if not online(state, Device.CARD_READER):
        reasons.append("cardReader")
    if not online(state, Device.PIN_PAD):
        reasons.append("pinPad")
    if state.closed_by_operator:
        reasons.append("outOfServiceByOperator")
    if not state.link_up:
        reasons.append("hostUnreachable")
    if not reasons and not cash.payable(state.units, state.config.presets_minor, state.config.max_notes):
        reasons.append("noCash")
    return tuple(reasons)


def rest(state: State, *commands: Command) -> Step:
    """Between two customers: idle when all is well, out of service when not; a card that is still there is given back first."""
    state = replace(state, transaction=None, card=None, candidates=(), entry="", mask=0, hint="", failure=None, language_chosen=False)
    state = replace(state, language=state.config.language, receipt_printed=False, sight=FaceSight(), service=None)
    reasons = reasons_out_of_service(state)
    if state.card_present:
        return goto(state, Phase.EJECTING, *commands, seconds=state.config.timeouts.take_card_s)
    phase = Phase.OUT_OF_SERVICE if reasons else Phase.IDLE
    status = "OUTS" if reasons else "INSV"
    if status != state.reported and not state.store_failed:
        state = replace(state, reported=status)
        report = {"globalStatus": status, "reasons": list(reasons)}
        said = record("serviceChanged", None, **report)
        commands = (*commands, Record(said.entries, (Outgoing("audit", "GlobalStatusChanged", report),)))
    if state.stopping:
        return goto(state, phase, *commands, EndAgent(state.store_failed))
    return goto(state, phase, *commands, seconds=END_AFTER_S if state.store_failed else None)


def reconsider(state: State, *commands: Command) -> Step:
    """After a device or the link changed: only resting phases move by that."""
    if state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE):
        resting = Phase.OUT_OF_SERVICE if reasons_out_of_service(state) or state.card_present else Phase.IDLE
        if resting is not state.phase or state.card_present:
            return rest(state, *commands)
    return state, commands


# --- start


def on_started(state: State, event: Started) -> Step:
    known = event.recovered
    devices = {device: DeviceState() for device in Device}
    if state.config.face_from_minor is None:
        devices[Device.FACE] = DeviceState(DeviceStatus.NO_DEVICE)
    state = replace(
        state,
        units=state.config.units if known.first_start else known.units,
        latch=known.latch,
        closed_by_operator=known.closed_by_operator,
        last_transaction=known.last_transaction,
        accounts=() if known.first_start else known.accounts,
        devices=MappingProxyType(devices),
        language=state.config.language,
    )
    commands: list[Command] = [record("agentStarted", None, terminal=state.config.terminal_id, recovering=known.open_dispense is not None)]
    if known.first_start:
        commands.append(record("checkpoint", None, **checkpoint(state)))
    if known.open_transaction is not None:
        lost = known.open_transaction
        state, settled = settle_without_cash(state, lost.transaction_id, lost.amount_minor, "MALF", lost.card_data)
        commands.append(settled)
    if known.open_dispense is None:
        return goto(state, Phase.OUT_OF_SERVICE, *commands)
    state = replace(state, open_dispense=known.open_dispense)
    return goto(state, Phase.RECOVERING, *commands, seconds=state.config.timeouts.resolve_s)


# --- what became of a dispense whose answer is lost


def resolve(state: State, phase: Phase, *commands: Command) -> Step:
    """Ask the dispenser as soon as it is there; until then wait for it (DeviceOnline) or for the time limit."""
    state, more = goto(state, phase, *commands, seconds=state.config.timeouts.resolve_s)
    if not online(state, Device.DISPENSER):
        return state, more
    state, question = ask_last_status(state)
    return state, (*more, question)


def ask_last_status(state: State) -> tuple[State, AskLastStatus]:
    return ask(state, AskLastStatus, LAST_STATUS_S, cassettes=open_dispense_of(state).cassettes)


def on_last_status(state: State, event: LastStatusRead) -> Step:
    dispense = open_dispense_of(state)
    if not cash.proves(event.result, dispense.baseline, dispense.earlier, dispense.quantities):
        return in_doubt(state, "lastStatusProvesNothing", event.result)
    state, settled = settle_dispensed(state, dispense, event.result)
    return after_settling(state, event.result, settled)


def on_last_status_failed(state: State, event: CommandFailed) -> Step:
    """Ask again as long as there is time; reading moves nothing. A lost worker asks again when it is back."""
    if event.kind == "workerLost" or not online(state, Device.DISPENSER):
        return stay(state)
    state, question = ask_last_status(state)
    return state, (question,)


def on_resolving_time_out(state: State, event: TimerExpired) -> Step:
    return in_doubt(state, "dispenserSilent", None)


def in_doubt(state: State, cause: str, result: DispenserResult | None) -> Step:
    state, settled = settle_in_doubt(state, open_dispense_of(state), cause, result)
    if state.phase is Phase.RECOVERING:
        return rest(state, settled)
    failure = Failure("outcomeUnknown", "none" if not state.card_present else "take", "inDoubt")
    return goto(state, Phase.FAILED, settled, seconds=state.config.timeouts.message_s, failure=failure, dispenser_ready=False)


def after_settling(state: State, result: DispenserResult, settled: Record) -> Step:
    """Known at last: in recovery nobody waits any more; otherwise the customer is told."""
    if state.phase is Phase.RECOVERING:
        state, commands = rest(replace(state, dispenser_ready=False), settled)
        if state.latch is not None:
            return state, commands
        state, initialise = ask(state, InitialiseDispenser, INITIALISE_S)
        return state, (*commands, initialise)
    return tell_customer(state, result, settled)


def tell_customer(state: State, result: DispenserResult | None, settled: Record) -> Step:
    """What was presented decides the screen: the cash, or an honest failure."""
    presented = () if result is None else tuple(unit.presented for unit in result.units)
    if state.transaction is not None:
        state = replace(state, transaction=replace(state.transaction, presented=presented, settled=True, pin_block=None))
    commands: tuple[Command, ...] = (settled,)
    if result is not None and result.error not in (0, cash.PICK_UP_ERROR):
        state = replace(with_device(state, Device.DISPENSER, DeviceStatus.ONLINE, result.error_name), dispenser_ready=False)
    if not state.dispenser_ready and state.latch is None and online(state, Device.DISPENSER):
        state, initialise = ask(state, InitialiseDispenser, INITIALISE_S)
        commands = (settled, initialise)
    if any(presented):
        return goto(state, Phase.PRESENTING, *commands, seconds=state.config.timeouts.take_cash_s)
    failure = Failure("dispenserFault", "taken", "notDebited")
    return goto(state, Phase.FAILED, *commands, seconds=state.config.timeouts.message_s, failure=failure)


def open_dispense_of(state: State) -> OpenDispense:
    if state.open_dispense is None:
        raise AssertionError(f"{state.phase.value} without an open dispense")
    return state.open_dispense


# --- everywhere: devices, link, journal


def on_device_online(state: State, event: DeviceOnline) -> Step:
    state = with_device(state, event.device, DeviceStatus.ONLINE)
    if event.device is not Device.DISPENSER:
        return reconsider(state)
    state = replace(state, dispenser_ready=False)
    if state.phase is Phase.DISPENSING:  # its answer or its loss is still to come
        return state, ()
    if state.open_dispense is not None:
        state, question = ask_last_status(state)
        return state, (question,)
    if state.latch is not None or state.store_failed:  # evidence: nobody touches it before a person has looked
        return reconsider(state)
    state, commands = reconsider(state)
    state, initialise = ask(state, InitialiseDispenser, INITIALISE_S)
    return state, (*commands, initialise)


def on_dispenser_initialised(state: State, event: DispenserInitialised) -> Step:
    state = replace(with_device(state, Device.DISPENSER, DeviceStatus.ONLINE, event.fault), dispenser_ready=not event.fault)
    if not event.fault:
        return reconsider(state)
    return reconsider(state, record("deviceFault", None, device=Device.DISPENSER.value, fault=event.fault))


def on_device_lost(state: State, event: DeviceLost) -> Step:
    state = with_device(state, event.device, DeviceStatus.OFFLINE, event.reason)
    if event.device is Device.DISPENSER:
        state = replace(state, dispenser_ready=False)
    commands: tuple[Command, ...] = (
        () if state.store_failed else (record("deviceLost", None, device=event.device.value, reason=event.reason),)
    )
    return reconsider(state, *commands)


def on_device_gave_up(state: State, event: DeviceGaveUp) -> Step:
    state = with_device(state, event.device, DeviceStatus.HARDWARE_ERROR, "restartsUsedUp")
    return reconsider(state, record("deviceGaveUp", None, device=event.device.value))


def on_device_noted(state: State, event: DeviceNoted) -> Step:
    return stay(with_device(state, event.device, DeviceStatus.ONLINE, event.detail))


def on_link_up(state: State, event: LinkUp) -> Step:
    return reconsider(replace(state, link_up=True))


def on_link_down(state: State, event: LinkDown) -> Step:
    return reconsider(replace(state, link_up=False))


def on_service_ordered(state: State, event: ServiceOrdered) -> Step:
    """A customer who is being served is served to the end; nobody after that one is begun with. A restart changes nothing of it."""
    kind = "serviceEntered" if event.in_service else "serviceLeft"
    ordered = record(kind, None, orderId=event.order_id)
    return reconsider(replace(state, closed_by_operator=not event.in_service), ordered)


def on_store_failed(state: State, event: StoreFailed) -> Step:
    """Without a journal nothing may be done. The state is as before the step that failed; recovery finds what is open at the next start.

    A customer who has been told how it ended goes on reading that: it stays true.
    """
    if state.phase in TOLD:
        return goto(state, state.phase, seconds=state.config.timeouts.message_s, store_failed=True)
    state, commands = stop_entry(replace(state, store_failed=True))
    if state.card_present and online(state, Device.CARD_READER):
        state, release = ask(state, ReleaseCard, state.config.timeouts.card_s)
        commands = (*commands, release)
    failure = Failure("journalFailed", "take" if state.card_present else "none", "inDoubt" if state.open_dispense else "notDebited")
    return goto(state, Phase.FAILED, *commands, seconds=state.config.timeouts.message_s, failure=failure)


def on_store_still_failed(state: State, event: TimerExpired) -> Step:
    """Only a new process can trust the disk again (or find that it cannot)."""
    return stay(state, EndAgent(failed=True))


def on_stop_requested(state: State, event: StopRequested) -> Step:
    """Between customers at once; else when the one who is there has gone. Twice changes nothing."""
    state = replace(state, stopping=True)
    if state.phase is Phase.UNKNOWN:
        return stay(state, EndAgent(failed=False))
    return rest(state) if state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE) else stay(state)


def on_late_response(state: State, event: LateResponseArrived) -> Step:
    if state.store_failed:
        return stay(state)
    return stay(state, record("lateResponse", event.transaction_id or None, type=event.type, response=event.response))


def on_card_seen(state: State, event: CardInserted) -> Step:
    """A card outside of its phase: remembered, so that it is given back before anybody is served."""
    return reconsider(replace(state, card_present=True))


def on_card_gone(state: State, event: CardRemoved) -> Step:
    """The screen that asks for it says so no longer."""
    if state.failure is not None and state.failure.card == "take":
        reason = "cardRemoved" if state.failure.reason == "cardUnreadable" else state.failure.reason
        state = replace(state, failure=replace(state.failure, card="taken", reason=reason))
    return stay(replace(state, card_present=False))
