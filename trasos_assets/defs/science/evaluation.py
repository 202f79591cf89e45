"""Models side by side: one fit of each on every fold, and what follows of it by counting."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import ibis

from trasos_assets.contracts.models import (
    CHAMPION,
    CHAMPION_NAME,
    EVALUATIONS,
    LEADERBOARD,
    MEAN_FOLD,
    MODEL_COMPARISONS,
    MODEL_COSTS,
)
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import ANY_TABLE, PROMISE, WARN, WEEKLY, TableCheck, refresh_condition, table
from trasos_assets.settings import get_settings

# What ``recommender.parameters`` reads of the settings; it is not imported here, for it loads the models.
OF_MODELS = ("models", "als_factors", "als_regularization", "als_alpha", "als_iterations", "seed")
BASELINES = ("popularity", "popularity_recent")
K = 10


def _learnt_from_the_truth(evaluations: ibis.Table) -> ibis.Table:
    found = evaluations.filter(evaluations.source_through >= evaluations.truth_from)
    return found.select("model", "fold", "source_through", "truth_from").distinct()


def serving_config(store: LakeStore, *, on_spark: bool) -> tuple[str, Any] | None:
    """Model and config of what serves; None if nothing does, or if it cannot be fitted where the tables are.

    Read from the store and not as an input, for the champion is chosen by what is made of this.
    """
    from trasos_assets.recommender.champions import serving_row
    from trasos_assets.recommender.models.registry import kind_of
    from trasos_assets.recommender.parameters import stored_config

    row = serving_row(store.read(CHAMPION))
    if row is None or (on_spark and not kind_of(row["model"]).on_spark):
        return None
    return row["model"], stored_config(row["model"], row["parameters"])


@table(
    EVALUATIONS,
    tags=WEEKLY,
    parameters=(*OF_MODELS, "test_days", "folds"),
    kinds=("implicit",),
    checks=[
        TableCheck(
            "no_model_learns_from_its_truth",
            _learnt_from_the_truth,
            "The last day in the rows that a model was fitted to lies before the first purchase that it is judged by.",
            blocking=True,
        )
    ],
)
def evaluations(
    training_interactions: ibis.Table, trials: ibis.Table, catalogue: ibis.Table, store: LakeStore
) -> ibis.Table:
    """Fit every competing model, and the champion's parameters, on every fold; judge each person's lists."""
    from trasos_assets.recommender.attributes import attributes_for
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.evaluation import evaluate
    from trasos_assets.recommender.models.registry import kind_of
    from trasos_assets.recommender.parameters import blind_trials, configured_models

    settings = get_settings()
    engine = model_engine(training_interactions)
    on_spark = training_interactions.get_backend().name == "pyspark"

    def build(name: str, config: Any) -> Any:
        return engine.als(config) if name == "als" else kind_of(name).build(config, items=items)

    rows = engine.rows(training_interactions)
    configs = configured_models(settings, blind_trials(trials.to_pyarrow(), rows, settings), on_spark=on_spark)
    serving = serving_config(store, on_spark=on_spark)
    items = attributes_for([*configs, *([serving[0]] if serving else [])], catalogue)
    models = {name: build(name, config) for name, config in configs.items()}
    aliases = {}
    if serving is not None:
        name, config = serving
        if configs.get(name) == config:
            aliases[CHAMPION_NAME] = name
        else:
            models[CHAMPION_NAME] = build(name, config)
    return ibis.memtable(
        evaluate(
            rows,
            models=models,
            test_days=settings.test_days,
            folds=settings.folds,
            categories=catalogue.select("item_id", "category").to_pyarrow(),
            aliases=aliases,
        )
    )


def _lost_to_popularity(leaderboard: ibis.Table) -> ibis.Table:
    judged = leaderboard.filter(
        (leaderboard.metric == "ndcg")
        & (leaderboard.k == K)
        & (leaderboard.segment == "all")
        & (leaderboard.fold == MEAN_FOLD)
    )
    is_baseline = judged.model.isin(BASELINES)
    popular = judged.filter(is_baseline).group_by("target").agg(popularity=judged["value"].max())
    best = judged.filter(~is_baseline).group_by("target").agg(best=judged["value"].max())
    joined = best.inner_join(popular, "target")
    return joined.filter(joined.best <= joined.popularity).select("target", "best", "popularity")


def _future_known(leaderboard: ibis.Table) -> ibis.Table:
    found = leaderboard.filter(leaderboard.source_through >= leaderboard.truth_from)
    return found.select("model", "fold", "source_through", "truth_from").distinct()


@table(
    LEADERBOARD,
    tags=WEEKLY,
    parameters=("seed",),
    checks=[
        TableCheck(
            "a_model_beats_popularity",
            _lost_to_popularity,
            "On a global time split the NDCG@10 of some model is above that of every popularity baseline.",
            severity=WARN,
        ),
        TableCheck(
            "truth_lies_after_what_was_learnt",
            _future_known,
            "Every row's last day learnt from lies before its first day of truth.",
            blocking=True,
        ),
    ],
)
def leaderboard(evaluations: ibis.Table) -> ibis.Table:
    """Means over people and their intervals."""
    from trasos_assets.recommender import standings

    return ibis.memtable(standings.leaderboard(evaluations.to_pyarrow(), seed=get_settings().seed))


@table(MODEL_COMPARISONS, tags=WEEKLY, parameters=("seed",))
def model_comparisons(evaluations: ibis.Table) -> ibis.Table:
    """Every model against the baselines and the champion, person by person."""
    from trasos_assets.recommender import standings

    found = standings.comparisons(evaluations.to_pyarrow(), baselines=BASELINES, seed=get_settings().seed)
    return ibis.memtable(found)


@table(MODEL_COSTS, tags=WEEKLY)
def model_costs(evaluations: ibis.Table) -> ibis.Table:
    """What the fits took."""
    from trasos_assets.recommender import standings

    return ibis.memtable(standings.costs(evaluations.to_pyarrow()))


_PAGE_TABLES = (LEADERBOARD.name, MODEL_COMPARISONS.name, MODEL_COSTS.name)
_STANDS_ALONE = "page_stands_alone"


def _write(tables: dict[str, ibis.Table], lake: Lake):
    from trasos_assets.reports.leaderboard import write_leaderboard

    return write_leaderboard({name: tables[name].to_pyarrow() for name in _PAGE_TABLES}, lake.settings.reports_dir)


@dg.asset(
    ins={name: dg.AssetIn(key=name, dagster_type=ANY_TABLE, input_manager_key="lake_io") for name in _PAGE_TABLES},
    description="Models with their intervals, against each other, by segment and fold, as one offline page.",
    kinds={"plotly", "html"},
    code_version=source_digest(_write),
    freshness_policy=PROMISE,
    automation_condition=refresh_condition(),
    check_specs=[
        dg.AssetCheckSpec(_STANDS_ALONE, asset="leaderboard_page", description="The page asks nothing of the network.")
    ],
)
def leaderboard_page(lake: Lake, **tables: ibis.Table) -> Iterator[Any]:
    """Write the page from the published tables."""
    page = _write(tables, lake)
    html = page.read_text()
    yield dg.Output(
        None, metadata={"page": dg.MetadataValue.url(page.as_uri()), "path": dg.MetadataValue.path(str(page))}
    )
    outside = [part for part in ('src="http', 'href="http', "@import", "url(http") if part in html]
    yield dg.AssetCheckResult(
        check_name=_STANDS_ALONE,
        passed=not outside,
        severity=WARN,
        metadata={"points_outside": ", ".join(outside) or "no"},
    )
