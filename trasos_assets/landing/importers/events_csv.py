"""Any CSV of events, read by a column map.

A row is rejected only if it has no day to land on (no readable time) or the map leaves it out. Everything else lands
as it is and meets the platform's own rules at its door, so a wrong quantity is quarantined there under its reason.
"""

from __future__ import annotations

from trasos_assets.contracts.landing import EVENT
from trasos_assets.landing.importers.column_map import (
    ISO,
    UNIX_MILLISECONDS,
    UNIX_SECONDS,
    ColumnMap,
    read_column_map,
)
from trasos_assets.landing.importers.model import Importer, ImportReport, ImportRequest, ImportSourceError
from trasos_assets.landing.importers.rejections import count_rejections, landed_days
from trasos_assets.landing.importers.sources import Loaded, engine, inspect_all, load, require_columns
from trasos_assets.landing.writer import json_line, write_landing
from trasos_assets.sql import literal, quoted

NAME = "events-csv"
TIME_FIELDS = ("occurred_at", "received_at")


def _cell(column_map: ColumnMap, loaded: Loaded, name: str) -> str:
    """SQL for what a row says of a field: trimmed text, null where it is empty or the map calls it nothing."""
    if name not in column_map.columns:
        return "CAST(NULL AS VARCHAR)"
    column = loaded.resolve(column_map.columns[name])
    text = f"nullif(trim({quoted(column or '')}), '')"
    if column_map.null_values:
        nothing = ", ".join(literal(value) for value in column_map.null_values)
        text = f"if({text} IN ({nothing}), NULL, {text})"
    return text


def _time(column_map: ColumnMap, text: str) -> str:
    """SQL for a time as naive UTC, by the first format that fits; null if none does.

    A time with an offset keeps it; one without is read in the connection's time zone.
    """
    # 18 digits keep the instant within the engine's range of timestamps; 38 keep the product from overflowing.
    seconds = f"CAST(TRY_CAST({text} AS DECIMAL(18, 6)) AS DECIMAL(38, 6))"
    milliseconds = f"CAST(TRY_CAST({text} AS DECIMAL(18, 3)) AS DECIMAL(38, 3))"
    ways = {
        ISO: f"timezone('UTC', TRY_CAST({text} AS TIMESTAMPTZ))",
        UNIX_SECONDS: f"make_timestamp(CAST({seconds} * 1000000 AS BIGINT))",
        UNIX_MILLISECONDS: f"make_timestamp(CAST({milliseconds} * 1000 AS BIGINT))",
    }
    found = ", ".join(
        ways.get(name) or f"timezone('UTC', CAST(try_strptime({text}, {literal(name)}) AS TIMESTAMPTZ))"
        for name in column_map.timestamp_format
    )
    return f"coalesce({found})"


def _translated(column_map: ColumnMap, name: str, text: str) -> str:
    """SQL for a field after the map's translations and constants."""
    pairs = {k: v for k, v in column_map.values.get(name, {}).items() if v is not None}
    if pairs:
        cases = " ".join(f"WHEN {literal(k)} THEN {literal(v)}" for k, v in pairs.items())
        text = f"CASE {text} {cases} ELSE {text} END"
    if name in column_map.constants:
        text = f"coalesce({text}, {literal(column_map.constants[name])})"
    return text


def _left_out(column_map: ColumnMap, loaded: Loaded) -> str:
    """SQL condition for rows that the map leaves out, true or false, never null."""
    conditions = []
    for name, pairs in column_map.values.items():
        dropped = ", ".join(literal(k) for k, v in pairs.items() if v is None)
        if dropped:
            conditions.append(f"coalesce({_cell(column_map, loaded, name)} IN ({dropped}), false)")
    return " OR ".join(conditions) or "false"


