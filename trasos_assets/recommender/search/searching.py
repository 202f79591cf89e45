"""The search: the same number of trials for every model, each kept as soon as it is done."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.models import registry
from trasos_assets.recommender.models.base import Recommender
from trasos_assets.recommender.search.ledger import (
    TRIALS_SCHEMA,
    Origin,
    Trial,
    Window,
    best_row,
    best_value,
    rows_of,
    trials_of,
    without_trials,
)
from trasos_assets.recommender.search.objective import Fold, K, Target, absent_kinds, folds_of, value_on
from trasos_assets.recommender.search.spaces import REPEATS_ONLY, SPACES, Space, space_of
from trasos_assets.recommender.search.study import Score, Study, next_trial
from trasos_assets.recommender.splits import folds, rows_between
from trasos_assets.recommender.versions import model_version

Build = Callable[[str, Any], Recommender]


class SearchError(ValueError):
    """What was asked for cannot be searched; the message says what to change."""


class TooYoungError(SearchError):
    """There are too few days for a fold before the days that are held out."""


@dataclass(frozen=True)
class Plan:
    """What is searched.

    Args:
        models: names in the registry, each with a space.
        trials: parameter sets for each model; those that failed or were pruned count.
        test_days: length of a fold's truth in days.
        folds: rolling validation folds.
        target: what must be found. A model that only repeats is judged on all items whatever this says.
        seed: of the proposals.
        holdout_folds: windows of ``test_days`` at the end of the data that the search never sees: the leaderboard's.
        through: last complete day (default: the last day with an interaction).
        config: from a model and the trials of all others to the config whose other parameters stay as they are, so
            that a model made of others has their best (default: the registry's).
    """

    models: Sequence[str]
    trials: int
    test_days: int
    folds: int
    target: Target = "new_items"
    seed: int = 42
    holdout_folds: int = 1
    through: date | None = None
    config: Callable[[str, pa.Table], Any] = lambda model, trials: registry.kind_of(model).default


@dataclass(frozen=True)
class Step:
    """How far the search is: trials ``done`` of ``trials`` of a model, the last of them, and the best value so far.

    ``last`` is None when a model begins; ``done`` then says how many an earlier, interrupted search had made.
    """

    model: str
    done: int
    trials: int
    last: Trial | None
    best: float | None


def seen_through(rows: pa.Table | ibis.Table, plan: Plan) -> date:
    """Last day that the search may see: the training days of the earliest window that is held out.

    ``TooYoungError`` if no day is left.
    """
    if plan.holdout_folds < 1:
        if plan.through is None:
            raise SearchError("without a holdout, name the last day that the search may see")
        return plan.through
    held_out = folds(rows, test_days=plan.test_days, folds=plan.holdout_folds, through=plan.through)
    if not held_out:
        raise TooYoungError("fewer than two days with interactions: there is nothing to search on yet")
    return min(split.train_through for split in held_out)


def search(
    rows: pa.Table | ibis.Table,
    held: pa.Table,
    plan: Plan,
    *,
    fingerprint: Callable[[Any], str],
    code: Callable[[str], str],
    keep: Callable[[pa.Table], None],
    build: Build | None = None,
    watch: Callable[[Step], None] = lambda step: None,
) -> pa.Table:
    """All trials after the search: those that are ``held``, and the new ones.

    Args:
        rows: rows of the contract training_interactions.
        held: rows of the contract trials; a study among them that is not finished goes on.
        plan: what is searched.
        fingerprint: a hash of rows.
        code: a hash of a model's code, and of what it learns from beside the rows; another one, another study.
        keep: called with all trials after each one: whatever ends the search, what is finished is not lost.
        build: from a name and a config to an unfitted model (default: the registry's).
        watch: called as the search goes on.

    Days after ``seen_through`` are cut off before anything else is done. A study is named after the rows that it saw,
    its folds, target, space, other parameters, seed and code: where all of these are as they were, it goes on, else a
    new one begins, with the best parameters of the former study as its first trial.

    Raises:
        SearchError: a model has no space.
        TooYoungError: there are too few days for a fold before those held out.
    """
    unknown = [name for name in plan.models if name not in SPACES]
    if unknown:
        raise SearchError(f"nothing of {', '.join(unknown)} is searched; searched are {', '.join(SPACES)}")
    as_of = seen_through(rows, plan)
    seen = rows_between(rows, through=as_of)
    splits = folds(seen, test_days=plan.test_days, folds=plan.folds, through=as_of)
    data = fingerprint(seen)
    absent = absent_kinds(seen) if splits else set()
    judged = {target: folds_of(splits, target) for target in {target_of(model, plan) for model in plan.models}}
    table = held.select(TRIALS_SCHEMA.names).cast(TRIALS_SCHEMA)
    for model in plan.models:
        target = target_of(model, plan)
        if not judged[target]:
            raise TooYoungError(
                f"up to {as_of}, the last day before those that the leaderboard tests on, nobody can be judged on "
                f"{target}: collect more days, or lower TRASOS_TEST_DAYS or TRASOS_FOLDS"
            )
        people = sum(pc.count_distinct(fold.truth["person_id"]).as_py() for fold in judged[target])
        window = Window(target, len(judged[target]), people, judged[target][0].train_through, plan.seed, as_of)
        space = space_of(model, absent=absent)
        unsearched = registry.plain(plan.config(model, table.filter(pc.not_equal(table["model"], model))))
        name = _study_name(model, unsearched, space, window, judged[target], data, code(model))
        study = Study(name, model, space, plan.seed, _first(table, model, unsearched, target, name))
        score = partial(_scored, model, unsearched, judged[target], build or _build)
        table = _searched(table, study, plan.trials, score, window, keep, watch)
    return table


def target_of(model: str, plan: Plan) -> Target:
    """What a model is judged on."""
    return "all_items" if model in REPEATS_ONLY else plan.target


def merged(parameters: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Nested parameters with those of ``other`` in their place."""
    found = dict(parameters)
    for name, value in other.items():
        nested = isinstance(value, Mapping) and isinstance(found.get(name), Mapping)
        found[name] = merged(found[name], value) if nested else value
    return found


def _scored(
    model: str, unsearched: Mapping[str, Any], judged: Sequence[Fold], build: Build, parameters: Mapping[str, Any]
) -> Iterator[float]:
    """The value on one fold after the other, each when it is asked for."""
    config = registry.configured(model, merged(unsearched, parameters))
    for fold in judged:
        yield value_on(build(model, config), fold)


def _searched(
    table: pa.Table,
    study: Study,
    trials: int,
    score: Score,
    window: Window,
    keep: Callable[[pa.Table], None],
    watch: Callable[[Step], None],
) -> pa.Table:
    """The trials with those that the study still lacked."""
    history = trials_of(table, study.name, study.model)
    table = without_trials(table, study.name, study.model, len(history))
    watch(Step(study.model, len(history), trials, None, best_value(history)))
    while len(history) < trials:
        history.append(next_trial(study, history, score, window.folds))
        table = pa.concat_tables([table, rows_of(study.name, study.model, history[-1:], window)])
        keep(table)
        watch(Step(study.model, len(history), trials, history[-1], best_value(history)))
    return table


def _first(
    table: pa.Table, model: str, unsearched: Mapping[str, Any], target: Target, study: str
) -> tuple[tuple[Origin, Mapping[str, Any]], ...]:
    default: tuple[Origin, Mapping[str, Any]] = ("default", unsearched)
    former = best_row(table, model, target=target, without=study)
    return (default,) if former is None else (("former", json.loads(former["parameters"])), default)


def _study_name(
    model: str,
    unsearched: Mapping[str, Any],
    space: Space,
    window: Window,
    judged: Sequence[Fold],
    data: str,
    code: str,
) -> str:
    about = {
        "model": model,
        "config": unsearched,
        "space": [[type(dimension).__name__, asdict(dimension)] for dimension in space],
        "folds": [[str(fold.train_through), str(fold.test_through)] for fold in judged],
        "metric": f"ndcg@{K} {window.target}",
        "seed": window.seed,
    }
    return model_version({"training_interactions": data, "code": code}, about)


def _build(model: str, config: Any) -> Recommender:
    return registry.kind_of(model).build(config)
