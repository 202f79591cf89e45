"""Recommendation quality on UCI Online Retail: figures of public libraries, then the blend against every single model.

    python benchmarks/quality.py [--search] PATH

PATH is a folder of Online Retail CSV files (plain or gzip, any number of them) with the columns InvoiceNo, StockCode,
Quantity, InvoiceDate, UnitPrice, CustomerID. The data is "Online Retail" of the UCI Machine Learning Repository (number
352, CC BY 4.0) and is not part of this project.

Protocol: lines of known customers, no cancellation (invoice C...), quantity and price above 0, stock codes that begin
with five digits (the others are postage and fees), upper-cased. Two cuts; all before a cut is training, the purchases
of the next 28 days are truth; only customers and items seen in training; full ranking. "new_items" leaves out what a
customer had bought, "all_items" lets repeats count. NDCG@10 has its ideal cut at min(relevant, 10); recall@20 is
hits / min(relevant, 20).

The blend is handed the rows before the cut and nothing else: its ranker learns from the two windows of 28 days that end
at the cut. Its parameters were chosen on the windows from 2011-08-19 and 2011-09-16, which end before the first cut.
Differences are paired by customer, with 95 % bootstrap intervals, against the best of all single models on that very
cut and target, and against the fixed sum of standardised ALS and twice the recent popularity.

Among the single models are BM25 and ALS as searched before each cut: 20 trials each of recommender/search with seed 42,
on the two windows of 28 days that end at the cut, once for either target, and both are judged on both. What it found is
fixed in ``SEARCHED``; with --search it is searched again (some six minutes more) and the benchmark goes on with that.
The blend itself is not searched.

Takes a good minute of processor time. Exits with a code other than 0 only if it could not measure.
"""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from trasos_assets.recommender.engines.in_process import InProcessModels
from trasos_assets.recommender.interactions import bought_pairs
from trasos_assets.recommender.metrics import judge, ndcg, recall
from trasos_assets.recommender.models.als import ALS, ALSConfig
from trasos_assets.recommender.models.base import Recommender
from trasos_assets.recommender.models.blend import Blend, BlendConfig
from trasos_assets.recommender.models.ease import EASE, EASEConfig
from trasos_assets.recommender.models.item_knn import ItemKNN, ItemKNNConfig
from trasos_assets.recommender.models.personal_repeat import PersonalRepeat
from trasos_assets.recommender.models.popularity import Popularity, PopularityConfig
from trasos_assets.recommender.models.registry import configured, kind_of
from trasos_assets.recommender.search import Plan, best_parameters, search
from trasos_assets.recommender.search.ledger import TRIALS_SCHEMA
from trasos_assets.recommender.significance import compare

CUTS = (date(2011, 10, 14), date(2011, 11, 11))
TEST_DAYS = 28
NEW, ALL = "new_items", "all_items"
ALS_CONFIG = ALSConfig(factors=128, regularization=30.0, alpha=3.0, iterations=15, seed=42)
WANTED = {(CUTS[0], NEW): 0.112, (CUTS[1], NEW): 0.130, (CUTS[0], ALL): 0.285, (CUTS[1], ALL): 0.335}
BLEND, FIXED_SUM = "blend", "ALS + 2 x recent popularity"
TRIALS, SEED = 20, 42
Searched = Mapping[str, Mapping[str, Any]]

_BM25_OF_OCTOBER = {
    "neighbours": 17,
    "k1": 3.0787882555694432,
    "b": 0.19438816503119838,
    "weights": {"half_life_days": 56.0, "repeats": "count"},
}
_ALS_OF_256 = {
    "factors": 256,
    "alpha": 21.760348244161918,
    "regularization": 48.2915417687721,
    "weights": {"half_life_days": 56.0, "repeats": "count"},
}
SEARCHED: Mapping[date, Mapping[str, Searched]] = {
    CUTS[0]: {
        NEW: {
            "item_knn_bm25": _BM25_OF_OCTOBER,
            "als": {
                "factors": 95,
                "alpha": 5.04941546723964,
                "regularization": 27.532350866220103,
                "weights": {"half_life_days": 56.0, "repeats": "count"},
            },
        },
        ALL: {"item_knn_bm25": _BM25_OF_OCTOBER, "als": _ALS_OF_256},
    },
    CUTS[1]: {
        NEW: {
            "item_knn_bm25": {
                "neighbours": 471,
                "k1": 0.7101743531766846,
                "b": 0.3363619278999126,
                "weights": {"half_life_days": 28.0, "repeats": "count"},
            },
            "als": _ALS_OF_256,
        },
        ALL: {
            "item_knn_bm25": {
                "neighbours": 477,
                "k1": 1.5304038389261132,
                "b": 0.385171075720634,
                "weights": {"half_life_days": 56.0, "repeats": "count"},
            },
            "als": _ALS_OF_256,
        },
    },
}
"""What the search before each cut found for each target."""