def _line_columns(column_map: ColumnMap, loaded: Loaded) -> str:
    """The select list that turns ``source_rows`` into ``lines``."""
    times = {name: _cell(column_map, loaded, name) for name in TIME_FIELDS}
    columns = ["__seq", "__document", "__row", f"({_left_out(column_map, loaded)}) AS left_out"]
    for name, text in times.items():
        columns += [f"{text} AS {name}_text", f"{_time(column_map, text)} AS {name}_read"]
    for name in column_map.fields:
        if name not in (*TIME_FIELDS, "event_id"):
            columns.append(f"{_translated(column_map, name, _cell(column_map, loaded, name))} AS {quoted(name)}")
    own_id = f"{literal(column_map.source + ':')} || __document || ':' || __row"
    columns.append(f"coalesce({_cell(column_map, loaded, 'event_id')}, {own_id}) AS event_id")
    return ", ".join(columns)


# Instant 0 is how programs write "no time", and what the engine makes of the text "epoch".
_LINES = """
    CREATE TABLE lines AS
    WITH bounded AS (
        SELECT * EXCLUDE (occurred_at_read, received_at_read),
               TIMESTAMP '1970-01-01 00:00:01' AS earliest,
               TIMESTAMP '9999-12-31' AS latest,
               if(occurred_at_read BETWEEN earliest AND latest, occurred_at_read, NULL) AS occurred_at,
               if(received_at_read BETWEEN earliest AND latest, received_at_read, NULL) AS known_received_at
        FROM mapped
    )
    SELECT * EXCLUDE (known_received_at),
           coalesce(known_received_at, occurred_at) AS received_at,
           CAST(received_at AS DATE) AS landing_day,
           CASE WHEN left_out THEN 'left_out_by_map'
                WHEN occurred_at_text IS NULL THEN 'no_occurred_at'
                WHEN occurred_at IS NULL THEN 'unreadable_occurred_at'
                WHEN received_at_text IS NOT NULL AND known_received_at IS NULL THEN 'unreadable_received_at'
           END AS reason
    FROM bounded
"""


def run(request: ImportRequest) -> ImportReport:
    """Import a CSV file or a folder of them by the request's column map.

    Each document and day gives one landed file, ``events/dt=DAY/SOURCE-DOCUMENT.jsonl.gz``, so importing another
    document later replaces nothing. Raises ``ImportSourceError`` on a bad map or source.
    """
    if request.column_map is None:
        raise ImportSourceError(f"{NAME} needs a column map: pass --map FILE (see docs/importers.md)")
    column_map = read_column_map(request.column_map)
    if request.currency and "currency" not in column_map.fields:
        constants = {**column_map.constants, "currency": request.currency}
        column_map = ColumnMap(**{**vars(column_map), "constants": constants})
    with engine(request.timezone) as connection:
        files = inspect_all(
            request.source,
            delimiter=column_map.delimiter,
            encoding=column_map.encoding,
            progress=request.progress,
        )
        for csv_file in files:
            require_columns(csv_file, tuple(column_map.columns.values()), wanted_by=str(request.column_map))
        loaded = load(connection, files)
        connection.table("source_rows").project(_line_columns(column_map, loaded)).create_view("mapped")
        connection.execute(_LINES)
        connection.execute("CREATE VIEW events AS SELECT * FROM lines WHERE reason IS NULL")
        events = connection.table("events")
        written = events.aggregate("count(*)").fetchall()[0][0]
        rejected, examples = count_rejections(connection, loaded)
        present = {"event_id", *TIME_FIELDS, *column_map.fields}
        prefix = literal(f"/{column_map.source}-")
        rows = events.project(
            f"'events/dt=' || landing_day || {prefix} || __document || '.jsonl.gz' AS path, "
            f"{json_line(EVENT, present)} AS line, __seq"
        )
        landed = write_landing(
            rows.order("path, __seq").project("path, line"), request.out, total=written, progress=request.progress
        )
        first, last = landed_days(connection)
    return ImportReport(
        importer=NAME,
        source=request.source,
        out=request.out,
        rows_read=loaded.rows_read,
        written={"events": written},
        rejected=rejected,
        examples=examples,
        files=tuple(request.out / file.path for file in landed),
        first_day=first,
        last_day=last,
    )


IMPORTER = Importer(NAME, "Any CSV of events, read by a column map (--map FILE).", run, needs_map=True)
