"""From landed lines to raw rows: every line becomes one row, whatever it holds.

A value that has not the type of its column becomes null and is named in ``problems``; the line's own text is kept
beside it. Nothing is judged here: the row rules run in ``trust.classify``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import ibis

from trasos_assets.contracts.landing import FORMATS, LandingFormat
from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, TIMESTAMP, Column
from trasos_assets.landing.lines import numbered_lines

MALFORMED = "malformed"
TOO_LONG = "line_too_long"


@dataclass(frozen=True)
class Delivery:
    """One landed file as the ledger knows it."""

    delivery: str
    dataset: str
    path: Path
    received_day: date


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _typed(column: Column) -> str:
    """SQL for a field's text as the column's type; null where it is not of that type."""
    text = f"s.{_quoted(column.name)}"
    whole = f"CASE WHEN regexp_full_match(trim({text}), '[+-]?[0-9]+') THEN"
    decimal = f"CASE WHEN regexp_full_match(trim({text}), '[+-]?[0-9]*[.]?[0-9]+([eE][+-]?[0-9]+)?') THEN"
    by_type = {
        TEXT: text,
        INT32: f"{whole} TRY_CAST({text} AS INTEGER) END",
        INT64: f"{whole} TRY_CAST({text} AS BIGINT) END",
        MONEY: f"{decimal} TRY_CAST({text} AS DECIMAL(18, 4)) END",
        # TIMESTAMPTZ understands an offset; a time without one is UTC because the session's time zone is.
        TIMESTAMP: f"CASE WHEN regexp_matches({text}, '^[0-9]{{4}}-') "
        f"THEN TRY_CAST(TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS TIMESTAMP) END",
        DATE: f"CASE WHEN regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') "
        f"THEN TRY_CAST({text} AS DATE) END",
        BOOLEAN: f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END",
    }
    return by_type[column.type]


def _select(landing: LandingFormat, lines: str, *, timezone: str, max_line_bytes: int) -> str:
    """SQL from (day, file_hash, line, text) to the raw table's columns."""
    fields = json.dumps({column.name: "VARCHAR" for column in landing.columns})
    known = json.dumps(dict.fromkeys(column.name for column in landing.columns))
    faults = ", ".join(
        f"CASE WHEN s.{_quoted(c.name)} IS NOT NULL AND t.{_quoted(c.name)} IS NULL THEN 'invalid_{c.name}' END"
        for c in landing.columns
        if c.type != TEXT
    )
    names = ", ".join(f"t.{_quoted(column.name)}" for column in landing.columns)
    occurred = ""
    if any(column.name == "occurred_at" for column in landing.columns):
        occurred = (
            f"(t.occurred_at AT TIME ZONE 'UTC' AT TIME ZONE {_literal(timezone)})::DATE AS occurred_day, "
            if timezone != "UTC"
            else "t.occurred_at::DATE AS occurred_day, "
        )
    return f"""
        WITH parsed AS (
            SELECT day, file_hash, line, text,
                strlen(text) > {max_line_bytes} AS too_long,
                CASE WHEN strlen(text) <= {max_line_bytes} AND starts_with(ltrim(text), '{{')
                    THEN TRY(json_transform(text, {_literal(fields)})) END AS s
            FROM {lines}
        ), typed AS (
            SELECT *, {{{", ".join(f"{_literal(c.name)}: {_typed(c)}" for c in landing.columns)}}} AS t FROM parsed
        ), judged AS (
            SELECT *,
                CASE WHEN too_long THEN '{TOO_LONG}' WHEN s IS NULL THEN '{MALFORMED}'
                    ELSE nullif(concat_ws(',', {faults}), '') END AS problems,
                CASE WHEN s IS NOT NULL
                    THEN nullif(TRY(json_merge_patch(text, {_literal(known)}))::VARCHAR, '{{}}') END AS extra
            FROM typed
        )
        SELECT day, file_hash, line, {names}, {occurred} extra, problems,
            CASE WHEN problems IS NOT NULL THEN text[:{max_line_bytes}] END AS raw
        FROM judged
    """  # noqa: S608 - every name comes from the landing format


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
        f"''::VARCHAR AS text WHERE false) SELECT * FROM ({select})"
    )
    for delivery in deliveries:
        rows = 0
        for block in numbered_lines(delivery.path, max_bytes=max_file_bytes):
            backend.con.register(f"{lines}_block", block)
            backend.raw_sql(
                f"INSERT INTO {held} WITH {lines} AS (SELECT DATE '{delivery.received_day}' AS day, "  # noqa: S608
                f"{_literal(delivery.delivery)} AS file_hash, line, text::VARCHAR AS text FROM {lines}_block) "
                f"SELECT * FROM ({select})"
            )
            backend.con.unregister(f"{lines}_block")
            rows += block.num_rows
        if progress is not None:
            progress(delivery, rows)
    return backend.table(held)
