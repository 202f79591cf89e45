"""``trasos search``: parameters of models, searched by hand, and what was found."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from trasos_assets.commands.terminal import (
    Format,
    console,
    errors,
    fail,
    progress,
    rows_as_text,
    settings_of_a_store,
)
from trasos_assets.printable import harmless

if TYPE_CHECKING:
    import pyarrow as pa

    from trasos_assets.lake.store import LakeStore
    from trasos_assets.settings import Settings

COLUMNS = ("model", "target", "best", "unsearched", "people", "complete", "pruned", "failed", "as_of", "parameters")


def search(
    model: Annotated[
        list[str] | None, typer.Option("--model", help="A model to search; again for more. Default: all of them.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Parameter sets for each model. Default: TRASOS_SEARCH_TRIALS.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Search nothing; say what was found.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How --show prints: table, csv or json.")] = Format.table,
) -> None:
    """Search the parameters of models on days before those that the leaderboard tests on.

    Every trial is kept as soon as it is done: a search that is interrupted goes on where it was.
    """
    warnings.filterwarnings("ignore", module="dagster.*")
    settings = settings_of_a_store()
    if not settings.lake_dir.exists():
        raise fail(f"there is no lake in {settings.lake_dir} yet; run `trasos run` first")
    asked = {"search_models": ",".join(model) if model else None, "search_trials": trials}
    settings = settings.model_copy(update={name: value for name, value in asked.items() if value is not None})
    with errors.status("opening the lake"):
        from trasos_assets.defs.science.search import held_trials
        from trasos_assets.lake.engine import open_lake

        store = open_lake(settings)
    if not show:
        _search(settings, store)
    _show(held_trials(store), output)


def _search(settings: Settings, store: LakeStore) -> None:
    from trasos_assets.contracts.models import TRIALS
    from trasos_assets.contracts.reference import ITEM_CATALOGUE
    from trasos_assets.contracts.science import TRAINING_INTERACTIONS
    from trasos_assets.defs.operations.instance import open_instance
    from trasos_assets.defs.science.search import report_search, run_search, write_page
    from trasos_assets.recommender.search import SearchError, Step

    before = store.row_counts(TRIALS)
    try:
        with store.writing(TRIALS.name, on_wait=_wait), progress() as bars:
            tasks: dict[str, Any] = {}

            def watch(step: Step) -> None:
                if step.model not in tasks:
                    tasks[step.model] = bars.add_task(step.model)
                best = "" if step.best is None else f" best {step.best:.4f}"
                bars.update(
                    tasks[step.model],
                    description=f"{step.model}{best}",
                    completed=min(step.done, step.trials),
                    total=step.trials,
                )

            found = run_search(store.read(TRAINING_INTERACTIONS), store.read(ITEM_CATALOGUE), store, settings, watch)
    except SearchError as error:
        raise fail(str(error)) from error
    except KeyboardInterrupt as error:
        kept = store.row_counts(TRIALS) - before
        raise fail(f"interrupted; {kept} trials are kept, and the same command goes on from them") from error
    page = write_page(found, settings)
    report_search(open_instance(settings), found, made=found.num_rows - before)
    errors.print(f"{found.num_rows - before} trials made; see {escape(harmless(page))}", soft_wrap=True)


def _wait(text: str) -> None:
    errors.print(f"[yellow]{escape(harmless(text))}[/]")


def _rounded(value: float | None, output: Format) -> float | str | None:
    return value if value is None or output == Format.json else f"{value:.4f}"


def _show(trials: pa.Table, output: Format) -> None:
    from trasos_assets.recommender.search.overview import in_short, overview

    rows: list[list[object]] = [
        [
            one.model,
            one.target,
            _rounded(one.best.value if one.best else None, output),
            _rounded(one.default, output),
            one.people,
            *(one.count(state) for state in ("complete", "pruned", "failed")),
            one.as_of,
            (one.best.parameters if output == Format.json else in_short(one.best.parameters)) if one.best else None,
        ]
        for one in overview(trials)
    ]
    if not rows and output == Format.table:
        console.print("nothing was searched yet; run `trasos search`")
        return
    cells = [["–" if cell is None else cell for cell in row] for row in rows] if output == Format.table else rows
    typer.echo(rows_as_text("Best parameters of every model, NDCG@10", COLUMNS, cells, output))
