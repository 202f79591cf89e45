"""What ranked lists are like, whether or not they are right: how much of the catalogue they show, and of what kind.

``lists`` has person_id, rank, item_id (schema ``RECOMMENDED``); ``ItemFacts`` says what was known of items when the
model was fitted. Metrics per person are means over the first ``k`` of the person's list; a person without a list has
NaN, for an empty list is neither novel nor popular.
"""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap

NO_CATEGORY = -1


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Of each item in ``items``: how many people had to do with it in training, and its category's number.

    ``people`` is int64, ``category`` int64 with ``NO_CATEGORY`` where none is known, ``everyone`` the number of people
    in training.
    """

    items: IdMap
    people: np.ndarray
    category: np.ndarray
    everyone: int

    @classmethod
    def of(cls, counts: pa.Table, everyone: int, categories: pa.Table | None = None) -> ItemFacts:
        """From ``counts`` (item_id, people) and, if there are any, ``categories`` (item_id, category; null: none)."""
        items = IdMap.from_ids(counts["item_id"])
        people = np.zeros(len(items), np.int64)
        people[items.to_indices(counts["item_id"])] = counts["people"].to_numpy()
        category = np.full(len(items), NO_CATEGORY, np.int64)
        if categories is not None:
            known = categories.filter(pc.is_valid(categories["category"]))
            at = items.to_indices(known["item_id"], unknown="mark")
            numbers = IdMap.from_ids(known["category"]).to_indices(known["category"])
            category[at[at != UNKNOWN_INDEX]] = numbers[at != UNKNOWN_INDEX]
        return cls(items, people, category, everyone)


@dataclass(frozen=True, eq=False)
class Shown:
    """Lists as indices, to be measured at several k: row in ``people`` and in the facts' items, and the rank from 1."""

    people: IdMap
    person: np.ndarray
    item: np.ndarray
    rank: np.ndarray

    @classmethod
    def of(cls, lists: pa.Table, people: IdMap, facts: ItemFacts) -> Shown:
        """Rows of ``people`` only; an item without facts has the index -1."""
        person = people.to_indices(lists["person_id"], unknown="mark")
        known = person != UNKNOWN_INDEX
        item = facts.items.to_indices(lists["item_id"], unknown="mark")
        return cls(people, person[known], item[known], lists["rank"].to_numpy()[known])

    def mean(self, values: np.ndarray, k: int) -> np.ndarray:
        """Per person the mean of ``values``, one for each row, over the first ``k``; NaN without a list."""
        near = self.rank <= k
        total = np.bincount(self.person[near], values[near], minlength=len(self.people))
        return _divided(total, np.bincount(self.person[near], minlength=len(self.people)))


def coverage(lists: pa.Table, k: int, catalogue_size: int) -> float:
    """Catalogue coverage at ``k``: distinct items in anybody's first k / items that could have been recommended.

    Ge, Delgado-Battenfeld and Jannach (2010), "Beyond accuracy: evaluating recommender systems by coverage and
    serendipity".

    >>> lists = pa.table({"person_id": ["ann", "bob"], "rank": [1, 1], "item_id": ["hat", "hat"]})
    >>> coverage(lists, 1, catalogue_size=4)
    0.25
    """
    _check_k(k)
    if catalogue_size < 1:
        raise ValueError(f"catalogue_size must be at least 1, got {catalogue_size}")
    shown = lists.filter(pc.less_equal(lists["rank"], k))
    return pc.count_distinct(shown["item_id"]).as_py() / catalogue_size


def gini(lists: pa.Table, k: int, catalogue_size: int) -> float | None:
    """Gini coefficient of exposure at ``k`` over all items that could have been recommended; None if no list has any.

    With the n items' numbers of places x in anybody's first k in ascending order: G = sum over i of (2 i - n - 1) x_i /
    (n sum x). 0: every item is shown as often; near 1: one item is shown to all. Gini (1912); for recommendations
    Fleder and Hosanagar (2009), "Blockbuster culture's next rise or fall". Items beyond the catalogue's size (a model
    may know some that training does not) are counted as further ones.

    >>> lists = pa.table({"person_id": ["ann", "bob"], "rank": [1, 1], "item_id": ["hat", "hat"]})
    >>> gini(lists, 1, catalogue_size=4)
    0.75
    """
    _check_k(k)
    shown = lists.filter(pc.less_equal(lists["rank"], k))
    if shown.num_rows == 0:
        return None
    times = np.sort(pc.value_counts(shown["item_id"].combine_chunks()).field("counts").to_numpy())
    size = max(catalogue_size, len(times))
    place = np.arange(size - len(times) + 1, size + 1)
    return float(((2 * place - size - 1) * times).sum() / (size * times.sum()))


