"""``trasos sample``: a part of the lake for a scientist's own machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from trasos_assets.commands.terminal import console, errors, fail, progress, settings_of_a_store, teller
from trasos_assets.printable import harmless


def sample(
    out: Annotated[Path, typer.Option(help="Folder to write; a sample that is there is replaced.")],
    share: Annotated[
        float | None, typer.Option(help="Share of people, e.g. 0.01. Default: TRASOS_SAMPLE_SHARE.")
    ] = None,
    tables: Annotated[
        str | None, typer.Option(help="Tables to write, comma separated, e.g. orders,clean_events. Default: all.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed gives other people. Default: TRASOS_SEED.")] = None,
) -> None:
    """Take a sample of people with all that is about them, personal data masked, and say how faithful it is."""
    settings = settings_of_a_store()
    with errors.status("opening the lake"):
        from trasos_assets.lake.engine import open_lake
        from trasos_assets.lake.store import LakeError
        from trasos_assets.places import PlaceError
        from trasos_assets.samples.folder import tables_of, take_sample
        from trasos_assets.samples.page import PAGE
        from trasos_assets.samples.rules import SampleError, chosen_tables

    try:
        chosen_tables(tables_of(tables))
        if not settings.lake_dir.exists():
            raise SampleError(f"there is no lake in {settings.lake_dir} yet; run `trasos run` first")
        with progress() as bars:
            taken = take_sample(
                open_lake(settings),
                settings,
                out,
                share=share,
                tables=tables_of(tables),
                seed=seed,
                tell=teller(bars, "sampling"),
                on_wait=lambda text: errors.print(f"[yellow]{escape(harmless(text))}[/]"),
            )
    except (SampleError, LakeError, PlaceError) as error:
        raise fail(str(error)) from error
    found = taken.fidelity
    people = f"{found.people.count_sample:,} of {found.people.count_whole:,} people, " if found.people else ""
    console.print(f"{people}{taken.rows:,} rows in {len(found.tables)} tables in {taken.path}", soft_wrap=True)
    unlike = found.beyond_noise()
    verdict = f"beyond chance: {', '.join(unlike)}" if unlike else "no difference to the whole beyond chance"
    console.print(f"{verdict}; see {taken.path / PAGE}", soft_wrap=True)
