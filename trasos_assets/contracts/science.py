"""Tables that science learns from: features of items and people, and the training data."""

from datetime import timedelta

from trasos_assets.contracts.model import BOOLEAN, DATE, INT32, INT64, MONEY, TEXT, Column, Contract, Rule

WEEKLY = timedelta(days=9)
AS_OF = Column("as_of", DATE, "Last day of data behind the row.")

ITEM_FEATURES = Contract(
    name="item_features",
    owner="science",
    description="What is known of every item: catalogue attributes, demand over all time and over the last days.",
    columns=(
        Column("item_id", TEXT, "The item."),
        Column("kind", TEXT, "product or service; product where the catalogue does not know the item."),
        Column("category", TEXT, "Category.", nullable=True),
        Column("brand", TEXT, "Brand.", nullable=True),
        Column("price", MONEY, "List price.", nullable=True),
        Column("available", BOOLEAN, "Can be bought; true where the catalogue does not know the item."),
        Column("viewers", INT64, "Distinct people who viewed or clicked it."),
        Column("buyers", INT64, "Distinct people who bought it."),
        Column("quantity_bought", INT64, "Pieces bought, cancellations not subtracted."),
        Column("recent_buyers", INT64, "Distinct people who bought it in the last 14 days."),
        Column("last_bought_on", DATE, "Last day on which it was bought.", nullable=True),
        AS_OF,
    ),
    primary_key=("item_id",),
    rules=(
        Rule("unknown_kind", lambda t: t.kind.isin(("product", "service"))),
        Rule("bought_after_as_of", lambda t: t.last_bought_on <= t.as_of),
        Rule("more_recent_than_all_buyers", lambda t: t.recent_buyers <= t.buyers),
    ),
)

CUSTOMER_FEATURES = Contract(
    name="customer_features",
    owner="science",
    description="What is known of every person: activity, orders, value, recency.",
    columns=(
        Column("person_id", TEXT, "Customer if known, else visitor.", pii=True),
        Column("is_customer", BOOLEAN, "Whether a customer id is known."),
        Column("first_seen_on", DATE, "Day of the first event."),
        Column("last_seen_on", DATE, "Day of the last event."),
        Column("items_viewed", INT64, "Distinct items viewed or clicked."),
        Column("items_bought", INT64, "Distinct items bought."),
        Column("orders", INT64, "Orders placed."),
        Column("net_revenue", MONEY, "Revenue net of cancellations."),
        Column("days_since_last_order", INT32, "Days from the last order to as_of.", nullable=True),
        AS_OF,
    ),
    primary_key=("person_id",),
    rules=(
        Rule("seen_after_as_of", lambda t: t.last_seen_on <= t.as_of),
        Rule("negative_recency", lambda t: t.days_since_last_order >= 0),
    ),
)

TRAINING_INTERACTIONS = Contract(
    name="training_interactions",
    owner="science",
    description="One row per person, product and day with any interaction: what every model is trained and tested on.",
    columns=(
        Column("person_id", TEXT, "Customer if known, else visitor.", pii=True),
        Column("item_id", TEXT, "The product; services are left out."),
        Column("day", DATE, "Day of the interactions."),
        Column("views", INT32, "Views and clicks."),
        Column("carts", INT32, "Times put into the cart."),
        Column("purchases", INT32, "Purchase lines."),
    ),
    primary_key=("person_id", "item_id", "day"),
    freshness=WEEKLY,
    rules=(Rule("row_without_interaction", lambda t: (t.views + t.carts + t.purchases) > 0),),
)

CONTRACTS = (ITEM_FEATURES, CUSTOMER_FEATURES, TRAINING_INTERACTIONS)
