"""The arrays that kernels share: the static scene, its posed state, and the picture.

No `from __future__ import annotations` here: warp reads the annotations of structs.
"""

# mypy: ignore-errors
# Structs are written in warp's language, whose types mypy cannot follow.

import warp as wp

from synthforge.geometry.warp_runtime import as_warp

MIXED_REGION = 255  # instead of a class, for faces that lie in several regions


@wp.struct
class Head:
    """Static arrays of the scene's mesh and of its head."""

    faces: wp.array(dtype=wp.vec3i)
    material: wp.array(dtype=wp.uint8)
    region: wp.array(dtype=wp.uint8)  # of faces that lie in one region altogether, else MIXED
    regions: wp.array3d(dtype=wp.uint8)
    brow: wp.array(dtype=wp.vec2)
    brow_face: wp.array(dtype=wp.uint8)
    mm: wp.array(dtype=wp.vec3)
    uv: wp.array(dtype=wp.vec2)
    axis: wp.array(dtype=wp.vec3)  # of eyes and lashes, see `StaticScene`
    tiles: wp.array(dtype=wp.vec4)
    wrinkles: wp.array(dtype=wp.vec4)
    hair_first: int


@wp.struct
class Marks:
    """Static numbers of vertices (V,), see `mesh.anatomy.VertexAttributes`; lips: share of the area around one."""

    azimuth: wp.array(dtype=wp.float32)
    inside: wp.array(dtype=wp.float32)
    moustache: wp.array(dtype=wp.float32)
    chin: wp.array(dtype=wp.float32)
    jaw: wp.array(dtype=wp.float32)
    jaw_height: wp.array(dtype=wp.float32)
    blush: wp.array(dtype=wp.float32)
    socket: wp.array(dtype=wp.float32)
    oily: wp.array(dtype=wp.float32)
    lips: wp.array(dtype=wp.float32)
    collar: wp.array(dtype=wp.float32)
    shadow: wp.array(dtype=wp.float32)
    bag: wp.array(dtype=wp.float32)


MARKS = tuple(Marks.vars)


@wp.struct
class Stains:
    """Pigments that factors add to the skin, see `factors.table.Stain`. where (stains, V), colour (stains,), amount
    (B, stains), speckle (stains,): channel, low, high, scale; scale 0 for none."""

    count: int
    where: wp.array2d(dtype=wp.float32)
    colour: wp.array(dtype=wp.vec3)
    speckle: wp.array(dtype=wp.vec4)
    amount: wp.array2d(dtype=wp.float32)


@wp.struct
class Posed:
    """Per-image arrays of the scene's mesh, see `dress_kernels` and `Renderer`; flat, since an index of one dimension
    costs a third of one of three. count, head_count, hair_count, worn_count: vertices an image; worn_first: the first
    of what is worn; worn_colour, worn_cloth: see `mesh.worn.wardrobe.Wardrobe.dress`; albedo, marks: see
    `paint_kernel`; eye_*: two an image, see `Renderer`."""

    count: int
    head_count: int
    hair_count: int
    worn_count: int
    worn_first: int
    worn_colour: wp.array(dtype=wp.vec4)
    worn_cloth: wp.array(dtype=wp.vec4)
    glow: wp.array(dtype=wp.vec4)
    albedo: wp.array(dtype=wp.vec4)
    marks: wp.array(dtype=wp.vec4)
    vertices: wp.array(dtype=wp.vec3)
    normals: wp.array(dtype=wp.vec3)
    strand: wp.array(dtype=wp.vec4)
    eye_middle: wp.array(dtype=wp.vec3)
    eye_across: wp.array(dtype=wp.vec3)
    eye_up: wp.array(dtype=wp.vec3)
    eye_rims: wp.array(dtype=wp.vec3)
    screen: wp.array(dtype=wp.vec3)
    backdrop: wp.array(dtype=wp.vec3)
    stains: Stains


POSED = tuple(Posed.vars)


@wp.struct
class Picture:
    """What the kernel writes: see `core.records.Surface` and `Rendering`; light: linear and exposed, to be made bytes
    by `film`. mattes, where `matted` is 1: opacity of hair, facial hair, glasses, and all."""

    light: wp.array(dtype=wp.vec3)
    label: wp.array(dtype=wp.uint8)
    face_id: wp.array(dtype=wp.int32)
    barycentric: wp.array(dtype=wp.vec3)
    z: wp.array(dtype=wp.float32)
    matted: int
    mattes: wp.array(dtype=wp.vec4)


def flat(tensor, dtype=None):
    """A tensor as a warp array of one dimension; the last dimension is that of `dtype` if it is a vector."""
    return as_warp(tensor.view(-1) if dtype is None else tensor.view(-1, tensor.shape[-1]), dtype)
