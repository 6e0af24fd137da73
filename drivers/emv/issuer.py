"""The issuer's answer to the card: authentication data 91 and scripts 71, 72 (EMV 4.3 Book 3, 10.9, 10.10, annex E)."""

from __future__ import annotations

from dataclasses import dataclass

from drivers.emv.dialogue import CardDialogue
from drivers.emv.record import DecisionLog, Results
from drivers.errors import DeviceError, LinkError, ProtocolError
from drivers.protocols.apdu import Command, split
from drivers.protocols.emv_tags import Tag, Tsi, Tvr
from drivers.protocols.tlv import Tlv, TlvError, find, parse
from drivers.transports.base import Deadline

MAX_SCRIPT_BYTES = 255  # a terminal has to take 128 (Book 3, 10.10); what is longer is not carried out
MAX_COMMANDS = 15


@dataclass(frozen=True, slots=True)
class IssuerAnswer:
    """Field 55 as it came back. `code` is 8A."""

    code: bytes
    authentication: bytes
    before: tuple[Tlv, ...]
    after: tuple[Tlv, ...]


def read_issuer_answer(data: bytes) -> IssuerAnswer:
    """ProtocolError when it is no TLV, or 8A or 91 have a length the standard does not know."""
    objects = parse(data)
    code, authentication = find(objects, Tag.RESPONSE_CODE) or b"", find(objects, Tag.ISSUER_AUTHENTICATION) or b""
    if code and len(code) != 2:
        raise TlvError("the response code has two characters", tag=Tag.RESPONSE_CODE, offset=0)
    if authentication and not 8 <= len(authentication) <= 16:
        raise TlvError("issuer authentication data have 8 to 16 bytes", tag=Tag.ISSUER_AUTHENTICATION, offset=0)
    return IssuerAnswer(
        code,
        authentication,
        tuple(one for one in objects if one.tag == Tag.SCRIPT_BEFORE),
        tuple(one for one in objects if one.tag == Tag.SCRIPT_AFTER),
    )


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """One script. `result`: 0 not performed, 1 failed, 2 successful; `failed_at` counts commands from 1, 0 when none failed."""

    identifier: bytes
    result: int
    failed_at: int

    def encode(self) -> bytes:
        """The five bytes of an issuer script result (Book 4, annex A5)."""
        return bytes([self.result << 4 | min(self.failed_at, 15)]) + self.identifier[:4].rjust(4, b"\x00")


def run_scripts(
    card: CardDialogue, scripts: tuple[Tlv, ...], failure: Tvr, results: Results, log: DecisionLog, deadline: Deadline
) -> list[ScriptResult]:
    """Each command once, to the first that fails. A script that cannot be read is a failed one; a link that dies is LinkError."""
    done = []
    for script in scripts:
        results.set(Tsi.SCRIPT_PERFORMED)
        done.append(_run(card, script, log, deadline))
        if done[-1].result != 2:
            results.set(failure)
    return done


def _run(card: CardDialogue, script: Tlv, log: DecisionLog, deadline: Deadline) -> ScriptResult:
    identifier = find(script.children, Tag.SCRIPT_ID) or b""
    commands = [one.value for one in script.children if one.tag == Tag.SCRIPT_COMMAND]
    name = "71" if script.tag == Tag.SCRIPT_BEFORE else "72"
    if not commands or len(commands) > MAX_COMMANDS or len(script.value) > MAX_SCRIPT_BYTES:
        log.emv(f"Script {name} with {len(commands)} commands and {len(script.value)} bytes is not carried out")
        return ScriptResult(identifier, 0, 0)
    for place, raw in enumerate(commands, 1):
        try:
            command = _command(raw)
            sw = card.send(command, deadline).sw
        except LinkError:
            raise
        except DeviceError as error:
            log.emv(f"Script {name}, command {place}: {error}")
            return ScriptResult(identifier, 1, place)
        log.emv(f"Script {name}, command {place} (instruction {command.ins:02X}): status word {sw:04X}")
        if sw >> 8 not in (0x90, 0x62, 0x63):
            return ScriptResult(identifier, 1, place)
    return ScriptResult(identifier, 2, 0)


def _command(raw: bytes) -> Command:
    header, data, le = split(raw)
    if len(raw) < 5:
        raise ProtocolError("a script command has no length byte")
    return Command(header[0], header[1], header[2], header[3], data, le if le is not None or data else 0)
