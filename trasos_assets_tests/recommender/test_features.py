"""Features and training data: counted by people and days, as of the watermark, services left out."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import ibis
import pytest

from trasos_assets.contracts.analytics import ORDERS
from trasos_assets.contracts.engineering import INTERACTIONS, WATERMARK
from trasos_assets.contracts.model import DATE, TEXT, Column, Contract
from trasos_assets.contracts.reference import ITEM_CATALOGUE
from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.science import CUSTOMER_FEATURES, ITEM_FEATURES, TRAINING_INTERACTIONS
from trasos_assets.lake.store import LakeStore
from trasos_assets.recommender.features import RECENT_DAYS, customer_features, item_features, training_interactions
from trasos_assets_tests.conftest import MakeTable

AS_OF = date(2026, 3, 31)
PERSON = Column("person_id", TEXT, "Who.")
WITH_PERSON = Contract(
    name="interactions_of_people",
    owner="engineering",
    description="Interactions with a person.",
    columns=(*INTERACTIONS.columns, PERSON),
    primary_key=("event_id",),
)
ACTIVITY = Contract(
    name="activity",
    owner="engineering",
    description="Events of people.",
    columns=(PERSON, Column("customer_id", TEXT, "Who.", nullable=True), Column("day", DATE, "When.")),
    primary_key=("person_id",),
)
Tables = dict[str, ibis.Table]


def act(number: int, person: str, item: str, kind: str, *, days_ago: int = 0, quantity: int = 1) -> dict[str, Any]:
    day = AS_OF - timedelta(days=days_ago)
    return {
        "day": day,
        "event_id": f"e{number}",
        "occurred_at": datetime(day.year, day.month, day.day, 12),
        "item_id": item,
        "interaction_type": kind,
        "quantity": quantity,
        "person_id": person,
    }


def item(name: str, **fields: Any) -> dict[str, Any]:
    return {"item_id": name, "kind": "product", "available": True, "as_of": AS_OF} | fields


@pytest.fixture
def watermark(table: MakeTable) -> ibis.Table:
    return table(WATERMARK, [{"first_day": date(2026, 1, 1), "data_through": AS_OF}])


def published(store: LakeStore, contract: Contract, made: ibis.Table) -> dict[Any, dict[str, Any]]:
    """Rows by the first column of the primary key, once the table was written and found to keep its contract."""
    store.write(contract, made)
    read = store.read(contract)
    assert violations(contract, read) == []
    return {row[contract.primary_key[0]]: row for row in read.to_pyarrow().to_pylist()}


def test_training_data_counts_views_carts_and_purchases_by_person_product_and_day(
    table: MakeTable, store: LakeStore
) -> None:
    acts = [
        act(1, "p1", "a", "page_view"),
        act(2, "p1", "a", "click"),
        act(3, "p1", "a", "add_to_cart"),
        act(4, "p1", "a", "purchase", quantity=9),
        act(5, "p1", "a", "page_view", days_ago=1),
        act(6, "p2", "unknown", "purchase"),
        act(7, "p2", "postage", "purchase"),
        act(8, "p3", "a", "remove_from_cart"),
        act(9, "p3", "a", "cancellation"),
    ]
    catalogue = table(ITEM_CATALOGUE, [item("a"), item("postage", kind="service")])
    store.write(TRAINING_INTERACTIONS, training_interactions(table(WITH_PERSON, acts), catalogue))
    read = store.read(TRAINING_INTERACTIONS)
    assert violations(TRAINING_INTERACTIONS, read) == []
    found = [tuple(row.values()) for row in read.to_pyarrow().to_pylist()]
    assert sorted(found) == [
        ("p1", "a", AS_OF - timedelta(days=1), 1, 0, 0),
        ("p1", "a", AS_OF, 2, 1, 1),
        ("p2", "unknown", AS_OF, 0, 0, 1),
    ]


def test_items_of_the_catalogue_and_items_that_somebody_touched_have_features(
    table: MakeTable, store: LakeStore, watermark: ibis.Table
) -> None:
    acts = [
        act(1, "p1", "a", "page_view"),
        act(2, "p1", "a", "click"),
        act(3, "p2", "a", "page_view"),
        act(4, "p1", "a", "purchase", days_ago=RECENT_DAYS, quantity=2),
        act(5, "p2", "a", "purchase", days_ago=RECENT_DAYS - 1, quantity=3),
        act(6, "p2", "a", "purchase", days_ago=RECENT_DAYS + 9),
        act(7, "p1", "unknown", "add_to_cart"),
    ]
    catalogue = table(
        ITEM_CATALOGUE,
        [item("a", price=Decimal("5"), category="x"), item("never"), item("postage", kind="service")],
    )
    found = published(store, ITEM_FEATURES, item_features(table(WITH_PERSON, acts), catalogue, watermark))
    assert set(found) == {"a", "never", "postage", "unknown"}
    assert found["a"] == {
        "item_id": "a",
        "kind": "product",
        "category": "x",
        "brand": None,
        "price": Decimal("5.0000"),
        "available": True,
        "viewers": 2,
        "buyers": 2,
        "quantity_bought": 6,
        "recent_buyers": 1,
        "last_bought_on": AS_OF - timedelta(days=RECENT_DAYS - 1),
        "as_of": AS_OF,
    }
    assert (found["never"]["buyers"], found["never"]["last_bought_on"]) == (0, None)
    assert found["postage"]["kind"] == "service"
    assert (found["unknown"]["kind"], found["unknown"]["available"], found["unknown"]["price"]) == (
        "product",
        True,
        None,
    )


@pytest.mark.parametrize(
    ("fields", "available"),
    [
        ({}, True),
        ({"stock": 1}, True),
        ({"stock": 0}, False),
        ({"available": False}, False),
        ({"available": False, "stock": 9}, False),
    ],
    ids=str,
)
def test_an_item_can_be_bought_if_it_is_offered_and_not_out_of_stock(
    table: MakeTable, store: LakeStore, watermark: ibis.Table, fields: dict[str, Any], available: bool
) -> None:
    made = item_features(table(WITH_PERSON, []), table(ITEM_CATALOGUE, [item("a", **fields)]), watermark)
    assert published(store, ITEM_FEATURES, made)["a"]["available"] is available


def order(number: int, person: str, net: str, *, days_ago: int, valid: bool = True) -> dict[str, Any]:
    return {
        "order_id": f"o{number}",
        "person_id": person,
        "day": AS_OF - timedelta(days=days_ago),
        "net": Decimal(net),
        "is_valid": valid,
    }


def test_people_have_activity_orders_value_and_recency(
    table: MakeTable, store: LakeStore, watermark: ibis.Table
) -> None:
    def seen(person: str, customer: str | None, days_ago: int) -> dict[str, Any]:
        return {"person_id": person, "customer_id": customer, "day": AS_OF - timedelta(days=days_ago)}

    activity = table(ACTIVITY, [seen("c1", None, 9), seen("c1", "c1", 2), seen("v2", None, 0), seen("c3", "c3", 5)])
    acts = [
        act(1, "c1", "a", "page_view"),
        act(2, "c1", "a", "click"),
        act(3, "c1", "b", "page_view"),
        act(4, "c1", "b", "purchase"),
        act(5, "c1", "b", "purchase"),
    ]
    orders = table(
        ORDERS,
        [
            order(1, "c1", "10.25", days_ago=4),
            order(2, "c1", "20.5", days_ago=2),
            order(3, "c1", "-5", days_ago=1, valid=False),
            order(4, "c3", "-7", days_ago=0, valid=False),
        ],
    )
    found = published(
        store, CUSTOMER_FEATURES, customer_features(activity, table(WITH_PERSON, acts), orders, watermark)
    )
    assert set(found) == {"c1", "v2", "c3"}
    assert found["c1"] == {
        "person_id": "c1",
        "is_customer": True,
        "first_seen_on": AS_OF - timedelta(days=9),
        "last_seen_on": AS_OF - timedelta(days=2),
        "items_viewed": 2,
        "items_bought": 1,
        "orders": 2,
        "net_revenue": Decimal("25.7500"),
        "days_since_last_order": 2,
        "as_of": AS_OF,
    }
    stranger = found["v2"]
    assert stranger["is_customer"] is False
    assert (stranger["items_viewed"], stranger["orders"], stranger["net_revenue"]) == (0, 0, Decimal("0.0000"))
    assert stranger["days_since_last_order"] is None
    assert (found["c3"]["orders"], found["c3"]["net_revenue"]) == (0, Decimal("-7.0000"))
    assert found["c3"]["days_since_last_order"] is None


def test_nothing_gives_empty_features(table: MakeTable, store: LakeStore) -> None:
    empty: Tables = {
        "acts": table(WITH_PERSON, []),
        "catalogue": table(ITEM_CATALOGUE, []),
        "watermark": table(WATERMARK, []),
        "orders": table(ORDERS, []),
        "activity": table(ACTIVITY, []),
    }
    assert published(store, TRAINING_INTERACTIONS, training_interactions(empty["acts"], empty["catalogue"])) == {}
    assert published(store, ITEM_FEATURES, item_features(empty["acts"], empty["catalogue"], empty["watermark"])) == {}
    made = customer_features(empty["activity"], empty["acts"], empty["orders"], empty["watermark"])
    assert published(store, CUSTOMER_FEATURES, made) == {}
