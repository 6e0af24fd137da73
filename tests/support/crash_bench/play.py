"""One planned run: its customers, its kills, what was observed after each, and whether the terminal serves again."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

from crash_bench import person
from crash_bench.branch import Branch, Stuck
from crash_bench.guest import Guest
from crash_bench.judge import judge, outcome, serves
from crash_bench.observation import Mark, Observation, asked, held_besides_doubt, latch_of, mark, observe, unsent
from crash_bench.orders import Order
from crash_bench.plan import PROBE_MINOR, Run, Visit
from crash_bench.secrets_left import found_in
from simulators.broker.start import BrokerError
from simulators.stage.processes import StageError

LIMIT_S = 90.0
ENOUGH_MONEY = 500_000
BANK_FAULTS: dict[str, dict[str, Any]] = {"pulls the card": {"kind": "slow", "seconds": 1.0}, "gets no answer": {"kind": "silent", "n": 1}}
SHORT_UNIT = "1"
PROBES = 3


@dataclass(slots=True)
class Played:
    """What a run came to. `kills`: what was carried out, each with the outcome of the visit it fell into."""

    number: int
    kills: list[tuple[Order, str]] = field(default_factory=list)
    missed: int = 0
    probes: int = 0
    outcomes: list[str] = field(default_factory=list)
    latched: int = 0
    out_minor: int = 0
    violations: list[str] = field(default_factory=list)
    points: set[str] = field(default_factory=set)
    seconds: float = 0.0
    story: list[str] = field(default_factory=list)


def play(branch: Branch, run: Run, *, loud: bool = False) -> Played:
    """A run that ends with a violation leaves a stage that nobody should use any more."""
    played, began = Played(run.number), time.monotonic()

    def tell(who: str, what: str) -> None:
        played.story.append(f"{time.monotonic() - began:7.2f} s  {who:<9} {what}")
        if loud:
            print(played.story[-1], flush=True)

    branch.tell, branch.down_s = tell, run.down_s
    until = began + LIMIT_S
    try:
        _begin(branch, until)
        before_minor = _booked(branch)
        for visit in run.visits:
            if not played.violations:
                _served(branch, visit, played, until)
        if not played.violations:
            _probe(branch, played, until)
            booked_minor = _booked(branch) - before_minor
            if booked_minor != played.out_minor:
                played.violations.append(f"debited_is_presented: {booked_minor} on the cash account, {played.out_minor} came out")
    except (Stuck, StageError, BrokerError) as error:
        played.violations.append(f"nothing_waits_for_ever: {error}")
    except Exception as error:  # noqa: BLE001 - a run that breaks the bench is told as one, and the others go on
        played.violations.append(f"the bench broke: {''.join(traceback.format_exception(error))}")
    played.seconds = time.monotonic() - began
    for violation in played.violations:
        tell("VIOLATION", violation)
    return played


def _begin(branch: Branch, until: float) -> None:
    """Money on the accounts, and an agent whose restarts are not used up. What the bank knows stays: a message may come twice."""
    branch.arm(())
    if branch.worn:
        branch.renew_agent()
    comes_to_rest(branch, until)
    for card in ("everyday", "static", "other-face", "two-applications"):
        asked(branch, "bank", "set_balance", name=card, minor=ENOUGH_MONEY)


def _served(branch: Branch, visit: Visit, played: Played, until: float) -> Observation:
    """A visit; and when the terminal asks for a person afterwards, that person's work."""
    seen = _visit(branch, visit, played, until)
    if not played.violations and person.is_needed(seen):
        person.sets_right(branch, seen)
        _after_the_person(branch, seen, played, until)
    return seen


def _probe(branch: Branch, played: Played, until: float) -> None:
    """Undisturbed customers, until one is paid."""
    probes: list[Observation] = []
    while not probes or (serves(probes) and len(probes) < PROBES and not played.violations):
        probes.append(_served(branch, Visit("probes", amount_minor=PROBE_MINOR), played, until))
    played.probes = len(probes)
    played.violations += serves(probes)
    played.violations += [f"nothing_secret_is_left: {one}" for one in found_in(branch.folder)]


def _booked(branch: Branch) -> int:
    """The bank's clearing account of this terminal's cash: all that came out, in-doubt money as a person counted it."""
    accounts = asked(branch, "bank", "state")["accounts"]
    return sum(one["balance_minor"] for one in accounts if one["kind"] == "terminalCash")


