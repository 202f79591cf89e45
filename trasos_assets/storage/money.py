"""What bytes and seconds cost, in decimals: the price of a unit comes from the settings, and without one nothing costs.

A gigabyte is 10^9 bytes, a month what the bill says it is.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

GIGABYTE = 1_000_000_000
_UNIT = Decimal("0.0001")


def storage_cost(size: int | None, price_gb_month: Decimal | None) -> Decimal | None:
    """Price of keeping so many bytes for a month; None where either is unknown."""
    if size is None or price_gb_month is None:
        return None
    return (Decimal(size) * price_gb_month / GIGABYTE).quantize(_UNIT, ROUND_HALF_EVEN)


def compute_cost(seconds: Decimal, price_hour: Decimal | None) -> Decimal | None:
    """Price of computing for so long; None without a price."""
    return None if price_hour is None else (seconds * price_hour / 3600).quantize(_UNIT, ROUND_HALF_EVEN)


def seconds(value: float | Decimal) -> Decimal:
    """Seconds with the places that the ledger keeps."""
    return Decimal(value).quantize(_UNIT, ROUND_HALF_EVEN)
