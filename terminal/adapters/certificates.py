"""The terminal's own certificate: the request for it, and what a chain that comes back must be before it is used.

RFC 5280 path validation is cryptography's; the profile here: P-256, CN = terminal id, clientAuth, digitalSignature, no CA.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, Policy, PolicyBuilder, Store, VerificationError

from drivers.secret import Secret
from terminal.adapters.clock import iso_ms
from terminal.adapters.keystore import Contents, Identity

LONGEST_CHAIN = 4
MAX_PEM_BYTES = 65_536
CLOCK_SLACK = timedelta(minutes=5)


class CertificateRefused(ValueError):
    """A sentence that says what is wrong with the chain."""


def request(terminal_id: str, now: datetime) -> Identity:
    """A new P-256 key, and the PKCS #10 request (RFC 2986) for its certificate. The key is in no other place than the result."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, terminal_id)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, SHA256())
    return made_elsewhere(key, now, csr.public_bytes(Encoding.PEM).decode())


def made_elsewhere(key: ec.EllipticCurvePrivateKey, now: datetime, csr: str = "") -> Identity:
    """A key that is there already, without a certificate so far."""
    der = Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return Identity(key_name(key.public_key()), "requested", iso_ms(now), der, csr)


def key_name(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()[:16]


def read_chain(text: bytes) -> list[x509.Certificate]:
    """PEM, one to four certificates, the terminal's own first. CertificateRefused."""
    if len(text) > MAX_PEM_BYTES:
        raise CertificateRefused("it is too long to be a chain of certificates")
    try:
        chain = x509.load_pem_x509_certificates(text)
    except ValueError:
        raise CertificateRefused("it holds no certificate in PEM") from None
    if len(chain) > LONGEST_CHAIN:
        raise CertificateRefused(f"it has {len(chain)} certificates, at most {LONGEST_CHAIN} are taken")
    return chain


def check_chain(chain: list[x509.Certificate], ca: Path, terminal_id: str, now: datetime) -> str:
    """The name of the key that the certificate is for. CertificateRefused: CN, curve, usage, validity, path to `ca`."""
    own = chain[0]
    names = [str(one.value) for one in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [terminal_id]:
        raise CertificateRefused(f"its common name is {' and '.join(names) or 'missing'}, not {terminal_id}")
    try:
        key = own.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateRefused("its key is not of curve P-256") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRefused("its key is not of curve P-256")
    if own.not_valid_before_utc > now + CLOCK_SLACK:
        raise CertificateRefused(f"it is not valid before {iso_ms(own.not_valid_before_utc)}; check the clock")
    if own.not_valid_after_utc <= now:
        raise CertificateRefused(f"it expired at {iso_ms(own.not_valid_after_utc)}")
    try:
        roots = x509.load_pem_x509_certificates(ca.read_bytes())
    except OSError as error:
        raise CertificateRefused(f"{ca}: {error.strerror}") from None
    except ValueError:
        raise CertificateRefused(f"{ca}: it holds no certificate in PEM") from None
    _check_path(own, chain[1:], roots, max(now, own.not_valid_before_utc))
    return key_name(key)


def _check_path(own: x509.Certificate, between: list[x509.Certificate], roots: list[x509.Certificate], now: datetime) -> None:
    ours = (
        ExtensionPolicy.permit_all()
        .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _for_clients)
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _for_signatures)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _no_authority)
    )
    theirs = ExtensionPolicy.webpki_defaults_ca()
    verifier = (
        PolicyBuilder().store(Store(roots)).time(now).max_chain_depth(LONGEST_CHAIN).extension_policies(ca_policy=theirs, ee_policy=ours)
    )
    try:
        verifier.build_client_verifier().verify(own, between)
    except VerificationError as error:
        raise CertificateRefused(f"it is not accepted: {str(error).removeprefix('validation failed: ')}") from None


def _for_clients(policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage) -> None:
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("its extended key usage is not clientAuth")


def _for_signatures(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
    if not usage.digital_signature:
        raise ValueError("its key usage does not allow digital signatures")


def _no_authority(policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is not None and constraints.ca:
        raise ValueError("it is a certificate of an authority")


def install(contents: Contents, text: bytes, ca: Path, now: datetime) -> Contents:
    """The chain stands beside the key it is for. Not yet the active one: that it becomes when a connection with it has stood."""
    chain = read_chain(text)
    name = check_chain(chain, ca, contents.terminal_id, now)
    identity = next((one for one in contents.identities if one.name == name), None)
    if identity is None:
        raise CertificateRefused("its key is none that this terminal has made")
    pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
    state = "active" if identity.state == "active" else "installed"
    return contents.with_identity(Identity(name, state, identity.created, identity.key, identity.csr, pem))


def end_of(chain: bytes) -> datetime:
    """Of the first certificate. ValueError when it is none."""
    return x509.load_pem_x509_certificates(chain)[0].not_valid_after_utc


def expires(identity: Identity) -> datetime:
    return end_of(identity.chain.encode())


def days_left(contents: Contents, now: datetime) -> int | None:
    """Whole days until the newest usable certificate ends (below 0: it has ended); None when there is none."""
    ends = [expires(one) for one in contents.in_state("active", "installed")]
    return None if not ends else int((max(ends) - now) // timedelta(days=1))


def encrypted_key(identity: Identity, passphrase: bytes) -> bytes:
    """PKCS #8 PEM under `passphrase`: the only form in which OpenSSL is handed the key."""
    key = load_der_private_key(identity.key.reveal(), None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))


def load_into(context: ssl.SSLContext, identity: Identity) -> None:
    """Key and chain into a TLS context, by way of memory that is no file of any folder. ssl.SSLError, OSError."""
    passphrase = os.urandom(16).hex()
    number = os.memfd_create("identity", os.MFD_CLOEXEC)
    with open(number, "wb") as file:
        file.write(identity.chain.encode() + encrypted_key(identity, passphrase.encode()))
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{number}", password=passphrase)
