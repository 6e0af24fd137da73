"""The bank link over TLS 1.2 or newer to a real mosquitto that demands a certificate, and to whoever is not who it should be."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from link_rig import Terminal

from simulators.broker.configuration import Security
from simulators.broker.start import start_broker
from terminal.adapters.link_events import LinkDown, LinkUp
from terminal.adapters.link_tls import TlsFiles

pytestmark = [pytest.mark.wire, pytest.mark.placeholders]


def certificate(folder: Path, name: str, issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None) -> Any:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[0].subject if issuer else subject).public_key(key.public_key())
    )
    builder = (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (folder / f"{name}.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made, key


def test_mutual_tls(tmp_path: Path) -> None:
    authority = certificate(tmp_path, "ca", None)
    certificate(tmp_path, "localhost", authority)
    certificate(tmp_path, "T0001", authority)
    certificate(tmp_path, "stranger", None)
    security = Security(tmp_path / "ca.crt", tmp_path / "localhost.crt", tmp_path / "localhost.key")
    with start_broker(tmp_path / "broker", kind="mosquitto", security=security) as broker:
        url = f"mqtts://localhost:{broker.port}"
        (tmp_path / "a").mkdir()
        terminal = Terminal(tmp_path / "a", url, tls=TlsFiles(tmp_path / "ca.crt", tmp_path / "T0001.crt", tmp_path / "T0001.key"))
        terminal.event(LinkUp)
        for _ in range(30):
            terminal.put("telemetry", text="x" * 5000)
        terminal.wait_empty("telemetry")
        assert isinstance(terminal.link._loop._session._client.socket(), ssl.SSLSocket)  # type: ignore[union-attr]
        terminal.close()
        for folder, wrong, expected in (("b", TlsFiles(tmp_path / "stranger.crt"), "TLS"), ("c", TlsFiles(tmp_path / "ca.crt"), "")):
            (tmp_path / folder).mkdir()
            stranger = Terminal(tmp_path / folder, url, tls=wrong)
            assert expected in stranger.event(LinkDown).reason
            assert not stranger.link.up
            stranger.close()
