"""Compaction: closed days bundled, other forms rewritten with the same rows, leftovers of the dead swept."""

from __future__ import annotations

import hashlib
import os
import subprocess
from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trasos_assets.contracts.engineering import LANDING_LEDGER, RAW_EVENTS, WATERMARK
from trasos_assets.contracts.models import ALS_MODEL
from trasos_assets.contracts.schema import violations
from trasos_assets.contracts.storage import COMPACTION
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.ledger import read_ledger, settle, take_stock
from trasos_assets.settings import Settings
from trasos_assets.storage import compaction
from trasos_assets_tests.conftest import MakeTable

THROUGH = date(2026, 6, 30)
NOW = datetime(2026, 7, 1, 4)
OLD = THROUGH - timedelta(days=14)
YOUNG = THROUGH - timedelta(days=13)


@pytest.fixture
def landed(store: LakeStore, settings: Settings, table: MakeTable) -> LakeStore:
    """Three accepted files on an old and on a young day, one alone on another old day."""
    store.write(WATERMARK, table(WATERMARK, [{"first_day": OLD, "data_through": THROUGH}]))
    for day, names in ((OLD, "abc"), (YOUNG, "abc"), (OLD - timedelta(days=1), "a")):
        for name in names:
            path = settings.landing_dir / "events" / f"dt={day}" / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'{{"event_id": "{name}"}}\n')
    stock = take_stock(store, settings, first_day=OLD - timedelta(days=1))
    settle(store, [row["delivery"] for row in stock.pending], run_id="run")
    return store


def lying(settings: Settings) -> set[str]:
    return {str(path.relative_to(settings.landing_dir)) for path in settings.landing_dir.glob("events/*/*")}


def test_many_files_of_a_closed_day_become_one_and_no_others(landed: LakeStore, settings: Settings) -> None:
    before = lying(settings)
    (found,) = compaction.closed_files(landed, settings)
    assert (found.dataset, found.day, sorted(found.taken)) == ("events", OLD, ["a.jsonl", "b.jsonl", "c.jsonl"])
    (row,) = compaction.bundle_landing(landed, settings, now=NOW)
    assert (row["kind"], row["name"], row["part"], row["files_before"], row["files_after"]) == (
        "landing",
        "events",
        str(OLD),
        3,
        1,
    )
    assert row["bytes_before"] == found.bytes == 3 * len('{"event_id": "a"}\n')
    assert lying(settings) == {path for path in before if f"dt={OLD}/" not in path}
    deliveries = {entry["delivery"] for entry in read_ledger(landed) if entry["received_day"] == OLD}
    assert {member.delivery for member in archive.members(settings.landing_dir, "events", OLD)} == deliveries
    assert compaction.bundle_landing(landed, settings, now=NOW) == []
    stock = take_stock(landed, settings, first_day=OLD - timedelta(days=1))
    assert (stock.pending, stock.troubled) == ((), ())


def test_a_late_file_of_a_bundled_day_joins_its_bundle_even_alone(landed: LakeStore, settings: Settings) -> None:
    compaction.bundle_landing(landed, settings, now=NOW)
    late = settings.landing_dir / "events" / f"dt={OLD}" / "late.jsonl"
    late.parent.mkdir(exist_ok=True)
    late.write_text("late\n")
    assert compaction.closed_files(landed, settings) == [], "what was not accepted stays"
    stock = take_stock(landed, settings, first_day=OLD - timedelta(days=1))
    settle(landed, [row["delivery"] for row in stock.pending], run_id="run")
    compaction.bundle_landing(landed, settings, now=NOW)
    assert not late.exists()
    assert len(archive.members(settings.landing_dir, "events", OLD)) == 4


def test_nothing_is_bundled_where_that_is_switched_off_or_before_there_is_a_watermark(
    landed: LakeStore, settings: Settings, table: MakeTable
) -> None:
    assert compaction.closed_files(landed, settings.model_copy(update={"compact_after_days": None})) == []
    landed.write(WATERMARK, table(WATERMARK, []))
    assert compaction.closed_files(landed, settings) == []


def test_a_file_that_changed_since_it_was_accepted_stays(landed: LakeStore, settings: Settings) -> None:
    changed = settings.landing_dir / "events" / f"dt={OLD}" / "b.jsonl"
    changed.write_text("delivered anew\n")
    compaction.bundle_landing(landed, settings, now=NOW)
    assert changed.read_text() == "delivered anew\n"
    assert {m.name for m in archive.members(settings.landing_dir, "events", OLD)} == {"a.jsonl", "c.jsonl"}


def spoil(file: Path, **form: object) -> pa.Table:
    """Write a partition again as another tool would."""
    with pq.ParquetFile(file) as opened:
        held = opened.read()
    pq.write_table(held, file, **form)
    return held


