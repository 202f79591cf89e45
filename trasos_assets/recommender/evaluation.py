"""Models side by side: fitted on the days before a window, judged person by person by what was bought in it.

``evaluate`` fits every model once on each fold and says what it was worth to every judged person; ``standings`` makes
leaderboard, comparisons and costs of that.
"""

# pyarrow.compute makes its functions at import time, out of a type checker's sight; Ibis types all columns alike.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import date
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.models import EVALUATIONS, LIST_METRICS, RANKING_METRICS
from trasos_assets.recommender.ids import IdMap
from trasos_assets.recommender.interactions import distinct_pairs
from trasos_assets.recommender.list_metrics import PER_LIST, ItemFacts, Shown, coverage, gini
from trasos_assets.recommender.metrics import PER_PERSON, Judged, judge
from trasos_assets.recommender.models.base import Recommender
from trasos_assets.recommender.resources import Meter, give_back
from trasos_assets.recommender.segments import COLD_ITEMS, PEOPLE_PARTS, Seen, Truth, seen_days, truths
from trasos_assets.recommender.splits import Split, folds

KS = (10, 20)
EVALUATIONS_SCHEMA: pa.Schema = ibis.schema(EVALUATIONS.types).to_pyarrow()


@dataclass(frozen=True, eq=False)
class _Fold:
    """One fold, ready to judge any number of models."""

    number: int
    split: Split
    seen: Seen
    truths: Sequence[Truth]
    facts: ItemFacts


def evaluate(
    training_interactions: pa.Table | ibis.Table,
    *,
    models: Mapping[str, Recommender],
    test_days: int,
    folds: int = 1,
    ks: Sequence[int] = KS,
    through: date | None = None,
    categories: pa.Table | None = None,
    aliases: Mapping[str, str] | None = None,
) -> pa.Table:
    """What every model is worth to every judged person: the rows of the contract evaluations.

    The windows of truth are those of ``splits.folds`` up to ``through`` (default: the last day with an interaction).
    Every model is fitted anew on each fold, to nothing but the days before its window, and ranks all items it knows for
    everybody who bought in the window; who it does not know gets no list and counts 0. ``new_items``: what a person had
    bought is neither recommended nor true. ``all_items``: repeats may be recommended and count.

    ``categories`` (item_id, category) is for diversity, null without it. ``aliases`` are further names of models whose
    rows are repeated under them: a champion with the parameters of a competitor need not be fitted again.

    Of an Ibis table, what the judged people had to do with is fetched, and counts of items; the models must take such a
    table too. A model that was given attributes of items (``ModelKind.build``) may list some that nobody touched. No
    rows if there are fewer than two days, or nobody bought anything in any window.
    """
    if not ks or min(ks) < 1:
        raise ValueError(f"ks must hold list lengths of at least 1, got {tuple(ks)}")
    found = [EVALUATIONS_SCHEMA.empty_table()]
    for fold in _folds(training_interactions, test_days, folds, through, categories):
        for name, model in models.items():
            rows = _judged(name, model, fold, sorted(set(ks)))
            found.append(rows)
            for alias in sorted(alias for alias, of in (aliases or {}).items() if of == name):
                at = rows.schema.get_field_index("model")
                found.append(rows.set_column(at, "model", pa.repeat(alias, rows.num_rows)))
    give_back()
    return pa.concat_tables(found)


def _folds(
    table: pa.Table | ibis.Table, test_days: int, number: int, through: date | None, categories: pa.Table | None
) -> Iterator[_Fold]:
    for nth, split in enumerate(folds(table, test_days=test_days, folds=number, through=through), 1):
        asked = truths(split)
        if asked:
            yield _Fold(nth, split, seen_days(split, table), asked, _item_facts(split.train, categories))


