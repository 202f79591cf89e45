"""Whether two lakes hold the same: the bytes of what is published, but for tables that keep a history or a clock."""

import hashlib
from pathlib import Path

from trasos_assets.contracts import CONTRACTS

JUDGE_THE_CHAMPION = {"leaderboard", "model_comparisons"}
"""Who serves competes there: at the first run nobody did."""
LEFT_OUT = {name for name, contract in CONTRACTS.items() if contract.volatile} | JUDGE_THE_CHAMPION


def is_compared(file: str) -> bool:
    """Whether a file, by its path below the lake, must hold the same bytes in two lakes of the same input."""
    parts = file.split("/")
    return file.endswith(".parquet") and not LEFT_OUT & set(parts) and not any(part.startswith(".") for part in parts)


def published_hashes(data: Path) -> dict[str, str]:
    """Content hash of every compared file of a data folder, by its path below the lake."""
    files = {file.relative_to(data / "lake").as_posix(): file for file in sorted((data / "lake").rglob("*.parquet"))}
    return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if is_compared(name)}
