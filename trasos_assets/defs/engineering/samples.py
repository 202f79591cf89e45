"""Samples of the lake for data scientists."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from trasos_assets.contracts import CONTRACTS
from trasos_assets.defs.operations.plan import OWN_SCHEDULE, WEEKLY_TAG
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake

FAITHFUL = "differs_by_chance_only"
PROMISED = timedelta(days=9)


def _taken(lake: Lake, log: Any):
    from trasos_assets.samples.folder import take_sample

    settings = lake.settings
    return take_sample(lake.store, settings, settings.samples_dir, on_wait=log.warning)


@dg.asset(
    deps=list(CONTRACTS),
    description="A share of all people with everything about them, personal data masked: Parquet, a DuckDB file and a "
    "report on how faithful it is. It is put in place only if every reference holds and no personal value shows.",
    kinds={"duckdb", "parquet", "html"},
    code_version=source_digest(_taken),
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=PROMISED),
    tags={WEEKLY_TAG[0]: OWN_SCHEDULE},
    check_specs=[
        dg.AssetCheckSpec(
            FAITHFUL,
            asset="samples",
            description="Mix of events, funnel and popularity of items differ from the whole by no more than chance.",
        )
    ],
)
def samples(context: dg.AssetExecutionContext, lake: Lake) -> Iterator[Any]:
    """Take the sample and swap it in whole."""
    from trasos_assets.samples.page import PAGE

    taken = _taken(lake, context.log)
    found = taken.fidelity
    yield dg.Output(
        None,
        metadata={
            "path": dg.MetadataValue.path(str(taken.path)),
            "report": dg.MetadataValue.url((taken.path / PAGE).as_uri()),
            "share": found.share,
            "people": found.people.count_sample if found.people else 0,
            "rows": taken.rows,
        },
    )
    unlike = found.beyond_noise()
    yield dg.AssetCheckResult(
        check_name=FAITHFUL,
        passed=not unlike,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"beyond chance: {', '.join(unlike)}" if unlike else None,
        metadata={"beyond_chance": ", ".join(unlike) or "nothing"},
    )
