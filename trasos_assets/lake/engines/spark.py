"""The Spark engine: the same expressions and contracts, past one machine.

Landed files are parsed by the DuckDB of this process, and everything after them is Spark's. The lake must be a folder
that this process and every worker see under one path.
"""

from __future__ import annotations

import functools
import shutil
import uuid
import warnings
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow.parquet as pq

from trasos_assets.contracts.model import DAY, Contract
from trasos_assets.lake.engines.spark_session import SPARK_READS_NO_STORE, connect, require_spark
from trasos_assets.lake.errors import LakeError
from trasos_assets.lake.parquet import COMPRESSION, duckdb_type
from trasos_assets.sql import literal, quoted

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend as DuckDBBackend

    from trasos_assets.lake.engines.spark_sql import SparkBackend
    from trasos_assets.lake.storage import Storage

_TABLES = "tables"


@functools.cache
def _backend(master: str, memory: str, scratch: Path) -> SparkBackend:
    """The Ibis backend of this process's session."""
    session = connect(master, memory, scratch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of pandas, through which nothing passes here
        from trasos_assets.lake.engines.spark_sql import SparkBackend
    backend = SparkBackend()
    backend.scratch = scratch / _TABLES
    backend.do_connect(session)
    return backend


class SparkEngine:
    """As ``Engine`` says, on the Spark session of this process, which starts when it is first asked for.

    Args:
        master: of Spark.
        memory: of this process's Java, e.g. 4GB.
        scratch: a folder that this process and the workers see, for spills and temporary tables.
        door: DuckDB of this process.

    Raises:
        LakeError: pyspark or Java is missing, or the master does not answer.
    """

    def __init__(self, master: str, memory: str, scratch: Path, door: DuckDBBackend) -> None:
        require_spark(master)
        self.door = door
        self.scratch = scratch / _TABLES
        self._session_of = (master, memory, scratch)
        self._held: list[str] = []

    @property
    def backend(self) -> SparkBackend:
        """Ibis on Spark; the first use starts Java and may take ten seconds."""
        return _backend(*self._session_of)

    @property
    def session(self) -> Any:
        """The Spark session."""
        return self.backend._session

    def reach(self, storage: Storage) -> None:
        """Refused: Spark reads object stores through Hadoop's own connectors, which are no part of this release."""
        raise LakeError(SPARK_READS_NO_STORE)

    def read(self, contract: Contract, files: Sequence[Path], absent: Collection[str]) -> ibis.Table:
        """A view over the files; their types are the contract's, and a column that they lack is null."""
        if files:
            # The folders of days are the table's, or those of a staging folder.
            root = files[0].parent.parent if contract.partitioned else files[0].parent
            reader = self.session.read.schema(_spark_schema(contract)).option("basePath", str(root))
            # Without the option a bracket in a path would be read as a pattern.
            frame = reader.option("__globPaths__", "false").parquet(*map(str, files))
            frame = frame.select(*contract.column_names)
        else:
            frame = self.session.createDataFrame(_arrow_schema(contract).empty_table())
        name = f"{contract.name}_{uuid.uuid4().hex[:12]}"
        frame.createOrReplaceTempView(name)
        return self.backend.table_named(name, ibis.schema(contract.types))

    def write(self, contract: Contract, table: ibis.Table, file: Path) -> None:
        """Sorted by one task: a partition is one file."""
        frame = self._typed(contract, table).repartition(1).sortWithinPartitions(*contract.primary_key)
        folder = self._written(frame, beside=file)
        self._settle(contract, folder, file)
        shutil.rmtree(folder)

    def write_days(self, contract: Contract, table: ibis.Table, files: Mapping[date, Path]) -> None:
        """One job: every day's rows meet in one task, which sorts and writes them."""
        from pyspark.sql import functions as f

        # The day comes first, or Spark would sort by it once more and lose the order within.
        key = dict.fromkeys((DAY, *contract.primary_key))
        frame = self._typed(contract, table).where(f.col(DAY).isin(list(files)))
        frame = frame.repartition(DAY).sortWithinPartitions(*key)
        folder = self._written(frame, beside=next(iter(files.values())).parent, by_day=True)
        for day, file in files.items():
            self._settle(contract, folder / f"{DAY}={day}", file)
        shutil.rmtree(folder)

    def made(self, table: ibis.Table) -> ibis.Table:
        """Files in the scratch folder."""
        name = f"made_{uuid.uuid4().hex[:12]}"
        held = self.backend.held_in_files(name, table)
        self._held.append(name)
        return held

    def taken(self, table: ibis.Table) -> ibis.Table:
        """Through files in the scratch folder: no row passes through Python. The door's table is dropped."""
        name, source = f"taken_{uuid.uuid4().hex[:12]}", table.get_name()
        folder = self.scratch / name
        folder.mkdir(parents=True)
        target = literal(folder / "part-0.parquet")
        self.door.raw_sql(f"COPY {quoted(source)} TO {target} (FORMAT parquet, COMPRESSION zstd)")
        self.door.raw_sql(f"DROP TABLE {quoted(source)}")
        self.session.read.parquet(str(folder)).createOrReplaceTempView(name)
        self._held.append(name)
        return self.backend.table_named(name, table.schema())

    def release(self) -> None:
        """Forget the views and remove their files."""
        for name in self._held:
            self.backend.drop_held(name)
        self._held.clear()

    def _typed(self, contract: Contract, table: ibis.Table) -> Any:
        """The frame of a table with every column cast by Spark: Ibis leaves out casts that it thinks redundant."""
        frame = self.backend.frame_of(table)
        return frame.select(*(frame[c.name].cast(_spark_type(c.type)).alias(c.name) for c in contract.columns))

    def _written(self, frame: Any, *, beside: Path, by_day: bool = False) -> Path:
        """Files of a frame in a new folder on the same file system as their places, so that they can be renamed."""
        folder = beside.parent / f"spark-{uuid.uuid4().hex[:12]}"
        writer = frame.write.option("compression", COMPRESSION)
        (writer.partitionBy(DAY) if by_day else writer).parquet(str(folder))
        return folder

    def _settle(self, contract: Contract, folder: Path, file: Path) -> None:
        """Rename the one file of a folder; one without rows is made where Spark wrote none."""
        written = list(folder.glob("part-*"))
        if len(written) > 1:
            raise LakeError(f"Spark wrote {len(written)} files for one partition of {contract.name} ({folder})")
        if written:
            written[0].replace(file)
            return
        schema = _arrow_schema(contract, without_day=contract.partitioned)
        pq.write_table(schema.empty_table(), file, compression=COMPRESSION, store_decimal_as_integer=True)


def _spark_type(ibis_type: str) -> str:
    """Spark's name of a contract's Ibis type."""
    if ibis_type.startswith("array<"):
        return f"ARRAY<{_spark_type(ibis_type[len('array<') : -1])}>"
    named = {"VARCHAR": "STRING", "INTEGER": "INT", "TIMESTAMP": "TIMESTAMP_NTZ"}
    plain = duckdb_type(ibis_type)
    return named.get(plain, plain)


def _spark_schema(contract: Contract) -> str:
    return ", ".join(f"`{c.name}` {_spark_type(c.type)}" for c in contract.columns)


def _arrow_schema(contract: Contract, *, without_day: bool = False) -> Any:
    """The contract's columns in Arrow, all nullable."""
    types = {name: type_ for name, type_ in contract.types.items() if not (without_day and name == DAY)}
    return ibis.schema(types).to_pyarrow()
