"""Kernels and functions of beards: how dense they are on the skin, and where their hair stands off it.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..mesh.worn.slots import ABSENT as _ABSENT
from .arrays import Marks
from .look import Look
from .tiles import CLOUD_START, square_at, step_between

wp.set_module_options({"enable_backward": False})

ABSENT = wp.constant(wp.uint8(_ABSENT))
LIFTED = wp.constant(0.7)  # density from which hair stands off the skin altogether


@wp.func
def beard_density(
    looks: wp.array(dtype=Look),
    tiles: wp.array(dtype=wp.vec4),
    marks: Marks,
    uv: wp.vec2,
    b: int,
    i: int,
) -> float:
    """Density of facial hair at vertex i of the head; its outline wanders a little. uv: the vertex in texels of
    the skin."""
    wander = square_at(tiles, CLOUD_START, uv[0] * 0.35 + looks[b].hair_u, uv[1] * 0.35 + looks[b].hair_v)
    cheek = step_between(-3.0, 9.0, marks.jaw_height[i] + looks[b].beard_reach + 5.0 * wander[1])
    sides = looks[b].jaw * cheek * marks.jaw[i]
    return wp.max(wp.max(sides, looks[b].chin * marks.chin[i]), looks[b].moustache * marks.moustache[i]) * (
        1.0 - marks.lips[i]
    )


@wp.kernel
def beard_kernel(
    looks: wp.array(dtype=Look),
    tiles: wp.array(dtype=wp.vec4),
    marks: Marks,
    skin_uv: wp.array(dtype=wp.vec2),
    source: wp.array(dtype=wp.int32),
    across: wp.array(dtype=wp.vec2),
    hangs: wp.array(dtype=wp.float32),
    frame: wp.array(dtype=wp.int32),
    first: wp.int32,
    strand_first: wp.int32,
    count: wp.int32,
    span: wp.int32,
    vertices: wp.array2d(dtype=wp.vec3),
    strand: wp.array2d(dtype=wp.vec4),
    dead: wp.array2d(dtype=wp.uint8),
):
    """Place the beard's vertices, metres, from `first` on in `vertices`.

    strand (B,hair and beard,4) from strand_first on: texels across, mm along the hair, mm that it stands off, density.
    Hair stands off the jaw's middle; what is longer than it can carry falls, half as the head is held, half towards -y.
    """
    b, chunk = wp.tid()
    length = looks[b].beard_length
    middle = (vertices[b, frame[0]] + vertices[b, frame[1]]) * 0.5
    down = wp.normalize(vertices[b, frame[3]] - vertices[b, frame[2]])
    fall = wp.normalize(down + wp.vec3(0.0, -1.0, 0.0))
    side = wp.normalize(vertices[b, frame[0]] - vertices[b, frame[1]])
    stiff = wp.min(length, 3.0 + 0.16 * length)
    for n in range(chunk * span, wp.min((chunk + 1) * span, count)):
        point = vertices[b, source[n]]
        uv = across[n]
        density = 0.0
        if length > 0.0:
            density = beard_density(looks, tiles, marks, skin_uv[source[n]], b, source[n])
        if density <= 0.02:
            vertices[b, first + n] = point - (point - middle) * 0.1
            dead[b, first + n] = wp.where(length <= 0.0, ABSENT, wp.uint8(1))
        else:
            share = step_between(0.0, LIFTED, density)
            tufts = square_at(tiles, CLOUD_START, uv[0] * 0.3 + looks[b].hair_u, uv[1] * 0.25 + looks[b].hair_v)
            lumps = 1.0 + 0.35 * tufts[1]
            # a moustache is kept short, and cheeks carry less than the chin
            lift = (wp.min(stiff, 4.0) + wp.max(stiff - 4.0, 0.0) * hangs[n]) * share * lumps
            drop = wp.max(length - 6.0, 0.0) * hangs[n] * hangs[n] * share * (1.0 + 0.25 * tufts[0])
            out = wp.normalize(point - middle)
            # long hair gathers below the chin
            gather = side * (wp.dot(point - middle, side) * -0.35 * (1.0 - wp.exp(-drop / 40.0)))
            lean = wp.normalize(out + fall * 0.35)
            vertices[b, first + n] = point + lean * (lift * 0.001) + fall * (drop * 0.001) + gather
            dead[b, first + n] = wp.uint8(0)
            strand[b, strand_first + n] = wp.vec4(uv[0], uv[1] + drop, lift + drop, density)
