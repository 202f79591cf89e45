"""Carry out an erasure: everything in an order in which it can be killed at any moment and go on.

First who must not come back, and what the people had added to the KPIs; then landing with its ledger, the raw tables,
and days that cannot be built again; then the ordinary way builds every table of the days concerned and all tables
without partitions. Databases and logs that hold an id come after that, the final scan last.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.erasure import ERASED_TOTALS, SUPPRESSIONS
from trasos_assets.defs.operations import ingest, plan
from trasos_assets.defs.operations.ingest import Announce, IngestOutcome, report_balance
from trasos_assets.defs.operations.instance import UNDER_WAY, close_dead_runs
from trasos_assets.defs.operations.progress import Listener
from trasos_assets.erasure import landed, scan, tables, totals
from trasos_assets.erasure.gate import erasure_key
from trasos_assets.erasure.journal import Journal, journal_file, unfinished
from trasos_assets.erasure.keys import ErasureKey
from trasos_assets.erasure.patterns import Finder
from trasos_assets.erasure.people import ErasureError, find_people
from trasos_assets.erasure.report import HASH_DIGITS, Proof, write_proof
from trasos_assets.erasure.scrub import scrub
from trasos_assets.erasure.suppression import PERSON, is_suppressed, suppress
from trasos_assets.lake.days import first_day
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.ledger import Stock, read_ledger, settle
from trasos_assets.places import is_remote
from trasos_assets.publishing.files import unpublish
from trasos_assets.publishing.publish import LOCK
from trasos_assets.settings import Settings

Progress = Callable[[str, int, int], None]


def begin(store: LakeStore, settings: Settings, names: Sequence[str], reason: str | None) -> Journal:
    """Find the people and open the journal of their erasure.

    Raises:
        ErasureError: a name is nobody's, or cannot be told from somebody else's.
    """
    people, unknown = find_people(store, names)
    if missing := sorted(set(unknown) - is_suppressed(store, lambda: erasure_key(settings), unknown)):
        raise ErasureError(f"nobody in this lake is called {', '.join(missing)}; nothing was changed")
    erasure = uuid.uuid4().hex[:12]
    journal = Journal(
        file=journal_file(store, erasure),
        erasure=erasure,
        people=people,
        names=tuple(names),
        reason=reason,
        started_at=datetime.now(UTC).replace(tzinfo=None),
        events=tables.events_of_stays(store, people),
    )
    journal.save()
    return journal


def forget(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: LakeStore,
    settings: Settings,
    names: Sequence[str],
    *,
    reason: str | None = None,
    announce: Announce | None = None,
    listener: Listener | None = None,
    progress: Progress | None = None,
) -> list[Proof]:
    """Forget some people, after every erasure that was interrupted before.

    Args:
        definitions: the code location.
        instance: where runs are recorded.
        store: the lake.
        settings: this installation's settings.
        names: customer, visitor or person ids; none to carry out only what was interrupted.
        reason: why, for the table of those who must not come back and the proof.
        announce: called with every run before it starts.
        listener: called with the steps of the runs.
        progress: called with what is being done, and how far it is.

    Returns:
        The proof of each erasure; one that found something is no success, and its journal is gone all the same.

    Raises:
        ErasureError: a name is nobody's or cannot be parted, a file cannot be rewritten, or a run failed. What was
            begun goes on with the next call.
    """

    def tell(sentence: str) -> None:
        if listener is not None:
            listener("MESSAGE", sentence)

    proofs = []
    with store.writing("ingest", on_wait=tell):
        close_dead_runs(instance)
        if instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)):
            raise ErasureError("a run is under way; wait for its end, or stop `trasos ui`")
        key = erasure_key(settings, make=True)
        assert key is not None
        around = _Around(definitions, instance, store, settings, key, announce, listener, progress)
        for journal in unfinished(store):
            proofs.append(around.carry_out(journal))
        if names:
            proofs.append(around.carry_out(begin(store, settings, names, reason)))
    return proofs


@dataclass(frozen=True)
class _Around:
    """Everything that the steps of an erasure share."""

    definitions: dg.Definitions
    instance: dg.DagsterInstance
    store: LakeStore
    settings: Settings
    key: ErasureKey
    announce: Announce | None
    listener: Listener | None
    progress: Progress | None

    def carry_out(self, journal: Journal) -> Proof:
        """One erasure, from wherever it stands to its proof."""
        store, settings, people = self.store, self.settings, journal.people
        unreadable: dict[str, str] = {}
        if people.persons:
            suppress(
                store,
                self.key,
                people,
                events=journal.events,
                erasure=journal.erasure,
                reason=journal.reason,
                at=journal.started_at,
            )
            if not journal.counted:
                totals.keep_totals(store, settings, people, journal.erasure)
                journal.counted = True
                journal.save()
            self._find_days(journal)
            unreadable = landed.rewrite_landing(store, settings, journal, self.progress).unreadable
            self._remove_rows(journal)
            if not journal.built:
                self._build_again(journal)
                journal.built = True
                journal.save()
            totals.fold_totals(store)
        return self._prove(journal, unreadable)

    def _find_days(self, journal: Journal) -> None:
        if journal.days is not None:
            return
        lines = landed.lines_by_delivery(self.store, journal.people)
        journal.touched = tuple(sorted({delivery for of_dataset in lines.values() for delivery in of_dataset}))
        journal.days = tables.affected_by_erasure(
            self.store,
            journal.people,
            journal.touched,
            dedup_days=self.settings.dedup_days,
            late_days=self.settings.late_days,
        )
        journal.removed = tables.rows_of(self.store, journal.people)
        journal.save()

    def _remove_rows(self, journal: Journal) -> None:
        store = self.store
        known = {row["delivery"] for row in read_ledger(store)}
        renamed = {old: new["delivery"] for old, new in journal.renamed.items() if old not in known}
        touched: list[tuple[str, date]] = []

        # Told before a day is published: a run that is repeated without need does no harm, one that is left out does.
        def note(table: str, day: date, rows: int) -> None:
            touched.append((table, day))
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(table, partition=day.isoformat(), metadata={"rows_erased": rows})
            )

        tables.remove_from_raw(store, journal.people, renamed, removed=note, progress=self.progress)
        tables.rename_in_books(store, renamed)
        tables.recount_ledger(store, {renamed.get(delivery, delivery) for delivery in journal.touched})
        kept = set(plan.kept_days(store, self.settings, self._lake_days()))
        records = {day for name, c in plan.RAW.items() if name != "events" for day in store.days(c)}
        built_again = (kept | records) & set(journal.days or ())
        tables.remove_from_days(store, journal.people, built_again, removed=note)

    def _lake_days(self) -> list[date]:
        return plan.lake_days(self.store, [], first_day(self.settings))

    def _build_again(self, journal: Journal) -> None:
        """Stages two and three of an ingest over what the erasure changed, without looking at landing."""
        store, settings, instance = self.store, self.settings, self.instance
        graph = self.definitions.resolve_asset_graph()
        for contract in (SUPPRESSIONS, ERASED_TOTALS):
            instance.report_runless_asset_event(dg.AssetMaterialization(contract.name))
        outcome = IngestOutcome(Stock((), (), 0))
        standing = plan.standings(instance, plan.BY_DAY_NAMES)
        by_day = plan.day_runs(
            store,
            settings,
            [],
            self._lake_days(),
            outdated=plan.outdated_by_code(graph, standing, plan.BY_DAY_NAMES),
            rebuild={*plan.unfinished_days(graph, instance), *(journal.days or ())},
        )
        run_id = self._run(by_day, outcome)
        settle(store, [], run_id=run_id, days={*plan.days_of(by_day), *(journal.days or ())})
        report_balance(instance, store)
        # Every version that was handed to the shop's backend holds lists of people; the run makes one without them.
        # One that is at work may hold them yet, and ends first.
        with store.writing(LOCK):
            unpublish(settings.published_dir)
        names = [key.path[-1] for key in graph.materializable_asset_keys]
        last = plan.table_run(
            graph,
            store,
            plan.standings(instance, names),
            present=plan.products_present(settings),
            unchecked=plan.unchecked(graph, instance),
            retrain=True,
        )
        self._run([last] if last else [], outcome)
        if _clear_samples(settings):
            self._run([plan.PlannedRun("take_samples", ("samples",), "people were forgotten")], outcome)

    def _run(self, runs: Sequence[plan.PlannedRun], outcome: IngestOutcome) -> str:
        run_id = "none"
        for planned in runs:
            if self.announce is not None:
                self.announce(planned)
            done = ingest.execute(self.definitions, self.instance, planned, outcome, listener=self.listener)
            if done is None:
                raise ErasureError(
                    "; ".join(outcome.errors)
                    + ". The erasure is begun but not done: mend this, then `trasos forget --resume`"
                )
            run_id = done
        return run_id

    def _prove(self, journal: Journal, unreadable: dict[str, str]) -> Proof:
        store, settings, people = self.store, self.settings, journal.people
        for contract in CONTRACTS.values():
            store.sweep(contract)
        names = () if people.persons else journal.names
        finder = Finder((*people.ids, *people.leading, *names))
        cleaned = self._scrub(finder)
        renamed = journal.renamed
        roots = [settings.data_dir] + ([settings.local_dir] if settings.local_dir != settings.data_dir else [])
        landing = settings.landing_dir
        if settings.landing_url is not None:
            roots.append(landing)
        proof = Proof(
            erasure=journal.erasure,
            started_at=journal.started_at,
            ended_at=datetime.now(UTC).replace(tzinfo=None),
            reason=journal.reason,
            persons=sorted(self.key.hash(f"{PERSON}:{name}")[:HASH_DIGITS] for name in journal.names),
            ids=len(people.ids),
            shared_visitors=len(people.shared),
            leading_ids=len(people.leading),
            tables=journal.removed,
            landed_files={new["path"]: new["lines"] for new in renamed.values()},
            unreadable_files=unreadable,
            days_built_again=len(journal.days or ()),
            scrubbed=cleaned,
            kept_totals=int(store.read(ERASED_TOTALS).count().to_pyarrow().as_py()),
            scan=scan.scan(roots, finder, self.progress, skip=[journal.file]),
        )
        proof.ended_at = datetime.now(UTC).replace(tzinfo=None)
        write_proof(proof, settings.reports_dir)
        journal.close()
        return proof

    def _scrub(self, finder: Finder) -> dict[str, int]:
        """Everything on this machine that holds an id and is neither a table nor a delivery."""
        settings = self.settings
        found: list[Path] = []
        roots = {settings.local_dir, settings.data_dir} - {root for root in (settings.data_dir,) if is_remote(root)}
        for root in sorted(roots):
            for path in sorted(root.rglob("*")):
                if path.is_file() and not path.is_relative_to(self.store.storage.local / ".erasure"):
                    found.append(path)
        holding = [path for path in found if _may_be_scrubbed(path, settings) and scan.ids_in(path, finder)]
        return scrub(holding, finder)


def _may_be_scrubbed(path: Path, settings: Settings) -> bool:
    """Neither a table of the lake nor a delivery in landing."""
    if path.suffix == ".parquet":
        return False
    landing: Any = settings.landing_dir
    if is_remote(landing) or not path.is_relative_to(landing):
        return True
    return len(path.relative_to(landing).parts) == 1


def _clear_samples(settings: Settings) -> bool:
    """Remove the sample of the lake, which may show what the people did; whether there was one."""
    folder = settings.samples_dir
    if is_remote(folder):
        remote: Any = folder
        there = bool(remote.fs.exists(remote.path))
        if there:
            remote.fs.rm(remote.path, recursive=True)
        return there
    there = folder.is_dir() and any(folder.iterdir())
    shutil.rmtree(folder, ignore_errors=True)
    return there
