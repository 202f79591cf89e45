"""The people's lines in landing: found, and taken out of the files and the ledger together.

A file without some of its lines is another content, and so another delivery. The ledger's row takes its new identity at
once, and so do the raw rows: the rewritten file is the one that was taken, whenever it is looked at again.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from trasos_assets.contracts.engineering import LANDING_LEDGER
from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.model import Contract
from trasos_assets.erasure.journal import Journal
from trasos_assets.erasure.people import People, lines_of
from trasos_assets.erasure.rewrite import write_without
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing import archive
from trasos_assets.landing.blocks import UnreadableFileError
from trasos_assets.landing.entries import Row, identity, read_ledger, write_ledger
from trasos_assets.landing.lines import MAX_LINE_BYTES
from trasos_assets.landing.listing import day_of, list_landing
from trasos_assets.landing.parse import TOO_LONG, Delivery, read_deliveries
from trasos_assets.landing.quarantine import RAW
from trasos_assets.landing.readers import SUFFIXES
from trasos_assets.landing.streams import file_signature
from trasos_assets.places import hidden_for, is_remote, put_in_place
from trasos_assets.settings import Settings

Progress = Callable[[str, int, int], None]
_HIDDEN = ".erasing-"


@dataclass
class LandingReport:
    """What was done to landing: lines that went of each file, and files that could not be read."""

    rewritten: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _File:
    """One landed file: in landing, or in a bundle; ``delivery`` if the ledger knows this content."""

    dataset: str
    day: date
    relative: str
    path: Path
    delivery: str | None
    member: archive.Member | None = None


def _files(store: LakeStore, settings: Settings, rows: Collection[Row]) -> Iterator[_File]:
    seen = {(row["path"], row["signature"]): row["delivery"] for row in rows}
    deliveries = {row["delivery"] for row in rows}
    for one in list_landing(settings.landing_dir).files:
        day = day_of(one.below)
        if one.fault is None and day is not None and one.dataset in FORMATS and one.below.endswith(SUFFIXES):
            known = seen.get((one.relative, one.signature))
            if known is None and (content := _identity(one.path, one.relative)[0]) in deliveries:
                known = content  # the same file, but copied or touched
            yield _File(one.dataset, day, one.relative, one.path, known)
    for dataset in archive.archived_datasets(settings.landing_dir):
        for day in archive.archived(settings.landing_dir, dataset):
            for member in archive.members(settings.landing_dir, dataset, day):
                yield _File(dataset, day, member.relative, member.path, member.delivery, member)


def lines_by_delivery(store: LakeStore, people: People) -> dict[str, dict[str, list[int]]]:
    """Numbers of the people's lines in the raw tables, by data set and delivery."""
    found: dict[str, dict[str, list[int]]] = {}
    for dataset, contract in RAW.items():
        raw = store.read(contract)
        own = raw.filter(lines_of(raw, dataset, people)).select("file_hash", "line").to_pyarrow().to_pydict()
        of_dataset = found.setdefault(dataset, {})
        for delivery, line in zip(own["file_hash"], own["line"], strict=True):
            of_dataset.setdefault(delivery, []).append(line)
    return found


def _deliveries_with(store: LakeStore, contract: Contract, *, too_long: bool) -> set[str]:
    """Deliveries that a raw table holds, or those of which it holds only the beginning of a line."""
    raw = store.read(contract)
    chosen = raw.filter(raw.problems.contains(TOO_LONG).fill_null(False)) if too_long else raw
    return set(chosen.select("file_hash").distinct().to_pyarrow()["file_hash"].to_pylist())


def landed_lines(
    store: LakeStore, settings: Settings, people: People, report: LandingReport, progress: Progress | None = None
) -> Iterator[tuple[Any, list[int]]]:
    """Files of landing and its bundles that hold lines of the people, and the numbers of these lines.

    What the raw tables hold of a file whole is not read again; other files are: those not taken yet, replaced or
    refused, and those with lines of which only the beginning was kept.
    """
    rows = read_ledger(store)
    in_raw = lines_by_delivery(store, people)
    held = {dataset: _deliveries_with(store, contract, too_long=False) for dataset, contract in RAW.items()}
    cut = {dataset: _deliveries_with(store, contract, too_long=True) for dataset, contract in RAW.items()}
    files = list(_files(store, settings, rows))
    for number, file in enumerate(files):
        if progress is not None:
            progress("looking through landing", number, len(files))
        numbers = set(in_raw[file.dataset].get(file.delivery or "", ()))
        if file.delivery not in held[file.dataset] or file.delivery in cut[file.dataset]:
            try:
                numbers |= _parsed(store, settings, file, people)
            except UnreadableFileError as error:
                report.unreadable[file.relative] = str(error)
        if numbers:
            yield file, sorted(numbers)


