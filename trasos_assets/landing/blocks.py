"""What the readers of landed files hand on: numbered rows, as text to be parsed or with their values typed already."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

import pyarrow as pa

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP

_ARROW_TYPES: dict[str, pa.DataType] = {
    TEXT: pa.string(),
    TIMESTAMP: pa.timestamp("us"),
    DATE: pa.date32(),
    INT32: pa.int32(),
    INT64: pa.int64(),
    MONEY: pa.decimal128(18, 4),
    BOOLEAN: pa.bool_(),
}


NO_UTF8 = "\ufffd\ufdd0"
"""What stands for bytes that are no UTF-8: the replacement character, and one that no text may hold, as a mark."""

MARKED = "marked"
"""The name of the way to decode (``errors=``) that puts NO_UTF8 for such bytes."""

codecs.register_error(MARKED, lambda error: (NO_UTF8, error.end))  # type: ignore[attr-defined]


def arrow_types(landing: LandingFormat) -> dict[str, pa.DataType]:
    """The type that each of a format's columns has in a typed block."""
    return {column.name: _ARROW_TYPES[column.type] for column in landing.columns}


@dataclass(frozen=True)
class Block:
    """Some rows of one landed file, in order.

    A text block has the columns ``line`` (int64, from 1) and ``text`` (large_string: one JSON object a row, whatever
    it holds). A typed block has ``line`` and any of the format's columns, with values that fit the contract's types
    exactly; a column that is not there is null. A reader hands on a typed block only if every row of it would come out
    of the text path with the same values, no problems and no fields that the format does not know.
    """

    rows: pa.Table
    typed: bool


class UnreadableFileError(Exception):
    """A landed file cannot be read whole. ``waiting`` says that it may still become whole."""

    def __init__(self, message: str, *, waiting: bool) -> None:
        super().__init__(message)
        self.waiting = waiting
