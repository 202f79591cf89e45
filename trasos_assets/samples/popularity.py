"""Item popularity in a sample against the whole, and what a faithful sample of that size would show.

Popularity of an item is the number of people who had to do with it. Each of them is in a sample with probability
``share`` apart from the others, so a faithful sample's count is binomial; what that does to ranks and to concentration
on average is found by drawing such counts. How much they vary is not: one person comes with all of its items, so items
do not vary apart. That is told by the sample itself, by a jackknife that leaves out a group of its people at a time
(Wolter 2007, Introduction to Variance Estimation, 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
TOP = 0.1
DRAWS = 200
MOST_DRAWN = 5_000_000
"""Numbers drawn for all draws together, where that leaves enough of them."""
LEAST_DRAWS = 20
GROUPS = 16
POINTS = 20
NORMAL_95 = 1.96
BEYOND_NOISE = 3.0
"""Standard errors. Some fifteen figures are compared at once, so 2 would be passed by one of them as a rule."""


@dataclass(frozen=True)
class Expected:
    """A figure of the whole and of the sample, what faithful samples of this size have on average, and its error."""

    whole: float | None
    sample: float | None
    mean: float | None
    error: float | None

    @property
    def range(self) -> tuple[float, float] | None:
        """Where 95 % of faithful samples of this size have it."""
        if self.mean is None or self.error is None:
            return None
        return self.mean - NORMAL_95 * self.error, self.mean + NORMAL_95 * self.error

    @property
    def is_noise(self) -> bool | None:
        """Whether the sample is where faithful samples are; None if that cannot be said."""
        if self.sample is None or self.mean is None or self.error is None:
            return None
        return abs(self.sample - self.mean) <= BEYOND_NOISE * self.error + 1e-9


@dataclass(frozen=True)
class Popularity:
    """How items compare: items that somebody had to do with, of them in the sample, and three figures.

    ``curve`` has for some shares of the items, the most popular first, their share of all pairs of person and item, in
    the whole and in the sample.
    """

    items: int
    items_sampled: int
    rank_correlation: Expected
    gini: Expected
    top_share: Expected
    curve: tuple[tuple[float, float, float], ...]


def popularity(
    whole: Counts, groups: Counts, items: Counts, *, share: float, seed: int, errors_known: bool = True
) -> Popularity | None:
    """Compare the counts of items; None if nobody had to do with any.

    Args:
        whole: people of an item in the whole, above 0, shape (n,).
        groups: people of it in the sample, by group of people drawn apart, from 0, shape (n, groups).
        items: number of items with these counts, shape (n,).
        share: share of people in the sample.
        seed: of the draws.
        errors_known: whether there are enough people to tell errors.
    """
    if not items.sum():
        return None
    sample = groups.sum(axis=1)
    has_sample = bool((sample * items).sum())
    exact = _figures(whole, whole, items)
    found = _figures(whole, sample, items)
    if share >= 1:  # everybody is in the sample
        mean, error = exact, np.zeros_like(exact)
    elif not errors_known:
        mean = error = np.full_like(exact, np.nan)
    else:
        drawn = _draws(whole, items, share, seed)
        mean = drawn.mean(axis=0)
        error = np.maximum(drawn.std(axis=0), _jackknife(whole, groups, items) * np.sqrt(1 - share))
    figures = [Expected(*map(_rounded, figure)) for figure in zip(exact, found, mean, error, strict=True)]
    return Popularity(
        items=int(items.sum()),
        items_sampled=int(items[sample > 0].sum()),
        rank_correlation=figures[0],
        gini=figures[1],
        top_share=figures[2],
        curve=_curve(whole, sample, items) if has_sample else (),
    )


def _figures(whole: Counts, sample: Counts, items: Counts) -> npt.NDArray[np.float64]:
    """Rank correlation, Gini and top share of a sample, shape (3,); NaN where one is not defined."""
    if not (sample * items).sum():
        return np.full(3, np.nan)
    correlation = rank_correlation(whole, sample, items)
    return np.array(
        [np.nan if correlation is None else correlation, gini(sample, items), top_share(sample, items)], np.float64
    )


def _draws(whole: Counts, items: Counts, share: float, seed: int) -> npt.NDArray[np.float64]:
    """Figures of samples whose counts are binomial, those without anybody left out, shape (draws, 3)."""
    each = np.repeat(whole, items)
    one_each = np.ones_like(each)
    generator = np.random.default_rng(seed)
    draws = max(LEAST_DRAWS, min(DRAWS, MOST_DRAWN // len(each)))
    found = np.array([_figures(each, generator.binomial(each, share), one_each) for _ in range(draws)])
    known = found[~np.isnan(found[:, 1])]
    return known if len(known) else np.full((1, 3), np.nan)


def _jackknife(whole: Counts, groups: Counts, items: Counts) -> npt.NDArray[np.float64]:
    """Standard error of each figure by leaving out one group of people at a time, shape (3,)."""
    sample, number = groups.sum(axis=1), groups.shape[1]
    without = np.array([_figures(whole, sample - groups[:, group], items) for group in range(number)])
    return np.sqrt((number - 1) / number * ((without - without.mean(axis=0)) ** 2).sum(axis=0))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def mean_ranks(values: Counts, items: Counts) -> npt.NDArray[np.float64]:
    """Rank of each value among all items, ties at their mean, shape (n,)."""
    found, place = np.unique(values, return_inverse=True)
    held = np.zeros(len(found), np.int64)
    np.add.at(held, place, items)
    return (np.cumsum(held) - (held - 1) / 2)[place]


def rank_correlation(one: Counts, other: Counts, items: Counts) -> float | None:
    """Spearman's rho over items, ties at their mean rank; None if one of the two is the same for all items."""
    ranks = [mean_ranks(values, items) for values in (one, other)]
    spread = [ranked - np.average(ranked, weights=items) for ranked in ranks]
    below = [float((items * part * part).sum()) for part in spread]
    if min(below) <= 0:
        return None
    return float((items * spread[0] * spread[1]).sum() / np.sqrt(below[0] * below[1]))


def gini(values: Counts, items: Counts) -> float:
    """Gini coefficient of the values over items, 0 where all are alike."""
    order = np.argsort(values, kind="stable")
    value, held = values[order].astype(float), items[order].astype(float)
    last = np.cumsum(held)
    total = (value * held).sum()
    # Each value stands for `held` items with consecutive ranks: the sum of their ranks in one step.
    rank_sums = held * (2 * last - held + 1) / 2
    return float(2 * (value * rank_sums).sum() / (last[-1] * total) - (last[-1] + 1) / last[-1])


def top_share(values: Counts, items: Counts, fraction: float = TOP) -> float:
    """Share of all that the most popular ``fraction`` of the items has; part of an item counts in part."""
    order = np.argsort(-values, kind="stable")
    value, held = values[order].astype(float), items[order].astype(float)
    have = np.concatenate(([0.0], np.cumsum(held)))
    sums = np.concatenate(([0.0], np.cumsum(value * held)))
    return float(np.interp(fraction * have[-1], have, sums) / sums[-1])


def _curve(whole: Counts, sample: Counts, items: Counts) -> tuple[tuple[float, float, float], ...]:
    shares = [step / POINTS for step in range(POINTS + 1)]
    return tuple(
        (part, round(top_share(whole, items, part), 6), round(top_share(sample, items, part), 6)) for part in shares
    )
