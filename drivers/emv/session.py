"""One card in the reader, from its list of applications to the final cryptogram (EMV 4.3 Book 3, section 8; Book 4, section 6).

The order of calls: `applications` -> `select` -> `first_generate_ac` -> (the bank) -> `second_generate_ac`. Every attempt with the
bank is a transaction of its own to the card: after a second GENERATE AC, `select` begins the next one. Cash goes out after TC only.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from drivers.emv.capk import CaPublicKey
from drivers.emv.cryptogram import CDA_REQUEST, CardCryptogram, Kind, parse_cryptogram
from drivers.emv.decisions import default_reasons, denied_offline, restrictions, verify_cardholder
from drivers.emv.dialogue import CardDialogue
from drivers.emv.issuer import IssuerAnswer, ScriptResult, read_issuer_answer, run_scripts
from drivers.emv.oda import OdaFailure, PublicKey, choose_method, dynamic_data, icc_key, issuer_key, verify_dynamic, verify_static
from drivers.emv.reading import (
    Application,
    CardFile,
    as_application,
    check_mandatory,
    dol_data,
    final_select,
    processing_options,
    read_records,
)
from drivers.emv.record import DecisionLog, Results
from drivers.emv.selection import Candidate, candidates
from drivers.emv.terminal import OdaMethod, TerminalData, TransactionData
from drivers.emv.values import local_time, terminal_values, transaction_values
from drivers.errors import ConfigurationFault, DeviceError, LinkError
from drivers.protocols.emv_data import bcd
from drivers.protocols.emv_tags import Tag, Tsi, Tvr
from drivers.protocols.tlv import encode_all, find, parse
from drivers.transports.base import CardChannel, Deadline

UNABLE_TO_GO_ONLINE = b"Z3"  # offline declined because the host could not be reached (Book 4, annex A6)
FIELD_55 = (
    Tag.CRYPTOGRAM,
    Tag.CID,
    Tag.ISSUER_APPLICATION_DATA,
    Tag.UNPREDICTABLE,
    Tag.ATC,
    Tag.TVR,
    Tag.DATE,
    Tag.TYPE,
    Tag.AMOUNT,
    Tag.CURRENCY,
    Tag.AIP,
    Tag.COUNTRY,
    Tag.AMOUNT_OTHER,
    Tag.CAPABILITIES,
    Tag.CVM_RESULTS,
    Tag.TERMINAL_TYPE,
    Tag.SERIAL,
    Tag.DF_NAME,
    Tag.VERSION_TERMINAL,
    Tag.COUNTER,
    Tag.PAN_SEQUENCE,
)


class OutOfOrder(ConfigurationFault):
    """The session's verbs were called in an order that a transaction does not have."""


@dataclass(frozen=True, slots=True)
class FirstCryptogram:
    """`kind` ARQC: send `field55` to the bank. AAC: declined here, `reason` says why, the transaction is over."""

    kind: Kind
    field55: bytes
    reason: str
    log: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecondCryptogram:
    """`kind` TC: the transaction is complete and cash may go out. AAC: it is not, whatever the bank said (`reason`).

    `data` for the completion advice: 9F26 9F27 9F10 9F36 95 9B 9F34 9F37, and 9F5B with the script results when there are any.
    """

    kind: Kind
    data: bytes
    script_results: tuple[ScriptResult, ...]
    reason: str
    log: tuple[str, ...]


