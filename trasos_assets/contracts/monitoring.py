"""Tables that watch a model at work: its live metrics, drift, and requests to train again."""

from trasos_assets.contracts.model import Contract

CONTRACTS: tuple[Contract, ...] = ()
