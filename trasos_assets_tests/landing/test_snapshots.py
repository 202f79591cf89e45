"""Dated snapshots: states follow each other without gap or overlap, and the last word stands."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import RAW_ASSIGNMENTS, RAW_CATALOGUE, RAW_MARKETING_SPEND
from trasos_assets.contracts.landing import ASSIGNMENT, CATALOGUE, MARKETING_SPEND
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.reference import ASSIGNMENTS, CATALOGUE_HISTORY, ITEM_CATALOGUE, SPEND
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.snapshots import catalogue_history, first_assignments, latest_catalogue, latest_spend
from trasos_assets.trust.classify import accepted_records
from trasos_assets_tests.conftest import MakeTable, make_table, new_backend

FIRST = date(2026, 1, 1)
LASTING = date(9999, 12, 31)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def state(number: int, item: str = "i1", *, file: str = "f1", line: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "day": day(number),
        "file_hash": file,
        "line": line,
        "item_id": item,
        "kind": "product",
        "available": True,
        "price": Decimal("10"),
    } | fields


@pytest.fixture
def history(table: MakeTable, store: LakeStore) -> Any:
    """The catalogue's history as published, after its contract was checked."""

    def build(*rows: dict[str, Any]) -> list[dict[str, Any]]:
        made = catalogue_history(accepted_records(table(RAW_CATALOGUE, rows), CATALOGUE, currency="GBP"))
        store.write(CATALOGUE_HISTORY, made)
        published = store.read(CATALOGUE_HISTORY)
        assert violations(CATALOGUE_HISTORY, published) == []
        latest = latest_catalogue(published)
        store.write(ITEM_CATALOGUE, latest)
        assert violations(ITEM_CATALOGUE, store.read(ITEM_CATALOGUE)) == []
        return published.order_by("item_id", "valid_from").to_pyarrow().to_pylist()

    return build


def spans(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["item_id"], row["price"], row["valid_from"], row["valid_to"]) for row in rows]


def test_a_state_lasts_until_the_next_one(history: Any) -> None:
    rows = history(state(0), state(3, price=Decimal("8")), state(5, price=Decimal("10")))
    assert spans(rows) == [
        ("i1", Decimal("10.0000"), day(0), day(3)),
        ("i1", Decimal("8.0000"), day(3), day(5)),
        ("i1", Decimal("10.0000"), day(5), LASTING),
    ]


def test_a_snapshot_that_changes_nothing_opens_no_state(history: Any) -> None:
    assert spans(history(state(0), state(1), state(2))) == [("i1", Decimal("10.0000"), day(0), LASTING)]


def test_an_item_that_a_snapshot_does_not_name_keeps_its_state(history: Any) -> None:
    rows = history(state(0), state(0, "i2", line=2), state(1, "i2"))
    assert spans(rows)[0] == ("i1", Decimal("10.0000"), day(0), LASTING)


@pytest.mark.parametrize(
    "change",
    [{"price": None}, {"available": False}, {"stock": 0}, {"name": ""}, {"category": "x"}, {"kind": "service"}],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_any_field_opens_a_state_nulls_included(history: Any, change: dict[str, Any]) -> None:
    assert len(history(state(0), state(1, **change), state(2))) == 3


def test_values_that_moved_from_one_field_to_the_next_are_a_change(history: Any) -> None:
    assert len(history(state(0, category="a", brand=None), state(1, category=None, brand="a"))) == 2


def test_of_one_day_the_last_line_of_the_last_delivery_counts(history: Any) -> None:
    rows = [
        state(0, file="fb", line=2, price=Decimal("2")),
        state(0, file="fb", line=1, price=Decimal("1")),
        state(0, file="fa", line=9, price=Decimal("9")),
    ]
    assert spans(history(*rows)) == [("i1", Decimal("2.0000"), day(0), LASTING)]


def test_the_latest_state_says_which_snapshot_it_comes_from(table: MakeTable) -> None:
    made = catalogue_history(
        table(RAW_CATALOGUE, [state(0), state(1, price=Decimal("8")), state(2, price=Decimal("8"))])
    )
    (row,) = latest_catalogue(made).to_pyarrow().to_pylist()
    assert (row["price"], row["as_of"]) == (Decimal("8.0000"), day(1))


SNAPSHOTS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from(["i1", "i2"]), st.sampled_from(["fa", "fb"]), st.integers(1, 3)),
    max_size=15,
)


