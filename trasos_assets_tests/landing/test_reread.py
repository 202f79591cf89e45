"""Lines that could not be read are read again from what was kept of them, only where a release asks for it."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pytest

from trasos_assets.contracts.engineering import RAW_CATALOGUE, RAW_EVENTS
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import parse, reread
from trasos_assets.landing.ledger import pending_deliveries, settle, take_stock
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.landing.releases import make_release
from trasos_assets.landing.reread import lines_to_read_again, read_again
from trasos_assets.settings import Settings
from trasos_assets.trust.releases import Release

Rows = list[dict[str, Any]]
DAY = date(2026, 3, 10)
LIMIT = 1_000
EVENT = {
    "event_type": "page_view",
    "occurred_at": "2026-03-10T10:00:00Z",
    "received_at": "2026-03-10T10:00:01Z",
    "visitor_id": "v1",
}


def event(number: int, **fields: Any) -> str:
    return json.dumps(EVENT | {"event_id": f"e{number}"} | fields, ensure_ascii=False)


LINES = [
    event(1),
    event(2, quantity="six"),
    '{"event_id": "e3"',
    event(4, campaign="x" * 2 * LIMIT),
    event(5, campaign="ä" * (LIMIT - 400)),
    event(6, quantity="six", unit_price="cheap"),
    event(7)[:-1] + ', "note": ' + "[" * 1_200 + "]" * 1_200 + "}",
]


@pytest.fixture
def cautious(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_line_bytes": LIMIT})


def asking(reason: str, **changes: Any) -> Release:
    given = {
        "dataset": "events",
        "reason": reason,
        "since": DAY,
        "until": DAY,
        "file_hash": None,
        "waived": False,
        "released_by": "ana",
        "note": None,
        "timezone": "UTC",
        "now": datetime(2026, 3, 20, tzinfo=UTC),
    }
    return make_release(**(given | changes))


def landed(store: LakeStore, settings: Settings, lines: list[str], dataset: str = "events") -> tuple[ibis.Table, Path]:
    """Raw rows of one file that landed, and the file."""
    folder = settings.landing_dir / dataset / f"dt={DAY}"
    folder.mkdir(parents=True)
    file = folder / "lines.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    take_stock(store, settings, first_day=DAY)
    deliveries = pending_deliveries(store, settings, dataset, DAY, DAY)
    limits = {"max_line_bytes": settings.max_line_bytes, "max_file_bytes": settings.max_file_bytes}
    raw = read_deliveries(store.backend, dataset, deliveries, timezone="UTC", **limits)
    settle(store, [delivery.delivery for delivery in deliveries], run_id="first", days=[])
    return raw.mutate(release_id=ibis.null("string")), file


def after(
    store: LakeStore,
    settings: Settings,
    raw: ibis.Table,
    *releases: Release,
    contract: Contract = RAW_EVENTS,
    dataset: str = "events",
) -> Rows:
    staged = store.stage(contract, read_again(store, settings, contract, dataset, raw, releases), [DAY])
    assert violations(contract, store.staged_table(staged)) == []
    return store.staged_table(staged).order_by("line").to_pyarrow().to_pylist()


def problems(rows: Rows) -> dict[int, str]:
    return {row["line"]: row["problems"] for row in rows if row["problems"]}


BEFORE = {
    2: "invalid_quantity",
    3: "malformed",
    4: "line_too_long",
    5: "line_too_long",
    6: "invalid_quantity,invalid_unit_price",
    7: "line_too_long",
}


@pytest.fixture
def understands_six(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release of the reader: it takes "six" for 6."""

    def select(landing: Any, lines: str, **settings: Any) -> str:
        mended = f"""(SELECT * REPLACE (replace(text, '"six"', '6') AS text) FROM {lines})"""
        return parse._select(landing, mended, **settings)

    monkeypatch.setattr(reread, "_select", select)


def test_without_a_release_nothing_is_read_again(store: LakeStore, cautious: Settings) -> None:
    raw, _ = landed(store, cautious, LINES)
    generous = cautious.model_copy(update={"max_line_bytes": 100_000})
    assert problems(after(store, generous, raw)) == BEFORE
    assert problems(after(store, generous, raw, asking("too_late", waived=True))) == BEFORE


