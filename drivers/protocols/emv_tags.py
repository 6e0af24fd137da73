"""EMV data elements by tag: names, formats, bits in words (EMV 4.3 Book 3, annexes A and C)."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Tag(IntEnum):
    """Names of annex A1, shortened where the trade shortens them."""

    AID_CARD = 0x4F
    LABEL = 0x50
    TRACK2 = 0x57
    PAN = 0x5A
    DIRECTORY_ENTRY = 0x61
    FCI = 0x6F
    RECORD = 0x70
    SCRIPT_BEFORE = 0x71
    SCRIPT_AFTER = 0x72
    RESPONSE_2 = 0x77
    RESPONSE_1 = 0x80
    AIP = 0x82
    COMMAND_TEMPLATE = 0x83
    DF_NAME = 0x84
    SCRIPT_COMMAND = 0x86
    PRIORITY = 0x87
    SFI = 0x88
    RESPONSE_CODE = 0x8A
    CDOL1 = 0x8C
    CDOL2 = 0x8D
    CVM_LIST = 0x8E
    CA_INDEX = 0x8F
    ISSUER_CERTIFICATE = 0x90
    ISSUER_AUTHENTICATION = 0x91
    ISSUER_REMAINDER = 0x92
    SIGNED_STATIC = 0x93
    AFL = 0x94
    TVR = 0x95
    DATE = 0x9A
    TSI = 0x9B
    TYPE = 0x9C
    FCI_PROPRIETARY = 0xA5
    EXPIRY = 0x5F24
    EFFECTIVE = 0x5F25
    ISSUER_COUNTRY = 0x5F28
    CURRENCY = 0x5F2A
    LANGUAGE = 0x5F2D
    SERVICE_CODE = 0x5F30
    PAN_SEQUENCE = 0x5F34
    CURRENCY_EXPONENT = 0x5F36
    ACQUIRER = 0x9F01
    AMOUNT = 0x9F02
    AMOUNT_OTHER = 0x9F03
    AID_TERMINAL = 0x9F06
    USAGE = 0x9F07
    VERSION_CARD = 0x9F08
    VERSION_TERMINAL = 0x9F09
    IAC_DEFAULT = 0x9F0D
    IAC_DENIAL = 0x9F0E
    IAC_ONLINE = 0x9F0F
    ISSUER_APPLICATION_DATA = 0x9F10
    CODE_TABLE = 0x9F11
    PREFERRED_NAME = 0x9F12
    LAST_ONLINE_ATC = 0x9F13
    MERCHANT_CATEGORY = 0x9F15
    MERCHANT = 0x9F16
    SCRIPT_ID = 0x9F18
    COUNTRY = 0x9F1A
    FLOOR_LIMIT = 0x9F1B
    TERMINAL_ID = 0x9F1C
    SERIAL = 0x9F1E
    TRACK1_DISCRETIONARY = 0x9F1F
    TIME = 0x9F21
    CRYPTOGRAM = 0x9F26
    CID = 0x9F27
    ISSUER_EXPONENT = 0x9F32
    CAPABILITIES = 0x9F33
    CVM_RESULTS = 0x9F34
    TERMINAL_TYPE = 0x9F35
    ATC = 0x9F36
    UNPREDICTABLE = 0x9F37
    PDOL = 0x9F38
    ADDITIONAL_CAPABILITIES = 0x9F40
    COUNTER = 0x9F41
    DATA_AUTHENTICATION_CODE = 0x9F45
    ICC_CERTIFICATE = 0x9F46
    ICC_EXPONENT = 0x9F47
    ICC_REMAINDER = 0x9F48
    DDOL = 0x9F49
    STATIC_TAGS = 0x9F4A
    SIGNED_DYNAMIC = 0x9F4B
    ICC_DYNAMIC_NUMBER = 0x9F4C
    MERCHANT_NAME = 0x9F4E
    TRACK2_EQUIVALENT = 0x9F6B
    SCRIPT_RESULTS = 0x9F5B


NUMERIC = frozenset(
    {
        Tag.DATE,
        Tag.TYPE,
        Tag.EXPIRY,
        Tag.EFFECTIVE,
        Tag.ISSUER_COUNTRY,
        Tag.CURRENCY,
        Tag.SERVICE_CODE,
        Tag.PAN_SEQUENCE,
        Tag.CURRENCY_EXPONENT,
        Tag.ACQUIRER,
        Tag.AMOUNT,
        Tag.AMOUNT_OTHER,
        Tag.CODE_TABLE,
        Tag.MERCHANT_CATEGORY,
        Tag.COUNTRY,
        Tag.TIME,
        Tag.TERMINAL_TYPE,
        Tag.COUNTER,
    }
)
COMPRESSED = frozenset({Tag.PAN})

TVR_BITS: dict[tuple[int, int], str] = {
    (0, 8): "offline data authentication was not performed",
    (0, 7): "SDA failed",
    (0, 6): "ICC data missing",
    (0, 5): "card appears on terminal exception file",
    (0, 4): "DDA failed",
    (0, 3): "CDA failed",
    (0, 2): "SDA selected",
    (1, 8): "ICC and terminal have different application versions",
    (1, 7): "expired application",
    (1, 6): "application not yet effective",
    (1, 5): "requested service not allowed for card product",
    (1, 4): "new card",
    (2, 8): "cardholder verification was not successful",
    (2, 7): "unrecognised CVM",
    (2, 6): "PIN try limit exceeded",
    (2, 5): "PIN entry required and PIN pad not present or not working",
    (2, 4): "PIN entry required, PIN pad present, but PIN was not entered",
    (2, 3): "online PIN entered",
    (3, 8): "transaction exceeds floor limit",
    (3, 7): "lower consecutive offline limit exceeded",
    (3, 6): "upper consecutive offline limit exceeded",
    (3, 5): "transaction selected randomly for online processing",
    (3, 4): "merchant forced transaction online",
    (4, 8): "default TDOL used",
    (4, 7): "issuer authentication failed",
    (4, 6): "script processing failed before final GENERATE AC",
    (4, 5): "script processing failed after final GENERATE AC",
}

TSI_BITS: dict[tuple[int, int], str] = {
    (0, 8): "offline data authentication was performed",
    (0, 7): "cardholder verification was performed",
    (0, 6): "card risk management was performed",
    (0, 5): "issuer authentication was performed",
    (0, 4): "terminal risk management was performed",
    (0, 3): "script processing was performed",
}


@unique
class Tvr(IntEnum):
    """Bits of the terminal verification results as masks of the five bytes read as one number (annex C5)."""

    ODA_NOT_PERFORMED = 0x80_00_00_00_00
    SDA_FAILED = 0x40_00_00_00_00
    ICC_DATA_MISSING = 0x20_00_00_00_00
    DDA_FAILED = 0x08_00_00_00_00
    CDA_FAILED = 0x04_00_00_00_00
    SDA_SELECTED = 0x02_00_00_00_00
    DIFFERENT_VERSIONS = 0x00_80_00_00_00
    EXPIRED = 0x00_40_00_00_00
    NOT_YET_EFFECTIVE = 0x00_20_00_00_00
    SERVICE_NOT_ALLOWED = 0x00_10_00_00_00
    NEW_CARD = 0x00_08_00_00_00
    CVM_FAILED = 0x00_00_80_00_00
    CVM_UNRECOGNISED = 0x00_00_40_00_00
    PIN_NOT_ENTERED = 0x00_00_08_00_00
    ONLINE_PIN = 0x00_00_04_00_00
    EXCEEDS_FLOOR_LIMIT = 0x00_00_00_80_00
    ISSUER_AUTHENTICATION_FAILED = 0x00_00_00_00_40
    SCRIPT_FAILED_BEFORE = 0x00_00_00_00_20
    SCRIPT_FAILED_AFTER = 0x00_00_00_00_10


@unique
class Tsi(IntEnum):
    """Bits of the transaction status information, two bytes as one number (annex C6)."""

    ODA_PERFORMED = 0x8000
    CVM_PERFORMED = 0x4000
    CARD_RISK_PERFORMED = 0x2000
    ISSUER_AUTHENTICATION_PERFORMED = 0x1000
    TERMINAL_RISK_PERFORMED = 0x0800
    SCRIPT_PERFORMED = 0x0400


def bits_in_words(value: bytes, words: dict[tuple[int, int], str]) -> tuple[str, ...]:
    """The set bits, first byte first; a bit the standard reserves is named by its place."""
    found = []
    for byte, octet in enumerate(value):
        for bit in range(8, 0, -1):
            if octet >> (bit - 1) & 1:
                found.append(words.get((byte, bit), f"byte {byte + 1} bit {bit}"))
    return tuple(found)