PURCHASES = """
SELECT split_part(CustomerID, '.', 1) AS person_id,
       upper(trim(StockCode)) AS item_id,
       CAST(InvoiceDate AS DATE) AS day,
       0::INTEGER AS views,
       0::INTEGER AS carts,
       count(*)::INTEGER AS purchases
FROM read_csv($files, header = true, union_by_name = true, types = {'CustomerID': 'VARCHAR', 'StockCode': 'VARCHAR',
              'InvoiceNo': 'VARCHAR', 'Quantity': 'BIGINT', 'UnitPrice': 'DOUBLE', 'InvoiceDate': 'TIMESTAMP'})
WHERE CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND Quantity > 0 AND UnitPrice > 0
  AND regexp_matches(StockCode, '^[0-9]{5}')
GROUP BY ALL
"""


def purchases(folder: Path) -> pa.Table:
    """Rows of the contract training_interactions; raises ``FileNotFoundError`` if the folder holds no CSV file."""
    files = sorted(str(path) for pattern in ("*.csv", "*.csv.gz") for path in folder.glob(pattern))
    if not files:
        raise FileNotFoundError(f"no *.csv or *.csv.gz in {folder}; give the folder that holds Online Retail")
    return duckdb.execute(PURCHASES, {"files": files}).to_arrow_table()


@dataclass(frozen=True)
class Target:
    """What is asked on a cut: pairs that count, and pairs that must not be listed."""

    cut: date
    name: str
    truth: pa.Table
    exclude: pa.Table | None


@dataclass(frozen=True, eq=False)
class Result:
    """One model on one target; ``ndcg`` has a value per customer, in the order of the truth's sorted customers."""

    ndcg: np.ndarray
    recall: float


def targets(table: pa.Table, cut: date) -> tuple[pa.Table, list[Target]]:
    """Rows before the cut, and both targets; ``ValueError`` if nobody bought anything new after it."""
    before = table.filter(pc.less(table["day"], pa.scalar(cut)))
    until = pc.less(table["day"], pa.scalar(cut + timedelta(days=TEST_DAYS)))
    truth = bought_pairs(table.filter(pc.and_(pc.greater_equal(table["day"], pa.scalar(cut)), until)))
    for column in ("person_id", "item_id"):
        truth = truth.filter(pc.is_in(truth[column], value_set=pc.unique(before[column])))
    bought = bought_pairs(before)
    new = truth.join(bought, keys=["person_id", "item_id"], join_type="left anti")
    if new.num_rows == 0:
        raise ValueError(f"nobody bought anything new in the {TEST_DAYS} days from {cut}: is this Online Retail?")
    return before, [Target(cut, NEW, new, bought), Target(cut, ALL, truth, None)]


def fitted(before: pa.Table, cut: date) -> Mapping[str, Recommender]:
    """Every single model, the fixed sum, and the blend, all fitted to the rows before the cut."""
    last = cut - timedelta(days=1)
    als = ALS(ALS_CONFIG).fit(before, as_of=last)
    singles: dict[str, Recommender] = {
        "popularity, all time": Popularity(),
        "popularity, last 14 days": Popularity(PopularityConfig(window_days=14)),
        "personal repeats": PersonalRepeat(),
        "item-KNN, cosine": ItemKNN(ItemKNNConfig(weighting="cosine")),
        "item-KNN, BM25": ItemKNN(ItemKNNConfig()),
        "EASE, lambda 200": EASE(EASEConfig(l2=200.0)),
    }
    models = {name: model.fit(before, as_of=last) for name, model in singles.items()}
    return {
        **models,
        "ALS, f=128, alpha 3, reg 30": als,
        FIXED_SUM: Blend(BlendConfig(als=ALS_CONFIG, windows=0)).fit(before, as_of=last, als=als),
        BLEND: Blend(BlendConfig(als=ALS_CONFIG)).fit(before, as_of=last, als=als),
    }


def search_before(before: pa.Table, cut: date, target: Target) -> Searched:
    """The best parameters of BM25 and ALS on the windows that end at the cut; ``ValueError`` if a study found none."""
    last = cut - timedelta(days=1)
    plan = Plan(
        models=("item_knn_bm25", "als"),
        trials=TRIALS,
        test_days=TEST_DAYS,
        folds=2,
        target="new_items" if target.name == NEW else "all_items",
        seed=SEED,
        holdout_folds=0,
        through=last,
    )
    rows = before.sort_by([(name, "ascending") for name in ("person_id", "item_id", "day")])
    trials = search(
        rows,
        TRIALS_SCHEMA.empty_table(),
        plan,
        fingerprint=InProcessModels().fingerprint,
        code=lambda model: "benchmark",
        keep=lambda _: None,
    )
    found = {model: best_parameters(trials, model) for model in plan.models}
    if any(parameters is None for parameters in found.values()):
        raise ValueError(f"the search before {cut} completed no trial")
    return {model: parameters for model, parameters in found.items() if parameters is not None}


