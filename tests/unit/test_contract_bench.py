"""Every message of the deterministic bench, both ways, fits the contract: terminal (attended, as it is shipped), bank, wills, under
faults and without."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
from contract import Recorder
from money.play import play
from money.pool import schedule_of, setting

from simulators.broker.memory import MemoryBroker, Packet

SEEDS = range(1, 121)
WITH_FACES = tuple(islice((seed for seed in range(121, 10_000) if schedule_of(seed).face), 40))


def test_every_message_of_the_bench_fits_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, shipped = Recorder(), MemoryBroker._route

    def route(broker: MemoryBroker, packet: Packet) -> int:
        recorder.saw(packet.topic, packet.payload)
        return shipped(broker, packet)

    monkeypatch.setattr(MemoryBroker, "_route", route)
    for seed in (*SEEDS, *WITH_FACES):
        play(replace(schedule_of(seed), attended=True), setting())
    assert recorder.faults == []
    told = set(recorder.seen)
    assert told >= {
        *("state ATMDeviceReport", "telemetry TelemetryReport", "event GlobalStatusChanged", "event DeviceStatusChanged"),
        *("event CashUnitChanged", "alarm ATMExceptionAdvice", "txn ATMWithdrawalCompletionAdvice", "auth ATMWithdrawalRequest"),
        *("auth ATMInquiryRequest", "auth/resp ATMWithdrawalResponse", "auth/resp ATMInquiryResponse", "ack ATMCompletionAcknowledgement"),
        *("auth ATMFaceManagementRequest", "auth/resp ATMFaceManagementResponse"),
        *("txn ATMFaceConsentAdvice", "event ATMFaceVerificationAdvice"),
    }, told
