"""The bench without processes: what it tells of two states, which wishes it takes, how it talks with a simulator."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulators.bench.bench import Bench, parse_wish, read_cast
from simulators.bench.hands import Absent, Hand, Refused
from simulators.bench.story import changes

CAST = Path(__file__).parents[2] / "simulators" / "cast.toml"
DISPENSER: dict[str, Any] = {
    "power": "on",
    "busy": True,
    "outlet": [],
    "reject_bin": {"present": True, "notes": []},
    "jam": None,
    "last_status": None,
}
CARD = {"inserted": False, "generation": 0, "powered": False, "card": None}
PRINTER = {"receipts": [], "paper": "full", "cover_open": False, "cutter_error": False, "power": True}
BANK = {"transactions": [], "discrepancies": [], "subscribed": True}
STATE: dict[str, Any] = {
    "dispenser": DISPENSER,
    "card": CARD,
    "pinpad": {"mode": "idle", "tampered": False},
    "printer": PRINTER,
    "bank": BANK,
    "camera": {"scene": "customer"},
}


def told(change: Callable[[dict[str, Any]], None]) -> list[tuple[str, str]]:
    new = copy.deepcopy(STATE)
    change(new)
    return list(changes(STATE, new))


def test_nothing_happened() -> None:
    assert list(changes(STATE, copy.deepcopy(STATE))) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s["dispenser"].update(busy=False, outlet=[[1, 3]]), ("dispenser", "presented: 3 from cassette 1")),
        (lambda s: s["dispenser"].update(power="off"), ("dispenser", "power off")),
        (lambda s: s["dispenser"].update(jam={"where": "exit"}), ("dispenser", "jam armed at exit")),
        (lambda s: s["dispenser"]["reject_bin"].update(notes=[0, 0]), ("dispenser", "2 into the reject bin")),
        (
            lambda s: s["dispenser"].update(last_status={"command": "45", "error": 5, "exits": []}),
            ("dispenser", "command 45 ended with error 05h"),
        ),
        (lambda s: s["card"].update(inserted=True, generation=1, card={"profile": "everyday"}), ("card", "everyday is in")),
        (lambda s: s["pinpad"].update(tampered=True), ("pinpad", "tampered: its keys are erased")),
        (lambda s: s["printer"]["receipts"].append({"number": 4, "cut": True}), ("printer", "receipt 4 is cut")),
        (lambda s: s["printer"].update(paper="out"), ("printer", "paper: out")),
        (
            lambda s: s["bank"]["transactions"].append({"transaction_id": "T-1", "status": "declined", "reason": "cardExpired"}),
            ("bank", "T-1: declined (cardExpired)"),
        ),
        (lambda s: s["bank"].update(subscribed=False), ("bank", "lost the broker")),
        (lambda s: s.update(printer=None), ("printer", "is gone")),
        (lambda s: s["camera"].update(scene="dark"), ("camera", "shows dark")),
    ],
)
def test_what_a_person_would_notice_is_told(change: Callable[[dict[str, Any]], None], sentence: tuple[str, str]) -> None:
    assert sentence in told(change)


def test_a_taken_bundle_is_told_once() -> None:
    old, new = copy.deepcopy(STATE), copy.deepcopy(STATE)
    old["dispenser"].update(busy=False, outlet=[[1, 3]])
    new["dispenser"].update(busy=False)
    assert list(changes(old, new)) == [("dispenser", "the outlet is empty")]


def test_the_cast_has_pins_as_hints_and_no_card_number() -> None:
    cast = read_cast(CAST)
    assert {"name", "title", "pin"} <= cast[0].keys()
    assert "622848" not in json.dumps(cast)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"device": "card"}', '{"device": 1, "verb": "x"}', '{"device": "a", "verb": "b", "arguments": 1}']
)
def test_a_malformed_wish_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_wish(text)


async def served(path: Path, answers: list[bytes | None], story: Callable[[Hand], Any]) -> Any:
    """Run `story` with a hand on a simulator that gives these answers, None closing the wire."""

    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        while await reader.readline():
            answer = answers.pop(0)
            if answer is None:
                break
            writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, str(path))
    hand = Hand(path)
    try:
        return await story(hand)
    finally:
        hand.close()
        server.close()
        await asyncio.gather(*(task for task in serving if task is not None))


def test_a_hand_gets_answers_and_refusals(tmp_path: Path) -> None:
    async def story(hand: Hand) -> None:
        assert await hand.call("state") == {"power": "on"}
        with pytest.raises(Refused, match="no such key"):
            await hand.call("press", key="x")

    asyncio.run(served(tmp_path / "s", [b'{"ok": {"power": "on"}}\n', b'{"error": "no such key"}\n'], story))


def test_a_closed_wire_is_absence_and_the_next_call_opens_it_again(tmp_path: Path) -> None:
    async def story(hand: Hand) -> None:
        with pytest.raises(Absent):
            await hand.call("state")
        with pytest.raises(Absent):
            await hand.call("state")
        assert await hand.call("state") == 1

    asyncio.run(served(tmp_path / "s", [None, b"nonsense\n", b'{"ok": 1}\n'], story))


def a_bench(folder: Path) -> Bench:
    return Bench(folder, cast=CAST, kiosk_url="http://127.0.0.1:1/")


def test_simulators_that_are_missing_are_absent_and_no_error(tmp_path: Path) -> None:
    async def story() -> None:
        bench = a_bench(tmp_path)
        assert await bench.look()
        assert bench.state == dict.fromkeys(["dispenser", "card", "pinpad", "printer", "bank", "camera"])
        assert not await bench.look()
        with pytest.raises(Absent):
            await bench.do("card", "insert", {"card": "everyday"})
        assert [entry["who"] for entry in bench.log] == ["refused"]

    asyncio.run(story())


@pytest.mark.parametrize("verb", ["press", "type"])
def test_no_key_of_the_pin_pad_goes_through_the_bench(tmp_path: Path, verb: str) -> None:
    async def story() -> None:
        bench = a_bench(tmp_path)
        with pytest.raises(Refused, match="at the pad itself"):
            await bench.do("pinpad", verb, {"key": "5", "digits": "135790"})
        assert not bench.log

    asyncio.run(story())


def test_the_camera_is_a_simulator_like_the_others_and_its_pictures_are_asked_for_once(tmp_path: Path) -> None:
    async def story(_: Hand) -> None:
        bench = a_bench(tmp_path)
        await bench.do("camera", "show", {"scene": "dark"})
        assert await bench.still("dark") == await bench.still("dark") == b"\xff\xd8\xff"
        assert await bench.still("beach") is None
        bench.close()

    answers: list[bytes | None] = [b'{"ok": null}\n', b'{"ok": "/9j/"}\n', b'{"error": "there is no picture of it"}\n']
    asyncio.run(served(tmp_path / "camera.ctl", answers, story))


def test_without_a_camera_there_is_no_picture(tmp_path: Path) -> None:
    assert asyncio.run(a_bench(tmp_path).still("dark")) is None
