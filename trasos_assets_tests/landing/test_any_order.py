"""However the same lines come, in whatever files, order and batches, the tables are the same.

The examples run the platform's own functions on a real lake without Dagster (``any_order``);
``defs/test_adversarial_ingest.py`` shows such a landing to the real ingest.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.analytics import DAILY_KPIS, ORDER_LINES, ORDERS
from trasos_assets.contracts.engineering import (
    CLEAN_EVENTS,
    EVENT_STATES,
    IDENTITIES,
    INTERACTIONS,
    QUARANTINED_EVENTS,
    RAW_EVENTS,
    WATERMARK,
)
from trasos_assets.defs.operations import plan
from trasos_assets.metrics import kpis
from trasos_assets.metrics import orders as order_definitions
from trasos_assets.trust import identity
from trasos_assets.trust.identity import with_person
from trasos_assets_tests.landing.any_order import BY_DAY, DAYS, FIRST, LINES, Shop, folder_of, new_shop

OF_THE_EVENTS = (CLEAN_EVENTS, INTERACTIONS, ORDER_LINES)
"""Tables in which nothing says in which file and on which line an event came."""


def _hashes(shop: Shop, contracts: Any) -> dict[str, str]:
    return {
        str(file.relative_to(shop.settings.lake_dir)): hashlib.sha256(file.read_bytes()).hexdigest()
        for contract in contracts
        for file in shop.store.files(contract)
    }


def _unpartitioned(shop: Shop) -> dict[str, str]:
    """Content hash of tables over all days, written as the store writes them."""
    events, states = shop.store.read(CLEAN_EVENTS), shop.store.read(EVENT_STATES)
    shop.store.write(IDENTITIES, identity.identities(events))
    received = states.agg(first_day=states.day.min(), data_through=states.day.max())
    shop.store.write(WATERMARK, received.cross_join(events.agg(last_event_at=events.occurred_at.max())))
    who, watermark = shop.store.read(IDENTITIES), shop.store.read(WATERMARK)
    shop.store.write(ORDERS, order_definitions.orders(with_person(shop.store.read(ORDER_LINES), who)))
    orders = shop.store.read(ORDERS)
    shop.store.write(DAILY_KPIS, kpis.daily_kpis(with_person(events, who), orders, watermark))
    return _hashes(shop, (IDENTITIES, WATERMARK, ORDERS, DAILY_KPIS))


def _judgements(shop: Shop) -> dict[str, set[tuple[Any, ...]]]:
    """Which events were accepted and which lines refused, and why, whatever the number of their copies."""
    states = shop.store.read(EVENT_STATES).to_pyarrow().to_pylist()
    refused = shop.store.read(QUARANTINED_EVENTS).to_pyarrow().to_pylist()
    accepted = [(row["event_id"], row["occurred_day"]) for row in states if row["state"] == "accepted"]
    assert len(accepted) == len(set(accepted)), "one event was accepted twice"
    return {
        "accepted": set(accepted),
        "refused": {(row["day"], row["event_id"], row["reasons"], row["raw"]) for row in refused},
        "copied": {(row["event_id"], row["reasons"]) for row in states if row["state"] == "duplicate"},
    }


@dataclass(frozen=True)
class Whole:
    """What one undisturbed ingest of one file a day makes of the lines."""

    events: dict[str, str]
    others: dict[str, str]
    judgements: dict[str, set[tuple[Any, ...]]]


@cache
def _whole() -> Whole:
    with new_shop() as shop:
        for day in range(DAYS):
            shop.land(f"{folder_of(day)}/all.jsonl", b"\n".join(text for of, text in LINES if of == day) + b"\n")
        shop.ingest()
        return Whole(_hashes(shop, OF_THE_EVENTS), _unpartitioned(shop), _judgements(shop))


@dataclass(frozen=True)
class Arrival:
    """A file that comes in some batch, and then perhaps once more."""

    path: str
    lines: tuple[bytes, ...]
    batch: int
    again: str
    again_batch: int

    @property
    def content(self) -> bytes:
        """The file as it is when it is whole."""
        return b"\n".join(self.lines) + b"\n"


NEVER, UNCHANGED, COPIED, EXTENDED, BOTH = "never", "unchanged", "copied", "extended", "both"


@st.composite
def deliveries(draw: st.DrawFn, *, again: bool) -> list[Arrival]:
    """The lines in files: shuffled, split and named anyhow, in up to three batches, some delivered once more."""
    arrivals = []
    for day in range(DAYS):
        order = draw(st.permutations([text for of, text in LINES if of == day]))
        cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=3)))
        names = draw(st.permutations("abcd"))
        # A day that comes all at once leaves the days beside it alone, unless these share an event id with it.
        of_day = draw(st.sampled_from((None, 0, 1, 2)))
        for name, start, end in zip(names, [0, *cuts], [*cuts, len(order)], strict=False):
            batch = draw(st.integers(0, 2)) if of_day is None else of_day
            arrivals.append(
                Arrival(
                    f"{folder_of(day)}/{name}.jsonl{draw(st.sampled_from(('', '.gz')))}",
                    tuple(order[start:end]),
                    batch,
                    draw(st.sampled_from((NEVER, UNCHANGED, COPIED, EXTENDED, BOTH))) if again else NEVER,
                    draw(st.integers(batch, 2)),
                )
            )
    return draw(st.permutations(arrivals))


def _deliver(shop: Shop, arrivals: list[Arrival]) -> None:
    """Land batch after batch, each followed by an ingest."""
    for batch in range(3):
        for file in arrivals:
            if file.batch == batch:
                first_half = file.lines[: len(file.lines) // 2] if file.again in (EXTENDED, BOTH) else file.lines
                shop.land(file.path, b"\n".join(first_half) + b"\n")
            if file.again_batch == batch and file.again in (UNCHANGED, EXTENDED, BOTH):
                shop.land(file.path, file.content)
            if file.again_batch == batch and file.again in (COPIED, BOTH):
                folder, name = file.path.rsplit("/", 1)
                shop.land(f"{folder}/copy-of-{name}", file.content)
        shop.ingest()


MANY = int(os.environ.get("TRASOS_ANY_ORDER_EXAMPLES", "20"))
"""Each takes two to four seconds; a hundred were tried when this was written."""


def _quick(examples: int) -> Any:
    """So many examples, the same ones every time; a failing one is shown as it is, since to shrink it takes minutes."""
    return hypothesis_settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
    )


def _assert_the_same_events(arrivals: list[Arrival]) -> None:
    whole = _whole()
    with new_shop() as shop:
        _deliver(shop, arrivals)
        found = _judgements(shop)
        assert found["accepted"] == whole.judgements["accepted"]
        assert found["refused"] == whole.judgements["refused"]
        assert found["copied"] >= whole.judgements["copied"]
        assert _hashes(shop, OF_THE_EVENTS) == whole.events
        assert _unpartitioned(shop) == whole.others


def _assert_the_same_bytes(arrivals: list[Arrival]) -> None:
    everything = [RAW_EVENTS, *(CONTRACTS[name] for name in BY_DAY)]
    with new_shop() as shop:
        _deliver(shop, arrivals)
        found = _hashes(shop, everything)
    with new_shop() as shop:
        for file in arrivals:
            shop.land(file.path, file.content)
        shop.ingest()
        assert _hashes(shop, everything) == found


def test_the_lines_are_as_varied_as_the_order_is_to_be() -> None:
    judged = _whole().judgements
    reasons = {reason for _, _, reasons, _ in judged["refused"] for reason in reasons.split(",")}
    assert reasons >= {"malformed", "conflicting_duplicate", "too_late", "before_first_day", "invalid_quantity"}
    assert {("reused", FIRST), ("reused", FIRST + timedelta(days=4))} <= judged["accepted"]
    assert len(judged["copied"]) >= 3
    assert set(BY_DAY) >= {name for name in plan.BY_DAY_NAMES if name != plan.RECORDS_BY_DAY}


@given(arrivals=deliveries(again=True))
@_quick(5)
def test_split_shuffled_and_redelivered_lines_make_the_same_events(arrivals: list[Arrival]) -> None:
    _assert_the_same_events(arrivals)


@given(arrivals=deliveries(again=False))
@_quick(3)
def test_the_same_files_in_another_order_make_the_same_bytes(arrivals: list[Arrival]) -> None:
    _assert_the_same_bytes(arrivals)


@pytest.mark.slow
@given(arrivals=deliveries(again=True))
@_quick(MANY)
def test_lines_split_shuffled_and_redelivered_in_many_ways_make_the_same_events(arrivals: list[Arrival]) -> None:
    _assert_the_same_events(arrivals)


@pytest.mark.slow
@given(arrivals=deliveries(again=False))
@_quick(40)
def test_the_same_files_in_many_orders_make_the_same_bytes(arrivals: list[Arrival]) -> None:
    _assert_the_same_bytes(arrivals)
