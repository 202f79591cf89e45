"""Killed, started twice, read while it writes: the lake ends as that of one undisturbed ingest, byte for byte.

``TRASOS_KILL_POINTS`` sets how many kills the long test makes; ``TRASOS_KILL_SEED`` where they fall.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from trasos_assets.lake.query import met_a_publish
from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
from trasos_assets_tests.defs.hashing import published_hashes
from trasos_assets_tests.defs.killing import AFTER, BEFORE, MOMENTS

KILL_POINTS = int(os.environ.get("TRASOS_KILL_POINTS", "4"))
SEED = int(os.environ.get("TRASOS_KILL_SEED", "7"))
KILLS_A_LAKE = 2 if KILL_POINTS <= 10 else 10
SHARE_BY_TIME = 0.15
DATASETS = ("events", "catalogue", "marketing_spend", "assignments")
DAYS = [f"2026-01-{day:02d}" for day in range(5, 9)]
DIRT = Dirt(duplicates=0.02, late=0.1, too_late=0.01, malformed=0.01, bots=1, conflicting=0.01, testers=1)
ENVIRONMENT = {
    "TRASOS_THREADS": "1",
    "TRASOS_ALS_FACTORS": "8",
    "TRASOS_ALS_ITERATIONS": "3",
    "OPENBLAS_NUM_THREADS": "1",
    "COLUMNS": "200",
}
UNDER_WAY = ("NOT_STARTED", "STARTING", "STARTED", "CANCELING")
RUN = ["run"]

pytestmark = pytest.mark.slow

Kill = dict[str, Any]
Hashes = dict[str, str]


class Runner:
    """The process that forks `trasos run`; see ``killing``."""

    def __init__(self, data: Path, **environment: str) -> None:
        known = {name: value for name, value in os.environ.items() if not name.startswith("TRASOS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "trasos_assets_tests.defs.killing"],
            env=known | ENVIRONMENT | {"TRASOS_DATA_DIR": str(data)} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def run(self, *jobs: tuple[Path, list[str], Kill | None]) -> list[dict[str, Any]]:
        """Carry out (data folder, arguments, where to kill it) at the same time; who is not killed must succeed."""
        assert self.process.stdin is not None
        asked = [{"data": str(data), "arguments": arguments, "kill": kill} for data, arguments, kill in jobs]
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        results = self._answer()
        for (data, _, _), result in zip(jobs, results, strict=True):
            assert result["killed"] or result["code"] == 0, (data / "printed.log").read_text()[-4000:]
        return results

    def close(self) -> None:
        """Let it end by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def land(source: Path, data: Path, days: list[str]) -> None:
    for dataset in DATASETS:
        for day in days:
            folder = source / dataset / f"dt={day}"
            if folder.exists():
                shutil.copytree(folder, data / "landing" / dataset / f"dt={day}")


def states_of_runs(data: Path) -> list[str]:
    with sqlite3.connect(data / "dagster_home" / "history" / "runs.db") as connection:
        return [row[0] for row in connection.execute("SELECT status FROM runs")]


@dataclass(frozen=True)
class Line:
    """A folder to begin with, what its tables are before, and what an undisturbed run makes of them."""

    start: Path
    before: Hashes
    after: Hashes
    calls: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class Undisturbed:
    """An empty lake that all days have landed for, and one of all days but the last that the last has landed for."""

    runner: Runner
    simulated: Path
    empty: Line
    standing: Line
    done: Path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undisturbed]:
    base = tmp_path_factory.mktemp("reliability")
    simulated = base / "simulated"
    simulate(SimulationConfig(days=len(DAYS), visitors=60, items=80, seed=SEED, dirt=DIRT), simulated)
    empty, standing = base / "empty", base / "standing"
    land(simulated, empty, DAYS)
    land(simulated, standing, DAYS[:-1])
    runner = Runner(empty)
    whole, done = base / "whole", base / "done"
    shutil.copytree(empty, whole)
    at_once, _ = runner.run((whole, RUN, None), (standing, RUN, None))
    before = published_hashes(standing)
    land(simulated, standing, DAYS[-1:])
    shutil.copytree(standing, done)
    (later,) = runner.run((done, RUN, None))
    after = published_hashes(whole)
    assert len(after) > 50
    assert published_hashes(done) == after
    assert any(before[file] != after[file] for file in before if "clean_events" in file), "no day was restated"
    yield Undisturbed(
        runner,
        simulated,
        Line(empty, {}, after, json.loads((whole / "calls.json").read_text()), at_once["seconds"]),
        Line(standing, before, after, json.loads((done / "calls.json").read_text()), later["seconds"]),
        done,
    )
    runner.close()


