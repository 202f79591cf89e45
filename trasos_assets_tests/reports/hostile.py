"""Names that a shop's sources may carry and that a page must show, not obey."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from trasos_assets.reports import CheckState, DashboardFacts, RowCount
from trasos_assets_tests.reports.shop import EXPERIMENTS, leaderboard_rows, shop, shop_facts, table

SCRIPT = "<script>alert(1)</script>"
NAMES = (
    SCRIPT,
    "<img src=x onerror=alert(2)>",
    "\"'><svg onload=alert(3)>",
    "</script><script>alert(4)</script>",
    "<b>bold</b> &lt;i&gt; <a href='javascript:alert(5)'>link</a>",
    "=1+1",
    "{{ 7 * 7 }} {% raw %} %{x} %{customdata}",
    "قميص كتان \u202eأبيض",
    "👗🏽‍♀️ dress 👩‍👩‍👧",
    "x" * 500,
    "nul\x00 new\nline \u2028 separator",
)


def hostile_shop(days: int = 70) -> dict[str, pa.Table]:
    """`shop` with hostile channels, experiments, arms, models and products."""
    tables = shop(days)
    channels = dict(zip(("paid_search", "organic", "social", "email", "direct"), NAMES, strict=False))
    tables["conversion_funnel"] = _renamed(tables["conversion_funnel"], "value", channels)
    paid = dict(zip(("paid_search", "social", "email"), NAMES[3:], strict=False))
    tables["acquisition_cost"] = _renamed(tables["acquisition_cost"], "channel", paid)
    experiments = [{**row, "experiment": f"{row['experiment']} {SCRIPT}", "arm": row["arm"]} for row in EXPERIMENTS]
    experiments += [{**row, "experiment": name, "arm": row["arm"]} for name in NAMES for row in EXPERIMENTS[:2]]
    tables["experiment_results"] = table("experiment_results", experiments)
    models = dict(zip(("als", "popularity", "popularity_recent"), NAMES[2:], strict=False))
    tables["leaderboard"] = _renamed(table("leaderboard", leaderboard_rows()), "model", models)
    catalogue = tables["catalogue"].to_pylist()
    for row, name in zip(catalogue, NAMES, strict=False):
        row["name"] = name
    tables["catalogue"] = table("catalogue", catalogue)
    return tables


def hostile_facts() -> DashboardFacts:
    """Facts whose names are hostile too."""
    return shop_facts(
        currency=SCRIPT,
        checks=[CheckState(name, name, name, False, "ERROR") for name in NAMES],
        row_counts=[RowCount(name, name, 1) for name in NAMES],
    )


def _renamed(source: pa.Table, column: str, names: Mapping[Any, str]) -> pa.Table:
    rows: list[dict[str, Any]] = source.to_pylist()
    for row in rows:
        row[column] = names.get(row[column], row[column])
    return pa.Table.from_pylist(rows, schema=source.schema)
