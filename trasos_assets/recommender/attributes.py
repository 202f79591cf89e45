"""What the catalogue says of items, for the models that learn from it."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterable

import ibis
import pyarrow as pa

from trasos_assets.recommender.models.registry import kind_of


def item_attributes(items: ibis.Table) -> ibis.Table:
    """Columns item_id, category, brand of the products that have a category or a brand, by id.

    The same of the tables catalogue and item_features, for the latter only adds items without either. Prices and stock
    are left out: they change, and their state is not dated, so that a past day would know those of today.
    """
    told = items.filter((items.kind == "product") & (items.category.notnull() | items.brand.notnull()))
    return told.select("item_id", "category", "brand").order_by("item_id")


def attributes_for(models: Iterable[str], items: ibis.Table) -> pa.Table | None:
    """``item_attributes`` as Arrow, what ``ModelKind.build`` takes; None if none of the models (names) asks for it."""
    return item_attributes(items).to_pyarrow() if any(kind_of(name).takes_items for name in models) else None