def kill_point(line: Line, seed: random.Random, *, again: bool) -> Kill:
    """Somewhere in a run: at a call of a primitive, each as likely as any other, or after some time.

    A run that takes up what a killed one left has less to do: it dies in its first quarter.
    """
    share = 0.25 if again else 1.0
    if seed.random() < SHARE_BY_TIME:
        return {"after": seed.uniform(0, line.seconds * share)}
    label = seed.choice(sorted(line.calls))
    call = seed.randint(1, max(1, int(line.calls[label] * share)))
    return {"at": label, "call": call, "when": seed.choice(MOMENTS.get(label, (BEFORE, AFTER)))}


def assert_only_whole_versions(data: Path, line: Line, kills: list[Kill]) -> None:
    """Each published file is as before or as after, and nothing published went away."""
    found = published_hashes(data)
    assert set(line.before) <= set(found), kills
    torn = [file for file, digest in found.items() if digest not in (line.before.get(file), line.after.get(file))]
    assert not torn, (kills, torn)


def assert_as_undisturbed(data: Path, line: Line, kills: list[Kill]) -> None:
    found = published_hashes(data)
    different = {file for file in line.after | found if line.after.get(file) != found.get(file)}
    assert not different, (kills, different)
    assert not set(states_of_runs(data)) & set(UNDER_WAY), kills
    assert not list((data / "lake").glob("*/*/.staging-*")), kills


def test_killed_anywhere_and_started_again_every_table_is_that_of_an_undisturbed_run(undisturbed, tmp_path):
    seed, made, lakes, ways = random.Random(SEED), 0, 0, set()
    while made < KILL_POINTS:
        lines = (undisturbed.empty, undisturbed.standing)
        pair = [(line, tmp_path / f"{lakes + number}-{line.start.name}") for number, line in enumerate(lines)]
        kills: dict[Path, list[Kill]] = {}
        for line, data in pair:
            shutil.copytree(line.start, data)
            kills[data] = []
        going = pair
        for number in range(KILLS_A_LAKE):
            points = [kill_point(line, seed, again=number > 0) for line, _ in going]
            results = undisturbed.runner.run(
                *((data, RUN, point) for (_, data), point in zip(going, points, strict=True))
            )
            for (line, data), point, result in zip(going, points, results, strict=True):
                if result["killed"]:
                    kills[data].append(point)
                    ways.add(point.get("at", "time"))
                    assert_only_whole_versions(data, line, kills[data])
            going = [going[n] for n, result in enumerate(results) if result["killed"]]
            if not going:
                break
        undisturbed.runner.run(*((data, RUN, None) for _, data in pair))
        for line, data in pair:
            assert_as_undisturbed(data, line, kills[data])
        if lakes == 0:
            undisturbed.runner.run(*((data, RUN, None) for _, data in pair))
            for line, data in pair:
                assert "nothing new has landed and every table is up to date" in (data / "printed.log").read_text()
                assert_as_undisturbed(data, line, kills[data])
        made, lakes = made + sum(map(len, kills.values())), lakes + 2
        for _, data in pair:
            shutil.rmtree(data)
        print(f"{made} kills in {lakes} lakes, at {len(ways)} kinds of calls: all tables equal", flush=True)


def test_two_ingests_started_at_the_same_time_end_well_and_make_the_lake_of_one(undisturbed, tmp_path):
    new, standing = tmp_path / "new", tmp_path / "standing"
    shutil.copytree(undisturbed.empty.start, new)
    shutil.copytree(undisturbed.standing.start, standing)
    undisturbed.runner.run(*((data, RUN, None) for data in (new, new, standing, standing)))
    for line, data in ((undisturbed.empty, new), (undisturbed.standing, standing)):
        assert_as_undisturbed(data, line, [])
        printed = (data / "printed.log").read_text()
        assert "ingest is being written by process" in printed
        assert printed.count("nothing new has landed and every table is up to date") == 1
    assert len(states_of_runs(standing)) == len(states_of_runs(undisturbed.done)), "the second did the work again"


READ = {
    "engineering.clean_events": "day",
    "analytics.order_lines": "day",
    "science.recommendations": "0",
    "analytics.orders": "0",
}
"""Tables that a reader looks at, and what tells their partitions apart."""


