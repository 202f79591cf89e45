"""``trasos forget``: a person leaves the lake, and does not come back."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from trasos_assets.commands.terminal import (
    console,
    errors,
    fail,
    ingest_shown,
    progress,
    settings_or_fail,
    teller,
)


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _names(persons: list[str] | None, file: Path | None) -> list[str]:
    names = list(persons or ())
    if file is not None:
        try:
            names += [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise fail(f"{file} cannot be read ({type(error).__name__}); write one id a line, as UTF-8") from error
    return list(dict.fromkeys(names))


def forget(
    persons: Annotated[
        list[str] | None, typer.Argument(metavar="PERSON...", help="Customer, visitor or person ids.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="More of them, one a line.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only say what would go.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the proof. Name nobody in it.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Carry out what was interrupted.")] = False,
) -> None:
    """Remove people from everything below the data folder; exit code 1 if anything of them is found afterwards."""
    warnings.filterwarnings("ignore", module="dagster.*")
    names = _names(persons, file)
    if not names and not resume:
        raise fail("name a person: a customer id, a visitor id or a person id")
    settings = settings_or_fail()
    if not settings.lake_dir.exists():
        raise fail(f"there is no lake in {settings.lake_dir}; run `trasos run` first")
    if reason and any(name in reason for name in names):
        raise fail("the reason names the person, and it is kept: leave the id out of it")
    with errors.status("opening the lake"):
        from trasos_assets.lake.engine import open_lake

        store = open_lake(settings)
    if yes or resume:
        _carry_out(settings, store, names if yes else [], reason)
    else:
        _forecast(settings, store, names)


def _forecast(settings: Any, store: Any, names: list[str]) -> None:
    from trasos_assets.erasure.foreseen import foresee
    from trasos_assets.lake.store import LakeError

    try:
        with progress() as bars:
            found = foresee(store, settings, names, teller(bars, "looking for them"))
    except LakeError as error:
        raise fail(str(error)) from error
    people = found.people
    if found.forgotten:
        _say(f"forgotten before: {len(found.forgotten)}")
    if found.unknown:
        _say(f"nobody in this lake: {', '.join(found.unknown)}")
    if people.persons:
        _say(
            f"{people.persons} people: {len(people.customers)} customer ids, {len(people.visitors)} visitor ids, "
            f"{len(people.leading)} ids of their sessions, orders and requests"
        )
        if people.shared:
            _say(f"{len(people.shared)} visitors are used by others too: only the people's own events on them go")
        for name, rows in sorted(found.rows.items()):
            _say(f"  {name}: {rows:,} rows")
        _say(f"  landing: {sum(found.files.values()):,} lines in {len(found.files):,} files")
        for name, why in found.unreadable.items():
            _say(f"  {name} cannot be read and would stay: {why}")
        _say("KPIs keep what they had added; models and recommendations are made again without them")
        _say("nothing was changed; add --yes to do it")
    if found.unknown:
        raise typer.Exit(1)


def _carry_out(settings: Any, store: Any, names: list[str], reason: str | None) -> None:
    with errors.status("loading definitions"):
        from trasos_assets.defs.operations.instance import open_instance

        instance = open_instance(settings)
        from trasos_assets.definitions import assembled
        from trasos_assets.defs.operations.forgetting import forget as carry_out
        from trasos_assets.lake.store import LakeError
        from trasos_assets.landing.bundles import ArchiveError
        from trasos_assets.landing.ledger import LandingError

        definitions = assembled()
    with progress() as bars:
        announce, listener = ingest_shown(bars)
        try:
            proofs = carry_out(
                definitions,
                instance,
                store,
                settings,
                names,
                reason=reason,
                announce=announce,
                listener=listener,
                progress=teller(bars, "forgetting"),
            )
        except (LakeError, LandingError, ArchiveError) as error:
            raise fail(str(error)) from error
    if not proofs:
        _say("no erasure was interrupted")
    for proof in proofs:
        for sentence in proof.sentences():
            _say(sentence)
        _say(f"proof: {settings.reports_dir / 'erasure' / proof.erasure}.json and .html")
    if not all(proof.success for proof in proofs):
        raise fail("ids were found after the erasure; the proof names the files. Remove or deliver them again")
