"""Everything that the terminal's side left in the stage's folder is searched for what must never be there."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from simulators.crypto.host_pin import TEST_KEYS

CAST = Path(TEST_KEYS).parents[1] / "cast.toml"
TEXTS = (".sqlite", ".sqlite-wal", ".log", ".jsonl")


def found_in(folder: Path) -> tuple[str, ...]:
    """Sentences that name the file and the kind of secret, never its value. The bank's own folder is the bank's."""
    cards = tomllib.loads(CAST.read_text(encoding="utf-8"))["card"]
    pans = [application["pan"] for card in cards for application in card["applications"]]
    pins = sorted({card["pin"] for card in cards if card["pin"].strip("0")})
    keys = [value for name, value in json.loads(Path(TEST_KEYS).read_text()).items() if name in ("bdk_aes", "bdk_tdes", "kbpk")]
    never = [
        (f"card number ...{pan[-4:]}", said) for pan in pans for said in (pan.encode(), pan.encode().hex().encode(), bytes.fromhex(pan))
    ]
    never += [("a key", said) for key in keys for said in (key.encode(), key.lower().encode(), bytes.fromhex(key))]
    typed = re.compile(b"(?<![0-9A-Za-z.+/])(?:" + b"|".join(pin.encode() for pin in pins) + b")(?![0-9A-Za-z+/])")
    found = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if not path.is_file() or inside[0] in ("bank", "wires", "controls", "pcsc"):
            continue
        data = path.read_bytes()
        found += [f"{'/'.join(inside)}: {what}" for what, said in never if said in data]
        if path.suffix in TEXTS and typed.search(data):
            found.append(f"{'/'.join(inside)}: a PIN")
    return tuple(found)
