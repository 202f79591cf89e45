"""Which days have to be built for releases from the quarantine, and what Dagster is told of them."""

# Ibis types every column of a table as the bare Column, without the methods of its type.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from trasos_assets.contracts.engineering import EVENT_KEYS, QUARANTINE_RELEASES, RAW_EVENTS
from trasos_assets.contracts.landing import EVENT
from trasos_assets.contracts.model import Contract
from trasos_assets.lake.store import LakeStore
from trasos_assets.landing.quarantine import RAW, matching
from trasos_assets.landing.releases import read_releases, waiting_in_words
from trasos_assets.landing.reread import lines_to_read_again
from trasos_assets.trust.releases import Release, released_lines


def days_to_read_again(store: LakeStore, contract: Contract, releases: Sequence[Release]) -> set[date]:
    """Received days of a raw table with lines that some releases of its data set ask to read again."""
    asked = [release for release in releases if not release.waived]
    if not asked:
        return set()
    first, last = min(r.since for r in asked), max(r.until for r in asked)
    lines = lines_to_read_again(store.read(contract, first=first, last=last), asked)
    return set(lines.select("day").distinct().to_pyarrow()["day"].to_pylist())


def event_days(store: LakeStore, releases: Sequence[Release], *, dedup_days: int) -> set[date]:
    """Received days whose states, and occurred days whose events, releases may change; with stage one done.

    Days that the lake does not have may be among them: a line that is refused can have occurred at any time.
    """
    own = [release for release in releases if release.dataset == EVENT.dataset]
    if not own:
        return set()
    first, last = min(r.since for r in own), max(r.until for r in own)
    around = timedelta(days=dedup_days)
    touched = released_lines(
        store.read(RAW_EVENTS, first=first, last=last),
        store.read(EVENT_KEYS, first=first - around, last=last + around),
        own,
        dedup_days=dedup_days,
    ).to_pyarrow()
    return {day for name in touched.column_names for day in touched[name].to_pylist() if day is not None}


def record_days(store: LakeStore, releases: Sequence[Release]) -> set[date]:
    """Received days of reference data whose quarantine releases may change; with stage one done."""
    days: set[date] = set()
    for release in releases:
        if release.dataset != EVENT.dataset:
            raw = store.read(RAW[release.dataset], first=release.since, last=release.until)
            read = raw.filter((raw.release_id == release.release_id).fill_null(False))
            for lines in (matching(store, release), read):
                days |= set(lines.select("day").distinct().to_pyarrow()["day"].to_pylist())
    return days


def report_releases(instance: dg.DagsterInstance, store: LakeStore, *, changed: bool) -> None:
    """Record how the releases stand, so that the UI shows the table and its check; nothing before the first one.

    ``changed``: whether a release was recorded or carried out since the last report.
    """
    releases = read_releases(store)
    if not releases:
        return
    if changed:
        waived = sum(release.waived for release in releases)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                QUARANTINE_RELEASES.name,
                metadata={"releases": len(releases), "waivers": waived},
            )
        )
    waiting = waiting_in_words(store)
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(QUARANTINE_RELEASES.name),
            check_name="no_release_waits",
            passed=waiting is None,
            severity=dg.AssetCheckSeverity.WARN,
            description=waiting,
            metadata={},
        )
    )
