"""The command ``trasos``: everything that a person does with the platform outside the UI."""

from __future__ import annotations

import sys
import warnings
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from trasos_assets.commands import champion, forget, publish, quarantine, sample, search, storage
from trasos_assets.commands.terminal import DAY as _DAY
from trasos_assets.commands.terminal import (
    Format,
    Plainly,
    console,
    errors,
    ingest_shown,
    place_or_fail,
    require_free_port,
    require_store,
)
from trasos_assets.commands.terminal import fail as _fail
from trasos_assets.commands.terminal import progress as _progress
from trasos_assets.commands.terminal import settings_or_fail as _settings
from trasos_assets.commands.terminal import teller as _teller
from trasos_assets.printable import harmless

_OUT = "Landing folder, or s3://bucket/prefix. Default: that of TRASOS_DATA_DIR."

app = typer.Typer(cls=Plainly, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(storage.app, name="storage")
app.add_typer(champion.app, name="champion")
app.command()(sample.sample)
app.command()(search.search)
app.command()(forget.forget)
app.command()(publish.publish)


@app.command()
def simulate(
    days: Annotated[int, typer.Option(min=1, help="Days to simulate.")] = 30,
    visitors: Annotated[int, typer.Option(min=1, help="Visitors over all days.")] = 3000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    out: Annotated[Path | None, typer.Option(parser=place_or_fail, help=_OUT)] = None,
    start: Annotated[datetime | None, typer.Option(formats=_DAY, help="First day.")] = None,
    dirt: Annotated[str, typer.Option(help="none, light or heavy: how much of the input is broken.")] = "light",
) -> None:
    """Write the landing files of a believable fashion shop, and truth.json with what is true of it."""
    from trasos_assets.landing.simulator import Dirt, SimulationConfig, simulate

    settings = _settings()
    target = out or settings.landing_dir
    require_store(target)
    extra: dict[str, Any] = {"start": start.date()} if start else {}
    try:
        config = SimulationConfig(
            days=days, visitors=visitors, seed=seed, currency=settings.currency, dirt=Dirt.preset(dirt), **extra
        )
        with _progress() as bars:
            truth = simulate(config, target, _teller(bars, "simulating"))
    except (ValueError, OSError) as error:
        raise _fail(str(error)) from error
    lines = ", ".join(f"{count:,} {name}" for name, count in truth.lines.items())
    console.print(
        f"{lines} lines landed in {target}; what is true of them is in {target / 'truth.json'}", soft_wrap=True
    )


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="online-retail or events-csv.")],
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The file or folder to import.")],
    out: Annotated[Path | None, typer.Option(parser=place_or_fail, help=_OUT)] = None,
    timezone: Annotated[str, typer.Option(help="Time zone of times that name none.")] = "UTC",
    column_map: Annotated[Path | None, typer.Option("--map", help="Column map of events-csv (YAML).")] = None,
) -> None:
    """Turn a public or a team's own data set into landing files; prints rows read, written, and rejected by reason."""
    from trasos_assets.landing.importers import ImportSourceError, import_data

    settings = _settings()
    require_store(out or settings.landing_dir)
    try:
        with _progress() as bars:
            report = import_data(
                name,
                source,
                out or settings.landing_dir,
                timezone=timezone,
                column_map=column_map,
                currency=settings.currency,
                progress=_teller(bars, "importing"),
            )
    except (ImportSourceError, ValueError, OSError) as error:
        raise _fail(str(error)) from error
    for line in report.lines():
        console.print(line, markup=False, soft_wrap=True)


