"""One contract per table: the only place where columns, rules, owners and promises are written down."""

from trasos_assets.contracts import (
    analytics,
    engineering,
    erasure,
    models,
    monitoring,
    reference,
    science,
    serving,
    storage,
)
from trasos_assets.contracts.model import Column, Contract, Rule

CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        *engineering.CONTRACTS,
        *reference.CONTRACTS,
        *erasure.CONTRACTS,
        *storage.CONTRACTS,
        *science.CONTRACTS,
        *models.CONTRACTS,
        *serving.CONTRACTS,
        *monitoring.CONTRACTS,
        *analytics.CONTRACTS,
    )
}

__all__ = ["CONTRACTS", "Column", "Contract", "Rule"]
