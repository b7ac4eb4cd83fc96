"""From a person to the camera: pose heads, find their landmarks, place cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from synthforge.core.camera import Camera
from synthforge.core.records import Eyes, Known
from synthforge.geometry.cameras import orbit_camera
from synthforge.geometry.rigs import carried

from ...heads.anny.head import ANCESTRIES, PHENOTYPES, AnnyHead
from ...heads.anny.landmarks import surface_points
from .people.person import years_of

#: The mesh's eyeballs have a radius of 16.7 mm, real ones of 12. Turned by as much less, irises move as real ones do.
EYE_TURN = 0.72
#: radians: looking ahead, irises stand in the middle of the lids' opening, 1.7 mm below the eyeballs' centres
EYE_DROP = 0.075
#: the first camera of a rig, or the only one
FIRST = {"azimuth": 0.0, "elevation": 0.0, "aside": 0.0}
_HIGHEST = 1.5  # radians of elevation


def posed_heads(head: AnnyHead, people: Sequence[Mapping[str, np.ndarray]], batch: int) -> torch.Tensor:
    """Vertices (B,V,3) of heads, `batch` at a time: the last one is repeated to fill it.

    Eyes look where `gaze` says, whatever way the identity's own eyeballs would.
    """
    parts = []
    with torch.no_grad():
        for start in range(0, len(people), batch):
            chunk = list(people[start : start + batch])
            filled = chunk + [chunk[-1]] * (batch - len(chunk))
            values = {
                name: torch.as_tensor(np.stack([h[name] for h in filled]), device=head.device) for name in filled[0]
            }
            values["gaze"] = EYE_TURN * values["gaze"] - values["gaze"].new_tensor([0.0, EYE_DROP])
            posed = head.forward(values).vertices
            eyes, (centre, axis, _) = head.eye_vertices, head.eye_fronts(posed)
            turns = torch.as_tensor(_turns_between(axis.cpu().numpy(), np.stack([_sight(h) for h in filled])))
            about = centre[:, :, None].to(posed.dtype)
            posed[:, eyes] = about + (posed[:, eyes] - about) @ turns.to(posed).mT
            parts.append(posed[: len(chunk)])
    return torch.cat(parts)


def _sight(head: Mapping[str, np.ndarray]) -> np.ndarray:
    """Optical axes (2,3) of the eyeballs, world: unit vectors."""
    yaw, pitch = EYE_TURN * np.asarray(head["gaze"], np.float64).T - [[0.0], [EYE_DROP]]
    turned = Rotation.from_rotvec(head["neck"]) * Rotation.from_rotvec(head["head"])
    return turned.apply(np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], 1))


def _turns_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The smallest rotations (...,3,3) that take unit vectors (...,3) to others, less than half a turn away."""
    x, y, z = np.moveaxis(np.cross(first, second), -1, 0)
    cross = np.stack([0 * x, -z, y, z, 0 * x, -x, -y, x, 0 * x], -1).reshape(*x.shape, 3, 3)
    cosine = (first * second).sum(-1)[..., None, None]
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def still_heads(parameters: Sequence[Mapping[str, Any]]) -> list[Mapping[str, np.ndarray]]:
    """The heads that cameras are set up for: in clips, the calm ones before they move, else those in the pictures."""
    return [_calm(p["head"], p["view"]) if "time" in p.get("view", ()) else p["head"] for p in parameters]


def _calm(head: Mapping[str, np.ndarray], view: Mapping[str, Any]) -> dict[str, np.ndarray]:
    posed = {name: np.asarray(view[name], np.float32) for name in ("neck", "head")}
    return {**head, **posed, **{name: np.zeros_like(head[name]) for name in ("expression", "gaze")}}


def static_landmarks(head: AnnyHead, vertices: torch.Tensor) -> np.ndarray:
    """The 68 static landmarks (B,68,3), metres."""
    embedding = head.embedding
    return surface_points(vertices, embedding.vertices, embedding.barycentric).double().cpu().numpy()


def camera_of(parameters: Mapping[str, Any], points: np.ndarray, resolution: int) -> Camera:
    """An orbit about the middle of the face, at the distance that gives the face its size; for one of several views
    (`together.members`), moved from there."""
    c, view = parameters["camera"], parameters.get("view", FIRST)
    brows = points[17:27].mean(0)
    chin = points[8]
    middle = (brows + chin) / 2
    tangent = np.tan(np.radians(c["field_of_view"]) / 2)
    frame = float(np.linalg.norm(brows - chin)) / c["face_fraction"]  # height of the picture at the face
    radius = frame / (2 * tangent)
    # the point looked at lies inside the head, so that turning does not push the face out of the picture
    target = middle + np.array([0.0, 0.12 * frame * 0.5, -0.045])
    ca, sa = np.cos(c["azimuth"]), np.sin(c["azimuth"])
    shift_x, shift_y = (c[name] + parameters["border"][name] for name in ("shift_x", "shift_y"))
    target = target + frame * (shift_x * np.array([ca, 0.0, -sa]) + shift_y * np.array([0.0, 1.0, 0.0]))
    camera = orbit_camera(
        c["azimuth"] + view["azimuth"],
        float(np.clip(c["elevation"] + view["elevation"], -_HIGHEST, _HIGHEST)),
        radius,
        c["field_of_view"],
        resolution,
        resolution,
        target=tuple(target.tolist()),
        roll=c["roll"],
    )
    if view["aside"]:
        camera = carried(camera, target, np.zeros(3), view["aside"] * camera.world_to_camera[0, :3])
    return carried(camera, target, view["turn"], view["step"]) if "turn" in view else camera


def iris_sines(head: AnnyHead, vertices: torch.Tensor, parameters: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Radius of the iris over that of the eyeball; children's irises are nearly as large as adults'."""
    radius = head.eyeballs(vertices).radius.mean(1).cpu().numpy() * 1000.0
    iris = np.array([p["eyes"]["iris_radius"] for p in parameters])
    return np.clip(iris / radius, 0.25, 0.5)


def known_of(eyes: Sequence[np.ndarray], sine: float, parameters: Mapping[str, Any], arkit: Sequence[str]) -> Known:
    """What a scene's parameters say of the person. eyes: `EyeFronts` of one mesh, float64; sine: of the angle that the
    iris takes at the eye's centre; arkit: the names of the facial actions."""
    head = parameters["head"]
    turned = Rotation.from_rotvec(head["neck"]) * Rotation.from_rotvec(head["head"])
    centre, gaze, radius = eyes

    def circles(part: float) -> np.ndarray:
        return np.outer(radius, [np.sqrt(1 - part * part), part])

    phenotype = dict(zip(PHENOTYPES, map(float, head["phenotype"]), strict=True))
    mixture = {name: phenotype[name] for name in ANCESTRIES}
    total = max(sum(mixture.values()), 1e-6)
    return Known(
        head_rotation=turned.as_matrix(),
        eyes=Eyes(centre, gaze, circles(sine), circles(sine * parameters["eyes"]["pupil"])),
        arkit=dict(zip(arkit, map(float, head["expression"]), strict=True)),
        person={
            "age_years": years_of(phenotype["age"]),
            "gender": phenotype["gender"],
            "ancestry": {name: share / total for name, share in mixture.items()},
            "melanin": float(parameters["skin"]["melanin"]),
        },
    )
