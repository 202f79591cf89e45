"""Changes of what serves that a person asks for: a rollback, and a sign-off; and the refresh that follows the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import ibis
import pyarrow as pa
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from trasos_assets.contracts.models import CHAMPION, CHAMPION_MODEL
from trasos_assets.defs.operations import plan
from trasos_assets.defs.operations.ingest import IngestOutcome, execute
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import Stock
from trasos_assets.recommender import champions
from trasos_assets.recommender.champions import Row
from trasos_assets.settings import Settings

Change = Callable[[list[Row]], list[Row]]


def history_of(store: LakeStore) -> list[Row]:
    """The rows of champion, in order."""
    return store.read(CHAMPION).order_by("sequence").to_pyarrow().to_pylist()


def stored_versions(store: LakeStore) -> set[str]:
    """Versions of which champion_model holds rows."""
    return champions.stored_versions(store.read(CHAMPION_MODEL))


def roll_back(store: LakeStore, version: str, *, keep: int, reason: str | None = None) -> list[Row]:
    """Let a version serve again; the history with the new row.

    Raises:
        ChampionError: it cannot; the message lists versions that can.
    """
    stored = stored_versions(store)
    return _change(store, lambda history: champions.rolled_back(history, version, stored, keep=keep, reason=reason))


def sign(store: LakeStore, by: str) -> list[Row]:
    """Record who signed off what serves; the history with the new row.

    Raises:
        ChampionError: nothing serves, or there is no name.
    """
    return _change(store, lambda history: champions.signed(history, by))


def _change(store: LakeStore, change: Change) -> list[Row]:
    # The asset champion holds the same lock while it reads the history and appends to it.
    with store.writing(CHAMPION.name):
        rows = change(history_of(store))
        schema = ibis.schema(CHAMPION.types).to_pyarrow()
        store.write(CHAMPION, ibis.memtable(pa.Table.from_pylist(rows, schema=schema)))
    return rows


def report_change(instance: dg.DagsterInstance, graph: AssetGraph, history: list[Row]) -> None:
    """Record the change, so that the UI shows it and whatever reads champion counts as behind."""
    last = history[-1]
    version: Any = graph.get(dg.AssetKey(CHAMPION.name)).code_version
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            CHAMPION.name,
            metadata={name: last[name] for name in ("action", "model", "model_version", "reason")},
            tags={"dagster/code_version": version},
        )
    )


def refresh(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: LakeStore,
    settings: Settings,
    *,
    announce: Callable[[plan.PlannedRun], None] | None = None,
    listener: Callable[[str, str], None] | None = None,
) -> IngestOutcome:
    """Build again what is made of champion, as the third stage of an ingest would; nothing is trained.

    It waits for an ingest that is under way.
    """
    graph = definitions.resolve_asset_graph()
    outcome = IngestOutcome(Stock((), (), 0))
    with store.writing("ingest"):
        names = [key.path[-1] for key in graph.materializable_asset_keys]
        planned = plan.table_run(
            graph,
            store,
            plan.standings(instance, names),
            present=plan.products_present(settings),
            retrain=False,
        )
        after = dg.AssetSelection.assets(CHAMPION.name).downstream().resolve(graph)
        wanted = tuple(name for name in (planned.assets if planned else ()) if dg.AssetKey(name) in after)
        if wanted:
            run = plan.PlannedRun("refresh_tables", wanted, "another model serves")
            if announce is not None:
                announce(run)
            execute(definitions, instance, run, outcome, listener=listener)
    return outcome
