"""Upkeep of a real small lake: what retention removes, what stays to the byte, what bundles give back, the cost."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.storage import CONTRACTS as BOOKS
from trasos_assets.definitions import assembled
from trasos_assets.defs.operations.compute import step_seconds
from trasos_assets.defs.operations.plan import OWN_SCHEDULE, WEEKLY_TAG
from trasos_assets.defs.operations.readers import listed, traced
from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
from trasos_assets.storage.tracing import unread

DAYS = 14
DIRT = Dirt(duplicates=0.02, late=0.02, too_late=0.01, malformed=0.01, bots=0, conflicting=0.01, testers=0)
COPIES = ("warehouse", "samples")
"""Assets that serve or copy tables as they are, however many days they hold."""

REMOVED = ("raw_events", "quarantined_events")


def split_in_three(landing: Path) -> None:
    """Let the events of a day come as three files, as those of a busy shop do."""
    for file in landing.glob("events/dt=*/*.jsonl.gz"):
        lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
        for number in range(3):
            part = file.with_name(f"part-{number}.jsonl.gz")
            part.write_bytes(gzip.compress(b"".join(lines[number::3]), mtime=0))
        file.unlink()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    data = tmp_path_factory.mktemp("upkeep")
    simulate(SimulationConfig(days=DAYS, visitors=60, seed=5, dirt=DIRT), data / "landing")
    split_in_three(data / "landing")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRASOS_")} | {
        "TRASOS_DATA_DIR": str(data),
        "TRASOS_THREADS": "2",
        "TRASOS_RETENTION_GRACE_DAYS": "0",
        "TRASOS_COMPACT_AFTER_DAYS": "2",
        "TRASOS_PRICE_GB_MONTH": "1000",
        "COLUMNS": "200",
    }
    script = Path(__file__).with_name("upkeep.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, data], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def without(hashes: dict[str, str], tables: tuple[str, ...], days: list[str]) -> dict[str, str]:
    gone = {f"engineering/{name}/day={day}/part-0.parquet" for name in tables for day in days}
    return {file: value for file, value in hashes.items() if file not in gone}


@pytest.mark.slow
def test_looking_and_the_first_meeting_change_nothing(seen: dict[str, Any]) -> None:
    assert seen["first"]["code"] == seen["looked"]["code"] == 0
    assert f"{len(REMOVED) * len(seen['sealed'])} more" in seen["planned"]["out"]
    assert "removed 0 partitions" in seen["planned"]["out"]
    assert seen["first"]["hashes"] == seen["looked"]["hashes"] == seen["planned"]["hashes"]
    for day in seen["sealed"]:
        assert day in seen["looked"]["out"]


@pytest.mark.slow
def test_retention_removes_what_it_says_and_nothing_else(seen: dict[str, Any]) -> None:
    assert len(seen["sealed"]) == DAYS - 12
    left = without(seen["first"]["hashes"], REMOVED, seen["sealed"])
    assert len(left) == len(seen["first"]["hashes"]) - len(REMOVED) * len(seen["sealed"])
    assert seen["removed"]["hashes"] == left


@pytest.mark.slow
def test_no_run_builds_over_what_was_removed(seen: dict[str, Any]) -> None:
    left = seen["removed"]["hashes"]
    assert "nothing new has landed and every table is up to date" in seen["nothing new"]["err"]
    assert seen["nothing new"]["hashes"] == left
    assert seen["built again"]["code"] == 0, seen["built again"]["err"]
    assert "ingest_days" in seen["built again"]["err"]
    assert seen["built again"]["hashes"] == left, "a rebuild of all days writes the same bytes, and no empty day"
    assert seen["refused"]["code"] == 1
    assert f"retention removed the lines of those before {seen['days'][len(seen['sealed'])]}" in seen["refused"]["err"]


@pytest.mark.slow
def test_a_run_that_was_planned_before_the_removal_publishes_nothing_over_it(seen: dict[str, Any]) -> None:
    assert not seen["forced"]["success"]
    assert "event_keys cannot be built on" in seen["forced"]["said"][0]
    assert seen["forced"]["hashes"] == seen["removed"]["hashes"]


@pytest.mark.slow
def test_a_file_for_a_removed_day_is_refused_and_blanks_nothing(seen: dict[str, Any]) -> None:
    assert "keeps no lines of days up to" in seen["late file"]["err"]
    assert seen["late file"]["hashes"] == seen["removed"]["hashes"]


@pytest.mark.slow
def test_landing_is_bundled_and_a_lost_day_comes_back_from_its_bundle(seen: dict[str, Any]) -> None:
    closed = seen["days"][:-2]
    would = json.loads(seen["would compact"]["out"])
    assert [row["part"] for row in would if row["name"] == "events"] == closed
    assert seen["compacted"]["code"] == 0, seen["compacted"]["err"]
    assert [bundle for bundle in seen["bundles"] if "/events/" in bundle] == [
        f"landing/.archive/events/dt={day}.tar" for day in closed
    ]
    assert seen["lost"] in closed
    for name in ("compacted", "from the bundle", "restored", "after restoring"):
        assert seen[name]["code"] == 0, seen[name]["err"]
        assert seen[name]["hashes"] == seen["removed"]["hashes"], name
    assert "1 new file" not in seen["after restoring"]["err"]
    assert "nothing new has landed" in seen["after restoring"]["err"]
    assert seen["left in bundles"] == []


@pytest.mark.slow
def test_the_nightly_run_keeps_its_books_and_counts_nothing_twice(seen: dict[str, Any]) -> None:
    for number in range(2):
        assert seen[f"upkeep {number}"]["success"]
        checks = seen[f"upkeep {number}"]["checks"]
        assert {f"{contract.name}.keeps_contract" for contract in BOOKS} <= set(checks)
        assert all(checks.values()), checks
    once, twice = seen["books 0"], seen["books 1"]
    assert once["retention"] == twice["retention"]
    assert {row["state"] for row in once["retention"]} == {"removed"}
    names = [(row["as_of"], row["kind"], row["name"]) for row in twice["storage_ledger"]]
    assert len(names) == len(set(names))
    assert {row["as_of"] for row in twice["storage_ledger"]} <= {
        seen["today"],
        *(row["as_of"] for row in once["storage_ledger"]),
    }
    bundled = [row for row in twice["compaction"] if row["kind"] == "landing" and row["name"] == "events"]
    assert len(bundled) == 2 * len(seen["days"][:-2]), "by hand, restored, and again by the nightly run"


@pytest.mark.slow
def test_the_ledger_holds_what_lies_there_and_what_it_cost(seen: dict[str, Any]) -> None:
    ledger = {(row["kind"], row["name"]): row for row in seen["books 1"]["storage_ledger"]}
    for name, contract in CONTRACTS.items():
        row = ledger["table", name]
        assert row["owner"] == contract.owner
        if contract not in BOOKS:
            assert row["bytes"] == seen["bytes"][name], name
            assert float(row["storage_cost"]) == pytest.approx(seen["bytes"][name] / 10**6, abs=1e-4)
    assert float(ledger["table", "clean_events"]["compute_seconds"]) > 0
    assert float(ledger["place", "warehouse"]["compute_seconds"]) > 0
    assert ledger["place", "landing_archive/events"]["files"] == len(seen["days"][:-2])
    told = {row["name"]: row for row in json.loads(seen["report"]["out"]) if row["kind"] == "table"}
    assert told["clean_events"]["bytes"] == seen["bytes"]["clean_events"]


@pytest.mark.slow
def test_unread_columns_carry_their_bytes(seen: dict[str, Any]) -> None:
    rows = {(row["table_name"], row["column_name"]): row for row in seen["books 1"]["unused_columns"]}
    row = rows["clean_events", "received_at"]
    assert 0 < row["bytes"] < seen["bytes"]["clean_events"]
    assert row["share"] == pytest.approx(row["bytes"] / seen["bytes"]["clean_events"])


def test_the_books_have_a_pace_of_their_own() -> None:
    graph = assembled().resolve_asset_graph()
    for contract in BOOKS:
        node = graph.get(dg.AssetKey(contract.name))
        assert node.tags[WEEKLY_TAG[0]] == OWN_SCHEDULE
        assert node.automation_condition is None
    job = assembled().resolve_job_def("storage_upkeep")
    assert {key.path[-1] for key in job.asset_layer.executable_asset_keys} == {contract.name for contract in BOOKS}


def test_every_reader_can_be_looked_into_and_no_column_of_the_key_tables_is_called_unread() -> None:
    assembled()
    downstream, own = traced()
    assert [found for found in downstream if found.guessed] == []
    assert [found for found in own if found.guessed] == []
    found = {(one.table, one.column) for one in unread(downstream, list(CONTRACTS.values()), own=own)}
    for table, columns in {
        "clean_events": ("event_type", "visitor_id", "unit_price", "occurred_at", "bot_rule"),
        "raw_events": ("raw", "problems", "event_id", "extra", "currency"),
        "event_states": ("state", "occurred_day", "released_on"),
        "landing_ledger": ("signature", "reason"),
        "catalogue": ("name",),
        "als_model": ("factors",),
    }.items():
        assert not {(table, column) for column in columns if column in CONTRACTS[table].column_names} & found
        assert (table, None) not in found
    assert ("clean_events", "received_at") in found


@pytest.mark.parametrize("named", ["orders.nothing", "nothing", "orders.visitor_id,nothing.at_all"])
def test_a_column_read_outside_that_is_not_there_is_named(named: str) -> None:
    with pytest.raises(ValueError, match=r"TRASOS_READ_OUTSIDE names .*noth"):
        listed(named)
    assert listed(" orders , daily_kpis.gross ") == ["orders", "daily_kpis.gross"]


def test_steps_are_counted_on_the_day_on_which_they_began() -> None:
    @dg.asset
    def slept() -> None:
        time.sleep(0.05)

    instance = dg.DagsterInstance.ephemeral()
    for _ in range(2):
        assert dg.materialize([slept], instance=instance).success
    today = datetime.now(UTC).date()
    found = step_seconds(instance, today, timezone="UTC")
    assert set(found) == {(today, "slept")}
    assert 0.1 <= float(found[today, "slept"]) < 30
    assert step_seconds(instance, today + timedelta(days=1), timezone="UTC") == {}


def test_only_tables_that_no_other_reads_whole_are_kept_for_a_time() -> None:
    """A table without partitions reads all days of its inputs: its numbers would change with what is removed."""
    graph = assembled().resolve_asset_graph()
    limited = {name for name, contract in CONTRACTS.items() if contract.keep_days is not None}
    assert limited == {"raw_events", "event_keys", "quarantined_events"}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        reads = {parent.path[-1] for parent in node.parent_keys}
        if node.partitions_def is None and key.path[-1] not in COPIES:
            assert not reads & limited, key
