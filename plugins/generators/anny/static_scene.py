"""Everything about a scene that never changes: the mesh of head, hair, beard, glasses, accessories, and its attributes.

Built once per process from the head model; arrays are handed to kernels as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import cached_property
from typing import Any

import numpy as np
import torch
import warp as wp

from synthforge.geometry.meshes import Incidence, vertex_normals
from synthforge.geometry.visibility import ambient_occlusion
from synthforge.geometry.warp_runtime import as_warp, start

from ...heads.anny.anatomy import study
from ...heads.anny.head import AnnyHead
from ...schemas import SYNTHFORGE
from .factors.table import Stain
from .mesh import materials
from .mesh.anatomy import build_vertex_attributes, canonical_millimetres
from .mesh.beard import build_beard_mesh
from .mesh.follicles import build_follicles
from .mesh.glasses import FRAME_FACES, GLASSES_VERTICES, LENS_FACES
from .mesh.hair import COLUMNS, ROWS, build_hair_mesh
from .mesh.lashes import lash_coordinates
from .mesh.worn.wardrobe import Wardrobe
from .shading.arrays import MARKS, MIXED_REGION, Head, Marks, Stains
from .shading.tiles import build_tiles
from .shading.wrinkles import build_wrinkles

_MATERIAL = {
    "body": materials.BODY,
    "left_eye": materials.LEFT_EYE,
    "right_eye": materials.RIGHT_EYE,
    "upper_teeth": materials.TEETH,
    "lower_teeth": materials.TEETH,
    "tongue": materials.TONGUE,
    "left_lower_lashes": materials.LASHES,
    "left_upper_lashes": materials.LASHES,
    "right_lower_lashes": materials.LASHES,
    "right_upper_lashes": materials.LASHES,
}
SHADOW_FLOOR = -190.0  # mm below the eyes: what lies lower neither casts shadows nor receives them
LIDS = 7.5  # edge loops from an eye's margin within which skin is a lid's
_MARGIN = 3.0  # half-thicknesses from a brow's middle within which a face is looked at for hairs


class StaticScene:
    """The static scene.

    Vertices: the head's, then hair, beard, glasses, accessories; faces likewise, so that the head's come first.
    `layers`: the ranges of faces of what is opaque, of what may be thin, and of the inner side of hair.
    """

    def __init__(self, head: AnnyHead, device: torch.device, stains: Sequence[tuple[str, str, Stain]] = ()) -> None:
        """stains: group and name of the parameter, and where on the skin it goes and in which colour."""
        start()
        self.stain_names = [(group, name) for group, name, _ in stains]
        self.head, self.device = head, device
        centre = head.eyeballs(torch.as_tensor(head.rest, device=head.device)[None]).centre[0].cpu().numpy()
        self.mm = canonical_millimetres(head.rest, centre)
        self.eye_centres = canonical_millimetres(centre, centre)
        body = head.faces[head.face_group == head.group_names.index("body")]
        self.hair = build_hair_mesh(self.mm, body)
        self.anatomy = build_vertex_attributes(self.mm, np.asarray(head.ear, np.float64))
        self.beard = build_beard_mesh(self.anatomy, body, head.regions.table[head.face_group == 0])
        self.wardrobe = Wardrobe(self.mm, body, np.asarray(head.ear) > 0.5, head.hand)

        parts: list[tuple[np.ndarray, int, int]] = [
            (self.hair.faces, 0, materials.HAIR),
            (self.hair.faces[:, ::-1], (COLUMNS + 1) * ROWS, materials.HAIR),
            (self.beard.faces, len(self.beard.source), materials.BEARD),
            (LENS_FACES, 0, materials.LENS),
            (FRAME_FACES, GLASSES_VERTICES, materials.FRAME),
            # those of a right hand, the mirror image of the left one
            (self.wardrobe.hand_faces[:, ::-1], 0, materials.WORN),
            (self.wardrobe.faces, self.wardrobe.num_vertices, materials.WORN),
        ]
        material = [np.array([_MATERIAL.get(name, materials.UNUSED) for name in head.group_names])[head.face_group]]
        faces, first = [head.faces], head.num_vertices
        self.hair_first = first
        self.starts: list[int] = []
        for part, count, kind in parts:
            faces.append(part + first)
            material.append(np.full(len(part), kind))
            self.starts.append(first)
            first += count
        self.num_vertices = first
        # lashes are seen from above and from below
        lashes = head.faces[material[0] == materials.LASHES]
        faces.append(lashes[:, ::-1])
        material.append(np.full(len(lashes), materials.LASHES))
        self.faces = np.concatenate(faces).astype(np.int32)
        self.material = np.concatenate(material).astype(np.uint8)
        self.hair_last = self.beard_first = self.starts[2]
        self.glasses_first, self.worn_first = self.starts[3], self.starts[5]
        self.first_skirt = self.worn_first + self.wardrobe.first_skirt
        number = np.cumsum([len(part) for part in faces])
        #: faces whose normals count: not those that use their vertices the other way round, insides and right hands
        self.outer = np.r_[0 : number[1], number[2] : number[5], number[6] : number[-2]]
        drawn = self.material.copy()
        drawn[number[1] : number[2]] = materials.UNUSED
        solid, thin = (_runs(drawn, kinds) for kinds in (materials.SOLID, materials.THIN))
        self.layers = (solid, thin, [(int(number[1]), int(number[2]))])
        self._shadows()
        self._arrays()
        where = [np.broadcast_to(stain.where(self.anatomy), head.num_vertices) for _, _, stain in stains]
        self.stain_where = self.tensor(np.asarray(where, np.float32).reshape(-1, head.num_vertices))
        spots = [astuple(stain.speckle) if stain.speckle else (0, 0, 0, 0) for *_, stain in stains]
        self.stain_speckles = self.tensor(np.asarray(spots, np.float32).reshape(-1, 4))
        self.stain_colours = self.tensor(np.asarray([stain.colour for *_, stain in stains], np.float32).reshape(-1, 3))

    def stains(self, parameters: Sequence[Mapping[str, Any]]) -> Any:
        """What factors add to the skins of a batch, as the struct kernels read."""
        amounts = [[p[group][name] for group, name in self.stain_names] for p in parameters]
        value = Stains()
        value.count = len(self.stain_names)
        if value.count:
            value.where, value.colour = as_warp(self.stain_where), as_warp(self.stain_colours, wp.vec3)
            value.speckle = as_warp(self.stain_speckles, wp.vec4)
            value.amount = as_warp(self.tensor(np.asarray(amounts, np.float32)))
        return value

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """The array on the static's device."""
        return torch.as_tensor(np.ascontiguousarray(array), device=self.device)

    def _shadows(self) -> None:
        """The part of the mesh that casts and receives shadows, and how open to the sky the bare head is."""
        low = np.concatenate([self.mm[:, 1] < SHADOW_FLOOR, np.zeros(self.num_vertices - len(self.mm), bool)])
        low[self.first_skirt :] = True
        casts = np.isin(self.material, (materials.BODY, materials.HAIR, materials.WORN)) & ~low[self.faces].any(1)
        casts[slice(*self.layers[2][0])] = False
        receives = np.isin(self.material, (*materials.SOLID[:5], materials.HAIR, materials.WORN)) & ~low[
            self.faces
        ].any(1)
        used = np.unique(self.faces[casts | receives])
        index = np.full(self.num_vertices, -1, np.int32)
        index[used] = np.arange(len(used))
        self.shadow_vertices = self.tensor(used.astype(np.int32))
        self.shadow_faces = self.tensor(index[self.faces[casts]])
        # beards cast no shadow, and lie in that of the skin they grow on
        index[self.beard_first : self.glasses_first] = index[self.beard.source]
        self.lit_index = self.tensor(index)
        bare = self.tensor(self.faces[(self.material == materials.BODY)])
        rest = torch.as_tensor(self.head.rest, device=self.device)[None]
        bare_sky = ambient_occlusion(rest, bare, n_directions=64, resolution=192)[0]
        kind = np.full(self.num_vertices, materials.UNUSED, np.uint8)
        kind[self.faces.ravel()] = np.repeat(self.material, 3)
        kind[self.beard_first : self.glasses_first] = materials.HAIR  # lit as hair is
        self.vertex_material = self.tensor(kind)
        # eyes, teeth and tongue have rules of their own for what reaches them; hair shades itself a little
        sky = np.where(kind == materials.HAIR, 0.75, 0.9).astype(np.float32)
        body = np.flatnonzero(kind[: len(self.mm)] == materials.BODY)
        sky[body] = bare_sky.cpu().numpy()[body]
        sky[self.first_skirt :] = sky[self.wardrobe.skirt.source]
        self.open_sky = self.tensor(sky)

    def _arrays(self) -> None:
        a, count = self.anatomy, self.head.num_vertices
        self.incidence = Incidence(self.tensor(self.faces[self.outer]), self.num_vertices)
        self.faces_tensor = self.tensor(self.faces)
        lips = self.vertex_share(("upper_lip", "lower_lip"))
        self.marks = Marks()
        for name in MARKS:
            values = lips if name == "lips" else getattr(a, name)
            setattr(self.marks, name, as_warp(self.tensor(np.asarray(values, np.float32))))
        body = self.head.faces[self.head.face_group == self.head.group_names.index("body")]
        normals = vertex_normals(torch.from_numpy(self.mm), torch.from_numpy(body)).numpy()
        self.wrinkles = self.tensor(build_wrinkles(self.mm, normals, a.skin_uv))
        self.skin_uv = self.tensor(a.skin_uv)
        self.oily = self.tensor(np.concatenate([a.oily, np.zeros(self.num_vertices - count)]).astype(np.float32))
        self.mm_tensor = self.tensor(np.concatenate([self.mm, np.zeros((self.num_vertices - count, 3))]).astype("f4"))
        self.tiles = self.tensor(build_tiles())
        table = self.head.regions.table
        flat = table.reshape(len(table), -1)
        alike = (flat == flat[:, :1]).all(1)
        self.region = self.tensor(np.where(alike, flat[:, 0], MIXED_REGION).astype(np.uint8))
        self.regions = self.tensor(table)
        st, near = self._brows()
        self.brow, self.brow_face = self.tensor(st), self.tensor(near)
        self.axis = self.tensor(self._eye_axes())
        self.hair_arrays = [self.tensor(x) for x in (self.hair.corners, self.hair.weights, self.hair.along)]
        beard = self.beard
        self.beard_arrays = [self.tensor(x) for x in (beard.source, beard.strand, beard.hang, beard.frame)]
        self.hair_azimuth = self.tensor(self.hair.azimuth)
        # canonical height of the hair's bound points, which says whether a hat covers them
        bound = (self.mm[self.hair.corners][..., 1] * self.hair.weights).sum(-1)
        self.hair_height = self.tensor(bound.astype(np.float32))

    def vertex_share(self, names: tuple[str, ...]) -> np.ndarray:
        """Share (V,) of the area around each vertex of the head that lies in the named regions."""
        wanted = [SYNTHFORGE.id(name) for name in names]
        faces = self.head.faces
        inside = np.zeros(self.head.num_vertices)
        total = np.zeros(self.head.num_vertices)
        for corner in range(3):
            for weight in (0.92, 0.75):
                bary = np.full((len(faces), 3), (1 - weight) / 2, np.float32)
                bary[:, corner] = weight
                hit = np.isin(self.head.regions_at(np.arange(len(faces)), bary), wanted)
                np.add.at(inside, faces[:, corner], hit)
                np.add.at(total, faces[:, corner], 1)
        return inside / np.maximum(total, 1)

    def _brows(self) -> tuple[np.ndarray, np.ndarray]:
        """Per vertex (V,2): place along the nearer brow, 0 inner to 1 outer end, and across it in half-thicknesses.

        Also (F,) uint8: which faces lie near a brow.
        """
        band = self.head.embedding
        corners, weights = band.brow_vertices, band.brow_barycentric
        edges = (self.mm[corners] * weights[..., None]).sum(-2)  # (side, lower and upper, N, 3)
        st = np.full((self.head.num_vertices, 2), 9.0)
        for side, sign in ((0, 1.0), (1, -1.0)):
            lower, upper = edges[side]
            line = (lower + upper) / 2
            half = np.maximum(np.linalg.norm(upper - lower, axis=1) / 2, 1.2)
            length = np.concatenate([[0], np.linalg.norm(np.diff(line, axis=0), axis=1).cumsum()])
            chosen = (self.mm[:, 0] * sign > 0) & (self.mm[:, 2] > -35)
            st[chosen] = _along_line(self.mm[chosen], line, half, length)
        near = (np.abs(st[:, 1]) < _MARGIN) & (st[:, 0] > -0.25) & (st[:, 0] < 1.25)
        faces = self.head.faces
        body = self.head.face_group == self.head.group_names.index("body")
        sides = np.sign(self.mm[faces][:, :, 0]).sum(1)
        flagged = near[faces].any(1) & body & (np.abs(sides) == 3)
        return st.astype(np.float32), flagged.astype(np.uint8)

    def _eye_axes(self) -> np.ndarray:
        """Per vertex (V,3): direction from the centre of its own eyeball at rest; of lashes: mm along the lid from the
        inner corner, share of the hair's length, 1 on the upper lid; of lids: edge loops outwards from the margin, 1
        on the upper lid to 0 on the lower one, 1; zero elsewhere."""
        axis = np.zeros((self.head.num_vertices, 3), np.float32)
        for out in study(self.head).lid:
            near = np.flatnonzero((out > -LIDS) & (out < LIDS))
            rim = near[np.abs(out[near]) < 0.5]
            height = np.interp(self.mm[near, 0], *_chord(self.mm[rim]))
            upper = np.clip(0.5 + (self.mm[near, 1] - height) / 2.0, 0, 1)
            axis[near] = np.stack([out[near], upper, np.ones(len(near))], axis=1)
        for number, name in enumerate(("left_eye", "right_eye")):
            used = np.unique(self.head.faces[self.head.face_group == self.head.group_names.index(name)])
            offset = self.mm[used] - self.eye_centres[number]
            axis[used] = offset / np.linalg.norm(offset, axis=1, keepdims=True)
            for upper, lid in enumerate(("lower", "upper")):
                group = self.head.group_names.index(name.replace("eye", f"{lid}_lashes"))
                strip = self.head.faces[self.head.face_group == group]
                lashes, place = lash_coordinates(self.mm, strip, self.eye_centres[number])
                axis[lashes] = np.concatenate([place, np.full((len(place), 1), upper)], axis=1)
        return axis

    @cached_property
    def follicles(self) -> list[torch.Tensor]:
        """Where short hairs stand, see `mesh.follicles`: face, weights, kind."""
        body = self.head.face_group == self.head.group_names.index("body")
        found = build_follicles(self.mm, self.head.faces, body, self.brow_face.cpu().numpy(), self.anatomy)
        return [self.tensor(each) for each in (found.face, found.weights, found.kind)]

    @cached_property
    def for_kernels(self) -> Any:
        """The static arrays as the struct kernels read."""
        value = Head()
        value.faces = as_warp(self.faces_tensor, wp.vec3i)
        value.material = as_warp(self.tensor(self.material))
        value.region, value.regions = as_warp(self.region), as_warp(self.regions)
        value.brow = as_warp(self.brow, wp.vec2)
        value.brow_face = as_warp(self.brow_face)
        value.mm = as_warp(self.mm_tensor, wp.vec3)
        value.axis = as_warp(self.axis, wp.vec3)
        value.tiles = as_warp(self.tiles, wp.vec4)
        value.wrinkles = as_warp(self.wrinkles, wp.vec4)
        value.uv = as_warp(self.skin_uv, wp.vec2)
        value.hair_first = self.hair_first
        return value


