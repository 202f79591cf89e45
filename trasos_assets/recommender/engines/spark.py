"""Models on Spark: fitted by MLlib, served by the workers. Only what grows with the items comes to this process."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.models import Popularity
from trasos_assets.recommender.models.factors import FactorModel
from trasos_assets.recommender.models.spark_als import LISTS, SparkALS
from trasos_assets.recommender.models.spark_frames import frame_of, served, session_of, table_of
from trasos_assets.recommender.serving import recommend_for_everyone


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
        factors: ibis.Table,
        fallback: Popularity,
        people: ibis.Table,
        bought: ibis.Table,
        for_sale: ibis.Table,
        k: int,
    ) -> ibis.Table:
        """The very function that serves in one process, block by block on the workers."""
        session = session_of(factors)
        model = SparkALS.from_factors(factors).factors
        allowed = IdMap.from_ids(for_sale.select("item_id").to_pyarrow()["item_id"]).external_ids

        def serve(block: FactorModel | None, everyone: IdMap, had: pa.Table) -> pa.Table:
            return recommend_for_everyone(block, fallback, everyone.external_ids, had, allowed, k)

        lists = served(
            frame_of(people.select("person_id").distinct(), session),
            model.people,
            frame_of(bought.select("person_id", "item_id"), session),
            model.items,
            model.item_factors,
            serve,
            f"{LISTS}, source string",
        )
        return table_of(lists, self.backend)
