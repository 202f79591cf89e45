"""Evidence is counted as it is defined: faults planted in lists and vectors are found, all of them and no others."""

from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pytest

from trasos_assets.contracts.models import LEADERBOARD, MODEL_COMPARISONS
from trasos_assets.recommender.done import gather
from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.models import Popularity
from trasos_assets.recommender.models.base import PARTS, RECOMMENDED
from trasos_assets_tests.recommender.tables import purchases

FOR_SALE = pa.array(["cap", "hat", "tie"])
ROWS = purchases([("ann", "hat", 0), ("bob", "hat", 1), ("bob", "tie", 1)])
SAMPLE = gather.Sample(pa.array(["ann", "bob"]), pa.array(["new"]), ROWS)
BUYERS = pa.table({"item_id": ["hat", "tie"], "people": [2.0, 1.0]})


def lists(*rows: tuple[str, int, str, float | None]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * 4
    return pa.table([pa.array(c, field.type) for c, field in zip(columns, RECOMMENDED, strict=True)], RECOMMENDED)


GOOD = (("ann", 1, "cap", 2.0), ("ann", 2, "tie", 1.0), ("bob", 1, "cap", 1.0))


def counted(own: pa.Table, rest: pa.Table | None = None) -> gather.Lists:
    rest = lists(("new", 1, "hat", 2.0)) if rest is None else rest
    return gather.judged_lists(own, rest, lists(("ann", 1, "hat", 2.0)), SAMPLE, BUYERS, FOR_SALE, 1.0)


def test_lists_without_fault_have_none() -> None:
    found = counted(lists(*GOOD))
    assert (found.people, found.served, found.cold, found.cold_served, found.cold_own) == (3, 3, 1, 1, 0)
    assert (found.padded, found.bought, found.not_for_sale) == (0, 0, 0)
    assert (found.items, found.reachable) == (2, 3)
    assert found.popularity == pytest.approx((0 + 1 + 0) / 3 / 2)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("bob", 3, "tie2", 0.5), {"padded": 1, "not_for_sale": 1}),
        (("bob", 2, "cap", 0.5), {"padded": 1}),
        (("bob", 1, "shirt", 0.5), {"padded": 1, "not_for_sale": 1}),
        (("bob", 2, "tie", -3.4e38), {"padded": 1, "bought": 1}),
        (("bob", 2, "shirt", float("nan")), {"padded": 1, "not_for_sale": 1}),
        (("bob", 2, "shirt", None), {"padded": 1, "not_for_sale": 1}),
        (("bob", 2, "hat", 0.5), {"bought": 1}),
        (("bob", 2, "delivery", 0.5), {"not_for_sale": 1}),
    ],
)
def test_a_fault_is_found_once_for_every_place_that_has_it(row: tuple, fault: dict[str, int]) -> None:
    found = counted(lists(*GOOD, row))
    assert {n: getattr(found, n) for n in ("padded", "bought", "not_for_sale") if getattr(found, n)} == fault


def test_who_gets_nothing_is_not_counted_as_served() -> None:
    found = counted(lists(*GOOD[:2]), lists())
    assert (found.served, found.cold_served) == (1, 0)
    assert counted(lists()).popularity is None


def test_lists_of_popularity_are_as_popular_as_can_be() -> None:
    popular = Popularity().fit(ROWS)
    own, rest, most_bought, took = gather.served(popular, SAMPLE, popular, popular, FOR_SALE, 2)
    found = gather.judged_lists(own, rest, most_bought, SAMPLE, gather.buyers_of(popular, 3), FOR_SALE, took)
    assert found.popularity == 1.0 and found.cold_own == 1 and rest.num_rows == 0 and took > 0
    assert gather.buyers_of(popular, 3).to_pydict() == {"item_id": ["hat", "tie"], "people": [2.0, 1.0]}


def vectors(side: str, ids: list[str], values: np.ndarray) -> pa.Table:
    rows = [{"side": side, "id": id_, "factors": v.tolist()} for id_, v in zip(ids, values, strict=True)]
    return pa.Table.from_pylist(rows, schema=PARTS)


