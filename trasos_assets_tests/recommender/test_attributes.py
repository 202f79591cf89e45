"""What models are told of items must be the same wherever they are built."""

import ibis
import pyarrow as pa
import pytest

from trasos_assets.recommender.attributes import attributes_for, item_attributes
from trasos_assets.recommender.models.registry import MODELS, kind_of

ROWS = [
    ("tie", "product", "ties", None),
    ("hat", "product", "hats", "acme"),
    ("cap", "product", None, "acme"),
    ("bag", "product", None, None),
    ("wrapping", "service", "gifts", None),
]
TABLE = pa.table(
    [list(column) for column in zip(*ROWS, strict=True)],
    schema=pa.schema([(name, pa.string()) for name in ("item_id", "kind", "category", "brand")]),
)
CATALOGUE = ibis.memtable(TABLE)


def test_products_of_which_something_is_known_in_the_order_of_their_ids() -> None:
    assert item_attributes(CATALOGUE).to_pyarrow().to_pylist() == [
        {"item_id": "cap", "category": None, "brand": "acme"},
        {"item_id": "hat", "category": "hats", "brand": "acme"},
        {"item_id": "tie", "category": "ties", "brand": None},
    ]


def test_items_that_the_catalogue_does_not_know_change_nothing() -> None:
    touched = pa.table([["zip"], ["product"], [None], [None]], schema=TABLE.schema)
    with_touched = ibis.memtable(pa.concat_tables([touched, TABLE]))
    found = attributes_for(["blend"], with_touched)
    assert found is not None and found.equals(item_attributes(CATALOGUE).to_pyarrow())


def test_attributes_are_read_only_for_models_that_take_them() -> None:
    assert attributes_for(["als", "popularity"], CATALOGUE) is None
    assert attributes_for(["als", "blend"], CATALOGUE) is not None


@pytest.mark.parametrize("name", [name for name, kind in MODELS.items() if not kind.takes_items])
def test_a_model_that_takes_none_is_built_as_without(name: str) -> None:
    kind = kind_of(name)
    items = item_attributes(CATALOGUE).to_pyarrow()
    assert type(kind.build(kind.default, items=items)) is type(kind.build(kind.default))
