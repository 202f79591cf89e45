"""Ibis tables in and out of the lake."""

from datetime import date

import dagster as dg
import ibis

from trasos_assets.contracts import CONTRACTS
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.metadata import written_metadata
from trasos_assets.lake.store import Staged


class LakeIOManager(dg.ConfigurableIOManager):
    """Publishes what the table factory staged and reads tables as Ibis expressions.

    A day-partitioned input of a day-partitioned table is read over the days that its partition mapping names, any
    other input whole. What is not there reads as empty.
    """

    lake: dg.ResourceDependency[Lake]

    def handle_output(self, context: dg.OutputContext, obj: Staged) -> None:
        """Publish what was staged and validated, and say what it holds."""
        store = self.lake.store
        metadata = written_metadata(store, obj)
        store.publish(obj)
        context.add_output_metadata(metadata)

    def load_input(self, context: dg.InputContext) -> ibis.Table:
        """The upstream table, over the days that this step needs."""
        contract = CONTRACTS[context.asset_key.path[-1]]
        store = self.lake.store
        reader = CONTRACTS.get(context.step_context.op_def.name)
        if not contract.partitioned or reader is None or not reader.partitioned:
            return store.read(contract)
        keys = context.asset_partition_keys
        if not keys:
            return store.table_of(contract, [])
        return store.read(contract, first=date.fromisoformat(min(keys)), last=date.fromisoformat(max(keys)))
