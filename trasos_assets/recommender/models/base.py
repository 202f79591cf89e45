"""What every model can do, and the table every model answers with."""

from __future__ import annotations

from datetime import date
from typing import Protocol, Self

import ibis
import numpy as np
import pyarrow as pa

from trasos_assets.recommender.ids import IdMap, Ids

RECOMMENDED = pa.schema(
    [("person_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float64())]
)
SIMILAR = pa.schema(
    [("item_id", pa.string()), ("rank", pa.int32()), ("similar_item_id", pa.string()), ("score", pa.float64())]
)
PARTS = pa.schema(
    [("side", pa.string()), ("id", pa.string()), ("factors", pa.list_(pa.float32())), ("payload", pa.string())]
)
"""What is stored of a fitted model that cannot be made again in a moment: vectors by side and id, text by id."""


class NotFittedError(RuntimeError):
    """``recommend`` was called before ``fit``."""


class Recommends(Protocol):
    """Whatever answers with lists: a fitted model, or the vectors of one."""

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The best ``k`` items of each person: columns person_id, rank (from 1), item_id, score, in that order of rows.

        Repeated ``people`` count once; people the model does not know have no rows. ``exclude`` holds pairs (person_id,
        item_id) that must not appear, ``allowed_items`` the only items that may (default: all the model knows). Fewer
        items left than ``k``: a shorter list. Equal scores: the smaller item id first.
        """
        ...


class Recommender(Recommends, Protocol):
    """A model: parameters come with its construction, ids go in and out, indices never show.

    What a person must not be shown is given at each call and not remembered from the fit: a model restored from stored
    factors has no training data, and what was bought since the fit must count too.
    """

    def fit(self, train: pa.Table | ibis.Table, *, as_of: date | None = None) -> Self:
        """Learn from rows of the contract training_interactions; return the model itself.

        An Ibis table is taken by a model that can leave it in its engine; Arrow, by every model.

        ``as_of`` is the last day the model may know of (default: the last day in ``train``); windows end there.
        """
        ...

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """The ``k`` items nearest to each item (schema ``SIMILAR``), itself left out; no rows for unknown items.

        What near means is the model's own: cosine of item vectors, weight of the neighbourhood, shared buyers.
        """
        ...

    def parts(self) -> pa.Table:
        """What must be stored of the fitted model (schema ``PARTS``), sorted by side and id; no rows for a model that
        is made again from its training rows in a moment."""
        ...

    def restore(self, parts: pa.Table, train: pa.Table | ibis.Table, *, as_of: date | None = None) -> Self:
        """The fitted model again, from its ``parts`` and rows to learn from; it recommends as the fitted one did if the
        rows are the same. The rows may be newer: what is cheap to count (popularity, repeats) is then as of them."""
        ...


def recommended_table(
    people: IdMap, items: IdMap, person: np.ndarray, rank: np.ndarray, item: np.ndarray, score: np.ndarray
) -> pa.Table:
    """Flat lists of indices as a table with the schema ``RECOMMENDED``."""
    return pa.table(
        [
            people.to_ids(person),
            pa.chunked_array([pa.array(rank, pa.int32())]),
            items.to_ids(item),
            pa.chunked_array([pa.array(score, pa.float64())]),
        ],
        schema=RECOMMENDED,
    )
