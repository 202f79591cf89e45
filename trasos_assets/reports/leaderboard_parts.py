"""What the leaderboard's page says: its questions, their answers, figures and tables, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trasos_assets.contracts.models import (
    CHAMPION_NAME,
    LIST_METRICS,
    MEAN_FOLD,
    RANKING_METRICS,
    SEGMENTS,
    SET_METRICS,
    TARGETS,
)
from trasos_assets.reports import words
from trasos_assets.reports.charts import TARGETS as TARGET_NAMES
from trasos_assets.reports.leaderboard_charts import differences, intervals
from trasos_assets.reports.parts import FigureView
from trasos_assets.reports.tables import DataTable

METRIC, K = "ndcg", 10
METRIC_NAMES = {"ndcg": "NDCG", "map": "MAP", "mrr": "MRR"}
"""Metrics whose names are not said as they are written."""

ROW_HEIGHT, FRAME_HEIGHT = 34, 90

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """One question, its answer in a sentence, its figures and its table."""

    id: str
    question: str
    title: str
    subtitle: str
    table: DataTable
    figures: Sequence[FigureView] = ()
    open: bool = False


def facts_of(board: Sequence[Row]) -> str:
    """What was compared, in a sentence; of rows of the contract leaderboard at ``K``."""
    if not board:
        return "No model has been compared yet: there must be days to learn from and later days with purchases"
    folds = sorted({row["fold"] for row in board} - {MEAN_FOLD})
    whole = _only(board, fold=MEAN_FOLD, segment="all", metric=METRIC)
    models = words.plural(len({row["model"] for row in board}), "model")
    latest = whole[0]
    people = words.plural(max(row["people"] for row in whole), "person")
    return (
        f"{models} on {words.plural(len(folds), 'fold')}, {people} judged; the latest fold learned through "
        f"{words.day(latest['train_through'])} and is judged through {words.day(latest['test_through'])}"
    )


def parts_of(board: list[Row], compared: list[Row], costs: list[Row]) -> list[Part]:
    """The page from top to bottom; nothing if nobody was judged. Rows are of the three contracts, at ``K``."""
    if not board:
        return []
    whole = _only(board, fold=MEAN_FOLD, segment="all", metric=METRIC)
    order = _ranked(whole)
    return [
        _standing(whole, order),
        _differences(_only(compared, fold=MEAN_FOLD, segment="all", metric=METRIC), order),
        _segments(_only(board, fold=MEAN_FOLD, metric=METRIC), order),
        _folds(_only(board, segment="all", metric=METRIC), order),
        _metrics(_only(board, fold=MEAN_FOLD, segment="all"), order),
        _costs(costs, order),
    ]


def _only(rows: Sequence[Row], **equal: Any) -> list[Row]:
    return [row for row in rows if all(row[name] == value for name, value in equal.items())]


def _ranked(whole: Sequence[Row]) -> list[str]:
    """Models, best first on the first target; those without a value last."""
    first = {row["model"]: row["value"] for row in _only(whole, target=TARGETS[0])}
    models = sorted({row["model"] for row in whole})
    return sorted(models, key=lambda model: 1.0 if first.get(model) is None else -first[model])


def _standing(whole: list[Row], order: list[str]) -> Part:
    figures, said = [], []
    for target in TARGETS:
        rows = [row for model in order for row in _only(whole, target=target, model=model) if row["value"] is not None]
        if not rows:
            continue
        best = max(rows, key=lambda row: row["value"])
        told = f"{words.name(best['model'])} {best['value']:.4f} ({_in_target(target)})"
        said.append(told)
        figures.append(
            FigureView(
                f"standing-{target}",
                f"NDCG at 10 of every model with its 95 % interval, {_in_target(target)}. Best: {told}.",
                FRAME_HEIGHT + ROW_HEIGHT * len(rows),
                intervals(rows),
                _in_target(target),
            )
        )
    headers = ("Model", "Target", "NDCG@10", "95 % interval", "People")
    found = [
        (
            words.clean(row["model"]),
            _in_target(target),
            _value(row["value"]),
            _interval(row),
            words.count(row["people"]),
        )
        for target in TARGETS
        for model in order
        for row in _only(whole, target=target, model=model)
    ]
    return Part(
        "standing",
        "Which model ranks best?",
        "Best: " + "; ".join(said) if said else "Nobody was judged",
        "NDCG@10, mean over people and then over folds, everybody who bought in the window; who a model has no list "
        "for counts 0. Intervals are bootstrapped over people: two that overlap may still differ.",
        DataTable("Models by target", headers, found, 2),
        figures,
    )


def _differences(rows: list[Row], order: list[str]) -> Part:
    shown = [row for row in rows if row["difference"] is not None and row["low"] is not None]
    shown.sort(key=lambda row: (row["target"] != TARGETS[0], order.index(row["model"]), order.index(row["against"])))
    # Of two references each is a row against the other: the better one's is shown.
    told = {(row["target"], row["model"], row["against"]) for row in shown}
    shown = [
        row
        for row in shown
        if (row["target"], row["against"], row["model"]) not in told
        or order.index(row["model"]) < order.index(row["against"])
    ]
    clear = [row for row in _only(shown, target=TARGETS[0]) if row["p_holm"] < 0.05]
    figures = []
    for target in TARGETS:
        of_target = _only(shown, target=target)
        if of_target:
            sentence = f"Paired difference of NDCG at 10 with its 95 % interval, {_in_target(target)}."
            height = FRAME_HEIGHT + ROW_HEIGHT * len(of_target)
            plot = differences(of_target)
            figures.append(FigureView(f"difference-{target}", sentence, height, plot, _in_target(target)))
    headers = ("Model", "minus", "Target", "Difference", "95 % interval", "p", "p by Holm", "People")
    found = [
        (
            *(words.clean(row["model"]), words.clean(row["against"]), _in_target(row["target"])),
            *(f"{row['difference']:+.4f}".replace("-", words.MINUS), _interval(row)),
            *(f"{row['p']:.4f}", f"{row['p_holm']:.4f}", words.count(row["people"])),
        )
        for row in shown
    ]
    told_of = f"{len(clear)} of {len(_only(shown, target=TARGETS[0]))} differences of new items are beyond chance"
    return Part(
        "differences",
        "Is it more than chance?",
        told_of + " at 5 % after Holm" if shown else "Nothing to compare with",
        "The same people, drawn once for both models; p by Holm holds for all pairs of a picture together.",
        DataTable("Models against baselines and champion", headers, found, 3),
        figures,
    )


def _segments(rows: list[Row], order: list[str]) -> Part:
    found = []
    for target in TARGETS:
        for segment in SEGMENTS:
            of = {row["model"]: row for row in _only(rows, target=target, segment=segment)}
            one = next(iter(of.values()), None)
            if one is None:
                continue
            values = [_value(of[model]["value"]) if model in of else None for model in order]
            share = words.percent(one["truth_share"])
            found.append((_in_target(target), segment.replace("_", " "), words.count(one["people"]), share, *values))
    headers = ("Target", "Segment", "People", "Share of what was bought", *(words.name(model) for model in order))
    cold = _only(rows, target=TARGETS[0], segment="cold")
    share = words.percent(cold[0]["truth_share"]) if cold else ""
    return Part(
        "segments",
        "For whom does it work?",
        f"{share} of what was bought was bought by people nobody knew before" if cold else "By segment",
        "NDCG@10, mean over folds. Warm people have an interaction before the window, cold people none; heavy are warm "
        "people above the median of items known; cold items were unseen before the window and judged apart.",
        DataTable("NDCG@10 by segment", headers, found, 2),
        open=True,
    )


def _folds(rows: list[Row], order: list[str]) -> Part:
    found = []
    for target in TARGETS:
        for fold in sorted({row["fold"] for row in rows} - {MEAN_FOLD}):
            of = {row["model"]: row for row in _only(rows, target=target, fold=fold)}
            one = next(iter(of.values()))
            window = f"{one['truth_from'].isoformat()} to {one['test_through'].isoformat()}"
            values = [_value(of[model]["value"]) if model in of else None for model in order]
            dates = (one["source_through"].isoformat(), window)
            found.append((_in_target(target), fold, *dates, words.count(one["people"]), *values))
    headers = ("Target", "Fold", "Learned through", "Judged by", "People", *(words.name(model) for model in order))
    return Part(
        "folds",
        "Does it hold in every window?",
        "NDCG@10 by fold, the latest first",
        "Every model is fitted anew on the days before each window. The days are those found in the rows themselves.",
        DataTable("NDCG@10 by fold", headers, found, 4),
        open=True,
    )


def _metrics(rows: list[Row], order: list[str]) -> Part:
    metrics = (*RANKING_METRICS, *LIST_METRICS, *SET_METRICS)
    values = {(row["model"], row["target"], row["metric"]): row["value"] for row in rows}
    found = [
        (words.clean(model), _in_target(target), *(_value(values.get((model, target, metric))) for metric in metrics))
        for target in TARGETS
        for model in order
    ]
    return Part(
        "metrics",
        "What are the lists like?",
        "All metrics at 10, mean over folds",
        "NDCG to hit rate: are they right? Novelty: how surprising, in bits. Diversity: share of pairs of two "
        "categories. Popularity lift: times what people choose by themselves. Coverage, Gini: of the catalogue.",
        DataTable("Metrics by model", ("Model", "Target", *(_metric(metric) for metric in metrics)), found, 2),
        open=True,
    )


def _costs(rows: list[Row], order: list[str]) -> Part:
    found = [
        (
            *(words.clean(row["model"]), words.clean(row["parameters"], 300)),
            *(str(row["fold"]), f"{row['fit_seconds']:,.2f}"),
            None if row["fit_peak_bytes"] is None else f"{row['fit_peak_bytes'] / 1e6:,.1f}",
            f"{row['serve_seconds_per_1000']:,.3f}",
        )
        for row in sorted(rows, key=lambda row: (order.index(row["model"]), row["fold"]))
        if row["model"] in order
    ]
    headers = ("Model", "Parameters", "Fold", "Fit, seconds", "Fit, peak MB", "Seconds per 1,000 people")
    return Part(
        "costs",
        "What does it cost?",
        "Fit and ranking by model and fold",
        "Wall clock and the growth of the process's memory on the machine that did it. The champion's are those of the "
        f"model it is, where that competes with the same parameters; its name is {CHAMPION_NAME}.",
        DataTable("Costs by model and fold", headers, found, 2),
        open=True,
    )


def _in_target(target: str) -> str:
    return TARGET_NAMES.get(target, words.clean(target))


def _metric(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric.replace("_", " ").capitalize())


def _value(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _interval(row: Row) -> str | None:
    if row["low"] is None:
        return None
    return f"{row['low']:.4f} to {row['high']:.4f}".replace("-", words.MINUS)
