"""What Spark MLlib must be given so that it minimises what ``implicit`` minimises: parameters, cells, and the way back.

Both libraries alternate exact or nearly exact least squares. For a row with vectors y_i of the other side, Y over all
of them, and its cells i with the confidence c_i, they solve A x = b with

    implicit, cpu/als.py, user_linear_equation:
        A = Y'Y + sum (c_i - 1) y_i y_i' + lambda I          b = sum c_i y_i
    MLlib, ml/recommendation/ALS.scala, computeFactors and CholeskySolver:
        A = Y'Y + sum alpha |r_i| y_i y_i' + n reg I         b = sum (1 + alpha |r_i|) y_i
        with b and n over r_i > 0 only: n is their number, and a cell with r_i < 0 adds to A alone

**Confidence.** alpha = 1 and r = c - 1 make the sums equal, for c > 1. A cell of c = 1 gets the least r above 0, or it
would stand for "not wanted"; c < 1, which Hu, Koren and Volinsky (2008) have not, is raised to 1.

**Regularization.** MLlib multiplies reg by the number n of a row's cells (Zhou et al. 2008, "Large-scale parallel
collaborative filtering for the Netflix Prize"); no reg makes n reg the same for all rows. So reg is 0, and lambda comes
in through Y'Y, which every row's A holds: f anchor items with vectors d_k and f anchor people with vectors a_j, tied to
one another by cells of a confidence so high that a_j . d_k = 1 for j = k and 0 otherwise. Nobody else has a cell with
them, so every row x pays |D x|^2 for the anchor items, as it pays for every item that it has no cell with, and every
item y pays |A y|^2. With A D' = I take x* = D x and y* = A y: then x* . y* = x . y, and the payment is |x*|^2 + |y*|^2,
the regularization of weight 1. L copies of the anchors, each tied to the first of the other side, make the weight L; a
last copy tied to t in place of 1 adds t^2; a first pair tied to t < 1 makes the weight t. Alternating least squares
does not depend on the basis of the vectors, so in x*, y* MLlib takes exact steps on ``implicit``'s own objective.

The anchors are 2 f^2 lambda cells, whatever the size of the data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LEAST_RATING = 1e-6
# A copy may give way by this share of its tie, at most, to all the rows that pull at it.
_GIVE = 1e-4
# How much firmer the first pair is tied than the copies, which begin at random and would pull it about.
_FIRMER = 1e6
# a_j . d_k after the fit may differ from its tie by this much; single precision leaves about 1e-6.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Anchors:
    """Cells that make MLlib regularize every row alike, with the weight ``regularization``.

    Anchor people are numbered from ``people`` on, anchor items from ``items`` on, copy by copy, ``factors`` to a copy.
    ``confidence`` is the sum of the confidences of all real cells: no row's vector is longer than its share of it
    allows, which bounds how hard the rows pull at the anchors.
    """

    people: int
    items: int
    factors: int
    regularization: float
    confidence: float

    @property
    def copies(self) -> int:
        """Sets of anchors on either side."""
        return max(1, math.ceil(self.regularization))

    @property
    def cells(self) -> int:
        """Pairs of an anchor person and an anchor item that are tied."""
        return self.factors**2 * (2 * self.copies - 1)

    @property
    def first_tie(self) -> float:
        """a_j . d_j of the first pair."""
        return min(1.0, self.regularization)

    @property
    def last_tie(self) -> float:
        """a_j . d_j of the last copy and the first of the other side, if there are copies."""
        return math.sqrt(max(0.0, self.regularization - (self.copies - 1)))

    def frame(self, session: SparkSession) -> DataFrame:
        """The cells as a Spark frame: person (int), item (int), rating (float)."""
        from pyspark.sql import functions as f

        # The objective is never above that of vectors of zero, so lambda |x|^2 <= the confidences of x's cells.
        firm = max(1.0, self.confidence / self.regularization) / _GIVE
        size, copies = self.factors, self.copies
        cell = f.col("id")
        first, second = (cell % size).cast("int"), (f.floor(cell / size) % size).cast("int")
        block = f.floor(cell / (size * size)).cast("int")
        copy = f.when(block < copies, block).otherwise(block - (copies - 1))
        of_items = block < copies
        tie = f.when(block == 0, self.first_tie).when(copy == copies - 1, self.last_tie).otherwise(1.0)
        weight = f.when(block == 0, firm * _FIRMER).otherwise(firm)
        tied = session.range(self.cells).select(
            (f.lit(self.people) + f.when(of_items, first).otherwise(copy * size + second)).alias("person"),
            (f.lit(self.items) + f.when(of_items, copy * size + second).otherwise(first)).alias("item"),
            (first == second).alias("same"),
            tie.alias("tie"),
            weight.alias("weight"),
        )
        # Confidence M with the wish 1 and (1 - t) M with the wish 0 meet at t; MLlib adds up cells of one pair.
        wished = tied.select("person", "item", f.when(tied.same, tied.tie * tied.weight).otherwise(-tied.weight))
        part = tied.where(tied.same & (tied.tie < 1)).select("person", "item", (tied.tie - 1) * tied.weight)
        return (
            wished.union(part)
            .toDF("person", "item", "rating")
            .select("person", "item", f.col("rating").cast("float").alias("rating"))
        )

    def to_plain(self, person_anchors: np.ndarray, item_anchors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Matrices P and Q with x* = x P and y* = y Q for row vectors x of people and y of items.

        ``person_anchors`` and ``item_anchors`` (factors x factors) are the vectors of the first pair, as fitted.

        Raises:
            ArithmeticError: the anchors are not tied as they must be, so the regularization was another.
        """
        people, items = person_anchors.astype(np.float64), item_anchors.astype(np.float64)
        found = people @ items.T
        off = float(np.abs(found - self.first_tie * np.eye(self.factors)).max()) / self.first_tie
        if not off < _TOLERANCE:
            raise ArithmeticError(
                f"MLlib's factors came out in a basis that single precision cannot hold (off by {off:.2g}); "
                "set another TRASOS_SEED, or fewer TRASOS_ALS_FACTORS"
            )
        scale = math.sqrt(self.first_tie)
        return items.T / scale, people.T / scale


def rating(confidence: Any) -> Any:
    """MLlib's rating of a Spark column of confidences, for alpha = 1."""
    from pyspark.sql import functions as f

    return f.greatest(confidence - f.lit(1.0), f.lit(LEAST_RATING)).cast("float")
