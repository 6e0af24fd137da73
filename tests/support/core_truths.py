"""What is true of the core at every moment, and when every fault is over."""

from __future__ import annotations

from typing import Any

from core_people import People
from core_ways import SECRETS
from core_world import SETTINGS
from hypothesis.stateful import invariant

from terminal.core import cash
from terminal.core.cash import Accuracy
from terminal.core.model import Device, Phase
from terminal.core.views import view_of

ASKED, DECLINED = "authorisationRequested", "authorisationDeclined"


class Truths(People):
    # --- what is true at every moment

    def advices(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for out in self.outgoing:
            if out.type == "ATMWithdrawalCompletionAdvice":
                found.setdefault(out.data["transactionId"], []).append(dict(out.data))
        return found

    @invariant()
    def the_bank_is_told_the_truth_once(self) -> None:
        if not hasattr(self, "terminal"):
            return
        for transaction_id, told in self.advices().items():
            assert len(told) == 1, f"{transaction_id} was told {len(told)} times"
            if told[0]["transactionStatus"] == "DOBT":
                assert self.state.latch is not None or self.state.store_failed or self.state.phase is Phase.UNKNOWN
                continue
            assert told[0]["presentedAmount"]["minor"] == self.unit.paid[transaction_id], transaction_id
            assert (told[0]["transactionStatus"] == "SCSS") == (self.unit.paid[transaction_id] > 0)

    @invariant()
    def a_latch_stays(self) -> None:
        if not hasattr(self, "terminal"):
            return
        self.latched = self.latched or any(entry.kind == "dispenseUnknown" for entry in self.journal)
        if self.latched and self.state.phase is not Phase.UNKNOWN and not self.state.store_failed:
            assert self.state.latch is not None

    @invariant()
    def counters_are_right_or_said_not_to_be(self) -> None:
        if not hasattr(self, "terminal") or self.state.open_dispense is not None or self.state.store_failed:
            return
        for place, unit in enumerate(self.state.units):
            if unit.accuracy is Accuracy.ACCURATE:
                assert (unit.presented, unit.rejected) == (self.unit.presented[place], self.unit.rejected[place])

    @invariant()
    def nothing_secret_is_shown(self) -> None:
        if hasattr(self, "terminal"):
            shown = repr(view_of(self.state)) + repr(self.state)
            assert not any(secret in shown for secret in SECRETS)

    def teardown(self) -> None:
        """Every fault is cleared, everybody answers, the customer takes the card and goes: the terminal serves again, or says why not."""
        if not hasattr(self, "terminal"):
            return
        self.dies_in = -1
        if self.state.store_failed or self.state.stopping or self.terminal.disk_full_at is not None or self.state.phase is Phase.UNKNOWN:
            self.restart()
        self.all_online()
        self.the_dispensers_fault_changes("")
        for _ in range(40):
            self.take_card()
            for device in Device:
                self.answer_all(device)
            self.bank_answers("timeout")
            if self.state.phase in (Phase.IDLE, Phase.OUT_OF_SERVICE):
                break
            self.time_passes()
        self.the_bank_is_told_the_truth_once()
        self.counters_are_right_or_said_not_to_be()
        payable = cash.payable(self.state.units, SETTINGS.presets_minor, SETTINGS.max_notes)
        expected = Phase.IDLE if self.state.latch is None and payable else Phase.OUT_OF_SERVICE
        assert self.state.phase is expected, f"{self.state.phase} with everything well"
        told = self.advices()
        last: dict[str, str] = {}
        for entry in self.journal:
            if entry.transaction_id and (entry.kind in (ASKED, DECLINED) or entry.kind == "dispenseIntended"):
                last[entry.transaction_id] = entry.kind
        for transaction_id, kind in last.items():
            assert (transaction_id in told) == (kind != DECLINED), f"{transaction_id}: {kind}"
        assert set(self.unit.paid) <= set(told), "cash that the bank never heard of"
