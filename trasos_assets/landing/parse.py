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
from trasos_assets.landing.lines import UnreadableFileError, file_signature, numbered_lines

BLOCK_ROWS = 200_000
BATCH_ROWS = 8_192
MALFORMED = "malformed"
TOO_LONG = "line_too_long"
TOO_DEEP = "nested_too_deep"
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


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _typed(column: Column) -> str:
    """SQL for a field's text as the column's type; null where it is not of that type."""
    text = f"s.{_quoted(column.name)}"
    whole = f"CASE WHEN regexp_full_match(trim({text}), '[+-]?[0-9]+') THEN"
    decimal = f"CASE WHEN regexp_full_match(trim({text}), '[+-]?[0-9]*[.]?[0-9]+([eE][+-]?[0-9]+)?') THEN"
    instant = f"TRY_CAST({text} AS TIMESTAMPTZ)"
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
        f"WHEN {text} > '0002' AND {text} < '9999' OR {instant} BETWEEN {_EARLIEST} AND {_LATEST} "
        f"THEN ({instant} AT TIME ZONE 'UTC')::TIMESTAMP END",
        DATE: f"CASE WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') "
        f"AND {text} >= '0001' THEN TRY_CAST({text} AS DATE) END",
        BOOLEAN: f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END",
    }
    return by_type[column.type]


def _select(landing: LandingFormat, lines: str, *, timezone: str, max_line_bytes: int) -> str:
    """SQL from (day, file_hash, line, text, too_deep) to the raw table's columns; of a doubled key the first counts."""
    fields = json.dumps({column.name: "VARCHAR" for column in landing.columns})
    known = json.dumps(dict.fromkeys(column.name for column in landing.columns))
    faults = ", ".join(
        f"CASE WHEN s.{_quoted(c.name)} IS NOT NULL AND t.{_quoted(c.name)} IS NULL THEN 'invalid_{c.name}' END"
        for c in landing.columns
    )
    names = ", ".join(f"t.{_quoted(column.name)}" for column in landing.columns)
    occurred = ""
    if any(column.name == "occurred_at" for column in landing.columns):
        occurred = (
            "CASE WHEN t.occurred_at IS NOT NULL THEN greatest(DATE '0001-01-01', least(DATE '9999-12-31', "
            f"(t.occurred_at AT TIME ZONE 'UTC' AT TIME ZONE {_literal(timezone)})::DATE)) END AS occurred_day, "
            if timezone != "UTC"
            else "t.occurred_at::DATE AS occurred_day, "
        )
    return f"""
        WITH parsed AS (
            SELECT day, file_hash, line, text, too_deep,
                strlen(text) > {max_line_bytes} AS too_long,
                CASE WHEN NOT too_deep AND strlen(text) <= {max_line_bytes} AND starts_with(ltrim(text), '{{')
                    THEN TRY(json_transform(text, {_literal(fields)})) END AS s
            FROM {lines}
        ), typed AS (
            SELECT *, {{{", ".join(f"{_literal(c.name)}: {_typed(c)}" for c in landing.columns)}}} AS t FROM parsed
        ), judged AS (
            SELECT *,
                CASE WHEN too_long THEN '{TOO_LONG}' WHEN too_deep THEN '{TOO_DEEP}' WHEN s IS NULL THEN '{MALFORMED}'
                    ELSE nullif(concat_ws(',', {faults}), '') END AS problems,
                CASE WHEN s IS NOT NULL
                    THEN nullif(TRY(json_merge_patch(text, {_literal(known)}))::VARCHAR, '{{}}') END AS extra
            FROM typed
        )
        SELECT day, file_hash, line, {names}, {occurred} extra, problems,
            CASE WHEN problems IS NOT NULL THEN text[:{max_line_bytes}] END AS raw
        FROM judged
    """  # noqa: S608 - every name comes from the landing format


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
            f"{delivery.path}: changed since the ledger looked at it; the next ingest takes it as it is then",
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

    Lines stream through in blocks, so memory does not grow with the deliveries.

    Raises:
        UnreadableFileError: a file changed or broke since the ledger looked at it.
    """
    landing = FORMATS[dataset]
    held, lines = f"raw_{uuid.uuid4().hex[:12]}", f"lines_{uuid.uuid4().hex[:12]}"
    select = _select(landing, lines, timezone=timezone, max_line_bytes=max_line_bytes)
    backend.raw_sql(
        f"CREATE TEMP TABLE {held} AS WITH {lines} AS (SELECT NULL::DATE AS day, '' AS file_hash, 0::BIGINT AS line, "  # noqa: S608
        f"''::VARCHAR AS text, false AS too_deep WHERE false) SELECT * FROM ({select})"
    )
    gathered = _gathered(deliveries, max_file_bytes=max_file_bytes, progress=progress)
    for block in gathered:
        backend.con.register(f"{lines}_block", block)
        backend.raw_sql(
            f"INSERT INTO {held} WITH {lines} AS (SELECT day, file_hash, line, text::VARCHAR AS text, too_deep "  # noqa: S608
            f"FROM {lines}_block) SELECT * FROM ({select})"
        )
        backend.con.unregister(f"{lines}_block")
    return backend.table(held)


def _gathered(
    deliveries: Iterable[Delivery], *, max_file_bytes: int, progress: Callable[[Delivery, int], None] | None
) -> Iterator[pa.Table]:
    """Lines of many small files in few blocks, since every statement costs as much as thousands of lines.

    Columns day, file_hash, line, text, too_deep, in batches small enough for every engine thread to get some.
    """
    waiting: list[pa.Table] = []
    for delivery in deliveries:
        rows = 0
        for lines in numbered_lines(delivery.path, max_bytes=max_file_bytes):
            waiting.append(
                lines.append_column("too_deep", _too_deep(lines["text"]))
                .append_column("day", pa.repeat(pa.scalar(delivery.received_day), lines.num_rows))
                .append_column("file_hash", pa.repeat(pa.scalar(delivery.delivery), lines.num_rows))
            )
            rows += lines.num_rows
            if sum(table.num_rows for table in waiting) >= BLOCK_ROWS:
                yield _rebatched(waiting)
                waiting = []
        _refuse_changed(delivery)
        if progress is not None:
            progress(delivery, rows)
    if waiting:
        yield _rebatched(waiting)


def _rebatched(tables: list[pa.Table]) -> pa.Table:
    whole = pa.concat_tables(tables)
    batches = whole.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    return pa.Table.from_batches(batches, schema=whole.schema)
