"""A sealed box opens for its key and its associated data, and for nothing else; a broken one is named, never quoted."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from hypothesis import given
from hypothesis import strategies as st

from terminal.sealed_box import SealedBoxError, open_box, public_bytes, seal

KEY = ec.generate_private_key(ec.SECP256R1())
AAD = b"customer|template-1|model|1"


@given(st.binary(max_size=2048), st.binary(max_size=64))
def test_what_is_sealed_comes_out(plaintext: bytes, aad: bytes) -> None:
    assert open_box(KEY, seal(public_bytes(KEY), plaintext, aad, "k"), aad) == plaintext


def hmac(key: bytes, data: bytes) -> bytes:
    mac = HMAC(key, SHA256())
    mac.update(data)
    return mac.finalize()


def test_the_documented_construction_opens_it_by_hand() -> None:
    """The same steps written out from docs/bank-messages.md and RFC 5869, as a bank in another language would."""
    box = seal(public_bytes(KEY), b"card data", AAD, "bank-2026")
    assert (box["alg"], box["kid"]) == ("ECDH-ES+HKDF-SHA256+A256GCM", "bank-2026")
    epk = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(box["epk"]))
    secret = hmac(bytes(32), KEY.exchange(ec.ECDH(), epk))
    key = hmac(secret, b"smart-branch/sealed-box/v1\x01")
    assert AESGCM(key).decrypt(bytes.fromhex(box["iv"]), bytes.fromhex(box["ciphertext"]), AAD) == b"card data"


def test_it_opens_only_for_its_key_and_its_associated_data() -> None:
    box = seal(public_bytes(KEY), b"secret", AAD, "k")
    with pytest.raises(SealedBoxError, match="another key"):
        open_box(ec.generate_private_key(ec.SECP256R1()), box, AAD)
    with pytest.raises(SealedBoxError, match="associated data"):
        open_box(KEY, box, AAD + b"2")


def test_two_boxes_of_the_same_plaintext_share_nothing() -> None:
    one, two = (seal(public_bytes(KEY), b"secret", AAD, "k") for _ in range(2))
    assert all(one[field] != two[field] for field in ("epk", "iv", "ciphertext"))


@pytest.mark.parametrize("field", ["alg", "epk", "iv", "ciphertext"])
@pytest.mark.parametrize("value", [None, 7, "", "zz", "00", "ff" * 65, "ff" * 200_000])
def test_a_broken_field_is_named(field: str, value: Any) -> None:
    box: dict[str, object] = {**seal(public_bytes(KEY), b"secret", AAD, "k"), field: value}
    if field == "ciphertext" and value == "ff" * 65:
        with pytest.raises(SealedBoxError, match="does not open"):
            open_box(KEY, box, AAD)
        return
    with pytest.raises(SealedBoxError, match=field):
        open_box(KEY, box, AAD)


def test_a_recipient_that_is_no_point_and_a_plaintext_too_long_are_refused() -> None:
    with pytest.raises(SealedBoxError, match="recipient"):
        seal(b"\x04" + bytes(64), b"", AAD, "k")
    with pytest.raises(SealedBoxError, match="recipient"):
        seal(b"", b"", AAD, "k")
    with pytest.raises(SealedBoxError, match="at most"):
        seal(public_bytes(KEY), bytes(64 * 1024 + 1), AAD, "k")
