"""Models on Spark: fitted by MLlib, served by the workers. Only what grows with the items comes to this process."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.models.als import ALSConfig
from trasos_assets.recommender.models.base import SIMILAR
from trasos_assets.recommender.models.factors import ITEM, PERSON, FactorModel
from trasos_assets.recommender.models.registry import configured
from trasos_assets.recommender.models.spark_als import SparkALS
from trasos_assets.recommender.models.spark_frames import frame_of, session_of, table_of
from trasos_assets.recommender.models.spark_frames import served as served_by_workers
from trasos_assets.recommender.reasons import SharedWeight
from trasos_assets.recommender.serving import Champion, Served, recommend_for_everyone, rounded
from trasos_assets.recommender.shelf import HISTORY, Shelf, history_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_DAY_DIGITS, _WEIGHT_DIGITS, _WEIGHT_UNITS = 6, 6, 1000


class SparkModels:
    """As ``ModelEngine`` says."""

    als = SparkALS

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    def rows(self, training_interactions: ibis.Table) -> ibis.Table:
        """Left in Spark."""
        return training_interactions

    def fingerprint(self, rows: ibis.Table) -> str:
        """Of the rows' 64-bit hashes: their sum, their exclusive or and their number."""
        from pyspark.sql import functions as f

        frame = frame_of(rows, session_of(rows))
        hashed = frame.select(f.xxhash64(*sorted(frame.columns)).alias("row"))
        found = hashed.agg(
            f.count("*").alias("rows"),
            f.sum(f.col("row").cast("decimal(20, 0)")).alias("total"),
            f.bit_xor("row").alias("odd"),
        )
        text = f.sha2(f.concat_ws(",", *(f.col(name).cast("string") for name in found.columns)), 256)
        return found.select(f.substring(text, 1, 16)).collect()[0][0]

    def factors(self, model: SparkALS) -> ibis.Table:
        """People's vectors stay in Spark."""
        return table_of(model.factor_frame(), self.backend)

    def recommend_for_everyone(
        self,
        champion: Champion | None,
        parts: ibis.Table,
        train: ibis.Table,
        shelf: Shelf,
        people: ibis.Table,
        k: int,
    ) -> ibis.Table:
        """The very function that serves in one process, block by block on the workers."""
        session = session_of(train)
        config = _config(champion)
        stored = _vectors(champion, parts)
        model = SparkALS.from_factors(stored, config).factors
        regularization = config.regularization

        def serve(block: FactorModel | None, everyone: IdMap, had: pa.Table) -> pa.Table:
            served = None
            if block is not None:
                vectors = block.item_factors
                served = Served(block, lambda: SharedWeight.of(block.items, vectors, regularization, shelf.known))
            return recommend_for_everyone(served, shelf, everyone.external_ids, _history(had), k)

        lists = served_by_workers(
            frame_of(people.select("person_id").distinct(), session),
            model.people,
            _packed(history_of(train)),
            model.items,
            model.item_factors,
            serve,
            "person_id string, rank int, item_id string, score double, source string, reason string, "
            "because_item_id string",
        )
        return table_of(lists, self.backend)

    def similar(
        self, champion: Champion | None, parts: ibis.Table, train: ibis.Table, shelf: Shelf, k: int
    ) -> ibis.Table:
        """By the items' vectors, which are all here."""
        if champion is None:
            return ibis.memtable(SIMILAR.empty_table())
        model = SparkALS.from_factors(_vectors(champion, parts), _config(champion))
        return ibis.memtable(rounded(model.similar(shelf.shown_ids, k, allowed_items=shelf.shown_ids)))


def _config(champion: Champion | None) -> ALSConfig:
    if champion is None:
        return ALSConfig()
    if champion.model != "als":
        raise ValueError(
            f"the champion is {champion.model}, which Spark cannot serve; train one there (TRASOS_CANDIDATE=als, then "
            "the job retrain_model: it needs only to beat recent popularity), go back to an als or popularity that is "
            "kept (trasos champion rollback VERSION), or serve this one with TRASOS_ENGINE=duckdb"
        )
    return configured(champion.model, champion.parameters)


def _vectors(champion: Champion | None, parts: ibis.Table) -> ibis.Table:
    vectors = parts.select("side", "id", "factors")
    return vectors.limit(0) if champion is None else vectors.filter(vectors["side"].isin([PERSON, ITEM]))


def _packed(history: ibis.Table) -> DataFrame:
    """Columns person_id and item_id, which holds all that ``HISTORY`` says of the pair: what goes to a worker with a
    person is one list of texts."""
    from pyspark.sql import functions as f

    frame = frame_of(history, session_of(history))
    days = f.lpad(f.col("last_day").cast("string"), _DAY_DIGITS, "0")
    weight = f.lpad(f.round(f.col("weight") * _WEIGHT_UNITS).cast("int").cast("string"), _WEIGHT_DIGITS, "0")
    packed = f.concat(days, weight, f.col("bought").cast("int").cast("string"), f.col("item_id"))
    return frame.select("person_id", packed.alias("item_id"))


def _history(packed: pa.Table) -> pa.Table:
    """``HISTORY`` again."""
    text, after = packed["item_id"], _DAY_DIGITS + _WEIGHT_DIGITS
    weight = pc.utf8_slice_codeunits(text, _DAY_DIGITS, after).cast(pa.int32()).cast(pa.float32())
    return pa.table(
        [
            packed["person_id"],
            pc.utf8_slice_codeunits(text, after + 1),
            pc.equal(pc.utf8_slice_codeunits(text, after, after + 1), "1"),
            pc.divide(weight, pa.scalar(_WEIGHT_UNITS, pa.float32())),
            pc.utf8_slice_codeunits(text, 0, _DAY_DIGITS).cast(pa.int32()),
        ],
        schema=HISTORY,
    )
