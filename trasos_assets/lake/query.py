"""Ad hoc reading of the warehouse, and nothing but reading.

CSV is made to be opened by anyone: a text that a spreadsheet would take for a formula gets an apostrophe before it.
Numbers are never touched. JSON says everything as it is; what JSON has no number for (NaN, infinity) is null.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb

from trasos_assets.lake.objects import ObjectReplacedError, was_replaced
from trasos_assets.lake.warehouse import reach, serves
from trasos_assets.printable import harmless, no_formula
from trasos_assets.sql import literal

MAX_SHOWN = 200
_EXPLAINS_READING = re.compile(r"\s*explain\s+(analyze\s+)?(select|with|from|values)\b", re.IGNORECASE)
_TRIES = 5
_PAUSE_SECONDS = 0.2
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


class QueryError(Exception):
    """A query that cannot or may not run; the message says why and what to do."""


def run_query(warehouse: Path, sql: str, output: str = "table", *, lake: Path) -> str:
    """Run one reading statement against the warehouse file and return it as text.

    Args:
        warehouse: the DuckDB file.
        sql: one SELECT (or EXPLAIN, DESCRIBE, SUMMARIZE).
        output: ``table`` (at most 200 rows shown), ``csv`` or ``json``.
        lake: the only folder, or place in an object store, whose files the statement may read.

    Raises:
        QueryError: no warehouse yet, more than one statement, a statement that writes, two columns of one name for
            JSON, or an error of DuckDB.
    """
    if not warehouse.exists():
        raise QueryError(f"there is no warehouse at {warehouse} yet; run `trasos run` first")
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    if len(statements) != 1:
        raise QueryError(f"one statement at a time, got {len(statements)}")
    explained = statements[0].type == duckdb.StatementType.EXPLAIN
    if statements[0].type not in _READING or (explained and not _EXPLAINS_READING.match(sql)):
        raise QueryError(f"the warehouse is for reading; {statements[0].type.name} is refused, use SELECT")
    limit = MAX_SHOWN + 1 if output == "table" else None
    for left in reversed(range(_TRIES)):
        try:
            names, rows = _rows(warehouse, sql, lake, limit=limit)
            return _RENDERED[output](names, rows) if names else ""
        except (duckdb.Error, ObjectReplacedError) as error:
            if not met_a_publish(error) or not left:
                raise QueryError(_said(error)) from error
            time.sleep(_PAUSE_SECONDS)
    raise AssertionError("the last try returns or raises")


def met_a_publish(error: Exception) -> bool:
    """Whether a query may have failed for a file that was replaced while it was read.

    DuckDB opens a file for its footer and again for its data; the footer of one version does not fit the bytes of
    another, and it says so in many ways. Asked again, the query sees the new file.
    """
    return was_replaced(error) or type(error) in (duckdb.Error, duckdb.IOException, duckdb.InvalidInputException)


def _said(error: Exception) -> str:
    """What DuckDB says, without the calls through which an error of a store came."""
    return str(error).split("\n\nAt:\n")[0]


def _rows(warehouse: Path, sql: str, lake: Path, *, limit: int | None) -> tuple[list[str], list[tuple]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        if not serves(connection, lake):
            raise QueryError(
                f"{warehouse} was built over another lake than {lake}; run `trasos run`, it builds it anew"
            )
        reach(connection, lake)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET allowed_directories = [{literal(lake)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        relation = connection.sql(sql)
        if relation is None:
            return [], []
        relation = relation if limit is None else relation.limit(limit)
        return relation.columns, relation.fetchall()


def _table(names: list[str], rows: list[tuple]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(header_style="bold")
    for name in names:
        shown.add_column(Text(name), overflow="fold")
    for row in rows[:MAX_SHOWN]:
        shown.add_row(*(Text(harmless(value, lines=True)) for value in row))
    screen = io.StringIO()
    Console(file=screen, width=None if len(names) < 8 else max(120, 16 * len(names))).print(shown)
    more = f"first {MAX_SHOWN} rows; use --format csv for all\n" if len(rows) > MAX_SHOWN else ""
    return screen.getvalue().rstrip("\n") + ("\n" + more if more else "")


def _csv(names: list[str], rows: list[tuple]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([no_formula(value) for value in row] for row in rows)
    return out.getvalue().rstrip("\n")


def _json(names: list[str], rows: list[tuple]) -> str:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise QueryError(f"columns named twice: {', '.join(twice)}; give each a name of its own with AS")
    records = [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]
    return json.dumps(records, default=str, ensure_ascii=False, allow_nan=False, indent=1)


def _plain(value: Any) -> Any:
    """A value of which JSON can be made."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    return value


_RENDERED = {"table": _table, "csv": _csv, "json": _json}
