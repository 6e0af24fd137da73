"""Texts of a language: keyed TOML files; money and dates by Babel (CLDR). Views and receipts become words here and nowhere else."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from importlib import resources
from typing import Any

from terminal.core.commands import PrintReceipt, ReceiptText
from terminal.core.view import Line, Mirror, Option, View

LOCALES = {"zh": "zh_CN", "en": "en_GB"}
HOME = "zh_CN"  # where the terminal stands: 100 yuan are ¥100 there in every language
DIGITS = "零壹贰叁肆伍陆柒捌玖"
PLACES = ("", "拾", "佰", "仟")
GROUPS = ("", "万", "亿")
RECEIPT_KEYS = ("terminal", "time", "card", "reference")


@functools.cache
def texts(language: str) -> Mapping[str, str]:
    """All texts of a language by dotted key (``enterPin.title``)."""
    table = tomllib.loads(resources.files("terminal").joinpath("texts", f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{section}.{key}": text for section, keys in table.items() for key, text in keys.items()}


def say(language: str, key: str, values: Mapping[str, Any], currency: str) -> str:
    """The text with its values; every value whose name ends in ``minor`` is money."""
    text = texts(language)[key]
    if not values:
        return text.format_map(values) if "{" in text else text
    shown = {
        name: money(value, currency, language) if name.endswith("minor") and value is not None else value for name, value in values.items()
    }
    return text.format_map(shown)


@functools.lru_cache(maxsize=512)
def money(minor: int, currency: str, language: str) -> str:
    """The currency's sign as at home, CLDR digits; whole amounts without a fraction, as on a keypad."""
    from babel.numbers import format_decimal, get_currency_symbol

    amount = format_decimal(Decimal(minor) / 100, "#,##0" if minor % 100 == 0 else "#,##0.00", locale=LOCALES[language])
    return f"{get_currency_symbol(currency, locale=HOME)}{amount}"


def capitals(minor: int) -> str:
    """An amount in financial Chinese numerals (壹仟贰佰元整), as bank slips require."""
    yuan, jiao, fen = minor // 100, minor // 10 % 10, minor % 10
    text = _integer(yuan) + "元"
    if not jiao and not fen:
        return text + "整"
    text += DIGITS[jiao] + "角" if jiao else "零"
    return text + (DIGITS[fen] + "分" if fen else "")


def _integer(number: int) -> str:
    if number == 0:
        return DIGITS[0]
    groups: list[str] = []
    for place, name in enumerate(GROUPS):
        part = number // 10_000**place % 10_000
        if part:
            below = number % 10_000**place
            gap = place > 0 and 0 < below < 10_000**place // 10
            groups.append(_group(part) + name + (DIGITS[0] if gap else ""))
    return "".join(reversed(groups))


def _group(number: int) -> str:
    text, zero = "", False
    for place in (3, 2, 1, 0):
        digit = number // 10**place % 10
        if digit:
            text += (DIGITS[0] if zero and text else "") + DIGITS[digit] + PLACES[place]
            zero = False
        else:
            zero = True
    return text


def view_message(view: View, seq: int, currency: str, badge: str) -> dict[str, Any]:
    """The view in words, as the page gets it (docs/kiosk-view.md)."""
    speak = functools.partial(_speak, view.language, currency)
    return {
        "seq": seq,
        "screen": view.screen,
        "lang": view.language,
        "mode": view.mode,
        "title": speak(view.title, view.values),
        "hint": speak(view.hint, view.values) if view.hint else "",
        "lines": [_line(line, speak) for line in view.lines],
        "options": [_option(option, speak) for option in view.options],
        "mask": view.mask,
        "mask_maximum": view.mask_maximum,
        "entry": view.entry,
        "keypad": view.keypad,
        "picture": view.picture or None,
        "tone": view.tone,
        "seconds": view.seconds,
        "progress": view.progress,
        "mirror": _mirror(view.mirror, speak) if view.mirror else None,
        "demo": badge or None,
    }


def _speak(language: str, currency: str, key: str, values: Mapping[str, Any]) -> str:
    return say(language, key, values, currency)


def _line(line: Line, speak: Any) -> dict[str, str]:
    return {"role": line.role, "label": speak(f"label.{line.role}", {}), "text": speak(line.text, line.values)}


def _mirror(mirror: Mirror, speak: Any) -> dict[str, Any]:
    return {"arrow": mirror.arrow, "done": mirror.done, "of": mirror.of, "label": speak(mirror.label, {})}


def _option(option: Option, speak: Any) -> dict[str, str]:
    return {"id": option.id, "key": option.key, "label": speak(option.label, option.values), "role": option.role}


def confirmation_lines(command: PrintReceipt, terminal_id: str, now: datetime) -> tuple[ReceiptText, ...]:
    """What a face service has done, for the customer to keep. `confirms` names the result; no data of the face."""
    from babel.dates import format_datetime

    when = str(format_datetime(now.astimezone(), "yyyy-MM-dd HH:mm:ss", locale=LOCALES[command.language]))
    fields = {**command.fields, "terminal": terminal_id, "time": when}
    speak = functools.partial(_speak, command.language, "CNY")
    keys = [
        "terminal",
        "time",
        "card",
        "reference",
        *(("consent",) if fields["consent_id"] else ()),
        *(("proof",) if fields["proof"] else ()),
    ]
    lines = [ReceiptText(speak("confirmation.heading", {}), align="center", bold=True), ReceiptText("")]
    lines += [ReceiptText(speak(f"receipt.{key}" if key in RECEIPT_KEYS else f"confirmation.{key}", fields)) for key in keys]
    lines += [ReceiptText(""), ReceiptText(speak(f"confirmation.{fields['confirms']}", fields), bold=True)]
    return (*lines, ReceiptText(""), ReceiptText(speak("receipt.closing", {}), align="center"))


def receipt_lines(command: PrintReceipt, terminal_id: str, currency: str, now: datetime) -> tuple[ReceiptText, ...]:
    """The withdrawal's receipt in the customer's language. The card number only masked, the balance only when the bank told it."""
    from babel.dates import format_datetime

    if "confirms" in command.fields:
        return confirmation_lines(command, terminal_id, now)
    fields = dict(command.fields)
    presented, requested = fields["presented_minor"], fields["requested_minor"]
    when = str(format_datetime(now.astimezone(), "yyyy-MM-dd HH:mm:ss", locale=LOCALES[command.language]))
    fields |= {"terminal": terminal_id, "time": when, "capitals": capitals(presented)}
    keys = ["terminal", "time", "card", "application", "reference", "code"]
    if presented != requested:
        keys.append("requested")
    speak = functools.partial(_speak, command.language, currency)
    lines = [ReceiptText(speak("receipt.heading", {}), align="center", bold=True), ReceiptText("")]
    lines += [ReceiptText(speak(f"receipt.{key}", fields)) for key in keys]
    lines += [ReceiptText(""), ReceiptText(speak("receipt.presented", fields), bold=True, size="doubleHeight")]
    if command.language == "zh":
        lines.append(ReceiptText(speak("receipt.capitals", fields)))
    if presented != requested:
        lines.append(ReceiptText(speak("receipt.partial", fields)))
    if fields.get("balance_minor") is not None:
        lines.append(ReceiptText(speak("receipt.balance", fields)))
    return (*lines, ReceiptText(""), ReceiptText(speak("receipt.closing", {}), align="center"))
