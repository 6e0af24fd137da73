"""Keys and settings: what cannot be used is refused with a sentence that names it, and shows nothing of it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat
from fleet_play import World

from drivers.secret import Secret
from terminal import compose
from terminal.adapters.backoff import Backoff, boot_delay
from terminal.adapters.envelope import encode_envelope
from terminal.adapters.keys import CardDataSealer, KeyFileError, read_key, read_private_key, read_public_key
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_tls import LinkConfigError, TlsFiles
from terminal.config import load
from terminal.sealed_box import SealedBoxError, open_box, public_bytes

KEY = ec.generate_private_key(ec.SECP256R1())
PEM, PKCS8 = Encoding.PEM, PrivateFormat.PKCS8


def written(path: Path, content: bytes | str, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def test_good_keys_are_read(tmp_path: Path) -> None:
    assert read_key(written(tmp_path / "k", "00 01\n02 03\n"), 4).reveal() == b"\0\1\2\3"
    for kind in (PKCS8, PrivateFormat.TraditionalOpenSSL):
        private = read_private_key(written(tmp_path / "p", KEY.private_bytes(PEM, kind, NoEncryption())))
        assert private.private_numbers() == KEY.private_numbers()
    public = KEY.public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo)
    assert read_public_key(written(tmp_path / "q", public, 0o644)) == public_bytes(KEY)
    assert read_public_key(written(tmp_path / "h", public_bytes(KEY).hex() + "\n", 0o644)) == public_bytes(KEY)


ENCRYPTED = KEY.private_bytes(PEM, PKCS8, BestAvailableEncryption(b"pass"))
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1()).private_bytes(PEM, PKCS8, NoEncryption())
RSA = rsa.generate_private_key(65537, 2048).private_bytes(PEM, PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (ENCRYPTED, "encrypted"),
        (OTHER_CURVE, "P-256"),
        (RSA, "P-256"),
        (b"hello", "not a private key"),
        (b"\x30\x82", "not text"),
        (b"a" * 70_000, "long"),
    ],
)
def test_a_bad_private_key_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(KeyFileError, match=problem) as caught:
        read_private_key(written(tmp_path / "key.pem", content))
    assert caught.value.path == tmp_path / "key.pem"
    assert "hello" not in str(caught.value)


def test_bad_symmetric_and_public_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="has 3 bytes, 16 are needed"):
        read_key(written(tmp_path / "k", "010203"), 16)
    with pytest.raises(KeyFileError, match="hex digits") as caught:
        read_key(written(tmp_path / "k", "c0ffee not hex"), 16)
    assert "c0ffee" not in str(caught.value)
    for content, problem in (("04" + "00" * 64, "not a point"), ("0400", "65 bytes"), ("xyz", "hex"), ("-----BEGIN x", "not a public key")):
        with pytest.raises(KeyFileError, match=problem):
            read_public_key(written(tmp_path / "q", content))
    with pytest.raises(KeyFileError, match="nowhere: No such file"):
        read_key(tmp_path / "nowhere", 16)
    with pytest.raises(KeyFileError, match="Is a directory"):
        read_key(tmp_path, 16)


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    for mode in (0o640, 0o604, 0o620):
        with pytest.raises(KeyFileError, match=f"mode {mode:03o}"):
            read_key(written(tmp_path / "k", "00", mode), 1)


def test_card_data_is_sealed_for_the_bank_and_this_transaction() -> None:
    sealer = CardDataSealer(public_bytes(KEY).hex(), "bank-2026")
    box = sealer.seal(Secret("6228480000000015"), Secret("6228480000000015D3012201"), 1, "T0001-00000001")
    assert box["kid"] == "bank-2026"
    assert "6228480000000015" not in json.dumps(box)
    card = json.loads(open_box(KEY, box, b"T0001-00000001"))
    assert card == {"pan": "6228480000000015", "track2": "6228480000000015D3012201", "panSequence": 1}
    with pytest.raises(SealedBoxError):
        open_box(KEY, box, b"T0001-00000002")
    with pytest.raises(ValueError, match="not a point"):
        CardDataSealer("04" + "11" * 64, "k")


GOOD: dict[str, Any] = {"url": "mqtt://127.0.0.1:1883", "terminal_id": "T0001", "branch_id": "B001"}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"url": "http://127.0.0.1"}, "mqtt://host:port"),
        ({"url": "mqtt://127.0.0.1:x"}, "mqtt://host:port"),
        ({"url": "mqtt://"}, "host"),
        ({"url": "mqtt://user:geheim@127.0.0.1"}, "settings of their own"),
        ({"url": "mqtt://bank.example:1883"}, "use mqtts"),
        ({"url": "mqtts://bank.example"}, "tls files"),
        ({"tls": TlsFiles(Path("ca"))}, "tls files"),
        ({"url": "mqtts://b", "tls": TlsFiles(Path("ca"), key=Path("k"))}, "go together"),
        ({"terminal_id": "T/1"}, "terminal_id"),
        ({"branch_id": "+"}, "branch_id"),
        ({"window": 0}, "more than 0"),
    ],
)
def test_bad_link_settings_are_named(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(LinkConfigError, match=problem) as caught:
        LinkConfig(**{**GOOD, **wrong})
    assert "geheim" not in str(caught.value)


def test_tls_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    ca = written(tmp_path / "ca.pem", "nothing")
    for files, problem in ((TlsFiles(ca), "ca.pem: not usable"), (TlsFiles(tmp_path / "no"), "no: No such file")):
        with pytest.raises(LinkConfigError, match=problem):
            LinkConfig(**{**GOOD, "url": "mqtts://b", "tls": files}).tls_context()
    assert LinkConfig(**GOOD).tls_context() is None
    assert LinkConfig(**GOOD).address() == ("mqtt", "127.0.0.1", 1883)


def test_a_request_cannot_carry_a_secret() -> None:
    for data in ({"pan": Secret("1")}, {"x": b"1"}, {"x": float("nan")}, {"x": "y" * 70_000}):
        with pytest.raises(ValueError, match=r"ATM|JSON"):
            encode_envelope(id_="1", source="s", type_="ATM", time="t", data=data)


def test_backoff_is_full_jitter_with_a_ceiling() -> None:
    backoff = Backoff(1.0, 300.0, random.Random(1))
    widest = [max(Backoff(1.0, 300.0, random.Random(seed)).delay() for seed in range(200))]
    assert 0.9 < widest[0] <= 1.0
    delays = [backoff.delay() for _ in range(2000)]
    assert max(delays) <= 300.0
    assert min(delays[20:]) < 10.0, "full jitter: also short waits late"
    assert 140 < sum(delays[20:]) / 1980 < 160
    assert all(150 <= backoff.delay(crowded=True) <= 300 for _ in range(200))
    backoff.reset()
    assert backoff.delay() <= 1.0


def test_a_fleet_comes_up_spread_over_the_minute() -> None:
    delays = [boot_delay(f"T{number:05d}", 60.0) for number in range(6000)]
    assert all(0 <= delay < 60 for delay in delays)
    per_second = [sum(1 for delay in delays if int(delay) == second) for second in range(60)]
    assert min(per_second) > 50
    assert max(per_second) < 160
    assert boot_delay("T00001", 60.0) == delays[1]
    assert boot_delay("T00001", 0.0) == 0.0


@pytest.mark.parametrize(("machine_up_s", "spread_s"), [(12.0, 45.0), (299.0, 45.0), (300.0, 0.0), (90 * 86_400.0, 0.0)])
def test_the_first_connection_waits_only_after_the_machines_own_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine_up_s: float, spread_s: float
) -> None:
    (tmp_path / "bank.pub").write_bytes(KEY.public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo))
    file = World(tmp_path).file
    file.write_text(file.read_text(encoding="utf-8").replace("[bank]\n", "[bank]\nboot_spread_s = 45.0\n"), encoding="utf-8")

    class Asked(Exception):
        """With which settings; nothing is connected."""

    def link(config: LinkConfig, *_: Any, **__: Any) -> Any:
        raise Asked(config.boot_spread_s)

    monkeypatch.setattr(compose, "BankLink", link)
    monkeypatch.setattr(compose, "machine_up_s", lambda: machine_up_s)
    with pytest.raises(Asked, match=f"^{spread_s}$"):
        compose.compose(load(file), trace=None, page_ready=lambda _: None)


def test_how_long_the_machine_is_up_includes_the_time_asleep() -> None:
    awake_s = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert 0 < awake_s <= compose.machine_up_s()
