"""Models in this process, by ``implicit`` and numpy: for every engine that hands its rows out as Arrow."""

from __future__ import annotations

import hashlib

import ibis
import pyarrow as pa

from trasos_assets.recommender.models import ALS, Popularity
from trasos_assets.recommender.serving import recommend_for_everyone


class InProcessModels:
    """As ``ModelEngine`` says."""

    als = ALS

    def rows(self, training_interactions: ibis.Table) -> pa.Table:
        """Fetched, sorted by key."""
        return training_interactions.order_by(["person_id", "item_id", "day"]).to_pyarrow()

    def fingerprint(self, rows: pa.Table) -> str:
        """Of the sorted rows' bytes."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows.combine_chunks())
        return hashlib.sha256(sink.getvalue()).hexdigest()[:16]

    def factors(self, model: ALS) -> ibis.Table:
        """The model's own table."""
        return ibis.memtable(model.factor_table())

    def recommend_for_everyone(
        self,
        factors: ibis.Table,
        fallback: Popularity,
        people: ibis.Table,
        bought: ibis.Table,
        for_sale: ibis.Table,
        k: int,
    ) -> ibis.Table:
        """All in memory, people by blocks."""
        stored = factors.to_pyarrow()
        lists = recommend_for_everyone(
            ALS.from_factors(stored) if stored.num_rows else None,
            fallback,
            people.select("person_id").to_pyarrow()["person_id"],
            bought.to_pyarrow(),
            for_sale.select("item_id").to_pyarrow()["item_id"],
            k,
        )
        return ibis.memtable(lists)
