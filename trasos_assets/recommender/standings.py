"""Leaderboard, comparisons and costs, made of what ``evaluate`` found: nothing is fitted here."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.models import (
    CHAMPION_NAME,
    LEADERBOARD,
    LIST_METRICS,
    MEAN_FOLD,
    MODEL_COMPARISONS,
    MODEL_COSTS,
    RANKING_METRICS,
    SET_METRICS,
    TARGETS,
)
from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.segments import COLD_ITEMS, PARTS_OF
from trasos_assets.recommender.significance import RESAMPLES, SEED, ends, holm, over_folds, p_values, resampled

DIGITS = 9
_METRICS = (*RANKING_METRICS, *LIST_METRICS)
_DATES = ("train_through", "test_through", "source_through", "truth_from")


def leaderboard(evaluations: pa.Table, *, resamples: int = RESAMPLES, seed: int = SEED) -> pa.Table:
    """Every model on every fold, segment, target, metric and k: the rows of the contract leaderboard.

    A fold's value is the mean over its people; that of the fold ``mean`` is the mean over the folds in which anybody
    was judged, and its interval draws people with all their folds. A segment with nobody in it has null values and 0
    people. ``cold_items`` has the ranking metrics only; coverage and Gini are of all lists together and have no
    interval. Values are rounded to 9 digits, and depend on nothing but the rows, ``resamples`` and ``seed``.
    """
    board = _Board.of(evaluations)
    rows: list[dict[str, Any]] = []
    for group in board.groups():
        metrics = RANKING_METRICS if group.segment == COLD_ITEMS else _METRICS
        found = _drawn(group.values[..., : len(metrics)], resamples, seed)
        low, high = (end.reshape(found.means.shape) for end in ends(found.flat, found.people.ravel()))
        for cell in np.ndindex(found.means.shape):
            model, fold, k, metric = cell
            rows.append(
                board.named(model, fold, k, group)
                | {"metric": metrics[metric], "people": int(found.people[cell])}
                | {"value": _number(found.means[cell]), "low": _number(low[cell]), "high": _number(high[cell])}
            )
        if group.segment == "all":
            rows += _of_all_lists(board, group)
    return _table(LEADERBOARD, rows)


def comparisons(
    evaluations: pa.Table, *, baselines: Sequence[str], resamples: int = RESAMPLES, seed: int = SEED
) -> pa.Table:
    """Every model minus each of ``baselines``, and minus the champion if one competed: rows of model_comparisons.

    Both were judged on the same people, and people are drawn once for both. p-values are two-sided; Holm's adjustment
    is over all pairs of one fold, segment, target, metric and k, each counted once though both its directions are rows:
    a family is what one looks at to choose a model. Baselines that did not compete are left out.
    """
    board = _Board.of(evaluations)
    places = [board.models.index(name) for name in dict.fromkeys((*baselines, CHAMPION_NAME)) if name in board.models]
    pairs = [(model, place) for model in range(len(board.models)) for place in places if model != place]
    rows: list[dict[str, Any]] = []
    if not pairs:
        return _table(MODEL_COMPARISONS, rows)
    family = [nth for nth, (model, place) in enumerate(pairs) if (place, model) not in pairs[:nth]]
    told_by = [nth if nth in family else pairs.index((pairs[nth][1], pairs[nth][0])) for nth in range(len(pairs))]
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    for group in board.groups():
        found = _drawn(group.values[..., : len(RANKING_METRICS)], resamples, seed)
        gaps, people = found.means[one] - found.means[other], found.people[one]
        draws = (found.draws[:, one] - found.draws[:, other]).reshape(resamples, -1)
        low, high = (end.reshape(gaps.shape) for end in ends(draws, people.ravel()))
        p = p_values(draws, people.ravel()).reshape(gaps.shape)
        for fold, k, metric in np.ndindex(gaps.shape[1:]):
            adjusted = dict(zip(family, holm([_number(number) for number in p[family, fold, k, metric]]), strict=True))
            for nth, (model, against) in enumerate(pairs):
                cell = (nth, fold, k, metric)
                rows.append(
                    board.named(model, fold, k, group)
                    | {"against": board.models[against], "metric": RANKING_METRICS[metric], "people": int(people[cell])}
                    | {"difference": _number(gaps[cell]), "low": _number(low[cell]), "high": _number(high[cell])}
                    | {"p": _number(p[cell]), "p_holm": adjusted[told_by[nth]]}
                )
    return _table(MODEL_COMPARISONS, rows)


def costs(evaluations: pa.Table) -> pa.Table:
    """What every model took on every fold: rows of model_costs."""
    of_fit = ("parameters", "fit_seconds", "fit_peak_bytes", "train_through")
    of_target = ("serve_seconds", "people_served")
    facts = evaluations.group_by(["model", "fold", "target", *of_fit, *of_target]).aggregate([])
    found = facts.group_by(["model", "fold", *of_fit]).aggregate([(name, "sum") for name in of_target])
    rows = [
        {name: row[name] for name in ("model", "fold", *of_fit)}
        | {"people_served": row["people_served_sum"]}
        | {"serve_seconds_per_1000": 1_000 * row["serve_seconds_sum"] / row["people_served_sum"]}
        for row in found.to_pylist()
    ]
    return _table(MODEL_COSTS, rows)


@dataclass(frozen=True, eq=False)
class _Group:
    """The judged people of one target and segment: ``values`` is people x models x folds x k x metrics, NaN where a
    person was not judged; ``share`` is by fold what part of all that was bought their truth is, the mean last."""

    target: str
    segment: str
    values: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Means, draws (resamples first) and people by model x fold x k x metric, the mean over folds as the last fold."""

    means: np.ndarray
    draws: np.ndarray
    people: np.ndarray

    @property
    def flat(self) -> np.ndarray:
        """Draws as a matrix of resamples x columns."""
        return self.draws.reshape(len(self.draws), math.prod(self.draws.shape[1:]))


