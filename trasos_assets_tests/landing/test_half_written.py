"""Files that are not whole yet wait, say why, are reported in the end, and are taken once they are whole."""

import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import looking
from trasos_assets.landing.ledger import PENDING, WAITING, Stock, read_ledger, rows_in_trouble, settle, take_stock
from trasos_assets.settings import Settings

FIRST = date(2026, 1, 1)
DAY = "events/dt=2026-01-02"
OTHER = "events/dt=2026-01-03"
Land = Callable[..., Path]
Look = Callable[..., Stock]


@pytest.fixture
def land(settings: Settings) -> Land:
    def write(path: str, content: bytes = b"{}\n") -> Path:
        file = settings.landing_dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    return write


@pytest.fixture
def look(store: LakeStore, settings: Settings) -> Look:
    return lambda **changes: take_stock(store, settings.model_copy(update=changes), first_day=FIRST)


def pending(stock: Stock) -> list[str]:
    return sorted(row["path"] for row in stock.pending if row["state"] == PENDING)


def reasons(stock: Stock) -> list[tuple[str, str]]:
    return [(row["state"], row["reason"]) for row in stock.troubled]


def take(store: LakeStore, stock: Stock) -> None:
    settle(store, [row["delivery"] for row in stock.pending], run_id="run1")


def append(file: Path, content: bytes = b"{}\n") -> None:
    with file.open("ab") as stream:
        stream.write(content)


