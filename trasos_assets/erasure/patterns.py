"""Ids in text: when a run of characters is an id as a whole, and not a part of something else.

How sure one can be depends on the id. A long one (a UUID) is an id wherever it stands between other characters. A short
one (``c12``) may be a word of anything, so outside of event lines it counts only as a whole value, in quotes or between
separators. A number (``17850``) may be a price or an item as well, so it counts only behind the name of an id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from enum import Enum

LONG_CHARACTERS = 8
LONG_DIGITS = 12
_WORD = "0-9A-Za-z_-"
_NAMED = r"(?i:visitor|customer|unit|person|user|client)(?i:[_ -]?id)?"
ERASED = b"[erased]"
"""What stands where an id stood in a file that is kept for other reasons."""

_RUN = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")


class Kind(Enum):
    """How an id can be told from other text."""

    LONG = "long"
    SHORT = "short"
    NUMBER = "number"


def kind_of(value: str) -> Kind:
    """The kind of an id."""
    if value.isdigit() and len(value) < LONG_DIGITS:
        return Kind.NUMBER
    return Kind.LONG if len(value) >= LONG_CHARACTERS else Kind.SHORT


def spellings(value: str) -> tuple[str, ...]:
    """An id as it may stand in text: as it is, and as JSON writes it."""
    return tuple(dict.fromkeys((value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1])))


def _any(values: Iterable[str]) -> str:
    every = sorted({spelling for value in values for spelling in spellings(value)})
    return "(?:" + "|".join(re.escape(value) for value in every) + ")"


def _whole_word(values: Collection[str]) -> str:
    return f"(?:^|[^{_WORD}]){_any(values)}(?:[^{_WORD}]|$)"


def _whole_value(values: Collection[str]) -> str:
    return f"(?:^|[\"'>,;|\\t\\r\\n]){_any(values)}(?:[\"'<,;|\\\\\\t\\r\\n]|$)"


def _named_value(values: Collection[str]) -> str:
    return f"{_NAMED}\\\\*[\"']?\\s*[:=]\\s*\\\\*[\"']?{_any(values)}(?:[^.{_WORD}]|$)"


def _field(values: Collection[str]) -> str:
    return f'(?:^|,)"?{_any(values)}"?(?:,|$)'


def _joined(parts: Iterable[str]) -> str | None:
    found = [part for part in parts if part]
    return "|".join(found) if found else None


def _of(values: Collection[str], kind: Kind) -> list[str]:
    return [value for value in values if kind_of(value) is kind]


def pattern_of_lines(values: Collection[str]) -> str | None:
    """A regular expression for the text of event lines: it matches where one of the ids stands as a whole.

    Good for RE2, Java and Python; None for no ids. Every word of such a line is about the event, so that a short id
    counts as any word there, and a number as a whole field too (of a line of CSV that could not be read).
    """
    words, numbers = [*_of(values, Kind.LONG), *_of(values, Kind.SHORT)], _of(values, Kind.NUMBER)
    return _joined(
        (
            _whole_word(words) if words else "",
            _named_value(numbers) if numbers else "",
            _field(numbers) if numbers else "",
        )
    )


def pattern_of_text(values: Collection[str]) -> str | None:
    """A regular expression for any other text, as the module says; None for no ids."""
    long, short, numbers = (_of(values, kind) for kind in (Kind.LONG, Kind.SHORT, Kind.NUMBER))
    return _joined(
        (
            _whole_word(long) if long else "",
            _whole_value(short) if short else "",
            _named_value(numbers) if numbers else "",
        )
    )


def _longest_run(value: bytes) -> bytes:
    return max(_RUN.findall(value), key=len, default=b"")


def _replaced(found: bytes, parts: list[bytes]) -> bytes:
    for part in parts:
        head, held, tail = found.rpartition(part)
        if held:
            return head + ERASED + tail
    return found


class Finder:
    """Finds whole ids in bytes, of any number of ids at once: the runs of letters and digits of the text are looked up
    in those of the ids, and only where one is found the text is looked at closely.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        self.ids = frozenset(value for value in ids if value)
        self._by_run: dict[bytes, set[str]] = {}
        for value in self.ids:
            for spelling in spellings(value):
                self._by_run.setdefault(_longest_run(spelling.encode()), set()).add(value)
        self._texts: dict[str, re.Pattern[bytes]] = {}
        self._words: dict[str, re.Pattern[bytes]] = {}

    def _candidates(self, content: bytes) -> set[str]:
        runs = self._by_run.keys() & set(_RUN.findall(content))
        found = {value for run in runs for value in self._by_run[run]}
        # An id without a letter or digit has no run to be looked up by.
        return found | self._by_run.get(b"", set())

    def in_text(self, content: bytes) -> set[str]:
        """Ids that stand in some text, as ``pattern_of_text`` says."""
        return {value for value in self._candidates(content) if self._text(value).search(content)}

    def in_values(self, content: bytes) -> set[str]:
        """Ids that are one of the lines of some text, or stand in one as ``pattern_of_lines`` says."""
        return {value for value in self._candidates(content) if self._line(value).search(content)}

    def without(self, content: bytes) -> bytes:
        """The text with ERASED in place of every id that stands in it."""
        for value in self.in_text(content):
            parts = [spelling.encode() for spelling in spellings(value)]
            pattern = self._text(value)
            # Two ids may share the sign between them, so one pass is not always enough.
            while pattern.search(content):
                content = pattern.sub(lambda match, parts=parts: _replaced(match.group(), parts), content)
        return content

    def _text(self, value: str) -> re.Pattern[bytes]:
        if value not in self._texts:
            pattern = pattern_of_text([value])
            self._texts[value] = re.compile((pattern or "(?!)").encode(), re.MULTILINE)
        return self._texts[value]

    def _line(self, value: str) -> re.Pattern[bytes]:
        if value not in self._words:
            pattern = pattern_of_lines([value])
            self._words[value] = re.compile((pattern or "(?!)").encode(), re.MULTILINE)
        return self._words[value]
