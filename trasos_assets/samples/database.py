"""The sample in one DuckDB file: tables, not views, so that it may be moved and opened alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import ibis

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.parquet import duckdb_type
from trasos_assets.lake.store import LakeStore
from trasos_assets.samples.masking import masked_columns
from trasos_assets.samples.selection import Reader, reader_of
from trasos_assets.sql import literal, quoted

DATABASE = "sample.duckdb"


def build_database(sample: LakeStore, contracts: Iterable[Contract], path: Path) -> None:
    """Load every table of a sample, one schema a team, with the contracts' comments; what has no rows is there too."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.begin()  # otherwise every comment waits for the disk
        for contract in sorted(contracts, key=lambda c: (c.owner, c.name)):
            name = f"{quoted(contract.owner)}.{quoted(contract.name)}"
            columns = ", ".join(f"{quoted(c.name)} {duckdb_type(c.type)}" for c in contract.columns)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(contract.owner)}")
            connection.execute(f"CREATE TABLE {name} ({columns})")
            if files := sample.files(contract):
                listed = ", ".join(literal(file) for file in files)
                by_day = f"hive_partitioning=true, hive_types={{{DAY}: DATE}}"
                hive = by_day if contract.partitioned else "hive_partitioning=false"
                connection.execute(f"INSERT INTO {name} BY NAME SELECT * FROM read_parquet([{listed}], {hive})")  # noqa: S608
            about = f"{contract.description} Primary key: {', '.join(contract.primary_key)}."
            connection.execute(f"COMMENT ON TABLE {name} IS {literal(about)}")
            masked = masked_columns(contract)
            for column in contract.columns:
                note = column.description + (" Masked." if column.name in masked else "")
                connection.execute(f"COMMENT ON COLUMN {name}.{quoted(column.name)} IS {literal(note)}")
        connection.commit()


@contextmanager
def opened(path: Path, contracts: Iterable[Contract]) -> Iterator[Reader]:
    """A reader of the tables of a sample's database, as long as the block lasts."""
    backend = ibis.duckdb.connect(path, read_only=True)
    try:
        yield reader_of({c.name: backend.table(c.name, database=c.owner) for c in contracts})
    finally:
        backend.disconnect()
