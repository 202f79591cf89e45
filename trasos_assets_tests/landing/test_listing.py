"""One listing finds everything, on this machine or any store, and shows no password."""

import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pydantic import ValidationError
from upath import UPath

from trasos_assets.lake.days import landed_days
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import listing
from trasos_assets.landing.ledger import ACCEPTED, pending_deliveries, read_ledger, settle, take_stock
from trasos_assets.landing.listing import Landed, LandingError, fault_of, list_landing
from trasos_assets.landing.parse import read_deliveries
from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate
from trasos_assets.landing.streams import file_signature
from trasos_assets.settings import Settings

FIRST = date(2026, 1, 1)
DAY = "events/dt=2026-01-02"
Land = Callable[..., Any]


@pytest.fixture(params=["local", "memory", "file", "local-url"])
def stored(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> Settings:
    """Settings whose landing folder lies on one of several stores."""
    urls = {
        "local": None,
        "memory": f"memory://{tmp_path.name}/landing",
        "file": f"file://{tmp_path}/elsewhere",
        "local-url": f"local://{tmp_path}/elsewhere",
    }
    return settings.model_copy(update={"landing_url": urls[request.param]})


@pytest.fixture
def land(stored: Settings) -> Land:
    def write(path: str, content: bytes = b"{}\n") -> Any:
        file = stored.landing_dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    return write


def test_files_are_found_with_what_shows_a_change_and_without_what_is_passed_over(stored: Settings, land: Land) -> None:
    wanted = [
        "astray.csv",
        "catalogue/dt=2026-01-02/z.jsonl",
        f"{DAY}/a.jsonl",
        f"{DAY}/deep/er/b.jsonl",
        "events/c.jsonl",
    ]
    for path in wanted:
        land(path)
    for path in (
        f"{DAY}/.hidden.jsonl", f"{DAY}/_SUCCESS", f"{DAY}/a.jsonl.tmp", f"{DAY}/a.part", "events/_temporary/0/a.jsonl",
        f"{DAY}/.staging/a.jsonl", ".trash/dt=2026-01-02/a.jsonl", "_old/a.jsonl", "truth.json", "README",
    ):  # fmt: skip
        land(path)
    found = list_landing(stored.landing_dir)
    assert [one.relative for one in found.files] == sorted(wanted)
    assert found.successes == {DAY}
    for one in found.files:
        assert one.path.read_bytes() == b"{}\n"
        assert one.size == 3
        assert one.signature == file_signature(one.path)
        assert one.changed_at is not None
        assert abs((datetime.now(UTC).replace(tzinfo=None) - one.changed_at).total_seconds()) < 60


def test_a_missing_landing_folder_is_named_with_the_ways_to_fill_it(stored: Settings) -> None:
    with pytest.raises(
        LandingError, match=r"does not exist; fill it with `trasos simulate --out .*TRASOS_DATA_DIR"
    ) as e:
        list_landing(stored.landing_dir)
    assert ("TRASOS_LANDING_URL" in str(e.value)) == (stored.landing_url is not None)


def test_a_delivery_is_taken_once_and_a_redelivery_with_other_content_again(
    stored: Settings, land: Land, store: LakeStore
) -> None:
    def run() -> list[str]:
        stock = take_stock(store, stored, first_day=FIRST)
        settle(store, [row["delivery"] for row in stock.pending], run_id="run1")
        return [row["path"] for row in stock.pending]

    land(f"{DAY}/a.jsonl", b'{"event_id": "a"}\n')
    land(f"{DAY}/b.jsonl.gz", b"no gzip")
    assert run() == [f"{DAY}/a.jsonl"]
    assert run() == []
    land(f"{DAY}/a.jsonl", b'{"event_id": "a"}\n')
    assert run() == []
    land(f"{DAY}/a.jsonl", b'{"event_id": "b"}\n')
    assert run() == [f"{DAY}/a.jsonl"]
    assert sorted((row["state"], row["path"]) for row in read_ledger(store)) == [
        (ACCEPTED, f"{DAY}/a.jsonl"),
        (ACCEPTED, f"{DAY}/a.jsonl"),
        ("waiting", f"{DAY}/b.jsonl.gz"),
    ]
    (reason,) = (row["reason"] for row in read_ledger(store) if row["reason"])
    assert reason.startswith(f"{DAY}/b.jsonl.gz: the gzip stream is broken")


def test_what_was_entered_can_be_read_from_where_it_lies(stored: Settings, land: Land, store: LakeStore) -> None:
    land(f"{DAY}/a b#1%20é.jsonl", b'{"event_id": "a"}\n')
    take_stock(store, stored, first_day=FIRST)
    deliveries = pending_deliveries(store, stored, "events", FIRST, date(2026, 1, 31))
    raw = read_deliveries(
        store.backend, "events", deliveries, timezone="UTC", max_line_bytes=10_000, max_file_bytes=10_000
    )
    assert raw.event_id.to_pyarrow().to_pylist() == ["a"]


def test_the_first_day_is_found_on_any_store(stored: Settings, land: Land) -> None:
    assert landed_days(stored.landing_dir) == []
    land("events/dt=2026-01-03/a.jsonl")
    land("catalogue/dt=2026-01-02/a.jsonl")
    land("events/dt=2026-02-30/a.jsonl")
    land("else/dt=2026-01-01/a.jsonl")
    assert landed_days(stored.landing_dir) == [date(2026, 1, 2), date(2026, 1, 3)]


def test_the_simulator_fills_any_store(stored: Settings, store: LakeStore) -> None:
    config = SimulationConfig(days=2, visitors=20, seed=1, start=date(2026, 1, 1), dirt=Dirt.preset("none"))
    truth = simulate(config, stored.landing_dir)
    stock = take_stock(store, stored, first_day=FIRST)
    assert stock.troubled == ()
    assert sum(row["rows_read"] for row in stock.pending) == sum(truth.lines.values())


def test_a_remote_store_is_asked_once_whatever_the_number_of_files(
    settings: Settings, store: LakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = settings.model_copy(update={"landing_url": f"memory://{tmp_path.name}/landing"})
    root: Any = stored.landing_dir
    for number in range(20):
        file = root / DAY / f"{number}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"{}\n")
    stock = take_stock(store, stored, first_day=FIRST)
    settle(store, [row["delivery"] for row in stock.pending], run_id="run1")
    asked: list[str] = []
    memory = type(fsspec.filesystem("memory"))
    for name in ("info", "exists", "isfile", "isdir", "open", "find"):
        really = getattr(memory, name)

        def watched(self: Any, *args: Any, _name: str = name, _really: Any = really, **options: Any) -> Any:
            asked.append(_name)
            return _really(self, *args, **options)

        monkeypatch.setattr(memory, name, watched)
    assert take_stock(store, stored, first_day=FIRST).pending == ()
    assert asked.count("find") == 1
    assert set(asked) <= {"find", "info"}
    assert len(asked) < 5


def test_what_a_store_has_cached_of_its_folders_is_not_believed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root: Any = UPath(f"memory://{tmp_path.name}")
    (root / DAY).mkdir(parents=True)
    forgotten: list[str] = []
    monkeypatch.setattr(type(root.fs), "invalidate_cache", lambda self, path=None: forgotten.append(path))
    list_landing(root)
    (root / DAY / "a.jsonl").write_bytes(b"{}\n")
    file_signature(root / DAY / "a.jsonl")
    assert forgotten == [root.path, (root / DAY).path]


SECRET = "s3cret-Password"


class _Refusing:
    """A store that cannot be listed, and says so with its address."""

    def __init__(self, error: Exception) -> None:
        self.fs, self.path, self._error = self, "landing", error

    def invalidate_cache(self, path: str) -> None:
        pass

    def find(self, path: str, detail: bool) -> dict[str, Any]:
        raise self._error

    def __str__(self) -> str:
        return f"https://me:{SECRET}@host/landing?sig={SECRET}"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(f"https://me:{SECRET}@host refused"), "cannot be listed (PermissionError)"),
        (OSError(5, "Input/output error"), "cannot be listed (Input/output error)"),
        (ValueError(f"bad key {SECRET}"), "cannot be listed (ValueError)"),
        (ImportError("no s3fs", name="s3fs"), "needs a package that is not installed (s3fs)"),
    ],
)
def test_no_password_of_a_url_is_in_an_error(error: Exception, said: str) -> None:
    with pytest.raises(LandingError) as raised:
        list_landing(_Refusing(error))  # type: ignore[arg-type]
    assert SECRET not in str(raised.value)
    assert str(raised.value).startswith(f"https://host/landing {said}")


