"""A release changes what it speaks of and nothing else, and never waives what the tables downstream lean on."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import CLEAN_EVENTS, EVENT_KEYS, EVENT_STATES, RAW_EVENTS
from trasos_assets.contracts.landing import EVENT, MAX_PRICE, MAX_QUANTITY
from trasos_assets.contracts.schema import violations
from trasos_assets.trust.classify import CONFLICT, UNREAD, accepted_events, event_keys, event_states, rules_of
from trasos_assets.trust.releases import Release, ReleaseError, names, refuse_waiver, released_lines
from trasos_assets.trust.restate import affected_days
from trasos_assets_tests.conftest import Backend, MakeTable, make_table, new_backend
from trasos_assets_tests.trust.events import DAY, NOON, line, unread

Rows = list[dict[str, Any]]
ENGINE = new_backend()
FIRST_DAY = date(2026, 1, 1)
TODAY = DAY + timedelta(days=20)
LATE = NOON - timedelta(days=5)


def release(reason: str = "too_late", **changes: Any) -> Release:
    given = {
        "dataset": "events",
        "reason": reason,
        "since": DAY,
        "until": DAY,
        "waived": True,
        "released_on": TODAY,
        "released_at": datetime(2026, 3, 30, 9),
        "released_by": "ana",
    }
    return Release(**(given | changes))


def keys_of(backend: Backend, rows: Rows, *releases: Release) -> Any:
    raw = make_table(backend, RAW_EVENTS, rows)
    return event_keys(raw, late_days=3, currency="GBP", first_day=FIRST_DAY, releases=releases)


def states(backend: Backend, rows: Rows, *releases: Release) -> Rows:
    found = event_states(keys_of(backend, rows, *releases), dedup_days=7)
    return found.order_by("day", "file_hash", "line").to_pyarrow().to_pylist()


def told(backend: Backend, rows: Rows, *releases: Release) -> list[str]:
    return [row["reasons"] or row["state"] for row in states(backend, rows, *releases)]


def test_a_waived_rule_is_taken_as_kept_and_the_line_says_so(backend: Backend) -> None:
    (row,) = states(backend, [line(occurred_at=LATE)], release())
    assert (row["state"], row["reasons"], row["waived"], row["released_on"]) == ("accepted", None, "too_late", TODAY)


def test_any_other_broken_rule_still_refuses_the_line(backend: Backend) -> None:
    (row,) = states(backend, [line(occurred_at=LATE, quantity=0)], release())
    assert (row["state"], row["reasons"], row["released_on"]) == ("quarantined", "quantity_not_positive", None)


def test_a_line_that_needs_two_waivers_gets_through_with_the_later_one(backend: Backend) -> None:
    rows = [line(occurred_at=LATE, quantity=MAX_QUANTITY + 1)]
    second = release("quantity_absurd", released_on=TODAY + timedelta(days=1))
    assert told(backend, rows, release()) == ["quantity_absurd"]
    (row,) = states(backend, rows, release(), second)
    assert (row["waived"], row["released_on"]) == ("quantity_absurd,too_late", TODAY + timedelta(days=1))


def test_of_two_waivers_of_one_rule_the_first_let_the_line_through(backend: Backend) -> None:
    again = release(released_on=TODAY + timedelta(days=2))
    (row,) = states(backend, [line(occurred_at=LATE)], again, release())
    assert row["released_on"] == TODAY


def test_keys_and_states_with_releases_keep_their_contracts(table: MakeTable) -> None:
    rows = [line(1, occurred_at=LATE), line(2, occurred_at=LATE, quantity=0), line(3), line(4, event_id="e3")]
    raw = table(RAW_EVENTS, rows)
    keys = event_keys(raw, late_days=3, currency="GBP", first_day=FIRST_DAY, releases=[release()])
    for contract, made in ((EVENT_KEYS, keys), (EVENT_STATES, event_states(keys, dedup_days=7))):
        typed = table(contract, made.to_pyarrow().to_pylist())
        assert violations(contract, typed) == []


def test_lines_of_other_days_files_and_rules_are_not_touched(backend: Backend) -> None:
    other_day = DAY + timedelta(days=1)
    rows = [
        line(1, occurred_at=LATE),
        line(2, file="f2", occurred_at=LATE),
        line(1, file="f3", received=other_day, occurred_at=LATE),
        line(3, quantity=MAX_QUANTITY + 1),
        line(4),
    ]
    assert told(backend, rows, release(file_hash="f2")) == [
        "too_late",
        "quantity_absurd",
        "accepted",
        "accepted",
        "too_late",
    ]
    (good,) = [row for row in states(backend, rows, release()) if row["line"] == 4]
    assert (good["waived"], good["released_on"]) == (None, None)


def test_without_a_waiver_the_rules_judge_as_before(backend: Backend) -> None:
    assert told(backend, [line(occurred_at=LATE)], release(waived=False)) == ["too_late"]


def test_a_line_read_again_says_under_which_release(backend: Backend) -> None:
    asked = release("malformed", waived=False)
    rows = [line(1, release_id=asked.release_id, raw="{}"), line(2)]
    assert [row["released_on"] for row in states(backend, rows, asked)] == [TODAY, None]


def test_a_released_line_can_turn_out_to_be_a_duplicate_or_to_conflict(backend: Backend) -> None:
    late = line(2, event_id="e1", occurred_at=LATE, received_at=NOON + timedelta(minutes=1))
    assert told(backend, [line(1), late], release()) == ["accepted", CONFLICT]
    twins = [line(n, event_id="e", occurred_at=LATE, received_at=NOON + timedelta(minutes=n)) for n in (1, 2)]
    assert told(backend, twins, release()) == ["accepted", "duplicate"]
    rows = states(backend, [line(1), late], release())
    assert [row["released_on"] for row in rows] == [None, None], "a refused line was let through by nobody"


ABSURD = {"event_type": "purchase", "order_id": "o1", "item_id": "i1"}


def test_an_absurd_amount_is_waived_only_as_far_as_money_columns_can_add_it_up(backend: Backend) -> None:
    limit = MAX_QUANTITY * MAX_PRICE
    rows = [
        line(1, **ABSURD, quantity=MAX_QUANTITY * 2, unit_price=Decimal(MAX_PRICE) / 2),
        line(2, **ABSURD, quantity=MAX_QUANTITY * 2, unit_price=Decimal(MAX_PRICE)),
        line(3, quantity=2_147_483_647),
        line(4, **ABSURD, quantity=1, unit_price=Decimal(limit)),
        line(5, **ABSURD, quantity=2, unit_price=Decimal(limit)),
    ]
    waivers = (release("quantity_absurd"), release("unit_price_absurd"))
    assert told(backend, rows, *waivers) == [
        "accepted",
        "quantity_absurd",
        "accepted",
        "accepted",
        "unit_price_absurd",
    ]


def test_waived_events_keep_the_contract_of_clean_events_and_others_do_not(backend: Backend) -> None:
    rows = [
        line(1, occurred_at=NOON + timedelta(seconds=5)),
        line(2, quantity=MAX_QUANTITY + 1),
        line(3, event_id="x" * 300),
        line(4, unit_price=Decimal(MAX_PRICE + 1)),
    ]
    broken = ("occurred_after_received", "quantity_absurd", "event_id_too_long", "unit_price_absurd")
    raw = make_table(backend, RAW_EVENTS, rows)
    found = event_states(keys_of(backend, rows, *map(release, broken)), dedup_days=7)
    clean = accepted_events(raw, found)
    others = {name: None for name in CLEAN_EVENTS.column_names if name not in clean.columns}
    kept = clean.to_pyarrow().to_pylist()
    assert sorted(row["waived"] for row in kept) == sorted(broken)

    def faults(waived: bool) -> set[str]:
        rows = [others | row | {"session_id": "s", "waived": row["waived"] if waived else None} for row in kept]
        table = make_table(backend, CLEAN_EVENTS, rows)
        return {fault.rule for fault in violations(CLEAN_EVENTS, table)} & set(broken)

    assert faults(waived=True) == set()
    assert faults(waived=False) == set(broken)


RULES = rules_of(EVENT)
WAIVABLE = {"too_late", "occurred_after_received", "quantity_absurd", "unit_price_absurd", "event_id_too_long"}


@pytest.mark.parametrize("reason", sorted(WAIVABLE))
def test_rules_that_nothing_downstream_leans_on_may_be_waived(reason: str) -> None:
    refuse_waiver(reason, RULES)


@pytest.mark.parametrize(
    "reason",
    [
        *sorted({rule.name for rule in RULES} - WAIVABLE),
        *(*UNREAD, CONFLICT, "foreign_currency", "missing_event_id", "invalid_quantity", "duplicate_key", "no_such"),
    ],
)
def test_all_others_are_refused_with_what_to_do_instead(reason: str) -> None:
    with pytest.raises(ReleaseError, match=f"^{reason} may not be waived: .{{20,}}Rules that may be waived: "):
        refuse_waiver(reason, RULES)


def test_the_same_selector_at_the_same_time_has_the_same_id_and_another_has_not() -> None:
    assert release().release_id == release(note="x", released_by="bob").release_id
    ids = {
        release(**change).release_id
        for change in (
            {},
            {"reason": "malformed"},
            {"since": FIRST_DAY},
            {"until": TODAY},
            {"file_hash": "f"},
            {"waived": False},
            {"released_at": datetime(2026, 3, 30, 9, 1)},
        )
    }
    assert len(ids) == 7


LINES = st.lists(
    st.fixed_dictionaries(
        {
            "day": st.integers(0, 3),
            "file": st.sampled_from(["f1", "f2"]),
            "event_id": st.sampled_from(["a", "b", "c", "d"]),
            "visitor_id": st.sampled_from(["v1", "v2"]),
            "late": st.sampled_from([0, 0, 2, 5, 6]),
            "seconds": st.integers(0, 2),
            "quantity": st.sampled_from([None, 1, -1, MAX_QUANTITY + 1]),
            "broken": st.booleans(),
        }
    ),
    max_size=12,
)
RELEASES = st.lists(
    st.builds(
        lambda reason, since, length, file, waived: release(
            reason,
            since=DAY + timedelta(days=since),
            until=DAY + timedelta(days=since + length),
            file_hash=file,
            waived=waived,
        ),
        st.sampled_from(["too_late", "quantity_absurd", "quantity_not_positive", "malformed"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from([None, None, "f1-0", "f2-1"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


def rows_of(drawn: Rows) -> Rows:
    rows = []
    for number, one in enumerate(drawn, 1):
        received, file = DAY + timedelta(days=one["day"]), f"{one['file']}-{one['day']}"
        noon = datetime(received.year, received.month, received.day, 12)
        if one["broken"]:
            rows.append(unread(number, "malformed", "{", file=file, received=received))
            continue
        fields = {name: one[name] for name in ("event_id", "visitor_id", "quantity")}
        times = {
            "occurred_at": noon - timedelta(days=one["late"]),
            "received_at": noon + timedelta(seconds=one["seconds"]),
        }
        rows.append(line(number, file=file, received=received, **fields, **times))
    return rows


def spoken_of(row: dict[str, Any], reasons: str | None, asked: Release) -> bool:
    """The selector word for word, on a line and what the rules say of it without any release."""
    here = asked.since <= row["day"] <= asked.until and asked.file_hash in (None, row["file_hash"])
    return here and asked.reason in (reasons or "").split(",")


@given(drawn=LINES, releases=RELEASES)
@hypothesis_settings(max_examples=12, deadline=None)
def test_every_line_has_one_state_and_a_release_reaches_others_through_shared_ids_only(
    drawn: Rows, releases: list[Release]
) -> None:
    rows = rows_of(drawn)
    before, after = states(ENGINE, rows), states(ENGINE, rows, *releases)
    place = ("day", "file_hash", "line")
    assert [tuple(row[name] for name in place) for row in after] == sorted(
        tuple(row[name] for name in place) for row in rows
    )
    assert {row["state"] for row in after} <= {"accepted", "duplicate", "quarantined"}
    reached = {
        tuple(row[name] for name in place): any(spoken_of(row, row["reasons"], asked) for asked in releases)
        for row in before
    }
    shared = {row["event_id"] for row in before if reached[tuple(row[name] for name in place)]}
    for old, new in zip(before, after, strict=True):
        if not reached[tuple(old[name] for name in place)] and old["event_id"] not in shared - {None}:
            assert new == old
    assert {row["released_on"] for row in after if row["state"] == "quarantined"} <= {None}


@given(drawn=LINES, releases=RELEASES)
@hypothesis_settings(max_examples=8, deadline=None)
def test_days_planned_hold_every_line_whose_state_changes_whether_keys_are_old_or_new(
    drawn: Rows, releases: list[Release]
) -> None:
    rows = rows_of(drawn)
    raw = make_table(ENGINE, RAW_EVENTS, rows)
    found = []
    for keys in (keys_of(ENGINE, rows), keys_of(ENGINE, rows, *releases)):
        planned = released_lines(raw, keys, releases, dedup_days=7).to_pyarrow().to_pylist()
        found.append({(row["day"], row["occurred_day"]) for row in planned})
    for old, new in zip(states(ENGINE, rows), states(ENGINE, rows, *releases), strict=True):
        if old != new:
            assert (new["day"], new["occurred_day"]) in found[0]
    assert found[0] == found[1]


def test_new_lines_in_released_days_may_be_as_late_as_they_like_and_others_not(backend: Backend) -> None:
    next_day = DAY + timedelta(days=1)
    rows = [
        line(1, file="new", occurred_at=NOON - timedelta(days=30)),
        line(2, file="new", occurred_at=NOON + timedelta(days=9)),
        line(3, file="new", received=next_day, occurred_at=NOON - timedelta(days=40)),
    ]
    raw = make_table(backend, RAW_EVENTS, rows)
    found = affected_days(raw, ["new"], dedup_days=7, late_days=3, unbounded=[(DAY, DAY)])
    assert found.to_pyarrow()["day"].to_pylist() == [DAY - timedelta(days=30), DAY, next_day]


def test_a_name_within_another_is_not_that_name(backend: Backend) -> None:
    table = make_table(
        backend, EVENT_KEYS, [{"day": DAY, "file_hash": "f", "line": 1, "reasons": "unit_price_absurd,too_late"}]
    )
    found = table.select(
        whole=names(table.reasons, "too_late"), part=names(table.reasons, "late"), null=names(table.waived, "too_late")
    )
    assert found.to_pyarrow().to_pylist() == [{"whole": True, "part": False, "null": False}]
