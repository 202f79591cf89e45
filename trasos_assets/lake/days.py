"""The one definition of days: partitions of received and of occurred days alike."""

import functools
import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg

from trasos_assets.contracts.landing import FORMATS
from trasos_assets.lake.format import read_format
from trasos_assets.lake.store import LakeError
from trasos_assets.places import PlaceError, is_remote, names_below, reaching
from trasos_assets.settings import Settings, get_settings

BEFORE_ANY_DATA = date(2010, 1, 1)
_FOLDER = re.compile(r"^dt=(\d{4}-\d{2}-\d{2})$")


def landed_days(landing: Path) -> list[date]:
    """Days of the data sets' ``dt=`` folders that hold anything, in order.

    Names that are no date, days before any shop kept such data, and folders of unknown data sets are left to the
    ledger to report.
    """
    days = set()
    for dataset, name in _filled_folders(landing):
        match = _FOLDER.match(name)
        if match and dataset in FORMATS:
            try:
                days.add(date.fromisoformat(match.group(1)))
            except ValueError:
                continue
    return sorted(day for day in days if day >= BEFORE_ANY_DATA)


def _filled_folders(landing: Path) -> Iterator[tuple[str, str]]:
    """Data set and name of the folders that hold anything; one listing on an object store."""
    if is_remote(landing):
        try:
            with reaching(landing):
                found = [path.split("/") for path in names_below(landing)]
            yield from {(parts[0], parts[1]) for parts in found if len(parts) > 2}
        except PlaceError as error:
            raise LakeError(str(error)) from error
        except FileNotFoundError:
            pass
        return
    for folder in landing.glob("*/dt=*"):
        if folder.is_dir() and any(folder.iterdir()):
            yield folder.parent.name, folder.name


def first_day(settings: Settings) -> date:
    """First day of the lake: as its format says, else as set, else the first landed day.

    Raises:
        LakeError: the lake's format cannot be read, or TRASOS_START_DATE is set and is another day than the lake's.
    """
    stored = read_format(settings.lake_dir)
    if stored is not None:
        if settings.start_date not in (None, stored.start_date):
            raise LakeError(
                f"the lake {settings.lake_dir} begins on {stored.start_date}, not on "
                f"TRASOS_START_DATE={settings.start_date}. Set it back, or start a new TRASOS_DATA_DIR"
            )
        return stored.start_date
    if settings.start_date is not None:
        return settings.start_date
    landed = landed_days(settings.landing_dir)
    # With nothing landed yet the partitions reach back far enough for whatever lands first.
    return landed[0] if landed else BEFORE_ANY_DATA


@functools.cache
def days_definition() -> dg.DailyPartitionsDefinition:
    """Daily partitions from the first day up to and including today."""
    settings = get_settings()
    return dg.DailyPartitionsDefinition(
        start_date=first_day(settings).isoformat(), timezone=settings.timezone, end_offset=1
    )


def window(before: int = 0, after: int = 0) -> dg.TimeWindowPartitionMapping:
    """A partition reads its upstream from ``before`` days earlier to ``after`` days later; missing days are empty."""
    return dg.TimeWindowPartitionMapping(
        start_offset=-before, end_offset=after, allow_nonexistent_upstream_partitions=True
    )


def contiguous(days: Iterable[date]) -> list[tuple[date, date]]:
    """Days as ranges without gaps, first and last day included, in order."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and day - ranges[-1][1] == timedelta(days=1):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def every_day(first: date, last: date) -> list[date]:
    """All days from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
