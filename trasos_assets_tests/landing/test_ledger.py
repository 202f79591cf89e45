"""The ledger: every landed file is taken once, none is lost, and trouble comes with its remedy."""

import gzip
import os
import re
import shutil
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trasos_assets.contracts.engineering import DELIVERY_STATES, LANDING_LEDGER
from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.contracts.schema import violations
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import ledger, looking
from trasos_assets.landing.ledger import (
    ACCEPTED,
    PENDING,
    REJECTED,
    SUPERSEDED,
    WAITING,
    LandingError,
    Row,
    Stock,
    pending_deliveries,
    read_ledger,
    settle,
    take_stock,
)
from trasos_assets.landing.listing import Landed, Listing, list_landing
from trasos_assets.landing.looking import GROWING
from trasos_assets.settings import Settings
from trasos_assets_tests.conftest import new_backend

FIRST = date(2026, 1, 1)
NOW = time.time()
DAY = "events/dt=2026-01-02"
Land = Callable[..., Path]


@pytest.fixture
def land(settings: Settings) -> Land:
    """Write a file below landing/."""

    def write(path: str, content: bytes = b"{}\n") -> Path:
        file = settings.landing_dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content) if path.endswith(".gz") else content)
        return file

    return write


@pytest.fixture
def look(store: LakeStore, settings: Settings) -> Callable[..., Stock]:
    return lambda **changes: take_stock(
        store,
        settings.model_copy(update={k: v for k, v in changes.items() if k in Settings.model_fields}),
        first_day=changes.get("first_day", FIRST),
        limit=changes.get("limit"),
    )


Look = Callable[..., Stock]


def paths(rows: tuple[Row, ...]) -> list[str]:
    return sorted(row["path"] for row in rows)


def take(store: LakeStore, stock: Stock) -> None:
    settle(store, [row["delivery"] for row in stock.pending], run_id="run1")


