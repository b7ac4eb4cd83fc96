"""From the scene of a group to that of one member: another camera of the rig, another moment of the clip.

The person, and all that is worn, stays as it was drawn, bit for bit. A member's parameters hold in `view` where its
camera stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from synthforge.core.nearby import Origin
from synthforge.geometry.rigs import Placement

from ..backdrops.shapes import draw_background
from ..factors.config import AnnyConfig
from ..people.person import seen_angles
from ..people.sampling import Drawn

Parameters = dict[str, Any]
_SAME_PLACE = 0.02  # radians of turn within which two cameras see the same things behind the head


def member_of(config: AnnyConfig, origin: Origin, group: Drawn, member: int) -> Drawn:
    """The scene of one member. origin: of its group's scene `group`."""
    number = member % config.members.views
    placement = config.rig.placements()[number]
    parameters = {**group.parameters, "view": {"number": number, **_view(placement)}}
    # a photograph's margin, and a film's grain, are each picture's own
    parameters["border"] = {**parameters["border"], "margin": False}
    key = int(origin.stream(f"anny/film/member/{member}").integers(0, 2**31 - 1))
    parameters["film"] = {**parameters["film"], "noise_key": key}
    if max(abs(placement.azimuth), abs(placement.elevation)) > _SAME_PLACE:
        parameters["background"] = _elsewhere(group, origin, number)
    if placement.infrared:
        parameters |= near_infrared(parameters)
    camera = parameters["camera"]
    seen = {name: camera[name] + getattr(placement, name) for name in ("azimuth", "elevation")}
    rendered = dict(group.rendered)
    rendered["person"] = {**rendered["person"], **seen_angles(parameters["head"], seen)}
    if placement != Placement():
        rendered["camera"] = {**rendered.get("camera", {}), **seen}
    return Drawn(parameters, group.drawn, rendered, group.factors)


def _view(placement: Placement) -> dict[str, Any]:
    return {name: getattr(placement, name) for name in ("azimuth", "elevation", "aside")}


def _elsewhere(group: Drawn, origin: Origin, number: int) -> Parameters:
    """What lies behind the head as another camera sees it: other things, in the same colours."""
    back = group.parameters["background"]
    other = draw_background(back["kind"], group.factors["background"], origin.stream(f"anny/background/view/{number}"))
    return {**other, "first": back["first"], "second": back["second"]}


#: Melanin and blood absorb little of near infrared (Jacques 2013). What is reflected instead, and the share that is
#: left of something's own colour.
_PALE = {"skin": 0.5, "iris": 0.3, "hair": 0.12, "cloth": 0.35}
_LEFT = {"skin": 0.25, "iris": 0.4, "hair": 0.6, "cloth": 0.6}


def near_infrared(parameters: Mapping[str, Any]) -> Parameters:
    """The groups that differ in a picture of near infrared: an imitation in grey, by a lamp beside the lens."""

    def grey(colour: np.ndarray, what: str) -> np.ndarray:
        return _LEFT[what] * float(np.mean(colour)) + (1 - _LEFT[what]) * _PALE[what] + np.zeros(3)

    skin, light = parameters["skin"], parameters["light"]
    pale = {name: grey(skin[name], "skin") for name in ("tone", "lips", "shadow_colour")}
    plain = {name: 0.2 * skin[name] for name in ("freckles", "blush", "mottle", "rouge")}
    azimuth, elevation, colour = (np.array(light[name]) for name in ("azimuth", "elevation", "colour"))
    azimuth[0], elevation[0], colour[0] = 0.0, 0.05, 1.0
    lamp = {"count": max(light["count"], 1), "azimuth": azimuth, "elevation": elevation, "colour": colour}
    return {
        "skin": {**skin, **pale, **plain},
        "eyes": {**parameters["eyes"], "iris": grey(parameters["eyes"]["iris"], "iris")},
        "brows": {**parameters["brows"], "colour": grey(parameters["brows"]["colour"], "hair")},
        "hair": {**parameters["hair"], "colour": grey(parameters["hair"]["colour"], "hair")},
        "beard": {**parameters["beard"], "colour": grey(parameters["beard"]["colour"], "hair")},
        "clothes": {**parameters["clothes"], "colour": grey(parameters["clothes"]["colour"], "cloth")},
        "light": {**light, **lamp, "ambient": 0.25 * light["ambient"], "environment_share": 0.0},
        "film": {**parameters["film"], "monochrome": True, "saturation": 0.0},
    }
