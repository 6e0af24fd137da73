"""Every event as it may come to the core, and which events answer which command."""

from __future__ import annotations

from collections.abc import Callable

from core_ways import BLOCK, CARD, CREDIT, DEBIT, FACTORY, GOOD, MEMORY_GONE, ONE_BEFORE, TEMPLATE, account

from drivers.secret import Secret
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.model import Device, FaceEvidence, PinBlock
from terminal.core.recovery import Recovered

UNCERTAIN = account(1, 0, 0, 0, error=0x07)
JAM = account(0, 0, 0, 0, error=0x20)
EMPTY = account(1, 0, 0, 0, error=0x01)


SAMPLES: dict[type[e.Event], Callable[[int], list[e.Event]]] = {
    e.Started: lambda n: [e.Started(Recovered())],
    e.TimerExpired: lambda n: [e.TimerExpired(n)],
    e.StoreFailed: lambda n: [e.StoreFailed()],
    e.ServiceOrdered: lambda n: [e.ServiceOrdered(False, "c1"), e.ServiceOrdered(True, "c2")],
    e.StopRequested: lambda n: [e.StopRequested()],
    e.Pressed: lambda n: [
        e.Pressed(option)
        for option in (
            *("cancel", "yes", "no", "other", "back", "enter", "clear", "key:1", "key:5", "key:0", "finish", "receipt"),
            *("faceServices", "goOn", "otherWay", "enrol", "remove", "agree", "done"),
            *("amount:1000", "amount:5000", f"application:{DEBIT.aid}", "language:en", "rubbish"),
        )
    ],
    e.DeviceOnline: lambda n: [e.DeviceOnline(device) for device in Device],
    e.DeviceLost: lambda n: [e.DeviceLost(device, "workerLost") for device in Device],
    e.DeviceGaveUp: lambda n: [e.DeviceGaveUp(Device.PRINTER)],
    e.DeviceNoted: lambda n: [e.DeviceNoted(Device.PRINTER, "paperLow")],
    e.CommandFailed: lambda n: [
        e.CommandFailed(n, device, kind, name)
        for device in Device
        for kind, name in (("deviceFault", "minimumLength"), ("workerLost", "workerLost"))
    ],
    e.CardInserted: lambda n: [e.CardInserted()],
    e.CardRemoved: lambda n: [e.CardRemoved()],
    e.ApplicationsRead: lambda n: [e.ApplicationsRead(n, found) for found in ((), (DEBIT,), (DEBIT, CREDIT))],
    e.ApplicationSelected: lambda n: [e.ApplicationSelected(n, CARD)],
    e.FirstCryptogramMade: lambda n: [e.FirstCryptogramMade(n, kind, "9F2608AA") for kind in ("ARQC", "AAC")],
    e.SecondCryptogramMade: lambda n: [e.SecondCryptogramMade(n, kind, "9F2701") for kind in ("TC", "AAC")],
    e.CommandDone: lambda n: [e.CommandDone(n, device) for device in Device],
    e.KeyPressed: lambda n: [e.KeyPressed(key) for key in ("digit", "1", "enter", "cancel", "clear", "help")],
    e.PinBlockMade: lambda n: [e.PinBlockMade(n, PinBlock("iso9564-4", Secret(BLOCK), "KSN"))],
    e.FaceKeyMade: lambda n: [e.FaceKeyMade(n, "04AB")],
    e.FaceVerified: lambda n: [e.FaceVerified(n, decision, FaceEvidence(score=0.5)) for decision in ("accepted", "rejected", "askAgain")],
    e.FaceProgress: lambda n: [e.FaceProgress(n, "turnLeft", "", 1, 3)],
    e.FaceEnrolled: lambda n: [
        e.FaceEnrolled(n, decision, Secret(TEMPLATE if decision == "accepted" else ""), FaceEvidence())
        for decision in ("accepted", "noFace")
    ],
    e.DispenserPrepared: lambda n: [e.DispenserPrepared(n, ONE_BEFORE, FACTORY)],
    e.NotesDispensed: lambda n: [e.NotesDispensed(n, result) for result in (account(1, 0, 0, 0), GOOD, EMPTY, JAM, UNCERTAIN, MEMORY_GONE)],
    e.LastStatusRead: lambda n: [e.LastStatusRead(n, result) for result in (account(1, 0, 0, 0), GOOD, ONE_BEFORE, MEMORY_GONE, JAM)],
    e.DispenserInitialised: lambda n: [e.DispenserInitialised(n, fault) for fault in ("", "jamExit")],
    e.ReceiptPrinted: lambda n: [e.ReceiptPrinted(n)],
    e.SelfCheckDone: lambda n: [e.SelfCheckDone(n, Device.PRINTER, {"paper": "full"})],
    e.LinkUp: lambda n: [e.LinkUp()],
    e.LinkDown: lambda n: [e.LinkDown("gone")],
    e.AuthorisationAnswered: lambda n: [
        e.AuthorisationAnswered(n, response, reason, actions, "A1", "", None)
        for response, reason, actions in (
            ("APPR", "", ()),
            ("DECL", "incorrectPin", ("PINR",)),
            ("DECL", "limitExceeded", ()),
            ("DECL", "authenticationRequired", ("CHDA",)),
            ("TECH", "", ()),
        )
    ],
    e.TemplateFetched: lambda n: [e.TemplateFetched(n, Secret(TEMPLATE), ""), e.TemplateFetched(n, Secret(""), "noTemplate")],
    e.FaceManaged: lambda n: [
        e.FaceManaged(n, "APPR", "", (), "8A023030", "2026-11-22"),
        e.FaceManaged(n, "APPR", "", (), "8A023030"),
        e.FaceManaged(n, "DECL", "incorrectPin", ("PINR",), "8A023535"),
        e.FaceManaged(n, "DECL", "cardBlocked", (), "8A023632"),
        e.FaceManaged(n, "TECH", "", (), ""),
    ],
    e.RequestFailed: lambda n: [e.RequestFailed(n, "timeout"), e.RequestFailed(n, "offline")],
    e.LateResponseArrived: lambda n: [e.LateResponseArrived("ATMWithdrawalResponse", "T0001-00000001", "APPR")],
}