def _drawn(values: np.ndarray, resamples: int, seed: int) -> _Drawn:
    found = resampled(values.reshape(len(values), math.prod(values.shape[1:])), resamples=resamples, seed=seed)
    shape = values.shape[1:]
    means, draws = found.means.reshape(shape), found.draws.reshape(resamples, *shape)
    in_any = (~np.isnan(values)).any(axis=2).sum(axis=0)[:, None]
    return _Drawn(
        np.concatenate([means, over_folds(means, axis=1)[:, None]], axis=1),
        np.concatenate([draws, over_folds(draws, axis=2)[:, :, None]], axis=2),
        np.concatenate([found.people.reshape(shape), in_any], axis=1),
    )


@dataclass(frozen=True, eq=False)
class _Board:
    """Evaluations with their models, folds and list lengths as numbers."""

    rows: pa.Table
    models: list[str]
    folds: list[int]
    ks: list[int]
    model: np.ndarray
    fold: np.ndarray
    k: np.ndarray
    dates: list[dict[str, Any]]

    @classmethod
    def of(cls, evaluations: pa.Table) -> _Board:
        # In the order of the key, so that sums over people are the same sums whatever order the rows came in.
        keys = ["target", "segment", "person_id", "model", "fold", "k"]
        rows = evaluations.sort_by([(key, "ascending") for key in keys]).combine_chunks()
        models, folds, ks = (sorted(pc.unique(rows[name]).to_pylist()) for name in ("model", "fold", "k"))
        numbers = [
            pc.index_in(rows[name], value_set=pa.array(values, rows[name].type)).to_numpy()
            for name, values in (("model", models), ("fold", folds), ("k", ks))
        ]
        of_folds = rows.group_by(["fold", *_DATES]).aggregate([]).sort_by("fold").to_pylist()
        if len(of_folds) != len(folds):
            raise ValueError("the models of a fold were judged on different days; evaluate them together")
        dates = [{name: found[name] for name in _DATES} | {"fold": str(found["fold"])} for found in of_folds]
        dates += [dates[0] | {"fold": MEAN_FOLD}] if dates else []
        return cls(rows, models, folds, ks, numbers[0], numbers[1], numbers[2], dates)

    def groups(self) -> Iterator[_Group]:
        """Every target and segment."""
        for target in TARGETS:
            of_target = pc.equal(self.rows["target"], target)
            everything = self._bought(of_target)
            for segment, parts in PARTS_OF.items():
                chosen = pc.and_(of_target, pc.is_in(self.rows["segment"], value_set=pa.array(parts)))
                share = np.divide(self._bought(chosen), everything, out=np.zeros(len(self.folds)), where=everything > 0)
                mean = share.mean() if len(share) else 0.0
                yield _Group(target, segment, self._values(chosen.to_numpy()), np.append(share, mean))

    def named(self, model: int, fold: int, k: int, group: _Group) -> dict[str, Any]:
        """What a row says it is of; a contract takes of it what it has."""
        share = round(float(group.share[fold]), DIGITS)
        of = {"model": self.models[model], "k": self.ks[k], "target": group.target, "segment": group.segment}
        return of | {"truth_share": share} | self.dates[fold]

    def chosen(self, model: int, fold: int, k: int, target: str) -> pa.Table:
        """The rows of one model, fold, list length and target."""
        at = (self.model == model) & (self.fold == fold) & (self.k == k)
        return self.rows.filter(pa.array(at)).filter(pc.field("target") == target)

    def _bought(self, chosen: pa.ChunkedArray) -> np.ndarray:
        """Relevant pairs by fold, of one model and list length: those of all models are the same."""
        once = chosen.to_numpy() & (self.model == 0) & (self.k == 0)
        relevant = self.rows["relevant"].to_numpy()[once]
        return np.bincount(self.fold[once], relevant, minlength=len(self.folds))

    def _values(self, chosen: np.ndarray) -> np.ndarray:
        ids = self.rows["person_id"].filter(pa.array(chosen))
        people = IdMap.from_ids(ids)
        values = np.full((len(people), len(self.models), len(self.folds), len(self.ks), len(_METRICS)), np.nan)
        at = (people.to_indices(ids), self.model[chosen], self.fold[chosen], self.k[chosen])
        for nth, metric in enumerate(_METRICS):
            found = pc.fill_null(self.rows[metric], float("nan")).to_numpy()
            values[(*at, nth)] = found[chosen]
        return values


def _of_all_lists(board: _Board, group: _Group) -> Iterator[dict[str, Any]]:
    """Coverage and Gini: one number for each fold, and their mean over folds."""
    for model in range(len(board.models)):
        for k in range(len(board.ks)):
            found = [board.chosen(model, fold, k, group.target) for fold in range(len(board.folds))]
            people = [len(pc.unique(rows["person_id"])) for rows in found]
            people.append(len(pc.unique(pa.concat_tables(found)["person_id"])))
            for metric in SET_METRICS:
                values = np.array([pc.max(rows[metric]).as_py() for rows in found], dtype=np.float64)
                for fold, value in enumerate(np.append(values, over_folds(values))):
                    row = board.named(model, fold, k, group) | {"metric": metric, "people": people[fold]}
                    yield row | {"value": _number(value), "low": None, "high": None}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)


def _table(contract: Contract, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with the columns of a contract, in the order of its key."""
    schema = ibis.schema(contract.types).to_pyarrow()
    chosen = [{name: row[name] for name in contract.column_names} for row in rows]
    table = pa.Table.from_pylist(chosen, schema=schema)
    return table.sort_by([(key, "ascending") for key in contract.primary_key])
