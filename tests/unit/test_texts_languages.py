"""Both languages say everything, with the same values; money, capitals and receipts as a customer reads them."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from core_ways import at, config, idle, start
from hypothesis import given, settings
from hypothesis import strategies as st

from terminal.adapters.texts import LOCALES, capitals, money, receipt_lines, say, texts, view_message
from terminal.core import commands as c
from terminal.core import events as e
from terminal.core.face_views import HINTS as SIGHT_HINTS
from terminal.core.face_views import STAGES
from terminal.core.model import FaceService, FaceSight, Failure, Latch, Phase, State, Transaction
from terminal.core.view import View
from terminal.core.views import view_of

LANGUAGES = sorted(LOCALES)
REASONS = [key.removeprefix("failure.") for key in texts("en") if key.startswith("failure.") and key != "failure.reference"]


def fields_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_all_languages_have_the_same_keys_and_the_same_fields_in_them() -> None:
    known = {language: texts(language) for language in LANGUAGES}
    for language in LANGUAGES:
        assert set(known[language]) == set(known["en"])
        for key, text in known[language].items():
            assert fields_of(text) == fields_of(known["en"][key]), f"{language}: {key}"
            assert text.strip() == text and text, f"{language}: {key}"


def test_every_failure_says_what_to_do_now() -> None:
    for language in LANGUAGES:
        assert all(f"next.{reason}" in texts(language) for reason in REASONS)


RESULTS = [key.removeprefix("faceDone.") for key in texts("en") if key.startswith("faceDone.") and not key.endswith("Next")]
HINTS = [key.removeprefix("hint.") for key in texts("en") if key.startswith("hint.")]


def states() -> list[State]:
    """Every phase, every hint, every failure, with what a screen depends on."""
    found = [at(phase).state for phase in Phase]
    found += [
        replace(at(phase).state, hint=hint)
        for hint in HINTS
        for phase in (Phase.ENTERING_PIN, Phase.CHOOSING_AMOUNT, Phase.ENTERING_AMOUNT, Phase.EXPLAINING_FACE, Phase.CHOOSING_FACE_SERVICE)
    ]
    found += [replace(at(Phase.EXPLAINING_FACE).state, transaction=Transaction("T0001-00000001", face_asked_by_bank=True))]
    found += [replace(at(Phase.PREPARING).state, transaction=Transaction("T0001-00000001", face="accepted"))]
    for phase in (Phase.VERIFYING_FACE, Phase.ENROLLING_FACE):
        found += [replace(at(phase).state, sight=FaceSight(stage, hint, 1, 3)) for stage in STAGES for hint in ("", *SIGHT_HINTS)]
    for phase in (Phase.CHOOSING_FACE_SERVICE, Phase.FACE_SERVICE_DONE):
        found += [replace(at(phase).state, service=FaceService("2026-11-22", result=result)) for result in RESULTS]
    found.append(replace(at(Phase.CHOOSING_AMOUNT).state, config=config(face_from_minor=1)))
    found.append(replace(at(Phase.CONSENTING).state, config=config(face_from_minor=1, face_controller="Example Bank")))
    for reason in REASONS:
        for card, cash in (("take", "notDebited"), ("taken", "inDoubt"), ("none", "notDebited")):
            found.append(replace(at(Phase.FAILED).state, failure=Failure(reason, card, cash)))
    closed = [start().state, (idle() >> e.LinkDown("gone")).state, replace(start().state, store_failed=True)]
    closed.append(replace((idle() >> e.LinkDown("gone")).state, latch=Latch("outcomeUnknown", "T0001-00000001")))
    return found + closed


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_view_can_be_said(language: str) -> None:
    for state in states():
        message = view_message(view_of(replace(state, language=language)), 1, "CNY", "")
        said = [
            message["title"],
            message["hint"],
            *(line["text"] for line in message["lines"]),
            *(one["label"] for one in message["options"]),
        ]
        assert all("{" not in text and "}" not in text for text in said)
        assert message["title"] and message["lang"] == language
        ids = [option["id"] for option in message["options"]]
        keys = [option["key"] for option in message["options"]]
        assert len(set(ids)) == len(ids) and len(set(keys)) == len(keys) and all(keys), f"{message['screen']}: {keys}"


def test_every_text_is_used() -> None:
    """A text that no screen and no receipt says is a leftover, or a screen forgot it."""
    used: set[str] = set()

    def note(view: View) -> None:
        used.update([view.title, view.hint, *(line.text for line in view.lines), *(f"label.{line.role}" for line in view.lines)])
        used.update(option.label for option in view.options)
        used.update([view.mirror.label] if view.mirror else [])

    for state in states():
        note(view_of(state))
        note(view_of(replace(state, language="en")))
    known = set(texts("en"))
    families = (
        "reason.",
        "receipt.",
        "hint.",
        "failure.",
        "next.",
        "language.",
        "takeCash.",
        "thanks.",
        "takeReceipt.",
        "dispensing.",
        "idle.",
        "reconciliation.",
        "confirmation.",
    )
    unused = {key for key in known - used if not key.startswith(families)}
    assert not unused
    assert used - {""} <= known


@pytest.mark.parametrize(
    ("minor", "zh", "en"), [(20_000, "¥200", "¥200"), (123_456, "¥1,234.56", "¥1,234.56"), (5, "¥0.05", "¥0.05"), (0, "¥0", "¥0")]
)
def test_money(minor: int, zh: str, en: str) -> None:
    assert money(minor, "CNY", "zh") == zh
    assert money(minor, "CNY", "en") == en


def test_values_that_are_money_are_said_as_money() -> None:
    assert say("en", "takeCash.partial", {"presented_minor": 10_000, "requested_minor": 20_000}, "CNY").startswith("Only ¥100 was paid")
    with pytest.raises(KeyError):
        say("en", "no.such", {}, "CNY")


@pytest.mark.parametrize(
    ("minor", "text"),
    [
        (0, "零元整"),
        (100, "壹元整"),
        (1_000, "壹拾元整"),
        (20_000, "贰佰元整"),
        (120_000, "壹仟贰佰元整"),
        (100_500, "壹仟零伍元整"),
        (105_000, "壹仟零伍拾元整"),
        (1_000_000, "壹万元整"),
        (1_000_500, "壹万零伍元整"),
        (1_050_000, "壹万零伍佰元整"),
        (1_500_000, "壹万伍仟元整"),
        (10_000_000_000, "壹亿元整"),
        (10_000_000_500, "壹亿零伍元整"),
        (10_050_000_000, "壹亿零伍拾万元整"),
        (123_456_789_000, "壹拾贰亿叁仟肆佰伍拾陆万柒仟捌佰玖拾元整"),
        (10_050, "壹佰元伍角"),
        (10_005, "壹佰元零伍分"),
        (10_055, "壹佰元伍角伍分"),
    ],
)
def test_amounts_in_capitals(minor: int, text: str) -> None:
    """As bank slips write them (Regulations on Payment and Settlement, annex on filling in notes and slips)."""
    assert capitals(minor) == text


def read_capitals(text: str) -> int:
    """Back to a number, by reading and not by writing: the value of a digit is what stands behind it."""
    digits, places = dict(zip("零壹贰叁肆伍陆柒捌玖", range(10), strict=True)), {"拾": 10, "佰": 100, "仟": 1_000}
    whole, rest = text.rstrip("整").split("元")
    total = section = digit = 0
    for sign in whole:
        if sign in digits:
            digit = digits[sign]
        elif sign in places:
            section, digit = section + digit * places[sign], 0
        else:
            here, section, digit = section + digit, 0, 0
            total = (total + here) * 100_000_000 if sign == "亿" else total + here * 10_000
    minor = (total + section + digit) * 100
    for sign, value in (("角", 10), ("分", 1)):
        if sign in rest:
            minor += digits[rest[rest.index(sign) - 1]] * value
    return minor


@settings(deadline=None, max_examples=400)
@given(st.integers(0, 999_999_999_999))
def test_capitals_can_be_read_back(minor: int) -> None:
    text = capitals(minor)
    assert read_capitals(text) == minor
    assert "零零" not in text and not text.replace("零元", "X", 1).count("零元")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("result", RESULTS)
def test_a_confirmation_of_a_face_service(language: str, result: str) -> None:
    fields = {"confirms": result, "transaction_id": "T0001-00000017", "masked_pan": "622848******0015", "consent_id": "", "proof": "D-3"}
    command = c.PrintReceipt(1, 30.0, language, fields)
    lines = [line.text for line in receipt_lines(command, "T0001", "CNY", datetime(2026, 11, 22, 8, 0, tzinfo=UTC))]
    text = "\n".join(lines)
    for part in ("T0001-00000017", "622848******0015", "D-3", texts(language)[f"confirmation.{result}"]):
        assert part in text
    assert "{" not in text and "¥" not in text


def receipt(language: str, presented: int, balance: int | None = 470_000) -> list[str]:
    fields: dict[str, Any] = {
        "transaction_id": "T0001-00000017",
        "masked_pan": "622848******0015",
        "application": "UICC DEBIT",
        "aid": "A000000333010101",
        "requested_minor": 20_000,
        "presented_minor": presented,
        "authorisation_code": "A1B2C3",
        "balance_minor": balance,
    }
    command = c.PrintReceipt(1, 30.0, language, fields)
    return [line.text for line in receipt_lines(command, "T0001", "CNY", datetime(2026, 11, 22, 8, 0, tzinfo=UTC))]


def test_a_receipt_in_chinese_has_the_amount_in_capitals() -> None:
    lines = "\n".join(receipt("zh", 20_000))
    for part in ("T0001-00000017", "622848******0015", "A1B2C3", "¥200", "贰佰元整", "¥4,700", "T0001"):
        assert part in lines
    assert "{" not in lines


def test_a_receipt_in_english_for_a_part() -> None:
    lines = receipt("en", 10_000, None)
    text = "\n".join(lines)
    assert "Requested  ¥200" in lines and "Withdrawn  ¥100" in lines
    assert "Less than requested was paid; only that is debited" in lines
    assert "balance" not in text.lower() and "元" not in text


def test_a_full_receipt_says_nothing_about_a_part() -> None:
    assert not any("Requested" in line or "Less than" in line for line in receipt("en", 20_000))
