"""What the shop shows: recommendations for everyone, and what is bought together."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

import ibis

from trasos_assets.contracts.science import ALSO_BOUGHT, RECOMMENDATIONS
from trasos_assets.lake.table import TableCheck, table
from trasos_assets.recommender import features
from trasos_assets.settings import get_settings
from trasos_assets.trust.identity import with_person

POPULARITY_DAYS = 14


def _bought(interactions: ibis.Table, identities: ibis.Table) -> ibis.Table:
    purchases = interactions.filter(interactions.interaction_type == "purchase")
    return with_person(purchases, identities).select("person_id", "item_id").distinct()


def _already_bought(recommendations: ibis.Table, interactions: ibis.Table, identities: ibis.Table) -> ibis.Table:
    return recommendations.semi_join(_bought(interactions, identities), ["person_id", "item_id"])


def _not_for_sale(recommendations: ibis.Table, item_features: ibis.Table) -> ibis.Table:
    for_sale = item_features.filter((item_features.kind == "product") & item_features.available)
    return recommendations.anti_join(for_sale, "item_id")


def _gaps_or_repeats(recommendations: ibis.Table) -> ibis.Table:
    lists = recommendations.group_by("person_id").agg(
        length=recommendations.count(), last=recommendations["rank"].max(), items=recommendations.item_id.nunique()
    )
    return lists.filter((lists.length != lists["last"]) | (lists.length != lists["items"]))


@table(
    RECOMMENDATIONS,
    parameters=("top_k",),
    checks=[
        TableCheck("no_item_already_bought", _already_bought, "Nobody is shown what they have bought.", blocking=True),
        TableCheck(
            "every_item_can_be_bought", _not_for_sale, "Only available products are shown, no services.", blocking=True
        ),
        TableCheck(
            "ranks_are_whole",
            _gaps_or_repeats,
            "Ranks run from 1 without gaps; no item twice in a list.",
            blocking=True,
        ),
    ],
)
def recommendations(
    champion: ibis.Table,
    als_model: ibis.Table,
    interactions: ibis.Table,
    identities: ibis.Table,
    catalogue: ibis.Table,
    item_features: ibis.Table,
    customer_features: ibis.Table,
) -> ibis.Table:
    """The champion's list for every person it knows, the recently popular for everyone else."""
    from trasos_assets.recommender.engines import model_engine
    from trasos_assets.recommender.models import Popularity, PopularityConfig

    serving = champion.to_pyarrow().to_pylist()
    if not serving:
        return ibis.memtable([], schema=dict(RECOMMENDATIONS.types))
    version, as_of = serving[0]["model_version"], serving[0]["as_of"]
    recent = features.training_interactions(with_person(interactions, identities), catalogue)
    for_sale = item_features.filter((item_features.kind == "product") & item_features.available)
    lists = model_engine(als_model).recommend_for_everyone(
        als_model.filter(als_model.model_version == version).drop("model_version"),
        Popularity(PopularityConfig(window_days=POPULARITY_DAYS)).fit(recent),
        customer_features.select("person_id"),
        _bought(interactions, identities),
        for_sale.select("item_id"),
        get_settings().top_k,
    )
    return lists.mutate(model_version=ibis.literal(version), as_of=ibis.literal(as_of, type="date"))


@table(ALSO_BOUGHT)
def also_bought(order_lines: ibis.Table, item_features: ibis.Table, watermark: ibis.Table) -> ibis.Table:
    """Products that stand in one order more often than by chance."""
    from trasos_assets.recommender.also_bought import also_bought as companions

    days = watermark.to_pyarrow().to_pylist()
    if not days:
        return ibis.memtable([], schema=dict(ALSO_BOUGHT.types))
    for_sale = item_features.filter((item_features.kind == "product") & item_features.available).select("item_id")
    baskets = order_lines.filter(order_lines.line_kind == "purchase").select("order_id", "item_id")
    return companions(baskets.semi_join(for_sale, "item_id"), days[0]["data_through"])
