"""Landing, its bundles, the ledger and the raw table lose the same lines, and what is left is what was delivered."""

import gzip
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.contracts.engineering import CLEAN_EVENTS, QUARANTINE_RELEASES, RAW_EVENTS
from trasos_assets.contracts.landing import EVENT
from trasos_assets.erasure import gate as gates
from trasos_assets.erasure import landed
from trasos_assets.erasure.gate import erasure_key, gate
from trasos_assets.erasure.journal import Journal, journal_file
from trasos_assets.erasure.people import People
from trasos_assets.erasure.suppression import suppress
from trasos_assets.erasure.tables import recount_ledger, remove_from_days, remove_from_raw, rename_in_books
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.entries import Row, identity, read_ledger, write_ledger
from trasos_assets.landing.ledger import take_stock
from trasos_assets.landing.listing import Landed
from trasos_assets.landing.looking import content_hash
from trasos_assets.landing.parse import Delivery, read_deliveries
from trasos_assets.settings import Settings
from trasos_assets_tests.conftest import MakeTable
from trasos_assets_tests.erasure.files import event, write

DAY, NEXT = date(2026, 3, 9), date(2026, 3, 10)
PEOPLE = People(1, customers=("c1",), visitors=("v1",))
ROWS = [event(n, visitor="v1" if n in (0, 3, 4) else "v2", customer="c1" if n == 6 else None) for n in range(8)]
LEFT = ["e1", "e2", "e5", "e7"]
FILES = ("one.jsonl.gz", "two.csv", "three.parquet", "four.avro")


class Taken:
    """Files that landed and were taken: raw rows and the ledger are as an ingest leaves them."""

    def __init__(self, store: LakeStore, settings: Settings) -> None:
        self.store, self.settings = store, settings
        for number, name in enumerate(FILES):
            write(self.folder(DAY) / name, [row | {"event_id": f"{row['event_id']}-{number}"} for row in ROWS], EVENT)
        write(self.folder(NEXT) / "others.jsonl", [event(99, visitor="v2")], EVENT)
        take_stock(store, settings, first_day=DAY)
        for day in (DAY, NEXT):
            rows = [row for row in read_ledger(store) if row["received_day"] == day]
            deliveries = [Delivery(r["delivery"], "events", settings.landing_dir / r["path"], day) for r in rows]
            raw = read_deliveries(
                store.door, "events", deliveries, timezone="UTC", max_line_bytes=1_000_000, max_file_bytes=1 << 30
            )
            store.write(RAW_EVENTS, store.taken(raw), [day])
        write_ledger(store, [row | {"state": "accepted", "run_id": "r"} for row in read_ledger(store)])
        self.journal = Journal(
            file=journal_file(store, "abc"),
            erasure="abc",
            people=PEOPLE,
            names=("c1",),
            reason=None,
            started_at=datetime(2026, 3, 11),
            touched=tuple(r["delivery"] for r in read_ledger(store) if r["received_day"] == DAY),
        )

    def folder(self, day: date) -> Path:
        return self.settings.landing_dir / "events" / f"dt={day}"

    def erase(self) -> landed.LandingReport:
        report = landed.rewrite_landing(self.store, self.settings, self.journal)
        known = {row["delivery"] for row in read_ledger(self.store)}
        renamed = {old: new["delivery"] for old, new in self.journal.renamed.items() if old not in known}
        remove_from_raw(self.store, PEOPLE, renamed, removed=lambda *_: None)
        rename_in_books(self.store, renamed)
        recount_ledger(self.store, {renamed.get(d, d) for d in self.journal.touched})
        return report

    def raw(self) -> list[dict[str, Any]]:
        table = self.store.read(RAW_EVENTS)
        return table.order_by("file_hash", "line").select("file_hash", "line", "event_id").to_pyarrow().to_pylist()

    def assert_erased(self) -> None:
        ledger = {row["delivery"]: row for row in read_ledger(self.store)}
        for delivery, row in ledger.items():
            rows = [raw for raw in self.raw() if raw["file_hash"] == delivery]
            assert len(rows) == row["rows_read"], row["path"]
            if row["received_day"] == DAY:
                first = 2 if row["path"].endswith(".csv") else 1
                assert [r["line"] for r in rows] == list(range(first, first + 4))
                assert [r["event_id"].split("-")[0] for r in rows] == LEFT


