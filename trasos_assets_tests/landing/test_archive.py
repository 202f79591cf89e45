"""Bundles of landed files: every byte kept, nothing lost by a crash, nothing a new delivery."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from upath import UPath

from trasos_assets.contracts.landing import EVENT
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import archive, bundles
from trasos_assets.landing.archive import ArchiveError
from trasos_assets.landing.entries import ACCEPTED, identity
from trasos_assets.landing.ledger import read_ledger, settle, take_stock
from trasos_assets.landing.parse import Delivery, read_deliveries
from trasos_assets.settings import Settings
from trasos_assets_tests.landing import formats

DAY = date(2026, 3, 1)
EVENTS = "events"
Files = dict[str, bytes]


def land(landing: Path, files: Files, day: date = DAY) -> dict[str, str]:
    """Write files of a day; returns the delivery of each by name."""
    taken = {}
    for name, content in files.items():
        path = landing / EVENTS / f"dt={day}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        taken[name] = delivery(name, content, day)
    return taken


def delivery(name: str, content: bytes, day: date = DAY) -> str:
    return identity(f"{EVENTS}/dt={day}/{name}", len(content), hashlib.sha256(content).hexdigest())


def lying(landing: Path, day: date = DAY) -> Files:
    """What lies in the day's folder."""
    folder = landing / EVENTS / f"dt={day}"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def bundled(landing: Path, day: date = DAY) -> Files:
    """What stands in the day's bundle, by delivery and name."""
    found = {}
    for member in archive.members(landing, EVENTS, day):
        with member.path.open("rb") as stream:
            found[f"{member.delivery}/{member.name}"] = stream.read()
    return found


def known_as(files: Files) -> Files:
    return {f"{delivery(name, content)}/{name}": content for name, content in files.items()}


FILES = {"b.jsonl.gz": b"\x1f\x8b second", "a.jsonl": b'{"event_id": "e1"}\n', "empty é.csv": b""}


