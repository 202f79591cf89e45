"""From a fitted candidate and the tables around it to the evidence that it is judged by."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.done.model import Lists, Paired
from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap
from trasos_assets.recommender.interactions import bought_pairs, distinct_pairs
from trasos_assets.recommender.models.base import RECOMMENDED, Recommends
from trasos_assets.recommender.models.popularity import Popularity

SAMPLE_PEOPLE, SAMPLE_COLD, SAMPLE_PAIRS = 1_000, 200, 20_000
TARGET, METRIC, K = "new_items", "ndcg", 10
MEAN_FOLD = "mean"


@dataclass(frozen=True, eq=False)
class Sample:
    """People whom a candidate is tried on: ``warm`` have interactions (``rows`` are all of theirs), ``cold`` none."""

    warm: pa.Array
    cold: pa.Array
    rows: pa.Table

    @property
    def people(self) -> pa.Array:
        """All of them, by id."""
        return IdMap.from_ids(pa.chunked_array([self.warm, self.cold], pa.string())).external_ids


def sample_of(training_interactions: ibis.Table, people: ibis.Table) -> Sample:
    """At most 1,000 people with interactions and 200 of ``people`` (person_id) without, chosen by a hash of their id.

    Nothing but their rows is fetched.
    """
    known = training_interactions.select("person_id").distinct()
    warm = _some(known, SAMPLE_PEOPLE)
    cold = _some(people.select("person_id").distinct().anti_join(known, "person_id"), SAMPLE_COLD)
    chosen = ibis.memtable(pa.table({"person_id": warm}))
    rows = training_interactions.semi_join(chosen, "person_id").order_by("person_id", "item_id", "day")
    return Sample(warm, cold, rows.to_pyarrow())


def _some(people: ibis.Table, limit: int) -> pa.Array:
    chosen = people.order_by(people.person_id.hexdigest("md5")).limit(limit)
    return IdMap.from_ids(chosen.to_pyarrow()["person_id"]).external_ids


def paired(comparisons: pa.Table, model: str, against: str, *, segment: str = "all") -> Paired | None:
    """The row of model_comparisons that decides: NDCG@10 for new items over all folds; None if there is none."""
    wanted = {"model": model, "against": against, "segment": segment, "fold": MEAN_FOLD}
    wanted |= {"target": TARGET, "metric": METRIC, "k": K}
    for column, value in wanted.items():
        comparisons = comparisons.filter(pc.equal(comparisons[column], pa.scalar(value, comparisons[column].type)))
    found = comparisons.to_pylist()
    if not found:
        return None
    row = found[0]
    return Paired(row["difference"], row["low"], row["high"], row["people"])


def leaks(leaderboard: pa.Table, model: str) -> int:
    """Rows of the leaderboard of a model whose training rows reach into the days that it is judged by."""
    own = leaderboard.filter(pc.equal(leaderboard["model"], model))
    late = pc.or_(
        pc.greater_equal(own["source_through"], own["truth_from"]),
        pc.greater(own["source_through"], own["train_through"]),
    )
    return pc.sum(pc.fill_null(late, True)).as_py() or 0


def not_finite(parts: pa.Table) -> int:
    """Vectors (rows of the schema PARTS) with a null, NaN or infinite value."""
    vectors = parts.filter(pc.is_valid(parts["factors"]))["factors"].combine_chunks()
    owner = pc.list_parent_indices(vectors).to_numpy()
    values = vectors.flatten().to_numpy(zero_copy_only=False)
    return len(np.unique(owner[~np.isfinite(values)]))


def megabytes(parts: pa.Table) -> float:
    """What the vectors and texts of parts take, in units of 10^6 bytes."""
    values = pc.sum(pc.list_value_length(parts["factors"])).as_py() or 0
    text = pc.sum(pc.binary_length(parts["payload"])).as_py() or 0
    return (4 * values + text) / 1e6


def known_pairs(parts: pa.Table, rows: pa.Table, *, seed: int = 0) -> tuple[float | None, int]:
    """How often the vectors score an item that a person turned to above one that somebody else did.

    The other item is drawn from the same rows, so that being popular is worth nothing: the area under the ROC curve of
    Rendle et al. (2009), "BPR", section 4.1.1, with negatives by popularity. 0.5 is chance. The second value
    is the number of pairs tried; without any (``parts`` has no vectors for the people and items of ``rows``, the
    contract training_interactions) the share is None.
    """
    pairs = distinct_pairs(rows)
    people, vectors = _side(parts, "person")
    items, item_vectors = _side(parts, "item")
    person = people.to_indices(pairs["person_id"], unknown="mark")
    item = items.to_indices(pairs["item_id"], unknown="mark")
    listed = (person != UNKNOWN_INDEX) & (item != UNKNOWN_INDEX)
    person, item = person[listed].astype(np.int64), item[listed].astype(np.int64)
    if len(person) == 0 or vectors.shape[1:] != item_vectors.shape[1:]:
        return None, 0
    generator = np.random.default_rng(seed)
    other = item[generator.permutation(len(item))]
    own = np.isin(person * len(items) + other, person * len(items) + item)
    place = np.flatnonzero(~own)
    if len(place) == 0:
        return None, 0
    place = generator.permutation(place)[:SAMPLE_PAIRS]
    theirs = np.einsum("ij,ij->i", vectors[person[place]], item_vectors[item[place]], dtype=np.float64)
    others = np.einsum("ij,ij->i", vectors[person[place]], item_vectors[other[place]], dtype=np.float64)
    return float(np.mean((theirs > others) + 0.5 * (theirs == others))), len(place)


def _side(parts: pa.Table, side: str) -> tuple[IdMap, np.ndarray]:
    rows = parts.filter(pc.and_(pc.equal(parts["side"], side), pc.is_valid(parts["factors"]))).sort_by("id")
    ids = IdMap.from_ids(rows["id"])
    if len(ids) == 0:
        return ids, np.empty((0, 0), np.float32)
    values = pc.list_flatten(rows["factors"]).to_numpy().astype(np.float32)
    return ids, values.reshape(len(ids), -1)


def served(
    model: Recommends, sample: Sample, popular: Popularity, fallback: Popularity, for_sale: pa.Array, k: int
) -> tuple[pa.Table, pa.Table, pa.Table, float]:
    """Lists of the sample as they would be shown: the candidate's, the fallback's for the rest, and for comparison the
    most bought of all time for whom the candidate has one; and the candidate's milliseconds per person."""
    bought, people = bought_pairs(sample.rows), sample.people
    # A first call pays for imports and for what a model builds once.
    model.recommend(people[:1], k, exclude=bought, allowed_items=for_sale)
    began = time.perf_counter()
    own = model.recommend(people, k, exclude=bought, allowed_items=for_sale)
    took = 1000 * (time.perf_counter() - began) / max(1, len(people))
    reached = IdMap.from_ids(own["person_id"])
    rest = people.filter(pc.invert(pc.is_in(people, value_set=reached.external_ids)))
    rest_lists = fallback.recommend(rest, k, exclude=bought, allowed_items=for_sale)
    most_bought = popular.recommend(reached.external_ids, k, exclude=bought, allowed_items=for_sale)
    return own, rest_lists, most_bought, took


