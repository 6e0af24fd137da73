"""What is written into a card: directory, FCI, records, processing options (EMV 4.3 Book 1 section 12, Book 3 sections 5 to 7)."""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field

from simulators.card.keys import CardKeys, icc_certificate, issuer_certificate, signed_static_data
from simulators.card.profiles import ApplicationProfile, Profile
from simulators.crypto.ber import tlv
from simulators.crypto.emv import CVN_METHOD_1, CVN_METHOD_2

PSE = b"1PAY.SYS.DDF01"
CREDIT = bytes.fromhex("A000000333010102")

# what the cryptogram covers and the terminal knows, in the order in which the card asks for it
CDOL_BODY = "9F0206 9F0306 9F1A02 9505 5F2A02 9A03 9C01 9F3704"
CDOL1 = bytes.fromhex(CDOL_BODY)
CDOL2_METHOD_1 = bytes.fromhex("8A02" + CDOL_BODY)
CDOL2_METHOD_2 = bytes.fromhex("8A02 9108" + CDOL_BODY)
PDOL = bytes.fromhex("9F1A02 9F3303 9F3501 9F4005")
DDOL = bytes.fromhex("9F3704")

# amounts X and Y, then: online PIN at an unattended cash machine; online PIN, else the next; signature; none
CVM_LIST = bytes.fromhex("00000000 00000000 0201 4203 1E03 1F03")
USAGE = bytes.fromhex("FF80")
IAC_DEFAULT = bytes.fromhex("F8689CF800")
IAC_DENIAL = bytes.fromhex("0010000000")
IAC_ONLINE = bytes.fromhex("F8689CF800")
AIP = {"SDA": 0x40, "DDA": 0x20, "CDA": 0x21, "none": 0x00}


@dataclass(slots=True)
class ApplicationFiles:
    """One application as personalised. `records` by (SFI, number), each a list of (tag, value) under 70."""

    profile: ApplicationProfile
    aip: bytes
    afl: bytes
    cvn: int
    pdol: bytes
    cdol1: bytes
    cdol2: bytes
    fci: bytes
    format_2: bool
    cda: bool
    dynamic: bool
    records: dict[tuple[int, int], list[tuple[str, bytes]]] = field(repr=False)

    def record(self, sfi: int, number: int) -> bytes | None:
        found = self.records.get((sfi, number))
        return None if found is None else tlv("70", b"".join(tlv(tag, value) for tag, value in found))

    def flip(self, tag: str) -> None:
        """Change one bit of a personalised object, as tampering would: the signatures stay what they were. ValueError if it has none."""
        for record in self.records.values():
            for at, (name, value) in enumerate(record):
                if name == tag:
                    record[at] = (name, value[:-1] + bytes([value[-1] ^ 1]))
                    return
        raise ValueError(f"the card has no object {tag} in its records")


def directory(profile: Profile) -> bytes:
    """The one record of the payment system directory (Book 1, 12.2.3)."""
    entries = b"".join(
        tlv("61", tlv("4F", one.aid) + tlv("50", one.label.encode()) + tlv("87", bytes([one.priority]))) for one in profile.applications
    )
    return tlv("70", entries)


def directory_fci(profile: Profile) -> bytes:
    return tlv("6F", tlv("84", PSE) + tlv("A5", tlv("88", b"\x01") + tlv("5F2D", profile.language.encode()) + tlv("9F11", b"\x01")))


