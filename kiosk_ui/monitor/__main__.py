"""`branch-monitor`: the operations centre's monitor.

branch-monitor --config FILE                        serve (also: branch-monitor serve --config FILE)
branch-monitor user add NAME --role ROLE            the password comes from standard input, or is asked for
branch-monitor user password|role|close NAME
branch-monitor key new FILE                         a signing key; prints what the terminals need of it
branch-monitor audit verify                         is the chain of recorded actions whole?

Ends with 0 as asked, with 1 when a later start may succeed (the database or the port is not there yet, a part of it died; a broken
audit chain, too), with 2 when a person is needed (arguments, configuration, tables of another version): deploy/systemd starts it
again after 1 and not after 2.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from dataclasses import replace
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from kiosk_ui.monitor import audit, people
from kiosk_ui.monitor.config import MAX_WORKERS, Config, ConfigError, load_config
from kiosk_ui.monitor.database import Database, DatabaseAway, DatabaseError, first_line
from kiosk_ui.monitor.log import now_ms, say
from kiosk_ui.monitor.schema import PERSON
from kiosk_ui.monitor.signing import new_key

DEFAULT_CONFIG = Path("monitor.toml")
AGAIN, A_PERSON_IS_NEEDED = 1, 2


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"1 to {MAX_WORKERS} workers are possible")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="the TOML file (default: monitor.toml)")
    parser = argparse.ArgumentParser(prog="branch-monitor", description="Central monitoring of terminals.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", parents=[common], help="ingest, pages and API (what happens without a verb)")
    serve.add_argument("--stdin-eof", action="store_true", help="end when standard input closes")
    serve.add_argument("--workers", type=_workers, help="ingest processes, instead of the configuration's")
    user = verbs.add_parser("user", help="people who may sign in").add_subparsers(dest="what", required=True)
    for what in ("add", "password", "role", "close", "list"):
        one = user.add_parser(what, parents=[common])
        if what != "list":
            one.add_argument("name")
        if what in ("add", "role"):
            one.add_argument("--role", required=True, choices=people.ROLES)
    key = verbs.add_parser("key", help="the centre's signing key").add_subparsers(dest="what", required=True)
    key.add_parser("new").add_argument("file", type=Path)
    verify = verbs.add_parser("audit", help="the recorded actions").add_subparsers(dest="what", required=True)
    verify.add_parser("verify", parents=[common])
    return parser


def _password(name: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    password = getpass.getpass(f"password of {name}: ")
    if getpass.getpass("once more: ") != password:
        raise people.PeopleError("the two are not the same")
    return password


def _user(arguments: argparse.Namespace, database: Database) -> int:
    if arguments.what == "list":
        with database.read() as connection:
            for row in connection.execute(PERSON.select().order_by(PERSON.c.name)):
                sys.stdout.write(f"{row.name}\t{row.role}{chr(9) + 'closed' if row.closed else ''}\n")
        return 0
    password = _password(arguments.name) if arguments.what in ("add", "password") else ""
    operator = audit.Who(f"{os.environ.get('USER') or 'root'}@console", "system")
    with database.write() as connection:
        if arguments.what == "add":
            people.add_person(connection, arguments.name, arguments.role, password, now_ms())
        elif arguments.what == "password":
            people.change_person(connection, arguments.name, password=password)
        elif arguments.what == "role":
            people.change_person(connection, arguments.name, role=arguments.role)
        else:
            people.change_person(connection, arguments.name, closed=True)
        detail = {"role": arguments.role} if hasattr(arguments, "role") else {}
        audit.record(connection, operator, f"person.{arguments.what}", arguments.name, detail, now_ms())
    return 0


def _audit(database: Database) -> int:
    with database.read() as connection:
        broken = audit.first_broken(connection)
    sys.stdout.write("the chain is whole\n" if broken is None else f"the chain is broken at line {broken}\n")
    return 0 if broken is None else 1


def _key(path: Path) -> int:
    signer = new_key(path)
    sys.stdout.write(f"key id      {signer.key_id}\npublic key  {signer.public_hex}\n")
    return 0


def _serve(arguments: argparse.Namespace, config: Config, database: Database) -> int:
    from kiosk_ui.monitor.server import run  # the web server's libraries are of no use to the other verbs

    if arguments.workers:
        config = replace(config, ingest=replace(config.ingest, workers=arguments.workers))
    return run(arguments.config, config, database, stdin_eof=arguments.stdin_eof)


def main(argv: list[str] | None = None) -> int:
    given = list(sys.argv[1:] if argv is None else argv)
    if given and given[0].startswith("--") and given[0] not in ("--help", "--version"):
        given.insert(0, "serve")
    arguments = _parser().parse_args(given)
    try:
        if arguments.verb == "key":
            return _key(arguments.file)
        config = load_config(arguments.config)
        database = Database(config.database, arguments.config.resolve().parent)
        if arguments.verb == "serve":
            return _serve(arguments, config, database)
        database.prepare()
        return _user(arguments, database) if arguments.verb == "user" else _audit(database)
    except DatabaseAway as error:
        say(str(error))
        return AGAIN
    except (ConfigError, DatabaseError, people.PeopleError, OSError) as error:
        say(str(error))
        return A_PERSON_IS_NEEDED
    except SQLAlchemyError as error:  # it answered at first
        say(f"the database: {first_line(error)}")
        return AGAIN


if __name__ == "__main__":
    sys.exit(main())