def samples(kind: type[e.Event], number: int) -> list[e.Event]:
    """Events of a class as they may come; `number` is the question that an answer belongs to."""
    return SAMPLES[kind](number)


ANSWERED_BY: dict[type[c.Command], tuple[type[e.Event], ...]] = {
    c.ReadCard: (e.ApplicationsRead,),
    c.SelectApplication: (e.ApplicationSelected,),
    c.GenerateFirstCryptogram: (e.FirstCryptogramMade,),
    c.GenerateSecondCryptogram: (e.SecondCryptogramMade,),
    c.ReleaseCard: (e.CommandDone,),
    c.StartPinEntry: (e.CommandDone,),
    c.StartAmountEntry: (e.CommandDone,),
    c.StopEntry: (e.CommandDone,),
    c.MakePinBlock: (e.PinBlockMade,),
    c.PrepareDispense: (e.DispenserPrepared,),
    c.Dispense: (e.NotesDispensed,),
    c.AskLastStatus: (e.LastStatusRead,),
    c.InitialiseDispenser: (e.DispenserInitialised,),
    c.PrintReceipt: (e.ReceiptPrinted,),
    c.MakeFaceKey: (e.FaceKeyMade,),
    c.VerifyFace: (e.FaceVerified,),
    c.EnrolFace: (e.FaceEnrolled,),
    c.StopFace: (),
    c.ManageFace: (e.FaceManaged, e.RequestFailed),
    c.Authorise: (e.AuthorisationAnswered, e.RequestFailed),
    c.FetchTemplate: (e.TemplateFetched, e.RequestFailed),
}
