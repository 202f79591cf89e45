"""A column's values as a type of the landing format, if each of them would be read from text as the same value."""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP

MONEY_TYPE = pa.decimal128(18, 4)
_INTEGERS = {INT32: pa.int32(), INT64: pa.int64()}
_MICROS = pa.timestamp("us")
_SCALE = 10_000
_MOST_MONEY = 10**14
# Below, a double times 10,000 is off by far less than the distance to a tie that is looked at closely.
_PLAIN_DOUBLE, _NEAR_TIE = 1e9, 0.01
# The calendar of the text path: years of four digits.
_EARLIEST = int((datetime(1, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000
_LATEST = int((datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() + 1) * 1_000_000) - 1
# JSON of one value besides its text: quotes, a comma, and the most that a number or time takes.
_VALUE_BYTES = 40


def as_type(values: pa.Array, wanted: str) -> pa.Array | None:
    """The values as the Arrow type of a contract's type, or None if one of them is not exactly of it.

    Text stays text (``string`` or ``large_string``), whole numbers become text where text is wanted; decimals and
    finite doubles are rounded to 4 places half away from zero, as their text would be; times become naive UTC.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return as_type(values.dictionary_decode(), wanted)
    try:
        if wanted == TEXT:
            return _text(values)
        if wanted in _INTEGERS:
            return values.cast(_INTEGERS[wanted]) if pa.types.is_integer(kind) else None
        if wanted == MONEY:
            return _money(values)
        if wanted == TIMESTAMP:
            return _timestamp(values)
        if wanted == DATE:
            return _date(values)
        return values if wanted == BOOLEAN and pa.types.is_boolean(kind) else None
    except pa.ArrowInvalid:
        return None


def _text(values: pa.Array) -> pa.Array | None:
    if pa.types.is_integer(values.type):
        return values.cast(pa.string())
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return None
    values.validate(full=True)  # a file may hold anything under the name of text
    # What NUL means in a text is left to the text path.
    return None if _holds_nul(values) else values


def _holds_nul(values: pa.Array) -> bool:
    data = values.buffers()[2]
    return data is not None and data.size > 0 and not np.frombuffer(data, np.uint8).all()


def _money(values: pa.Array) -> pa.Array | None:
    kind = values.type
    if pa.types.is_integer(kind):
        return values.cast(pa.decimal128(24, 0)).cast(MONEY_TYPE)
    if pa.types.is_decimal(kind):
        if kind.scale > 4:
            wide = values.cast(pa.decimal256(76, kind.scale))
            values = pc.round(wide, ndigits=4, round_mode="half_towards_infinity")
        return values.cast(MONEY_TYPE)
    return _rounded(values) if pa.types.is_float64(kind) else None


def _rounded(values: pa.Array) -> pa.Array | None:
    """Doubles rounded as their shortest text would be: a tie in decimal is none in binary."""
    known = values.is_valid()
    numbers = values.fill_null(0.0).to_numpy(zero_copy_only=False)
    size = np.abs(numbers)
    if not np.all(size < _MOST_MONEY):  # NaN too
        return None
    scaled = size * _SCALE
    whole = np.floor(scaled)
    close = (np.abs(scaled - whole - 0.5) < _NEAR_TIE) | (size >= _PLAIN_DOUBLE)
    units = np.where(scaled - whole >= 0.5, whole + 1, whole).astype(np.int64)
    if close.any():
        exact = pa.array(size[close]).cast(pa.string()).cast(pa.decimal256(76, 40))
        rounded = pc.round(exact, ndigits=4, round_mode="half_towards_infinity").cast(pa.decimal128(38, 4))
        units[close] = _units(rounded)
    units = np.where(numbers < 0, -units, units)
    if np.any(np.abs(units) >= _MOST_MONEY * _SCALE):
        return None
    return pc.if_else(known, _decimals(units), pa.scalar(None, MONEY_TYPE))


def _units(decimals: pa.Array) -> np.ndarray:
    """The low 64 bits of 128-bit decimals below 2^63: their number of units in the last place."""
    raw = np.frombuffer(decimals.buffers()[1], dtype=np.int64)
    return raw[2 * decimals.offset : 2 * (decimals.offset + len(decimals)) : 2]


def _decimals(units: np.ndarray) -> pa.Array:
    """Numbers of ten-thousandths as decimals, without a loop: two words a value, the high one only the sign."""
    words = np.empty(2 * len(units), dtype=np.int64)
    words[0::2], words[1::2] = units, units >> 63
    return pa.Array.from_buffers(MONEY_TYPE, len(units), [None, pa.py_buffer(words)])


def _timestamp(values: pa.Array) -> pa.Array | None:
    if not pa.types.is_timestamp(values.type):
        return None
    # A zone is how the time is shown; what is stored is UTC, and without a zone it is taken as UTC.
    naive = values.view(pa.timestamp(values.type.unit)).cast(_MICROS)
    return naive if _within(naive.view(pa.int64()), _EARLIEST, _LATEST) else None


def _date(values: pa.Array) -> pa.Array | None:
    if not pa.types.is_date(values.type):
        return None
    days = values.cast(pa.date32())
    epoch = date(1970, 1, 1).toordinal()
    within = _within(days.view(pa.int32()), date.min.toordinal() - epoch, date.max.toordinal() - epoch)
    return days if within else None


def _within(values: pa.Array, least: int, most: int) -> bool:
    ends = pc.min_max(values).as_py()
    return ends["min"] is None or (ends["min"] >= least and ends["max"] <= most)


def fits_in(columns: Mapping[str, pa.Array], max_line_bytes: int) -> bool:
    """Whether no row's JSON text can be longer than the limit, every character taken as an escape."""
    least = sum(len(name.encode()) + _VALUE_BYTES for name in columns) + 2
    texts = [values for values in columns.values() if pa.types.is_string(values.type) or _is_large(values)]
    if not texts:
        return least <= max_line_bytes
    longest = sum(pc.max(pc.binary_length(values)).as_py() or 0 for values in texts)
    if least + 6 * longest <= max_line_bytes:
        return True
    lengths = [pc.fill_null(pc.binary_length(values), 0).to_numpy(zero_copy_only=False) for values in texts]
    return bool(least + 6 * np.max(np.sum(lengths, axis=0, dtype=np.int64)) <= max_line_bytes)


def _is_large(values: pa.Array) -> bool:
    return pa.types.is_large_string(values.type)
