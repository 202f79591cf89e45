"""What is known on a day of people, items and pairs of both: counted once, looked up for every candidate."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import IdMap, Ids, as_ids, sorted_distinct
from trasos_assets.recommender.splits import rows_between

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of a person and an item with an interaction, sorted by ``key`` = person x items + item.

    ``times``: days on which it was bought; ``first`` and ``last``: the first and last of these in days before the
    split's next day (1 is the last known day), NaN if it never was; ``looked``: days with a view or cart; ``touched``:
    days since the last interaction of any kind.
    """

    key: np.ndarray
    times: np.ndarray
    first: np.ndarray
    last: np.ndarray
    looked: np.ndarray
    touched: np.ndarray

    def find(self, key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of keys among the pairs, and which of them are there at all (the others' place is 0)."""
        if len(self.key) == 0:
            return np.zeros(len(key), np.int64), np.zeros(len(key), bool)
        place = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return place, self.key[place] == key


class History:
    """Rows of training_interactions up to ``as_of``, as numbers; the order of the rows does not matter.

    ``age`` is in days before the day after ``as_of``: the last known day has age 1. A row is a purchase if any line of
    the day was one. ``catalogue``: ids of items that may have no row yet and count as items all the same.
    """

    def __init__(self, train: pa.Table, as_of: date, catalogue: Ids = ()) -> None:
        rows = rows_between(train, through=as_of)
        assert isinstance(rows, pa.Table)
        self.as_of = as_of
        self.people = IdMap.from_ids(rows["person_id"])
        listed = as_ids(catalogue if len(catalogue) else pa.array([], pa.string()))
        self.items = IdMap.from_ids(pa.chunked_array([*as_ids(rows["item_id"]).chunks, *listed.chunks], pa.string()))
        person = self.people.to_indices(rows["person_id"]).astype(np.int64)
        item = self.items.to_indices(rows["item_id"]).astype(np.int64)
        day = rows["day"].cast(pa.int32()).to_numpy()
        age = ((as_of - _EPOCH).days + 1 - day).astype(np.int32)
        bought = pc.greater(pc.fill_null(rows["purchases"], 0), 0).to_numpy()
        key = person * max(1, len(self.items)) + item
        # The oldest first; a purchase before a view of the same day.
        order = np.lexsort((~bought, -age, key))
        self._key, self._age, self._bought = key[order], age[order], bought[order]
        self._spread: dict[int | None, np.ndarray] = {}

    @cached_property
    def pairs(self) -> Pairs:
        """See ``Pairs``."""
        key = self._key
        if len(key) == 0:
            none = np.empty(0)
            return Pairs(key, none, none, none, none, none)
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        oldest = np.maximum.reduceat(np.where(self._bought, self._age, 0), starts).astype(np.float64)
        newest = np.minimum.reduceat(np.where(self._bought, self._age, 1 << 30), starts).astype(np.float64)
        times = np.add.reduceat(self._bought.astype(np.int32), starts)
        never = times == 0
        oldest[never], newest[never] = np.nan, np.nan
        looked = np.add.reduceat((~self._bought).astype(np.int32), starts)
        return Pairs(key[starts], times, oldest, newest, looked, np.minimum.reduceat(self._age, starts))

    @cached_property
    def owner(self) -> np.ndarray:
        """Person of each of ``pairs``."""
        return self.pairs.key // max(1, len(self.items))

    @cached_property
    def thing(self) -> np.ndarray:
        """Item of each of ``pairs``."""
        return self.pairs.key % max(1, len(self.items))

    def buyers(self, days: int | None) -> tuple[np.ndarray, int]:
        """Distinct buyers of each item in the last ``days`` (None: ever), and how many people bought anything then.

        If nobody ever bought anything, whoever did anything counts as a buyer.
        """
        counted = self._bought if self._bought.any() else np.ones(len(self._key), bool)
        if days is not None:
            counted = counted & (self._age <= days)
        cells = sorted_distinct(self._key[counted])
        width = max(1, len(self.items))
        return np.bincount(cells % width, minlength=len(self.items)), len(sorted_distinct(cells // width))

    def spread(self, days: int | None) -> np.ndarray:
        """Log popularity per item: ln(1 + 1000 x share of the window's buyers who bought it); 0 for no buyer."""
        if days not in self._spread:
            buyers, everybody = self.buyers(days)
            self._spread[days] = np.log1p(1000.0 * buyers / max(1, everybody))
        return self._spread[days]

    def new_buyers(self, days: int) -> np.ndarray:
        """People per item who bought it for the first time in the last ``days``."""
        return np.bincount(self.thing[self.pairs.first <= days], minlength=len(self.items))

    @cached_property
    def item_ages(self) -> tuple[np.ndarray, np.ndarray]:
        """Days since each item's first and last row; 0 and infinite for an item that has none."""
        item = self._key % max(1, len(self.items))
        first, last = np.zeros(len(self.items)), np.full(len(self.items), np.inf)
        np.maximum.at(first, item, self._age)
        np.minimum.at(last, item, self._age)
        return first, last

    @cached_property
    def visits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Per person: days with a purchase, days since the last and the first of them (NaN: none), purchases."""
        width = max(1, len(self.items))
        person, age = self._key[self._bought] // width, self._age[self._bought].astype(np.int64)
        span = int(age.max()) + 1 if len(age) else 1
        owner, ages = np.divmod(sorted_distinct(person * span + age), span)
        days = np.bincount(owner, minlength=len(self.people))
        last, first = np.full(len(self.people), np.inf), np.full(len(self.people), -np.inf)
        np.minimum.at(last, owner, ages)
        np.maximum.at(first, owner, ages)
        none = days == 0
        last[none], first[none] = np.nan, np.nan
        return days, last, first, np.bincount(person, minlength=len(self.people))
