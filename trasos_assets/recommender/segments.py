"""Who is judged by what: the truth of a split by target and by segment, with nobody and nothing dropped silently."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.models import TARGETS
from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.interactions import bought_pairs, distinct_pairs
from trasos_assets.recommender.splits import Split

NEW_ITEMS, ALL_ITEMS = TARGETS
HEAVY, LIGHT, COLD, COLD_ITEMS = "heavy", "light", "cold", "cold_items"
PARTS_OF = {
    "all": (HEAVY, LIGHT, COLD),
    "warm": (HEAVY, LIGHT),
    COLD: (COLD,),
    HEAVY: (HEAVY,),
    LIGHT: (LIGHT,),
    COLD_ITEMS: (COLD_ITEMS,),
}
"""Each segment as the disjoint parts that it consists of."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What one target asks for on one split.

    ``people``: everybody judged; ``part``: of each the number in ``PEOPLE_PARTS``. ``known``: pairs of items that the
    training rows have, ``unseen``: pairs of those they have not. ``exclude``: pairs not to be recommended, or None.
    """

    target: str
    people: IdMap
    part: np.ndarray
    known: pa.Table
    unseen: pa.Table
    exclude: pa.Table | None


PEOPLE_PARTS = (HEAVY, LIGHT, COLD)


@dataclass(frozen=True, eq=False)
class Seen:
    """What of the training rows judging needs: the last day, and of the judged people's truth what was seen before."""

    source_through: date
    truth_from: date


def seen_days(split: Split, table: pa.Table | ibis.Table) -> Seen:
    """The last day in the rows that models are fitted to, and the first with a purchase that they are judged by.

    Both are read from the rows themselves, not from the split's own dates: this is the evidence that nothing leaks.
    ``table`` is the table that was cut. The split must have truth.
    """
    from trasos_assets.recommender.splits import first_and_last_day, rows_between

    fitted = first_and_last_day(split.train)
    after = rows_between(table, after=split.train_through, through=split.test_through)
    bought = (
        after.filter(after["purchases"] > 0)
        if isinstance(after, ibis.Table)
        else after.filter(pc.greater(after["purchases"], 0))
    )
    judged = first_and_last_day(bought)
    if fitted is None or judged is None:
        raise ValueError("a split without training rows or without purchases in its window judges nobody")
    return Seen(fitted[1], judged[0])


def truths(split: Split) -> list[Truth]:
    """The truth of every target; none where nobody bought anything in the window.

    ``new_items`` leaves out what a person bought before, ``all_items`` lets repeats count. A warm person has an
    interaction of any kind in training. Heavy are those of the warm whose number of items in training is above the
    median of the warm, light are the others.
    """
    if split.truth.num_rows == 0:
        return []
    asked = split.truth
    had = _training_pairs(split.train, asked)
    known_items = _known_items(split.train, asked["item_id"])
    seen = pc.is_in(asked["item_id"], value_set=known_items)
    everybody = IdMap.from_ids(asked["person_id"])
    part = _parts(everybody, had)
    bought = bought_pairs(_of_people(split.train, asked))
    found = []
    for target, exclude in ((NEW_ITEMS, bought), (ALL_ITEMS, None)):
        known, unseen = asked.filter(seen), asked.filter(pc.invert(seen))
        if exclude is not None:
            known = known.join(exclude, keys=["person_id", "item_id"], join_type="left anti")
        judged = pa.concat_tables([known.select(["person_id"]), unseen.select(["person_id"])])
        if judged.num_rows == 0:
            continue
        people = IdMap.from_ids(judged["person_id"])
        own = part[everybody.to_indices(people.external_ids)]
        found.append(Truth(target, people, own, known, unseen, exclude))
    return found


def _of_people(train: pa.Table | ibis.Table, truth: pa.Table) -> pa.Table | ibis.Table:
    """Training rows of the people in ``truth``."""
    people = pa.table({"person_id": pc.unique(truth["person_id"])})
    if isinstance(train, ibis.Table):
        return train.semi_join(ibis.memtable(people), "person_id")
    return train.filter(pc.is_in(train["person_id"], value_set=people["person_id"].combine_chunks()))


def _training_pairs(train: pa.Table | ibis.Table, truth: pa.Table) -> pa.Table:
    """Distinct pairs of the people in ``truth`` with any interaction in training."""
    rows = _of_people(train, truth)
    if isinstance(rows, ibis.Table):
        rows = rows.select("person_id", "item_id").distinct().to_pyarrow()
    return distinct_pairs(rows)


def _known_items(train: pa.Table | ibis.Table, asked: pa.ChunkedArray) -> pa.Array:
    """Distinct items of the training rows; of an Ibis table those only that are ``asked`` for."""
    if isinstance(train, ibis.Table):
        wanted = ibis.memtable(pa.table({"item_id": pc.unique(asked)}))
        return train.semi_join(wanted, "item_id").select("item_id").distinct().to_pyarrow()["item_id"].combine_chunks()
    return pc.unique(train["item_id"])


def _parts(people: IdMap, had: pa.Table) -> np.ndarray:
    """The number in ``PEOPLE_PARTS`` of each person, by the pairs they had in training."""
    items = np.bincount(people.to_indices(had["person_id"]), minlength=len(people))
    warm = items > 0
    median = np.median(items[warm]) if warm.any() else 0.0
    return np.where(warm, np.where(items > median, 0, 1), 2)
