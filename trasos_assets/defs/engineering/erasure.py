"""The books of erasure: who must not come back, and what the forgotten had added to the KPIs."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import dagster as dg

from trasos_assets.contracts.erasure import ERASED_TOTALS, SUPPRESSIONS
from trasos_assets.contracts.model import Contract
from trasos_assets.erasure.journal import unfinished
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.metadata import definition_metadata


def _kept_by_forgetting(contract: Contract) -> dg.AssetSpec:
    return dg.AssetSpec(
        contract.name,
        description=contract.description + " Kept by `trasos forget`.",
        metadata=definition_metadata(contract),
        kinds=set(contract.kinds),
    )


suppressions = _kept_by_forgetting(SUPPRESSIONS)
erased_totals = _kept_by_forgetting(ERASED_TOTALS)


@dg.asset_check(
    asset=SUPPRESSIONS.name,
    description="Every erasure that was begun was carried out to its proof.",
)
def no_erasure_waits(lake: Lake) -> dg.AssetCheckResult:
    """Erasures that were interrupted: until they are resumed, nothing lands."""
    waiting = [journal.erasure for journal in unfinished(lake.store)]
    said = f"interrupted: {', '.join(waiting)}; `trasos forget --resume` goes on" if waiting else None
    return dg.AssetCheckResult(passed=not waiting, description=said, metadata={"erasures": len(waiting)})


@dg.asset_check(
    asset=ERASED_TOTALS.name,
    description="What the forgotten had added is one sum over all of them: no amount is of one erasure alone.",
)
def totals_are_of_all_erasures(lake: Lake) -> dg.AssetCheckResult:
    """Amounts that still bear the name of their erasure although it is not under way any more."""
    under_way = [journal.erasure for journal in unfinished(lake.store)]
    totals = lake.store.read(ERASED_TOTALS)
    alone = totals.filter((totals.erasure != "") & totals.erasure.notin(under_way or [""]))
    count = int(alone.count().to_pyarrow().as_py())
    said = f"{count} amounts are of one erasure alone; `trasos forget --resume` folds them" if count else None
    return dg.AssetCheckResult(passed=not count, description=said, metadata={"amounts": count})
