"""The traffic that a shop sees: its rhythm, where it comes from, and with what devices."""

from __future__ import annotations

import numpy as np

# Monday to Sunday, and midnight to 23 h: shares of traffic up to a constant.
WEEK = np.array([1.0, 0.95, 0.95, 1.0, 1.05, 1.25, 1.4])
HOURS = np.array([3, 2, 1, 1, 1, 2, 4, 7, 10, 11, 12, 13, 15, 14, 12, 12, 13, 15, 18, 22, 25, 22, 15, 8], dtype=float)

CHANNELS = ("organic", "search", "social", "email", "affiliate")
ACQUISITION = np.array([0.30, 0.28, 0.22, 0.08, 0.12])
RETURNING = np.array([0.45, 0.15, 0.10, 0.25, 0.05])
# Channel, campaign, pence a click; organic visits cost nothing and have no campaign.
CAMPAIGNS: tuple[tuple[int, str, int], ...] = (
    (0, "", 0),
    (1, "search-brand", 35),
    (1, "search-generic", 80),
    (2, "social-feed", 45),
    (2, "social-video", 60),
    (3, "email-weekly", 4),
    (4, "affiliate-partners", 55),
)
FIRST_CAMPAIGN = np.array([0, 1, 3, 5, 6])
CAMPAIGN_COUNT = np.array([1, 2, 2, 1, 1])

AGENTS: tuple[tuple[str, str], ...] = (
    ("mobile", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) Safari/604.1"),
    ("mobile", "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/131.0 Mobile Safari/537.36"),
    ("desktop", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/131.0 Safari/537.36"),
    ("desktop", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15"),
    ("desktop", "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Firefox/133.0"),
    ("tablet", "Mozilla/5.0 (iPad; CPU OS 18_2 like Mac OS X) Safari/604.1"),
    ("app", "ShopApp/5.4 (iOS 18.2)"),
)
AGENT_SHARES = (0.27, 0.23, 0.20, 0.10, 0.03, 0.07, 0.10)
COUNTRIES = ("GB", "IE", "FR", "DE", "NL")
COUNTRY_SHARES = (0.72, 0.08, 0.08, 0.07, 0.05)


def context_of(campaign: np.ndarray, agent: np.ndarray, country: np.ndarray) -> np.ndarray:
    """Code of campaign, agent and country, which the writer spells out."""
    return (campaign * len(AGENTS) + agent) * len(COUNTRIES) + country


# Contexts that people have; those of bots and testers follow.
CONTEXTS = len(CAMPAIGNS) * len(AGENTS) * len(COUNTRIES)