@pytest.mark.parametrize("form", [{"compression": "snappy"}, {"compression": "zstd", "row_group_size": 10}])
def test_a_partition_of_another_form_is_rewritten_as_the_store_would_have_written_it(
    form: dict[str, object], store: LakeStore, table: MakeTable
) -> None:
    rows = [{"day": OLD, "file_hash": "f", "line": n, "event_id": f"e{n}"} for n in range(100)]
    store.write(RAW_EVENTS, table(RAW_EVENTS, rows), [OLD, YOUNG])
    file = store.file(RAW_EVENTS, OLD)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    spoil(file, **form)
    assert compaction.partitions_to_rewrite(store) == [(RAW_EVENTS, OLD)]
    (row,) = compaction.rewrite_partitions(store, now=NOW)
    assert (row["kind"], row["name"], row["part"]) == ("lake", "raw_events", str(OLD))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before
    assert compaction.partitions_to_rewrite(store) == []


def test_a_table_without_partitions_is_rewritten_too_lists_and_all(store: LakeStore, table: MakeTable) -> None:
    kinds = {"string": "x", "array<float32>": [1.0, 2.0], "int32": 1, "int64": 1}
    row = {name: kinds[kind] for name, kind in ALS_MODEL.types.items() if kind in kinds}
    store.write(ALS_MODEL, table(ALS_MODEL, [row]))
    held = spoil(store.file(ALS_MODEL), compression="none")
    (done,) = compaction.rewrite_partitions(store, now=NOW)
    assert done["part"] == "*"
    with pq.ParquetFile(store.file(ALS_MODEL)) as opened:
        assert opened.read().to_pylist() == held.to_pylist()


def test_rows_that_would_change_stop_the_rewriting(
    store: LakeStore, table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"day": OLD, "file_hash": "f", "line": n} for n in range(3)]
    store.write(RAW_EVENTS, table(RAW_EVENTS, rows), [OLD])
    spoil(store.file(RAW_EVENTS, OLD), compression="none")
    content = store.file(RAW_EVENTS, OLD).read_bytes()
    add = LakeStore.add
    monkeypatch.setattr(LakeStore, "add", lambda self, staged, t, days: add(self, staged, t.filter(t.line > 0), days))
    with pytest.raises(LakeError, match="rewriting changes its rows"):
        compaction.rewrite_partitions(store, now=NOW)
    assert store.file(RAW_EVENTS, OLD).read_bytes() == content
    assert not list(store.folder(RAW_EVENTS).glob(".staging*"))


def test_an_engine_with_a_form_of_its_own_is_not_asked_over_and_over(
    store: LakeStore, table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(RAW_EVENTS, table(RAW_EVENTS, [{"day": OLD, "file_hash": "f", "line": 1}]), [OLD, YOUNG])
    asked = []
    monkeypatch.setattr(compaction, "needs_rewriting", lambda footer: asked.append(1) or True)
    assert compaction.rewrite_partitions(store, now=NOW) == []
    assert len(asked) == 2 + 1, "two partitions looked at, the first of them tried"


def test_an_empty_partition_is_of_no_other_form(store: LakeStore, table: MakeTable) -> None:
    store.write(RAW_EVENTS, table(RAW_EVENTS, []), [OLD])
    spoil(store.file(RAW_EVENTS, OLD), compression="none")
    assert compaction.partitions_to_rewrite(store) == []


def test_what_dead_processes_left_is_swept_and_what_the_living_use_stays(landed: LakeStore, settings: Settings) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    spill = landed.storage.local / ".spill"
    left = [spill / str(dead.pid) / "deep" / "temp", settings.warehouse_path.with_name(f".trasos.duckdb.{dead.pid}")]
    living = [spill / str(os.getpid()) / "temp", settings.warehouse_path.with_name(f".trasos.duckdb.{os.getpid()}")]
    half = settings.landing_dir / archive.ARCHIVE / "events" / ".dt=2026-01-01.tar.part"
    for path in (*left, *living, half, settings.warehouse_path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 7)
    host = os.uname().nodename
    staging = landed.folder(RAW_EVENTS) / f".staging-{host}-{dead.pid}-abcd1234"
    staging.mkdir(parents=True)
    rows = compaction.sweep_leftovers(landed, settings, now=NOW)
    assert not any(path.exists() for path in (*left, half, staging, spill / str(dead.pid)))
    assert all(path.exists() for path in (*living, settings.warehouse_path))
    assert {row["kind"] for row in rows} == {"leftover"}
    assert sorted(row["bytes_before"] for row in rows) == [0, 0, 7, 7]


def test_the_book_of_compaction_keeps_what_was_done_before(
    landed: LakeStore, settings: Settings, table: MakeTable
) -> None:
    done = compaction.compact(landed, settings, now=NOW)
    assert violations(COMPACTION, table(COMPACTION, done.to_pyarrow().to_pylist())) == []
    landed.write(COMPACTION, done)
    assert landed.row_counts(COMPACTION) == 1
    landed.write(COMPACTION, compaction.compact(landed, settings, now=NOW + timedelta(days=1)))
    assert landed.row_counts(COMPACTION) == 1
    assert landed.row_counts(LANDING_LEDGER) == 7
