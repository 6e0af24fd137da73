"""What all schedules share and nobody changes: keys, cast, configuration, a blank store, a blank bank. Made once for a process.

Functions without memory that cost much (RSA, key derivation, sealing) are remembered here for all schedules: same question, same answer.
"""

from __future__ import annotations

import functools
import importlib
import io
import re
import shutil
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from drivers.emv.capk import load_capks
from drivers.emv.terminal import TerminalData
from drivers.secret import Secret
from money.disk import Blank, StoreKeys, folder_in_memory
from money.eyes import ENROLLED
from money.hardware import WatchedSlot, chance_of
from money.schedule import CARDS, WRONG_PIN
from money.shortcut import ShortWire
from simulators.bank import verify
from simulators.bank.__main__ import bank_keys
from simulators.bank.cards import load_cast
from simulators.bank.host import BankHost
from simulators.bank.store import Store as BankStore
from simulators.bank.template_keys import TemplateKeys
from simulators.bank.templates import Template
from simulators.card.capk import capk_toml
from simulators.card.card import SimulatedCard
from simulators.card.keys import load_card_keys
from simulators.card.profiles import load_profiles
from simulators.crypto.emv import load_issuer_keys
from simulators.crypto.host_pin import HostPinKeys, key_blocks_for
from terminal.adapters.keys import CardDataSealer
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.sealing import DataKeys
from terminal.adapters.shipper import ShippingPolicy
from terminal.config import (
    BankSection,
    CardSection,
    CashSection,
    Config,
    PinPadSection,
    PrinterSection,
    SerialSection,
    TerminalSection,
    UnitSection,
)
from terminal.config_face import FaceSection
from terminal.config_fleet import FleetSection
from terminal.core.model import Timeouts
from terminal.sealed_box import public_bytes
from terminal.workers.services.card import CardSetting

TERMINAL, BRANCH = "T0001", "B001"
MOMENT = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
DENOMINATIONS = (10_000, 5_000, 2_000, 1_000)
FACE_FROM_MINOR = 100_000
HEAD_KEY, DATA_KEY = bytes(range(32)), bytes(range(100, 132))
LONG = 13
"""Digits or more: a card number or a key; shorter is a PIN."""
PRESETS = (10_000, 20_000, 30_000, 50_000, 100_000, 200_000)
TIMEOUTS = Timeouts(
    input_s=9.0,
    still_there_s=5.0,
    take_card_s=8.0,
    take_cash_s=6.0,
    message_s=3.0,
    card_s=6.0,
    pin_pad_s=5.0,
    authorise_s=8.0,
    dispense_s=30.0,
    resolve_s=45.0,
    print_s=10.0,
    face_s=6.0,
    enrol_s=8.0,
    consent_s=12.0,
)


