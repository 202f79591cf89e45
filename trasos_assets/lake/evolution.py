"""How a published table may change its shape: columns that may be null can be added, the rest takes a new version.

Beside a table's files stands ``_contract.json``: version and columns it was last written with. A contract that drops or
retypes a column, or adds one that is never null, is refused until its version is raised; who raises it agrees with the
consumers, and `trasos run` then builds every partition anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from trasos_assets.contracts.model import Contract
from trasos_assets.lake.errors import LakeError

RECORD = "_contract.json"


@dataclass(frozen=True)
class Record:
    """Version and types (column to type) of a contract."""

    version: int
    types: dict[str, str]


def record_of(contract: Contract) -> Record:
    """What is written down of a contract."""
    return Record(contract.version, contract.types)


def to_bytes(record: Record) -> bytes:
    """As JSON."""
    return (json.dumps({"version": record.version, "columns": record.types}, indent=1) + "\n").encode()


def from_bytes(content: bytes) -> Record | None:
    """Read it back; None if it is garbage, for the next write makes it again from the contract."""
    try:
        stored = json.loads(content)
        return Record(int(stored["version"]), {str(name): str(kind) for name, kind in stored["columns"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def refuse_breaking(contract: Contract, published: Record | None) -> None:
    """Refuse a contract that takes from its readers what the published table gives them.

    Raises:
        LakeError: a column is dropped, has another type, or is new and never null, in the same version.
    """
    if published is None or contract.version > published.version:
        return
    if contract.version < published.version:
        raise LakeError(
            f"contract {contract.name} v{contract.version} (trasos_assets/contracts/{contract.owner}.py): the table "
            f"was published with v{published.version}, by newer code; update this installation"
        )
    types = contract.types
    dropped = [name for name in published.types if name not in types]
    retyped = [f"{n} from {was} to {types[n]}" for n, was in published.types.items() if n in types and types[n] != was]
    required = [c.name for c in contract.columns if c.name not in published.types and not c.nullable]
    faults = [
        *(["drops " + ", ".join(dropped)] if dropped else []),
        *(["retypes " + ", ".join(retyped)] if retyped else []),
        *(["adds " + ", ".join(required) + ", which may not be null"] if required else []),
    ]
    if faults:
        raise LakeError(
            f"contract {contract.name} v{contract.version} (trasos_assets/contracts/{contract.owner}.py) "
            f"{'; '.join(faults)}: readers of the published table would break. Nothing was written. Keep the column "
            f"(or let a new one be null), or agree with the consumers and raise the contract's version to "
            f"{published.version + 1}, which builds every partition anew"
        )