@pytest.mark.usefixtures("understands_six")
def test_what_todays_reader_can_read_stands_as_it_reads_it_and_says_under_which_release(
    store: LakeStore, cautious: Settings
) -> None:
    raw, _ = landed(store, cautious, LINES)
    release = asking("invalid_quantity")
    rows = after(store, cautious, raw, release)
    read = rows[1]
    assert (read["quantity"], read["problems"], read["release_id"]) == (6, None, release.release_id)
    assert read["raw"] == LINES[1], "its text stays as proof of what came"
    assert problems(rows) == {line: BEFORE[line] for line in (3, 4, 5, 7)} | {6: "invalid_unit_price"}
    assert [row["line"] for row in rows if row["release_id"]] == [2]
    assert [(row["day"], row["file_hash"]) for row in rows] == [(DAY, rows[0]["file_hash"])] * len(LINES)


@pytest.mark.usefixtures("understands_six")
@pytest.mark.parametrize(
    "elsewhere",
    [
        {"file_hash": "another"},
        {"since": date(2026, 3, 11), "until": date(2026, 3, 12)},
        {"since": date(2026, 3, 1), "until": date(2026, 3, 9)},
    ],
)
def test_lines_outside_of_the_release_stay_as_they_are(
    store: LakeStore, cautious: Settings, elsewhere: dict[str, Any]
) -> None:
    raw, _ = landed(store, cautious, LINES)
    assert problems(after(store, cautious, raw, asking("invalid_quantity", **elsewhere))) == BEFORE


def test_reading_again_with_the_same_reader_changes_nothing(store: LakeStore, cautious: Settings) -> None:
    raw, file = landed(store, cautious, LINES)
    every = [asking(reason) for reason in ("malformed", "line_too_long", "invalid_quantity", "nested_too_deep")]
    once = after(store, cautious, raw)
    assert after(store, cautious, raw, *every) == once
    file.unlink()
    assert after(store, cautious, raw, *every) == once


def test_a_line_that_was_too_long_is_read_whole_from_landing_under_a_higher_limit(
    store: LakeStore, cautious: Settings
) -> None:
    raw, _ = landed(store, cautious, LINES)
    generous = cautious.model_copy(update={"max_line_bytes": 100_000})
    release = asking("line_too_long")
    rows = after(store, generous, raw, release)
    assert problems(rows) == {line: BEFORE[line] for line in (2, 3, 6)} | {7: "nested_too_deep"}
    assert rows[3]["campaign"] == "x" * 2 * LIMIT
    assert [row["line"] for row in rows if row["release_id"] == release.release_id] == [4, 5]
    assert after(store, generous, store.table_of(RAW_EVENTS, []).union(raw), release) == rows


def test_of_a_line_that_was_cut_and_whose_file_is_gone_nothing_is_made_up(store: LakeStore, cautious: Settings) -> None:
    raw, file = landed(store, cautious, LINES)
    file.unlink()
    generous = cautious.model_copy(update={"max_line_bytes": 100_000})
    rows = after(store, generous, raw, asking("line_too_long"))
    # Line 5 is long in bytes but not in characters: its text was kept whole.
    assert problems(rows) == {line: BEFORE[line] for line in (2, 3, 4, 6, 7)}
    assert rows[3]["raw"] == LINES[3][:LIMIT]
    assert rows[3]["event_id"] is None


def test_a_file_that_was_replaced_since_is_not_taken_for_the_delivery(store: LakeStore, cautious: Settings) -> None:
    raw, file = landed(store, cautious, LINES)
    file.write_text(LINES[0].replace("e1", "other") + "\n" * 3 + event(4, campaign="y" * 2 * LIMIT) + "\n")
    generous = cautious.model_copy(update={"max_line_bytes": 100_000})
    rows = after(store, generous, raw, asking("line_too_long"))
    assert 4 in problems(rows)
    assert rows[3]["campaign"] is None


def test_reference_data_is_read_again_alike(store: LakeStore, cautious: Settings) -> None:
    item = json.dumps({"item_id": "i1", "kind": "product", "available": True, "name": "n" * 2 * LIMIT})
    raw, _ = landed(store, cautious, [item], "catalogue")
    generous = cautious.model_copy(update={"max_line_bytes": 100_000})
    release = asking("line_too_long", dataset="catalogue")
    (row,) = after(store, generous, raw, release, contract=RAW_CATALOGUE, dataset="catalogue")
    assert (row["item_id"], row["problems"]) == ("i1", None)


def test_lines_to_read_again_are_those_with_the_problem(store: LakeStore, cautious: Settings) -> None:
    raw, _ = landed(store, cautious, LINES)
    asked = [asking("invalid_quantity"), asking("malformed", waived=False)]
    assert sorted(lines_to_read_again(raw, asked).to_pyarrow()["line"].to_pylist()) == [2, 3, 6]
    assert lines_to_read_again(raw, [asking("too_late")]).to_pyarrow().num_rows == 0
    assert lines_to_read_again(raw, []).to_pyarrow().num_rows == 0