@pytest.fixture(params=["folder", "object store"])
def landing(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        return tmp_path / "landing"
    return UPath(f"memory://bucket-{uuid.uuid4().hex}/landing")  # type: ignore[return-value]


def test_every_file_of_a_day_stands_in_one_bundle_with_its_bytes_and_leaves_landing(landing: Path) -> None:
    members = archive.archive(landing, EVENTS, DAY, land(landing, FILES))
    assert lying(landing) == {}
    assert bundled(landing) == known_as(FILES)
    assert sorted(member.name for member in members) == sorted(FILES)
    assert archive.archived(landing, EVENTS) == [DAY]
    assert archive.archived_datasets(landing) == [EVENTS]
    assert archive.archived(landing, "catalogue") == []


def test_the_ledgers_name_of_a_file_leads_to_its_bytes(landing: Path) -> None:
    taken = land(landing, FILES)
    archive.archive(landing, EVENTS, DAY, taken)
    found = archive.find(landing, EVENTS, DAY, taken["a.jsonl"])
    assert found is not None
    assert (found.relative, found.path.open("rb").read()) == (f"events/dt={DAY}/a.jsonl", FILES["a.jsonl"])
    assert archive.find(landing, EVENTS, DAY, "0" * 16) is None


def test_what_was_bundled_comes_back_as_it_was_and_the_bundle_goes(landing: Path) -> None:
    archive.archive(landing, EVENTS, DAY, land(landing, FILES))
    back = archive.restore(landing, EVENTS, DAY)
    assert len(back) == len(FILES)
    assert lying(landing) == FILES
    assert archive.archived(landing, EVENTS) == []
    assert archive.restore(landing, EVENTS, DAY) == []


def test_one_file_comes_back_and_the_others_stay(landing: Path) -> None:
    taken = land(landing, FILES)
    archive.archive(landing, EVENTS, DAY, taken)
    archive.restore(landing, EVENTS, DAY, [taken["a.jsonl"]])
    assert lying(landing) == {"a.jsonl": FILES["a.jsonl"]}
    assert bundled(landing) == known_as({name: FILES[name] for name in FILES if name != "a.jsonl"})


def test_a_file_that_comes_late_joins_the_bundle_of_its_day(landing: Path) -> None:
    archive.archive(landing, EVENTS, DAY, land(landing, FILES))
    late = {"late.jsonl": b"late\n"}
    archive.archive(landing, EVENTS, DAY, land(landing, late))
    assert bundled(landing) == known_as(FILES | late)


def test_both_contents_that_a_path_had_are_kept_and_the_later_one_comes_back(tmp_path: Path) -> None:
    archive.archive(tmp_path, EVENTS, DAY, land(tmp_path, {"a.jsonl": b"first\n"}))
    archive.archive(tmp_path, EVENTS, DAY, land(tmp_path, {"a.jsonl": b"second\n"}))
    assert bundled(tmp_path) == known_as({"a.jsonl": b"first\n"}) | known_as({"a.jsonl": b"second\n"})
    archive.restore(tmp_path, EVENTS, DAY)
    assert lying(tmp_path) == {"a.jsonl": b"second\n"}
    assert bundled(tmp_path) == known_as({"a.jsonl": b"first\n"})
    assert archive.restore(tmp_path, EVENTS, DAY) == []


def test_a_file_that_is_another_by_now_is_left_alone(landing: Path) -> None:
    taken = land(landing, FILES)
    land(landing, {"a.jsonl": b"delivered anew\n"})
    archive.archive(landing, EVENTS, DAY, taken)
    assert lying(landing) == {"a.jsonl": b"delivered anew\n"}
    assert bundled(landing) == known_as({name: FILES[name] for name in FILES if name != "a.jsonl"})


def test_files_that_nobody_named_stay_where_they_are(landing: Path) -> None:
    taken = land(landing, FILES)
    archive.archive(landing, EVENTS, DAY, {"a.jsonl": taken["a.jsonl"], "gone.jsonl": "0" * 16})
    assert set(lying(landing)) == {"b.jsonl.gz", "empty é.csv"}


def test_the_same_files_make_the_same_bundle(tmp_path: Path) -> None:
    made = []
    for name in ("one", "other"):
        taken = land(tmp_path / name, FILES)
        for path in (tmp_path / name / EVENTS / f"dt={DAY}").iterdir():
            os.utime(path, ns=(1, 1_700_000_000_123_456_789))
        archive.archive(tmp_path / name, EVENTS, DAY, dict(reversed(taken.items())))
        made.append(archive.bundle_of(tmp_path / name, EVENTS, DAY).read_bytes())
    assert made[0] == made[1]


def test_plain_tar_unpacks_a_bundle(tmp_path: Path) -> None:
    taken = land(tmp_path, FILES)
    archive.archive(tmp_path, EVENTS, DAY, taken)
    subprocess.run(["tar", "xf", archive.bundle_of(tmp_path, EVENTS, DAY), "-C", tmp_path], check=True)
    assert (tmp_path / taken["a.jsonl"] / "a.jsonl").read_bytes() == FILES["a.jsonl"]


class Crash(BaseException):
    """The process ends here."""


STEPS: dict[str, tuple[object, str]] = {
    "while the bundle is written": (bundles.tarfile.TarFile, "addfile"),
    "before it is read back": (bundles, "_require_same"),
    "before it is swapped in": (bundles, "put_in_place"),
    "before the files are removed": (Path, "unlink"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("act", ["archive", "restore"])
def test_a_crash_loses_nothing_and_the_next_try_ends_it(
    step: str, act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = land(tmp_path, FILES)
    archive.archive(tmp_path, EVENTS, DAY, {"a.jsonl": taken["a.jsonl"]})
    if act == "restore":
        archive.archive(tmp_path, EVENTS, DAY, taken)
    acts: dict[str, Callable[[], object]] = {
        "archive": lambda: archive.archive(tmp_path, EVENTS, DAY, taken),
        "restore": lambda: archive.restore(tmp_path, EVENTS, DAY, [taken["b.jsonl.gz"]]),
    }
    owner, name = STEPS[step]
    calls = []

    def crash(*arguments: object, **named: object) -> None:
        calls.append(arguments)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, crash)
        with pytest.raises(Crash):
            acts[act]()
    assert calls
    for path in (tmp_path / archive.ARCHIVE).rglob("*.tar"):  # a whole one, old or new
        assert bundles.read_bundle(path, EVENTS, DAY)
    there = known_as(lying_files(tmp_path)) | bundled(tmp_path)
    assert there == known_as(FILES)
    acts[act]()
    assert known_as(lying_files(tmp_path)) | bundled(tmp_path) == known_as(FILES)
    assert not set(known_as(lying_files(tmp_path))) & set(bundled(tmp_path))
    archive.sweep(tmp_path)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def lying_files(landing: Path) -> Files:
    return {name: content for name, content in lying(landing).items() if not name.startswith(".")}


def test_bytes_that_do_not_read_back_stop_the_removal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = land(tmp_path, FILES)

    def damaged(bundle: Path, *arguments: object) -> list[bundles.Member]:
        content = bundle.read_bytes()
        bundle.write_bytes(content.replace(b"second", b"Second"))
        return bundles_read(bundle, *arguments)  # type: ignore[arg-type]

    bundles_read = bundles.read_bundle
    monkeypatch.setattr(bundles, "read_bundle", damaged)
    with pytest.raises(ArchiveError, match="1 files do not read back as they were"):
        archive.archive(tmp_path, EVENTS, DAY, taken)
    assert lying(tmp_path) == FILES
    assert archive.archived(tmp_path, EVENTS) == []


@pytest.mark.parametrize("damage", ["cut short", "no tar", "a byte of a file"])
def test_a_broken_bundle_is_named_and_gives_no_broken_file(damage: str, tmp_path: Path) -> None:
    archive.archive(tmp_path, EVENTS, DAY, land(tmp_path, FILES))
    bundle = archive.bundle_of(tmp_path, EVENTS, DAY)
    content = bundle.read_bytes()
    broken = {"cut short": content[:1100], "no tar": b"x" * 5000, "a byte of a file": content.replace(b"e1", b"e2")}
    bundle.write_bytes(broken[damage])
    with pytest.raises(ArchiveError, match="backup") as caught:
        archive.restore(tmp_path, EVENTS, DAY)
    assert str(bundle) in str(caught.value)
    assert set(lying_files(tmp_path).items()) <= set(FILES.items())


def test_content_is_swapped_inside_a_bundle_and_has_another_delivery_then(landing: Path, tmp_path: Path) -> None:
    taken = land(landing, FILES)
    archive.archive(landing, EVENTS, DAY, taken)
    new = tmp_path / "rewritten"
    new.write_bytes(b"without her\n")
    became = archive.replace_members(landing, EVENTS, DAY, {taken["a.jsonl"]: new, taken["b.jsonl.gz"]: None})
    assert became[taken["b.jsonl.gz"]] is None
    member = became[taken["a.jsonl"]]
    assert member is not None
    assert member.delivery == delivery("a.jsonl", b"without her\n")
    left = {"a.jsonl": b"without her\n", "empty é.csv": b""}
    assert bundled(landing) == known_as(left)
    with pytest.raises(ArchiveError, match="holds no delivery"):
        archive.replace_members(landing, EVENTS, DAY, {taken["b.jsonl.gz"]: None})


def test_every_landed_file_is_named_wherever_it_lies(landing: Path) -> None:
    taken = land(landing, FILES)
    archive.archive(landing, EVENTS, DAY, {"a.jsonl": taken["a.jsonl"]})
    land(landing, {"x.jsonl": b"x"}, date(2026, 3, 2))
    found = list(archive.landed_files(landing, EVENTS, DAY))
    assert {file.name: file.path.open("rb").read() for file in found} == FILES
    assert [file.name for file in found if file.member] == ["a.jsonl"]
    assert len(list(archive.landed_files(landing, EVENTS))) == len(FILES) + 1


@given(
    files=st.dictionaries(st.sampled_from([f"f{n}.jsonl" for n in range(6)]), st.binary(max_size=3000), min_size=1),
    acts=st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 5))), max_size=6),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_whatever_is_bundled_and_restored_every_file_is_in_one_place(
    tmp_path_factory: pytest.TempPathFactory, files: Files, acts: list[tuple[bool, set[int]]]
) -> None:
    landing = tmp_path_factory.mktemp("landing")
    taken = land(landing, files)
    for bundling, numbers in acts:
        chosen = {name: taken[name] for name in taken if int(name[1]) in numbers}
        if bundling:
            archive.archive(landing, EVENTS, DAY, chosen)
        else:
            archive.restore(landing, EVENTS, DAY, chosen.values())
        here, there = known_as(lying(landing)), bundled(landing)
        assert here | there == known_as(files)
        assert not set(here) & set(there)
    shutil.rmtree(landing)


