"""A schedule: which customers come and what goes wrong when. Drawn from a seed or written by hand; plain values, easy to shrink."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any

from money.kinds import KINDS

POINTS_OF_A_CUSTOMER = 230
"""About so many moments does a withdrawal have (`Moments.point`)."""


@dataclass(frozen=True, slots=True)
class Customer:
    """`pins` are typed one after the other, the last one again and again. A screen's name in `leaves_at`, `cancels_at`, `pulls_at`: what
    they do when they see it. `dawdles_at`: what they answer only when they are asked whether they are still there, by `wakes`: "yes",
    "no", a "key" on the pad, or pulling the "card". `cash_after_s` None: the cash is left lying. `eager`: the card goes in as soon as
    the slot is free.
    `face`: what the verifier makes of them, where a face is asked for. `service`: what they want of the face services: "enrol", "stop" (in
    front of the camera), "disagree", "remove", "keep"; or "otherWay": they want no face check."""

    card: str = "static"
    pins: tuple[str, ...] = ("112233",)
    amount_minor: int = 30_000
    keypad: bool = False
    pace_s: float = 0.4
    leaves_at: str = ""
    cancels_at: str = ""
    pulls_at: str = ""
    dawdles_at: str = ""
    wakes: str = "yes"
    card_after_s: float = 0.8
    cash_after_s: float | None = 1.0
    receipt: bool = False
    eager: bool = False
    face: str = "accepted"
    service: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """`at`: the number of a point, or "name#n" (the nth point of that name, from 1), or "t=seconds" after the start."""

    at: int | str
    kind: str
    arguments: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.arguments)
        return f"{self.kind}({given}) at {self.at}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`survives`: what the dispenser's LAST STATUS survives. `swapped`: the first two cassettes have changed places. `face`: from 1,000
    yuan on the face is asked for; `risky`: the bank asks for it besides. `attended`: the attendant (health, alarms, telemetry) runs too.
    `whole`: nothing that only carries is left out (see shortcut.py), and in the end a probe customer is served."""

    seed: int
    customers: tuple[Customer, ...]
    faults: tuple[Fault, ...] = ()
    survives: str = "reset"
    latency: float = 1.0
    counts: tuple[int, int, int, int] = (60, 60, 60, 60)
    swapped: bool = False
    face: bool = False
    risky: bool = False
    attended: bool = True
    whole: bool = True

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Cards:
    """The cast's cards that the bench uses: name, PIN, how often."""

    name: str
    pin: str
    weight: int


