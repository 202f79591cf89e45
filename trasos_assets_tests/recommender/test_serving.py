from collections import Counter, defaultdict
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.serving import FALLBACKS, MODEL, PINNED, RECOMMENDATIONS, SOURCES, WITH_ITEM
from trasos_assets.recommender.interactions import bought_pairs
from trasos_assets.recommender.models import ALS, ALSConfig, Popularity, PopularityConfig
from trasos_assets.recommender.reasons import nearness_of
from trasos_assets.recommender.rules import Rules
from trasos_assets.recommender.serving import SERVED, Champion, Served, recommend_for_everyone
from trasos_assets.recommender.shelf import Shelf, history_of
from trasos_assets_tests.recommender.tables import Row, interactions, purchases, rows_strategy, two_tastes

SMALL_ALS = ALSConfig(factors=4, iterations=3, regularization=1.0)
EVERYONE = [f"p{n}" for n in range(10)]
ITEMS = [f"i{n}" for n in range(9)]
CATEGORIES = ["bags", "bags", "bags", "shoes", "shoes", "shoes", None, None, "hats"]
BRANDS = ["a", "b", "a", "b", "a", "b", "a", None, None]


def shelf_of(
    table: pa.Table, rules: Rules | None = None, *, items: list[str] | None = None, out: Any = (), **columns: Any
) -> Shelf:
    """Items with their categories and brands; those in ``out`` are not for sale."""
    ids = items or sorted({*table["item_id"].to_pylist()})
    known = {
        "item_id": ids,
        "category": columns.get("category", [None] * len(ids)),
        "brand": columns.get("brand", [None] * len(ids)),
        "stock": columns.get("stock", [None] * len(ids)),
        "for_sale": [item not in out for item in ids],
    }
    types = {"item_id": pa.string(), "category": pa.string(), "brand": pa.string(), "stock": pa.int32()}
    rows = pa.table({name: pa.array(values, types.get(name, pa.bool_())) for name, values in known.items()})
    recent = Popularity(PopularityConfig(window_days=14)).fit(table)
    return Shelf.of(rows, rules or Rules(), recent, Popularity().fit(table))


def history(table: pa.Table) -> pa.Table:
    return history_of(ibis.memtable(table)).to_pyarrow()


def served_by(table: pa.Table, shelf: Shelf) -> Served:
    model = ALS(SMALL_ALS).fit(table)
    return Served(model, lambda: nearness_of(model, shelf.known, shelf.shown_ids))


def lists_of(table: pa.Table) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table.to_pylist():
        found[row["person_id"]].append(row)
    return found


rules_strategy = st.builds(
    lambda brand, category, stock, banned, items, pins: Rules.model_validate(
        {
            "at_most": {"brand": brand, "category": category},
            "minimum_stock": stock,
            "exclude": {"categories": sorted(banned), "items": sorted(items - set(pins))},
            "pinned": {2 * slot + 1: item for slot, item in enumerate(pins)},
        }
    ),
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 3),
    st.integers(0, 3),
    st.sets(st.sampled_from(["bags", "hats"]), max_size=1),
    st.sets(st.sampled_from(ITEMS), max_size=2),
    st.lists(st.sampled_from([*ITEMS, "unheard of"]), max_size=3, unique=True),
)