def versions(data: Path, *, through_warehouse: bool) -> dict[tuple[str, str], tuple[int, int]]:
    """Rows and a sum over the contents of all rows, by table and partition."""
    found = {}
    with (
        duckdb.connect(str(data / "trasos.duckdb"), read_only=True) if through_warehouse else duckdb.connect()
    ) as connection:
        for table, partition in READ.items():
            files = data / "lake" / table.replace(".", "/") / ("day=*/*.parquet" if partition == "day" else "*.parquet")
            source = table if through_warehouse else f"read_parquet('{files}', hive_partitioning=true)"
            rows = connection.execute(
                f"SELECT {partition}::VARCHAR, count(*), sum(hash(t)::HUGEINT) FROM {source} AS t GROUP BY 1"
            ).fetchall()
            found |= {(table, key): (count, content) for key, count, content in rows}
    return found


def asked_again(data: Path, *, through_warehouse: bool, tries: int = 5) -> dict[tuple[str, str], tuple[int, int]]:
    """What ``versions`` sees, asked again if a file was replaced meanwhile, as docs/access.md says.

    Not if a file was missing: a partition is replaced in one step, and there is no moment without it.
    """
    for left in reversed(range(tries)):
        try:
            return versions(data, through_warehouse=through_warehouse)
        except duckdb.Error as error:
            missing = "No such file" in str(error) or "No files found" in str(error)
            if not left or missing or not met_a_publish(error):
                raise
    raise AssertionError("the last try returns or raises")


def test_a_reader_who_asks_again_sees_only_whole_versions_while_days_are_built(undisturbed, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(undisturbed.standing.start, data)
    for dataset in DATASETS:
        shutil.rmtree(data / "landing" / dataset / f"dt={DAYS[-1]}", ignore_errors=True)
    (data / "trasos.duckdb").unlink()  # its views read the folder that was copied
    undisturbed.runner.run((data, RUN, None))
    assert published_hashes(data) == undisturbed.standing.before
    allowed = {door: [versions(data, through_warehouse=door)] for door in (True, False)}
    for door in allowed:
        allowed[door].append(versions(undisturbed.done, through_warehouse=door))
    land(undisturbed.simulated, data, DAYS[-1:])

    stop, faults, reads = threading.Event(), [], {True: 0, False: 0}

    def read_on(door: bool) -> None:
        while not stop.is_set():
            try:
                seen = asked_again(data, through_warehouse=door)
            except duckdb.Error as error:
                faults.append(f"{door}: {error}")
                continue
            reads[door] += 1
            stop.wait(0.05)  # leaves the two cores to the writer
            faults.extend(
                f"{door}: {key} is {version}"
                for key, version in seen.items()
                if version not in [known.get(key) for known in allowed[door]]
            )
            faults.extend(f"{door}: {key} is gone" for key in allowed[door][0] if key not in seen)

    readers = [threading.Thread(target=read_on, args=(door,)) for door in allowed]
    for reader in readers:
        reader.start()
    try:
        undisturbed.runner.run((data, RUN, None))
        undisturbed.runner.run((data, ["run", "--from", DAYS[0], "--to", DAYS[-1]], None))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not faults, faults[:5]
    assert min(reads.values()) >= 20
    assert versions(data, through_warehouse=True) == allowed[True][1]
    assert_as_undisturbed(data, undisturbed.standing, [])


def test_a_change_of_code_that_was_cut_short_reaches_every_table_at_the_next_run(undisturbed, tmp_path):
    other = Runner(undisturbed.empty.start, TRASOS_BOT_EVENTS_PER_DAY="12")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    shutil.copytree(undisturbed.done, whole)
    shutil.copytree(undisturbed.done, cut)
    # Of the seven tables by day only clean_events is of other code. Nothing lands, so no file brings its days again.
    kill = {"at": "LakeStore.begin", "call": 7, "when": BEFORE}
    _, killed = other.run((whole, RUN, None), (cut, RUN, kill))
    assert killed["killed"]
    assert published_hashes(cut) not in (undisturbed.standing.after, published_hashes(whole)), (
        "it died before or after all was done"
    )
    changed = {file for file, digest in published_hashes(whole).items() if undisturbed.standing.after[file] != digest}
    assert {file.split("/")[1] for file in changed} >= {"clean_events", "interactions", "daily_kpis"}
    other.run((cut, RUN, None))
    other.close()
    assert published_hashes(cut) == published_hashes(whole)
