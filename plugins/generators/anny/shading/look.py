"""The numbers kernels read: one `Look` record an image, packed from a scene's parameters and its camera.

Lengths are millimetres, colours linear RGB, directions world unit vectors.
No `from __future__ import annotations` here: warp reads the annotations of structs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import warp as wp

from synthforge.core.camera import Camera
from synthforge.geometry.warp_runtime import struct_type

from ..backdrops.places import PLACES
from ..backdrops.shapes import SHAPES
from ..factors.config import AnnyConfig
from ..factors.table import used
from ..light.environment import FROM_THE_CAMERA, at, gradient, irradiance, unit
from ..light.lamps import Lamps, lamps_of
from ..light.palette import luminance
from .wrinkles import creased

_FROM_FACTORS = used(AnnyConfig(), "look")  # group, parameter, number


def _with_factors(record: type) -> type:
    """The record with a number for every factor whose row in the table names one."""
    record.__annotations__.update({number: float for _, _, number in _FROM_FACTORS})
    return record


@wp.struct
@_with_factors
class Look:
    """Appearance of one image: what follows from several of the scene's parameters, or is no plain number.

    The rest are factors, added by the table: `mottle`, `freckles` ... (`look=` in `factors`).
    """

    # light: three lamps, the first `casting` of them (at most two) with shadow maps, see `light.lamps`; ambient:
    # polynomial of the normal, see `environment`
    light0: wp.vec3
    light1: wp.vec3
    light2: wp.vec3
    colour0: wp.vec3
    colour1: wp.vec3
    colour2: wp.vec3
    ambient: wp.vec3
    ambient_x: wp.vec3
    ambient_y: wp.vec3
    ambient_z: wp.vec3
    ambient_xx: wp.vec3
    ambient_zz: wp.vec3
    ambient_xy: wp.vec3
    ambient_yz: wp.vec3
    ambient_zx: wp.vec3
    casting: int
    near: float
    near_size: float
    emboss_u: float
    emboss_v: float
    # the camera: world to camera, pixels; eye: its centre, metres; the ray through pixel (x, y) has direction
    # ray0 + x * ray_x + y * ray_y
    camera: wp.mat33
    camera_offset: wp.vec3
    focal: float
    principal: float
    eye: wp.vec3
    ray0: wp.vec3
    ray_x: wp.vec3
    ray_y: wp.vec3
    # skin
    tone: wp.vec3
    lips: wp.vec3
    shadow_colour: wp.vec3
    offset_u: float
    offset_v: float
    frown: float
    # eyes
    iris: wp.vec3
    iris_sine: float
    # brows
    brow: wp.vec3
    # hair: style as in HAIR_STYLES
    style: int
    hair: wp.vec3
    recess: float
    fringe: float
    top: float
    side: float
    length: float
    opening: float
    lumps: float
    ragged: float
    hair_contrast: float
    hair_depth: float
    curl: float
    roots: float
    wave: float
    sweep: float
    hair_u: float
    hair_v: float
    # beard: densities of its three parts
    beard: wp.vec3
    moustache: float
    chin: float
    jaw: float
    beard_length: float
    # clothes
    cloth: wp.vec3
    # glasses; the rim of a hat, see `mesh.worn.headwear.rim_height`
    frame: wp.vec3
    lens: wp.vec3
    tint: float
    hat_rim: wp.vec3
    # background
    back0: wp.vec3
    back1: wp.vec3
    back_turn_x: float
    back_turn_y: float
    back_horizon: float
    back_steep: float
    back_scale: float
    back_u: float
    back_v: float
    shapes: int
    # film (see `film.develop`, which reads the rest from the scene's parameters)
    gain: wp.vec3


# thickness of the hair above the skin, mm: (top thin, top thick, side thin, side thick); opening: azimuth at which long
# hair starts beside the face when it falls over the ears, and when it is tucked behind them
_THICKNESS = {
    "bald": (0.0, 0.0, 0.0, 0.0),
    "buzz": (0.0, 0.0, 0.0, 0.0),
    "short": (5.0, 30.0, 2.0, 11.0),
    "full": (14.0, 52.0, 9.0, 42.0),
    "long": (6.0, 24.0, 6.0, 20.0),
    "tied": (2.5, 7.0, 2.0, 5.0),
    "afro": (26.0, 75.0, 20.0, 66.0),
    "curly": (16.0, 44.0, 10.0, 36.0),
    "bob": (6.0, 22.0, 8.0, 22.0),
    "ponytail": (2.5, 9.0, 2.0, 5.0),
}
# length below the hairline that hangs freely, mm: least and share of the drawn one; styles without any are left out
_HANGING = {"long": (60.0, 1.0), "bob": (55.0, 0.25), "ponytail": (120.0, 0.7), "curly": (8.0, 0.3)}
_CURL = {"afro": 1.0, "curly": 0.8, "full": 0.15}
STYLE_NUMBER = {name: number for number, name in enumerate(_THICKNESS)}
_OVER_EARS, _BEHIND_EARS, _TAIL = 0.68, 1.75, 2.7
_BEARDS = {  # moustache, chin, jaw
    "none": (0.0, 0.0, 0.0),
    "stubble": (0.42, 0.45, 0.42),
    "full": (1.0, 1.0, 1.0),
    "goatee": (1.0, 1.0, 0.12),
    "moustache": (1.0, 0.1, 0.1),
}
MAX_SHAPES = SHAPES
# mm of the drawn length: share and most, of the hair that stands off the skin
_GROWN = {"full": (1.0, 75.0), "goatee": (0.8, 40.0), "moustache": (0.6, 8.0)}
_NO_HAT = (1e4, 0.0, 0.0)  # a rim above every head


def pack_look(
    parameters: Mapping[str, Any], camera: Camera, iris_sine: float, actions: Sequence[str] = ()
) -> np.ndarray:
    """One record of the layout of `Look`. iris_sine: sine of the angle the iris subtends at the eye's centre; actions:
    names of the expression's, which creases the skin."""
    record = np.zeros((), dtype=struct_type(Look))

    def put(**values: Any) -> None:
        for name, value in values.items():
            record[name] = value

    for group, name, number in _FROM_FACTORS:
        record[number] = parameters[group][name]
    skin, hair, beard, glasses = (parameters[k] for k in ("skin", "hair", "beard", "glasses"))
    lamps, around = lamps_of(parameters), ambient_light(parameters["light"], parameters["camera"]["azimuth"])
    put(**_light(lamps, around), **_camera(camera), **_hair(hair))
    put(tone=skin["tone"], lips=skin["lips"], shadow_colour=skin["shadow_colour"])
    offset = hair["offset"] * 256.0
    put(offset_u=offset[0], offset_v=offset[1], hair_u=offset[2], hair_v=offset[3])
    record["frown"] = skin["forehead"]
    if actions:
        for group, amount in creased(parameters["head"]["expression"], actions).items():
            record[group] += skin["crease"] * amount
    put(iris=parameters["eyes"]["iris"], iris_sine=iris_sine, brow=parameters["brows"]["colour"])
    parts = np.array(_BEARDS[beard["style"]]) * beard["density"]
    put(beard=beard["colour"], moustache=parts[0], chin=parts[1], jaw=parts[2])
    share, most = _GROWN.get(beard["style"], (0.0, 0.0))
    pressed = 1.0 if parameters["mask"]["present"] else most  # under a mask
    put(beard_length=min(share * beard["length"], pressed), cloth=parameters["clothes"]["colour"])
    put(frame=glasses["colour"], lens=glasses["colour"] * 0.3, tint=glasses["tint"])
    hat = parameters["hat"]
    put(hat_rim=hat["rim"] if hat["present"] else _NO_HAT)
    put(**_background(parameters["background"]), gain=_gain(parameters, lamps))
    return record


