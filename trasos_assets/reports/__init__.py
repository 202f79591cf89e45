"""Pages for people, written from published tables: no Dagster, no network."""

from trasos_assets.reports.dashboard import render, write_dashboard
from trasos_assets.reports.facts import CheckState, DashboardFacts, RowCount

__all__ = ["CheckState", "DashboardFacts", "RowCount", "render", "write_dashboard"]
