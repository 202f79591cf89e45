"""Tables that engineering owns of what is no event: items, what campaigns cost, who is in which experiment."""

from trasos_assets.contracts.landing import ASSIGNMENT, CATALOGUE, MARKETING_SPEND
from trasos_assets.contracts.model import DATE, Column, Contract, Rule

CATALOGUE_HISTORY = Contract(
    name="catalogue_history",
    owner="engineering",
    description="Every state an item was in, by the snapshots that landed.",
    columns=(
        *CATALOGUE.columns,
        Column("valid_from", DATE, "First day of this state."),
        Column("valid_to", DATE, "First day of the next state; 9999-12-31 while it lasts."),
    ),
    primary_key=("item_id", "valid_from"),
    rules=(*CATALOGUE.rules, Rule("empty_interval", lambda t: t.valid_from < t.valid_to)),
)

ITEM_CATALOGUE = Contract(
    name="catalogue",
    owner="engineering",
    description="The latest state of every item.",
    columns=(*CATALOGUE.columns, Column("as_of", DATE, "The snapshot that this state comes from.")),
    primary_key=("item_id",),
    rules=CATALOGUE.rules,
)

SPEND = Contract(
    name="marketing_spend",
    owner="engineering",
    description="Cost of every campaign on every day, as last reported.",
    columns=MARKETING_SPEND.columns,
    primary_key=("spend_day", "channel", "campaign"),
    rules=MARKETING_SPEND.rules,
)

ASSIGNMENTS = Contract(
    name="assignments",
    owner="engineering",
    description="The arm of every unit in every experiment; the first assignment stands.",
    columns=ASSIGNMENT.columns,
    primary_key=("experiment", "unit_id"),
    rules=ASSIGNMENT.rules,
)

CONTRACTS = (CATALOGUE_HISTORY, ITEM_CATALOGUE, SPEND, ASSIGNMENTS)
