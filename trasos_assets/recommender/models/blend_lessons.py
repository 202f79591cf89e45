"""What the blend's ranker learns from: candidates of past days, and which of them were bought in the days after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.interactions import pair_matrix
from trasos_assets.recommender.models.blend_features import Candidates, Snapshot
from trasos_assets.recommender.models.blend_ranker import Ranker, RankerConfig

_PEOPLE_AT_ONCE = 500
_PLACES = 10
FIXED_SUM, TIMES = "als_and_trend", "times"


@dataclass(frozen=True, eq=False)
class Lesson:
    """Candidate pairs of one day: ``person`` (a number each, ascending), ``features`` (pairs x names), ``bought``."""

    names: tuple[str, ...]
    person: np.ndarray
    features: np.ndarray
    bought: np.ndarray


def lessons_of(
    then: Snapshot, truth: pa.Table, *, people: int, candidates: int, own_items: int, seed: int
) -> list[Lesson]:
    """The candidates on a day of those who bought one of them (pairs in ``truth``) after it, by blocks of people.

    Of more than ``people`` buyers so many are drawn: memory is that of their candidates.
    """
    buyers = IdMap.from_ids(truth["person_id"]).external_ids
    if len(buyers) > people:
        drawn = np.random.default_rng(seed).permutation(len(buyers))[:people]
        buyers = buyers.take(pa.array(np.sort(drawn)))
    lessons = []
    for start in range(0, len(buyers), _PEOPLE_AT_ONCE):
        asked = IdMap(buyers.slice(start, _PEOPLE_AT_ONCE))
        chosen = then.candidates(asked, candidates, own_items, None, None)
        matrix = pair_matrix(truth, asked, then.history.items)
        bought = np.asarray(matrix[chosen.person, chosen.item]).ravel().astype(bool)
        useful = np.bincount(chosen.person, weights=bought, minlength=len(asked))[chosen.person] > 0
        chosen = Candidates(chosen.person[useful], chosen.item[useful])
        if len(chosen.person):
            columns = then.features(asked, chosen)
            features = np.stack(list(columns.values()), axis=1)
            lessons.append(Lesson(tuple(columns), chosen.person + start, features, bought[useful]))
    return lessons


def learned(windows: Sequence[list[Lesson]], config: RankerConfig, least_purchases: int) -> Ranker | None:
    """The ranker of all windows (the latest first), or None if it would do worse than the fixed sum.

    The windows are emptied: what a ranker learns from is one matrix, and would be held twice beside them.

    That is tried on the latest window by a ranker of the older ones, where there are any: the mean over people of
    NDCG@10 among the candidates, with the person's own items and without them, must be higher than that of the fixed
    sum by more than a standard error. None too with fewer than ``least_purchases`` bought pairs.
    """
    windows = [lessons for lessons in windows if lessons]
    if sum(int(lesson.bought.sum()) for lessons in windows for lesson in lessons) < max(1, least_purchases):
        return None
    features, windows = _in_one(windows)
    names, bought = windows[0][0].names, [lesson.bought for lessons in windows for lesson in lessons]
    latest = len(windows[0])
    if len(bought) > latest:
        older = np.concatenate(bought[latest:])
        if not is_worth_it(Ranker.fit(names, features[-len(older) :], older, config), windows[0]):
            return None
    return Ranker.fit(names, features, np.concatenate(bought), config)


def _in_one(windows: Sequence[list[Lesson]]) -> tuple[np.ndarray, list[list[Lesson]]]:
    """The features of all lessons, one below the other, and the lessons with their part of it in place of their own."""
    rows = sum(len(lesson.person) for lessons in windows for lesson in lessons)
    features = np.empty((rows, len(windows[0][0].names)), np.float32)
    start, found = 0, []
    for lessons in windows:
        moved = []
        while lessons:
            lesson = lessons.pop(0)
            part = features[start : start + len(lesson.person)]
            part[:] = lesson.features
            moved.append(replace(lesson, features=part))
            start += len(part)
        found.append(moved)
    return features, found


def is_worth_it(ranker: Ranker, lessons: Sequence[Lesson]) -> bool:
    """Whether a ranker gains on the fixed sum by more than a standard error: see ``learned``."""
    worth, error = 0.0, 0.0
    for wanted in ("all", "new"):
        ours, fixed = [], []
        for lesson in lessons:
            at = lesson.names.index(TIMES)
            asked = np.ones(len(lesson.person), bool) if wanted == "all" else lesson.features[:, at] == 0
            person, features, bought = lesson.person[asked], lesson.features[asked], lesson.bought[asked]
            ours.append(ndcg_of_pairs(person, ranker.score(features), bought))
            fixed.append(ndcg_of_pairs(person, features[:, lesson.names.index(FIXED_SUM)], bought))
        gain = np.concatenate(ours) - np.concatenate(fixed)
        if len(gain):
            worth += float(gain.mean())
            # Errors are added up as they are: the same people are behind both.
            error += float(gain.std()) / len(gain) ** 0.5
    return worth > error


def ndcg_of_pairs(person: np.ndarray, score: np.ndarray, bought: np.ndarray) -> np.ndarray:
    """NDCG@10 (see ``metrics.ndcg``) of each person with a bought pair, the pairs in falling order of their score.

    >>> ndcg_of_pairs(np.array([0, 0, 1]), np.array([1.0, 2.0, 0.0]), np.array([True, False, False])).round(6).tolist()
    [0.63093]
    """
    order = np.lexsort((np.negative(score), person))
    person, bought = person[order], bought[order]
    lengths = np.bincount(person)
    place = np.arange(len(person)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    discount = 1.0 / np.log2(np.arange(2, _PLACES + 2))
    near = place < _PLACES
    gain = np.bincount(person[near], weights=bought[near] * discount[place[near]], minlength=len(lengths))
    relevant = np.bincount(person, weights=bought, minlength=len(lengths)).astype(int)
    judged = relevant > 0
    return gain[judged] / np.cumsum(discount)[np.minimum(relevant[judged], _PLACES) - 1]
