"""Tables that the shop shows: who is recommended what and why, and what goes with or instead of what."""

from trasos_assets.contracts.model import FLOAT64, INT32, INT64, TEXT, Column, Contract, Rule
from trasos_assets.contracts.models import MODEL_VERSION
from trasos_assets.contracts.science import AS_OF

PINNED = "pinned"
MODEL = "model"
CATEGORY_POPULARITY = "category_popularity"
RECENT_POPULARITY = "recent_popularity"
POPULARITY = "popularity"
SOURCES = (PINNED, MODEL, CATEGORY_POPULARITY, RECENT_POPULARITY, POPULARITY)
"""Where a row of ``recommendations`` comes from, in the order in which a list is filled."""
FALLBACKS = (CATEGORY_POPULARITY, RECENT_POPULARITY, POPULARITY)
"""Sources that stand in where the model has nothing (more) to say."""

BECAUSE_BOUGHT, BECAUSE_VIEWED, VIEWED_BEFORE = "because_bought", "because_viewed", "viewed_before"
YOUR_TASTE = "your_taste"
POPULAR_IN_CATEGORY, POPULAR_NOW, POPULAR_ALWAYS = "popular_in_category", "popular_now", "popular_always"
REASONS = (
    *(BECAUSE_BOUGHT, BECAUSE_VIEWED, VIEWED_BEFORE, YOUR_TASTE),
    *(POPULAR_IN_CATEGORY, POPULAR_NOW, POPULAR_ALWAYS, PINNED),
)
"""Why a row is shown. The first three, and popular_in_category, name the item behind it."""
WITH_ITEM = (BECAUSE_BOUGHT, BECAUSE_VIEWED, VIEWED_BEFORE, POPULAR_IN_CATEGORY)

COMPLEMENT, ALIKE, UNKNOWN = "complement", "alike", "unknown"
VIEWED_TOGETHER, SAME_KIND = "viewed_together", "same_kind"

RECOMMENDATIONS = Contract(
    name="recommendations",
    owner="science",
    served_to="the shop",
    description="The best items for every known person that they have not bought and can buy; short only where nothing "
    "is left.",
    columns=(
        Column("person_id", TEXT, "Customer if known, else visitor.", pii=True),
        Column("rank", INT32, "From 1, without gaps."),
        Column("item_id", TEXT, "The product."),
        Column(
            "score",
            FLOAT64,
            "The source's own score, rounded to 6 digits; comparable within a source only. Null for pinned items.",
            nullable=True,
        ),
        Column("source", TEXT, "pinned; model: the champion; or what fills the list where it has no more to say."),
        Column("reason", TEXT, f"Why it is shown: {', '.join(REASONS)}."),
        Column("because_item_id", TEXT, "The item, touched by the person, that the reason is about.", nullable=True),
        MODEL_VERSION,
        AS_OF,
    ),
    primary_key=("person_id", "rank"),
    version=2,
    rules=(
        Rule("unknown_source", lambda t: t.source.isin(SOURCES)),
        Rule("unknown_reason", lambda t: t.reason.isin(REASONS)),
        # Not by ==: Spark reads `a = b IN (...)` from the left.
        Rule(
            "reason_without_its_item",
            lambda t: t.reason.isin(WITH_ITEM).ifelse(t.because_item_id.notnull(), t.because_item_id.isnull()),
        ),
        Rule("pinned_for_no_reason", lambda t: (t.source == PINNED) == (t.reason == PINNED)),
        Rule("rank_not_positive", lambda t: t["rank"] >= 1),
    ),
)

SIMILAR_ITEMS = Contract(
    name="similar_items",
    owner="science",
    served_to="the shop",
    description="The items that the champion holds nearest to each item for sale; no rows before there is a champion.",
    columns=(
        Column("item_id", TEXT, "The product."),
        Column("rank", INT32, "From 1."),
        Column("similar_item_id", TEXT, "The product that is like it."),
        Column("score", FLOAT64, "The champion's own measure, e.g. cosine of item vectors, rounded to 6 digits."),
        MODEL_VERSION,
        AS_OF,
    ),
    primary_key=("item_id", "rank"),
    rules=(
        Rule("similar_to_itself", lambda t: t.item_id != t.similar_item_id),
        Rule("rank_not_positive", lambda t: t["rank"] >= 1),
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
        Column(
            "relation", TEXT, "complement: of another category; alike: of the same one; unknown: one has no category."
        ),
        Column("orders_together", INT64, "Orders with both."),
        Column("item_orders", INT64, "Orders with the product."),
        Column("also_orders", INT64, "Orders with the other product."),
        Column("lift", FLOAT64, "P(both) / (P(one) P(other)) over all orders, rounded to 6 digits."),
        Column("q", FLOAT64, "Share of false pairs among all that are as sure (Benjamini-Hochberg), 6 digits."),
        AS_OF,
    ),
    primary_key=("item_id", "rank"),
    version=2,
    rules=(
        Rule("paired_with_itself", lambda t: t.item_id != t.also_item_id),
        Rule("lift_below_one", lambda t: t.lift > 1),
        Rule("unknown_relation", lambda t: t.relation.isin((COMPLEMENT, ALIKE, UNKNOWN))),
        Rule("q_out_of_range", lambda t: (t.q >= 0) & (t.q <= 1)),
    ),
)

SUBSTITUTES = Contract(
    name="substitutes",
    owner="science",
    served_to="the shop",
    description="Products that people choose between: looked at in one session, of one kind, and hardly ever bought "
    "together.",
    columns=(
        Column("item_id", TEXT, "The product."),
        Column("rank", INT32, "From 1; those viewed together first."),
        Column("substitute_item_id", TEXT, "The product to take instead."),
        Column(
            "source",
            TEXT,
            "viewed_together: in one session more often than by chance; same_kind: of its category, nearest in price.",
        ),
        Column("sessions_together", INT64, "Sessions in which both were looked at; null for same_kind.", nullable=True),
        Column("lift", FLOAT64, "Of the pair in sessions, 6 digits; null for same_kind.", nullable=True),
        Column("q", FLOAT64, "As in also_bought, over sessions; null for same_kind.", nullable=True),
        AS_OF,
    ),
    primary_key=("item_id", "rank"),
    rules=(
        Rule("substitute_of_itself", lambda t: t.item_id != t.substitute_item_id),
        Rule("unknown_source", lambda t: t.source.isin((VIEWED_TOGETHER, SAME_KIND))),
        Rule("measured_without_need", lambda t: (t.source == VIEWED_TOGETHER) == t.lift.notnull()),
        Rule("rank_not_positive", lambda t: t["rank"] >= 1),
    ),
)

CONTRACTS = (RECOMMENDATIONS, SIMILAR_ITEMS, ALSO_BOUGHT, SUBSTITUTES)
