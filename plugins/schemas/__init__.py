"""The label schemas that come with SynthForge, and the mappings between them."""

from __future__ import annotations

from collections.abc import Callable

from synthforge.core.hookspecs import hookimpl
from synthforge.core.schemas import ClassMapping, ClassSchema, PointMapping, PointSchema

from .classes import CELEBAMASK19, FACESYNTHETICS19, FLAME20, FLOW, INSTANCES, LAPA11, SYNTHFORGE
from .mappings import MAPPINGS
from .mediapipe import MAPPING as MEDIAPIPE_TO_IBUG
from .points import FACESYNTHETICS70, IBUG68, LAPA106, MEDIAPIPE478, WFLW98

__all__ = [
    "CELEBAMASK19",
    "FACESYNTHETICS19",
    "FACESYNTHETICS70",
    "FLAME20",
    "FLOW",
    "IBUG68",
    "INSTANCES",
    "LAPA11",
    "LAPA106",
    "MAPPINGS",
    "MEDIAPIPE478",
    "SYNTHFORGE",
    "WFLW98",
]


@hookimpl
def register_schemas(register: Callable[[ClassSchema | PointSchema], None]) -> None:
    """Offer five sets of points and six of classes."""
    points = (IBUG68, FACESYNTHETICS70, WFLW98, LAPA106, MEDIAPIPE478)
    for schema in (*points, SYNTHFORGE, LAPA11, CELEBAMASK19, FLAME20, FACESYNTHETICS19, FLOW, INSTANCES):
        register(schema)


@hookimpl
def register_mappings(register: Callable[[ClassMapping | PointMapping], None]) -> None:
    """Offer the mappings between them."""
    for mapping in MAPPINGS:
        register(mapping)
    register(MEDIAPIPE_TO_IBUG)
