"""How far two distributions are apart, and whether that is more than chance and enough to matter. Pure numpy.

Formulas: PSI as in Siddiqi, Credit Risk Scorecards (2006); its distribution under no drift by Yurdakul and Naranjo,
Statistical properties of the population stability index, Journal of Risk Model Validation 14(4), 2020; Jensen-Shannon
by Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37(1), 1991, whose
root is a metric by Endres and Schindelin, IEEE Transactions on Information Theory 49(7), 2003; the effective size of a
sample of clusters by Kish, Survey Sampling (1965).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMOOTHING = 0.5
"""Added to the count of every bin on either side, so that an empty one is no infinite surprise (Krichevsky and
Trofimov, 1981)."""

DIGITS = 9
OK, WATCH, DRIFTED, TOO_FEW = "ok", "watch", "drifted", "too_few"


@dataclass(frozen=True)
class Thresholds:
    """What counts as drift.

    ``psi`` and ``js`` are the least effects that matter, both to be reached; half of each is worth watching. ``alpha``
    is the rate at which chance alone may pass for drift in one look at one feature, and ``people`` the least effective
    sample on either side.
    """

    psi: float = 0.2
    js: float = 0.1
    alpha: float = 0.001
    people: int = 100

    def __post_init__(self) -> None:
        if self.psi <= 0 or not 0 < self.js <= 1 or not 0 < self.alpha < 1 or self.people < 2:
            raise ValueError(f"psi > 0, 0 < js <= 1, 0 < alpha < 1 and people >= 2 are needed, got {self}")


@dataclass(frozen=True)
class Judgement:
    """How one feature stands; figures are None without observations on both sides.

    ``psi_by_chance`` is what PSI is expected to be without drift, ``psi_critical`` what it then exceeds at the rate
    ``alpha``; ``moved_most`` is the index of the bin that adds most to PSI.
    """

    state: str
    psi: float | None = None
    psi_by_chance: float | None = None
    psi_critical: float | None = None
    js: float | None = None
    moved_most: int | None = None


def shares(counts: Sequence[float] | np.ndarray) -> np.ndarray:
    """Counts of bins as smoothed shares that add up to 1: (count + 1/2) / (n + bins / 2)."""
    smoothed = np.asarray(counts, dtype=np.float64) + SMOOTHING
    return smoothed / smoothed.sum()


def psi_terms(reference: np.ndarray, current: np.ndarray) -> np.ndarray:
    """What every bin adds to the population stability index: (q - p) ln(q / p), of shares above 0; never negative."""
    return (current - reference) * np.log(current / reference)


def population_stability_index(reference: Sequence[float], current: Sequence[float]) -> float:
    """PSI = sum over bins of (q - p) ln(q / p), of counts of the same bins, smoothed; symmetric, 0 for equal counts."""
    return float(psi_terms(shares(reference), shares(current)).sum())


def jensen_shannon_distance(reference: Sequence[float], current: Sequence[float]) -> float:
    """Root of the Jensen-Shannon divergence to base 2, of smoothed shares: a metric between 0 and 1.

    JSD = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2.
    """
    p, q = shares(reference), shares(current)
    middle = (p + q) / 2
    divergence = (p * np.log2(p / middle) + q * np.log2(q / middle)).sum() / 2
    return float(np.sqrt(min(1.0, max(0.0, divergence))))


def psi_without_drift(bins: int, reference_people: float, current_people: float, alpha: float) -> tuple[float, float]:
    """Expected value of PSI without drift, and the value it then exceeds at the rate ``alpha``.

    To first order PSI / (1/n + 1/m) is chi-squared with ``bins - 1`` degrees of freedom (Yurdakul and Naranjo), so its
    mean is (bins - 1)(1/n + 1/m). n and m are effective sample sizes: events of one person are no independent draws.
    """
    from scipy.special import chdtri

    spread = 1 / reference_people + 1 / current_people
    freedom = max(0, bins - 1)
    return freedom * spread, (float(chdtri(freedom, alpha)) * spread if freedom else 0.0)


def judge(
    reference: Sequence[float],
    current: Sequence[float],
    reference_people: float,
    current_people: float,
    thresholds: Thresholds,
) -> Judgement:
    """Whether counts of the same bins have drifted from ``reference`` to ``current``.

    ``drifted``: what PSI has beyond chance reaches ``thresholds.psi``, the distance reaches ``thresholds.js``, and
    chance would not get there at the rate ``alpha``. ``watch``: the same with half the effects. ``too_few``: fewer than
    ``thresholds.people`` on either side, whatever the figures. The distance is asked for because a bin with next to
    nothing in it can make PSI large by its logarithm alone.

    Raises:
        ValueError: the sides have different bins, or a count is negative or no number.
    """
    before, after = np.asarray(reference, dtype=np.float64), np.asarray(current, dtype=np.float64)
    if before.shape != after.shape or not np.isfinite([*before, *after]).all() or min([0, *before, *after]) < 0:
        raise ValueError(f"counts of the same bins are needed, none negative: got {reference!r} and {current!r}")
    if not before.sum() or not after.sum() or reference_people <= 0 or current_people <= 0:
        return Judgement(TOO_FEW)
    terms = psi_terms(shares(before), shares(after))
    psi, js = float(terms.sum()), jensen_shannon_distance(reference, current)
    by_chance, critical = psi_without_drift(len(before), reference_people, current_people, thresholds.alpha)

    def reached(part: float) -> bool:
        return psi - by_chance >= part * thresholds.psi and js >= part * thresholds.js and psi > critical

    if min(reference_people, current_people) < thresholds.people:
        state = TOO_FEW
    else:
        state = DRIFTED if reached(1) else WATCH if reached(0.5) else OK
    figures = (round(figure, DIGITS) + 0.0 for figure in (psi, by_chance, critical, js))
    return Judgement(state, *figures, moved_most=int(np.argmax(terms)))
