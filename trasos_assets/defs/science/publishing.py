"""The shop's lists, handed to its backend."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg

from trasos_assets.contracts.engineering import WATERMARK
from trasos_assets.contracts.serving import CONTRACTS as SERVED
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.table import PROMISE, refresh_condition

WHOLE = "published_version_is_whole"


def _publish(lake: Lake, log: Any, through: date):
    from trasos_assets.publishing.publish import publish

    return publish(lake.store, lake.settings, through, on_wait=log.warning)


@dg.asset(
    deps=[*(contract.name for contract in SERVED), WATERMARK.name],
    description="recommendations, similar_items, also_bought and substitutes as one version: Parquet and JSON lines "
    "with their schema below published/, and PostgreSQL where TRASOS_PUBLISH_POSTGRES is set. Swapped in whole.",
    kinds={"parquet", "json", "postgres"},
    code_version=source_digest(_publish),
    freshness_policy=PROMISE,
    automation_condition=refresh_condition(),
    check_specs=[
        dg.AssetCheckSpec(
            WHOLE,
            asset="published_recommendations",
            description="Every file of the current version is what its manifest says.",
        )
    ],
)
def published_recommendations(context: dg.AssetExecutionContext, lake: Lake) -> Iterator[Any]:
    """Publish the lists as they stand; nothing if they are published already."""
    from trasos_assets.publishing.files import verify

    reached = lake.store.read(WATERMARK).to_pyarrow().to_pylist()
    if not reached:
        yield dg.Output(None, metadata={"version": "none: nothing has landed yet"})
        yield dg.AssetCheckResult(check_name=WHOLE, passed=True, metadata={"version": "none"})
        return
    done = _publish(lake, context.log, reached[0]["data_through"])
    metadata: dict[str, Any] = {
        "version": done.files.version,
        "path": dg.MetadataValue.path(str(done.files.folder)),
        "written": done.files.changed,
        "rows": dg.MetadataValue.json(done.files.rows),
    }
    if done.postgres is not None:
        metadata["postgres"] = "swapped in" if done.postgres.changed else "showed it already"
    yield dg.Output(None, metadata=metadata)
    broken = verify(done.files)
    yield dg.AssetCheckResult(
        check_name=WHOLE,
        passed=not broken,
        description="; ".join(broken) or None,
        metadata={"version": done.files.version, "broken": "; ".join(broken) or "nothing"},
    )
