"""A sample as a folder: Parquet as in the lake, one DuckDB file, a README and a report on how faithful it is."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.samples.closure import broken_promises
from trasos_assets.samples.database import DATABASE, build_database, opened
from trasos_assets.samples.fidelity import Fidelity, SampledTable, fidelity
from trasos_assets.samples.keys import SampleKey, key_of
from trasos_assets.samples.masking import masked
from trasos_assets.samples.page import write_report
from trasos_assets.samples.place import require_place, swapped_in
from trasos_assets.samples.readme import README, readme
from trasos_assets.samples.rules import SampleError, chosen_tables, in_order, rule_of
from trasos_assets.samples.selection import select_rows
from trasos_assets.settings import Settings

Tell = Callable[[str, int, int], None]
SMALLEST_SHARE = 1e-9


@dataclass(frozen=True)
class Taken:
    """A sample that stands in its place."""

    path: Path
    fidelity: Fidelity

    @property
    def rows(self) -> int:
        """Rows over all tables."""
        return sum(table.rows_sample for table in self.fidelity.tables)


def _silent(stage: str, done: int, total: int) -> None:
    return None


def take_sample(
    store: LakeStore,
    settings: Settings,
    out: Path,
    *,
    share: float | None = None,
    tables: Iterable[str] | None = None,
    seed: int | None = None,
    tell: Tell = _silent,
    on_wait: object = None,
) -> Taken:
    """Take a sample of the lake and put it into a folder, which is swapped in whole.

    Args:
        store: the lake, on any engine and storage.
        settings: for the share (``sample_share``), the key, the seed, and rows to be made at once.
        out: a folder of this machine; a sample that is there is replaced.
        share: share of people, above 0 and at most 1.
        tables: names of the tables to write; all by default. Whatever is asked for, a table's rows are the same.
        seed: another one gives other people.
        tell: called with a table, and how many of how many are done.
        on_wait: called with a sentence if another process writes the same sample.

    Raises:
        SampleError: a share, table or folder that cannot be, no lake yet, or a sample that breaks its promises: that is
            not put in place.
    """
    share = settings.sample_share if share is None else share
    seed = settings.seed if seed is None else seed
    if not SMALLEST_SHARE <= share <= 1:  # also what is no number
        raise SampleError(f"the share {share} is not above 0 and at most 1; 0.01 is one person in a hundred")
    names = chosen_tables(tables)
    place = require_place(out, apart_from=(settings.landing_dir, settings.lake_dir))
    if not any(store.exists(contract) for contract in CONTRACTS.values()):
        raise SampleError(f"there is no lake in {settings.lake_dir} yet; run `trasos run` first")
    key = key_of(settings.sample_key.get_secret_value() if settings.sample_key else None, settings.sample_key_file)
    lock = f"sample-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
    with store.writing(lock, on_wait=on_wait), swapped_in(place) as fresh:
        sample = LakeStore(fresh, store.engine)
        written = in_order(names)
        steps = len(written) + 3
        for number, contract in enumerate(written):
            tell(contract.name, number, steps)
            _write(contract, store, sample, key, share, seed, settings.portion_rows)
        tell("checking the sample", steps - 3, steps)
        build_database(sample, written, fresh / DATABASE)
        there = [contract.name for contract in written]
        # In the database: the engine may be a cluster, for which many small questions are dear.
        with opened(fresh / DATABASE, written) as tables_there:
            broken = broken_promises(store.read, tables_there, there)
        if broken:
            raise SampleError(f"the sample is not put in place: {'; '.join(broken)}")
        tell("comparing it with the whole", steps - 2, steps)
        found = fidelity(
            store.read,
            sample.read,
            share=share,
            seed=seed,
            max_hours=settings.session_max_hours,
            sampled=there,
            tables=[_described(CONTRACTS[name], store, sample) for name in names],
        )
        tell("writing the report", steps - 1, steps)
        if len(written) > len(names):
            _leave_out([contract for contract in written if contract.name not in names], sample)
            (fresh / DATABASE).unlink()
            build_database(sample, [CONTRACTS[name] for name in names], fresh / DATABASE)
        (fresh / README).write_text(readme(found), encoding="utf-8")
        write_report(found, fresh)
    return Taken(place, found)


def _write(
    contract: Contract, store: LakeStore, sample: LakeStore, key: SampleKey, share: float, seed: int, limit: int
) -> None:
    """Sample, mask and write one table; one that the lake does not have is left out."""
    if not store.exists(contract):
        return
    sampled = partial(key.sampled, share=share, seed=seed)
    days = store.days(contract) if contract.partitioned else None
    staged = sample.begin(contract, days)
    for portion in _portions(store, contract, share, limit) if days is not None else [None]:
        first, last = (portion[0], portion[-1]) if portion else (None, None)
        rows = select_rows(contract, store.read, sample.read, sampled, first=first, last=last)
        sample.add(staged, masked(contract, rows, key, store.read, first=first, last=last), portion)
    sample.publish(staged)


def _leave_out(contracts: Iterable[Contract], sample: LakeStore) -> None:
    """Remove tables that were made for the sake of others, and the folders of teams that have no other."""
    for contract in contracts:
        folder = sample.folder(contract)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _portions(store: LakeStore, contract: Contract, share: float, limit: int) -> list[list[date]]:
    """The table's days, so many at once that about ``limit`` rows are sampled."""
    portions: list[list[date]] = [[]]
    held = 0.0
    for day, rows in store.rows_by_day(contract, store.days(contract)).items():
        if portions[-1] and held + rows * share > limit:
            portions.append([])
            held = 0.0
        portions[-1].append(day)
        held += rows * share
    return portions


def _described(contract: Contract, store: LakeStore, sample: LakeStore) -> SampledTable:
    return SampledTable(
        contract.owner, contract.name, rule_of(contract).value, store.row_counts(contract), sample.row_counts(contract)
    )


def tables_of(text: str | None) -> Sequence[str] | None:
    """Names out of a comma separated list; None for none given."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
