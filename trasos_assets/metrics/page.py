"""The page of metric definitions in the docs."""

from __future__ import annotations

import itertools

from trasos_assets.contracts import CONTRACTS
from trasos_assets.metrics.definitions import DEFINITIONS, MetricDefinition

_HEAD = """# Metrics

What every number of the analytics tables means, whose it is, and which way it should go.
This page is written from `trasos_assets/metrics/definitions.toml`; change that file, then run
`python -m trasos_assets.metrics.page > docs/metrics.md`.

Rules that hold for all of them:

- **People**: a person is the customer if known, else the visitor. Bots and testers are left out everywhere.
- **Days** are days of the business time zone (`TRASOS_TIMEZONE`); weeks begin on Monday.
- **A window that is not over is blank, never 0.** Whether it is over is decided by the watermark (`data_through`, the
  last day of which everything has landed), never by a clock.
- **First** means first in the lake: a customer from before its first day looks new.
- **Money** is summed in exact decimals; shares are two exact numbers divided once.
- **A valid order** was paid for (gross above 0, so free items alone are no order) and is not wholly cancelled.
"""


def metrics_page() -> str:
    """The definitions as Markdown, a section for each table in the order of the file."""
    sections = [
        _section(table, list(definitions))
        for table, definitions in itertools.groupby(DEFINITIONS, key=lambda definition: definition.table)
    ]
    return "\n".join([_HEAD, *sections])


def _section(table: str, definitions: list[MetricDefinition]) -> str:
    contract = CONTRACTS[table]
    head = [
        f"## {table}",
        "",
        f"{contract.description} One row per {', '.join(f'`{name}`' for name in contract.primary_key)}.",
        "",
    ]
    return "\n".join([*head, *("\n".join(_entry(definition)) for definition in definitions)])


def _entry(definition: MetricDefinition) -> list[str]:
    ratio = f"{definition.numerator} / {definition.denominator}" if definition.denominator else definition.numerator
    facts = [
        ("Counts", ratio),
        ("Window", definition.window),
        ("Unit", definition.unit),
        ("Should go", definition.direction),
        ("Owner", definition.owner),
    ]
    return [
        f"### {definition.name} (`{definition.table}.{definition.column}`)",
        "",
        f"*{definition.question}* {definition.formula}",
        "",
        *(f"- {label}: {text}" for label, text in facts if text),
        "",
    ]


if __name__ == "__main__":
    print(metrics_page(), end="")
