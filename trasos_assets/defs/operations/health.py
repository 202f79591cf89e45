"""How every check stands, by team: read from the event log, where failed non-blocking checks leave runs green."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.models import DEFINITION_OF_DONE
from trasos_assets.recommender.definition_of_done import OWNERS


@dataclass(frozen=True)
class CheckStanding:
    """The latest result of one check."""

    owner: str
    asset: str
    check: str
    passed: bool
    severity: str
    description: str | None


def owner_of(graph: AssetGraph, asset: str) -> str:
    """The team that owns an asset: its contract's owner, else the owner of its definition."""
    if asset in CONTRACTS:
        return CONTRACTS[asset].owner
    owners = graph.get(dg.AssetKey(asset)).owners
    return owners[0].removeprefix("team:") if owners else "nobody"


def owner_of_check(graph: AssetGraph, asset: str, check: str) -> str:
    """The team that must act when a check fails: of a criterion the one that asks for it, else the asset's owner."""
    asked_for_by = OWNERS.get(check) if asset == DEFINITION_OF_DONE.name else None
    return asked_for_by or owner_of(graph, asset)


def latest_checks(instance: dg.DagsterInstance, graph: AssetGraph) -> list[CheckStanding]:
    """The latest result of every check that ever ran, by team, asset and check."""
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
    found = []
    for key, record in records.items():
        if record.status not in (AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED):
            continue
        evaluation = record.evaluation
        asset = key.asset_key.path[-1]
        found.append(
            CheckStanding(
                owner=owner_of_check(graph, asset, key.name),
                asset=asset,
                check=key.name,
                passed=record.status == AssetCheckExecutionRecordStatus.SUCCEEDED,
                severity=evaluation.severity.value if evaluation else "ERROR",
                description=evaluation.description if evaluation else None,
            )
        )
    return sorted(found, key=lambda c: (c.owner, c.asset, c.check))
