"""``trasos quarantine``: what was refused and why, and how it comes back."""

from __future__ import annotations

import getpass
import json
import warnings
from collections import Counter
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from trasos_assets.commands.terminal import (
    DAY,
    Format,
    console,
    errors,
    fail,
    harmless,
    ingest_shown,
    progress,
    rows_as_text,
    settings_of_a_store,
)

SHOWN_CHARACTERS = 2_000
app = typer.Typer(no_args_is_help=True, help="Lines that were refused: count them, look at them, release them.")


class By(StrEnum):
    """What the quarantine is counted by."""

    reason = "reason"
    file = "file"
    day = "day"


_Since = Annotated[datetime | None, typer.Option(formats=DAY, help="First received day.")]
_Until = Annotated[datetime | None, typer.Option(formats=DAY, help="Last received day.")]
_Dataset = Annotated[str | None, typer.Option(help="events, catalogue, marketing_spend or assignments. Default: all.")]
_Format = Annotated[Format, typer.Option("--format", help="table, csv or json.")]


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _date(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _known(dataset: str | None) -> None:
    from trasos_assets.contracts.landing import FORMATS

    if dataset is not None and dataset not in FORMATS:
        raise fail(f"unknown data set {dataset!r}; there are {', '.join(FORMATS)}")


def _ordered(since: datetime | None, until: datetime | None) -> None:
    if since and until and since > until:
        raise fail(f"--since {since.date()} is after --until {until.date()}")


@app.command("list")
def list_(
    by: Annotated[By | None, typer.Option(help="reason, file or day. Default: all three.")] = None,
    since: _Since = None,
    until: _Until = None,
    dataset: _Dataset = None,
    output: _Format = Format.table,
) -> None:
    """Count refused lines by reason, by file and by day; a line with two reasons counts under each."""
    _known(dataset)
    _ordered(since, until)
    settings = settings_of_a_store()
    if by is None and output == Format.csv:
        raise fail("CSV holds one table: add --by reason, --by file or --by day")
    from trasos_assets.contracts.engineering import LANDING_LEDGER
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.landing.quarantine import counts, refused

    store = open_lake(settings)
    lines = refused(store, dataset=dataset, since=_date(since), until=_date(until)).select(
        "dataset", "day", "file_hash", "reasons"
    )
    ledger = store.read(LANDING_LEDGER)
    found = {kind: counts(lines, kind.value, ledger) for kind in ([by] if by else list(By))}
    if output == Format.json and by is None:
        typer.echo(json.dumps({kind.value: rows for kind, rows in found.items()}, default=str, indent=1))
        return
    if output == Format.table and not any(found.values()):
        console.print("The quarantine is empty.")
        return
    columns = {
        By.reason: ("dataset", "reason", "lines", "first_day", "last_day"),
        By.file: ("dataset", "path", "file_hash", "lines"),
        By.day: ("day", "dataset", "lines"),
    }
    for kind, rows in found.items():
        cells = [[row[name] for name in columns[kind]] for row in rows]
        typer.echo(rows_as_text(f"Refused lines by {kind.value}", columns[kind], cells, output))


@app.command()
def show(
    reason: Annotated[str | None, typer.Option(help="Only lines with this reason.")] = None,
    file: Annotated[
        str | None, typer.Option(help="Only lines of this file: its path below landing/, or its hash.")
    ] = None,
    day: Annotated[datetime | None, typer.Option(formats=DAY, help="Only lines received on this day.")] = None,
    dataset: _Dataset = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Lines at most.")] = 20,
    personal: Annotated[bool, typer.Option("--personal", help="Show lines as they came, personal data too.")] = False,
    output: _Format = Format.table,
) -> None:
    """Show refused lines. Values that are personal, or that could not be read, stand as the beginning of their hash."""
    _known(dataset)
    settings = settings_of_a_store()
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.landing.quarantine import lines_like, without_personal_data
    from trasos_assets.trust.releases import ReleaseError

    try:
        rows = lines_like(open_lake(settings), limit=limit, dataset=dataset, reason=reason, file=file, day=_date(day))
    except ReleaseError as error:
        raise fail(str(error)) from error
    if not rows:
        raise fail("no line in the quarantine is like that; `trasos quarantine list` counts those there are")
    for row in rows:
        row["path"] = row["path"] or row["file_hash"]
        row["text"] = row["raw"] if personal else without_personal_data(row)
    if output != Format.table:
        names = ("dataset", "day", "path", "line", "reasons", "text")
        typer.echo(rows_as_text("", names, [[row[name] for name in names] for row in rows], output))
        return
    for row in rows:
        _say(f"{harmless(row['path'])} line {row['line']}: {harmless(row['reasons'])}")
        _say(f"    {harmless(row['text'][:SHOWN_CHARACTERS])}")
    if len(rows) == limit:
        errors.print(f"the first {limit} lines; --limit shows more")


def _whoever() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _told(counted: Counter[str]) -> str:
    return ", ".join(f"{count:,} {harmless(name)}" for name, count in counted.most_common()) or "none"


@app.command()
def replay(
    reason: Annotated[str, typer.Option(help="The reason for which the lines are in the quarantine.")],
    since: Annotated[datetime, typer.Option(formats=DAY, help="First received day.")],
    until: Annotated[datetime | None, typer.Option(formats=DAY, help="Last received day. Default: today.")] = None,
    dataset: Annotated[str, typer.Option(help="The landed data set.")] = "events",
    file: Annotated[str | None, typer.Option(help="One file only: its path below landing/, or its hash.")] = None,
    waive: Annotated[bool, typer.Option("--waive", help="Take the rule as kept for these lines.")] = False,
    by: Annotated[str | None, typer.Option(help="Who releases them. Default: your login.")] = None,
    note: Annotated[str | None, typer.Option(help="Why.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
) -> None:
    """Release lines and take them through the same door as new ones.

    After the cause was mended (a setting, the reader, the contract) they are read and judged again; with --waive the
    rule is taken as kept for them, where the tables downstream can do without it.
    """
    warnings.filterwarnings("ignore", module="dagster.*")
    _known(dataset)
    _ordered(since, until)
    settings = settings_of_a_store()
    from trasos_assets.lake.days import first_day
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.lake.store import LakeError
    from trasos_assets.landing.quarantine import Watch, delivery_of, prospect, require_lines
    from trasos_assets.landing.releases import make_release, record_release
    from trasos_assets.trust.releases import ReleaseError

    store = open_lake(settings)
    try:
        asked = make_release(
            dataset=dataset,
            reason=reason,
            since=since.date(),
            until=_date(until),
            file_hash=delivery_of(store, file) if file else None,
            waived=waive,
            released_by=_whoever() if by is None else by,
            note=note,
            timezone=settings.timezone,
        )
        lines = require_lines(store, asked)
        if dry_run:
            would = prospect(store, settings, asked, first_day=first_day(settings))
            console.print(
                f"{lines:,} lines are in the quarantine for {harmless(reason)}", markup=False, highlight=False
            )
            console.print(f"would leave it: {_told(would.leaving)}", markup=False, highlight=False)
            console.print(f"would stay: {_told(would.staying)}", markup=False, highlight=False)
            return
        watch = Watch(store, asked)
        release = record_release(store, asked)
    except (ReleaseError, LakeError) as error:
        raise fail(str(error)) from error
    errors.print(f"release {release.release_id} of {lines:,} lines is recorded", highlight=False)
    _carry_out(settings, store)
    became = watch.outcome()
    _say(f"left the quarantine: {_told(became.leaving)}")
    _say(f"stayed: {_told(became.staying)}")


def _carry_out(settings: Any, store: Any) -> None:
    """An ingest: it finds the release as it finds new files. Whatever stops it, the next one goes on."""
    with errors.status("loading definitions"):
        from trasos_assets.defs.operations.instance import open_instance

        instance = open_instance(settings)
        from trasos_assets.definitions import assembled
        from trasos_assets.defs.operations.ingest import ingest
        from trasos_assets.lake.store import LakeError
        from trasos_assets.landing.ledger import LandingError

        definitions = assembled()
    with progress() as bars:
        announce, listener = ingest_shown(bars)
        try:
            outcome = ingest(definitions, instance, store, settings, announce=announce, listener=listener)
        except (LandingError, LakeError) as error:
            raise fail(f"{error}. The release is recorded; the next `trasos run` carries it out") from error
    if not outcome.success:
        raise fail("; ".join(outcome.errors) + ". The release is recorded; the next `trasos run` carries it out")
