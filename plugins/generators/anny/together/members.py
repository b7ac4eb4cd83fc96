"""From the scene of a group to that of one member: another camera of the rig, another moment of the clip.

The person, and all that is worn, stays as it was drawn, bit for bit. A member's parameters hold in `view` where its
camera stands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from synthforge.core.nearby import Origin
from synthforge.geometry.cameras import orbit_camera
from synthforge.geometry.rigs import Placement

from ....heads.anny.expressions import name_of
from ..backdrops.places import PLACES
from ..backdrops.shapes import draw_background
from ..factors.config import AnnyConfig
from ..factors.motion import MotionConfig
from ..factors.person import EXPRESSIONS
from ..people.person import seen_angles
from ..people.sampling import Drawn
from .motion import Motion

Parameters = dict[str, Any]
_SAME_PLACE = 0.02  # radians of turn within which two cameras see the same things behind the head


def member_of(config: AnnyConfig, origin: Origin, group: Drawn, motion: Motion | None, member: int) -> Drawn:
    """The scene of one member. origin: of its group's scene `group`; motion: of the person, in a clip."""
    frame, number = divmod(member, config.members.views)
    placement = config.rig.placements()[number]
    view = {"number": number, "frame": frame, **vars(placement)}
    parameters = {**group.parameters, "view": view}
    # a photograph's margin is each picture's own, and so is a film's grain
    parameters["border"] = {**parameters["border"], "margin": False}
    key = int(origin.stream(f"anny/film/member/{member}").integers(0, 2**31 - 1))
    parameters["film"] = {**parameters["film"], "noise_key": key}
    if max(abs(placement.azimuth), abs(placement.elevation)) > _SAME_PLACE:
        parameters["background"] = _elsewhere(group, origin, number)
    if placement.infrared:
        parameters |= near_infrared(parameters)
    if motion is not None:
        parameters["film"]["motion"] = 0.0  # the clip's own motion blurs, see `exposures`
        parameters |= moment(parameters, motion, frame / config.motion.fps)
    rendered = dict(group.rendered)
    camera = parameters["camera"]
    seen = {name: camera[name] + getattr(placement, name) for name in ("azimuth", "elevation")}
    rendered["person"] = {**rendered["person"], **seen_angles(parameters["head"], seen)}
    if motion is not None:
        shown = name_of(parameters["head"]["expression"].tolist(), motion.names)
        rendered["person"]["expression"] = float(EXPRESSIONS.index(shown))
    if placement != Placement():
        rendered["camera"] = {**rendered.get("camera", {}), **seen}
    return Drawn(parameters, group.drawn, rendered, group.factors)


def moment(parameters: Mapping[str, Any], motion: Motion, time: float) -> Parameters:
    """The groups of parameters that change with time, in seconds: the head, the camera and what lies behind the head.

    `view` then also holds the head that the camera was set up for, before it began to move.
    """
    still = {name: parameters["view"].get(name, parameters["head"][name]) for name in ("neck", "head")}
    turn, step = motion.camera(time)
    view_before = parameters["view"].get("turn", np.zeros(3))
    view = {**parameters["view"], "time": time, "turn": turn, "step": step, **still}
    return {
        "head": {**parameters["head"], **motion.head(time)},
        "view": view,
        "background": _panned(parameters["background"], parameters["camera"], turn - view_before),
    }


def exposures(parameters: Mapping[str, Any], config: MotionConfig, motion: Motion) -> list[Parameters]:
    """The scene of a frame at the times at which light is caught for the blur of its motion, evenly about its own."""
    shares = (np.arange(config.exposures) + 0.5) / config.exposures - 0.5
    times = parameters["view"]["time"] + shares * config.shutter / config.fps
    return [{**parameters, **moment(parameters, motion, float(time))} for time in times]


def _panned(back: Mapping[str, Any], camera: Mapping[str, float], turn: np.ndarray) -> Parameters:
    """What lies behind the head, far away, as a camera sees it that has turned by a small rotation vector (3,)."""
    axes = orbit_camera(camera["azimuth"], camera["elevation"], 1.0, 60.0, 1, 1, roll=camera["roll"]).world_to_camera
    about = axes[:3, :3] @ turn
    focal = 0.5 / math.tan(math.radians(camera["field_of_view"]) / 2)
    dx, dy = -focal * about[1], focal * about[0]
    shapes = back["shapes"].copy()
    shapes[:, :2] += (dx, dy)
    return {
        **back,
        "shapes": shapes,
        "horizon": back["horizon"] + dx * math.cos(back["turn"]) + dy * math.sin(back["turn"]),
        "offset": back["offset"] - np.array([dx, dy]) / back["texture_scale"],
    }


def _elsewhere(group: Drawn, origin: Origin, number: int) -> Parameters:
    """What lies behind the head as another camera sees it: the same place, or else other things in the same colours."""
    back = group.parameters["background"]
    if back["kind"] in PLACES:
        return dict(back)
    other = draw_background(back["kind"], group.factors["background"], origin.stream(f"anny/background/view/{number}"))
    return {**other, **{name: back[name] for name in ("first", "second", "place")}}


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
        "near_light": {**parameters["near_light"], "present": False},
        "light": {**light, **lamp, "ambient": 0.25 * light["ambient"], "environment_share": 0.0},
        "film": {**parameters["film"], "monochrome": True, "saturation": 0.0},
    }
