"""Who must not come back: hashed ids, and which lines of a landed file hold one."""

# The functions of pyarrow.compute are made at run time.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.erasure import SUPPRESSIONS
from trasos_assets.contracts.landing import LandingFormat
from trasos_assets.erasure.keys import ErasureKey
from trasos_assets.erasure.patterns import Kind, kind_of
from trasos_assets.erasure.people import LEADING, ErasureError, People
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.blocks import Block
from trasos_assets.landing.lines import MAX_LINE_BYTES
from trasos_assets.landing.readers import read_blocks

PERSON, EVENT, LED = "person", "event", "leading"
ID_FIELDS = ("visitor_id", "customer_id", "unit_id")
SCHEMA: pa.Schema = ibis.schema(SUPPRESSIONS.types).to_pyarrow()
_WORDS = (re.compile(r"[^\s\"'{}\[\]():,;=<>|\\]+"), re.compile(r"[0-9A-Za-z_-]+"))


@dataclass(frozen=True)
class Suppressed:
    """Hashes of what must not come back, by kind, and the key to tell them with."""

    key: ErasureKey
    persons: frozenset[str]
    events: frozenset[str] = frozenset()
    leading: frozenset[str] = frozenset()

    def lines(self, path: Path, landing: LandingFormat, *, max_bytes: int) -> list[int]:
        """Numbers of the lines of a landed file that hold an id of somebody who was forgotten.

        Raises:
            UnreadableFileError: the file cannot be read whole.
        """
        known = {column.name for column in landing.columns}
        found: list[int] = []
        for block in read_blocks(path, landing, max_bytes=max_bytes, max_line_bytes=MAX_LINE_BYTES):
            found += self._typed(block) if block.typed else self._texts(block, known)
        return sorted(found)

    def _holds(self, kind: str, values: Iterable[str], hashes: frozenset[str]) -> set[str]:
        return {value for value in values if self.key.hash(f"{kind}:{value}") in hashes} if hashes else set()

    def _of_column(self, rows: pa.Table, name: str, kind: str, hashes: frozenset[str]) -> Any:
        """Which rows have a suppressed value in a column: only distinct values are hashed."""
        nothing = pa.repeat(pa.scalar(False), rows.num_rows)
        if name not in rows.column_names or not hashes:
            return nothing
        distinct = [value for value in pc.unique(rows[name]).to_pylist() if value is not None]
        held = self._holds(kind, distinct, hashes)
        if not held:
            return nothing
        return pc.is_in(rows[name], value_set=pa.array(sorted(held), rows.schema.field(name).type))

    def _typed(self, block: Block) -> list[int]:
        rows = block.rows
        marked = pa.repeat(pa.scalar(False), rows.num_rows)
        for name in ID_FIELDS:
            marked = pc.or_(marked, self._of_column(rows, name, PERSON, self.persons))
        marked = pc.or_(marked, self._of_column(rows, "event_id", EVENT, self.events))
        if self.leading and "event_id" in rows.column_names:
            for name in LEADING:
                led = self._of_column(rows, name, LED, self.leading)
                for of_somebody in ("visitor_id", "customer_id"):
                    if of_somebody in rows.column_names:
                        led = pc.and_(led, pc.is_null(rows[of_somebody]))
                marked = pc.or_(marked, led)
        return rows["line"].filter(marked).to_pylist()

    def _texts(self, block: Block, known: set[str]) -> list[int]:
        """Lines of a text block. Words are hashed once for all lines."""
        told = [
            (number, _Told(text, known))
            for number, text in zip(*block.rows.select(["line", "text"]).to_pydict().values(), strict=True)
        ]
        persons = self._holds(PERSON, {word for _, line in told for word in line.persons}, self.persons)
        events = self._holds(EVENT, {line.event for _, line in told if line.event}, self.events)
        nameless = [line for _, line in told if not line.names_somebody]
        led = self._holds(LED, {word for line in nameless for word in line.words}, self.leading)
        return [
            number
            for number, line in told
            if line.persons & persons or line.event in events or (not line.names_somebody and line.words & led)
        ]


