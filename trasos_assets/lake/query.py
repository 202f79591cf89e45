"""Ad hoc reading of the warehouse, and nothing but reading."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import duckdb

from trasos_assets.lake.warehouse import serves
from trasos_assets.sql import literal

MAX_SHOWN = 200
_EXPLAINS_READING = re.compile(r"\s*explain\s+(analyze\s+)?(select|with|from|values)\b", re.IGNORECASE)
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


class QueryError(Exception):
    """A query that cannot or may not run; the message says why and what to do."""


def run_query(warehouse: Path, sql: str, output: str = "table", *, lake: Path) -> str:
    """Run one reading statement against the warehouse file and return it as text.

    Args:
        warehouse: the DuckDB file of views.
        sql: one SELECT (or EXPLAIN, DESCRIBE, SUMMARIZE).
        output: ``table`` (at most 200 rows shown), ``csv`` or ``json``.
        lake: the only folder whose files the statement may read.

    Raises:
        QueryError: no warehouse yet, more than one statement, a statement that writes, or an error of DuckDB.
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
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            if not serves(connection, lake):
                raise QueryError(
                    f"{warehouse} was built over another lake than {lake}; run `trasos run`, it builds it anew"
                )
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET allowed_directories = [{literal(lake)}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            relation = connection.sql(sql)
            if relation is None:
                return ""
            if output == "table":
                relation = relation.limit(MAX_SHOWN + 1)
            names, rows = relation.columns, relation.fetchall()
    except duckdb.Error as error:
        raise QueryError(str(error)) from error
    return _RENDERED[output](names, rows)


def _table(names: list[str], rows: list[tuple]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(header_style="bold")
    for name in names:
        shown.add_column(Text(name), overflow="fold")
    for row in rows[:MAX_SHOWN]:
        shown.add_row(*(Text("" if value is None else str(value)) for value in row))
    screen = io.StringIO()
    Console(file=screen, width=None if len(names) < 8 else max(120, 16 * len(names))).print(shown)
    more = f"first {MAX_SHOWN} rows; use --format csv for all\n" if len(rows) > MAX_SHOWN else ""
    return screen.getvalue().rstrip("\n") + ("\n" + more if more else "")


def _csv(names: list[str], rows: list[tuple]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def _json(names: list[str], rows: list[tuple]) -> str:
    records = [dict(zip(names, row, strict=True)) for row in rows]
    return json.dumps(records, default=str, ensure_ascii=False, indent=1)


_RENDERED = {"table": _table, "csv": _csv, "json": _json}
