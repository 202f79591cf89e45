"""The one factory of table assets: compute, stage, validate, publish, check.

``@table(CONTRACT)`` turns a function from Ibis tables to an Ibis table into a Dagster asset whose name, columns,
freshness and blocking check come from the contract. A table that breaks its contract, or any other blocking check, is
not published: the last good partition stays readable and the run fails with the reason in its event log.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import dagster as dg
import ibis

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.days import days_definition, every_day
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.gone import Gone
from trasos_assets.lake.metadata import definition_metadata
from trasos_assets.lake.portions import Weigh, near, portions_of
from trasos_assets.lake.store import LakeStore, Staged
from trasos_assets.settings import get_settings

CONTRACT_CHECK = "keeps_contract"
WEEKLY = {"trasos/cadence": "weekly"}
SCHEDULED = {"trasos/cadence": "scheduled"}
_AROUND = ("store", "days", "instance")
PROMISE = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))
ANY_TABLE = dg.PythonObjectDagsterType(ibis.Table, name="IbisTable")
WARN = dg.AssetCheckSeverity.WARN
SHOWN = 5


@dataclass(frozen=True)
class TableCheck:
    """A check that runs in the table's own step, over what the run is about to publish.

    ``find`` is called with the staged table and those of the asset's inputs that it names (and the lake, if it names
    ``store``, and the run's days, if it names ``days``), and returns the rows that speak against the check; none means
    passed.
    """

    name: str
    find: Callable[..., ibis.Table]
    description: str
    blocking: bool = False
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR


@dataclass(frozen=True)
class TableFunction:
    """What computes a table, and what checks it: for whoever asks which columns are read by whom."""

    compute: Callable[..., ibis.Table]
    checks: tuple[TableCheck, ...]


FUNCTIONS: dict[str, TableFunction] = {}
"""Of every table whose definition was loaded, by name."""


def refresh_condition() -> dg.AutomationCondition:
    """When an unpartitioned table refreshes by itself: after an upstream update that passed its blocking checks.

    ``eager()`` without its latest-window and missing-partition parts, which never hold on data of past days.
    """
    return (
        dg.AutomationCondition.eager()
        .without(dg.AutomationCondition.in_latest_time_window())
        .without(~dg.AutomationCondition.any_deps_missing())
        & dg.AutomationCondition.all_deps_blocking_checks_passed()
    )


def freshness_policy(contract: Contract) -> dg.FreshnessPolicy | None:
    """The contract's promise as Dagster watches it."""
    return None if contract.freshness is None else dg.FreshnessPolicy.time_window(fail_window=contract.freshness)


def table(
    contract: Contract,
    *,
    mappings: Mapping[str, dg.PartitionMapping] | None = None,
    deps: Sequence[str] = (),
    checks: Sequence[TableCheck] = (),
    tags: Mapping[str, str] | None = None,
    parameters: Sequence[str] = (),
    kinds: Sequence[str] = (),
    weigh: Weigh | None = None,
    slim: int = 1,
) -> Callable[[Callable[..., ibis.Table]], dg.AssetsDefinition]:
    """Build the asset of a contract from a function of its inputs.

    Args:
        contract: what the table promises; its name is the asset's.
        mappings: input name to partition mapping, where a day needs other days of its input.
        deps: upstream assets that the function does not take as tables.
        checks: further checks of the table.
        parameters: settings that decide what the table holds; they are part of its code version.
        tags: further tags; ``WEEKLY`` and ``SCHEDULED`` take the table out of the daily refresh.
        kinds: further kinds shown in the graph.
        weigh: rows that each of some days takes to make; by default the most that one of its inputs has of the day.
        slim: how many times ``portion_rows`` of the settings the table makes at once: 1, or more for a table of few
            columns that reads many days around its own.

    The function's parameters are tables of the same names; a parameter ``store`` gets the lake, ``days`` the days of
    the run (None for unpartitioned tables), ``instance`` the Dagster instance.
    """
    at_its_own_pace = "trasos/cadence" in (tags or {})

    def decorate(function: Callable[..., ibis.Table]) -> dg.AssetsDefinition:
        accepted = list(inspect.signature(function).parameters)
        inputs = [name for name in accepted if name not in _AROUND]
        FUNCTIONS[contract.name] = TableFunction(function, tuple(checks))
        specs = [
            dg.AssetCheckSpec(
                CONTRACT_CHECK,
                asset=contract.name,
                blocking=True,
                description=f"Columns, types, nulls, unique {', '.join(contract.primary_key)}"
                + "".join(f"; {rule.name}" for rule in contract.rules),
            ),
            *(
                dg.AssetCheckSpec(
                    check.name, asset=contract.name, blocking=check.blocking, description=check.description
                )
                for check in checks
            ),
        ]

        @dg.asset(
            name=contract.name,
            ins={
                name: dg.AssetIn(key=name, partition_mapping=(mappings or {}).get(name), dagster_type=ANY_TABLE)
                for name in inputs
            },
            deps=list(deps),
            description=contract.description,
            metadata=definition_metadata(contract),
            partitions_def=days_definition() if contract.partitioned else None,
            backfill_policy=dg.BackfillPolicy.single_run() if contract.partitioned else None,
            check_specs=specs,
            output_required=False,
            io_manager_key="lake_io",
            code_version=_code_version(contract, function, parameters),
            freshness_policy=freshness_policy(contract),
            automation_condition=None if contract.partitioned or at_its_own_pace else refresh_condition(),
            kinds={*contract.kinds, *kinds},
            tags=dict(tags or {}),
        )
        def compute(context: dg.AssetExecutionContext, lake: Lake, **tables: ibis.Table) -> Iterator[Any]:
            store = lake.store
            days = run_days(context) if contract.partitioned else None
            with store.writing(contract.name, on_wait=context.log.warning):
                store.sweep(contract)
                portions = portions_of(store, days, tables, weigh=weigh, limit=lake.settings.portion_rows * slim)
                staged = store.begin(contract, days)
                try:
                    for portion in portions:
                        around = dict(zip(_AROUND, (store, portion, context.instance), strict=True))
                        extra = {name: around[name] for name in around if name in accepted}
                        around_them = tables if len(portions) == 1 else near(tables, portion, mappings or {})
                        store.add(staged, function(**around_them, **extra), portion)
                    outcomes = [_contract_check(store, staged, portions), *_own_checks(store, staged, checks, tables)]
                    blocked = [o for o in outcomes if not o.passed and _is_blocking(o, checks)]
                    if blocked:
                        yield from outcomes
                        return
                    if days is not None:
                        # The book is written before anything is removed: what it does not name was there to be read.
                        Gone.of(store, dedup_days=lake.settings.dedup_days).refuse(contract.name, days)
                    yield dg.Output(staged)
                    yield from outcomes
                finally:
                    store.discard(staged)

        return compute

    return decorate


