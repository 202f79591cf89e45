"""``trasos storage``: what the data cost, what retention and compaction would do, and how bundled files come back."""

from __future__ import annotations

import warnings
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from trasos_assets.commands.terminal import DAY, Format, console, errors, fail, rows_as_text, settings_or_fail
from trasos_assets.printable import harmless

SHOWN_UNREAD = 20
app = typer.Typer(no_args_is_help=True, help="What the data cost, and what keeps that in bounds.")

_Format = Annotated[Format, typer.Option("--format", help="table, csv or json.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do it; without it nothing is changed.")]


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _say(text: str) -> None:
    console.print(harmless(text, lines=True), markup=False, highlight=False, soft_wrap=True)


def in_words(size: int | None) -> str:
    """Bytes as people read them: 1.2 GB, of 10^9 bytes."""
    if size is None:
        return "–"
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:,.0f} B" if unit == "B" else f"{value:,.1f} {unit}"


@app.command()
def report(
    output: _Format = Format.table,
    unread: Annotated[bool, typer.Option("--unread/--no-unread", help="Columns that nothing reads, too.")] = True,
) -> None:
    """What every table and place holds now, how it grows and what it costs; and what nobody reads."""
    warnings.filterwarnings("ignore", module="dagster.*")
    settings = settings_or_fail()
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.storage.ledger import compute_since, held_ledger, measure, next_ledger

    store = open_lake(settings)
    today = datetime.now(ZoneInfo(settings.timezone)).date()
    held = held_ledger(store)
    since = compute_since(held, today)
    with errors.status("measuring"):
        ledger = next_ledger(
            held, measure(store, settings), _computed(settings, since), since=since, today=today, settings=settings
        )
    rows = [row for row in ledger.to_pylist() if row["as_of"] == today]
    rows.sort(key=lambda row: (row["kind"] != "table", row["owner"], -(row["bytes"] or 0), row["name"]))
    names = ("kind", "owner", "name", "bytes", "files", "rows", "compute_seconds", "growth_28d", "forecast_bytes")
    costs = ("storage_cost", "forecast_cost", "compute_cost")
    if output != Format.table:
        typer.echo(rows_as_text("", (*names, *costs), [[row[n] for n in (*names, *costs)] for row in rows], output))
        return
    _print_sizes(rows, settings.currency)
    if unread:
        _print_unread(store, settings)


def _computed(settings: Any, since: date) -> dict[tuple[date, str], Decimal]:
    if not (settings.dagster_home / "dagster.yaml").exists():
        return {}
    from trasos_assets.defs.operations.compute import step_seconds
    from trasos_assets.defs.operations.instance import open_instance

    return step_seconds(open_instance(settings), since, timezone=settings.timezone)


def _print_sizes(rows: list[dict[str, Any]], currency: str) -> None:
    columns = ("name", "bytes", "files", "rows", "computed", "a day", "in 90 days", f"{currency} a month")
    tables = [row for row in rows if row["kind"] == "table"]
    parts = {f"Tables of {team}": [r for r in tables if r["owner"] == team] for team in dict.fromkeys(_owners(tables))}
    parts["Beside the tables"] = [row for row in rows if row["kind"] == "place" and row["files"]]
    for title, part in parts.items():
        cells = [
            [
                row["name"],
                in_words(row["bytes"]),
                row["files"] or 0,
                "–" if row["rows"] is None else f"{row['rows']:,}",
                f"{row['compute_seconds']:,.1f} s",
                in_words(row["growth_28d"] if row["growth_28d"] is not None else row["growth_7d"]),
                in_words(row["forecast_bytes"]),
                "–" if row["storage_cost"] is None else f"{row['storage_cost']:,.2f}",
            ]
            for row in part
        ]
        typer.echo(rows_as_text(title, columns, cells, Format.table))
    total = sum(row["bytes"] or 0 for row in rows)
    costs = [row["storage_cost"] for row in rows if row["storage_cost"] is not None]
    money = f", {sum(costs):,.2f} {currency} a month" if costs else "; TRASOS_PRICE_GB_MONTH says what that costs"
    _say(f"{in_words(total)} in all{money}")


def _owners(rows: list[dict[str, Any]]) -> list[str]:
    return [row["owner"] for row in rows]


def _print_unread(store: Any, settings: Any) -> None:
    from trasos_assets.defs.operations.readers import unread_columns

    try:
        with errors.status("following columns to their readers"):
            found = unread_columns(store, settings)
    except ValueError as error:
        raise fail(str(error)) from error
    cells = [[row["table_name"], row["column_name"], in_words(row["bytes"])] for row in found.rows]
    title = f"Read by nothing downstream, {min(len(cells), SHOWN_UNREAD)} of {len(cells)}"
    typer.echo(rows_as_text(title, ("table", "column", "bytes"), cells[:SHOWN_UNREAD], Format.table))
    _say(
        "The table unused_columns has all of them. What people read through the warehouse cannot be seen: name it in "
        "TRASOS_READ_OUTSIDE."
    )
    for one in found.guessed:
        _say(f"{one.reader} could not be looked into, and counts as reading everything: {one.guessed}")