class Setting:
    """`close` removes its folder."""

    moment = MOMENT

    def __init__(self) -> None:
        remember()
        self._folder = folder_in_memory()
        self._numbers = count(1)
        sealing = StoreKeys(Secret(HEAD_KEY), DataKeys(1, {1: Secret(DATA_KEY)}))
        self.blanks = {
            sealed: Blank(self._folder, TERMINAL, BRANCH, MOMENT, sealing if sealed else StoreKeys()) for sealed in (False, True)
        }
        self.pin_keys = HostPinKeys.load()
        self.key_blocks = {slot: Secret(block) for slot, block in key_blocks_for("ZT588SIM00000001", self.pin_keys).items()}
        self._bank_keys = bank_keys(self._folder / "bank")
        self._cast = load_cast(None, self._bank_keys)
        self._bank_store = BankStore(None)
        encoding = struct.pack("<128f", *(chance_of(0, "enrolled").gauss(0.0, 0.09) for _ in range(128)))
        self._templates = {"customer": Template("customer", "enrolled-1", "a" * 64, encoding)}
        BankHost(
            self._bank_store, self._cast, self._bank_keys, MOMENT, templates=self._templates, random_bytes=chance_of(0, "vault").randbytes
        )
        self._blank_bank = self._bank_store.connection.serialize()
        self.sealer = RememberingSealer(CardDataSealer(self._bank_keys.public_hex, "bank-2026"))
        self.eye_key = public_bytes(ec.derive_private_key(20_261_122, ec.SECP256R1()))
        self.link_config = LinkConfig(
            "mqtt://127.0.0.1:1883", TERMINAL, BRANCH, boot_spread_s=0.0, max_backoff_s=5.0, puback_timeout_s=10.0,
            shipping=ShippingPolicy(resend_s=4.0, resend_max_s=30.0, drain_per_s=20.0),
        )  # fmt: skip
        path = self._folder / "capk.toml"
        path.write_text(capk_toml(load_card_keys()), encoding="utf-8")
        self._ca_keys = load_capks(path)
        self._profiles, self._card_keys, self._issuer = load_profiles(None), load_card_keys(), load_issuer_keys()
        self._cards = {name: SimulatedCard(profile, self._card_keys, self._issuer) for name, profile in self._profiles.items()}
        self.secrets = self._secret_texts()
        self.log = io.StringIO()
        self.wire = ShortWire()
        self._configs: dict[tuple[int, ...], Config] = {}

    def _secret_texts(self) -> Secrets:
        pans = [one.pan for profile in self._profiles.values() for one in profile.applications]
        pins = [one.pin for one in CARDS if one.pin]
        faces = [ENROLLED.hex(), *(template.encoding.hex() for template in self._templates.values())]
        blocks = [block.reveal() for block in self.key_blocks.values()]
        keys = (HEAD_KEY.hex(), DATA_KEY.hex(), self.pin_keys.kbpk.hex())
        return Secrets(tuple(sorted({*pans, *pins, WRONG_PIN, *blocks, *faces, *keys})))

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_folder(self) -> Path:
        return self._folder / str(next(self._numbers))

    def config(self, counts: tuple[int, int, int, int], *, face: bool) -> Config:
        key = (*counts, face)
        if key not in self._configs:
            here = Path("nowhere")
            units = tuple(UnitSection(str(n), minor, held) for n, (minor, held) in enumerate(zip(DENOMINATIONS, counts, strict=True), 1))
            self._configs[key] = Config(
                TerminalSection(TERMINAL, BRANCH, here),
                BankSection("mqtt://127.0.0.1:1883", here),
                CashSection(PRESETS, 300_000, units, low_threshold=2),
                SerialSection(here),
                CardSection(here),
                PinPadSection(here),
                PrinterSection(here),
                face=FaceSection("nowhere", FACE_FROM_MINOR) if face else None,
                timeouts=TIMEOUTS,
                fleet=FleetSection(telemetry_s=20.0),
            )
        return self._configs[key]

    def card_setting(self, seed: int, wall: Callable[[], datetime]) -> CardSetting:
        """The unpredictable number is the same for a number of schedules, so that what the chip signs can be remembered."""
        chance = chance_of(seed % 16, "unpredictable")
        terminal = TerminalData(country=bytes.fromhex("0156"), currency="CNY", serial="000T0001", terminal_id="T0001000")
        return CardSetting(terminal, self._ca_keys, chance.randbytes, wall)

    def slot(self, point: Callable[[str], None]) -> WatchedSlot:
        """A slot whose cards are as they left the factory."""
        slot = WatchedSlot(self._profiles, self._card_keys, self._issuer, point)
        for card in self._cards.values():
            card.card_blocked = False
            for application in card.applications:
                application.blocked = card.profile.application_blocked
                application.atc, application.pin_tries = 0, card.profile.pin_tries_left
                application.last_online_unfinished = application.flip_signature = False
            card.reset()
        slot._cards = self._cards
        return slot

    def bank_host(self, seed: int, wall: Callable[[], datetime], *, risky: bool) -> Callable[[], BankHost]:
        """Makes the host anew on the same disk: what it committed is there, what it had in memory is not."""
        self._bank_store.connection.deserialize(self._blank_bank)
        chance = chance_of(seed, "bank")
        kept = TemplateKeys(None, self._bank_keys, chance.randbytes)  # the bank's hardware has them, not the memory of this process

        def host() -> BankHost:
            made = BankHost(
                self._bank_store, self._cast, self._bank_keys, wall(),
                templates=self._templates, template_keys=kept, random_bytes=chance.randbytes,
            )  # fmt: skip
            made.planned.risky.update(self._cast.accounts if risky else ())
            return made

        return host


