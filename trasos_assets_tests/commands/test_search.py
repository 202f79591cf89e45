"""`trasos search` finds, keeps, goes on and shows; the job makes the same trials; the page stands alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import ibis
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from trasos_assets.cli import app
from trasos_assets.commands.terminal import console
from trasos_assets.contracts.models import TRIALS
from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.science import TRAINING_INTERACTIONS
from trasos_assets.definitions import assembled
from trasos_assets.lake.engine import open_lake
from trasos_assets.settings import get_settings
from trasos_assets_tests.recommender.tables import two_tastes


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith("TRASOS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TRASOS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TRASOS_TEST_DAYS", "7")
    monkeypatch.setenv("TRASOS_FOLDS", "2")
    # The console was made, with the width that there was, before any test began.
    monkeypatch.setattr(console, "_width", 250)
    monkeypatch.setattr(console, "_height", 50)
    get_settings.cache_clear()
    yield tmp_path / "data"
    monkeypatch.undo()
    get_settings.cache_clear()


@pytest.fixture
def lake(data: Path) -> Path:
    open_lake().write(TRAINING_INTERACTIONS, ibis.memtable(two_tastes(people=40, days=40)))
    return data


def trasos(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["search", *map(str, arguments)])


def published() -> pa.Table:
    return open_lake().read(TRIALS).to_pyarrow().sort_by([("model", "ascending"), ("trial", "ascending")])


def tried(trials: pa.Table) -> list[tuple]:
    columns = ("study", "model", "trial", "state", "parameters", "value", "fold_values", "as_of")
    return [tuple(row[name] for name in columns) for row in trials.to_pylist()]


def test_a_search_keeps_its_trials_and_goes_on_with_a_larger_budget(lake: Path) -> None:
    done = trasos("--model", "item_knn_cosine", "--model", "popularity_recent", "--trials", 3)
    assert done.exit_code == 0, done.output
    assert "6 trials made" in done.stderr
    first = published()
    assert [row[1:3] for row in tried(first)] == [
        (model, number) for model in ("item_knn_cosine", "popularity_recent") for number in range(3)
    ]
    assert violations(TRIALS, ibis.memtable(first)) == []
    again = trasos("--model", "item_knn_cosine", "--trials", 5)
    assert "2 trials made" in again.stderr
    assert tried(published())[:3] == tried(first)[:3]
    assert "0 trials made" in trasos("--model", "item_knn_cosine", "--trials", 5).stderr


def test_what_was_found_is_shown_as_a_table_and_as_json(lake: Path) -> None:
    assert "nothing was searched yet" in trasos("--show").output
    assert trasos("--model", "popularity_recent", "--trials", 2).exit_code == 0
    shown = trasos("--show").stdout
    assert "popularity_recent" in shown and "window_days" in shown
    (row,) = json.loads(trasos("--show", "--format", "json").stdout)
    best = max(published().to_pylist(), key=lambda row: (row["value"], -row["trial"]))
    assert (row["model"], row["best"]) == ("popularity_recent", best["value"])
    assert row["parameters"] == json.loads(best["parameters"])
    assert (row["complete"], row["failed"]) == (2, 0)


def test_the_job_makes_the_same_trials_and_the_page_stands_alone(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert trasos("--model", "personal_repeat", "--trials", 3).exit_code == 0
    by_hand = published()
    open_lake().remove(TRIALS)
    page = lake / "reports" / "search.html"
    page.unlink()
    monkeypatch.setenv("TRASOS_SEARCH_MODELS", "personal_repeat")
    monkeypatch.setenv("TRASOS_SEARCH_TRIALS", "3")
    get_settings.cache_clear()
    job = assembled().resolve_job_def("search_models")
    result = job.execute_in_process(instance=dg.DagsterInstance.ephemeral())
    assert result.success
    assert {check.check_name: check.passed for check in result.get_asset_check_evaluations()} == {
        "keeps_contract": True,
        "every_study_has_a_value": True,
    }
    assert tried(published()) == tried(by_hand)
    html = page.read_text()
    assert "http" not in html.replace("http-equiv", "")
    assert "personal_repeat" in html
    assert (lake / "reports" / "plotly.min.js").exists()


def test_a_young_shop_searches_nothing_and_the_job_says_so_without_failing(data: Path) -> None:
    open_lake().write(TRAINING_INTERACTIONS, ibis.memtable(two_tastes(people=10, days=2)))
    done = trasos("--trials", 1)
    assert done.exit_code == 1
    assert "collect more days" in done.output
    result = assembled().resolve_job_def("search_models").execute_in_process(instance=dg.DagsterInstance.ephemeral())
    assert result.success
    assert published().num_rows == 0
    assert not (data / "reports" / "search.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "oracle"), "TRASOS_SEARCH_MODELS: oracle cannot be searched"),
        (("--model", "popularity"), "als"),
        (("--trials", "0"), "--trials"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(lake: Path, arguments: tuple[str, ...], message: str) -> None:
    done = trasos(*arguments)
    assert done.exit_code != 0
    assert message in done.output
    assert published().num_rows == 0


def test_without_a_lake_it_says_what_to_do(data: Path) -> None:
    done = trasos("--trials", 1)
    assert (done.exit_code, "run `trasos run` first" in done.output) == (1, True)


def test_an_interruption_keeps_what_is_done_and_says_so(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trasos_assets.recommender.search import searching

    calls = iter(range(100))
    original = searching.value_on

    def interrupted(*arguments, **named):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(searching, "value_on", interrupted)
        done = trasos("--model", "popularity_recent", "--trials", 6)
    assert done.exit_code == 1
    assert "2 trials are kept" in done.output
    assert published().num_rows == 2
    assert trasos("--model", "popularity_recent", "--trials", 6).exit_code == 0
    resumed = published()
    open_lake().remove(TRIALS)
    assert trasos("--model", "popularity_recent", "--trials", 6).exit_code == 0
    assert tried(resumed) == tried(published())


@pytest.mark.slow
def test_a_killed_search_goes_on_from_the_trials_it_had_finished(lake: Path) -> None:
    budget = 40
    command = [sys.executable, "-W", "ignore", "-m", "trasos_assets.cli", "search"]
    command += ["--model", "item_knn_cosine", "--trials", str(budget)]
    running = subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while published().num_rows < 3 and running.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    kept = published()
    assert 3 <= kept.num_rows < budget
    assert trasos("--model", "item_knn_cosine", "--trials", kept.num_rows + 2).exit_code == 0
    resumed = published()
    assert tried(resumed)[: kept.num_rows] == tried(kept)
    open_lake().remove(TRIALS)
    assert trasos("--model", "item_knn_cosine", "--trials", kept.num_rows + 2).exit_code == 0
    assert tried(published()) == tried(resumed)
