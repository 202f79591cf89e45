"""What ingestion costs beside a bare DuckDB script, and what a new day costs as history grows.

    python benchmarks/ingest.py [PATH] [--events 20000000] [--part throughput|history|all]

PATH is a scratch folder (default: a temporary one); simulated landing files in it are used again. 20 million events
need about 20 GB of disk and, on two cores, twenty minutes.

**throughput**: the same landing files, once as JSON lines in gzip and once as Parquet, through (a) the platform: the
ledger, then the assets raw_events, event_keys, event_states, quarantined_events and clean_events with their contracts
and checks, as a run records them; and (b) a bare script in the same engine with the same memory limit and threads:
every line read with its number, its unknown fields (``extra``) and what is wrong with it, split by the same predicates
(the platform's own expressions, compiled to SQL), and written as the same five sets of Parquet files with COPY, without
ledger, staging, checks, flush to disk or record of what was done. Rows of every set are compared. Every run is a
process of its own; its peak memory is the most that it ever held.

**history**: the cost of each of the same three new days in a lake of the 30 days before them and in one of the 300 days
before them, from landing to the last table by day. Tables without partitions (KPIs, features) come after that and are
not part of it.

Exits with a code other than 0 only if it could not measure.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from datetime import date
from pathlib import Path
from typing import Any

MEMORY_LIMIT = "2500MB"
SETS = ("raw_events", "event_keys", "event_states", "quarantined_events", "clean_events")
DAYS = 30
HISTORY_EVENTS_PER_DAY = 20_000
HISTORY = (30, 300)
NEW_DAYS = 3
EVENTS_PER_VISITOR = {DAYS: 60.2, HISTORY[-1] + NEW_DAYS: 485.0}  # as the simulator makes them


def simulated(landing: Path, *, days: int, events: int) -> int:
    """Landing files of about so many events, made unless they are there; returns how many lines of events."""
    from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate

    truth = landing / "truth.json"
    if not truth.exists():
        visitors = max(10, round(events / EVENTS_PER_VISITOR[days]))
        simulate(SimulationConfig(days=days, visitors=visitors, seed=7, dirt=Dirt.preset("light")), landing)
    return json.loads(truth.read_text())["lines"]["events"]


def as_parquet(raw: Path, landing: Path) -> None:
    """The lines of a raw table that could be read whole as Parquet landing files, a file a day."""
    import duckdb

    from trasos_assets.contracts.landing import EVENT

    names = ", ".join(column.name for column in EVENT.columns)
    for file in sorted(raw.glob("day=*/part-0.parquet")):
        target = landing / "events" / file.parent.name.replace("day=", "dt=") / "events.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        duckdb.execute(
            f"COPY (SELECT {names} FROM read_parquet('{file}') WHERE problems IS NULL AND extra IS NULL ORDER BY line) "  # noqa: S608
            f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )


def rows_of(root: Path) -> dict[str, int]:
    """Rows of each set below a lake folder."""
    import pyarrow.parquet as pq

    return {name: sum(pq.read_metadata(f).num_rows for f in (root / name).rglob("*.parquet")) for name in SETS}


def platform(data: Path) -> dict[str, Any]:
    """Ingest a landing folder into the five sets as the platform does."""
    warnings.filterwarnings("ignore")
    from trasos_assets.definitions import assembled
    from trasos_assets.defs.operations import plan
    from trasos_assets.defs.operations.ingest import IngestOutcome, execute
    from trasos_assets.defs.operations.instance import open_instance
    from trasos_assets.lake.days import first_day
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.lake.format import open_format
    from trasos_assets.landing.ledger import settle, take_stock
    from trasos_assets.settings import get_settings

    settings = get_settings()
    instance, definitions, store = open_instance(settings), assembled(), open_lake(settings)
    started = time.perf_counter()
    parts: dict[str, float] = {}
    mark = started

    def listen(what: str, step: str) -> None:
        nonlocal mark
        now = time.perf_counter()
        if what == "STEP_SUCCESS":
            parts[step] = parts.get(step, 0) + now - mark
        mark = now

    first = first_day(settings)
    open_format(settings.lake_dir, start_date=first, timezone=settings.timezone)
    stock = take_stock(store, settings, first_day=first)
    parts["ledger"] = time.perf_counter() - started
    days = plan.lake_days(store, stock.pending, first)
    outcome = IngestOutcome(stock)
    wanted = set(SETS)
    planned = plan.raw_runs(store, stock.pending, days)
    run_id = None
    for stage in (lambda: planned, lambda: plan.day_runs(store, settings, stock.pending, days)):
        for run in stage():
            assets = tuple(name for name in run.assets if name in wanted)
            chosen = plan.PlannedRun(run.job, assets, run.why, run.first, run.last)
            run_id = execute(definitions, instance, chosen, outcome, listener=listen)
            if run_id is None:
                raise RuntimeError("; ".join(outcome.errors) or "a check failed")
    settle(store, [row["delivery"] for row in stock.pending], run_id=run_id or "")
    return {"seconds": time.perf_counter() - started, "parts": parts, "lake": str(settings.lake_dir / "engineering")}


def bare(data: Path, out: Path) -> dict[str, Any]:
    """The same landing files into the same sets by plain SQL."""
    warnings.filterwarnings("ignore")
    import duckdb
    import ibis

    from trasos_assets.contracts.landing import EVENT
    from trasos_assets.landing import parse
    from trasos_assets.settings import get_settings
    from trasos_assets.trust import classify, marks

    settings = get_settings()
    backend = ibis.duckdb.connect()
    connection = backend.con
    spill = out / "spill"
    spill.mkdir(parents=True)
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'; SET temp_directory = '{spill}'; SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    files = sorted((data / "landing" / "events").glob("dt=*/*"))
    started = time.perf_counter()
    parts: dict[str, float] = {}

    def timed(name: str, sql: str) -> None:
        before = time.perf_counter()
        connection.execute(sql)
        parts[name] = parts.get(name, 0) + time.perf_counter() - before

    def view(name: str) -> ibis.Table:
        connection.execute(
            f"CREATE OR REPLACE VIEW {name} AS SELECT * FROM read_parquet('{out / name}/*/*.parquet', "  # noqa: S608
            "hive_partitioning = true, hive_types = {day: DATE})"
        )
        return backend.table(name)

    def write(name: str, table: ibis.Table) -> None:
        sql = backend.compile(table)
        timed(name, f"COPY ({sql}) TO '{out / name}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day))")

    for number, file in enumerate(files):
        day = file.parent.name.removeprefix("dt=")
        place = f"DATE '{day}' AS day, 'f{number:05}' AS file_hash"
        if file.suffix == ".parquet":
            names = ", ".join(f"t.{c.name}::{_sql_type(c.type)} AS {c.name}" for c in EVENT.columns)
            select = (
                f"SELECT {place}, file_row_number + 1 AS line, {names}, t.occurred_at::DATE AS occurred_day, "  # noqa: S608
                f"NULL::VARCHAR AS extra, NULL::VARCHAR AS problems, NULL::VARCHAR AS raw, NULL::VARCHAR AS release_id "
                f"FROM read_parquet('{file}', file_row_number = true) AS t"
            )
        else:
            lines = (
                f"(SELECT {place}, row_number() OVER () AS line, text, false AS too_deep FROM read_csv('{file}', "  # noqa: S608
                "columns = {'text': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false, "
                "auto_detect = false, parallel = false, strict_mode = false, encoding = 'utf-8', ignore_errors = true))"
            )
            select = parse._select(EVENT, lines, timezone="UTC", max_line_bytes=settings.max_line_bytes)
        target = out / "raw_events" / f"day={day}"
        target.mkdir(parents=True, exist_ok=True)
        timed(
            "raw_events",
            f"COPY (SELECT * EXCLUDE (day) FROM ({select})) TO '{target}/{number}.parquet' "  # noqa: S608
            "(FORMAT parquet, COMPRESSION zstd)",
        )
    first = date.fromisoformat(files[0].parent.name.removeprefix("dt="))
    raw = view("raw_events")
    write(
        "event_keys",
        classify.event_keys(raw, late_days=settings.late_days, currency=settings.currency, first_day=first),
    )
    write("event_states", classify.event_states(view("event_keys"), dedup_days=settings.dedup_days))
    states = view("event_states")
    write("quarantined_events", classify.quarantined_events(raw, states))
    write("clean_events", marks.marked_events(classify.accepted_events(raw, states), settings))
    seconds = time.perf_counter() - started
    del duckdb
    return {"seconds": seconds, "parts": parts, "lake": str(out)}


def _sql_type(ibis_type: str) -> str:
    from trasos_assets.lake.parquet import duckdb_type

    return duckdb_type(ibis_type)


def history(data: Path, source: Path, length: Path) -> dict[str, Any]:
    """Seconds of each of the last days of the source, after as many days before them as ``length`` says."""
    warnings.filterwarnings("ignore")
    from trasos_assets.definitions import assembled
    from trasos_assets.defs.operations.ingest import ingest
    from trasos_assets.defs.operations.instance import open_instance
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.settings import get_settings

    settings = get_settings()
    instance, definitions, store = open_instance(settings), assembled(), open_lake(settings)
    folders = sorted((source / "events").glob("dt=*"))

    def land(days: list[Path]) -> None:
        for folder in days:
            shutil.copytree(folder, settings.landing_dir / "events" / folder.name)

    def bring() -> float:
        started = time.perf_counter()
        outcome = ingest(definitions, instance, store, settings, tables=False)
        if not outcome.success or not outcome.runs:
            raise RuntimeError("; ".join(outcome.errors) or "nothing was done")
        return time.perf_counter() - started

    land(folders[-NEW_DAYS - int(str(length)) : -NEW_DAYS])
    bring()
    seconds = []
    for folder in folders[-NEW_DAYS:]:
        land([folder])
        seconds.append(bring())
    return {"days": seconds}


def work(what: str, data: Path, *further: Path) -> dict[str, Any]:
    """Run one measurement in a process of its own."""
    environment = os.environ | {"TRASOS_DATA_DIR": str(data), "TRASOS_MEMORY_LIMIT": MEMORY_LIMIT}
    arguments = [sys.executable, __file__, "--worker", what, str(data), *map(str, further)]
    done = subprocess.run(arguments, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{what} could not be measured; see above")
    return json.loads(done.stdout.splitlines()[-1])


def throughput(scratch: Path, events: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=120)
    with console.status("simulating"):
        lines = simulated(scratch / "jsonl" / "landing", days=DAYS, events=events)
    figures = []
    for form in ("jsonl", "parquet"):
        data, out = scratch / form, scratch / f"{form}-bare"
        for folder in (data / "lake", data / "dagster_home", out):
            shutil.rmtree(folder, ignore_errors=True)
        with console.status(f"{form}: the platform"):
            ours = work("platform", data)
        with console.status(f"{form}: the bare script"):
            plain = work("bare", data, out)
        mine, theirs = rows_of(Path(ours["lake"])), rows_of(Path(plain["lake"]))
        shown = Table(title=f"{form}: {lines:,} lines landed", title_justify="left", header_style="bold")
        for heading in ("", "rows", "platform s", "bare s", "rows of the bare script"):
            shown.add_column(heading, justify="right" if heading else "left")
        shown.add_row("ledger", "", f"{ours['parts']['ledger']:.1f}", "", "")
        for name in SETS:
            of_ours, of_bare = ours["parts"].get(name, 0), plain["parts"][name]
            shown.add_row(name, f"{mine[name]:,}", f"{of_ours:.1f}", f"{of_bare:.1f}", f"{theirs[name]:,}")
        console.print(shown)
        ratio = ours["seconds"] / plain["seconds"]
        figures.append(
            f"{form}: platform {ours['seconds']:.1f} s ({mine['raw_events'] / ours['seconds']:,.0f} events/s, peak "
            f"{ours['peak_mb']:,.0f} MB), bare {plain['seconds']:.1f} s (peak {plain['peak_mb']:,.0f} MB), "
            f"ratio {ratio:.2f}"
        )
        if form == "jsonl":
            as_parquet(Path(ours["lake"]) / "raw_events", scratch / "parquet" / "landing")
        for folder in (data / "lake", out):
            shutil.rmtree(folder, ignore_errors=True)
    for figure in figures:
        print(figure)


def growth(scratch: Path) -> None:
    days = HISTORY[-1] + NEW_DAYS
    simulated(scratch / "history-source", days=days, events=days * HISTORY_EVENTS_PER_DAY)
    found: dict[str, list[float]] = {}
    for length in HISTORY:
        data = scratch / f"history-{length}"
        shutil.rmtree(data, ignore_errors=True)
        (data / "landing").mkdir(parents=True)
        found[str(length)] = work("history", data, scratch / "history-source", Path(str(length)))["days"]
        shutil.rmtree(data)
    medians = {length: statistics.median(seconds) for length, seconds in found.items()}
    for length, seconds in found.items():
        each = ", ".join(f"{one:.2f}" for one in seconds)
        print(f"a new day after {length} days: {medians[length]:.2f} s (each: {each})")
    short, long = (medians[str(length)] for length in HISTORY)
    print(f"history: a new day after {HISTORY[1]} days costs {long / short:.2f} of one after {HISTORY[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--part", choices=("throughput", "history", "all"), default="all")
    options = parser.parse_args()
    scratch = options.path or Path(tempfile.mkdtemp(prefix="trasos-ingest-"))
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        if options.part in ("throughput", "all"):
            throughput(scratch.absolute(), options.events)
        if options.part in ("history", "all"):
            growth(scratch.absolute())
    finally:
        if options.path is None:
            shutil.rmtree(scratch, ignore_errors=True)


def worker(what: str, *folders: str) -> None:
    measure = {"platform": platform, "bare": bare, "history": history}[what]
    found = measure(*map(Path, folders))
    print(json.dumps(found | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        main()