@settings(deadline=None, max_examples=25)
@given(
    rows=rows_strategy.filter(bool),
    k=st.integers(1, 9),
    out=st.sets(st.sampled_from(ITEMS), max_size=4),
    rules=rules_strategy,
    stock=st.lists(st.none() | st.integers(0, 4), min_size=9, max_size=9),
    with_model=st.booleans(),
)
def test_every_list_keeps_every_rule_and_is_short_only_where_nothing_is_left(
    rows: list[Row], k: int, out: set[str], rules: Rules, stock: list, with_model: bool
) -> None:
    table = interactions(rows)
    shelf = shelf_of(table, rules, items=ITEMS, out=out, category=CATEGORIES, brand=BRANDS, stock=stock)
    served = served_by(table, shelf) if with_model else None
    made = recommend_for_everyone(served, shelf, EVERYONE, history(table), k)
    assert made.schema.equals(SERVED)
    had = {tuple(row.values()) for row in bought_pairs(table).to_pylist()}
    touched = {(row[0], row[1]) for row in rows}
    category, brand = dict(zip(ITEMS, CATEGORIES, strict=True)), dict(zip(ITEMS, BRANDS, strict=True))
    enough = {i for i, n in zip(ITEMS, stock, strict=True) if n is None or n >= rules.minimum_stock}
    allowed = enough - out - rules.exclude.items - {i for i in ITEMS if category[i] in rules.exclude.categories}
    popular = set(Popularity().fit(table).recommend(["x"], 100)["item_id"].to_pylist())
    found = lists_of(made)
    for person in EVERYONE:
        lines = found[person]
        items = [line["item_id"] for line in lines]
        assert [line["rank"] for line in lines] == list(range(1, len(lines) + 1)) and len(lines) <= k
        assert len(set(items)) == len(items) and set(items) <= {i for i in allowed if (person, i) not in had}
        pinned = [line for line in lines if line["source"] == PINNED]
        wanted = {slot: ids[0] for slot, ids in rules.pinned.items() if slot <= k}
        due = {slot: item for slot, item in wanted.items() if item in allowed and (person, item) not in had}
        assert {line["item_id"] for line in pinned} == set(due.values())
        # In a list that is short, what is pinned beyond its end moves up.
        slots = {item: slot for slot, item in due.items()}
        assert all(line["rank"] == slots[line["item_id"]] or len(lines) < k for line in pinned)
        for of, most in ((brand, rules.at_most.brand), (category, rules.at_most.category)):
            counts = Counter(of[item] for item in items if of[item] is not None)
            by_pins = Counter(of[line["item_id"]] for line in pinned)
            assert most is None or all(count <= max(most, by_pins[name]) for name, count in counts.items())
        if len(lines) < k:
            for item in popular & allowed - set(items):
                full = [
                    most is not None and of[item] is not None and sum(of[i] == of[item] for i in items) >= most
                    for of, most in ((brand, rules.at_most.brand), (category, rules.at_most.category))
                ]
                assert (person, item) in had or any(full), item
        for line in lines:
            assert line["source"] in (SOURCES if with_model else {PINNED, *FALLBACKS})
            because = line["because_item_id"]
            assert (because is not None) == (line["reason"] in WITH_ITEM)
            assert because is None or (person, because) in touched
            assert line["reason"] != "because_bought" or (person, because) in had
            assert line["reason"] != "viewed_before" or because == line["item_id"]


def test_a_list_is_filled_by_one_source_after_the_other() -> None:
    """Of four items each source knows one more: the model those it was fitted to, recent popularity those of late."""
    old = [("x", "gone", 0), ("y", "gone", 0)]
    late = [(f"q{n}", "new", 40) for n in range(5)]
    fitted = purchases([("p", "a", 30), ("q", "a", 30), ("q", "b", 30)])
    table = pa.concat_tables([fitted, purchases([*old, *late])])
    shelf = shelf_of(table)
    model = ALS(SMALL_ALS).fit(fitted)
    served = Served(model, lambda: nearness_of(model, shelf.known, shelf.shown_ids))
    made = recommend_for_everyone(served, shelf, ["p", "nobody"], history(table), 4)
    told = [(row["person_id"], row["item_id"], row["source"], row["reason"]) for row in made.to_pylist()]
    assert told == [
        ("nobody", "new", "recent_popularity", "popular_now"),
        ("nobody", "a", "recent_popularity", "popular_now"),
        ("nobody", "b", "recent_popularity", "popular_now"),
        ("nobody", "gone", "popularity", "popular_always"),
        ("p", "b", MODEL, "because_bought"),
        ("p", "new", "recent_popularity", "popular_now"),
        ("p", "gone", "popularity", "popular_always"),
    ]


def test_who_only_looked_is_shown_what_is_popular_in_those_categories() -> None:
    bought = purchases([(f"b{n}", item, 5) for item, n in [("i0", 0), ("i1", 0), ("i1", 1), ("i3", 0)] for n in [n]])
    more = purchases([(f"c{n}", "i3", 6) for n in range(8)])
    looked = interactions([("p", "i2", 6, 1, 0, 0), ("p", "i0", 3, 1, 0, 0), ("p", "i4", 1, 1, 0, 0)])
    table = pa.concat_tables([bought, more, looked])
    shelf = shelf_of(table, items=ITEMS, category=CATEGORIES)
    made = lists_of(recommend_for_everyone(None, shelf, ["p"], history(table), 3))["p"]
    # i3 has 9 buyers and a third of the views, i1 has 2 and two thirds, i0 has 1.
    assert [(row["item_id"], row["source"], row["because_item_id"]) for row in made] == [
        ("i3", "category_popularity", "i4"),
        ("i1", "category_popularity", "i2"),
        ("i0", "category_popularity", "i2"),
    ]
    assert [row["score"] for row in made] == [3.0, 1.333333, 0.666667]