def _parsed(store: LakeStore, settings: Settings, file: _File, people: People) -> set[int]:
    delivery = Delivery("looked_at", file.dataset, file.path, file.day)
    read = read_deliveries(
        store.door,
        file.dataset,
        [delivery],
        timezone=settings.timezone,
        max_line_bytes=MAX_LINE_BYTES,
        max_file_bytes=settings.max_file_bytes,
    )
    try:
        return set(read.filter(lines_of(read, file.dataset, people)).select("line").to_pyarrow()["line"].to_pylist())
    finally:
        store.door.drop_table(read.get_name(), force=True)


def rewrite_landing(
    store: LakeStore, settings: Settings, journal: Journal, progress: Progress | None = None
) -> LandingReport:
    """Take the people's lines out of every landed file and bundle, and enter the files anew as what they are now.

    The caller holds off ingests. Killed at any moment it can be called again: a file that was replaced, but not entered
    yet, is known by the journal.
    """
    report = LandingReport()
    with store.writing(archive.LOCK), store.writing(LANDING_LEDGER.name):
        _sweep(settings.landing_dir)
        _enter(store, settings, journal)
        bundled: dict[tuple[str, date], list[tuple[_File, list[int]]]] = {}
        for file, numbers in landed_lines(store, settings, journal.people, report, progress):
            report.rewritten[file.relative] = len(numbers)
            if file.member is not None:
                bundled.setdefault((file.dataset, file.day), []).append((file, numbers))
            else:
                _rewrite(file, numbers, settings, journal)
        for (dataset, day), members in bundled.items():
            _rewrite_bundle(dataset, day, members, settings, journal)
        _enter(store, settings, journal)
    return report


def _sweep(landing: Path) -> None:
    if not is_remote(landing) and landing.is_dir():
        for left in landing.rglob(f"{_HIDDEN}*"):
            left.unlink(missing_ok=True)


def hidden_beside(target: Path) -> Path:
    """A file of this machine to write what ``put_in_place`` then makes a landed file; its name ends as the file's."""
    return hidden_for(target) if is_remote(target) else target.with_name(f"{_HIDDEN}{target.name}")


def _note(file: _File, written: Path, rows: int, lines: list[int], journal: Journal) -> None:
    """Write down what the file becomes before it does."""
    became, size = _identity(written, file.relative)
    known = file.delivery or f"{file.relative}?"
    journal.renamed[known] = {
        "path": file.relative,
        "delivery": became,
        "size": size,
        "rows_read": rows,
        "lines": len(lines),
        "bundled": file.member is not None,
    }
    journal.save()


def _rewrite(file: _File, lines: list[int], settings: Settings, journal: Journal) -> None:
    target = file.path
    hidden = hidden_beside(target)
    rows = write_without(target, FORMATS[file.dataset], lines, hidden, max_bytes=settings.max_file_bytes)
    _note(file, hidden, rows, lines, journal)
    put_in_place(hidden, target)


def _rewrite_bundle(
    dataset: str, day: date, files: list[tuple[_File, list[int]]], settings: Settings, journal: Journal
) -> None:
    with tempfile.TemporaryDirectory(prefix="trasos-") as folder:
        changed: dict[str, Path | None] = {}
        for number, (file, lines) in enumerate(files):
            (Path(folder) / str(number)).mkdir()
            written = Path(folder) / str(number) / file.path.name
            rows = write_without(file.path, FORMATS[dataset], lines, written, max_bytes=settings.max_file_bytes)
            _note(file, written, rows, lines, journal)
            changed[file.delivery or ""] = written
        archive.replace_members(settings.landing_dir, dataset, day, changed)


def _enter(store: LakeStore, settings: Settings, journal: Journal) -> None:
    """Give the ledger's rows of files that were replaced their new identity."""
    rows = read_ledger(store)
    became = {row["delivery"] for row in rows}
    changed = False
    for place, row in enumerate(rows):
        new = journal.renamed.get(row["delivery"])
        if new is None or new["delivery"] in became:
            continue
        signature = row["signature"]
        if not new["bundled"]:
            path = settings.landing_dir.joinpath(*row["path"].split("/"))
            if not _is(path, row["path"], new):
                continue  # not replaced yet: it is written again
            signature = file_signature(path)
        rows[place] = row | {
            "delivery": new["delivery"],
            "size": new["size"],
            "rows_read": new["rows_read"] if row["rows_read"] is not None else None,
            "signature": signature,
        }
        became.add(new["delivery"])
        changed = True
    if changed:
        write_ledger(store, rows)


def _is(path: Path, relative: str, new: dict[str, Any]) -> bool:
    """Whether a file has the content that the journal says it has now."""
    return path.exists() and _identity(path, relative)[0] == new["delivery"]


def _identity(path: Path, relative: str) -> tuple[str, int]:
    """The delivery that a file is under some name, and its size."""
    content, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            content.update(block)
            size += len(block)
    return identity(relative, size, content.hexdigest()), size
