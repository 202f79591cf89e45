"""Numbers and names as people read them, and as it is safe to show them."""

from __future__ import annotations

import html
import unicodedata
from datetime import date
from decimal import Decimal

Number = int | float | Decimal

NBSP = "\u00a0"
MINUS = "\u2212"
ELLIPSIS = "\u2026"
SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥"}
NAME_LIMIT = 40
LABEL_LIMIT = 22
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_RIGHT_TO_LEFT = {"R", "AL", "AN"}
_BIDI_CONTROLS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C))


def clean(text: object, limit: int | None = None) -> str:
    """Text on one line without control characters (of direction too), cut with an ellipsis after ``limit`` of them."""
    spaced = "".join(
        " " if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") else sign
        for sign in str(text).translate(_BIDI_CONTROLS)
    )
    line = " ".join(spaced.split())
    return line if limit is None or len(line) <= limit else line[: limit - 1].rstrip() + ELLIPSIS


def name(text: object, limit: int = NAME_LIMIT) -> str:
    """A name inside a sentence or a label: cleaned, cut, and kept from turning the text around it right to left."""
    line = clean(text, limit)
    if any(unicodedata.bidirectional(sign) in _RIGHT_TO_LEFT for sign in line):
        return _FIRST_STRONG_ISOLATE + line + _POP_ISOLATE
    return line


def plotly_label(text: object, limit: int = LABEL_LIMIT) -> str:
    """A name for plotly, which reads some HTML tags and entities in labels: they are shown, not obeyed."""
    return html.escape(name(text, limit), quote=False)


def count(value: Number) -> str:
    """1234 -> 1,234."""
    return _signed(f"{value:,.0f}")


def percent(share: Number) -> str:
    """0.031 -> 3.1 %; below one percent with two decimals."""
    digits = 2 if 0 < abs(share) < 0.01 else 1
    return _signed(f"{100 * float(share):.{digits}f}{NBSP}%")


def points(difference: Number, *, sign: bool = False) -> str:
    """A difference of shares in percentage points: 0.002 -> 0.2 points."""
    digits = 2 if 0 < abs(difference) < 0.0005 else 1
    return _signed(f"{100 * float(difference):{'+' if sign else ''}.{digits}f}{NBSP}points")


def points_range(lower: Number, upper: Number) -> str:
    """An interval of a difference: 0.5 to 4.0 points."""
    return f"{points(lower).removesuffix(NBSP + 'points')} to {points(upper)}"


def money(value: Number, currency: str, *, digits: int | None = None) -> str:
    """Money for display: two decimals below 1,000, none above, unless ``digits`` says otherwise."""
    decimals = (2 if abs(value) < 1_000 else 0) if digits is None else digits
    amount = f"{abs(value):,.{decimals}f}"
    prefix = MINUS if value < 0 and any(sign in "123456789" for sign in amount) else ""
    symbol = SYMBOLS.get(currency)
    return f"{prefix}{symbol}{amount}" if symbol else f"{prefix}{amount}{NBSP}{clean(currency, 8)}"


def day(value: date) -> str:
    """2024-03-05 -> 5 Mar 2024, whatever the locale of the machine."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{value.day}{NBSP}{months[value.month - 1]}{NBSP}{value.year}"


def day_and_month(value: date) -> str:
    """2024-03-05 -> 5 Mar."""
    return day(value).rsplit(NBSP, 1)[0]


def month(value: date) -> str:
    """2024-03-01 -> Mar 2024."""
    return day(value).split(NBSP, 1)[1]


def plural(number: Number, noun: str) -> str:
    """1 day, 2 days, 1,000 people."""
    many = {"person": "people"}.get(noun, noun + "s")
    return f"{count(number)}{NBSP}{noun if number == 1 else many}"


def versus(change: Number, size: str, before: str) -> str:
    """ "0.2 points above the week before", or "the same as" where nothing changed; ``size`` is the unsigned change."""
    if not any(sign in "123456789" for sign in size):
        return f"the same as {before}"
    return f"{size} {'above' if change > 0 else 'below'} {before}"


def _signed(text: str) -> str:
    if text.startswith("-") and not any(sign in "123456789" for sign in text):
        return text[1:]
    return text.replace("-", MINUS)
