"""The lists that a shop shows: a model's for whom it knows, the most popular items for everyone else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from trasos_assets.recommender.ids import UNKNOWN_INDEX, IdMap, Ids
from trasos_assets.recommender.models import Popularity
from trasos_assets.recommender.models.base import Recommends

ALS_SOURCE, POPULARITY_SOURCE = "als", "popularity"
SCORE_DIGITS = 6


def recommend_for_everyone(
    model: Recommends | None,
    fallback: Popularity,
    people: Ids,
    bought: pa.Table,
    allowed_items: Ids,
    k: int,
    *,
    source: str = ALS_SOURCE,
) -> pa.Table:
    """At most ``k`` items for each of ``people``: person_id, rank, item_id, score, source, sorted by person and rank.

    Rows come from ``model`` (marked ``source``) where it has any for the person, else from ``fallback``. No item a
    person has ``bought`` (pairs person_id, item_id), none outside ``allowed_items``, no list padded; who has bought
    everything allowed has no rows. ``score`` is the source's own, rounded to 6 digits.
    """
    everyone = IdMap.from_ids(people)
    parts = []
    rest = everyone.external_ids
    if model is not None:
        known = model.recommend(everyone.external_ids, k, exclude=bought, allowed_items=allowed_items)
        parts.append(_marked(known, source))
        served = IdMap.from_ids(known["person_id"]).to_indices(rest, unknown="mark") != UNKNOWN_INDEX
        rest = rest.filter(pa.array(~served))
    popular = fallback.recommend(rest, k, exclude=bought, allowed_items=allowed_items)
    parts.append(_marked(popular, POPULARITY_SOURCE))
    lists = pa.concat_tables(parts)
    # Each part is in order and no person is in both, so a stable merge by person is all the sorting there is to do.
    order = np.argsort(everyone.to_indices(lists["person_id"]), kind="stable")
    return lists.take(pa.array(order))


def _marked(lists: pa.Table, source: str) -> pa.Table:
    # Adding 0 turns the -0.0 that rounding leaves into 0.0.
    scores = np.round(lists["score"].to_numpy(), SCORE_DIGITS) + 0.0
    lists = lists.set_column(lists.column_names.index("score"), "score", pa.array(scores, pa.float64()))
    return lists.append_column("source", pa.repeat(pa.scalar(source, pa.string()), lists.num_rows))