def _item_facts(train: pa.Table | ibis.Table, categories: pa.Table | None) -> ItemFacts:
    """Items of the training rows by the number of people who had to do with them."""
    if isinstance(train, ibis.Table):
        counts = train.group_by("item_id").agg(people=train["person_id"].nunique()).to_pyarrow()
        return ItemFacts.of(counts, int(train["person_id"].nunique().to_pyarrow().as_py()), categories)
    pairs = distinct_pairs(train)
    counts = pairs.group_by("item_id").aggregate([("person_id", "count")])
    counts = pa.table({"item_id": counts["item_id"], "people": counts["person_id_count"]})
    return ItemFacts.of(counts, len(IdMap.from_ids(pairs["person_id"])), categories)


def _judged(name: str, model: Recommender, fold: _Fold, ks: Sequence[int]) -> pa.Table:
    """Rows of one model on one fold."""
    with Meter() as fit:
        model.fit(fold.split.train, as_of=fold.split.train_through)
    of_fit = {
        "model": name,
        "parameters": parameters_text(getattr(model, "config", None)),
        "fold": fold.number,
        "train_through": fold.split.train_through,
        "test_through": fold.split.test_through,
        "source_through": fold.seen.source_through,
        "truth_from": fold.seen.truth_from,
        "fit_seconds": fit.seconds,
        "fit_peak_bytes": fit.peak_bytes,
    }
    found = [EVALUATIONS_SCHEMA.empty_table()]
    for truth in fold.truths:
        with Meter() as serve:
            lists = model.recommend(truth.people.external_ids, max(ks), exclude=truth.exclude)
        of_target = {"target": truth.target, "serve_seconds": serve.seconds, "people_served": len(truth.people)}
        shown = Shown.of(lists, truth.people, fold.facts)
        # A model that is told of items by their attributes lists some that nobody has touched.
        of_seen = lists.filter(pc.is_in(lists["item_id"], value_set=fold.facts.items.external_ids))
        known, unseen = (judge(lists, pairs) for pairs in (truth.known, truth.unseen))
        for k in ks:
            same = of_fit | of_target | {"k": k}
            same["coverage"] = coverage(of_seen, k, max(1, len(fold.facts.items)))
            same["gini"] = gini(lists, k, len(fold.facts.items))
            likeness = {metric: of(shown, k, fold.facts) for metric, of in PER_LIST.items()}
            found.append(_rows(same, known, k, truth, likeness))
            found.append(_rows(same, unseen, k, None, {}))
    return pa.concat_tables(found)


def _rows(
    same: Mapping[str, Any], judged: Judged, k: int, truth: Truth | None, likeness: Mapping[str, np.ndarray]
) -> pa.Table:
    """One row for each judged person; without ``truth`` they are of the segment cold_items."""
    people = len(judged.people)
    columns: dict[str, Any] = {"person_id": judged.people.external_ids, "relevant": judged.relevant}
    columns |= {metric: PER_PERSON[metric](judged, k) for metric in RANKING_METRICS}
    if truth is None:
        columns["segment"] = pa.repeat(COLD_ITEMS, people)
    else:
        at = truth.people.to_indices(judged.people.external_ids)
        columns["segment"] = pa.array(PEOPLE_PARTS, pa.string()).take(pa.array(truth.part[at]))
        columns |= {metric: pa.array(values[at], from_pandas=True) for metric, values in likeness.items()}
    for metric in LIST_METRICS:
        columns.setdefault(metric, pa.nulls(people, pa.float64()))
    arrays = [
        pa.array(columns[field.name]).cast(field.type)
        if field.name in columns
        else pa.repeat(pa.scalar(same[field.name], field.type), people)
        for field in EVALUATIONS_SCHEMA
    ]
    return pa.table(arrays, schema=EVALUATIONS_SCHEMA)


def parameters_text(config: Any) -> str:
    """A config as JSON text, keys sorted; an empty object for a model without one."""
    return json.dumps(asdict(config) if is_dataclass(config) else {}, sort_keys=True)  # type: ignore[arg-type]
