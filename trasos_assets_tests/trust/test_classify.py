"""What becomes of every line: one state, with all the reasons, whatever the order in which lines came."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import (
    CLEAN_EVENTS,
    EVENT_KEYS,
    EVENT_STATES,
    QUARANTINED_EVENTS,
    QUARANTINED_RECORDS,
    RAW_CATALOGUE,
    RAW_EVENTS,
)
from trasos_assets.contracts.landing import CATALOGUE, EVENT_TYPES
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings
from trasos_assets.trust.classify import (
    accepted_events,
    accepted_records,
    event_keys,
    event_states,
    quarantined_events,
    quarantined_records,
)
from trasos_assets.trust.marks import marked_events
from trasos_assets_tests.conftest import Backend, MakeTable, make_table, new_backend
from trasos_assets_tests.trust.events import DAY, NOON, line, unread

Lines = list[dict[str, Any]]
FIRST_DAY = date(2026, 1, 1)
ENGINE = new_backend()  # property tests cannot have one each


def classified(backend: Backend, rows: Lines, *, late_days: int = 3, dedup_days: int = 7) -> Lines:
    raw = make_table(backend, RAW_EVENTS, rows)
    keys = event_keys(raw, late_days=late_days, currency="GBP", first_day=FIRST_DAY)
    return event_states(keys, dedup_days=dedup_days).order_by("day", "file_hash", "line").to_pyarrow().to_pylist()


@pytest.fixture
def states(backend: Backend) -> Callable[..., list[str]]:
    """State of every line, in order of day, file and line; of a refused one its reasons."""

    def run(*rows: dict[str, Any], **settings: int) -> list[str]:
        return [row["reasons"] or row["state"] for row in classified(backend, list(rows), **settings)]

    return run


States = Callable[..., list[str]]


def test_a_good_line_is_accepted(states: States) -> None:
    assert states(line(), line(2)) == ["accepted", "accepted"]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_event_type_is_accepted_with_what_it_needs(states: States, event_type: str) -> None:
    whole = {
        "customer_id": "c1",
        "item_id": "i1",
        "quantity": 1,
        "unit_price": Decimal("0"),
        "order_id": "o1",
        "request_id": "r1",
        "currency": "GBP",
    }
    assert states(line(event_type=event_type, **whole)) == ["accepted"]


BUY = {"event_type": "purchase", "order_id": "o1", "item_id": "i1", "quantity": 1, "unit_price": Decimal("5")}
REFUSED: dict[str, dict[str, Any]] = {
    "missing_event_id": {"event_id": None},
    "missing_event_type": {"event_type": None},
    "missing_occurred_at": {"occurred_at": None},
    "missing_received_at": {"received_at": None},
    "unknown_event_type": {"event_type": "teleport"},
    "no_visitor_or_customer": {"visitor_id": None},
    "occurred_after_received": {"occurred_at": NOON + timedelta(seconds=2)},
    "quantity_not_positive": {"quantity": 0},
    "quantity_absurd": {"quantity": 1_000_001},
    "negative_unit_price": {"unit_price": Decimal("-0.0001")},
    "unit_price_absurd": {"unit_price": Decimal("1000000.0001")},
    "position_not_positive": {"position": 0},
    "incomplete_order_line": BUY | {"order_id": None},
    "incomplete_impression": {"event_type": "impression", "item_id": "i1"},
    "login_without_customer": {"event_type": "login"},
    "event_id_too_long": {"event_id": "x" * 257},
    "empty_id": {"event_id": ""},
    "foreign_currency": {"currency": "USD"},
    "before_first_day": {"received": FIRST_DAY, "occurred_at": datetime(2025, 12, 31, 23)},
    "too_late": {"occurred_at": NOON - timedelta(days=3, seconds=1)},
    "occurred_after_its_folder": {
        "occurred_at": NOON + timedelta(days=1),
        "received_at": NOON + timedelta(days=1, seconds=1),
    },
}


@pytest.mark.parametrize(("reason", "fields"), REFUSED.items(), ids=REFUSED)
def test_a_line_that_breaks_a_rule_is_quarantined_under_its_name(
    states: States, reason: str, fields: dict[str, Any]
) -> None:
    assert states(line(**fields), line(2)) == [reason, "accepted"]


@pytest.mark.parametrize(
    "fields",
    [
        {"currency": None},
        {"quantity": 1_000_000},
        {"unit_price": Decimal("1000000")},
        {"event_id": "x" * 256},
        {"occurred_at": NOON - timedelta(days=3), "received_at": NOON},
        {"occurred_at": NOON, "received_at": NOON},
        {"visitor_id": None, "customer_id": "c1"},
        {"event_type": "purchase", "order_id": "o1", "item_id": "i1", "quantity": 1, "unit_price": Decimal("0")},
        {"received": FIRST_DAY},
    ],
    ids=str,
)
def test_the_limit_itself_is_allowed(states: States, fields: dict[str, Any]) -> None:
    assert states(line(**fields)) == ["accepted"]


def test_all_reasons_of_a_line_are_listed(states: States) -> None:
    fields = {
        "event_type": "teleport",
        "visitor_id": None,
        "quantity": -1,
        "unit_price": Decimal("-1"),
        "currency": "X",
    }
    assert states(line(**fields)) == [
        "unknown_event_type,no_visitor_or_customer,quantity_not_positive,negative_unit_price,foreign_currency"
    ]


def test_what_could_not_be_read_comes_first_and_is_not_called_missing(states: States) -> None:
    fields = {"occurred_at": None, "problems": "invalid_occurred_at,invalid_quantity", "event_type": "teleport"}
    assert states(line(**fields)) == ["invalid_occurred_at,invalid_quantity,unknown_event_type"]


@pytest.mark.parametrize("problem", ["malformed", "line_too_long", "nested_too_deep"])
def test_a_line_that_could_not_be_read_has_that_reason_alone(states: States, problem: str) -> None:
    assert states(unread(1, problem, "{"), line(2)) == [problem, "accepted"]


def test_late_is_the_rows_own_lateness_and_its_folders(states: States) -> None:
    on_time, late = NOON - timedelta(days=3), NOON - timedelta(days=3, seconds=1)
    rows = [
        line(1, occurred_at=on_time, received_at=NOON),
        line(2, occurred_at=late, received_at=NOON),
        # Received in time by its own word, but in a folder that its day's window does not reach.
        line(3, occurred_at=NOON - timedelta(days=4), received_at=NOON - timedelta(days=4)),
        line(4, occurred_at=NOON - timedelta(days=3), received_at=NOON - timedelta(days=3)),
    ]
    assert states(*rows) == ["accepted", "too_late", "too_late", "accepted"]
    assert states(rows[0], late_days=2) == ["too_late"]
    assert states(line(occurred_at=NOON, received_at=NOON), late_days=0) == ["accepted"]


def test_the_same_event_again_is_a_duplicate_whenever_it_was_received(states: States) -> None:
    again = line(2, event_id="e1", received_at=NOON + timedelta(hours=1))
    assert states(line(), again) == ["accepted", "duplicate"]
    assert states(line(received_at=NOON + timedelta(hours=2)), again) == ["duplicate", "accepted"]


@pytest.mark.parametrize(
    "change",
    [{"visitor_id": "v2"}, {"item_id": "i1"}, {"occurred_at": NOON - timedelta(seconds=1)}, {"extra": '{"a":1}'}],
    ids=lambda change: next(iter(change)),
)
def test_the_same_id_with_another_payload_is_quarantined(states: States, change: dict[str, Any]) -> None:
    other = line(2, event_id="e1", received_at=NOON + timedelta(minutes=1), **change)
    assert states(line(), other) == ["accepted", "conflicting_duplicate"]


def test_values_that_moved_from_one_field_to_the_next_are_another_payload(states: States) -> None:
    later = {"event_id": "e1", "received_at": NOON + timedelta(minutes=1)}
    assert states(line(slot="a"), line(2, channel="a", **later)) == ["accepted", "conflicting_duplicate"]
    assert states(line(slot=""), line(2, **later)) == ["accepted", "conflicting_duplicate"]


def test_the_first_received_wins_to_the_microsecond(states: States) -> None:
    moments = [
        NOON + timedelta(seconds=1, microseconds=500_000),
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=1, microseconds=450_000),
        NOON + timedelta(seconds=1, microseconds=1),
    ]
    rows = [line(n, event_id="e1", visitor_id=f"v{n}", received_at=at) for n, at in enumerate(moments, 1)]
    lost = "conflicting_duplicate"
    assert states(*rows) == [lost, "accepted", lost, lost]
    assert states(rows[0], rows[2], rows[3]) == [lost, lost, "accepted"]
    assert states(rows[0], rows[2]) == [lost, "accepted"]


def test_a_quarantined_line_does_not_hold_the_id_against_a_good_one(states: States) -> None:
    bad = line(1, quantity=-1, received_at=NOON)
    assert states(bad, line(2, event_id="e1"), line(3, event_id="e1")) == [
        "quantity_not_positive",
        "accepted",
        "duplicate",
    ]


def test_lines_without_an_id_are_no_duplicates_of_each_other(states: States) -> None:
    assert states(line(1, event_id=None), line(2, event_id=None)) == ["missing_event_id"] * 2
    assert states(unread(1, "malformed", "{"), unread(2, "malformed", "{")) == ["malformed"] * 2


def test_within_the_horizon_an_id_is_one_event_and_beyond_it_a_new_one(states: States) -> None:
    def on(number: int) -> dict[str, Any]:
        return line(number, event_id="e1", received=DAY + timedelta(days=number))

    assert states(on(0), on(7)) == ["accepted", "conflicting_duplicate"]
    assert states(on(0), on(8)) == ["accepted", "accepted"]
    assert states(on(0), on(1), dedup_days=0) == ["accepted", "accepted"]
    same = {"occurred_at": NOON, "received_at": NOON, "event_id": "e1"}
    rows = [line(n, received=DAY + timedelta(days=n), **same) for n in (0, 3)]
    assert states(*rows) == ["accepted", "duplicate"]


def test_a_month_or_year_end_is_no_border_of_the_horizon(states: States) -> None:
    rows = [line(n, event_id="e1", received=date(2026, 2, 26) + timedelta(days=n)) for n in (0, 7, 8)]
    assert states(rows[0], rows[1])[1] == "conflicting_duplicate"
    assert states(rows[0], rows[2])[1] == "accepted"


@pytest.mark.slow
def test_a_source_that_gives_one_id_to_a_hundred_thousand_events_does_not_stop_the_lake(backend: Backend) -> None:
    backend.raw_sql(
        "CREATE TABLE keys AS SELECT DATE '2026-03-01' + (i % 20)::INTEGER AS day, 'f' || i % 20 AS file_hash, "
        "i AS line, 'null' AS event_id, md5((i % 7)::VARCHAR) AS payload_hash, "
        "TIMESTAMP '2026-03-01' + INTERVAL (i) SECOND AS received_at, "
        "DATE '2026-03-01' AS occurred_day, NULL::VARCHAR AS reasons, NULL::VARCHAR AS waived, "
        "NULL::DATE AS released_on FROM range(100_000) r(i)"
    )
    states = event_states(backend.table("keys"), dedup_days=7)
    counts = Counter(states.to_pyarrow()["state"].to_pylist())
    assert sum(counts.values()) == 100_000
    assert 1 <= counts["accepted"] <= 3


EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "event_id": st.sampled_from(["a", "b", "c"]),
            "visitor_id": st.sampled_from(["v1", "v2"]),
            "seconds": st.integers(0, 3),
            "micro": st.sampled_from([0, 1, 500_000]),
            "day": st.integers(0, 4),
            "quantity": st.sampled_from([None, 1, -1]),
            "file": st.sampled_from(["f1", "f2", "f3"]),
        }
    ),
    max_size=14,
)


def as_lines(events: list[dict[str, Any]]) -> Lines:
    rows = []
    numbers: defaultdict[tuple[str, int], int] = defaultdict(int)
    for event in events:
        # A file lies in the folder of one day.
        file = f"{event['file']}-{event['day']}"
        numbers[file, event["day"]] += 1
        received = DAY + timedelta(days=event["day"])
        rows.append(
            line(
                numbers[file, event["day"]],
                file=file,
                received=received,
                event_id=event["event_id"],
                visitor_id=event["visitor_id"],
                quantity=event["quantity"],
                occurred_at=NOON + timedelta(days=event["day"]),
                received_at=NOON + timedelta(days=event["day"], seconds=event["seconds"], microseconds=event["micro"]),
            )
        )
    return rows


def expected_states(rows: Lines, dedup_days: int) -> list[str]:
    """The rule word for word, pair by pair."""

    def order(row: dict[str, Any]) -> tuple[Any, ...]:
        return (row["received_at"], row["payload_hash"], row["file_hash"], row["line"])

    found = []
    for row in rows:
        rivals = [
            other
            for other in rows
            if other["reasons"] is None
            and other["event_id"] == row["event_id"]
            and abs((other["day"] - row["day"]).days) <= dedup_days
        ]
        if row["reasons"] is not None:
            found.append("quarantined")
            continue
        winner = min(rivals, key=order)
        if order(winner) == order(row):
            found.append("accepted")
        else:
            found.append("duplicate" if winner["payload_hash"] == row["payload_hash"] else "quarantined")
    return found


@given(events=EVENTS, dedup_days=st.integers(0, 3))
@hypothesis_settings(max_examples=30, deadline=None)
def test_states_follow_the_rule_and_every_line_has_one(events: list[dict[str, Any]], dedup_days: int) -> None:
    raw = make_table(ENGINE, RAW_EVENTS, as_lines(events))
    keys = event_keys(raw, late_days=3, currency="GBP", first_day=FIRST_DAY)
    keyed = keys.order_by("day", "file_hash", "line").to_pyarrow().to_pylist()
    found = event_states(keys, dedup_days=dedup_days).order_by("day", "file_hash", "line").to_pyarrow().to_pylist()
    assert [row["state"] for row in found] == expected_states(keyed, dedup_days)
    assert [(r["file_hash"], r["line"]) for r in found] == [(r["file_hash"], r["line"]) for r in keyed]
    for event_id in "abc":
        days = [row["day"] for row in found if row["event_id"] == event_id and row["state"] == "accepted"]
        assert all(abs((a - b).days) > dedup_days for n, a in enumerate(days) for b in days[n + 1 :])


@given(events=EVENTS, files=st.lists(st.sampled_from(["x", "y", "z"]), min_size=14, max_size=14), seed=st.randoms())
@hypothesis_settings(max_examples=20, deadline=None)
def test_states_are_the_same_whatever_the_order_and_the_split_into_files(
    events: list[dict[str, Any]], files: list[str], seed: Any
) -> None:
    def told(given: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
        rows = as_lines(given)
        by_line = {(row["file_hash"], row["line"]): row for row in rows}
        found = classified(ENGINE, rows)
        return Counter(
            (
                *(by_line[row["file_hash"], row["line"]][name] for name in ("event_id", "visitor_id", "received_at")),
                row["state"],
                row["reasons"],
            )
            for row in found
        )

    other = [event | {"file": file} for event, file in zip(events, files, strict=False)]
    seed.shuffle(other)
    # Of equal lines it does not matter which one is the event, so states are counted by what the lines say.
    assert told(other) == told(events)


MIXED = [
    line(1),
    line(2, event_id="e1", received_at=NOON + timedelta(minutes=1)),
    line(3, event_id="e1", visitor_id="v2", received_at=NOON + timedelta(minutes=2)),
    line(4, quantity=-1),
    unread(5, "malformed", "{"),
    line(6, occurred_at=NOON - timedelta(days=2)),
    line(7, file="f2", problems="invalid_quantity", raw="{}", extra="{}"),
]


def test_read_is_accepted_and_duplicate_and_quarantined_for_every_file(backend: Backend) -> None:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in classified(backend, MIXED):
        counts[row["file_hash"]][row["state"]] += 1
    assert counts == {"f1": {"accepted": 2, "duplicate": 1, "quarantined": 3}, "f2": {"quarantined": 1}}


def test_every_table_made_of_raw_events_keeps_its_contract(
    table: MakeTable, store: LakeStore, settings: Settings
) -> None:
    raw = table(RAW_EVENTS, MIXED)
    days = [DAY - timedelta(days=2), DAY]

    def published(contract: Contract, made: Any) -> Any:
        staged = store.stage(contract, made, days)
        assert violations(contract, store.staged_table(staged)) == []
        store.publish(staged)
        return store.read(contract)

    keys = published(EVENT_KEYS, event_keys(raw, late_days=3, currency="GBP", first_day=FIRST_DAY))
    states = published(EVENT_STATES, event_states(keys, dedup_days=7))
    refused = published(QUARANTINED_EVENTS, quarantined_events(raw, states)).order_by("line").to_pyarrow().to_pylist()
    clean = published(CLEAN_EVENTS, marked_events(accepted_events(raw, states), settings))
    assert [(row["line"], row["reasons"]) for row in refused] == [
        (3, "conflicting_duplicate"),
        (4, "quantity_not_positive"),
        (5, "malformed"),
        (7, "invalid_quantity"),
    ]
    assert [row["raw"] for row in refused[2:]] == ["{", "{}"]
    # Of a line that could be read the fields are shown, for a person to see what was refused.
    assert [json.loads(row["raw"])["event_id"] for row in refused[:2]] == [row["event_id"] for row in refused[:2]]
    assert sorted((row["event_id"], row["day"]) for row in clean.to_pyarrow().to_pylist()) == [
        ("e1", DAY),
        ("e6", DAY - timedelta(days=2)),
    ]


def test_no_lines_give_no_states(states: States) -> None:
    assert states() == []


def test_records_of_other_data_sets_are_split_by_their_own_rules(table: MakeTable) -> None:
    def item(number: int, **fields: Any) -> dict[str, Any]:
        row = {"item_id": f"i{number}", "kind": "product", "available": True}
        return {"day": DAY, "file_hash": "f1", "line": number} | row | fields

    rows = [
        item(1),
        item(2, kind="toy", price=Decimal("-1"), stock=-1, item_id=""),
        item(3, kind=None),
        item(4, currency="EUR"),
        item(5, available=None, problems="invalid_available", raw="{}"),
        unread(6, "malformed", "nonsense"),
    ]
    raw = table(RAW_CATALOGUE, rows)
    refused = quarantined_records(raw, CATALOGUE, currency="GBP")
    kept = accepted_records(raw, CATALOGUE, currency="GBP").to_pyarrow().to_pylist()
    assert {row["line"]: row["reasons"] for row in refused.to_pyarrow().to_pylist()} == {
        2: "unknown_kind,negative_price,negative_stock,empty_id",
        3: "missing_kind",
        4: "foreign_currency",
        5: "invalid_available",
        6: "malformed",
    }
    assert [row["item_id"] for row in kept] == ["i1"]
    assert set(refused.columns) == set(QUARANTINED_RECORDS.column_names)
    assert {row["dataset"] for row in refused.to_pyarrow().to_pylist()} == {"catalogue"}
