"""Models behind one interface: a frozen config, ``fit``, ``recommend``. One module per model."""

from trasos_assets.recommender.models.als import ALS, ALSConfig
from trasos_assets.recommender.models.base import NotFittedError, Recommender
from trasos_assets.recommender.models.bpr import BPR, BPRConfig
from trasos_assets.recommender.models.ease import EASE, EASEConfig
from trasos_assets.recommender.models.item_knn import ItemKNN, ItemKNNConfig
from trasos_assets.recommender.models.personal_repeat import PersonalRepeat, PersonalRepeatConfig
from trasos_assets.recommender.models.popularity import Popularity, PopularityConfig

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "ALSConfig",
    "BPRConfig",
    "EASEConfig",
    "ItemKNN",
    "ItemKNNConfig",
    "NotFittedError",
    "PersonalRepeat",
    "PersonalRepeatConfig",
    "Popularity",
    "PopularityConfig",
    "Recommender",
]
