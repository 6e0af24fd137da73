"""Writes the RSA test keys of the simulated cards: ``python -m simulators.card.make_keys > simulators/card/test_keys.json``.

Run once; the result is in the repository. The sizes make every certificate carry a remainder (EMV 4.3 Book 2, tables 6 and 13):
CA 1408 bits with exponent 3, issuer 1280 bits with 65537, card 1024 bits with 3.
"""

from __future__ import annotations

import json
import sys

from cryptography.hazmat.primitives.asymmetric import rsa

SIZES = {"ca": (1408, 3), "issuer": (1280, 65537), "icc": (1024, 3)}


def make(bits: int, exponent: int) -> dict[str, str]:
    """One key as hex strings n, e, d."""
    # cryptography refuses to generate with unusual exponents, but 3 (as payment schemes use it) and 65537 are allowed
    numbers = rsa.generate_private_key(public_exponent=exponent, key_size=bits).private_numbers()
    public = numbers.public_numbers
    return {"n": f"{public.n:0{bits // 4}X}", "e": f"{public.e:06X}" if public.e > 3 else "03", "d": f"{numbers.d:0{bits // 4}X}"}


def main() -> None:
    keys: dict[str, object] = {
        "note": "TEST KEYS. Published, made for the simulated cards, protecting nothing.",
        "rid": "A000000333",
        "index": "F1",
    }
    keys |= {name: make(*size) for name, size in SIZES.items()}
    sys.stdout.write(json.dumps(keys, indent=2) + "\n")


if __name__ == "__main__":
    main()
