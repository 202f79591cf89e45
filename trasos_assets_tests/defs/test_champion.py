"""The gate over a small lake: a good candidate serves, planted bad ones are refused, each for its own reason."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.models import CHAMPION, CHAMPION_MODEL
from trasos_assets.definitions import assembled
from trasos_assets.defs.operations import championship
from trasos_assets.defs.operations.health import owner_of_check
from trasos_assets.lake.engine import open_lake
from trasos_assets.lake.store import LakeStore
from trasos_assets.recommender.candidates import CandidateError
from trasos_assets.recommender.champions import ChampionError, serving_version
from trasos_assets.recommender.definition_of_done import OWNERS
from trasos_assets.settings import get_settings
from trasos_assets_tests.defs import gate
from trasos_assets_tests.defs.gate import ASKING, LAST, changed, refusals, rows_of, run


def _lake_at(folder: Path) -> LakeStore:
    os.environ["TRASOS_DATA_DIR"] = str(folder)
    get_settings.cache_clear()
    return open_lake()


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """The settings of the small shop, and none of this machine's."""
    before = {name: value for name, value in os.environ.items() if name.startswith("TRASOS_")}
    for name in before:
        del os.environ[name]
    os.environ.update(gate.ENVIRONMENT)
    yield
    for name in [name for name in os.environ if name.startswith("TRASOS_")]:
        del os.environ[name]
    os.environ.update(before)
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a good champion."""
    folder = tmp_path_factory.mktemp("gate")
    _lake_at(folder)
    gate.shop(gate.interactions())
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(instance).success
    return folder


@pytest.fixture
def lake(trained: Path, tmp_path: Path) -> LakeStore:
    """A copy of it, to be spoiled."""
    shutil.copytree(trained, tmp_path / "data")
    return _lake_at(tmp_path / "data")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def test_a_good_candidate_becomes_champion_and_is_kept_whole(lake: LakeStore) -> None:
    (candidate,) = rows_of(lake, "candidate")
    assert refusals(lake) == {} and {row["criterion"] for row in rows_of(lake, "definition_of_done")} == set(OWNERS)
    (row,) = rows_of(lake, "champion")
    assert (row["sequence"], row["model"], row["action"]) == (1, "als", "promoted")
    assert serving_version(lake.read(CHAMPION)) == candidate["model_version"]
    kept = lake.read(CHAMPION_MODEL).drop("payload", "model_version").order_by("side", "id").to_pyarrow()
    factors = lake.read(CONTRACTS["als_model"]).drop("model_version").order_by("side", "id").to_pyarrow()
    assert kept.equals(factors) and kept.num_rows == candidate["parts"]


def test_asking_again_appends_nothing_and_gives_the_same_bytes(lake: LakeStore, instance: dg.DagsterInstance) -> None:
    files = [lake.file(CONTRACTS[name]) for name in ("candidate", "champion", "champion_model")]
    before = [file.read_bytes() for file in files]
    run(instance, ASKING)
    assert [file.read_bytes() for file in files] == before
    assert refusals(lake) == {}


def test_the_card_says_what_it_was_made_of_and_why_it_serves(lake: LakeStore) -> None:
    (candidate,) = rows_of(lake, "candidate")
    folder = get_settings().reports_dir / "models"
    card = json.loads((folder / f"{candidate['model_version']}.json").read_text())
    assert card["serves"] and card["refused"] == [] and card["signed_off_by"] == []
    assert card["data"]["source_hash"] == candidate["source_hash"] and card["parameters"]["factors"] == 8
    assert {row["criterion"] for row in card["criteria"]} == set(OWNERS)
    assert any(row["metric"] == "ndcg" and row["low"] is not None for row in card["metrics"])
    assert {row["against"] for row in card["comparisons"]} >= {"popularity_recent"}
    assert not any(person in (folder / f"{candidate['model_version']}.html").read_text() for person in ("p001", "p100"))


def _vectors(side: str, change: Callable[[np.ndarray], np.ndarray], version: str) -> Callable[[pa.Table], pa.Table]:
    """A change of one side's vectors in als_model, under another version."""

    def spoil(table: pa.Table) -> pa.Table:
        table = table.sort_by([("side", "ascending"), ("id", "ascending")])
        own = np.flatnonzero(pc.equal(table["side"], side).to_numpy())
        values = pc.list_flatten(table["factors"]).to_numpy().reshape(table.num_rows, -1).copy()
        values[own] = change(values[own])
        vectors = pa.array(list(values.astype(np.float32)), pa.list_(pa.float32()))
        table = table.set_column(table.column_names.index("factors"), "factors", vectors)
        versions = pa.repeat(pa.scalar(version, pa.string()), table.num_rows)
        return table.set_column(table.column_names.index("model_version"), "model_version", versions)

    return spoil


