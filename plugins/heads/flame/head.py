"""FLAME (Li et al. 2017, "Learning a model of facial shape and expression from 4D scans"), from its paper.

Vertices = linear blend skinning of template + identity + expression + pose correctives. Frame: metres, y up, the face
towards +z, the subject's left at +x: the world frame as it is.
"""

from __future__ import annotations

from math import pi

import numpy as np
import torch

from synthforge.core.interfaces import Contour, HeadModel
from synthforge.core.records import Eyes, Known
from synthforge.heads.skinning import bone_transforms, rodrigues, skin

from .formats import JOINTS, FlameModel, LandmarkEmbedding
from .regions import SCHEMA, FlameRegions

_FRONT_TO_SIDE = 39  # rows 0..39 of the dynamic contour are yaw 0..39 degrees, 40..78 are -1..-39


class FlameHead(torch.nn.Module, HeadModel):
    """FLAME as a differentiable head.

    regions: what `regions_at` answers from, or None if neither masks nor a painted label map were given.
    """

    region_schema = SCHEMA
    point_schema = "ibug68"

    template: torch.Tensor
    shape_basis: torch.Tensor
    expression_basis: torch.Tensor
    pose_basis: torch.Tensor
    joint_regressor: torch.Tensor
    weights: torch.Tensor
    static_corners: torch.Tensor
    static_barycentric: torch.Tensor
    dynamic_corners: torch.Tensor
    dynamic_barycentric: torch.Tensor
    full_corners: torch.Tensor
    full_barycentric: torch.Tensor

    def __init__(self, model: FlameModel, embedding: LandmarkEmbedding, regions: FlameRegions | None = None) -> None:
        super().__init__()
        self.faces = model.faces
        self.num_vertices = len(model.template)
        self.parents = model.parents
        self.regions = regions
        if regions is not None and regions.layout is not None:
            self.uv, self.uv_faces = regions.layout.uv, regions.layout.faces
        floats = {
            "template": model.template,
            "shape_basis": model.shape_basis,
            "expression_basis": model.expression_basis,
            "pose_basis": model.pose_basis.reshape(self.num_vertices * 3, -1),
            "joint_regressor": model.joint_regressor,
            "weights": model.weights,
            "static_barycentric": embedding.static_barycentric,
            "dynamic_barycentric": embedding.dynamic_barycentric,
            "full_barycentric": embedding.full_barycentric,
        }
        corners = {
            "static_corners": model.faces[embedding.static_faces],
            "dynamic_corners": model.faces[embedding.dynamic_faces],
            "full_corners": model.faces[embedding.full_faces],
        }
        for name, value in floats.items():
            self.register_buffer(name, torch.as_tensor(np.asarray(value, np.float32)), persistent=False)
        for name, value in corners.items():
            self.register_buffer(name, torch.as_tensor(value.astype(np.int64)), persistent=False)

    def forward(
        self,
        shape: torch.Tensor,
        expression: torch.Tensor,
        pose: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vertices (B,V,3) and posed joints (B,5,3), metres, world frame.

        Args:
            shape: (B,s) identity coefficients, s <= 300. expression: (B,e), e <= 100.
            pose: (B,5,3) axis-angle in radians of global, neck, jaw, left eye, right eye, or None for zero.

        Source: FLAME, equations 1-5.
        """
        batch = shape.shape[0]
        rotation = rodrigues(shape.new_zeros(batch, len(JOINTS), 3) if pose is None else pose)
        shaped = (
            self.template
            + torch.einsum("vcs,bs->bvc", self.shape_basis[..., : shape.shape[1]], shape)
            + torch.einsum("vce,be->bvc", self.expression_basis[..., : expression.shape[1]], expression)
        )
        joints = torch.einsum("jv,bvc->bjc", self.joint_regressor, shaped)
        identity = torch.eye(3, dtype=shape.dtype, device=shape.device)
        feature = (rotation[:, 1:] - identity).flatten(1)
        corrected = shaped + (feature @ self.pose_basis.T).view_as(shaped)
        transforms = bone_transforms(rotation, joints, self.parents)
        posed_joints = (transforms[..., :3] @ joints[..., None])[..., 0] + transforms[..., 3]
        return skin(corrected, self.weights, transforms), posed_joints

    def known(self, pose: torch.Tensor, joints: np.ndarray, turn: np.ndarray) -> Known:
        """How head and eyes are turned by pose (5,3), axis-angle, in a world to which `turn` (3,3) takes FLAME's axes.

        joints: (5,3) posed, in that world.
        """
        whole, neck, _, left, right = rodrigues(pose).double().numpy()
        turned = turn @ whole @ neck
        return Known(turned, Eyes(joints[3:], np.stack([turned @ left[:, 2], turned @ right[:, 2]])))

    def landmarks(
        self, vertices: torch.Tensor, camera_position: torch.Tensor | None = None, contour: Contour = "static"
    ) -> torch.Tensor:
        """68 points (B,68,3) on a mesh (B,V,3): see `HeadModel.landmarks`."""
        if contour == "static":
            return _on_mesh(vertices, self.full_corners.expand(len(vertices), -1, -1), self.full_barycentric)
        if camera_position is None:
            raise ValueError("the visible contour needs camera_position")
        return self.landmarks_by_yaw(vertices, self.yaw_seen_from(vertices, camera_position))

    def landmarks_by_yaw(self, vertices: torch.Tensor, yaw: torch.Tensor) -> torch.Tensor:
        """68 points (B,68,3) with the jaw line of head yaw (B,) radians: dynamic contour, then the 51 static points."""
        row = contour_row(yaw)
        jaw = _on_mesh(vertices, self.dynamic_corners[row], self.dynamic_barycentric[row])
        inner = _on_mesh(vertices, self.static_corners.expand(len(vertices), -1, -1), self.static_barycentric)
        return torch.cat([jaw, inner], dim=1)

    def yaw_seen_from(self, vertices: torch.Tensor, camera_position: torch.Tensor) -> torch.Tensor:
        """Yaw (B,) radians by which the head is turned away from the camera, positive towards its left.

        The head's own rotation is the best rigid fit of its template (Kabsch), weighted by how firmly each vertex
        hangs on the skull, so that any posed mesh will do.
        """
        firm = (self.weights[:, JOINTS.index("neck"), None] + 1e-6) ** 2
        firm = firm / firm.sum()
        centre = (firm * vertices).sum(1, keepdim=True)
        rest = self.template - (firm * self.template).sum(0)
        u, _, vt = torch.linalg.svd(torch.einsum("vi,bvj->bij", firm * rest, vertices - centre))
        turn = torch.diag_embed(torch.stack([torch.ones_like(u[:, 0, 0])] * 2 + [torch.det(u @ vt)], -1))
        rotation = (u @ turn @ vt).mT  # template -> world
        towards = torch.einsum("bij,bi->bj", rotation, camera_position - centre[:, 0])
        return torch.atan2(-towards[:, 0], torch.hypot(towards[:, 1], towards[:, 2]))

    def regions_at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Class ids (N,) uint8 of schema `flame20`. Raises: AssetError if no region file was given."""
        if self.regions is None:
            raise FlameRegions.missing()
        return self.regions.at(face_id, barycentric)


def contour_row(yaw: torch.Tensor) -> torch.Tensor:
    """Row (B,) int64 of the dynamic contour for a head yaw (B,) in radians.

    Whole degrees; 0..39 as they are (and beyond: 39), -1..-39 as 40..78 (and beyond: 78).
    """
    degrees = torch.round(torch.clamp(yaw * 180 / pi, max=_FRONT_TO_SIDE)).long()
    return torch.where(degrees < 0, torch.clamp(_FRONT_TO_SIDE - degrees, max=2 * _FRONT_TO_SIDE), degrees)


def head_yaw(pose: torch.Tensor) -> torch.Tensor:
    """Yaw (B,) radians of the head in the world, from pose (B,5,3) axis-angle: global rotation, then neck."""
    rotation = rodrigues(pose[:, :2])
    head = rotation[:, 0] @ rotation[:, 1]
    return torch.atan2(-head[:, 2, 0], torch.hypot(head[:, 0, 0], head[:, 1, 0]))


def _on_mesh(vertices: torch.Tensor, corners: torch.Tensor, barycentric: torch.Tensor) -> torch.Tensor:
    """Points (B,N,3) at corners (B,N,3) vertex ids and barycentric (B,N,3) or (N,3)."""
    batch = torch.arange(len(vertices), device=vertices.device)[:, None, None]
    return (vertices[batch, corners] * barycentric[..., None]).sum(2)
