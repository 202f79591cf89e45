"""Events as columns of numbers: what every stage from the journeys to the writer hands on."""

from __future__ import annotations

import numpy as np

from trasos_assets.contracts.landing import EVENT_TYPES

# -1 stands for an absent field; times are milliseconds since the window began.
Columns = dict[str, np.ndarray]

TYPE = {name: code for code, name in enumerate(EVENT_TYPES)}
COLUMNS = (
    *("number", "type", "occurred", "received", "visitor", "customer", "session", "item"),
    *("quantity", "price", "order", "request", "slot", "position", "context", "flaw"),
)


def joined(parts: list[Columns], names: tuple[str, ...]) -> Columns:
    """Parts one below the other; -1 where a part has no such column."""
    return {
        name: np.concatenate(
            [part[name] if name in part else np.full(len(part["type"]), -1) for part in parts] or [np.zeros(0, int)]
        )
        for name in names
    }


def received_after(occurred: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """When the collector takes an event: a third of a second to a minute later."""
    return occurred + 300 + np.minimum(rng.exponential(2_000, len(occurred)), 59_000).astype(np.int64)
