"""Who is who: visitors become customers at login, backwards through their history; rows stay as many as they were."""

import ast
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import trasos_assets
from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import CLEAN_EVENTS, IDENTITIES
from trasos_assets.contracts.reference import ASSIGNMENTS
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.trust.identity import actor, identities, person_of_unit, with_person
from trasos_assets_tests.conftest import MakeTable, make_table, new_backend
from trasos_assets_tests.trust.events import NOON, line

ENGINE = new_backend()
ALWAYS = (datetime.min, datetime(9999, 12, 31))


def event(number: int, visitor: str | None, customer: str | None, hour: float) -> dict[str, Any]:
    row = line(number, visitor_id=visitor, customer_id=customer, occurred_at=NOON + timedelta(hours=hour))
    return {name: value for name, value in row.items() if name in CLEAN_EVENTS.column_names}


@pytest.fixture
def people(table: MakeTable, store: LakeStore) -> Any:
    """Person of every event, in order, after the identities were published and checked."""

    def run(*events: tuple[str | None, str | None, float]) -> list[str]:
        clean = table(CLEAN_EVENTS, [event(n, *given) for n, given in enumerate(events)])
        store.write(IDENTITIES, identities(clean))
        published = store.read(IDENTITIES)
        assert violations(IDENTITIES, published) == []
        rows = with_person(clean, published).to_pyarrow().to_pylist()
        return [row["person_id"] for row in sorted(rows, key=lambda row: int(row["event_id"][1:]))]

    return run


def intervals(table: MakeTable, *events: tuple[str | None, str | None, float]) -> list[tuple[Any, ...]]:
    made = identities(table(CLEAN_EVENTS, [event(n, *given) for n, given in enumerate(events)]))
    rows = made.order_by("visitor_id", "valid_from").to_pyarrow().to_pylist()
    return [(row["visitor_id"], row["customer_id"], row["valid_from"], row["valid_to"]) for row in rows]


def test_history_before_the_first_login_belongs_to_the_customer(people: Any) -> None:
    assert people(("v1", None, -5), ("v1", None, -1), ("v1", "c1", 0), ("v1", None, 3)) == ["c1"] * 4


def test_a_visitor_who_never_logs_in_stays_a_visitor(people: Any) -> None:
    assert people(("v1", None, 0), ("v2", "c1", 0)) == ["v1", "c1"]


def test_one_customer_on_two_devices_is_one_person(people: Any) -> None:
    assert people(("v1", "c1", 0), ("v2", "c1", 1), ("v1", None, 2), ("v2", None, 0)) == ["c1"] * 4


def test_two_customers_on_one_visitor_do_not_merge(people: Any) -> None:
    events = [("v1", None, -1), ("v1", "c1", 0), ("v1", None, 1), ("v1", "c2", 2), ("v1", None, 3), ("v1", "c1", 4)]
    assert people(*events, ("v1", None, 5)) == ["c1", "c1", "c1", "c2", "c2", "c1", "c1"]


def test_history_is_stitched_across_days_and_devices(people: Any) -> None:
    """Every table by day holds a part of it; the stitching is over all of them."""
    week = 24 * 7
    events = [("v1", None, -week), ("v1", None, -24), ("v1", "c1", 0), ("v1", None, week), ("v2", None, -2 * week)]
    assert people(*events, ("v2", "c1", 3 * week), ("v2", None, 4 * week)) == ["c1"] * 7


def test_a_login_on_a_day_makes_no_other_day_anew_but_what_is_read_from_it(table: MakeTable) -> None:
    """The days hold visitor and customer as they came: who they were is told by a join when they are read."""
    old = table(CLEAN_EVENTS, [event(1, "v1", None, -48)])
    before = with_person(old, identities(old)).to_pyarrow()["person_id"].to_pylist()
    login = table(CLEAN_EVENTS, [event(1, "v1", None, -48), event(2, "v1", "c1", 0)])
    after = with_person(old, identities(login)).to_pyarrow()["person_id"].to_pylist()
    assert (before, after) == (["v1"], ["c1"])


