"""A small lake with every table filled, and people planted in it who are hard to sample and hard to hide."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import DAY
from trasos_assets.contracts.models import (
    ALS_MODEL,
    CANDIDATE,
    CHAMPION,
    CHAMPION_MODEL,
    DEFINITION_OF_DONE,
    EVALUATIONS,
    LEADERBOARD,
)
from trasos_assets.contracts.serving import ALSO_BOUGHT, RECOMMENDATIONS, SIMILAR_ITEMS, SUBSTITUTES
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
from trasos_assets.samples.rules import LEFT_OUT
from trasos_assets.samples.selection import Reader
from trasos_assets.settings import Settings
from trasos_assets_tests.conftest import make_table
from trasos_assets_tests.pipeline import run_without_dagster

FIRST = date(2026, 1, 5)
DAYS, VISITORS = 4, 120
SECRET = "a secret of thirty-two characters"
MAIL, STREET = "anna@example.org", "12 Hidden Lane"
SHARED_ORDER = "order-of-two-people"
BESIDE = "i10399"
BUYER, HELPER = "planted-buyer", "planted-helper"
BROWSER, ACCOUNT, SECOND_ACCOUNT = "planted-browser", "planted-account", "planted-second-account"


@dataclass(frozen=True)
class Shop:
    """A lake, the settings that it was built with, and a reader of it that computes each table once."""

    store: LakeStore
    settings: Settings
    whole: Reader


def _event(number: int, event_type: str, hour: int, **fields: Any) -> dict[str, Any]:
    at = f"{FIRST}T{hour:02d}:00:00Z"
    return {
        "event_id": f"planted-event-{number}",
        "event_type": event_type,
        "occurred_at": at,
        "received_at": at,
        **fields,
    }


def _line(number: int, order: str, hour: int, **fields: Any) -> dict[str, Any]:
    bought = {"item_id": "i10001", "quantity": 1, "unit_price": 5.0, "currency": "GBP", "order_id": order}
    return _event(number, "purchase", hour, **bought, **fields)


PLANTED: list[Any] = [
    # An order whose second line another person paid for, and a confirmation page that shows its number.
    _line(1, SHARED_ORDER, 9, visitor_id=BUYER),
    _line(2, SHARED_ORDER, 10, visitor_id=HELPER),
    _event(3, "page_view", 11, visitor_id=HELPER, order_id=SHARED_ORDER, item_id="i10002"),
    # One browser, two accounts: what came before the first login is the first one's.
    _event(4, "page_view", 8, visitor_id=BROWSER, item_id="i10003"),
    _event(5, "login", 9, visitor_id=BROWSER, customer_id=ACCOUNT),
    _event(6, "page_view", 10, visitor_id=BROWSER, item_id="i10004"),
    _event(7, "login", 12, visitor_id=BROWSER, customer_id=SECOND_ACCOUNT),
    _event(8, "page_view", 13, visitor_id=BROWSER, item_id="i10005"),
    # Refused lines that hold personal data where none belong.
    _event(9, MAIL, 9, visitor_id=BUYER, device=STREET, channel=MAIL, item_id=MAIL),
    _event(10, "page_view", 9, visitor_id=BUYER, nickname=MAIL, quantity=-1, campaign=STREET),
    # An accepted one with fields that nobody knows.
    _event(11, "page_view", 9, visitor_id=BUYER, nickname=MAIL, user_agent=f"Mozilla of {STREET}"),
]
BROKEN = [f"{{broken line {number} of {MAIL}" for number in range(60)]


def build_shop(folder: Path) -> Shop:
    """Simulate, plant, and build every table; the model's tables are simple ones with all people and items in them."""
    settings = Settings(data_dir=folder, sample_key=SECRET)  # pyright: ignore[reportArgumentType, reportCallIssue]
    config = SimulationConfig(days=DAYS, visitors=VISITORS, start=FIRST, seed=3, dirt=Dirt.preset("heavy"))
    simulate(config, settings.landing_dir)
    lines = [json.dumps(event) for event in PLANTED] + BROKEN
    (settings.landing_dir / "events" / f"dt={FIRST}" / "planted.jsonl").write_text("\n".join(lines) + "\n")
    (settings.landing_dir / "catalogue" / f"dt={FIRST}" / "planted.jsonl").write_text(
        "\n".join(f'{{"item_id": "{MAIL}", "kind": "{STREET}", "name": "{MAIL} {n}"}}' for n in range(40)) + "\n"
    )
    tables = run_without_dagster(settings.landing_dir, settings)
    backend: Any = tables["clean_events"].get_backend()
    tables |= _models(tables, backend)
    tables["landing_ledger"] = _ledger(tables, backend)
    store = LakeStore(settings.lake_dir, backend)
    for name, table in tables.items():
        contract = CONTRACTS[name]
        rows = table.select(*contract.column_names)
        days = sorted(rows.select(DAY).distinct().to_pyarrow()[DAY].to_pylist()) if contract.partitioned else None
        store.write(contract, rows, days)
    return Shop(store, settings, store.read)


