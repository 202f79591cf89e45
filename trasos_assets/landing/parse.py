"""From landed lines to raw rows: every line becomes one row, whatever it holds.

A value that has not the type of its column becomes null and is named in ``problems``; the line's own text is kept
beside it. Nothing is judged here: the row rules run in ``trust.classify``.
"""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.landing import FORMATS, LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP, Column
from trasos_assets.landing.ahead import made_ahead
from trasos_assets.landing.blocks import NO_UTF8, Block, UnreadableFileError, arrow_types
from trasos_assets.landing.readers import read_blocks
from trasos_assets.landing.streams import file_signature
from trasos_assets.places import shown
from trasos_assets.sql import literal, quoted

BLOCK_ROWS = 200_000
BATCH_ROWS = 8_192
MALFORMED = "malformed"
TOO_LONG = "line_too_long"
TOO_DEEP = "nested_too_deep"
DUPLICATE_KEY = "duplicate_key"
INVALID_UTF8 = "invalid_utf8"
UNREAD = (MALFORMED, TOO_LONG, TOO_DEEP)
"""Problems of a line none of whose fields could be read."""

MAX_DEPTH = 1_000
"""Deeper JSON is not parsed: the engine recurses over it and a hostile line would end the process."""

_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|$)|([\[{])|([\]}])', re.DOTALL)


@dataclass(frozen=True)
class Delivery:
    """One landed file as the ledger knows it; with a signature, a file that changed since is refused."""

    delivery: str
    dataset: str
    path: Path
    received_day: date
    signature: str | None = None


# Years that every consumer's calendar knows; DuckDB's own reaches from 290308 BC to 294246.
_EARLIEST, _LATEST = "TIMESTAMPTZ '0001-01-01 00:00:00+00'", "TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'"


def _typed(column: Column) -> str:
    """SQL for a field's text as the column's type; null where it is not of that type."""
    text = f"s.{quoted(column.name)}"
    whole = f"CASE WHEN regexp_full_match(trim({text}), '[+-]?[0-9]+') THEN"
    decimal = f"CASE WHEN regexp_full_match(trim({text}), '[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?') THEN"
    instant = f"TRY_CAST({text} AS TIMESTAMPTZ)"
    no_zone = "[+-](1[6-9]|[2-9][0-9])(:?[0-9]{2})?(:?[0-9]{2})?$"
    by_type = {
        # A number or truth value in a text column is taken as its text; an object or array is no text.
        TEXT: f"CASE WHEN starts_with({text}, '{{') OR starts_with({text}, '[') "
        f"THEN CASE WHEN json_type(text, '$.{column.name}') = 'VARCHAR' THEN {text} END ELSE {text} END",
        INT32: f"{whole} TRY_CAST({text} AS INTEGER) END",
        INT64: f"{whole} TRY_CAST({text} AS BIGINT) END",
        MONEY: f"{decimal} TRY_CAST({text} AS DECIMAL(18, 4)) END",
        # TIMESTAMPTZ understands an offset; a time without one is UTC because the session's time zone is.
        # Only at the ends of the calendar may the offset lead out of it, so only there it is looked at twice.
        TIMESTAMP: f"CASE WHEN NOT regexp_matches({text}, '^[0-9]{{4}}-[^(]*$') THEN NULL "
        f"WHEN contains({text}, ':') AND regexp_matches({text}, '{no_zone}') THEN NULL "
        f"WHEN {text} > '0002' AND {text} < '9999' OR {instant} BETWEEN {_EARLIEST} AND {_LATEST} "
        f"THEN ({instant} AT TIME ZONE 'UTC')::TIMESTAMP END",
        DATE: f"CASE WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') "
        f"AND {text} >= '0001' THEN TRY_CAST({text} AS DATE) END",
        BOOLEAN: f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END",
    }
    return by_type[column.type]


def _occurred_day(landing: LandingFormat, source: str, timezone: str) -> str:
    """SQL of the column ``occurred_day`` with a comma behind it; nothing for a format without events' times."""
    if not any(column.name == "occurred_at" for column in landing.columns):
        return ""
    if timezone == "UTC":
        return f"{source}.occurred_at::DATE AS occurred_day, "
    return (
        f"CASE WHEN {source}.occurred_at IS NOT NULL THEN greatest(DATE '0001-01-01', least(DATE '9999-12-31', "
        f"({source}.occurred_at AT TIME ZONE 'UTC' AT TIME ZONE {literal(timezone)})::DATE)) END AS occurred_day, "
    )


