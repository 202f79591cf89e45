"""Features and training data as expressions over clean tables that carry ``person_id``; as of the watermark's day."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false

import ibis

RECENT_DAYS = 14
VIEWS = ("page_view", "click")


def training_interactions(interactions: ibis.Table, catalogue: ibis.Table) -> ibis.Table:
    """One row per person, product and day with its views, carts and purchases (TRAINING_INTERACTIONS).

    Services of the catalogue are left out; an item that the catalogue does not know counts as a product.
    """
    services = catalogue.filter(catalogue.kind == "service").select("item_id")
    products = interactions.anti_join(services, "item_id")
    kind = products.interaction_type
    counted = products.group_by("person_id", "item_id", "day").agg(
        views=kind.isin(VIEWS).sum().cast("int32"),
        carts=(kind == "add_to_cart").sum().cast("int32"),
        purchases=(kind == "purchase").sum().cast("int32"),
    )
    return counted.filter((counted.views + counted.carts + counted.purchases) > 0)


def item_features(interactions: ibis.Table, catalogue: ibis.Table, watermark: ibis.Table) -> ibis.Table:
    """Attributes and demand of every item of the catalogue and of every item that somebody touched (ITEM_FEATURES)."""
    seen = interactions.cross_join(watermark.select(as_of="data_through"))
    viewed = seen.interaction_type.isin(VIEWS)
    bought = seen.interaction_type == "purchase"
    since = (seen.as_of - ibis.interval(days=RECENT_DAYS)).cast("date")
    demand = seen.group_by("item_id").agg(
        viewers=seen.person_id.nunique(where=viewed),
        buyers=seen.person_id.nunique(where=bought),
        quantity_bought=seen.quantity.cast("int64").sum(where=bought).fill_null(0),
        recent_buyers=seen.person_id.nunique(where=bought & (seen.day > since)),
        last_bought_on=seen.day.max(where=bought),
    )
    attributes = catalogue.select("item_id", "kind", "category", "brand", "price", "available", "stock")
    joined = attributes.outer_join(demand, "item_id").cross_join(watermark.select(as_of="data_through"))
    in_stock = (joined.stock > 0).fill_null(True)
    return joined.select(
        item_id=ibis.coalesce(joined.item_id, joined.item_id_right),
        kind=joined.kind.fill_null("product"),
        category="category",
        brand="brand",
        price="price",
        available=joined.available.fill_null(True) & in_stock,
        viewers=joined.viewers.fill_null(0),
        buyers=joined.buyers.fill_null(0),
        quantity_bought=joined.quantity_bought.fill_null(0),
        recent_buyers=joined.recent_buyers.fill_null(0),
        last_bought_on="last_bought_on",
        as_of="as_of",
    )


def customer_features(
    activity: ibis.Table, interactions: ibis.Table, orders: ibis.Table, watermark: ibis.Table
) -> ibis.Table:
    """Activity, orders, value and recency of every person with an event (CUSTOMER_FEATURES).

    Args:
        activity: events of people with ``person_id``, ``customer_id`` and ``day``.
        interactions: interactions with ``person_id``.
        orders: the orders table.
        watermark: the watermark table.
    """
    seen = activity.group_by("person_id").agg(
        is_customer=(activity.person_id == activity.customer_id).fill_null(False).max(),
        first_seen_on=activity.day.min(),
        last_seen_on=activity.day.max(),
    )
    acts = interactions.group_by("person_id").agg(
        items_viewed=interactions.item_id.nunique(where=interactions.interaction_type.isin(VIEWS)),
        items_bought=interactions.item_id.nunique(where=interactions.interaction_type == "purchase"),
    )
    placed = orders.group_by("person_id").agg(
        orders=orders.is_valid.sum(), net_revenue=orders.net.sum(), last_order_on=orders.day.max(where=orders.is_valid)
    )
    joined = seen.left_join(acts, "person_id").drop("person_id_right")
    joined = joined.left_join(placed, "person_id").drop("person_id_right")
    joined = joined.cross_join(watermark.select(as_of="data_through"))
    recency = joined.as_of.delta(joined.last_order_on, unit="day")
    return joined.select(
        "person_id",
        "is_customer",
        "first_seen_on",
        "last_seen_on",
        items_viewed=joined.items_viewed.fill_null(0),
        items_bought=joined.items_bought.fill_null(0),
        orders=joined.orders.fill_null(0),
        net_revenue=joined.net_revenue.cast("decimal(18, 4)").fill_null(0),
        days_since_last_order=recency,
        as_of="as_of",
    )
