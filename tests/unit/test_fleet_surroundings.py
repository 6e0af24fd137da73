"""What is asked of the machine: page, restarts, outbox, disk, certificate; and pictures by the inspection cameras."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from terminal.adapters.keys import KeyFileError, read_centre_key
from terminal.adapters.outbox import Outgoing
from terminal.adapters.store import Kept, Store
from terminal.core.model import Device
from terminal.fleet.build import picture_outcome
from terminal.fleet.surroundings import Machine
from terminal.workers.cameras import InspectionCameras
from terminal.workers.picture import JPEG, MOST_BYTES, picture_of

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
PICTURE = JPEG + b"\xe0" + bytes(100)


@dataclass
class Child:
    pid: int | None
    starts: int


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "t.sqlite", "T0001", "B001", wall_clock=lambda: NOW)


def machine(store: Store, folder: Path, ends: datetime | None = None, page: Child | None = None) -> Machine:
    children = {"cardReader": Child(5, 3), "page": page or Child(7, 1)}
    return Machine(children, store, folder, lambda: ends, lambda: NOW, lambda: -250)


def test_what_the_machine_says(store: Store, tmp_path: Path) -> None:
    found = machine(store, tmp_path)
    store.append([], [Outgoing("audit", "event", "GlobalStatusChanged", {"globalStatus": "INSV", "reasons": []})])
    assert found.restarts() == {"cardReader": 2, "page": 0} and found.page() == "online" and found.clock_offset_ms() == -250
    assert found.outbox()["audit"].rows == 1 and found.outbox()["txn"].capacity == 20_000
    free = found.disk_free_bytes()
    assert free is not None and free > 0
    assert machine(store, tmp_path / "gone").disk_free_bytes() is None
    assert machine(store, tmp_path, page=Child(None, 0)).page() == "starting"
    assert machine(store, tmp_path, page=Child(None, 4)).page() == "offline"


def test_days_of_a_certificate(store: Store, tmp_path: Path) -> None:
    assert machine(store, tmp_path).certificate_days_left() is None
    assert machine(store, tmp_path, NOW + timedelta(days=20, hours=1)).certificate_days_left() == 20
    assert machine(store, tmp_path, NOW - timedelta(hours=1)).certificate_days_left() == -1


def test_a_value_is_kept_with_what_it_belongs_to(store: Store, tmp_path: Path) -> None:
    store.append([], [], [Kept("alarm", "b", {"raised": True}), Kept("alarm", "a", [1]), Kept("order", "a", "x")])
    assert store.kept("alarm") == {"a": [1], "b": {"raised": True}} and store.kept("order") == {"a": "x"}
    head = store.head
    store.append([], [], [Kept("alarm", "b", {"raised": False}), Kept("alarm", "a", None)])
    assert store.kept("alarm") == {"b": {"raised": False}} and store.head == head
    with pytest.raises(ValueError, match="card number"):
        store.append([], [], [Kept("alarm", "b", "6222020200112230004")])
    with pytest.raises(ValueError, match="not a JSON value"):
        store.append([], [], [Kept("alarm", "c", 1), Kept("alarm", "d", b"")])
    assert store.kept("alarm") == {"b": {"raised": False}}, "all of it, or nothing"
    store.close()
    assert Store.open(tmp_path / "t.sqlite", "T0001", "B001").kept("alarm") == {"b": {"raised": False}}


def test_a_store_of_an_earlier_version_gets_its_new_table(store: Store, tmp_path: Path) -> None:
    store._database.execute("DROP TABLE kept")
    store.close()
    again = Store.open(tmp_path / "t.sqlite", "T0001", "B001")
    again.append([], [], [Kept("alarm", "a", 1)])
    assert again.kept("alarm") == {"a": 1}


def test_centre_keys_are_read_from_pem_and_hex(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    raw, path = key.public_bytes(Encoding.Raw, PublicFormat.Raw), tmp_path / "centre.pub"
    path.write_text(raw.hex() + "\n")
    assert read_centre_key(path).public_bytes(Encoding.Raw, PublicFormat.Raw) == raw
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert read_centre_key(path).public_bytes(Encoding.Raw, PublicFormat.Raw) == raw
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    for wrong in (b"zz", b"00", b"-----BEGIN X-----", other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)):
        path.write_bytes(wrong)
        with pytest.raises(KeyFileError, match=str(path)):
            read_centre_key(path)


# --- pictures


class Taken:
    """A picture as the agent's inbox brings it."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.got: list[bytes | None] = []

    def wait(self) -> bytes | None:
        self.inbox.get(timeout=60.0)()
        return self.got[-1]


def test_a_picture_comes_from_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "d.jpg").write_bytes(PICTURE)
    taken = Taken()
    cameras = InspectionCameras({"cashDispenser": str(tmp_path / "d.jpg"), "printer": str(tmp_path / "none.jpg")}, taken.inbox.put)
    assert not cameras.take("cardReader", taken.got.append)
    assert cameras.take("cashDispenser", taken.got.append) and taken.wait() == PICTURE
    assert cameras.take("printer", taken.got.append) and taken.wait() is None


def test_a_camera_that_crashes_or_says_too_much_is_no_picture(tmp_path: Path) -> None:
    taken = Taken()
    for program in ("import os; os._exit(9)", f"print('x' * {MOST_BYTES})", "pass"):
        cameras = InspectionCameras({"printer": "1"}, taken.inbox.put, (sys.executable, "-c", program))
        assert cameras.take("printer", taken.got.append) and taken.wait() is None
    missing = InspectionCameras({"printer": "1"}, taken.inbox.put, (str(tmp_path / "nothing"),))
    assert missing.take("printer", taken.got.append) and taken.wait() is None


def test_a_file_that_is_no_small_jpeg_is_made_one(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    numpy = pytest.importorskip("numpy")
    large = tmp_path / "large.png"
    cv2.imwrite(str(large), numpy.random.default_rng(1).integers(0, 255, (1200, 1600, 3), dtype="uint8"))
    made = picture_of(str(large))
    assert made.startswith(JPEG) and len(made) <= MOST_BYTES
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ValueError, match="no picture"):
        picture_of(str(tmp_path / "text.jpg"))


def test_the_outcome_of_a_picture() -> None:
    assert picture_outcome(Device.PRINTER, None).reason == "noPicture"
    assert picture_outcome(Device.PRINTER, PICTURE).data["mediaType"] == "image/jpeg"
