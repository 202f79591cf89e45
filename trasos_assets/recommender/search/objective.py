"""What the search looks for: the mean NDCG over folds that lie before every day a leaderboard tests on."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.interactions import KINDS, bought_pairs
from trasos_assets.recommender.metrics import judge, ndcg
from trasos_assets.recommender.models.base import Recommender
from trasos_assets.recommender.splits import Split

Target = Literal["new_items", "all_items"]
K = 10


@dataclass(frozen=True, eq=False)
class Fold:
    """One validation fold, ready to judge any number of models.

    ``truth`` has the pairs (person_id, item_id) to be found, ``exclude`` those that must not be recommended.
    """

    train: pa.Table | ibis.Table
    truth: pa.Table
    exclude: pa.Table | None
    train_through: date
    test_through: date


def fold_of(split: Split, target: Target) -> Fold:
    """A split as a fold: only people and items of the training days are judged; with the target ``new_items`` what a
    person had bought is neither recommended nor true."""
    truth = split.truth
    for column in ("person_id", "item_id"):
        truth = truth.filter(pc.is_in(truth[column], value_set=_known(split.train, column, truth[column])))
    if target == "all_items":
        return Fold(split.train, truth, None, split.train_through, split.test_through)
    judged = split.train
    if isinstance(judged, ibis.Table):
        judged = judged.semi_join(ibis.memtable(truth.select(["person_id"])), "person_id")
    else:
        judged = judged.filter(pc.is_in(judged["person_id"], value_set=pc.unique(truth["person_id"])))
    bought = bought_pairs(judged)
    new = truth.join(bought, keys=["person_id", "item_id"], join_type="left anti").sort_by("person_id")
    return Fold(split.train, new, bought, split.train_through, split.test_through)


def folds_of(splits: Sequence[Split], target: Target) -> list[Fold]:
    """The folds in which somebody can be judged, earliest first."""
    folds = [fold_of(split, target) for split in sorted(splits, key=lambda split: split.train_through)]
    return [fold for fold in folds if fold.truth.num_rows]


def value_on(model: Recommender, fold: Fold, k: int = K) -> float:
    """NDCG@k, mean over the judged people, of a model fitted here on the fold's training days."""
    model.fit(fold.train, as_of=fold.train_through)
    lists = model.recommend(fold.truth["person_id"], k, exclude=fold.exclude)
    return float(ndcg(judge(lists, fold.truth), k).mean())


def absent_kinds(rows: pa.Table | ibis.Table) -> set[str]:
    """Kinds of interaction (views, carts, purchases) that never occur."""
    if isinstance(rows, ibis.Table):
        found = rows.aggregate(**{kind: rows[kind].sum() for kind in KINDS}).to_pyarrow().to_pylist()[0]
        return {kind for kind in KINDS if not found[kind]}
    return {kind for kind in KINDS if not pc.sum(rows[kind]).as_py()}


def _known(train: pa.Table | ibis.Table, column: str, asked: pa.ChunkedArray) -> pa.Array:
    """Distinct ids in a column of the training rows; of an Ibis table those only that are asked for."""
    if isinstance(train, ibis.Table):
        wanted = ibis.memtable(pa.table({column: pc.unique(asked)}))
        return train.semi_join(wanted, column).select(column).distinct().to_pyarrow()[column].combine_chunks()
    return pc.unique(train[column])
