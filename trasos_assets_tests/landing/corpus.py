"""Hostile landings as data: named cases with the bytes that land and what must become of every line.

The modules ``corpus_…`` beside this one hold the cases; here is how they are told, and how all of them land in one
folder, each line of a case with an innocent line before it and another after the last.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DAY = "2025-10-26"
"""The main received day: in the business time zone, Europe/London, it has 25 hours."""

FIRST_DAY = "2025-10-20"
TIMEZONE = "Europe/London"
MAX_FILE_BYTES = 24_000_000
ACCEPTED, DUPLICATE, QUARANTINED = "accepted", "duplicate", "quarantined"
WAITING, REJECTED = "waiting", "rejected"

GOOD: dict[str, dict[str, Any]] = {
    "events": {
        "event_id": "",
        "event_type": "page_view",
        "occurred_at": f"{DAY}T12:00:00Z",
        "received_at": f"{DAY}T12:00:01Z",
        "visitor_id": "",
    },
    "catalogue": {"item_id": "", "kind": "product", "name": "Dress", "price": 10, "available": True},
    "marketing_spend": {"spend_day": "2025-10-25", "channel": "search", "campaign": "", "cost": 5},
    "assignments": {"experiment": "holdout", "unit_id": "", "arm": "control", "assigned_at": f"{DAY}T12:00:00Z"},
}
"""A good line of every data set; an empty value is filled with the name of the case."""

ABSENT = object()
"""The value of a field that a line is to go without."""

BUY: dict[str, Any] = {"event_type": "purchase", "order_id": "o1", "item_id": "i1", "quantity": 1, "unit_price": 5}


@dataclass(frozen=True)
class Outcome:
    """What must become of a line: its state, exactly these reasons, and of an accepted line some values."""

    state: str
    reasons: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """Lines that land among innocent ones in their data set's file of a day.

    ``mend`` is the defect for which the platform does not yet do what the case expects.
    """

    name: str
    lines: tuple[bytes, ...]
    outcomes: tuple[Outcome, ...]
    dataset: str = "events"
    day: str = DAY
    mend: str = ""


@dataclass(frozen=True)
class FileCase:
    """A file of its own: what becomes of its lines by number, or its state in the ledger and words of the reason."""

    name: str
    path: str
    content: bytes
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    trouble: tuple[str, str] | None = None
    mend: str = ""

    @property
    def dataset(self) -> str:
        """The data set by the folder."""
        return self.path.split("/")[0]


def line(name: str, dataset: str = "events", /, *, literal: Mapping[str, str] | None = None, **fields: Any) -> bytes:
    """One landed line: a good one of the data set, ids made of the name, with other fields.

    ``literal`` gives fields the JSON text of their value, for what Python's JSON cannot say.
    """
    whole = {key: f"{name} {key[0]}" if value == "" else value for key, value in GOOD[dataset].items()}
    marked = whole | fields | {key: f"@{key}@" for key in literal or {}}
    text = json.dumps({key: value for key, value in marked.items() if value is not ABSENT}, ensure_ascii=False)
    for key, value in (literal or {}).items():
        text = text.replace(f'"@{key}@"', value)
    return text.encode()


def accepted(name: str, /, *, literal: Any = None, **told: Any) -> Case:
    """A case of one line that is accepted; ``expect`` holds values, other names as in ``Case`` and ``line``."""
    about = {key: told.pop(key) for key in ("dataset", "day", "mend") if key in told}
    expected = told.pop("expect", {})
    content = told.pop("content", None) or line(name, about.get("dataset", "events"), literal=literal, **told)
    return Case(name, (content,), (Outcome(ACCEPTED, values=expected),), **about)


def refused(name: str, /, *reasons: str, literal: Any = None, **told: Any) -> Case:
    """A case of one line that is quarantined for exactly these reasons."""
    about = {key: told.pop(key) for key in ("dataset", "day", "mend") if key in told}
    content = told.pop("content", None) or line(name, about.get("dataset", "events"), literal=literal, **told)
    return Case(name, (content,), (Outcome(QUARANTINED, reasons),), **about)


def quarantined(*reasons: str) -> Outcome:
    """A line quarantined for exactly these reasons."""
    return Outcome(QUARANTINED, reasons)


@dataclass(frozen=True)
class Planted:
    """Where a case's line landed and what must become of it; innocents have no case."""

    case: str | None
    path: str
    number: int
    outcome: Outcome


def shared_file(dataset: str, day: str) -> str:
    """Path below landing of the file in which a data set's cases of a day stand among innocent lines."""
    return f"{dataset}/dt={day}/cases.jsonl"


def _innocent(dataset: str, day: str, number: int) -> bytes:
    fields: dict[str, Any] = (
        {"occurred_at": f"{day}T11:00:00Z", "received_at": f"{day}T11:00:00Z"} if dataset == "events" else {}
    )
    return line(f"innocent {day} {number}", dataset, **fields)


def land(landing: Path, cases: Iterable[Case], files: Iterable[FileCase]) -> list[Planted]:
    """Write all cases below ``landing``; returns where every line is and what must become of it."""
    planted: list[Planted] = []
    by_file: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        by_file.setdefault((case.dataset, case.day), []).append(case)
    for (dataset, day), of_file in by_file.items():
        lines: list[bytes] = []
        path = shared_file(dataset, day)

        def stand(content: bytes, outcome: Outcome, case: str | None, path: str, lines: list[bytes]) -> None:
            lines.append(content)
            planted.append(Planted(case, path, len(lines), outcome))

        for case in of_file:
            for content, outcome in zip(case.lines, case.outcomes, strict=True):
                stand(_innocent(dataset, day, len(lines)), Outcome(ACCEPTED), None, path, lines)
                stand(content, outcome, case.name, path, lines)
        stand(_innocent(dataset, day, len(lines)), Outcome(ACCEPTED), None, path, lines)
        _write(landing / path, b"\n".join(lines) + b"\n")
        neighbour = f"{dataset}/dt={day}/neighbour.jsonl.gz"
        _write(landing / neighbour, gzip.compress(_innocent(dataset, day, -1) + b"\n", mtime=0))
        planted.append(Planted(None, neighbour, 1, Outcome(ACCEPTED)))
    for file in files:
        _write(landing / file.path, file.content)
        planted += [Planted(file.name, file.path, number, outcome) for number, outcome in file.outcomes.items()]
    return planted


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
