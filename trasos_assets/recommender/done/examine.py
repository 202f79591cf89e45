"""A candidate put to the test: restored from what is stored of it, fitted again, asked for lists."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender import candidates
from trasos_assets.recommender.champions import FALLBACK, Row
from trasos_assets.recommender.done import gather
from trasos_assets.recommender.done.model import Evidence, Lists, Paired
from trasos_assets.recommender.models import ALS, Popularity, PopularityConfig
from trasos_assets.recommender.models.base import PARTS, Recommends
from trasos_assets.recommender.models.registry import RECENT_DAYS, ModelKind, configured, kind_of
from trasos_assets.recommender.splits import first_and_last_day, rows_between

CHAMPION_NAME = "champion"
NOBODY = Lists(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, 0.0)


@dataclass(frozen=True, eq=False)
class Shop:
    """What a candidate is tried on, as Ibis tables of the contracts of the same names."""

    training_interactions: ibis.Table
    als_model: ibis.Table
    item_features: ibis.Table
    customer_features: ibis.Table


@dataclass(frozen=True, eq=False)
class Board:
    """How models did on days that they did not see: Arrow tables of the contracts of the same names."""

    leaderboard: pa.Table
    model_comparisons: pa.Table
    model_costs: pa.Table


@dataclass(frozen=True, eq=False)
class _Stored:
    """What is stored of a candidate (of Spark's, as much as the sample needs), its size, and its second fit's hash.

    Only of a candidate with vectors of its own, which nothing holds yet, is there a second fit already.
    """

    parts: pa.Table
    megabytes: float
    refit_hash: str | None


def examine(
    told: Row, shop: Shop, rows: pa.Table | ibis.Table, board: Board, serving: Row | None, *, k: int
) -> Evidence:
    """All that a candidate is judged by, but a second fit to tell whether it is reproducible: see ``refitted_hash``.

    ``told`` is its row of the contract candidate, ``rows`` the training rows as its engine takes them, ``serving`` the
    row of champion that serves. Lists are ``k`` long.

    Raises:
        CandidateError: what is stored of it is not there.
    """
    kind = kind_of(told["model"])
    config = configured(kind.name, candidates.parameters_of(told))
    sample = gather.sample_of(shop.training_interactions, shop.customer_features)
    stored = _stored(told, kind, config, shop.als_model, rows, sample)
    not_finite = gather.not_finite(stored.parts)
    lists = NOBODY
    if not not_finite:
        model = _restored(kind, config, stored.parts, rows)
        lists = _lists(model, shop, rows, sample, k)
    known, pairs = (None, 0) if not_finite else gather.known_pairs(stored.parts, sample.rows)
    compared = board if _is_of(board, told) else None
    champion = serving if serving is not None and serving["model"] != FALLBACK else None
    return Evidence(
        model=told["model"],
        against_popularity=_paired(compared, told, FALLBACK),
        against_champion=_paired(compared, told, CHAMPION_NAME),
        champion=champion["model_version"] if champion else None,
        serves=bool(champion) and champion["model_version"] == told["model_version"],
        same_model=bool(champion)
        and champion["model"] == told["model"]
        and candidates.same_parameters(champion["parameters"], told["parameters"]),
        cold_against_popularity=_paired(compared, told, FALLBACK, segment="cold"),
        leaks=gather.leaks(board.leaderboard, told["model"]),
        first_day=told["first_day"],
        last_day=told["last_day"],
        as_of=told["as_of"],
        known_pairs=known,
        pairs=pairs,
        not_finite=not_finite,
        parts_hash=told["parts_hash"],
        refit_hash=stored.refit_hash,
        lists=lists,
        megabytes=max(stored.megabytes, _fit_megabytes(board.model_costs, told["model"])),
    )


def refitted_hash(told: Row, rows: pa.Table | ibis.Table) -> str | None:
    """The hash of what a second fit to the days up to ``as_of`` stores; None on Spark, where it costs too much."""
    if isinstance(rows, ibis.Table):
        return None
    kind = kind_of(told["model"])
    config = configured(kind.name, candidates.parameters_of(told))
    return candidates.parts_hash(fitted_parts(kind, config, rows, told["as_of"]))


def fitted_parts(kind: ModelKind, config: Any, rows: pa.Table, as_of: Any) -> pa.Table:
    """What is stored of the model fitted to the rows of the days up to ``as_of``."""
    known = rows_between(rows, through=as_of)
    days = first_and_last_day(known)
    return kind.build(config).fit(known, as_of=days[1] if days else as_of).parts()


def _stored(
    told: Row, kind: ModelKind, config: Any, als_model: ibis.Table, rows: pa.Table | ibis.Table, sample: gather.Sample
) -> _Stored:
    vectors = als_model.filter(als_model.model_version == (told["als_version"] or "")).drop("model_version")
    if isinstance(rows, ibis.Table):
        people = ibis.memtable(pa.table({"id": sample.people}))
        of_sample = vectors.filter(vectors.side == "person").semi_join(people, "id")
        parts = candidates.together(vectors.filter(vectors.side == "item").union(of_sample).to_pyarrow(), None)
        _require(parts, told)
        length = pc.max(pc.list_value_length(parts["factors"])).as_py()
        return _Stored(parts, told["parts"] * length * 4 / 1e6, None)
    if told["als_version"] is None:
        refit = fitted_parts(kind, config, rows, told["as_of"])
        return _Stored(refit, gather.megabytes(refit), candidates.parts_hash(refit))
    parts = candidates.together(vectors.to_pyarrow(), told["payload"])
    _require(parts, told)
    return _Stored(parts, gather.megabytes(parts), None)


def _require(parts: pa.Table, told: Row) -> None:
    if parts.num_rows == 0:
        raise candidates.CandidateError(
            f"als_model holds no vectors of version {told['als_version']}, which the candidate is made of; materialize "
            "als_model and candidate together (job retrain_model)"
        )


def _restored(kind: ModelKind, config: Any, parts: pa.Table, rows: pa.Table | ibis.Table) -> Recommends:
    if isinstance(rows, ibis.Table):
        return ALS.from_factors(parts)
    return kind.build(config).restore(parts.cast(PARTS), rows)


def _lists(model: Recommends, shop: Shop, rows: pa.Table | ibis.Table, sample: gather.Sample, k: int) -> Lists:
    items = shop.item_features
    for_sale = items.filter((items.kind == "product") & items.available).select("item_id").to_pyarrow()["item_id"]
    popular = Popularity().fit(rows)
    recent = Popularity(PopularityConfig(window_days=RECENT_DAYS)).fit(rows)
    allowed = for_sale.combine_chunks()
    own, rest, most_bought, took = gather.served(model, sample, popular, recent, allowed, k)
    buyers = gather.buyers_of(popular, int(items.count().to_pyarrow().as_py()))
    return gather.judged_lists(own, rest, most_bought, sample, buyers, allowed, took)


def _is_of(board: Board, told: Mapping[str, Any]) -> bool:
    """Whether what stands on the leaderboard under the candidate's name has its parameters."""
    costs = board.model_costs
    own = pc.unique(costs.filter(pc.equal(costs["model"], told["model"]))["parameters"]).to_pylist()
    return bool(own) and all(candidates.same_parameters(text, told["parameters"]) for text in own)


def _paired(board: Board | None, told: Row, against: str, *, segment: str = "all") -> Paired | None:
    return board and gather.paired(board.model_comparisons, told["model"], against, segment=segment)


def _fit_megabytes(costs: pa.Table, model: str) -> float:
    """The most that a fit on the leaderboard took; 0 where it was not measured."""
    return (pc.max(costs.filter(pc.equal(costs["model"], model))["fit_peak_bytes"]).as_py() or 0) / 1e6