class _Told:
    """What a line of text tells of people: values of fields that hold ids, and words that may be one."""

    def __init__(self, text: str, known: set[str]) -> None:
        self.event: str | None = None
        self.persons: set[str] = set()
        self.words: set[str] = set()
        self.names_somebody = False
        try:
            # All pairs: of a key that comes twice, either value may be the one.
            fields = json.loads(text, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, _Pairs):
            self.words = set(_words(text))
            self.persons = {word for word in self.words if kind_of(word) is not Kind.NUMBER} | _named(text)
            return
        for name, value in fields:
            if name in ID_FIELDS:
                self.persons |= {_plain(value)} if not isinstance(value, list | _Pairs) else set(_leaves(value))
                self.names_somebody |= value is not None
            elif name == "event_id":
                self.event = _plain(value)
            elif name not in known:
                self.persons |= {
                    w for leaf in _leaves(value) for w in (leaf, *_words(leaf)) if kind_of(w) is not Kind.NUMBER
                }
            if name in LEADING:
                self.words.add(_plain(value))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs."""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, _Pairs):
        for _, part in value:
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value is not None:
        yield _plain(value)


def _words(text: str) -> list[str]:
    return [word for pattern in _WORDS for word in pattern.findall(text)]


_NAMED = re.compile(r"(?:visitor_id|customer_id|unit_id)\W+([0-9]+)")


def _named(text: str) -> set[str]:
    """Numbers behind the name of an id."""
    return set(_NAMED.findall(text))


def read_suppressed(store: LakeStore, key_of: Callable[[], ErasureKey | None]) -> Suppressed | None:
    """Who must not come back; None if nobody was ever forgotten. The key is asked for only if somebody was.

    Raises:
        ErasureError: people were forgotten under another key than this one.
    """
    if not store.exists(SUPPRESSIONS):
        return None
    rows = store.read(SUPPRESSIONS).to_pyarrow().to_pylist()
    if not rows:
        return None
    key, made_with = key_of(), {row["key_id"] for row in rows}
    if key is None or made_with != {key.key_id}:
        raise ErasureError(
            "people were forgotten in this lake under a key that is not here: who must not come back cannot be told; "
            "set TRASOS_ERASURE_KEY to it, or bring back the file erasure.key of the local folder"
        )
    hashes = {kind: frozenset(row["id_hash"] for row in rows if row["kind"] == kind) for kind in (PERSON, EVENT, LED)}
    return Suppressed(key, hashes[PERSON], hashes[EVENT], hashes[LED])


def suppress(
    store: LakeStore,
    key: ErasureKey,
    people: People,
    *,
    events: Sequence[str] = (),
    erasure: str,
    reason: str | None,
    at: datetime,
) -> int:
    """Enter people into the table of those who must not come back; returns how many hashes are new.

    ``events`` are ids of events that are theirs though no id of theirs stands in them.

    Raises:
        ErasureError: as ``read_suppressed``.
    """
    ids = {PERSON: people.ids, EVENT: events, LED: people.leading}
    with store.writing(SUPPRESSIONS.name):
        read_suppressed(store, lambda: key)
        rows = store.read(SUPPRESSIONS).to_pyarrow().to_pylist() if store.exists(SUPPRESSIONS) else []
        known = {row["id_hash"] for row in rows}
        hashes = {key.hash(f"{kind}:{value}"): kind for kind, values in ids.items() for value in values}
        about = {"key_id": key.key_id, "erasure": erasure, "reason": reason, "erased_at": at}
        fresh = [{"id_hash": h, "kind": kind, **about} for h, kind in hashes.items() if h not in known]
        if fresh:
            store.write(SUPPRESSIONS, ibis.memtable(pa.Table.from_pylist(rows + fresh, schema=SCHEMA)))
    return len(fresh)


def is_suppressed(store: LakeStore, key_of: Callable[[], ErasureKey | None], names: Iterable[str]) -> set[str]:
    """Which of some names were forgotten before.

    Raises:
        ErasureError: as ``read_suppressed``.
    """
    found = read_suppressed(store, key_of)
    if found is None:
        return set()
    return {name for name in names if found.key.hash(f"{PERSON}:{name}") in found.persons}


__all__ = [
    "EVENT",
    "ID_FIELDS",
    "LED",
    "PERSON",
    "ErasureError",
    "Suppressed",
    "is_suppressed",
    "read_suppressed",
    "suppress",
]
