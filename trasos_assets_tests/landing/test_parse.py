"""Every landed line becomes one row, whatever it holds; what cannot be read is null, named and kept."""

import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.landing import lines
from trasos_assets.landing.blocks import NO_UTF8, UnreadableFileError
from trasos_assets.landing.parse import MAX_DEPTH, Delivery, read_deliveries
from trasos_assets.landing.streams import file_signature
from trasos_assets.trust import classify
from trasos_assets_tests.conftest import Backend

DAY = date(2026, 3, 10)
Parse = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def parse(tmp_path: Path, backend: Backend) -> Parse:
    """Rows of some lines (text, or what becomes JSON), without the values that are null."""

    def run(
        *content: str | dict[str, Any] | bytes,
        dataset: str = "events",
        timezone: str = "UTC",
        max_line_bytes: int = 10**6,
    ) -> list[dict[str, Any]]:
        path = tmp_path / "lines.jsonl"
        texts = [json.dumps(one) if isinstance(one, dict) else one for one in content]
        path.write_bytes(b"\n".join(text.encode() if isinstance(text, str) else text for text in texts))
        table = read_deliveries(
            backend,
            dataset,
            [Delivery("d1", dataset, path, DAY)],
            timezone=timezone,
            max_line_bytes=max_line_bytes,
            max_file_bytes=10**9,
        )
        rows = table.order_by("line").to_pyarrow().to_pylist()
        return [{key: value for key, value in row.items() if value is not None} for row in rows]

    return run


BOOKS = {"day": DAY, "file_hash": "d1", "line": 1}
WHOLE = {
    "event_id": "e1",
    "event_type": "purchase",
    "occurred_at": "2026-03-10T09:30:00.123456Z",
    "received_at": "2026-03-10T09:30:01Z",
    "visitor_id": "v1",
    "customer_id": "c1",
    "session_id": "s1",
    "item_id": "i1",
    "quantity": 2,
    "unit_price": 19.99,
    "currency": "GBP",
    "order_id": "o1",
    "request_id": "r1",
    "slot": "home",
    "position": 3,
    "channel": "email",
    "campaign": "spring",
    "device": "mobile",
    "country": "GB",
    "user_agent": "Mozilla/5.0",
    "is_test": False,
}


def test_a_whole_line_is_read_with_the_types_of_its_columns(parse: Parse) -> None:
    (row,) = parse(WHOLE)
    assert row == BOOKS | WHOLE | {
        "occurred_at": datetime(2026, 3, 10, 9, 30, 0, 123456),
        "received_at": datetime(2026, 3, 10, 9, 30, 1),
        "unit_price": Decimal("19.9900"),
        "occurred_day": DAY,
    }


@pytest.mark.parametrize("dataset", FORMATS)
def test_a_raw_table_has_the_columns_and_types_of_its_contract(dataset: str, tmp_path: Path, backend: Backend) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    for deliveries in ([], [Delivery("d1", dataset, path, DAY)]):
        table = read_deliveries(backend, dataset, deliveries, timezone="UTC", max_line_bytes=1000, max_file_bytes=1000)
        schema = {name: str(dtype.copy(nullable=True)) for name, dtype in table.schema().items()}
        assert schema == CONTRACTS[f"raw_{dataset}"].types
        assert table.count().to_pyarrow().as_py() == len(deliveries)


def test_a_line_of_every_data_set_is_read(parse: Parse) -> None:
    assert parse(
        {"item_id": "i1", "kind": "product", "price": "5", "stock": 7, "available": True}, dataset="catalogue"
    ) == [BOOKS | {"item_id": "i1", "kind": "product", "price": Decimal("5.0000"), "stock": 7, "available": True}]
    spend = {"spend_day": "2026-03-09", "channel": "search", "campaign": "all", "cost": 12.5, "clicks": 3_000_000_000}
    assert parse(spend, dataset="marketing_spend") == [
        BOOKS | spend | {"spend_day": date(2026, 3, 9), "cost": Decimal("12.5000")}
    ]
    arm = {"experiment": "x", "unit_id": "v1", "arm": "control", "assigned_at": "2026-03-10T00:00:00Z"}
    assert parse(arm, dataset="assignments") == [BOOKS | arm | {"assigned_at": datetime(2026, 3, 10)}]


