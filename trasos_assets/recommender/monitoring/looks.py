"""One look at drift: the bins of every feature in one table, and what they amount to, kept beside earlier looks."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import ibis
import pyarrow as pa

from trasos_assets.contracts.monitoring import DRIFT, DRIFT_BINS
from trasos_assets.recommender.monitoring import bins
from trasos_assets.recommender.monitoring.drift import DRIFTED, Thresholds, judge
from trasos_assets.recommender.monitoring.windows import Serving, Windows

KEPT_DAYS = 400
"""How long looks are kept: more than a year, so that a season can be held against the last one."""

Row = dict[str, Any]


def score_edges(held: Sequence[Row]) -> list[float]:
    """Edges between the bins of scores that were kept, in order."""
    return sorted({edge for row in held for edge in (row["low"], row["high"]) if edge is not None})


def kept_scores(held_bins: ibis.Table, serving: Serving) -> list[Row]:
    """The bins of scores from an earlier look at the same model; none if it serves since now."""
    same = (held_bins.feature == bins.SCORES) & (held_bins.model_version == serving.model_version)
    rows = held_bins.filter(same & (held_bins.reference_count > 0)).to_pyarrow().to_pylist()
    return sorted(rows, key=lambda row: row["bin"])


def score_bins(recommendations: ibis.Table, serving: Serving, kept: Sequence[Row]) -> ibis.Table:
    """Counts of scores: now, and when the model began to serve."""
    if not kept:
        return bins.counted(bins.of_scores(recommendations, serving, None))
    edges = score_edges(kept)
    now = bins.counted(bins.of_scores(recommendations, serving, edges))
    before = [
        {name: row[name] for name in ("label", "low", "high", "reference_count", "reference_people")}
        | {"bin": 0 if row["low"] is None else edges.index(row["low"]) + 1}
        for row in kept
    ]
    schema = {name: DRIFT_BINS.types[name] for name in before[0]}
    began = ibis.memtable(pa.Table.from_pylist(before, ibis.schema(schema).to_pyarrow()))
    joined = began.outer_join(now.drop("reference_count", "reference_people"), "bin")
    people = now.agg(current_people=now.current_people.max()).current_people.max().as_scalar()
    return joined.select(
        feature=ibis.literal(bins.SCORES),
        bin=ibis.coalesce(joined.bin, joined.bin_right),
        label=ibis.coalesce(joined.label, joined.label_right),
        low=ibis.coalesce(joined.low, joined.low_right),
        high=ibis.coalesce(joined.high, joined.high_right),
        reference_count=joined.reference_count.fill_null(0),
        current_count=joined.current_count.fill_null(0),
        reference_people=ibis.literal(kept[0]["reference_people"], "float64"),
        current_people=people.fill_null(0.0),
    )


def drift_bins(counts: Iterable[ibis.Table], serving: Serving, windows: Windows) -> ibis.Table:
    """Counts of all features with the model and the windows that they speak of (DRIFT_BINS)."""
    columns = [
        name for name in DRIFT_BINS.column_names if name in bins.OBSERVED or name.endswith(("_count", "_people"))
    ]
    types = DRIFT_BINS.types
    parts = [part.select(**{name: part[name].cast(types[name]) for name in columns}) for part in counts]
    whole = ibis.union(*parts)
    return whole.mutate(
        model_version=ibis.literal(serving.model_version),
        reference_from=ibis.literal(windows.reference_from),
        reference_through=ibis.literal(windows.reference_through),
        current_from=ibis.literal(windows.current_from),
        current_through=ibis.literal(windows.current_through),
        as_of=ibis.literal(windows.current_through),
    ).select(*DRIFT_BINS.column_names)


def judged(binned: Sequence[Mapping[str, Any]], thresholds: Thresholds) -> list[Row]:
    """One row a feature (DRIFT) of rows of DRIFT_BINS."""
    found = []
    ordered = sorted(binned, key=lambda row: (row["feature"], row["bin"]))
    for feature, group in itertools.groupby(ordered, key=lambda row: row["feature"]):
        rows = list(group)
        before = [row["reference_count"] for row in rows]
        after = [row["current_count"] for row in rows]
        first = rows[0]
        said = judge(before, after, first["reference_people"], first["current_people"], thresholds)
        most = said.moved_most
        found.append(
            {
                "as_of": first["as_of"],
                "feature": feature,
                "state": said.state,
                "psi": said.psi,
                "psi_by_chance": said.psi_by_chance,
                "psi_critical": said.psi_critical,
                "js": said.js,
                "bins": len(rows),
                "reference_count": sum(before),
                "current_count": sum(after),
                "moved_most": None if most is None else rows[most]["label"],
                "moved_from": None if most is None else _share(before, most),
                "moved_to": None if most is None else _share(after, most),
                **{name: first[name] for name in DRIFT.column_names if name in first and name not in _OWN},
            }
        )
    return found


def _share(counts: Sequence[int], place: int) -> float:
    return round(counts[place] / sum(counts), 9)


_OWN = ("as_of", "feature", "reference_count", "current_count")


def next_looks(held: pa.Table, rows: Sequence[Row]) -> pa.Table:
    """Earlier looks and this one, which takes the place of one as of the same day; the oldest are let go."""
    schema = ibis.schema(DRIFT.types).to_pyarrow()
    if not rows:
        return held.cast(schema)
    as_of: date = rows[0]["as_of"]
    oldest = as_of - timedelta(days=KEPT_DAYS)
    kept = [row for row in held.to_pylist() if oldest <= row["as_of"] and row["as_of"] != as_of]
    return pa.Table.from_pylist([*kept, *rows], schema=schema)


def last_look(looks: Iterable[Row]) -> list[Row]:
    """Rows of the last look."""
    rows = list(looks)
    last = max((row["as_of"] for row in rows), default=None)
    return [row for row in rows if row["as_of"] == last]


def drifted_for(looks: Iterable[Row], times: int) -> list[Row]:
    """Rows of the last look whose feature was drifted in each of the last ``times`` looks at the same model."""
    rows = list(looks)
    newest = last_look(rows)
    if not newest:
        return []
    of_model = [row for row in rows if row["model_version"] == newest[0]["model_version"]]
    days = sorted({row["as_of"] for row in of_model})[-times:]
    if len(days) < times:
        return []
    drifted = {(row["as_of"], row["feature"]) for row in of_model if row["state"] == DRIFTED}
    return [row for row in newest if all((day, row["feature"]) in drifted for day in days)]