def _with_a_reason(settings: pytest.MonkeyPatch) -> None:
    """Not to be better than the champion, or newer, is no fault of the candidate."""
    settings.setenv("TRASOS_NON_INFERIORITY_REASON", "a test")
    get_settings.cache_clear()


def _asked_in_vain(lake: LakeStore, instance: dg.DagsterInstance) -> dict[str, str]:
    """Why a candidate was refused; the champion serves on, and the checks of its criteria warn."""
    before = rows_of(lake, "champion"), rows_of(lake, "champion_model")
    done = run(instance, ASKING)
    assert (rows_of(lake, "champion"), rows_of(lake, "champion_model")) == before
    refused = refusals(lake)
    failed = {check.check_name: check for check in done.get_asset_check_evaluations() if not check.passed}
    judged = {row["criterion"] for row in rows_of(lake, "definition_of_done") if row["judged"]}
    assert set(failed) == set(refused) & judged
    assert all(check.severity == dg.AssetCheckSeverity.WARN and not check.blocking for check in failed.values())
    return refused


def test_shuffled_factors_are_refused_they_know_nothing_of_their_people(lake, instance) -> None:
    shuffle = np.random.default_rng(3).permutation
    changed(lake, "als_model", _vectors("item", lambda vectors: vectors[shuffle(len(vectors))], "shuffled"))
    refused = _asked_in_vain(lake, instance)
    assert "vectors_know_their_data" in refused
    assert "(50% is chance)" in refused["vectors_know_their_data"]
    card = json.loads((get_settings().reports_dir / "models" / "shuffled.json").read_text())
    assert not card["serves"] and any(line.startswith("vectors_know_their_data") for line in card["refused"])


def test_popularity_in_disguise_is_refused_whatever_it_calls_itself(lake, instance) -> None:
    bought = lake.read(CONTRACTS["training_interactions"]).group_by("item_id").agg(people=lambda t: t.count())
    counts = bought.order_by("item_id").to_pyarrow()["people"].to_numpy()
    changed(lake, "als_model", _vectors("person", np.ones_like, "disguised"))
    changed(lake, "als_model", _vectors("item", lambda v: np.tile(counts[:, None], v.shape[1]), "disguised"))
    refused = _asked_in_vain(lake, instance)
    assert "is_not_popularity_in_disguise" in refused


def test_popularity_under_its_own_name_gains_nothing_over_itself(lake, instance, monkeypatch) -> None:
    monkeypatch.setenv("TRASOS_CANDIDATE", "popularity")
    get_settings.cache_clear()
    refused = _asked_in_vain(lake, instance)
    assert {"beats_recent_popularity", "is_not_popularity_in_disguise"} <= set(refused)
    assert "does not beat recent popularity" in refused["beats_recent_popularity"]


def test_factors_that_are_not_finite_are_refused(lake, instance) -> None:
    def spoil(vectors: np.ndarray) -> np.ndarray:
        vectors[0, 0] = np.nan
        return vectors

    changed(lake, "als_model", _vectors("person", spoil, "diverged"))
    assert "has_finite_numbers" in _asked_in_vain(lake, instance)


