"""branch-terminal: the device agent of one terminal, and its journal.

branch-terminal --config terminal.toml            serve until Ctrl-C
branch-terminal journal verify|show --config FILE check or read the electronic journal
branch-terminal provision ... --config FILE       keys, certificate, sealing (docs/security.md)
branch-terminal face pad record|report --config FILE measure presentation attacks with this camera
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import signal
import sys
from pathlib import Path

from drivers.errors import DeviceError
from terminal.config import Config, ConfigError, load
from terminal.fleet.desired_file import Start
from terminal.fleet.desired_file import start as desired_start

AGAIN = 1


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    try:
        config = load(arguments.config)
        if arguments.command == "journal":
            return _journal(config, arguments)
        if arguments.command == "cash":
            return _cash(config, arguments)
        if arguments.command == "provision":
            return _provision(config, arguments)
        if arguments.command == "face":
            return _face(config, arguments)
        started = desired_start(arguments.config)
        return serve(started.config, arguments, started)
    except ConfigError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return 130


def _refuse(sentence: str) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"branch-terminal: {sentence}\n")
    return 2


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=argparse.SUPPRESS, help="the terminal's TOML file")
    parser = argparse.ArgumentParser(prog="branch-terminal", description="The device agent of one terminal.", parents=[common])
    parser.add_argument("--trace", type=Path, help="write names and times of events, commands and views to this file")
    commands = parser.add_subparsers(dest="command", metavar="journal|cash|provision|face")
    journal = commands.add_parser("journal", help="verify or show the electronic journal", parents=[common])
    what = journal.add_subparsers(dest="what", required=True)
    verify = what.add_parser("verify", help="check the hash chain", parents=[common])
    show = what.add_parser("show", help="print the entries", parents=[common])
    for one in (verify, show):
        one.add_argument("--json", action="store_true", help="JSON instead of sentences")
    show.add_argument("--transaction", help="only this transaction")
    show.add_argument("--kind", action="append", help="only entries of this kind (may be repeated)")
    _cash_arguments(commands.add_parser("cash", help="show the counters, reconcile a doubtful payout", parents=[common]), common)
    _provision_arguments(commands.add_parser("provision", help="keys, certificate, sealing of data at rest", parents=[common]), common)
    _face_arguments(commands.add_parser("face", help="record and report presentation attacks", parents=[common]), common)
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


def _face_arguments(face: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    pad = face.add_subparsers(dest="what", required=True).add_parser("pad", help="presentation attack detection", parents=[common])
    what = pad.add_subparsers(dest="pad", required=True)
    record = what.add_parser("record", help="record consenting people and attack instruments with this camera", parents=[common])
    record.add_argument("--species", required=True, help='"live", or the name of an attack instrument: print-a4, tablet, ...')
    record.add_argument("--subject", required=True, help="whose face it is (a code, not a name)")
    record.add_argument("--consent", required=True, help="the reference of the person's signed consent")
    record.add_argument("--times", type=int, default=1, help="how many presentations")
    report = what.add_parser("report", help="APCER, IAPAR and BPCER of the recordings, with exact intervals", parents=[common])
    report.add_argument("--picture", type=Path, help="write the report as SVG there")
    for one in (record, report):
        one.add_argument("--folder", type=Path, required=True, help="the folder of the recordings")


def _face(config: Config, arguments: argparse.Namespace) -> int:
    from terminal import face_cli

    try:
        if arguments.pad == "report":
            return face_cli.pad_report(config, arguments.folder, arguments.picture)
        one = arguments
        return face_cli.pad_record(config, one.folder, one.species, one.subject, one.consent, one.times)
    except (DeviceError, OSError) as error:
        return _refuse(str(error))


def _cash(config: Config, arguments: argparse.Namespace) -> int:
    from terminal import cash_cli
    from terminal.adapters.keys import KeyFileError
    from terminal.adapters.keystore import KeystoreError, LockRefused
    from terminal.adapters.store_file import StoreFailed

    try:
        if arguments.what == "show":
            return cash_cli.show(config)
        if arguments.what == "release":
            return cash_cli.release_dispenser(config, arguments.by)
        if arguments.what == "exchange":
            return cash_cli.exchange_unit(config, arguments.unit, arguments.count, arguments.by)
        return cash_cli.settle_doubt(config, arguments.transaction, arguments.presented_minor, arguments.by)
    except (KeyFileError, KeystoreError, LockRefused, StoreFailed, ValueError) as error:
        return _refuse(str(error))


def _provision_arguments(provision: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    what = provision.add_subparsers(dest="what", required=True)
    what.add_parser("init", help="make the keystore; keys that the configuration names as files are taken into it", parents=[common])
    request = what.add_parser(
        "request", help="make a key; print the request for its certificate (the same again while it waits)", parents=[common]
    )
    request.add_argument("--out", type=Path, help="write the request to this file")
    request.add_argument("--anew", action="store_true", help="throw away the request that waits, and its key")
    request.add_argument("--within-days", type=int, help="only when the certificate ends within so many days")
    install = what.add_parser("install", help="check and install the chain that the authority sent back", parents=[common])
    install.add_argument("chain", type=Path, help="PEM, the terminal's own certificate first")
    status = what.add_parser("status", help="certificates, days left, key generations", parents=[common])
    status.add_argument("--json", action="store_true", help="JSON instead of sentences")
    what.add_parser("data-key", help="a new key generation for data at rest, used from the next start", parents=[common])
    reseal = what.add_parser("reseal", help="seal old rows under the newest key (the agent must not be running)", parents=[common])
    reseal.add_argument("--retire", action="store_true", help="remove the old keys afterwards")
    relock = what.add_parser("relock", help="another passphrase opens the keystore", parents=[common])
    relock.add_argument("--new-passphrase", required=True, help="a file with mode 600, or fd:NUMBER")


def _provision(config: Config, arguments: argparse.Namespace) -> int:
    from terminal import provision_cli
    from terminal.adapters.keys import KeyFileError
    from terminal.adapters.keystore import KeystoreError, LockRefused
    from terminal.adapters.store_file import StoreFailed

    try:
        return provision_cli.run(config, arguments)
    except (KeyFileError, KeystoreError, LockRefused, StoreFailed, ValueError, OSError) as error:
        return _refuse(str(error))


def _journal(config: Config, arguments: argparse.Namespace) -> int:
    """Whoever may not open the keystore sees what is not sealed, and is told what is missing."""
    from terminal.adapters import journal_cli
    from terminal.adapters.keys import KeyFileError
    from terminal.adapters.keystore import KeystoreError, LockRefused
    from terminal.compose import Keys, keys_of

    keys = Keys()
    try:
        keys = keys_of(config)
    except (KeystoreError, LockRefused) as error:
        sys.stderr.write(f"branch-terminal: sealed entries stay closed, and the head's seal unchecked: {error}\n")
    except KeyFileError as error:
        return _refuse(str(error))
    store = config.terminal.store
    if arguments.what == "verify":
        return journal_cli.verify(store, as_json=arguments.json, head_key=keys.head, data_keys=keys.data)
    return journal_cli.show(store, as_json=arguments.json, kinds=arguments.kind, transaction_id=arguments.transaction, data_keys=keys.data)


def serve(config: Config, arguments: argparse.Namespace, start: Start | None = None) -> int:
    """Run until SIGTERM or Ctrl-C, and then until nobody is being served (a second signal ends at once).

    Exit codes: 0 ended as asked; 1 start it again (a disk or link that only a new process can try anew); 2 a person is needed;
    75 start it again: the operations centre ordered it, or a configuration from afar.
    """
    from drivers.transports.base import MonotonicClock
    from terminal.adapters.keys import KeyFileError
    from terminal.adapters.keystore import KeystoreError, LockRefused
    from terminal.adapters.link_tls import LinkConfigError
    from terminal.adapters.notify import ServiceManager
    from terminal.adapters.store_file import StoreCorrupt, StoreFailed, StoreMismatch
    from terminal.compose import compose

    manager = ServiceManager(MonotonicClock())
    try:
        terminal = compose(
            config, trace=arguments.trace, page_ready=lambda port: _say(f"kiosk page  http://127.0.0.1:{port}/"), start=start
        )
    except (StoreCorrupt, StoreMismatch) as error:
        return _refuse(str(error))
    except StoreFailed as error:
        _refuse(str(error))
        return AGAIN
    except (KeyFileError, KeystoreError, LockRefused, DeviceError, LinkConfigError, OSError) as error:
        return _refuse(str(error))
    asked = itertools.count()

    def on_signal(*_: object) -> None:
        manager.say("STOPPING=1\nSTATUS=serving the last customer")
        terminal.agent.stop(at_once=next(asked) > 0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    reader = "PC/SC" if config.card.reader == "pcsc" else "the vpcd wire, played by this program (no pcscd)"
    _say(f"terminal    {config.terminal.id} in branch {config.terminal.branch}; card reader: {reader}")
    sealer = terminal.store.sealer
    _say(f"data at rest {f'sealed, key generation {sealer.generation}' if sealer else 'NOT sealed: there is no [keystore] section'}")
    manager.say("READY=1\nSTATUS=serving")
    try:
        terminal.agent.run(manager.pulse)
    finally:
        terminal.close()
    return terminal.agent.exit_code


def _say(sentence: str) -> None:
    """Standard output may be closed by whoever started us: that ends nothing."""
    with contextlib.suppress(OSError):
        print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
