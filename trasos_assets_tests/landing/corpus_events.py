"""Hostile event lines: their structure, their texts, and ids that come again."""

from __future__ import annotations

import json
from datetime import datetime

from trasos_assets_tests.landing.corpus import (
    ABSENT,
    ACCEPTED,
    BUY,
    DAY,
    DUPLICATE,
    Case,
    Outcome,
    accepted,
    line,
    quarantined,
    refused,
)
from trasos_assets_tests.landing.corpus_values import VALUE_CASES

WITHOUT_FIELDS = (
    "missing_event_id",
    "missing_event_type",
    "missing_occurred_at",
    "missing_received_at",
    "no_visitor_or_customer",
)


def _malformed(name: str, content: str | bytes) -> Case:
    return refused(name, "malformed", content=content if isinstance(content, bytes) else content.encode())


_WHOLE = line("whole").decode()
STRUCTURE = (
    _malformed("no JSON", "hello"),
    _malformed("half a line", _WHOLE[: len(_WHOLE) // 2]),
    _malformed("an array instead of an object", f"[{_WHOLE}]"),
    _malformed("a string instead of an object", json.dumps(_WHOLE)),
    _malformed("a number instead of an object", "17"),
    _malformed("null instead of an object", "null"),
    _malformed("two objects on a line", _WHOLE + _WHOLE),
    _malformed("a comma after the object", _WHOLE + ","),
    _malformed("a comment after the object", _WHOLE + " // done"),
    accepted("a comma after the last field", content=line("comma")[:-1] + b",}"),
    _malformed("single quotes", _WHOLE.replace('"', "'")),
    _malformed("keys without quotes", '{event_id: "e1"}'),
    _malformed("a byte order mark amid the file", b"\xef\xbb\xbf" + line("marked")),
    _malformed("a NUL byte", line("nul").replace(b"nul", b"n\x00l")),
    _malformed("only NUL bytes", b"\x00" * 100),
    _malformed("a control character", line("control").replace(b"control", b"con\ttrol")),
    _malformed("a lone surrogate", line("surrogate").replace(b"surrogate", b"\\ud800")),
    _malformed("CSV", "e1,page_view,2025-10-26T12:00:00Z"),
    _malformed("SQL", "'; DROP TABLE raw_events; --"),
    refused("an empty object", *WITHOUT_FIELDS, content=b"{}"),
    refused("nothing but unknown fields", *WITHOUT_FIELDS, content=b'{"a": 1, "EVENT_ID": "e1", "event_id ": "e1"}'),
    refused("no event id", "missing_event_id", event_id=ABSENT),
    refused("null event id", "missing_event_id", event_id=None),
    refused("event id as an object", "invalid_event_id", event_id={"$oid": "1"}),
    refused("event id as a list", "invalid_event_id", event_id=["a", "b"]),
    refused("event id of 257 characters", "event_id_too_long", event_id="x" * 257),
    refused("event id of a megabyte", "line_too_long", event_id="x" * (1 << 20)),
    refused("event id of 900,000 characters", "event_id_too_long", event_id="x" * 900_000),
    refused("no type", "missing_event_type", event_type=ABSENT),
    refused("unknown type", "unknown_event_type", event_type="teleport"),
    refused("type in capitals", "unknown_event_type", event_type="PAGE_VIEW"),
    refused("type with a blank after it", "unknown_event_type", event_type="page_view "),
    refused("no visitor and no customer", "no_visitor_or_customer", visitor_id=ABSENT),
    refused("another currency", "foreign_currency", currency="USD"),
    refused("currency in small letters", "foreign_currency", currency="gbp"),
    refused("purchase without an order", "incomplete_order_line", **BUY | {"order_id": ABSENT}),
    refused(
        "cancellation without a price",
        "incomplete_order_line",
        **BUY | {"event_type": "cancellation", "unit_price": ABSENT},
    ),
    refused("impression without a request", "incomplete_impression", event_type="impression", item_id="i1"),
    refused("login without a customer", "login_without_customer", event_type="login"),
    refused(
        "everything wrong at once",
        *("invalid_occurred_at", "invalid_quantity", "invalid_unit_price", "missing_received_at"),
        *("unknown_event_type", "no_visitor_or_customer", "position_not_positive", "foreign_currency"),
        literal={"unit_price": "NaN", "quantity": str(2**63)},
        event_type="x",
        occurred_at="never",
        received_at=ABSENT,
        visitor_id=ABSENT,
        position=-1,
        currency="€",
    ),
    accepted(
        "unknown fields beside the known",
        colour="red",
        nested={"event_id": "no", "list": [1, None]},
        expect={"slot": None},
    ),
    accepted(
        "known names with other letters beside",
        Visitor_ID="other",
        expect={"visitor_id": "known names with other letters beside v"},
    ),
    accepted(
        "hostile names of unknown fields", **{"__proto__": {"a": 1}, "": 2, "$.event_id": "x", "a.b": 3, "'; --": 4}
    ),
    accepted("brackets that are no depth", slot=json.dumps([[1]] * 5000), expect={"slot": json.dumps([[1]] * 5000)}),
    accepted(
        "900 levels of an unknown field", literal={"slot": '"s","z":' + "[" * 900 + "]" * 900}, expect={"slot": "s"}
    ),
    refused("400,000 nested arrays", "nested_too_deep", literal={"z": "[" * 400_000 + "]" * 400_000}),
    refused("150,000 nested objects", "nested_too_deep", content=b'{"z":' * 150_000 + b"1" + b"}" * 150_000),
    refused("brackets that never close", "nested_too_deep", content=b'{"z":' + b"[" * 5000),
    refused("a string of a megabyte", "line_too_long", user_agent="x" * (1 << 20)),
    accepted("a string of 900,000 characters", user_agent="y" * 900_000, expect={"user_agent": "y" * 900_000}),
    accepted("explicit nulls", customer_id=None, quantity=None, currency=None, is_test=None, expect={"quantity": None}),
    refused(
        "a key twice with two values",
        "duplicate_key",
        content=line("twice")[:-1] + b', "unit_price": 1, "unit_price": 2}',
    ),
    refused(
        "the event id twice",
        "duplicate_key",
        content=line("twice the id")[:-1] + b', "event_id": "another"}',
    ),
    refused(
        "a key twice, once escaped",
        "duplicate_key",
        content=line("twice escaped")[:-1] + b', "quantity": 1, "quantit\\u0079": 2}',
    ),
)

_NAMES = {
    "script": "<script>alert(1)</script>",
    "image with a handler": '"><img src=x onerror=alert(1)>',
    "formula": "=cmd|'/C calc'!A0",
    "formula with a plus": "+1+cmd|' /C calc'!A0",
    "SQL injection": "'; DROP TABLE clean_events; --",
    "template": "{{7*7}} ${7*7} <%= 7*7 %>",
    "right-to-left": "\u202egnp.exe قميص",
    "emoji": "👩‍👩‍👧 dress 👗🏽",
    "zero width": "a\u200bb\ufeffc",
    "lone quotes and backslashes": "a\\b\"c'd",
    "line separators": "a\u2028b\u2029c\u0085d",
    "words for nothing": "NULL",
    "escaped NUL": "a\x00b",
    "escaped line feed": "a\nb\r\nc",
}
_PATHS = {
    "path up and out": "../../etc/passwd",
    "absolute path": "/etc/passwd",
    "Windows path": "..\\..\\windows\\system32\\config",
    "encoded path": "%2e%2e%2fetc%2fpasswd%00.html",
    "partition in a name": "day=2020-01-01/part-0.parquet",
    "URL": "file:///etc/passwd",
    "shell": "$(touch /tmp/owned); `id`",
}
TEXT = (
    *(
        accepted(f"{name} in names", campaign=text, channel=text, slot=text, user_agent=text, expect={"campaign": text})
        for name, text in _NAMES.items()
    ),
    *(
        accepted(
            f"{name} in ids",
            event_id=text,
            visitor_id=text,
            customer_id=text,
            session_id=text,
            channel=text,
            **BUY | {"item_id": text, "order_id": text},
            expect={"visitor_id": text, "item_id": text, "order_id": text},
        )
        for name, text in (_NAMES | _PATHS).items()
    ),
    Case(
        "a channel of script with more sessions than any other",
        tuple(
            line(f"visit {n}", session_id=f"s{n}", item_id="i1", channel=_NAMES["script"], campaign=_NAMES["formula"])
            for n in range(9)
        ),
        (Outcome(ACCEPTED, values={"channel": _NAMES["script"]}),) * 9,
    ),
    accepted("number as an id", literal={"visitor_id": "17850"}, expect={"visitor_id": "17850"}),
    accepted("number beyond 2^64 as an id", literal={"visitor_id": "9" * 30}, expect={"visitor_id": "9" * 30}),
    refused("empty event id", "empty_id", event_id=ABSENT, content=line("x").replace(b'"x e"', b'""')),
    refused("empty visitor id", "empty_id", content=line("empty visitor").replace(b'"empty visitor v"', b'""')),
    refused("blank visitor id", "empty_id", visitor_id=" \t"),
    refused("order line of an empty order", "incomplete_order_line", **BUY | {"order_id": " "}),
    refused(
        "invalid UTF-8 in an id",
        "invalid_utf8",
        content=line("latin").replace(b'"latin v"', b'"caf\xe9"'),
    ),
    Case(
        "two ids that differ in bytes that are no UTF-8",
        (
            line("bytes", visitor_id="v").replace(b'"bytes e"', b'"caf\xe8"'),
            line("bytes", visitor_id="v").replace(b'"bytes e"', b'"caf\xe9"'),
        ),
        (quarantined("invalid_utf8"), quarantined("invalid_utf8")),
    ),
    _malformed("UTF-16 amid the file", b"\xff\xfe" + "{}".encode("utf-16-le")),
    refused(
        "overlong UTF-8",
        "invalid_utf8",
        content=line("overlong").replace(b"overlong v", b"\xc0\xaf"),
    ),
)

IDENTITY = (
    Case("the same line twice", (line("again"),) * 2, (Outcome(ACCEPTED), Outcome(DUPLICATE))),
    Case(
        "the same line a thousand times", (line("thousand"),) * 1000, (Outcome(ACCEPTED), *[Outcome(DUPLICATE)] * 999)
    ),
    Case(
        "a redelivery that was received later",
        (line("later", received_at=f"{DAY}T12:00:09Z"), line("later")),
        (Outcome(DUPLICATE), Outcome(ACCEPTED, values={"received_at": datetime(2025, 10, 26, 12, 0, 1)})),
    ),
    Case(
        "an event id with two payloads",
        (line("reused", slot="home"), line("reused", slot="cart", received_at=f"{DAY}T12:00:02Z")),
        (Outcome(ACCEPTED, values={"slot": "home"}), quarantined("conflicting_duplicate")),
    ),
    Case(
        "an event id whose first line is broken",
        (line("mended", quantity=0), line("mended", quantity=1, received_at=f"{DAY}T12:00:05Z")),
        (quarantined("quantity_not_positive"), Outcome(ACCEPTED, values={"quantity": 1})),
    ),
    Case(
        "the fields in another order and spacing",
        (line("order"), json.dumps(dict(reversed(json.loads(line("order")).items())), indent=None).encode()),
        (Outcome(ACCEPTED), Outcome(DUPLICATE)),
    ),
    Case("event ids that differ in case", (line("Ümlaut"), line("ümlaut")), (Outcome(ACCEPTED), Outcome(ACCEPTED))),
    Case(
        "event ids that look the same",
        (line("caf\u00e9"), line("cafe\u0301"), line("caf\u00e9 ")),
        (Outcome(ACCEPTED), Outcome(ACCEPTED), Outcome(ACCEPTED)),
    ),
)

EVENT_CASES = (*VALUE_CASES, *STRUCTURE, *TEXT, *IDENTITY)
