"""Every hostile line and file ends as its case expects, harms no other, and none is dropped without a word."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import gzip
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pytest

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.engineering import CLEAN_EVENTS, EVENT_STATES, QUARANTINED_EVENTS, RAW_EVENTS
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.days import first_day
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import PENDING, Row, pending_deliveries, read_ledger, take_stock
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.settings import Settings
from trasos_assets.trust import bots, classify, marks
from trasos_assets_tests.conftest import new_backend
from trasos_assets_tests.landing.corpus import (
    ACCEPTED,
    BUY,
    DAY,
    FIRST_DAY,
    MAX_FILE_BYTES,
    TIMEZONE,
    Case,
    FileCase,
    Planted,
    land,
    line,
)
from trasos_assets_tests.landing.corpus_events import EVENT_CASES
from trasos_assets_tests.landing.corpus_files import FILE_CASES as JSON_FILE_CASES
from trasos_assets_tests.landing.corpus_formats import FORMAT_CASES
from trasos_assets_tests.landing.corpus_records import RECORD_CASES

CASES = (*EVENT_CASES, *RECORD_CASES)
FILE_CASES = (*JSON_FILE_CASES, *FORMAT_CASES)
_LINE = ["day", "file_hash", "line"]
Place = tuple[str, int]


@dataclass(frozen=True)
class Judged:
    """What the platform made of the whole corpus."""

    planted: list[Planted]
    ledger: dict[str, Row]
    raw: dict[Place, Row]
    states: dict[Place, tuple[str, str | None]]
    accepted: dict[Place, Row]
    refused: dict[Place, Row]
    broken: list[str]
    landing: Path


def corpus_settings(data_dir: Path) -> Settings:
    """Settings that the cases are written for."""
    return Settings(  # pyright: ignore[reportCallIssue] - every field has a default
        data_dir=data_dir,
        start_date=date.fromisoformat(FIRST_DAY),
        timezone=TIMEZONE,
        max_file_bytes=MAX_FILE_BYTES,
        currency="GBP",
        late_days=3,
        dedup_days=7,
        max_line_bytes=1_000_000,
        bot_events_per_day=2_000,
    )


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """One pass of the platform's own functions over one landing folder that holds every case."""
    settings = corpus_settings(tmp_path_factory.mktemp("adversarial"))
    return judge(settings, land(settings.landing_dir, CASES, FILE_CASES))


def judge(settings: Settings, planted: list[Planted]) -> Judged:
    """What the platform's functions, without Dagster, make of all that has landed; the lake holds the ledger alone."""
    store = LakeStore(settings.lake_dir, new_backend())
    first = date.fromisoformat(FIRST_DAY)
    take_stock(store, settings, first_day=first)
    ledger = {row["path"]: row for row in read_ledger(store)}
    path_of = {row["delivery"]: row["path"] for row in ledger.values()}
    found = Judged(planted, ledger, {}, {}, {}, {}, [], settings.landing_dir)

    def placed(rows: Iterable[Row]) -> dict[Place, Row]:
        return {(path_of[row["file_hash"]], row["line"]): row for row in rows}

    for dataset, form in FORMATS.items():
        deliveries = pending_deliveries(store, settings, dataset, first, date.max)
        raw = read_deliveries(
            store.backend,
            dataset,
            deliveries,
            timezone=settings.timezone,
            max_line_bytes=settings.max_line_bytes,
            max_file_bytes=settings.max_file_bytes,
        )
        rows = raw.to_pyarrow().to_pylist()
        found.raw.update(placed(rows))
        found.broken.extend(v.message for v in violations(CONTRACTS[f"raw_{dataset}"], raw))
        assert len(rows) == len(placed(rows)), "a line became two rows"
        if dataset == "events":
            _judge_events(found, raw, settings, first, placed)
        else:
            accepted = classify.accepted_records(raw, form, currency=settings.currency).to_pyarrow().to_pylist()
            refused = classify.quarantined_records(raw, form, currency=settings.currency).to_pyarrow().to_pylist()
            found.accepted.update(placed(accepted))
            found.refused.update(placed(refused))
            found.states.update(dict.fromkeys(placed(accepted), (ACCEPTED, None)))
            found.states.update({place: ("quarantined", row["reasons"]) for place, row in placed(refused).items()})
    return found


def _judged_events(raw: ibis.Table, settings: Settings, first: date) -> tuple[ibis.Table, ibis.Table]:
    """States and clean events of raw lines."""
    keys = classify.event_keys(raw, late_days=settings.late_days, currency=settings.currency, first_day=first).cache()
    states = classify.event_states(keys, dedup_days=settings.dedup_days).cache()
    accepted = classify.accepted_events(raw, states)
    return states, marks.marked_events(accepted, settings).cache()


