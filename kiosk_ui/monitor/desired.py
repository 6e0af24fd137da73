"""The configuration that the centre desires for a terminal (`ConfigurationDesired`): versioned, signed, retained by the broker.

A version replaces the one before as a whole; what it does not name is as the terminal's own file has it. The terminal checks it as it
checks its file and reports what became of it. Numbers with a fraction are decimal text ("0.44"): what is signed holds no floats.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from kiosk_ui.monitor.audit import Who, record
from kiosk_ui.monitor.commands import CommandError
from kiosk_ui.monitor.contract import utc_text
from kiosk_ui.monitor.people import may
from kiosk_ui.monitor.prose import prose
from kiosk_ui.monitor.schema import DESIRED, TERMINAL
from kiosk_ui.monitor.signing import DESIRED as DESIRED_PREFIX
from kiosk_ui.monitor.signing import Signer

_FOR_CUSTOMERS = ("input_s", "still_there_s", "take_card_s", "take_cash_s", "message_s", "face_s", "enrol_s", "consent_s")
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "terminal": ("language", "languages", "mode"),
    "cash": ("presets_minor", "limit_minor", "low_threshold"),
    "face": ("from_minor", "accept", "ask_again", "high_security_accept", "high_security_from_minor"),
    "timeouts": (*_FOR_CUSTOMERS, "card_s", "pin_pad_s", "authorise_s", "dispense_s", "resolve_s", "print_s"),
    "fleet": ("telemetry_s", "state_every_s", "device_offline_s", "host_unreachable_s", "out_of_service_s"),
}
TEXT = re.compile(r"[A-Za-z0-9.-]{1,16}")


def desire(connection: Connection, terminal: str, configuration: object, reason: str, who: Who, signer: Signer, now: int) -> int:
    """The new version, stored and signed; CommandError says what is wrong."""
    if not may(who.role, "supervisor"):
        raise CommandError("notAllowed", "only supervisors change configurations")
    if prose(reason, 3, 200) is None:
        raise CommandError("reasonMissing", "a reason of 3 to 200 characters is needed")
    row = connection.execute(select(TERMINAL).where(TERMINAL.c.terminal == terminal).with_for_update()).first()
    if row is None:
        raise CommandError("unknownTerminal", "there is no such terminal")
    wanted = checked(configuration)
    version = _next_version(connection, terminal, json.loads(row.picture))
    said = {"terminal": terminal, "version": version, "configuration": wanted, "issuedAt": utc_text(now), "issuedBy": who.name}
    values = {"terminal": terminal, "version": version, "branch": row.branch, "configuration": json.dumps(wanted), "reason": reason.strip()}
    signed = json.dumps(signer.sign(DESIRED_PREFIX, said))
    connection.execute(insert(DESIRED).values(**values, issued_by=who.name, issued_at=now, signed=signed))
    record(connection, who, "configuration.desire", terminal, {"version": version, "configuration": wanted, "reason": reason.strip()}, now)
    return version


def checked(configuration: object) -> dict[str, dict[str, Any]]:
    """Only tables and names that may be set from afar; whether a value is good is the terminal's to say."""
    if not isinstance(configuration, dict):
        raise CommandError("badConfiguration", "the configuration is a table of tables")
    for section, values in configuration.items():
        if section not in SETTINGS or not isinstance(values, dict):
            raise CommandError("badConfiguration", f"the tables are {', '.join(SETTINGS)}")
        for name, value in values.items():
            if name not in SETTINGS[section]:
                raise CommandError("badConfiguration", f"in {section} there are {', '.join(SETTINGS[section])}")
            if not _is_value(value):
                raise CommandError("badConfiguration", f"{section}.{name} is a whole number, decimal text, or a list of them")
    return configuration


def _is_value(value: object) -> bool:
    if isinstance(value, list):
        return 1 <= len(value) <= 16 and all(_is_value(one) and not isinstance(one, list) for one in value)
    if isinstance(value, str):
        return TEXT.fullmatch(value) is not None
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _next_version(connection: Connection, terminal: str, picture: dict[str, Any]) -> int:
    """Above all that was ever desired here, and above what the terminal says it has."""
    stored = connection.execute(select(func.max(DESIRED.c.version)).where(DESIRED.c.terminal == terminal)).scalar() or 0
    reported = picture.get("reported", {})
    known = [reported.get("version"), reported.get("active"), picture.get("state", {}).get("agent", {}).get("configurationVersion")]
    return 1 + max([stored, *(one for one in known if isinstance(one, int) and 0 <= one < 2**52)])


def newest(connection: Connection, terminal: str) -> dict[str, Any] | None:
    columns = (
        DESIRED.c.version,
        DESIRED.c.configuration,
        DESIRED.c.reason,
        DESIRED.c.issued_by,
        DESIRED.c.issued_at,
        DESIRED.c.published_at,
    )
    row = connection.execute(select(*columns).where(DESIRED.c.terminal == terminal).order_by(DESIRED.c.version.desc()).limit(1)).first()
    return {**row._mapping, "configuration": json.loads(row.configuration)} if row else None


def unpublished(connection: Connection, most: int) -> list[Any]:
    """The newest version of each terminal whose newest has not reached the broker."""
    last = select(DESIRED.c.terminal, func.max(DESIRED.c.version).label("version")).group_by(DESIRED.c.terminal).subquery()
    wanted = select(DESIRED).join(last, (last.c.terminal == DESIRED.c.terminal) & (last.c.version == DESIRED.c.version))
    return list(connection.execute(wanted.where(DESIRED.c.published_at.is_(None)).limit(most)))


def published(connection: Connection, terminal: str, version: int, now: int) -> None:
    connection.execute(update(DESIRED).where(DESIRED.c.terminal == terminal, DESIRED.c.version == version).values(published_at=now))
