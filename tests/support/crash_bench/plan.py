"""What is done in which run: all of it follows from the seed, and run K is the same whatever the number of runs.

Decks are dealt from, reshuffled when they are used up: the agent's own points; everybody else at a named point; a second kill in what a
first one led to; a random moment while notes move; a random moment after a random point.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from crash_bench import points as p
from crash_bench.orders import Order
from simulators.devices.dispenser import SURVIVES

RUNS_A_STAGE = 25
HALF = ("agent", "other", "agent", "after", "agent", "moving", "agent", "other", "after")
ROUND = (*HALF, "agent", *HALF, "random")
CARDS = {"everyday": "135790", "static": "112233", "other-face": "135790"}
AMOUNTS = (10_000, 20_000, 30_000, 50_000, 100_000)
RANDOM_S = 0.25
MOVING_S = 0.1  # three notes take about 0.06 s
MOVERS = (p.AGENT, "cashDispenser", "dispenser", "dispenser")
BY_CHANCE = -1.0  # a delay that the dice still have to name
PROBE_MINOR = 10_000


@dataclass(frozen=True, slots=True)
class Visit:
    """One customer: what he does, and what is killed meanwhile."""

    story: str
    card: str = "everyday"
    pin: str = "135790"
    amount_minor: int = 30_000
    orders: tuple[Order, ...] = ()
    bank_dies_before_ack: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """What a stage is like: for all runs that are played on it."""

    number: int
    cards_by: str
    last_status_survives: str


@dataclass(frozen=True, slots=True)
class Run:
    """`down_s`: for how long what the stage restarts stays down."""

    number: int
    visits: tuple[Visit, ...]
    down_s: float
    setting: Setting


def setting_of(run: int) -> Setting:
    number = run // RUNS_A_STAGE
    return Setting(number, ("pcsc", "vpcd")[number % 2], SURVIVES[number // 2 % len(SURVIVES)])


def runs(seed: int, count: int) -> list[Run]:
    return list(itertools.islice(_runs(seed), count))


def _runs(seed: int) -> Iterator[Run]:
    dice = random.Random(seed)
    decks = {name: _deal(cards, dice) for name, cards in _decks().items()}
    for number in itertools.count():
        first = next(decks[ROUND[number % len(ROUND)]])
        visits = [_dressed(first, dice)]
        if dice.random() < 0.2:
            visits.append(_dressed(_another(visits[0], decks, dice), dice))
        yield Run(number, tuple(visits), round(dice.choice((0.0, 0.0, 0.4, 1.2)), 1), setting_of(number))


def _another(first: Visit, decks: dict[str, Iterator[Visit]], dice: random.Random) -> Visit:
    """The next customer at the same terminal: undisturbed, or with a kill of his own when the first had only one."""
    if dice.random() < 0.5 or len(first.orders) > 1:
        return Visit("withdraws")
    return next(decks["random"])


def _deal(cards: Sequence[Visit], dice: random.Random) -> Iterator[Visit]:
    while True:
        yield from dice.sample(cards, len(cards))


def _decks() -> dict[str, list[Visit]]:
    return {
        "agent": [_killed(story, Order(p.AGENT, point, side)) for story, point, side in _places()],
        "other": _others(),
        "random": [
            _killed("withdraws", Order(who, point, "after", delay_s=BY_CHANCE))
            for who in (p.AGENT, p.AGENT, *p.OTHERS)
            for point in p.SUCCESS
        ],
        "moving": [_killed("withdraws", Order(who, p.DISPENSE, "after", delay_s=BY_CHANCE)) for who in (*MOVERS * 5, *p.OTHERS)],
        "after": [
            _killed("withdraws", Order(first.target, first.point, first.side, delay_s=first.delay_s), Order(p.AGENT, point, side))
            for first, points in p.AFTERMATHS
            for point in points
            for side in p.sides_of(point)
        ]
        + [Visit("withdraws", bank_dies_before_ack=True)] * 2,
    }


def _others() -> list[Visit]:
    """Everybody but the agent, where money and promises change hands, and a few moments before."""
    early = ("event CardInserted", "command StartPinEntry", "event KeyPressed", "command MakePinBlock", "view chooseAmount")
    asking = (*p.ASKING[1:4], *p.ASKING[7:], *p.CONFIRMING[:4])
    paying = (*p.CONFIRMING[-2:], *p.PAYING, "command PrintReceipt")
    places = [(point, side) for point in (*early, *asking, *paying) for side in p.SIDES]
    named = [_killed("withdraws", Order(who, point, side)) for who in p.OTHERS for point, side in places]
    named += [_killed("pulls the card", Order(who, "command Record:transactionSettled", "after")) for who in p.OTHERS]
    return named


def _places() -> list[tuple[str, str, str]]:
    return [(story, point, side) for story, points in p.OF_STORY.items() for point in points for side in p.sides_of(point)]


def _killed(story: str, *orders: Order) -> Visit:
    return Visit(story, orders=orders)


def _dressed(visit: Visit, dice: random.Random) -> Visit:
    """A card, an amount, and the moments that are left to chance."""
    card = dice.choice(tuple(CARDS))
    amount = dice.choice(AMOUNTS)
    if visit.story == "chooses an application":
        card = "two-applications"
    elif visit.story == "has no money":
        card = "little-money"
    elif visit.story == "types the amount":
        amount = dice.choice((17_000, 28_000, 8_000))
    elif visit.story == "meets a short cassette":
        amount = 30_000
    elif any(order.target == "dispenser" and order.delay_s > 0 for order in visit.orders):
        amount = 50_000  # enough notes to be still moving then
    orders = tuple(_timed(order, dice) for order in visit.orders)
    pin = {"two-applications": "246802"}.get(card, CARDS.get(card, "135790"))
    return replace(visit, card=card, pin=pin, amount_minor=amount, orders=orders)


def _timed(order: Order, dice: random.Random) -> Order:
    nth = dice.randint(1, 6) if order.point == "event KeyPressed" else 1
    if order.point == "event Pressed" and dice.random() < 0.3:
        nth = 2
    delay = order.delay_s
    if delay == BY_CHANCE:
        delay = round(dice.uniform(0.0, MOVING_S if order.point == p.DISPENSE else RANDOM_S), 4)
    return replace(order, nth=nth, delay_s=delay)