def _judge_events(found: Judged, raw: Any, settings: Settings, first: date, placed: Any) -> None:
    states, clean = _judged_events(raw, settings, first)
    quarantined = classify.quarantined_events(raw, states)
    state_rows = placed(states.to_pyarrow().to_pylist())
    found.states.update({place: (row["state"], row["reasons"]) for place, row in state_rows.items()})
    found.refused.update(placed(quarantined.to_pyarrow().to_pylist()))
    by_id = {(row["day"], row["event_id"]): row for row in clean.to_pyarrow().to_pylist()}
    accepted = {place: row for place, row in state_rows.items() if row["state"] == ACCEPTED}
    assert len(by_id) == len(accepted), "accepted events are not the clean events"
    found.accepted.update({place: by_id[row["occurred_day"], row["event_id"]] for place, row in accepted.items()})
    for contract, table in ((EVENT_STATES, states), (QUARANTINED_EVENTS, quarantined), (CLEAN_EVENTS, clean)):
        found.broken.extend(v.message for v in violations(contract, table.select(*contract.column_names)))


def _mended_later(defect: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(reason=defect, strict=True, raises=AssertionError)] if defect else []


def _marked(cases: Iterable[Case | FileCase]) -> list[Any]:
    return [pytest.param(case, id=case.name, marks=_mended_later(case.mend)) for case in cases]


def _assert_planted(judged: Judged, planted: Iterable[Planted]) -> None:
    for one in planted:
        place = (one.path, one.number)
        state, reasons = judged.states[place]
        assert (state, reasons) == (one.outcome.state, ",".join(one.outcome.reasons) or None), one
        if one.outcome.values:
            row = judged.accepted[place]
            assert {name: row[name] for name in one.outcome.values} == dict(one.outcome.values)
        if state == "quarantined":
            assert judged.refused[place]["reasons"] == reasons
            assert judged.refused[place]["raw"], "a refused line shows nothing of what it held"


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    names = [case.name for case in (*CASES, *FILE_CASES)]
    assert len(names) == len(set(names))
    assert len(names) >= 80


@pytest.mark.parametrize("case", _marked(CASES))
def test_a_hostile_line_ends_as_its_case_expects(judged: Judged, case: Case) -> None:
    planted = [one for one in judged.planted if one.case == case.name]
    assert len(planted) == len(case.lines)
    _assert_planted(judged, planted)


@pytest.mark.parametrize("case", _marked(FILE_CASES))
def test_a_hostile_file_ends_as_its_case_expects(judged: Judged, case: FileCase) -> None:
    shown = case.path.encode("utf-8", "backslashreplace").decode()
    row = judged.ledger[shown]
    if case.trouble is not None:
        state, reason = case.trouble
        assert (row["state"], row["reason"] is not None) == (state, True)
        assert reason in row["reason"]
        assert row["reason"].startswith(shown), "the reason does not say which file"
        assert not [place for place in judged.raw if place[0] == shown], "lines of a refused file were taken"
        return
    assert (row["state"], row["reason"]) == (PENDING, None)
    assert {number for path, number in judged.raw if path == shown} == set(case.outcomes)
    assert row["rows_read"] == len(case.outcomes)
    _assert_planted(judged, (one for one in judged.planted if one.case == case.name))


def test_innocent_lines_and_files_are_all_accepted(judged: Judged) -> None:
    innocent = [one for one in judged.planted if one.case is None]
    assert len(innocent) > len(CASES)
    _assert_planted(judged, innocent)
    assert not [row for place, row in judged.accepted.items() if row.get("bot_rule")]


def _numbers(path: Path) -> list[int]:
    """Numbers of the lines of JSON that hold anything, by the plainest reading there is."""
    content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [number for number, text in enumerate(lines, 1) if text.strip()]


def test_every_line_of_every_readable_file_has_exactly_one_row_and_one_state(judged: Judged) -> None:
    taken = [path for path, row in judged.ledger.items() if row["state"] == PENDING]
    assert len(taken) > 20
    of_formats = {case.path: case.outcomes for case in FORMAT_CASES}
    lines = {
        (path, number)
        for path in taken
        for number in (of_formats[path] if path in of_formats else _numbers(judged.landing / path))
    }
    assert set(judged.raw) == lines
    assert set(judged.states) == lines


def test_read_is_accepted_and_duplicate_and_quarantined_for_every_file(judged: Judged) -> None:
    counted: dict[str, Counter[str]] = {}
    for (path, _), (state, _) in judged.states.items():
        counted.setdefault(path, Counter())[state] += 1
    for path, row in judged.ledger.items():
        if row["state"] == PENDING:
            states = counted.get(path, Counter())
            assert row["rows_read"] == sum(states.values())
            assert set(states) <= {"accepted", "duplicate", "quarantined"}


