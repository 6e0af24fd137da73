"""``branch-terminal provision``: keys and certificate of a terminal, from the first key to the last rotation (docs/security.md).

Private keys are made here and stay in the keystore; out goes a request (PKCS #10), in comes a chain (PEM). Every step can be taken
while the agent serves, but for `reseal`: the store has one owner. Exit codes: 0 done, 1 `status` found something to do, 2 refused.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from terminal.adapters import certificates
from terminal.adapters.clock import iso_ms, utc_now
from terminal.adapters.journal_cli import open_read_only
from terminal.adapters.keys import read_key, read_private_key
from terminal.adapters.keystore import Contents, Identity, Keystore, new_key, replace_file
from terminal.adapters.keystore_locks import PassphraseLock, read_passphrase
from terminal.adapters.resealing import generations
from terminal.compose import keystore_of, open_store
from terminal.config import Config, ConfigError

SOON_DAYS = 30
ATTENTION = 1


def run(config: Config, arguments: argparse.Namespace) -> int:
    """ConfigError, KeystoreError, LockRefused, StoreFailed, ValueError, OSError with a sentence."""
    keystore = keystore_of(config)
    if keystore is None:
        raise ConfigError("there is no [keystore] section; provisioning needs one")
    match arguments.what:
        case "init":
            return init(config, keystore, utc_now())
        case "request":
            return request(config, keystore, utc_now(), arguments.out, arguments.anew, arguments.within_days)
        case "install":
            return install(config, keystore, arguments.chain, utc_now())
        case "data-key":
            return add_data_key(keystore)
        case "reseal":
            return reseal(config, keystore, arguments.retire)
        case "relock":
            return relock(config, keystore, arguments.new_passphrase)
        case _:
            return status(config, keystore, utc_now(), arguments.json)


def init(config: Config, keystore: Keystore, now: datetime) -> int:
    """Keys that the configuration names as files are copied in; a store that is there keeps its head as it is (sealed or not)."""
    bank, terminal = config.bank, config.terminal
    head = read_key(terminal.head_key, 32) if terminal.head_key else None
    if head is None and not terminal.store.exists():
        head = new_key()
    identities: tuple[Identity, ...] = ()
    if bank.certificate is not None and bank.private_key is not None:
        identities = (_from_files(config, now),)
    keystore.create(Contents(terminal.id, identities, head, 1, {1: new_key()}))
    _say(f"{keystore.path}: made, with data key generation 1")
    if terminal.head_key or identities:
        names = [
            name for name, there in (("terminal.head_key", terminal.head_key), ("bank.certificate, bank.private_key", identities)) if there
        ]
        _say(f"it holds what these settings name; remove them, and then the files: {'; '.join(names)}")
    return 0


def _from_files(config: Config, now: datetime) -> Identity:
    bank = config.bank
    if bank.ca is None or bank.certificate is None or bank.private_key is None:
        raise ConfigError("bank.ca, bank.certificate and bank.private_key go together")
    identity = certificates.made_elsewhere(read_private_key(bank.private_key), now)
    known = Contents(config.terminal.id, (identity,))
    installed = certificates.install(known, bank.certificate.read_bytes(), bank.ca, now).identities[0]
    return dataclasses.replace(installed, state="active")


def request(config: Config, keystore: Keystore, now: datetime, out: Path | None, anew: bool, within_days: int | None) -> int:
    """The key stays; the request goes to standard output or `out`. Asked again it is the same one, until its certificate is installed."""
    contents = keystore.read()
    left = certificates.days_left(contents, now)
    if within_days is not None and left is not None and left >= within_days:
        _say(f"the certificate is good for {left} days: nothing to request")
        return 0
    waiting = contents.in_state("requested")
    if anew or not waiting:
        fresh = certificates.request(config.terminal.id, now)

        def add(known: Contents) -> Contents:
            kept = tuple(one for one in known.identities if one.state != "requested")
            return dataclasses.replace(known, identities=(*kept, fresh))

        waiting = keystore.change(add).in_state("requested")
    if out is None:
        sys.stdout.write(waiting[0].csr)
    else:
        replace_file(out, waiting[0].csr.encode())
        _say(f"{out}: the request for key {waiting[0].name}")
    return 0


def install(config: Config, keystore: Keystore, chain: Path, now: datetime) -> int:
    ca = config.bank.ca
    if ca is None:
        raise ConfigError("bank.ca is needed: the chain is checked against it")
    text = chain.read_bytes()
    try:
        contents = keystore.change(lambda known: certificates.install(known, text, ca, now))
    except certificates.CertificateRefused as error:
        raise certificates.CertificateRefused(f"{chain}: {error}") from None
    _say(
        f"installed, good for {certificates.days_left(contents, now)} days; the link takes it at its next connection (seconds, when quiet)"
    )
    return 0


def status(config: Config, keystore: Keystore, now: datetime, as_json: bool) -> int:
    contents = keystore.read()
    left = certificates.days_left(contents, now)
    certificate = [_about(one, now) for one in contents.identities]
    rows = _rows(config)
    attention = _attention(contents, left, rows)
    report: dict[str, Any] = {
        "terminal": contents.terminal_id,
        "certificateDaysLeft": left,
        "identities": certificate,
        "dataKey": contents.data_key,
        "dataKeys": sorted(contents.data_keys),
        "headKey": contents.head_key is not None,
        "rows": rows,
        "attention": attention,
    }
    if as_json:
        _say(json.dumps(report))
    else:
        _say(f"terminal     {contents.terminal_id}")
        for one in certificate:
            until = "no certificate yet" if one["expires"] is None else f"until {one['expires']}, {one['daysLeft']} days left"
            _say(f"certificate  {one['name']}  {one['state']:<10} {until}")
        _say(f"data key     generation {contents.data_key} seals; there are {', '.join(map(str, sorted(contents.data_keys)))}")
        for table, found in rows.items():
            _say(
                f"{table:<12} {', '.join(f'{number} rows {_named(int(generation))}' for generation, number in found.items()) or 'no rows'}"
            )
        for sentence in attention:
            _say(f"to do        {sentence}")
    return ATTENTION if attention else 0


def add_data_key(keystore: Keystore) -> int:
    def add(known: Contents) -> Contents:
        generation = max(known.data_keys, default=0) + 1
        return dataclasses.replace(known, data_key=generation, data_keys={**known.data_keys, generation: new_key()})

    contents = keystore.change(add)
    _say(f"data key generation {contents.data_key} seals from the next start of the agent; older rows stay readable")
    return 0


def reseal(config: Config, keystore: Keystore, retire: bool) -> int:
    """`retire` removes the keys that no row needs any more: copies of the store made before cannot be read then."""
    store = open_store(config)
    try:
        done = store.reseal()
    finally:
        store.close()
    _say(f"sealed anew: {done.entries} journal entries, {done.messages} messages")
    for sentence in done.refused:
        sys.stderr.write(f"branch-terminal: left as it is: {sentence}\n")
    if retire and not done.refused:
        contents = keystore.change(lambda known: dataclasses.replace(known, data_keys={known.data_key: known.data_keys[known.data_key]}))
        _say(f"only data key generation {contents.data_key} is left")
    return ATTENTION if done.refused else 0


def relock(config: Config, keystore: Keystore, source: str) -> int:
    if config.keystore is not None and config.keystore.pkcs11_module is not None:
        raise ConfigError("a token opens this keystore; its PIN is changed with the token's own program")
    keystore.relock(PassphraseLock(read_passphrase(source if source.startswith("fd:") else Path(source))))
    _say("the new passphrase opens the keystore from now on; a running agent needs a restart before it can read it again")
    return 0


def _rows(config: Config) -> dict[str, dict[str, int]]:
    """Rows per generation, as text (JSON), of a store that is there."""
    if not config.terminal.store.exists():
        return {}
    with closing(open_read_only(config.terminal.store)) as database:
        journal, outbox = generations(database)
    return {"journal": {str(k): v for k, v in sorted(journal.items())}, "outbox": {str(k): v for k, v in sorted(outbox.items())}}


def _attention(contents: Contents, left: int | None, rows: dict[str, dict[str, int]]) -> list[str]:
    sentences = []
    if left is None:
        sentences.append("there is no certificate: provision request, then provision install")
    elif left < SOON_DAYS:
        sentences.append(f"the certificate has {left} days left: provision request, then provision install")
    old = sum(number for found in rows.values() for generation, number in found.items() if int(generation) not in (0, contents.data_key))
    if old:
        sentences.append(f"{old} rows are sealed with older data keys: provision reseal")
    return sentences


def _about(one: Identity, now: datetime) -> dict[str, Any]:
    ends = certificates.expires(one) if one.chain else None
    return {
        "name": one.name,
        "state": one.state,
        "created": one.created,
        "expires": None if ends is None else iso_ms(ends),
        "daysLeft": None if ends is None else (ends - now).days,
    }


def _named(generation: int) -> str:
    return f"of generation {generation}" if generation else "not sealed"


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
