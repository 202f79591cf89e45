"""The name of a model: a hash of what it was made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

VERSION_DIGITS = 12


def model_version(inputs: Mapping[str, str], parameters: Mapping[str, Any] | DataclassInstance) -> str:
    """12 hex digits of SHA-256 over ``inputs`` (name to content hash, the code's among them) and ``parameters``.

    ``parameters`` is a mapping or a config dataclass of numbers, text, booleans, None and containers of them. Same
    values, same version, whatever their order; ``TypeError`` for values that have no stable text.
    """
    plain = dict(parameters) if isinstance(parameters, Mapping) else asdict(parameters)
    text = json.dumps({"inputs": dict(inputs), "parameters": plain}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_DIGITS]