def _select(landing: LandingFormat, lines: str, *, timezone: str, max_line_bytes: int) -> str:
    """SQL from (day, file_hash, line, text, too_deep) to the raw table's columns."""
    fields = json.dumps({column.name: "VARCHAR" for column in landing.columns})
    known = json.dumps(dict.fromkeys(column.name for column in landing.columns))
    faults = ", ".join(
        f"CASE WHEN s.{quoted(c.name)} IS NOT NULL AND t.{quoted(c.name)} IS NULL THEN 'invalid_{c.name}' END"
        for c in landing.columns
    )
    names = ", ".join(f"t.{quoted(column.name)}" for column in landing.columns)
    return f"""
        WITH parsed AS (
            SELECT day, file_hash, line, text, too_deep,
                strlen(text) > {max_line_bytes} AS too_long,
                CASE WHEN NOT too_deep AND strlen(text) <= {max_line_bytes} AND starts_with(ltrim(text), '{{')
                    THEN TRY(json_transform(text, {literal(fields)})) END AS s
            FROM {lines}
        ), typed AS (
            SELECT *, CASE WHEN s IS NOT NULL THEN TRY(json_keys(text)) END AS keys,
                {{{", ".join(f"{literal(c.name)}: {_typed(c)}" for c in landing.columns)}}} AS t FROM parsed
        ), judged AS (
            SELECT *,
                CASE WHEN too_long THEN '{TOO_LONG}' WHEN too_deep THEN '{TOO_DEEP}' WHEN s IS NULL THEN '{MALFORMED}'
                    ELSE nullif(concat_ws(',', CASE WHEN len(keys) > list_unique(keys) THEN '{DUPLICATE_KEY}' END,
                        CASE WHEN contains(text, {literal(NO_UTF8)}) THEN '{INVALID_UTF8}' END,
                        {faults}), '') END AS problems,
                CASE WHEN s IS NOT NULL
                    THEN nullif(TRY(json_merge_patch(text, {literal(known)}))::VARCHAR, '{{}}') END AS extra
            FROM typed
        )
        SELECT day, file_hash, line, {names}, {_occurred_day(landing, "t", timezone)} extra, problems,
            CASE WHEN problems IS NOT NULL THEN text[:{max_line_bytes}] END AS raw, NULL::VARCHAR AS release_id
        FROM judged
    """  # noqa: S608 - every name comes from the landing format


def _select_typed(landing: LandingFormat, rows: str, *, timezone: str) -> str:
    """SQL from typed rows to the raw table's columns: nothing is wrong with them, nothing is beside them."""
    names = ", ".join(f"t.{quoted(column.name)}" for column in landing.columns)
    nothing = ", ".join(f"NULL::VARCHAR AS {name}" for name in ("extra", "problems", "raw", "release_id"))
    return f"SELECT day, file_hash, line, {names}, {_occurred_day(landing, 't', timezone)} {nothing} FROM {rows} AS t"  # noqa: S608


