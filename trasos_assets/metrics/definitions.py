"""What every number means, as data: the page in the docs and the dashboard's tooltips are made from it.

The definitions themselves are in ``definitions.toml`` beside this module, so that they read and change as text.
"""

from __future__ import annotations

import dataclasses
import tomllib
from importlib import resources

SOURCE = "definitions.toml"
UNITS = ("people", "sessions", "orders", "pieces", "money", "share", "days", "rank")
DIRECTIONS = ("up", "down", "neither")


@dataclasses.dataclass(frozen=True)
class MetricDefinition:
    """One number of one table.

    ``direction`` is where the business wants it to go; ``denominator`` is empty for counts and sums; ``window`` says
    over which time it is counted, and when it is blank.

    Raises:
        ValueError: unit or direction is none of those known.
    """

    table: str
    column: str
    name: str
    question: str
    formula: str
    window: str
    unit: str
    direction: str
    owner: str
    numerator: str = ""
    denominator: str = ""

    def __post_init__(self) -> None:
        for field, known in (("unit", UNITS), ("direction", DIRECTIONS)):
            value = getattr(self, field)
            if value not in known:
                raise ValueError(
                    f"{SOURCE}: {field} of {self.table}.{self.column} is {value!r}; use one of {', '.join(known)}"
                )

    @property
    def key(self) -> str:
        """``table.column``: what the definition is looked up by."""
        return f"{self.table}.{self.column}"


def parse_definitions(text: str) -> tuple[MetricDefinition, ...]:
    """Definitions from TOML, one ``[[metric]]`` each, in the order of the file.

    Raises:
        ValueError: a field is missing or unknown, a value is not allowed, or a column is defined twice.
    """
    fields = dataclasses.fields(MetricDefinition)
    required = {field.name for field in fields if field.default is dataclasses.MISSING}
    definitions: dict[str, MetricDefinition] = {}
    for number, metric in enumerate(tomllib.loads(text).get("metric", []), start=1):
        where = f"{SOURCE}: metric {number} ({metric.get('table', '?')}.{metric.get('column', '?')})"
        missing, unknown = required - metric.keys(), metric.keys() - {field.name for field in fields}
        if missing or unknown:
            faults = {"lacks": sorted(missing), "has unknown fields": sorted(unknown)}
            raise ValueError(f"{where} " + " and ".join(f"{fault} {names}" for fault, names in faults.items() if names))
        definition = MetricDefinition(**metric)
        if definition.key in definitions:
            raise ValueError(f"{where} is defined twice; keep one")
        definitions[definition.key] = definition
    return tuple(definitions.values())


DEFINITIONS: tuple[MetricDefinition, ...] = parse_definitions(
    resources.files("trasos_assets.metrics").joinpath(SOURCE).read_text(encoding="utf-8")
)
