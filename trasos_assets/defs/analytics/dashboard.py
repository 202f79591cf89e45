"""The KPI dashboard: one page for everyone who asks how the shop is doing."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.defs.operations.health import latest_checks
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.table import ANY_TABLE, PROMISE, refresh_condition
from trasos_assets.reports.source import TABLES

COMPLETE = "page_stands_alone"
MAX_BYTES = 300_000


def _write(tables: dict[str, ibis.Table], lake: Lake, checks: list[tuple[str, str, str, bool, str]]):
    from trasos_assets.metrics.headlines import headlines
    from trasos_assets.reports.dashboard import write_dashboard
    from trasos_assets.reports.facts import DashboardFacts

    settings, store = lake.settings, lake.store
    reached = tables["watermark"].to_pyarrow().to_pylist()
    facts = DashboardFacts(
        data_through=reached[0]["data_through"] if reached else None,
        currency=settings.currency,
        headlines=headlines(tables["daily_kpis"], tables["acquisition_cost"], tables["time_to_return"]),
        checks=checks,
        row_counts=[(c.owner, c.name, store.row_counts(c)) for c in CONTRACTS.values() if not c.volatile],
    )
    arrow = {name: tables[name].to_pyarrow() for name in TABLES}
    return write_dashboard(arrow, settings.dashboard_page.parent, facts=facts)


@dg.asset(
    ins={name: dg.AssetIn(key=name, dagster_type=ANY_TABLE, input_manager_key="lake_io") for name in TABLES},
    description="The business's questions, each with its answer, as one offline page.",
    kinds={"plotly", "html"},
    code_version=source_digest(_write),
    freshness_policy=PROMISE,
    automation_condition=refresh_condition(),
    check_specs=[
        dg.AssetCheckSpec(
            COMPLETE, asset="kpi_dashboard", description="The page is small and asks nothing of the network."
        )
    ],
)
def kpi_dashboard(context: dg.AssetExecutionContext, lake: Lake, **tables: ibis.Table) -> Iterator[Any]:
    """Write the page from the published tables."""
    from trasos_assets.definitions import assembled

    # The step's own context knows the assets of its run only, and the page speaks of every check.
    graph = assembled().resolve_asset_graph()
    # Its own check is left out: what it says of the last page would make this page differ from it.
    standing = [c for c in latest_checks(context.instance, graph) if c.asset != "kpi_dashboard"]
    page = _write(tables, lake, [(c.owner, c.asset, c.check, c.passed, c.severity) for c in standing])
    html = page.read_text()
    yield dg.Output(
        None,
        metadata={
            "page": dg.MetadataValue.url(page.as_uri()),
            "path": dg.MetadataValue.path(str(page)),
            "bytes": len(html.encode()),
        },
    )
    outside = [part for part in ('src="http', 'href="http', "@import", "url(http") if part in html]
    yield dg.AssetCheckResult(
        check_name=COMPLETE,
        passed=not outside and len(html.encode()) <= MAX_BYTES,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "bytes": len(html.encode()),
            "bytes_allowed": MAX_BYTES,
            "points_outside": ", ".join(outside) or "no",
        },
    )
