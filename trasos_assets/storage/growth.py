"""Growth of what is held, and where it leads: straight lines over what was measured, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np

from trasos_assets.contracts.storage import FORECAST_DAYS

LEAST_MEASURES = 3


def growth(measures: Sequence[tuple[date, int]], today: date, window: int) -> int | None:
    """Bytes a day over the last ``window`` days: the slope of the least-squares line through what was measured.

    None before they are covered: there must be three measurements, the first of them no later than a seventh of the
    window after its beginning, and one of ``today``.
    """
    begin = today - timedelta(days=window)
    points = [(day, size) for day, size in measures if begin <= day <= today]
    days = [day for day, _ in points]
    if len(points) < LEAST_MEASURES or max(days) != today or min(days) > begin + timedelta(days=window // 7):
        return None
    at = np.array([(day - begin).days for day in days], dtype=np.float64)
    sizes = np.array([size for _, size in points], dtype=np.float64)
    centred = at - at.mean()
    return round(float(centred @ (sizes - sizes.mean()) / (centred @ centred)))


def forecast(size: int, short: int | None, long: int | None) -> int | None:
    """Bytes in FORECAST_DAYS days at the growth of the long window, else of the short one; never below nothing.

    None where neither is known: a forecast from less would be a guess.
    """
    slope = long if long is not None else short
    return None if slope is None else max(0, size + slope * FORECAST_DAYS)
