"""What makes clean events of accepted ones: bots are marked, and every event has a session."""

import ibis

from trasos_assets.settings import Settings
from trasos_assets.trust.bots import with_bot_rule
from trasos_assets.trust.sessions import with_sessions

SETTINGS = (
    *("bot_events_per_day", "bot_events_per_minute", "bot_items_per_day"),
    *("session_gap_minutes", "session_max_hours"),
)
"""Settings that decide what is marked: parameters of every table that `marked_events` makes."""


def marked_events(accepted: ibis.Table, settings: Settings) -> ibis.Table:
    """Accepted events with ``bot_rule``, ``session_id`` and ``session_rule``: as many rows, each day by itself."""
    flagged = with_bot_rule(
        accepted,
        events_per_day=settings.bot_events_per_day,
        events_per_minute=settings.bot_events_per_minute,
        items_per_day=settings.bot_items_per_day,
    )
    return with_sessions(flagged, gap_minutes=settings.session_gap_minutes, max_hours=settings.session_max_hours)
