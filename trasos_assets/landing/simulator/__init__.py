"""A believable fashion shop that writes landing files, and the truth about them that a platform must find again.

``simulate`` plans people, sessions and orders for the whole window (small), then expands, soils and writes the events
a few days at a time (large), so that memory follows one chunk and not the window.
"""

from trasos_assets.landing.simulator.config import DIRT_PRESETS, Dirt, SimulationConfig
from trasos_assets.landing.simulator.pipeline import simulate
from trasos_assets.landing.simulator.truth import Truth

__all__ = ["DIRT_PRESETS", "Dirt", "SimulationConfig", "Truth", "simulate"]
