"""The named points of an agent, by the story in which they are passed, and who can be killed there.

The list is checked against what the agent really notes: a bench that meets a point which is not here says so.
"""

from __future__ import annotations

from dataclasses import dataclass

AGENT, PAGE = "agent", "page"
WORKERS = ("cardReader", "pinPad", "cashDispenser", "printer")
STAGED = ("broker", "bank", "dispenser", "pinpad", "printer simulator", "card")
CHILD = {"printer simulator": "printer"}  # the stage's name of it, where a worker has the same
OTHERS = (*WORKERS, PAGE, *STAGED)

# `bank` kills itself there, by its own fault: the advice is booked, the acknowledgement not sent.
BEFORE_ACK = "advice booked, acknowledgement unsent"

DISPENSE = "command Dispense"
READING = ("event CardInserted", "command ReadCard", "view readingCard", "event ApplicationsRead", "command SelectApplication")
PIN = (
    "event ApplicationSelected",
    "command StartPinEntry",
    "event CommandDone",
    "view enterPin",
    "event KeyPressed",
    "command StartTimer",
    "command MakePinBlock",
    "event PinBlockMade",
    "view chooseAmount",
)
ASKING = (
    "event Pressed",
    "command Record:transactionStarted",
    "command PrepareDispense",
    "command GenerateFirstCryptogram",
    "view wait",
    "event DispenserPrepared",
    "event FirstCryptogramMade",
    "command Record:authorisationRequested",
    "command Authorise",
    "event AuthorisationAnswered",
)
CONFIRMING = (
    "command Record:authorisationApproved",
    "command GenerateSecondCryptogram",
    "event SecondCryptogramMade",
    "command Record:cardConfirmed",
    "command ReleaseCard",
    "view takeCard",
)
PAYING = (
    "event CardRemoved",
    "command Record:dispenseIntended",
    DISPENSE,
    "view dispensing",
    "event NotesDispensed",
    "command Record:dispenseAnswered,transactionSettled",
    "view takeCash",
)
ENDING = ("command PrintReceipt", "view printing", "event ReceiptPrinted", "view takeReceipt", "view idle")
SUCCESS = (*READING, *PIN, *ASKING, *CONFIRMING, *PAYING, *ENDING)

OF_STORY: dict[str, tuple[str, ...]] = {
    "withdraws": SUCCESS,
    "types the amount": ("command StartAmountEntry", "view otherAmount", "command StopEntry"),
    "chooses an application": ("view chooseApplication",),
    "wrong PIN first": ("command Record:authorisationDeclined", "command SelectApplication"),
    "has no money": ("command Record:authorisationDeclined", "command Record:transactionSettled", "view failure"),
    "pulls the card": ("event CardRemoved", "command Record:transactionSettled", "view failure"),
    "forgets the card": ("event TimerExpired", "command Record:transactionSettled", "view failure"),
    "gets no answer": ("event RequestFailed",),
    "walks away": ("view stillThere", "event TimerExpired"),
    "meets a short cassette": ("event NotesDispensed", "command Record:dispenseAnswered,transactionSettled", "view takeCash"),
    "declines the receipt": ("view thanks",),
}

STARTING = (
    "event Started",
    "command Record:agentStarted",
    "view outOfService",
    "event LinkUp",
    "event DeviceOnline",
    "command InitialiseDispenser",
    "event DispenserInitialised",
    "command Record:serviceChanged",
)
RECOVERING = ("command AskLastStatus", "event LastStatusRead", "command Record:dispenseAnswered,transactionSettled")
LOST = ("event DeviceLost", "command Record:deviceLost", "event CommandFailed")


@dataclass(frozen=True, slots=True)
class First:
    """A kill that must come before the others can be reached."""

    target: str
    point: str
    side: str
    delay_s: float = 0.0


# A first kill, and the points that its consequences pass.
AFTERMATHS: tuple[tuple[First, tuple[str, ...]], ...] = (
    (First(AGENT, "view chooseAmount", "after"), STARTING),
    (First(AGENT, DISPENSE, "after", 0.02), RECOVERING),
    (First(AGENT, "command Record:cardConfirmed", "after"), ("command Record:transactionSettled",)),
    (First("cashDispenser", DISPENSE, "after", 0.01), (*LOST, *RECOVERING)),
    (First("cashDispenser", "event Pressed", "before"), ("command Record:transactionSettled", "view failure")),
    (First("dispenser", DISPENSE, "after", 0.04), ("command Record:dispenseUnknown,transactionSettled",)),
    (First("broker", "view takeCash", "after"), ("event LinkDown",)),
    (First("printer", "command PrintReceipt", "after"), ("command Record:receiptFailed",)),
)

# Noted, but no points: what is ignored has no effect to stand before or after, and nobody can plan an answer that comes too late.
UNPLANNED = {"command Ignore", "event LateResponseArrived", "command Record:lateResponse"}

SIDES = ("before", "after")


def sides_of(point: str) -> tuple[str, ...]:
    """A timer is set in memory: there is nothing before it that is not after something else."""
    return ("after",) if point == "command StartTimer" else SIDES


def names() -> set[str]:
    """What a trace may note."""
    return {place.split(" ", 1)[1] for place in known()} | UNPLANNED


def known() -> set[str]:
    """Every named point, `before ...` and `after ...`."""
    points = {point for story in OF_STORY.values() for point in story} | {point for _, after in AFTERMATHS for point in after}
    return {f"{side} {point}" for point in points for side in sides_of(point)} | {f"after {BEFORE_ACK}"}
