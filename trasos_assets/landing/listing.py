"""What lies in landing, found by one listing, and what is wrong with where or how it lies.

Nothing is opened here. On a remote store one call lists everything with its size and times; locally every file is
looked at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from trasos_assets.contracts.landing import FORMATS
from trasos_assets.landing.readers import SUFFIXES
from trasos_assets.landing.streams import changed_at, signature_of, why_not
from trasos_assets.places import is_remote, shown
from trasos_assets.settings import Settings

WAITING, REJECTED = "waiting", "rejected"
SUCCESS = "_SUCCESS"
_DAY = re.compile(r"^dt=(\d{4}-\d{2}-\d{2})$")
_PASSED_OVER = (".", "_")
_HALF_WRITTEN = (".tmp", ".part")
# Beside the data sets' folders, a file of one of these is astray; any other (truth.json, README) is no delivery.
_ASTRAY = tuple(suffix for suffix in SUFFIXES if not suffix.startswith(".json") or suffix.startswith(".jsonl"))


class LandingError(Exception):
    """The landing folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Landed:
    """One file, or one folder that cannot be listed, as the listing shows it."""

    landing: Path
    below: str
    """Path below landing, as the store has it."""

    signature: str
    changed_at: datetime | None = None
    """When it was last changed (naive UTC), if the store knows."""

    fault: str | None = None
    """Why it cannot be looked at."""

    @property
    def relative(self) -> str:
        """Path below landing as text; bytes of its name that are no UTF-8 stand as escapes."""
        return shown_name(self.below)

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.landing.joinpath(*self.below.split("/"))

    @property
    def size(self) -> int:
        """Bytes, as they lie there."""
        return int(self.signature.split("-")[0])

    @property
    def dataset(self) -> str:
        """The folder below landing; the file's own name if it lies beside those folders."""
        return self.relative.split("/")[0]


@dataclass(frozen=True)
class Listing:
    """All files in order of their paths, and the folders (``<dataset>/dt=…``) with a ``_SUCCESS``."""

    files: tuple[Landed, ...]
    successes: frozenset[str] = frozenset()


def shown_name(text: str) -> str:
    """A name as text; bytes of it that are no UTF-8 stand as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def list_landing(landing: Path) -> Listing:
    """Files below ``landing/<dataset>/``, and deliveries that lie beside these folders.

    What begins with a dot or underscore, a folder too, or is half-written (``.tmp``, ``.part``) is passed over.

    Raises:
        LandingError: there is no landing folder, or its store cannot be reached.
    """
    if is_remote(landing):
        found = _remote(landing)
    elif landing.is_dir():
        found = _local(landing, "", 0)
    else:
        raise _no_landing(landing)
    files, successes = [], set()
    for one in found:
        folders, _, name = one.below.rpartition("/")
        if folders.startswith(_PASSED_OVER) or "/." in folders or "/_" in folders:
            continue
        if name == SUCCESS and folders.count("/") == 1:
            successes.add(folders)
        elif (
            not name.startswith(_PASSED_OVER)
            and not name.endswith(_HALF_WRITTEN)
            and (folders or one.fault or name.endswith(_ASTRAY))
        ):
            files.append(one)
    return Listing(tuple(sorted(files, key=lambda one: one.relative)), frozenset(successes))


def _no_landing(landing: Path) -> LandingError:
    place = shown(landing)
    return LandingError(
        f"the landing folder {place} does not exist; fill it with `trasos simulate --out {place}` or "
        f"`trasos import NAME SRC --out {place}`, or set TRASOS_DATA_DIR to the folder that holds landing/"
        + (", or TRASOS_LANDING_URL to where files land" if is_remote(landing) else "")
    )


def _remote(landing: Path) -> Iterator[Landed]:
    store: Any = landing
    try:
        root = store.path.rstrip("/")
        store.fs.invalidate_cache(store.path)
        found = store.fs.find(store.path, detail=True)
        if not found and not store.fs.exists(store.path):
            raise _no_landing(landing)
    except ImportError as error:
        raise LandingError(
            f"{shown(landing)} needs a package that is not installed ({error.name or error}); "
            "install the extra of its store, e.g. pip install 'trasos-assets[s3]'"
        ) from error
    except (OSError, ValueError) as error:
        said = why_not(error) if isinstance(error, OSError) else type(error).__name__
        raise LandingError(f"{shown(landing)} cannot be listed ({said}); mend its address or credentials") from error
    for name, info in found.items():
        below = name[len(root) :].lstrip("/")
        if info.get("type", "file") == "file" and below and not below.endswith("/"):
            yield Landed(landing, below, signature_of(info), changed_at(info))


def _local(landing: Path, folder: str, depth: int) -> Iterator[Landed]:
    """Files below a folder; symbolic links to folders are followed to the day's folders, not below (they may loop)."""
    try:
        with os.scandir(landing / folder) as entries:
            found = list(entries)
    except OSError as error:
        if depth == 0:
            raise LandingError(f"{landing} cannot be listed ({why_not(error)}); mend its permissions") from error
        fault = f"this folder cannot be listed ({why_not(error)}); mend its permissions"
        yield Landed(landing, folder, "0-unlisted", None, fault)
        return
    for entry in found:
        below = f"{folder}/{entry.name}" if folder else entry.name
        try:
            if entry.is_dir(follow_symlinks=depth < 2):
                if not entry.name.startswith(_PASSED_OVER):
                    yield from _local(landing, below, depth + 1)
            elif entry.is_file():
                stat = entry.stat()
                signature = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
                changed = datetime.fromtimestamp(stat.st_mtime, UTC).replace(tzinfo=None)
                yield Landed(landing, below, signature, changed)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it went away meanwhile


