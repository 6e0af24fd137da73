"""A technician at a terminal: its folder, the commands typed there, and the authority of deploy/certificates beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from drivers.secret import Secret
from terminal import __main__ as program
from terminal.adapters.keystore import Keystore
from terminal.adapters.keystore_locks import PassphraseLock

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is the authority")
ROOT = Path(__file__).parents[2]
AUTHORITY = ROOT / "deploy" / "certificates"
NOW = datetime.now(UTC)
PASSPHRASE = "correct horse battery"


def authority(folder: Path, *what: str) -> str:
    done = subprocess.run([AUTHORITY, folder, *what], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr


class Technician:
    """A terminal's folder with an authority in it, and the commands typed there."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        authority(folder / "pki", "ca")
        self.folder, self.capsys = folder, capsys
        self.config = folder / "terminal.toml"
        self.path = folder / "keystore.json"
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        (folder / "bank.pub").write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
        (folder / "passphrase").chmod(0o600)
        self.write()

    def write(self, terminal: str = "", bank: str = "", keystore: str = 'file = "keystore.json"\npassphrase_file = "passphrase"') -> None:
        units = "".join(f'[[cash.unit]]\nunit = "{n}"\ndenomination_minor = {n}000\ninitial = 9\n' for n in range(1, 5))
        self.config.write_text(
            f'[terminal]\nid = "T0001"\nbranch = "B001"\nstore = "t.sqlite"\n{terminal}\n'
            f'[bank]\nurl = "mqtts://localhost"\npublic_key = "bank.pub"\nca = "pki/ca.crt"\n{bank}\n'
            f"[cash]\npresets_minor = [1000]\nlimit_minor = 100000\n{units}"
            f'[dispenser]\nport = "d"\n[card]\nca_keys = "k"\n[pin_pad]\nport = "p"\n[printer]\nport = "r"\n'
            + (f"[keystore]\n{keystore}\n" if keystore else "")
        )

    def types(self, *words: str | Path, code: int = 0, command: str = "provision") -> str:
        self.capsys.readouterr()
        found = program.main([command, *map(str, words), "--config", str(self.config)])
        said = self.capsys.readouterr()
        assert found == code, said
        assert "Traceback" not in said.err
        return said.err if code == 2 else said.out

    def keys(self) -> Keystore:
        return Keystore(self.path, "T0001", PassphraseLock(Secret(PASSPHRASE.encode())))

    def status(self, code: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.types("status", "--json", code=code))
        return found
