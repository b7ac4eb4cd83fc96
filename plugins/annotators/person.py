"""Who is in the picture, and what the face does: numbers that the generator made it from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synthforge.core.config import key
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.keys import NoKeys
from synthforge.core.records import Field, Rendering

from .landmarks import points_of
from .pose import SIDES, unknown

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register


class PersonAnnotator(Annotator):
    """Age in years, gender and ancestry as shares, and the melanin of the skin."""

    def __init__(self, config: NoKeys) -> None:
        shares = "gender, 0 male to 1 female, and ancestry, shares by name that sum to 1"
        pigment = "how strongly it absorbs red light, as the generator's model of skin has it"
        self.fields = (
            Field("age", "json", "years", description="as the generator's model of age has it"),
            Field("person", "json", "share", description=shares),
            Field("melanin", "json", "absorbance (natural logarithm)", description=pigment),
        )

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        person = rendering.known.person
        if person is None:
            raise unknown("person", "the person's age, gender, ancestry and melanin")
        shares = {name: person[name] for name in ("gender", "ancestry")}
        return {"age": person["age_years"], "person": shares, "melanin": person["melanin"]}


class ArkitAnnotator(Annotator):
    """The coefficients of ARKit's 52 facial actions."""

    def __init__(self, config: NoKeys) -> None:
        about = "coefficients by ARKit's 52 names (`jawOpen`, `eyeBlinkLeft` ...), 0 at rest; left is the subject's"
        self.fields = (Field("arkit", "json", "share", description=about),)

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        if rendering.known.arkit is None:
            raise unknown("arkit", "ARKit's coefficients")
        return {"arkit": dict(rendering.known.arkit)}


@dataclass
class OpennessConfig:
    """How far eyes and mouth are open."""

    schema: str = key("ibug68", "Point schema with 68 iBUG points, of the head or that the generator knows.")


class OpennessAnnotator(Annotator):
    """Height over width of the openings of eyes and mouth, in space: neither pose nor camera change it.

    Eyes: the mean distance of two pairs of points on the lids over that of the corners (Soukupova and Cech 2016,
    "Real-Time Eye Blink Detection using Facial Landmarks"). Mouth: the same of three pairs on the inner lips.
    """

    def __init__(self, config: OpennessConfig) -> None:
        self.schema = config.schema
        about = "height over width of left_eye, right_eye and mouth, in space; 0 is shut"
        self.fields = (Field("openness", "json", "ratio", "world", description=about),)

    def annotate(self, rendering: Rendering) -> dict[str, Any]:
        points = points_of(rendering, self.schema, "static", "openness").astype(np.float64)
        found = {f"{side}_eye": _ratio(points, *_EYES[side]) for side in SIDES}
        return {"openness": found | {"mouth": _ratio(points, *_MOUTH)}}


#: corners, and the points of the upper and the lower edge that face each other
_EYES = {"left": ((42, 45), (43, 44), (47, 46)), "right": ((36, 39), (37, 38), (41, 40))}
_MOUTH = ((60, 64), (61, 62, 63), (67, 66, 65))


def _ratio(points: np.ndarray, corners: tuple[int, ...], upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    height = np.linalg.norm(points[list(upper)] - points[list(lower)], axis=1).mean()
    return float(height / max(np.linalg.norm(points[corners[1]] - points[corners[0]]), 1e-9))


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotators `person`, `arkit` and `openness`."""
    register("person", PersonAnnotator, config=NoKeys, summary="age in years; gender, ancestry and melanin")
    register("arkit", ArkitAnnotator, config=NoKeys, summary="coefficients of ARKit's 52 facial actions")
    summary = "height over width of the openings of eyes and mouth, in space"
    register("openness", OpennessAnnotator, config=OpennessConfig, summary=summary)
