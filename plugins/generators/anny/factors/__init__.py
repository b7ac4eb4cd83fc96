"""What is drawn: every factor of a picture, its distribution, unit, range and source.

The names here are enough for a variant of the generator with a factor of your own: see docs/anny.md.
"""

from .config import AnnyConfig
from .distributions import Distribution, choice, constant, log_normal, normal, uniform
from .person import GlassesConfig, SkinConfig
from .picture import CameraConfig, FilmConfig, LightConfig
from .table import Speckle, Stain, factor

__all__ = [
    "AnnyConfig",
    "CameraConfig",
    "Distribution",
    "FilmConfig",
    "GlassesConfig",
    "LightConfig",
    "SkinConfig",
    "Speckle",
    "Stain",
    "choice",
    "constant",
    "factor",
    "log_normal",
    "normal",
    "uniform",
]
