"""Out of the quarantine and through the same door: what is released reaches its day, its orders and its KPIs.

Everything a replay does must be the same when it is killed and goes on, when the sensor does it, and when the lake is
built again from its raw tables.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
from trasos_assets_tests.defs.hashing import published_hashes
from trasos_assets_tests.defs.test_reliability import ENVIRONMENT, Runner

FIRST, NEXT, RECEIVED, LAST = "2026-01-05", "2026-01-06", "2026-01-12", "2026-01-13"
LIMIT = 1_000
DIRT = Dirt(duplicates=0.02, late=0.05, too_late=0.01, malformed=0.01, bots=0, conflicting=0.01, testers=0)
RUN = ["run"]
WAIVE = ["quarantine", "replay", "--reason", "too_late", "--since", FIRST, "--waive", "--by", "ana"]
PRICE = 50

pytestmark = pytest.mark.slow


def purchase(number: int, occurred: str, received: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"planted-{number}",
        "event_type": "purchase",
        "occurred_at": f"{occurred}T10:00:00Z",
        "received_at": f"{received}T10:00:00Z",
        "visitor_id": f"planted-visitor-{number}",
        "customer_id": f"planted-customer-{number}",
        "order_id": f"planted-order-{number}",
        "item_id": "planted-item",
        "quantity": 1,
        "unit_price": PRICE,
        **fields,
    }


PLANTED = [
    purchase(1, FIRST, RECEIVED),
    purchase(2, NEXT, RECEIVED, quantity=-1),
    purchase(3, NEXT, RECEIVED, event_id="planted-1", received_at=f"{RECEIVED}T10:01:00Z"),
    purchase(4, RECEIVED, RECEIVED, note="x" * 3 * LIMIT),
    purchase(5, "2025-12-01", RECEIVED),
]
"""Waived: 1 is accepted, 2 breaks another rule, 3 conflicts with 1, 4 is too long to read, 5 has no day in the lake."""


def land_lines(data: Path, dataset: str, day: str, name: str, rows: list[dict[str, Any]]) -> None:
    folder = data / "landing" / dataset / f"dt={day}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def query(data: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the lake's files; a table is named by {owner.table}."""

    def files(name: str) -> str:
        folder = data / "lake" / name.replace(".", "/")
        if not any(folder.glob("day=*")):
            return f"read_parquet('{folder}/part-0.parquet')"
        return f"read_parquet('{folder}/day=*/part-0.parquet', hive_partitioning=true, hive_types={{day: DATE}})"

    parts = sql.split("{")
    told = parts[0] + "".join(files(p.split("}")[0]) + p.split("}")[1] for p in parts[1:])
    with duckdb.connect() as connection:
        return connection.execute(told).fetchall()


def reasons(data: Path) -> dict[str, int]:
    return dict(query(data, "SELECT reasons, count(*) FROM {engineering.quarantined_events} GROUP BY 1"))


def kpis(data: Path, day: str) -> tuple[Any, ...]:
    (row,) = query(data, f"SELECT orders, gross::DOUBLE FROM {{analytics.daily_kpis}} WHERE day = '{day}'")
    return row


def assert_books_balance(data: Path) -> None:
    """Conservation over the whole lake, counted here from the files themselves."""
    by_file = query(
        data,
        "SELECT file_hash, count(*) FROM {engineering.raw_events} GROUP BY 1 "
        "EXCEPT SELECT file_hash, count(*) FROM {engineering.event_states} GROUP BY 1",
    )
    assert by_file == []
    for state, table in (("accepted", "clean_events"), ("quarantined", "quarantined_events")):
        counted = f"SELECT count(*) FROM {{engineering.event_states}} WHERE state = '{state}'"
        assert query(data, counted) == query(data, f"SELECT count(*) FROM {{engineering.{table}}}")
    moved = query(
        data,
        "SELECT event_id, occurred_day FROM {engineering.event_states} WHERE state = 'accepted' "
        "EXCEPT SELECT event_id, day FROM {engineering.clean_events}",
    )
    assert moved == []


def printed(data: Path) -> str:
    return (data / "printed.log").read_text()


