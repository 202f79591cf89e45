"""The card of each candidate, and those of former champions brought up to date."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import ibis

from trasos_assets.contracts.models import CANDIDATE
from trasos_assets.lake.code import source_digest
from trasos_assets.lake.engine import Lake
from trasos_assets.lake.table import ANY_TABLE, WARN, WEEKLY, freshness_policy
from trasos_assets.recommender.definition_of_done import CRITERIA

_CARD_IS_WHOLE = "card_is_whole"
CARD_TABLES = ("candidate", "definition_of_done", "champion", "leaderboard", "model_comparisons", "model_costs")


def _rows(table_: ibis.Table) -> list[dict[str, Any]]:
    return table_.to_pyarrow().to_pylist()


def cards_again(history: list[dict[str, Any]], reports: Path) -> None:
    """Bring the cards of the versions of the history up to what it says by now."""
    from trasos_assets.recommender import champions
    from trasos_assets.reports.model_card import written_again

    now = champions.serving(history)
    for version in dict.fromkeys(row["model_version"] for row in history):
        serves = now is not None and now["model_version"] == version
        written_again(reports, version, serves=serves, signed_by=champions.signatures(history, version))


def _write_card(tables: dict[str, ibis.Table], lake: Lake) -> tuple[Any, dict[str, Any]] | None:
    from trasos_assets.recommender import champions
    from trasos_assets.reports.model_card import FOLDER, card_of, write_card

    (lake.settings.reports_dir / FOLDER).mkdir(parents=True, exist_ok=True)
    rows = {name: _rows(each) for name, each in tables.items()}
    history, told = rows["champion"], next(iter(rows["candidate"]), {})
    serving, version = champions.serving(history), told.get("model_version", "")
    card = card_of(
        rows,
        serves=serving is not None and serving["model_version"] == version,
        promoted=next((row["reason"] for row in history if row["model_version"] == version), None),
        signed_by=champions.signatures(history, version),
    )
    cards_again(history, lake.settings.reports_dir)
    return None if card is None else (write_card(card, lake.settings.reports_dir), card)


@dg.asset(
    ins={name: dg.AssetIn(key=name, dagster_type=ANY_TABLE, input_manager_key="lake_io") for name in CARD_TABLES},
    description="The candidate's card: data, code, parameters, figures with intervals, verdicts, limits, sign-off.",
    kinds={"html", "json"},
    code_version=source_digest(_write_card),
    freshness_policy=freshness_policy(CANDIDATE),
    tags=WEEKLY,
    check_specs=[
        dg.AssetCheckSpec(
            _CARD_IS_WHOLE,
            asset="model_card",
            description="The card holds a verdict on every criterion, and figures of the model it is about.",
        )
    ],
)
def model_card(context: dg.AssetExecutionContext, lake: Lake, **tables: ibis.Table) -> Iterator[Any]:
    """Write the card beside those of earlier candidates; none before there is a candidate."""
    written = _write_card(tables, lake)
    if written is None:
        context.log.info("there is no candidate yet, and so no card")
        yield dg.Output(None)
        yield dg.AssetCheckResult(check_name=_CARD_IS_WHOLE, passed=True, description="no candidate, no card")
        return
    page, card = written
    yield dg.Output(
        None,
        metadata={
            "page": dg.MetadataValue.url(page.as_uri()),
            "path": dg.MetadataValue.path(str(page)),
            "model": card["model"],
            "model_version": card["model_version"],
            "serves": card["serves"],
            "refused": "; ".join(card["refused"]) or "no",
        },
    )
    from trasos_assets.reports.model_card import card_lacks

    lacking = card_lacks(card, [criterion.name for criterion in CRITERIA])
    yield dg.AssetCheckResult(
        check_name=_CARD_IS_WHOLE,
        passed=not lacking,
        severity=WARN,
        description=f"the card of {card['model_version']} lacks {', '.join(lacking)}" if lacking else None,
        metadata={"lacks": ", ".join(lacking) or "nothing"},
    )
