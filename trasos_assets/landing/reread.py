"""Lines that could not be read, read again from the text that was kept of them, because a release asks for it.

A line keeps its place (day, file, number) and its text; what today's reader makes of it replaces what was made of it
before. Lines that today's reader cannot read either stay as they are.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import uuid
from collections.abc import Sequence

import ibis

from trasos_assets.contracts.landing import FORMATS
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import lost_deliveries, read_ledger
from trasos_assets.landing.parse import BLOCK_ROWS, MALFORMED, TOO_LONG, _select, _too_deep, read_deliveries
from trasos_assets.settings import Settings
from trasos_assets.trust.releases import Release, covers, names

_LINE = ["day", "file_hash", "line"]


def _named(raw: ibis.Table, releases: Sequence[Release]) -> ibis.Table:
    """Rows with a problem that a release names, and ``release``: the id of the first such release."""
    cases = [(covers(raw, r) & names(raw.problems, r.reason), r.release_id) for r in releases]
    marked = raw.mutate(release=ibis.cases(*cases, else_=ibis.null("string")))
    return marked.filter(marked.release.notnull())


def lines_to_read_again(raw: ibis.Table, releases: Sequence[Release]) -> ibis.Table:
    """Raw lines with a problem for which some releases (not waived) ask to read them again; all columns of ``raw``."""
    again = [release for release in releases if not release.waived]
    return _named(raw, again).drop("release") if again else raw.filter(ibis.literal(False))


def read_again(
    store: LakeStore, settings: Settings, contract: Contract, dataset: str, raw: ibis.Table, releases: Sequence[Release]
) -> ibis.Table:
    """A raw table in which the lines that releases ask for stand as today's reader reads them.

    Args:
        store: the lake, for its engine and the ledger.
        settings: time zone, limits and landing folder.
        contract: of the raw table.
        dataset: the landed data set.
        raw: published rows.
        releases: of the data set, not applied yet; waived ones ask for nothing here.

    A line of which only the beginning was kept, because it was too long, is taken from landing while its file is there
    unchanged. A line that can now be read bears the release's id and keeps its text.
    """
    asked = [release for release in releases if not release.waived]
    if not asked:
        return raw
    before = _taken_out(store, _named(raw, asked), settings)
    read = _read_texts(store, dataset, before, settings)
    whole = before.select(*_LINE, kept="raw", was="problems", release="release").inner_join(read, _LINE)
    # A text that was cut at another limit is no whole object: what was said of the line still holds.
    cut = (whole.was == TOO_LONG) & (whole.problems == MALFORMED).fill_null(False)
    whole = whole.filter(~cut)
    found = _conformed(contract, whole.mutate(raw=ibis.coalesce(whole.raw, whole.kept)))
    rest = before.filter(before.problems == TOO_LONG).anti_join(found, _LINE)
    landed = _read_landed(store, settings, dataset, rest)
    if landed is not None:
        longer = rest.select(*_LINE, kept="raw", release="release").inner_join(landed, _LINE)
        found = found.union(_conformed(contract, longer.mutate(raw=ibis.coalesce(longer.raw, longer.kept))))
    return raw.anti_join(found, _LINE).union(found)


@ibis.udf.scalar.builtin
def bit_length(text: str) -> int:  # pyright: ignore[reportReturnType]
    """Bits of a text in UTF-8, by the engine's own function: SQL's name for it is the same on every engine."""


def _taken_out(store: LakeStore, named: ibis.Table, settings: Settings) -> ibis.Table:
    """Place, text and problems of the lines to read, numbered from 0 by ``nth``; computed now, for they are many."""
    # What was kept of a line that is too long is no shorter than the limit: under the same limit it stays as it is.
    stays = (named.problems == TOO_LONG) & (bit_length(named.raw) >= 8 * settings.max_line_bytes)
    asked = named.filter(~stays.fill_null(False)).select(*_LINE, "raw", "problems", "release")
    return store.made(asked.mutate(nth=ibis.row_number()))


def _conformed(contract: Contract, rows: ibis.Table) -> ibis.Table:
    """Raw columns of lines just read, with ``release_id`` where nothing is wrong with them any more."""
    marked = rows.mutate(release_id=ibis.ifelse(rows.problems.isnull(), rows.release, ibis.null("string")))
    return marked.select(*contract.column_names)


def _read_texts(store: LakeStore, dataset: str, lines: ibis.Table, settings: Settings) -> ibis.Table:
    """What today's reader makes of kept texts, a block at a time."""
    door = store.door
    read, texts = f"read_{uuid.uuid4().hex[:12]}", f"texts_{uuid.uuid4().hex[:12]}"
    select = _select(FORMATS[dataset], texts, timezone=settings.timezone, max_line_bytes=settings.max_line_bytes)
    door.raw_sql(
        f"CREATE TEMP TABLE {read} AS WITH {texts} AS (SELECT NULL::DATE AS day, '' AS file_hash, 0::BIGINT AS line, "  # noqa: S608
        f"'' AS text, false AS too_deep WHERE false) SELECT * FROM ({select})"
    )
    count = int(lines.count().to_pyarrow().as_py())
    for start in range(0, count, BLOCK_ROWS):
        block = lines.filter(lines.nth.between(start, start + BLOCK_ROWS - 1))
        rows = block.select("day", "file_hash", "line", text="raw").to_pyarrow()
        door.con.register(texts, rows.append_column("too_deep", _too_deep(rows["text"])))
        door.raw_sql(f"INSERT INTO {read} {select}")
        door.con.unregister(texts)
    return store.taken(door.table(read))


def _read_landed(store: LakeStore, settings: Settings, dataset: str, lines: ibis.Table) -> ibis.Table | None:
    """The files of some lines, read whole from landing; None if none of them is there as it was taken."""
    wanted = lines.select("day", "file_hash").distinct().to_pyarrow().to_pydict()
    if not wanted["day"]:
        return None
    held = {row["delivery"] for row in read_ledger(store)} - set(wanted["file_hash"])
    there = lost_deliveries(store, settings, dataset, min(wanted["day"]), max(wanted["day"]), held=held)
    if not there:
        return None
    return store.taken(
        read_deliveries(
            store.door,
            dataset,
            there,
            timezone=settings.timezone,
            max_line_bytes=settings.max_line_bytes,
            max_file_bytes=settings.max_file_bytes,
        )
    )
