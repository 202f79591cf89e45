"""The model of ``als``, fitted by Spark MLlib and served by Spark's workers: for data that one machine cannot hold."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Self

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender.ids import IdMap, Ids
from trasos_assets.recommender.interactions import KINDS, LEAST_WEIGHT, EventWeights
from trasos_assets.recommender.models.als import ALSConfig
from trasos_assets.recommender.models.base import RECOMMENDED, NotFittedError
from trasos_assets.recommender.models.factors import FACTORS, ITEM, PERSON, FactorModel
from trasos_assets.recommender.models.mllib import Anchors, rating
from trasos_assets.recommender.models.spark_frames import (
    FACTOR_COLUMNS,
    frame_of,
    multiplied,
    numbered,
    served,
    session_of,
)

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

LISTS = "person_id string, rank int, item_id string, score double"
# By the data alone: MLlib's first vectors depend on the blocks, and so would the model on the cluster's size.
_CELLS_PER_BLOCK, _LEAST_BLOCKS, _MOST_BLOCKS = 1_000_000, 4, 1_000


@dataclass(frozen=True, eq=False)
class SparkFactors:
    """A fitted model: items' vectors here (items x factors, float32), people's (columns id, factors) in Spark."""

    items: IdMap
    item_factors: np.ndarray
    people: DataFrame


class SparkALS:
    """``ALS`` past one machine: the same objective, configuration and form of factors, and the same lists from them.

    MLlib is given the cells that make its objective that of ``implicit`` (see ``mllib``). Fits of one seed differ
    between the libraries as fits of two seeds do in one of them, and a repeated fit may differ in the last bits, since
    Spark adds up in the order in which blocks arrive.
    """

    def __init__(self, config: ALSConfig | None = None) -> None:
        self.config = config or ALSConfig()
        self._model: SparkFactors | None = None

    @classmethod
    def from_factors(cls, table: pa.Table | ibis.Table, config: ALSConfig | None = None) -> Self:
        """The model whose ``factor_table`` this is (contract als_model), whichever engine fitted it.

        Raises:
            ValueError: ids come more than once, or vectors differ in length.
        """
        from pyspark.sql import functions as f

        model = cls(config)
        rows = frame_of(table, session_of(table)).select(*FACTORS.names)
        stored = FactorModel.from_table(rows.where(f.col("side") == ITEM).toArrow())
        people = rows.where(f.col("side") == PERSON).select("id", "factors")
        length = f.size("factors")
        # A null in a vector, or a vector that is null, makes the sum null or the least length negative.
        looked = people.agg(
            f.count("*").alias("rows"),
            f.count_distinct("id").alias("ids"),
            f.min(length).alias("shortest"),
            f.max(length).alias("longest"),
        ).collect()[0]
        if looked["rows"] != looked["ids"]:
            raise ValueError(f"{looked['rows'] - looked['ids']} person ids of a factor table come more than once")
        if looked["rows"] and len(stored.items) and {looked["shortest"], looked["longest"]} != {stored.factors}:
            raise ValueError(
                f"people have {looked['shortest']} to {looked['longest']} factors and items {stored.factors}: "
                "not one model's rows"
            )
        model._model = SparkFactors(stored.items, stored.item_factors, people)
        model.config = replace(model.config, factors=stored.factors or model.config.factors)
        return model

    def fit(self, train: pa.Table | ibis.Table, *, as_of: date | None = None) -> Self:
        """Factorise people x items; see ``Recommender.fit``. An Ibis table of Spark is not fetched.

        Raises:
            ValueError: no interaction has a weight.
            ArithmeticError: MLlib's basis cannot be held in single precision.
        """
        from pyspark.ml.recommendation import ALS as MLlibALS  # noqa: N811 - its namesake is next door
        from pyspark.sql import functions as f

        session = session_of(train)
        rows = frame_of(train, session)
        if as_of is not None:
            rows = rows.where(f.col("day") <= f.lit(as_of))
        weighted = weighted_pairs(rows, self.config.weights, as_of=as_of)
        items = IdMap.from_ids(weighted.select("item_id").distinct().toArrow()["item_id"])
        if len(items) == 0:
            raise ValueError("there is no interaction to fit ALS to; widen the days or raise the event weights")
        people = numbered(weighted.select("person_id"))
        numbers = pa.table({"item_id": items.external_ids, "item": pa.array(range(len(items)), pa.int32())})
        confidence = f.greatest(f.col("weight") * self.config.alpha, f.lit(1.0))
        cells = (
            weighted.join(people.withColumnRenamed("id", "person_id"), "person_id")
            .join(f.broadcast(session.createDataFrame(numbers)), "item_id")
            .select(f.col("index").alias("person"), "item", confidence.alias("confidence"))
            .persist()
        )
        known = cells.agg(f.count("*"), f.sum("confidence"), f.max("person")).collect()[0]
        anchors = Anchors(known[2] + 1, len(items), self.config.factors, self.config.regularization, known[1])
        blocks = min(_MOST_BLOCKS, max(_LEAST_BLOCKS, known[0] // _CELLS_PER_BLOCK))
        mllib = MLlibALS(
            rank=self.config.factors,
            maxIter=self.config.iterations,
            regParam=0.0,
            alpha=1.0,
            implicitPrefs=True,
            seed=self.config.seed,
            numUserBlocks=blocks,
            numItemBlocks=blocks,
            userCol="person",
            itemCol="item",
            ratingCol="rating",
        )
        ratings = cells.select("person", "item", rating(f.col("confidence")).alias("rating"))
        fitted = mllib.fit(ratings.union(anchors.frame(session)))
        cells.unpersist()

        of_items = fitted.itemFactors.where(f.col("id") < anchors.items + self.config.factors)
        item_vectors = _vectors(of_items, self.config.factors)
        first = (f.col("id") >= anchors.people) & (f.col("id") < anchors.people + self.config.factors)
        person_anchors = _vectors(fitted.userFactors.where(first), self.config.factors)
        for_people, for_items = anchors.to_plain(person_anchors, item_vectors[anchors.items :])
        plain_items = (item_vectors[: anchors.items].astype(np.float64) @ for_items).astype(np.float32)
        named = fitted.userFactors.select(f.col("id").alias("index"), f.col("features").alias("factors"))
        plain_people = multiplied(named.join(people, "index"), for_people, self.config.factors)
        self._model = SparkFactors(items, plain_items, plain_people)
        return self

    def recommend(
        self, people: Ids, k: int, *, exclude: pa.Table | None = None, allowed_items: Ids | None = None
    ) -> pa.Table:
        """The items of the highest inner product; see ``Recommender.recommend``."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        model = self._fitted
        session = model.people.sparkSession
        asked = pa.table({"person_id": IdMap.from_ids(people).external_ids})
        if asked.num_rows == 0 or len(model.items) == 0:
            return RECOMMENDED.empty_table()
        pairs = RECOMMENDED.empty_table() if exclude is None else exclude
        allowed = None if allowed_items is None else IdMap.from_ids(allowed_items).external_ids

        def serve(block: FactorModel | None, _: IdMap, bought: pa.Table) -> pa.Table:
            if block is None:
                return RECOMMENDED.empty_table()
            return block.recommend(block.people.external_ids, k, exclude=bought, allowed_items=allowed)

        lists = served(
            frame_of(asked, session),
            model.people,
            frame_of(pairs.select(["person_id", "item_id"]), session),
            model.items,
            model.item_factors,
            serve,
            LISTS,
        )
        return lists.toArrow().cast(RECOMMENDED).sort_by([("person_id", "ascending"), ("rank", "ascending")])

    def similar(self, items: Ids, k: int, *, allowed_items: Ids | None = None) -> pa.Table:
        """The items of the highest cosine of vectors, which are all here; see ``Recommender.similar``."""
        return self._items_alone.similar(items, k, allowed_items=allowed_items)

    def score_pairs(self, pairs: pa.Table) -> np.ndarray:
        """See ``ScoresPairs``; fetches the vectors of the people in ``pairs``."""
        from pyspark.sql import functions as f

        model = self._fitted
        asked = frame_of(pa.table({"id": IdMap.from_ids(pairs["person_id"]).external_ids}), model.people.sparkSession)
        people = model.people.join(asked, "id").select(f.lit(PERSON).alias("side"), "id", "factors").toArrow()
        rows = pa.concat_tables([self.item_factors(), people.cast(FACTORS)])
        return FactorModel.from_table(rows).score_pairs(pairs)

    def parts(self) -> pa.Table:
        """The vectors of both sides; fetches all people's (``factor_frame`` does not). See ``Recommender.parts``."""
        return FactorModel.from_table(self.factor_table()).parts()

    def restore(self, parts: pa.Table | ibis.Table, train: Any, *, as_of: date | None = None) -> Self:
        """The model of stored vectors; the training rows are not looked at. See ``Recommender.restore``."""
        restored = type(self).from_factors(parts, self.config)
        self._model, self.config = restored._model, restored.config
        return self

    @property
    def factors(self) -> SparkFactors:
        """The fitted vectors, where they are."""
        return self._fitted

    def factor_frame(self) -> DataFrame:
        """The rows of ``factor_table``, in no order, people's vectors still in Spark."""
        from pyspark.sql import functions as f

        items = self._fitted.people.sparkSession.createDataFrame(self.item_factors(), FACTOR_COLUMNS)
        people = self._fitted.people.select(f.lit(PERSON).alias("side"), "id", "factors")
        return items.union(people)

    def person_factors(self) -> pa.Table:
        """Columns side (``person``), id, factors (list of float32), sorted by id; fetches them all."""
        rows = self.factor_frame().where("side = 'person'").toArrow().cast(FACTORS)
        return rows.sort_by("id").combine_chunks()

    def item_factors(self) -> pa.Table:
        """Columns side (``item``), id, factors (list of float32), sorted by id."""
        return self._items_alone.table(ITEM)

    def factor_table(self) -> pa.Table:
        """Both sides in one table, sorted by side and id, as ``ALS.factor_table``; fetches all people's vectors."""
        return pa.concat_tables([self.item_factors(), self.person_factors()])

    @property
    def _items_alone(self) -> FactorModel:
        """The model of nobody."""
        empty = np.empty((0, self._fitted.item_factors.shape[1]), np.float32)
        return FactorModel(IdMap(pa.array([], pa.string())), self._fitted.items, empty, self._fitted.item_factors)

    @property
    def _fitted(self) -> SparkFactors:
        if self._model is None:
            raise NotFittedError("SparkALS was used before fit; fit it or restore it with SparkALS.from_factors")
        return self._model