@given(rows=SNAPSHOTS, seed=st.randoms())
@hypothesis_settings(max_examples=15, deadline=None)
def test_states_follow_each_other_without_gap_or_overlap_whatever_the_order(rows: list[Any], seed: Any) -> None:
    by_line = {(number, file, line): (item, line) for line, (number, item, file, _) in enumerate(rows, 1)}
    prices = {line: Decimal(price) for line, (_, _, _, price) in enumerate(rows, 1)}
    lines = [
        state(number, item, file=file, line=line, price=prices[line])
        for (number, file, line), (item, _) in by_line.items()
    ]
    shuffled = lines.copy()
    seed.shuffle(shuffled)
    backend = new_backend()
    found = [
        catalogue_history(make_table(backend, RAW_CATALOGUE, given)).order_by("item_id", "valid_from").to_pyarrow()
        for given in (lines, shuffled)
    ]
    assert found[0].equals(found[1])
    history = found[0].to_pylist()
    for item in {row["item_id"] for row in lines}:
        of_item = [row for row in history if row["item_id"] == item]
        assert of_item[0]["valid_from"] == min(row["day"] for row in lines if row["item_id"] == item)
        assert of_item[-1]["valid_to"] == LASTING
        for before, after in pairwise(of_item):
            assert before["valid_from"] < before["valid_to"] == after["valid_from"]
            assert before["price"] != after["price"]
    # The state on any day is what the last snapshot up to it said.
    for item in {row["item_id"] for row in lines}:
        for number in range(7):
            said = [row for row in lines if row["item_id"] == item and row["day"] <= day(number)]
            held = [
                row["price"]
                for row in history
                if row["item_id"] == item and row["valid_from"] <= day(number) < row["valid_to"]
            ]
            assert (
                held == [max(said, key=lambda r: (r["day"], r["file_hash"], r["line"]))["price"]] if said else not held
            )


def spend(number: int, cost: str, *, file: str = "f1", line: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "day": day(number),
        "file_hash": file,
        "line": line,
        "spend_day": FIRST,
        "channel": "search",
        "campaign": "all",
        "cost": Decimal(cost),
    } | fields


def test_a_later_report_of_the_same_spend_replaces_it(table: MakeTable, store: LakeStore) -> None:
    rows = [spend(1, "7", file="fz"), spend(2, "5"), spend(0, "9"), spend(2, "3", line=2, channel="email")]
    store.write(
        SPEND, latest_spend(accepted_records(table(RAW_MARKETING_SPEND, rows), MARKETING_SPEND, currency="GBP"))
    )
    published = store.read(SPEND)
    assert violations(SPEND, published) == []
    assert {row["channel"]: row["cost"] for row in published.to_pyarrow().to_pylist()} == {
        "search": Decimal("5.0000"),
        "email": Decimal("3.0000"),
    }


def test_a_refused_report_replaces_nothing(table: MakeTable) -> None:
    rows = [spend(0, "9"), spend(1, "-5"), spend(2, "4", currency="USD")]
    kept = latest_spend(accepted_records(table(RAW_MARKETING_SPEND, rows), MARKETING_SPEND, currency="GBP"))
    assert [row["cost"] for row in kept.to_pyarrow().to_pylist()] == [Decimal("9.0000")]


def test_the_first_assignment_of_a_unit_stands(table: MakeTable, store: LakeStore) -> None:
    def arm(line: int, unit: str, name: str, hour: int, experiment: str = "x") -> dict[str, Any]:
        return {
            "day": day(line % 2),
            "file_hash": "f1",
            "line": line,
            "experiment": experiment,
            "unit_id": unit,
            "arm": name,
            "assigned_at": datetime(2026, 1, 1, hour),
        }

    rows = [
        arm(1, "v1", "treatment", 5),
        arm(2, "v1", "control", 3),
        arm(3, "v1", "treatment", 1, "y"),
        arm(4, "v2", "treatment", 2),
        arm(5, "v2", "control", 2),
        arm(6, "v2", "control", 2),
    ]
    store.write(
        ASSIGNMENTS, first_assignments(accepted_records(table(RAW_ASSIGNMENTS, rows), ASSIGNMENT, currency="GBP"))
    )
    published = store.read(ASSIGNMENTS)
    assert violations(ASSIGNMENTS, published) == []
    assert {(row["experiment"], row["unit_id"]): row["arm"] for row in published.to_pyarrow().to_pylist()} == {
        ("x", "v1"): "control",
        ("y", "v1"): "treatment",
        ("x", "v2"): "control",
    }


@pytest.mark.parametrize(
    ("build", "raw", "made"),
    [
        (catalogue_history, RAW_CATALOGUE, CATALOGUE_HISTORY),
        (latest_spend, RAW_MARKETING_SPEND, SPEND),
        (first_assignments, RAW_ASSIGNMENTS, ASSIGNMENTS),
    ],
    ids=["catalogue", "spend", "assignments"],
)
def test_nothing_landed_gives_an_empty_table(
    build: Any, raw: Contract, made: Contract, table: MakeTable, store: LakeStore
) -> None:
    store.write(made, build(table(raw, [])))
    assert store.read(CONTRACTS[made.name]).count().to_pyarrow().as_py() == 0
