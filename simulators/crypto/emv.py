"""The symmetric cryptography of an EMV issuer and its cards (EMV 4.3 Book 2: annexes A1.2, A1.3.1, A1.4.1; sections 8.1, 8.2, 9.2).

One scheme for every test card: ICC master keys by option A; session keys by the EMV common session key derivation (AC: R = ATC;
secure messaging: R = ARQC); cryptograms over 9F02 9F03 9F1A 95 5F2A 9A 9C 9F37 82 9F36 9F10 with padding method 2. The cryptogram
version number in the issuer application data 9F10 says how the issuer answers:

====  ===================  ========================================  =======================================
CVN   answer (tag 91)      sent to the card by                       field 91
====  ===================  ========================================  =======================================
0x01  ARPC method 1        EXTERNAL AUTHENTICATE (AIP says so)       ARPC (8) + response code as 8A (2)
0x12  ARPC method 2        the second GENERATE AC (91 in CDOL2)      ARPC (4) + card status update CSU (4)
====  ===================  ========================================  =======================================

For card numbers of 16 digits CVN 0x12 is what is published as CVN 18. Test keys only: nothing here protects money.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from simulators.crypto.ber import objects, tlv

CVN_METHOD_1 = 0x01
CVN_METHOD_2 = 0x12
CRYPTOGRAM_TAGS = ("9F02", "9F03", "9F1A", "95", "5F2A", "9A", "9C", "9F37", "82", "9F36", "9F10")
CRYPTOGRAM_LENGTHS = (6, 6, 2, 5, 2, 3, 1, 4, 2, 2)
KINDS = {0x00: "AAC", 0x40: "TC", 0x80: "ARQC"}

CSU_APPROVES = 0x80  # byte 2 bit 8: issuer approves online transaction (EMV Book 3, annex C10)
SCRIPT_MAC_LENGTH = 4


@dataclass(frozen=True, slots=True)
class IssuerKeys:
    """The issuer's double-length TDES master keys: cryptograms, script integrity, script confidentiality."""

    ac: bytes = field(repr=False)
    smi: bytes = field(repr=False)
    smc: bytes = field(repr=False)


def load_issuer_keys(path: Path | None = None) -> IssuerKeys:
    """The test issuer's keys (``simulators/cast_keys.json``). ValueError names what the file lacks."""
    path = path or Path(__file__).parent.parent / "cast_keys.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    try:
        keys = [bytes.fromhex(found["issuer_master_keys"][name]) for name in ("ac", "smi", "smc")]
    except KeyError as error:
        raise ValueError(f"{path}: no issuer master key {error}") from error
    if any(len(key) != 16 for key in keys):
        raise ValueError(f"{path}: an issuer master key has 16 bytes")
    return IssuerKeys(*keys)


def _ecb(key: bytes, data: bytes) -> bytes:
    encryptor = Cipher(TripleDES(key + key[:8]), modes.ECB()).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _single_des(key: bytes, data: bytes, *, encrypt: bool = True) -> bytes:
    """DES is TDES with three equal keys."""
    cipher = Cipher(TripleDES(key * 3), modes.ECB())
    context = cipher.encryptor() if encrypt else cipher.decryptor()
    return context.update(data) + context.finalize()


def _odd_parity(key: bytes) -> bytes:
    return bytes(b ^ 1 if b.bit_count() % 2 == 0 else b for b in key)


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def mac(key: bytes, data: bytes) -> bytes:
    """ISO/IEC 9797-1 MAC algorithm 3 with DES, padding method 2 (EMV Book 2, A1.2.1): 8 bytes."""
    data += b"\x80" + bytes(-(len(data) + 1) % 8)
    state = bytes(8)
    for at in range(0, len(data), 8):
        state = _single_des(key[:8], _xor(state, data[at : at + 8]))
    return _single_des(key[:8], _single_des(key[8:], state, encrypt=False))


def icc_master_key(imk: bytes, pan: str, psn: int) -> bytes:
    """Option A (EMV Book 2, A1.4.1): the rightmost 16 digits of PAN and sequence number, and their complement."""
    digits = bytes.fromhex((pan + f"{psn:02d}")[-16:].zfill(16))
    return _odd_parity(_ecb(imk, digits + bytes(b ^ 0xFF for b in digits)))