_JUDGED = {"model": "als", "parameters": "{}", "target": "new_items", "segment": "light", "fold": 1, "k": 10}
_JUDGED |= {"train_through": FIRST, "test_through": date(2026, 1, 8), "source_through": FIRST}
_JUDGED |= {"truth_from": date(2026, 1, 6)}
_SERVES = {"model": "als", "model_version": "model-1", "parameters": "{}", "parts": 2, "as_of": FIRST}


def _models(tables: dict[str, ibis.Table], backend: Any) -> dict[str, ibis.Table]:
    people, items = tables["customer_features"], tables["item_features"]
    known = {"model_version": ibis.literal("model-1"), "as_of": ibis.literal(FIRST)}
    ranked = items.mutate(place=ibis.row_number().over(order_by=[ibis.desc(items.viewers), items.item_id]))
    best = ranked.filter(ranked.place < 3).select("item_id", rank=(ranked.place + 1).cast("int32"))
    trained = tables["training_interactions"]
    touched = trained.group_by("person_id").agg(because_item_id=trained.item_id.min())
    lists = people.select("person_id").cross_join(best).left_join(touched, "person_id").drop("person_id_right")
    factors = ibis.array([0.5, 0.25]).cast("array<float32>")
    sides = ibis.union(
        people.select(side=ibis.literal("person"), id="person_id"),
        items.select(side=ibis.literal("item"), id="item_id"),
    )
    made = {
        RECOMMENDATIONS: lists.mutate(
            score=1.0 / lists.rank,
            source=ibis.literal("model"),
            reason=ibis.ifelse(lists.because_item_id.isnull(), "popular_now", "because_viewed"),
            **known,
        ),
        ALS_MODEL: sides.mutate(factors=factors, model_version=ibis.literal("model-1")),
        EVALUATIONS: people.select("person_id").mutate(
            **{
                name: ibis.literal(_JUDGED.get(name, 0), type=kind)
                for name, kind in EVALUATIONS.types.items()
                if name != "person_id"
            }
        ),
        CHAMPION_MODEL: sides.mutate(
            factors=factors, payload=ibis.null("string"), model_version=ibis.literal("model-1")
        ),
    }
    rows = {
        CANDIDATE: [
            {**_SERVES, "als_version": "model-1", "parts_hash": "0", "rows": 1, "source_hash": "0", "code_version": "0"}
            | {"first_day": FIRST, "last_day": FIRST}
        ],
        DEFINITION_OF_DONE: [
            {"criterion": "serves_new_people", "owner": "science", "passed": True, "judged": True, "reason": "planted"}
            | {"must": "It must.", "model": "als", "model_version": "model-1", "as_of": FIRST}
        ],
        CHAMPION: [{**_SERVES, "sequence": 1, "action": "promoted", "reason": "planted"}],
        LEADERBOARD: [
            {"model": "als", "target": "new_items", "metric": "ndcg", "k": 10, "value": 0.5, "people": 10}
            | {"fold": "mean", "segment": "all", "low": 0.4, "high": 0.6, "truth_share": 1.0}
            | {"train_through": FIRST, "test_through": date(2026, 1, 8)}
            | {"source_through": FIRST, "truth_from": date(2026, 1, 2)}
        ],
        ALSO_BOUGHT: [
            {"item_id": one, "rank": 1, "also_item_id": BESIDE, "orders_together": 3, "item_orders": 4}
            | {"also_orders": 5, "lift": 2.0, "relation": "unknown", "q": 0.01, "as_of": FIRST}
            for one in ("i10001", "i10398")
        ],
        SIMILAR_ITEMS: [
            {"item_id": one, "rank": rank, "similar_item_id": other, "score": 0.5, "model_version": "m"}
            | {"as_of": FIRST}
            for one, rank, other in _neighbours()
        ],
        SUBSTITUTES: [
            {"item_id": one, "rank": rank, "substitute_item_id": other, "source": "same_kind", "as_of": FIRST}
            | {"sessions_together": None, "lift": None, "q": None}
            for one, rank, other in _neighbours()
        ],
    }
    return {c.name: t.select(*c.column_names) for c, t in made.items()} | {
        c.name: make_table(backend, c, some) for c, some in rows.items()
    }


def _neighbours() -> list[tuple[str, int, str]]:
    """Every one of some items with every other, and its place among them."""
    items = [f"i{10_000 + number}" for number in range(40)]
    return [(one, rank, other) for one in items for rank, other in enumerate((i for i in items if i != one), start=1)]


def _ledger(tables: dict[str, ibis.Table], backend: Any) -> ibis.Table:
    found = [
        {"delivery": row["file_hash"], "dataset": name.removeprefix("raw_"), "path": row["file_hash"], "size": 1}
        | {"signature": "", "state": "accepted", "first_seen_at": datetime(2026, 1, 5)}
        for name in ("raw_events", "raw_catalogue", "raw_marketing_spend", "raw_assignments")
        for row in tables[name].select("file_hash").distinct().to_pyarrow().to_pylist()
    ]
    return make_table(backend, CONTRACTS["landing_ledger"], found)


SAMPLED = [name for name in CONTRACTS if name not in LEFT_OUT]
