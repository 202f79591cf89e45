"""What a line of a published table looks like, as JSON Schema; and its columns in PostgreSQL."""

from __future__ import annotations

import re
from typing import Any

from trasos_assets.contracts.model import Contract

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_JSON: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "int32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "float32": {"type": "number"},
    "float64": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
}
_POSTGRES = {
    "string": "text",
    "int32": "integer",
    "int64": "bigint",
    "float32": "real",
    "float64": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp(6)": "timestamp(6)",
}
_DECIMAL = re.compile(r"decimal\((\d+), (\d+)\)")


def json_schema(contract: Contract) -> dict[str, Any]:
    """The JSON Schema of one line. A key is always there; a column that may be null says so in its type.

    Raises:
        ValueError: a column has a type that JSON has no exact form for; publish it in another one.
    """
    properties = {}
    for column in contract.columns:
        if column.type not in _JSON:
            raise ValueError(f"{contract.name}.{column.name} is {column.type}, which JSON cannot hold exactly")
        found = dict(_JSON[column.type])
        if column.nullable:
            found["type"] = [found["type"], "null"]
        if column.pii:
            found["x-personal"] = True
        properties[column.name] = found | {"description": column.description}
    return {
        "$schema": DRAFT,
        "title": contract.name,
        "description": contract.description,
        "x-contract-version": contract.version,
        "x-primary-key": list(contract.primary_key),
        "type": "object",
        "properties": properties,
        "required": list(contract.column_names),
        "additionalProperties": False,
    }


def postgres_type(kind: str) -> str:
    """The type of a PostgreSQL column that holds every value of a contract's type.

    Raises:
        ValueError: there is none.
    """
    if found := _DECIMAL.fullmatch(kind):
        return f"numeric({found[1]}, {found[2]})"
    if kind not in _POSTGRES:
        raise ValueError(f"a column of {kind} cannot be published to PostgreSQL")
    return _POSTGRES[kind]