def states(store: LakeStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in read_ledger(store):
        found.setdefault(row["path"], []).append(row["state"])
    return {path: sorted(of_path) for path, of_path in found.items()}


def test_a_missing_landing_folder_is_named_with_the_ways_to_fill_it(look: Look, settings: Settings) -> None:
    with pytest.raises(LandingError) as error:
        look()
    assert f"the landing folder {settings.landing_dir} does not exist" in str(error.value)
    assert all(remedy in str(error.value) for remedy in ("trasos simulate --out", "trasos import", "TRASOS_DATA_DIR"))


def test_an_empty_landing_folder_is_no_error_and_makes_a_ledger(
    look: Look, settings: Settings, store: LakeStore
) -> None:
    settings.landing_dir.mkdir()
    assert look() == Stock((), (), 0)
    assert store.exists(LANDING_LEDGER)


def test_a_new_file_is_pending_with_all_that_is_known_of_it(look: Look, land: Land, settings: Settings) -> None:
    file = land(f"{DAY}/a.jsonl.gz", b"{}\n\nbad\n")
    before = datetime.now(UTC).replace(tzinfo=None)
    (row,) = look().pending
    assert (row["dataset"], row["path"], row["received_day"]) == ("events", f"{DAY}/a.jsonl.gz", date(2026, 1, 2))
    assert (row["state"], row["rows_read"], row["size"]) == (PENDING, 2, file.stat().st_size)
    assert before <= row["first_seen_at"] <= before + timedelta(minutes=1)
    assert re.fullmatch("[0-9a-f]{16}", row["delivery"])


def test_the_ledger_keeps_its_contract(look: Look, land: Land, store: LakeStore) -> None:
    land(f"{DAY}/a.jsonl")
    land(f"{DAY}/a.txt")
    land("what/dt=2026-01-02/a.jsonl")
    take(store, look())
    assert violations(LANDING_LEDGER, store.read(LANDING_LEDGER)) == []
    assert set(DELIVERY_STATES) == {PENDING, ACCEPTED, WAITING, REJECTED, SUPERSEDED}


def test_a_file_is_pending_until_it_is_settled_and_then_never_comes_again(
    look: Look, land: Land, store: LakeStore
) -> None:
    land(f"{DAY}/a.jsonl")
    first, second = look(), look()
    assert first == second
    assert paths(first.pending) == [f"{DAY}/a.jsonl"]
    take(store, second)
    assert look() == Stock((), (), 1)
    (row,) = read_ledger(store)
    assert (row["state"], row["run_id"]) == (ACCEPTED, "run1")


def test_a_look_that_finds_nothing_new_writes_nothing(
    look: Look, land: Land, store: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(f"{DAY}/a.jsonl")
    land(f"{DAY}/bad.txt")
    look()
    written = store.file(LANDING_LEDGER).stat().st_mtime_ns
    monkeypatch.setattr(looking, "content_hash", lambda one, **_: pytest.fail(f"{one} was read again"))
    look()
    assert store.file(LANDING_LEDGER).stat().st_mtime_ns == written


def test_the_same_content_under_the_same_path_is_no_new_delivery(look: Look, land: Land, store: LakeStore) -> None:
    file = land(f"{DAY}/a.jsonl", b"{}\n")
    take(store, look())
    file.unlink()
    assert look().pending == ()
    land(f"{DAY}/a.jsonl", b"{}\n")
    os.utime(file, (1, 1))
    assert look().pending == ()
    assert states(store) == {f"{DAY}/a.jsonl": [ACCEPTED]}


def test_other_content_under_the_same_path_is_a_new_delivery(look: Look, land: Land, store: LakeStore) -> None:
    land(f"{DAY}/a.jsonl", b'{"a": 1}\n')
    first = look()
    take(store, first)
    land(f"{DAY}/a.jsonl", b'{"a": 2}\n')
    second = look()
    assert [row["delivery"] for row in second.pending] != [row["delivery"] for row in first.pending]
    take(store, second)
    assert states(store) == {f"{DAY}/a.jsonl": [ACCEPTED, ACCEPTED]}
    land(f"{DAY}/a.jsonl", b'{"a": 1}\n')
    assert look().pending == ()


def test_the_same_content_under_another_path_is_a_delivery_of_its_own(look: Look, land: Land) -> None:
    land(f"{DAY}/a.jsonl")
    land(f"{DAY}/b.jsonl")
    assert len({row["delivery"] for row in look().pending}) == 2


def test_a_file_replaced_before_it_was_taken_is_taken_once_as_it_is_now(
    look: Look, land: Land, store: LakeStore, settings: Settings
) -> None:
    land(f"{DAY}/a.jsonl", b'{"a": 1}\n')
    look()
    land(f"{DAY}/a.jsonl", b'{"a": 2}\n{"a": 3}\n')
    stock = look()
    (delivery,) = pending_deliveries(store, settings, "events", FIRST, date(2026, 1, 31))
    assert {row["delivery"]: row["rows_read"] for row in stock.pending if row["state"] == PENDING} == {
        delivery.delivery: 2
    }
    assert states(store) == {f"{DAY}/a.jsonl": [PENDING, SUPERSEDED]}
    take(store, stock)
    assert states(store) == {f"{DAY}/a.jsonl": [ACCEPTED, SUPERSEDED]}
    assert look().pending == ()


def test_what_a_failed_run_may_have_stored_of_a_replaced_file_is_settled_with_the_next(
    look: Look, land: Land, store: LakeStore
) -> None:
    land(f"{DAY}/a.jsonl", b'{"a": 1}\n')
    (old,) = look().pending
    land(f"{DAY}/a.jsonl", b'{"a": 2}\n')
    assert old["delivery"] in {row["delivery"] for row in look().pending}


def test_a_file_removed_before_it_was_taken_wedges_nothing(
    look: Look, land: Land, store: LakeStore, settings: Settings
) -> None:
    gone = land(f"{DAY}/a.jsonl")
    land(f"{DAY}/b.jsonl")
    look()
    gone.unlink()
    take(store, look())
    assert pending_deliveries(store, settings, "events", FIRST, date(2026, 1, 31)) == []
    assert states(store) == {f"{DAY}/a.jsonl": [SUPERSEDED], f"{DAY}/b.jsonl": [ACCEPTED]}
    land(f"{DAY}/a.jsonl")
    assert paths(look().pending) == [f"{DAY}/a.jsonl"]


def test_a_truncated_gzip_waits_and_is_taken_once_it_is_whole(
    look: Look, land: Land, store: LakeStore, settings: Settings
) -> None:
    file = land(f"{DAY}/a.jsonl.gz", b'{"a": 1}\n' * 1000)
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    land(f"{DAY}/b.jsonl")
    stock = look()
    assert paths(stock.pending) == [f"{DAY}/b.jsonl"]
    (row,) = stock.troubled
    assert row["state"] == WAITING
    assert row["reason"].startswith(f"{DAY}/a.jsonl.gz: the gzip stream is broken or not complete")
    assert row["reason"].endswith("deliver the file again, whole")
    assert str(settings.data_dir) not in row["reason"]
    take(store, stock)
    assert paths(look().troubled) == [f"{DAY}/a.jsonl.gz"]
    file.write_bytes(whole)
    stock = look()
    assert paths(stock.pending) == [f"{DAY}/a.jsonl.gz"]
    assert stock.troubled == ()
    take(store, stock)
    assert look() == Stock((), (), 2)
    assert states(store)[f"{DAY}/a.jsonl.gz"] == [ACCEPTED, SUPERSEDED]


def test_a_file_that_grows_while_it_is_looked_at_waits(look: Look, land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    file = land(f"{DAY}/a.jsonl")
    count = looking.count_rows

    def grow(path: Path, landing: LandingFormat, *, max_bytes: int) -> int:
        found = count(path, landing, max_bytes=max_bytes)
        with path.open("ab") as stream:
            stream.write(b"{}\n")
        return found

    with monkeypatch.context() as growing:
        growing.setattr(looking, "count_rows", grow)
        stock = look()
    assert stock.pending == ()
    assert [row["reason"] for row in stock.troubled] == [f"{DAY}/a.jsonl: still being written"]
    (row,) = look().pending
    assert (row["rows_read"], row["size"]) == (2, file.stat().st_size)


REJECTIONS = {
    "what/dt=2026-01-02/a.jsonl": "unknown data set 'what'; the folders below landing/ are events, catalogue",
    "events/a.jsonl": "not in a day's folder; move it to landing/events/dt=YYYY-MM-DD/",
    "events/2026-01-02/a.jsonl": "not in a day's folder",
    "events/dt=2026-02-30/a.jsonl": "not in a day's folder",
    "events/dt=2026-1-2/a.jsonl": "not in a day's folder",
    "events/dt=2026-01-02/hour=1/a.jsonl": "not in a day's folder",
    "events/dt=2026-01-02/a.xlsx": "unknown file type; known are .jsonl, .jsonl.gz",
    "events/dt=2026-01-02/a.jsonl.bz2": "unknown file type",
    "events/dt=2025-12-31/a.jsonl": "its day is before the lake's first day 2026-01-01; set TRASOS_START_DATE",
    "a.jsonl": "not in a data set's folder; move it to landing/<data set>/dt=YYYY-MM-DD/",
}


@pytest.mark.parametrize(("path", "remedy"), REJECTIONS.items())
def test_a_file_that_cannot_be_taken_is_rejected_with_the_remedy_and_stops_no_other(
    look: Look, land: Land, path: str, remedy: str
) -> None:
    land(path)
    land(f"{DAY}/good.jsonl")
    stock = look()
    assert paths(stock.pending) == [f"{DAY}/good.jsonl"]
    (row,) = stock.troubled
    assert row["state"] == REJECTED
    assert row["reason"].startswith(f"{path}: {remedy}")


def test_a_rejected_file_is_no_trouble_any_more_once_it_was_moved_or_replaced(
    look: Look, land: Land, store: LakeStore
) -> None:
    wrong, bad = land("events/a.jsonl"), land(f"{DAY}/b.jsonl", b"x" * 2000)
    assert len(look(max_file_bytes=1000).troubled) == 2
    wrong.rename(bad.parent / "a.jsonl")
    bad.write_bytes(b"{}\n")
    stock = look(max_file_bytes=1000)
    assert stock.troubled == ()
    assert paths(tuple(r for r in stock.pending if r["state"] == PENDING)) == [f"{DAY}/a.jsonl", f"{DAY}/b.jsonl"]
    assert not {"waiting", "rejected"} & {state for of_path in states(store).values() for state in of_path}


def test_a_file_over_the_size_limit_is_rejected_and_taken_once_the_limit_is_raised(look: Look, land: Land) -> None:
    land(f"{DAY}/bomb.jsonl.gz", b"\n" * 100_000)
    (row,) = look(max_file_bytes=1000).troubled
    assert row["state"] == REJECTED
    assert row["reason"].startswith(f"{DAY}/bomb.jsonl.gz: over 1,000 bytes when decompressed; split it, or raise")
    assert look(max_file_bytes=2000).pending == ()
    stock = look(max_file_bytes=1_000_000)
    assert stock.troubled == ()
    assert paths(stock.pending) == [f"{DAY}/bomb.jsonl.gz"]


def test_a_file_before_the_first_day_is_taken_by_a_lake_that_begins_earlier(look: Look, land: Land) -> None:
    land("events/dt=2025-12-31/a.jsonl")
    assert len(look().troubled) == 1
    stock = look(first_day=date(2025, 1, 1))
    assert (len(stock.pending), len(stock.troubled)) == (1, 0)


def test_a_file_of_the_future_waits_for_its_day(look: Look, land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    land(f"events/dt={tomorrow}/a.jsonl")
    stock = look()
    assert [(row["state"], row["received_day"]) for row in stock.troubled] == [(WAITING, None)]
    assert stock.troubled[0]["reason"].endswith("its day has not come yet; it will be taken then")
    assert look().pending == ()

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=1)  # type: ignore[arg-type]

    monkeypatch.setattr(ledger, "datetime", Later)
    stock = look()
    assert stock.troubled == ()
    assert [row["received_day"] for row in stock.pending] == [tomorrow]


@pytest.mark.parametrize(
    "name",
    [
        f"{DAY}/.hidden.jsonl",
        f"{DAY}/_SUCCESS",
        f"{DAY}/a.jsonl.tmp",
        f"{DAY}/a.jsonl.part",
        "events/_temporary/0/a.jsonl",
        f"{DAY}/.staging/a.jsonl",
        ".trash/dt=2026-01-02/a.jsonl",
        "truth.json",
        "README",
    ],
)
def test_half_written_and_hidden_files_are_passed_over(look: Look, land: Land, name: str) -> None:
    land(name)
    assert look() == Stock((), (), 0)


def test_files_come_in_a_stable_order(land: Land, settings: Settings) -> None:
    for name in ("b", "a", "c"):
        land(f"{DAY}/{name}.jsonl")
    land("catalogue/dt=2026-01-02/z.jsonl")
    found = [one.path.name for one in list_landing(settings.landing_dir).files]
    assert found == ["z.jsonl", "a.jsonl", "b.jsonl", "c.jsonl"]


def test_a_look_enters_no_more_than_its_limit_and_the_next_goes_on(look: Look, land: Land, store: LakeStore) -> None:
    for number in range(5):
        land(f"{DAY}/{number}.jsonl")
    assert len(look(limit=2).pending) == 2
    assert len(look(limit=2).pending) == 4
    take(store, look(limit=2))
    assert len(look(limit=2).pending) == 0
    assert states(store) == {f"{DAY}/{number}.jsonl": [ACCEPTED] for number in range(5)}


def test_deliveries_are_picked_by_data_set_and_day(
    look: Look, land: Land, store: LakeStore, settings: Settings
) -> None:
    for path in ("events/dt=2026-01-02/a", "events/dt=2026-01-04/b", "catalogue/dt=2026-01-02/c"):
        land(f"{path}.jsonl")
    stock = look()
    found = pending_deliveries(store, settings, "events", date(2026, 1, 2), date(2026, 1, 3))
    assert [(one.path, one.received_day) for one in found] == [
        (settings.landing_dir / "events/dt=2026-01-02/a.jsonl", date(2026, 1, 2))
    ]
    assert found[0].delivery in {row["delivery"] for row in stock.pending}


def test_settling_some_leaves_the_others_pending(look: Look, land: Land, store: LakeStore) -> None:
    land(f"{DAY}/a.jsonl")
    land(f"{DAY}/b.jsonl")
    first, second = look().pending
    settle(store, [first["delivery"]], run_id="run1")
    assert look().pending == (second,)


def test_an_interrupted_write_of_the_ledger_loses_nothing(
    look: Look, land: Land, store: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(f"{DAY}/a.jsonl")
    take(store, look())
    land(f"{DAY}/b.jsonl")
    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            look()
    assert states(store) == {f"{DAY}/a.jsonl": [ACCEPTED]}
    stock = look()
    assert paths(stock.pending) == [f"{DAY}/b.jsonl"]
    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            take(store, stock)
    assert paths(look().pending) == [f"{DAY}/b.jsonl"]


def test_a_file_that_vanishes_while_landing_is_listed_stops_nothing(
    look: Look, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = land(f"{DAY}/a.jsonl")
    land(f"{DAY}/b.jsonl")

    def remove_after(landing: Path) -> Listing:
        listing = list_landing(landing)
        gone.unlink()
        return listing

    monkeypatch.setattr(ledger, "list_landing", remove_after)
    assert paths(look().pending) == [f"{DAY}/b.jsonl"]


def test_a_file_that_may_not_be_read_waits_and_stops_nothing(
    look: Look, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(f"{DAY}/a.jsonl")
    land(f"{DAY}/b.jsonl")
    read = looking.content_hash

    def forbidden(one: Landed, *, beginning: int) -> tuple[str, str]:
        if one.path.name == "a.jsonl":
            raise PermissionError(13, "Permission denied")
        return read(one, beginning=beginning)

    with monkeypatch.context() as locked:
        locked.setattr(looking, "content_hash", forbidden)
        stock = look()
    assert paths(stock.pending) == [f"{DAY}/b.jsonl"]
    assert [(row["state"], row["reason"]) for row in stock.troubled] == [
        (WAITING, f"{DAY}/a.jsonl: cannot be read (Permission denied); mend its permissions or deliver it again")
    ]
    assert len(look().pending) == 2


def test_a_file_that_trips_its_reader_up_waits_and_stops_no_other(
    look: Look, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(f"{DAY}/a.jsonl")
    land(f"{DAY}/b.jsonl")
    count = looking.count_rows

    def trip(path: Path, landing: LandingFormat, *, max_bytes: int) -> int:
        if path.name == "a.jsonl":
            raise RecursionError
        return count(path, landing, max_bytes=max_bytes)

    with monkeypatch.context() as tripping:
        tripping.setattr(looking, "count_rows", trip)
        stock = look()
    assert paths(stock.pending) == [f"{DAY}/b.jsonl"]
    assert [row["reason"] for row in stock.troubled] == [
        f"{DAY}/a.jsonl: cannot be read (RecursionError); deliver it again, or tell engineering"
    ]
    assert len(look().pending) == 2


def test_new_files_and_those_that_keep_changing_come_by_turns_the_oldest_first(
    look: Look, land: Land, store: LakeStore
) -> None:
    def age(file: Path, seconds: int) -> None:
        os.utime(file, (NOW - seconds, NOW - seconds))

    for number in range(6):
        land(f"{DAY}/old{number}.jsonl", b"first\n")
    look()
    for number in range(6):
        age(land(f"{DAY}/old{number}.jsonl", b"other %d\n" % number), 1000 + number)
        age(land(f"{DAY}/new{number}.jsonl", b"{}\n"), 2000 + number)
    before = {row["delivery"] for row in read_ledger(store)}
    looked_at = [row["path"] for row in look(limit=4).pending if row["delivery"] not in before]
    assert sorted(looked_at) == [f"{DAY}/{name}.jsonl" for name in ("new4", "new5", "old4", "old5")]
    while len(states(store)) < 12:
        look(limit=4)


def test_a_bounded_look_ends_in_time_and_the_next_goes_on(
    look: Look, land: Land, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        land(f"{DAY}/{number}.jsonl")
    monkeypatch.setattr(ledger, "LOOK_SECONDS", -1)
    assert [len(look(limit=500).pending) for _ in range(4)] == [1, 2, 3, 4]
    monkeypatch.setattr(ledger, "LOOK_SECONDS", 45)
    land(f"{DAY}/5.jsonl")
    land(f"{DAY}/6.jsonl")
    assert len(look(limit=500).pending) == 6


def test_a_ledger_that_was_written_before_lines_were_counted_gets_the_columns(
    look: Look, land: Land, store: LakeStore
) -> None:
    land(f"{DAY}/a.jsonl")
    take(store, look())
    file = store.file(LANDING_LEDGER)
    pq.write_table(pq.read_table(file, partitioning=None).drop_columns(["accepted", "duplicate", "quarantined"]), file)  # type: ignore[arg-type]
    assert look() == Stock((), (), 1)
    assert violations(LANDING_LEDGER, store.read(LANDING_LEDGER)) == []
    assert states(store) == {f"{DAY}/a.jsonl": [ACCEPTED]}


@pytest.mark.slow
def test_twenty_thousand_files_with_five_hundred_new_ones_cost_a_tick_little(
    look: Look, land: Land, store: LakeStore, settings: Settings
) -> None:
    for number in range(20_500):
        file = settings.landing_dir / f"events/dt=2026-01-{1 + number % 28:02d}" / f"{number:05d}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        if number < 20_000:
            file.write_bytes(b"{}\n")
    take(store, look())
    for number in range(20_000, 20_500):
        land(f"events/dt=2026-01-{1 + number % 28:02d}/{number:05d}.jsonl")
    began = time.process_time()
    assert len(look(limit=500).pending) == 500
    new = time.process_time() - began
    shutil.rmtree(settings.landing_dir / "events")
    began = time.process_time()
    look(limit=500)
    assert (new < 5, time.process_time() - began < 5) == (True, True), "0.7 s and 0.3 s on a quiet machine"


NAMES = ("a", "b")
MOVES = st.one_of(
    st.tuples(st.just("land"), st.sampled_from(NAMES), st.integers(0, 2)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("fail"), st.just(""), st.just(0)),
    st.tuples(st.just("run"), st.just(""), st.just(0)),
)


@pytest.mark.slow
@given(moves=st.lists(MOVES, max_size=12))
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_lands_is_taken_exactly_once_by_the_runs_that_succeed(
    moves: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    store = LakeStore(settings.lake_dir, new_backend())
    folder = settings.landing_dir / DAY
    folder.mkdir(parents=True)
    taken: list[tuple[str, bytes]] = []
    offered: dict[str, bytes] = {}

    def ingest(*, succeed: bool) -> None:
        stock = take_stock(store, settings, first_day=FIRST)
        if any(row["reason"].endswith(GROWING) for row in stock.troubled):  # it holds still from now on
            stock = take_stock(store, settings, first_day=FIRST)
        found = pending_deliveries(store, settings, "events", FIRST, date(2026, 1, 31))
        assert {one.delivery for one in found} <= {row["delivery"] for row in stock.pending}
        if succeed:
            taken.extend((one.path.name, one.path.read_bytes()) for one in found)
            settle(store, [row["delivery"] for row in stock.pending], run_id="run")
            for name, content in offered.items():
                assert (name, content) in taken

    for move, name, version in moves:
        if move == "land":
            offered[f"{name}.jsonl"] = b"{}\n" * (version + 1)
            (folder / f"{name}.jsonl").write_bytes(offered[f"{name}.jsonl"])
        elif move == "remove":
            (folder / f"{name}.jsonl").unlink(missing_ok=True)
            offered.pop(f"{name}.jsonl", None)
        else:
            ingest(succeed=move == "run")
    ingest(succeed=True)
    assert len(taken) == len(set(taken))
    assert take_stock(store, settings, first_day=FIRST).pending == ()