@dataclass(frozen=True)
class Lakes:
    """A lake with planted quarantine, as it is after an ingest, and the same after too_late was waived."""

    runner: Runner
    before: Path
    released: Path


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lakes]:
    base = tmp_path_factory.mktemp("replay")
    before, released = base / "before", base / "released"
    simulate(SimulationConfig(days=9, visitors=60, items=80, seed=5, dirt=DIRT), before / "landing")
    land_lines(before, "events", RECEIVED, "planted.jsonl", PLANTED)
    land_lines(before, "catalogue", RECEIVED, "long.jsonl", [long_item()])
    runner = Runner(before, TRASOS_MAX_LINE_BYTES=str(LIMIT))
    runner.run((before, RUN, None))
    shutil.copytree(before, released)
    runner.run((released, WAIVE, None))
    yield Lakes(runner, before, released)
    runner.close()


def long_item() -> dict[str, Any]:
    return {"item_id": "planted-item", "kind": "product", "available": True, "name": "n" * 2 * LIMIT}


@pytest.fixture
def copied(lakes: Lakes, tmp_path: Path) -> Path:
    data = tmp_path / "data"
    shutil.copytree(lakes.before, data)
    return data


def test_a_late_line_reaches_its_day_its_order_and_its_kpis_and_the_quarantine_falls_by_it(lakes: Lakes) -> None:
    before, after = reasons(lakes.before), reasons(lakes.released)
    assert before["too_late"] > 2, "nothing was planted"
    assert before["quantity_not_positive,too_late"] == 1
    conflicts = after["conflicting_duplicate"] - before["conflicting_duplicate"]
    assert conflicts == 1, "planted-3 breaks no rule any more, but its id is taken"
    assert after == {
        **{reason: count for reason, count in before.items() if "too_late" not in reason},
        "conflicting_duplicate": before["conflicting_duplicate"] + 1,
        "quantity_not_positive": before.get("quantity_not_positive", 0) + 1,
        "before_first_day": before.get("before_first_day", 0) + 1,
    }
    gone = before["too_late"] - conflicts
    (rows,) = query(lakes.released, "SELECT count(*) FROM {engineering.clean_events} WHERE waived = 'too_late'")
    assert rows == (gone,)
    planted = query(
        lakes.released,
        "SELECT s.day::VARCHAR, s.occurred_day::VARCHAR, state, waived, released_on IS NOT NULL, reasons "
        "FROM {engineering.event_states} s WHERE event_id = 'planted-1' ORDER BY reasons NULLS FIRST",
    )
    assert planted == [
        (RECEIVED, FIRST, "accepted", "too_late", True, None),
        (RECEIVED, NEXT, "quarantined", "too_late", False, "conflicting_duplicate"),
    ]
    orders, gross = kpis(lakes.before, FIRST)
    assert kpis(lakes.released, FIRST)[0] >= orders + 1
    assert kpis(lakes.released, FIRST)[1] >= gross + PRICE
    assert query(lakes.released, "SELECT gross::INT FROM {analytics.orders} WHERE order_id = 'planted-order-1'") == [
        (PRICE,)
    ]
    assert f"left the quarantine: {gone} accepted" in printed(lakes.released)
    for data in (lakes.before, lakes.released):
        assert_books_balance(data)


def test_only_days_that_a_released_line_touches_are_built_again(lakes: Lakes) -> None:
    touched = query(
        lakes.released,
        "SELECT DISTINCT day::VARCHAR FROM {engineering.event_states} WHERE waived IS NOT NULL "
        "UNION SELECT DISTINCT occurred_day::VARCHAR FROM {engineering.event_states} WHERE waived IS NOT NULL",
    )
    days = {day for (day,) in touched}
    before, after = published_hashes(lakes.before), published_hashes(lakes.released)
    changed = {file.split("day=")[1][:10] for file in after if "day=" in file and before.get(file) != after[file]}
    assert {FIRST, RECEIVED} <= changed <= days
    assert not any(before[file] != after[file] for file in before if "/raw_" in file), "raw lines changed"