def fitted_searched(before: pa.Table, cut: date, found: Mapping[str, Searched]) -> Mapping[str, Recommender]:
    """BM25 and ALS with the parameters found for each target, fitted to the rows before the cut; equal ones once."""
    names = {"item_knn_bm25": "item-KNN, BM25, searched", "als": "ALS, searched"}
    models: dict[str, Recommender] = {}
    held: list[tuple[str, Any]] = []
    for target, parameters in found.items():
        for model, own in parameters.items():
            config = configured(model, own)
            if (model, config) not in held:
                held.append((model, config))
                models[f"{names[model]} on {target}"] = kind_of(model).build(config)
    return {name: model.fit(before, as_of=cut - timedelta(days=1)) for name, model in models.items()}


def results(models: Mapping[str, Recommender], target: Target) -> dict[str, Result]:
    """Every model's result on a target."""
    found = {}
    for name, model in models.items():
        lists = model.recommend(target.truth["person_id"], 20, exclude=target.exclude)
        judged = judge(lists, target.truth)
        found[name] = Result(ndcg(judged, 10), float(recall(judged, 20).mean()))
    return found


def shown(target: Target, found: Mapping[str, Result], seconds: float) -> Table:
    """All models on a target."""
    people = len(next(iter(found.values())).ndcg)
    table = Table(
        title=f"{target.name}, train before {target.cut}, {people:,} customers (cut fitted in {seconds:.0f} s)"
    )
    for heading in ("model", "NDCG@10", "recall@20"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for name, result in found.items():
        table.add_row(name, f"{result.ndcg.mean():.4f}", f"{result.recall:.4f}")
    return table


def summary(target: Target, found: Mapping[str, Result]) -> list[str]:
    """The blend on a target in a few words: its value, what was wanted, and both differences with their intervals."""
    ours, wanted = found[BLEND].ndcg, WANTED[target.cut, target.name]
    singles = {name: result.ndcg.mean() for name, result in found.items() if name not in (BLEND, FIXED_SUM)}
    best = max(singles, key=lambda name: singles[name])
    verdict = "reached" if ours.mean() >= wanted else "MISSED"
    lines = [f"{target.cut} {target.name}: blend NDCG@10 {ours.mean():.4f}, wanted {wanted:.3f}: {verdict}"]
    for other, says in ((best, "best single model"), (FIXED_SUM, "fixed sum")):
        gap = compare(ours, found[other].ndcg)
        lines.append(
            f"    against {other} ({says}, {found[other].ndcg.mean():.4f}): "
            f"{gap.difference:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]"
        )
    return lines


def main(arguments: list[str]) -> int:
    console = Console(width=max(110, Console().width))
    again = "--search" in arguments
    arguments = [argument for argument in arguments if argument != "--search"]
    if len(arguments) != 1 or arguments[0].startswith("-"):
        console.print(
            "usage: python benchmarks/quality.py [--search] PATH   (a folder of Online Retail CSV files)", markup=False
        )
        return 2
    try:
        table = purchases(Path(arguments[0]))
        public_figures(table, console)
        lines = []
        for cut in CUTS:
            start = time.perf_counter()
            with console.status(f"fitting and ranking, cut {cut}"):
                before, asked = targets(table, cut)
                parameters = {each.name: search_before(before, cut, each) for each in asked} if again else SEARCHED[cut]
                models = {**fitted_searched(before, cut, parameters), **fitted(before, cut)}
                seconds = time.perf_counter() - start
                for target in asked:
                    found = results(models, target)
                    console.print(shown(target, found, seconds))
                    lines += summary(target, found)
    except (OSError, ValueError, duckdb.Error) as error:
        console.print(f"[red]could not measure:[/red] {error}")
        return 1
    for line in lines:
        console.print(line, markup=False, highlight=False)
    return 0


def public_figures(table: pa.Table, console: Console) -> None:
    """The figures of public libraries beside those of the models here."""
    from public_models import TOLERANCE, compare, shown

    with console.status("beside public libraries"):
        rows = list(compare(table))
    console.print(shown(rows))
    console.print(f"{sum(row.reproduced for row in rows)} of {len(rows)} figures within {TOLERANCE:.0%}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
