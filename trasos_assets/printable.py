"""Text of strangers, made fit for a terminal or a spreadsheet."""

import re

_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?")


def harmless(value: object, *, lines: bool = False) -> str:
    """The text with an escape for whatever moves the cursor or turns the writing round; none for None.

    Line feeds become escapes too, unless ``lines`` lets them stand.
    """
    text = "" if value is None else str(value)
    if lines:
        return "\n".join(harmless(line) for line in text.split("\n"))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def no_formula(value: object) -> object:
    """The value, with an apostrophe before a text that a spreadsheet would take for a formula.

    A text that is a number, and whatever is no text, stays as it is.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