def session_key(mk: bytes, r: int | bytes) -> bytes:
    """Common session key derivation (EMV Book 2, A1.3.1). `r` is the ATC as an integer (cryptograms) or the 8-byte ARQC (scripts)."""
    seed = r.to_bytes(2, "big") + bytes(6) if isinstance(r, int) else r
    if len(seed) != 8:
        raise ValueError("the diversification value has 8 bytes")
    return _odd_parity(_ecb(mk, seed[:2] + b"\xf0" + seed[3:] + seed[:2] + b"\x0f" + seed[3:]))


def application_cryptogram(session: bytes, data: bytes) -> bytes:
    """ARQC, TC or AAC over the concatenated values (EMV Book 2, 8.1.2)."""
    return mac(session, data)


def arpc_method1(session: bytes, arqc: bytes, response_code: bytes) -> bytes:
    """EMV Book 2, 8.2.1. `response_code` is the two characters of 8A."""
    return _ecb(session, _xor(arqc, response_code + bytes(6)))


def arpc_method2(session: bytes, arqc: bytes, csu: bytes, proprietary: bytes = b"") -> bytes:
    """EMV Book 2, 8.2.2: four bytes over cryptogram, card status update and up to eight bytes of the issuer's own."""
    return mac(session, arqc + csu + proprietary)[:4]


def script_mac(mk_smi: bytes, header: bytes, atc: int, arqc: bytes, data: bytes = b"") -> bytes:
    """Secure messaging format 2 (EMV Book 2, 9.2.1.2): four bytes over header, ATC, ARQC and the plain command data.

    `header` is CLA INS P1 P2 Lc as sent, with Lc counting the MAC.
    """
    return mac(session_key(mk_smi, arqc), header + atc.to_bytes(2, "big") + arqc + data)[:SCRIPT_MAC_LENGTH]


@dataclass(frozen=True, slots=True)
class IssuerApplicationData:
    """9F10 of the test cards: length 06, key index, CVN, then four bytes of card verification results (first: length 03)."""

    key_index: int
    cvn: int
    cvr: bytes

    @property
    def first_cryptogram(self) -> int:
        """CVR byte 2 bits 6-5: 0 AAC, 1 TC, 2 ARQC."""
        return self.cvr[1] >> 4 & 3

    @property
    def second_cryptogram(self) -> int:
        """CVR byte 2 bits 8-7: 0 AAC, 1 TC, 2 not yet requested."""
        return self.cvr[1] >> 6 & 3

    @property
    def issuer_authentication_failed(self) -> bool:
        return bool(self.cvr[1] & 0x08)

    @property
    def went_offline(self) -> bool:
        """The terminal said it could not go online."""
        return bool(self.cvr[1] & 0x01)

    @property
    def script_count(self) -> int:
        """Issuer commands the card carried out since the first GENERATE AC."""
        return self.cvr[3] >> 4

    @property
    def script_failed(self) -> bool:
        return bool(self.cvr[3] & 0x08)


def parse_iad(iad: bytes) -> IssuerApplicationData:
    """ValueError when 9F10 is not one of the test cards'."""
    if len(iad) < 7 or iad[0] != 0x06 or iad[3] != 0x03:
        raise ValueError("issuer application data 9F10 is not 06 DKI CVN 03 CVR CVR CVR")
    if iad[2] not in (CVN_METHOD_1, CVN_METHOD_2):
        raise ValueError(f"cryptogram version number {iad[2]:02X} is not of this issuer")
    return IssuerApplicationData(iad[1], iad[2], iad[3:7])


def build_iad(data: IssuerApplicationData) -> bytes:
    return bytes([0x06, data.key_index, data.cvn]) + data.cvr


@dataclass(frozen=True, slots=True)
class ArqcCheck:
    """What the issuer found in a cryptogram. `ok` says that it is genuine; `kind` is what the card claims it to be.

    `reason` is empty, or a sentence without card data. `session` is the session key of this ATC.
    """

    ok: bool
    reason: str
    kind: str = ""
    atc: int = 0
    cryptogram: bytes = b""
    cvn: int = 0
    cvr: bytes = b""
    tvr: bytes = b""
    iad: IssuerApplicationData | None = None
    session: bytes = field(default=b"", repr=False)
    mk_smi: bytes = field(default=b"", repr=False)


