"""Where a sample stands: written beside, swapped in whole, and never in the place of something else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trasos_assets.lake.locks import alive
from trasos_assets.samples.rules import SampleError

MARK = "fidelity.json"
KIND = "trasos sample"


def is_sample(folder: Path) -> bool:
    """Whether a folder is a sample that this module put there."""
    try:
        return json.loads((folder / MARK).read_text(encoding="utf-8")).get("kind") == KIND
    except (OSError, ValueError, AttributeError):
        return False


def require_place(out: Path, *, apart_from: tuple[Path, ...] = ()) -> Path:
    """The absolute folder for a sample, whether it is there or not.

    Raises:
        SampleError: there is something else, or it is inside a folder that is the platform's own.
    """
    place = out.expanduser().absolute()
    for own in apart_from:
        if isinstance(own, Path) and place.resolve().is_relative_to(own.resolve()):
            raise SampleError(f"{place} is inside {own}, which the platform keeps for itself; name another folder")
    if place.is_symlink():
        raise SampleError(f"{place} is a link, which would be replaced by a folder; name the folder itself")
    if place.exists() and not place.is_dir():
        raise SampleError(f"{place} is a file; name a folder")
    if place.is_dir() and any(place.iterdir()) and not is_sample(place):
        raise SampleError(
            f"{place} holds something that is no sample of ours, and it would be replaced; name a new or empty folder"
        )
    return place


@contextmanager
def swapped_in(place: Path) -> Iterator[Path]:
    """A folder to write to, beside the place; it takes the place whole when the block ends without an error.

    Two renames: between them, for a moment, there is no folder. If the process dies there, the next one mends it.

    Raises:
        SampleError: the folder cannot be written.
    """
    fresh, old = (place.with_name(f".{place.name}.{what}-{os.getpid()}") for what in ("new", "old"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        fresh.mkdir()
        yield fresh
        if place.exists():
            place.replace(old)
        fresh.replace(place)
    except OSError as error:
        raise SampleError(f"{place} cannot be written: {error}") from error
    finally:
        if old.exists() and not place.exists():
            old.replace(place)
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)


def _sweep(place: Path) -> None:
    """What a process that died has left: an old sample goes back if no other took its place."""
    for what in ("old", "new"):
        for left in place.parent.glob(f".{place.name}.{what}-*"):
            pid = left.name.rsplit("-", 1)[-1]
            if not pid.isdigit() or (alive(int(pid)) and int(pid) != os.getpid()):
                continue
            if what == "old" and not place.exists():
                left.replace(place)
            else:
                shutil.rmtree(left, ignore_errors=True)
