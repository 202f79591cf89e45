"""The whole asset graph on both engines from the same landing: every table is the same, models agree.

Spark runs twice: in one process, and on a standalone cluster that loses one of its two workers in mid-run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.models import MEAN_FOLD, RANKING_METRICS
from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
from trasos_assets_tests.defs.parity import MODELS, compared, differences, rows
from trasos_assets_tests.lake.engines.spark_cluster import require_spark, spark_cluster, spark_environment
from trasos_assets_tests.landing.corpus import DAY, MAX_FILE_BYTES, TIMEZONE, land
from trasos_assets_tests.landing.test_adversarial import CASES, FILE_CASES
from trasos_assets_tests.recommender.agreement import agreement

pytestmark = pytest.mark.slow

FIRST = date(2025, 10, 17)
RUN_SECONDS = 1500
SETTINGS = {
    "TRASOS_TIMEZONE": TIMEZONE,
    "TRASOS_START_DATE": FIRST.isoformat(),
    "TRASOS_MAX_FILE_BYTES": str(MAX_FILE_BYTES),
    "TRASOS_MEMORY_LIMIT": "2GB",
    # A model that so few people decide: fits of two seeds in one library agree to 0.9999999.
    "TRASOS_ALS_FACTORS": "8",
    # The model that both engines fit.
    "TRASOS_CANDIDATE": "als",
    "TRASOS_MODELS": "als",
    "TRASOS_ALS_REGULARIZATION": "20",
    "TRASOS_ALS_ITERATIONS": "20",
    "TRASOS_TEST_DAYS": "3",
}


@dataclass(frozen=True)
class Lake:
    """What one run made."""

    folder: Path
    seconds: float
    printed: str


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of a shop with much dirt, and every hostile line of the corpus on the day with 25 hours."""
    folder = tmp_path_factory.mktemp("parity") / "landing"
    simulate(SimulationConfig(days=10, visitors=400, seed=5, start=FIRST, dirt=Dirt.preset("heavy")), folder)
    land(folder, [case for case in CASES if case.day == DAY], FILE_CASES)
    return folder


def run(
    landing: Path, data: Path, *, meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None, **settings: str
) -> Lake:
    """``trasos run`` in a process of its own; it must succeed."""
    data.mkdir(parents=True)
    shutil.copytree(landing, data / "landing")
    before = {name: value for name, value in os.environ.items() if not name.startswith("TRASOS_")}
    started = time.monotonic()
    with (data / "printed.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "trasos_assets.cli", "run"],
            env=before | SETTINGS | settings | {"TRASOS_DATA_DIR": str(data)},
            stdout=log,
            stderr=log,
        )
        try:
            if meanwhile is not None:
                meanwhile(process)
            code = process.wait(timeout=RUN_SECONDS)
        finally:
            process.kill()
    printed = (data / "printed.log").read_text(errors="replace")
    assert code == 0, printed[-5000:]
    return Lake(data / "lake", time.monotonic() - started, printed)


@pytest.fixture(scope="module")
def on_duckdb(landing: Path) -> Lake:
    return run(landing, landing.parent / "duckdb")


def assert_same(duckdb: Lake, spark: Lake) -> None:
    """Exact but for sums of doubles; models agree in what they think and in how good they are."""
    assert not list(differences(duckdb.folder, spark.folder, compared()))
    ours, theirs = ({name: rows(lake.folder, CONTRACTS[name]) for name in MODELS} for lake in (duckdb, spark))
    silent = [unheard(tables["als_model"]) for tables in (ours, theirs)]
    assert silent[0].equals(silent[1])
    agreed = agreement(*(of_others(tables["als_model"], "id", silent[0]) for tables in (ours, theirs)))
    assert agreed.rank_correlation >= 0.99 and agreed.top_ten_shared >= 0.95, agreed
    assert_equal_quality(ours["leaderboard"], theirs["leaderboard"])
    served = ["sequence", "model", "action", "as_of"]
    assert ours["champion"].select(served).equals(theirs["champion"].select(served))
    assert_same_lists(ours["recommendations"], theirs["recommendations"])