def test_a_model_that_knows_the_future_is_refused(lake, instance) -> None:
    """The rows reach a day beyond the data that there are: the source of that day cannot be what it says."""
    rows = rows_of(lake, "training_interactions")
    people = sorted({row["person_id"] for row in rows})
    ahead = [rows[0] | {"person_id": person, "day": LAST + timedelta(days=1)} for person in people]
    gate.write(lake, CONTRACTS["training_interactions"], [*rows, *ahead])
    run(instance, ["als_model"])
    refused = _asked_in_vain(lake, instance)
    assert list(refused) == ["trained_on_the_past"]
    assert refused["trained_on_the_past"].startswith("leaked future")


def test_a_model_that_its_data_and_parameters_do_not_give_again_is_refused(lake, instance, monkeypatch) -> None:
    """So is one that learned from rows that it does not tell of."""
    _with_a_reason(monkeypatch)
    changed(lake, "als_model", _vectors("item", lambda vectors: vectors * np.float32(1.0001), "touched"))
    refused = _asked_in_vain(lake, instance)
    assert list(refused) == ["is_reproducible"]
    assert refused["is_reproducible"] == "a second fit to the days up to as_of gives another model"


def test_a_model_that_was_judged_by_what_it_learned_is_refused(lake, instance, monkeypatch) -> None:
    _with_a_reason(monkeypatch)

    def leak(board: pa.Table) -> pa.Table:
        at = board.column_names.index("source_through")
        return board.set_column(at, "source_through", board["test_through"])

    changed(lake, "leaderboard", leak)
    changed(lake, "als_model", _vectors("item", lambda vectors: vectors, "judged by its own"))
    refused = _asked_in_vain(lake, instance)
    assert list(refused) == ["trained_on_the_past"] and "that it is judged by" in refused["trained_on_the_past"]


def test_too_little_data_promotes_nobody_and_alarms_nobody(lake, instance, monkeypatch) -> None:
    monkeypatch.setenv("TRASOS_DONE_PEOPLE", "100000")
    get_settings.cache_clear()
    lake.remove(CHAMPION)
    done = run(instance, ASKING)
    assert list(refusals(lake)) == ["beats_recent_popularity"]
    assert all(check.passed for check in done.get_asset_check_evaluations())
    assert [row["model"] for row in rows_of(lake, "champion")] == ["popularity_recent"]


def _retrained(
    lake: LakeStore, instance: dg.DagsterInstance, seed: int, *, names: tuple = ASKING, days: int = 7
) -> str:
    """Other data, which reach ``days`` further for each seed, and a new candidate; its version."""
    later = days * seed
    gate.shop(gate.interactions(seed=seed, later=later), through=LAST + timedelta(days=later))
    run(instance, ["als_model", *names])
    return rows_of(lake, "candidate")[0]["model_version"]


def test_rollback_serves_what_was_kept_and_is_not_undone_by_the_next_run(lake, instance) -> None:
    first = rows_of(lake, "champion")[0]["model_version"]
    factors = {row["id"]: row["factors"] for row in rows_of(lake, "champion_model")}
    second = _retrained(lake, instance, seed=1)
    assert [row["model_version"] for row in rows_of(lake, "champion")] == [first, second]
    assert "fitted again" in rows_of(lake, "champion")[1]["reason"]

    with pytest.raises(ChampionError, match=f"never served; kept are {first}"):
        championship.roll_back(lake, "unheard", keep=5)
    command = CliRunner().invoke(_app(), ["champion", "rollback", first, "--reason", "a test", "--no-refresh"])
    assert command.exit_code == 0, command.output
    assert serving_version(lake.read(CHAMPION)) == first
    run(instance, ASKING)
    assert [row["action"] for row in rows_of(lake, "champion")] == ["promoted", "promoted", "rolled_back"]
    kept = {row["id"]: row["factors"] for row in rows_of(lake, "champion_model") if row["model_version"] == first}
    assert kept == factors

    assert _retrained(lake, instance, seed=2) not in (first, second)
    assert list(refusals(lake)) == ["holds_against_the_champion"]
    assert serving_version(lake.read(CHAMPION)) == first


