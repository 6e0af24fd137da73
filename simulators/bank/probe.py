"""A terminal with no devices: well-formed requests and advices for a card of the cast, to try a bank with.

It makes what card and PIN pad would make (cryptogram, PIN block) from the test keys. Deterministic: the seed, the number and the
attempt decide every byte.
"""

from __future__ import annotations

import json
import random
import tomllib
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from simulators.bank.messages import Message, utc_text
from simulators.crypto import dukpt_aes
from simulators.crypto.ber import objects, tlv
from simulators.crypto.emv import CRYPTOGRAM_TAGS, IssuerKeys, application_cryptogram, icc_master_key, load_issuer_keys, session_key
from simulators.crypto.host_pin import HostPinKeys
from simulators.crypto.pin_block import encipher_format_4
from simulators.crypto.sealed_box import public_from_hex, seal

INITIAL_KEY_OF_PROBE = b"PROB"


@dataclass(slots=True)
class Probe:
    """`counter` and `atc` grow with every PIN block and every cryptogram."""

    bank_key: ec.EllipticCurvePublicKey
    terminal: str = "T0001"
    branch: str = "B001"
    seed: int = 0
    pins: HostPinKeys = field(default_factory=HostPinKeys.load)
    issuer: IssuerKeys = field(default_factory=load_issuer_keys)
    counter: int = 0
    atc: int = 0
    cards: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def for_bank(cls, public_hex: str, terminal: str = "T0001", seed: int = 0, cast: Path | None = None) -> Probe:
        path = cast or Path(__file__).parent.parent / "cast.toml"
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        cards = {card["name"]: card for card in content["card"]}
        return cls(public_from_hex(public_hex, "bank key"), terminal, seed=seed, cards=cards)

    @property
    def base(self) -> str:
        return f"bank/v1/{self.branch}/{self.terminal}"

    def transaction_id(self, number: int) -> str:
        return f"{self.terminal}-{number:08d}"

    def message(self, kind: str, data: dict[str, Any], now: datetime, *, epoch: int = 0, seq: int = 0, leaf: str = "") -> Message:
        """With `leaf` (txn, audit, ...) a numbered message, else a request."""
        key = f"{self.terminal}/{leaf}/{epoch}/{seq}" if leaf else str(uuid.UUID(bytes=random.Random(f"{self.seed}{data}").randbytes(16)))
        found: Message = {
            "specversion": "1.0",
            "id": key,
            "source": self.base,
            "type": kind,
            "time": utc_text(now),
            "datacontenttype": "application/json",
            "dataschema": f"smart-branch:{kind}:1",
            "data": data,
        }
        return {**found, "epoch": epoch, "seq": seq} if leaf else found

    def card_data(self, card: str, identity: str, *, application: int = 0, bank_key: ec.EllipticCurvePublicKey | None = None) -> Any:
        raw = self.cards[card]
        pan = raw["applications"][application]["pan"]
        content = {"pan": pan, "track2": f"{pan}D{raw['expiry']}2010000000000F", "panSequence": raw["pan_sequence"]}
        generator = random.Random(f"box{self.seed}{identity}{card}{self.counter}")
        return seal(json.dumps(content).encode(), bank_key or self.bank_key, identity.encode(), "bank-2026", generator.randbytes)

    def pin_block(self, card: str, pin: str | None = None, *, application: int = 0) -> dict[str, str]:
        """ISO 9564-1 format 4 under AES DUKPT."""
        raw = self.cards[card]
        self.counter = dukpt_aes.next_counter(self.counter)
        identity = self.pins.bdk_aes_id + INITIAL_KEY_OF_PROBE
        ksn = dukpt_aes.join_ksn(identity, self.counter)
        key = dukpt_aes.working_key(dukpt_aes.initial_key(self.pins.bdk_aes, identity), ksn, dukpt_aes.KeyUsage.PIN_ENCRYPTION)
        generator = random.Random(f"pin{self.seed}{self.counter}")
        block = encipher_format_4(key, pin or raw["pin"], raw["applications"][application]["pan"], generator.randbytes)
        return {"format": "iso9564-4", "block": block.hex(), "ksn": ksn.hex()}

    def cryptogram(self, card: str, minor: int, *, kind: int = 0x80, request: bytes = b"", application: int = 0, cvn: int = 0x12) -> bytes:
        """Field 55. `kind` is 9F27: 80 ARQC; 40 TC and 00 AAC keep the ATC of `request`."""
        raw = self.cards[card]
        if not request:
            self.atc += 1
        values = objects(request) or {
            "9F02": bytes.fromhex(f"{minor:012d}"),
            "9F03": bytes(6),
            "9F1A": b"\x01\x56",
            "95": bytes.fromhex("8000040000"),
            "5F2A": b"\x01\x56",
            "9A": bytes.fromhex("261122"),
            "9C": b"\x01",
            "9F37": random.Random(f"un{self.seed}{self.atc}").randbytes(4),
            "82": b"\x39\x00",
            "9F36": self.atc.to_bytes(2, "big"),
        }
        values["9F10"] = bytes([6, 1, cvn, 3, 0xA0 if kind == 0x80 else 0x60, 0, 0])
        key = icc_master_key(self.issuer.ac, raw["applications"][application]["pan"], raw["pan_sequence"])
        session = session_key(key, int.from_bytes(values["9F36"], "big"))
        values["9F26"] = application_cryptogram(session, b"".join(values[tag] for tag in CRYPTOGRAM_TAGS))
        values["9F27"] = bytes([kind])
        return b"".join(tlv(tag, value) for tag, value in values.items())

    def face_service(self, card: str, number: int, now: datetime, service: str, **more: Any) -> Message:
        """`open` with card and PIN (`pin`: another one); `enrol`, `revoke` with what `more` says."""
        identity, pin = self.transaction_id(number), more.pop("pin", None)
        data: dict[str, Any] = {
            "transactionId": identity,
            "service": service,
            "attempt": 1,
            "protectedCardData": self.card_data(card, identity),
        }
        if service == "open":
            data |= {"pinBlock": self.pin_block(card, pin), "iccRelatedData": self.cryptogram(card, 0).hex()}
        return self.message("ATMFaceManagementRequest", {**data, **more}, now)

    def enrolment(self, card: str, number: int, now: datetime, vector: bytes, *, model: str = "cd" * 32, consent: int = 1) -> Message:
        """As a terminal sends it: consent and the template, sealed for the bank."""
        identity = self.transaction_id(number)
        consent_id = f"{identity}-C{consent}"
        associated = f"enrol|{identity}|{consent_id}|{model}|2".encode()
        box = seal(vector, self.bank_key, associated, "bank-2026", random.Random(f"enrol{self.seed}{identity}").randbytes)
        said = {"consentId": consent_id, "version": "1", "language": "zh"}
        template = {"model": model, "schema": 2, "consentId": consent_id, "box": box}
        return self.face_service(card, number, now, "enrol", consent=said, template=template)

    def consent(self, number: int, what: str, seq: int, now: datetime, **more: Any) -> Message:
        """ATMFaceConsentAdvice on `txn`."""
        identity = self.transaction_id(number)
        given = {"consentId": f"{identity}-C1", "version": "1", "language": "zh"} if what == "given" else {"consentId": ""}
        data = {"transactionId": identity, "consent": what, **given, **more}
        return self.message("ATMFaceConsentAdvice", data, now, epoch=1, seq=seq, leaf="txn")

    def withdrawal(self, card: str, minor: int, number: int, now: datetime, *, attempt: int = 1, pin: str | None = None) -> Message:
        identity = self.transaction_id(number)
        data = {
            "transactionId": identity,
            "attempt": attempt,
            "amount": {"minor": minor, "currency": "CNY"},
            "protectedCardData": self.card_data(card, identity),
            "pinBlock": self.pin_block(card, pin),
            "iccRelatedData": self.cryptogram(card, minor).hex(),
            "face": {"decision": "notRequired"},
        }
        return self.message("ATMWithdrawalRequest", data, now)

    def balance(self, card: str, number: int, now: datetime, *, attempt: int = 1, pin: str | None = None) -> Message:
        identity = self.transaction_id(number)
        data = {
            "transactionId": identity,
            "inquiry": "balance",
            "attempt": attempt,
            "protectedCardData": self.card_data(card, identity),
            "pinBlock": self.pin_block(card, pin),
            "iccRelatedData": self.cryptogram(card, 0).hex(),
        }
        return self.message("ATMInquiryRequest", data, now)

    def face_template(self, card: str, number: int, now: datetime, recipient_hex: str) -> Message:
        identity = self.transaction_id(number)
        data = {
            "transactionId": identity,
            "inquiry": "faceTemplate",
            "protectedCardData": self.card_data(card, identity),
            "recipientKey": recipient_hex,
        }
        return self.message("ATMInquiryRequest", data, now)

    def advice(
        self,
        number: int,
        status: str,
        seq: int,
        now: datetime,
        *,
        requested_minor: int,
        presented_minor: int | None = None,
        epoch: int = 1,
        reconciles: bool = False,
        **more: Any,
    ) -> Message:
        """`presented_minor` defaults to `requested_minor` for SCSS, else 0. `more` replaces or (None) drops fields of the data."""
        minor = presented_minor if presented_minor is not None else requested_minor if status == "SCSS" else 0
        data: dict[str, Any] = {
            "transactionId": self.transaction_id(number),
            "transactionStatus": status,
            "requestedAmount": {"minor": requested_minor, "currency": "CNY"},
            "presentedAmount": None,
        }
        if status != "DOBT":
            data["presented"] = "NONE" if not minor else "FULL" if minor == requested_minor else "PART"
            data["presentedAmount"] = {"minor": minor, "currency": "CNY"}
            data["notes"] = [{"unit": "1", "minor": minor, "presented": 1, "rejected": 0}] if minor else []
        if reconciles:
            data["reconciles"] = True
        data |= more
        data = {name: value for name, value in data.items() if value is not None or name.endswith("Amount")}
        return self.message("ATMWithdrawalCompletionAdvice", data, now, epoch=epoch, seq=seq, leaf="txn")
