"""No personal value is left in any row, the same id has the same name everywhere, and contracts still hold."""

# pyright: reportAttributeAccessIssue=false

from datetime import date, datetime
from typing import Any

import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import EVENT_STATES, QUARANTINE_RELEASES, QUARANTINED_EVENTS, RAW_EVENTS
from trasos_assets.contracts.models import ALS_MODEL
from trasos_assets.contracts.schema import violations
from trasos_assets.samples.keys import SampleKey
from trasos_assets.samples.masking import NO_FIELDS, REPLACED, masked, masked_columns, unmasked_values
from trasos_assets.samples.selection import Reader, reader_of
from trasos_assets_tests.conftest import MakeTable
from trasos_assets_tests.samples.shop import SAMPLED, Shop

KEY = SampleKey("a secret of thirty-two characters")
DAY = date(2026, 1, 5)
NAME = KEY.pseudonym


def line(number: int, **fields: Any) -> dict[str, Any]:
    return {"day": DAY, "file_hash": "file", "line": number, **fields}


def rows(table: Any) -> list[dict[str, Any]]:
    return sorted(table.to_pyarrow().to_pylist(), key=lambda row: row.get("line") or 0)


@pytest.fixture
def whole(table: MakeTable) -> Reader:
    states = [line(1, state="accepted"), line(2, state="quarantined", reasons="x"), line(3, state="duplicate")]
    return reader_of({"event_states": table(EVENT_STATES, states)})


def test_texts_of_a_refused_line_are_replaced_and_those_of_others_kept(table: MakeTable, whole: Reader) -> None:
    texts = {"device": "phone", "channel": "ads", "item_id": "i1", "country": "GB", "event_type": "click"}
    people = {"event_id": "e1", "visitor_id": "v1", "customer_id": None, "order_id": "o1", "session_id": ""}
    lines = [line(number, **texts, **people, raw="{", extra='{"a": 1}') for number in (1, 2, 3)]
    lines.append(line(4, event_type="anna@example.org", problems="malformed", release_id="r1"))
    found = rows(masked(RAW_EVENTS, table(RAW_EVENTS, lines), KEY, whole))
    for row in (found[0], found[2]):
        assert {name: row[name] for name in texts} == texts
    for name in ("device", "channel", "item_id", "country"):
        assert found[1][name] == REPLACED
        assert found[3][name] is None
    assert [row["event_type"] for row in found] == ["click", "click", "click", REPLACED]
    assert found[3]["problems"] == "malformed"
    assert found[3]["release_id"] == "r1"
    for row in found[:3]:
        assert (row["event_id"], row["visitor_id"], row["order_id"]) == (NAME("e1"), NAME("v1"), NAME("o1"))
        assert (row["customer_id"], row["session_id"]) == (None, NAME(""))
        assert (row["raw"], row["extra"]) == (REPLACED, NO_FIELDS)


def test_a_quarantined_line_keeps_its_reasons_only(table: MakeTable, whole: Reader) -> None:
    refused = table(
        QUARANTINED_EVENTS,
        [
            line(1, reasons="too_late", event_id="e1", event_type="click", raw="anna"),
            line(2, reasons="unknown_event_type", event_id=None, event_type="anna", raw="anna"),
        ],
    )
    found = rows(masked(QUARANTINED_EVENTS, refused, KEY, whole))
    assert [row["reasons"] for row in found] == ["too_late", "unknown_event_type"]
    assert [row["raw"] for row in found] == [REPLACED] * 2
    assert [row["event_type"] for row in found] == ["click", REPLACED]
    assert [row["event_id"] for row in found] == [NAME("e1"), None]


def test_ids_of_items_among_those_of_people_are_kept(table: MakeTable, whole: Reader) -> None:
    sides = table(ALS_MODEL, [{"side": side, "id": "7", "factors": [1.0]} for side in ("person", "item")])
    found = masked(ALS_MODEL, sides, KEY, whole).to_pyarrow().to_pylist()
    assert {row["side"]: row["id"] for row in found} == {"person": NAME("7"), "item": "7"}


def test_who_released_lines_and_why_in_free_words_is_hidden(table: MakeTable, whole: Reader) -> None:
    release = {"release_id": "r1", "dataset": "events", "reason": "too_late", "since": DAY, "until": DAY}
    release |= {"waived": True, "released_by": "anna", "released_on": DAY, "note": "as Anna asked", "applied": True}
    release |= {"released_at": datetime(2026, 1, 5)}
    found = masked(QUARANTINE_RELEASES, table(QUARANTINE_RELEASES, [release]), KEY, whole).to_pyarrow().to_pylist()
    assert (found[0]["released_by"], found[0]["note"], found[0]["release_id"]) == (NAME("anna"), REPLACED, "r1")


def test_every_column_that_a_contract_tags_is_masked() -> None:
    for contract in CONTRACTS.values():
        assert contract.pii <= set(masked_columns(contract)), contract.name


@pytest.mark.parametrize("name", ["raw_events", "clean_events", "quarantined_events", "orders", "als_model"])
def test_masked_rows_keep_the_contract_and_are_found_to_be_masked(shop: Shop, name: str) -> None:
    contract = CONTRACTS[name]
    bare = shop.whole(contract)
    hidden = shop.store.made(masked(contract, bare, KEY, shop.whole))
    assert violations(contract, shop.store.conform(contract, hidden)) == []
    assert hidden.count().to_pyarrow().as_py() == bare.count().to_pyarrow().as_py() > 0
    assert unmasked_values(contract, hidden).count().to_pyarrow().as_py() == 0
    assert unmasked_values(contract, bare).count().to_pyarrow().as_py() > 0


def test_masking_knows_what_to_do_with_every_column(shop: Shop) -> None:
    for name in SAMPLED:
        contract = CONTRACTS[name]
        expression = masked(contract, shop.whole(contract).limit(1), KEY, shop.whole)
        assert expression.columns == contract.column_names, name
