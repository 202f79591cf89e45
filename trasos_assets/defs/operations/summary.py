"""What a person wants to know after a run: tables, checks, how far the data reach, the model, the headline numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.analytics import ACQUISITION_COST, DAILY_KPIS, TIME_TO_RETURN
from trasos_assets.contracts.engineering import WATERMARK
from trasos_assets.contracts.models import CHAMPION, DEFINITION_OF_DONE, LEADERBOARD, MEAN_FOLD
from trasos_assets.defs.operations.health import CheckStanding, latest_checks
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import Row
from trasos_assets.printable import harmless
from trasos_assets.recommender import champions
from trasos_assets.settings import Settings

TEAMS = ("engineering", "science", "analytics")
QUALITY_K = 10


def print_rows(console: Console, store: LakeStore) -> None:
    """Rows per table by team."""
    shown = Table(title="Rows per table", title_justify="left", header_style="bold")
    for team in TEAMS:
        shown.add_column(team)
        shown.add_column("rows", justify="right")
    columns = [
        [
            (c.name, f"{store.row_counts(c):,}" if store.exists(c) else "–")
            for c in CONTRACTS.values()
            if c.owner == team
        ]
        for team in TEAMS
    ]
    for number in range(max(len(column) for column in columns)):
        cells = [column[number] if number < len(column) else ("", "") for column in columns]
        shown.add_row(*(text for cell in cells for text in cell))
    console.print(shown)


def print_checks(console: Console, checks: list[CheckStanding]) -> None:
    """Checks passed and failed by owner, and what every failed one says."""
    passed = Counter(check.owner for check in checks if check.passed)
    warned = Counter(check.owner for check in checks if not check.passed and check.severity == "WARN")
    failed = Counter(check.owner for check in checks if not check.passed and check.severity != "WARN")
    shown = Table(title="Checks by owner", title_justify="left", header_style="bold")
    for heading in ("owner", "passed", "warnings", "failed"):
        shown.add_column(heading, justify="left" if heading == "owner" else "right")
    for team in TEAMS:
        shown.add_row(team, str(passed[team]), str(warned[team]), str(failed[team]))
    console.print(shown)
    for check in checks:
        if not check.passed:
            colour = "yellow" if check.severity == "WARN" else "red"
            text = escape(harmless(check.description or "see the run in the UI", lines=True))
            console.print(f"  [{colour}]{check.severity}[/] {check.owner}: {check.asset}.{check.check}: {text}")


def _rows(store: LakeStore, contract: Any) -> list[Row]:
    return store.read(contract).to_pyarrow().to_pylist()


def print_quality(console: Console, store: LakeStore) -> None:
    """NDCG of the model beside its baselines."""
    board = store.read(LEADERBOARD)
    wanted = {"metric": "ndcg", "k": QUALITY_K, "segment": "all", "fold": MEAN_FOLD}
    scores = board.filter([board[column] == value for column, value in wanted.items()]).to_pyarrow().to_pylist()
    scores = [row for row in scores if row["value"] is not None]
    if not scores:
        console.print("Model quality: not enough days with purchases to judge it yet.")
        return
    first = scores[0]
    title = f"NDCG@{QUALITY_K}, mean over folds; the latest trained through {first['train_through']}, "
    title += f"judged through {first['test_through']}"
    shown = Table(title=title, title_justify="left", header_style="bold")
    shown.add_column("model")
    targets = sorted({row["target"] for row in scores})
    for target in targets:
        people = next(row["people"] for row in scores if row["target"] == target)
        shown.add_column(f"{target} ({people:,} people)", justify="right")
    for model in sorted({row["model"] for row in scores}):
        values = {row["target"]: row["value"] for row in scores if row["model"] == model}
        shown.add_row(model, *(f"{values[target]:.4f}" if target in values else "–" for target in targets))
    console.print(shown)


def print_champion(console: Console, store: LakeStore) -> None:
    """What serves, and why the last candidate does not where it was refused."""
    history, asked = _rows(store, CHAMPION), _rows(store, DEFINITION_OF_DONE)
    now = champions.serving(history)
    if now is None:
        return
    console.print(f"Serving    [bold]{now['model']}[/] {now['model_version']} since the data of {now['as_of']}")
    if asked and asked[0]["model_version"] not in {row["model_version"] for row in history}:
        against = "; ".join(f"{row['criterion']}: {row['reason']}" for row in asked if not row["passed"])
        text = f"Refused    {asked[0]['model']} {asked[0]['model_version']}: {against}"
        console.print(harmless(text), markup=False, highlight=False, soft_wrap=True)


def _shown_number(value: Any, unit: str, currency: str) -> str:
    if value is None:
        return "–"
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:,.2f} {currency}" if unit == "money" else f"{value:,.0f}"


def print_headlines(console: Console, store: LakeStore, settings: Settings) -> None:
    """The headline KPIs beside what they were before; blank where a window is not whole."""
    from trasos_assets.metrics.headlines import headlines

    tables = (store.read(contract) for contract in (DAILY_KPIS, ACQUISITION_COST, TIME_TO_RETURN))
    shown = Table(title="Headline KPIs", title_justify="left", header_style="bold")
    for heading in ("", "now", "before", "what it counts"):
        shown.add_column(heading, justify="right" if heading in ("now", "before") else "left", overflow="fold")
    for line in headlines(*tables):
        now = _shown_number(line.value, line.unit, settings.currency)
        shown.add_row(line.name, now, _shown_number(line.previous, line.unit, settings.currency), line.definition)
    console.print(shown)


def print_summary(
    console: Console, instance: dg.DagsterInstance, graph: AssetGraph, store: LakeStore, settings: Settings
) -> None:
    """All of it, and where to look next."""
    print_rows(console, store)
    print_checks(console, latest_checks(instance, graph))
    print_quality(console, store)
    print_champion(console, store)
    print_headlines(console, store, settings)
    reached = _rows(store, WATERMARK)
    if reached:
        console.print(f"Data through [bold]{reached[0]['data_through']}[/] (since {reached[0]['first_day']})")
    console.print(f"Dashboard  {settings.dashboard_page}", soft_wrap=True)
    console.print(f'Warehouse  {settings.warehouse_path}   (trasos query "SELECT …")', soft_wrap=True)
    console.print("Lineage    make ui, then http://127.0.0.1:3000")
