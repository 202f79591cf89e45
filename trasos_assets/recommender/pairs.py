"""Pairs of items that stand in one basket (an order, a session): by how much more than chance, and how surely."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass

import ibis
from ibis import _

# Two-sided 95 %.
_Z = 1.959964
DIGITS = 6


@dataclass(frozen=True)
class Pairs:
    """Counted pairs: ``half`` has code, also_code (above code) and together; ``support`` item_id, its code and n, the
    baskets that it is in; ``baskets`` one row with the number of all."""

    half: ibis.Table
    support: ibis.Table
    baskets: ibis.Table

    def by_id(self, pairs: ibis.Table) -> ibis.Table:
        """Rows of (code, also_code, ...) with item_id and other_id in the codes' place."""
        one = self.support.select("code", "item_id")
        other = self.support.select(also_code="code", other_id="item_id")
        return pairs.join(one, "code").join(other, "also_code").drop("code", "also_code")


def count_pairs(lines: ibis.Table, basket: str, *, least: int, largest: int) -> Pairs:
    """Pairs of items that are in at least ``least`` baskets together.

    ``lines`` holds the column ``basket`` and item_id; repeated lines of an item count once per basket. Baskets of more
    than ``largest`` distinct items are left out everywhere, in the totals too: a wholesaler's order pairs everything
    with everything, and pairs grow with the square of its length.
    """
    lines = lines.select(basket=lines[basket], item_id=lines.item_id).distinct()
    sizes = lines.group_by("basket").agg(items=_.count()).filter(_["items"] <= largest)
    # Held by the engine while it is read many times: over lazy files the planner misjudges the sizes of the joins.
    lines = lines.semi_join(sizes, "basket").cache()
    # Pairs are counted by small codes in the ids' order: the count holds millions of them in memory at once.
    support = (
        lines.group_by("item_id")
        .agg(n=_.count())
        .filter(_.n >= least)
        .mutate(code=ibis.row_number().over(ibis.window(order_by="item_id")).cast("int32"))
    )
    # An item below the support floor can be in no pair above it: leaving it out first shrinks the self-join.
    frequent = lines.join(support, "item_id").select("basket", "code")
    other = frequent.select("basket", also_code="code")
    half = (
        frequent.join(other, ["basket", frequent.code < other.also_code])
        .group_by("code", "also_code")
        .agg(together=_.count())
        .filter(_.together >= least)
    )
    return Pairs(half, support, lines.basket.nunique().name("baskets").as_table())


def surer_than_chance(pairs: Pairs, *, max_q: float = 1.0) -> ibis.Table:
    """Pairs that stand together more often than independent items would, either way round: code, also_code, together,
    n, also_n, lift, damped, q.

        lift(a, b) = P(a and b) / (P(a) P(b)) = n_ab N / (n_a n_b)       Brin, Motwani, Ullman and Tsur (1997)

    ``q`` is the false discovery rate of Benjamini and Hochberg (1995) over all pairs of items above the support floor,
    those that never met included, so that a floor on the count is no way round the correction. Under independence n_ab
    is hypergeometric and its one-sided p-value is Fisher's; here stands the upper bound of it by Chvátal (1979),

        p <= exp(-n_a KL(n_ab / n_a || n_b / N)),      the lesser of the two ways round,

    which holds for any counts, where the chi-square approximation of the G-test makes rare pairs look up to
    sqrt(G / n_ab) times surer than they are. Only pairs with lift > 1 and q <= ``max_q`` are returned.

    ``damped`` is L / P(b), where L is the lower end of Wilson's 95 % interval (1927) of P(b | a) from n_ab successes in
    n_a baskets: what to rank by. Plain lift puts the rarest coincidences first; a test statistic puts the best sellers
    first, because it grows with the sample. The lower end asks for the lift that the baskets support.
    """
    counted = (
        pairs.half.join(pairs.support.select("code", n="n"), "code")
        .join(pairs.support.select(also_code="code", also_n="n"), "also_code")
        .cross_join(pairs.baskets)
        .mutate(lift=(_.together * _.baskets / (_.n * _.also_n)))
        .filter(_.lift > 1)
    )
    evidence = ibis.greatest(_divergence(_.n, _.also_n), _divergence(_.also_n, _.n))
    known = pairs.support.count().as_scalar().cast("float64")
    surest_first = [ibis.desc("evidence"), "code", "also_code"]
    ranked = counted.mutate(evidence=evidence).mutate(
        place=ibis.row_number().over(ibis.window(order_by=surest_first)) + 1, tested=known * (known - 1) / 2
    )
    stepped = ranked.mutate(step=(-_.evidence).exp() * _.tested / _.place)
    least_of_less_sure = ibis.window(order_by=surest_first, preceding=0, following=None)
    found = stepped.mutate(q=ibis.least(_.step.min().over(least_of_less_sure), 1.0).round(DIGITS))
    found = found.filter(_.q <= max_q).select("code", "also_code", "together", "n", "also_n", "baskets", "lift", "q")
    mirrored = found.select(
        "together", "baskets", "lift", "q", code="also_code", also_code="code", n="also_n", also_n="n"
    )
    both = ibis.union(found, mirrored.select(*found.columns))
    share = _.together / _.n
    spread = _Z * (share * (1 - share) / _.n + _Z**2 / (4 * _.n * _.n)).sqrt()
    lower = (share + _Z**2 / (2 * _.n) - spread) / (1 + _Z**2 / _.n)
    # Rounded before it is compared: a pair of which a reader would see a lift of 1 is none.
    return (
        both.mutate(damped=lower * _.baskets / _.also_n, lift=_.lift.round(DIGITS)).drop("baskets").filter(_.lift > 1)
    )


def _divergence(n: ibis.Value, also_n: ibis.Value) -> ibis.Value:
    """n KL(together / n || also_n / baskets), for pairs of lift above 1."""
    without = n - _.together
    expected = n.cast("float64") * (_.baskets - also_n) / _.baskets
    rest = ibis.ifelse(without > 0, without * (without / expected).ln(), 0.0)
    return _.together * (_.together * _.baskets / (n.cast("float64") * also_n)).ln() + rest