def ambient_light(light: Mapping[str, Any], camera_azimuth: float) -> np.ndarray:
    """Light from everywhere as a polynomial (9,3) of the normal, see `environment`."""
    if "around" in light:
        return np.asarray(light["around"])
    turn, share, name = light["ambient_turn"] + camera_azimuth, light["environment_share"], light["environment"]
    result = gradient(light["ambient_side"], light["ambient_sky"], turn) * light["ambient"]
    if share > 0:
        level = light["environment_level"]
        around = irradiance(name, camera_azimuth if name in FROM_THE_CAMERA else turn)
        result = (1 - share) * result + share * level * around
    return result


_AMBIENT = ("", "_x", "_y", "_z", "_xx", "_zz", "_xy", "_yz", "_zx")


def _light(lamps: Lamps, ambient: np.ndarray) -> dict[str, Any]:
    result = {f"light{i}": lamps.towards[i] for i in range(3)} | {f"colour{i}": lamps.colour[i] for i in range(3)}
    result |= {f"ambient{name}": value for name, value in zip(_AMBIENT, ambient, strict=True)}
    return result | {
        "casting": lamps.casting,
        "near": lamps.near,
        "near_size": lamps.size,
        "emboss_u": lamps.towards[lamps.strongest][0],
        "emboss_v": lamps.towards[lamps.strongest][1],
    }


