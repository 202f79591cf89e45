"""The history of what serves, and what is kept of the models in it: rows of the contracts champion, champion_model.

The row of the highest sequence serves. A version is promoted once: one that is in the history came and maybe went, and
only a rollback brings it back.
"""

# Ibis types all values alike.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import ibis

PROMOTED, ROLLED_BACK, SIGNED = "promoted", "rolled_back", "signed"
FALLBACK = "popularity_recent"
"""The model that serves before any candidate has passed; it needs no fit, so that its name is its version."""

Row = dict[str, Any]


class ChampionError(ValueError):
    """What was asked of the history cannot be; the message says why and what can."""


def serving_row(champion: ibis.Table) -> Row | None:
    """The row that serves, of a table of the contract champion; None of an empty one."""
    last = champion.order_by(ibis.desc("sequence")).limit(1).to_pyarrow().to_pylist()
    return last[0] if last else None


def serving_version(champion: ibis.Table) -> str | None:
    """The model version that serves; None before anything does."""
    row = serving_row(champion)
    return None if row is None else row["model_version"]


def serving(history: Sequence[Row]) -> Row | None:
    """The row that serves, of the rows of the history in any order; None if there is none."""
    return max(history, key=lambda row: row["sequence"], default=None)


def whole_row(champion: ibis.Table, stored: Collection[str]) -> Row | None:
    """The newest row of champion whose model can be restored: ``stored`` holds its version, or it needs no parts."""
    rows = champion.order_by(ibis.desc("sequence")).to_pyarrow().to_pylist()
    return next((row for row in rows if row["parts"] == 0 or row["model_version"] in stored), None)


def was_rolled_back_to(history: Sequence[Row]) -> bool:
    """Whether a person chose what serves, by a rollback."""
    last = serving([row for row in history if row["action"] != SIGNED])
    return last is not None and last["action"] == ROLLED_BACK


def known_through(history: Sequence[Row], version: str) -> date | None:
    """The last day of the data that there were when a version was promoted; None if it never was."""
    return next((r["as_of"] for r in history if r["model_version"] == version and r["action"] == PROMOTED), None)


def promoted(history: Sequence[Row], candidate: Row | None, *, passed: bool, reason: str, as_of: date) -> list[Row]:
    """The history with the candidate (a row of the contract candidate) appended if it ``passed`` and is new.

    A history without rows begins with the fallback where no candidate passed. Called again with the result, it changes
    nothing.
    """
    rows = sorted(history, key=lambda row: row["sequence"])
    known = {row["model_version"] for row in rows}
    if candidate is not None and passed and candidate["model_version"] not in known:
        return [*rows, _row(rows, candidate, PROMOTED, reason, candidate["as_of"])]
    if not rows:
        fallback = {"model": FALLBACK, "model_version": FALLBACK, "parameters": "{}", "parts": 0}
        return [_row(rows, fallback, PROMOTED, "no candidate has passed the definition of done yet", as_of)]
    return rows


def kept_versions(history: Sequence[Row], keep: int) -> list[str]:
    """The ``keep`` versions that served last, the latest first; what serves is the first of them.

    The fallback takes no place: nothing is stored of it.
    """
    latest = sorted(history, key=lambda row: row["sequence"], reverse=True)
    versions = dict.fromkeys(row["model_version"] for row in latest if row["model_version"] != FALLBACK)
    return list(versions)[:keep]


def versions_to_keep(history: Sequence[Row], after: Sequence[Row], keep: int) -> list[str]:
    """Versions whose parts are stored while ``history`` becomes ``after``: whichever of them stands, it can serve."""
    return list(dict.fromkeys([*kept_versions(after, keep), *kept_versions(history, keep)]))


def restorable(history: Sequence[Row], stored: Collection[str], keep: int) -> list[str]:
    """Versions that can serve again at once: kept, and all that is to be stored of them is among ``stored``."""
    parts = {row["model_version"]: row["parts"] for row in history}
    kept = [version for version in kept_versions(history, keep) if parts[version] == 0 or version in stored]
    return [*kept, *([FALLBACK] if FALLBACK in parts else [])]


