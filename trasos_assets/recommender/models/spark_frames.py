"""Tables of the recommender as Spark frames, and people served block by block on Spark's workers."""

from __future__ import annotations

import os
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.models.factors import FactorModel

if TYPE_CHECKING:
    import numpy as np
    from pyspark.sql import DataFrame, SparkSession

FACTOR_COLUMNS = "side string, id string, factors array<float>"
Serve = Callable[[FactorModel | None, IdMap, pa.Table], pa.Table]
"""From a model of some people (None if it knows none of them), those people, and their pairs (person_id, item_id)."""


def session_of(table: pa.Table | ibis.Table | None = None) -> SparkSession:
    """The session of a table of Ibis's Spark backend, else that of this process."""
    if isinstance(table, ibis.Table):
        backend = table.get_backend()
        if backend.name != "pyspark":
            raise TypeError(f"a table of {backend.name} cannot be read by Spark; hand it over with .to_pyarrow()")
        return backend._session  # pyright: ignore[reportAttributeAccessIssue]
    from pyspark.sql import SparkSession as Session

    builder: Any = Session.builder
    return Session.getActiveSession() or builder.getOrCreate()


def frame_of(table: pa.Table | ibis.Table, session: SparkSession) -> DataFrame:
    """A table as a frame of the session; an Ibis table is of its Spark backend, and nothing of it is fetched."""
    if isinstance(table, pa.Table):
        return session.createDataFrame(table)
    backend: Any = table.get_backend()
    backend._run_pre_execute_hooks(table)
    return backend.raw_sql(backend.compile(table))


def table_of(frame: DataFrame, backend: Any) -> ibis.Table:
    """A frame as a table of Ibis's Spark backend; it is computed when it is asked for."""
    name = f"recommender_{uuid.uuid4().hex[:12]}"
    frame.createOrReplaceTempView(name)
    return backend.table(name)


def _mapped(frame: DataFrame, blocks: Callable[[Any], Any], columns: str) -> DataFrame:
    """Batches of a frame through a function on the workers."""
    context = frame.sparkSession.sparkContext
    # Spark's own choice is the first Python on the path.
    if "PYSPARK_PYTHON" not in os.environ and not context.getConf().contains("spark.pyspark.python"):
        context.pythonExec = sys.executable
    with warnings.catch_warnings():
        # pyspark warns of every pandas newer than its own; nothing here passes through pandas.
        warnings.simplefilter("ignore", FutureWarning)
        return frame.mapInArrow(blocks, columns)


def with_checkpoints(session: SparkSession) -> SparkSession:
    """The session with a folder for checkpoints, if it had none: beside its warehouse, which its workers see.

    Without them MLlib's plan grows with every sweep, until at some 25 Java's stack overflows.
    """
    context: Any = session.sparkContext
    if not context._jsc.sc().getCheckpointDir().isDefined():
        context.setCheckpointDir(f"{session.conf.get('spark.sql.warehouse.dir')}/checkpoints")
    return session


def numbered(ids: DataFrame) -> DataFrame:
    """Distinct ids (the only column) with their place in ascending (byte) order: columns id, index (int), from 0.

    The places depend on the ids only and not on how Spark has spread them; no more than a count a partition is fetched.
    """
    from pyspark.sql import functions as f

    with_checkpoints(ids.sparkSession)
    # The function numbers the rows of partition p from p * 2^33 on. In files, for the counts must be those of these
    # rows: made again after a worker is lost, they might be cut into other partitions.
    placed = ids.toDF("id").distinct().orderBy("id").withColumn("at", f.monotonically_increasing_id()).checkpoint()
    partition = f.shiftright("at", 33)
    counts = {row["p"]: row["n"] for row in placed.groupBy(partition.alias("p")).agg(f.count("*").alias("n")).collect()}
    start, starts = 0, []
    for part in sorted(counts):
        starts.append((part, start))
        start += counts[part]
    if not starts:
        return placed.select("id", f.col("at").cast("int").alias("index"))
    offsets = ids.sparkSession.createDataFrame(starts, "p long, start long")
    within = f.col("at").bitwiseAND(f.lit((1 << 33) - 1))
    joined = placed.join(f.broadcast(offsets), partition == offsets.p)
    return joined.select("id", (within + f.col("start")).cast("int").alias("index"))


def multiplied(frame: DataFrame, matrix: np.ndarray, dimension: int) -> DataFrame:
    """Columns id and factors with every vector v as v @ matrix (dimension x dimension), in double precision."""

    def multiply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import numpy as np

        for batch in batches:
            vectors = batch.column("factors").flatten().to_numpy().reshape(-1, dimension).astype(np.float64)
            product = np.ascontiguousarray((vectors @ matrix).astype(np.float32))
            offsets = pa.array(np.arange(len(product) + 1, dtype=np.int32) * dimension)
            lists = pa.ListArray.from_arrays(offsets, pa.array(product.ravel()))
            yield pa.RecordBatch.from_arrays([batch.column("id"), lists], ["id", "factors"])

    return _mapped(frame.select("id", "factors"), multiply, "id string, factors array<float>")


def served(
    people: DataFrame,
    factors: DataFrame,
    bought: DataFrame,
    items: IdMap,
    item_factors: np.ndarray,
    serve: Serve,
    columns: str,
) -> DataFrame:
    """``serve`` over blocks of people, on the workers: rows of the Spark schema ``columns``.

    ``people`` has person_id (distinct), ``factors`` id and factors of those whom the model knows, ``bought`` pairs of
    person_id and item_id. The items' vectors go to every worker once; the people's stay where they are.
    """
    from pyspark.sql import functions as f

    shared = people.sparkSession.sparkContext.broadcast((items.external_ids, item_factors))
    theirs = bought.groupBy("person_id").agg(f.collect_list("item_id").alias("bought"))
    known = factors.select(f.col("id").alias("person_id"), "factors")
    rows = people.join(known, "person_id", "left").join(theirs, "person_id", "left")

    def blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        item_ids, vectors = shared.value
        for batch in batches:
            block = pa.Table.from_batches([batch]).sort_by("person_id").combine_chunks()
            yield from _served_block(block, IdMap(item_ids), vectors, serve).to_batches()

    return _mapped(rows.select("person_id", "factors", "bought"), blocks, columns)


def _served_block(block: pa.Table, items: IdMap, item_factors: np.ndarray, serve: Serve) -> pa.Table:
    import numpy as np
    import pyarrow.compute as pc

    people = block["person_id"].combine_chunks()
    vectors, lists = block["factors"].combine_chunks(), block["bought"].combine_chunks()
    known = people.filter(vectors.is_valid())
    model = None
    if len(known):
        values = vectors.flatten().to_numpy().astype(np.float32).reshape(len(known), -1)
        # A task has one core: more threads would only hold more memory.
        model = FactorModel(IdMap(known), items, values, item_factors, threads=1)
    owners = pc.list_parent_indices(lists)  # pyright: ignore[reportAttributeAccessIssue]
    pairs = pa.table({"person_id": people.take(owners), "item_id": lists.flatten()})
    return serve(model, IdMap(people), pairs)
