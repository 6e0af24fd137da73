"""Who may sign in: names, roles, password hashes (scrypt, RFC 7914) and sessions.

A session's token is in the browser's cookie alone; the table has its hash. Roles, each with what is before it: viewer sees, operator
works with alarms and sends commands, supervisor approves and accepts losses.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from kiosk_ui.monitor.audit import Who
from kiosk_ui.monitor.schema import PERSON, SESSION

ROLES = ("viewer", "operator", "supervisor")
NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
MIN_PASSWORD, MAX_PASSWORD = 10, 256
COST, BLOCK, LANES = 2**15, 8, 1
MEMORY = 64 * 1024 * 1024
TOUCH_MS = 30_000


class PeopleError(ValueError):
    """A sentence."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    who: Who
    csrf: str
    token_hash: str


def may(role: str, needed: str) -> bool:
    return role in ROLES and ROLES.index(role) >= ROLES.index(needed)


def hash_password(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"scrypt${COST}${BLOCK}${LANES}${salt.hex()}${_scrypt(password, salt, COST, BLOCK, LANES).hex()}"


def verify_password(password: str, stored: str) -> bool:
    _, cost, block, lanes, salt, known = stored.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, bytes.fromhex(known))


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    secret = password[:MAX_PASSWORD].encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=MEMORY, dklen=32)


NOBODY = hash_password(secrets.token_hex(16))  # an unknown name takes as long to refuse as a known one


def add_person(connection: Connection, name: str, role: str, password: str, now: int) -> None:
    if not NAME.fullmatch(name):
        raise PeopleError("a name has 1 to 32 lower-case letters, digits, dots and hyphens, and begins with a letter")
    if role not in ROLES:
        raise PeopleError(f"a role is one of {', '.join(ROLES)}")
    check_password(name, password)
    if connection.execute(select(PERSON.c.name).where(PERSON.c.name == name)).first():
        raise PeopleError(f"there is a person named {name} already")
    values = {"name": name, "role": role, "password": hash_password(password), "closed": False, "created_at": now}
    connection.execute(insert(PERSON).values(values))


def check_password(name: str, password: str) -> None:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise PeopleError(f"a password has {MIN_PASSWORD} to {MAX_PASSWORD} characters")
    if name in password.lower() or len(set(password)) < 5:
        raise PeopleError("this password is too easy to guess")


def change_person(
    connection: Connection, name: str, *, role: str | None = None, password: str | None = None, closed: bool | None = None
) -> None:
    """Ends the person's sessions."""
    values: dict[str, object] = {}
    if role is not None:
        if role not in ROLES:
            raise PeopleError(f"a role is one of {', '.join(ROLES)}")
        values["role"] = role
    if password is not None:
        check_password(name, password)
        values["password"] = hash_password(password)
    if closed is not None:
        values["closed"] = closed
    if connection.execute(update(PERSON).where(PERSON.c.name == name).values(values)).rowcount != 1:
        raise PeopleError(f"there is no person named {name}")
    connection.execute(delete(SESSION).where(SESSION.c.name == name))


def password_of(connection: Connection, name: str) -> tuple[str, str]:
    """Role and password hash; those of nobody when there is no such person, or no more."""
    row = connection.execute(select(PERSON).where(PERSON.c.name == name)).first()
    return (row.role, row.password) if row is not None and not row.closed else ("", NOBODY)


def open_session(connection: Connection, name: str, now: int) -> tuple[str, str]:
    """Token and CSRF token of a new session."""
    token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    connection.execute(insert(SESSION).values(token_hash=token_hash(token), name=name, csrf=csrf, created_at=now, used_at=now))
    return token, csrf


def find_session(connection: Connection, token: str, now: int, *, idle_ms: int, whole_ms: int) -> tuple[SignedIn, bool] | None:
    """Who it is, and whether `touch_session` is due; None when the session is over or never was."""
    wanted = select(SESSION, PERSON.c.role).join(PERSON, PERSON.c.name == SESSION.c.name)
    row = connection.execute(wanted.where(SESSION.c.token_hash == token_hash(token), PERSON.c.closed.is_(False))).first()
    if row is None or now - row.used_at > idle_ms or now - row.created_at > whole_ms:
        return None
    return SignedIn(Who(row.name, row.role), row.csrf, row.token_hash), now - row.used_at > TOUCH_MS


def touch_session(connection: Connection, hashed: str, now: int) -> None:
    connection.execute(update(SESSION).where(SESSION.c.token_hash == hashed).values(used_at=now))


def close_session(connection: Connection, hashed: str) -> None:
    connection.execute(delete(SESSION).where(SESSION.c.token_hash == hashed))


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