def test_vectors_that_know_their_data_are_told_from_shuffled_and_from_popular_ones() -> None:
    rng = np.random.default_rng(0)
    people, items = [f"p{n:03}" for n in range(200)], [f"i{n:02}" for n in range(40)]
    # Even people buy even items, and the first items far more often than the last.
    item = (rng.integers(0, 20, 3_000) * rng.random(3_000)).astype(int) * 2
    person = rng.integers(0, 200, 3_000)
    item += person % 2
    rows = purchases(sorted({(people[p], items[i], 0) for p, i in zip(person, item, strict=True)}))
    taste = np.eye(2, dtype=np.float32)
    own, theirs = taste[np.arange(200) % 2], taste[np.arange(40) % 2]
    knowing = pa.concat_tables([vectors("person", people, own), vectors("item", items, theirs)])
    share, tried = gather.known_pairs(knowing, rows)
    assert share is not None and share > 0.7 and tried > 500
    shuffled = pa.concat_tables([vectors("person", people, own), vectors("item", items, rng.permutation(theirs))])
    popular = np.stack([np.arange(40, 0, -1), np.zeros(40)], axis=1).astype(np.float32)
    disguised = pa.concat_tables([vectors("person", people, np.ones_like(own)), vectors("item", items, popular)])
    for each in (shuffled, disguised):
        share, _ = gather.known_pairs(each, rows)
        assert share is not None and abs(share - 0.5) < 0.06
    assert gather.known_pairs(PARTS.empty_table(), rows) == (None, 0)


def test_every_vector_that_is_not_finite_counts_once() -> None:
    values = np.array([[1, 2], [np.nan, np.inf], [3, np.nan]], np.float32)
    assert gather.not_finite(vectors("item", ["a", "b", "c"], values)) == 2
    assert gather.not_finite(PARTS.empty_table()) == 0
    assert gather.megabytes(vectors("item", ["a", "b", "c"], values)) == pytest.approx(24e-6)


def test_the_comparison_that_decides_is_of_all_folds_new_items_and_ndcg_at_10() -> None:
    schema = MODEL_COMPARISONS.types
    day = date(2026, 1, 1)
    base = dict.fromkeys(schema) | {"people": 9, "train_through": day, "test_through": day}
    base |= {"model": "als", "against": "popularity_recent", "fold": "mean", "segment": "all", "target": "new_items"}
    base |= {"metric": "ndcg", "k": 10, "difference": 0.1, "low": 0.05, "high": 0.2}
    others = [{"k": 20}, {"fold": "1"}, {"metric": "recall"}, {"target": "all_items"}, {"against": "popularity"}]
    rows = [base | other | {"difference": 9.0} for other in (*others, {"segment": "cold"}, {"model": "ease"})]
    table = pa.Table.from_pylist([*rows, base], schema=ibis.schema(schema).to_pyarrow())
    found = gather.paired(table, "als", "popularity_recent")
    assert found is not None and (found.difference, found.low, found.high, found.people) == (0.1, 0.05, 0.2, 9)
    assert gather.paired(table, "als", "champion") is None


def test_rows_that_learned_from_their_truth_are_counted_for_their_model_only() -> None:
    first, last = date(2026, 1, 1), date(2026, 1, 8)
    base = dict.fromkeys(LEADERBOARD.types) | {"model": "als", "train_through": first, "truth_from": last}
    rows = [base | {"source_through": first}, base | {"source_through": last}, base]
    rows.append(base | {"model": "ease", "source_through": last})
    table = pa.Table.from_pylist(rows, schema=ibis.schema(LEADERBOARD.types).to_pyarrow())
    assert gather.leaks(table, "als") == 2 and gather.leaks(table, "bpr") == 0


def test_the_sample_is_the_same_whatever_the_order_of_rows_and_knows_who_is_new() -> None:
    rows = purchases([(f"p{n}", "hat", n % 3) for n in range(30)])
    people = ibis.memtable({"person_id": [f"p{n}" for n in range(30)] + ["new1", "new2"]})
    one = gather.sample_of(ibis.memtable(rows), people)
    other = gather.sample_of(ibis.memtable(rows.take(pa.array(range(29, -1, -1)))), people)
    assert one.rows.equals(other.rows) and len(one.warm) == 30 and one.cold.to_pylist() == ["new1", "new2"]
    assert len(one.people) == 32 and IdMap.from_ids(one.people).external_ids.equals(one.people)