class Secrets:
    """Card numbers, PINs and keys. What is long is found wherever it stands, within a field of the card's data too, in either case; a PIN
    only as a word of its own, because a hash may hold six such digits by chance."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._long = [text.lower() for text in texts if len(text) >= LONG]
        self._pins = [text for text in texts if len(text) < LONG]
        self._alone = re.compile(f"(?<![0-9A-Za-z])(?:{'|'.join(self._pins)})(?![0-9A-Za-z])")

    def found_in(self, text: str) -> str:
        """What stands in it: "card number or key", "PIN" or ""."""
        lower = text.lower()
        if any(secret in lower for secret in self._long):
            return "card number or key"
        return "PIN" if any(pin in lower for pin in self._pins) and self._alone.search(text) else ""


class RememberingSealer:
    """terminal.adapters.bank_messages.Sealer: one sealed box for the same card and transaction, in every schedule."""

    def __init__(self, sealer: CardDataSealer) -> None:
        self._sealer = sealer
        self.public_key, self.key_id = sealer.public_key, sealer.key_id
        self._boxes: dict[tuple[str, str], dict[str, str]] = {}

    def seal(self, pan: Secret[str], track2: Secret[str], pan_sequence: int, transaction_id: str) -> dict[str, str]:
        key = (track2.reveal(), transaction_id)
        if key not in self._boxes:
            self._boxes[key] = self._sealer.seal(pan, track2, pan_sequence, transaction_id)
        return self._boxes[key]


COSTLY = (
    ("simulators.card.keys", "RsaKey.sign"),
    ("simulators.card.application", "session_key"),
    ("simulators.card.application", "application_cryptogram"),
    ("simulators.crypto.emv", "icc_master_key"),
    ("simulators.crypto.emv", "session_key"),
    ("simulators.crypto.emv", "application_cryptogram"),
    ("simulators.crypto.emv", "arpc_method1"),
    ("simulators.crypto.dukpt_aes", "initial_key"),
    ("simulators.crypto.dukpt_aes", "working_key"),
    ("simulators.devices.pinpad_vault", "unwrap"),
    ("drivers.emv.oda", "PublicKey.recover"),
    ("drivers.emv.reading", "parse"),
    ("drivers.emv.reading", "parse_one"),
    ("drivers.emv.reading", "parse_dol"),
    ("drivers.emv.selection", "parse_one"),
    ("drivers.emv.session", "parse"),
    ("drivers.emv.cryptogram", "parse"),
    ("drivers.emv.issuer", "parse"),
)
"""Functions without memory of what they were asked: module, name."""
OPEN = "open_box"
_remembered: list[str] = []


def remember() -> None:
    """Put a memory before the costly functions, once for the process."""
    for where, name in COSTLY if not _remembered else ():
        owner: Any = importlib.import_module(where)
        *inside, last = name.split(".")
        for part in inside:
            owner = getattr(owner, part)
        setattr(owner, last, functools.lru_cache(maxsize=20_000)(getattr(owner, last)))
        _remembered.append(f"{where}.{name}")
    boxes: dict[tuple[str, bytes], bytes] = {}
    opened = getattr(verify, OPEN)

    def open_box(box: Any, private: Any, aad: bytes) -> bytes:
        """Only what opened is remembered."""
        key = (str(box.get("ciphertext")), aad)
        if key not in boxes:
            boxes[key] = opened(box, private, aad)
        return boxes[key]

    setattr(verify, OPEN, open_box)
