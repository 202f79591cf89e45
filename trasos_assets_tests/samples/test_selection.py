"""What is in a sample: whole people, closed under every reference, a larger share holding every smaller one."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from collections.abc import Callable
from functools import cache, partial

import ibis
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.metrics.orders import orders
from trasos_assets.samples.closure import dangling, references
from trasos_assets.samples.keys import SampleKey
from trasos_assets.samples.rules import in_order
from trasos_assets.samples.selection import reader_of, select_rows
from trasos_assets.trust.identity import with_person
from trasos_assets_tests.samples.shop import (
    ACCOUNT,
    BESIDE,
    BROKEN,
    BROWSER,
    BUYER,
    HELPER,
    SAMPLED,
    SECOND_ACCOUNT,
    SHARED_ORDER,
    Shop,
)

KEY = SampleKey("a secret of thirty-two characters")
ACTS = ("orders", "order_lines", "clean_events", "interactions", "raw_events", "identities")
Tables = dict[str, ibis.Table]


@pytest.fixture(scope="module")
def select(shop: Shop) -> Callable[..., Tables]:
    """A function from share and seed, or from a set of people, to every table's selected rows, unmasked."""

    @cache
    def taken(
        share: float = 0.1, seed: int = 1, people: frozenset[str] | None = None, names: tuple[str, ...] = tuple(SAMPLED)
    ) -> Tables:
        by_name = None if people is None else lambda value: value.isin(sorted(people))
        sampled = by_name or partial(KEY.sampled, share=share, seed=seed)
        tables: Tables = {}
        for contract in in_order(names):
            rows = select_rows(contract, shop.whole, reader_of(tables), sampled)
            name = ibis.util.gen_name(contract.name)
            shop.store.backend.raw_sql(f'CREATE TABLE "{name}" AS {shop.store.backend.compile(rows)}')
            tables[contract.name] = shop.store.backend.table(name)
        return tables

    return taken


def rows_of(table: ibis.Table) -> set[tuple]:
    return {tuple(map(str, row.values())) for row in table.to_pyarrow().to_pylist()}


def count(table: ibis.Table) -> int:
    return table.count().to_pyarrow().as_py()


@pytest.mark.parametrize(("share", "seed"), [(0.1, 1), (0.5, 1)])
def test_no_reference_is_lost(shop: Shop, select: Callable[..., Tables], share: float, seed: int) -> None:
    """A value that points at a row in the lake points at it in the sample."""
    sample = select(share, seed)
    for reference in references():
        left = dangling(reference, reader_of(sample)).distinct()
        target = shop.whole(CONTRACTS[reference.target])
        named = dict(zip(reference.columns, reference.target_columns, strict=True))
        there = target.select(**{name: target[other] for name, other in named.items()})
        assert count(left.semi_join(there, list(named))) == 0, str(reference)


def test_every_kind_of_reference_is_put_to_the_test(shop: Shop, select: Callable[..., Tables]) -> None:
    for reference in references():
        assert count(select(0.5)[reference.table].select(*reference.columns).drop_null()) > 0, str(reference)
        assert count(shop.whole(CONTRACTS[reference.target])) > 0, str(reference)


def test_a_larger_share_has_every_row_of_a_smaller_one(select: Callable[..., Tables]) -> None:
    small, large = select(0.1), select(0.5)
    for name in SAMPLED:
        assert count(small[name].difference(large[name])) == 0, name
    assert count(small["clean_events"]) < count(large["clean_events"])


def test_a_share_of_one_is_the_lake(shop: Shop, select: Callable[..., Tables]) -> None:
    for name, rows in select(1.0).items():
        whole = shop.whole(CONTRACTS[name])
        if name not in (
            "catalogue",
            "catalogue_history",
            "raw_catalogue",
            "item_features",
            "als_model",
            "champion_model",
        ):
            assert count(rows) == count(whole), name
        assert count(rows.difference(whole)) == 0, name
        assert list(rows.columns) == list(whole.columns), name


def test_the_same_people_are_in_every_table(shop: Shop, select: Callable[..., Tables]) -> None:
    sample = select(0.5)
    chosen = set(sample["customer_features"].to_pyarrow()["person_id"].to_pylist())
    everybody = set(shop.whole(CONTRACTS["customer_features"]).to_pyarrow()["person_id"].to_pylist())
    assert 0.4 < len(chosen) / len(everybody) < 0.6
    for name in ("orders", "training_interactions", "recommendations"):
        found = set(sample[name].to_pyarrow()["person_id"].to_pylist())
        there = set(shop.whole(CONTRACTS[name]).to_pyarrow()["person_id"].to_pylist())
        assert found == there & chosen, name