def _visit(branch: Branch, visit: Visit, played: Played, until: float) -> Observation:
    """A customer with his faults, then everything at rest, observed and judged."""
    tampered = frozenset[str]()
    since = mark(branch)
    if visit.story == "meets a short cassette":
        tampered = frozenset((SHORT_UNIT,))
        asked(branch, "dispenser", "set_cassette", unit=int(SHORT_UNIT), count=1)
    if visit.story in BANK_FAULTS:
        branch.hand("bank", "fault", **BANK_FAULTS[visit.story])
    for order in visit.orders:
        branch.tell("order", f"kill {order.target} {order.place}" + (f" (time {order.nth})" if order.nth > 1 else ""))
    branch.tell("customer", f"{visit.story}: {visit.amount_minor} with {visit.card}")
    branch.arm(visit.orders, before_ack=visit.bank_dies_before_ack)
    guest, stuck = Guest(branch, visit), ""
    try:
        guest.visit(until)
        fired = branch.disarm()
        if visit.story in BANK_FAULTS:
            branch.hand("bank", "fault", kind="clear")
        comes_to_rest(branch, until)
    except Stuck as error:
        stuck, fired = str(error), branch.disarm()
    branch.lost(fired)
    return _judged(branch, visit, since, played, fired, guest, tampered, stuck)


def _judged(
    branch: Branch,
    visit: Visit,
    since: Mark,
    played: Played,
    fired: list[Order],
    guest: Guest,
    tampered: frozenset[str],
    stuck: str,
) -> Observation:
    branch.hand("dispenser", "take_notes")
    seen = replace(observe(branch, visit.story, since, tampered=tampered, stuck=stuck), saw=frozenset(guest.saw))
    word = outcome(seen)
    branch.tell("observed", f"{word}: out {seen.out_minor}, screen {seen.screen}, latch {seen.latch}")
    for order in fired:
        branch.tell("killed", f"{order.target} {order.place}")
    played.kills += [(order, word) for order in fired]
    played.missed += len(visit.orders) + visit.bank_dies_before_ack - len(fired)
    if visit.story != "probes":
        played.outcomes.append(word)
    played.out_minor += seen.out_minor
    played.latched += seen.latch is not None
    played.points |= {f"{kind} {name}" for kind, name in seen.trace}
    played.violations += judge(seen)
    return seen


def _after_the_person(branch: Branch, seen: Observation, played: Played, until: float) -> None:
    """The bank has heard the truth, and the screen is open again."""
    comes_to_rest(branch, until)
    if latch_of(branch) is not None:
        played.violations.append(f"serves_again: still latched after the person: {latch_of(branch)}")
    for name, one in seen.transactions.items():
        if one["status"] != "inDoubt":
            continue
        now: dict[str, Any] = asked(branch, "bank", "transaction", identity=name)
        known = (now["status"], now["presented_minor"] or 0)
        if known != ("settled" if seen.out_minor else "released", seen.out_minor):
            played.violations.append(f"debited_is_presented: {name} reconciled as {known}, out {seen.out_minor}")


def comes_to_rest(branch: Branch, until: float) -> None:
    """Idle or latched, everybody alive, nothing on its way. Stuck when the time is up, with what is missing."""
    while True:
        branch.attend()
        branch.eyes.looks(0.05)
        missing = _missing(branch)
        if not missing:
            return
        if time.monotonic() > until:
            raise Stuck(f"not at rest: {missing}")


def _missing(branch: Branch) -> str:
    """What still keeps the branch from resting; empty when nothing does."""
    screen = branch.eyes.view.get("screen")
    if not branch.whole:
        return "a part is down"
    if screen != "idle" and not (screen == "outOfService" and latch_of(branch) is not None and branch.eyes.view["lines"]):
        texts = ", ".join(line["text"] for line in branch.eyes.view.get("lines") or ())
        return f"the screen is {screen or 'dark'} ({texts})"
    books = branch.hand("bank", "state")
    truth = branch.hand("dispenser", "state")
    if books is None or truth is None:
        return "bank or dispenser does not answer"
    if held := held_besides_doubt(books):
        return f"{held} are held at the bank"
    if waiting := unsent(branch):
        return f"{waiting} messages wait in the outbox"
    return "the dispenser moves" if truth["busy"] else ""
