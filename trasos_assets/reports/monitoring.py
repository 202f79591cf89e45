"""The page that watches the model at work: one file without a script, for a browser without a network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.monitoring import DRIFT, DRIFT_BINS, MODEL_MONITORING, RETRAINING_REQUESTS
from trasos_assets.reports import words
from trasos_assets.reports.dashboard import _package_text, _replace
from trasos_assets.reports.plots import BAR_HEIGHT, HEIGHT, WIDTH, BarPair, LinePlot, bar_pairs, line_plot

PAGE = "monitoring.html"
TABLES = (MODEL_MONITORING.name, DRIFT.name, DRIFT_BINS.name, RETRAINING_REQUESTS.name)
SHOWN_DAYS = 90
SHOWN_REQUESTS = 30
BADGES = {"ok": "good", "watch": "warned", "drifted": "broken", "too_few": "unknown"}
SAID = {"ok": "as before", "watch": "moving", "drifted": "drifted", "too_few": "too few to say"}
NAMES = {
    "categories": "Categories of what people look at and buy",
    "channels": "Channels of sessions",
    "devices": "Devices of sessions",
    "event_types": "Kinds of events",
    "interactions_a_day": "Interactions of a person on a day",
    "item_popularity": "Demand by the items' earlier demand",
    "known_people": "People the model knows",
    "prices": "Prices of what people look at and buy",
    "recommendation_scores": "Scores of the model's recommendations",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class FeatureView:
    """One feature: how it stands, in words, its bins, and its index over the looks so far."""

    name: str
    feature: str
    state: str
    badge: str
    said: str
    psi: str
    by_chance: str
    js: str
    people: str
    bars: Sequence[BarPair]
    looks: LinePlot


@dataclass(frozen=True)
class RequestView:
    """One row of the book of requests, in words."""

    asked: str
    reason: str
    detail: str
    outcome: str
    waits: bool


def write_monitoring(tables: Mapping[str, pa.Table], folder: Path) -> Path:
    """Write ``folder/monitoring.html`` and return its path.

    Args:
        tables: those of `TABLES` by name, in any order of rows; one that is absent or empty leaves its section saying
            why there is nothing to show.
        folder: made if it is not there, or a place in an object store.

    The same tables give the same bytes; the file is replaced whole.

    Raises:
        ValueError: a table lacks columns of its contract.
        OSError: the folder cannot be written.
    """
    _replace(folder / PAGE, render(tables))
    return folder / PAGE


def render(tables: Mapping[str, pa.Table]) -> str:
    """The page as HTML; `write_monitoring` says what it takes and raises."""
    import jinja2
    from markupsafe import Markup

    monitored, looked, binned, book = (_rows(tables, name) for name in TABLES)
    features = _features(looked, binned)
    last = next((row for row in reversed(monitored) if row["model_age_days"] is not None), None)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_package_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"day": words.day, "plural": words.plural, "clean": words.clean}
    newest = looked[-1] if looked else None
    return environment.get_template("monitoring.html.j2").render(
        style=Markup(_package_text("page.css")),
        through=monitored[-1]["day"] if monitored else None,
        last=last,
        look=newest,
        plots=_plots(monitored[-SHOWN_DAYS:]),
        features=features,
        drifted=[view for view in features if view.state == "drifted"],
        requests=[_request(row) for row in reversed(book[-SHOWN_REQUESTS:])],
        width=WIDTH,
        height=HEIGHT,
        bar_height=BAR_HEIGHT,
    )


def _rows(tables: Mapping[str, pa.Table], name: str) -> list[Row]:
    contract, table = CONTRACTS[name], tables.get(name)
    if table is None:
        return []
    missing = sorted(set(contract.column_names) - set(table.column_names))
    if missing:
        raise ValueError(f"table {name} lacks the columns {', '.join(missing)}; pass it as its contract says")
    keys = [(column, "ascending") for column in contract.primary_key]
    return table.select(contract.column_names).sort_by(keys).to_pylist()


def _plots(rows: Sequence[Row]) -> list[LinePlot]:
    from trasos_assets.metrics.definitions import DEFINITIONS

    days = [row["day"] for row in rows]
    return [
        line_plot(
            definition.name,
            days,
            [None if row[definition.column] is None else float(row[definition.column]) for row in rows],
            unit=definition.unit,
            definition=f"{definition.formula} Window: {definition.window}.",
        )
        for definition in DEFINITIONS
        if definition.table == MODEL_MONITORING.name
    ]


def _features(looked: Sequence[Row], binned: Sequence[Row]) -> list[FeatureView]:
    """The features of the last look, the drifted first."""
    newest = [row for row in looked if row["as_of"] == looked[-1]["as_of"]] if looked else []
    bins = {
        feature: list(group)
        for feature, group in itertools.groupby(
            (row for row in binned if newest and row["as_of"] == newest[0]["as_of"]), key=lambda row: row["feature"]
        )
    }
    order = ("drifted", "watch", "ok", "too_few")
    found = sorted(newest, key=lambda row: (order.index(row["state"]), -(row["psi"] or 0), row["feature"]))
    return [_feature(row, bins.get(row["feature"], []), looked) for row in found]


def _feature(row: Row, bins: Sequence[Row], looked: Sequence[Row]) -> FeatureView:
    name = NAMES.get(row["feature"], words.name(row["feature"]))
    history = [past for past in looked if past["feature"] == row["feature"]][-SHOWN_DAYS:]
    said = SAID[row["state"]]
    if row["state"] in ("watch", "drifted"):
        moved = f"{words.percent(row['moved_from'])} to {words.percent(row['moved_to'])}"
        said = f"{said}: {words.name(row['moved_most'])} went from {moved}"
    return FeatureView(
        name=name,
        feature=row["feature"],
        state=row["state"],
        badge=BADGES[row["state"]],
        said=said,
        psi=_number(row["psi"]),
        by_chance=_number(row["psi_by_chance"]),
        js=_number(row["js"]),
        people=f"{words.count(row['reference_people'])} and {words.count(row['current_people'])}",
        bars=bar_pairs(
            [each["label"] for each in bins],
            [each["reference_count"] for each in bins],
            [each["current_count"] for each in bins],
        ),
        looks=line_plot(
            "Population stability index",
            [past["as_of"] for past in history],
            [past["psi"] for past in history],
            unit="",
        ),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _request(row: Row) -> RequestView:
    waits = row["fulfilled_by"] is None
    outcome = "waits" if waits else f"{row['fulfilled_by']}, of data through {words.day(row['fulfilled_as_of'])}"
    return RequestView(
        words.day(row["requested_as_of"]), row["reason"].replace("_", " "), row["detail"], outcome, waits
    )
