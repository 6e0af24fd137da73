"""The test CA's public key as the TOML a terminal loads: ``python -m simulators.card.capk > capk.toml``. For demonstrations only."""

from __future__ import annotations

import sys

from simulators.card.keys import CardKeys, load_card_keys


def capk_toml(keys: CardKeys) -> str:
    """One [[key]] table: rid, index, modulus, exponent, all hex."""
    return (
        "# TEST KEY of the simulated cards. A terminal that takes money must not load it.\n"
        "[[key]]\n"
        f'rid = "{keys.rid.hex().upper()}"\n'
        f'index = "{keys.index:02X}"\n'
        f'exponent = "{keys.ca.exponent.hex().upper()}"\n'
        f'modulus = "{keys.ca.modulus.hex().upper()}"\n'
    )


if __name__ == "__main__":
    sys.stdout.write(capk_toml(load_card_keys()))
