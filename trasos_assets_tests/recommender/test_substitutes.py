from collections.abc import Iterator
from datetime import date

import ibis
import numpy as np
import pyarrow as pa
import pytest

from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.serving import SUBSTITUTES
from trasos_assets.recommender.also_bought import also_bought
from trasos_assets.recommender.substitutes import substitutes

AS_OF = date(2026, 2, 1)
Lines = dict[str, list[str]]


@pytest.fixture(scope="module")
def con() -> Iterator[ibis.BaseBackend]:
    connection = ibis.duckdb.connect(threads=1)
    yield connection
    connection.disconnect()


def held(con: ibis.BaseBackend, name: str, lines: Lines, key: str) -> ibis.Table:
    rows = [(one, item) for one, items in lines.items() for item in items]
    table = pa.table(
        {key: pa.array([r[0] for r in rows], pa.string()), "item_id": pa.array([r[1] for r in rows], pa.string())}
    )
    return con.create_table(name, table, temp=True, overwrite=True)


def run(
    con: ibis.BaseBackend, sessions: Lines, orders: Lines, items: dict[str, tuple[str | None, float | None]], **more
):
    columns = {
        "item_id": pa.array(list(items), pa.string()),
        "category": pa.array([one[0] for one in items.values()], pa.string()),
        "price": pa.array([one[1] for one in items.values()], pa.float64()),
    }
    known = con.create_table("items", pa.table(columns), temp=True, overwrite=True)
    baskets = held(con, "baskets", orders, "order_id")
    found = substitutes(held(con, "sessions", sessions, "session_id"), baskets, known, AS_OF, **more)
    table = con.to_pyarrow(found).sort_by([("item_id", "ascending"), ("rank", "ascending")])
    return table, con.to_pyarrow(also_bought(baskets, AS_OF))


def shop(seed: int = 1) -> tuple[Lines, Lines, dict[str, tuple[str | None, float | None]]]:
    """Groups of three dresses that people compare and buy one of; a belt goes with the first of each group."""
    rng = np.random.default_rng(seed)
    sessions: Lines = {}
    orders: Lines = {}
    for n in range(1200):
        group = rng.integers(8)
        seen = [f"dress{group}{which}" for which in rng.permutation(3)[: rng.integers(2, 4)]]
        sessions[f"s{n}"] = [*seen, f"belt{group}"]
        bought = seen[0]
        orders[f"o{n}"] = [bought, f"belt{group}"] if bought.endswith("0") else [bought]
    items: dict[str, tuple[str | None, float | None]] = {
        f"dress{group}{which}": ("dresses", 20.0 + 100 * group + which) for group in range(8) for which in range(3)
    }
    return sessions, orders, items | {f"belt{group}": ("belts", 10.0) for group in range(8)}


def test_what_is_compared_is_a_substitute_and_what_is_bought_together_is_not(con) -> None:
    table, pairs = run(con, *shop())
    assert violations(SUBSTITUTES, ibis.memtable(table)) == []
    rows = table.to_pylist()
    for group in range(8):
        for which in range(3):
            viewed = [
                row["substitute_item_id"]
                for row in rows
                if row["item_id"] == f"dress{group}{which}" and row["source"] == "viewed_together"
            ]
            assert set(viewed) == {f"dress{group}{other}" for other in range(3) if other != which}
    assert {(row["item_id"], row["also_item_id"]) for row in pairs.to_pylist()} >= {("dress00", "belt0")}
    assert not {row["substitute_item_id"] for row in rows if row["item_id"].startswith("dress")} & {"belt0", "belt1"}


def test_a_pair_of_one_kind_that_is_bought_together_is_no_substitute(con) -> None:
    sessions = {f"s{n}": ["cup", "saucer"] for n in range(30)} | {f"t{n}": ["cup", "mug"] for n in range(30)}
    sessions |= {f"z{n}": ["jug"] for n in range(300)}
    orders = {f"o{n}": ["cup", "saucer"] for n in range(30)} | {f"z{n}": ["jug"] for n in range(300)}
    items = {name: ("dishes", price) for name, price in (("cup", 5.0), ("saucer", 5.0), ("mug", 6.0), ("jug", 50.0))}
    table, _ = run(con, sessions, orders, items)
    found = [(r["substitute_item_id"], r["source"]) for r in table.to_pylist() if r["item_id"] == "cup"]
    assert found == [("mug", "viewed_together")]


def test_without_sessions_the_nearest_in_price_of_the_category_stand_in(con) -> None:
    prices = {"a": 10.0, "b": 10.5, "c": 14.0, "d": 15.1, "e": 9.0}
    items: dict[str, tuple[str | None, float | None]] = {name: ("hats", price) for name, price in prices.items()}
    items |= {"f": ("bags", 10.0), "g": (None, 10.0), "h": ("hats", None)}
    table, _ = run(con, {}, {}, items, top_k=3)
    found = {name: [r["substitute_item_id"] for r in table.to_pylist() if r["item_id"] == name] for name in items}
    # By times the price: b 1.05, e 1.11, c 1.4; d is 1.51 times as dear.
    assert found["a"] == ["b", "e", "c"] and found["d"] == ["c", "b"]
    assert found["f"] == found["g"] == found["h"] == []
    assert set(table["source"].to_pylist()) == {"same_kind"}


def test_lists_are_cut_at_top_k_and_nothing_gives_nothing(con) -> None:
    table, _ = run(con, *shop(), top_k=2)
    assert max(table["rank"].to_pylist()) == 2
    assert run(con, {}, {}, {})[0].num_rows == 0
