"""Who competes when models are judged: the models of the settings, and what serves with its stored parameters."""

from __future__ import annotations

import json
from datetime import date

import ibis
import pyarrow as pa
import pytest

from trasos_assets.contracts.models import CHAMPION, EVALUATIONS, TRIALS
from trasos_assets.contracts.reference import ITEM_CATALOGUE
from trasos_assets.defs.science import evaluation
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import FUNCTIONS
from trasos_assets.recommender.models.registry import plain
from trasos_assets.recommender.parameters import model_config
from trasos_assets.settings import Settings, get_settings
from trasos_assets_tests.conftest import MakeTable
from trasos_assets_tests.recommender.tables import two_tastes

DAY = date(2026, 1, 20)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MODELS": "als", "ALS_FACTORS": "4", "TEST_DAYS": "5", "FOLDS": "1"}.items():
        monkeypatch.setenv(f"TRASOS_{name}", value)
    get_settings.cache_clear()
    yield  # type: ignore[misc]
    get_settings.cache_clear()


def serve(store: LakeStore, table: MakeTable, *served: tuple[str, dict]) -> None:
    rows = [
        {"sequence": nth, "model": model, "model_version": f"v{nth}", "parameters": json.dumps(parameters), "parts": 0}
        | {"action": "promoted", "reason": "planted", "as_of": DAY}
        for nth, (model, parameters) in enumerate(served, 1)
    ]
    store.write(CHAMPION, table(CHAMPION, rows))


def judged(store: LakeStore, table: MakeTable) -> pa.Table:
    compute = FUNCTIONS["evaluations"].compute
    found = compute(ibis.memtable(two_tastes()), table(TRIALS, []), table(ITEM_CATALOGUE, []), store)
    return found.to_pyarrow()


def parameters_of(found: pa.Table) -> dict[str, dict]:
    return {row["model"]: json.loads(row["parameters"]) for row in found.select(["model", "parameters"]).to_pylist()}


def test_before_anything_serves_only_the_settings_models_and_baselines_compete(store, table) -> None:
    found = parameters_of(judged(store, table))
    assert set(found) == {"popularity", "popularity_recent", "personal_repeat", "als"}
    assert found["als"]["factors"] == 4


def test_what_serves_competes_with_the_parameters_it_is_stored_with(store, table) -> None:
    serve(store, table, ("popularity", {}), ("als", {"factors": 6, "iterations": 3}))
    found = judged(store, table)
    assert parameters_of(found)["champion"]["factors"] == 6
    seconds = {row["model"]: row["fit_seconds"] for row in found.to_pylist()}
    assert seconds["champion"] != seconds["als"]


def test_what_serves_with_a_competitors_parameters_is_not_fitted_again(store, table) -> None:
    serve(store, table, ("als", plain(model_config("als", get_settings()))))
    found = judged(store, table)
    seconds = {row["model"]: row["fit_seconds"] for row in found.to_pylist()}
    assert seconds["champion"] == seconds["als"]


def test_on_spark_a_champion_that_cannot_learn_there_does_not_compete(store, table) -> None:
    serve(store, table, ("item_knn_bm25", {}))
    assert evaluation.serving_config(store, on_spark=True) is None
    assert evaluation.serving_config(store, on_spark=False) is not None


def test_a_model_that_learns_from_the_days_it_is_judged_by_is_found(store, table) -> None:
    whole = judged(store, table)
    check = next(check for check in FUNCTIONS["evaluations"].checks if check.name == "no_model_learns_from_its_truth")
    assert check.blocking and check.find(ibis.memtable(whole)).count().to_pyarrow().as_py() == 0
    at = whole.schema.get_field_index("source_through")
    leaked = whole.set_column(at, "source_through", whole["truth_from"])
    told = check.find(ibis.memtable(leaked)).to_pyarrow()
    assert set(told["model"].to_pylist()) == set(whole["model"].to_pylist())
    assert set(told.column_names).isdisjoint(EVALUATIONS.pii)


def test_the_settings_parameters_are_part_of_the_tables_code_version() -> None:
    assert set(evaluation.OF_MODELS) <= set(Settings.model_fields)
