"""Accepted files of closed days, bundled: one uncompressed tar a data set and day, below ``landing/.archive``.

Landing collects many small files; a bundle keeps the bytes of each. It is written beside the old one, read back, and
swapped in whole; only then are the files removed. So a crash leaves every file in landing, in the bundle or in both.
The listing of landing does not see bundles, and a file that comes back from one is the delivery that it was: nothing of
this is a new delivery. Whoever writes holds the lock ``LOCK`` of the lake (``store.writing(LOCK)``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from trasos_assets.landing.bundles import ArchiveError, Member, Source, read_bundle, unpack, write_bundle
from trasos_assets.landing.listing import day_of, list_landing
from trasos_assets.landing.streams import file_signature
from trasos_assets.places import is_remote, names_below, shown

__all__ = [
    "LOCK",
    "ArchiveError",
    "LandedFile",
    "Member",
    "archive",
    "archived",
    "archived_datasets",
    "find",
    "landed_files",
    "members",
    "remove_bundle",
    "replace_members",
    "restore",
    "sweep",
]

ARCHIVE = ".archive"
LOCK = "landing_archive"
_BUNDLE = re.compile(r"^dt=(\d{4}-\d{2}-\d{2})\.tar$")


@dataclass(frozen=True)
class LandedFile:
    """One file of landing, wherever its bytes are; ``member`` says that it is bundled."""

    dataset: str
    day: date
    name: str
    path: Path
    member: Member | None = None

    @property
    def relative(self) -> str:
        """Path below landing."""
        return f"{self.dataset}/dt={self.day}/{self.name}"


def bundle_of(landing: Path, dataset: str, day: date) -> Path:
    """Where the bundle of a data set and day is, if there is one."""
    return landing / ARCHIVE / dataset / f"dt={day}.tar"


def archived_datasets(landing: Path) -> list[str]:
    """Data sets of which anything is bundled, in order."""
    return sorted({name.split("/")[0] for name in _bundles(landing) if "/" in name})


def archived(landing: Path, dataset: str) -> list[date]:
    """Days of a data set that are bundled, in order."""
    folder = f"{dataset}/"
    names = (name.removeprefix(folder) for name in _bundles(landing) if name.startswith(folder))
    return sorted(date.fromisoformat(match.group(1)) for name in names if (match := _BUNDLE.match(name)))


def _bundles(landing: Path) -> list[str]:
    folder = landing / ARCHIVE
    return names_below(folder) if is_remote(folder) or folder.is_dir() else []


def members(landing: Path, dataset: str, day: date) -> list[Member]:
    """The files of one bundle in their order; none if there is no bundle.

    Raises:
        ArchiveError: the bundle cannot be read.
    """
    return read_bundle(bundle_of(landing, dataset, day), dataset, day)


def find(landing: Path, dataset: str, day: date, delivery: str) -> Member | None:
    """The bundled file that the ledger knows as ``delivery``; None if it is in no bundle."""
    return next((member for member in members(landing, dataset, day) if member.delivery == delivery), None)


def landed_files(landing: Path, dataset: str, day: date | None = None) -> Iterator[LandedFile]:
    """Every file of a data set, of one day if it is named: those that lie in landing, then those in bundles."""
    for one in list_landing(landing).files:
        found = day_of(one.below)
        if found is not None and one.below.split("/")[0] == dataset and day in (None, found):
            yield LandedFile(dataset, found, one.below.rpartition("/")[2], one.path)
    for bundled in archived(landing, dataset):
        if day in (None, bundled):
            for member in members(landing, dataset, bundled):
                yield LandedFile(dataset, bundled, member.name, member.path, member)


def archive(landing: Path, dataset: str, day: date, taken: Mapping[str, str]) -> list[Member]:
    """Bundle files of a day and remove them from landing; what the day's bundle holds already stays in it.

    Args:
        landing: the landing folder.
        dataset: one of its data sets.
        day: the day of the folder.
        taken: file name to delivery, as the ledger has them. A file whose content is another by now is left alone.

    Returns:
        The members of the bundle that stand for files removed now.

    Raises:
        ArchiveError: what was written does not read back as the files were; nothing was removed.
    """
    held = {member.delivery: member for member in members(landing, dataset, day)}
    folder = landing / dataset / f"dt={day}"
    files: dict[str, tuple[Path, str]] = {}
    added: list[Source] = []
    for name, delivery in sorted(taken.items()):
        path = folder / name
        if not path.is_file():
            continue
        signature = file_signature(path)
        source = Source.of_file(path, dataset, day)
        if source.delivery != delivery or file_signature(path) != signature:
            continue
        files[delivery] = (path, signature)
        if delivery not in held:
            added.append(source)
    if added:
        write_bundle(bundle_of(landing, dataset, day), dataset, day, [*map(Source.of_member, held.values()), *added])
    bundled = [member for member in members(landing, dataset, day) if member.delivery in files]
    for member in bundled:
        path, signature = files[member.delivery]
        if file_signature(path) == signature:
            path.unlink()
    return bundled


def restore(landing: Path, dataset: str, day: date, deliveries: Iterable[str] | None = None) -> list[Path]:
    """Bring bundled files back to where they were delivered, all of a day or those named.

    A file whose place is taken by another content stays in the bundle; of several contents of one path the latest comes
    back. The bundle keeps what did not come back, and goes when nothing is left.

    Raises:
        ArchiveError: a member's bytes are not what was bundled.
    """
    held = members(landing, dataset, day)
    wanted = None if deliveries is None else set(deliveries)
    chosen: dict[str, Member] = {}
    for member in sorted(held, key=lambda m: m.mtime_ns):
        if wanted is None or member.delivery in wanted:
            chosen[member.name] = member
    back: dict[str, Path] = {}
    for member in chosen.values():
        target = landing.joinpath(*member.relative.split("/"))
        if target.exists():
            if Source.of_file(target, dataset, day).delivery == member.delivery:
                back[member.delivery] = target
            continue
        unpack(member, target)
        back[member.delivery] = target
    if back:
        kept = [Source.of_member(member) for member in held if member.delivery not in back]
        write_bundle(bundle_of(landing, dataset, day), dataset, day, kept)
    return list(back.values())


def replace_members(
    landing: Path, dataset: str, day: date, changed: Mapping[str, Path | None]
) -> dict[str, Member | None]:
    """Swap the content of bundled files, all at once: for an erasure, which must reach bundles too.

    Args:
        landing: the landing folder.
        dataset: one of its data sets.
        day: the day of the bundle.
        changed: delivery to a file with its new content, or to None to take it out.

    Returns:
        Each delivery's member as it is now, with another ``delivery`` where its content is another; None if it is gone.

    Raises:
        ArchiveError: the bundle has no such delivery.
    """
    held = members(landing, dataset, day)
    missing = sorted(set(changed) - {member.delivery for member in held})
    if missing:
        raise ArchiveError(f"{shown(bundle_of(landing, dataset, day))} holds no delivery {', '.join(missing)}")
    sources, became = [], {}
    for member in held:
        if member.delivery not in changed:
            sources.append(Source.of_member(member))
        elif (content := changed[member.delivery]) is not None:
            source = Source.of_file(content, dataset, day, name=member.name, mtime_ns=member.mtime_ns)
            became[member.delivery] = source.delivery
            sources.append(source)
    write_bundle(bundle_of(landing, dataset, day), dataset, day, sources)
    now = {member.delivery: member for member in members(landing, dataset, day)}
    return {delivery: now.get(became.get(delivery, "")) for delivery in changed}


def remove_bundle(landing: Path, dataset: str, day: date) -> None:
    """Remove the bundle of a day, its files with it; no error if there is none."""
    bundle = bundle_of(landing, dataset, day)
    if bundle.exists():
        bundle.unlink()


def sweep(landing: Path) -> list[Path]:
    """Remove half-written bundles that a dead process left; the caller lets nobody else write bundles meanwhile."""
    if is_remote(landing) or not (landing / ARCHIVE).is_dir():
        return []
    left = sorted((landing / ARCHIVE).glob("*/.dt=*.tar.part"))
    for path in left:
        path.unlink(missing_ok=True)
    return left