@app.command()
def run(
    first: Annotated[
        datetime | None, typer.Option("--from", formats=_DAY, help="First day to build again, with --to.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="Last day to build again, with --from.")
    ] = None,
) -> None:
    """Bring every table up to what has landed, in this process, and say how things stand."""
    warnings.filterwarnings("ignore", module="dagster.*")
    if (first is None) != (last is None) or (first and last and first > last):
        raise _fail("--from and --to go together, the earlier day first")
    settings = _settings()
    require_store(settings.data_dir)
    with errors.status("loading definitions"):
        from trasos_assets.defs.operations.instance import open_instance

        instance = open_instance(settings)
        from trasos_assets.definitions import assembled
        from trasos_assets.defs.operations.ingest import ingest
        from trasos_assets.defs.operations.summary import print_summary
        from trasos_assets.lake.engine import open_lake
        from trasos_assets.lake.store import LakeError
        from trasos_assets.landing.ledger import LandingError

        definitions = assembled()
        store = open_lake(settings)
    with _progress() as bars:
        announce, listen = ingest_shown(bars)
        try:
            rebuild = (first.date(), last.date()) if first and last else None
            outcome = ingest(
                definitions, instance, store, settings, rebuild=rebuild, announce=announce, listener=listen
            )
        except (LandingError, LakeError) as error:
            raise _fail(str(error)) from error
    if not outcome.runs and not outcome.stock.pending:
        errors.print("nothing new has landed and every table is up to date")
    for row in outcome.stock.troubled:
        errors.print(f"[yellow]{row['state']}[/] {escape(harmless(row['reason']))}", soft_wrap=True)
    try:
        print_summary(console, instance, definitions.resolve_asset_graph(), store, settings)
    except LakeError as error:
        raise _fail(str(error)) from error
    for text in outcome.errors:
        errors.print(f"[red]failed[/] {escape(harmless(text, lines=True))}", soft_wrap=True)
    if not outcome.success:
        raise typer.Exit(1)


@app.command()
def ui(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback unless you say otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port.")] = 3000,
) -> None:
    """Serve the Dagster UI with its daemon: sensors and schedules run, lineage can be inspected."""
    import os

    from trasos_assets.defs.operations.instance import prepare_home

    settings = _settings()
    require_store(settings.data_dir)
    require_free_port(host, port)
    prepare_home(settings)
    os.environ.setdefault("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "300")
    workspace = Path(__file__).parent.parent / "workspace.yaml"
    dagster = Path(sys.executable).with_name("dagster")
    arguments = [str(dagster), "dev", "--workspace", str(workspace), "--host", host, "--port", str(port)]
    os.execv(arguments[0], arguments)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the warehouse: engineering.*, science.*, analytics.*.")],
    output: Annotated[Format, typer.Option("--format", help="table, csv or json.")] = Format.table,
) -> None:
    """Read the warehouse; refuses to write."""
    from trasos_assets.lake.query import QueryError, run_query
    from trasos_assets.lake.warehouse import at_hand

    settings = _settings()
    require_store(settings.data_dir)
    try:
        text = run_query(at_hand(settings), sql, output.value, lake=settings.lake_dir)
    except QueryError as error:
        raise _fail(str(error)) from error
    typer.echo(text)


@app.command()
def health() -> None:
    """How every check stands, by team; exit code 1 if a check of ERROR severity failed."""
    warnings.filterwarnings("ignore", module="dagster.*")
    from trasos_assets.defs.operations.instance import open_instance

    settings = _settings()
    require_store(settings.data_dir)
    instance = open_instance(settings)
    from trasos_assets.definitions import assembled
    from trasos_assets.defs.operations.health import latest_checks
    from trasos_assets.defs.operations.summary import print_checks

    checks = latest_checks(instance, assembled().resolve_asset_graph())
    if not checks:
        raise _fail("no check has run yet; run `trasos run` first")
    print_checks(console, checks)
    if any(not check.passed and check.severity != "WARN" for check in checks):
        raise typer.Exit(1)


@app.command()
def dashboard(
    browser: Annotated[bool, typer.Option("--open/--path", help="Open it, or print its path only.")] = True,
) -> None:
    """Open the KPI dashboard; of an object store a copy on this machine."""
    from trasos_assets.reports.dashboard import fetched

    settings = _settings()
    require_store(settings.data_dir)
    page = settings.dashboard_page
    if not page.exists():
        raise _fail(f"there is no dashboard at {page} yet; run `trasos run` first")
    typer.echo(page)
    if browser:
        typer.launch(fetched(page, settings.local_dir / "reports" / "dashboard").as_uri())


if __name__ == "__main__":
    app()