def unheard(als_model: pa.Table) -> pa.Array:
    """People who have done so little that their vector is nothing but what is left of its first value."""
    people = als_model.filter(pc.equal(als_model["side"], "person"))
    heard = [any(abs(number) > 1e-6 for number in vector) for vector in people["factors"].to_pylist()]
    assert sum(heard) > 300
    return people["id"].combine_chunks().filter(pc.invert(pa.array(heard)))


def of_others(table: pa.Table, column: str, left_out: pa.Array) -> pa.Table:
    """Rows that are not about some people."""
    return table.filter(pc.invert(pc.is_in(table[column], left_out)))


def assert_equal_quality(ours: pa.Table, theirs: pa.Table) -> None:
    """Baselines to the last digit; the model, over all folds, within the 95 % interval of a mean of values of 0 to 1.

    Models that learn in one process only are not on Spark's leaderboard.
    """
    shared = pc.unique(theirs["model"])
    ours = ours.filter(pc.is_in(ours["model"], value_set=shared))
    assert "als" in shared.to_pylist() and ours.num_rows
    for one, other in zip(ours.to_pylist(), theirs.to_pylist(), strict=True):
        told = [{name: row.pop(name) for name in ("value", "low", "high")} for row in (one, other)]
        value, again = told[0]["value"], told[1]["value"]
        if one["model"] != "als" or value is None:
            assert one == other and told[0] == told[1]
        elif one["metric"] in RANKING_METRICS and one["fold"] == MEAN_FOLD and one["segment"] == "all":
            assert one == other
            half = 1.96 * (max(value * (1 - value), 0.01) / max(one["people"], 1)) ** 0.5
            assert abs(value - again) <= half, (one, value, again)


def assert_same_lists(ours: pa.Table, theirs: pa.Table) -> None:
    """To the last digit. Nothing in so small a shop beats recent popularity, which serves on both engines; how near
    the fitted models are is asserted of their vectors, and that vectors are served alike in test_spark_serving."""
    assert set(ours["source"].to_pylist()) == {"recent_popularity", "category_popularity"}
    assert ours.num_rows > 30_000
    assert ours.drop("model_version").equals(theirs.drop("model_version"))


def test_every_table_is_the_same_from_spark_in_one_process(landing: Path, on_duckdb: Lake, tmp_path: Path) -> None:
    require_spark()
    environment = spark_environment(tmp_path / "conf")
    spark = run(landing, tmp_path / "data", TRASOS_ENGINE="spark", TRASOS_SPARK_MASTER="local[2]", **environment)
    print(f"\nduckdb {on_duckdb.seconds:.0f} s, spark local[2] {spark.seconds:.0f} s")
    assert_same(on_duckdb, spark)


def test_every_table_is_the_same_from_a_cluster_that_loses_a_worker_in_mid_run(
    landing: Path, on_duckdb: Lake, tmp_path: Path
) -> None:
    require_spark()
    data = tmp_path / "data"
    with spark_cluster(tmp_path) as cluster:
        killed: list[bool] = []

        def kill_a_worker(process: subprocess.Popen[bytes]) -> None:
            """While clean events, which come of many shuffles, are computed: nothing of the table is staged yet."""
            clean = data / "lake" / "engineering" / "clean_events"
            until = time.monotonic() + RUN_SECONDS
            while not list(clean.glob(".staging-*/spark-*")) and process.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            killed.append(process.poll() is None)
            cluster.kill_a_worker()

        environment = spark_environment(tmp_path / "conf")
        settings = {"TRASOS_ENGINE": "spark", "TRASOS_SPARK_MASTER": cluster.url} | environment
        spark = run(landing, data, meanwhile=kill_a_worker, **settings)
        assert killed == [True]
        assert cluster.alive_workers() == 1
    assert "Lost executor" in spark.printed, "no executor was lost: nothing was shown"
    print(f"\nduckdb {on_duckdb.seconds:.0f} s, spark on a cluster that lost a worker {spark.seconds:.0f} s")
    assert_same(on_duckdb, spark)
