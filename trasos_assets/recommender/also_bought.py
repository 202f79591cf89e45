"""Customers who bought this also bought: pairs of products that share orders more often than chance has them do."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from datetime import date

import ibis
from ibis import _

from trasos_assets.contracts.serving import ALIKE, ALSO_BOUGHT, COMPLEMENT, UNKNOWN
from trasos_assets.recommender.pairs import count_pairs, surer_than_chance

MIN_ORDERS_TOGETHER, MAX_BASKET, MAX_Q = 3, 100, 0.05


def also_bought(
    baskets: ibis.Table,
    as_of: date,
    *,
    items: ibis.Table | None = None,
    top_k: int = 10,
    min_orders_together: int = MIN_ORDERS_TOGETHER,
    max_basket: int = MAX_BASKET,
    max_q: float = MAX_Q,
) -> ibis.Table:
    """The ``top_k`` companions of every product: the rows of the contract also_bought.

    ``baskets`` holds order_id and item_id, ``items`` item_id and category, by which complements are told from products
    that are alike (without it nothing is). A pair needs ``min_orders_together`` orders, a lift above 1 and a false
    discovery rate of at most ``max_q``; orders of more than ``max_basket`` distinct items are left out. Companions are
    ranked by damped lift (see ``pairs.surer_than_chance``); ties: more orders together, then the item id.
    """
    pairs = count_pairs(baskets, "order_id", least=min_orders_together, largest=max_basket)
    best_first = ibis.window(group_by="code", order_by=[ibis.desc("damped"), ibis.desc("together"), "also_code"])
    scored = surer_than_chance(pairs, max_q=max_q)
    ranked = scored.mutate(rank=(ibis.row_number().over(best_first) + 1).cast("int32")).filter(_["rank"] <= top_k)
    named = pairs.by_id(ranked)
    if items is None:
        related = named.mutate(relation=ibis.literal(UNKNOWN))
    else:
        one = items.select("item_id", category="category")
        other = items.select(other_id="item_id", also_category="category")
        known = named.left_join(one, "item_id").drop("item_id_right").left_join(other, "other_id")
        told = known.category.notnull() & known.also_category.notnull()
        kind = ibis.ifelse(known.category == known.also_category, ALIKE, COMPLEMENT)
        related = known.mutate(relation=ibis.ifelse(told, kind, UNKNOWN))
    return related.select(
        "item_id",
        "rank",
        "relation",
        also_item_id=_.other_id,
        orders_together=_.together.cast("int64"),
        item_orders=_.n.cast("int64"),
        also_orders=_.also_n.cast("int64"),
        lift=_.lift.cast("float64"),
        q=_.q.cast("float64"),
        as_of=ibis.literal(as_of, "date"),
    ).select(*ALSO_BOUGHT.column_names)