CARDS = (
    Cards("static", "112233", 70),
    Cards("everyday", "135790", 8),
    Cards("two-applications", "246802", 8),
    Cards("little-money", "135790", 5),
    Cards("expired", "135790", 2),
    Cards("host-blocked", "", 1),
    Cards("blocked", "135790", 1),
)
WRONG_PIN = "999999"
ENROLLED = ("everyday", "two-applications")
AMOUNTS = (1_000, 2_000, 5_000, 10_000, 10_000, 17_000, 30_000, 30_000, 38_000, 50_000, 100_000, 200_000)
DARK_AND_ALONE = (
    Fault("send>Dispense#1", "dispenser/powerOff", (("seconds", 90.0),)),
    Fault("send>AskLastStatus#1", "process/cashDispenser"),
)
"""No power for longer than a terminal asks, and the worker that asks dies: of two faults at random that is one in a hundred thousand."""
EXCHANGED = (
    Fault("t=0.0", "dispenser/jam", (("after_notes", 1), ("where", "chk"))),
    Fault("send>Dispense#1", "process/agent", (("seconds", 30.0),)),
    Fault("event Started#2", "dispenser/cassettesExchanged", (("other", 2), ("unit", 1))),
)
"""Paid in part, nobody heard the answer, and when somebody asks the cassettes stand elsewhere."""
BROUGHT_BACK = (
    Fault("show takeCash#1", "dispenser/rejectBinOut", (("seconds", 5.0),)),
    Fault("send<Dispense#2", "dispenser/powerCutInMovement", (("notes", 0), ("place", "chk"), ("seconds", 8.0))),
)
"""Three want the same. The second meets a fault, a RESET empties LAST STATUS; power that fails under the third brings back the first."""
DELICATE = (
    *("journal<dispenseIntended", "journal>dispenseIntended", "send<Dispense", "send>Dispense", "note", "note", "note"),
    *(
        "event NotesDispensed",
        "journal<dispenseAnswered,transactionSettled",
        "journal>dispenseAnswered,transactionSettled",
        "show takeCash",
    ),
    *(
        "event CommandFailed",
        "send<AskLastStatus",
        "send>AskLastStatus",
        "event LastStatusRead",
        "journal>dispenseUnknown,transactionSettled",
    ),
    *("journal>authorisationRequested", "publish>auth", "bank<auth", "bank>auth", "journal>authorisationApproved", "journal>cardConfirmed"),
    *("event CardRemoved", "publish<txn", "publish>txn", "bank<txn", "bank>txn", "journal>transactionSettled", "event Started"),
)
"""Around the money: before and after each effect that moves it or tells of it."""
SCREENS = (
    *("chooseApplication", "enterPin", "chooseAmount", "wait", "takeCard", "dispensing", "takeCash", "printing", "failure"),
    *("readingCard", "otherAmount", "thanks", "stillThere", "face"),
)
ASKING = ("chooseApplication", "enterPin", "chooseAmount", "otherAmount")
"""Screens that wait for an answer."""
FACE_MOMENTS = ("send<MakeFaceKey", "send>MakeFaceKey", "event FaceKeyMade", "event TemplateFetched", "send<VerifyFace", "send>VerifyFace")
OF_A_KIND = {
    "card/": (
        "event AuthorisationAnswered",
        "journal<authorisationApproved",
        "send>GenerateFirstCryptogram",
        "send<GenerateSecondCryptogram",
    ),
    "process/faceVerifier": FACE_MOMENTS,
    "process/agentHangs": ("send>Dispense", "send>PrintReceipt", "send>AskLastStatus", "journal>authorisationRequested", "publish>auth"),
    "process/printer": ("send<PrintReceipt", "send>PrintReceipt"),
    "printer/": ("send<PrintReceipt", "send>PrintReceipt"),
    "process/cashDispenserHangs": ("send<Dispense", "send>Dispense", "send<PrepareDispense", "send>AskLastStatus"),
}
"""Moments at which faults whose name begins so can do most."""
FACE_FAULTS = ("process/faceVerifier", "process/faceVerifierHangs", "card/pulled")
FACE_SCREENS = ("faceNotice", "face", "face", "faceServices", "faceConsent", "faceRemoval", "faceDone", "wait", "takeCard")
FACE_SERVICES = ("enrol", "enrol", "stop", "disagree", "remove", "keep", "otherWay")


@dataclass(slots=True)
class Draw:
    """Chance with a customer's or a fault's vocabulary."""

    chance: Random
    kinds: tuple[tuple[str, Any], ...] = field(default_factory=tuple)

    def customer(self) -> Customer:
        chance = self.chance
        card = chance.choices(CARDS, [one.weight for one in CARDS])[0]
        pins: tuple[str, ...] = (card.pin or "135790",)
        odd = chance.random()
        if odd < 0.06:
            pins = (WRONG_PIN, *pins)
        elif odd < 0.08:
            pins = (WRONG_PIN,)
        moods = {"leaves_at": 0.05, "cancels_at": 0.03, "pulls_at": 0.08}
        mood = {name: chance.choice(SCREENS) for name, share in moods.items() if chance.random() < share}
        if chance.random() < 0.06:
            mood |= {"dawdles_at": chance.choice(ASKING), "wakes": chance.choice(("yes", "no", "key", "card"))}
        if card.name == "two-applications" and chance.random() < 0.4:
            mood[chance.choice(("pulls_at", "dawdles_at"))] = "chooseApplication"
        return Customer(
            card.name,
            pins,
            chance.choice(AMOUNTS),
            keypad=chance.random() < 0.05,
            pace_s=chance.choice((0.1, 0.4, 0.4, 1.5)),
            card_after_s=chance.choice((0.3, 0.8, 0.8, 4.0)),
            cash_after_s=chance.choice((0.5, 1.0, 1.0, 5.0, None)),
            receipt=chance.random() < 0.04,
            eager=chance.random() < 0.2,
            **mood,
        )

    def face_fault(self) -> Fault:
        kind = KINDS[self.chance.choice(FACE_FAULTS)]
        return Fault(f"{self.chance.choice(FACE_MOMENTS)}#1", kind.name, tuple(sorted(kind.draw(self.chance).items())))

    def with_face(self, customer: Customer) -> Customer:
        """Where a face is asked for: mostly cards whose holders are enrolled, and amounts that need it."""
        enrolled = self.chance.choice([card for card in CARDS if card.name in ENROLLED])
        card = (enrolled.name, (enrolled.pin,)) if self.chance.random() < 0.8 else (customer.card, customer.pins)
        face = self.chance.choice(("accepted", "accepted", "accepted", "rejected", "noFace"))
        return replace(customer, card=card[0], pins=card[1], amount_minor=self.chance.choice((100_000, 200_000, 30_000)), face=face)

    def moment(self, customers: int, kind: str) -> int | str:
        """Mostly a point, sometimes one of those that matter most; the rest any time."""
        own = next((moments for beginning, moments in OF_A_KIND.items() if kind.startswith(beginning)), ())
        if own and self.chance.random() < 0.3:
            return f"{self.chance.choice(own)}#1"
        where = self.chance.random()
        if where < 0.25:
            return f"{self.chance.choice(DELICATE)}#{self.chance.randint(1, customers + 1)}"
        if where < 0.9:
            return self.chance.randrange(POINTS_OF_A_CUSTOMER * customers)
        return f"t={self.chance.uniform(0.0, 30.0 * customers):.3f}"


