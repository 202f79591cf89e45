"""What the IO manager adds to a bare COPY, and a hundred million events through clean events, interactions and KPIs.

    python benchmarks/lake.py [PATH] [--part io|scale|all] [--rows 20000000] [--events 100000000]

PATH is a scratch folder (default: a temporary one); a lake in it that was prepared for `scale` is used again.

**io**: a table of 20 million rows that stands in the engine is written into 30 partitions: (a) by a bare COPY with
PARTITION_BY, rows as they come; (b) by bare COPY statements, one a partition, rows sorted as the house's contracts ask;
(c) by the IO manager: staged, flushed to disk, described (rows, bytes, preview), published partition by partition.
The three take turns; each figure is the median of its rounds.

**scale**: a simulated month is ingested once and its events are multiplied, under ids of their own, to 100 million;
then clean_events, interactions, order_lines, identities, orders and the KPI tables are built by the runs that
`trasos run` would do, with their contracts and checks, on two threads. Peak memory is the most that the process held.

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
from datetime import date, timedelta
from pathlib import Path
from typing import Any

DAYS = 30
ROUNDS = 3
MEMORY_LIMIT = "5GB"
THREADS = 2
BASE_EVENTS = 1_000_000
EVENTS_PER_VISITOR = 60.2  # as the simulator makes them in 30 days
BY_DAY = ("clean_events", "interactions", "order_lines")
WHOLE = (
    "watermark",
    "identities",
    "orders",
    "daily_kpis",
    "conversion_funnel",
    "retention_cohorts",
    "time_to_return",
)


def io(scratch: Path, rows: int) -> dict[str, Any]:
    """Seconds of each way to write the same rows, round by round."""
    warnings.filterwarnings("ignore")
    import dagster as dg

    from trasos_assets.contracts.engineering import INTERACTION_TYPES, INTERACTIONS
    from trasos_assets.lake.engine import Lake, open_lake
    from trasos_assets.lake.io_manager import LakeIOManager
    from trasos_assets.lake.parquet import COPY_OPTIONS
    from trasos_assets.settings import get_settings

    store = open_lake(get_settings())
    days = [date(2026, 1, 1) + timedelta(number) for number in range(DAYS)]
    types = ", ".join(f"'{name}'" for name in INTERACTION_TYPES)
    source = scratch / f"source-{rows}.parquet"
    if not source.exists():
        print(f"making {rows:,} interactions", flush=True)
        store.backend.raw_sql(f"""
            COPY (SELECT
                DATE '2026-01-01' + (i * {DAYS} // {rows})::INTEGER AS day,
                md5(i::VARCHAR) AS event_id,
                TIMESTAMP '2026-01-01' + to_microseconds((i * {DAYS * 86_400_000_000 // rows})::BIGINT) AS occurred_at,
                'visitor-' || hash(i // 60) % 400000 AS visitor_id,
                CASE WHEN i % 5 = 0 THEN 'customer-' || hash(i // 60) % 80000 END AS customer_id,
                'item-' || hash(i) % 20000 AS item_id,
                list_extract([{types}], 1 + (hash(i + 7) % {len(INTERACTION_TYPES)})::INTEGER) AS interaction_type,
                1::INTEGER AS quantity
            FROM range({rows}) t(i)) TO '{source}.part' ({COPY_OPTIONS})
        """)  # noqa: S608 - numbers and constants
        Path(f"{source}.part").replace(source)
    read = f"read_parquet('{source}')"
    names = ", ".join(name for name in INTERACTIONS.column_names if name != "day")

    def partitioned() -> None:
        target = scratch / "bare"
        store.backend.raw_sql(f"COPY (FROM {read}) TO '{target}' (PARTITION_BY (day), {COPY_OPTIONS})")
        shutil.rmtree(target)

    def in_order() -> None:
        store.backend.raw_sql(f"CREATE TEMP TABLE computed AS FROM {read}")
        for day in days:
            file = scratch / "sorted" / f"day={day}" / "part-0.parquet"
            file.parent.mkdir(parents=True)
            store.backend.raw_sql(
                f"COPY (SELECT {names} FROM computed WHERE day = DATE '{day}' ORDER BY event_id) "  # noqa: S608
                f"TO '{file}' ({COPY_OPTIONS})"
            )
        store.backend.raw_sql("DROP TABLE computed")
        shutil.rmtree(scratch / "sorted")

    manager = LakeIOManager(lake=Lake())

    def managed() -> None:
        staged = store.begin(INTERACTIONS, days)
        store.add(staged, store.backend.read_parquet(source))
        manager.handle_output(dg.build_output_context(asset_key=dg.AssetKey(INTERACTIONS.name)), staged)

    took: dict[str, list[float]] = {"bare, as rows come": [], "bare, sorted": [], "IO manager": []}
    for number in range(ROUNDS):
        for name, way in zip(took, (partitioned, in_order, managed), strict=True):
            started = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - started)
            print(f"round {number + 1}: {name}: {took[name][-1]:.1f} s", flush=True)
    return {"took": took}


def prepare(data: Path, events: int) -> None:
    """A lake with raw events and their states of so many events, multiplied from an ingested month."""
    warnings.filterwarnings("ignore")
    from trasos_assets.contracts.engineering import EVENT_STATES, RAW_EVENTS
    from trasos_assets.definitions import assembled
    from trasos_assets.defs.operations.ingest import ingest
    from trasos_assets.defs.operations.instance import open_instance
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
    from trasos_assets.settings import get_settings

    settings = get_settings()
    visitors = round(BASE_EVENTS / EVENTS_PER_VISITOR)
    simulate(SimulationConfig(days=DAYS, visitors=visitors, seed=7, dirt=Dirt.preset("light")), data / "landing")
    store = open_lake(settings)
    outcome = ingest(assembled(), open_instance(settings), store, settings, tables=False)
    if not outcome.success:
        raise RuntimeError("; ".join(outcome.errors))
    base = sum(store.rows_by_day(RAW_EVENTS, store.days(RAW_EVENTS)).values())
    times = -(-events // base)
    print(f"{base:,} events, each {times} times", flush=True)
    ids = ("event_id", "visitor_id", "customer_id", "session_id", "order_id", "request_id")
    for day in store.days(RAW_EVENTS):
        for contract in (RAW_EVENTS, EVENT_STATES):
            table = store.read(contract, first=day, last=day)
            copies = store.backend.sql(f"SELECT i::VARCHAR AS copy FROM range({times}) t(i)")  # noqa: S608
            joined = table.cross_join(copies)
            of_copy = {
                name: joined[name] + "-" + joined["copy"] for name in (*ids, "file_hash") if name in table.columns
            }
            with store.writing(contract.name):
                store.write(contract, joined.mutate(**of_copy).drop("copy"), [day])
    (data / "prepared").write_text(str(base * times))


def scale(data: Path) -> dict[str, Any]:
    """Seconds of each step, built as `trasos run` builds them."""
    warnings.filterwarnings("ignore")
    from trasos_assets.contracts import CONTRACTS
    from trasos_assets.contracts.engineering import RAW_EVENTS
    from trasos_assets.definitions import assembled
    from trasos_assets.defs.operations import plan
    from trasos_assets.defs.operations.ingest import IngestOutcome, execute
    from trasos_assets.defs.operations.instance import open_instance
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.landing.ledger import Stock
    from trasos_assets.settings import get_settings

    settings = get_settings()
    instance, definitions, store = open_instance(settings), assembled(), open_lake(settings)
    parts: dict[str, float] = {}
    mark = started = time.perf_counter()

    def listen(what: str, step: str) -> None:
        nonlocal mark
        now = time.perf_counter()
        if what == "STEP_SUCCESS":
            parts[step] = now - mark
            print(f"{step}: {parts[step]:.1f} s", flush=True)
        mark = now

    days = store.days(RAW_EVENTS)
    for run in (
        plan.PlannedRun("ingest_days", BY_DAY, "benchmark", days[0], days[-1]),
        plan.PlannedRun("refresh_tables", WHOLE, "benchmark"),
    ):
        outcome = IngestOutcome(Stock((), (), 0))
        if execute(definitions, instance, run, outcome, listener=listen) is None:
            raise RuntimeError("; ".join(outcome.errors) or "a check failed")
    rows = {name: store.row_counts(CONTRACTS[name]) for name in ("raw_events", *BY_DAY, *WHOLE)}
    return {"seconds": time.perf_counter() - started, "parts": parts, "rows": rows}


def work(what: str, data: Path, *words: object) -> dict[str, Any]:
    """Measure in a process of its own; what it prints last is its figures."""
    environment = os.environ | {
        "TRASOS_DATA_DIR": str(data),
        "TRASOS_MEMORY_LIMIT": MEMORY_LIMIT,
        "TRASOS_THREADS": str(THREADS),
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, __file__, "--worker", what, str(data), *map(str, words)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        last = line
        if not line.startswith("{"):
            print(line, end="", flush=True)
    if process.wait() != 0:
        raise SystemExit(f"{what}: the measured process ended with {process.returncode}")
    return json.loads(last)


def show_io(found: dict[str, Any], rows: int) -> None:
    """One line a figure."""
    medians = {name: statistics.median(seconds) for name, seconds in found["took"].items()}
    for name, seconds in medians.items():
        print(f"{name}: {seconds:.1f} s for {rows:,} rows in {DAYS} partitions")
    managed = medians["IO manager"]
    for name in ("bare, sorted", "bare, as rows come"):
        print(f"IO manager beside a COPY, {name.removeprefix('bare, ')}: {managed / medians[name] - 1:+.0%}")
    print(f"peak memory: {found['peak_mb']:,.0f} MB")


def show_scale(found: dict[str, Any]) -> None:
    """One line a step and the whole."""
    for name, seconds in found["parts"].items():
        rows = found["rows"].get(name)
        print(f"{name:<20} {seconds:>8.1f} s" + (f" {rows:>14,} rows" if rows is not None else ""))
    events = found["rows"]["raw_events"]
    print(
        f"{events:,} events: {found['seconds']:.0f} s ({events / found['seconds']:,.0f} events/s), {THREADS} threads, "
        f"peak {found['peak_mb']:,.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path)
    parser.add_argument("--part", choices=("io", "scale", "all"), default="all")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--events", type=int, default=100_000_000)
    options = parser.parse_args()
    scratch = (options.path or Path(tempfile.mkdtemp(prefix="trasos-lake-"))).absolute()
    try:
        if options.part in ("io", "all"):
            (scratch / "io").mkdir(parents=True, exist_ok=True)
            show_io(work("io", scratch / "io", options.rows), options.rows)
            shutil.rmtree(scratch / "io" / "lake")
        if options.part in ("scale", "all"):
            data = scratch / f"scale-{options.events}"
            if not (data / "prepared").exists():
                shutil.rmtree(data, ignore_errors=True)
                work("prepare", data, options.events)
            show_scale(work("scale", data))
    finally:
        if options.path is None:
            shutil.rmtree(scratch, ignore_errors=True)


def worker(what: str, data: str, *words: str) -> None:
    measure = {"io": io, "prepare": prepare, "scale": scale}[what]
    found = measure(Path(data), *map(int, words)) or {}
    print(json.dumps(found | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        main()