def test_everything_of_a_person_comes_along(shop: Shop, select: Callable[..., Tables]) -> None:
    """The lake's events of sampled people are the sample's, but for what an order of another person brings or takes."""
    sample, identities = select(0.5), shop.whole(CONTRACTS["identities"])
    chosen = select(0.5)["customer_features"].select("person_id")
    for name in ("clean_events", "interactions"):
        events = with_person(shop.whole(CONTRACTS[name]), identities)
        theirs = rows_of(events.semi_join(chosen, "person_id").select("event_id"))
        found = rows_of(sample[name].select("event_id"))
        strangers = {row for row in found - theirs if not row[0].startswith("planted")}
        # Bots and testers have no row of features, but are people to the sample.
        flagged = shop.whole(CONTRACTS["clean_events"])
        machines = rows_of(flagged.filter(flagged.bot_rule.notnull() | flagged.is_test).select("event_id"))
        assert strangers <= machines, name
        assert {row for row in theirs - found if not row[0].startswith("planted")} == set(), name
        assert theirs & found, name


def test_an_order_has_all_its_lines_and_events_whoever_sent_them(select: Callable[..., Tables]) -> None:
    with_buyer = select(people=frozenset({BUYER}), names=ACTS)
    lines = with_buyer["order_lines"].filter(with_buyer["order_lines"].order_id == SHARED_ORDER)
    assert set(lines.to_pyarrow()["event_id"].to_pylist()) == {"planted-event-1", "planted-event-2"}
    for name in ("clean_events", "interactions"):
        found = set(with_buyer[name].to_pyarrow()["event_id"].to_pylist())
        assert {"planted-event-1", "planted-event-2", "planted-event-3"} <= found, name
    raw = with_buyer["raw_events"]
    assert {"planted-event-2", "planted-event-3"} <= set(raw.to_pyarrow()["event_id"].to_pylist())
    with_helper = select(people=frozenset({HELPER}), names=ACTS)
    assert count(with_helper["orders"]) == count(with_helper["order_lines"]) == 0
    assert count(with_helper["clean_events"]) == count(with_helper["interactions"]) == 0


def test_a_browser_goes_with_the_account_it_belonged_to_at_the_time(select: Callable[..., Tables]) -> None:
    first, second = (
        select(people=frozenset({ACCOUNT}), names=ACTS),
        select(people=frozenset({SECOND_ACCOUNT}), names=ACTS),
    )
    seen = [set(tables["clean_events"].to_pyarrow()["event_id"].to_pylist()) for tables in (first, second)]
    assert seen == [{f"planted-event-{n}" for n in (4, 5, 6)}, {f"planted-event-{n}" for n in (7, 8)}]
    assert count(first["identities"]) == count(second["identities"]) == 1
    assert count(select(people=frozenset({BROWSER}), names=ACTS)["clean_events"]) == 0


def test_lines_of_nobody_are_sampled_one_by_one(select: Callable[..., Tables]) -> None:
    raw = select(0.5)["raw_events"]
    broken = count(raw.filter(raw.raw.like("{broken line%")))
    assert 0.3 < broken / len(BROKEN) < 0.7
    states = select(0.5)["event_states"]
    assert count(states) == count(raw)


def test_orders_made_again_from_the_sample_are_the_sample(select: Callable[..., Tables]) -> None:
    sample = select(0.5)
    again = orders(with_person(sample["order_lines"], sample["identities"]))
    assert count(again) > 10
    assert rows_of(again.select(*CONTRACTS["orders"].column_names)) == rows_of(sample["orders"])


def test_the_items_are_those_that_somebody_has_to_do_with(shop: Shop, select: Callable[..., Tables]) -> None:
    few = select(people=frozenset({BUYER}), names=("als_model", "item_features"))
    items = set(few["item_features"].to_pyarrow()["item_id"].to_pylist())
    assert set(few["also_bought"].to_pyarrow()["item_id"].to_pylist()) == {"i10001"}
    named = {"i10001", "i10002"} | set(few["recommendations"].to_pyarrow()["item_id"].to_pylist())
    assert items == named | {BESIDE}
    factors = few["als_model"].to_pyarrow().to_pylist()
    assert {row["id"] for row in factors if row["side"] == "item"} == items
    assert {row["id"] for row in factors if row["side"] == "person"} == {BUYER}
    assert count(shop.whole(CONTRACTS["item_features"])) > len(items)
