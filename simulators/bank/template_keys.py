"""The keys under which face templates lie at rest, by generation: a new one makes every template another, and nobody has to come.

A generation's key gives two: one seals (AES-256-GCM), one makes each customer's rotation seed. The file holds the current generation
and, while a change is under way, the one before; when the change is done the old key is gone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from simulators.bank.keys import BankKeys, KeyFileError, write_private
from simulators.crypto.sealed_box import RandomBytes

KEY_BYTES = 32
IV_BYTES = 12


class TemplateKeys:
    """`path` None keeps them in memory; generation 1 then follows from the bank's secret, so that a new host has the same."""

    def __init__(self, path: Path | None, keys: BankKeys, random_bytes: RandomBytes) -> None:
        self._path = path
        self._random_bytes = random_bytes
        self._generations: dict[int, bytes] = {}
        if path is not None and path.exists():
            self._read(path)
        else:
            first = keys.secret + b"face templates" if path is None else random_bytes(KEY_BYTES)
            self._generations[1] = hashlib.sha256(first).digest()
            self._write()

    @property
    def current(self) -> int:
        return max(self._generations)

    def begin_generation(self) -> int:
        """The next one, on disk; the one before stays until `forget_before`."""
        number = self.current + 1
        self._generations[number] = self._random_bytes(KEY_BYTES)
        self._write()
        return number

    def forget_before(self, generation: int) -> None:
        self._generations = {number: key for number, key in self._generations.items() if number >= generation}
        self._write()

    def seed(self, generation: int, customer: str) -> bytes:
        return self._use(generation, f"rotation|{customer}")

    def seal(self, generation: int, plain: bytes, associated: str) -> tuple[bytes, bytes]:
        """(iv, ciphertext with tag)."""
        iv = self._random_bytes(IV_BYTES)
        return iv, AESGCM(self._use(generation, "seal")).encrypt(iv, plain, f"{associated}|{generation}".encode())

    def open(self, generation: int, iv: bytes, ciphertext: bytes, associated: str) -> bytes:
        """ValueError when the key is gone or anything was exchanged or changed."""
        try:
            return AESGCM(self._use(generation, "seal")).decrypt(iv, ciphertext, f"{associated}|{generation}".encode())
        except InvalidTag:
            raise ValueError("a stored template does not open: another key, another owner, or changed") from None

    def _use(self, generation: int, use: str) -> bytes:
        if generation not in self._generations:
            raise ValueError(f"the template key of generation {generation} is gone")
        return hmac.new(self._generations[generation], f"smart-branch/face/{use}".encode(), hashlib.sha256).digest()

    def _read(self, path: Path) -> None:
        try:
            self._generations = {int(number): bytes.fromhex(key) for number, key in json.loads(path.read_text(encoding="ascii")).items()}
        except (ValueError, AttributeError) as error:
            raise KeyFileError(f"{path}: the template keys are damaged ({type(error).__name__})") from error
        if not self._generations or any(len(key) != KEY_BYTES for key in self._generations.values()):
            raise KeyFileError(f"{path}: template keys have {KEY_BYTES} bytes, and there is at least one")

    def _write(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._path, json.dumps({str(number): key.hex() for number, key in self._generations.items()}).encode())
