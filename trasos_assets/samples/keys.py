"""The secret of a lake's samples: who is in them, and under which names, is told by it alone.

A name is a keyed hash of the id it stands for. Plain hashes would not do: whoever knows an id, or can count through
all of them, would find its hash.
"""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportReturnType=false

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import ibis

from trasos_assets.samples.rules import SampleError

PSEUDONYM_DIGITS = 24
"""96 bits: among 100 million ids two share a name with a probability below 1e-13."""
PLACE_DIGITS = 16
LEAST_KEY_LENGTH = 16


@dataclass(frozen=True)
class SampleKey:
    """A secret and what is derived from it. The same expressions run on every engine.

    ``H(k2 + H(k1 + id))`` with two independent keys of one hash block each: HMAC (RFC 2104) in all but that the inner
    digest is written in hex, because engines concatenate text.
    """

    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < LEAST_KEY_LENGTH:
            raise SampleError(f"TRASOS_SAMPLE_KEY needs at least {LEAST_KEY_LENGTH} characters, as from a generator")

    def _derived(self, use: str) -> str:
        """64 hex digits: one block of SHA-256."""
        return hmac.new(self.secret.encode(), use.encode(), hashlib.sha256).hexdigest()

    def _keys(self, use: str) -> tuple[str, str]:
        return self._derived(f"inner {use}"), self._derived(f"outer {use}")

    def _digest(self, use: str, value: Any) -> Any:
        inner, outer = self._keys(use)
        return (ibis.literal(outer) + (ibis.literal(inner) + value).hexdigest("sha256")).hexdigest("sha256")

    def pseudonyms(self, value: Any) -> Any:
        """The names that stand for a text column's ids: the same id has the same name in every table; null stays."""
        return self._digest("name", value).left(PSEUDONYM_DIGITS)

    def pseudonym(self, value: str) -> str:
        """The name of one id, as ``pseudonyms`` gives it."""
        inner, outer = self._keys("name")
        first = hashlib.sha256((inner + value).encode()).hexdigest()
        return hashlib.sha256((outer + first).encode()).hexdigest()[:PSEUDONYM_DIGITS]

    def sampled(self, value: Any, *, share: float, seed: int) -> Any:
        """Whether each of a text column's ids is in the sample: a larger share has all of a smaller one's.

        An id's place in [0, 1) is a keyed hash, so that who is in a sample is not to be found out from its ids either;
        it is sampled if its place is below the share.
        """
        if share >= 1:
            return ibis.literal(True)
        return self._digest(f"place {seed}", value).left(PLACE_DIGITS) < ibis.literal(threshold(share))


def threshold(share: float) -> str:
    """The share as hex digits of fixed width, which compare as text as their numbers do."""
    # Of the number as it is written: 0.1 is a tenth, not the nearest binary fraction.
    places = (Decimal(str(share)) * 16**PLACE_DIGITS).to_integral_value(ROUND_CEILING)
    return f"{int(places):0{PLACE_DIGITS}x}"


def key_of(secret: str | None, file: Path) -> SampleKey:
    """The key that is set, else the one in ``file``, which is made on first use and read by its owner only.

    Raises:
        SampleError: the key is too short, or others can read the file.
    """
    if secret:
        return SampleKey(secret)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and linked: of two processes that begin at once, one makes the key and both read it.
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        if not file.exists():
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_hex(32))
            try:
                os.link(fresh, file)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        if file.stat().st_mode & 0o077:
            raise SampleError(f"others can read the key of samples; run: chmod 600 {file}")
        return SampleKey(file.read_text().strip())
    except OSError as error:
        raise SampleError(f"the key of samples cannot be kept in {file} ({error}); set TRASOS_SAMPLE_KEY") from error
