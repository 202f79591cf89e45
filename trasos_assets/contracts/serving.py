"""Tables that the shop shows: who is recommended what, and what is bought together."""

from trasos_assets.contracts.model import FLOAT64, INT32, INT64, TEXT, Column, Contract, Rule
from trasos_assets.contracts.models import MODEL_VERSION
from trasos_assets.contracts.science import AS_OF

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

CONTRACTS = (RECOMMENDATIONS, ALSO_BOUGHT)
