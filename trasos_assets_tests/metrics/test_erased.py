"""A KPI of those who are left and of what the forgotten had added is the KPI of all, whoever was forgotten."""

from decimal import Decimal
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ibis import Table

from trasos_assets.contracts.erasure import ERASED_TOTALS
from trasos_assets.metrics import acquisition, funnel, kpis, retention, returns
from trasos_assets.metrics.erased import Cells
from trasos_assets_tests.metrics.tables import Shop, cancellation, purchase, result, seen

FIRST, LAST = "2026-01-01", "2026-03-31"
DAYS = ("2026-01-05", "2026-01-19", "2026-02-03", "2026-03-02")
Rows = list[dict[str, Any]]


def kept(shop: Shop, parts: list[tuple[Cells, Table, Table]]) -> Table:
    """``erased_totals`` of the difference of cells before and after."""
    told = [
        (sign, row)
        for shape, before, after in parts
        for sign, cells in ((1, before), (-1, after))
        for row in shape.told(cells).to_pyarrow().to_pylist()
    ]
    sums: dict[tuple[Any, ...], Decimal] = {}
    keys = ("metric", "period", "label", "value", "number", "measure")
    for sign, row in told:
        key = tuple(row[name] for name in keys)
        sums[key] = sums.get(key, Decimal(0)) + sign * row["amount"]
    rows = [dict(zip(keys, key, strict=True)) | {"amount": s, "erasure": ""} for key, s in sums.items() if s]
    return shop.table(ERASED_TOTALS, rows)


def kpis_of(shop: Shop, rows: Rows, totals: Table | None) -> dict[str, list[dict[str, Any]]]:
    events, orders, watermark = shop.events(rows), shop.orders(rows), shop.watermark(FIRST, LAST)
    spend = shop.spend([(DAYS[0], "search", "50"), (DAYS[2], "social", "20")])
    made = {
        "daily_kpis": kpis.daily_kpis(events, orders, watermark, totals),
        "conversion_funnel": funnel.conversion_funnel(events, watermark, totals),
        "retention_cohorts": retention.retention_cohorts(orders, watermark, totals),
        "time_to_return": returns.time_to_return(orders, watermark, totals),
        "acquisition_cost": acquisition.acquisition_cost(orders, spend, watermark, totals),
    }
    return {name: result(name, table) for name, table in made.items()}


def cells_of(shop: Shop, rows: Rows) -> list[tuple[Cells, Table]]:
    events, orders, watermark = shop.events(rows), shop.orders(rows), shop.watermark(FIRST, LAST)
    return [
        (kpis.CELLS, kpis.day_cells(events, orders)),
        (funnel.CELLS, funnel.funnel_cells(events)),
        (retention.CELLS, retention.cohort_cells(orders, watermark)),
        (returns.CELLS, returns.return_cells(orders, watermark)),
        (acquisition.CELLS, acquisition.won_cells(orders)),
    ]


def totals_of(shop: Shop, rows: Rows, left: Rows) -> Table:
    both = zip(cells_of(shop, rows), cells_of(shop, left), strict=True)
    return kept(shop, [(shape, before, after) for (shape, before), (_, after) in both])


def acts(who: str, day: str, number: int, channel: str | None, *, cancelled: bool) -> Rows:
    order, about = f"o{number}", {"session_id": f"s{number}", "channel": channel, "device": "app"}
    rows = [
        seen(f"{day}T09:00", who, item_id="shirt", **about),
        seen(f"{day}T09:01", who, "add_to_cart", item_id="shirt", **about),
        seen(f"{day}T09:02", who, "checkout", **about),
        purchase(f"{day}T09:03", order, who, "12.3456", 3, **about),
    ]
    return [*rows, cancellation(f"{day}T10:00", order, who, "12.3456", 3)] if cancelled else rows


visits = st.lists(
    st.tuples(
        st.sampled_from(["ada", "bob", "cat"]),
        st.sampled_from(DAYS),
        st.sampled_from(["search", None]),
        st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=4, deadline=None)
@given(visits=visits, forgotten=st.sets(st.sampled_from(["ada", "bob", "cat"]), min_size=1))
def test_kpis_stay_what_they_were_whoever_is_forgotten(
    visits: list[tuple[str, str, str | None, bool]], forgotten: set[str]
) -> None:
    shop = Shop()
    rows = [
        {**row, "event_id": f"{n}-{m}"}
        for n, (who, day, channel, cancelled) in enumerate(visits)
        for m, row in enumerate(acts(who, day, n, channel, cancelled=cancelled))
    ]
    left = [row for row in rows if row["customer_id"] not in forgotten]
    assert kpis_of(shop, left, totals_of(shop, rows, left)) == kpis_of(shop, rows, None)


def test_who_was_forgotten_is_in_no_month_that_began_after_it() -> None:
    shop = Shop()
    rows = [purchase("2026-01-05T10:00", "o1", "ada"), purchase("2026-01-06T10:00", "o2", "bob")]
    then = shop.watermark(FIRST, "2026-02-10")
    before, after = (retention.cohort_cells(shop.orders(some), then) for some in (rows, rows[1:]))
    totals = kept(shop, [(retention.CELLS, before, after)])
    now = shop.watermark(FIRST, "2026-04-30")
    table = result("retention_cohorts", retention.retention_cohorts(shop.orders(rows[1:]), now, totals))
    assert [row["customers"] for row in table] == [2, 2, 1, 1]
    assert [row["returned"] for row in table] == [2, 0, 0, 0]


def test_a_shape_tells_each_measure_once_and_reads_it_back_with_its_types() -> None:
    shape = Cells("m", {"week": "period", "channel": "label"}, ("n", "amount"))
    rows = {
        "week": pa.array(["2026-01-05", "2026-01-12"]).cast(pa.date32()),
        "channel": ["a", "b"],
        "n": [2, 0],
        "amount": pa.array([Decimal("1.5"), Decimal("-2")], pa.decimal128(18, 4)),
    }
    cells = ibis.memtable(pa.table(rows))
    told = shape.told(cells)
    assert told.count().to_pyarrow().as_py() == 3, "zeros are left out"
    back = shape.erased(told.mutate(erasure=ibis.literal("")), cells)
    assert back.schema() == cells.schema()
    assert back.order_by("week").to_pyarrow().to_pylist() == cells.order_by("week").to_pyarrow().to_pylist()


@pytest.mark.parametrize("totals", [None, []])
def test_where_nobody_was_forgotten_nothing_is_added(totals: list[Any] | None) -> None:
    shop = Shop()
    rows = acts("ada", DAYS[0], 1, None, cancelled=False)
    rows = [{**row, "event_id": str(n)} for n, row in enumerate(rows)]
    empty = None if totals is None else shop.table(ERASED_TOTALS, totals)
    assert kpis_of(shop, rows, empty) == kpis_of(shop, rows, None)
