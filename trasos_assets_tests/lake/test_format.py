"""A lake says what it was made with, and refuses to be opened with anything else."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from trasos_assets.lake.format import FORMAT_FILE, LakeFormat, open_format, read_format
from trasos_assets.lake.store import LakeError

FIRST = date(2026, 1, 1)


def test_there_is_no_format_before_there_is_a_lake(tmp_path: Path) -> None:
    assert read_format(tmp_path / "lake") is None


def test_a_lake_is_opened_again_with_what_it_was_made_with(tmp_path: Path) -> None:
    made = open_format(tmp_path / "lake", start_date=FIRST, timezone="Europe/London")
    before = (tmp_path / "lake" / FORMAT_FILE).read_bytes()
    assert open_format(tmp_path / "lake", start_date=FIRST, timezone="Europe/London") == made
    assert read_format(tmp_path / "lake") == made == LakeFormat(FIRST, "Europe/London")
    assert (tmp_path / "lake" / FORMAT_FILE).read_bytes() == before


def test_another_time_zone_is_refused(tmp_path: Path) -> None:
    open_format(tmp_path, start_date=FIRST, timezone="Europe/London")
    with pytest.raises(LakeError, match="made with TRASOS_TIMEZONE=Europe/London, not UTC"):
        open_format(tmp_path, start_date=FIRST, timezone="UTC")


def test_another_first_day_is_refused(tmp_path: Path) -> None:
    open_format(tmp_path, start_date=FIRST, timezone="UTC")
    with pytest.raises(LakeError, match="begins on 2026-01-01, not on TRASOS_START_DATE=2026-01-02"):
        open_format(tmp_path, start_date=date(2026, 1, 2), timezone="UTC")


def test_another_version_is_refused(tmp_path: Path) -> None:
    open_format(tmp_path, start_date=FIRST, timezone="UTC")
    stored = json.loads((tmp_path / FORMAT_FILE).read_text())
    (tmp_path / FORMAT_FILE).write_text(json.dumps(stored | {"version": 99}))
    with pytest.raises(LakeError, match="lake format 99, this release reads 1"):
        read_format(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"start_date": "soon", "timezone": "UTC", "version": 1}', "null"]
)
def test_a_broken_format_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FORMAT_FILE).write_text(text)
    with pytest.raises(LakeError, match=f"{FORMAT_FILE} cannot be read .*restore it from a backup"):
        read_format(tmp_path)


def test_many_that_open_a_new_lake_at_once_all_find_the_same(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def opened(_: int) -> LakeFormat:
        together.wait(10)
        return open_format(tmp_path / "lake", start_date=FIRST, timezone="UTC")

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(opened, range(8))) == {LakeFormat(FIRST, "UTC")}
