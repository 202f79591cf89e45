"""Small tables of the contract training_interactions, and hypothesis strategies for them."""

from collections.abc import Iterable
from datetime import date, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

FIRST_DAY = date(2026, 1, 1)
SCHEMA = pa.schema(
    [
        ("person_id", pa.string()),
        ("item_id", pa.string()),
        ("day", pa.date32()),
        ("views", pa.int32()),
        ("carts", pa.int32()),
        ("purchases", pa.int32()),
    ]
)
Row = tuple[str, str, int, int, int, int]

rows_strategy = st.lists(
    st.tuples(
        st.sampled_from([f"p{n}" for n in range(8)]),
        st.sampled_from([f"i{n}" for n in range(8)]),
        st.integers(0, 9),
        st.integers(0, 3),
        st.integers(0, 2),
        st.integers(0, 2),
    ).filter(lambda row: sum(row[3:]) > 0),
    max_size=60,
    unique_by=lambda row: row[:3],
)


def interactions(rows: Iterable[Row]) -> pa.Table:
    """Rows of (person, item, days after FIRST_DAY, views, carts, purchases)."""
    columns = list(zip(*rows, strict=True)) or [()] * 6
    days = [FIRST_DAY + timedelta(days=n) for n in columns[2]]
    return pa.table([*columns[:2], days, *columns[3:]], schema=SCHEMA)


def purchases(rows: Iterable[tuple[str, str, int]]) -> pa.Table:
    return interactions((person, item, day, 0, 0, 1) for person, item, day in rows)


def pairs(rows: Iterable[tuple[str, str]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), ()]
    return pa.table({"person_id": pa.array(columns[0], pa.string()), "item_id": pa.array(columns[1], pa.string())})


def two_tastes(people: int = 60, items: int = 24, days: int = 20, seed: int = 0) -> pa.Table:
    """Even people buy even items, odd people odd ones, several each: what any model of tastes must find."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), 8)
    item = rng.integers(0, items // 2, len(person)) * 2 + person % 2
    day = rng.integers(0, days, len(person))
    cells = sorted(set(zip(person.tolist(), item.tolist(), day.tolist(), strict=True)))
    return purchases((f"p{p:03}", f"i{i:03}", d) for p, i, d in cells)
