"""What a lake was made with: format version, time zone and first day. It refuses to open with others."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from filelock import FileLock

from trasos_assets.lake.files import write_whole
from trasos_assets.lake.store import LakeError
from trasos_assets.places import PlaceError, is_remote, reaching

FORMAT_VERSION = 1
FORMAT_FILE = "_format.json"


@dataclass(frozen=True)
class LakeFormat:
    """The three facts that every partition of a lake depends on."""

    start_date: date
    timezone: str
    version: int = FORMAT_VERSION


def read_format(lake: Path) -> LakeFormat | None:
    """The lake's format, or None if there is no lake yet.

    Raises:
        LakeError: the file cannot be read, or the lake was written by another version.
    """
    path = lake / FORMAT_FILE
    try:
        with reaching(path):
            text = path.read_text()
    except FileNotFoundError:
        return None
    except PlaceError as error:
        raise LakeError(str(error)) from error
    try:
        stored = json.loads(text)
        found = LakeFormat(date.fromisoformat(stored["start_date"]), stored["timezone"], stored["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"{path} cannot be read ({error}); restore it from a backup, or move the lake away") from error
    if found.version != FORMAT_VERSION:
        raise LakeError(
            f"{path}: lake format {found.version}, this release reads {FORMAT_VERSION}; "
            "move the lake away and run again from landing"
        )
    return found


@contextmanager
def _alone(lake: Path) -> Iterator[None]:
    """One process at a time on a file system; an object store has no locks."""
    if is_remote(lake):
        yield
        return
    (lake / ".locks").mkdir(parents=True, exist_ok=True)
    with FileLock(lake / ".locks" / "format.lock"):
        yield


def open_format(lake: Path, *, start_date: date, timezone: str) -> LakeFormat:
    """Write the format of a new lake, or check that an existing one was made with the same time zone and first day.

    Raises:
        LakeError: the lake has another time zone or first day.
    """
    with _alone(lake):
        found = read_format(lake)
        if found is None:
            made = LakeFormat(start_date, timezone)
            stored = asdict(made) | {"start_date": start_date.isoformat()}
            write_whole(lake / FORMAT_FILE, json.dumps(stored, indent=1) + "\n")
            # On a store another machine may have been first, or last: what stands there holds.
            found = read_format(lake) or made
    if found.timezone != timezone:
        raise LakeError(
            f"the lake {lake} was made with TRASOS_TIMEZONE={found.timezone}, not {timezone}: its days would be cut "
            "elsewhere. Set it back, or start a new TRASOS_DATA_DIR"
        )
    if found.start_date != start_date:
        raise LakeError(
            f"the lake {lake} begins on {found.start_date}, not on TRASOS_START_DATE={start_date}. "
            "Set it back, or start a new TRASOS_DATA_DIR"
        )
    return found
