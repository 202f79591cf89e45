"""Shares, distances and errors against a case worked by hand, and verdicts on samples that are and are not faithful."""

from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from ibis.backends.duckdb import Backend

from trasos_assets.contracts.analytics import CONVERSION_FUNNEL
from trasos_assets.contracts.engineering import CLEAN_EVENTS, IDENTITIES, WATERMARK
from trasos_assets.contracts.science import CUSTOMER_FEATURES, TRAINING_INTERACTIONS
from trasos_assets.metrics.funnel import conversion_funnel
from trasos_assets.samples.fidelity import FEW_CASES, FEW_PEOPLE, Moments, event_mix, fidelity, funnel, ratio_error
from trasos_assets.samples.keys import SampleKey
from trasos_assets.samples.selection import reader_of
from trasos_assets_tests.conftest import MakeTable

KEY = SampleKey("a secret of thirty-two characters")
START = datetime(2026, 1, 5, 8)
EVENT_TYPES = ("page_view", "add_to_cart", "checkout", "purchase")


def person(number: int, types: tuple[str, ...], **more: Any) -> list[dict[str, Any]]:
    """A person with one session: the events in order, a minute apart."""
    return [
        {
            "day": START.date(),
            "event_id": f"{number}-{place}",
            "event_type": event_type,
            "occurred_at": START + timedelta(minutes=place),
            "received_at": START + timedelta(minutes=place),
            "visitor_id": f"v{number}",
            "session_id": f"s{number}",
            "item_id": "i1",
        }
        | more
        for place, event_type in enumerate(types)
    ]


class Tables:
    """The tables of a report, made of events."""

    def __init__(self, table: MakeTable) -> None:
        self.table = table
        self.watermark = table(WATERMARK, [{"first_day": date(2026, 1, 5), "data_through": date(2026, 1, 11)}])

    def reader(self, events: list[dict[str, Any]]) -> Any:
        clean = self.table(CLEAN_EVENTS, events)
        visitors = sorted({event["visitor_id"] for event in events})
        return reader_of(
            {
                "clean_events": clean,
                "identities": self.table(IDENTITIES, []),
                "watermark": self.watermark,
                "conversion_funnel": self.table(CONVERSION_FUNNEL, []).union(conversion_funnel(clean, self.watermark)),
                "customer_features": self.table(CUSTOMER_FEATURES, [{"person_id": visitor} for visitor in visitors]),
                "training_interactions": self.table(
                    TRAINING_INTERACTIONS, [{"person_id": visitor, "item_id": "i1"} for visitor in visitors]
                ),
            }
        )


@pytest.fixture
def tables(table: MakeTable) -> Tables:
    return Tables(table)


def test_the_mix_of_a_case_worked_by_hand(tables: Tables) -> None:
    """Whole: 6 views, 2 purchases. Sample: 3 views, 2 purchases, a difference of 0.15 each way."""
    buyers = [person(number, ("page_view", "purchase")) for number in (1, 2)]
    lookers = [person(number, ("page_view",)) for number in (3, 4, 5, 6)]
    bot = [event | {"bot_rule": "breadth"} for event in person(7, ("page_view",) * 9)]
    whole = tables.reader([event for one in (*buyers, *lookers, bot) for event in one])
    sample = tables.reader([event for one in (*buyers, lookers[0], bot) for event in one])
    found = event_mix(whole, sample, share=0.5)
    assert found is not None
    assert [(one.name, one.count_whole, one.count_sample) for one in found.shares] == [
        ("page_view", 6, 3),
        ("purchase", 2, 2),
    ]
    assert [one.whole for one in found.shares] == [0.75, 0.25]
    assert [one.sample for one in found.shares] == [0.6, 0.4]
    assert found.distance == pytest.approx(0.15)
    assert [one.error for one in found.shares] == [None, None], "three people tell no errors"


def test_the_error_of_a_share_is_the_ratio_estimators() -> None:
    """Against the sum over people, term by term."""
    x = [3, 5, 1, 7] * 10
    y = [1, 5, 0, 2] * 10
    share, truth = 0.2, 0.45
    moments = Moments(sum(y), sum(b * b for b in y), sum(a * b for a, b in zip(x, y, strict=True)))
    found = ratio_error(moments, x=sum(x), xx=sum(a * a for a in x), people=40, share=share, truth=truth)
    squares = sum((b - truth * a) ** 2 for a, b in zip(x, y, strict=True))
    assert found == pytest.approx(((1 - share) * 40 / 39 * squares) ** 0.5 / sum(x))


