"""How good ranked lists are: one value per person first, the mean second, so that intervals can be had over people.

Full ranking only: metrics over sampled candidates do not order models as the full ranking does (Krichene and Rendle
2020, "On sampled metrics for item recommendation"). Everyone with at least one relevant item counts; who was
recommended nothing counts 0. What lists are like, whoever bought what, is measured in ``list_metrics``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, sorted_distinct


@dataclass(frozen=True, eq=False)
class Judged:
    """Recommendations held against the truth.

    ``people``: who has any relevant item. ``relevant``: how many each has (int64, aligned with ``people``).
    ``hit_person`` and ``hit_rank``: row in ``people`` and rank (from 1) of every recommended item that is relevant.
    """

    people: IdMap
    relevant: np.ndarray
    hit_person: np.ndarray
    hit_rank: np.ndarray


def judge(recommendations: pa.Table, truth: pa.Table) -> Judged:
    """Find the hits: ``recommendations`` has person_id, rank, item_id, ``truth`` distinct pairs person_id, item_id.

    Rows of people without truth are ignored. Raises ``ValueError`` if a person has one item or one rank twice (a hit
    would count double), or a rank below 1.
    """
    people, items = IdMap.from_ids(truth["person_id"]), IdMap.from_ids(truth["item_id"])
    width = len(items)
    person_of_truth = people.to_indices(truth["person_id"])
    relevant_cells = sorted_distinct(person_of_truth.astype(np.int64) * width + items.to_indices(truth["item_id"]))
    relevant = np.bincount(relevant_cells // width if width else relevant_cells, minlength=len(people))

    person = people.to_indices(recommendations["person_id"], unknown="mark")
    item = items.to_indices(recommendations["item_id"], unknown="mark")
    rank = recommendations["rank"].to_numpy().astype(np.int64)
    if len(rank) and rank.min() < 1:
        raise ValueError("a rank is below 1; ranks count from 1")
    judged = person != UNKNOWN_INDEX
    _refuse_repeats(person[judged], rank[judged], "rank")
    listed = judged & (item != UNKNOWN_INDEX)
    _refuse_repeats(person[listed], item[listed], "item")
    cells = person[listed].astype(np.int64) * width + item[listed]
    hit = np.isin(cells, relevant_cells)
    return Judged(people, relevant, person[listed][hit], rank[listed][hit])


def ndcg(judged: Judged, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain at ``k``, binary relevance, per person in [0, 1].

    DCG = sum over hits at rank r <= k of 1 / log2(r + 1); NDCG = DCG / the DCG of a list that starts with
    min(relevant, k) hits. Järvelin and Kekäläinen (2002), "Cumulated gain-based evaluation of IR techniques".

    >>> truth = pa.table({"person_id": ["ann", "ann"], "item_id": ["hat", "tie"]})
    >>> lists = pa.table({"person_id": ["ann", "ann"], "rank": [1, 2], "item_id": ["bag", "hat"]})
    >>> ndcg(judge(lists, truth), 2).round(6).tolist()  # (1 / log2 3) / (1 + 1 / log2 3)
    [0.386853]
    """
    _check_k(k)
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(judged.relevant, k) - 1]
    near = judged.hit_rank <= k
    gain = np.bincount(judged.hit_person[near], discount[judged.hit_rank[near] - 1], minlength=len(judged.people))
    # The sums run in different orders, so a perfect list may come out an ulp above 1.
    return np.minimum(gain / ideal, 1.0)


def recall(judged: Judged, k: int) -> np.ndarray:
    """Truncated recall at ``k``: hits in the first k / min(relevant, k), per person in [0, 1].

    The cut makes 1 reachable for people with more than ``k`` relevant items. Liang et al. (2018), "Variational
    autoencoders for collaborative filtering", section 4.2.

    >>> truth = pa.table({"person_id": ["ann"] * 3, "item_id": ["hat", "tie", "cap"]})
    >>> lists = pa.table({"person_id": ["ann", "ann"], "rank": [1, 2], "item_id": ["bag", "hat"]})
    >>> recall(judge(lists, truth), 2).tolist()
    [0.5]
    """
    return _hits(judged, k) / np.minimum(judged.relevant, k)


