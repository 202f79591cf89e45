"""The platform's functions one after the other on one engine: no Dagster, no lake, every day at once.

The order and the arguments are those of ``trasos_assets/defs``, which only adds files, partitions and checks. A test
that wants to know what the numbers are, and not how they are stored, runs this.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import ibis
from ibis.backends.duckdb import Backend

from trasos_assets.contracts.engineering import INTERACTION_TYPES
from trasos_assets.contracts.landing import ASSIGNMENT, CATALOGUE, FORMATS, MARKETING_SPEND
from trasos_assets.landing import snapshots
from trasos_assets.landing.parse import Delivery, read_deliveries
from trasos_assets.landing.readers import SUFFIXES
from trasos_assets.metrics import acquisition, experiments, funnel, kpis, retention, returns
from trasos_assets.metrics import orders as order_definitions
from trasos_assets.recommender import features
from trasos_assets.recommender.also_bought import also_bought
from trasos_assets.settings import Settings
from trasos_assets.trust import bots, classify, identity
from trasos_assets.trust.identity import person_of_unit, with_person
from trasos_assets.trust.marks import marked_events
from trasos_assets.trust.restatements import restatements

Tables = dict[str, ibis.Table]


def run_without_dagster(landing: Path, settings: Settings) -> Tables:
    """Every table from raw lines to KPIs, features and baskets, by the name of its contract.

    Args:
        landing: the folder with ``<dataset>/dt=YYYY-MM-DD/`` in it.
        settings: rules of the platform; its folders are not used.

    Returns:
        Materialised tables of one in-memory DuckDB backend, which lives as long as one of them is held. Model tables
        are left out: they are fitted on ``training_interactions``.

    Raises:
        FileNotFoundError: ``landing`` holds no files.
        UnreadableFileError: a file cannot be read whole; here nothing waits for it to become so.
    """
    backend = ibis.duckdb.connect()
    backend.raw_sql("SET TimeZone = 'UTC'")
    backend.raw_sql("SET enable_progress_bar = false")
    tables: Tables = {}

    def keep(name: str, expression: ibis.Table) -> None:
        # By SQL text, as the store does it: create_table trips over memtables with some releases of sqlglot.
        backend._run_pre_execute_hooks(expression)
        backend.raw_sql(f'CREATE TABLE "{name}" AS {backend.compile(expression)}')
        tables[name] = backend.table(name)

    first_day = _land(backend, landing, settings, tables)
    _engineering(tables, keep, settings, first_day)
    _analytics(tables, keep)
    _science(tables, keep)
    return tables


def _deliveries(landing: Path, dataset: str) -> list[Delivery]:
    return [
        Delivery(
            hashlib.sha256(path.relative_to(landing).as_posix().encode()).hexdigest()[:16],
            dataset,
            path,
            date.fromisoformat(path.parent.name.removeprefix("dt=")),
        )
        for path in sorted((landing / dataset).glob("dt=*/*"))
        if path.name.endswith(SUFFIXES) and not path.name.startswith((".", "_"))
    ]


def _land(backend: Backend, landing: Path, settings: Settings, tables: Tables) -> date:
    """Read the raw tables; returns the first day of the lake."""
    deliveries = {dataset: _deliveries(landing, dataset) for dataset in FORMATS}
    days = [delivery.received_day for of_dataset in deliveries.values() for delivery in of_dataset]
    if not days:
        raise FileNotFoundError(f"no landed files below {landing}; simulate into this folder first")
    for dataset, of_dataset in deliveries.items():
        tables[f"raw_{dataset}"] = read_deliveries(
            backend,
            dataset,
            of_dataset,
            timezone=settings.timezone,
            max_line_bytes=settings.max_line_bytes,
            max_file_bytes=settings.max_file_bytes,
        )
    return settings.start_date or min(days)


def _engineering(tables: Tables, keep: Callable[[str, ibis.Table], None], settings: Settings, first_day: date) -> None:
    currency = settings.currency
    raw = tables["raw_events"]
    keep(
        "event_keys",
        classify.event_keys(raw, late_days=settings.late_days, currency=currency, first_day=first_day),
    )
    keep("event_states", classify.event_states(tables["event_keys"], dedup_days=settings.dedup_days))
    states = tables["event_states"]
    keep("quarantined_events", classify.quarantined_events(raw, states))
    accepted = classify.accepted_events(raw, states)
    keep("clean_events", marked_events(accepted, settings))
    events = tables["clean_events"]
    people = bots.people_only(events)
    acts = people.filter(people.event_type.isin(INTERACTION_TYPES) & people.item_id.notnull())
    keep(
        "interactions",
        acts.select(
            *("day", "event_id", "occurred_at", "visitor_id", "customer_id", "item_id"),
            interaction_type="event_type",
            quantity=acts.quantity.fill_null(1),
        ),
    )

    landed = {form.dataset: (tables[f"raw_{form.dataset}"], form) for form in (CATALOGUE, MARKETING_SPEND, ASSIGNMENT)}
    keep(
        "quarantined_records",
        ibis.union(*(classify.quarantined_records(raw, form, currency=currency) for raw, form in landed.values())),
    )
    records = {name: classify.accepted_records(raw, form, currency=currency) for name, (raw, form) in landed.items()}
    keep("catalogue_history", snapshots.catalogue_history(records["catalogue"]))
    keep("catalogue", snapshots.latest_catalogue(tables["catalogue_history"]))
    keep("marketing_spend", snapshots.latest_spend(records["marketing_spend"]))
    keep("assignments", snapshots.first_assignments(records["assignments"]))
    keep("identities", identity.identities(events))
    keep("restatements", restatements(events, states, tables["identities"]))
    received = states.agg(first_day=states.day.min(), data_through=states.day.max())
    covered = received.filter(received.data_through.notnull())
    keep("watermark", covered.cross_join(events.agg(last_event_at=events.occurred_at.max())))


def _analytics(tables: Tables, keep: Callable[[str, ibis.Table], None]) -> None:
    events, who, watermark = tables["clean_events"], tables["identities"], tables["watermark"]
    keep("order_lines", order_definitions.order_lines(events))
    keep("orders", order_definitions.orders(with_person(tables["order_lines"], who)))
    orders = tables["orders"]
    keep("daily_kpis", kpis.daily_kpis(with_person(events, who), orders, watermark))
    keep("conversion_funnel", funnel.conversion_funnel(events, watermark))
    keep("retention_cohorts", retention.retention_cohorts(orders, watermark))
    keep("time_to_return", returns.time_to_return(orders, watermark))
    keep("acquisition_cost", acquisition.acquisition_cost(orders, tables["marketing_spend"], watermark))
    keep("experiment_results", experiments.experiment_results(person_of_unit(tables["assignments"], who), orders))


def _science(tables: Tables, keep: Callable[[str, ibis.Table], None]) -> None:
    who, catalogue, watermark = tables["identities"], tables["catalogue"], tables["watermark"]
    slim = bots.people_only(tables["clean_events"]).select("day", "occurred_at", "visitor_id", "customer_id")
    acts = with_person(tables["interactions"], who)
    keep("item_features", features.item_features(acts, catalogue, watermark))
    keep(
        "customer_features",
        features.customer_features(with_person(slim, who), acts, tables["orders"], watermark),
    )
    keep("training_interactions", features.training_interactions(acts, catalogue))

    items = tables["item_features"]
    for_sale = items.filter((items.kind == "product") & items.available).select("item_id")
    lines = tables["order_lines"]
    baskets = lines.filter(lines.line_kind == "purchase").select("order_id", "item_id")
    days = watermark.to_pyarrow().to_pylist()
    keep("also_bought", also_bought(baskets.semi_join(for_sale, "item_id"), days[0]["data_through"], items=items))
