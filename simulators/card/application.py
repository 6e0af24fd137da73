"""One payment application in its card: state, cryptograms, issuer authentication, issuer scripts (EMV 4.3 Book 3, section 6).

The order of commands is the card's own business here: what comes too early or twice gets 6985, whatever the terminal believes.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import Enum

from simulators.card.keys import CardKeys, signed_dynamic_data
from simulators.card.personalise import ApplicationFiles, dol_values, options_answer
from simulators.card.profiles import Profile
from simulators.crypto.ber import objects, tlv
from simulators.crypto.emv import (
    CRYPTOGRAM_TAGS,
    CSU_APPROVES,
    CVN_METHOD_1,
    SCRIPT_MAC_LENGTH,
    IssuerApplicationData,
    IssuerKeys,
    application_cryptogram,
    arpc_method1,
    arpc_method2,
    build_iad,
    icc_master_key,
    script_mac,
    session_key,
)

AAC, TC, ARQC = 0x00, 0x40, 0x80
KEY_INDEX = 1
APPROVALS = (b"00", b"10", b"11")  # authorisation response codes by which an issuer approves


class Refusal(Exception):
    """The card's "no": a status word."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"{sw:04X}")
        self.sw = sw


class State(Enum):
    """Where in a transaction the application is (Book 3, 6.1, table of permitted commands)."""

    SELECTED = "selected"
    INITIATED = "initiated"
    ONLINE = "online"
    DONE = "done"


