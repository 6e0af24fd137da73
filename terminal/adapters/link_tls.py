"""What the bank link shows the broker of itself: certificate and key, from files or from the keystore, taken anew for every connection.

Rotation: a certificate that was installed is tried at the next connection. When it has stood (CONNACK, SUBACK) it becomes the active
one and its predecessor is dropped; as long as it has not, the predecessor has its turn after every attempt that somebody may have refused,
so a certificate that the broker does not like costs an attempt and no service. A broker that was not there has refused nothing.
"""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from terminal.adapters.certificates import end_of, load_into
from terminal.adapters.keystore import Contents, Identity, Keystore, KeystoreError


class LinkConfigError(ValueError):
    """The sentence names the setting or file and what is wrong with it."""


class TlsCredentials(Protocol):
    """Used from the link's thread. `version` changes when there is something new; the outcome of a connection is told."""

    def version(self) -> str: ...

    def context(self) -> ssl.SSLContext:
        """For the next connection. LinkConfigError."""

    def stood(self) -> None:
        """A connection with the last context has come up. LinkConfigError when that cannot be noted."""

    def failed(self) -> None:
        """It has not, and whoever took the connection may have refused the certificate."""

    def ends(self) -> datetime | None:
        """When the certificate of the last context ends; None when there is none."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. Certificate and key together, or neither."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def version(self) -> str:
        return " ".join(_stamp(path) for path in (self.ca, self.certificate, self.key) if path is not None)

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, the broker's name checked. LinkConfigError names the file that cannot be used."""
        context = _trusting(self.ca)
        if self.certificate is not None and self.key is not None:
            key = str(self.key)
            _loaded(self.key, lambda path: path.open("rb").close())
            _loaded(self.certificate, lambda path: context.load_cert_chain(path, key))
        return context

    def stood(self) -> None:
        """Files are what they are."""

    def failed(self) -> None:
        """Files are what they are."""

    def ends(self) -> datetime | None:
        if self.certificate is None:
            return None
        try:
            return end_of(self.certificate.read_bytes())
        except (OSError, ValueError):
            return None


class TlsIdentity:
    """Certificates and keys of the keystore; see the module's text."""

    def __init__(self, ca: Path, keystore: Keystore) -> None:
        self._ca = ca
        self._keystore = keystore
        self._shown: Identity | None = None
        self._failed: set[str] = set()

    def version(self) -> str:
        return f"{_stamp(self._ca)} {self._keystore.version()}"

    def context(self) -> ssl.SSLContext:
        identity = self._next(self._read())
        context = _trusting(self._ca)
        _loaded(self._keystore.path, lambda path: load_into(context, identity))
        self._shown = identity
        return context

    def stood(self) -> None:
        shown = self._shown
        if shown is None:
            return
        self._failed.clear()
        if shown.state != "installed":
            return
        try:
            self._keystore.change(lambda contents: promoted(contents, shown.name))
        except KeystoreError as error:
            raise LinkConfigError(str(error)) from None
        self._shown = dataclasses.replace(shown, state="active")

    def failed(self) -> None:
        if self._shown is not None:
            self._failed.add(self._shown.name)

    def ends(self) -> datetime | None:
        return None if self._shown is None else end_of(self._shown.chain.encode())

    def _read(self) -> Contents:
        try:
            return self._keystore.read()
        except KeystoreError as error:
            raise LinkConfigError(str(error)) from None

    def _next(self, contents: Contents) -> Identity:
        """The newest installed one first; after a failure the others have their turn, the active one last, and then from the beginning."""
        usable = [*reversed(contents.in_state("installed")), *contents.in_state("active")]
        if not usable:
            raise LinkConfigError(f"{self._keystore.path}: there is no certificate of this terminal in it (branch-terminal provision)")
        if all(one.name in self._failed for one in usable):
            self._failed.clear()
        return next(one for one in usable if one.name not in self._failed)


def promoted(contents: Contents, name: str) -> Contents:
    """The identity of that name is the active one; every other certificate is of no more use, a request that waits stays."""
    kept = tuple(one for one in contents.identities if one.name == name or one.state == "requested")
    made = tuple(dataclasses.replace(one, state="active") if one.name == name else one for one in kept)
    return dataclasses.replace(contents, identities=made)


class _TidySocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho forgets it then. A handshake that never ends is one that failed, not a broker away."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except TimeoutError:
            self.close()
            raise OSError("no answer in the TLS handshake") from None
        except OSError:
            self.close()
            raise


def _trusting(ca: Path) -> ssl.SSLContext:
    context = _loaded(ca, lambda path: ssl.create_default_context(cafile=path))
    context.sslsocket_class = _TidySocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "-"
    return f"{status.st_ino}/{status.st_mtime_ns}/{status.st_size}"


_T = TypeVar("_T")


def _loaded(path: Path, load: Callable[[Path], _T]) -> _T:
    try:
        return load(path)
    except ssl.SSLError as error:
        raise LinkConfigError(f"{path}: not usable PEM, or certificate and key do not belong together ({error.reason or error})") from error
    except OSError as error:
        raise LinkConfigError(f"{path}: {error.strerror or error}") from error
