"""Days: where the lake begins, and ranges of them."""

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trasos_assets.lake.days import BEFORE_ANY_DATA, contiguous, every_day, first_day, landed_days
from trasos_assets.lake.format import open_format
from trasos_assets.lake.store import LakeError
from trasos_assets.settings import Settings

days = st.dates(date(2026, 1, 1), date(2026, 3, 1))


def land(landing: Path, folder: str) -> None:
    (landing / folder).mkdir(parents=True)
    (landing / folder / "lines.jsonl").touch()


@given(st.lists(days))
def test_ranges_cover_the_days_and_no_others_without_touching(given_days: list[date]) -> None:
    ranges = contiguous(given_days)
    assert [day for first, last in ranges for day in every_day(first, last)] == sorted(set(given_days))
    assert all(b[0] - a[1] > timedelta(days=1) for a, b in pairwise(ranges))


@given(days, st.integers(0, 60))
def test_every_day_has_both_ends(first: date, count: int) -> None:
    found = every_day(first, first + timedelta(days=count))
    assert (found[0], found[-1], len(found)) == (first, first + timedelta(days=count), count + 1)


def test_there_is_no_day_from_a_later_to_an_earlier_one() -> None:
    assert every_day(date(2026, 1, 2), date(2026, 1, 1)) == []


def test_landed_days_are_those_of_known_data_sets_that_hold_anything(tmp_path: Path) -> None:
    for folder in ("events/dt=2026-01-03", "catalogue/dt=2026-01-02", "events/dt=2026-02-30", "events/dt=soon"):
        land(tmp_path, folder)
    land(tmp_path, "evnets/dt=0001-01-01")
    (tmp_path / "events" / "dt=2020-01-01").mkdir()
    (tmp_path / "events" / "dt=2020-01-02").touch()
    assert landed_days(tmp_path) == [date(2026, 1, 2), date(2026, 1, 3)]


def test_nothing_landed_has_no_days(tmp_path: Path) -> None:
    assert landed_days(tmp_path / "landing") == []


def test_the_first_day_is_the_first_landed_one(settings: Settings) -> None:
    assert first_day(settings) == BEFORE_ANY_DATA
    land(settings.landing_dir, "events/dt=2026-01-03")
    assert first_day(settings) == date(2026, 1, 3)


def test_a_first_day_that_is_set_goes_before_the_landed_one(settings: Settings) -> None:
    land(settings.landing_dir, "events/dt=2026-01-03")
    assert first_day(settings.model_copy(update={"start_date": date(2026, 1, 1)})) == date(2026, 1, 1)


def test_a_lake_keeps_the_first_day_it_was_made_with(settings: Settings) -> None:
    open_format(settings.lake_dir, start_date=date(2026, 1, 3), timezone="UTC")
    land(settings.landing_dir, "events/dt=2026-01-01")
    assert first_day(settings) == date(2026, 1, 3)
    assert first_day(settings.model_copy(update={"start_date": date(2026, 1, 3)})) == date(2026, 1, 3)
    with pytest.raises(LakeError, match="begins on 2026-01-03, not on TRASOS_START_DATE=2026-01-01"):
        first_day(settings.model_copy(update={"start_date": date(2026, 1, 1)}))