def _camera(camera: Camera) -> dict[str, Any]:
    pose, focal, principal = camera.world_to_camera, camera.intrinsics[0, 0], camera.intrinsics[0, 2]
    right, down, forward = pose[:3, :3]
    return {
        "camera": pose[:3, :3],
        "camera_offset": pose[:3, 3],
        "focal": focal,
        "principal": principal,
        "eye": camera.position,
        "ray_x": right / focal,
        "ray_y": down / focal,
        "ray0": forward + (0.5 - principal) / focal * (right + down),
    }


def _hair(hair: Mapping[str, Any]) -> dict[str, Any]:
    style = hair["style"]
    top_low, top_high, side_low, side_high = _THICKNESS[style]
    amount = hair["thickness"]
    grown = style in ("short", "full", "long", "bob", "curly")
    long = style in ("long", "bob")
    opening = _OVER_EARS if hair["cover_ears"] < 0.6 else _BEHIND_EARS
    opening = {"ponytail": _TAIL, "curly": _BEHIND_EARS}.get(style, opening)
    least, share = _HANGING.get(style, (0.0, 0.0))
    # strands are told apart by dark gaps between them: the paler the hair, the more light gets into those
    pale = 1.0 / (1.0 + 1.5 * luminance(hair["colour"]))
    return {
        "style": STYLE_NUMBER[style],
        "hair": hair["colour"],
        "recess": hair["recess"] * (0.0 if style == "bald" else 0.25 if hair["fringe"] > 0 or long else 1.0),
        "fringe": hair["fringe"] * (1.0 if grown else 0.0),
        "top": top_low + (top_high - top_low) * amount,
        "side": side_low + (side_high - side_low) * amount,
        "length": least + share * hair["length"],
        "opening": opening,
        "lumps": hair["lumps"] * (1.0 if style in ("full", "curly") else 0.4),
        "ragged": hair["ragged"] if grown else 4.0,
        "hair_contrast": hair["contrast"] * pale,
        "hair_depth": pale,
        "curl": _CURL.get(style, 0.0) * (0.5 + 0.5 * hair["wave"]),
        "roots": 0.0 if style == "bald" else hair["density"],
        "wave": hair["wave"] * (1.0 if style == "full" else 0.5),
        "sweep": 0.6 * hair["parting"] if hair["fringe"] > 0 else 0.0,
    }


def _background(back: Mapping[str, Any]) -> dict[str, Any]:
    scale = 128.0 / back["texture_scale"]
    return {
        "back0": back["first"],
        "back1": back["second"],
        "back_turn_x": math.cos(back["turn"]),
        "back_turn_y": math.sin(back["turn"]),
        "back_horizon": back["horizon"],
        "back_steep": back["steep"],
        "back_scale": scale,
        "back_u": back["offset"][0] * 128.0,
        "back_v": back["offset"][1] * 128.0,
        "shapes": -1 if back["kind"] in PLACES or back["file"] else back["count"],  # -1: not even a gradient
    }


def _gain(parameters: Mapping[str, Any], lamps: Lamps) -> np.ndarray:
    """By which light is multiplied (3,): exposure and white balance."""
    film, light = parameters["film"], parameters["light"]
    level = sum(w * luminance(c) for w, c in zip(lamps.metered, lamps.colour, strict=True))
    azimuth = parameters["camera"]["azimuth"]
    towards = np.stack([unit(azimuth + turn, rise) for turn, rise in ((0.0, 0.0), (0.7, 0.3), (-0.7, 0.3))])
    around = at(ambient_light(light, azimuth), towards).mean(0)
    level += luminance(around)
    tone = luminance(parameters["skin"]["tone"])
    exposure = 2.0 ** film["exposure"] * 0.95 / max(level, 1e-3) * (0.32 / max(tone, 0.02)) ** 0.35
    mean = around + sum(w * c for w, c in zip(lamps.metered, lamps.colour, strict=True))
    balance = (np.maximum(mean / max(luminance(mean), 1e-6), 0.2)) ** -film["adaptation"]
    warmth = np.exp(np.array([1.0, 0.0, -1.0]) * film["warmth"] + np.array([-0.5, 1.0, -0.5]) * film["tint"])
    return np.asarray(exposure * balance * warmth)