def test_a_second_replay_finds_nothing_and_changes_nothing(lakes: Lakes, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(lakes.released, data)
    with pytest.raises(AssertionError, match="no line of events received from"):
        lakes.runner.run((data, WAIVE, None))
    lakes.runner.run((data, RUN, None))
    assert published_hashes(data) == published_hashes(lakes.released)


def test_building_the_days_again_or_the_lake_from_its_raw_tables_gives_the_same_bytes(
    lakes: Lakes, tmp_path: Path
) -> None:
    again, anew = tmp_path / "again", tmp_path / "anew"
    for data in (again, anew):
        shutil.copytree(lakes.released, data)
    kept = ("landing_ledger", "quarantine_releases")
    for table in (anew / "lake").glob("[a-z]*/*"):
        if not table.name.startswith("raw_") and table.name not in kept:
            shutil.rmtree(table)
    lakes.runner.run((again, ["run", "--from", FIRST, "--to", LAST], None), (anew, RUN, None))
    assert published_hashes(again) == published_hashes(lakes.released)
    assert published_hashes(anew) == published_hashes(lakes.released)


@pytest.mark.parametrize(
    "kill",
    [
        {"at": "execute", "call": 1, "when": "before"},
        {"at": "LakeStore.publish", "call": 2, "when": "after"},
        {"at": "LakeStore.publish", "call": 4, "when": "before"},
        {"at": "LakeStore.publish", "call": 6, "when": "after"},
        {"at": "execute", "call": 2, "when": "before"},
    ],
    ids=lambda kill: f"{kill['when']}-{kill['at']}-{kill['call']}",
)
def test_a_replay_that_was_killed_is_made_good_by_the_next_ingest(
    lakes: Lakes, copied: Path, kill: dict[str, Any]
) -> None:
    (killed,) = lakes.runner.run((copied, WAIVE, kill))
    assert killed["killed"]
    assert query(copied, "SELECT reason FROM {engineering.quarantine_releases}") == [("too_late",)]
    lakes.runner.run((copied, RUN, None))
    assert published_hashes(copied) == published_hashes(lakes.released)
    assert query(copied, "SELECT applied FROM {engineering.quarantine_releases}") == [(True,)]


def test_a_dry_run_says_what_would_happen_and_records_nothing(lakes: Lakes, copied: Path) -> None:
    lakes.runner.run((copied, [*WAIVE, "--dry-run"], None))
    before = reasons(lakes.before)
    assert f"would leave it: {before['too_late']} accepted" in printed(copied)
    assert "1 quantity_not_positive" in printed(copied)
    assert not (copied / "lake" / "engineering" / "quarantine_releases").exists()
    assert published_hashes(copied) == published_hashes(lakes.before)


def test_lines_that_land_later_in_a_released_day_go_to_their_day_and_in_other_days_to_the_quarantine(
    lakes: Lakes, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(lakes.before, data)
    lakes.runner.run((data, [*WAIVE, "--until", RECEIVED], None))
    land_lines(data, "events", RECEIVED, "later.jsonl", [purchase(6, NEXT, RECEIVED)])
    land_lines(data, "events", LAST, "later.jsonl", [purchase(7, NEXT, LAST)])
    orders, gross = kpis(data, NEXT)
    lakes.runner.run((data, RUN, None))
    assert kpis(data, NEXT) == (orders + 1, gross + PRICE)
    planted = "event_id IN ('planted-6', 'planted-7')"
    late = query(data, f"SELECT event_id, state FROM {{engineering.event_states}} WHERE {planted} ORDER BY 1")
    assert late == [("planted-6", "accepted"), ("planted-7", "quarantined")]
    assert_books_balance(data)


def test_a_line_that_is_late_by_two_days_reaches_its_day_though_the_day_between_is_not_touched(
    lakes: Lakes, copied: Path
) -> None:
    orders, gross = kpis(copied, "2026-01-11")
    land_lines(copied, "events", LAST, "later.jsonl", [purchase(8, "2026-01-11", LAST)])
    lakes.runner.run((copied, RUN, None))
    assert kpis(copied, "2026-01-11") == (orders + 1, gross + PRICE)
    assert_books_balance(copied)


def test_lines_that_could_not_be_read_are_read_again_after_the_cause_was_mended(lakes: Lakes, copied: Path) -> None:
    replays = [
        ["quarantine", "replay", "--reason", "line_too_long", "--since", FIRST, "--by", "ana", *more]
        for more in ([], ["--dataset", "catalogue"])
    ]
    lakes.runner.run((copied, replays[0], None))
    assert "left the quarantine: none\nstayed: 1 line_too_long" in printed(copied)
    assert published_hashes(copied) == published_hashes(lakes.before), "nothing was mended, nothing changed"
    generous = Runner(copied, TRASOS_MAX_LINE_BYTES="1000000")
    try:
        generous.run((copied, RUN, None))
        assert published_hashes(copied) == published_hashes(lakes.before), (
            "lines are read again where somebody asked for it only"
        )
        (copied / "printed.log").unlink()
        for replay in replays:
            generous.run((copied, replay, None))
        assert printed(copied).count("left the quarantine: 1 accepted\nstayed: none") == 2
        states = query(
            copied,
            "SELECT state, waived, released_on IS NOT NULL FROM {engineering.event_states} "
            "WHERE event_id = 'planted-4'",
        )
        assert states == [("accepted", None, True)]
        assert query(copied, "SELECT count(*) FROM {analytics.orders} WHERE order_id = 'planted-order-4'") == [(1,)]
        assert query(copied, "SELECT count(*) FROM {engineering.catalogue} WHERE item_id = 'planted-item'") == [(1,)]
        assert query(copied, "SELECT count(*) FROM {engineering.quarantined_records}") == [(0,)]
        assert "line_too_long" not in reasons(copied)
        assert_books_balance(copied)
        mended = published_hashes(copied)
        generous.run((copied, ["run", "--from", FIRST, "--to", LAST], None))
        assert published_hashes(copied) == mended
    finally:
        generous.close()


BY_SENSOR = """
import json, os, sys
import dagster as dg
from trasos_assets.definitions import assembled
from trasos_assets.defs.operations.instance import open_instance
from trasos_assets.defs.operations.sensors import landing_sensor
from trasos_assets.settings import get_settings

definitions, instance = assembled(), open_instance(get_settings())
repository = definitions.get_repository_def()
config = json.loads(sys.argv[1])
job = definitions.resolve_job_def("replay_quarantine")
ops = {"release_from_quarantine": {"config": config}}
done = job.execute_in_process(instance=instance, run_config={"ops": ops}, raise_on_error=False)
print("recorded", done.success)
if not done.success:
    print(done.failure_data_for_node("release_from_quarantine").user_failure_data.description)
cursor, jobs = None, []
for tick in range(12):
    context = dg.build_sensor_context(instance=instance, repository_def=repository, cursor=cursor)
    result = landing_sensor(context)
    if isinstance(result, dg.SkipReason):
        cursor = context.cursor
        if "nothing new" in result.skip_message:
            break
        continue
    cursor = result.cursor
    for request in result.run_requests:
        jobs.append(request.job_name)
        run = definitions.resolve_job_def(request.job_name).execute_in_process(
            instance=instance, asset_selection=request.asset_selection, tags=request.tags
        )
        assert run.success
print("jobs", sorted(set(jobs)))
"""


def by_sensor(data: Path, **config: Any) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith("TRASOS_")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BY_SENSOR, json.dumps(config)],
        env=known | ENVIRONMENT | {"TRASOS_DATA_DIR": str(data), "TRASOS_MAX_LINE_BYTES": str(LIMIT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_the_job_records_a_release_and_the_sensor_carries_it_out(lakes: Lakes, copied: Path) -> None:
    told = by_sensor(copied, reason="too_late", since=FIRST, waive=True, by="ana", note="the collector was down")
    assert told.splitlines() == ["recorded True", "jobs ['ingest_days', 'refresh_tables']"]
    # The sensor leaves the model's tables to the weekly retraining; everything else is as `trasos` leaves it.
    assert by_day(published_hashes(copied)) == by_day(published_hashes(lakes.released))
    assert kpis(copied, FIRST) == kpis(lakes.released, FIRST)
    released = query(copied, "SELECT released_by, note, applied FROM {engineering.quarantine_releases}")
    assert released == [("ana", "the collector was down", True)]


def by_day(found: dict[str, str]) -> dict[str, str]:
    return {file: digest for file, digest in found.items() if "day=" in file}


def test_the_job_fails_in_words_where_nothing_can_be_released(lakes: Lakes, copied: Path) -> None:
    told = by_sensor(copied, reason="malformed", since=FIRST, waive=True, by="ana")
    assert "recorded False\nmalformed may not be waived" in told
    assert "jobs []" in told
    assert "is no day" in by_sensor(copied, reason="malformed", since="yesterday", by="ana")
    assert published_hashes(copied) == published_hashes(lakes.before)


def test_the_quarantine_is_written_before_the_good_rows() -> None:
    code = (
        "import dagster as dg; from trasos_assets.definitions import assembled;"
        "graph = assembled().resolve_asset_graph();"
        "print([key.path[-1] for key in graph.get(dg.AssetKey('clean_events')).parent_keys]);"
        "job = assembled().resolve_job_def('ingest_days');"
        "from dagster._core.execution.plan.plan import ExecutionPlan;"
        "from dagster._core.execution.api import create_execution_plan;"
        "steps = [s.key for level in create_execution_plan(job).get_steps_to_execute_by_level() for s in level];"
        "print(steps.index('quarantined_events') < steps.index('clean_events'))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    parents, order = done.stdout.splitlines()
    assert "quarantined_events" in parents
    assert order == "True"
