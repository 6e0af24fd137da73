"""The secure memory of the simulated PIN pad: protection key, loaded keys, DUKPT counters that survive a power cut.

Keys are kept as the TR-31 blocks they came in, wrapped under the key block protection key of manufacture (TEST KEYS). A real pad
also destroys the initial key and keeps only future keys; this one derives each transaction's key anew, so it gives no forward
secrecy. What it does keep is the rule that matters for the host: no counter is ever used twice, not even after `kill -9`, a
reload of the same block, or a tamper.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from simulators.crypto import dukpt_aes, dukpt_tdes
from simulators.crypto.blocks import tdes_encrypt
from simulators.crypto.pin_block import PinBlockError, encipher_format_4, encode_format_0
from simulators.crypto.tr31 import KeyBlockError, KeyBlockHeader, check_value, unwrap

MAX_SLOTS = 8


class VaultError(Exception):
    """Refused; `name` is the reason in the words of XFS4IoT."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Memory(Protocol):
    """Where the vault's contents lie while there is no power."""

    def load(self) -> dict[str, Any]: ...
    def save(self, contents: dict[str, Any]) -> None:
        """Returns when it cannot be lost any more."""
        ...


class VolatileMemory:
    """For the bench in one thread: survives the pad's power cycle, not the process."""

    def __init__(self) -> None:
        self._contents: dict[str, Any] = {}

    def load(self) -> dict[str, Any]:
        return self._contents

    def save(self, contents: dict[str, Any]) -> None:
        self._contents = json.loads(json.dumps(contents))