def hit_rate(judged: Judged, k: int) -> np.ndarray:
    """1 for a person with at least one hit in the first ``k``, else 0; its mean is the share of people served.

    Deshpande and Karypis (2004), "Item-based top-N recommendation algorithms".

    >>> truth = pa.table({"person_id": ["ann", "bob"], "item_id": ["hat", "tie"]})
    >>> lists = pa.table({"person_id": ["ann"], "rank": [1], "item_id": ["hat"]})
    >>> hit_rate(judge(lists, truth), 10).tolist()
    [1.0, 0.0]
    """
    return (_hits(judged, k) > 0).astype(np.float64)


def average_precision(judged: Judged, k: int) -> np.ndarray:
    """Average precision at ``k``, per person in [0, 1]; its mean over people is MAP.

    AP = sum over hits at rank r <= k of (hits up to r) / r, divided by min(relevant, k), so that a list that starts
    with all it can hold has 1. Manning, Raghavan and Schütze (2008), "Introduction to information retrieval", section
    8.4; cut at k as in the Million Song Dataset Challenge (McFee et al. 2012).

    >>> truth = pa.table({"person_id": ["ann", "ann"], "item_id": ["hat", "tie"]})
    >>> lists = pa.table({"person_id": ["ann"] * 3, "rank": [1, 2, 3], "item_id": ["hat", "bag", "tie"]})
    >>> average_precision(judge(lists, truth), 3).round(6).tolist()  # (1 / 1 + 2 / 3) / 2
    [0.833333]
    """
    _check_k(k)
    near = judged.hit_rank <= k
    order = np.lexsort((judged.hit_rank[near], judged.hit_person[near]))
    person, rank = judged.hit_person[near][order], judged.hit_rank[near][order]
    hits = np.bincount(person, minlength=len(judged.people))
    so_far = np.arange(1, len(person) + 1) - np.repeat(np.cumsum(hits) - hits, hits)
    precision = np.bincount(person, so_far / rank, minlength=len(judged.people))
    return np.minimum(precision / np.minimum(judged.relevant, k), 1.0)


def reciprocal_rank(judged: Judged, k: int) -> np.ndarray:
    """1 / rank of the first hit within ``k``, 0 without one, per person in [0, 1]; its mean over people is MRR.

    Voorhees (1999), "The TREC-8 question answering track report".

    >>> truth = pa.table({"person_id": ["ann", "bob"], "item_id": ["hat", "tie"]})
    >>> lists = pa.table({"person_id": ["ann", "ann"], "rank": [1, 2], "item_id": ["bag", "hat"]})
    >>> reciprocal_rank(judge(lists, truth), 10).tolist()
    [0.5, 0.0]
    """
    _check_k(k)
    near = judged.hit_rank <= k
    found = np.zeros(len(judged.people))
    np.maximum.at(found, judged.hit_person[near], 1.0 / judged.hit_rank[near])
    return found


PER_PERSON = {
    "ndcg": ndcg,
    "recall": recall,
    "map": average_precision,
    "mrr": reciprocal_rank,
    "hit_rate": hit_rate,
}


def _hits(judged: Judged, k: int) -> np.ndarray:
    _check_k(k)
    return np.bincount(judged.hit_person[judged.hit_rank <= k], minlength=len(judged.people))


def _refuse_repeats(person: np.ndarray, other: np.ndarray, name: str) -> None:
    if len(person) == 0:
        return
    cells = person.astype(np.int64) * (int(other.max()) + 1) + other
    repeated = len(cells) - len(sorted_distinct(cells))
    if repeated:
        raise ValueError(f"{repeated} rows repeat a person's {name}; a list names every {name} once")


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