def _check(values: dict[str, bytes], pan: str, psn: int, keys: IssuerKeys, wanted: str) -> ArqcCheck:
    missing = [tag for tag in ("9F26", "9F27", *CRYPTOGRAM_TAGS) if tag not in values]
    if missing:
        return ArqcCheck(False, f"field 55 lacks {' '.join(missing)}")
    wrong = [tag for tag, size in zip(CRYPTOGRAM_TAGS, CRYPTOGRAM_LENGTHS, strict=False) if len(values[tag]) != size]
    if wrong or len(values["9F26"]) != 8 or len(values["9F27"]) != 1:
        return ArqcCheck(False, f"field 55 has a wrong length in {' '.join(wrong) or '9F26 or 9F27'}")
    try:
        iad = parse_iad(values["9F10"])
    except ValueError as error:
        return ArqcCheck(False, str(error))
    atc = int.from_bytes(values["9F36"], "big")
    session = session_key(icc_master_key(keys.ac, pan, psn), atc)
    expected = application_cryptogram(session, b"".join(values[tag] for tag in CRYPTOGRAM_TAGS))
    kind = KINDS.get(values["9F27"][0] & 0xC0, "")
    reason = ""
    if not hmac.compare_digest(expected, values["9F26"]):
        reason = "the cryptogram does not verify"
    elif kind != wanted:
        reason = f"the card gave {kind or 'an unknown cryptogram'} where {wanted} is needed"
    return ArqcCheck(
        not reason, reason, kind, atc, values["9F26"], iad.cvn, iad.cvr, values["95"], iad, session, icc_master_key(keys.smi, pan, psn)
    )


def _values(*parts: bytes) -> dict[str, bytes]:
    values: dict[str, bytes] = {}
    for part in parts:
        values.update(objects(part))
    return values


def verify_arqc(field55: bytes, pan: str, psn: int, keys: IssuerKeys) -> ArqcCheck:
    """The issuer's check of an online request. A replayed ATC is the caller's to notice (`atc`)."""
    try:
        return _check(_values(field55), pan, psn, keys, "ARQC")
    except ValueError as error:
        return ArqcCheck(False, f"field 55: {error}")


def verify_tc(field55: bytes, completion: bytes, pan: str, psn: int, keys: IssuerKeys, kind: str = "TC") -> ArqcCheck:
    """The final cryptogram: the completion's objects (9F26 9F27 9F10 95 ...) over those of the request. `kind` may ask for ``AAC``."""
    try:
        return _check(_values(field55, completion), pan, psn, keys, kind)
    except ValueError as error:
        return ArqcCheck(False, f"completion: {error}")


def script_command(check: ArqcCheck, header: str, data: bytes = b"") -> bytes:
    """An issuer script command with its MAC. `header` is CLA INS P1 P2 in hex, as ``841E0000`` (application block)."""
    head = bytes.fromhex(header) + bytes([len(data) + SCRIPT_MAC_LENGTH])
    return head + data + script_mac(check.mk_smi, head, check.atc, check.cryptogram, data)


def script_template(tag: str, identifier: bytes, commands: Iterable[bytes]) -> bytes:
    """71 (before) or 72 (after the second GENERATE AC) with the script identifier 9F18 and commands 86 (EMV Book 3, annex E)."""
    return tlv(tag, tlv("9F18", identifier) + b"".join(tlv("86", command) for command in commands))


def issuer_response(check: ArqcCheck, approved: bool, keys: IssuerKeys, *, response_code: str = "", scripts: bytes = b"") -> bytes:
    """8A, 91 and script templates for the card. A cryptogram that did not verify gets 8A alone: nothing is authenticated to it.

    `response_code` is the two characters of 8A (``00`` approved, ``05`` declined when not given). `keys` is taken so that the call
    reads as the issuer's; the session key of the check is used.
    """
    code = (response_code or ("00" if approved else "05")).encode("ascii")
    if len(code) != 2:
        raise ValueError("an authorisation response code 8A has two characters")
    answer = tlv("8A", code)
    if not check.session or not check.ok:
        return answer + scripts
    if check.cvn == CVN_METHOD_1:
        return answer + tlv("91", arpc_method1(check.session, check.cryptogram, code) + code) + scripts
    csu = bytes([0, CSU_APPROVES if approved else 0, 0, 0])
    return answer + tlv("91", arpc_method2(check.session, check.cryptogram, csu) + csu) + scripts