class EmvSession:
    """`random(n)` gives n unpredictable bytes. `capks` are the CA keys for offline data authentication.

    Raises CardFault (the card cannot be used, `name` says how), ProtocolError (its bytes make no sense), LinkError (it is gone).
    """

    def __init__(
        self,
        channel: CardChannel,
        terminal: TerminalData,
        random: Callable[[int], bytes],
        capks: Iterable[CaPublicKey] = (),
        trace: Callable[[str], None] | None = None,
    ) -> None:
        self._card = CardDialogue(channel, trace)
        self._terminal = terminal
        self._random = random
        self._capks = tuple(capks)
        self._log = DecisionLog()
        self._forget()

    def _forget(self) -> None:
        """Nothing of an earlier transaction remains."""
        self._file: CardFile | None = None
        self._results = Results()
        self._values: dict[int, bytes] = {}
        self._cda_key: PublicKey | None = None
        self._cdol1_data = b""
        self._online = False

    @property
    def log(self) -> tuple[str, ...]:
        """The decision log so far."""
        return self._log.lines()

    def applications(self, deadline: Deadline) -> list[Candidate]:
        """Best first, blocked ones last. CardFault: noApplication, applicationBlocked (all are), cardBlocked."""
        self._forget()
        self._log = DecisionLog()
        return candidates(self._card, self._terminal.aids, self._log, deadline)

    def select(self, candidate: Candidate, deadline: Deadline, amount_minor: int = 0) -> Application:
        """SELECT, GET PROCESSING OPTIONS, READ RECORD. `amount_minor` when it is known already and the card's PDOL wants it."""
        self._forget()
        file = final_select(self._card, candidate, deadline)
        self._log.tal(f"Application selected: {candidate.aid.hex().upper()} {candidate.label}")
        self._values = terminal_values(self._terminal, candidate.aid) | {
            Tag.AMOUNT: bcd(amount_minor, 6),
            Tag.UNPREDICTABLE: self._random(4),
        }
        entries = processing_options(self._card, file, self._values, deadline)
        self._log.emv(f"Processing options: AIP {file.aip.hex().upper()}, {len(entries)} files")
        read_records(self._card, file, entries, deadline)
        check_mandatory(file)
        application = as_application(file)
        self._log.emv("Records read, mandatory data present")
        self._file = file
        return dataclasses.replace(application, log=self.log)

    def first_generate_ac(self, transaction: TransactionData, deadline: Deadline) -> FirstCryptogram:
        """Data authentication, restrictions, cardholder verification, risk management, action analysis, first GENERATE AC."""
        file = self._selected()
        if self._cdol1_data:
            raise OutOfOrder("a second transaction needs a new selection of the application")
        self._values |= transaction_values(self._terminal, transaction) | {Tag.UNPREDICTABLE: self._random(4)}
        today = local_time(self._terminal, transaction).date()
        self._authenticate_data(file, today, deadline)
        restrictions(file, self._terminal, today, self._results, self._log)
        cvm = verify_cardholder(file, self._terminal, transaction, self._results, self._log)
        self._values[Tag.CVM_RESULTS] = cvm.results
        self._results.set(Tvr.EXCEEDS_FLOOR_LIMIT, Tsi.TERMINAL_RISK_PERFORMED)
        self._log.tal("Terminal risk management: the floor limit is 0, every transaction goes online")
        denied = denied_offline(file, self._terminal, self._results, self._log)
        if not denied and not cvm.successful:
            denied = True
            self._log.tal("Declined offline: a cash withdrawal needs a verified cardholder")
        return self._first(file, Kind.AAC if denied else Kind.ARQC, deadline)

    def second_generate_ac(self, issuer_data: bytes | None, approved: bool, deadline: Deadline) -> SecondCryptogram:
        """`issuer_data`: 8A, 91, 71, 72 as TLV; None when the bank could not be reached (asks for AAC). `approved` is the bank's word.

        ProtocolError for data that are no TLV, before anything reaches the card: the caller may then ask again with None.
        """
        file = self._selected()
        if not self._online:
            raise OutOfOrder("the first GENERATE AC gave no ARQC, or the second one was asked for already")
        answer = self._issuer_answer(issuer_data, approved)
        self._online = False
        if answer.authentication and file.aip[0] & 0x04:
            self._external_authenticate(answer.authentication, deadline)
        before = run_scripts(self._card, answer.before, Tvr.SCRIPT_FAILED_BEFORE, self._results, self._log, deadline)
        self._values |= {Tag.RESPONSE_CODE: answer.code, Tag.ISSUER_AUTHENTICATION: answer.authentication}
        asked = Kind.TC if approved and issuer_data is not None else Kind.AAC
        cryptogram = self._generate(file, asked, Tag.CDOL2, deadline)
        kind, reason = self._final(cryptogram, asked)
        try:
            after = run_scripts(self._card, answer.after, Tvr.SCRIPT_FAILED_AFTER, self._results, self._log, deadline)
        except LinkError as error:
            # the final cryptogram is there: the card's loss now costs the script, not the transaction
            self._results.set(Tvr.SCRIPT_FAILED_AFTER)
            self._log.emv(f"Scripts after the final cryptogram were cut off: {error}")
            after = []
        self._log_results()
        return SecondCryptogram(kind, self._completion(cryptogram, [*before, *after]), (*before, *after), reason, self.log)

    def _selected(self) -> CardFile:
        if self._file is None:
            raise OutOfOrder("no application is selected")
        return self._file

    def _authenticate_data(self, file: CardFile, today: datetime.date, deadline: Deadline) -> None:
        method = choose_method(file.aip, self._terminal.oda_methods)
        if method is None:
            self._results.set(Tvr.ODA_NOT_PERFORMED)
            self._log.oda("Not performed: card and terminal have no method in common")
            return
        failed = {OdaMethod.SDA: Tvr.SDA_FAILED, OdaMethod.DDA: Tvr.DDA_FAILED, OdaMethod.CDA: Tvr.CDA_FAILED}[method]
        self._results.set(Tsi.ODA_PERFORMED)
        if method is OdaMethod.SDA:
            self._results.set(Tvr.SDA_SELECTED)
        try:
            issuer = issuer_key(file, self._capks, today)
            if method is OdaMethod.SDA:
                self._values[Tag.DATA_AUTHENTICATION_CODE] = verify_static(file, issuer)
            else:
                key = icc_key(file, issuer, today)
                if method is OdaMethod.DDA:
                    self._dynamic(file, key, deadline)
                else:
                    self._cda_key = key
            self._log.oda(f"{method.value}: {'keys verified, the cryptogram will be signed' if self._cda_key else 'verified'}")
        except OdaFailure as failure:
            self._results.set(failed)
            if failure.data_missing:
                self._results.set(Tvr.ICC_DATA_MISSING)
            self._log.oda(f"{method.value} failed: {failure}")

    def _dynamic(self, file: CardFile, key: PublicKey, deadline: Deadline) -> None:
        signed = dynamic_data(file, self._values, self._terminal.default_ddol)
        response = self._card.internal_authenticate(signed, deadline)
        if not response.ok:
            raise OdaFailure(f"internal authenticate: status word {response.sw:04X}")
        try:
            objects = parse(response.data)
        except DeviceError as error:
            raise OdaFailure(f"the answer to internal authenticate: {error}") from error
        signature = find(objects, Tag.SIGNED_DYNAMIC) or find(objects, Tag.RESPONSE_1)
        if not signature:
            raise OdaFailure("the answer to internal authenticate has no signature")
        self._values[Tag.ICC_DYNAMIC_NUMBER] = verify_dynamic(key, signature, signed)

    def _generate(self, file: CardFile, asked: Kind, dol: Tag, deadline: Deadline) -> CardCryptogram:
        self._values[Tag.TVR], self._values[Tag.TSI] = self._results.tvr, self._results.tsi
        data = dol_data(file.values[dol], {**file.values, **self._values})
        key = self._cda_key if asked is not Kind.AAC else None
        response = self._card.generate_ac(asked.value | (CDA_REQUEST if key else 0), data, deadline)
        hashed = file.pdol_data + self._cdol1_data + data
        if dol is Tag.CDOL1:
            self._cdol1_data = data
        cryptogram = parse_cryptogram(response, asked, key, self._values[Tag.UNPREDICTABLE], hashed)
        self._results.set(Tsi.CARD_RISK_PERFORMED)
        self._log.emv(f"Generate AC: {asked.name} asked for, {cryptogram.kind.name} given")
        if cryptogram.genuine is False:
            self._results.set(Tvr.CDA_FAILED)
            self._log.oda(f"CDA failed: {cryptogram.reason}")
        elif cryptogram.genuine:
            self._log.oda("CDA: the cryptogram's signature verified")
        return cryptogram

    def _first(self, file: CardFile, asked: Kind, deadline: Deadline) -> FirstCryptogram:
        cryptogram = self._generate(file, asked, Tag.CDOL1, deadline)
        reason = "" if cryptogram.kind is Kind.ARQC else ("declined by the terminal" if asked is Kind.AAC else "declined by the card")
        if cryptogram.kind is Kind.ARQC and cryptogram.genuine is False:
            # Book 2, 6.6.2: not sent online; the card is asked to decline at once
            self._values |= {Tag.RESPONSE_CODE: b"Z1", Tag.ISSUER_AUTHENTICATION: b""}
            cryptogram = self._generate(file, Kind.AAC, Tag.CDOL2, deadline)
            reason = "the card's signature is not genuine"
        self._online = cryptogram.kind is Kind.ARQC
        field55 = self._field55(file, cryptogram)
        self._log_results()
        return FirstCryptogram(cryptogram.kind, field55, reason, self.log)

    def _field55(self, file: CardFile, cryptogram: CardCryptogram) -> bytes:
        found = {one.tag: one.value for one in parse(cryptogram.objects())}
        known = {**file.values, **self._values, **found, Tag.DF_NAME: file.candidate.aid}
        return encode_all([(tag, known[tag]) for tag in FIELD_55 if known.get(tag)])

    def _issuer_answer(self, issuer_data: bytes | None, approved: bool) -> IssuerAnswer:
        if issuer_data is None:
            reasons = "; ".join(default_reasons(self._selected(), self._terminal, self._results)) or "none"
            self._log.tal(f"The bank could not be reached: declined (default action codes: {reasons})")
            return IssuerAnswer(UNABLE_TO_GO_ONLINE, b"", (), ())
        answer = read_issuer_answer(issuer_data)
        self._log.tal(f"The bank {'approves' if approved else 'declines'}")
        return answer if answer.code else dataclasses.replace(answer, code=b"00" if approved else b"05")

    def _external_authenticate(self, data: bytes, deadline: Deadline) -> None:
        """Book 3, 10.9: sent once; a refusal is a bit, the card decides what it means."""
        response = self._card.external_authenticate(data, deadline)
        self._results.set(Tsi.ISSUER_AUTHENTICATION_PERFORMED)
        if response.ok:
            self._log.emv("Issuer authentication: the card accepts the bank's cryptogram")
            return
        self._results.set(Tvr.ISSUER_AUTHENTICATION_FAILED)
        self._log.emv(f"Issuer authentication failed: status word {response.sw:04X}")

    def _final(self, cryptogram: CardCryptogram, asked: Kind) -> tuple[Kind, str]:
        if cryptogram.kind is Kind.ARQC:
            return Kind.AAC, "the card asked to go online again"
        if cryptogram.kind is Kind.TC and cryptogram.genuine is False:
            return Kind.AAC, "the card's signature is not genuine"
        if cryptogram.kind is Kind.AAC:
            return Kind.AAC, "declined by the card" if asked is Kind.TC else "declined by the bank"
        return Kind.TC, ""

    def _completion(self, cryptogram: CardCryptogram, scripts: list[ScriptResult]) -> bytes:
        """The TVR is the one the cryptogram covers; what came after it is in the script results."""
        parts = [(Tag.TVR, self._values[Tag.TVR]), (Tag.TSI, self._results.tsi), (Tag.CVM_RESULTS, self._values[Tag.CVM_RESULTS])]
        parts.append((Tag.UNPREDICTABLE, self._values[Tag.UNPREDICTABLE]))
        if scripts:
            parts.append((Tag.SCRIPT_RESULTS, b"".join(one.encode() for one in scripts)))
        return cryptogram.objects() + encode_all(parts)

    def _log_results(self) -> None:
        for line in self._results.in_words():
            self._log.tal(line)
