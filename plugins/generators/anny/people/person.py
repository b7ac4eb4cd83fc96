"""Who is seen: what the group `person` says becomes numbers of the head, and numbers of the head become words.

`rendered` says what a picture shows where that is not what was drawn: reports and filters read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from synthforge.geometry.cameras import orbit_direction

from ....heads.anny.expressions import OTHER, name_of
from ..factors.person import EXPRESSIONS, HAIR_STYLES

#: anny's slider of age, and the years that MakeHuman gives its ends; newborns are anny's own
_SLIDER, _YEARS = (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0), (0.0, 1.0, 10.0, 25.0, 90.0)
_WORN = {"glasses": "worn", **dict.fromkeys(("hat", "mask", "scarf", "hand", "occluder", "near_light"), "present")}
_FACE, _AHEAD = 0.137, 0.045  # metres: from an adult's chin to the brows; of the eyes before what cameras aim at
_LIGHTS = ("key_", "fill_", "back_")


def years_of(slider: float) -> float:
    """Age in years of anny's slider."""
    return float(np.interp(slider, _SLIDER, _YEARS))


def slider_of(years: float) -> float:
    """Anny's slider of an age in years."""
    return float(np.interp(years, _YEARS, _SLIDER))


def shape_person(phenotype: np.ndarray, who: Mapping[str, float]) -> None:
    """Change phenotypes (9,) in place to the gender, age and ancestry that are given.

    Gender and ancestry are those of the draw given that they are the ones: its mirror image, its shares exchanged.
    """
    if "gender" in who and (phenotype[0] > 0.5) != bool(who["gender"]):
        phenotype[0] = 1 - phenotype[0]
    if "age" in who:
        phenotype[1] = slider_of(who["age"])
    if "ancestry" in who:
        shares = phenotype[6:9]
        largest, wanted = int(shares.argmax()), int(who["ancestry"])
        shares[[largest, wanted]] = shares[[wanted, largest]]


def face_angles(turn: Rotation, camera: np.ndarray) -> tuple[float, float]:
    """Yaw and pitch in radians under which a camera in the direction (3,) sees a face turned by `turn`."""
    x, y, z = turn.inv().apply(camera)
    return math.atan2(x, z), math.asin(min(max(y, -1.0), 1.0))


def turned_camera(camera: Mapping[str, float], who: Mapping[str, float], turn: Rotation) -> dict[str, float]:
    """The camera's factors, its orbit moved to where it sees the face under the yaw and pitch that are given."""
    if not {"yaw", "pitch"} & set(who):
        return dict(camera)
    yaw, pitch = face_angles(turn, orbit_direction(camera["azimuth"], camera["elevation"]))
    x, y, z = turn.apply(orbit_direction(who.get("yaw", yaw), who.get("pitch", pitch)))
    return {**camera, "azimuth": math.atan2(x, z), "elevation": math.asin(min(max(y, -1.0), 1.0))}


def distance_of(camera: Mapping[str, float]) -> float:
    """About how far a camera is from the eyes, metres: what `view.camera_of` makes of a face of mean height."""
    tangent = math.tan(math.radians(camera["field_of_view"]) / 2)
    return _FACE / camera["face_fraction"] / (2 * tangent) - _AHEAD


def facts_of(
    head: Mapping[str, np.ndarray], camera: Mapping[str, float], expression_names: Sequence[str]
) -> dict[str, float]:
    """What is seen of a person but for the skin, as the factors of the group `person` tell it; angles in radians."""
    phenotype = head["phenotype"]
    name = name_of(head["expression"].tolist(), expression_names)
    return {
        "gender": float(phenotype[0] > 0.5),
        "age": years_of(float(phenotype[1])),
        "ancestry": float(phenotype[6:9].argmax()),
        "expression": float(EXPRESSIONS.index(name)),
        **seen_angles(head, camera),
    }


def seen_angles(head: Mapping[str, np.ndarray], camera: Mapping[str, float]) -> dict[str, float]:
    """Yaw and pitch in radians under which the camera sees the face that neck and head turn."""
    turn = Rotation.from_rotvec(head["neck"]) * Rotation.from_rotvec(head["head"])
    yaw, pitch = face_angles(turn, orbit_direction(camera["azimuth"], camera["elevation"]))
    return {"yaw": yaw, "pitch": pitch}


def named_expression(who: Mapping[str, float]) -> str:
    """The expression that is asked for; empty where that is left to the head's own distribution."""
    name = EXPRESSIONS[int(who["expression"])] if "expression" in who else OTHER
    return "" if name == OTHER else name


def rendered(
    drawn: Mapping[str, Mapping[str, float]],
    ruled: Mapping[str, Mapping[str, float]],
    parameters: Mapping[str, Any],
    person: Mapping[str, float],
) -> dict[str, Any]:
    """What the picture shows of the factors, by group, where that is not what was drawn.

    ruled: values after the rules. None stands for a factor, or a group, of which the picture shows nothing. The group
    `person` is there in full.
    """
    found: dict[str, dict[str, float | None]] = {
        group: {name: ruled[group][name] for name, value in values.items() if ruled[group][name] != value}
        for group, values in drawn.items()
    }
    if parameters["beard"]["style"] == "none":
        found["beard"] |= {name: None for name in drawn["beard"] if name != "style"}
    own, other = ("style_women", "style_men") if person["gender"] else ("style_men", "style_women")
    style = float(HAIR_STYLES.index(parameters["hair"]["style"]))
    found["hair"] |= {other: None} | ({own: style} if style != drawn["hair"][own] else {})
    kind = "kind_men" if person["gender"] else "kind_women"
    found["hat"] |= {kind: None}
    near = parameters["near_light"]["present"]  # takes the place of a third one
    dark = _LIGHTS[min(parameters["light"]["count"], 2 if near else 3) :]
    found["light"] |= {name: None for name in drawn["light"] if name.startswith(dark)}
    if not any(parameters["jewellery"]["worn"]):
        found["jewellery"] |= {"kind": None}
    gone = {group: None for group, name in _WORN.items() if not parameters[group][name]}
    changed = {group: values for group, values in found.items() if values}
    return {**changed, **gone, "person": dict(person)}