MALFORMED_LINES = {
    "text": "hello",
    "half": '{"event_id": "e1"',
    "array": '[{"event_id": "e1"}]',
    "string": '"e1"',
    "number": "17",
    "null": "null",
    "two objects": '{"event_id": "e1"} {"event_id": "e2"}',
    "single quotes": "{'event_id': 'e1'}",
    "control character": '{"event_id": "a\tb"}',
    "NUL": '{"event_id": "a\x00b"}',
    "lone surrogate": '{"event_id": "a\\ud800b"}',
    "brace": "{",
    "XML": "<event id='1'/>",
    "CSV": "e1,page_view,2026-03-10",
}


@pytest.mark.parametrize("text", MALFORMED_LINES.values(), ids=MALFORMED_LINES)
def test_a_line_that_is_no_json_object_is_kept_whole(parse: Parse, text: str) -> None:
    good = {"event_id": "e2"}
    assert parse(text, good) == [BOOKS | {"problems": "malformed", "raw": text}, BOOKS | {"line": 2, "event_id": "e2"}]


def test_bytes_that_are_no_utf8_do_not_stop_the_file(parse: Parse) -> None:
    rows = parse(b'{"event_id": "caf\xe9"}', b"\xff\xfe\x00", {"event_id": "e3"})
    assert [row.get("event_id") for row in rows] == ["caf" + NO_UTF8, None, "e3"]
    assert [row.get("problems") for row in rows] == ["invalid_utf8", "malformed", None]


WRONG_VALUES: dict[str, tuple[str, str]] = {
    "2^31 in an integer": ("quantity", "2147483648"),
    "2^63 in an integer": ("quantity", "9223372036854775808"),
    "a fraction of a piece": ("quantity", "1.5"),
    "NaN in an integer": ("quantity", "NaN"),
    "a truth value in an integer": ("quantity", "true"),
    "an empty integer": ("quantity", '""'),
    "hexadecimal": ("quantity", '"0x10"'),
    "underscores": ("quantity", '"1_000"'),
    "a formula": ("quantity", '"=1+1"'),
    "an array for an integer": ("quantity", "[1]"),
    "NaN price": ("unit_price", "NaN"),
    "NaN as text": ("unit_price", '"nan"'),
    "infinite price": ("unit_price", "Infinity"),
    "infinite as text": ("unit_price", '"-inf"'),
    "a price beyond the type": ("unit_price", "1e400"),
    "15 digits before the point": ("unit_price", "123456789012345"),
    "price with a sign": ("unit_price", '"£5"'),
    "price with commas": ("unit_price", '"1,000.00"'),
    "decimal comma": ("unit_price", '"5,99"'),
    "object for a price": ("unit_price", '{"amount": 5}'),
    "no date": ("occurred_at", '"yesterday"'),
    "infinite time": ("occurred_at", '"infinity"'),
    "minus infinite time": ("occurred_at", '"-infinity"'),
    "epoch": ("occurred_at", '"epoch"'),
    "milliseconds": ("occurred_at", "1773135000000"),
    "before our era": ("occurred_at", '"2026-03-10 (BC)"'),
    "year 0": ("occurred_at", '"0000-12-31T00:00:00Z"'),
    "year 10000 in UTC": ("occurred_at", '"9999-12-31T23:59:59-05:00"'),
    "year 0 in UTC": ("occurred_at", '"0001-01-01T00:00:00+14:00"'),
    "five-digit year": ("occurred_at", '"12026-03-10T00:00:00Z"'),
    "day 30 of February": ("occurred_at", '"2026-02-30T00:00:00Z"'),
    "hour 25": ("occurred_at", '"2026-03-10T25:00:00Z"'),
    "American date": ("occurred_at", '"03/10/2026"'),
    "empty time": ("occurred_at", '""'),
    "word for a truth value": ("is_test", '"yes"'),
    "number for a truth value": ("is_test", "1"),
    "object for an id": ("visitor_id", '{"id": "v1"}'),
    "array for an id": ("visitor_id", '["v1", "v2"]'),
}