def rolled_back(
    history: Sequence[Row], version: str, stored: Collection[str], *, keep: int, reason: str | None = None
) -> list[Row]:
    """The history with one row more: ``version`` serves again.

    Raises:
        ChampionError: the version never served, serves now, or is not kept any more; the message lists those that are.
    """
    now = serving(history)
    able = [each for each in restorable(history, stored, keep) if now is None or each != now["model_version"]]
    hint = f"kept are {', '.join(able)}" if able else "no other version is kept"
    if now is not None and now["model_version"] == version:
        raise ChampionError(f"version {version} serves already; {hint}")
    if version not in able:
        known = any(row["model_version"] == version for row in history)
        raise ChampionError(f"version {version} {'is not kept any more' if known else 'never served'}; {hint}")
    again = max((row for row in history if row["model_version"] == version), key=lambda row: row["sequence"])
    was = f"rolled back from {now['model_version']}" if now else "rolled back"
    # Whoever trains the next model sees on which day's data this was decided: those of the version that goes.
    as_of = now["as_of"] if now else again["as_of"]
    return [*history, _row(history, again, ROLLED_BACK, f"{was}: {reason}" if reason else was, as_of)]


def signed(history: Sequence[Row], by: str) -> list[Row]:
    """The history with the sign-off of what serves.

    Raises:
        ChampionError: nothing serves, or ``by`` is empty.
    """
    now = serving(history)
    if now is None:
        raise ChampionError("nothing serves yet that could be signed off; run `trasos run` first")
    if not by.strip():
        raise ChampionError("a sign-off needs a name")
    return [*history, _row(history, now, SIGNED, by.strip(), now["as_of"])]


def signatures(history: Sequence[Row], version: str) -> list[str]:
    """Who signed a version off, in order."""
    rows = sorted(history, key=lambda row: row["sequence"])
    return [row["reason"] for row in rows if row["model_version"] == version and row["action"] == SIGNED]


def stored_versions(champion_model: ibis.Table) -> set[str]:
    """Versions of which champion_model holds rows."""
    return set(champion_model.select("model_version").distinct().to_pyarrow()["model_version"].to_pylist())


def require_stored(row: Row, stored: Collection[str]) -> None:
    """Let no row into the history whose model could not be restored.

    Raises:
        ChampionError: there are parts of it, and its version is not among ``stored``.
    """
    version = row["model_version"]
    if row["parts"] > 0 and version not in stored:
        raise ChampionError(
            f"version {version} is done, but champion_model holds nothing of it; materialize candidate, "
            "definition_of_done, champion_model and champion together (job retrain_model). What serves goes on serving"
        )


def next_parts(
    stored: ibis.Table, versions: Sequence[str], people: ibis.Table, fresh: Mapping[str, ibis.Table]
) -> ibis.Table:
    """The rows of champion_model: of each of ``versions`` those stored, else those of ``fresh``.

    ``people`` (person_id) are those whom the lake still knows: vectors of others, who were forgotten, do not stay.
    ``fresh`` has by version the columns side, id, factors, payload.
    """
    there = stored_versions(stored)
    columns = ("model_version", "side", "id", "factors", "payload")
    kept = stored.filter(stored["model_version"].isin([v for v in versions if v in there] or [""])).select(*columns)
    known = people.select(id="person_id").distinct()
    parts = [kept.filter(kept["side"] != "person"), kept.filter(kept["side"] == "person").semi_join(known, "id")]
    for version, rows in fresh.items():
        if version in versions and version not in there:
            parts.append(rows.mutate(model_version=ibis.literal(version)).select(*columns))
    return ibis.union(*parts)


def _row(history: Sequence[Row], model: Row, action: str, reason: str, as_of: date) -> Row:
    sequence = max((row["sequence"] for row in history), default=0) + 1
    told = {name: model[name] for name in ("model", "model_version", "parameters", "parts")}
    return {"sequence": sequence, **told, "action": action, "reason": reason, "as_of": as_of}
