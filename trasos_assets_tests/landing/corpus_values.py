"""Hostile values of event lines: numbers, times, and the edges of days and time zones."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from trasos_assets_tests.landing.corpus import ACCEPTED, BUY, DAY, Case, Outcome, accepted, line, refused

SPRING = "2026-03-29"


def _price(name: str, value: str, *reasons: str) -> Case:
    return refused(name, *(reasons or ("invalid_unit_price",)), literal={"unit_price": value})


def _quantity(name: str, value: str, *reasons: str) -> Case:
    return refused(name, *(reasons or ("invalid_quantity",)), literal={"quantity": value})


def _bad_time(name: str, value: str) -> Case:
    return refused(name, "invalid_occurred_at", occurred_at=value)


def _time(name: str, value: str, expected: datetime) -> Case:
    return accepted(name, occurred_at=value, expect={"occurred_at": expected})


NUMBERS = (
    _price("NaN price", "NaN"),
    _price("NaN price as text", '"NaN"'),
    _price("infinite price", "Infinity"),
    _price("minus infinite price", "-Infinity"),
    _price("infinite price as text", '"-inf"'),
    _price("price beyond doubles", "1e400"),
    _price("price of 2^63", "9223372036854775808"),
    _price("price in hexadecimal", '"0xff"'),
    _price("price with thousands separators", '"1,000.00"'),
    _price("price with a currency sign", '"£5"'),
    _price("price as a formula", '"=1+1"'),
    _price("price as an object", '{"amount": 5}'),
    _price("price as a truth value", "true"),
    _price("empty price", '""'),
    _price("negative price", "-5", "negative_unit_price"),
    _price("price just below zero", "-0.0001", "negative_unit_price"),
    _price("absurd price", "12345678901234", "unit_price_absurd"),
    _price("price just above the limit", "1000000.0001", "unit_price_absurd"),
    accepted("price at the limit", unit_price=1_000_000, expect={"unit_price": Decimal(1_000_000)}),
    accepted("price of minus zero", literal={"unit_price": "-0.0"}, expect={"unit_price": Decimal(0)}),
    accepted("price with an exponent", literal={"unit_price": "1.5E+1"}, expect={"unit_price": Decimal(15)}),
    accepted("price as text", unit_price="19.99", expect={"unit_price": Decimal("19.99")}),
    accepted("a free order line", **(BUY | {"order_id": "o-free", "unit_price": 0}), expect={"unit_price": Decimal(0)}),
    refused(
        "an order line with a NaN price",
        "invalid_unit_price",
        "incomplete_order_line",
        **BUY | {"unit_price": float("nan")},
    ),
    _quantity("quantity of 2^31", str(2**31)),
    _quantity("quantity of 2^63", str(2**63)),
    _quantity("quantity of minus 2^63 and one", str(-(2**63) - 1)),
    _quantity("quantity of a hundred digits", "9" * 100),
    _quantity("fraction of a piece", "1.5"),
    _quantity("NaN quantity", "NaN"),
    _quantity("quantity in a list", "[1]"),
    _quantity("zero quantity", "0", "quantity_not_positive"),
    _quantity("least integer as quantity", str(-(2**31)), "quantity_not_positive"),
    _quantity("greatest integer as quantity", str(2**31 - 1), "quantity_absurd"),
    accepted("quantity as text", quantity="2", expect={"quantity": 2}),
    refused("position zero", "position_not_positive", position=0),
    refused("position of 2^63", "invalid_position", position=2**63),
    refused("truth value as a word", "invalid_is_test", is_test="yes"),
    refused("truth value as a number", "invalid_is_test", is_test=1),
)

TIMES = (
    refused("year 1", "before_first_day", "too_late", occurred_at="0001-01-01T00:00:00Z"),
    refused(
        "year 9999", "occurred_after_received", "occurred_after_its_folder", occurred_at="9999-12-31T23:59:59.999999Z"
    ),
    refused("received in year 9999", "too_late", received_at="9999-12-31T23:59:59Z"),
    refused("received in year 1", "occurred_after_received", received_at="0001-01-01T00:00:00Z"),
    _bad_time("year 0", "0000-12-31T00:00:00Z"),
    _bad_time("year 10000 in UTC", "9999-12-31T23:59:59-01:00"),
    _bad_time("year 0 in UTC", "0001-01-01T00:00:00+01:00"),
    _bad_time("five-digit year", "12025-10-26T12:00:00Z"),
    _bad_time("before our era", "2025-10-26 (BC)"),
    _bad_time("infinity as a time", "infinity"),
    _bad_time("epoch as a word", "epoch"),
    refused("epoch seconds", "invalid_occurred_at", occurred_at=1761480000),
    refused("epoch of a clock that was never set", "before_first_day", "too_late", occurred_at="1970-01-01T00:00:00Z"),
    _bad_time("day 30 of February", "2025-02-30T12:00:00Z"),
    _bad_time("day 29 of February in no leap year", "2025-02-29T12:00:00Z"),
    _bad_time("hour 25", f"{DAY}T25:00:00Z"),
    _bad_time("second 61", f"{DAY}T11:00:61Z"),
    refused(
        "offset of thirty hours",
        "invalid_occurred_at",
        occurred_at=f"{DAY}T11:00:00+30:00",
    ),
    _bad_time("American date", "10/26/2025 11:00"),
    _bad_time("empty time", ""),
    _bad_time("time as a formula", "=NOW()"),
    _time("offset of fourteen hours", "2025-10-27T01:30:00+14:00", datetime(2025, 10, 26, 11, 30)),
    _time("offset of minus twelve hours", "2025-10-25T23:30:00-12:00", datetime(2025, 10, 26, 11, 30)),
    _time("offset of quarters of an hour", f"{DAY}T16:45:00+05:45", datetime(2025, 10, 26, 11)),
    _time("time without a zone is UTC", f"{DAY}T01:30:00", datetime(2025, 10, 26, 1, 30)),
    _time("nanoseconds", f"{DAY}T11:00:00.123456789Z", datetime(2025, 10, 26, 11, 0, 0, 123456)),
    refused("clock ahead by a second", "occurred_after_received", occurred_at=f"{DAY}T12:00:02Z"),
    refused("clock ahead by a microsecond", "occurred_after_received", occurred_at=f"{DAY}T12:00:01.000001Z"),
    refused(
        "clock ahead by a day",
        "occurred_after_received",
        "occurred_after_its_folder",
        occurred_at="2025-10-27T12:00:00Z",
    ),
    refused(
        "both clocks ahead by a day",
        "occurred_after_its_folder",
        occurred_at="2025-10-27T12:00:00Z",
        received_at="2025-10-27T12:00:01Z",
    ),
    refused("late by a second too much", "too_late", occurred_at="2025-10-23T12:00:00Z"),
    accepted(
        "late by just as much as is allowed", occurred_at="2025-10-23T12:00:01Z", expect={"day": date(2025, 10, 23)}
    ),
    accepted("clock behind by a day", occurred_at="2025-10-25T12:00:00Z", expect={"day": date(2025, 10, 25)}),
)

DST = (
    accepted(
        "last second of the summer's last whole day",
        occurred_at="2025-10-25T22:59:59Z",
        expect={"day": date(2025, 10, 25)},
    ),
    accepted(
        "first second of the day of 25 hours", occurred_at="2025-10-25T23:00:00Z", expect={"day": date(2025, 10, 26)}
    ),
    Case(
        "half past one before and after the clocks go back",
        (
            line("summer half past one", occurred_at=f"{DAY}T01:30:00+01:00"),
            line("winter half past one", occurred_at=f"{DAY}T01:30:00+00:00"),
        ),
        (
            Outcome(ACCEPTED, values={"occurred_at": datetime(2025, 10, 26, 0, 30)}),
            Outcome(ACCEPTED, values={"occurred_at": datetime(2025, 10, 26, 1, 30)}),
        ),
    ),
    accepted(
        "last instant of the day of 25 hours",
        occurred_at=f"{DAY}T23:59:59.999999Z",
        received_at="2025-10-27T00:00:00Z",
        expect={"day": date(2025, 10, 26)},
    ),
    refused(
        "first instant after the day of 25 hours",
        "occurred_after_its_folder",
        occurred_at="2025-10-27T00:00:00Z",
        received_at="2025-10-27T00:00:00Z",
    ),
    accepted(
        "half past one in the hour that the clocks leave out",
        day=SPRING,
        occurred_at=f"{SPRING}T01:30:00Z",
        received_at=f"{SPRING}T01:30:01Z",
        expect={"occurred_at": datetime(2026, 3, 29, 1, 30), "day": date(2026, 3, 29)},
    ),
    accepted(
        "last second of the day of 23 hours",
        day=SPRING,
        occurred_at=f"{SPRING}T22:59:59Z",
        received_at=f"{SPRING}T22:59:59Z",
        expect={"day": date(2026, 3, 29)},
    ),
    refused(
        "first second after the day of 23 hours",
        "occurred_after_its_folder",
        day=SPRING,
        occurred_at=f"{SPRING}T23:00:00Z",
        received_at=f"{SPRING}T23:00:00Z",
    ),
)

VALUE_CASES = (*NUMBERS, *TIMES, *DST)