def test_pinned_slots_are_left_to_others_where_the_person_has_bought_the_item() -> None:
    table = two_tastes()
    items = sorted(set(table["item_id"].to_pylist()))
    rules = Rules.model_validate({"pinned": {2: ["i000", "i001"], 20: "i002", 50: "i003"}})
    shelf = shelf_of(table, rules)
    made = lists_of(
        recommend_for_everyone(served_by(table, shelf), shelf, ["x", *EVERYONE[:0], "p001"], history(table), 24)
    )
    assert made["x"][1]["item_id"] == "i000" and made["x"][1]["score"] is None
    assert made["x"][19]["item_id"] == "i002" and len(made["x"]) == len(items)
    bought = {item for person, item in (r.values() for r in bought_pairs(table).to_pylist()) if person == "p001"}
    assert len(made["p001"]) == len(items) - len(bought)
    first = next(item for item in ("i000", "i001") if item not in bought)
    assert made["p001"][1]["item_id"] == first and made["p001"][1]["reason"] == PINNED
    # The slot lies beyond the end of the shorter list: the item stands last.
    assert made["p001"][min(19, len(made["p001"]) - 1)]["item_id"] == "i002"


def test_the_reason_is_an_item_of_the_same_taste() -> None:
    table = two_tastes()
    shelf = shelf_of(table)
    people = [f"p{n:03}" for n in range(60)]
    model = ALS(ALSConfig(factors=4, iterations=10, regularization=1.0)).fit(table)
    served = Served(model, lambda: nearness_of(model, shelf.known, shelf.shown_ids))
    rows = recommend_for_everyone(served, shelf, people, history(table), 3).to_pylist()
    ours = [row for row in rows if row["source"] == MODEL]
    same = [
        int(row["item_id"][1:]) % 2 == int(row["because_item_id"][1:]) % 2 for row in ours if row["because_item_id"]
    ]
    assert len(same) > 150 and all(same)


def test_blocks_of_people_and_the_order_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    table = two_tastes()
    shelf = shelf_of(table, Rules.model_validate({"pinned": {1: "i000"}}))
    people = [f"p{n:03}" for n in range(60)]
    whole = recommend_for_everyone(served_by(table, shelf), shelf, people, history(table), 5)
    monkeypatch.setattr("trasos_assets.recommender.serving._BLOCK_PEOPLE", 7)
    backwards = history(table)
    backwards = backwards.take(pa.array(np.arange(backwards.num_rows)[::-1].copy()))
    again = recommend_for_everyone(served_by(table, shelf), shelf, people[::-1] * 2, backwards, 5)
    assert whole.equals(again)


def test_the_rows_keep_the_contract_and_scores_have_six_digits() -> None:
    table = two_tastes()
    shelf = shelf_of(table)
    made = recommend_for_everyone(served_by(table, shelf), shelf, ["p001", "x"], history(table), 24)
    scores = made["score"].to_numpy()
    assert (scores == np.round(scores, 6)).all()
    full = ibis.memtable(made).mutate(model_version=ibis.literal("v"), as_of=ibis.date("2026-01-31"))
    assert violations(RECOMMENDATIONS, full.select(*RECOMMENDATIONS.column_names)) == []


def test_a_champion_that_is_what_the_fallbacks_are_is_none() -> None:
    row = {"model": "popularity_recent", "parameters": "{}", "model_version": "popularity_recent"}
    assert Champion.of_row(row) is None and Champion.of_row(None) is None
    champion = Champion.of_row({"model": "als", "parameters": '{"factors": 8}', "model_version": "v"})
    assert champion == Champion("als", {"factors": 8}, "v")


def test_many_people_with_many_purchases_are_served_without_walking_lists() -> None:
    people, items, each = 40_000, 3_000, 30
    rng = np.random.default_rng(1)
    item_ids = pa.array([f"i{n:05}" for n in range(items)])
    person_ids = pa.array([f"p{n:06}" for n in range(people)])
    bought = pa.table(
        {
            "person_id": person_ids.take(pa.array(np.repeat(np.arange(people), each))),
            "item_id": item_ids.take(pa.array(rng.integers(0, 60, people * each))),
        }
    )
    ones, days = np.ones(bought.num_rows, np.int32), np.full(bought.num_rows, np.datetime64("2026-01-01"))
    table = bought.append_column("purchases", pa.array(ones)).append_column("day", pa.array(days, pa.date32()))
    shelf = shelf_of(table, items=item_ids.to_pylist())
    had = bought.group_by(["person_id", "item_id"]).aggregate([])
    size = had.num_rows
    had = had.append_column("bought", pa.array(np.ones(size, bool))).append_column(
        "weight", pa.array(np.ones(size, np.float32))
    )
    had = had.append_column("last_day", pa.array(np.full(size, 20_000, np.int32)))
    made = recommend_for_everyone(None, shelf, person_ids, had, 10)
    assert made.join(bought, keys=["person_id", "item_id"], join_type="left semi").num_rows == 0
    # The 60 items that anybody bought are all there is to show.
    lengths = Counter(Counter(made["person_id"].to_pylist()).values())
    assert set(lengths) == {10} and sum(lengths.values()) == people