def test_no_password_of_a_url_is_in_settings_or_in_what_is_wrong_with_them() -> None:
    settings = Settings(landing_url=f"memory://me:{SECRET}@host/landing")
    assert SECRET not in repr(settings)
    with pytest.raises(ValidationError) as error:
        Settings(landing_url=f"nowhere://me:{SECRET}@host/landing")
    assert SECRET not in str(error.value)
    assert "'nowhere' is no store that fsspec knows" in str(error.value)


def test_no_password_of_a_url_is_in_the_ledger(store: LakeStore, settings: Settings) -> None:
    stored = settings.model_copy(update={"landing_url": f"memory://me:{SECRET}@host/landing"})
    root: Any = stored.landing_dir
    for name, content in (
        ("a.jsonl", b"{}\n"),
        ("b.jsonl.gz", b"no gzip"),
        ("c.parquet", b""),
        ("d.avro", b""),
        ("e.csv", b""),
    ):
        file = root / DAY / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    stock = take_stock(store, stored, first_day=FIRST)
    assert len(stock.troubled) == 4
    assert all(row["reason"].startswith(row["path"]) for row in stock.troubled)
    assert SECRET not in str(read_ledger(store))


def test_the_landing_folder_is_that_of_the_data_folder_unless_a_url_or_path_is_set(settings: Settings) -> None:
    assert settings.landing_dir == settings.data_dir / "landing"
    assert settings.model_copy(update={"landing_url": "/mnt/landing"}).landing_dir == Path("/mnt/landing")
    assert Settings(landing_url="").landing_dir.name == "landing"
    bucket = Settings(landing_url="s3://bucket/landing/").landing_dir
    assert str(bucket) == "s3://bucket/landing"