def test_no_table_breaks_its_contract_however_hostile_the_lines(judged: Judged) -> None:
    assert judged.broken == []


def _landed_alone(data_dir: Path, *lines: bytes, days: Iterable[str] = (DAY,), name: str = "a.jsonl") -> Judged:
    """What becomes of lines that land in a folder of their own, one a day."""
    settings = corpus_settings(data_dir)
    for day, content in zip(days, lines, strict=True):
        path = settings.landing_dir / "events" / f"dt={day}" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content + b"\n")
    return judge(settings, [])


def test_a_file_whose_name_is_no_utf8_stops_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "landing" / "events" / f"dt={DAY}"
    folder.mkdir(parents=True)
    (folder / "caf\udce9.jsonl").write_bytes(line("unnamable") + b"\n")
    (folder / "good.jsonl").write_bytes(line("good") + b"\n")
    found = judge(corpus_settings(tmp_path), [])
    assert found.states[f"events/dt={DAY}/good.jsonl", 1] == (ACCEPTED, None)
    (other,) = (row for path, row in found.ledger.items() if not path.endswith("good.jsonl"))
    taken = found.states.get((other["path"], 1)) == (ACCEPTED, None)
    assert taken or (other["state"] != PENDING and other["reason"]), "neither taken nor named"


def test_an_event_id_used_again_beyond_the_horizon_is_a_new_event_and_breaks_no_contract(tmp_path: Path) -> None:
    days = ("2025-10-20", "2025-10-28")
    lines = [
        line("reused", occurred_at=f"{day}T10:00:00Z", received_at=f"{day}T10:00:00Z", slot=day, **BUY) for day in days
    ]
    found = _landed_alone(tmp_path, *lines, days=days)
    assert [state for state, _ in found.states.values()] == [ACCEPTED, ACCEPTED]
    assert found.broken == []


@pytest.mark.parametrize("day", ["0001-01-01", "1970-01-01"])
def test_a_folder_of_an_absurd_day_does_not_make_a_lake_of_as_many_days(tmp_path: Path, day: str) -> None:
    for of in (day, DAY):
        folder = tmp_path / "landing" / "events" / f"dt={of}"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_bytes(line("a") + b"\n")
    settings = corpus_settings(tmp_path).model_copy(update={"start_date": None})
    assert first_day(settings) == date.fromisoformat(DAY)


@pytest.mark.slow
def test_a_visitor_with_a_million_events_in_a_day_is_read_judged_and_marked_as_a_bot(tmp_path: Path) -> None:
    settings = corpus_settings(tmp_path)
    count = 1_000_000
    before, after = line("@", occurred_at=f"{DAY}T11:00:00Z", visitor_id="crowd").decode().split("@ e")
    flood = f"{after}\n{before}".join(map(str, range(count)))
    folder = settings.landing_dir / "events" / f"dt={DAY}"
    folder.mkdir(parents=True)
    (folder / "flood.jsonl.gz").write_bytes(gzip.compress(f"{before}{flood}{after}\n".encode(), 1, mtime=0))
    (folder / "innocent.jsonl").write_bytes(line("innocent") + b"\n")
    settings = settings.model_copy(update={"max_file_bytes": 1 << 30})
    store = LakeStore(settings.lake_dir, new_backend())
    began = time.monotonic()
    first = date.fromisoformat(FIRST_DAY)
    take_stock(store, settings, first_day=first)
    raw = read_deliveries(
        store.backend,
        "events",
        pending_deliveries(store, settings, "events", first, date.max),
        timezone=settings.timezone,
        max_line_bytes=settings.max_line_bytes,
        max_file_bytes=settings.max_file_bytes,
    )
    store.write(RAW_EVENTS, raw, [date.fromisoformat(DAY)])
    states, clean = _judged_events(store.read(RAW_EVENTS), settings, first)
    assert states.group_by("state").agg(n=states.count()).to_pyarrow().to_pylist() == [
        {"state": ACCEPTED, "n": count + 1}
    ]
    rules = clean.group_by("visitor_id", "bot_rule").agg(n=clean.count()).order_by("n").to_pyarrow().to_pylist()
    assert rules == [
        {"visitor_id": "innocent v", "bot_rule": None, "n": 1},
        {"visitor_id": "crowd", "bot_rule": "event_rate", "n": count},
    ]
    assert bots.people_only(clean).count().to_pyarrow().as_py() == 1
    assert time.monotonic() - began < 120
