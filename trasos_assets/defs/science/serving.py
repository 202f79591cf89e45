"""What the shop shows: recommendations for everyone, what goes with an item, and what to take instead."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from datetime import date
from typing import Any

import ibis

from trasos_assets.contracts.serving import ALSO_BOUGHT, PINNED, RECOMMENDATIONS, SIMILAR_ITEMS, SUBSTITUTES
from trasos_assets.lake.table import TableCheck, table
from trasos_assets.recommender import features
from trasos_assets.settings import get_settings
from trasos_assets.trust.bots import people_only
from trasos_assets.trust.identity import with_person

POPULARITY_DAYS = 14
VIEWS = ("page_view", "click")
SIMILAR = 10


def _touched(interactions: ibis.Table, identities: ibis.Table) -> ibis.Table:
    return with_person(interactions, identities).select("person_id", "item_id").distinct()


def _bought(interactions: ibis.Table, identities: ibis.Table) -> ibis.Table:
    return _touched(interactions.filter(interactions.interaction_type == "purchase"), identities)


def _for_sale(item_features: ibis.Table) -> ibis.Table:
    return item_features.filter((item_features.kind == "product") & item_features.available)


def _already_bought(recommendations: ibis.Table, interactions: ibis.Table, identities: ibis.Table) -> ibis.Table:
    return recommendations.semi_join(_bought(interactions, identities), ["person_id", "item_id"])


def _not_for_sale(recommendations: ibis.Table, item_features: ibis.Table) -> ibis.Table:
    return recommendations.anti_join(_for_sale(item_features), "item_id")


def _gaps_or_repeats(recommendations: ibis.Table) -> ibis.Table:
    lists = recommendations.group_by("person_id").agg(
        length=recommendations.count(), last=recommendations["rank"].max(), items=recommendations.item_id.nunique()
    )
    return lists.filter((lists.length != lists["last"]) | (lists.length != lists["items"]))


def _untouched_reasons(recommendations: ibis.Table, interactions: ibis.Table, identities: ibis.Table) -> ibis.Table:
    named = recommendations.filter(recommendations.because_item_id.notnull())
    touched = _touched(interactions, identities).select("person_id", because_item_id="item_id")
    return named.anti_join(touched, ["person_id", "because_item_id"])


def _nobodys_list(recommendations: ibis.Table, customer_features: ibis.Table) -> ibis.Table:
    return recommendations.anti_join(customer_features, "person_id")


def _against_rules(recommendations: ibis.Table, item_features: ibis.Table, catalogue: ibis.Table) -> ibis.Table:
    rules = _rules()
    items = recommendations.select("item_id").distinct().left_join(item_features, "item_id").drop("item_id_right")
    items = items.select("item_id", "category", "brand").left_join(catalogue.select("item_id", "stock"), "item_id")
    shown = items.drop("item_id_right")
    banned = (shown.stock < rules.minimum_stock).fill_null(False)
    if rules.exclude.categories:
        banned |= shown.category.isin(sorted(rules.exclude.categories)).fill_null(False)
    if rules.exclude.items:
        banned |= shown.item_id.isin(sorted(rules.exclude.items))
    found = [recommendations.semi_join(shown.filter(banned), "item_id").select("person_id", broken=ibis.literal("out"))]
    lists = recommendations.select("person_id", "item_id", "source").inner_join(shown, "item_id")
    for name, most in (("brand", rules.at_most.brand), ("category", rules.at_most.category)):
        if most is not None:
            known = lists.filter(lists[name].notnull())
            # Pinned items may exceed a limit by themselves; nothing else may join them then.
            counted = known.group_by("person_id", name)
            held = counted.agg(items=known.count(), pinned=(known.source == PINNED).sum())
            over = held.filter((held["items"] > most) & (held["items"] > held["pinned"]))
            found.append(over.select("person_id", broken=ibis.literal(name)))
    return ibis.union(*found) if len(found) > 1 else found[0]


def _not_the_champions(recommendations: ibis.Table, champion: ibis.Table) -> ibis.Table:
    from trasos_assets.recommender.champions import FALLBACK, serving_version

    version = serving_version(champion) or FALLBACK
    return recommendations.filter(recommendations.model_version != version)


def _similar_not_for_sale(similar_items: ibis.Table, item_features: ibis.Table) -> ibis.Table:
    shown = _for_sale(item_features).select(similar_item_id="item_id")
    return _not_for_sale(similar_items, item_features).union(similar_items.anti_join(shown, "similar_item_id"))


def _rules() -> Any:
    from trasos_assets.recommender.rules import read_rules

    return read_rules(get_settings().rules_file)


def _shelf(train: ibis.Table, item_features: ibis.Table, catalogue: ibis.Table) -> Any:
    """What may be shown, by the rules of the business."""
    from trasos_assets.recommender.models import Popularity, PopularityConfig
    from trasos_assets.recommender.shelf import ITEM_COLUMNS, Shelf

    stocked = item_features.left_join(catalogue.select("item_id", "stock"), "item_id").drop("item_id_right")
    items = stocked.mutate(for_sale=(stocked.kind == "product") & stocked.available).select(*ITEM_COLUMNS)
    return Shelf.of(
        items.to_pyarrow(),
        _rules(),
        Popularity(PopularityConfig(window_days=POPULARITY_DAYS)).fit(train),
        Popularity().fit(train),
    )


def _champion(
    champion: ibis.Table, champion_model: ibis.Table, item_features: ibis.Table
) -> tuple[Any, str, ibis.Table]:
    """The model that serves (None: popularity), the version that its rows bear, and what is stored of it.

    A version whose stored parts are missing cannot serve: the newest that is whole does, and the check
    ``lists_are_the_champions`` says so.
    """
    from trasos_assets.recommender.attributes import attributes_for
    from trasos_assets.recommender.champions import FALLBACK, stored_versions, whole_row
    from trasos_assets.recommender.serving import Champion

    row = whole_row(champion, stored_versions(champion_model))
    version = FALLBACK if row is None else row["model_version"]
    items = None if row is None else attributes_for([row["model"]], item_features)
    return Champion.of_row(row, items), version, champion_model.filter(champion_model.model_version == version)


def _data_through(watermark: ibis.Table) -> date | None:
    days = watermark.to_pyarrow().to_pylist()
    return days[0]["data_through"] if days else None


@table(
    RECOMMENDATIONS,
    parameters=("top_k", "rules_digest"),
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
        TableCheck(
            "reasons_are_true",
            _untouched_reasons,
            "The item that a reason names is one that the person has viewed, put into the cart or bought.",
            blocking=True,
        ),
        TableCheck(
            "rules_are_kept", _against_rules, "No list breaks a rule of TRASOS_RULES_FILE.", blocking=True
        ),
        TableCheck("lists_are_of_known_people", _nobodys_list, "Every list is of a person of customer_features."),
        TableCheck(
            "lists_are_the_champions",
            _not_the_champions,
            "Every list is by the last row of champion; an earlier one's where champion_model has lost its parts.",
        ),
    ],
)  # fmt: skip
def recommendations(
    champion: ibis.Table,
    champion_model: ibis.Table,
    interactions: ibis.Table,
    identities: ibis.Table,
    catalogue: ibis.Table,
    item_features: ibis.Table,
    customer_features: ibis.Table,
    watermark: ibis.Table,
) -> ibis.Table:
    """The champion's list for every person it knows, topped up with what is popular."""
    from trasos_assets.recommender.engines import model_engine

    through = _data_through(watermark)
    if through is None:
        return ibis.memtable([], schema=dict(RECOMMENDATIONS.types))
    serves, version, parts = _champion(champion, champion_model, item_features)
    train = features.training_interactions(with_person(interactions, identities), catalogue)
    lists = model_engine(interactions).recommend_for_everyone(
        serves, parts, train, _shelf(train, item_features, catalogue), customer_features, get_settings().top_k
    )
    return lists.mutate(model_version=ibis.literal(version), as_of=ibis.literal(through, type="date"))


