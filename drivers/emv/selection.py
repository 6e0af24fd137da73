"""Application selection (EMV 4.3 Book 1, section 12): the payment system directory, else the list of names the terminal knows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drivers.emv.dialogue import CardDialogue, refusal
from drivers.emv.faults import CardFault, CardFaultName
from drivers.emv.record import DecisionLog
from drivers.emv.terminal import TerminalAid
from drivers.errors import ProtocolError
from drivers.protocols.emv_tags import Tag
from drivers.protocols.tlv import Tlv, find, parse_one
from drivers.transports.base import Deadline

PSE = b"1PAY.SYS.DDF01"
MAX_DIRECTORY_RECORDS = 30
MAX_OCCURRENCES = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """An application both sides know. Sorted best first; `priority` 1 is the card's favourite, 0 says that it has none.

    `needs_confirmation`: the customer must agree before it is selected. `blocked`: the issuer has blocked it, it cannot be used.
    """

    aid: bytes
    label: str
    preferred_name: str
    priority: int
    needs_confirmation: bool
    blocked: bool = False


def printable(value: bytes | None) -> str:
    """Labels are ISO/IEC 8859: what a screen cannot show is dropped."""
    return "".join(one for one in (value or b"").decode("latin-1") if one.isprintable()).strip()


def _candidate(objects: Iterable[Tlv], aid: bytes, *, blocked: bool = False) -> Candidate:
    objects = tuple(objects)
    indicator = (find(objects, Tag.PRIORITY) or b"\x00")[:1] or b"\x00"
    return Candidate(
        aid,
        printable(find(objects, Tag.LABEL)) or aid.hex().upper(),
        printable(find(objects, Tag.PREFERRED_NAME)),
        indicator[0] & 0x0F,
        bool(indicator[0] & 0x80),
        blocked,
    )


def _supported(aid: bytes, aids: Iterable[TerminalAid]) -> bool:
    return 5 <= len(aid) <= 16 and any(one.matches(aid) for one in aids)


def candidates(card: CardDialogue, aids: tuple[TerminalAid, ...], log: DecisionLog, deadline: Deadline) -> list[Candidate]:
    """Best first. CardFault: cardBlocked, applicationBlocked when all are, noApplication when there is none."""
    found = _from_directory(card, aids, log, deadline)
    if not found:
        found = _from_names(card, aids, log, deadline)
    found.sort(key=lambda one: (one.blocked, one.priority or 16))
    for one in found:
        log.tal(f"Candidate {one.aid.hex().upper()} {one.label}, priority {one.priority}{', blocked' if one.blocked else ''}")
    if not found:
        raise CardFault("the card has no application that this terminal supports", CardFaultName.NO_APPLICATION)
    if all(one.blocked for one in found):
        raise CardFault(
            "every application of the card that this terminal supports is blocked", CardFaultName.APPLICATION_BLOCKED, code=0x6283
        )
    return found


def _from_directory(card: CardDialogue, aids: tuple[TerminalAid, ...], log: DecisionLog, deadline: Deadline) -> list[Candidate]:
    """12.3.2. A directory that cannot be read is no fault of the card: the names follow."""
    response = card.select(PSE, deadline)
    if response.sw == 0x6A81:
        raise refusal("payment system directory", response.sw, CardFaultName.CARD_BLOCKED)
    if not response.ok:
        log.emv(f"No payment system directory (status word {response.sw:04X}): the terminal's list of applications is tried")
        return []
    try:
        sfi = find((parse_one(response.data, Tag.FCI),), Tag.SFI)
        if sfi is None or len(sfi) != 1 or not 1 <= sfi[0] <= 10:
            raise ProtocolError("the directory has no file identifier 1 to 10")
        found = _directory_entries(card, sfi[0], aids, deadline)
    except ProtocolError as error:
        log.emv(f"The payment system directory is not used: {error}")
        return []
    log.emv(f"Payment system directory read: {len(found)} supported")
    return [_checked(card, one, deadline) for one in found]


def _directory_entries(card: CardDialogue, sfi: int, aids: tuple[TerminalAid, ...], deadline: Deadline) -> list[Candidate]:
    found: dict[bytes, Candidate] = {}
    for number in range(1, MAX_DIRECTORY_RECORDS + 1):
        response = card.read_record(sfi, number, deadline)
        if response.sw == 0x6A83:
            break
        if not response.ok:
            raise ProtocolError(f"directory record {number}: status word {response.sw:04X}")
        for entry in parse_one(response.data, Tag.RECORD).children:
            aid = find(entry.children, Tag.AID_CARD) if entry.tag == Tag.DIRECTORY_ENTRY else None
            if aid is not None and _supported(aid, aids):
                found.setdefault(aid, _candidate(entry.children, aid))
    return list(found.values())


def _checked(card: CardDialogue, candidate: Candidate, deadline: Deadline) -> Candidate:
    """Whether a directory entry is blocked: only SELECT tells, and the customer is to choose among what can be used."""
    if card.select(candidate.aid, deadline).sw != 0x6283:
        return candidate
    return Candidate(
        candidate.aid, candidate.label, candidate.preferred_name, candidate.priority, candidate.needs_confirmation, blocked=True
    )


def _from_names(card: CardDialogue, aids: tuple[TerminalAid, ...], log: DecisionLog, deadline: Deadline) -> list[Candidate]:
    """12.3.3: each name the terminal knows; with partial names every occurrence."""
    found: dict[bytes, Candidate] = {}
    for known in aids:
        for occurrence in range(MAX_OCCURRENCES):
            response = card.select(known.aid, deadline, next_occurrence=occurrence > 0)
            if response.sw == 0x6A81 and occurrence == 0:
                raise refusal(f"application {known.aid.hex().upper()}", response.sw, CardFaultName.CARD_BLOCKED)
            if response.sw not in (0x9000, 0x6283):
                break
            try:
                one = _named(response.data, known, blocked=response.sw == 0x6283)
            except ProtocolError as error:
                log.emv(f"Application {known.aid.hex().upper()} is left out: {error}")
                break
            if one is None or one.aid in found:
                break
            found[one.aid] = one
            if not known.partial or one.aid == known.aid:
                break
    return list(found.values())


def _named(fci: bytes, known: TerminalAid, *, blocked: bool) -> Candidate | None:
    template = parse_one(fci, Tag.FCI)
    name = find(template.children, Tag.DF_NAME)
    if name is None or not known.matches(name):
        return None
    return _candidate(template.children, name, blocked=blocked)
