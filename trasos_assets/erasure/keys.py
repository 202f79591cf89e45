"""The lake's secret, with which ids are hashed so that they can be told again but not be read."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from trasos_assets.erasure.people import ErasureError

LEAST_LENGTH = 16
_KEY_ID_DIGITS = 8


@dataclass(frozen=True)
class ErasureKey:
    """A secret of a lake."""

    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < LEAST_LENGTH:
            raise ErasureError(f"TRASOS_ERASURE_KEY needs at least {LEAST_LENGTH} characters, as from a generator")

    def hash(self, value: str) -> str:
        """HMAC-SHA256 of an id, 64 hex digits."""
        return hmac.digest(self.secret.encode(), value.encode("utf-8", "surrogatepass"), "sha256").hex()

    @property
    def key_id(self) -> str:
        """What tells this secret from others, and says nothing of it."""
        return hashlib.sha256(self.hash("which key is this").encode()).hexdigest()[:_KEY_ID_DIGITS]


def key_of(secret: str | None, file: Path, *, make: bool) -> ErasureKey | None:
    """The key that is set, else the one in ``file``; None if there is none and none is to be made.

    Raises:
        ErasureError: the key is too short, others can read its file, or it cannot be kept.
    """
    if secret:
        return ErasureKey(secret)
    try:
        if not file.exists():
            if not make:
                return None
            _made(file)
        if file.stat().st_mode & 0o077:
            raise ErasureError(f"others can read the key of erasures; run: chmod 600 {file}")
        return ErasureKey(file.read_text().strip())
    except OSError as error:
        raise ErasureError(f"the key of erasures cannot be kept in {file} ({error}); set TRASOS_ERASURE_KEY") from error


def _made(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_hex(32))
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(fresh, file)  # of two processes that begin at once, one makes the key
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
