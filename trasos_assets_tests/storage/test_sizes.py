"""Sizes against files counted by hand."""

from __future__ import annotations

import os
import uuid
from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from upath import UPath

from trasos_assets.contracts.engineering import RAW_EVENTS, WATERMARK
from trasos_assets.contracts.models import ALS_MODEL
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings
from trasos_assets.storage.sizes import Size, place_size, places, table_size
from trasos_assets_tests.conftest import MakeTable

DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(3)]


def test_a_table_holds_the_bytes_files_and_rows_of_its_partitions(store: LakeStore, table: MakeTable) -> None:
    rows = [{"day": day, "file_hash": "f", "line": n, "event_id": f"e{n}"} for day in DAYS[:2] for n in range(50)]
    store.write(RAW_EVENTS, table(RAW_EVENTS, rows), DAYS)
    files = sorted(store.folder(RAW_EVENTS).rglob("*.parquet"))
    size = table_size(store, RAW_EVENTS)
    assert (size.bytes, size.files, size.rows) == (sum(file.stat().st_size for file in files), 3, 100)
    assert set(size.columns) == set(RAW_EVENTS.column_names) - {"day"}
    compressed = [pq.read_metadata(file).row_group(0).column(0) for file in files[:2]]
    assert size.columns["file_hash"] == sum(chunk.total_compressed_size for chunk in compressed)
    assert sum(size.columns.values()) < size.bytes


def test_lists_count_under_their_columns_name(store: LakeStore, table: MakeTable) -> None:
    rows = [{"model_version": "m", "side": "item", "factors": [1.0, 2.0]}]
    known = {name: value for name, value in rows[0].items() if name in ALS_MODEL.column_names}
    store.write(ALS_MODEL, table(ALS_MODEL, [known]))
    assert set(table_size(store, ALS_MODEL).columns) <= set(ALS_MODEL.column_names)


def test_a_table_that_was_never_built_holds_nothing(store: LakeStore) -> None:
    assert table_size(store, WATERMARK) == Size(0, 0, 0)


def test_a_partition_that_is_removed_meanwhile_is_left_out(
    store: LakeStore, table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(RAW_EVENTS, table(RAW_EVENTS, [{"day": DAYS[0], "file_hash": "f", "line": 1}]), DAYS[:2])
    files = store.files(RAW_EVENTS)
    store.remove(RAW_EVENTS, DAYS[1])
    monkeypatch.setattr(LakeStore, "files", lambda *arguments: files)
    assert (table_size(store, RAW_EVENTS).files, table_size(store, RAW_EVENTS).rows) == (1, 1)


def test_a_place_holds_all_below_it_and_no_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"x" * 1000)
    place = tmp_path / "place"
    (place / "a" / "b").mkdir(parents=True)
    (place / "a" / "one").write_bytes(b"12345")
    (place / "a" / "b" / "two").write_bytes(b"1")
    (place / "link").symlink_to(outside)
    assert place_size(place) == Size(6 + os.lstat(place / "link").st_size, 3)
    assert place_size(outside) == Size(1000, 1)
    assert place_size(tmp_path / "nothing") == Size(0, 0)


def test_a_place_in_an_object_store_is_measured_alike() -> None:
    place = UPath(f"memory://bucket-{uuid.uuid4().hex}/landing/events")
    for name, content in (("dt=1/a", b"123"), ("dt=2/b", b"4")):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert place_size(place) == Size(4, 2)  # type: ignore[arg-type]
    assert place_size(place / "nothing") == Size(0, 0)  # type: ignore[arg-type]


def test_every_place_has_a_name_an_owner_and_no_other_in_it(settings: Settings) -> None:
    found = places(settings)
    assert len({place.name for place in found}) == len(found)
    assert {place.owner for place in found} <= {"engineering", "science", "analytics"}
    for one in found:
        for other in found:
            assert one is other or one.path not in other.path.parents, (one.name, other.name)