@pytest.mark.parametrize(("field", "value"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_a_value_of_another_type_is_null_and_named_and_the_line_is_kept(parse: Parse, field: str, value: str) -> None:
    text = f'{{"event_id": "e1", "{field}": {value}, "slot": "home"}}'
    assert parse(text) == [BOOKS | {"event_id": "e1", "slot": "home", "problems": f"invalid_{field}", "raw": text}]


def test_all_problems_of_a_line_are_named(parse: Parse) -> None:
    (row,) = parse({"quantity": "x", "unit_price": "y", "is_test": "z", "occurred_at": "w", "position": 1})
    assert row["problems"] == "invalid_occurred_at,invalid_quantity,invalid_unit_price,invalid_is_test"
    assert row["position"] == 1


RIGHT_VALUES: dict[str, tuple[str, str, Any]] = {
    "number as text": ("quantity", '" 5 "', 5),
    "negative number": ("quantity", "-2147483648", -(2**31)),
    "price as text": ("unit_price", '"5.5"', Decimal("5.5000")),
    "price with exponent": ("unit_price", "1e2", Decimal("100.0000")),
    "negative price": ("unit_price", "-0.01", Decimal("-0.0100")),
    "tenths": ("unit_price", "0.1", Decimal("0.1000")),
    "14 digits before the point": ("unit_price", "12345678901234", Decimal("12345678901234.0000")),
    "more digits than money has": ("unit_price", "1.00005", Decimal("1.0001")),
    "truth value as text": ("is_test", '"True"', True),
    "number as an id": ("visitor_id", "17850", "17850"),
    "an id beyond 2^64": ("visitor_id", "123456789012345678901234567890", "123456789012345678901234567890"),
    "text that looks like an array": ("visitor_id", '"[v1]"', "[v1]"),
    "text that looks like an object": ("visitor_id", '"{v1}"', "{v1}"),
    "escaped NUL": ("visitor_id", '"a\\u0000b"', "a\x00b"),
    "emoji": ("visitor_id", '"\\ud83d\\ude00"', "😀"),
    "empty text": ("visitor_id", '""', ""),
    "no zone is UTC": ("received_at", '"2026-03-10T10:00:00"', datetime(2026, 3, 10, 10)),
    "blank for T": ("received_at", '"2026-03-10 10:00:00Z"', datetime(2026, 3, 10, 10)),
    "offset": ("received_at", '"2026-03-10T10:00:00+05:30"', datetime(2026, 3, 10, 4, 30)),
    "offset without colon": ("received_at", '"2026-03-10T10:00:00-0800"', datetime(2026, 3, 10, 18)),
    "nanoseconds": ("received_at", '"2026-03-10T10:00:00.123456789Z"', datetime(2026, 3, 10, 10, 0, 0, 123456)),
    "a day alone": ("received_at", '"2026-03-10"', datetime(2026, 3, 10)),
    "first instant": ("received_at", '"0001-01-01T00:00:00Z"', datetime.min),
    "last instant": ("received_at", '"9999-12-31T23:59:59.999999Z"', datetime.max),
}


@pytest.mark.parametrize(("field", "value", "expected"), RIGHT_VALUES.values(), ids=RIGHT_VALUES)
def test_a_value_of_the_columns_type_is_read(parse: Parse, field: str, value: str, expected: Any) -> None:
    assert parse(f'{{"{field}": {value}}}') == [BOOKS | {field: expected}]


def test_an_explicit_null_is_an_absent_field(parse: Parse) -> None:
    assert parse({"event_id": "e1", "quantity": None, "visitor_id": None}) == [BOOKS | {"event_id": "e1"}]


@pytest.mark.parametrize(
    ("occurred_at", "timezone", "day"),
    [
        ("2026-03-28T23:59:59.999999Z", "Europe/London", date(2026, 3, 28)),
        ("2026-03-29T00:00:00Z", "Europe/London", date(2026, 3, 29)),
        ("2026-03-29T22:59:59Z", "Europe/London", date(2026, 3, 29)),
        ("2026-03-29T23:00:00Z", "Europe/London", date(2026, 3, 30)),
        ("2026-10-24T22:59:59Z", "Europe/London", date(2026, 10, 24)),
        ("2026-10-24T23:00:00Z", "Europe/London", date(2026, 10, 25)),
        ("2026-10-25T23:59:59Z", "Europe/London", date(2026, 10, 25)),
        ("2026-10-26T00:00:00Z", "Europe/London", date(2026, 10, 26)),
        ("2026-03-10T23:30:00Z", "UTC", date(2026, 3, 10)),
        ("2026-03-10T23:30:00+01:00", "UTC", date(2026, 3, 10)),
        ("2026-03-11T00:30:00+01:00", "UTC", date(2026, 3, 10)),
        ("2026-03-10T15:00:00Z", "Asia/Tokyo", date(2026, 3, 11)),
        ("2026-03-10T04:59:59Z", "America/Bogota", date(2026, 3, 9)),
        ("0001-01-01T00:00:00Z", "America/Bogota", date(1, 1, 1)),
        ("9999-12-31T23:59:59Z", "Asia/Tokyo", date(9999, 12, 31)),
    ],
)
def test_the_day_is_that_of_the_business_time_zone(parse: Parse, occurred_at: str, timezone: str, day: date) -> None:
    (row,) = parse({"occurred_at": occurred_at}, timezone=timezone)
    assert row["occurred_day"] == day


@pytest.mark.parametrize("timezone", ["UTC", "Europe/London"])
def test_a_line_without_time_has_no_day(parse: Parse, timezone: str) -> None:
    rows = parse({"event_id": "e1"}, "malformed", timezone=timezone)
    assert not any("occurred_day" in row for row in rows)


def test_unknown_fields_land_in_extra(parse: Parse) -> None:
    (row,) = parse(
        {"event_id": "e1", "colour": "red", "nested": {"event_id": 1, "list": [1, None, {"a": "b"}]}, "n": None}
    )
    assert json.loads(row["extra"]) == {
        "colour": "red",
        "nested": {"event_id": 1, "list": [1, None, {"a": "b"}]},
        "n": None,
    }


def test_names_are_told_apart_by_case(parse: Parse) -> None:
    (row,) = parse({"Event_ID": "e1"})
    assert row == BOOKS | {"extra": '{"Event_ID":"e1"}'}


def test_a_key_given_twice_is_named_since_nobody_knows_which_value_is_meant(parse: Parse) -> None:
    for text in ('{"event_id": "a", "event_id": "b"}', '{"event_id": "a", "new": 1, "new": 1}'):
        (row,) = parse(text)
        assert (row["event_id"], row["problems"], row["raw"]) == ("a", "duplicate_key", text)


def test_a_line_over_the_limit_is_named_and_its_beginning_kept(parse: Parse) -> None:
    text = json.dumps({"event_id": "e1", "slot": "x" * 2000})
    rows = parse(text, {"event_id": "e2"}, max_line_bytes=1000)
    assert rows[0] == BOOKS | {"problems": "line_too_long", "raw": text[:1000]}
    assert rows[1]["event_id"] == "e2"


def test_a_line_of_just_the_limit_is_read(parse: Parse) -> None:
    text = json.dumps({"slot": "é" * 100}, ensure_ascii=False)
    size = len(text.encode())
    assert "problems" not in parse(text, max_line_bytes=size)[0]
    assert parse(text, max_line_bytes=size - 1)[0]["problems"] == "line_too_long"


def test_a_string_of_a_megabyte_is_read_whole_where_the_limit_allows_it(parse: Parse) -> None:
    (row,) = parse({"user_agent": "x" * (1 << 20)}, max_line_bytes=2 << 20)
    assert len(row["user_agent"]) == 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        '{"zz": ' + "[" * 400_000 + "]" * 400_000 + "}",
        '{"zz": ' * 150_000 + "1" + "}" * 150_000,
        '{"zz": ' + "[" * 5000,
    ],
    ids=["arrays", "objects", "never closed"],
)
def test_json_nested_as_deep_as_a_hostile_line_allows_ends_no_process(parse: Parse, text: str) -> None:
    rows = parse(text, {"event_id": "e2"}, max_line_bytes=2_000_000)
    assert rows == [BOOKS | {"problems": "nested_too_deep", "raw": text}, BOOKS | {"line": 2, "event_id": "e2"}]


