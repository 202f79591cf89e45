"""The gate: a model asks to serve, must be what the definition of done says, and only then becomes champion."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ibis

from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.models import CANDIDATE, CHAMPION, CHAMPION_MODEL, DEFINITION_OF_DONE
from trasos_assets.defs.science.models import MODEL_SETTINGS
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import WARN, WEEKLY, TableCheck, table
from trasos_assets.recommender.definition_of_done import CRITERIA
from trasos_assets.settings import get_settings

THRESHOLDS = tuple(sorted({name for criterion in CRITERIA for name in criterion.settings}))


def _rows(table_: ibis.Table) -> list[dict[str, Any]]:
    return table_.to_pyarrow().to_pylist()


def _empty(contract: Contract) -> ibis.Table:
    return ibis.memtable([], schema=dict(contract.types))


def _of(contract: Contract, rows: list[dict[str, Any]]) -> ibis.Table:
    import pyarrow as pa

    schema = ibis.schema(contract.types).to_pyarrow()
    return ibis.memtable(pa.Table.from_pylist([{n: row[n] for n in schema.names} for row in rows], schema=schema))


@table(CANDIDATE, tags=WEEKLY, parameters=(*MODEL_SETTINGS, "candidate"))
def candidate(
    training_interactions: ibis.Table,
    als_model: ibis.Table,
    trials: ibis.Table,
    item_features: ibis.Table,
    watermark: ibis.Table,
) -> ibis.Table:
    """Fit the model that asks to serve to all that is known; the factors of als_model are its own where it has any."""
    from trasos_assets.recommender import candidates
    from trasos_assets.recommender.attributes import attributes_for
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.models.registry import plain
    from trasos_assets.recommender.parameters import blind_trials, model_config
    from trasos_assets.recommender.splits import first_and_last_day
    from trasos_assets.recommender.versions import model_version

    engine = model_engine(training_interactions)
    rows = engine.rows(training_interactions)
    window, reached = first_and_last_day(rows), _rows(watermark)
    if window is None or not reached:
        return _empty(CANDIDATE)
    kind = candidates.chosen(get_settings().candidate, on_spark=isinstance(rows, ibis.Table))
    config = model_config(kind.name, get_settings(), blind_trials(trials.to_pyarrow(), rows, get_settings()))
    versions = _rows(als_model.select("model_version").distinct())
    als_version = versions[0]["model_version"] if versions else None
    source = engine.fingerprint(rows)
    if kind.name == candidates.ALS:
        if als_version is None:
            return _empty(CANDIDATE)
        own = als_model.drop("model_version")
        parts = None if isinstance(rows, ibis.Table) else candidates.together(own.to_pyarrow(), None)
        count, code, version = int(own.count().to_pyarrow().as_py()), source_digest(engine.als.fit), als_version
    else:
        items = attributes_for([kind.name], item_features)
        model: Any = kind.build(config, items=items)
        als = {"training_interactions": source, "code": source_digest(engine.als.fit)}
        if als_version is not None and als_version == model_version(als, getattr(config, "als", {})):
            # It is a part of this model, and was fitted already to the same rows with the same parameters.
            held = engine.als.from_factors(als_model.to_pyarrow(), config.als)
            parts = model.fit(rows, as_of=window[1], als=held).parts()
        else:
            parts = model.fit(rows, as_of=window[1]).parts()
        count, code = parts.num_rows, source_digest(type(model).fit)
        made_of = {"training_interactions": source, "code": code, "model": kind.name}
        if items is not None:
            made_of["item_attributes"] = engine.fingerprint(items)
        version = model_version(made_of, config)
        vectors = candidates.vectors_of(parts)
        # Whether the vectors are those that als_model holds already.
        theirs = als_model.drop("model_version").to_pyarrow()
        hashes = [candidates.parts_hash(candidates.together(each, None)) for each in (vectors, theirs)]
        als_version = als_version if vectors.num_rows and hashes[0] == hashes[1] else None
    told = {
        "model": kind.name,
        "model_version": version,
        "parameters": json.dumps(plain(config), sort_keys=True),
        "payload": None if parts is None else candidates.payload_of(parts),
        "als_version": als_version,
        "parts": count,
        "parts_hash": None if parts is None else candidates.parts_hash(parts),
        "rows": int(training_interactions.count().to_pyarrow().as_py()),
        "first_day": window[0],
        "last_day": window[1],
        "source_hash": source,
        "code_version": code,
        "as_of": reached[0]["data_through"],
    }
    return _of(CANDIDATE, [told])


def _fails(criterion: str) -> Callable[[ibis.Table], ibis.Table]:
    def find(definition_of_done: ibis.Table) -> ibis.Table:
        own = definition_of_done.filter(definition_of_done.criterion == criterion)
        return own.filter(own.judged & ~own.passed).select("value", "threshold", "reason", "model", "model_version")

    return find


@table(
    DEFINITION_OF_DONE,
    tags=WEEKLY,
    parameters=(*THRESHOLDS, "top_k"),
    checks=[
        TableCheck(
            criterion.name,
            _fails(criterion.name),
            f"{criterion.must} Asked for by {criterion.owner}, who must act.",
            severity=WARN,
        )
        for criterion in CRITERIA
    ],
)
def definition_of_done(
    candidate: ibis.Table,
    als_model: ibis.Table,
    training_interactions: ibis.Table,
    item_features: ibis.Table,
    customer_features: ibis.Table,
    leaderboard: ibis.Table,
    model_comparisons: ibis.Table,
    model_costs: ibis.Table,
    store: LakeStore,
) -> ibis.Table:
    """Put the candidate to the test and give every criterion its verdict."""
    from trasos_assets.recommender.definition_of_done import Thresholds, is_done, judged
    from trasos_assets.recommender.done.examine import Board, Shop, examine, refitted_hash
    from trasos_assets.recommender.engines import model_engine

    asked = _rows(candidate)
    if not asked:
        return _empty(DEFINITION_OF_DONE)
    told, settings = asked[0], get_settings()
    rows = model_engine(training_interactions).rows(training_interactions)
    evidence = examine(
        told,
        Shop(training_interactions, als_model, item_features, customer_features),
        rows,
        Board(*(each.to_pyarrow() for each in (leaderboard, model_comparisons, model_costs))),
        _rows(store.read(CHAMPION)),
        k=settings.top_k,
    )
    thresholds = Thresholds(
        margin=settings.non_inferiority_margin,
        reason=settings.non_inferiority_reason,
        people=settings.done_people,
        coverage=settings.done_coverage,
        popularity=settings.done_popularity,
        latency_ms=settings.done_latency_ms,
        memory_mb=settings.done_memory_mb,
    )
    verdicts = judged(evidence, thresholds)
    if is_done(verdicts) and evidence.refit_hash is None:
        # The dearest question comes last, and only where the answer decides.
        verdicts = judged(replace(evidence, refit_hash=refitted_hash(told, rows, item_features)), thresholds)
    own = {name: told[name] for name in ("model", "model_version", "as_of")}
    return _of(DEFINITION_OF_DONE, [row | own for row in verdicts])


def _after(
    history: list[dict[str, Any]], candidate: ibis.Table, definition_of_done: ibis.Table, as_of: Any
) -> list[dict[str, Any]]:
    """The history as it is once the candidate was judged: with it as last row if it is done and new."""
    from trasos_assets.recommender import champions
    from trasos_assets.recommender.definition_of_done import is_done

    asked = next(iter(_rows(candidate)), None)
    verdicts = _rows(definition_of_done)
    same = asked is not None and all(row["model_version"] == asked["model_version"] for row in verdicts)
    why = "; ".join(row["reason"] for row in verdicts if row["criterion"].startswith(("beats_", "holds_")))
    return champions.promoted(history, asked, passed=same and is_done(verdicts), reason=why, as_of=as_of)


@table(CHAMPION_MODEL, tags=WEEKLY, parameters=("keep_models",))
def champion_model(
    candidate: ibis.Table,
    definition_of_done: ibis.Table,
    als_model: ibis.Table,
    training_interactions: ibis.Table,
    item_features: ibis.Table,
    store: LakeStore,
) -> ibis.Table:
    """Keep what is stored of the versions that served last, and of the candidate that is done before it serves; people
    whom the lake no longer knows go from all."""
    from trasos_assets.recommender import candidates, champions
    from trasos_assets.recommender.attributes import attributes_for
    from trasos_assets.recommender.done.examine import fitted_parts
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.models.registry import configured, kind_of

    history, there = _rows(store.read(CHAMPION)), store.read(CHAMPION_MODEL)
    after = _after(history, candidate, definition_of_done, None)
    versions = champions.versions_to_keep(history, after, get_settings().keep_models)
    stored = champions.stored_versions(there)
    fresh: dict[str, ibis.Table] = {}
    for told in _rows(candidate):
        version = told["model_version"]
        if version not in versions or told["parts"] == 0:
            continue
        if told["als_version"] is None:
            if version not in stored:
                kind, config = kind_of(told["model"]), configured(told["model"], candidates.parameters_of(told))
                rows = model_engine(training_interactions).rows(training_interactions)
                items = attributes_for([kind.name], item_features)
                fresh[version] = ibis.memtable(fitted_parts(kind, config, rows, items, told["as_of"]))
            continue
        vectors = als_model.filter(als_model.model_version == told["als_version"]).drop("model_version")
        if version not in stored and vectors.limit(1).to_pyarrow().num_rows == 0:
            raise candidates.CandidateError(candidates.no_vectors(told))
        texts = candidates.payload_rows(told["payload"])
        own = vectors.mutate(payload=ibis.null("string"))
        fresh[version] = own.union(ibis.memtable(texts)) if texts.num_rows else own
    return champions.next_parts(there, versions, training_interactions.select("person_id"), fresh)


@table(CHAMPION, tags=WEEKLY)
def champion(
    candidate: ibis.Table,
    definition_of_done: ibis.Table,
    champion_model: ibis.Table,
    watermark: ibis.Table,
    store: LakeStore,
) -> ibis.Table:
    """Append the candidate that is done and new; refused, it leaves the history as it is, and what serves serving."""
    from trasos_assets.recommender import champions

    history, reached = _rows(store.read(CHAMPION)), _rows(watermark)
    if not reached:
        return _of(CHAMPION, history)
    rows = _after(history, candidate, definition_of_done, reached[0]["data_through"])
    if len(rows) > len(history):
        champions.require_stored(rows[-1], champions.stored_versions(champion_model))
    return _of(CHAMPION, rows)
