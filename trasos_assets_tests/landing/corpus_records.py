"""Hostile lines of the catalogue, marketing spend and assignments."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from trasos_assets_tests.landing.corpus import ABSENT, Case, Outcome, accepted, line, quarantined, refused
from trasos_assets_tests.landing.corpus import ACCEPTED as TAKEN


def _of(dataset: str, *cases: Case) -> tuple[Case, ...]:
    return tuple(replace(case, name=f"{dataset}: {case.name}") for case in cases)


def _refused(dataset: str, name: str, /, *reasons: str, **told: object) -> Case:
    return refused(name, *reasons, dataset=dataset, **told)  # type: ignore[arg-type]


def _accepted(dataset: str, name: str, /, **told: object) -> Case:
    return accepted(name, dataset=dataset, **told)  # type: ignore[arg-type]


CATALOGUE = _of(
    "catalogue",
    _refused("catalogue", "NaN price", "invalid_price", literal={"price": "NaN"}),
    _refused("catalogue", "infinite price", "invalid_price", literal={"price": "-Infinity"}),
    _refused("catalogue", "negative price", "negative_price", price=-0.01),
    _refused("catalogue", "absurd price", "price_absurd", price=99_999_999_999_999),
    _refused("catalogue", "stock of 2^31", "invalid_stock", stock=2**31),
    _refused("catalogue", "negative stock", "negative_stock", stock=-1),
    _refused("catalogue", "unknown kind", "unknown_kind", kind="gift"),
    _refused("catalogue", "empty item id", "empty_id", content=line("x", "catalogue").replace(b'"x i"', b'""')),
    _refused("catalogue", "blank item id", "empty_id", item_id="  "),
    _refused("catalogue", "availability as a word", "invalid_available", available="yes"),
    _refused("catalogue", "no availability", "missing_available", available=ABSENT),
    _refused("catalogue", "another currency", "foreign_currency", currency="EUR"),
    _refused("catalogue", "an array instead of an object", "malformed", content=b"[]"),
    _refused(
        "catalogue",
        "a key twice",
        "duplicate_key",
        content=line("twice", "catalogue")[:-1] + b', "price": 1}',
    ),
    _refused(
        "catalogue",
        "an event in the catalogue's folder",
        *("missing_item_id", "missing_kind", "missing_available"),
        content=line("lost"),
    ),
    *(
        _accepted(
            "catalogue",
            f"{name} as name, brand and category",
            name=text,
            brand=text,
            category=text,
            season=text,
            expect={"name": text, "brand": text},
        )
        for name, text in {
            "script": "</script><script>alert(1)</script>",
            "formula": "=HYPERLINK(\"http://evil\",\"click\")",
            "right-to-left": "\u202eقميص",
            "emoji": "👗🏽",
            "a megabyte less a little": "x" * 200_000,
        }.items()
    ),
    _accepted("catalogue", "path as item id", item_id="../../etc/passwd", expect={"item_id": "../../etc/passwd"}),
    Case(
        "an item twice in a snapshot",
        (line("both", "catalogue", price=1), line("both", "catalogue", price=2)),
        (Outcome(TAKEN, values={"price": Decimal(1)}), Outcome(TAKEN, values={"price": Decimal(2)})),
        dataset="catalogue",
    ),
)  # fmt: skip

SPEND = _of(
    "marketing_spend",
    _refused("marketing_spend", "NaN cost", "invalid_cost", literal={"cost": "NaN"}),
    _refused("marketing_spend", "negative cost", "negative_cost", cost=-1),
    _refused("marketing_spend", "cost of 2^63", "invalid_cost", cost=2**63),
    _refused("marketing_spend", "cost past a double's digits", "cost_absurd", literal={"cost": "12345678901234.5678"}),
    _refused("marketing_spend", "clicks of 2^63", "invalid_clicks", clicks=2**63),
    _accepted("marketing_spend", "clicks of 2^63 less one", clicks=2**63 - 1, expect={"clicks": 2**63 - 1}),
    _refused("marketing_spend", "negative clicks", "negative_clicks", clicks=-1),
    _refused("marketing_spend", "another currency", "foreign_currency", currency="USD"),
    _refused("marketing_spend", "day with a time", "invalid_spend_day", spend_day="2025-10-25T00:00:00Z"),
    _refused("marketing_spend", "year 0", "invalid_spend_day", spend_day="0000-01-01"),
    _refused("marketing_spend", "five-digit year", "invalid_spend_day", spend_day="12025-10-25"),
    _accepted("marketing_spend", "year 1", spend_day="0001-01-01", expect={"spend_day": date(1, 1, 1)}),
    _accepted("marketing_spend", "year 9999", spend_day="9999-12-31", expect={"spend_day": date(9999, 12, 31)}),
    _accepted("marketing_spend", "script as channel", channel="<script>alert(1)</script>", campaign="=1+1",
              expect={"campaign": "=1+1"}),
)  # fmt: skip

ASSIGNMENTS = _of(
    "assignments",
    _refused("assignments", "empty arm", "empty_id", content=line("x", "assignments").replace(b'"control"', b'""')),
    _refused("assignments", "blank unit", "empty_id", unit_id=" "),
    _refused("assignments", "time as a number", "invalid_assigned_at", assigned_at=0),
    _refused("assignments", "no unit", "missing_unit_id", unit_id=ABSENT),
    _refused("assignments", "deep JSON", "nested_too_deep", content=b'{"z":' + b"[" * 5000),
    _accepted("assignments", "year 1", assigned_at="0001-01-01T00:00:00Z",
              expect={"assigned_at": datetime(1, 1, 1)}),
    _accepted("assignments", "script as experiment", experiment="<script>alert(1)</script>", arm="=1+1",
              expect={"arm": "=1+1"}),
    _accepted("assignments", "path as unit", unit_id="../../etc/passwd", expect={"unit_id": "../../etc/passwd"}),
    Case(
        "a unit in two arms",
        (line("both", "assignments", arm="a"), line("both", "assignments", arm="b")),
        (Outcome(TAKEN, values={"arm": "a"}), Outcome(TAKEN, values={"arm": "b"})),
        dataset="assignments",
    ),
    Case(
        "no JSON and nothing else",
        (b"{", b"\xff\xfe"),
        (quarantined("malformed"), quarantined("malformed")),
        dataset="assignments",
    ),
)  # fmt: skip

RECORD_CASES = (*CATALOGUE, *SPEND, *ASSIGNMENTS)