@pytest.mark.parametrize(
    "value",
    [
        "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1),
        json.dumps([[1]] * 5000),
        json.dumps("[{" * 5000),
        json.dumps('\\"[' * 5000),
    ],
    ids=["as deep as allowed", "broad", "brackets in text", "brackets after quotes in text"],
)
def test_many_brackets_alone_are_no_depth(parse: Parse, value: str) -> None:
    (row,) = parse(f'{{"event_id": "e1", "zz": {value}}}')
    assert row["event_id"] == "e1"
    assert "problems" not in row


HOSTILE = [
    '=HYPERLINK("http://evil")',
    "<script>alert(1)</script>",
    "'; DROP TABLE raw_events; --",
    "../../etc/passwd",
    "%00%0a",
    "{{7*7}} ${7*7}",
    "\u202egnp.exe",
    "a\\b\"c'd",
    "\x7f\x85",
    "NULL",
    "\ufeff",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_passes_through_unchanged(parse: Parse, text: str) -> None:
    (row,) = parse({"event_id": text, "zz": text, text: 1})
    assert row["event_id"] == text
    assert json.loads(row["extra"]) == {"zz": text, text: 1}


def test_every_line_of_several_deliveries_becomes_one_row_under_its_delivery(tmp_path: Path, backend: Backend) -> None:
    deliveries = []
    for number in range(3):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("\n".join(["{}", "", "bad", '{"event_id": "e"}'][: number + 2]))
        deliveries.append(Delivery(f"d{number}", "events", path, date(2026, 3, 10 + number)))
    told: list[tuple[str, int]] = []
    table = read_deliveries(
        backend,
        "events",
        deliveries,
        timezone="UTC",
        max_line_bytes=1000,
        max_file_bytes=1000,
        progress=lambda delivery, rows: told.append((delivery.delivery, rows)),
    )
    rows = table.order_by("day", "line").select("day", "file_hash", "line").to_pyarrow().to_pylist()
    assert [(row["day"].day, row["file_hash"], row["line"]) for row in rows] == [
        (10, "d0", 1),
        (11, "d1", 1),
        (11, "d1", 3),
        (12, "d2", 1),
        (12, "d2", 3),
        (12, "d2", 4),
    ]
    assert told == [("d0", 1), ("d1", 2), ("d2", 3)]


def test_blocks_of_any_size_give_the_same_rows(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    content = [WHOLE, "bad", b"\xff", "", {"event_id": "e2", "zz": [[1]] * 600}]
    whole = parse(*content)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 64)
    assert parse(*content) == whole
    assert len(whole) == 4


def test_a_file_that_changed_since_the_ledger_looked_is_refused(tmp_path: Path, backend: Backend) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")
    delivery = Delivery("d1", "events", path, DAY, file_signature(path))

    def read() -> object:
        return read_deliveries(backend, "events", [delivery], timezone="UTC", max_line_bytes=1000, max_file_bytes=1000)

    read()
    path.write_text("{}\n{}\n")
    with pytest.raises(UnreadableFileError, match=r"a\.jsonl: changed since the ledger looked at it") as error:
        read()
    assert error.value.waiting


def test_problems_of_unread_lines_are_known_to_classify() -> None:
    from trasos_assets.landing import parse as module

    assert classify.UNREAD == module.UNREAD
