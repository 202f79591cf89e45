"""Factors of people and items, learned from everything that is known: alone a model, and a part of the blend."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import ibis

from trasos_assets.contracts.models import ALS_MODEL
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.table import WEEKLY, table
from trasos_assets.settings import get_settings

MODEL_SETTINGS = ("als_factors", "als_regularization", "als_alpha", "als_iterations", "seed", "test_days", "folds")
"""Settings that decide on configs, and on the trials that may: parameters of every table that is made with them."""


@table(ALS_MODEL, tags=WEEKLY, parameters=MODEL_SETTINGS, kinds=("implicit",))
def als_model(training_interactions: ibis.Table, trials: ibis.Table) -> ibis.Table:
    """Factors of people and items; no rows while there is nothing to learn from."""
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.parameters import blind_trials, model_config
    from trasos_assets.recommender.splits import first_and_last_day
    from trasos_assets.recommender.versions import model_version

    engine = model_engine(training_interactions)
    rows = engine.rows(training_interactions)
    if first_and_last_day(rows) is None:
        return ibis.memtable([], schema=dict(ALS_MODEL.types))
    config = model_config("als", get_settings(), blind_trials(trials.to_pyarrow(), rows, get_settings()))
    inputs = {"training_interactions": engine.fingerprint(rows), "code": source_digest(engine.als.fit)}
    factors = engine.factors(engine.als(config).fit(rows))
    return factors.mutate(model_version=ibis.literal(model_version(inputs, config)))