def judged_lists(
    own: pa.Table,
    rest: pa.Table,
    most_bought: pa.Table,
    sample: Sample,
    buyers: pa.Table,
    for_sale: pa.Array,
    milliseconds: float,
) -> Lists:
    """What ``served`` gave, counted; ``buyers`` has item_id and people (who bought it)."""
    lists = pa.concat_tables([own.select(RECOMMENDED.names), rest.select(RECOMMENDED.names)])
    people = IdMap.from_ids(lists["person_id"])
    bought = bought_pairs(sample.rows)
    keys = ["person_id", "item_id"]
    own_people = IdMap.from_ids(own["person_id"]).external_ids
    return Lists(
        people=len(sample.people),
        served=len(people),
        cold=len(sample.cold),
        cold_served=pc.sum(pc.is_in(sample.cold, value_set=people.external_ids)).as_py() or 0,
        cold_own=pc.sum(pc.is_in(sample.cold, value_set=own_people)).as_py() or 0,
        padded=_padded(lists, people),
        bought=lists.join(bought, keys, join_type="left semi").num_rows,
        not_for_sale=pc.sum(pc.invert(pc.is_in(lists["item_id"], value_set=for_sale))).as_py() or 0,
        items=pc.count_distinct(own["item_id"]).as_py(),
        reachable=min(len(for_sale), own.num_rows),
        popularity=_popularity(own, most_bought, buyers),
        milliseconds=milliseconds,
    )


def _padded(lists: pa.Table, people: IdMap) -> int:
    """Places that no whole list has: beyond a gap in the ranks, an item's second, or without a finite score."""
    if lists.num_rows == 0:
        return 0
    person = people.to_indices(lists["person_id"])
    rank = lists["rank"].to_numpy()
    item = IdMap.from_ids(lists["item_id"]).to_indices(lists["item_id"])
    # implicit pads short lists with items at the lowest float there is.
    score = lists["score"].to_numpy(zero_copy_only=False)
    bad = ~np.isfinite(score) | (score < -1e30)
    order = np.lexsort((rank, person))
    first = np.concatenate([[True], person[order][1:] != person[order][:-1]])
    start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    bad[order] |= rank[order] != np.arange(len(order)) - start + 1
    by_item = np.lexsort((rank, item, person))
    again = (person[by_item][1:] == person[by_item][:-1]) & (item[by_item][1:] == item[by_item][:-1])
    bad[by_item[1:]] |= again
    return int(bad.sum())


def _popularity(own: pa.Table, most_bought: pa.Table, buyers: pa.Table) -> float | None:
    """Mean buyers of a place in one's lists over that in lists of the most bought; None without either."""
    if own.num_rows == 0 or most_bought.num_rows == 0:
        return None
    items = IdMap.from_ids(buyers["item_id"])
    counts = np.zeros(len(items) + 1)
    counts[items.to_indices(buyers["item_id"])] = buyers["people"].to_numpy()
    # An unknown item has the index -1, and with it the last count: 0.
    mean = [float(counts[items.to_indices(t["item_id"], unknown="mark")].mean()) for t in (own, most_bought)]
    return mean[0] / mean[1] if mean[1] > 0 else None


def buyers_of(popular: Popularity, items: int) -> pa.Table:
    """Columns item_id, people of a fitted ``Popularity`` that knows at most so many items."""
    ranked: Any = popular.recommend(["-"], max(1, items))
    return pa.table({"item_id": ranked["item_id"], "people": ranked["score"]})
