"""Access for BI tools and data scientists."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb

from trasos_assets.contracts import CONTRACTS
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.table import PROMISE, refresh_condition
from trasos_assets.lake.warehouse import build_warehouse, reach, share

SERVED = "every_table_is_served"


@dg.asset(
    deps=list(CONTRACTS),
    description="trasos.duckdb: the whole lake as views (or tables), one schema a team, with the contracts' comments.",
    kinds={"duckdb"},
    code_version=source_digest(build_warehouse),
    freshness_policy=PROMISE,
    automation_condition=refresh_condition(),
    check_specs=[
        dg.AssetCheckSpec(SERVED, asset="warehouse", description="Every table of every contract can be read.")
    ],
)
def warehouse(lake: Lake) -> Iterator[Any]:
    """Build the warehouse beside the old one, swap it in, and read from every table of it."""
    settings = lake.settings
    built = build_warehouse(lake.store, CONTRACTS.values(), settings.warehouse_path, kind=settings.warehouse)
    share(settings)
    yield dg.Output(
        None,
        metadata={
            "path": dg.MetadataValue.path(str(built.path)),
            "kind": settings.warehouse,
            "tables": len(built.tables),
            "without_rows": ", ".join(built.empty) or "none",
            "bytes": built.path.stat().st_size,
        },
    )
    broken = {}
    with duckdb.connect(str(built.path), read_only=True) as connection:
        reach(connection, settings.lake_dir)
        for name in (*built.tables, *built.empty):
            try:
                connection.execute(f"SELECT * FROM {name} LIMIT 0")  # noqa: S608 - names of contracts
            except duckdb.Error as error:
                broken[name] = str(error)
    yield dg.AssetCheckResult(
        check_name=SERVED, passed=not broken, description="; ".join(broken) or None, metadata={"broken": broken}
    )
