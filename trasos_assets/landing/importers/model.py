"""What an importer is, what it reports, and how it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trasos_assets.landing.writer import Progress


class ImportSourceError(Exception):
    """The source or its column map cannot be imported; the message names the path, the fault and what to do."""


@dataclass(frozen=True)
class ImportRequest:
    """One import: what to read, where to land it, and how to read what the source does not say."""

    source: Path
    out: Path
    timezone: str = "UTC"
    column_map: Path | None = None
    currency: str | None = None
    progress: Progress | None = None


@dataclass(frozen=True)
class ImportReport:
    """What became of a source: ``rows_read`` = event lines written + rejected rows, always.

    ``written`` counts lines by data set; a catalogue is derived from the rows, so its lines are no part of that sum.
    ``examples`` names the first few rejected rows of each reason as ``file:row`` (rows counted from 1 below the
    header; for ``malformed_line`` the line of the file), never their values.
    """

    importer: str
    source: Path
    out: Path
    rows_read: int
    written: dict[str, int]
    rejected: dict[str, int] = field(default_factory=dict)
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    first_day: str | None = None
    last_day: str | None = None

    def __post_init__(self) -> None:
        events = self.written.get("events", 0)
        refused = sum(self.rejected.values())
        if self.rows_read != events + refused:
            raise ImportSourceError(
                f"{self.source}: {self.rows_read:,} rows were read, but {events:,} were written and {refused:,} "
                "rejected. This is a fault of the importer, not of the source: please report it with a sample."
            )

    def lines(self) -> list[str]:
        """The report as plain lines; print them with ``markup=False``, because paths may hold brackets."""
        days = f", {self.first_day} to {self.last_day}" if self.first_day else ""
        text = [f"{self.importer}: read {self.rows_read:,} rows from {self.source}"]
        text += [f"  {dataset}: {count:,} lines written" for dataset, count in self.written.items()]
        text += [f"  files: {len(self.files):,} below {self.out}{days}"]
        text += [f"  rejected: {sum(self.rejected.values()):,}"]
        for reason, count in self.rejected.items():
            text.append(f"    {reason}: {count:,} (e.g. {', '.join(self.examples.get(reason, ()))})")
        return text


@dataclass(frozen=True)
class Importer:
    """One importer: its name on the command line, what it is for, and whether it needs a column map."""

    name: str
    summary: str
    run: Callable[[ImportRequest], ImportReport]
    needs_map: bool = False
