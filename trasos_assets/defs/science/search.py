"""The search over models' parameters: its trials as a table that grows, and the page about them."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import ibis

from trasos_assets.contracts.models import TRIALS
from trasos_assets.lake.store import LakeStore
from trasos_assets.lake.table import SCHEDULED, WARN, TableCheck, table
from trasos_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    import pyarrow as pa

    from trasos_assets.recommender.search import Plan, Step


def _nothing_worked(trials: ibis.Table) -> ibis.Table:
    studies = trials.group_by(["study", "model"]).agg(
        trials=trials.count(), complete=(trials.state == "complete").sum(), reason=trials.reason.max()
    )
    return studies.filter(studies.complete == 0).select("model", "trials", "reason")


def chosen_models(settings: Settings, *, on_spark: bool = False) -> list[str]:
    """The models that are searched, by name: those of the settings, else all that have a space.

    ``SearchError`` for one that has none, or that cannot be fitted where the tables are.
    """
    from trasos_assets.recommender.models.registry import MODELS
    from trasos_assets.recommender.search import SPACES, SearchError

    able = [name for name in SPACES if name in MODELS and (MODELS[name].on_spark or not on_spark)]
    asked = {name.strip() for name in settings.search_models.split(",") if name.strip()}
    if unknown := sorted(asked - set(able)):
        where = " on Spark" if on_spark else ""
        raise SearchError(
            f"TRASOS_SEARCH_MODELS: {', '.join(unknown)} cannot be searched{where}; {', '.join(able)} can"
        )
    # In the order of the spaces: a model that is made of others comes after them.
    return [name for name in able if name in asked or not asked]


def run_search(
    training_interactions: ibis.Table,
    catalogue: ibis.Table,
    store: LakeStore,
    settings: Settings,
    watch: Callable[[Step], None],
) -> pa.Table:
    """Search what the settings ask for, and keep every trial in the lake as soon as it is done; all trials after it.

    The caller holds the lock of the table trials.

    Raises:
        SearchError: a model cannot be searched.
        TooYoungError: there are too few days.
    """
    from trasos_assets.recommender.attributes import attributes_for
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.models.registry import kind_of
    from trasos_assets.recommender.search import search

    engine = model_engine(training_interactions)
    models = chosen_models(settings, on_spark=training_interactions.get_backend().name == "pyspark")
    items = attributes_for(models, catalogue)

    def build(model: str, config: Any) -> Any:
        return engine.als(config) if model == "als" else kind_of(model).build(config, items=items)

    def code(model: str) -> str:
        own = code_of(build(model, kind_of(model).default))
        return f"{own} {engine.fingerprint(items)}" if items is not None and kind_of(model).takes_items else own

    return search(
        engine.rows(training_interactions),
        held_trials(store),
        plan_of(settings, models),
        fingerprint=engine.fingerprint,
        code=code,
        keep=lambda trials: store.write(TRIALS, ibis.memtable(trials)),
        build=build,
        watch=watch,
    )


def plan_of(settings: Settings, models: Sequence[str]) -> Plan:
    """What the settings ask for; a model that is made of others has the best parts found so far."""
    from trasos_assets.recommender.parameters import model_config
    from trasos_assets.recommender.search import Plan

    return Plan(
        models=models,
        trials=settings.search_trials,
        test_days=settings.test_days,
        folds=settings.folds,
        target=settings.search_target,
        seed=settings.seed,
        holdout_folds=settings.folds,
        config=lambda model, trials: model_config(model, settings, trials),
    )


def held_trials(store: LakeStore) -> pa.Table:
    """The trials that are published."""
    return store.read(TRIALS).to_pyarrow()


def code_of(model: Any) -> str:
    """Hash of all code that decides on the value of a trial of this model."""
    from trasos_assets.lake.code import source_digest
    from trasos_assets.recommender.search import objective

    kind = type(model)
    module = inspect.getsource(inspect.getmodule(kind) or kind)
    leans_on = source_digest(kind.fit, kind.recommend, objective.fold_of, objective.value_on)
    return hashlib.sha256(f"{module}\0{leans_on}".encode()).hexdigest()[:16]


def in_words(step: Step) -> str:
    """One line for the log."""
    if step.last is None:
        return f"{step.model}: {step.trials} trials, {step.done} of them are there already"
    outcome = f"{step.last.value:.4f}" if step.last.value is not None else f"{step.last.state}, {step.last.reason}"
    best = "none yet" if step.best is None else f"{step.best:.4f}"
    return f"{step.model} {step.done}/{step.trials}: {outcome} ({step.last.seconds:.1f} s); best {best}"


def write_page(trials: pa.Table, settings: Settings) -> Path:
    """Write ``reports/search.html`` of all trials; returns its path."""
    from trasos_assets.recommender.search.overview import overview
    from trasos_assets.reports.search import write_search

    return write_search(overview(trials), settings.reports_dir)


def report_search(instance: dg.DagsterInstance, trials: pa.Table, *, made: int) -> None:
    """Record a search that was not a run, so that the UI and what is made of the trials know of it."""
    instance.report_runless_asset_event(
        dg.AssetMaterialization(TRIALS.name, metadata={"trials": trials.num_rows, "trials_made": made})
    )


@table(
    TRIALS,
    tags=SCHEDULED,
    kinds=("optuna",),
    checks=[
        TableCheck(
            "every_study_has_a_value",
            _nothing_worked,
            "In every study at least one parameter set could be fitted and judged.",
            severity=WARN,
        )
    ],
)
def trials(training_interactions: ibis.Table, catalogue: ibis.Table, store: LakeStore) -> ibis.Table:
    """Go on with what was interrupted, or search anew where data or code changed; and write the page."""
    from trasos_assets.recommender.search import SearchError, TooYoungError

    settings, log = get_settings(), dg.get_dagster_logger()
    try:
        found = run_search(training_interactions, catalogue, store, settings, lambda step: log.info(in_words(step)))
    except TooYoungError as error:
        log.warning(str(error))
        return store.read(TRIALS)
    except SearchError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    write_page(found, settings)
    return ibis.memtable(found)
