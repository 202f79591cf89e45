import json
from datetime import date, datetime, timedelta

import ibis
import pyarrow as pa
import pytest

from trasos_assets.contracts.science import TRAINING_INTERACTIONS
from trasos_assets.recommender.models.registry import MODELS, UnknownModelError, plain
from trasos_assets.recommender.parameters import blind_trials, competing, configured_models, model_config, stored_config
from trasos_assets.recommender.search.ledger import TRIALS_SCHEMA
from trasos_assets.settings import Settings

TRAINING = ibis.schema(TRAINING_INTERACTIONS.types).to_pyarrow()


def settings(**values) -> Settings:
    return Settings.model_validate(values)


def trial(model: str, parameters: dict, value: float = 0.5) -> dict:
    return {
        "study": "study",
        "model": model,
        "trial": 0,
        "state": "complete",
        "origin": "proposed",
        "parameters": json.dumps(parameters),
        "target": "new_items",
        "value": value,
        "fold_values": "[0.5]",
        "folds": 1,
        "train_through": date(2026, 1, 1),
        "seconds": 1.0,
        "reason": None,
        "seed": 42,
        "finished_at": datetime(2026, 2, 1),
        "as_of": date(2026, 1, 8),
    }


def trials(*rows: dict) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=TRIALS_SCHEMA)


def test_without_a_search_als_is_as_the_settings_say_and_the_others_are_as_they_come() -> None:
    found = configured_models(settings(als_factors=16, als_alpha=9, seed=7), trials())
    assert (found["als"].factors, found["als"].alpha, found["als"].seed) == (16, 9, 7)
    assert found["popularity_recent"] == MODELS["popularity_recent"].default


def test_what_the_search_found_goes_over_the_settings_and_leaves_the_rest() -> None:
    table = trials(trial("als", {"factors": 128, "weights": {"view": 0.1}}))
    found = model_config("als", settings(als_factors=16, als_iterations=3, seed=7), table)
    assert (found.factors, found.iterations, found.seed) == (128, 3, 7)
    assert (found.weights.view, found.weights.cart) == (0.1, MODELS["als"].default.weights.cart)
    assert model_config("popularity", settings(), table) == MODELS["popularity"].default


def test_every_registered_model_has_a_config_with_the_seed_of_the_settings_that_can_be_stored_and_read() -> None:
    for name in MODELS:
        config = model_config(name, settings(seed=7))
        assert getattr(config, "seed", 7) == 7
        assert stored_config(name, json.dumps(plain(config))) == config


def test_baselines_compete_whether_named_or_not_and_names_only_once() -> None:
    found = competing(settings(models="als, als,popularity"))
    assert found[-1] == "als" and len(found) == len(set(found))
    assert set(found) == {"als", *(kind.name for kind in MODELS.values() if kind.baseline)}


def test_on_spark_only_models_that_learn_there_compete() -> None:
    assert competing(settings(models="als,item_knn_bm25"), on_spark=True) == ["popularity", "popularity_recent", "als"]


def test_a_name_that_is_not_registered_is_told_with_the_setting_and_the_known_names() -> None:
    with pytest.raises(UnknownModelError, match=r"TRASOS_MODELS names svd.*known models are popularity"):
        competing(settings(models="als,svd"))
    with pytest.raises(UnknownModelError, match="there is no model 'svd'"):
        model_config("svd", settings())


def test_the_default_models_are_registered() -> None:
    assert {"als", "blend", "item_knn_bm25", "popularity"} <= set(configured_models(Settings.model_validate({})))


def test_trials_that_saw_a_day_that_is_tested_on_today_tune_nothing() -> None:
    """At 20 days one window is tested on, and a search sees the days before it; at 21 a second one reaches into it."""
    held = trials(trial("als", {"factors": 128}) | {"as_of": date(2026, 1, 13)})
    asked = settings(test_days=7, folds=2)

    def of(count: int) -> pa.Table:
        seen = [date(2026, 1, 1) + timedelta(days=day) for day in range(count)]
        one = {"person_id": "p", "item_id": "i", "views": 1, "carts": 0, "purchases": 1}
        return pa.Table.from_pylist([one | {"day": day} for day in seen], schema=TRAINING)

    assert blind_trials(held, of(20), asked).num_rows == 1
    assert blind_trials(held, of(21), asked).num_rows == 0
    assert blind_trials(held, of(40), asked).num_rows == 1
    assert blind_trials(held, of(40), settings(test_days=7, folds=5)).num_rows == 0
    assert blind_trials(held, of(0), asked).num_rows == 1
