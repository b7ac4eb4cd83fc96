"""The licence-free parametric head: anny (Apache-2.0) over MakeHuman's CC0 assets, cropped to head and shoulders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from synthforge.core.errors import UserError
from synthforge.core.interfaces import Contour, HeadModel
from synthforge.heads.mesh import HeadMesh
from synthforge.heads.skinning import bone_transforms, rodrigues, skin

from . import build
from .landmarks import Embedding, load_embedding, shut_lids, shut_lips, surface_points, visible_contour
from .points import PointSet, load_point_sets
from .recipes import RECIPES
from .regions import RegionTable, build_regions
from .sampling import AnnyDistribution, sample_parameters

ANCESTRIES = ("african", "asian", "caucasian")
PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions", *ANCESTRIES)
#: the origin of the world, from the midpoint between the eyeball centres of the identity at rest (metres)
ORIGIN_OFFSET = (0.0, -0.025, -0.06)

# Phenotypes of the canonical head: a young adult in the middle of everything.
_CANONICAL = {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}
_NECK_BONES = ("neck01", "neck02", "neck03")
# What upper lids lack to follow eyes, as shares of other actions. They go with the eye in both directions (Becker &
# Fuchs 1988); the shapes of the assets move them about half as far.
_LIDS = {"eyeLookUp": ("eyeWide", 0.9), "eyeLookDown": ("eyeBlink", 0.12)}


class Eyeballs(NamedTuple):
    """centre (B,2,3) and radius (B,2) in metres, the subject's left eye first."""

    centre: torch.Tensor
    radius: torch.Tensor


class EyeFronts(NamedTuple):
    """centre (B,2,3) and radius (B,2) in metres of spheres, axis (B,2,3) out of the pupil; the left eye first."""

    centre: torch.Tensor
    axis: torch.Tensor
    radius: torch.Tensor


