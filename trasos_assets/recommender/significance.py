"""Whether a difference between two models is more than chance: paired bootstrap over people, Holm over comparisons.

People are drawn, not lists: a person who is judged on several folds or by several models is drawn with all of it, so
that what makes a person easy or hard for every model cancels in differences. Efron and Tibshirani (1993), "An
introduction to the bootstrap", chapters 6 and 16; for ranked lists Sakai (2006), "Evaluating evaluation metrics based
on the bootstrap"; Smucker, Allan and Carterette (2007) find it to agree with the paired t and randomisation tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
CONFIDENCE = 0.95
SEED = 42
_BLOCK_BYTES = 32 * 1024 * 1024
# What two sums of the same numbers in another order may differ by: no difference at all.
_NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Resampled:
    """Means of columns over people, ``means`` (columns,), and over each resample of people, ``draws`` (resamples,
    columns). NaN where nobody has a value; ``people`` (columns,) counts those who have."""

    means: np.ndarray
    draws: np.ndarray
    people: np.ndarray


@dataclass(frozen=True)
class Difference:
    """Mean of a minus mean of b, its paired interval, the two-sided p-value, and how many people it is over."""

    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    people: int


def resampled(values: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED) -> Resampled:
    """Bootstrap the columns of ``values`` (people x columns, NaN: no value) by drawing people with replacement.

    All columns see the same draws, so what is computed of several of them is paired. A resample is a row of multinomial
    weights (how often each person was drawn) and its means are a product of matrices; weights are made 32 MB at a time,
    from one stream of random numbers, whatever the machine.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"values must be people x columns, got the shape {values.shape}")
    people, columns = values.shape
    has = ~np.isnan(values)
    filled = np.where(has, values, 0.0)
    # Columns of one fold have values of the same people: each such set is counted once.
    sets, of_column = np.unique(has, axis=1, return_inverse=True)
    counted, of_column = sets.astype(np.float64), of_column.ravel()
    draws = np.full((resamples, columns), np.nan)
    if people:
        rng = np.random.default_rng(seed)
        block = max(1, _BLOCK_BYTES // (8 * people))
        for start in range(0, resamples, block):
            rows = min(block, resamples - start)
            drawn = rng.integers(0, people, size=(rows, people), dtype=np.int32)
            cells = drawn + np.arange(rows, dtype=np.int64)[:, None] * people
            weights = np.bincount(cells.ravel(), minlength=rows * people).reshape(rows, people).astype(np.float64)
            draws[start : start + rows] = _ratio(weights @ filled, (weights @ counted)[:, of_column])
    return Resampled(_ratio(filled.sum(axis=0), has.sum(axis=0).astype(np.float64)), draws, has.sum(axis=0))


def ends(draws: np.ndarray, people: np.ndarray, *, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper ends (columns,) of the percentile intervals of ``draws`` (resamples, columns).

    NaN where fewer than two of ``people`` (columns,) have a value; a draw in which nobody had one is left out.
    """
    quantiles = [(1 - confidence) / 2, (1 + confidence) / 2]
    found = np.full((2, draws.shape[1]), np.nan)
    holes = np.isnan(draws)
    whole = (people > 1) & ~holes.any(axis=0)
    if whole.any():
        found[:, whole] = np.quantile(draws[:, whole], quantiles, axis=0)
    for column in np.flatnonzero((people > 1) & holes.any(axis=0) & ~holes.all(axis=0)):
        found[:, column] = np.quantile(draws[~holes[:, column], column], quantiles)
    return found[0], found[1]


def p_values(draws: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Two-sided p-values (columns,) of the differences whose ``draws`` (resamples, columns) these are.

    p = 2 min(share of draws <= 0, share of draws >= 0), each share counted with one draw more, so that it is never 0:
    the smallest p is 2 / (resamples + 1) (Davison and Hinkley 1997, "Bootstrap methods and their application", section
    4.4). NaN where fewer than two people have a value.
    """
    drawn = (~np.isnan(draws)).sum(axis=0)
    fewer = np.minimum((draws <= _NOTHING).sum(axis=0), (draws >= -_NOTHING).sum(axis=0))
    p = np.minimum(1.0, 2.0 * (1 + fewer) / (1 + drawn))
    return np.where((people > 1) & (drawn > 0), p, np.nan)


def compare(
    values_a: np.ndarray,
    values_b: np.ndarray,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = SEED,
) -> Difference:
    """Is a better than b? ``values_a`` and ``values_b`` are aligned by person: (people,), or (people, folds).

    NaN says that the person was not judged on the fold, and must stand in both. With folds, the mean over folds of the
    mean over people is compared. Exchanging a and b changes the signs and nothing else.

    >>> compare(np.array([0.5, 0.6, 0.7]), np.array([0.5, 0.6, 0.7])).p
    1.0
    """
    a, b = (np.asarray(values, dtype=np.float64) for values in (values_a, values_b))
    if a.shape != b.shape or a.ndim not in (1, 2):
        raise ValueError(
            f"values must be aligned, (people,) or (people, folds); got the shapes {a.shape} and {b.shape}"
        )
    if (np.isnan(a) != np.isnan(b)).any():
        raise ValueError("a person was judged by one of the two models only; compare on the same people")
    gap = (a - b)[:, None] if a.ndim == 1 else a - b
    found = resampled(gap, resamples=resamples, seed=seed)
    judged = ~np.isnan(found.means)
    if not judged.any():
        return Difference(None, None, None, None, 0)
    people = np.array([(~np.isnan(gap)).any(axis=1).sum()])
    draws = over_folds(found.draws[:, judged])[:, None]
    low, high = ends(draws, people, confidence=confidence)
    numbers = (float(found.means[judged].mean()), float(low[0]), float(high[0]), float(p_values(draws, people)[0]))
    return Difference(*(None if np.isnan(number) else number for number in numbers), people=int(people[0]))


def over_folds(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean over folds of those that have a value; NaN where none has."""
    has = ~np.isnan(values)
    return _ratio(np.where(has, values, 0.0).sum(axis=axis), has.sum(axis=axis).astype(np.float64))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment: the chance of any false alarm among all of them stays below the level used.

    With the m p-values in ascending order, adjusted_i = max over j <= i of min(1, (m - j + 1) p_j), j from 1; None is
    no comparison and stays None. Holm (1979), "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    given = [(p, place) for place, p in enumerate(p_values) if p is not None]
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for nth, (p, place) in enumerate(sorted(given)):
        highest = max(highest, min(1.0, (len(given) - nth) * p))
        adjusted[place] = highest
    return adjusted


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
