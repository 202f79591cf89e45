"""What an erasure has found out and done so far, so that one that was killed goes on where it stood.

The journal holds the ids in plain text: it is a file of this machine that only its owner reads, and it goes before the
final scan. While there is one, no ingest may begin (``refuse_unfinished``): files are rewritten that the ledger still
has as they were.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from trasos_assets.erasure.people import ErasureError, People
from trasos_assets.lake.store import LakeStore

FOLDER = ".erasure"


@dataclass
class Journal:
    """One erasure under way.

    Attributes:
        renamed: delivery to what became of it: its new ``delivery``, ``size``, ``rows_read`` and ``lines`` that went.
        days: received and occurred days to build again; None until they were found out.
        touched: deliveries with lines of theirs, by the names that they had.
        removed: rows that went, by table.
        counted: whether the totals of the people were kept.
        built: whether everything was built again without them.
    """

    file: Path
    erasure: str
    people: People
    names: tuple[str, ...]
    reason: str | None
    started_at: datetime
    events: tuple[str, ...] = ()
    renamed: dict[str, dict[str, Any]] = field(default_factory=dict)
    days: list[date] | None = None
    touched: tuple[str, ...] = ()
    removed: dict[str, int] = field(default_factory=dict)
    counted: bool = False
    built: bool = False

    def save(self) -> None:
        """Write it whole, readable by its owner only."""
        told = {
            "erasure": self.erasure,
            "people": self.people.to_dict(),
            "names": self.names,
            "reason": self.reason,
            "started_at": self.started_at.isoformat(),
            "events": self.events,
            "renamed": self.renamed,
            "days": None if self.days is None else [day.isoformat() for day in self.days],
            "touched": self.touched,
            "removed": self.removed,
            "counted": self.counted,
            "built": self.built,
        }
        self.file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.file.with_suffix(".part")
        with contextlib.suppress(FileNotFoundError):
            scratch.unlink()
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(told, stream)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(self.file)

    def close(self) -> None:
        """The erasure is done: nothing of the journal stays."""
        self.file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.file.parent.rmdir()

    @classmethod
    def load(cls, file: Path) -> Journal:
        """The journal that ``save`` wrote."""
        told = json.loads(file.read_text())
        return cls(
            file=file,
            erasure=told["erasure"],
            people=People.from_dict(told["people"]),
            names=tuple(told["names"]),
            reason=told["reason"],
            started_at=datetime.fromisoformat(told["started_at"]),
            events=tuple(told["events"]),
            renamed=told["renamed"],
            days=None if told["days"] is None else [date.fromisoformat(day) for day in told["days"]],
            touched=tuple(told["touched"]),
            removed=told["removed"],
            counted=told["counted"],
            built=told["built"],
        )


def journal_file(store: LakeStore, erasure: str) -> Path:
    """Where the journal of an erasure is."""
    return store.storage.local / FOLDER / f"{erasure}.json"


def unfinished(store: LakeStore) -> list[Journal]:
    """Erasures that began and did not end, in the order of their ids."""
    folder = store.storage.local / FOLDER
    if not folder.is_dir():
        return []
    for half in folder.glob("*.part"):
        half.unlink(missing_ok=True)  # what was written whole is beside it
    return [Journal.load(file) for file in sorted(folder.glob("*.json"))]


def refuse_unfinished(store: LakeStore) -> None:
    """Refuse to go on while an erasure is half done.

    Raises:
        ErasureError: one is.
    """
    folder = store.storage.local / FOLDER
    if folder.is_dir() and any(folder.glob("*.json")):
        raise ErasureError(
            "an erasure was interrupted; carry it out with `trasos forget --resume` before anything else"
        )