def test_bundling_and_restoring_is_no_new_delivery(store: LakeStore, settings: Settings) -> None:
    landing = settings.landing_dir
    land(landing, {"a.jsonl": b'{"event_id": "e1"}\n', "b.jsonl": b'{"event_id": "e2"}\n'})

    def look() -> list[tuple[str, str, str]]:
        stock = take_stock(store, settings, first_day=DAY)
        settle(store, [row["delivery"] for row in stock.pending], run_id="run")
        assert stock.troubled == ()
        return sorted((row["delivery"], row["path"], row["state"]) for row in read_ledger(store))

    before = look()
    assert {state for *_, state in before} == {ACCEPTED}
    archive.archive(landing, EVENTS, DAY, {path.rpartition("/")[2]: name for name, path, _ in before})
    assert lying(landing) == {}
    assert look() == before
    archive.restore(landing, EVENTS, DAY)
    assert take_stock(store, settings, first_day=DAY).pending == ()
    assert look() == before


@pytest.mark.parametrize("suffix", [".jsonl", ".json.gz", ".ndjson.zst", ".csv", ".csv.gz", ".parquet", ".avro"])
def test_every_reader_reads_a_bundled_file_as_it_reads_the_file(suffix: str, tmp_path: Path, store: LakeStore) -> None:
    moment = datetime(2026, 3, 1, 9, tzinfo=UTC)
    event = {"event_type": "page_view", "occurred_at": moment, "received_at": moment, "visitor_id": "v1"}
    path = tmp_path / EVENTS / f"dt={DAY}" / f"events{suffix}"
    formats.write(path, [event | {"event_id": f"e{number}"} for number in range(20)], EVENT)
    content = path.read_bytes()
    rows = read(store, path)
    assert len(rows) == 20
    archive.archive(tmp_path, EVENTS, DAY, {path.name: delivery(path.name, content)})
    (member,) = archive.members(tmp_path, EVENTS, DAY)
    assert read(store, member.path) == rows


def read(store: LakeStore, path: Path) -> list[dict]:
    found = read_deliveries(
        store.backend,
        EVENTS,
        [Delivery("d", EVENTS, path, DAY)],
        timezone="UTC",
        max_line_bytes=10_000,
        max_file_bytes=10**9,
    )
    return found.to_pyarrow().to_pylist()
