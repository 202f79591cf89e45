"""A candidate put to the test: restored from what is stored of it, fitted again, asked for lists."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.recommender import candidates, champions
from trasos_assets.recommender.attributes import attributes_for
from trasos_assets.recommender.champions import FALLBACK, Row
from trasos_assets.recommender.done import gather
from trasos_assets.recommender.done.model import Evidence, Lists, Paired
from trasos_assets.recommender.models import ALS, Popularity, PopularityConfig
from trasos_assets.recommender.models.base import PARTS, Recommends
from trasos_assets.recommender.models.registry import RECENT_DAYS, ModelKind, configured, kind_of, plain
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
    told: Row, shop: Shop, rows: pa.Table | ibis.Table, board: Board, history: Sequence[Row], *, k: int
) -> Evidence:
    """All that a candidate is judged by, but a second fit to tell whether it is reproducible: see ``refitted_hash``.

    ``told`` is its row of the contract candidate, ``rows`` the training rows as its engine takes them, ``history``
    those of champion. Lists are ``k`` long.

    Raises:
        CandidateError: what is stored of it is not there.
    """
    kind = kind_of(told["model"])
    config = configured(kind.name, candidates.parameters_of(told))
    sample = gather.sample_of(shop.training_interactions, shop.customer_features)
    items = attributes_for([kind.name], shop.item_features)
    stored = _stored(told, kind, config, shop.als_model, rows, items, sample)
    not_finite = gather.not_finite(stored.parts)
    lists = NOBODY
    if not not_finite:
        model = _restored(kind, config, stored.parts, rows, items)
        lists = _lists(model, shop, rows, sample, k)
    known, pairs = (None, 0) if not_finite else gather.known_pairs(stored.parts, sample.rows)
    compared = board if _is_of(board, told) else None
    champion, foreign = to_beat(history, on_spark=isinstance(rows, ibis.Table))
    return Evidence(
        model=told["model"],
        against_popularity=_paired(compared, told, FALLBACK),
        against_champion=_paired(compared, told, CHAMPION_NAME),
        champion=champion["model_version"] if champion else None,
        serves=bool(champion) and champion["model_version"] == told["model_version"],
        same_model=bool(champion)
        and champion["model"] == told["model"]
        and candidates.same_parameters(champion["parameters"], told["parameters"]),
        champion_through=champions.known_through(history, champion["model_version"]) if champion else None,
        champion_is_on_board=champion is not None and _is_on_board(board, champion),
        rolled_back=champions.was_rolled_back_to(history),
        cannot_serve_here=foreign,
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


def to_beat(history: Sequence[Row], *, on_spark: bool) -> tuple[Row | None, str | None]:
    """The row of the champion that a candidate is held against; None for the fallback.

    Nor is it one that Spark can neither serve nor fit, to be compared with: its model is the second value then.
    """
    serving = champions.serving(history)
    if serving is None or serving["model"] == FALLBACK:
        return None, None
    if on_spark and not kind_of(serving["model"]).on_spark:
        return None, serving["model"]
    return serving, None


def refitted_hash(told: Row, rows: pa.Table | ibis.Table, item_features: ibis.Table) -> str | None:
    """The hash of what a second fit to the days up to ``as_of`` stores; None on Spark, where it costs too much."""
    if isinstance(rows, ibis.Table):
        return None
    kind = kind_of(told["model"])
    config = configured(kind.name, candidates.parameters_of(told))
    items = attributes_for([kind.name], item_features)
    return candidates.parts_hash(fitted_parts(kind, config, rows, items, told["as_of"]))


def fitted_parts(kind: ModelKind, config: Any, rows: pa.Table, items: pa.Table | None, as_of: Any) -> pa.Table:
    """What is stored of the model fitted to the rows of the days up to ``as_of``; ``items`` as ``ModelKind.build``."""
    known = rows_between(rows, through=as_of)
    days = first_and_last_day(known)
    return kind.build(config, items=items).fit(known, as_of=days[1] if days else as_of).parts()


def _stored(
    told: Row,
    kind: ModelKind,
    config: Any,
    als_model: ibis.Table,
    rows: pa.Table | ibis.Table,
    items: pa.Table | None,
    sample: gather.Sample,
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
        refit = fitted_parts(kind, config, rows, items, told["as_of"])
        return _Stored(refit, gather.megabytes(refit), candidates.parts_hash(refit))
    parts = candidates.together(vectors.to_pyarrow(), told["payload"])
    _require(parts, told)
    return _Stored(parts, gather.megabytes(parts), None)


def _require(parts: pa.Table, told: Row) -> None:
    if parts.num_rows == 0:
        raise candidates.CandidateError(candidates.no_vectors(told))


def _restored(
    kind: ModelKind, config: Any, parts: pa.Table, rows: pa.Table | ibis.Table, items: pa.Table | None
) -> Recommends:
    if isinstance(rows, ibis.Table):
        return ALS.from_factors(parts)
    return kind.build(config, items=items).restore(parts.cast(PARTS), rows)


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
    return _all_have(board, told["model"], told["parameters"])


def _is_on_board(board: Board, serving: Row) -> bool:
    """Whether the champion on the leaderboard is what serves now, by its parameters: no two kinds of models have the
    same ones. The board holds whoever served when it was made."""
    full = plain(configured(serving["model"], candidates.parameters_of(serving)))
    return _all_have(board, CHAMPION_NAME, json.dumps(full))


def _all_have(board: Board, name: str, parameters: str) -> bool:
    costs = board.model_costs
    own = pc.unique(costs.filter(pc.equal(costs["model"], name))["parameters"]).to_pylist()
    return bool(own) and all(candidates.same_parameters(text, parameters) for text in own)


def _paired(board: Board | None, told: Row, against: str, *, segment: str = "all") -> Paired | None:
    return board and gather.paired(board.model_comparisons, told["model"], against, segment=segment)


def _fit_megabytes(costs: pa.Table, model: str) -> float:
    """The most that a fit on the leaderboard took; 0 where it was not measured."""
    return (pc.max(costs.filter(pc.equal(costs["model"], model))["fit_peak_bytes"]).as_py() or 0) / 1e6