ON_THE_WAY = ("broker/", "bank/ackSilent", "bank/crash", "bank/down", "bank/hangs")
"""What delays or loses messages matters most when the next customer's come behind them."""


def with_services(customer: Customer, chance: Random) -> Customer:
    """Some come for the face services, some want another way; and whoever is odd is so before the camera."""
    if chance.random() < 0.5:
        customer = replace(customer, service=chance.choice(FACE_SERVICES), face=chance.choice((customer.face, "askAgain", "notLive")))
    moods: dict[str, Any] = {
        name: chance.choice(FACE_SCREENS) for name in ("leaves_at", "cancels_at", "pulls_at") if chance.random() < 0.08
    }
    return replace(customer, **moods)


def draw(seed: int, make_fault: Any) -> Schedule:
    """The schedule of a seed. `make_fault(chance)` draws a kind with its arguments."""
    chance = Random(f"schedule/{seed}")
    drawing = Draw(chance)
    drawn = [make_fault(chance) for _ in range(chance.choices((0, 1, 2, 3, 4), (6, 40, 30, 16, 8))[0])]
    company = any(kind.startswith(ON_THE_WAY) for kind, _ in drawn)
    number = chance.choices((1, 2, 3), (50, 45, 5) if company else (86, 12, 2))[0]
    customers = tuple(drawing.customer() for _ in range(number))
    if any(kind.startswith(("printer/", "process/printer", "wire/printer")) for kind, _ in drawn):
        customers = tuple(replace(customer, receipt=True) for customer in customers)
    if number > 1 and chance.random() < 0.5:
        customers = (customers[0], *(replace(customer, eager=True) for customer in customers[1:]))
    face = chance.random() < 0.1
    if face:
        apart = Random(f"face services/{seed}")
        customers = tuple(with_services(drawing.with_face(customer), apart) for customer in customers)
    faults = [Fault(drawing.moment(number, kind), kind, tuple(sorted(arguments.items()))) for kind, arguments in drawn]
    if len(faults) > 1 and chance.random() < 0.1:  # troubles come together
        faults[1] = replace(faults[1], at=faults[0].at)
    if face and chance.random() < 0.4:
        faults.append(drawing.face_fault())
    if Random(f"dark/{seed}").random() < 0.01:
        faults += DARK_AND_ALONE
    if Random(f"exchanged/{seed}").random() < 0.01:
        faults += EXCHANGED
        customers = (replace(customers[0], amount_minor=38_000), *customers[1:])
    survives = chance.choice(("nothing", "reset", "reset", "power", "finished"))
    if Random(f"memory/{seed}").random() < 0.2:
        survives = "dispensed"
    if Random(f"brought back/{seed}").random() < 0.01:
        faults += BROUGHT_BACK
        customers, survives = (customers[0],) * 3, "dispensed"
    return Schedule(
        seed,
        customers,
        tuple(faults),
        survives=survives,
        latency=chance.choice((1.0, 1.0, 0.0, 5.0)),
        counts=chance.choice(((60, 60, 60, 60), (60, 60, 60, 60), (3, 2, 60, 60), (1, 0, 2, 5))),
        swapped=chance.random() < 0.15,
        face=face,
        risky=face and seed % 3 == 0,
        attended=seed % 8 == 0,
        whole=seed % 32 == 0,
    )
