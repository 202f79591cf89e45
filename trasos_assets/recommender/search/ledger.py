"""Trials as rows of the contract trials: what was tried, what is best, what a search goes on from."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

State = Literal["complete", "pruned", "failed"]
Origin = Literal["former", "default", "proposed"]
COMPLETE: State = "complete"
PRUNED: State = "pruned"
FAILED: State = "failed"

TRIALS_SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("model", pa.string()),
        ("trial", pa.int32()),
        ("state", pa.string()),
        ("origin", pa.string()),
        ("parameters", pa.string()),
        ("target", pa.string()),
        ("value", pa.float64()),
        ("fold_values", pa.string()),
        ("folds", pa.int32()),
        ("people", pa.int64()),
        ("train_through", pa.date32()),
        ("seconds", pa.float64()),
        ("reason", pa.string()),
        ("seed", pa.int64()),
        ("finished_at", pa.timestamp("us")),
        ("as_of", pa.date32()),
    ]
)

_LATEST = [("as_of", "descending"), ("finished_at", "descending"), ("study", "ascending"), ("trial", "descending")]


@dataclass(frozen=True)
class Trial:
    """One parameter set and what came of it.

    ``fold_values`` holds the value of every fold that was judged, earliest first; ``value`` is their mean, of a
    complete trial only. ``parameters`` are as ``registry.configured`` takes them.
    """

    number: int
    state: State
    origin: Origin
    parameters: Mapping[str, Any]
    fold_values: tuple[float, ...]
    value: float | None
    seconds: float
    reason: str | None
    finished_at: datetime


@dataclass(frozen=True)
class Window:
    """What all trials of a search have in common; see the contract trials."""

    target: str
    folds: int
    people: int
    train_through: date
    seed: int
    as_of: date


def rows_of(study: str, model: str, trials: Iterable[Trial], window: Window) -> pa.Table:
    """Trials of one study as rows of the contract trials."""
    rows = [
        {
            "study": study,
            "model": model,
            "trial": trial.number,
            "state": trial.state,
            "origin": trial.origin,
            "parameters": json.dumps(trial.parameters, sort_keys=True, allow_nan=False),
            "target": window.target,
            "value": trial.value,
            "fold_values": json.dumps(trial.fold_values, allow_nan=False),
            "folds": window.folds,
            "people": window.people,
            "train_through": window.train_through,
            "seconds": trial.seconds,
            "reason": trial.reason,
            "seed": window.seed,
            "finished_at": trial.finished_at,
            "as_of": window.as_of,
        }
        for trial in trials
    ]
    return pa.Table.from_pylist(rows, schema=TRIALS_SCHEMA)


def trials_of(table: pa.Table, study: str, model: str) -> list[Trial]:
    """The trials of one study in the order of their numbers, up to the first number that is missing."""
    mine = table.filter(pc.and_(pc.equal(table["study"], study), pc.equal(table["model"], model)))
    found = [
        Trial(
            row["trial"],
            row["state"],
            row["origin"],
            json.loads(row["parameters"]),
            tuple(json.loads(row["fold_values"])),
            row["value"],
            row["seconds"],
            row["reason"],
            row["finished_at"],
        )
        for row in mine.sort_by("trial").to_pylist()
    ]
    return [trial for place, trial in enumerate(found) if trial.number == place]


def without_trials(table: pa.Table, study: str, model: str, first: int) -> pa.Table:
    """The table without the trials of a study from a number on."""
    mine = pc.and_(pc.equal(table["study"], study), pc.equal(table["model"], model))
    return table.filter(pc.invert(pc.and_(mine, pc.greater_equal(table["trial"], first))))


def best_value(trials: Iterable[Trial]) -> float | None:
    """The highest value of a complete trial."""
    return max((trial.value for trial in trials if trial.value is not None), default=None)


def last_study(trials: pa.Table, model: str) -> dict[str, Any] | None:
    """The last row of the model's last study, whatever became of its trials; None if there is no study.

    The last study is that of the latest data, and of these the one that finished a trial last.
    """
    mine = trials.filter(pc.equal(trials["model"], model))
    return mine.sort_by(_LATEST).slice(0, 1).to_pylist()[0] if mine.num_rows else None


def best_row(
    trials: pa.Table,
    model: str,
    *,
    target: str | None = None,
    seen_through: date | None = None,
    without: str | None = None,
) -> dict[str, Any] | None:
    """The row of the best complete trial of the model's last study that has any; the earlier of equals.

    Args:
        trials: rows of the contract trials.
        model: name in the registry.
        target: only studies that looked for it.
        seen_through: only studies that saw no later day.
        without: a study that does not count.

    Never the best of several studies: their values are of other people and days, and cannot be compared.
    """
    wanted = pc.and_(pc.equal(trials["model"], model), pc.equal(trials["state"], COMPLETE))
    if target is not None:
        wanted = pc.and_(wanted, pc.equal(trials["target"], target))
    if seen_through is not None:
        wanted = pc.and_(wanted, pc.less_equal(trials["as_of"], pa.scalar(seen_through, pa.date32())))
    if without is not None:
        wanted = pc.and_(wanted, pc.not_equal(trials["study"], without))
    complete = trials.filter(wanted)
    last = last_study(complete, model)
    if last is None:
        return None
    of_study = complete.filter(pc.equal(complete["study"], last["study"]))
    return of_study.sort_by([("value", "descending"), ("trial", "ascending")]).slice(0, 1).to_pylist()[0]


def blind_to(trials: pa.Table, first_tested: date) -> pa.Table:
    """The trials of studies that saw no day from ``first_tested`` on: what a test on those days may be tuned by.

    They are all, unless the windows that are tested on were made longer or more since the search.
    """
    return trials.filter(pc.less(trials["as_of"], pa.scalar(first_tested, pa.date32())))


def best_parameters(
    trials: pa.Table, model: str, *, target: str | None = None, seen_through: date | None = None
) -> dict[str, Any] | None:
    """The searched parameters of the best trial, as ``registry.configured(model, ...)`` takes them; see ``best_row``.

    None if no trial of the model is complete: it was never searched.
    """
    row = best_row(trials, model, target=target, seen_through=seen_through)
    return None if row is None else json.loads(row["parameters"])
