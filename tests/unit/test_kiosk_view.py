"""What a view may be, and which presses can be true."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiosk_ui.parent import MAX_LINE, Lines, parse_line
from kiosk_ui.view import PICTURES, View, ViewError, check_press, parse_view

AMOUNT = {"id": "amount:10000", "key": "1", "label": "100", "role": "choice"}


def a_view(**changes: Any) -> dict[str, Any]:
    return {"seq": 12, "screen": "chooseAmount", "lang": "zh", "title": "请选择金额", "options": [AMOUNT]} | changes


def test_a_small_view_gets_the_defaults_of_the_rest() -> None:
    view = parse_view(a_view())
    assert view.seq == 12
    assert view.offered == {"amount:10000"}
    assert view.fields["mode"] == "standard"
    assert view.fields["mask"] is None
    assert view.fields["keypad"] is False
    assert view.fields["tone"] == "normal"
    assert json.loads(view.message(1.5)) == {"view": view.fields, "age_s": 1.5}


def test_every_picture_of_the_contract_is_drawn() -> None:
    assert {"insertCard", "takeCard", "takeCash", "takeReceipt", "face", "pin", "wait", "warning", "closed", "done"} <= PICTURES


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seq": "12"}, "view.seq must be a whole number"),
        ({"seq": True}, "view.seq must be a whole number"),
        ({"screen": "Choose Amount"}, "view.screen must be a camelCase word"),
        ({"lang": "fr"}, "view.lang must be one of en, zh"),
        ({"mode": "dark"}, "view.mode must be one of elderly, standard"),
        ({"title": ""}, "view.title must not be empty"),
        ({"title": "x" * 401}, "view.title must be text"),
        ({"hint": 5}, "view.hint must be text"),
        ({"mask": "1234"}, "view.mask must be a whole number"),
        ({"mask": 7, "mask_maximum": 6}, "view.mask 7 is more than"),
        ({"keypad": 1}, "view.keypad must be true or false"),
        ({"picture": "cat"}, "view.picture must be one of"),
        ({"picture": []}, "view.picture must be one of"),
        ({"tone": "red"}, "view.tone must be one of"),
        ({"seconds": 0}, "view.seconds must be a number of seconds"),
        ({"lines": {}}, "view.lines must be a list"),
        ({"mirror": 1}, "view.mirror must be an object"),
        ({"mirror": {}}, "view.mirror.label is missing"),
        ({"mirror": {"label": "you", "arrow": "up"}}, "view.mirror.arrow must be one of left, right"),
        ({"mirror": {"label": "you", "of": 13}}, "view.mirror.of must be a whole number from 0 to 12"),
        ({"mirror": {"label": "you", "done": 2, "of": 1}}, "view.mirror.done is more than view.mirror.of"),
        ({"lines": [{"role": "card"}]}, "view.lines[0].text is missing"),
        ({"lines": ["card"]}, "view.lines[0] must be an object"),
        ({"options": [{**AMOUNT, "role": "big"}]}, "view.options[0].role must be one of"),
        ({"options": [{"id": "a", "label": "A"}]}, "view.options[0].key is missing"),
        ({"options": [AMOUNT, {**AMOUNT, "key": "2"}]}, "the id 'amount:10000' is there twice"),
        ({"options": [AMOUNT, {**AMOUNT, "id": "b"}]}, "the key '1' is there twice"),
        ({"options": [AMOUNT] * 17}, "view.options must be a list of at most 16"),
    ],
)
def test_a_wrong_view_is_refused_with_the_name_of_the_field(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ViewError) as refused:
        parse_view(a_view(**changes))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("raw", [None, [], "view", 5, {"seq": 1}])
def test_what_is_no_view_is_refused(raw: object) -> None:
    with pytest.raises(ViewError):
        parse_view(raw)


def test_fields_nobody_knows_are_named_and_left_out() -> None:
    view = parse_view(a_view(colour="red"))
    assert view.ignored == ("colour",)
    assert "colour" not in view.fields


def test_a_keypad_offers_its_keys() -> None:
    assert {"key:0", "key:9", "key:backspace", "key:clear", "amount:10000"} <= parse_view(a_view(keypad=True)).offered
    assert "key:0" not in parse_view(a_view()).offered


def test_a_press_on_what_is_offered_passes_and_an_earlier_one_is_left_to_the_agent() -> None:
    view = parse_view(a_view())
    assert check_press({"seq": 12, "id": "amount:10000"}, view) == (12, "amount:10000")
    assert check_press({"seq": 11, "id": "confirm"}, view) == (11, "confirm")


@pytest.mark.parametrize(
    ("press", "sentence"),
    [
        ({"seq": 12, "id": "confirm"}, "which view 12 does not offer"),
        ({"seq": 12, "id": "key:1"}, "which view 12 does not offer"),
        ({"seq": 13, "id": "amount:10000"}, "never sent"),
        ({"seq": "12", "id": "amount:10000"}, "needs a whole number seq"),
        ({"id": "amount:10000"}, "needs a whole number seq"),
        ({"seq": 12, "id": ""}, "needs a whole number seq"),
        ([12], "must be an object"),
    ],
)
def test_a_press_that_cannot_be_true_is_refused(press: object, sentence: str) -> None:
    with pytest.raises(ViewError) as refused:
        check_press(press, parse_view(a_view()))
    assert sentence in str(refused.value)


def test_no_press_before_the_first_view() -> None:
    with pytest.raises(ViewError):
        check_press({"seq": 0, "id": "x"}, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["seq", "screen", "lang", "mode", "title", "lines", "options", "mask", "picture", "seconds"]), JSON))
def test_any_json_is_a_view_or_is_refused(changes: dict[str, Any]) -> None:
    try:
        assert isinstance(parse_view(a_view(**changes)), View)
    except ViewError as refused:
        assert "view" in str(refused)


@settings(max_examples=60)
@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_lines_come_out_whole_however_they_are_cut(parts: list[bytes], size: int) -> None:
    expected = [part.replace(b"\n", b"") for part in parts]
    stream = b"".join(part + b"\n" for part in expected)
    lines = Lines()
    heard = [line for at in range(0, len(stream), size) for line in lines.feed(stream[at : at + size])]
    assert heard == [part for part in expected if part.strip()]


def test_a_line_without_end_is_dropped_and_the_next_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    assert lines.feed(b"x" * (MAX_LINE + 1)) == []
    assert lines.feed(b"xxx\nnext\n") == [b"next"]
    assert "longer than" in capsys.readouterr().err


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"view": {}, "ping": 1}', b'{"press": 1}', b"\xff\xfe", b"{}", b"[" * 5000])
def test_a_malformed_line_of_the_parent_is_named(line: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse_line(line) is None
    assert capsys.readouterr().err.startswith("kiosk_ui: error: a line from the parent is")
