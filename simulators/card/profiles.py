"""Who the cards are: profiles from the cast (``simulators/cast.toml``)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AUTHENTICATIONS = ("SDA", "DDA", "CDA", "none")


@dataclass(frozen=True, slots=True)
class ApplicationProfile:
    """One payment application of a card."""

    aid: bytes
    label: str
    pan: str
    priority: int


@dataclass(frozen=True, slots=True)
class Profile:
    """One card of the cast. `expiry` is YYMM. `t0` says which transmission protocol its answer to reset offers."""

    name: str
    title: str
    authentication: str
    pan_sequence: int
    expiry: str
    language: str
    application_blocked: bool
    pin_tries_left: int
    country: str
    t0: bool
    applications: tuple[ApplicationProfile, ...]


def _profile(card: dict[str, Any], country: str) -> Profile:
    if card["authentication"] not in AUTHENTICATIONS:
        raise ValueError(f'authentication "{card["authentication"]}" is none of {", ".join(AUTHENTICATIONS)}')
    applications = tuple(
        ApplicationProfile(bytes.fromhex(one["aid"]), one["label"], one["pan"], one["priority"]) for one in card["applications"]
    )
    return Profile(
        name=card["name"],
        title=card["title"],
        authentication=card["authentication"],
        pan_sequence=card["pan_sequence"],
        expiry=card["expiry"],
        language=card["language"],
        application_blocked=card.get("application_blocked", False),
        pin_tries_left=card.get("pin_tries_left", 3),
        country=country,
        t0=card.get("protocol", "T=1" if card["authentication"] == "DDA" else "T=0") == "T=0",
        applications=applications,
    )


def load_profiles(path: Path | None = None) -> dict[str, Profile]:
    """By name. ValueError names the card and what it lacks. A DDA card speaks T=1, others T=0, unless `protocol` says otherwise."""
    path = path or Path(__file__).parent.parent / "cast.toml"
    found = tomllib.loads(path.read_text(encoding="utf-8"))
    profiles: dict[str, Profile] = {}
    for card in found.get("card", []):
        name = card.get("name", "?")
        try:
            profiles[name] = _profile(card, found["country"])
        except KeyError as error:
            raise ValueError(f'{path}: card "{name}" has no {error}') from error
        except ValueError as error:
            raise ValueError(f'{path}: card "{name}": {error}') from error
    return profiles
