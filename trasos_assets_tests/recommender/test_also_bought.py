from collections.abc import Iterator, Mapping
from datetime import date
from itertools import combinations

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.serving import ALSO_BOUGHT
from trasos_assets.recommender.also_bought import also_bought

AS_OF = date(2026, 2, 1)


@pytest.fixture(scope="module")
def con() -> Iterator[ibis.BaseBackend]:
    connection = ibis.duckdb.connect(threads=1)
    yield connection
    connection.disconnect()


def run(con: ibis.BaseBackend, orders: Mapping[str, list[str]], **options) -> pa.Table:
    lines = [(order, item) for order, items in orders.items() for item in items]
    ids, items = zip(*lines, strict=True) if lines else ((), ())
    baskets = pa.table({"order_id": pa.array(ids, pa.string()), "item_id": pa.array(items, pa.string())})
    held = con.create_table("baskets", baskets, temp=True, overwrite=True)
    found = also_bought(held, AS_OF, **options)
    return con.to_pyarrow(found).sort_by([("item_id", "ascending"), ("rank", "ascending")])


def companions(table: pa.Table, item: str) -> list[str]:
    return [row["also_item_id"] for row in table.to_pylist() if row["item_id"] == item]


baskets_strategy = st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=7), min_size=1, max_size=30)


@settings(deadline=None, max_examples=25)
@given(baskets=baskets_strategy, least=st.integers(1, 3), largest=st.integers(2, 6))
def test_counts_and_lift_are_those_of_the_definition(con, baskets, least, largest) -> None:
    orders = {f"o{n}": items for n, items in enumerate(baskets)}
    kept = [set(items) for items in baskets if len(set(items)) <= largest]
    expected = {}
    for a, b in combinations("abcdef", 2):
        together = sum({a, b} <= items for items in kept)
        each = {item: sum(item in items for items in kept) for item in (a, b)}
        lift = round(together * len(kept) / (each[a] * each[b]), 6) if together else 0
        if together >= least and lift > 1:
            expected[a, b] = (together, each[a], each[b], lift)
            expected[b, a] = (together, each[b], each[a], lift)
    table = run(con, orders, min_orders_together=least, max_basket=largest, max_q=1.0)
    numbers = ("orders_together", "item_orders", "also_orders", "lift")
    found = {(row["item_id"], row["also_item_id"]): tuple(row[name] for name in numbers) for row in table.to_pylist()}
    assert found == {pair: pytest.approx(values) for pair, values in expected.items()}


def shop(orders: int = 3000, pairs: int = 20, noise: int = 40, seed: int = 3) -> dict[str, list[str]]:
    """Left item n is followed by right item n half of the time; noise items of falling popularity go with anything."""
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, noise + 1)
    made = {}
    for n in range(orders):
        pair = rng.integers(pairs)
        items = [f"left{pair:02}"] + ([f"right{pair:02}"] if rng.random() < 0.5 else [])
        items += [f"noise{i:02}" for i in rng.choice(noise, rng.integers(0, 5), p=popularity / popularity.sum())]
        made[f"o{n}"] = items
    return made


def test_planted_pairs_come_first_and_the_contract_holds(con) -> None:
    table = run(con, shop())
    assert [companions(table, f"left{n:02}")[0] for n in range(20)] == [f"right{n:02}" for n in range(20)]
    assert [companions(table, f"right{n:02}")[0] for n in range(20)] == [f"left{n:02}" for n in range(20)]
    assert tuple(table.column_names) == ALSO_BOUGHT.column_names
    assert violations(ALSO_BOUGHT, ibis.memtable(table)) == []
    assert set(table["as_of"].to_pylist()) == {AS_OF}


def test_result_does_not_depend_on_the_order_of_lines(con) -> None:
    orders = shop()
    backwards = {order: items[::-1] for order, items in reversed(orders.items())}
    assert run(con, orders).equals(run(con, backwards))


def test_a_well_supported_pair_ranks_above_a_rare_coincidence(con) -> None:
    orders = {f"t{n}": ["tea", "cup"] for n in range(80)} | {f"x{n}": ["tea"] for n in range(120)}
    orders |= {f"c{n}": ["cup"] for n in range(20)} | {f"r{n}": ["tea", "rare"] for n in range(3)}
    orders |= {f"z{n}": ["other"] for n in range(777)}
    table = run(con, orders, max_q=1.0)
    lift = {row["also_item_id"]: row["lift"] for row in table.to_pylist() if row["item_id"] == "tea"}
    assert lift["rare"] > lift["cup"] > 1
    assert companions(table, "tea") == ["cup", "rare"]


def test_large_orders_pair_nothing_and_count_nowhere(con) -> None:
    orders = {f"o{n}": ["a", "b"] for n in range(3)} | {f"z{n}": ["z"] for n in range(3)}
    wholesale = {f"w{n}": ["a", "c", *(f"bulk{i}" for i in range(9))] for n in range(5)}
    assert run(con, orders | wholesale, max_basket=10).equals(run(con, orders))
    assert "c" in companions(run(con, orders | wholesale, max_basket=11, max_q=1.0), "a")


def test_lists_are_cut_at_top_k_and_no_baskets_give_no_rows(con) -> None:
    table = run(con, shop(), top_k=2, max_q=1.0)
    assert max(table["rank"].to_pylist()) == 2
    assert run(con, {}).num_rows == 0


def test_pairs_of_independent_items_are_hardly_ever_called_related(con) -> None:
    """Eight shops in which nothing goes with anything: a false discovery rate of 5 % allows less than one of them."""
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        share = 1 / np.arange(1, 41)
        orders = {f"o{n}": [f"i{i:02}" for i in rng.choice(40, 3, p=share / share.sum())] for n in range(1000)}
        found.append(run(con, orders).num_rows)
    assert sum(rows > 0 for rows in found) <= 1


@pytest.mark.parametrize("together", [3, 5, 12])
def test_q_is_no_less_than_what_the_exact_test_says(con, together: int) -> None:
    """By hand: one pair of 12 buyers each in 400 orders, among 22 items: q = min(1, bound x pairs / 1)."""
    fill = {f"z{n}": [f"filler{n % 20:02}"] for n in range(400 - 24 + together)}
    orders = {f"b{n}": ["a", "b"] for n in range(together)} | fill
    orders |= {f"{item}{n}": [item] for item in "ab" for n in range(100, 112 - together)}
    assert len(orders) == 400
    row = run(con, orders, max_q=1.0).to_pylist()[0]
    exact = float(hypergeom.sf(together - 1, 400, 12, 12))
    kl = together * np.log(together * 400 / 144)
    if together < 12:
        kl += (12 - together) * np.log((12 - together) * 400 / (12 * 388))
    assert np.exp(-kl) >= exact
    assert row["q"] == pytest.approx(min(1.0, np.exp(-kl) * 22 * 21 / 2), abs=2e-6)


def test_complements_are_told_from_products_that_are_alike(con) -> None:
    orders = {f"o{n}": ["dress", "shoes", "other dress", "mystery"] for n in range(20)}
    orders |= {f"z{n}": ["z"] for n in range(200)}
    kinds = {"dress": "dresses", "other dress": "dresses", "shoes": "shoes", "mystery": None, "z": "z"}
    items = ibis.memtable(pa.table({"item_id": list(kinds), "category": pa.array(list(kinds.values()), pa.string())}))
    found = {
        r["also_item_id"]: r["relation"] for r in run(con, orders, items=items).to_pylist() if r["item_id"] == "dress"
    }
    assert found == {"other dress": "alike", "shoes": "complement", "mystery": "unknown"}
