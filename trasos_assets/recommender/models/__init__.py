"""Models behind one interface: a frozen config, ``fit``, ``recommend``. One module per model."""

from trasos_assets.recommender.models.als import ALS, ALSConfig
from trasos_assets.recommender.models.base import NotFittedError, Recommender
from trasos_assets.recommender.models.popularity import Popularity, PopularityConfig

__all__ = ["ALS", "ALSConfig", "NotFittedError", "Popularity", "PopularityConfig", "Recommender"]
