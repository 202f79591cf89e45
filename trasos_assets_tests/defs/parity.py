"""Two lakes beside each other: where the same table of the two differs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets_tests.conftest import new_backend

RELATIVE = 1e-9
"""How far two sums of doubles may be apart; all else is the same to the last digit."""

MODELS = ("als_model", "candidate", "leaderboard", "model_comparisons", "champion", "recommendations")
"""Tables that a fitted model decides: two libraries fit it, and none of their digits need agree."""


def compared(models: bool = False) -> list[Contract]:
    """Contracts whose tables must agree; with ``models`` those of fitted models instead."""
    return [c for c in CONTRACTS.values() if not c.volatile and (c.name in MODELS) == models]


def rows(lake: Path, contract: Contract) -> pa.Table:
    """All rows of a table, in the order of its key."""
    key = dict.fromkeys((*((DAY,) if contract.partitioned else ()), *contract.primary_key))
    table = LakeStore(lake, new_backend()).read(contract).to_pyarrow()
    return table.sort_by([(name, "ascending") for name in key])


def differences(one: Path, other: Path, contracts: Iterable[Contract]) -> Iterator[str]:
    """What differs between the tables of two lakes, in words; nothing if nothing does."""
    for contract in contracts:
        stores = [LakeStore(lake, new_backend()) for lake in (one, other)]
        files = [
            {file.relative_to(store.folder(contract)).as_posix() for file in store.files(contract)} for store in stores
        ]
        if files[0] != files[1]:
            yield f"{contract.name}: partitions {sorted(files[0] ^ files[1])} are in one lake only"
            continue
        yield from (f"{contract.name}: {what}" for what in _of_files(stores[1], contract))
        yield from (
            f"{contract.name}: {what}" for what in _of_rows(contract, *(rows(s.root, contract) for s in stores))
        )


def _of_files(store: LakeStore, contract: Contract) -> Iterator[str]:
    """Columns of files that are not exactly the contract's, and files that are not in the order of its key."""
    in_file = {name: type_ for name, type_ in contract.types.items() if not (contract.partitioned and name == DAY)}
    expected = ibis.schema(in_file).to_pyarrow()
    key = [(name, "ascending") for name in contract.primary_key if name in in_file]
    for file in store.files(contract):
        table = pq.ParquetFile(file).read()
        if table.schema.names != expected.names:
            yield f"{file} has the columns {table.schema.names}"
            return
        for field in expected:
            found = table.schema.field(field.name).type
            if found != field.type and not (pa.types.is_list(found) and found.value_type == field.type.value_type):
                yield f"{file}: {field.name} is {found}, not {field.type}"
        keys = table.select([name for name, _ in key])
        if key and not keys.equals(keys.sort_by(key)):
            yield f"{file} is not sorted by {[name for name, _ in key]}"


def _of_rows(contract: Contract, one: pa.Table, other: pa.Table) -> Iterator[str]:
    if one.num_rows != other.num_rows:
        yield f"{one.num_rows} rows and {other.num_rows}"
        return
    for name, type_ in contract.types.items():
        pairs = list(zip(one[name].to_pylist(), other[name].to_pylist(), strict=True))
        exact = not type_.startswith("float")
        apart = [pair for pair in pairs if not _same(*pair, exact=exact)]
        if apart:
            yield f"{name} differs in {len(apart)} of {len(pairs)} rows, e.g. {apart[0]!r}"


def _same(one: object, other: object, *, exact: bool) -> bool:
    if exact or one is None or other is None:
        return one == other
    return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=0.0)  # type: ignore[arg-type] - floats here
