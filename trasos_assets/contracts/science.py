"""Tables that science owns: features, training data, models, the champion and what it recommends."""

from datetime import timedelta

from trasos_assets.contracts.model import (
    BOOLEAN,
    DATE,
    FLOAT64,
    INT32,
    INT64,
    MONEY,
    TEXT,
    VECTOR,
    Column,
    Contract,
    Rule,
)

WEEKLY = timedelta(days=9)
AS_OF = Column("as_of", DATE, "Last day of data behind the row.")
MODEL_VERSION = Column("model_version", TEXT, "Hash of inputs, code and parameters of the model.")

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

LEADERBOARD = Contract(
    name="leaderboard",
    owner="science",
    description="Every model on every target by a global time split, full ranking, mean over people.",
    columns=(
        Column("model", TEXT, "The model."),
        Column("target", TEXT, "new_items: only items the person never bought; all_items: repeats count too."),
        Column("metric", TEXT, "ndcg, recall, hit_rate or coverage."),
        Column("k", INT32, "Length of the list."),
        Column("value", FLOAT64, "The metric, mean over people.", nullable=True),
        Column("people", INT64, "People in the mean."),
        Column("train_through", DATE, "Last day of training data."),
        Column("test_through", DATE, "Last day of truth."),
    ),
    primary_key=("model", "target", "metric", "k"),
    freshness=WEEKLY,
    rules=(
        Rule("metric_out_of_range", lambda t: (t.value >= 0) & (t.value <= 1)),
        Rule("split_leaks", lambda t: t.train_through < t.test_through),
    ),
)

ALS_MODEL = Contract(
    name="als_model",
    owner="science",
    description="Factors of the ALS model, one row per person and per item.",
    columns=(
        Column("side", TEXT, "person or item."),
        Column("id", TEXT, "Person or item id.", pii=True),
        Column("factors", VECTOR, "Latent factors, float32."),
        MODEL_VERSION,
    ),
    primary_key=("side", "id"),
    freshness=WEEKLY,
    rules=(Rule("unknown_side", lambda t: t.side.isin(("person", "item"))),),
)

CHAMPION = Contract(
    name="champion",
    owner="science",
    description="One row: the model that recommendations are made with.",
    columns=(
        Column("model", TEXT, "als or popularity."),
        MODEL_VERSION,
        Column("reason", TEXT, "Why this model serves."),
        AS_OF,
    ),
    primary_key=("model_version",),
    freshness=WEEKLY,
)

RECOMMENDATIONS = Contract(
    name="recommendations",
    owner="science",
    served_to="the shop",
    description="The best items for every known person that they have not bought and can buy; short lists stay short.",
    columns=(
        Column("person_id", TEXT, "Customer if known, else visitor.", pii=True),
        Column("rank", INT32, "From 1."),
        Column("item_id", TEXT, "The product."),
        Column("score", FLOAT64, "The source's own score, rounded to 6 digits; comparable within a source only."),
        Column("source", TEXT, "als, or popularity for people the model does not know."),
        MODEL_VERSION,
        AS_OF,
    ),
    primary_key=("person_id", "rank"),
    rules=(
        Rule("unknown_source", lambda t: t.source.isin(("als", "popularity"))),
        Rule("rank_not_positive", lambda t: t.rank >= 1),
    ),
)

ALSO_BOUGHT = Contract(
    name="also_bought",
    owner="science",
    served_to="the shop",
    description="Customers who bought this also bought: pairs of products in one order more often than by chance.",
    columns=(
        Column("item_id", TEXT, "The product."),
        Column("rank", INT32, "From 1, by lift of the pair damped for small support."),
        Column("also_item_id", TEXT, "The other product."),
        Column("orders_together", INT64, "Orders with both."),
        Column("item_orders", INT64, "Orders with the product."),
        Column("also_orders", INT64, "Orders with the other product."),
        Column("lift", FLOAT64, "P(both) / (P(one) P(other)) over all orders, rounded to 6 digits."),
        AS_OF,
    ),
    primary_key=("item_id", "rank"),
    rules=(
        Rule("paired_with_itself", lambda t: t.item_id != t.also_item_id),
        Rule("lift_below_one", lambda t: t.lift > 1),
    ),
)

CONTRACTS = (
    ITEM_FEATURES,
    CUSTOMER_FEATURES,
    TRAINING_INTERACTIONS,
    LEADERBOARD,
    ALS_MODEL,
    CHAMPION,
    RECOMMENDATIONS,
    ALSO_BOUGHT,
)