def novelty(shown: Shown, k: int, facts: ItemFacts) -> np.ndarray:
    """Mean self-information of the first ``k``, in bits, per person: how few know what is recommended.

    I(item) = log2(people in training / people who had to do with the item), the latter at least 1. Zhou et al. (2010),
    "Solving the apparent diversity-accuracy dilemma of recommender systems".

    >>> facts = ItemFacts.of(pa.table({"item_id": ["hat", "tie"], "people": [8, 1]}), everyone=8)
    >>> lists = pa.table({"person_id": ["ann", "ann"], "rank": [1, 2], "item_id": ["hat", "tie"]})
    >>> novelty(Shown.of(lists, IdMap.from_ids(["ann"]), facts), 2, facts).tolist()  # (log2 1 + log2 8) / 2
    [1.5]
    """
    _check_k(k)
    return shown.mean(np.log2(max(1, facts.everyone) / np.maximum(1, _people(shown, facts))), k)


def diversity(shown: Shown, k: int, facts: ItemFacts) -> np.ndarray:
    """Intra-list diversity of the first ``k``, per person in [0, 1]: share of its pairs that are of two categories.

    ILD = mean over pairs of 1 - [same category], with categories as the taxonomy of Ziegler et al. (2005), "Improving
    recommendation lists through topic diversification"; items without a category are left out. NaN with fewer than two.

    >>> counts = pa.table({"item_id": ["bag", "hat", "cap"], "people": [1, 1, 1]})
    >>> of = pa.table({"item_id": ["bag", "hat", "cap"], "category": ["bags", "hats", "hats"]})
    >>> facts = ItemFacts.of(counts, everyone=3, categories=of)
    >>> lists = pa.table({"person_id": ["ann"] * 3, "rank": [1, 2, 3], "item_id": ["bag", "hat", "cap"]})
    >>> shown = Shown.of(lists, IdMap.from_ids(["ann"]), facts)
    >>> diversity(shown, 3, facts).round(6).tolist()  # of the three pairs one is of the same category
    [0.666667]
    """
    _check_k(k)
    category = _of_items(facts.category, shown, NO_CATEGORY)
    told = (shown.rank <= k) & (category != NO_CATEGORY)
    width = int(facts.category.max(initial=0)) + 1
    cells, together = np.unique(shown.person[told].astype(np.int64) * width + category[told], return_counts=True)
    same = np.bincount(cells // width, together * (together - 1.0), minlength=len(shown.people))
    length = np.bincount(shown.person[told], minlength=len(shown.people))
    return 1.0 - _divided(same, length * (length - 1))


def popularity_lift(shown: Shown, k: int, facts: ItemFacts) -> np.ndarray:
    """Mean popularity of the first ``k`` / mean popularity of an interaction in training, per person.

    Popularity of an item is the number of people who had to do with it, so that of an interaction is on average sum p^2
    / sum p. 1: as popular as what people choose by themselves; above 1 the model pushes what is popular already. The
    numerator is ARP of Yin et al. (2012), "Challenging the long tail recommendation"; the ratio follows the popularity
    lift of Abdollahpouri et al. (2020), with everybody's choices in place of the person's own, which cold people lack.

    >>> facts = ItemFacts.of(pa.table({"item_id": ["hat", "tie"], "people": [3, 1]}), everyone=3)
    >>> lists = pa.table({"person_id": ["ann"], "rank": [1], "item_id": ["hat"]})
    >>> popularity_lift(Shown.of(lists, IdMap.from_ids(["ann"]), facts), 1, facts).tolist()  # 3 / (10 / 4)
    [1.2]
    """
    _check_k(k)
    chosen = float((facts.people.astype(np.float64) ** 2).sum() / max(1, facts.people.sum()))
    return shown.mean(_people(shown, facts) / max(chosen, 1.0), k)


PER_LIST = {"novelty": novelty, "diversity": diversity, "popularity_lift": popularity_lift}


def _people(shown: Shown, facts: ItemFacts) -> np.ndarray:
    return _of_items(facts.people, shown, 0)


def _of_items(values: np.ndarray, shown: Shown, unknown: int) -> np.ndarray:
    if len(values) == 0:
        return np.full(len(shown.item), unknown)
    return np.where(shown.item == UNKNOWN_INDEX, unknown, values[shown.item])


def _divided(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
