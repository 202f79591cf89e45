"""The gate: a model asks to serve, must be what the definition of done says, and only then becomes champion."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import dagster as dg
import ibis

from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.models import CANDIDATE, CHAMPION, CHAMPION_MODEL, DEFINITION_OF_DONE
from trasos_assets.defs.science.models import MODEL_SETTINGS
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import ANY_TABLE, WARN, WEEKLY, TableCheck, freshness_policy, table
from trasos_assets.recommender.definition_of_done import CRITERIA
from trasos_assets.settings import get_settings

THRESHOLDS = tuple(sorted({name for criterion in CRITERIA for name in criterion.settings}))
_CARD_IS_WHOLE = "card_is_whole"
CARD_TABLES = ("candidate", "definition_of_done", "champion", "leaderboard", "model_comparisons", "model_costs")


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
    training_interactions: ibis.Table, als_model: ibis.Table, trials: ibis.Table, watermark: ibis.Table
) -> ibis.Table:
    """Fit the model that asks to serve to all that is known; the factors of als_model are its own where it has any."""
    from trasos_assets.recommender import candidates
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
        model: Any = kind.build(config)
        als = {"training_interactions": source, "code": source_digest(engine.als.fit)}
        if als_version is not None and als_version == model_version(als, getattr(config, "als", {})):
            # It is a part of this model, and was fitted already to the same rows with the same parameters.
            held = engine.als.from_factors(als_model.to_pyarrow(), config.als)
            parts = model.fit(rows, as_of=window[1], als=held).parts()
        else:
            parts = model.fit(rows, as_of=window[1]).parts()
        count, code = parts.num_rows, source_digest(type(model).fit)
        version = model_version({"training_interactions": source, "code": code, "model": kind.name}, config)
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
            criterion.name, _fails(criterion.name), f"{criterion.must} Asked for by {criterion.owner}, who must act."
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
    from trasos_assets.recommender import champions
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
        champions.serving(_rows(store.read(CHAMPION))),
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
        verdicts = judged(replace(evidence, refit_hash=refitted_hash(told, rows)), thresholds)
    own = {name: told[name] for name in ("model", "model_version", "as_of")}
    return _of(DEFINITION_OF_DONE, [row | own for row in verdicts])


@table(CHAMPION, tags=WEEKLY)
def champion(
    candidate: ibis.Table, definition_of_done: ibis.Table, watermark: ibis.Table, store: LakeStore
) -> ibis.Table:
    """Append the candidate that is done and new; refused, it leaves the history as it is, and what serves serving."""
    from trasos_assets.recommender import champions
    from trasos_assets.recommender.definition_of_done import is_done

    history, reached = _rows(store.read(CHAMPION)), _rows(watermark)
    if not reached:
        return _of(CHAMPION, history)
    asked = next(iter(_rows(candidate)), None)
    verdicts = _rows(definition_of_done)
    same = asked is not None and all(row["model_version"] == asked["model_version"] for row in verdicts)
    why = "; ".join(row["reason"] for row in verdicts if row["criterion"].startswith(("beats_", "holds_")))
    rows = champions.promoted(
        history, asked, passed=same and is_done(verdicts), reason=why, as_of=reached[0]["data_through"]
    )
    return _of(CHAMPION, rows)


@table(CHAMPION_MODEL, tags=WEEKLY, parameters=("keep_models",))
def champion_model(
    champion: ibis.Table,
    candidate: ibis.Table,
    als_model: ibis.Table,
    training_interactions: ibis.Table,
    store: LakeStore,
) -> ibis.Table:
    """Keep what is stored of the versions that served last; people whom the lake no longer knows go from all."""
    from trasos_assets.recommender import candidates, champions
    from trasos_assets.recommender.done.examine import fitted_parts
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.models.registry import configured, kind_of

    versions = champions.kept_versions(_rows(champion), get_settings().keep_models)
    fresh: dict[str, ibis.Table] = {}
    for told in _rows(candidate):
        if told["model_version"] not in versions or told["parts"] == 0:
            continue
        vectors = als_model.filter(als_model.model_version == (told["als_version"] or "")).drop("model_version")
        texts = candidates.payload_rows(told["payload"])
        if told["als_version"] is None:
            kind = kind_of(told["model"])
            rows = model_engine(training_interactions).rows(training_interactions)
            parts = fitted_parts(kind, configured(kind.name, candidates.parameters_of(told)), rows, told["as_of"])
            fresh[told["model_version"]] = ibis.memtable(parts)
            continue
        stored = vectors.mutate(payload=ibis.null("string"))
        fresh[told["model_version"]] = stored.union(ibis.memtable(texts)) if texts.num_rows else stored
    people = training_interactions.select("person_id")
    return champions.next_parts(store.read(CHAMPION_MODEL), versions, people, fresh)


def _write_card(tables: dict[str, ibis.Table], lake: Lake) -> tuple[Any, dict[str, Any]] | None:
    from trasos_assets.recommender import champions
    from trasos_assets.reports.model_card import FOLDER, card_of, write_card

    (lake.settings.reports_dir / FOLDER).mkdir(parents=True, exist_ok=True)
    rows = {name: _rows(each) for name, each in tables.items()}
    history, told = rows["champion"], next(iter(rows["candidate"]), {})
    serving, version = champions.serving(history), told.get("model_version", "")
    card = card_of(
        rows,
        serves=serving is not None and serving["model_version"] == version,
        promoted=next((row["reason"] for row in history if row["model_version"] == version), None),
        signed_by=champions.signatures(history, version),
    )
    return None if card is None else (write_card(card, lake.settings.reports_dir), card)


@dg.asset(
    ins={name: dg.AssetIn(key=name, dagster_type=ANY_TABLE, input_manager_key="lake_io") for name in CARD_TABLES},
    description="The candidate's card: data, code, parameters, figures with intervals, verdicts, limits, sign-off.",
    kinds={"html", "json"},
    code_version=source_digest(_write_card),
    freshness_policy=freshness_policy(CANDIDATE),
    tags=WEEKLY,
    check_specs=[
        dg.AssetCheckSpec(
            _CARD_IS_WHOLE,
            asset="model_card",
            description="The card holds a verdict on every criterion, and figures of the model it is about.",
        )
    ],
)
def model_card(context: dg.AssetExecutionContext, lake: Lake, **tables: ibis.Table) -> Iterator[Any]:
    """Write the card beside those of earlier candidates; none before there is a candidate."""
    written = _write_card(tables, lake)
    if written is None:
        context.log.info("there is no candidate yet, and so no card")
        yield dg.Output(None)
        yield dg.AssetCheckResult(check_name=_CARD_IS_WHOLE, passed=True, description="no candidate, no card")
        return
    page, card = written
    yield dg.Output(
        None,
        metadata={
            "page": dg.MetadataValue.url(page.as_uri()),
            "path": dg.MetadataValue.path(str(page)),
            "model": card["model"],
            "model_version": card["model_version"],
            "serves": card["serves"],
            "refused": "; ".join(card["refused"]) or "no",
        },
    )
    from trasos_assets.reports.model_card import card_lacks

    lacking = card_lacks(card, [criterion.name for criterion in CRITERIA])
    yield dg.AssetCheckResult(
        check_name=_CARD_IS_WHOLE,
        passed=not lacking,
        severity=WARN,
        description=f"the card of {card['model_version']} lacks {', '.join(lacking)}" if lacking else None,
        metadata={"lacks": ", ".join(lacking) or "nothing"},
    )