def day_of(relative: str) -> date | None:
    """The day of the folder that a file lies in; None if it does not lie in ``<dataset>/dt=YYYY-MM-DD/``."""
    parts = relative.split("/")
    match = _DAY.match(parts[1]) if len(parts) == 3 else None
    try:
        return date.fromisoformat(match.group(1)) if match else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Rules:
    """What decides, besides a file's content, whether it may be taken."""

    first_day: date
    today: date
    now: datetime
    """Naive UTC."""

    settle_seconds: int
    waits_for_success: frozenset[str]
    """Data sets whose folders wait for their ``_SUCCESS``."""

    successes: Collection[str]

    @classmethod
    def of(cls, settings: Settings, listing: Listing, *, first_day: date, today: date, now: datetime) -> Rules:
        """The rules of an installation at a look."""
        using = {
            "always": frozenset(FORMATS),
            "never": frozenset(),
            "auto": frozenset(folder.split("/")[0] for folder in listing.successes),
        }
        waits_for = using[settings.landing_success]
        return cls(first_day, today, now, settings.landing_settle_seconds, waits_for, listing.successes)


def fault_of(one: Landed, rules: Rules) -> tuple[str, str] | None:
    """State and reason of a file that cannot be taken for where it lies, how it is called or how it stands."""
    if one.fault is not None:
        return WAITING, one.fault
    if "/" not in one.relative:
        return REJECTED, "not in a data set's folder; move it to landing/<data set>/dt=YYYY-MM-DD/"
    if one.dataset not in FORMATS:
        return REJECTED, f"unknown data set {one.dataset!r}; the folders below landing/ are {', '.join(FORMATS)}"
    day = day_of(one.relative)
    if day is None:
        return REJECTED, f"not in a day's folder; move it to landing/{one.dataset}/dt=YYYY-MM-DD/"
    if not one.relative.endswith(SUFFIXES):
        return REJECTED, f"unknown file type; known are {', '.join(SUFFIXES)}"
    if one.relative != one.below:
        return REJECTED, "its name is no UTF-8; rename it"
    if day < rules.first_day:
        return (
            REJECTED,
            f"its day is before the lake's first day {rules.first_day}; set TRASOS_START_DATE on a new lake",
        )
    if day > rules.today:
        return WAITING, "its day has not come yet; it will be taken then"
    return _unfinished(one, rules)


def _unfinished(one: Landed, rules: Rules) -> tuple[str, str] | None:
    folder = one.relative.rpartition("/")[0]
    if one.dataset in rules.waits_for_success and folder not in rules.successes:
        return WAITING, (
            f"its folder has no {SUCCESS} yet; write it once the folder is whole, or set TRASOS_LANDING_SUCCESS=never"
        )
    settle = timedelta(seconds=rules.settle_seconds)
    # A time far ahead of ours is a clock that is wrong, and says nothing.
    if one.changed_at is not None and abs(rules.now - one.changed_at) < settle:
        return WAITING, f"changed less than {rules.settle_seconds} s ago; it is taken once it has settled"
    return None