class AnnyHead(HeadModel):
    """A head with eyes, teeth, tongue, lashes, neck and shoulders, in the world frame of the house.

    The origin is the midpoint between the eyeball centres of the identity at rest, moved 6 cm back and 2.5 cm down
    (`ORIGIN_OFFSET`). It is about the middle of the head, so that a camera that orbits it frames every identity. Turns
    of neck and head do not move it.

    - faces (F,3) int32: triangles, counter-clockwise from outside; face_group (F,) uint8: index into `group_names`;
    - uv (T,2) in [0,1] (v upwards) with uv_faces (F,3);
    - rest (V,3): the canonical head (mean phenotypes, neutral face, same origin), for procedural textures;
    - mirror (V,): each vertex's mirror image; source (V,): MakeHuman vertex ids;
    - hand: arrays of a hand, see `hand.cut_hand`.
    """

    uv: np.ndarray
    uv_faces: np.ndarray
    region_schema = "synthforge"
    point_schema = "ibug68"
    other_schemas = tuple(RECIPES)

    def __init__(self, cache: Path | None = None, device: torch.device | str = "cpu", still_eyes: bool = False) -> None:
        """Load the crop, building it first if it is not cached yet (half a minute, once).

        still_eyes: `gaze` alone turns the eyeballs, and the actions `eyeLook*` move the lids, the upper ones as far
        as the eyes. Without it these actions turn the eyeballs too, by more inwards than outwards.
        """
        data = build.load_crop(cache)
        self.device = torch.device(device)
        self.faces = data["faces"]
        self.num_vertices = len(data["template"])
        self.face_group = data["face_group"]
        self.group_names = tuple(name for _, name in build.GROUPS)
        self.uv = data["uv"]
        self.uv_faces = data["uv_faces"]
        self.mirror = data["mirror"]
        self.source = data["source"]
        self.weights = data["weights"]
        self.ear = data["ear"]
        self.hand = {name: value for name, value in data.items() if name.startswith("hand_")}
        self.phenotype_names = PHENOTYPES
        self.local_names: tuple[str, ...] = tuple(data["local_names"].tolist())
        self.expression_names: tuple[str, ...] = tuple(data["expression_names"].tolist())

        def tensor(value: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(value, device=self.device)

        parts = ("phenotype", "expression", "local")
        self._basis = torch.cat([tensor(data[f"{p}_basis"]) for p in parts])
        self._joint_basis = torch.cat([tensor(data[f"{p}_joints"]) for p in parts])
        self._template = tensor(data["template"]).reshape(-1)
        self._template_joints = tensor(data["joints"]).reshape(-1)
        self._projection = tensor(data["phenotype_projection"])
        self._offset = tensor(data["phenotype_offset"])
        self._factors = tensor(data["phenotype_factors"]).long()
        self._weights = tensor(data["weights"])
        self._origin_offset = torch.tensor(ORIGIN_OFFSET, device=self.device)
        self.rest: np.ndarray = self.forward({}).vertices[0].cpu().numpy()
        eyes = [np.unique(self.faces[self.face_group == self.group_names.index(s)]) for s in ("left_eye", "right_eye")]
        if still_eyes:
            self._still_eyes(np.concatenate(eyes))
        #: ids (2,N) of the eyeballs' vertices, the left eye first
        self.eye_vertices = torch.as_tensor(np.stack(eyes), device=self.device).long()
        centre_weights = np.stack([_sphere_weights(self.rest[e].astype(np.float64)) for e in eyes])
        self._eye_weights = torch.as_tensor(centre_weights, dtype=torch.float32, device=self.device)

    def _still_eyes(self, vertices: np.ndarray) -> None:
        first = len(self._projection[0])
        rows = {name: self._basis[first + row] for row, name in enumerate(self.expression_names)}
        for side in ("Left", "Right"):
            for action, (lift, amount) in _LIDS.items():
                rows[action + side] += amount * rows[lift + side]
        for name in rows:
            if name.startswith("eyeLook"):
                rows[name].view(-1, 3)[vertices] = 0

    # -- parameters ---------------------------------------------------------------------------------------------

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each parameter, without the batch: see `forward`."""
        return {
            "phenotype": (len(self.phenotype_names),),
            "local": (len(self.local_names),),
            "expression": (len(self.expression_names),),
            "neck": (3,),
            "head": (3,),
            "gaze": (2, 2),
        }

    def neutral(self, batch: int = 1) -> dict[str, torch.Tensor]:
        """The canonical head's parameters, float32."""
        values = {name: torch.zeros(batch, *shape, device=self.device) for name, shape in self.parameter_shapes.items()}
        canonical = [_CANONICAL.get(name, 1 / 3) for name in self.phenotype_names]
        values["phenotype"] = torch.tensor(canonical, device=self.device).expand(batch, -1).contiguous()
        return values

    def sample_parameters(
        self,
        rng: np.random.Generator,
        config: AnnyDistribution | None = None,
        camera: Sequence[float] | np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """One plausible head, float32 arrays without a batch dimension; a pure function of the generator's state.

        camera: (3,) metres from the head to the camera, world axes, which eyes may look into.
        """
        return sample_parameters(rng, config or AnnyDistribution(), self.local_names, self.expression_names, camera)

    def forward(self, params: Mapping[str, torch.Tensor]) -> HeadMesh:
        """Pose a batch of heads. Differentiable; missing parameters are the canonical head's.

        params, float32, batch first:

        - `phenotype` (B,9) in [0,1] in the order of `phenotype_names`: gender 0 male, 1 female; age -1/3 newborn,
          0 baby, 1/3 child, 2/3 young adult, 1 old; the three ancestries are normalised;
        - `local` (B,L) in [-1,1] by `local_names`; `expression` (B,52) in [0,1], ARKit names;
        - `neck`, `head` (B,3): axis-angle in radians, the neck's turn spread evenly over three vertebrae;
        - `gaze` (B,2,2): yaw (towards the subject's left) and pitch (up) in radians, left eye first.

        Raises UserError when a parameter is unknown or has the wrong shape.
        """
        values = self._complete(params)
        local = values["local"]
        signed = torch.stack([local.clamp_min(0), (-local).clamp_min(0)], dim=-1).flatten(1)
        identity = self._phenotype_coefficients(values["phenotype"])
        coefficients = torch.cat([identity, values["expression"], signed], dim=1)
        joints = torch.addmm(self._template_joints, coefficients, self._joint_basis).unflatten(-1, (-1, 3))
        origin = joints[:, 5:7].mean(1, keepdim=True) + self._origin_offset
        joints = joints - origin
        vertices = torch.addmm(self._template, coefficients, self._basis).unflatten(-1, (-1, 3)) - origin
        transforms = bone_transforms(self._rotations(values), joints, build.BONE_PARENTS)
        posed = (transforms[..., :3] @ joints[..., None]).squeeze(-1) + transforms[..., 3]
        return HeadMesh(vertices=skin(vertices, self._weights, transforms), joints=posed)

    __call__ = forward

    def _complete(self, params: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        shapes = self.parameter_shapes
        unknown = sorted(set(params) - set(shapes))
        if unknown:
            raise UserError(f"heads/anny: unknown parameter '{unknown[0]}'", hint=f"Known: {', '.join(shapes)}.")
        batch = max((len(value) for value in params.values()), default=1)
        values = self.neutral(batch)
        for name, value in params.items():
            if tuple(value.shape) != (batch, *shapes[name]):
                raise UserError(
                    f"heads/anny: parameter '{name}' has shape {tuple(value.shape)}, not {(batch, *shapes[name])}"
                )
            values[name] = value.to(self.device, torch.float32)
        return values

    def _phenotype_coefficients(self, phenotype: torch.Tensor) -> torch.Tensor:
        """Weights of the compact phenotype basis (B,P): products of linear interpolation weights (MakeHuman's rule)."""
        groups = []
        for column, (name, names) in enumerate(build.VARIATIONS.items()):
            if name == "race":
                mixture = phenotype[:, column:].clamp_min(0)
                groups.append(mixture / mixture.sum(1, keepdim=True).clamp_min(1e-6))
                continue
            low = -1 / 3 if name == "age" else 0.0
            position = (phenotype[:, column].clamp(low, 1) - low) / (1 - low) * (len(names) - 1)
            anchors = torch.arange(len(names), device=self.device)
            groups.append((1 - (position[:, None] - anchors).abs()).clamp_min(0))
        groups.append(torch.ones_like(phenotype[:, :1]))
        products = torch.cat(groups, dim=1)[:, self._factors].prod(-1)
        return products @ self._projection + self._offset

    def _rotations(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        yaw, pitch = values["gaze"].unbind(-1)
        zero = torch.zeros_like(yaw)
        around_y = rodrigues(torch.stack([zero, yaw, zero], dim=-1))
        around_x = rodrigues(torch.stack([-pitch, zero, zero], dim=-1))
        eyes = around_y @ around_x
        neck = rodrigues(values["neck"] / len(_NECK_BONES))
        still = torch.eye(3, device=self.device).expand_as(neck)
        return torch.stack([still, neck, neck, neck, rodrigues(values["head"]), eyes[:, 0], eyes[:, 1]], dim=1)

    def displacement(self, name: str) -> np.ndarray:
        """How far (V,3), in metres, the local change or facial action `name` at +1 moves each vertex at rest."""
        if name in self.expression_names:
            row = len(self._projection[0]) + self.expression_names.index(name)
        else:
            row = len(self._basis) - 2 * (len(self.local_names) - self.local_names.index(name))
        return self._basis[row].reshape(-1, 3).cpu().numpy()

    # -- what is on the surface ---------------------------------------------------------------------------------

    def eyeballs(self, vertices: torch.Tensor) -> Eyeballs:
        """Eyeball centres and radii of meshes (B,V,3): MakeHuman's eyeballs are spheres without a cornea's bulge.

        At rest the optical axis is +z through the centre, so the iris sits around rest points with the largest z.
        """
        points = vertices[:, self.eye_vertices]
        centre = (points * self._eye_weights[..., None]).sum(2)
        return Eyeballs(centre, (points - centre[:, :, None]).norm(dim=-1).mean(-1))

    def eye_fronts(self, vertices: torch.Tensor) -> EyeFronts:
        """How the front of each eyeball lies in meshes (B,V,3), where the iris is painted: its best similarity to rest.

        Gaze turns the eyeballs, and so do the actions `eyeLook*`, which also press them a little out of shape. Source:
        Umeyama 1991, "Least-squares estimation of transformation parameters between two point patterns".
        """
        rest = torch.as_tensor(self.rest, device=self.device)[None]
        still = self.eyeballs(rest)
        offset = (rest[:, self.eye_vertices] - still.centre[:, :, None]).double()[0]
        firm = (offset[..., 2:] / offset.norm(dim=-1, keepdim=True)).clamp_min(0) ** 4
        firm = firm / firm.sum(1, keepdim=True)
        points = vertices[:, self.eye_vertices].double()
        middle, old = (firm * points).sum(2, keepdim=True), (firm * offset).sum(1, keepdim=True)
        u, size, vt = torch.linalg.svd(torch.einsum("bevi,evj->beij", firm * (points - middle), offset - old))
        sign = torch.ones_like(size)
        sign[..., 2] = torch.det(u @ vt)
        rotation = u @ (sign[..., None] * vt)
        scale = (sign * size).sum(-1) / (firm * (offset - old) ** 2).sum((1, 2))
        centre = middle[:, :, 0] - scale[..., None] * torch.einsum("beij,ej->bei", rotation, old[:, 0])
        return EyeFronts(centre, rotation[..., 2], scale * still.radius)

    @cached_property
    def embedding(self) -> Embedding:
        """The 68 iBUG points, jaw curves and brow bands as surface points."""
        return load_embedding(self.source)

    @cached_property
    def regions(self) -> RegionTable:
        """The class of every surface point, as a table the GPU can read too."""
        return build_regions(self)

    @cached_property
    def point_sets(self) -> dict[str, PointSet]:
        """Points of further schemas, by name."""
        return load_point_sets(self.source)

    def landmarks(
        self, vertices: torch.Tensor, camera_position: torch.Tensor | None = None, contour: Contour = "static"
    ) -> torch.Tensor:
        """The 68 points (B,68,3) on meshes (B,V,3), world metres; see `HeadModel.landmarks`."""
        points = shut_lips(shut_lids(surface_points(vertices, self.embedding.vertices, self.embedding.barycentric)))
        if contour == "static":
            return points
        if contour != "visible":
            raise ValueError(f"contour is 'static' or 'visible', not {contour!r}")
        if camera_position is None:
            raise ValueError("contour='visible' needs camera_position (B,3)")
        return visible_contour(points, vertices, camera_position, self.embedding)

    def points(
        self,
        schema: str,
        vertices: torch.Tensor,
        camera_position: torch.Tensor | None = None,
        contour: Contour = "static",
    ) -> torch.Tensor:
        """Points (B,N,3) of any schema of the head; see `HeadModel.points`."""
        if schema not in self.point_sets:
            return super().points(schema, vertices, camera_position, contour)
        ibug = self.landmarks(vertices, camera_position, contour)
        return self.point_sets[schema].on(ibug, vertices, self.eye_fronts(vertices))

    def regions_at(self, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
        """Class ids (N,) uint8 in the schema `synthforge`; see `HeadModel.regions_at`."""
        return self.regions.at(face_id, barycentric)


def _sphere_weights(points: np.ndarray) -> np.ndarray:
    """Weights (N,) summing to one that give the centre of the sphere through points (N,3), however these are moved.

    The centre is the algebraic least-squares fit; the weights are the smallest that reproduce it.
    """
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    centre = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0][:3]
    affine = np.concatenate([points, np.ones((len(points), 1))], axis=1).T
    return np.linalg.lstsq(affine, np.append(centre, 1.0), rcond=None)[0]