@table(
    SIMILAR_ITEMS,
    parameters=("rules_digest",),
    checks=[
        TableCheck(
            "every_item_can_be_bought",
            _similar_not_for_sale,
            "Only available products are shown, beside available products, no services.",
            blocking=True,
        ),
    ],
)
def similar_items(
    champion: ibis.Table,
    champion_model: ibis.Table,
    interactions: ibis.Table,
    identities: ibis.Table,
    catalogue: ibis.Table,
    item_features: ibis.Table,
    watermark: ibis.Table,
) -> ibis.Table:
    """The items nearest to each item for sale, by the champion."""
    from trasos_assets.recommender.engines import model_engine

    through = _data_through(watermark)
    if through is None:
        return ibis.memtable([], schema=dict(SIMILAR_ITEMS.types))
    serves, version, parts = _champion(champion, champion_model, item_features)
    train = features.training_interactions(with_person(interactions, identities), catalogue)
    shelf = _shelf(train, item_features, catalogue)
    found = model_engine(interactions).similar(serves, parts, train, shelf, SIMILAR)
    return found.mutate(model_version=ibis.literal(version), as_of=ibis.literal(through, type="date"))


def _purchases(order_lines: ibis.Table, item_features: ibis.Table) -> ibis.Table:
    baskets = order_lines.filter(order_lines.line_kind == "purchase").select("order_id", "item_id")
    return baskets.semi_join(_for_sale(item_features), "item_id")


@table(ALSO_BOUGHT)
def also_bought(order_lines: ibis.Table, item_features: ibis.Table, watermark: ibis.Table) -> ibis.Table:
    """Products that stand in one order more often than by chance."""
    from trasos_assets.recommender.also_bought import also_bought as companions

    through = _data_through(watermark)
    if through is None:
        return ibis.memtable([], schema=dict(ALSO_BOUGHT.types))
    return companions(_purchases(order_lines, item_features), through, items=item_features)


def _bought_together(substitutes: ibis.Table, also_bought: ibis.Table) -> ibis.Table:
    pairs = also_bought.select("item_id", substitute_item_id="also_item_id")
    return substitutes.semi_join(pairs, ["item_id", "substitute_item_id"])


@table(
    SUBSTITUTES,
    checks=[
        TableCheck(
            "no_substitute_is_also_bought",
            _bought_together,
            "What people buy together is no substitute: the pair is not in also_bought.",
            blocking=True,
        )
    ],
)
def substitutes(
    clean_events: ibis.Table,
    order_lines: ibis.Table,
    item_features: ibis.Table,
    also_bought: ibis.Table,
    watermark: ibis.Table,
) -> ibis.Table:
    """Products that people choose between."""
    from trasos_assets.recommender.substitutes import substitutes as instead

    through = _data_through(watermark)
    if through is None:
        return ibis.memtable([], schema=dict(SUBSTITUTES.types))
    people = people_only(clean_events)
    looked_at = people.filter(people.event_type.isin(VIEWS) & people.item_id.notnull() & people.session_id.notnull())
    sessions = looked_at.select("session_id", "item_id").distinct()
    return instead(sessions, _purchases(order_lines, item_features), _for_sale(item_features), through)