class CardApplication:
    """Survives a power cut as a chip does: ATC, blocked, PIN tries stay; the transaction's state goes."""

    def __init__(self, files: ApplicationFiles, profile: Profile, keys: CardKeys, issuer: IssuerKeys) -> None:
        self.files = files
        self.blocked = profile.application_blocked
        self.atc = 0
        self.pin_tries = profile.pin_tries_left
        self.last_online_unfinished = False
        self.flip_signature = False
        self._keys = keys
        pan, psn = files.profile.pan, profile.pan_sequence
        self._mk_ac = icc_master_key(issuer.ac, pan, psn)
        self._mk_smi = icc_master_key(issuer.smi, pan, psn)
        self.select()

    def select(self) -> None:
        """A new session: nothing of an earlier transaction remains."""
        self.state = State.SELECTED
        self._pdol_data = self._cdol1_data = b""
        self._values: dict[str, bytes] = {}
        self._arqc = b""
        self._issuer_authenticated: bool | None = None
        self._issuer_approves = False
        self._scripts = 0
        self._script_failed = False
        self._first = self._second = 0

    def get_processing_options(self, data: bytes) -> bytes:
        if self.blocked or self.state is not State.SELECTED:
            raise Refusal(0x6985)
        command = objects(data).get("83")
        if command is None:
            raise Refusal(0x6A80)
        try:
            dol_values(self.files.pdol, command)
        except ValueError as error:
            raise Refusal(0x6700) from error
        if self.atc == 0xFFFF:
            self.blocked = True
            raise Refusal(0x6985)
        self.atc += 1
        self._pdol_data = command
        self.state = State.INITIATED
        return options_answer(self.files)

    def read_record(self, sfi: int, number: int) -> bytes:
        if self.state is State.SELECTED:
            raise Refusal(0x6985)
        record = self.files.record(sfi, number)
        if record is None:
            raise Refusal(0x6A83)
        return record

    def get_data(self, tag: str) -> bytes:
        known = {"9F36": self.atc.to_bytes(2, "big"), "9F13": bytes(2), "9F17": bytes([self.pin_tries])}
        if tag not in known:
            raise Refusal(0x6A88)
        return tlv(tag, known[tag])

    def internal_authenticate(self, data: bytes) -> bytes:
        """DDA (Book 2, 6.5): format 1 (80)."""
        if not self.files.dynamic:
            raise Refusal(0x6D00)
        if self.state is not State.INITIATED:
            raise Refusal(0x6985)
        if len(data) != 4:
            raise Refusal(0x6700)
        number = self._dynamic_number()
        return tlv("80", self._flipped(signed_dynamic_data(self._keys, bytes([len(number)]) + number, data)))

    def _dynamic_number(self) -> bytes:
        """No two transactions of a card share it: from the ATC, so that runs repeat."""
        return application_cryptogram(self._mk_ac, b"ICC dynamic number" + self.atc.to_bytes(2, "big"))

    def _flipped(self, signature: bytes) -> bytes:
        return signature[:-1] + bytes([signature[-1] ^ 1]) if self.flip_signature else signature

    def generate_ac(self, reference: int, data: bytes) -> bytes:
        """First and second GENERATE AC (Book 3, 6.5.5). `reference` is P1: the kind asked for, and bit 5 for CDA."""
        asked, cda = reference & 0xC0, bool(reference & 0x10)
        if reference & 0x2F or asked == 0xC0 or (cda and not self.files.cda):
            raise Refusal(0x6A86)
        if self.state not in (State.INITIATED, State.ONLINE):
            raise Refusal(0x6985)
        first = self.state is State.INITIATED
        try:
            values = dol_values(self.files.cdol1 if first else self.files.cdol2, data)
        except ValueError as error:
            raise Refusal(0x6700) from error
        kind = self._first_kind(asked) if first else self._second_kind(asked, values)
        self._values = values
        answer = self._cryptogram(kind)
        if first:
            self._cdol1_data = data
        hashed = self._pdol_data + self._cdol1_data + (b"" if first else data)
        return self._answer(kind, answer, hashed, cda)

    def _first_kind(self, asked: int) -> int:
        """This card lets nothing pass offline: a request for TC goes online."""
        kind = AAC if self.blocked or asked == AAC else ARQC
        self._first, self._second = kind >> 6, 2
        self.state = State.ONLINE if kind == ARQC else State.DONE
        self.last_online_unfinished = kind == ARQC
        return kind

    def _second_kind(self, asked: int, values: dict[str, bytes]) -> int:
        if asked == ARQC:
            raise Refusal(0x6A86)
        if "91" in values and any(values["91"]) and self._issuer_authenticated is None:
            self._issuer_authenticated = self._check_method_2(values["91"])
        unable = values["8A"] in (b"Y3", b"Z3")
        kind = TC if asked == TC and self._issuer_authenticated and self._issuer_approves and not unable and not self.blocked else AAC
        self._second = kind >> 6
        self.state = State.DONE
        self.last_online_unfinished = unable
        return kind

    def _check_method_2(self, authentication: bytes) -> bool:
        arpc, csu = authentication[:4], authentication[4:]
        session = session_key(self._mk_ac, self.atc)
        self._issuer_approves = bool(csu[1] & CSU_APPROVES)
        return hmac.compare_digest(arpc, arpc_method2(session, self._arqc, csu))

    def external_authenticate(self, data: bytes) -> None:
        """ARPC method 1 (Book 3, 6.5.4): once per transaction."""
        if self.files.cvn != CVN_METHOD_1:
            raise Refusal(0x6D00)
        if self.state is not State.ONLINE or self._issuer_authenticated is not None:
            raise Refusal(0x6985)
        if len(data) != 10:
            raise Refusal(0x6700)
        expected = arpc_method1(session_key(self._mk_ac, self.atc), self._arqc, data[8:])
        self._issuer_authenticated = hmac.compare_digest(data[:8], expected)
        self._issuer_approves = data[8:] in APPROVALS
        if not self._issuer_authenticated:
            raise Refusal(0x6300)

    def _cryptogram(self, kind: int) -> tuple[bytes, bytes]:
        """(9F26, 9F10)."""
        verification = [3, self._second << 6 | self._first << 4, 0x80 if self.last_online_unfinished else 0, 0]
        verification[1] |= (0x08 if self._issuer_authenticated is False else 0) | (0x01 if self._values.get("8A") in (b"Y3", b"Z3") else 0)
        verification[3] = self._scripts << 4 | (0x08 if self._script_failed else 0)
        iad = build_iad(IssuerApplicationData(KEY_INDEX, self.files.cvn, bytes(verification)))
        own = {"82": self.files.aip, "9F36": self.atc.to_bytes(2, "big"), "9F10": iad}
        covered = b"".join(own.get(tag) or self._values[tag] for tag in CRYPTOGRAM_TAGS)
        cryptogram = application_cryptogram(session_key(self._mk_ac, self.atc), covered)
        if kind == ARQC:
            self._arqc = cryptogram
        return cryptogram, iad

    def _answer(self, kind: int, answer: tuple[bytes, bytes], hashed: bytes, cda: bool) -> bytes:
        cryptogram, iad = answer
        atc = self.atc.to_bytes(2, "big")
        if cda and kind != AAC:  # an AAC is never signed (Book 2, 6.6.1)
            head, tail = tlv("9F27", bytes([kind])) + tlv("9F36", atc), tlv("9F10", iad)
            digest = hashlib.sha1(hashed + head + tail).digest()
            number = self._dynamic_number()
            dynamic = bytes([len(number)]) + number + bytes([kind]) + cryptogram + digest
            signature = signed_dynamic_data(self._keys, dynamic, self._values["9F37"])
            return tlv("77", head + tlv("9F4B", self._flipped(signature)) + tail)
        if self.files.format_2:
            return tlv("77", tlv("9F27", bytes([kind])) + tlv("9F36", atc) + tlv("9F26", cryptogram) + tlv("9F10", iad))
        return tlv("80", bytes([kind]) + atc + cryptogram + iad)

    def script(self, header: bytes, data: bytes) -> None:
        """An issuer command with its MAC (Book 3, 6.5.1, 6.5.2, 6.5.10). Anything wrong is remembered for the next cryptogram."""
        if self.state not in (State.ONLINE, State.DONE) or not self._arqc:
            raise Refusal(0x6985)
        try:
            self._authentic(header, data)
            self._carry_out(header)
        except Refusal:
            self._script_failed = True
            raise
        self._scripts = min(15, self._scripts + 1)

    def _authentic(self, header: bytes, data: bytes) -> None:
        plain, mac = data[:-SCRIPT_MAC_LENGTH], data[-SCRIPT_MAC_LENGTH:]
        if len(mac) != SCRIPT_MAC_LENGTH:
            raise Refusal(0x6987)
        if not hmac.compare_digest(mac, script_mac(self._mk_smi, header, self.atc, self._arqc, plain)):
            raise Refusal(0x6988)

    def _carry_out(self, header: bytes) -> None:
        instruction, p2 = header[1], header[3]
        if instruction == 0x1E:
            self.blocked = True
        elif instruction == 0x18:
            self.blocked = False
        elif instruction == 0x24 and p2 == 0:  # unblock; a PIN change over this card is not offered
            self.pin_tries = 3
        elif instruction == 0x24:
            raise Refusal(0x6985)
