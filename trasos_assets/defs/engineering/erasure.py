"""The books of erasure: who must not come back, and what the forgotten had added to the KPIs."""

import dagster as dg

from trasos_assets.contracts.erasure import ERASED_TOTALS, SUPPRESSIONS
from trasos_assets.lake.metadata import definition_metadata

suppressions, erased_totals = (
    dg.AssetSpec(
        contract.name,
        description=contract.description + " Kept by `trasos forget`.",
        metadata=definition_metadata(contract),
        kinds=set(contract.kinds),
    )
    for contract in (SUPPRESSIONS, ERASED_TOTALS)
)
