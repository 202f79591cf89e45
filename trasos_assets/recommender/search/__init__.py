"""The search over each model's declared parameters: same budget, seeded, pruned, resumable, never on test days."""

from trasos_assets.recommender.search.ledger import best_parameters, blind_to
from trasos_assets.recommender.search.searching import Plan, SearchError, Step, TooYoungError, search
from trasos_assets.recommender.search.spaces import SPACES

__all__ = ["SPACES", "Plan", "SearchError", "Step", "TooYoungError", "best_parameters", "blind_to", "search"]