def test_errors_are_not_told_of_too_few() -> None:
    known = {"x": 1_000, "xx": 1_000, "share": 0.1}
    assert ratio_error(Moments(500, 500, 500), people=FEW_PEOPLE - 1, truth=0.5, **known) is None
    assert ratio_error(Moments(5, 5, 5), people=1_000, truth=(FEW_CASES - 1) / 1_000, **known) is None
    assert ratio_error(Moments(500, 500, 500), people=1_000, truth=0.5, **known) is not None
    assert ratio_error(Moments(0, 0, 0), x=0, xx=0, people=0, share=1.0, truth=0.5) == 0.0


def test_the_funnel_of_a_case_worked_by_hand(tables: Tables) -> None:
    everybody = [person(number, EVENT_TYPES[: 1 + number % 4]) for number in range(8)]
    whole = tables.reader([event for one in everybody for event in one])
    sample = tables.reader([event for one in everybody[:3] for event in one])
    found = funnel(whole, sample, share=0.5, max_hours=12)
    assert found is not None
    assert [(one.name, one.whole, one.count_sample) for one in found] == [
        ("cart", 0.75, 2),
        ("checkout", 0.5, 1),
        ("purchase", 0.25, 0),
    ]
    assert [one.sample for one in found] == pytest.approx([2 / 3, 1 / 3, 0])


def _crowd(people: int) -> list[dict[str, Any]]:
    shapes = (EVENT_TYPES, ("page_view",) * 3, ("page_view", "add_to_cart"), ("page_view",) * 8)
    return [event for number in range(people) for event in person(number, shapes[number * 7 % 4])]


def _compare(tables: Tables, events: list[dict[str, Any]], chosen: set[str], share: float) -> Any:
    whole, sample = (tables.reader(some) for some in (events, [e for e in events if e["visitor_id"] in chosen]))
    names = ["clean_events", "identities", "customer_features", "training_interactions"]
    return fidelity(whole, sample, share=share, seed=1, max_hours=12, sampled=names)


def test_a_sample_by_hash_differs_by_chance_only(tables: Tables, backend: Backend) -> None:
    events = _crowd(1_200)
    visitors = tables.table(CUSTOMER_FEATURES, [{"person_id": f"v{number}"} for number in range(1_200)])
    sampled = partial(KEY.sampled, share=0.25, seed=5)
    chosen = set(visitors.filter(sampled(visitors.person_id)).to_pyarrow()["person_id"].to_pylist())
    found = _compare(tables, events, chosen, 0.25)
    assert found.beyond_noise() == []
    assert found.people.is_noise
    assert all(one.is_noise for one in (*found.mix.shares, *found.funnel))
    assert found.mix.distance < 3 * found.mix.distance_expected
    assert found.data_through == date(2026, 1, 11)


def test_a_sample_of_buyers_is_beyond_chance(tables: Tables) -> None:
    events = _crowd(1_200)
    buyers = [event["visitor_id"] for event in events if event["event_type"] == "purchase"]
    found = _compare(tables, events, set(buyers), 0.25)
    assert {"share of purchase", "share of page_view", "sessions with purchase"} <= set(found.beyond_noise())
    assert found.mix.distance > 3 * (found.mix.distance_expected or 1)


def test_everybody_has_no_difference_and_no_error(tables: Tables) -> None:
    events = _crowd(40)
    found = _compare(tables, events, {event["visitor_id"] for event in events}, 1.0)
    assert found.beyond_noise() == []
    assert found.mix.distance == 0
    assert {(one.difference, one.error) for one in (*found.mix.shares, *found.funnel)} == {(0.0, 0.0)}


def test_parts_whose_tables_are_not_sampled_are_left_out(tables: Tables) -> None:
    reader = tables.reader(_crowd(8))
    found = fidelity(reader, reader, share=1.0, seed=1, max_hours=12, sampled=["customer_features"])
    assert found.people is not None
    assert (found.mix, found.funnel, found.popularity) == (None, None, None)
