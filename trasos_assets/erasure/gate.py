"""The gate for what lands: a file that holds somebody who was forgotten loses these lines before it is taken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trasos_assets.contracts.landing import FORMATS
from trasos_assets.erasure.keys import ErasureKey, key_of
from trasos_assets.erasure.landed import hidden_beside
from trasos_assets.erasure.people import ErasureError
from trasos_assets.erasure.rewrite import write_without
from trasos_assets.erasure.suppression import Suppressed, read_suppressed
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.blocks import UnreadableFileError
from trasos_assets.landing.entries import WAITING, Row, entry
from trasos_assets.landing.listing import Landed
from trasos_assets.landing.looking import GROWTH_SECONDS
from trasos_assets.landing.readers import OPEN_ENDED
from trasos_assets.landing.streams import file_signature, why_not
from trasos_assets.places import put_in_place
from trasos_assets.settings import Settings

HOLDS = "holds lines of people who were forgotten"


def erasure_key(settings: Settings, *, make: bool = False) -> ErasureKey | None:
    """The lake's secret for erasures; None if there is none yet and none is to be made."""
    secret = settings.erasure_key.get_secret_value() if settings.erasure_key else None
    return key_of(secret, settings.erasure_key_file, make=make)


def gate(store: LakeStore, settings: Settings) -> Callable[[Landed, Row], Landed | Row] | None:
    """What ``take_stock`` asks of every file that is new; None where nobody was ever forgotten.

    Raises:
        ErasureError: the key is not here under which people were forgotten.
    """
    suppressed = read_suppressed(store, lambda: erasure_key(settings))
    if suppressed is None:
        return None
    return lambda one, row: _admitted(one, row, settings, suppressed)


def _admitted(one: Landed, row: Row, settings: Settings, suppressed: Suppressed) -> Landed | Row:
    landing = FORMATS[one.dataset]
    try:
        lines = suppressed.lines(one.path, landing, max_bytes=settings.max_file_bytes)
        if not lines:
            return row
        if _may_still_be_written(one):
            return _waiting(one, f"it is taken without them once nobody has touched it for {GROWTH_SECONDS} s")
        hidden = hidden_beside(one.path)
        try:
            write_without(one.path, landing, lines, hidden, max_bytes=settings.max_file_bytes)
            if file_signature(one.path) != one.signature:
                return _waiting(one, "it changed meanwhile; the next look takes it as it is then")
            put_in_place(hidden, one.path)
        finally:
            hidden.unlink(missing_ok=True)
    except OSError as error:
        return _waiting(one, f"but cannot be rewritten without them ({why_not(error)}); mend its permissions")
    except (UnreadableFileError, ErasureError) as error:
        return _waiting(one, f"or cannot be read ({str(error)[:200]})")
    return Landed(one.landing, one.below, file_signature(one.path), datetime.now(UTC).replace(tzinfo=None))


def _may_still_be_written(one: Landed) -> bool:
    """A file that does not show by itself whether it is whole, and was touched a moment ago: its writer may have it
    open, and would go on writing into what is no longer there.
    """
    if not one.below.endswith(OPEN_ENDED) or not isinstance(one.path, Path) or one.changed_at is None:
        return False
    return abs(datetime.now(UTC).replace(tzinfo=None) - one.changed_at) < timedelta(seconds=GROWTH_SECONDS)


def _waiting(one: Landed, why: str) -> Row:
    # Without a received day, so that the next look reads it again.
    now = datetime.now(UTC).replace(tzinfo=None)
    return entry(one, one.signature, now=now) | {"state": WAITING, "reason": f"{one.relative}: {HOLDS}, {why}"}
