"""JSON lines as blocks: a fast reading for lines that are what the format says, a patient one for the others.

Nearly all lines of nearly all files hold the format's fields with values of the right kind. Arrow's parser reads such
lines several times faster than the engine does line by line, but it knows only "all good" and "something is wrong". So
it tries a few thousand lines at a time, and where it refuses, the lines go to the engine as text, which says of each
what is wrong with it. What the fast reading accepts has the same values either way (tested).
"""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP
from trasos_assets.landing.blocks import NO_UTF8, Block
from trasos_assets.landing.lines import BLOCK_BYTES, blocks, numbered

LEAST_BYTES = 32 << 10
"""Lines that Arrow refuses are tried again in ``SPLIT`` pieces, and so on down to this size, where they become text."""

SPLIT = 6
WORKERS = 2
ZONE = "(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)$"
# One shape of a time, "2026-01-31T23:59:59" with up to six decimals and a zone, means the same to Arrow and the engine;
# shorter ones do not, and at the ends of the calendar only the engine's own rules say what is a time.
_SHORTEST_TIME, _LONGEST_TIME = len("2026-01-31T23:59:59Z"), len("2026-01-31T23:59:59.000000+00:00")
_EARLIEST, _LATEST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000 for year in (1900, 2200))
_DAY = 24 * 3600 * 1_000_000
# The engine reads a number of JSON as a double, which keeps fifteen digits.
_MOST_MONEY = Decimal(10**10)
_MARK = NO_UTF8.encode()
_UTC = pa.timestamp("us", "UTC")
_JSON_TYPES: dict[str, pa.DataType] = {
    TEXT: pa.string(),
    TIMESTAMP: pa.string(),
    DATE: pa.string(),
    INT32: pa.int32(),
    INT64: pa.int64(),
    MONEY: pa.decimal128(18, 4),
    BOOLEAN: pa.bool_(),
}


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="landing")


@functools.cache
def _schema(landing: LandingFormat) -> pa.Schema:
    return pa.schema([(column.name, _JSON_TYPES[column.type]) for column in landing.columns])


def _one_object_a_line(content: bytes, feeds: np.ndarray, max_line_bytes: int) -> bool:
    """Whether every line begins and ends as an object does, is not too long, and holds nothing the engine refuses.

    ``feeds`` are the places of the line feeds. One between ``}`` and ``{`` can stand between two objects only: within
    an object a comma would be missing, and within a string it would be escaped. With as many objects as lines, each
    line is one object.
    """
    if not content.startswith(b"{") or not content.endswith(b"}"):
        return False
    signs = np.frombuffer(content, np.uint8)
    if not (signs[feeds - 1] == ord("}")).all() or not (signs[feeds + 1] == ord("{")).all():
        return False
    # The search for one byte is many times faster than that for several.
    if b"\0" in content or (b"\\" in content and b"\\u0000" in content):
        return False
    if not content.isascii() and _MARK in content:
        return False
    return len(content) <= max_line_bytes or _longest_line(content, feeds) <= max_line_bytes


def _longest_line(content: bytes, feeds: np.ndarray) -> int:
    return int(np.diff(feeds, prepend=-1, append=len(content)).max()) - 1


def _within(numbers: pa.ChunkedArray, least: int | Decimal, most: int | Decimal) -> bool:
    reach = pc.min_max(numbers)
    return reach["min"].as_py() is None or (reach["min"].as_py() >= least and reach["max"].as_py() <= most)


def _as_times(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Times of one shape as naive UTC; ``ArrowInvalid`` if one has another, or lies far from our days."""
    shaped = _within(pc.binary_length(texts), _SHORTEST_TIME, _LONGEST_TIME)
    if not shaped or pc.all(pc.equal(pc.utf8_slice_codeunits(texts, 16, 17), ":")).as_py() is False:
        raise pa.ArrowInvalid("a time of another shape")
    # Of a column of nulls ``all`` is null: there is nothing to object to.
    every_z = pc.all(pc.ends_with(texts, "Z")).as_py()
    if every_z is False and pc.all(pc.match_substring_regex(texts, ZONE)).as_py() is False:
        raise pa.ArrowInvalid("a zone that no clock has")
    times = pc.cast(texts, _UTC)
    if not _within(pc.cast(times, pa.int64()), _EARLIEST, _LATEST):
        raise pa.ArrowInvalid("a time at the ends of the calendar")
    return pc.cast(times, pa.timestamp("us"))


def _as_dates(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Days of one shape; ``ArrowInvalid`` if one has another, or lies far from our days."""
    if not _within(pc.binary_length(texts), len("2026-01-31"), len("2026-01-31")):
        raise pa.ArrowInvalid("a day of another shape")
    days = pc.cast(texts, pa.date32())
    if not _within(pc.multiply(pc.cast(pc.cast(days, pa.int32()), pa.int64()), _DAY), _EARLIEST, _LATEST):
        raise pa.ArrowInvalid("a day at the ends of the calendar")
    return days


_MADE_OF_TEXT = {TIMESTAMP: _as_times, DATE: _as_dates}


def typed_rows(content: bytes, landing: LandingFormat, *, max_line_bytes: int) -> pa.Table | None:
    """Rows of some whole lines with the format's columns, or None if any of them wants a closer look.

    Times are naive UTC timestamps, dates are dates, money is decimal(18, 4).
    """
    content = content.removesuffix(b"\n")
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").removesuffix(b"\r")
    feeds = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))
    if not _one_object_a_line(content, feeds, max_line_bytes):
        return None
    try:
        rows = pa_json.read_json(
            pa.BufferReader(content),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(content) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=_schema(landing), unexpected_field_behavior="error"),
        )
        rows.validate(full=True)  # the parser looks neither at UTF-8 nor at the digits of a decimal
        if rows.num_rows != len(feeds) + 1:
            return None
        for number, column in enumerate(landing.columns):
            if column.type in _MADE_OF_TEXT:
                rows = rows.set_column(number, column.name, _MADE_OF_TEXT[column.type](rows[column.name]))
            elif column.type == MONEY and not _within(rows[column.name], -_MOST_MONEY, _MOST_MONEY):
                return None
    except pa.ArrowException:
        return None
    return rows