def personalise(profile: Profile, application: ApplicationProfile, keys: CardKeys) -> ApplicationFiles:
    """Everything signed with the test keys. Signing takes some milliseconds."""
    method_2 = application.aid == CREDIT
    aip = bytes([AIP[profile.authentication] | 0x18 | (0 if method_2 else 0x04), 0])
    static_record = _signed_record(profile, application, method_2)
    static_data = b"".join(tlv(tag, value) for tag, value in static_record) + aip
    certificate, remainder = issuer_certificate(keys, application.pan)
    records = {
        (1, 1): [("57", _track2(profile, application)), ("5F20", b"TEST/CARD"), ("9F1F", b"TEST")],
        (2, 1): static_record,
        (2, 2): [("8F", bytes([keys.index])), ("90", certificate), ("9F32", keys.issuer.exponent), ("92", remainder)],
    }
    dynamic = profile.authentication in ("DDA", "CDA")
    if dynamic:
        certificate, remainder = icc_certificate(keys, application.pan, static_data)
        records[3, 1] = [("9F46", certificate), ("9F47", keys.icc.exponent), ("9F48", remainder), ("9F49", DDOL)]
    else:
        records[3, 1] = [("93", signed_static_data(keys, static_data))]
    cda = profile.authentication == "CDA"
    pdol = PDOL if dynamic else b""
    return ApplicationFiles(
        application,
        aip,
        bytes.fromhex("08010100 10010201 18010100"),
        CVN_METHOD_2 if method_2 else CVN_METHOD_1,
        pdol,
        CDOL1,
        CDOL2_METHOD_2 if method_2 else CDOL2_METHOD_1,
        _fci(profile, application, pdol),
        cda,
        cda,
        dynamic,
        records,
    )


def _signed_record(profile: Profile, application: ApplicationProfile, method_2: bool) -> list[tuple[str, bytes]]:
    """The record that offline data authentication covers."""
    year, month = int(profile.expiry[:2]), int(profile.expiry[2:])
    last_day = calendar.monthrange(2000 + year, month)[1]
    return [
        ("5A", bytes.fromhex(application.pan + "F" * (len(application.pan) % 2))),
        ("5F34", bytes.fromhex(f"{profile.pan_sequence:02d}")),
        ("5F24", bytes.fromhex(f"{profile.expiry}{last_day:02d}")),
        ("5F25", bytes.fromhex("200101")),
        ("5F28", bytes.fromhex(profile.country)),
        ("5F30", bytes.fromhex("0220")),
        ("9F07", USAGE),
        ("9F08", bytes.fromhex("0030")),
        ("8C", CDOL1),
        ("8D", CDOL2_METHOD_2 if method_2 else CDOL2_METHOD_1),
        ("8E", CVM_LIST),
        ("9F0D", IAC_DEFAULT),
        ("9F0E", IAC_DENIAL),
        ("9F0F", IAC_ONLINE),
        ("9F4A", bytes.fromhex("82")),
    ]


def _track2(profile: Profile, application: ApplicationProfile) -> bytes:
    digits = f"{application.pan}D{profile.expiry}220{profile.pan_sequence:02d}0000123"
    return bytes.fromhex(digits + "F" * (len(digits) % 2))


def _fci(profile: Profile, application: ApplicationProfile, pdol: bytes) -> bytes:
    proprietary = tlv("50", application.label.encode()) + tlv("87", bytes([application.priority]))
    proprietary += (tlv("9F38", pdol) if pdol else b"") + tlv("5F2D", profile.language.encode())
    return tlv("6F", tlv("84", application.aid) + tlv("A5", proprietary))


def dol_values(dol: bytes, data: bytes) -> dict[str, bytes]:
    """The values a terminal sent for a data object list. ValueError when the length is not what the list asks for."""
    values: dict[str, bytes] = {}
    at = place = 0
    while at < len(dol):
        size = 1
        if dol[at] & 0x1F == 0x1F:
            while dol[at + size] & 0x80:
                size += 1
            size += 1
        tag, length = dol[at : at + size].hex().upper(), dol[at + size]
        values[tag] = data[place : place + length]
        at, place = at + size + 1, place + length
    if place != len(data):
        raise ValueError(f"{len(data)} bytes of data for a list of {place}")
    return values


def options_answer(files: ApplicationFiles) -> bytes:
    """GET PROCESSING OPTIONS: format 2 (77) for a CDA card, format 1 (80) for the others (Book 3, 6.5.8.4)."""
    if files.format_2:
        return tlv("77", tlv("82", files.aip) + tlv("94", files.afl))
    return tlv("80", files.aip + files.afl)
