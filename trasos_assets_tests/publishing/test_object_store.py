"""Versions of the lists in an S3-compatible store on loopback: those of a folder, and whole whenever somebody looks."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from trasos_assets.lake.locks import held
from trasos_assets.places import names_below, place
from trasos_assets.publishing.files import Published, PublishError, current, publish_files, unpublish, verify
from trasos_assets_tests.publishing.lists import FIRST, tables_of
from trasos_assets_tests.s3_server import S3Server, s3_server

pytestmark = pytest.mark.slow

FILES = 13
"""Of a version: three of each table, and the manifest."""

_CHANGES = ("put_object", "delete_object", "delete_objects")


@dataclass
class Shop:
    """A place in a store of its own, and the lakes that are published there."""

    server: S3Server
    target: Path
    base: Path

    def publish(self, number: int, keep: int = 2) -> Published:
        """The version of a number, as the lake's publisher does it."""
        tables = tables_of(self.base / f"lake{number}", number)
        lock = held(self.base / "locks", "published")
        return publish_files(tables, self.target, as_of=FIRST + timedelta(days=number), keep=keep, lock=lock)

    def changes(self, since: int) -> list[str]:
        """What was put or deleted since a point of the server's log, by its path below the place."""
        root = str(self.target).removeprefix("s3://") + "/"
        found = [r for r in self.server.requests(since) if r.method in ("PUT", "POST", "DELETE")]
        return [f"{r.method} {r.path.removeprefix(root)}" for r in found]


class CutError(RuntimeError):
    """The publisher's end, in mid work."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("server")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        server.files("bucket")
        yield server


@pytest.fixture
def shop(server: S3Server, tmp_path: Path) -> Shop:
    return Shop(server, place(f"s3://bucket/{tmp_path.name}/published"), tmp_path)


def cut_before(patch: pytest.MonkeyPatch, step: int) -> None:
    """Let nothing of this process reach the store any more from its ``step``-th change of it on."""
    import s3fs

    reach, seen = s3fs.S3FileSystem._call_s3, 0

    async def reaching(self: Any, method: str, *arguments: Any, **options: Any) -> Any:
        nonlocal seen
        seen += method in _CHANGES
        if seen >= step:
            raise CutError(f"before change {step}")
        return await reach(self, method, *arguments, **options)

    patch.setattr(s3fs.S3FileSystem, "_call_s3", reaching)


def versions_of(shop: Shop) -> dict[str, set[str]]:
    """Names of the files of every version of which anything is there."""
    found: dict[str, set[str]] = {}
    for name in names_below(shop.target):
        if name.startswith("versions/"):
            _, version, file = name.split("/")
            found.setdefault(version, set()).add(file)
    return found


def test_a_version_is_that_of_a_folder_put_once_with_its_manifest_last_and_the_pointer_after_it(shop: Shop) -> None:
    since = shop.server.seen()
    done = shop.publish(0)
    here = publish_files(tables_of(shop.base / "lake", 0), shop.base / "published", as_of=FIRST, keep=2)
    assert (done.version, done.changed, verify(done)) == (here.version, True, [])
    files = {f"versions/{here.version}/{file.name}": file.read_bytes() for file in here.folder.iterdir()}
    assert len(files) == FILES
    assert {n: (shop.target / n).read_bytes() for n in names_below(shop.target) if n != "current.json"} == files
    assert (shop.target / "current.json").read_bytes() == (shop.base / "published" / "current.json").read_bytes()
    changes = shop.changes(since)
    assert sorted(changes) == sorted(f"PUT {name}" for name in [*files, "current.json"])
    assert changes[-2:] == [f"PUT versions/{done.version}/manifest.json", "PUT current.json"]


def test_what_stands_already_is_not_written_again(shop: Shop) -> None:
    first = shop.publish(0)
    since = shop.server.seen()
    again = shop.publish(0)
    assert (again.version, again.changed, again.history) == (first.version, False, first.history)
    assert shop.changes(since) == []


def test_versions_but_the_latest_are_pruned(shop: Shop) -> None:
    versions = [shop.publish(number).version for number in range(4)]
    assert set(versions_of(shop)) == set(versions[2:])
    back = shop.publish(2)
    assert back.changed and back.version == versions[2] and set(back.history) == set(versions[2:])


def test_cut_before_any_change_of_the_store_a_whole_version_is_pointed_to_and_the_next_publish_ends_the_work(
    shop: Shop,
) -> None:
    versions = [shop.publish(number).version for number in range(2)]
    seen = []
    for step in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            cut_before(patch, step)
            try:
                done = shop.publish(2)
            except CutError:
                done = None
        standing = current(shop.target)
        assert standing is not None and verify(standing) == []
        # Where there is a manifest, there is all of it: the version before, too, to whoever still reads that.
        assert {len(files) for files in versions_of(shop).values() if "manifest.json" in files} == {FILES}
        seen.append(standing.version)
        if done is not None:
            break
    assert done is not None and {versions[1], done.version} == set(seen)
    assert step > 10
    assert set(versions_of(shop)) == set(done.history)


def test_a_remnant_of_a_version_that_was_never_ended_is_removed(shop: Shop) -> None:
    shop.publish(0)
    with pytest.MonkeyPatch.context() as patch:
        cut_before(patch, 4)
        with pytest.raises(CutError):
            shop.publish(1)
    left = versions_of(shop)
    assert sorted(map(len, left.values())) == [3, FILES]
    done = shop.publish(2)
    assert set(versions_of(shop)) == set(done.history) and not set(left) <= set(done.history)


def test_a_reader_that_follows_the_pointer_meets_whole_versions_only(shop: Shop) -> None:
    shop.publish(0, keep=3)
    stop, seen, torn = threading.Event(), set(), []

    def read() -> None:
        while not stop.is_set():
            standing = current(shop.target)
            torn.extend(["no version"] if standing is None else verify(standing))
            seen.add(standing and standing.version)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        versions = [shop.publish(number, keep=6).version for number in range(1, 6)]
    finally:
        stop.set()
        reader.join()
    assert not torn and None not in seen and len(seen & set(versions)) > 1


def test_unpublishing_takes_the_pointer_first_and_leaves_nothing(shop: Shop) -> None:
    for number in range(2):
        shop.publish(number)
    with pytest.MonkeyPatch.context() as patch:
        cut_before(patch, 2)
        with pytest.raises(CutError):
            unpublish(shop.target)
    assert current(shop.target) is None and len(versions_of(shop)) == 2
    assert unpublish(shop.target)
    assert names_below(shop.target) == [] and current(shop.target) is None
    assert not unpublish(shop.target)


def test_without_a_lock_of_this_machine_nothing_is_published(shop: Shop) -> None:
    with pytest.raises(PublishError, match="name a lock of this machine"):
        publish_files(tables_of(shop.base / "lake", 0), shop.target, as_of=FIRST, keep=1)
    assert names_below(shop.target) == []