def _depth(text: str) -> int:
    """How deep brackets outside of strings are nested; 0 where there are too few of them to matter."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.finditer(text):
        if bracket[1]:
            depth += 1
            deepest = max(deepest, depth)
        elif bracket[2]:
            depth -= 1
    return deepest


def _too_deep(text: pa.ChunkedArray) -> pa.Array:
    """Whether each line is nested deeper than MAX_DEPTH; only lines long enough for it are looked at closely."""
    suspect = pc.greater(pc.binary_length(text), MAX_DEPTH).combine_chunks()
    if not pc.any(suspect).as_py():
        return suspect
    verdicts = pa.array([_depth(line) > MAX_DEPTH for line in text.filter(suspect).to_pylist()], pa.bool_())
    return pc.replace_with_mask(suspect, suspect, verdicts)


def _refuse_changed(delivery: Delivery) -> None:
    try:
        changed = delivery.signature is not None and file_signature(delivery.path) != delivery.signature
    except OSError:
        changed = True
    if changed:
        raise UnreadableFileError(
            f"{shown(delivery.path)}: changed since the ledger looked at it; the next ingest takes it as it is then",
            waiting=True,
        )


def read_deliveries(
    backend: ibis.backends.duckdb.Backend,
    dataset: str,
    deliveries: Iterable[Delivery],
    *,
    timezone: str,
    max_line_bytes: int,
    max_file_bytes: int,
    progress: Callable[[Delivery, int], None] | None = None,
) -> ibis.Table:
    """All lines of some deliveries as a temporary table of the data set's raw columns.

    Rows stream through in blocks, so memory does not grow with the deliveries.

    Raises:
        UnreadableFileError: a file changed or broke since the ledger looked at it.
    """
    landing = FORMATS[dataset]
    held, lines = f"raw_{uuid.uuid4().hex[:12]}", f"lines_{uuid.uuid4().hex[:12]}"
    of_text = _select(landing, lines, timezone=timezone, max_line_bytes=max_line_bytes)
    of_typed = _select_typed(landing, lines, timezone=timezone)
    backend.raw_sql(
        f"CREATE TEMP TABLE {held} AS WITH {lines} AS (SELECT NULL::DATE AS day, '' AS file_hash, 0::BIGINT AS line, "  # noqa: S608
        f"''::VARCHAR AS text, false AS too_deep WHERE false) SELECT * FROM ({of_text})"
    )
    limits = {"max_bytes": max_file_bytes, "max_line_bytes": max_line_bytes}
    for block in made_ahead(_gathered(landing, deliveries, limits=limits, progress=progress)):
        backend.con.register(lines, block.rows)
        backend.raw_sql(f"INSERT INTO {held} {of_typed if block.typed else of_text}")
        backend.con.unregister(lines)
    return backend.table(held)


def _gathered(
    landing: LandingFormat,
    deliveries: Iterable[Delivery],
    *,
    limits: dict[str, int],
    progress: Callable[[Delivery, int], None] | None,
) -> Iterator[Block]:
    """Rows of many small files in few blocks, since every statement costs as much as thousands of rows.

    Columns day and file_hash beside those of the readers' blocks, and too_deep beside text.
    """
    gatherers = {True: _Gatherer(landing, typed=True), False: _Gatherer(landing, typed=False)}
    for delivery in deliveries:
        rows = 0
        for block in read_blocks(delivery.path, landing, **limits):
            rows += block.rows.num_rows
            gatherer = gatherers[block.typed]
            gatherer.add(block.rows, delivery)
            if gatherer.rows >= BLOCK_ROWS:
                yield gatherer.taken()
        _refuse_changed(delivery)
        if progress is not None:
            progress(delivery, rows)
    for gatherer in gatherers.values():
        if gatherer.rows:
            yield gatherer.taken()


class _Gatherer:
    """Tables of one shape on their way to the engine."""

    def __init__(self, landing: LandingFormat, *, typed: bool) -> None:
        self.typed = typed
        names = [column.name for column in landing.columns]
        self._wanted = ["line", *(names if typed else ["text"])]
        self._types = arrow_types(landing) if typed else {"text": pa.large_string()}
        self._waiting: list[pa.Table] = []
        self.rows = 0

    def add(self, rows: pa.Table, delivery: Delivery) -> None:
        missing = {name: pa.nulls(rows.num_rows, self._types[name]) for name in self._wanted[1:]}
        columns = {name: rows[name] if name in rows.column_names else missing[name] for name in self._wanted}
        columns["day"] = pa.repeat(pa.scalar(delivery.received_day), rows.num_rows)
        columns["file_hash"] = pa.repeat(pa.scalar(delivery.delivery), rows.num_rows)
        if not self.typed:
            columns["too_deep"] = _too_deep(rows["text"])
        self._waiting.append(pa.table(columns))
        self.rows += rows.num_rows

    def taken(self) -> Block:
        """All of it as one block, in batches small enough for every engine thread to get some."""
        whole = pa.concat_tables(self._waiting, promote_options="permissive")
        small = len(self._waiting) * BATCH_ROWS > 4 * self.rows
        self._waiting, self.rows = [], 0
        batches = (whole.combine_chunks() if small else whole).to_batches(max_chunksize=BATCH_ROWS)
        return Block(pa.Table.from_batches(batches, schema=whole.schema), self.typed)
