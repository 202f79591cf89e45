"""Which config a model has today: the best that the search found, else the settings', else the registry's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import ibis
import pyarrow as pa

from trasos_assets.recommender.models.als import ALSConfig
from trasos_assets.recommender.models.registry import MODELS, UnknownModelError, configured, kind_of, plain
from trasos_assets.recommender.search.ledger import best_parameters, blind_to
from trasos_assets.recommender.splits import windows
from trasos_assets.settings import Settings


def competing(settings: Settings, *, on_spark: bool = False) -> list[str]:
    """Names of the models on the leaderboard: the baselines, then those that ``models`` of the settings names.

    ``on_spark``: only those that learn from tables which stay in Spark. ``UnknownModelError`` names the setting.
    """
    asked = [name.strip() for name in settings.models.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in MODELS]:
        raise UnknownModelError(
            f"TRASOS_MODELS names {', '.join(unknown)}; known models are {', '.join(MODELS)}, separated by commas"
        )
    baselines = [kind.name for kind in MODELS.values() if kind.baseline]
    return [name for name in dict.fromkeys((*baselines, *asked)) if MODELS[name].on_spark or not on_spark]


def configured_models(settings: Settings, trials: pa.Table | None = None, *, on_spark: bool = False) -> dict[str, Any]:
    """Every competing model's config by name; see ``competing`` and ``model_config``."""
    return {name: model_config(name, settings, trials) for name in competing(settings, on_spark=on_spark)}


def model_config(name: str, settings: Settings, trials: pa.Table | None = None) -> Any:
    """One model's config.

    It begins with the registry's default; ALS, also as a part of another model, takes the settings ``als_*``, and
    whatever has a seed takes the settings'. What the model's last search found best (``trials``, rows of the contract
    of that name) goes over it. ``UnknownModelError`` for a name that is not in the registry.
    """
    config = kind_of(name).default
    config = _als(config, settings) if isinstance(config, ALSConfig) else config
    names = {field.name for field in fields(config)}
    nested = {part: getattr(config, part) for part in names if isinstance(getattr(config, part), ALSConfig)}
    changed: dict[str, Any] = {part: model_config("als", settings, trials) for part in nested}
    if "seed" in names:
        changed["seed"] = settings.seed
    config = replace(config, **changed)
    found = None if trials is None or trials.num_rows == 0 else best_parameters(trials, name)
    return config if found is None else configured(name, _over(plain(config), found))


def blind_trials(trials: pa.Table, rows: pa.Table | ibis.Table, settings: Settings) -> pa.Table:
    """The trials that saw no day on which the leaderboard tests today, by ``rows`` of training_interactions.

    A search leaves those days out; but the windows may since have been made longer or more, or a shop has grown old
    enough for one more of them.
    """
    tested = windows(rows, test_days=settings.test_days, folds=settings.folds)
    if not tested or trials.num_rows == 0:
        return trials
    return blind_to(trials, min(train_through for train_through, _ in tested) + timedelta(days=1))


def stored_config(name: str, parameters: str) -> Any:
    """The config whose JSON text is kept in a table (candidate, champion); what it does not name has its default.

    ``ValueError`` names a model or a parameter that this code does not have.
    """
    return configured(name, json.loads(parameters or "{}"))


def _als(config: ALSConfig, settings: Settings) -> ALSConfig:
    return replace(
        config,
        factors=settings.als_factors,
        regularization=settings.als_regularization,
        alpha=settings.als_alpha,
        iterations=settings.als_iterations,
        seed=settings.seed,
    )


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` with what ``above`` names, at every depth."""
    return {
        **below,
        **{
            name: _over(below[name], value)
            if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
            else value
            for name, value in above.items()
        },
    }
