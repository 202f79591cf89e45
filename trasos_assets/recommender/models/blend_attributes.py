"""What the catalogue says of items, against what a person has touched: it carries items that nobody has touched yet."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; scipy declares shapes as None.
# pyright: reportAttributeAccessIssue=false, reportOptionalSubscript=false

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap
from trasos_assets.recommender.models.blend_history import History
from trasos_assets.recommender.topk import top_k

KINDS = ("category", "brand")
_RECENT_DAYS = 28


class Attributes:
    """Category, brand and price by item id, from a table like item_features (other columns are ignored).

    Without a table, or without one of the columns, the features they would give are left out. Services (column
    ``kind``) are no items to recommend. Attributes are taken as timeless: the catalogue's state is not dated.
    """

    def __init__(self, table: pa.Table | None = None) -> None:
        self._ids: pa.Array = pa.array([], pa.string())
        self._codes: dict[str, np.ndarray] = {}
        self._sizes: dict[str, int] = {}
        self._price: np.ndarray | None = None
        if table is None:
            return
        if "item_id" not in table.column_names:
            raise ValueError(
                "a table of item attributes lacks the column item_id; it follows the contract item_features"
            )
        rows: pa.Table = table
        if "kind" in rows.column_names:
            rows = rows.filter(pc.not_equal(rows["kind"], "service"))
        rows = rows.sort_by("item_id")
        self._ids = IdMap.from_ids(rows["item_id"]).external_ids
        if len(self._ids) != rows.num_rows:
            raise ValueError(f"{rows.num_rows - len(self._ids)} items have attributes twice; item_id must be unique")
        for kind in KINDS:
            if kind in rows.column_names:
                encoded = rows[kind].combine_chunks().cast(pa.string())
                values = IdMap.from_ids(encoded.drop_null())
                self._codes[kind] = values.to_indices(pc.fill_null(encoded, ""), unknown="mark")
                self._sizes[kind] = len(values)
        if "price" in rows.column_names:
            price = rows["price"].cast(pa.float64()).to_numpy()
            self._price = np.log1p(np.maximum(price, 0.0))

    @property
    def item_ids(self) -> pa.Array:
        """Ids of all items with attributes."""
        return self._ids

    def of(self, history: History) -> AttributesOnDay:
        """The attributes against a day's interactions."""
        return AttributesOnDay(history, self._ids, self._codes, self._sizes, self._price)


class AttributesOnDay:
    """Attributes of a history's items against what its people have touched; made by ``Attributes.of``."""

    def __init__(
        self,
        history: History,
        ids: pa.Array,
        codes: dict[str, np.ndarray],
        sizes: dict[str, int],
        price: np.ndarray | None,
    ) -> None:
        place = IdMap(ids).to_indices(history.items.external_ids, unknown="mark")
        self._history, self._sizes = history, sizes
        # The place of an item without attributes is -1: the last, which is appended.
        self._codes = {kind: np.append(of_kind, UNKNOWN_INDEX)[place] for kind, of_kind in codes.items()}
        self._shares = {kind: _shares(history, code, sizes[kind]) for kind, code in self._codes.items()}
        self._popularity = {kind: _popularity(history, code, sizes[kind]) for kind, code in self._codes.items()}
        self._price = None if price is None else np.append(price, np.nan)[place]
        self._usual = None if self._price is None else _usual(history, self._price)

    def columns(self, person: np.ndarray, warm: np.ndarray, item: np.ndarray) -> dict[str, np.ndarray]:
        """Per pair of rows of the history: the share of the person's touched items in the item's category and brand,
        how popular these are, and the item's log price against the mean of theirs; NaN for people not ``warm``."""
        found = {}
        for kind, codes in self._codes.items():
            code = codes[item]
            known = warm & (code != UNKNOWN_INDEX)
            share = np.full(len(item), np.nan)
            share[known] = np.asarray(self._shares[kind][person[known], code[known]]).ravel()
            found[f"{kind}_share"], found[f"{kind}_popularity"] = share, self._popularity[kind][code]
        if self._price is not None and self._usual is not None:
            found["price"] = self._price[item]
            usual = np.append(self._usual, np.nan)[np.where(warm, person, -1)]
            found["price_against_usual"] = self._price[item] - usual
        return found

    def untouched(self, known: np.ndarray, each: int, taken: sparse.csr_matrix, allowed: np.ndarray) -> np.ndarray:
        """Cells (row of ``known`` x items + item) of ``each`` items without any interaction, those of the categories of
        which the person has touched most; nothing for people (-1 in ``known``) of whom nothing is known."""
        fresh = np.flatnonzero(allowed & (self._history.item_ages[0] == 0))
        rows = np.flatnonzero(known != UNKNOWN_INDEX)
        if "category" not in self._codes:
            return np.empty(0, np.int64)
        fresh = fresh[self._codes["category"][fresh] != UNKNOWN_INDEX]
        if len(fresh) == 0 or len(rows) == 0:
            return np.empty(0, np.int64)
        shares = np.asarray(self._shares["category"][known[rows]].todense(), np.float32)
        of_item = np.zeros((len(fresh), shares.shape[1]), np.float32)
        of_item[np.arange(len(fresh)), self._codes["category"][fresh]] = 1.0
        best = top_k(shares, of_item, each, excluded=sparse.csr_matrix(taken[rows][:, fresh]))
        wanted = best.score > 0
        width = max(1, len(self._history.items))
        return rows[best.person[wanted]].astype(np.int64) * width + fresh[best.item[wanted]]


def _shares(history: History, code: np.ndarray, size: int) -> sparse.csr_matrix:
    """People x codes: the share of a person's touched items that have the code."""
    touched = code[history.thing]
    has = touched != UNKNOWN_INDEX
    shape = (len(history.people), max(1, size))
    ones = np.ones(int(has.sum()))
    counts = sparse.csr_matrix((ones, (history.owner[has], touched[has])), shape=shape)
    total = np.maximum(1.0, np.asarray(counts.sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / total) @ counts)


def _popularity(history: History, code: np.ndarray, size: int) -> np.ndarray:
    """Mean recent log popularity of the items of each code; NaN in the place of -1."""
    has = code != UNKNOWN_INDEX
    total = np.bincount(code[has], weights=history.spread(_RECENT_DAYS)[has], minlength=size)
    return np.append(total / np.maximum(1, np.bincount(code[has], minlength=size)), np.nan)


def _usual(history: History, price: np.ndarray) -> np.ndarray:
    """Mean log price of the items each person has touched; NaN where none has a price."""
    touched = price[history.thing]
    priced, people = ~np.isnan(touched), len(history.people)
    total = np.bincount(history.owner[priced], weights=touched[priced], minlength=people)
    count = np.bincount(history.owner[priced], minlength=people)
    return np.where(count > 0, total / np.maximum(1, count), np.nan)
