"""Chains that `branch-terminal provision install` does not take: each refusal says why, and the keystore stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from technician import NOW, Technician, authority, needs_openssl

pytestmark = needs_openssl


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Technician:
    return Technician(tmp_path, capsys)


Builder = x509.CertificateBuilder


class Forger:
    """The terminal's own authority, used for certificates that it would not make."""

    def __init__(self, here: Technician) -> None:
        pki = here.folder / "pki"
        key = load_pem_private_key((pki / "ca.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.key, self.name = key, x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes()).subject
        self.public: Any = x509.load_pem_x509_csr((here.folder / "T0001.csr").read_bytes()).public_key()
        self.identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())

    def make(
        self,
        name: str = "T0001",
        public: Any = None,
        start: timedelta = timedelta(hours=-1),
        end: timedelta = timedelta(days=90),
        usage: bool = True,
        extended: Any = ExtendedKeyUsageOID.CLIENT_AUTH,
        ca: bool = False,
    ) -> bytes:
        names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one) for one in name.split("+")])
        builder = Builder().subject_name(names).issuer_name(self.name).public_key(public or self.public).serial_number(7)
        builder = builder.not_valid_before(NOW + start).not_valid_after(NOW + end)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True).add_extension(self.identifier, False)
        bits = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"), False
        )
        bits |= {"encipher_only": False, "decipher_only": False, "key_cert_sign": not usage}
        builder = builder.add_extension(x509.KeyUsage(digital_signature=usage, **bits), critical=True)
        if extended is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([extended]), critical=False)
        return builder.sign(self.key, SHA256()).public_bytes(Encoding.PEM)


Forgery = Callable[[Forger], bytes]
FORGERIES: list[tuple[str, Forgery]] = [
    ("its common name is T0002, not T0001", lambda f: f.make(name="T0002")),
    ("its common name is T0001 and T0002, not T0001", lambda f: f.make(name="T0001+T0002")),
    ("its key is none that this terminal has made", lambda f: f.make(public=ec.generate_private_key(ec.SECP256R1()).public_key())),
    ("its key is not of curve P-256", lambda f: f.make(public=ec.generate_private_key(ec.SECP384R1()).public_key())),
    ("it expired at", lambda f: f.make(start=timedelta(days=-9), end=timedelta(days=-1))),
    ("it is not valid before", lambda f: f.make(start=timedelta(days=1))),
    ("its extended key usage is not clientAuth", lambda f: f.make(extended=ExtendedKeyUsageOID.SERVER_AUTH)),
    ("it is not accepted", lambda f: f.make(extended=None)),
    ("its key usage does not allow digital signatures", lambda f: f.make(usage=False)),
    ("it is a certificate of an authority", lambda f: f.make(ca=True)),
    ("it holds no certificate in PEM", lambda f: b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ("it holds no certificate in PEM", lambda f: b""),
    ("at most 4 are taken", lambda f: f.make() * 5),
    ("too long", lambda f: b"x" * 70_000),
]


@pytest.mark.parametrize(("why", "forgery"), FORGERIES)
def test_a_chain_is_checked_before_it_is_installed(here: Technician, why: str, forgery: Forgery) -> None:
    here.types("init")
    here.types("request", "--out", here.folder / "T0001.csr")
    (here.folder / "chain.pem").write_bytes(forgery(Forger(here)))
    before = here.path.read_bytes()
    said = here.types("install", here.folder / "chain.pem", code=2)
    assert "chain.pem: " in said and why in said
    assert here.path.read_bytes() == before


def test_the_forger_can_also_make_a_good_one(here: Technician) -> None:
    """Otherwise the refusals above would prove nothing."""
    here.types("init")
    here.types("request", "--out", here.folder / "T0001.csr")
    (here.folder / "chain.pem").write_bytes(Forger(here).make())
    assert "good for 89 days" in here.types("install", here.folder / "chain.pem")


def test_another_authority_is_not_ours(here: Technician) -> None:
    here.types("init")
    here.types("request", "--out", here.folder / "T0001.csr")
    authority(here.folder / "strangers", "ca")
    authority(here.folder / "strangers", "sign", "T0001", str(here.folder / "T0001.csr"))
    said = here.types("install", here.folder / "strangers" / "T0001.crt", code=2)
    assert "it is not accepted" in said
    (here.folder / "pki" / "ca.crt").unlink()
    assert "ca.crt: No such file" in here.types("install", here.folder / "strangers" / "T0001.crt", code=2)


def test_a_private_key_of_the_authority_is_no_chain(here: Technician) -> None:
    here.types("init")
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (here.folder / "chain.pem").write_bytes(key)
    assert "it holds no certificate in PEM" in here.types("install", here.folder / "chain.pem", code=2)
