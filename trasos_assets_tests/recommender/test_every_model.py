"""The contract of ``Recommender``, held against every registered model."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.recommender.interactions import bought_pairs
from trasos_assets.recommender.models import NotFittedError, Recommender
from trasos_assets.recommender.models.base import PARTS, RECOMMENDED, SIMILAR
from trasos_assets.recommender.models.registry import MODELS, configured, kind_of, plain
from trasos_assets_tests.recommender.tables import FIRST_DAY, Row, interactions, pairs, rows_strategy, two_tastes

# What makes the slower ones quick on a handful of rows; all others are tested as they come.
QUICK: dict[str, dict[str, Any]] = {
    "als": {"factors": 4, "iterations": 3, "regularization": 1.0},
    "bpr": {"factors": 4, "iterations": 5},
    "ease": {"l2": 1.0},
    "popularity_recent": {"window_days": 3},
}
ASKS_NOTHING_OF_PEOPLE = {"popularity", "popularity_recent", "blend"}
KNOWS_NO_NEARNESS = {"popularity", "popularity_recent"}
NEVER_NEW = {"personal_repeat"}
every_model = pytest.mark.parametrize("name", MODELS)
PEOPLE = [f"p{n}" for n in range(8)] + ["stranger"]
ITEMS = [f"i{n}" for n in range(9)]
TABLE = two_tastes()


def unfitted(name: str) -> Recommender:
    return kind_of(name).build(configured(name, QUICK.get(name, {})))


@pytest.fixture(scope="module")
def fitted() -> dict[str, Recommender]:
    return {name: unfitted(name).fit(TABLE) for name in MODELS}


def lists(table: pa.Table, of: str = "person_id", item: str = "item_id") -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in table.to_pylist():
        found.setdefault(row[of], []).append(row[item])
        assert row["rank"] == len(found[row[of]])
    return found


def assert_scores_fall(table: pa.Table, of: str) -> None:
    for above, below in pairwise(table.to_pylist()):
        assert above[of] != below[of] or above["score"] >= below["score"]


def test_every_name_builds_a_model_and_its_config_survives_as_plain_values() -> None:
    assert {"popularity", "popularity_recent", "personal_repeat", "item_knn_cosine", "item_knn_bm25"} <= set(MODELS)
    scoring = {name for name in MODELS if hasattr(unfitted(name), "score_pairs")}
    assert {"als", "bpr", "ease", "popularity", "personal_repeat", "item_knn_bm25"} <= scoring
    for name, kind in MODELS.items():
        assert kind.name == name and configured(name, plain(kind.default)) == kind.default


@every_model
@settings(deadline=None, max_examples=12)
@given(
    rows=rows_strategy.filter(lambda rows: any(row[5] for row in rows)),
    k=st.integers(1, 10),
    allowed=st.none() | st.sets(st.sampled_from(ITEMS)),
    exclude=st.none() | st.sets(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(ITEMS))),
)
def test_lists_are_ranked_whole_and_hold_nothing_excluded(name: str, rows: list[Row], k, allowed, exclude) -> None:
    model = unfitted(name).fit(interactions(rows))
    pairs_out = None if exclude is None else pairs(sorted(exclude))
    table = model.recommend([*PEOPLE, PEOPLE[0]], k, exclude=pairs_out, allowed_items=allowed)
    assert table.schema == RECOMMENDED
    assert table.equals(table.sort_by([("person_id", "ascending"), ("rank", "ascending")]))
    assert_scores_fall(table, "person_id")
    everything = lists(model.recommend(PEOPLE, 100))
    assert set().union(*everything.values()) <= {row[1] for row in rows}
    short = lists(table)
    for person, items in everything.items():
        left = [
            item
            for item in items
            if (allowed is None or item in allowed) and (exclude is None or (person, item) not in exclude)
        ]
        found = short.pop(person, [])
        assert len(found) == len(set(found)) == min(k, len(left)) and set(found) <= set(left)
    assert short == {}


@every_model
def test_refit_gives_identical_answers_whatever_the_order_of_rows(name: str, fitted) -> None:
    model, people = fitted[name], TABLE["person_id"]
    shuffled = TABLE.take(pa.array(np.random.default_rng(1).permutation(TABLE.num_rows)))
    again = unfitted(name).fit(shuffled)
    first = model.recommend(people, 5)
    assert first.num_rows > 0 and again.recommend(people, 5).equals(first)
    assert again.similar(TABLE["item_id"], 5).equals(model.similar(TABLE["item_id"], 5))
    assert again.parts().equals(model.parts())


@every_model
def test_nothing_after_as_of_is_learnt(name: str) -> None:
    as_of = FIRST_DAY + timedelta(days=10)
    early = TABLE.filter(pa.array([day <= as_of for day in TABLE["day"].to_pylist()]))
    assert 0 < early.num_rows < TABLE.num_rows
    expected = unfitted(name).fit(early, as_of=as_of).recommend(TABLE["person_id"], 5)
    assert unfitted(name).fit(TABLE, as_of=as_of).recommend(TABLE["person_id"], 5).equals(expected)


@every_model
def test_strangers_have_no_rows_or_all_the_same_list(name: str, fitted) -> None:
    found = lists(fitted[name].recommend(["zoe", "p001", "adam"], 4))
    assert "p001" in found
    if name in ASKS_NOTHING_OF_PEOPLE:
        assert found["zoe"] == found["adam"] and len(found["zoe"]) == 4
    else:
        assert set(found) == {"p001"}


@every_model
def test_what_was_bought_can_be_left_out(name: str, fitted) -> None:
    bought = bought_pairs(TABLE)
    had = {(row["person_id"], row["item_id"]) for row in bought.to_pylist()}
    new = lists(fitted[name].recommend(TABLE["person_id"], 30, exclude=bought))
    assert not {(person, item) for person, items in new.items() for item in items} & had
    assert bool(new) != (name in NEVER_NEW)


@every_model
def test_more_asked_for_than_there_is_gives_each_item_once(name: str, fitted) -> None:
    catalogue = set(TABLE["item_id"].to_pylist())
    for items in lists(fitted[name].recommend(TABLE["person_id"], 10_000)).values():
        assert len(items) == len(set(items)) and set(items) <= catalogue
    for item, near in lists(fitted[name].similar(catalogue, 10_000), "item_id", "similar_item_id").items():
        assert len(near) == len(set(near)) and set(near) <= catalogue - {item}


@every_model
def test_similar_items_leave_the_item_itself_out_and_are_ranked(name: str, fitted) -> None:
    asked = ["i003", "i001", "i001", "no such item"]
    table = fitted[name].similar(asked, 5)
    assert table.schema == SIMILAR
    assert table.equals(table.sort_by([("item_id", "ascending"), ("rank", "ascending")]))
    assert_scores_fall(table, "item_id")
    found = lists(table, "item_id", "similar_item_id")
    if name in KNOWS_NO_NEARNESS:
        assert found == {}
        return
    assert set(found) == {"i001", "i003"}
    for item, near in found.items():
        assert len(near) == len(set(near)) == 5 and item not in near
    allowed = ["i001", "i005", "i007", "no such item"]
    few = lists(fitted[name].similar(asked, 5, allowed_items=allowed), "item_id", "similar_item_id")
    assert few["i001"] and set(few["i001"]) <= {"i005", "i007"} and "i001" in few["i003"]
    assert fitted[name].similar(asked, 5, allowed_items=[]).equals(SIMILAR.empty_table())
    assert fitted[name].similar([], 5).equals(SIMILAR.empty_table())


@every_model
def test_items_of_one_taste_are_nearer_than_those_of_the_other(name: str) -> None:
    if name in KNOWS_NO_NEARNESS:
        return
    model = unfitted(name).fit(two_tastes(people=200))
    found = lists(model.similar(TABLE["item_id"], 3), "item_id", "similar_item_id")
    right = [int(item[1:]) % 2 == int(other[1:]) % 2 for item, near in found.items() for other in near]
    # BPR's few passes are for speed here.
    assert len(found) == 24 and sum(right) / len(right) > (0.7 if name == "bpr" else 0.95)


@every_model
def test_a_model_restored_from_its_parts_answers_the_same(name: str, fitted) -> None:
    model = fitted[name]
    stored = model.parts()
    assert stored.schema == PARTS
    assert stored.equals(stored.sort_by([("side", "ascending"), ("id", "ascending")]))
    people = set(TABLE["person_id"].to_pylist())
    for row in stored.to_pylist():
        assert not any(f'"{person}"' in (row["payload"] or "") for person in people), "a payload names a person"
    # A store may hand rows out in any order.
    shuffled = stored.take(pa.array(np.random.default_rng(2).permutation(stored.num_rows)))
    restored = unfitted(name).restore(shuffled, TABLE)
    exclude, allowed = bought_pairs(TABLE).slice(0, 50), [f"i{n:03}" for n in range(0, 24, 2)]
    for options in ({}, {"exclude": exclude}, {"allowed_items": allowed}):
        expected = model.recommend(TABLE["person_id"], 6, **options)
        assert expected.num_rows > 0 and restored.recommend(TABLE["person_id"], 6, **options).equals(expected)
    assert restored.similar(TABLE["item_id"], 4).equals(model.similar(TABLE["item_id"], 4))
    assert restored.parts().equals(stored)


# A blend's score of a pair depends on the other candidates, so it has none to give of a pair alone.
@pytest.mark.parametrize("name", [name for name in MODELS if hasattr(unfitted(name), "score_pairs")])
def test_given_pairs_are_scored_as_they_are_ranked(name: str, fitted) -> None:
    score_pairs = fitted[name].score_pairs
    table = fitted[name].recommend(TABLE["person_id"], 6)
    scores = score_pairs(table.select(["person_id", "item_id"]))
    assert scores.dtype == np.float32 and len(scores) == table.num_rows
    np.testing.assert_allclose(scores, table["score"].to_numpy(), rtol=1e-4, atol=1e-6)
    strange = pairs([("p001", "no such item"), ("stranger", "i001"), ("p001", "i001"), ("p001", "i001")])
    found = score_pairs(strange)
    assert len(found) == 4 and np.isfinite(found[2]) and found[2] == found[3]
    assert not found[0] > 0 and not (found[1] > 0 and name not in ASKS_NOTHING_OF_PEOPLE)
    assert len(score_pairs(pairs([]))) == 0


@every_model
def test_without_training_data_a_model_says_so_or_has_no_lists(name: str) -> None:
    try:
        model = unfitted(name).fit(interactions([]))
    except ValueError as error:
        assert "no interaction" in str(error)
        return
    assert model.recommend(["p001"], 3).equals(RECOMMENDED.empty_table())
    assert model.similar(["i001"], 3).equals(SIMILAR.empty_table())
    assert model.parts().schema == PARTS


@every_model
def test_using_a_model_before_fit_says_so(name: str) -> None:
    model = unfitted(name)
    for use in (lambda: model.recommend(["ann"], 3), lambda: model.similar(["hat"], 3), model.parts):
        with pytest.raises(NotFittedError, match="before fit"):
            use()


@every_model
def test_nobody_or_nothing_allowed_gives_no_rows_and_a_list_of_none_is_refused(name: str, fitted) -> None:
    model = fitted[name]
    assert model.recommend([], 3).equals(RECOMMENDED.empty_table())
    assert model.recommend(["p001"], 3, allowed_items=[]).equals(RECOMMENDED.empty_table())
    for refused in (lambda: model.recommend(["p001"], 0), lambda: model.similar(["i001"], 0)):
        with pytest.raises(ValueError, match="k must be"):
            refused()
