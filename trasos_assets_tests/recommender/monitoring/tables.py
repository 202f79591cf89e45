"""Events of made-up people, drawn at random or row by row, for the tests of monitoring."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
from ibis.backends.duckdb import Backend

from trasos_assets.contracts.engineering import CLEAN_EVENTS
from trasos_assets.contracts.reference import CATALOGUE_HISTORY, ITEM_CATALOGUE
from trasos_assets.contracts.science import CUSTOMER_FEATURES
from trasos_assets.recommender.monitoring import bins
from trasos_assets.recommender.monitoring.drift import Thresholds
from trasos_assets.recommender.monitoring.looks import drift_bins, judged
from trasos_assets.recommender.monitoring.windows import Serving, Windows
from trasos_assets_tests.conftest import make_table

FIRST = date(2026, 1, 1)
CATEGORIES = ("dresses", "shoes", "bags", "coats")
ITEMS = 400


def day(number: int) -> date:
    """The day so many days after `FIRST`."""
    return FIRST + timedelta(days=number)


def event(number: int, on: int, kind: str, person: str, **more: Any) -> dict[str, Any]:
    """A clean event of one person on a day."""
    at = datetime.combine(day(on), time(10)) + timedelta(seconds=number)
    known = {"event_id": f"e{number:06}", "event_type": kind, "day": day(on), "occurred_at": at, "received_at": at}
    return known | {"visitor_id": person, "session_id": f"s-{person}-{on}"} | more


def clean_events(backend: Backend, rows: list[dict[str, Any]]) -> ibis.Table:
    """CLEAN_EVENTS with a ``person_id``: here the visitor."""
    table = make_table(backend, CLEAN_EVENTS, rows)
    return table.mutate(person_id=table.visitor_id)


def catalogue(backend: Backend) -> ibis.Table:
    """`ITEMS` products in turn of each category, priced 1 to 400."""
    rows = [
        {
            "item_id": f"i{n:04}",
            "kind": "product",
            "category": CATEGORIES[n % len(CATEGORIES)],
            "price": Decimal(n + 1),
            "available": True,
            "as_of": FIRST,
        }
        for n in range(ITEMS)
    ]
    return make_table(backend, ITEM_CATALOGUE, rows)


def history(backend: Backend, rows: list[tuple[str, int, int, dict[str, Any]]]) -> ibis.Table:
    """CATALOGUE_HISTORY of (item, first day, day of the next state, what is unlike an available product)."""
    return make_table(
        backend,
        CATALOGUE_HISTORY,
        [
            {"item_id": item, "kind": "product", "available": True, "valid_from": day(a), "valid_to": day(b)} | more
            for item, a, b, more in rows
        ],
    )


def first_seen(backend: Backend, people: dict[str, int], last: int = 60) -> ibis.Table:
    """CUSTOMER_FEATURES of people by the day on which they first came."""
    zero = {"items_viewed": 0, "items_bought": 0, "orders": 0, "net_revenue": Decimal(0), "is_customer": False}
    rows = [
        {"person_id": p, "first_seen_on": day(n), "last_seen_on": day(last), "as_of": day(last)} | zero
        for p, n in people.items()
    ]
    return make_table(backend, CUSTOMER_FEATURES, rows)


def random_acts(
    backend: Backend,
    windows: Windows,
    *,
    seed: int,
    people: int = 600,
    events: int = 6_000,
    category_shift: float = 0.0,
    price_shift: float = 0.0,
    device_shift: float = 0.0,
) -> ibis.Table:
    """What ``bins.activity`` gives, of people with their own tastes; after the reference, some of it shifts.

    A shift is the share of events that go to one category, the dearest tenth, or one device, whatever the taste.
    """
    rng = np.random.default_rng(seed)
    person = rng.integers(0, people, events)
    days = (windows.current_through - windows.reference_from).days + 1
    on = rng.integers(0, days, events)
    current = on > (windows.reference_through - windows.reference_from).days
    taste = rng.integers(0, len(CATEGORIES), people)
    category = np.where(rng.random(events) < 0.5, taste[person], rng.integers(0, len(CATEGORIES), events))
    category = np.where(current & (rng.random(events) < category_shift), 0, category)
    item = (rng.zipf(1.3, events) % (ITEMS // len(CATEGORIES))) * len(CATEGORIES) + category
    dear = ITEMS - 40 + rng.integers(0, 10, events) * len(CATEGORIES) + category
    item = np.where(current & (rng.random(events) < price_shift), dear, item)
    device = np.where(current & (rng.random(events) < device_shift), 1, person % 2)
    kind = rng.choice(["page_view", "click", "add_to_cart", "purchase"], events, p=[0.7, 0.2, 0.07, 0.03])
    start = windows.reference_from
    table = pa.table(
        {
            "day": pa.array([start + timedelta(days=int(n)) for n in on], pa.date32()),
            "person_id": [f"p{n}" for n in person],
            "session_id": [f"s{p}-{n}" for p, n in zip(person, on, strict=True)],
            "event_type": kind,
            "item_id": [f"i{n:04}" for n in item],
            "channel": pa.array([("search", "email")[n % 2] for n in person]),
            "device": [("mobile", "desktop")[n] for n in device],
            "side": np.where(current, bins.CURRENT, bins.REFERENCE),
        }
    )
    name = ibis.util.gen_name("acts")
    backend.con.register("incoming", table)
    backend.con.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')
    backend.con.unregister("incoming")
    return backend.table(name)


def judged_features(
    acts: ibis.Table, items: ibis.Table, people: ibis.Table, windows: Windows, thresholds: Thresholds | None = None
) -> dict[str, dict[str, Any]]:
    """How every feature of what people do stands, by name."""
    observed = bins.of_people(acts, items, people, windows, FIRST, made=lambda table: table.cache()).cache()
    serving = Serving("als", "v1", windows.reference_through)
    rows = drift_bins([bins.counted(observed)], serving, windows).to_pyarrow().to_pylist()
    return {row["feature"]: row for row in judged(rows, thresholds or Thresholds())}
