"""The one file that knows every class: configuration -> a running agent with its workers, page, journal and bank link."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from drivers.secret import Secret
from drivers.transports.base import MonotonicClock
from terminal.adapters.bank_link import BankLink
from terminal.adapters.clock import utc_now
from terminal.adapters.keys import CardDataSealer, read_key, read_public_key
from terminal.adapters.keystore import Keystore, KeystoreLock
from terminal.adapters.keystore_locks import PassphraseLock, read_passphrase
from terminal.adapters.keystore_token import TokenLock
from terminal.adapters.link_config import LinkConfig
from terminal.adapters.link_tls import TlsCredentials, TlsFiles, TlsIdentity
from terminal.adapters.sealing import DataKeys
from terminal.adapters.shipper import ShippingPolicy
from terminal.adapters.store import Store
from terminal.adapters.trace import FileTrace, NoTrace
from terminal.agent import Agent
from terminal.config import Config, ConfigError
from terminal.core.events import Started
from terminal.core.model import Device, State
from terminal.core.recovery import CHECKPOINTS, Recovered, recover
from terminal.fleet.build import attendant_of, centre_keys, picture_outcome
from terminal.fleet.desired_file import Start
from terminal.fleet.surroundings import Child, Machine
from terminal.ports import Ports
from terminal.workers.cameras import InspectionCameras
from terminal.workers.page import PageProcess
from terminal.workers.supervisor import WorkerProcess

CLOSE_GRACE_S = 2.0
JUST_STARTED_S = 300.0
"""A machine that is up for less has come up with its neighbours when the power came back, and the fleet's first connections are spread.
Later only the agent was started again (after a crash, by order, for a configuration): it comes alone, and at once."""
FACE_AFTER_S = 1.5  # its models take a second of a core: the devices that service needs go first


@dataclasses.dataclass(frozen=True, slots=True)
class Terminal:
    """A built terminal: `agent.run()` serves; `close()` ends every process it started."""

    agent: Agent
    ports: Ports
    store: Store
    link: BankLink

    def close(self) -> None:
        self.ports.page.close(CLOSE_GRACE_S)
        for worker in self.ports.workers.values():
            worker.close(CLOSE_GRACE_S)
        self.link.close()
        self.store.close()


@dataclasses.dataclass(frozen=True, slots=True)
class Keys:
    """What the keystore (or key files) hold; `data` None: rows are not sealed."""

    keystore: Keystore | None = None
    head: Secret[bytes] | None = None
    data: DataKeys | None = None
    certificate: bool = False


def keystore_of(config: Config) -> Keystore | None:
    """Not opened yet. LockRefused when the passphrase cannot be had."""
    section = config.keystore
    if section is None:
        return None
    passphrase = read_passphrase(section.passphrase_file or section.passphrase)
    lock: KeystoreLock = PassphraseLock(passphrase) if section.pkcs11_module is None else TokenLock(
        section.pkcs11_module, section.pkcs11_token, passphrase
    )  # fmt: skip
    return Keystore(section.file, config.terminal.id, lock)


def keys_of(config: Config) -> Keys:
    """KeyFileError, KeystoreError, LockRefused, each with a sentence; ConfigError for a key that is in two places."""
    head = read_key(config.terminal.head_key, 32) if config.terminal.head_key else None
    keystore = keystore_of(config)
    if keystore is None:
        return Keys(head=head)
    contents = keystore.read()
    certificate = bool(contents.in_state("active", "installed"))
    if head is not None and contents.head_key is not None and head != contents.head_key:
        raise ConfigError("terminal.head_key is another key than the one in the keystore; remove the setting")
    if certificate and config.bank.certificate is not None:
        raise ConfigError("bank.certificate: the keystore holds the terminal's certificate; remove the setting")
    return Keys(keystore, contents.head_key or head, contents.sealing, certificate)


def open_store(config: Config, keys: Keys | None = None) -> Store:
    section = config.terminal
    keys = keys_of(config) if keys is None else keys
    return Store.open(section.store, section.id, section.branch, head_key=keys.head, data_keys=keys.data)


def recovered_from(store: Store, config: Config) -> Recovered:
    """What the journal says, checked against the configured cassettes."""
    checkpoints = [entry.seq for kind in CHECKPOINTS if (entry := store.last(kind)) is not None]
    known = recover(store.entries(after_seq=max(checkpoints, default=1) - 1))
    if known.first_start:
        return dataclasses.replace(known, last_transaction=store.next_transaction_number() - 1)
    configured = [(unit.unit, unit.denomination_minor) for unit in config.cash.unit]
    if [(unit.unit, unit.denomination_minor) for unit in known.units] != configured:
        raise ConfigError("cash.unit names other denominations than the journal: a store keeps its denominations")
    return known


def compose(config: Config, *, trace: Path | None, page_ready: Callable[[int], None], start: Start | None = None) -> Terminal:
    """Everything is opened here; the workers' processes start with the agent's first tick. `start`: how the configuration came about."""
    clock = MonotonicClock()
    centre, keys = centre_keys(config), keys_of(config)
    store = open_store(config, keys)
    try:
        recovered = recovered_from(store, config)
        agent = Agent(State(config.core()), config.terminal.demo_badge)
        bank = config.bank
        link_config = LinkConfig(
            url=bank.url,
            terminal_id=config.terminal.id,
            branch_id=config.terminal.branch,
            tls=_credentials(config, keys),
            boot_spread_s=bank.boot_spread_s if machine_up_s() < JUST_STARTED_S else 0.0,
            max_backoff_s=bank.max_backoff_s,
            clean_start=bank.clean_start,
            shipping=ShippingPolicy(drain_per_s=bank.drain_per_s),
        )
        link = BankLink(link_config, config.terminal.store, agent.from_link, sealer=store.sealer)
        sealer = CardDataSealer(read_public_key(bank.public_key).hex(), bank.key_id)
    except BaseException:
        store.close()
        raise
    workers = {
        device: WorkerProcess(device, settings, clock, agent.inbox.put, start_after_s=FACE_AFTER_S if device is Device.FACE else 0.0)
        for device, settings in worker_settings(config).items()
    }
    page = PageProcess(_page_arguments(config), clock, agent.inbox.put, agent.pressed, page_ready)
    file_trace = FileTrace(trace, clock) if trace else NoTrace()
    ports = Ports(clock, utc_now, store, link, sealer, workers, page, file_trace)
    agent.plug(ports)
    children: dict[str, Child] = {**{device.value: worker for device, worker in workers.items()}, "page": page}
    machine = Machine(children, store, config.terminal.store.parent, lambda: link.certificate_ends, utc_now, lambda: link.clock_offset_ms)
    cameras = InspectionCameras({one.device: one.source for one in config.inspection.camera}, agent.inbox.put)
    agent.attend(
        attendant_of(
            config,
            agent,
            store,
            machine,
            restart_worker=lambda device: workers[device].restart(),
            picture=lambda device, done: cameras.take(device.value, lambda data: done(picture_outcome(device, data))),
            keys=centre,
            start=start,
        )
    )
    agent.take(Started(recovered))
    link.start()
    return Terminal(agent, ports, store, link)


def machine_up_s() -> float:
    """Since the kernel's start (CLOCK_BOOTTIME), times asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def worker_settings(config: Config) -> dict[Device, dict[str, Any]]:
    """Each worker gets only its own section, as plain values."""
    settings = {
        Device.DISPENSER: {**_plain(config.dispenser), "max_notes": config.cash.max_notes},
        Device.CARD_READER: {
            **_plain(config.card),
            "country": config.terminal.country,
            "currency": config.terminal.currency,
            "terminal_id": config.terminal.id,
        },
        Device.PIN_PAD: _plain(config.pin_pad),
        Device.PRINTER: _plain(config.printer),
    }
    if config.face is not None:
        settings[Device.FACE] = _plain(config.face)
    return settings


def _plain(section: Any) -> dict[str, Any]:
    values = dataclasses.asdict(section)
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def _page_arguments(config: Config) -> list[str]:
    kiosk = config.kiosk
    arguments = ["--port", str(kiosk.port), "--pixel-pitch-mm", str(kiosk.pixel_pitch_mm)]
    if config.face is not None:
        arguments += ["--mirror", str(config.face.mirror)]
    return [*arguments, "--frame-origin", kiosk.frame_origin] if kiosk.frame_origin else arguments


def _credentials(config: Config, keys: Keys) -> TlsCredentials | None:
    bank = config.bank
    if not bank.url.startswith("mqtts:"):
        return None
    if bank.ca is None:
        raise ConfigError("bank.ca is needed for mqtts://")
    if keys.keystore is not None and keys.certificate:
        return TlsIdentity(bank.ca, keys.keystore)
    return TlsFiles(bank.ca, bank.certificate, bank.private_key)
