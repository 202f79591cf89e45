"""Customers who bought this also bought: pairs of products that share orders more often than chance has them do."""

from __future__ import annotations

from datetime import date

import ibis
from ibis import _

# Two-sided 95 %.
_Z = 1.959964
_DIGITS = 6


def also_bought(
    baskets: ibis.Table,
    as_of: date,
    *,
    top_k: int = 10,
    min_orders_together: int = 3,
    max_basket: int = 100,
) -> ibis.Table:
    """The ``top_k`` companions of every product: the rows of the contract also_bought.

    ``baskets`` holds order_id and item_id; repeated lines of an item count once per order. Orders of more than
    ``max_basket`` distinct items are left out everywhere, in the totals too: a wholesaler's order pairs everything with
    everything, and pairs grow with the square of its length. A pair needs ``min_orders_together`` orders and a lift
    above 1.

        lift(a, b) = P(a and b) / (P(a) P(b)) = n_ab N / (n_a n_b)       Brin, Motwani, Ullman and Tsur (1997)

    Companions b of a are ranked by a damped lift, L / P(b), where L is the lower end of Wilson's 95 % interval (1927)
    of P(b | a) from n_ab successes in n_a orders. Plain lift puts the rarest coincidences first; a test statistic such
    as the log-likelihood ratio puts the best sellers first, because it grows with the sample. The lower end asks for
    the lift that the orders support, so a pair climbs by evidence and by strength. Ties: more orders together, then the
    item id.
    """
    lines = baskets.select("order_id", "item_id").distinct()
    sizes = lines.group_by("order_id").agg(items=_.count()).filter(_["items"] <= max_basket)
    # Held by the engine while it is read many times: over lazy files the planner misjudges the sizes of the joins.
    lines = lines.semi_join(sizes, "order_id").cache()
    orders = lines.order_id.nunique().name("orders").as_table()
    # Pairs are counted by small codes in the ids' order: the count holds millions of them in memory at once.
    support = (
        lines.group_by("item_id")
        .agg(n=_.count())
        .filter(_.n >= min_orders_together)
        .mutate(code=ibis.row_number().over(ibis.window(order_by="item_id")).cast("int32"))
    )

    # An item below the support floor can be in no pair above it: leaving it out first shrinks the self-join.
    frequent = lines.join(support, "item_id").select("order_id", "code")
    other = frequent.select("order_id", also_code="code")
    half = (
        frequent.join(other, ["order_id", frequent.code < other.also_code])
        .group_by("code", "also_code")
        .agg(orders_together=_.count())
        .filter(_.orders_together >= min_orders_together)
    )
    mirrored = half.select(code="also_code", also_code="code", orders_together="orders_together")
    pairs = (
        ibis.union(half, mirrored)
        .join(support.select("code", item_orders="n"), "code")
        .join(support.select(also_code="code", also_orders="n"), "also_code")
        .cross_join(orders)
    )
    share = _.orders_together / _.item_orders
    spread = _Z * (share * (1 - share) / _.item_orders + _Z**2 / (4 * _.item_orders * _.item_orders)).sqrt()
    lower = (share + _Z**2 / (2 * _.item_orders) - spread) / (1 + _Z**2 / _.item_orders)
    scored = pairs.mutate(
        lift=(_.orders_together * _.orders / (_.item_orders * _.also_orders)).round(_DIGITS),
        damped=lower * _.orders / _.also_orders,
    ).filter(_.lift > 1)
    best_first = ibis.window(group_by="code", order_by=[ibis.desc("damped"), ibis.desc("orders_together"), "also_code"])
    ranked = scored.mutate(rank=(ibis.row_number().over(best_first) + 1).cast("int32")).filter(_["rank"] <= top_k)
    named = ranked.join(support.select("code", "item_id"), "code").join(
        support.select(also_code="code", also_item_id="item_id"), "also_code"
    )
    return named.select(
        "item_id",
        "rank",
        "also_item_id",
        orders_together=_.orders_together.cast("int64"),
        item_orders=_.item_orders.cast("int64"),
        also_orders=_.also_orders.cast("int64"),
        lift=_.lift.cast("float64"),
        as_of=ibis.literal(as_of, "date"),
    )