def _code_version(contract: Contract, function: Callable[..., object], parameters: Sequence[str]) -> str:
    settings = get_settings()
    values = repr([(name, getattr(settings, name)) for name in sorted(parameters)])
    return f"{contract.digest()}-{source_digest(function)}-{hashlib.sha256(values.encode()).hexdigest()[:8]}"


def run_days(context: dg.AssetExecutionContext) -> list[date]:
    """The days that the run is to write, as dates."""
    keys = context.partition_keys
    return every_day(date.fromisoformat(keys[0]), date.fromisoformat(keys[-1]))


def _is_blocking(outcome: dg.AssetCheckResult, checks: Sequence[TableCheck]) -> bool:
    return outcome.check_name == CONTRACT_CHECK or any(c.blocking for c in checks if c.name == outcome.check_name)


def _contract_check(store: LakeStore, staged: Staged, portions: Sequence[Sequence[date] | None]) -> dg.AssetCheckResult:
    from trasos_assets.contracts.schema import violations

    found = (violations(staged.contract, store.staged_table(staged, portion)) for portion in portions)
    broken = {violation.message: violation for of_portion in found for violation in of_portion}.values()
    metadata: dict[str, Any] = {"rows": staged.rows, "contract": f"{staged.contract.name} v{staged.contract.version}"}
    if broken:
        metadata["broken"] = dg.MetadataValue.md("\n".join(f"- {violation.message}" for violation in broken))
        metadata["fix"] = (
            f"nothing was published, the last good data stays; mend the source or code of {staged.contract.name}, "
            f"or agree on a new contract with its consumers (trasos_assets/contracts/{staged.contract.owner}.py)"
        )
    return dg.AssetCheckResult(
        asset_key=staged.contract.name,
        check_name=CONTRACT_CHECK,
        passed=not broken,
        description="; ".join(violation.message for violation in broken)[:2000] or None,
        metadata=metadata,
    )


def _own_checks(
    store: LakeStore, staged: Staged, checks: Sequence[TableCheck], tables: Mapping[str, ibis.Table]
) -> Iterator[dg.AssetCheckResult]:
    contract = staged.contract
    for check in checks:
        wanted = list(inspect.signature(check.find).parameters)[1:]
        around = {"store": store, "days": list(staged.days or ())}
        given = {name: around[name] if name in around else tables[name] for name in wanted}
        found = check.find(store.staged_table(staged), **given)
        count = int(found.count().to_pyarrow().as_py())
        metadata: dict[str, Any] = {"rows_against": count}
        if count:
            shown = [name for name in found.columns if name not in contract.pii and not name.endswith("_id")]
            if shown:
                rows = found.select(shown).limit(SHOWN).to_pyarrow().to_pylist()
                metadata["examples"] = dg.MetadataValue.json([{k: str(v) for k, v in row.items()} for row in rows])
            if DAY in found.columns:
                by_day = found.group_by(DAY).agg(rows=found.count()).order_by(DAY).limit(100).to_pyarrow().to_pylist()
                metadata["rows_against_by_day"] = dg.MetadataValue.json({str(row[DAY]): row["rows"] for row in by_day})
        yield dg.AssetCheckResult(
            asset_key=contract.name,
            check_name=check.name,
            passed=count == 0,
            severity=check.severity,
            description=None if count == 0 else f"{count} rows speak against: {check.description}",
            metadata=metadata,
        )
