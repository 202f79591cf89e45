"""The model, its standing against the baselines, and the pointer to what serves."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import ibis

from trasos_assets.contracts.science import ALS_MODEL, CHAMPION, LEADERBOARD
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.table import WARN, WEEKLY, TableCheck, table
from trasos_assets.settings import get_settings

ALS_PARAMETERS = ("als_factors", "als_regularization", "als_alpha", "als_iterations", "seed")


def _als_config():
    from trasos_assets.recommender.models import ALSConfig

    settings = get_settings()
    return ALSConfig(
        factors=settings.als_factors,
        regularization=settings.als_regularization,
        alpha=settings.als_alpha,
        iterations=settings.als_iterations,
        seed=settings.seed,
    )


@table(ALS_MODEL, tags=WEEKLY, parameters=ALS_PARAMETERS, kinds=("implicit",))
def als_model(training_interactions: ibis.Table) -> ibis.Table:
    """Factors of people and items; no rows while there is nothing to learn from."""
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.splits import first_and_last_day
    from trasos_assets.recommender.versions import model_version

    engine = model_engine(training_interactions)
    rows = engine.rows(training_interactions)
    if first_and_last_day(rows) is None:
        return ibis.memtable([], schema=dict(ALS_MODEL.types))
    config = _als_config()
    inputs = {"training_interactions": engine.fingerprint(rows), "code": source_digest(engine.als.fit)}
    factors = engine.factors(engine.als(config).fit(rows))
    return factors.mutate(model_version=ibis.literal(model_version(inputs, config)))


def _lost_to_popularity(leaderboard: ibis.Table) -> ibis.Table:
    judged = leaderboard.filter((leaderboard.metric == "ndcg") & (leaderboard.k == 10))
    als = judged.filter(judged.model == "als").select("target", als="value")
    best = judged.filter(judged.model != "als").group_by("target").agg(popularity=judged.value.max())
    joined = als.inner_join(best, "target")
    return joined.filter(joined.als <= joined.popularity).select("target", "als", "popularity")


@table(
    LEADERBOARD,
    tags=WEEKLY,
    parameters=(*ALS_PARAMETERS, "test_days"),
    checks=[
        TableCheck(
            "als_beats_popularity",
            _lost_to_popularity,
            "On a global time split the model's NDCG@10 is above that of every popularity baseline.",
            severity=WARN,
        )
    ],
)
def leaderboard(training_interactions: ibis.Table) -> ibis.Table:
    """Every model on every target by a global time split."""
    from trasos_assets.recommender import evaluation
    from trasos_assets.recommender.engines import model_engine

    engine = model_engine(training_interactions)
    models = evaluation.default_models(_als_config(), engine.als)
    rows = engine.rows(training_interactions)
    return ibis.memtable(evaluation.leaderboard(rows, models=models, test_days=get_settings().test_days))


@table(CHAMPION, tags=WEEKLY)
def champion(als_model: ibis.Table, leaderboard: ibis.Table, watermark: ibis.Table) -> ibis.Table:
    """The model that serves: ALS once it has factors, popularity until then.

    The definition of done that a candidate must pass stands in front of this pointer as it is built; today every
    fitted model becomes champion, and the leaderboard's check warns when it loses to popularity.
    """
    versions = als_model.select("model_version").distinct()
    fitted = versions.count() > 0
    return watermark.select(
        model=ibis.ifelse(fitted.as_scalar(), "als", "popularity"),
        model_version=ibis.coalesce(versions.model_version.max().as_scalar(), "popularity"),
        reason=ibis.ifelse(fitted.as_scalar(), "latest fitted model", "no model could be fitted yet"),
        as_of="data_through",
    )
