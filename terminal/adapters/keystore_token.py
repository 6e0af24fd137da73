"""A keystore opened by a token: TPM, HSM or smart card behind PKCS #11 v2.40. The one file that names python-pkcs11 (extra `hsm`).

The token holds an AES-256 key that never leaves it (sensitive, not extractable) and closes the key-encryption key with CKM_AES_CBC_PAD,
which tokens of every kind know. That a wrong answer of the token is noticed is up to the keystore's own authentication.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drivers.secret import Secret
from terminal.adapters.keystore import LockRefused

LABEL = "smart-branch-keystore"
KEY_BITS = 256
IV_BYTES = 16


class TokenLock:
    """`module`: the token's PKCS #11 library; `token`: its label; `pin`: the user PIN. `new` makes the token's key when it has none."""

    def __init__(self, module: Path, token: str, pin: Secret[bytes]) -> None:
        self._module, self._token, self._pin = module, token, pin

    def new(self) -> tuple[dict[str, Any], Secret[bytes]]:
        key, iv = os.urandom(32), os.urandom(IV_BYTES)
        wrapped = self._ask(lambda one: one.encrypt(key, mechanism_param=iv, mechanism=_mechanism()), make=True)
        return {"kind": "pkcs11", "token": self._token, "key": LABEL, "iv": iv.hex(), "wrapped": wrapped.hex()}, Secret(key)

    def open(self, fields: Mapping[str, Any]) -> Secret[bytes]:
        if fields.get("kind") != "pkcs11":
            raise LockRefused("it is not locked with a token; check the [keystore] section")
        try:
            iv, wrapped = bytes.fromhex(fields["iv"]), bytes.fromhex(fields["wrapped"])
        except (KeyError, TypeError, ValueError):
            raise LockRefused("what the token closed is damaged") from None
        key = self._ask(lambda one: one.decrypt(wrapped, mechanism_param=iv, mechanism=_mechanism()), make=False)
        if len(key) != 32:
            raise LockRefused("the token opened something that is not a key")
        return Secret(key)

    def _ask(self, question: Any, make: bool) -> bytes:
        try:
            import pkcs11
            from pkcs11.exceptions import PKCS11Error
        except ImportError:
            raise LockRefused("a token needs the package python-pkcs11 (extra `hsm`)") from None
        try:
            token = pkcs11.lib(str(self._module)).get_token(token_label=self._token)
            with token.open(rw=make, user_pin=self._pin.reveal().decode()) as session:
                return bytes(question(_key(session, make)))
        except (PKCS11Error, RuntimeError, UnicodeDecodeError) as error:
            raise LockRefused(f"token {self._token!r} ({self._module}): {type(error).__name__} {error}".rstrip()) from None


def _key(session: Any, make: bool) -> Any:
    import pkcs11
    from pkcs11.exceptions import NoSuchKey

    try:
        return session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, label=LABEL)
    except NoSuchKey:
        if not make:
            raise
    private = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.PRIVATE: True}
    return session.generate_key(pkcs11.KeyType.AES, KEY_BITS, label=LABEL, store=True, template=private)


def _mechanism() -> Any:
    import pkcs11

    return pkcs11.Mechanism.AES_CBC_PAD
