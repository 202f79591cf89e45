"""The ledger of storage over made-up days: nothing twice, what ran late is added, money by the prices."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.storage import STORAGE_LEDGER
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings
from trasos_assets.storage.ledger import (
    LOG_DAYS,
    SCHEMA,
    Measured,
    compute_since,
    held_ledger,
    measure,
    name_of_step,
    next_ledger,
)
from trasos_assets.storage.sizes import Size
from trasos_assets_tests.conftest import Backend

TODAY = date(2026, 6, 30)
ORDERS, PAGE = ("table", "orders"), ("place", "reports")
Computed = dict[tuple[date, str], Decimal]


def measured(size: int) -> Measured:
    return Measured({ORDERS: Size(size, 2, 10), PAGE: Size(100, 1)}, {ORDERS: "analytics", PAGE: "analytics"})


def after(held: pa.Table, day: date, size: int, settings: Settings, computed: Computed | None = None) -> pa.Table:
    since = compute_since(held, day)
    return next_ledger(held, measured(size), computed or {}, since=since, today=day, settings=settings)


def of(ledger: pa.Table, day: date, name: str = "orders") -> dict[str, Any]:
    (row,) = [row for row in ledger.to_pylist() if (row["as_of"], row["name"]) == (day, name)]
    return row


def empty() -> pa.Table:
    return SCHEMA.empty_table()


def test_a_row_says_what_was_measured_and_what_it_costs(settings: Settings) -> None:
    priced = settings.model_copy(
        update={"price_gb_month": Decimal("0.02"), "price_compute_hour": Decimal(36), "currency": "EUR"}
    )
    computed = {(TODAY, "orders"): Decimal("1.5"), (TODAY, "orders_orders_reconcile_with_lines"): Decimal("0.5")}
    row = of(after(empty(), TODAY, 5_000_000_000, priced, computed), TODAY)
    assert row == {
        "as_of": TODAY,
        "kind": "table",
        "name": "orders",
        "owner": "analytics",
        "bytes": 5_000_000_000,
        "files": 2,
        "rows": 10,
        "compute_seconds": Decimal(2),
        "growth_7d": None,
        "growth_28d": None,
        "forecast_bytes": None,
        "storage_cost": Decimal("0.1"),
        "forecast_cost": None,
        "compute_cost": Decimal("0.02"),
        "currency": "EUR",
    }


def test_measuring_twice_a_day_replaces_the_days_rows(settings: Settings) -> None:
    computed = {(TODAY, "orders"): Decimal(3)}
    once = after(empty(), TODAY, 500, settings, computed)
    twice = after(once, TODAY, 700, settings, computed)
    assert twice.num_rows == once.num_rows == 2
    assert (of(twice, TODAY)["bytes"], of(twice, TODAY)["compute_seconds"]) == (700, 3)


def test_growth_is_found_in_a_made_up_history(settings: Settings) -> None:
    ledger = empty()
    for number in range(29):
        ledger = after(ledger, TODAY - timedelta(days=28 - number), 1_000 + 40 * number, settings)
    row = of(ledger, TODAY)
    assert (row["growth_7d"], row["growth_28d"]) == (40, 40)
    assert row["forecast_bytes"] == 1_000 + 40 * 28 + 40 * 90
    week = of(ledger, TODAY - timedelta(days=21))
    assert (week["growth_7d"], week["growth_28d"], week["forecast_bytes"]) == (40, None, 1_000 + 40 * 7 + 40 * 90)
    assert of(ledger, TODAY - timedelta(days=28))["growth_7d"] is None
    assert of(ledger, TODAY, "reports")["growth_28d"] == 0


def test_what_ran_after_a_measurement_is_added_to_its_day(settings: Settings) -> None:
    before = TODAY - timedelta(days=1)
    morning = after(empty(), before, 500, settings, {(before, "orders"): Decimal(1)})
    whole = {(before, "orders"): Decimal(9), (TODAY, "orders"): Decimal(2)}
    ledger = after(morning, TODAY, 600, settings, whole)
    assert of(ledger, before)["compute_seconds"] == 9
    assert (of(ledger, before)["bytes"], of(ledger, TODAY)["compute_seconds"]) == (500, 2)


def test_a_day_that_computed_but_was_not_measured_has_a_row_without_bytes(settings: Settings) -> None:
    missed = TODAY - timedelta(days=1)
    first = after(empty(), TODAY - timedelta(days=2), 500, settings)
    ledger = after(first, TODAY, 600, settings, {(missed, "orders"): Decimal(4)})
    row = of(ledger, missed)
    assert (row["bytes"], row["files"], row["compute_seconds"], row["owner"]) == (None, None, 4, "analytics")


def test_days_before_the_last_measurement_are_left_as_they_are(settings: Settings) -> None:
    days = [TODAY - timedelta(days=n) for n in (5, 2, 0)]
    ledger = after(empty(), days[0], 500, settings, {(days[0], "orders"): Decimal(7)})
    ledger = after(ledger, days[1], 500, settings, {(days[0], "orders"): Decimal(8)})
    assert compute_since(ledger, TODAY) == days[1]
    ledger = after(ledger, days[2], 500, settings, {(days[0], "orders"): Decimal(99)})
    assert of(ledger, days[0])["compute_seconds"] == 8


def test_a_log_that_was_cut_takes_nothing_away(settings: Settings) -> None:
    ledger = after(empty(), TODAY, 500, settings, {(TODAY, "orders"): Decimal(7)})
    assert of(after(ledger, TODAY, 500, settings), TODAY)["compute_seconds"] == 7
    tomorrow = TODAY + timedelta(days=1)
    assert of(after(ledger, tomorrow, 500, settings), TODAY)["compute_seconds"] == 7


def test_the_first_ledger_looks_back_some_days_only() -> None:
    assert compute_since(empty(), TODAY) == TODAY - timedelta(days=LOG_DAYS)


def test_every_step_is_of_a_table_or_a_place() -> None:
    assert name_of_step("orders") == ORDERS
    assert name_of_step("kpi_dashboard") == PAGE
    assert name_of_step("warehouse_every_table_is_served") == ("place", "warehouse")
    assert name_of_step("landing_ledger_every_file_adds_up") == ("table", "landing_ledger")
    assert name_of_step("order_lines_some_check") == ("table", "order_lines")
    assert name_of_step("release_from_quarantine") == ("place", "dagster_home")


def test_a_ledger_keeps_its_contract_and_grows_from_what_is_published(
    store: LakeStore, settings: Settings, backend: Backend
) -> None:
    found = measure(store, settings)
    for day in (TODAY - timedelta(days=1), TODAY):
        held = held_ledger(store)
        computed = {(TODAY, "orders"): Decimal("0.25")}
        made = next_ledger(held, found, computed, since=compute_since(held, day), today=day, settings=settings)
        table = backend.create_table(f"ledger_{day:%d}", made)
        assert violations(STORAGE_LEDGER, table) == []
        store.write(STORAGE_LEDGER, table)
    assert set(held_ledger(store)["as_of"].to_pylist()) == {TODAY - timedelta(days=1), TODAY}
