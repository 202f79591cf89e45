"""Models where the data is: the same models and lists, fitted and served by the engine that the tables are computed by.

``model_engine`` is the one place that asks which engine that is.
"""

from __future__ import annotations

from typing import Any, Protocol

import ibis
import pyarrow as pa

from trasos_assets.recommender.serving import Champion
from trasos_assets.recommender.shelf import Shelf


class ModelEngine(Protocol):
    """What of science's work on models depends on the engine. Ibis tables are of that engine."""

    @property
    def als(self) -> type[Any]:
        """The class of the ALS model; it has all of ``models.ALS``."""
        ...

    def rows(self, training_interactions: ibis.Table) -> pa.Table | ibis.Table:
        """Rows to learn from, in the form that this engine's models take: fetched and sorted, or left in place."""
        ...

    def fingerprint(self, rows: pa.Table | ibis.Table) -> str:
        """16 hex digits that depend on what ``rows`` holds, and not on its order."""
        ...

    def factors(self, model: Any) -> ibis.Table:
        """Side, id and factors of a fitted ``als``, in no order."""
        ...

    def recommend_for_everyone(
        self,
        champion: Champion | None,
        parts: ibis.Table,
        train: ibis.Table,
        shelf: Shelf,
        people: ibis.Table,
        k: int,
    ) -> ibis.Table:
        """The rows of ``serving.recommend_for_everyone``, in no order.

        ``parts`` are those of the champion (side, id, factors, payload), maybe no rows; ``train`` the rows to learn
        from as they are now, ``people`` has person_id. ``ValueError`` for a champion that this engine cannot serve.
        """
        ...

    def similar(
        self, champion: Champion | None, parts: ibis.Table, train: ibis.Table, shelf: Shelf, k: int
    ) -> ibis.Table:
        """The champion's ``similar`` (schema ``SIMILAR``, scores rounded) of all that may be shown; as above."""
        ...


def model_engine(table: ibis.Table) -> ModelEngine:
    """The engine of a table."""
    if table.get_backend().name == "pyspark":
        from trasos_assets.recommender.engines.spark import SparkModels

        return SparkModels(table.get_backend())
    from trasos_assets.recommender.engines.in_process import InProcessModels

    return InProcessModels()
