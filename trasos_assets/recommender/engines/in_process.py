"""Models in this process, by ``implicit`` and numpy: for every engine that hands its rows out as Arrow."""

from __future__ import annotations

import hashlib

import ibis
import pyarrow as pa

from trasos_assets.recommender.models import ALS
from trasos_assets.recommender.models.base import PARTS, SIMILAR, Recommender
from trasos_assets.recommender.models.registry import configured, kind_of
from trasos_assets.recommender.reasons import nearness_of
from trasos_assets.recommender.serving import Champion, Served, recommend_for_everyone, rounded
from trasos_assets.recommender.shelf import Shelf, history_of


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
        champion: Champion | None,
        parts: ibis.Table,
        train: ibis.Table,
        shelf: Shelf,
        people: ibis.Table,
        k: int,
    ) -> ibis.Table:
        """All in memory, people by blocks."""
        rows = self.rows(train)
        history = train.get_backend().to_pyarrow(history_of(ibis.memtable(rows)))
        served = None
        if champion is not None:
            model = _restored(champion, parts, rows)
            served = Served(model, lambda: nearness_of(model, shelf.known, shelf.shown_ids))
        everyone = people.select("person_id").to_pyarrow()["person_id"]
        return ibis.memtable(recommend_for_everyone(served, shelf, everyone, history, k))

    def similar(
        self, champion: Champion | None, parts: ibis.Table, train: ibis.Table, shelf: Shelf, k: int
    ) -> ibis.Table:
        """By the restored model."""
        if champion is None:
            return ibis.memtable(SIMILAR.empty_table())
        model = _restored(champion, parts, self.rows(train))
        return ibis.memtable(rounded(model.similar(shelf.shown_ids, k, allowed_items=shelf.shown_ids)))


def _restored(champion: Champion, parts: ibis.Table, rows: pa.Table) -> Recommender:
    config = configured(champion.model, champion.parameters)
    model = kind_of(champion.model).build(config, items=champion.items)
    stored = parts.select(*PARTS.names).order_by(["side", "id"]).to_pyarrow().cast(PARTS)
    return model.restore(stored, rows)