def test_a_folder_that_cannot_be_listed_waits_and_stops_no_other(
    settings: Settings, store: LakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2026-01-02", "2026-01-03"):
        folder = settings.landing_dir / f"events/dt={day}"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_bytes(b"{}\n")
    scan = os.scandir

    def locked(folder: Path) -> Any:
        if str(folder).endswith("dt=2026-01-02"):
            raise PermissionError(13, "Permission denied")
        return scan(folder)

    with monkeypatch.context() as locking:
        locking.setattr(listing.os, "scandir", locked)
        stock = take_stock(store, settings, first_day=FIRST)
    assert [row["path"] for row in stock.pending] == ["events/dt=2026-01-03/a.jsonl"]
    assert [(row["state"], row["reason"]) for row in stock.troubled] == [
        ("waiting", f"{DAY}: this folder cannot be listed (Permission denied); mend its permissions")
    ]
    assert len(take_stock(store, settings, first_day=FIRST).pending) == 2


def test_a_name_that_is_no_utf8_is_refused_with_the_fix_and_stops_no_other(
    settings: Settings, store: LakeStore
) -> None:
    folder = settings.landing_dir / DAY
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_bytes(b"{}\n")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jsonl")).write_bytes(b"{}\n")
    stock = take_stock(store, settings, first_day=FIRST)
    assert [row["path"] for row in stock.pending] == [f"{DAY}/a.jsonl"]
    assert [row["reason"] for row in stock.troubled] == [f"{DAY}/\\udcff.jsonl: its name is no UTF-8; rename it"]


def test_linked_folders_are_followed_to_the_days_and_no_loop_is(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "a.jsonl").write_bytes(b"{}\n")
    day = settings.landing_dir / DAY
    day.parent.mkdir(parents=True)
    day.symlink_to(tmp_path / "away")
    (tmp_path / "away" / "loop").symlink_to(settings.landing_dir)
    (tmp_path / "away" / "broken.jsonl").symlink_to(tmp_path / "nowhere")
    assert [one.relative for one in list_landing(settings.landing_dir).files] == [f"{DAY}/a.jsonl"]


def test_faults_are_judged_by_the_path_alone(settings: Settings) -> None:
    rules = listing.Rules.of(
        settings, listing.Listing(()), first_day=FIRST, today=date(2026, 1, 5), now=datetime(2026, 1, 5)
    )

    def fault(below: str) -> str | None:
        found = fault_of(Landed(Path("/nowhere"), below, "1-1"), rules)
        return found[0] if found else None

    assert fault(f"{DAY}/a.parquet") is None
    assert fault("events/dt=2026-01-06/a.avro") == "waiting"
    assert fault("events/dt=2025-12-31/a.csv.zst") == "rejected"
    assert fault(f"{DAY}/a.orc") == "rejected"
