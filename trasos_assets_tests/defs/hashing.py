"""Whether two lakes hold the same: the bytes of what is published, but for tables that keep a history or a clock."""

import hashlib
from pathlib import Path

from trasos_assets.contracts import CONTRACTS

JUDGE_THE_CHAMPION = {"leaderboard", "model_comparisons"}
"""Who serves competes there: at the first run nobody did."""
LEFT_OUT = {name for name, contract in CONTRACTS.items() if contract.volatile} | JUDGE_THE_CHAMPION


def published_hashes(data: Path) -> dict[str, str]:
    """Content hash of every published file of every table but ``LEFT_OUT``, by its path below the lake."""
    lake = data / "lake"
    return {
        str(file.relative_to(lake)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(lake.rglob("*.parquet"))
        if not LEFT_OUT & set(file.parts) and not any(part.startswith(".") for part in file.relative_to(lake).parts)
    }
