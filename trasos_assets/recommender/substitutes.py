"""What to take instead: products of one kind that people look at together and do not buy together."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from datetime import date

import ibis
from ibis import _

from trasos_assets.contracts.serving import SAME_KIND, VIEWED_TOGETHER
from trasos_assets.recommender.also_bought import MAX_BASKET, MAX_Q, MIN_ORDERS_TOGETHER
from trasos_assets.recommender.pairs import count_pairs, surer_than_chance

MIN_SESSIONS_TOGETHER, MAX_SESSION = 3, 60
MOST_TIMES_THE_PRICE = 1.5
_NEIGHBOURS = 20


def substitutes(
    sessions: ibis.Table,
    baskets: ibis.Table,
    items: ibis.Table,
    as_of: date,
    *,
    top_k: int = 10,
    min_sessions_together: int = MIN_SESSIONS_TOGETHER,
    max_session: int = MAX_SESSION,
    max_q: float = MAX_Q,
) -> ibis.Table:
    """The ``top_k`` substitutes of every product: the rows of the contract substitutes.

    ``sessions`` holds session_id and item_id of what was looked at, ``baskets`` order_id and item_id, ``items`` the
    products for sale: item_id, category, price. A substitute is of the same category and is not bought together with
    the product: not ``MIN_ORDERS_TOGETHER`` times, or not more often than by chance. So no pair is in also_bought too.

    First come those viewed in one session more often than by chance (false discovery rate at most ``max_q``), by damped
    lift. Where they are fewer than ``top_k``, the products nearest in price follow, at most ``MOST_TIMES_THE_PRICE``
    times as dear or cheap, looked for among the 20 on either side in the category's order of prices.
    """
    kind = items.filter(items.category.notnull()).select("item_id", "category", price=items.price.cast("float64"))
    bought = count_pairs(baskets, "order_id", least=MIN_ORDERS_TOGETHER, largest=MAX_BASKET)
    together = bought.by_id(surer_than_chance(bought)).select("item_id", "other_id")

    pairs = count_pairs(sessions.semi_join(kind, "item_id"), "session_id", least=min_sessions_together,
                        largest=max_session)  # fmt: skip
    viewed = pairs.by_id(surer_than_chance(pairs, max_q=max_q))
    theirs = kind.select("item_id", "category")
    others = kind.select(other_id="item_id", other_category="category")
    viewed = viewed.join(theirs, "item_id").join(others, "other_id").filter(_.category == _.other_category)
    first = viewed.select(
        "item_id",
        "other_id",
        source=ibis.literal(VIEWED_TOGETHER),
        sessions_together=_.together.cast("int64"),
        lift=_.lift.cast("float64"),
        q=_.q.cast("float64"),
        worth=_.damped,
    )
    then = _near_in_price(kind).anti_join(first, ["item_id", "other_id"])
    then = then.select(
        "item_id",
        "other_id",
        source=ibis.literal(SAME_KIND),
        sessions_together=ibis.null("int64"),
        lift=ibis.null("float64"),
        q=ibis.null("float64"),
        worth=-_.times,
    )
    found = ibis.union(first, then).anti_join(together, ["item_id", "other_id"])
    best_first = ibis.window(
        group_by="item_id", order_by=[ibis.desc(_.source == VIEWED_TOGETHER), ibis.desc("worth"), "other_id"]
    )
    ranked = found.mutate(rank=(ibis.row_number().over(best_first) + 1).cast("int32")).filter(_["rank"] <= top_k)
    return ranked.mutate(substitute_item_id="other_id", as_of=ibis.literal(as_of, "date")).select(
        "item_id", "rank", "substitute_item_id", "source", "sessions_together", "lift", "q", "as_of"
    )


def _near_in_price(kind: ibis.Table) -> ibis.Table:
    """item_id, other_id, times (how many times the cheaper price the dearer one is)."""
    priced = kind.filter(kind.price > 0)
    by_price = ibis.window(group_by="category", order_by=["price", "item_id"])
    placed = priced.mutate(place=ibis.row_number().over(by_price))
    # Equi-joins on shifted places: a join by a range of places would look at every pair of a category.
    steps = ibis.memtable({"step": [step for step in range(-_NEIGHBOURS, _NEIGHBOURS + 1) if step]})
    asked = placed.cross_join(steps).mutate(other_place=_.place + _.step)
    other = placed.select("category", other_place="place", other_id="item_id", other_price="price")
    near = asked.join(other, ["category", "other_place"])
    times = ibis.greatest(near.price, near.other_price) / ibis.least(near.price, near.other_price)
    return near.mutate(times=times).filter(_.times <= MOST_TIMES_THE_PRICE).select("item_id", "other_id", "times")
