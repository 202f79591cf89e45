"""How far two fitted models agree: by what they think of every item, by their lists, by how good their lists are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy.stats import rankdata

from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.metrics import judge, ndcg
from trasos_assets.recommender.models import ALS
from trasos_assets.recommender.models.factors import FactorModel


@dataclass(frozen=True)
class Agreement:
    """Means over people: Spearman's rank correlation over the scores of all items, shared part of the ten best."""

    rank_correlation: float
    top_ten_shared: float


def agreement(one: pa.Table, other: pa.Table, *, people: int = 300, seed: int = 0) -> Agreement:
    """Of two factor tables (side, id, factors) of the same people and items, over a sample of people."""
    models = [FactorModel.from_table(table) for table in (one, other)]
    assert models[0].people.external_ids.equals(models[1].people.external_ids)
    assert models[0].items.external_ids.equals(models[1].items.external_ids)
    known = len(models[0].people)
    sample = np.random.default_rng(seed).choice(known, min(people, known), replace=False)
    scores = [model.person_factors[sample] @ model.item_factors.T for model in models]
    ranks = [rankdata(score, axis=1) for score in scores]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    lengths = [np.sqrt((rank**2).sum(axis=1)) for rank in centred]
    correlation = (centred[0] * centred[1]).sum(axis=1) / (lengths[0] * lengths[1])
    best = [rank > rank.shape[1] - 10 for rank in ranks]
    return Agreement(float(correlation.mean()), float((best[0] & best[1]).sum(axis=1).mean() / 10))


@dataclass(frozen=True)
class Quality:
    """Mean NDCG@10 of two models over the same people, and the interval of the mean of their differences."""

    one: float
    other: float
    low: float
    high: float
    people: int


def quality(
    one: pa.Table, other: pa.Table, truth: pa.Table, *, exclude: pa.Table | None = None, seed: int = 0
) -> Quality:
    """Of two factor tables, against what people bought later (pairs person_id, item_id).

    The interval is the bootstrap's over people, 95 %, of 2000 draws: Efron and Tibshirani (1993), chapter 13.
    """
    known = IdMap.from_ids(FactorModel.from_table(one).people.external_ids)
    truth = truth.filter(pa.array(known.to_indices(truth["person_id"], unknown="mark") >= 0))
    per_person = []
    for table in (one, other):
        lists = ALS.from_factors(table).recommend(truth["person_id"], 10, exclude=exclude)
        per_person.append(ndcg(judge(lists, truth), 10))
    difference = per_person[1] - per_person[0]
    draws = np.random.default_rng(seed).integers(0, len(difference), (2000, len(difference)))
    low, high = np.quantile(difference[draws].mean(axis=1), [0.025, 0.975])
    return Quality(float(per_person[0].mean()), float(per_person[1].mean()), float(low), float(high), len(difference))
