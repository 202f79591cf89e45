"""How every command speaks: where it prints, how it fails, what a long work shows, and text that cannot do harm."""

from __future__ import annotations

import csv
import io
import json
import socket
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from trasos_assets.lake.errors import LakeError
from trasos_assets.places import PlaceError, place, require
from trasos_assets.printable import harmless, no_formula
from trasos_assets.settings import Settings, get_settings

console = Console()
errors = Console(stderr=True)
DAY = ["%Y-%m-%d"]


class Format(StrEnum):
    """How a command prints rows."""

    table = "table"
    csv = "csv"
    json = "json"


def fail(message: str) -> typer.Exit:
    """Say what went wrong; the caller raises what is returned."""
    errors.print(f"[red]error[/] {escape(harmless(message, lines=True))}", soft_wrap=True)
    return typer.Exit(1)


class Plainly(TyperGroup):
    """Commands that end with a sentence where the lake refuses, and not with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except LakeError as error:
            raise fail(str(error)) from error


def require_free_port(host: str, port: int) -> None:
    """End the command if nothing can listen there: the daemon beside the server would go on alone."""
    try:
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(kind, socket.SOCK_STREAM) as asked:
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asked.bind(address)
    except (OSError, OverflowError, UnicodeError) as error:
        raise fail(f"cannot listen on {host}:{port} ({error}); name another with --port or --host") from error


def settings_or_fail() -> Settings:
    """The settings; a setting that cannot be ends the command with its name and what is wrong with it."""
    try:
        return get_settings()
    except ValidationError as error:
        # The default of one setting may hang on another that is wrong: that says nothing of its own.
        wrong = [e for e in error.errors() if e["type"] != "default_factory_not_called"]
        raise fail("; ".join(f"TRASOS_{str(e['loc'][0]).upper()}: {e['msg']}" for e in wrong)) from error


def place_or_fail(text: str) -> Path:
    """A folder or URL that was given on the command line; one that cannot be ends the command."""
    try:
        return place(text)
    except ValueError as error:
        raise fail(str(error)) from error


def require_store(path: Path) -> None:
    """Look at an object store once; what keeps it from being used ends the command. A folder is always fine."""
    try:
        require(path)
    except PlaceError as error:
        raise fail(str(error)) from error


def settings_of_a_store() -> Settings:
    """The settings, once the store of their data folder, if it is one, was looked at."""
    settings = settings_or_fail()
    require_store(settings.data_dir)
    return settings


def progress() -> Progress:
    """Bars on the error stream, gone when the work is done."""
    what = (SpinnerColumn(), TextColumn("{task.description}"))
    how_far = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*what, *how_far, console=errors, transient=True)


def teller(bars: Progress, what: str) -> Callable[[str, int, int], None]:
    """A bar, as a function of stage, steps done and steps in all."""
    task = bars.add_task(what)
    return lambda stage, done, total: bars.update(task, description=stage, completed=done, total=total)


def ingest_shown(bars: Progress) -> tuple[Callable[[Any], None], Callable[[str, str], None]]:
    """``announce`` and ``listener`` of an ingest: every run is named, its steps move a bar."""
    task = bars.add_task("looking at landing", total=None)

    def announce(planned: Any) -> None:
        days = f" {planned.first} to {planned.last}" if planned.first else ""
        errors.print(f"[bold]{planned.job}[/]{days}: {len(planned.assets)} tables, {planned.why}")
        bars.update(task, description=planned.job, completed=0, total=len(planned.assets))

    def listen(what: str, text: str) -> None:
        if what == "STEP_START":
            bars.update(task, description=text)
        elif what == "MESSAGE":
            errors.print(f"[yellow]{escape(harmless(text))}[/]")
        else:
            bars.advance(task)

    return announce, listen


def rows_as_text(title: str, names: Sequence[str], rows: Sequence[Sequence[object]], output: Format) -> str:
    """Rows as a table (every cell harmless, whatever it holds), CSV, or a JSON list of objects."""
    if output == Format.json:
        records = [dict(zip(names, row, strict=True)) for row in rows]
        return json.dumps(records, default=str, ensure_ascii=True, indent=1)
    if output == Format.csv:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([no_formula(harmless(cell)) for cell in row] for row in rows)
        return out.getvalue().rstrip("\n")
    shown = Table(title=Text(title), title_justify="left", header_style="bold")
    for name in names:
        numbers = all(isinstance(row[names.index(name)], int) for row in rows)
        shown.add_column(Text(name), overflow="fold", justify="right" if rows and numbers else "left")
    for row in rows:
        shown.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else harmless(cell)) for cell in row))
    with console.capture() as captured:
        console.print(shown)
    return captured.get().rstrip("\n")
