"""branch-terminal: the device agent of one terminal, and its journal.

branch-terminal --config terminal.toml            serve until Ctrl-C
branch-terminal journal verify|show --config FILE check or read the electronic journal
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from drivers.errors import DeviceError
from terminal.config import Config, ConfigError, load
from terminal.fleet.desired_file import Start
from terminal.fleet.desired_file import start as desired_start


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        config = load(arguments.config)
        if arguments.command == "journal":
            return _journal(config, arguments)
        if arguments.command == "cash":
            return _cash(config, arguments)
        started = desired_start(arguments.config)
        return serve(started.config, arguments, started)
    except ConfigError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 130


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"branch-terminal: {sentence}\n")
    return 2


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="the terminal's TOML file")
    parser = argparse.ArgumentParser(prog="branch-terminal", description="The device agent of one terminal.", parents=[common])
    parser.add_argument("--trace", type=Path, help="write names and times of events, commands and views to this file")
    commands = parser.add_subparsers(dest="command", metavar="journal|cash")
    journal = commands.add_parser("journal", help="verify or show the electronic journal", parents=[common])
    what = journal.add_subparsers(dest="what", required=True)
    verify = what.add_parser("verify", help="check the hash chain", parents=[common])
    show = what.add_parser("show", help="print the entries", parents=[common])
    for one in (verify, show):
        one.add_argument("--json", action="store_true", help="JSON instead of sentences")
    show.add_argument("--transaction", help="only this transaction")
    show.add_argument("--kind", action="append", help="only entries of this kind (may be repeated)")
    _cash_arguments(commands.add_parser("cash", help="show the counters, reconcile a doubtful payout", parents=[common]), common)
    arguments = parser.parse_args(argv)
    if not hasattr(arguments, "config"):
        parser.error("--config FILE is needed")
    return arguments


def _cash_arguments(cash: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    what = cash.add_subparsers(dest="what", required=True)
    what.add_parser("show", help="units and latch, as JSON", parents=[common])
    reconcile = what.add_parser("reconcile", help="open a latched cash-out after counting", parents=[common])
    reconcile.add_argument("--transaction", required=True, help="the reference of the doubtful transaction")
    reconcile.add_argument("--presented-minor", type=int, required=True, help="what the customer really got, in minor units")
    release = what.add_parser("release", help="the dispenser's path was cleared: it may pay again", parents=[common])
    exchange = what.add_parser("exchange", help="a cassette was replaced", parents=[common])
    exchange.add_argument("--unit", required=True, help="1, 2, 3 or 4")
    exchange.add_argument("--count", type=int, required=True, help="counted notes in the new cassette")
    for one in (reconcile, release, exchange):
        one.add_argument("--by", required=True, help="who did it")


def _cash(config: Config, arguments: argparse.Namespace) -> int:
    from terminal import cash_cli
    from terminal.adapters.keys import KeyFileError
    from terminal.adapters.store_file import StoreFailed

    try:
        if arguments.what == "show":
            return cash_cli.show(config)
        if arguments.what == "release":
            return cash_cli.release_dispenser(config, arguments.by)
        if arguments.what == "exchange":
            return cash_cli.exchange_unit(config, arguments.unit, arguments.count, arguments.by)
        return cash_cli.settle_doubt(config, arguments.transaction, arguments.presented_minor, arguments.by)
    except (KeyFileError, StoreFailed, ValueError) as error:
        return _refuse(str(error))


def _journal(config: Config, arguments: argparse.Namespace) -> int:
    from terminal.adapters import journal_cli

    if arguments.what == "verify":
        return journal_cli.verify(config.terminal.store, as_json=arguments.json, head_key_file=config.terminal.head_key)
    return journal_cli.show(config.terminal.store, as_json=arguments.json, kinds=arguments.kind, transaction_id=arguments.transaction)


def serve(config: Config, arguments: argparse.Namespace, start: Start | None = None) -> int:
    """Run until SIGTERM or Ctrl-C; 75 when the centre ordered a restart."""
    from terminal.adapters.keys import KeyFileError
    from terminal.adapters.link_config import LinkConfigError
    from terminal.adapters.store_file import StoreFailed
    from terminal.compose import compose

    def page_ready(port: int) -> None:
        print(f"kiosk page  http://127.0.0.1:{port}/", flush=True)

    try:
        terminal = compose(config, trace=arguments.trace, page_ready=page_ready, start=start)
    except (KeyFileError, StoreFailed, DeviceError, LinkConfigError, OSError) as error:
        return _refuse(str(error))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: terminal.agent.stop())
    reader = "PC/SC" if config.card.reader == "pcsc" else "the vpcd wire, played by this program (no pcscd)"
    print(f"terminal    {config.terminal.id} in branch {config.terminal.branch}; card reader: {reader}", flush=True)
    try:
        terminal.agent.run()
    finally:
        terminal.close()
    return terminal.agent.exit_code


if __name__ == "__main__":
    sys.exit(main())