@pytest.fixture
def taken(store: LakeStore, settings: Settings) -> Taken:
    return Taken(store, settings)


def test_a_rewritten_file_is_the_delivery_that_the_ledger_and_the_raw_table_know(taken: Taken) -> None:
    report = taken.erase()
    assert report.rewritten == {f"events/dt={DAY}/{name}": 4 for name in FILES}
    taken.assert_erased()
    for row in read_ledger(taken.store):
        path = taken.settings.landing_dir / row["path"]
        content = content_hash(Landed(taken.settings.landing_dir, row["path"], row["signature"]))[0]
        assert row["delivery"] == identity(row["path"], path.stat().st_size, content)
    assert take_stock(taken.store, taken.settings, first_day=DAY).pending == ()
    for path in taken.folder(DAY).iterdir():
        path.touch()
    assert take_stock(taken.store, taken.settings, first_day=DAY).pending == (), "touched files are the same files"


def test_an_erasure_once_more_changes_nothing(taken: Taken) -> None:
    taken.erase()
    ledger, raw = read_ledger(taken.store), taken.raw()
    assert taken.erase().rewritten == {}
    assert (read_ledger(taken.store), taken.raw()) == (ledger, raw)


@pytest.mark.parametrize("at", [1, 2, 3, 6, 9])
def test_killed_at_any_write_it_goes_on_where_it_was(taken: Taken, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    calls = 0

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at:
                raise KeyboardInterrupt
            return original(*arguments, **options)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(landed, "put_in_place", dying(landed.put_in_place))
        patched.setattr(landed, "write_ledger", dying(landed.write_ledger))
        patched.setattr(Journal, "save", dying(Journal.save))
        with pytest.raises(KeyboardInterrupt):
            taken.erase()
    if taken.journal.file.exists():
        taken.journal = Journal.load(taken.journal.file)
    else:
        taken.journal.renamed = {}
    taken.erase()
    taken.assert_erased()
    assert take_stock(taken.store, taken.settings, first_day=DAY).pending == ()


def test_files_in_bundles_are_rewritten_in_their_bundle(taken: Taken) -> None:
    names = {Path(r["path"]).name: r["delivery"] for r in read_ledger(taken.store) if r["received_day"] == DAY}
    archive.archive(taken.settings.landing_dir, "events", DAY, names)
    assert not any(path.is_file() for path in taken.folder(DAY).glob("*"))
    taken.erase()
    taken.assert_erased()
    bundled = {m.delivery for m in archive.members(taken.settings.landing_dir, "events", DAY)}
    assert bundled == {row["delivery"] for row in read_ledger(taken.store) if row["received_day"] == DAY}
    assert taken.erase().rewritten == {}
    archive.restore(taken.settings.landing_dir, "events", DAY)
    assert take_stock(taken.store, taken.settings, first_day=DAY).pending == ()


def test_files_that_were_removed_after_they_were_taken_lose_their_lines_in_the_lake(taken: Taken) -> None:
    for name in FILES[:2]:
        (taken.folder(DAY) / name).unlink()
    taken.erase()
    taken.assert_erased()


def test_files_that_were_not_taken_yet_are_rewritten_too_and_what_cannot_be_read_is_named(taken: Taken) -> None:
    new = write(taken.folder(NEXT) / "new.jsonl.gz", ROWS, EVENT)
    cut = taken.folder(NEXT) / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"visitor_id":"v1"}\n' * 500)[:-9])
    report = taken.erase()
    assert report.rewritten[f"events/dt={NEXT}/new.jsonl.gz"] == 4
    assert list(report.unreadable) == [f"events/dt={NEXT}/cut.jsonl.gz"]
    left = [json.loads(line)["event_id"] for line in gzip.decompress(new.read_bytes()).splitlines()]
    assert left == LEFT


def test_a_release_of_one_file_names_it_by_its_new_name(taken: Taken, table: MakeTable) -> None:
    old = next(row for row in read_ledger(taken.store) if row["path"].endswith("two.csv"))
    release = {
        "release_id": "r1",
        "dataset": "events",
        "reason": "too_late",
        "since": DAY,
        "until": DAY,
        "file_hash": old["delivery"],
        "waived": True,
        "released_by": "ana",
        "released_on": DAY,
        "released_at": datetime(2026, 3, 9),
        "applied": True,
    }
    taken.store.write(QUARANTINE_RELEASES, table(QUARANTINE_RELEASES, [release]))
    taken.erase()
    new = next(row for row in read_ledger(taken.store) if row["path"].endswith("two.csv"))
    (named,) = taken.store.read(QUARANTINE_RELEASES).to_pyarrow()["file_hash"].to_pylist()
    assert named == new["delivery"] != old["delivery"]


