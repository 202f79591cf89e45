"""Each check of the shop's lists finds the one row that was made to break it."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import ibis
import pytest

from trasos_assets.contracts.engineering import IDENTITIES, INTERACTIONS
from trasos_assets.contracts.model import Contract
from trasos_assets.contracts.models import CHAMPION, CHAMPION_MODEL
from trasos_assets.contracts.reference import ITEM_CATALOGUE
from trasos_assets.contracts.science import CUSTOMER_FEATURES, ITEM_FEATURES
from trasos_assets.contracts.serving import ALSO_BOUGHT, RECOMMENDATIONS, SIMILAR_ITEMS, SUBSTITUTES
from trasos_assets.defs.science import serving
from trasos_assets.lake.table import FUNCTIONS
from trasos_assets.settings import get_settings
from trasos_assets_tests.conftest import make_table, new_backend

ITEMS = {"dress": "dresses", "other dress": "dresses", "third dress": "dresses", "shoe": "shoes", "gone": "shoes"}
FINE = [("p", 1, "dress", "pinned", "pinned", None), ("p", 2, "shoe", "model", "because_viewed", "bought item")]


def served(version: str, sequence: int, parts: int = 2) -> dict[str, Any]:
    told = {"sequence": sequence, "model": "als", "model_version": version, "parameters": '{"factors": 1}'}
    return told | {"parts": parts, "action": "promoted"}


@pytest.fixture
def tables() -> dict[str, ibis.Table]:
    backend = new_backend()

    def table(contract: Contract, rows: list[dict[str, Any]]) -> ibis.Table:
        return backend.create_table(contract.name, make_table(backend, contract, rows).to_pyarrow())

    known = {"kind": "product", "brand": "b", "available": True}
    features = [{"item_id": item, "category": of} | known for item, of in ITEMS.items()]
    features[-1]["available"] = False
    touched = [("bought item", "purchase"), ("viewed item", "page_view")]
    return {
        "item_features": table(ITEM_FEATURES, features),
        "catalogue": table(ITEM_CATALOGUE, [{"item_id": item, "stock": 3} for item in ITEMS]),
        "customer_features": table(CUSTOMER_FEATURES, [{"person_id": "p"}]),
        "identities": table(IDENTITIES, []),
        "champion": table(CHAMPION, [served("v1", 1)]),
        "interactions": table(
            INTERACTIONS,
            [
                {"event_id": item, "visitor_id": "p", "item_id": item, "interaction_type": kind}
                | {"day": date(2026, 1, 5), "occurred_at": datetime(2026, 1, 5)}
                for item, kind in touched
            ],
        ),
    }


@pytest.fixture
def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "rules.yaml"
    file.write_text("minimum_stock: 2\nat_most: {category: 1}\nexclude: {items: [third dress]}\n")
    monkeypatch.setenv("TRASOS_RULES_FILE", str(file))
    get_settings.cache_clear()
    yield file
    monkeypatch.undo()
    get_settings.cache_clear()


def against(tables: dict[str, ibis.Table], rows: list[tuple], version: str = "v1") -> set[str]:
    """Names of the checks of recommendations that rows speak against."""
    names = ("person_id", "rank", "item_id", "source", "reason", "because_item_id")
    told = [dict(zip(names, row, strict=True)) | {"model_version": version} for row in rows]
    lists = make_table(new_backend(), RECOMMENDATIONS, told)
    staged = next(iter(tables.values())).get_backend().create_table("staged", lists.to_pyarrow(), overwrite=True)
    found = set()
    for check in FUNCTIONS["recommendations"].checks:
        wanted = check.find.__code__.co_varnames[1 : check.find.__code__.co_argcount]
        if check.find(staged, **{name: tables[name] for name in wanted}).count().to_pyarrow().as_py():
            found.add(check.name)
    return found


@pytest.mark.parametrize(
    ("row", "broken"),
    [
        (("p", 3, "bought item", "model", "your_taste", None), {"no_item_already_bought", "every_item_can_be_bought"}),
        (("p", 3, "gone", "model", "your_taste", None), {"every_item_can_be_bought", "rules_are_kept"}),
        (
            ("p", 4, "viewed item", "model", "viewed_before", "viewed item"),
            {"ranks_are_whole", "every_item_can_be_bought"},
        ),
        (("p", 3, "other dress", "model", "because_viewed", "shoe"), {"reasons_are_true", "rules_are_kept"}),
        (("p", 3, "third dress", "pinned", "pinned", None), {"rules_are_kept"}),
        (("q", 1, "dress", "model", "your_taste", None), {"lists_are_of_known_people"}),
    ],
)
def test_each_check_finds_what_breaks_it(tables, rules, row: tuple, broken: set[str]) -> None:
    assert against(tables, FINE) == set()
    assert against(tables, [*FINE, row]) == broken


def test_lists_of_another_model_than_the_one_that_serves_are_found(tables, rules) -> None:
    assert against(tables, FINE, version="v0") == {"lists_are_the_champions"}
    nobody = tables | {"champion": tables["champion"].filter(ibis.literal(False))}
    assert against(nobody, FINE, version="popularity_recent") == set()


def test_a_champion_whose_parts_are_not_stored_gives_way_to_the_newest_that_is_whole() -> None:
    backend = new_backend()
    history = make_table(backend, CHAMPION, [served("v1", 1), served("v2", 2), served("v3", 3)])
    stored = [{"model_version": version, "side": "item", "id": "i"} for version in ("v1", "v2")]
    items = make_table(backend, ITEM_FEATURES, [])
    champion, version, parts = serving._champion(history, make_table(backend, CHAMPION_MODEL, stored), items)
    assert (champion.version, version) == ("v2", "v2") and parts.count().to_pyarrow().as_py() == 1
    champion, version, _ = serving._champion(history, make_table(backend, CHAMPION_MODEL, []), items)
    assert (champion, version) == (None, "popularity_recent")


@pytest.mark.parametrize(
    ("item", "similar", "against"), [("dress", "shoe", 0), ("dress", "gone", 1), ("gone", "dress", 1)]
)
def test_both_sides_of_a_similar_pair_must_be_for_sale(tables, item: str, similar: str, against: int) -> None:
    backend = tables["item_features"].get_backend()
    pair = make_table(new_backend(), SIMILAR_ITEMS, [{"item_id": item, "similar_item_id": similar, "rank": 1}])
    staged = backend.create_table("staged", pair.to_pyarrow())
    (check,) = FUNCTIONS["similar_items"].checks
    assert check.find(staged, tables["item_features"]).count().to_pyarrow().as_py() == against


def test_pinned_items_may_fill_a_limit_by_themselves(tables, rules) -> None:
    both = [("p", 1, "dress", "pinned", "pinned", None), ("p", 2, "other dress", "pinned", "pinned", None)]
    assert against(tables, both) == set()
    rules.write_text("minimum_stock: 4\n")
    assert against(tables, both) == {"rules_are_kept"}


def test_no_pair_is_a_substitute_and_also_bought() -> None:
    backend = new_backend()
    pair = {"item_id": "a", "also_item_id": "b"}
    bought = make_table(backend, ALSO_BOUGHT, [pair])
    for other, count in (("b", 1), ("c", 0)):
        instead = make_table(backend, SUBSTITUTES, [{"item_id": "a", "substitute_item_id": other}])
        assert serving._bought_together(instead, bought).count().to_pyarrow().as_py() == count


def test_the_lists_are_built_again_with_other_rules_only(rules, monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_settings().rules_digest
    rules.write_text("minimum_stock: 5\n")
    assert get_settings().rules_digest not in (first, "none", "unreadable")
    rules.unlink()
    assert get_settings().rules_digest == "unreadable"
    monkeypatch.delenv("TRASOS_RULES_FILE")
    get_settings.cache_clear()
    assert get_settings().rules_digest == "none"
    assert SIMILAR_ITEMS.name in FUNCTIONS
