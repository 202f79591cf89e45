"""The pages of the docs that contracts write: every table, and the fields of the landing format.

python -m trasos_assets.contracts.page > docs/tables.md
python -m trasos_assets.contracts.page docs/landing.md      # writes the fields between its marks anew
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from trasos_assets.contracts import CONTRACTS
from trasos_assets.contracts.landing import FORMATS, LandingFormat
from trasos_assets.contracts.model import Column, Contract

OWNERS = ("engineering", "science", "analytics")
_PARTITIONS = {
    "none": "none, one file",
    "received": "a file a day, by the day the line was received",
    "occurred": "a file a day, by the day it happened in the business time zone",
}
_MARKED = re.compile(r"(<!-- fields of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

_HEAD = """# Tables

Every table, as its contract in `trasos_assets/contracts/` has it. This page is written from there; change a contract,
then run `python -m trasos_assets.contracts.page > docs/tables.md`.

- In the warehouse a table is `<owner>.<table>`; in the lake it is `lake/<owner>/<table>/`.
- **Fresh** is the longest time between two updates that the owner promises.
- **Personal** columns point at a person. They are never shown in previews, metadata, logs or error texts.
- **Rules** are named by the fault: no row may have it. They, the types, the nulls and the primary key are the check
  `keeps_contract` of the table, which blocks: a table that fails it is not published.
- A **volatile** table holds times and run ids, so it differs between two runs on the same data; no other does.
"""


def tables_page() -> str:
    """All contracts as Markdown: a list by owner, then a section a table, in the order of the contracts."""
    index, sections = [], []
    for owner in OWNERS:
        owned = [contract for contract in CONTRACTS.values() if contract.owner == owner]
        links = ", ".join(f"[{contract.name}](#{contract.name})" for contract in owned)
        index.append(f"**{owner}** ({len(owned)}): {links}\n")
        sections.append(f"## {owner}\n")
        sections += [_section(contract) for contract in owned]
    return "\n".join([_HEAD, *index, *sections])


def _section(contract: Contract) -> str:
    facts = [
        ("Owner", contract.owner),
        ("Partition", _PARTITIONS[contract.partition]),
        ("Fresh", _duration(contract.freshness)),
        ("Primary key", _codes(contract.primary_key)),
        ("Version", f"{contract.version}{', volatile' if contract.volatile else ''}"),
        ("Kept", "for ever" if contract.keep_days is None else f"{contract.keep_days} days"),
        ("Rules", _codes(rule.name for rule in contract.rules) or "none but types, nulls and the key"),
    ]
    rows = [
        f"| `{column.name}` | {column.type} | {_yes(column.nullable)} | {_yes(column.pii)} | {_cell(column)} |"
        for column in contract.columns
    ]
    return "\n".join(
        [
            f"### {contract.name}",
            "",
            contract.description,
            "",
            *(f"- {label}: {text}" for label, text in facts),
            "",
            "| column | type | nullable | personal | what it holds |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def landing_fields(landing: LandingFormat) -> str:
    """The fields of one landed data set as a Markdown table, and its rules."""
    rows = [
        f"| `{column.name}` | {_json_type(column)} | {'' if column.nullable else 'required'} | {_cell(column)} |"
        for column in landing.columns
    ]
    head = ["| field | JSON value | | what it holds |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", f"Rules: {_codes(rule.name for rule in landing.rules)}.", ""])


def with_fields(page: str) -> str:
    """A page with what stands between ``<!-- fields of DATASET -->`` and ``<!-- end -->`` written anew.

    Raises:
        KeyError: a mark names a data set that there is not.
    """
    return _MARKED.sub(lambda mark: mark[1] + landing_fields(FORMATS[mark[2]]) + mark[3], page)


def _json_type(column: Column) -> str:
    named = {
        "string": "string",
        "timestamp(6)": "string, ISO 8601 with offset or `Z`; without one it is read as UTC",
        "date": "string, `YYYY-MM-DD`",
        "boolean": "true or false",
        "int32": "whole number",
        "int64": "whole number",
    }
    return named.get(column.type, "number, rounded to 4 decimals")


def _cell(column: Column) -> str:
    return column.description.replace("|", "\\|")


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _yes(value: bool) -> str:
    return "yes" if value else ""


def _duration(promised: timedelta | None) -> str:
    if promised is None:
        return "no promise"
    hours = int(promised.total_seconds() // 3600)
    return f"{hours} hours" if hours < 72 or hours % 24 else f"{hours // 24} days"


def main(arguments: list[str]) -> None:
    """Print the page of tables, or write the landing fields of the given page anew."""
    if not arguments:
        print(tables_page(), end="")
    for argument in arguments:
        page = Path(argument)
        page.write_text(with_fields(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