def test_the_same_model_fitted_again_without_a_newer_day_needs_a_reason(lake, instance, monkeypatch) -> None:
    first = rows_of(lake, "champion")[0]["model_version"]
    second = _retrained(lake, instance, seed=1, days=0)
    assert list(refusals(lake)) == ["holds_against_the_champion"] and serving_version(lake.read(CHAMPION)) == first
    monkeypatch.setenv("TRASOS_NON_INFERIORITY_REASON", "its data were mended")
    get_settings.cache_clear()
    run(instance, ASKING)
    assert serving_version(lake.read(CHAMPION)) == second
    assert "fitted again: its data were mended" in rows_of(lake, "champion")[1]["reason"]


def _others(settings: pytest.MonkeyPatch, factors: int) -> None:
    settings.setenv("TRASOS_ALS_FACTORS", str(factors))
    get_settings.cache_clear()


def test_a_candidate_is_not_compared_with_one_who_served_when_the_board_was_made(lake, instance, monkeypatch) -> None:
    """The board holds the first model as champion; the second serves by the time that the third asks."""
    board = ("evaluations", "leaderboard", "model_comparisons", "model_costs")
    run(instance, board)
    assert {row["parameters"] for row in rows_of(lake, "model_costs") if row["model"] == "champion"}
    _others(monkeypatch, 6)
    monkeypatch.setenv("TRASOS_NON_INFERIORITY_REASON", "it is smaller")
    monkeypatch.setenv("TRASOS_NON_INFERIORITY_MARGIN", "1")
    get_settings.cache_clear()
    run(instance, ("als_model", *board, *ASKING))
    second = rows_of(lake, "candidate")[0]["model_version"]
    assert serving_version(lake.read(CHAMPION)) == second
    _others(monkeypatch, 8)
    changed(lake, "model_costs", lambda costs: _with_parameters(costs, "als", 8))
    gate.shop(gate.interactions(seed=1))
    run(instance, ("als_model", *ASKING))
    said = refusals(lake)["holds_against_the_champion"]
    assert said.startswith("not compared with what serves") and serving_version(lake.read(CHAMPION)) == second
    run(instance, (*board, *ASKING))
    assert "not compared" not in refusals(lake).get("holds_against_the_champion", "")


def _with_parameters(costs: pa.Table, model: str, factors: int) -> pa.Table:
    """The board as it is where the candidate competed on it beside what serves: ``model`` with other factors."""
    rows = costs.to_pylist()
    for row in rows:
        if row["model"] == model:
            row["parameters"] = json.dumps(json.loads(row["parameters"]) | {"factors": factors})
    return pa.Table.from_pylist(rows, schema=costs.schema)


def test_a_kill_after_the_parts_are_stored_leaves_the_old_model_serving_whole(lake, instance) -> None:
    first = rows_of(lake, "champion")[0]["model_version"]
    killed = _retrained(lake, instance, seed=1, names=("candidate", "definition_of_done", "champion_model"))
    assert serving_version(lake.read(CHAMPION)) == first
    assert {row["model_version"] for row in rows_of(lake, "champion_model")} == {first, killed}
    third = _retrained(lake, instance, seed=2)
    assert [row["model_version"] for row in rows_of(lake, "champion")] == [first, third]
    assert {row["model_version"] for row in rows_of(lake, "champion_model")} == {first, third}


def test_the_run_after_a_kill_promotes_what_was_stored(lake, instance) -> None:
    second = _retrained(lake, instance, seed=1, names=("candidate", "definition_of_done", "champion_model"))
    run(instance, ("champion",))
    assert serving_version(lake.read(CHAMPION)) == second


