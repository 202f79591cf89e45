"""What may be shown to anybody, what everybody has done, and what is popular: all of a list that is not the model's."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap
from trasos_assets.recommender.interactions import EventWeights
from trasos_assets.recommender.models.popularity import Popularity
from trasos_assets.recommender.rules import Rules

ITEM_COLUMNS = ("item_id", "category", "brand", "stock", "for_sale")
HISTORY = pa.schema(
    [
        ("person_id", pa.string()),
        ("item_id", pa.string()),
        ("bought", pa.bool_()),
        ("weight", pa.float32()),
        ("last_day", pa.int32()),
    ]
)
"""What a person has done with an item, over all days; ``last_day`` is in days since 1970."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """Every item by its index in ``known``; arrays are as long as that.

    ``shown``: may stand in a list. ``category`` and ``brand``: codes, -1 where there is none. ``place``: in the order
    of popularity, recent first, from 0; items nobody bought come last.
    """

    known: IdMap
    shown: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    place: np.ndarray
    recent_people: np.ndarray
    rules: Rules
    recent: Popularity
    all_time: Popularity

    @classmethod
    def of(cls, items: pa.Table, rules: Rules, recent: Popularity, all_time: Popularity) -> Shelf:
        """From one row an item (``ITEM_COLUMNS``; for_sale: a product that is available), in any order."""
        known = IdMap.from_ids(items["item_id"])
        order = pa.array(np.argsort(known.to_indices(items["item_id"]), kind="stable"))
        items = items.take(order)
        if items.num_rows != len(known):
            raise ValueError(f"{items.num_rows - len(known)} items come more than once; the shelf has one row an item")
        category, categories = _codes(items["category"])
        brand, _ = _codes(items["brand"])
        out = pc.index_in(pa.array(sorted(rules.exclude.categories), pa.string()), value_set=categories)
        banned_categories = out.drop_null().to_numpy(zero_copy_only=False)
        banned_items = known.to_indices(pa.array(sorted(rules.exclude.items), pa.string()), unknown="drop")
        enough = pc.fill_null(pc.greater_equal(items["stock"], rules.minimum_stock), True)
        shown = items["for_sale"].to_numpy() & enough.to_numpy() & ~np.isin(category, banned_categories)
        shown[banned_items] = False
        recent_people, ever = (_people(known, popularity) for popularity in (recent, all_time))
        place = np.empty(len(known), np.int64)
        place[np.lexsort((np.arange(len(known)), -ever, -recent_people))] = np.arange(len(known))
        return cls(known, shown, category, brand, place, recent_people, rules, recent, all_time)

    @property
    def shown_ids(self) -> pa.Array:
        """Ids of what may be shown, ascending."""
        return self.known.external_ids.filter(pa.array(self.shown))


def _codes(values: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Codes (int32, -1 for null) and what they stand for, ascending."""
    distinct = pc.unique(values.combine_chunks().cast(pa.string())).drop_null().sort()
    found = pc.fill_null(pc.index_in(values.cast(pa.string()), value_set=distinct, skip_nulls=True), UNKNOWN_INDEX)
    return found.to_numpy().astype(np.int32), distinct


def _people(known: IdMap, popularity: Popularity) -> np.ndarray:
    """Distinct people by item of ``known``, as the fitted model counts them."""
    counted = popularity.recommend(["anybody"], max(1, len(known)))
    people = np.zeros(len(known))
    at = known.to_indices(counted["item_id"], unknown="mark")
    people[at[at != UNKNOWN_INDEX]] = counted["score"].to_numpy()[at != UNKNOWN_INDEX]
    return people


def history_of(rows: ibis.Table) -> ibis.Table:
    """``HISTORY`` of rows of training_interactions, a row a person and item; a purchase weighs 1, a view less."""
    weights = EventWeights()
    summed = rows.group_by("person_id", "item_id").agg(
        views=rows["views"].sum(), carts=rows["carts"].sum(), purchases=rows["purchases"].sum(), last=rows["day"].max()
    )
    view, cart, purchase = (
        (summed[kind] > 0).cast("float64") * weight
        for kind, weight in zip(("views", "carts", "purchases"), weights.by_kind, strict=True)
    )
    since = summed["last"].delta(ibis.date("1970-01-01"), unit="day")
    return summed.select(
        "person_id",
        "item_id",
        bought=summed["purchases"] > 0,
        weight=(view + cart + purchase).cast("float32"),
        last_day=since.cast("int32"),
    )
