"""Features of items and people, and the training data."""

import ibis

from trasos_assets.contracts.science import CUSTOMER_FEATURES, ITEM_FEATURES, TRAINING_INTERACTIONS
from trasos_assets.lake.table import WARN, WEEKLY, TableCheck, table
from trasos_assets.recommender import features
from trasos_assets.trust.bots import people_only
from trasos_assets.trust.identity import with_person


def _unknown_items(item_features: ibis.Table, catalogue: ibis.Table) -> ibis.Table:
    return item_features.anti_join(catalogue, "item_id").select("item_id", "viewers", "buyers")


@table(
    ITEM_FEATURES,
    checks=[
        TableCheck(
            "every_item_is_in_the_catalogue",
            _unknown_items,
            "Every item that somebody viewed or bought is in the catalogue.",
            severity=WARN,
        )
    ],
)
def item_features(
    interactions: ibis.Table, identities: ibis.Table, catalogue: ibis.Table, watermark: ibis.Table
) -> ibis.Table:
    """Attributes and demand of every item."""
    return features.item_features(with_person(interactions, identities), catalogue, watermark)


@table(CUSTOMER_FEATURES)
def customer_features(
    clean_events: ibis.Table,
    interactions: ibis.Table,
    identities: ibis.Table,
    orders: ibis.Table,
    watermark: ibis.Table,
) -> ibis.Table:
    """Activity, orders, value and recency of every person."""
    slim = people_only(clean_events).select("day", "occurred_at", "visitor_id", "customer_id")
    # The person's own id is the customer id of its events once logged in, or of the identity that it was found by.
    activity = with_person(slim, identities)
    return features.customer_features(activity, with_person(interactions, identities), orders, watermark)


@table(TRAINING_INTERACTIONS, tags=WEEKLY)
def training_interactions(interactions: ibis.Table, identities: ibis.Table, catalogue: ibis.Table) -> ibis.Table:
    """What every model is trained and tested on."""
    return features.training_interactions(with_person(interactions, identities), catalogue)