def _pieces(content: bytes, size: int) -> Iterator[bytes]:
    start = 0
    while start < len(content):
        cut = content.find(b"\n", start + size) + 1
        yield content[start : cut or len(content)]
        start = cut or len(content)


def _read(
    content: bytes, landing: LandingFormat, max_line_bytes: int, first: int = 1, *, whole: bool = True
) -> tuple[list[Block], int]:
    """Blocks of some whole lines, numbered from ``first``, and how many lines there are, blank ones included.

    Unless ``whole`` the lines are tried in pieces at once.
    """
    rows = typed_rows(content, landing, max_line_bytes=max_line_bytes) if whole or len(content) < LEAST_BYTES else None
    if rows is not None:
        return [_typed(rows, first)], rows.num_rows
    pieces = list(_pieces(content, max(len(content) // SPLIT, LEAST_BYTES)))
    if len(pieces) == 1:
        texts, lines = numbered(content, first=first)
        return [Block(texts, typed=False)], lines
    found: list[Block] = []
    lines = 0
    for piece in pieces:
        of_piece, count = _read(piece, landing, max_line_bytes, first + lines)
        found += of_piece
        lines += count
    return found, lines


def _typed(rows: pa.Table, first: int) -> Block:
    numbers = pa.array(np.arange(first, first + rows.num_rows, dtype=np.int64))
    return Block(rows.add_column(0, "line", numbers), typed=True)


def _later(block: Block, lines: int) -> Block:
    """The block with ``lines`` lines before it."""
    return Block(block.rows.set_column(0, "line", pc.add(block.rows["line"], lines)), block.typed) if lines else block


def _ahead(contents: Iterable[bytes], landing: LandingFormat, max_line_bytes: int) -> Iterator[tuple[list[Block], int]]:
    """What ``_read`` makes of each content, in order, a few of them read ahead by other threads."""
    waiting: deque[Future[tuple[list[Block], int]]] = deque()
    whole = True
    try:
        for content in contents:
            waiting.append(_workers().submit(_read, content, landing, max_line_bytes, whole=whole))
            if len(waiting) > 3 * WORKERS:
                found = waiting.popleft().result()
                whole = len(found[0]) <= SPLIT  # where one block held a bad line, the next ones are likely to
                yield found
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def read_blocks(path: Path, landing: LandingFormat, *, max_bytes: int, max_line_bytes: int) -> Iterator[Block]:
    """All lines of a file (plain or compressed), in order; blank lines are counted but left out.

    Raises:
        UnreadableFileError: as ``lines.blocks``.
    """
    before = 0
    for found, lines in _ahead(blocks(path, max_bytes=max_bytes, size=BLOCK_BYTES), landing, max_line_bytes):
        yield from (_later(block, before) for block in found if block.rows.num_rows)
        before += lines


def count_rows(path: Path, *, max_bytes: int) -> int:
    """Number of lines that hold anything; reads the whole file, and so proves that it can be read.

    Raises:
        UnreadableFileError: as ``lines.blocks``.
    """
    return sum(_count(content) for content in blocks(path, max_bytes=max_bytes, size=BLOCK_BYTES))


def _count(content: bytes) -> int:
    """Lines that hold anything: all, where every one begins an object; else a closer look at the pieces."""
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    if content.count(b"\n{") + content.startswith(b"{") == lines:
        return lines
    pieces = list(_pieces(content, LEAST_BYTES))
    if len(pieces) > 1:
        return sum(_count(piece) for piece in pieces)
    return numbered(content, first=1)[0].num_rows
