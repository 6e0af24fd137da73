"""The configuration's sections for the operations centre: `[fleet]`, `[centre]`, `[[inspection]]` (docs/configuration.md)."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from terminal.core.model import Device


@dataclass(frozen=True, slots=True)
class FleetSection:
    """How often the bank hears of this terminal, and how long a condition stands before it is an alarm. Seconds."""

    telemetry_s: float = 60.0
    state_every_s: float = 2.0
    device_offline_s: float = 30.0
    host_unreachable_s: float = 60.0
    out_of_service_s: float = 60.0
    healthy_s: float = 120.0


@dataclass(frozen=True, slots=True)
class CentreKeySection:
    """A public key of the operations centre: Ed25519, 32 bytes as hex in `file`."""

    id: str
    file: Path


@dataclass(frozen=True, slots=True)
class CentreSection:
    """Without a key no order and no desired configuration is accepted."""

    key: tuple[CentreKeySection, ...] = ()


@dataclass(frozen=True, slots=True)
class CameraSection:
    """A camera that looks at a device, never at a person: a file that it keeps, or what OpenCV opens."""

    device: str
    source: str


@dataclass(frozen=True, slots=True)
class InspectionSection:
    """Without a camera there is no picture of anything."""

    camera: tuple[CameraSection, ...] = ()


def fleet_refusals(
    fleet: FleetSection, centre: CentreSection, inspection: InspectionSection, low_threshold: int, face_camera: str | None
) -> list[tuple[bool, str]]:
    times = (fleet.telemetry_s, fleet.state_every_s, fleet.device_offline_s, fleet.host_unreachable_s, fleet.out_of_service_s)
    ids, devices = [key.id for key in centre.key], [one.device for one in inspection.camera]
    bounded = all(isfinite(time) and 0 < time <= 86_400 for time in (*times, fleet.healthy_s))
    return [
        (not bounded, "fleet: every time is above 0, at most a day"),
        (fleet.telemetry_s < 5, "fleet.telemetry_s is at least 5"),
        (fleet.healthy_s < 10, "fleet.healthy_s is at least 10"),
        (len(set(ids)) != len(ids), "centre.key: every id is there once"),
        (
            any(device not in [known.value for known in Device] for device in devices),
            f"inspection.camera: a device is one of {', '.join(Device)}",
        ),
        (len(set(devices)) != len(devices), "inspection.camera: one camera for a device"),
        (
            face_camera is not None and any(one.source == face_camera for one in inspection.camera),
            "inspection.camera: not the customers' camera",
        ),
        (not 0 <= low_threshold <= 10_000, "cash.low_threshold must be 0 to 10000"),
    ]
