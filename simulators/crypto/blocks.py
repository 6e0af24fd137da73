"""The two block ciphers that card payment keys use, one block or CBC at a time: AES and (for older hosts) DES / TDES.

ISO 9564, ANSI X9.24 and X9.143 prescribe these very modes. Keys are plain bytes; nothing here prints or keeps them.
"""

from __future__ import annotations

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC


def xor(left: bytes, right: bytes) -> bytes:
    """Bytewise; both of one length."""
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def aes_encrypt(key: bytes, data: bytes) -> bytes:
    """AES, each 16-byte block by itself (ECB): the callers chain by hand as their standards say."""
    encryptor = Cipher(AES(key), modes.ECB()).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def aes_decrypt(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(AES(key), modes.ECB()).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def aes_cbc_encrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    encryptor = Cipher(AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def aes_cbc_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    decryptor = Cipher(AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def aes_cmac(key: bytes, data: bytes) -> bytes:
    """NIST SP 800-38B, 16 bytes."""
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def tdes_encrypt(key: bytes, data: bytes) -> bytes:
    """TDES ECB. Key of 8 (single DES), 16 or 24 bytes."""
    encryptor = Cipher(TripleDES(_tdes_key(key)), modes.ECB()).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def tdes_decrypt(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(TripleDES(_tdes_key(key)), modes.ECB()).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def _tdes_key(key: bytes) -> bytes:
    """Always 24 bytes: K1 K1 K1 is single DES, K1 K2 K1 the two-key form."""
    if len(key) == 8:
        return key * 3
    return key + key[:8] if len(key) == 16 else key
