"""A bank that keeps face templates, and a terminal that asks it for them, in memory or in a folder."""

from __future__ import annotations

import math
import random
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from simulators.bank.__main__ import TEMPLATE_KEYS_FILE
from simulators.bank.cards import load_cast
from simulators.bank.host import BankHost
from simulators.bank.keys import BankKeys
from simulators.bank.probe import Probe
from simulators.bank.rotation import rotate_back, unpack
from simulators.bank.store import Store
from simulators.bank.template_keys import TemplateKeys
from simulators.bank.templates import Template
from simulators.crypto.sealed_box import public_bytes
from terminal.sealed_box import SealedBoxError, open_box

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
MODEL = "cd" * 32
CARD, OTHER_CARD = "static", "everyday"


def vector(seed: int) -> list[float]:
    chance = random.Random(seed)
    values = [chance.gauss(0, 1) for _ in range(128)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def packed(seed: int) -> bytes:
    return struct.pack("<128f", *vector(seed))


class Branch:
    def __init__(self, keys: BankKeys, folder: Path | None = None, templates: dict[str, Template] | None = None) -> None:
        self.keys, self.folder = keys, folder
        self.randbytes = random.Random(1).randbytes
        path = folder / "bank.sqlite" if folder else None
        template_keys = TemplateKeys(folder / TEMPLATE_KEYS_FILE, keys, self.randbytes) if folder else None
        self.host = BankHost(
            Store(path), load_cast(None, keys), keys, NOW, templates=templates, random_bytes=self.randbytes, template_keys=template_keys
        )
        self.probe = Probe.for_bank(keys.public_hex)
        self.seq = 0

    def ask(self, message: Any, now: datetime = NOW) -> dict[str, Any]:
        [(leaf, answer)] = self.host.handle("auth", message, now)
        assert leaf == "auth/resp" and answer["type"] in ("ATMFaceManagementResponse", "ATMInquiryResponse")
        data: dict[str, Any] = answer["data"]
        return data

    def opens(self, number: int = 1, card: str = CARD, now: datetime = NOW, **more: Any) -> dict[str, Any]:
        return self.ask(self.probe.face_service(card, number, now, "open", **more), now)

    def enrols(self, number: int = 1, card: str = CARD, seed: int = 1, now: datetime = NOW) -> dict[str, Any]:
        return self.ask(self.probe.enrolment(card, number, now, packed(seed)), now)

    def revokes(self, number: int, card: str = CARD, now: datetime = NOW) -> dict[str, Any]:
        return self.ask(self.probe.face_service(card, number, now, "revoke"), now)

    def advises(self, number: int, what: str, now: datetime = NOW, **more: Any) -> int:
        self.seq += 1
        [(leaf, answer)] = self.host.handle("txn", self.probe.consent(number, what, self.seq, now, **more), now)
        assert leaf == "ack"
        upto: int = answer["data"]["upto"]
        return upto

    def delivered(self, card: str = CARD, now: datetime = NOW) -> list[float] | None:
        """What a face worker would get: the vector, out of its rotation."""
        worker = ec.generate_private_key(ec.SECP256R1())
        answer = self.ask(self.probe.face_template(card, 90, now, public_bytes(worker.public_key()).hex()), now)
        if "template" not in answer:
            return None
        sent = answer["template"]
        associated = f"{sent['customer']}|{sent['templateId']}|{sent['model']}|{sent['schema']}"
        plain = open_box(worker, sent["box"], associated.encode())
        with pytest.raises(SealedBoxError):
            open_box(worker, sent["box"], associated.replace(sent["customer"], "somebody").encode())
        return rotate_back(plain[:32], unpack(plain[32:]))
