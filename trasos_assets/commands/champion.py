"""``trasos champion``: which model serves, which did, and back to one of them."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer
from rich.markup import escape

from trasos_assets.commands.terminal import (
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

app = typer.Typer(no_args_is_help=True, help="The model that serves: show it, its history, go back to another.")
_Format = Annotated[Format, typer.Option("--format", help="table, csv or json.")]
_HISTORY = ("sequence", "as_of", "action", "model", "model_version", "reason")


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@app.command()
def show() -> None:
    """Show what serves, and how the last candidate stood by every criterion of the definition of done."""
    settings = settings_of_a_store()
    from trasos_assets.contracts.models import DEFINITION_OF_DONE
    from trasos_assets.defs.operations.championship import history_of, stored_versions
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.recommender import champions
    from trasos_assets.reports.model_card import FOLDER

    store = open_lake(settings)
    history = history_of(store)
    now = champions.serving(history)
    if now is None:
        raise fail("nothing serves yet; run `trasos run` first")
    version = now["model_version"]
    _say(f"{now['model']} {version} serves, {now['action']} with the data of {now['as_of']}: {harmless(now['reason'])}")
    signed = champions.signatures(history, version)
    _say(f"signed off by {harmless(', '.join(signed))}" if signed else "signed off by nobody yet")
    kept = champions.restorable(history, stored_versions(store), settings.keep_models)
    others = [each for each in kept if each != version]
    _say(f"kept for a rollback: {', '.join(others) or 'none'}")
    card = settings.reports_dir / FOLDER / f"{version}.html"
    if card.exists():
        _say(f"model card {card}")
    verdicts = store.read(DEFINITION_OF_DONE).to_pyarrow().to_pylist()
    if verdicts:
        asked = verdicts[0]
        title = f"The last candidate: {asked['model']} {asked['model_version']}"
        names = ("criterion", "owner", "verdict", "reason")
        words = {(True, True): "holds", (False, True): "fails", (True, False): "holds, unjudged"}
        verdict = [words.get((row["passed"], row["judged"]), "too little data") for row in verdicts]
        cells = [
            (row["criterion"], row["owner"], word, row["reason"]) for row, word in zip(verdicts, verdict, strict=True)
        ]
        typer.echo(rows_as_text(title, names, cells, Format.table))


@app.command()
def history(output: _Format = Format.table) -> None:
    """List every promotion, rollback and sign-off, in order."""
    settings = settings_of_a_store()
    from trasos_assets.defs.operations.championship import history_of
    from trasos_assets.lake.engine import open_lake

    rows = history_of(open_lake(settings))
    if not rows and output == Format.table:
        raise fail("nothing has served yet; run `trasos run` first")
    typer.echo(rows_as_text("What served", _HISTORY, [[row[name] for name in _HISTORY] for row in rows], output))


@app.command()
def rollback(
    version: Annotated[str, typer.Argument(help="The version that is to serve again; `history` lists them.")],
    reason: Annotated[str | None, typer.Option(help="Why; it is kept in the history.")] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh/--no-refresh", help="Make recommendations and what follows from them anew.")
    ] = True,
) -> None:
    """Let an earlier version serve again. The one that goes does not come back; one that beats this may follow."""
    warnings.filterwarnings("ignore", module="dagster.*")
    settings = settings_of_a_store()
    from trasos_assets.recommender.champions import ChampionError

    with errors.status("loading definitions"):
        from trasos_assets.defs.operations.instance import open_instance

        instance = open_instance(settings)
        from trasos_assets.definitions import assembled
        from trasos_assets.defs.operations import championship
        from trasos_assets.defs.science.model_card import cards_again
        from trasos_assets.lake.engine import open_lake

        definitions, store = assembled(), open_lake(settings)
    try:
        rows = championship.roll_back(store, version, keep=settings.keep_models, reason=reason)
    except ChampionError as error:
        raise fail(str(error)) from error
    championship.report_change(instance, definitions.resolve_asset_graph(), rows)
    last = rows[-1]
    _say(f"{last['model']} {last['model_version']} serves: {harmless(last['reason'])}")
    cards_again(rows, settings.reports_dir)
    if not refresh:
        _say("recommendations are still the other model's: `trasos run` makes them anew")
        return
    with progress() as bars:
        announce, listen = ingest_shown(bars)
        outcome = championship.refresh(definitions, instance, store, settings, announce=announce, listener=listen)
    for text in outcome.errors:
        errors.print(f"[red]failed[/] {escape(harmless(text, lines=True))}", soft_wrap=True)
    if not outcome.success:
        raise typer.Exit(1)


@app.command()
def sign(by: Annotated[str, typer.Option("--by", help="Who answers for it.")]) -> None:
    """Sign off the model that serves; the name goes into the history and onto the model's card."""
    settings = settings_of_a_store()
    from trasos_assets.defs.operations import championship
    from trasos_assets.defs.science.model_card import cards_again
    from trasos_assets.lake.engine import open_lake
    from trasos_assets.recommender.champions import ChampionError

    try:
        rows = championship.sign(open_lake(settings), by)
    except ChampionError as error:
        raise fail(str(error)) from error
    last = rows[-1]
    _say(f"{last['model']} {last['model_version']} is signed off by {harmless(last['reason'])}")
    cards_again(rows, settings.reports_dir)