def test_days_that_cannot_be_built_again_lose_the_rows_themselves(store: LakeStore, table: MakeTable) -> None:
    rows = [
        {
            "day": day,
            "event_id": f"e{number}",
            "event_type": "page_view",
            "occurred_at": datetime(2026, 3, 9),
            "received_at": datetime(2026, 3, 9),
            "visitor_id": visitor,
            "session_id": "s",
        }
        for number, (day, visitor) in enumerate(((DAY, "v1"), (DAY, "v2"), (NEXT, "v1"), (NEXT, "v2")))
    ]
    store.write(CLEAN_EVENTS, table(CLEAN_EVENTS, rows), [DAY, NEXT])
    told: list[tuple[str, date, int]] = []
    remove_from_days(store, PEOPLE, [NEXT], removed=lambda *what: told.append(what))
    assert told == [(CLEAN_EVENTS.name, DAY, 1)]
    left = store.read(CLEAN_EVENTS).order_by("event_id").to_pyarrow()["event_id"].to_pylist()
    assert left == ["e1", "e2", "e3"], "the other day is left to the ordinary way"


class AtTheGate:
    """A lake that forgot c1 and v1."""

    def __init__(self, store: LakeStore, settings: Settings) -> None:
        self.store, self.settings = store, settings
        key = erasure_key(settings, make=True)
        assert key is not None
        suppress(store, key, PEOPLE, erasure="abc", reason=None, at=datetime(2026, 3, 11))

    def land(self, name: str, *, old: bool = True) -> Path:
        path = write(self.settings.landing_dir / "events" / f"dt={DAY}" / name, ROWS, EVENT)
        if old:
            ago = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
            os.utime(path, (ago, ago))
        return path

    def look(self) -> list[Row]:
        admit = gate(self.store, self.settings)
        take_stock(self.store, self.settings, first_day=DAY, admit=admit)
        return read_ledger(self.store)


@pytest.fixture
def forgetful(store: LakeStore, settings: Settings) -> AtTheGate:
    return AtTheGate(store, settings)


@pytest.mark.parametrize("name", FILES)
def test_a_redelivered_file_loses_their_lines_before_it_is_taken(forgetful: AtTheGate, name: str) -> None:
    path = forgetful.land(name)
    (row,) = forgetful.look()
    assert (row["state"], row["rows_read"], row["size"]) == ("pending", 4, path.stat().st_size)
    assert forgetful.look() == [row], "the next look finds nothing new"


def test_a_file_of_nobody_who_was_forgotten_is_left_as_it_is(forgetful: AtTheGate) -> None:
    path = write(
        forgetful.settings.landing_dir / "events" / f"dt={DAY}" / "a.jsonl.gz", [event(1, visitor="v2")], EVENT
    )
    before = path.read_bytes()
    (row,) = forgetful.look()
    assert (row["state"], row["rows_read"]) == ("pending", 1)
    assert path.read_bytes() == before


def test_a_file_that_may_still_be_written_waits_and_is_taken_later(forgetful: AtTheGate) -> None:
    path = forgetful.land("a.jsonl", old=False)
    before = path.read_bytes()
    (row,) = forgetful.look()
    assert row["state"] == "waiting"
    assert "once nobody has touched it" in row["reason"]
    assert path.read_bytes() == before
    forgetful.land("a.jsonl")
    states = {row["state"]: row["rows_read"] for row in forgetful.look()}
    assert states["pending"] == 4


def test_a_file_that_cannot_be_rewritten_waits_until_it_can(
    forgetful: AtTheGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = forgetful.land("a.jsonl.gz")
    before = path.read_bytes()

    def refused(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(gates, "put_in_place", refused)
        (row,) = forgetful.look()
    assert row["state"] == "waiting"
    assert "Permission denied" in row["reason"]
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.jsonl.gz"]
    assert [r["state"] for r in forgetful.look() if r["state"] != "superseded"] == ["pending"]


def test_where_nobody_was_forgotten_there_is_no_gate(store: LakeStore, settings: Settings) -> None:
    assert gate(store, settings) is None
    assert not settings.erasure_key_file.exists()
