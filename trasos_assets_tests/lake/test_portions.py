"""A run over many days is cut into portions that hold every day once, in order, and see the days they are made of."""

from __future__ import annotations

from datetime import date, timedelta

import ibis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import EVENT_KEYS
from trasos_assets.lake.days import window
from trasos_assets.lake.portions import near, portions_of
from trasos_assets.lake.store import LakeStore
from trasos_assets_tests.conftest import MakeTable

FIRST = date(2026, 1, 1)


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=number) for number in range(count)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(weights=st.lists(st.integers(0, 20), min_size=1, max_size=30), limit=st.integers(1, 40))
def test_every_day_is_in_one_portion_in_order_and_none_is_over_the_limit_unless_it_is_one_day(
    weights: list[int], limit: int, store: LakeStore
) -> None:
    of_day = dict(zip(days(len(weights)), weights, strict=True))
    portions = portions_of(store, list(of_day), {}, weigh=lambda _, wanted: of_day, limit=limit)
    assert [day for portion in portions for day in portion or ()] == list(of_day)
    heaviest = [sum(of_day[day] for day in portion or ()) for portion in portions]
    assert all(weight <= limit or len(portion or ()) == 1 for weight, portion in zip(heaviest, portions, strict=True))
    joined = [a + b for a, b in zip(heaviest, [of_day[p[0]] for p in portions[1:] if p], strict=False)]
    assert all(weight > limit for weight in joined), "a portion ended although the next day had room"


def test_a_day_weighs_the_most_rows_that_an_input_has_of_it(store: LakeStore, table: MakeTable) -> None:
    rows = [{"day": day, "file_hash": "f", "line": n} for day in days(3) for n in range(2)]
    store.write(EVENT_KEYS, table(EVENT_KEYS, rows), days(3))
    inputs = {"event_keys": store.read(EVENT_KEYS)}
    assert portions_of(store, days(4), inputs, weigh=None, limit=4) == [days(4)[:2], days(4)[2:]]


def test_a_table_without_partitions_is_one_portion(store: LakeStore) -> None:
    assert portions_of(store, None, {}, weigh=None, limit=1) == [None]


def test_a_portion_sees_the_days_around_it_that_its_mapping_names(table: MakeTable) -> None:
    keys = table(EVENT_KEYS, [{"day": day, "file_hash": "f", "line": 1} for day in days(9)])

    def seen(mapped: dict) -> list[date]:
        found: ibis.Table = near({"event_keys": keys}, days(9)[4:6], mapped)["event_keys"]
        return sorted(found.to_pyarrow()["day"].to_pylist())

    assert seen({}) == days(9)[4:6]
    assert seen({"event_keys": window(before=1, after=2)}) == days(9)[3:8]