@pytest.mark.parametrize("taken", [False, True], ids=["pending", "taken"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.csv"])
def test_a_file_that_grew_between_two_looks_waits_until_it_holds_still(
    look: Look, land: Land, store: LakeStore, name: str, taken: bool
) -> None:
    file = land(f"{DAY}/{name}", b"event_id\n" if name.endswith("csv") else b"{}\n")
    assert pending(look()) == [f"{DAY}/{name}"]
    if taken:
        take(store, look())
    for _ in range(3):
        append(file)
        stock = look()
        assert pending(stock) == []
        assert reasons(stock) == [(WAITING, f"{DAY}/{name}: still being written")]
    stock = look()
    assert pending(stock) == [f"{DAY}/{name}"]
    assert stock.troubled == ()
    (row,) = (row for row in stock.pending if row["state"] == PENDING)
    assert (row["size"], row["rows_read"]) == (file.stat().st_size, 3 if name.endswith("csv") else 4)


def test_a_file_that_grew_but_has_not_been_touched_for_long_is_taken_at_once(look: Look, land: Land) -> None:
    file = land(f"{DAY}/a.jsonl")
    look()
    append(file)
    long_ago = time.time() - looking.GROWTH_SECONDS - 5
    os.utime(file, (long_ago, long_ago))
    assert pending(look()) == [f"{DAY}/a.jsonl"]


def test_a_file_that_keeps_changing_is_not_read_again_while_it_does(
    look: Look, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = land(f"{DAY}/a.jsonl")
    look()
    append(file)
    look()
    append(file)
    with monkeypatch.context() as watching:
        watching.setattr(looking, "content_hash", lambda one, **_: pytest.fail(f"{one} was read"))
        assert pending(look()) == []


def test_a_file_that_never_stops_growing_is_reported_after_the_limit_and_leaves_one_row(
    look: Look, land: Land, store: LakeStore, settings: Settings
) -> None:
    file = land(f"{DAY}/a.jsonl")
    look()
    for _ in range(5):
        append(file)
        stock = look()
    (row,) = stock.troubled
    assert len(read_ledger(store)) == 2
    first = min(other["first_seen_at"] for other in read_ledger(store) if other["state"] == WAITING)
    assert row["first_seen_at"] == first
    assert rows_in_trouble([row], settings) == []
    late = row | {"first_seen_at": row["first_seen_at"] - timedelta(hours=settings.landing_wait_hours, seconds=1)}
    assert rows_in_trouble([late], settings) == [late]


def test_a_path_that_waits_since_long_keeps_the_time_of_its_first_wait_whatever_its_content(
    look: Look, land: Land, store: LakeStore
) -> None:
    whole = zstandard.ZstdCompressor().compress(b"{}\n" * 100)
    land(f"{DAY}/a.jsonl.zst", whole[:-5])
    (first,) = look().troubled
    land(f"{DAY}/a.jsonl.zst", whole[:-3])
    (second,) = look().troubled
    assert second["delivery"] != first["delivery"]
    assert second["first_seen_at"] == first["first_seen_at"]
    assert len(read_ledger(store)) == 1
    land(f"{DAY}/a.jsonl.zst", whole)
    assert pending(look()) == [f"{DAY}/a.jsonl.zst"]


def test_a_parquet_file_that_is_cut_short_waits_and_is_taken_once_it_is_whole(
    look: Look, land: Land, settings: Settings
) -> None:
    file = land(f"{DAY}/a.parquet", b"")
    pq.write_table(pa.table({"event_id": ["a", "b"]}), file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    ((state, reason),) = reasons(look())
    assert state == WAITING
    assert reason.startswith(f"{DAY}/a.parquet: the Parquet file is broken or not complete")
    assert str(settings.data_dir) not in reason
    file.write_bytes(whole)
    (row,) = (row for row in look().pending if row["state"] == PENDING)
    assert row["rows_read"] == 2


def test_a_file_younger_than_it_takes_to_settle_waits(look: Look, land: Land) -> None:
    file = land(f"{DAY}/a.jsonl")
    assert reasons(look(landing_settle_seconds=30)) == [
        (WAITING, f"{DAY}/a.jsonl: changed less than 30 s ago; it is taken once it has settled")
    ]
    assert reasons(look(landing_settle_seconds=30)) != []
    os.utime(file, (time.time() - 31, time.time() - 31))
    assert pending(look(landing_settle_seconds=30)) == [f"{DAY}/a.jsonl"]
    assert pending(look()) == [f"{DAY}/a.jsonl"]


def test_a_file_waits_to_settle_without_being_read_and_is_taken_when_time_has_passed(
    look: Look, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(f"{DAY}/a.jsonl")
    with monkeypatch.context() as watching:
        watching.setattr(looking, "content_hash", lambda one, **_: pytest.fail(f"{one} was read"))
        look(landing_settle_seconds=60)
    stock = look(landing_settle_seconds=0)
    assert pending(stock) == [f"{DAY}/a.jsonl"]
    assert stock.troubled == ()


def test_a_clock_far_ahead_says_nothing_of_a_files_age(look: Look, land: Land) -> None:
    file = land(f"{DAY}/a.jsonl")
    os.utime(file, (time.time() + 10_000, time.time() + 10_000))
    assert pending(look(landing_settle_seconds=60)) == [f"{DAY}/a.jsonl"]


WITHOUT = "its folder has no _SUCCESS yet; write it once the folder is whole, or set TRASOS_LANDING_SUCCESS=never"


def test_a_data_set_that_marks_its_folders_waits_for_each_to_be_marked(
    look: Look, land: Land, store: LakeStore
) -> None:
    land(f"{DAY}/a.jsonl")
    land(f"{DAY}/_SUCCESS", b"")
    land(f"{OTHER}/b.jsonl")
    land("catalogue/dt=2026-01-02/c.jsonl")
    stock = look()
    assert pending(stock) == ["catalogue/dt=2026-01-02/c.jsonl", f"{DAY}/a.jsonl"]
    assert reasons(stock) == [(WAITING, f"{OTHER}/b.jsonl: {WITHOUT}")]
    assert stock.files == 3
    take(store, stock)
    land(f"{OTHER}/_SUCCESS", b"")
    stock = look()
    assert pending(stock) == [f"{OTHER}/b.jsonl"]
    assert stock.troubled == ()
    land(f"{DAY}/late.jsonl")
    assert f"{DAY}/late.jsonl" in pending(look())


def test_what_waits_for_its_folder_is_not_read_and_is_reported_after_the_limit(
    look: Look, land: Land, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(f"{DAY}/a.jsonl")
    monkeypatch.setattr(looking, "content_hash", lambda one, **_: pytest.fail(f"{one} was read"))
    (row,) = look(landing_success="always").troubled
    assert rows_in_trouble([row], settings) == []
    assert rows_in_trouble([row], settings.model_copy(update={"landing_wait_hours": -1})) == [row]


@pytest.mark.parametrize(("setting", "taken"), [("always", []), ("never", ["a"]), ("auto", ["a"])])
def test_the_setting_says_whether_folders_are_marked(look: Look, land: Land, setting: str, taken: list[str]) -> None:
    land(f"{DAY}/a.jsonl")
    found = pending(look(landing_success=setting))
    assert found == [f"{DAY}/{name}.jsonl" for name in taken]


def test_never_takes_folders_without_a_mark_although_others_have_one(look: Look, land: Land) -> None:
    land(f"{DAY}/_SUCCESS", b"")
    land(f"{OTHER}/b.jsonl")
    assert pending(look()) == []
    assert pending(look(landing_success="never")) == [f"{OTHER}/b.jsonl"]


@pytest.mark.parametrize("marker", ["events/_SUCCESS", "_SUCCESS", f"{DAY}/_success", f"{DAY}/_temporary/_SUCCESS"])
def test_only_a_mark_in_a_days_folder_is_one(look: Look, land: Land, marker: str) -> None:
    land(marker, b"")
    land(f"{OTHER}/b.jsonl")
    assert pending(look()) == [f"{OTHER}/b.jsonl"]