def weighted_pairs(rows: DataFrame, weights: EventWeights, *, as_of: date | None = None) -> DataFrame:
    """Frame of training_interactions as person_id, item_id, weight (above 0): ``InteractionMatrix`` in Spark.

    What has faded below a confidence of 1 is raised to it by the fit: MLlib cannot say "less sure than never touched".
    """
    from pyspark.sql import functions as f

    left = f.lit(1.0)
    if weights.half_life_days is not None:
        last = as_of or rows.agg(f.max("day")).collect()[0][0]
        age = f.greatest(f.datediff(f.lit(last), f.col("day")), f.lit(0))
        left = f.pow(f.lit(0.5), age / f.lit(float(weights.half_life_days)))
    times = []
    for kind in KINDS:
        counts = f.coalesce(f.col(kind), f.lit(0)).cast("double")
        once = f.max(f.when(counts > 0, left).otherwise(0.0))
        times.append((once if weights.repeats == "once" else f.sum(counts * left)).alias(kind))
    counted = rows.groupBy("person_id", "item_id").agg(*times)
    weight = f.lit(0.0)
    touched = f.lit(False)
    for kind, of_kind in zip(KINDS, weights.by_kind, strict=True):
        weight = weight + f.col(kind) * of_kind
        touched = touched | ((f.col(kind) * of_kind) > 0)
    least = 0.0 if weights.half_life_days is None else LEAST_WEIGHT
    # In single precision, as ``implicit`` is given it.
    single = f.greatest(weight, f.lit(least)).cast("float").cast("double").alias("weight")
    return counted.where(touched).select("person_id", "item_id", single).where(f.col("weight") > 0)


def _vectors(frame: DataFrame, factors: int) -> np.ndarray:
    """Rows of MLlib's factors (id, features) in the order of their ids, float32."""
    rows = frame.toArrow().sort_by("id")
    return pc.list_flatten(rows["features"]).to_numpy().reshape(-1, factors)
