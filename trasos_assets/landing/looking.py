"""One look at one landed file: its identity, whether it can be read whole, and how many rows it holds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

from trasos_assets.contracts.landing import FORMATS
from trasos_assets.landing.blocks import UnreadableFileError
from trasos_assets.landing.entries import REJECTED, WAITING, Row, entry, identity
from trasos_assets.landing.listing import Landed, Rules, day_of, fault_of
from trasos_assets.landing.readers import OPEN_ENDED, count_rows
from trasos_assets.landing.streams import file_signature, why_not
from trasos_assets.places import shown
from trasos_assets.settings import Settings

GROWING = "still being written"
CANNOT_BE_READ = "cannot be read ("
GROWTH_SECONDS = 60
"""A file that grew since the last look, but was not touched for so long, is not being written any more."""

_READ_BYTES = 1 << 20


def content_hash(one: Landed, *, beginning: int = 0) -> tuple[str, str]:
    """SHA-256 of a file, and of its first bytes."""
    hashed, first, done = hashlib.sha256(), hashlib.sha256().hexdigest(), 0
    with one.path.open("rb") as stream:
        while block := stream.read(beginning - done if done < beginning else _READ_BYTES):
            hashed.update(block)
            done += len(block)
            if done == beginning:
                first = hashed.hexdigest()
    return hashed.hexdigest(), first


def look_at(one: Landed, last: Row | None, settings: Settings, rules: Rules) -> Row | None:
    """The row of a file as it is now; None if it vanished meanwhile.

    Args:
        one: the file as listed.
        last: what the ledger has of this path from the look before, if anything.
        settings: limits, and the landing folder.
        rules: what decides besides its content.

    Whatever is wrong with a file is said in its row: it stops no other.
    """
    fault = fault_of(one, rules)
    if fault is not None:
        return entry(one, one.signature, now=rules.now) | {"state": fault[0], "reason": f"{one.relative}: {fault[1]}"}
    if last is not None and _is_growing(last) and last["signature"] != one.signature and _touched_lately(one, rules):
        return _growing(one, rules)
    try:
        return _read(one, last, settings, rules)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"{one.relative}: {CANNOT_BE_READ}{why_not(error)}); mend its permissions or deliver it again"
    except Exception as error:  # a file that trips a reader up must not keep the others from being taken
        reason = f"{one.relative}: {CANNOT_BE_READ}{type(error).__name__}); deliver it again, or tell engineering"
    return entry(one, one.signature, now=rules.now) | {"state": WAITING, "reason": reason}


def _read(one: Landed, last: Row | None, settings: Settings, rules: Rules) -> Row:
    may_have_grown = last is not None and last["size"] < one.size and one.path.name.endswith(OPEN_ENDED)
    before = last["size"] if last is not None and may_have_grown else 0
    content, beginning = content_hash(one, beginning=before)
    grew = may_have_grown and last is not None and identity(one.relative, before, beginning) == last["delivery"]
    if grew and _touched_lately(one, rules):
        return _growing(one, rules)
    row = entry(one, content, now=rules.now) | {"received_day": day_of(one.relative)}
    try:
        row["rows_read"] = count_rows(one.path, FORMATS[one.dataset], max_bytes=settings.max_file_bytes)
    except UnreadableFileError as error:
        reason = str(error).replace(shown(settings.landing_dir).rstrip("/") + "/", "")
        return row | {"state": WAITING if error.waiting else REJECTED, "reason": reason}
    now = file_signature(one.path)
    return row if now == one.signature else _growing(replace(one, signature=now), rules)


def _growing(one: Landed, rules: Rules) -> Row:
    return entry(one, one.signature, now=rules.now) | {"state": WAITING, "reason": f"{one.relative}: {GROWING}"}


def _is_growing(row: Row) -> bool:
    return row["state"] == WAITING and row["reason"].endswith(GROWING)


def _touched_lately(one: Landed, rules: Rules) -> bool:
    return one.changed_at is None or rules.now - one.changed_at < timedelta(seconds=GROWTH_SECONDS)


def still_stands(row: Row, one: Landed, settings: Settings, rules: Rules) -> bool:
    """Whether what was entered of an untouched file is still so: a setting, the date or its folder may have changed."""
    if row["state"] not in (WAITING, REJECTED):
        return True
    fault = fault_of(one, rules)
    if fault is not None:
        return row["reason"] == f"{row['path']}: {fault[1]}"
    if "when decompressed" in row["reason"]:
        return row["size"] > settings.max_file_bytes or f"over {settings.max_file_bytes:,} bytes" in row["reason"]
    return row["received_day"] is not None and CANNOT_BE_READ not in row["reason"]