class FileMemory:
    """A JSON file, replaced whole and synced to disk. Readable by its owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, Any]:
        """ValueError when the file is there and is not a pad's memory."""
        try:
            contents = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{self._path}: cannot be read as a PIN pad's memory ({type(error).__name__})") from None
        valid = isinstance(contents, dict) and isinstance(contents.get("tampered"), bool)
        if not valid or not all(_is_map(contents.get(name), kind) for name, kind in (("slots", str), ("counters", int))):
            raise ValueError(f"{self._path}: is not a PIN pad's memory")
        return dict(contents)

    def save(self, contents: dict[str, Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(contents, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _is_map(value: object, kind: type) -> bool:
    return isinstance(value, dict) and all(isinstance(item, kind) for item in value.values())


@dataclass(frozen=True, slots=True)
class Slot:
    """A key in use. `identity` is the initial key id or initial KSN, empty for a fixed key (usage P0)."""

    header: KeyBlockHeader
    check: str
    identity: bytes


def _join_ksn(slot: Slot, counter: int) -> bytes:
    join = dukpt_aes.join_ksn if slot.header.algorithm == "A" else dukpt_tdes.join_ksn
    return join(slot.identity, counter)


class Vault:
    """`random(n)` pads PIN blocks: os.urandom in the process, a seed's in the bench."""

    def __init__(self, kbpk: bytes, memory: Memory, random: Callable[[int], bytes]) -> None:
        self._kbpk = kbpk
        self._memory = memory
        self._random = random
        contents = memory.load()
        self._tampered: bool = contents.get("tampered", False)
        self._blocks: dict[int, str] = {int(number): block for number, block in contents.get("slots", {}).items()}
        self._counters: dict[str, int] = dict(contents.get("counters", {}))
        try:
            self._slots = {number: self._opened(block)[0] for number, block in self._blocks.items()}
        except VaultError as error:
            raise ValueError(f"the PIN pad's memory holds a key it cannot use ({error.name})") from None

    @property
    def tampered(self) -> bool:
        return self._tampered

    @property
    def slots(self) -> dict[int, Slot]:
        return dict(self._slots)

    def ksn(self, number: int) -> bytes:
        """Of the last block made in this slot; the counter is 0 before the first. Empty for a fixed key."""
        slot = self._slots[number]
        if not slot.identity:
            return b""
        counter = self._counters.get(slot.identity.hex(), 0)
        return _join_ksn(slot, counter)

    def load(self, number: int, block: str) -> str:
        """Put a key block into a slot; its check value in hex. The counter of a key that was here before goes on."""
        self._check_usable()
        slot, _ = self._opened(block)
        if number not in self._slots and len(self._slots) >= MAX_SLOTS:
            raise VaultError("keyNoValue")
        self._blocks[number], self._slots[number] = block, slot
        self._save()
        return slot.check

    def seal(self, number: int, format: int, pin: bytearray, pan: str) -> tuple[bytes, bytes]:
        """KSN and encrypted PIN block. The counter is on disk before this returns."""
        self._check_usable()
        if number not in self._slots:
            raise VaultError("keyNotFound")
        slot = self._slots[number]
        if format not in (0, 4):
            raise VaultError("formatNotSupported")
        if (format == 4) != (slot.header.algorithm == "A"):
            raise VaultError("useViolation")
        ksn = self._advance(slot)
        key = self._pin_key(self._opened(self._blocks[number])[1], slot, ksn)
        try:
            if format == 4:
                return ksn, encipher_format_4(key, pin, pan, self._random)
            return ksn, tdes_encrypt(key, encode_format_0(pin, pan))
        except PinBlockError:
            raise VaultError("invalidData") from None

    def tamper(self) -> None:
        """Keys gone, locked. The counters stay: they are no secret and must never run again."""
        self._tampered = True
        self._blocks.clear()
        self._slots.clear()
        self._save()

    def repair(self) -> None:
        """The manufacturer inspected the pad and injected its protection key again; keys have to be loaded anew."""
        self._tampered = False
        self._save()

    def _check_usable(self) -> None:
        if self._tampered:
            raise VaultError("tampered")

    def _advance(self, slot: Slot) -> bytes:
        if not slot.identity:
            return b""
        name = slot.identity.hex()
        last = self._counters.get(name, 0)
        try:
            counter = dukpt_aes.next_counter(last) if slot.header.algorithm == "A" else dukpt_tdes.next_counter(last)
        except dukpt_aes.CounterExhausted:
            raise VaultError("dukptOverflow") from None
        self._counters[name] = counter
        self._save()
        return _join_ksn(slot, counter)

    @staticmethod
    def _pin_key(key: bytes, slot: Slot, ksn: bytes) -> bytes:
        if not ksn:
            return key
        if slot.header.algorithm == "A":
            return dukpt_aes.working_key(key, ksn, dukpt_aes.KeyUsage.PIN_ENCRYPTION)
        return dukpt_tdes.pin_key(key, ksn)

    def _opened(self, block: str) -> tuple[Slot, bytes]:
        """Authenticator first, then what the key may do: initial DUKPT key to derive, or PIN key to encrypt. Nothing else."""
        try:
            header, key = unwrap(self._kbpk, block)
            if (header.usage, header.mode) not in (("B1", "X"), ("P0", "E")):
                raise VaultError("useViolation")
            sizes = {"A": (16, 24, 32), "T": (16,)}.get(header.algorithm, ())
            if len(key) not in sizes:
                raise VaultError("useViolation")
            identity = b"" if header.usage == "P0" else self._identity(header)
            return Slot(header, check_value(header.algorithm, key).hex().upper(), identity), key
        except KeyBlockError:
            raise VaultError("keyInvalid") from None

    @staticmethod
    def _identity(header: KeyBlockHeader) -> bytes:
        """Optional block IK (8 bytes) of an AES initial key, KS (10 bytes, counter cleared) of a TDES one."""
        name, size = ("IK", 8) if header.algorithm == "A" else ("KS", 10)
        try:
            identity = bytes.fromhex(header.optional[name])
        except (KeyError, ValueError):
            raise VaultError("keyInvalid") from None
        if len(identity) != size:
            raise VaultError("keyInvalid")
        return identity if header.algorithm == "A" else dukpt_tdes.join_ksn(identity, 0)

    def _save(self) -> None:
        slots = {str(number): block for number, block in self._blocks.items()}
        self._memory.save({"tampered": self._tampered, "slots": slots, "counters": self._counters})
