"""Several people in one picture: where each stands before the shared camera.

The camera of each person is the shared one, seen from where that person stands. Field of view, elevation and roll are
the same; the azimuth is the person's own, since people face different ways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from synthforge.core.nearby import Origin
from synthforge.core.records import Rendering

from ..factors.crowd import CrowdConfig
from ..factors.picture import BACKGROUNDS
from ..people.sampling import Drawn

_TRIES = 30
_HEAD = 0.85  # radius of a head's circle, of the height from brows to chin
_BODY = 5.5  # height of the body below the face in that unit: nobody ends above the picture's edge
_WIDE = 1.3  # half width of its trunk
_TOP, _BOTTOM, _ASIDE = 0.12, 0.85, 0.44
#: painted people have no labels: a background of them is left plain
_PAINTED, _INSTEAD = "crowd", "plain"


def crowd_of(config: CrowdConfig, origin: Origin, draw: Callable[[Origin], Drawn]) -> Drawn:
    """The scene of a crowd: that of the person with the largest face, whose parameters hold the `others`."""
    rng = origin.stream("anny/crowd")
    count = int(rng.integers(config.least, config.most + 1))
    sizes = np.exp(rng.uniform(math.log(config.smallest), math.log(config.largest), count))
    people: list[Drawn] = []
    places: list[tuple[float, float, float]] = []
    for size in sorted(sizes.tolist(), reverse=True):
        place = _place(config, rng, size, places)
        seed = int(rng.integers(2**62))
        if place is None and people:
            continue
        x, y = place or (0.0, 0.0)
        places.append((x, y, size))
        person = draw(origin if not people else Origin(seed, origin.index))
        people.append(_moved(person, people[0] if people else person, size, x, y))
    first, *others = people
    rendered = dict(first.rendered)
    rendered["camera"] = {**rendered.get("camera", {}), **{n: first.parameters["camera"][n] for n in _MOVED}}
    if first.drawn["background"]["kind"] == BACKGROUNDS.index(_PAINTED):
        rendered["background"] = {**rendered.get("background", {}), "kind": float(BACKGROUNDS.index(_INSTEAD))}
    return first._replace(parameters={**first.parameters, "others": [p.parameters for p in others]}, rendered=rendered)


_MOVED = ("face_fraction", "shift_x", "shift_y")


def _place(
    config: CrowdConfig, rng: np.random.Generator, size: float, taken: list[tuple[float, float, float]]
) -> tuple[float, float] | None:
    """Where a face goes, from the picture's middle to the right and down in its heights.

    Beside larger heads, and not behind their bodies; None where there is no room.
    """

    def free(x: float, y: float, u: float, v: float, s: float) -> bool:
        apart = math.hypot(x - u, y - v) > (1 - config.overlap) * _HEAD * (size + s)
        return apart and not (abs(x - u) < _WIDE * s and y > v)

    top = min(max(_TOP, 1 - _BODY * size), _BOTTOM)
    for _ in range(_TRIES):
        x, y = rng.uniform(-_ASIDE, _ASIDE), rng.uniform(top, _BOTTOM) - 0.5
        if all(free(x, y, *each) for each in taken):
            return x, y
    return None


def _moved(person: Drawn, first: Drawn, size: float, x: float, y: float) -> Drawn:
    """A person at a place of the picture, in the light and before the camera of the first one."""
    own, shared = person.parameters, first.parameters
    camera: dict[str, Any] = {**shared["camera"], "azimuth": own["camera"]["azimuth"]}
    # the target moves, and the face with the camera the other way
    camera |= {"face_fraction": size, "shift_x": -x, "shift_y": y}
    border = {**own["border"], "margin": False, "shift_x": 0.0, "shift_y": 0.0}
    parameters = {**own, "camera": camera, "border": border}
    parameters |= {name: shared[name] for name in ("light", "film", "background")}
    if person is not first:  # whose near light does not reach the others
        parameters["near_light"] = {**own["near_light"], "present": False}
    if shared["background"]["kind"] == _PAINTED:
        nothing = {"kind": _INSTEAD, "count": 0, "shapes": shared["background"]["shapes"][:0]}
        parameters["background"] = {**shared["background"], **nothing}
    return person._replace(parameters=parameters)


def joined(people: Sequence[Rendering], nearest: Mapping[str, np.ndarray], instance: np.ndarray) -> Rendering:
    """People, each in the world of its own, as one rendering in the world of the first. nearest: maps of what is seen;
    instance (H,W): whose it is, the number of people where it is nobody's."""
    first = people[0]  # its mesh is the first of the surface
    moved = [_in_world_of(first, person) for person in people]
    surfaces = [each.surface for each in moved if each.surface is not None]
    points, triangles = len(surfaces[0].vertices), len(surfaces[0].faces)
    face_id = np.where(nearest["face_id"] >= 0, nearest["face_id"] + triangles * instance, -1).astype(np.int32)
    surface = replace(
        surfaces[0],
        vertices=np.concatenate([each.vertices for each in surfaces]),
        normals=np.concatenate([each.normals for each in surfaces]),
        faces=np.concatenate([each.faces + points * k for k, each in enumerate(surfaces)]).astype(np.int32),
        face_id=face_id,
        barycentric=nearest["barycentric"],
        z=nearest["z"],
    )
    apart = (replace(each, surface=replace(s, z=nearest["z"])) for each, s in zip(moved, surfaces, strict=True))
    labels = dict.fromkeys(first.labels, nearest["label"])
    return replace(moved[0], surface=surface, labels=labels, people=tuple(sorted(apart, key=depth_of)))


def depth_of(person: Rendering) -> float:
    """Camera z of the middle of a head's vertices, metres."""
    surface = person.surface
    assert surface is not None
    return float(person.camera.to_camera(surface.vertices[: surface.head_vertices].mean(0, keepdims=True))[0, 2])


def _in_world_of(first: Rendering, person: Rendering) -> Rendering:
    """A person's mesh and what is known of it, moved so that the first one's camera sees it as its own did."""
    to_world = np.linalg.inv(first.camera.world_to_camera) @ person.camera.world_to_camera
    turn, offset = to_world[:3, :3], to_world[:3, 3]
    surface, known, eyes = person.surface, person.known, person.known.eyes
    assert surface is not None
    assert eyes is not None
    assert known.head_rotation is not None
    return replace(
        person,
        camera=first.camera,
        surface=replace(
            surface,
            vertices=(surface.vertices @ turn.T + offset).astype(np.float32),
            normals=(surface.normals @ turn.T).astype(np.float32),
        ),
        known=replace(
            known,
            head_rotation=turn @ known.head_rotation,
            eyes=replace(eyes, centre=eyes.centre @ turn.T + offset, gaze=eyes.gaze @ turn.T),
        ),
    )