def _chord(rim: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y (2,) of the corners of an eye, from its rim (N,3)."""
    ends = rim[[rim[:, 0].argmin(), rim[:, 0].argmax()]]
    return ends[:, 0], ends[:, 1]


def _runs(material: np.ndarray, kinds: tuple[int, ...]) -> list[tuple[int, int]]:
    """Ranges (first, last + 1) of consecutive faces of these materials."""
    inside = np.concatenate([[False], np.isin(material, kinds), [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _along_line(points: np.ndarray, line: np.ndarray, half: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Coordinates (N,2) of points about a polyline seen from the front: share of its length, distance over `half`.

    Distances across are positive above the line. The ends are carried on straight.
    """
    flat, p = line[:, :2], points[:, :2]
    best = np.full(len(points), np.inf)
    result = np.full((len(points), 2), 9.0)
    for k in range(len(line) - 1):
        step = flat[k + 1] - flat[k]
        size = np.linalg.norm(step)
        t = (p - flat[k]) @ step / size**2
        low = -np.inf if k == 0 else 0.0
        high = np.inf if k == len(line) - 2 else 1.0
        t = np.clip(t, low, high)
        offset = p - (flat[k] + t[:, None] * step)
        distance = np.linalg.norm(offset, axis=1)
        up = np.array([-step[1], step[0]]) / size
        up = up if up[1] > 0 else -up
        inner = np.clip(t, 0, 1)
        width = half[k] * (1 - inner) + half[k + 1] * inner
        depth = np.abs(points[:, 2] - (line[k, 2] * (1 - inner) + line[k + 1, 2] * inner))
        closer = (distance < best) & (depth < 25)
        best[closer] = distance[closer]
        along = (length[k] + t * size) / length[-1]
        result[closer] = np.stack([along, np.sign(offset @ up) * distance / width], axis=1)[closer]
    return result