def test_nothing_is_promoted_of_which_nothing_is_stored(lake, instance) -> None:
    before = rows_of(lake, "champion")
    with pytest.raises(ChampionError, match=r"champion_model holds nothing of it.*retrain_model"):
        _retrained(lake, instance, seed=1, names=("candidate", "definition_of_done", "champion"))
    assert rows_of(lake, "champion") == before


def test_parts_of_another_als_model_are_not_stored_as_the_candidates(lake, instance) -> None:
    _retrained(lake, instance, seed=1, names=("candidate", "definition_of_done"))
    before = rows_of(lake, "champion_model")
    changed(lake, "als_model", _vectors("item", lambda vectors: vectors, "another"))
    with pytest.raises(CandidateError, match="als_model holds no vectors of version"):
        run(instance, ("champion_model", "champion"))
    assert rows_of(lake, "champion_model") == before


def test_the_cards_of_former_champions_say_that_they_serve_no_more(lake, instance) -> None:
    first = rows_of(lake, "champion")[0]["model_version"]
    second = _retrained(lake, instance, seed=1)
    folder = get_settings().reports_dir / "models"
    cards = {version: json.loads((folder / f"{version}.json").read_text()) for version in (first, second)}
    assert {version: card["serves"] for version, card in cards.items()} == {first: False, second: True}


def test_a_failed_criterion_is_counted_with_the_team_that_asks_for_it() -> None:
    graph = assembled().resolve_asset_graph()
    assert {name: owner_of_check(graph, "definition_of_done", name) for name in OWNERS} == OWNERS
    assert owner_of_check(graph, "definition_of_done", "keeps_contract") == "science"
    assert owner_of_check(graph, "orders", "is_reproducible") == "analytics"


def test_people_who_are_gone_from_the_lake_go_from_every_kept_model(lake, instance) -> None:
    rows = [row for row in rows_of(lake, "training_interactions") if row["person_id"] != "p001"]
    gate.write(lake, CONTRACTS["training_interactions"], rows)
    run(instance, ["champion_model"])
    ids = {row["id"] for row in rows_of(lake, "champion_model")}
    assert "p001" not in ids and {"p002", "i001"} <= ids


def _app():
    from trasos_assets.cli import app

    return app


def test_the_command_shows_who_serves_and_signs_it_off(lake: LakeStore) -> None:
    version = rows_of(lake, "champion")[0]["model_version"]
    runner = CliRunner()
    shown = runner.invoke(_app(), ["champion", "show"])
    assert shown.exit_code == 0 and version in shown.output and "beats_recent_popularity" in shown.output
    assert "signed off by nobody yet" in shown.output
    signed = runner.invoke(_app(), ["champion", "sign", "--by", "Ada <script>"])
    assert signed.exit_code == 0, signed.output
    listed = json.loads(runner.invoke(_app(), ["champion", "history", "--format", "json"]).output)
    assert [row["action"] for row in listed] == ["promoted", "signed"]
    page = (get_settings().reports_dir / "models" / f"{version}.html").read_text()
    assert "Ada &lt;script&gt;" in page and "<script" not in page
    refused = runner.invoke(_app(), ["champion", "rollback", version, "--no-refresh"])
    assert refused.exit_code == 1 and "serves already" in refused.stderr


def test_the_command_says_what_to_do_before_anything_serves(tmp_path: Path) -> None:
    _lake_at(tmp_path)
    for arguments in (["show"], ["history"], ["sign", "--by", "Ada"]):
        done = CliRunner().invoke(_app(), ["champion", *arguments])
        assert done.exit_code == 1 and "trasos run" in done.stderr


def test_no_shop_no_candidate_and_nothing_serves_before_the_first_day(tmp_path: Path, instance) -> None:
    store = _lake_at(tmp_path)
    run(instance)
    for name in ("candidate", "definition_of_done", "champion", "champion_model"):
        assert rows_of(store, name) == []
    assert isinstance(store.read(CHAMPION), ibis.Table)