def test_customers_are_not_chained_into_one_by_the_devices_they_share(people: Any) -> None:
    events = [("v1", "c1", 0), ("v1", "c2", 1), ("v2", "c2", 2), ("v2", "c3", 3), ("v3", "c3", 4), ("v3", "c1", 5)]
    guests = [("v1", None, -1), ("v2", None, 1), ("v3", None, 1), ("v1", None, 9), ("v2", None, 9), ("v3", None, 9)]
    assert people(*events, *guests) == ["c1", "c2", "c2", "c3", "c3", "c1", "c1", "c2", "c3", "c2", "c3", "c1"]


def test_guests_are_each_their_own_person(people: Any) -> None:
    assert people(("v1", None, 0), ("v2", None, 0), ("v1", None, 9), (None, "c9", 1)) == ["v1", "v2", "v1", "c9"]


def test_an_events_own_customer_goes_before_who_is_logged_in(people: Any) -> None:
    assert people(("v1", "c1", 0), (None, "c2", 1), ("v1", "c1", 1)) == ["c1", "c2", "c1"]


def test_a_change_of_customer_holds_from_its_very_instant(table: MakeTable) -> None:
    assert intervals(table, ("v1", "c1", 0), ("v1", "c2", 1), ("v1", "c2", 2)) == [
        ("v1", "c1", datetime.min, NOON + timedelta(hours=1)),
        ("v1", "c2", NOON + timedelta(hours=1), ALWAYS[1]),
    ]


def test_two_customers_at_one_instant_leave_no_empty_interval(table: MakeTable) -> None:
    assert intervals(table, ("v1", "c1", 0), ("v1", "c2", 0)) == [("v1", "c2", *ALWAYS)]
    assert intervals(table, ("v1", "c2", -1), ("v1", "c1", 0), ("v1", "c2", 0)) == [("v1", "c2", *ALWAYS)]
    assert intervals(table, ("v1", "c1", 0), ("v1", "c2", 0), ("v1", "c1", 1)) == [
        ("v1", "c2", datetime.min, NOON + timedelta(hours=1)),
        ("v1", "c1", NOON + timedelta(hours=1), ALWAYS[1]),
    ]


def test_nobody_gives_no_identities(table: MakeTable) -> None:
    assert intervals(table) == []
    assert intervals(table, ("v1", None, 0), (None, "c1", 0)) == []


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["v1", "v2", None]),
        st.sampled_from(["c1", "c2", "c3", None]),
        st.integers(0, 5),
    ).filter(lambda given: given[0] or given[1]),
    max_size=15,
)


@given(events=EVENTS, seed=st.randoms())
@hypothesis_settings(max_examples=30, deadline=None)
def test_a_person_never_multiplies_rows_and_intervals_never_overlap(events: list[Any], seed: Any) -> None:
    rows = [event(n, *given) for n, given in enumerate(events)]
    shuffled = rows.copy()
    seed.shuffle(shuffled)
    clean = make_table(ENGINE, CLEAN_EVENTS, rows)
    known = identities(clean)
    found = known.order_by("visitor_id", "valid_from").to_pyarrow().to_pylist()
    again = identities(make_table(ENGINE, CLEAN_EVENTS, shuffled))
    assert again.order_by("visitor_id", "valid_from").to_pyarrow().to_pylist() == found
    for visitor in ("v1", "v2"):
        own = [row for row in found if row["visitor_id"] == visitor]
        if own:
            assert (own[0]["valid_from"], own[-1]["valid_to"]) == ALWAYS
        for before, after in pairwise(own):
            assert before["valid_from"] < before["valid_to"] == after["valid_from"]
            assert before["customer_id"] != after["customer_id"]
    people = with_person(clean, known).to_pyarrow().to_pylist()
    assert sorted(row["event_id"] for row in people) == sorted(row["event_id"] for row in rows)
    logins = {row["visitor_id"] for row in rows if row["visitor_id"] and row["customer_id"]}
    for row in people:
        assert row["person_id"] is not None
        if row["customer_id"]:
            assert row["person_id"] == row["customer_id"]
        else:
            assert (row["person_id"] == row["visitor_id"]) == (row["visitor_id"] not in logins)


