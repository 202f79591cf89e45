"""What a search has found, model by model: for a table on a terminal, and for the page."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.search.ledger import COMPLETE, Trial, best_value, last_study, trials_of
from trasos_assets.recommender.search.spaces import SPACES, point_of
from trasos_assets.recommender.search.study import Study, importances


@dataclass(frozen=True)
class Searched:
    """The last study of one model.

    ``best`` is its best trial (None if none is complete), ``default`` the value of the parameters that the model has
    unsearched, ``importance`` the share of each parameter in what decides over a good value.
    """

    model: str
    study: str
    target: str
    folds: int
    people: int
    as_of: date
    trials: Sequence[Trial]
    best: Trial | None
    default: float | None
    importance: Mapping[str, float]

    def count(self, state: str) -> int:
        """How many trials ended so."""
        return sum(trial.state == state for trial in self.trials)


def overview(trials: pa.Table) -> list[Searched]:
    """The last study of every model that was searched, by name; of rows of the contract trials."""
    found = []
    for model in sorted(pc.unique(trials["model"]).to_pylist()):
        row = last_study(trials, model)
        if row is None:
            continue
        of_study = trials_of(trials, row["study"], model)
        top = best_value(of_study)
        found.append(
            Searched(
                model=model,
                study=row["study"],
                target=row["target"],
                folds=row["folds"],
                people=row["people"],
                as_of=row["as_of"],
                trials=of_study,
                best=next((t for t in of_study if t.state == COMPLETE and t.value == top), None),
                default=next((t.value for t in of_study if t.origin == "default"), None),
                importance=_importance(model, row, of_study),
            )
        )
    return found


def _importance(model: str, row: Mapping[str, Any], trials: Sequence[Trial]) -> dict[str, float]:
    """Of a study as it was searched: a weight that the data could not tell is in none of its parameters."""
    points = [point_of(SPACES.get(model, ()), trial.parameters) for trial in trials]
    if not points or any(point.keys() != points[0].keys() for point in points) or not points[0]:
        return {}
    space = tuple(dimension for dimension in SPACES[model] if dimension.name in points[0])
    return importances(Study(row["study"], model, space, row["seed"]), trials)


def in_short(parameters: Mapping[str, Any], before: str = "") -> str:
    """Parameters on one line: ``alpha 3.2, weights.view 0.4``."""
    parts = []
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            parts.append(in_short(value, f"{before}{name}."))
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
            parts.append(f"{before}{name} {shown}")
    return ", ".join(parts)
