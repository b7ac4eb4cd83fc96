"""A ball of 10 cm for a head, and its renderings, rasterised by the project's own rasteriser."""

from __future__ import annotations

import functools

import numpy as np
import torch

from synthforge.core.interfaces import Contour, HeadModel
from synthforge.core.records import Rendering, Scene, Surface
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.geometry.cameras import orbit_camera, stack_cameras, to_camera_torch
from synthforge.geometry.raster import get_rasteriser

RADIUS = 0.1
SKIN, LEFT, RIGHT = (CLASS_SCHEMAS["synthforge"].id(name) for name in ("skin", "left_ear", "right_ear"))


def ball_mesh(rings: int = 60, segments: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Unit ball: vertices (V,3) float32 and faces (F,3) int32, counter-clockwise seen from outside."""
    polar = np.linspace(1e-3, np.pi - 1e-3, rings)
    around = np.arange(segments) / segments * 2 * np.pi
    p, a = np.meshgrid(polar, around, indexing="ij")
    vertices = np.stack([np.sin(p) * np.sin(a), np.cos(p), np.sin(p) * np.cos(a)], axis=-1).reshape(-1, 3)
    row, column = np.meshgrid(np.arange(rings - 1), np.arange(segments), indexing="ij")
    a0, b0 = row * segments + column, row * segments + (column + 1) % segments
    a1, b1 = a0 + segments, b0 + segments
    faces = np.concatenate([np.stack([a0, a1, b0], -1).reshape(-1, 3), np.stack([b0, a1, b1], -1).reshape(-1, 3)])
    outward = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    ) * vertices[faces].mean(1)
    assert (outward.sum(1) > 0).all()
    return vertices.astype(np.float32), faces.astype(np.int32)


class BallHead(HeadModel):
    """Landmarks are 68 of the vertices all around; regions are ears where |x| > half the radius, else skin."""

    def __init__(self) -> None:
        self.unit, self.faces = ball_mesh()
        self.num_vertices = len(self.unit)
        self.region_schema, self.point_schema = "synthforge", "ibug68"
        around = np.flatnonzero(np.abs(self.unit[:, 1]) < 0.4)
        self.picked = np.random.default_rng(1).choice(around, 68, replace=False)

    def landmarks(
        self, vertices: torch.Tensor, camera_position: torch.Tensor | None = None, contour: Contour = "static"
    ) -> torch.Tensor:
        points = vertices[:, torch.from_numpy(self.picked)].clone()
        if contour == "visible":
            if camera_position is None:
                raise ValueError("a visible contour needs the camera")
            points[:, :17] *= 0.999
        return points

    def regions_at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        x = (self.unit[self.faces[face_id]][..., 0] * barycentric).sum(-1)
        return np.where(x > 0.5, LEFT, np.where(x < -0.5, RIGHT, SKIN)).astype(np.uint8)


@functools.cache
def ball_rendering(azimuth: float = 0.0, size: int = 96, shield: bool = False) -> Rendering:
    """The ball at the origin seen from 1 m; with `shield`, a small square hangs between the camera and its middle."""
    head = BallHead()
    vertices, normals, faces = head.unit * np.float32(RADIUS), head.unit, head.faces
    if shield:
        corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32) * np.float32(0.02)
        corners[:, 2] = 0.3
        count = len(vertices)
        vertices = np.concatenate([vertices, corners])
        normals = np.concatenate([normals, np.tile(np.float32([[0, 0, 1]]), (4, 1))])
        faces = np.concatenate([faces, np.array([[0, 1, 2], [0, 2, 3]], np.int32) + np.int32(count)])
    camera = orbit_camera(azimuth, 0.0, 1.0, 14, size, size)
    intrinsics, pose = stack_cameras([camera])
    seen = get_rasteriser().rasterise(
        to_camera_torch(torch.from_numpy(vertices), pose), torch.from_numpy(faces), intrinsics, size, size
    )
    face_id = seen.face_id[0].numpy()
    surface = Surface(
        vertices=vertices,
        normals=normals,
        faces=faces,
        face_id=face_id,
        barycentric=seen.barycentric[0].numpy(),
        z=np.where(face_id >= 0, seen.z[0].numpy(), 0).astype(np.float32),
        head_vertices=head.num_vertices,
        head_faces=len(head.faces),
    )
    image = np.where((face_id >= 0)[..., None], 180, 40).astype(np.uint8).repeat(3, axis=-1)
    return Rendering(Scene(1, 0, {}), camera, image, head, surface)