def test_a_unit_is_the_customer_that_the_visitor_was_when_assigned(table: MakeTable) -> None:
    known = identities(table(CLEAN_EVENTS, [event(1, "v1", "c1", 0), event(2, "v1", "c2", 2)]))

    def assigned(unit: str, hour: int) -> dict[str, Any]:
        return {"experiment": f"x{hour}", "unit_id": unit, "arm": "a", "assigned_at": NOON + timedelta(hours=hour)}

    units = table(ASSIGNMENTS, [assigned("v1", 1), assigned("v1", 3), assigned("c9", 1), assigned("v9", 1)])
    found = person_of_unit(units, known)
    assert set(found.columns) == {*ASSIGNMENTS.column_names, "person_id"}
    assert sorted((row["unit_id"], row["person_id"]) for row in found.to_pyarrow().to_pylist()) == [
        ("c9", "c9"),
        ("v1", "c1"),
        ("v1", "c2"),
        ("v9", "v9"),
    ]


def test_an_actor_is_never_null_and_a_customers_id_is_no_visitors(table: MakeTable) -> None:
    events = [event(1, "7", None, 0), event(2, "7", "c1", 0), event(3, None, "7", 0), event(4, None, None, 0)]
    clean = table(CLEAN_EVENTS, events)
    made = clean.select("event_id", actor=actor(clean)).order_by("event_id").to_pyarrow()["actor"].to_pylist()
    assert made[0] == made[1] == "7"
    assert len({*made, None}) == 4


# --- one source of persons


PACKAGE = Path(trasos_assets.__file__).parent
SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
COUNT_PEOPLE = (
    *("daily_kpis", "retention_cohorts", "time_to_return", "acquisition_cost", "experiment_results", "restatements"),
    "item_features",
)


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_nothing_but_with_person_makes_a_person() -> None:
    """No column ``person_id`` is named by another expression, and nobody else falls back from customer to visitor."""
    makers = {
        path for path, tree in SOURCES.items() for call in calls(tree) for k in call.keywords if k.arg == "person_id"
    }
    fallbacks = {
        path
        for path, tree in SOURCES.items()
        for call in calls(tree)
        if ast.unparse(call.func).endswith(("coalesce", "fill_null", "ifelse"))
        and {".customer_id", ".visitor_id"} <= set(re.findall(r"\.\w+", ast.unparse(call)))
    }
    assert makers == {PACKAGE / "trust" / "identity.py"}
    assert fallbacks == {PACKAGE / "trust" / "identity.py"}


def test_every_table_by_person_is_made_with_the_identities() -> None:
    inputs = {
        node.name: {argument.arg for argument in node.args.args}
        for path, tree in SOURCES.items()
        if path.is_relative_to(PACKAGE / "defs")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name in CONTRACTS
    }

    def sources(name: str) -> set[str]:
        direct = inputs.get(name, set()) & set(CONTRACTS)
        return direct.union(*(sources(one) for one in direct))

    with_a_person = {name for name, contract in CONTRACTS.items() if "person_id" in contract.column_names}
    assert with_a_person >= {"orders", "customer_features", "training_interactions", "recommendations"}
    for name in with_a_person | set(COUNT_PEOPLE):
        assert IDENTITIES.name in sources(name), name


def test_no_table_by_day_holds_a_person() -> None:
    """A login today would rewrite every older day."""
    by_day = [contract for contract in CONTRACTS.values() if contract.partitioned]
    assert len(by_day) > 5
    assert not [contract.name for contract in by_day if "person_id" in contract.column_names]
