"""What the sections on experiments, models and recommendations show, drawn from the tables once."""

# pyarrow.compute makes its functions at import time, out of a type checker's sight.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from trasos_assets.contracts.models import MEAN_FOLD
from trasos_assets.reports.source import Source
from trasos_assets.reports.views import NoData, Row

MAX_ARMS = 12
MAX_MODELS = 12
PAIRS = 12


@dataclass(frozen=True)
class Comparison:
    """One arm beside its control."""

    arm: Row
    control: Row

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out no difference at all."""
        return self.arm["difference_lower"] > 0 or self.arm["difference_upper"] < 0


def comparisons(source: Source) -> list[Comparison] | NoData:
    """Every arm that was compared with a control, by experiment and arm."""
    rows = source.rows("experiment_results")
    if not rows:
        return NoData("No experiment has anybody assigned. Put assignments into landing/assignments/dt=YYYY-MM-DD/.")
    found = []
    for _, of_experiment in itertools.groupby(rows, key=lambda row: row["experiment"]):
        arms = list(of_experiment)
        for metric in sorted({row["metric"] for row in arms}):
            of_metric = [row for row in arms if row["metric"] == metric]
            control = next((row for row in of_metric if row["difference"] is None), None)
            compared = [
                row for row in of_metric if row["difference"] is not None and row["difference_lower"] is not None
            ]
            found += [Comparison(row, control) for row in compared if control]
    if not found:
        return NoData("No experiment has an arm named control or holdout, so there is nothing to compare with.")
    return found


@dataclass(frozen=True)
class Board:
    """NDCG@10 of every model by target, everybody judged and mean over folds; models best first on the first target."""

    models: Sequence[str]
    targets: Sequence[str]
    values: dict[tuple[str, str], Row]


def board(source: Source) -> Board | NoData:
    """The models side by side."""
    found = source.rows("leaderboard", metric="ndcg", k=10, segment="all", fold=MEAN_FOLD)
    rows = [row for row in found if row["value"] is not None]
    if not rows:
        return NoData("No model has been compared yet: there must be days to learn from and later days to judge by.")
    targets = sorted({row["target"] for row in rows}, key=lambda target: (target != "new_items", target))
    values = {(row["model"], row["target"]): row for row in rows}
    first = {row["model"]: row["value"] for row in rows if row["target"] == targets[0]}
    models = sorted({row["model"] for row in rows}, key=lambda model: (-first.get(model, -1.0), model))
    return Board(models, targets, values)


@dataclass(frozen=True)
class Pair:
    """Two products bought together, by name."""

    item: str
    also: str
    orders_together: int
    item_orders: int
    lift: float


def pairs(source: Source) -> list[Pair] | NoData:
    """The pairs that say most: first-ranked partners, by orders together x log(lift), each pair once.

    orders together x log(lift) is the pair's share in the mutual information of the two products: it asks for both many
    orders and more than chance.
    """
    table = source.table("also_bought")
    if not table.num_rows:
        return NoData("No two products have been bought together often enough yet.")
    first = table.filter(pc.equal(table["rank"], 1))
    weight = pc.multiply(pc.cast(first["orders_together"], pa.float64()), pc.ln(first["lift"]))
    order = [("weight", "descending"), ("item_id", "ascending"), ("also_item_id", "ascending")]
    # Each pair may stand there from either side, so twice as many hold enough.
    best = first.append_column("weight", weight).sort_by(order).slice(0, 2 * PAIRS).to_pylist()
    once = {frozenset((row["item_id"], row["also_item_id"])): row for row in reversed(best)}
    kept = [row for row in best if once[frozenset((row["item_id"], row["also_item_id"]))] is row][:PAIRS]
    names = source.item_names(item for row in kept for item in (row["item_id"], row["also_item_id"]))
    return [
        Pair(names[row["item_id"]], names[row["also_item_id"]], row["orders_together"], row["item_orders"], row["lift"])
        for row in kept
    ]