@app.command()
def retain(yes: _Yes = False, output: _Format = Format.table) -> None:
    """Which days are older than they are kept: planned at first sight, removed when the days of grace are over.

    With --yes what is due now is removed, whether TRASOS_RETENTION is dry or on, and the rest is planned.
    """
    settings = settings_or_fail()
    from trasos_assets.contracts.storage import PLANNED, RETENTION
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.lake.gone import read_book
    from trasos_assets.lake.store import LakeError
    from trasos_assets.storage.retention import meet, next_book, overdue

    if settings.retention == "off":
        raise fail("TRASOS_RETENTION is off; set it to dry or on")
    store, now = open_lake(settings), _now()
    try:
        if yes:
            with store.writing(RETENTION.name, on_wait=errors.print):
                carried = meet(store, settings, now=now, remove=True)
            freed = sum(row["bytes"] for row in carried.removed)
            _say(f"removed {len(carried.removed)} partitions, {in_words(freed)}; planned {len(carried.planned)} more")
            return
        found = overdue(store, settings)
    except LakeError as error:
        raise fail(str(error)) from error
    grace = timedelta(days=settings.retention_grace_days)
    after = next_book(read_book(store), found, now=now, grace_days=settings.retention_grace_days, remove=False)
    planned = [row for row in after if row["state"] == PLANNED]
    if not planned and output == Format.table:
        _say("nothing is older than it is kept")
        return
    names = ("kind", "name", "day", "bytes", "rows", "goes_on")
    cells = [
        [*(row[name] for name in names[:-1]), (row["planned_at"] + grace).date() if row["planned_at"] != now else "new"]
        for row in planned
    ]
    typer.echo(rows_as_text("Older than it is kept", names, cells, output))
    if output == Format.table:
        how = "removes" if settings.retention == "on" else "only plans (TRASOS_RETENTION=on removes)"
        _say(f"{in_words(sum(row['bytes'] for row in planned))}; nothing was changed, the nightly run {how}")


@app.command()
def compact(yes: _Yes = False, output: _Format = Format.table) -> None:
    """Bundle the landing files of closed days, rewrite partitions of another form, sweep leftovers."""
    settings = settings_or_fail()
    from trasos_assets.contracts.storage import COMPACTION
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.lake.store import LakeError
    from trasos_assets.landing.archive import ArchiveError
    from trasos_assets.storage import compaction

    store, now = open_lake(settings), _now()
    if not yes:
        cells: list[list[object]] = [
            ["landing", found.dataset, str(found.day), len(found.taken), found.bytes]
            for found in compaction.closed_files(store, settings)
        ]
        cells += [
            ["lake", contract.name, str(day or "*"), 1, store.storage.size(store.file(contract, day))]
            for contract, day in compaction.partitions_to_rewrite(store)
        ]
        if not cells and output == Format.table:
            _say("nothing to compact")
            return
        typer.echo(rows_as_text("Would be compacted", ("kind", "name", "part", "files", "bytes"), cells, output))
        return
    try:
        with store.writing(COMPACTION.name, on_wait=errors.print):
            before = store.row_counts(COMPACTION)
            store.write(COMPACTION, compaction.compact(store, settings, now=now))
            done = store.row_counts(COMPACTION) - before
    except (LakeError, ArchiveError) as error:
        raise fail(str(error)) from error
    _say(f"{done} folders and partitions were compacted or swept; the table compaction says which")


@app.command()
def restore(
    dataset: Annotated[str | None, typer.Option(help="events, catalogue, marketing_spend or assignments.")] = None,
    day: Annotated[datetime | None, typer.Option(formats=DAY, help="The day of the bundle.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every bundle there is.")] = False,
) -> None:
    """Bring bundled landing files back to where they were delivered; they are no new deliveries."""
    settings = settings_or_fail()
    from trasos_assets.contracts.landing import FORMATS
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.landing import archive

    if dataset is not None and dataset not in FORMATS:
        raise fail(f"unknown data set {dataset!r}; there are {', '.join(FORMATS)}")
    if everything == (dataset is not None or day is not None):
        raise fail("say --dataset, with --day or for all its days, or --all")
    if dataset is None and not everything:
        raise fail("--day needs --dataset")
    landing = settings.landing_dir
    back = days = 0
    with open_lake(settings).writing(archive.LOCK, on_wait=errors.print):
        for name in FORMATS if everything else (dataset or "",):
            for bundled in archive.archived(landing, name):
                if day is None or day.date() == bundled:
                    try:
                        back += len(archive.restore(landing, name, bundled))
                    except archive.ArchiveError as error:
                        raise fail(str(error)) from error
                    days += 1
    if not days:
        raise fail("no such bundle; `trasos storage report` shows what landing_archive holds")
    _say(f"{back} files of {days} bundles are back in landing")
