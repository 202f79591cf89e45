"""Carry out an ingest in this process: the three stages in order, each recorded as runs of the instance."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from trasos_assets.contracts.engineering import LANDING_LEDGER
from trasos_assets.defs.operations import plan
from trasos_assets.defs.operations.instance import PROCESS_TAG, close_dead_runs
from trasos_assets.defs.operations.progress import Listener, listening
from trasos_assets.defs.operations.releases import report_releases
from trasos_assets.erasure.gate import gate
from trasos_assets.erasure.journal import refuse_unfinished
from trasos_assets.lake.days import every_day, first_day
from trasos_assets.lake.format import open_format
from trasos_assets.lake.store import LakeError, LakeStore
from trasos_assets.landing.counts import imbalance_in_words
from trasos_assets.landing.ledger import Stock, read_ledger, rows_in_trouble, settle, take_stock
from trasos_assets.landing.releases import pending_releases, settle_releases
from trasos_assets.settings import Settings

Announce = Callable[[plan.PlannedRun], None]


@dataclass
class IngestOutcome:
    """What an ingest did."""

    stock: Stock
    runs: list[tuple[plan.PlannedRun, bool]] = field(default_factory=list)
    checks: list[dg.AssetCheckEvaluation] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def success(self) -> bool:
        """Whether every run succeeded."""
        return all(ok for _, ok in self.runs)


@contextmanager
def _quiet() -> Iterator[None]:
    import logging

    before = logging.getLogger("dagster").level
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logging.getLogger("dagster").setLevel(before)


def _first_cause(event: dg.DagsterEvent) -> str:
    error: Any = getattr(event.event_specific_data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    return "" if error is None else error.message.strip()


def execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    planned: plan.PlannedRun,
    outcome: IngestOutcome,
    *,
    listener: Listener | None = None,
) -> str | None:
    """Run one planned run in this process; returns its run id if it succeeded."""
    job = definitions.resolve_job_def(planned.job)
    with listening(listener), _quiet():
        result = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in planned.assets],
            tags=planned.tags | {"trasos/why": planned.why, PROCESS_TAG: str(os.getpid())},
            run_config={"loggers": {"progress": {}}},
            raise_on_error=False,
        )
    outcome.checks += result.get_asset_check_evaluations()
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            outcome.errors.append(f"{event.step_key}: {_first_cause(event)}")
    outcome.runs.append((planned, result.success))
    return result.run_id if result.success else None


def ingest(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: LakeStore,
    settings: Settings,
    *,
    rebuild: tuple[date, date] | None = None,
    tables: bool = True,
    announce: Announce | None = None,
    listener: Listener | None = None,
) -> IngestOutcome:
    """Bring everything up to what landed.

    Args:
        definitions: the code location.
        instance: where runs are recorded.
        store: the lake.
        settings: this installation's settings.
        rebuild: first and last day to be built again whatever happened; all tables after them too.
        tables: whether the tables without partitions follow those by day.
        announce: called with every run before it starts.
        listener: called with the steps of the runs.

    A stage that fails ends the ingest: its files stay pending and the next ingest takes them again. One ingest goes at
    a time: a second waits, and the listener is told for whom.

    Raises:
        LandingError: there is no landing folder.
        LakeError: the lake was made with other settings, or an erasure was interrupted.
    """

    def tell(sentence: str) -> None:
        if listener is not None:
            listener("MESSAGE", sentence)

    # A second ingest would plan the same work, and its checks would meet tables that the first is about to replace.
    with store.writing("ingest", on_wait=tell):
        close_dead_runs(instance)
        return _ingest(
            definitions, instance, store, settings, rebuild=rebuild, tables=tables, announce=announce, listener=listener
        )


def _ingest(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: LakeStore,
    settings: Settings,
    *,
    rebuild: tuple[date, date] | None,
    tables: bool,
    announce: Announce | None,
    listener: Listener | None,
) -> IngestOutcome:
    first = first_day(settings)
    refuse_unfinished(store)
    stock = take_stock(store, settings, first_day=first, admit=gate(store, settings))
    outcome = IngestOutcome(stock)
    days = plan.lake_days(store, stock.pending, first)
    if not days:
        return outcome
    open_format(settings.lake_dir, start_date=first, timezone=settings.timezone)
    kept = plan.kept_days(store, settings, days)
    if rebuild and not set(every_day(*rebuild)) & set(kept):
        without = f" (retention removed the lines of those before {kept[0]})" if kept and kept[0] != days[0] else ""
        raise LakeError(
            f"no day that can be built lies from {rebuild[0]} to {rebuild[1]}; the lake covers {days[0]} to {days[-1]}"
            + without
        )
    graph = definitions.resolve_asset_graph()
    report_ledger(instance, stock, settings)

    def carry_out(runs: Sequence[plan.PlannedRun]) -> str | None:
        run_id = "none"
        for planned in runs:
            if announce is not None:
                announce(planned)
            done = execute(definitions, instance, planned, outcome, listener=listener)
            if done is None:
                return None
            run_id = done
        return run_id

    releases = pending_releases(store)
    report_releases(instance, store, changed=bool(releases))
    if carry_out(plan.raw_runs(store, settings, stock.pending, days, releases=releases)) is None:
        return outcome
    unfinished = plan.unfinished_days(graph, instance)
    standing = plan.standings(instance, plan.BY_DAY_NAMES)
    by_day = plan.day_runs(
        store,
        settings,
        stock.pending,
        days,
        releases=releases,
        outdated=plan.outdated_by_code(graph, standing, plan.BY_DAY_NAMES),
        rebuild=unfinished | set(every_day(*rebuild) if rebuild else ()),
    )
    run_id = carry_out(by_day)
    if run_id is None:
        return outcome
    if stock.pending or by_day:
        settle(store, [row["delivery"] for row in stock.pending], run_id=run_id, days=plan.days_of(by_day))
        report_balance(instance, store)
    if releases:
        settle_releases(store, {release.release_id for release in releases})
        report_releases(instance, store, changed=True)
    if not tables:
        return outcome
    names = [key.path[-1] for key in graph.materializable_asset_keys]
    last = plan.table_run(
        graph,
        store,
        plan.standings(instance, names),
        present=plan.products_present(settings),
        unchecked=plan.unchecked(graph, instance),
        retrain=True,
        everything=rebuild is not None,
    )
    if last is not None:
        carry_out([last])
    return outcome


def report_ledger(instance: dg.DagsterInstance, stock: Stock, settings: Settings) -> None:
    """Record that the ledger was looked through, so that the UI shows it and its freshness."""
    trouble = rows_in_trouble(stock.troubled, settings)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(LANDING_LEDGER.name),
            check_name="no_file_in_trouble",
            passed=not trouble,
            metadata={"files": len(trouble)},
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(row["reason"] for row in trouble)[:2000] or None,
        )
    )
    if stock.pending or stock.troubled:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                LANDING_LEDGER.name,
                metadata={
                    "files": stock.files,
                    "new_files": len(stock.pending),
                    "files_in_trouble": len(stock.troubled),
                },
            )
        )


def report_balance(instance: dg.DagsterInstance, store: LakeStore) -> None:
    """Record whether the rows of every taken file add up, after the ledger was settled."""
    unbalanced = imbalance_in_words(read_ledger(store))
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(LANDING_LEDGER.name),
            check_name="every_file_adds_up",
            passed=unbalanced is None,
            metadata={},
            severity=dg.AssetCheckSeverity.ERROR,
            description=unbalanced,
        )
    )
