"""The mesh of a rendering as a file for other tools: GLB (by trimesh) or OBJ."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from ..core.errors import DataError
from ..core.files import write_bytes
from ..core.images import from_srgb, to_srgb
from ..core.records import Rendering, Surface
from .raster import get_rasteriser

_TEXELS = 1024  # a side of the texture map
_LEAST = 1e-12  # m2: smaller triangles belong to what is not there


@dataclass(frozen=True)
class _Part:
    """A mesh with a texture map, or with linear colours (V,3) of its vertices."""

    name: str
    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    uv: np.ndarray | None = None
    texture: Image.Image | None = None
    colours: np.ndarray | None = None


def write_mesh(rendering: Rendering, out: Path) -> None:
    """Write what a rendering shows as .glb or .obj, in world metres: the head with a texture map, the rest coloured.

    Colours are albedo where the generator knows it (`core.records.Layers`), else what the camera sees, and grey where
    it sees nothing. An OBJ has its textures and materials beside it. Of a crowd, all people are written. Raises
    DataError for a rendering without a mesh.
    """
    if rendering.surface is None:
        raise DataError(f"{out}: this generator has no mesh", hint="Volumes, as those of EG3D, have none.")
    people = rendering.people or (rendering,)
    parts = [
        part for number, person in enumerate(people, 1) for part in _parts(person, f"_{number}" if number > 1 else "")
    ]
    if out.suffix.lower() == ".obj":
        _write_obj(parts, out)
    else:
        _write_glb(parts, out)


def _parts(rendering: Rendering, number: str) -> Iterator[_Part]:
    head, surface, first = rendering.head, rendering.surface, 0
    assert surface is not None  # `write_mesh` asked
    if head is not None and head.uv is not None and head.uv_faces is not None:
        first = surface.head_faces
        both = np.stack([surface.faces[:first].ravel(), head.uv_faces.ravel()], 1)
        (vertices, places), corners = (found := np.unique(both, axis=0, return_inverse=True))[0].T, found[1]
        shown = corners.reshape(-1, 3)[_present(rendering, surface, np.arange(first))]
        texture = _texture(rendering, surface, head.uv, head.uv_faces)
        yield _Part(
            f"head{number}", surface.vertices[vertices], surface.normals[vertices], shown, head.uv[places], texture
        )
    rest = _present(rendering, surface, np.arange(first, len(surface.faces)))
    used, start, corners = np.unique(surface.faces[rest], return_index=True, return_inverse=True)
    if len(used):
        corner = np.eye(3, dtype=np.float32)[start % 3]
        colours = _colours(rendering, surface, rest[start // 3], corner)[:, :3]
        yield _Part(
            f"rest{number}", surface.vertices[used], surface.normals[used], corners.reshape(-1, 3), colours=colours
        )


def _present(rendering: Rendering, surface: Surface, numbers: np.ndarray) -> np.ndarray:
    """Those of some triangles that have an area and cover at least half of what is behind them."""
    a, b, c = (surface.vertices[surface.faces[numbers, k]] for k in range(3))
    numbers = numbers[np.linalg.norm(np.cross(b - a, c - a), axis=1) > 2 * _LEAST]
    middle = np.full((len(numbers), 3), 1 / 3, np.float32)
    return np.asarray(numbers[_colours(rendering, surface, numbers, middle)[:, 3] >= 0.5])


def _texture(rendering: Rendering, surface: Surface, uv: np.ndarray, uv_faces: np.ndarray) -> Image.Image:
    flat = np.column_stack([uv[:, 0], 1 - uv[:, 1], np.full(len(uv), 1 / _TEXELS)]) * _TEXELS
    found = get_rasteriser().rasterise(
        torch.from_numpy(flat.astype(np.float32))[None],
        torch.from_numpy(np.array(uv_faces, np.int32)),
        torch.eye(3),
        *(_TEXELS, _TEXELS),
        cull=False,
        projection="orthographic",
    )
    inside = found.mask[0].numpy()
    linear = np.zeros((_TEXELS, _TEXELS, 3), np.float32)
    faces, weights = found.face_id[0].numpy()[inside], found.barycentric[0].numpy()[inside]
    linear[inside] = _colours(rendering, surface, faces, weights)[:, :3]
    # so that seams do not show: texels outside take the colour of the nearest one inside
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return Image.fromarray(to_srgb(linear[tuple(nearest)]))


def _colours(rendering: Rendering, surface: Surface, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Linear colour and opacity (N,4) at barycentrics (N,3) of triangles (N,)."""
    if rendering.layers is not None:
        return rendering.layers().paint(faces.astype(np.int32), weights)
    pixels, z = rendering.camera.project((surface.vertices[surface.faces[faces]] * weights[..., None]).sum(1))
    column, row = np.clip(np.nan_to_num(pixels), 0, np.array(surface.z.T.shape) - 1).astype(int).T
    seen = np.abs(surface.z[row, column] - z) < 0.01
    colour = np.where(seen[:, None], rendering.image[row, column] / 255, 0.5)
    return np.column_stack([from_srgb(colour), np.ones(len(faces))])


def _write_glb(parts: list[_Part], out: Path) -> None:
    import trimesh
    from trimesh.visual import ColorVisuals, TextureVisuals
    from trimesh.visual.material import PBRMaterial

    scene = trimesh.Scene()
    for part in parts:
        if part.colours is None:
            material = PBRMaterial(baseColorTexture=part.texture, metallicFactor=0.0, roughnessFactor=0.8)
            visual: Any = TextureVisuals(uv=part.uv, material=material)
        else:
            visual = ColorVisuals(vertex_colors=np.rint(255 * part.colours).astype(np.uint8))  # glTF's are linear
        mesh = trimesh.Trimesh(part.vertices, part.faces, vertex_normals=part.normals, visual=visual, process=False)
        scene.add_geometry(mesh, node_name=part.name, geom_name=part.name)
    write_bytes(out, scene.export(file_type="glb"))


def _write_obj(parts: list[_Part], out: Path) -> None:
    lines, materials, first, place = [f"mtllib {out.stem}.mtl"], [], 1, 1
    for part in parts:
        lines.append(f"o {part.name}")
        if part.texture is not None and part.uv is not None:
            picture, file = io.BytesIO(), out.with_name(f"{out.stem}_{part.name}.png")
            part.texture.save(picture, "PNG")
            write_bytes(file, picture.getvalue())
            materials += [f"newmtl {part.name}", "Kd 1 1 1", f"map_Kd {file.name}"]
            lines += [*_rows("v", part.vertices), *_rows("vt", part.uv), f"usemtl {part.name}"]
            corners = np.stack([part.faces + first, part.faces + place], -1)
            place += len(part.uv)
        else:
            colours = to_srgb(np.asarray(part.colours)) / 255
            lines += [*_rows("v", np.column_stack([part.vertices, colours])), "usemtl"]
            corners = part.faces[..., None] + first
        lines += ["f " + " ".join("/".join(map(str, corner)) for corner in face) for face in corners.tolist()]
        first += len(part.vertices)
    write_bytes(out.with_suffix(".mtl"), "\n".join([*materials, ""]).encode())
    write_bytes(out, "\n".join([*lines, ""]).encode())


def _rows(word: str, values: np.ndarray) -> list[str]:
    return [f"{word} " + " ".join(f"{value:.6f}" for value in row) for row in values.tolist()]
