"""What an erasure would remove, without anything being changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trasos_assets.erasure.gate import erasure_key
from trasos_assets.erasure.landed import LandingReport, landed_lines
from trasos_assets.erasure.people import People, find_people
from trasos_assets.erasure.suppression import is_suppressed
from trasos_assets.erasure.tables import rows_of
from trasos_assets.lake.store import LakeStore
from trasos_assets.settings import Settings


@dataclass
class Foreseen:
    """People as they were found, names that nobody has or that were forgotten before, and what would go: rows by
    table, lines by landed file; and files that could not be read.
    """

    people: People
    unknown: tuple[str, ...]
    forgotten: frozenset[str]
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def foresee(
    store: LakeStore,
    settings: Settings,
    names: Sequence[str],
    progress: Callable[[str, int, int], None] | None = None,
) -> Foreseen:
    """Look for the people, and count what would go.

    Raises:
        ErasureError: a name cannot be told from somebody else's.
    """
    people, unknown = find_people(store, names)
    forgotten = is_suppressed(store, lambda: erasure_key(settings), unknown)
    found = Foreseen(people, tuple(name for name in unknown if name not in forgotten), frozenset(forgotten))
    if people.persons:
        found.rows = rows_of(store, people)
        report = LandingReport()
        lines = landed_lines(store, settings, people, report, progress)
        found.files = {file.relative: len(numbers) for file, numbers in lines}
        found.unreadable = report.unreadable
    return found
