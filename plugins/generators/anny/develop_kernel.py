"""From light to bytes: soft outlines, exposure, tone curve, noise.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .look import Look
from .tiles import CLOUDS

wp.set_module_options({"enable_backward": False})

CLOUD_TILE = wp.constant(CLOUDS)
TABLE = 2048


@wp.func
def outline(face_id: wp.array3d(dtype=wp.int32), z: wp.array3d(dtype=wp.float32), b: int, y: int, x: int) -> bool:
    """Whether the pixel lies at an edge in depth: a neighbour is background, or more than 8 mm nearer or farther."""
    here = z[b, y, x]
    bound = 0.008
    return (
        wp.abs(z[b, y, x - 1] - here) > bound
        or wp.abs(z[b, y, x + 1] - here) > bound
        or wp.abs(z[b, y - 1, x] - here) > bound
        or wp.abs(z[b, y + 1, x] - here) > bound
    )


@wp.func
def encode(tables: wp.array2d(dtype=wp.float32), b: wp.int32, light: wp.float32) -> wp.float32:
    """Byte value of a channel, by table of the square root of light."""
    at = wp.sqrt(wp.clamp(light, 0.0, 3.99)) * (0.5 * 2047.0)
    i = wp.int32(at)
    t = at - float(i)
    return tables[b, i] * (1.0 - t) + tables[b, i + 1] * t


@wp.kernel
def develop_kernel(
    looks: wp.array(dtype=Look),
    light: wp.array3d(dtype=wp.vec3),
    face_id: wp.array3d(dtype=wp.int32),
    z: wp.array3d(dtype=wp.float32),
    tables: wp.array2d(dtype=wp.float32),
    tiles: wp.array3d(dtype=wp.vec4),
    span: wp.int32,
    image: wp.array4d(dtype=wp.uint8),
):
    """Write the image (B,H,W,3), sRGB bytes.

    Pixels at outlines become the binomial mean of their 3 x 3 neighbourhood, others a share `blur` of it: a stand-in
    for the area a camera's pixel collects light from. The class map is not touched by this.
    """
    b, y, chunk = wp.tid()
    look = looks[b]
    height = light.shape[1]
    width = light.shape[2]
    for x in range(chunk * span, wp.min((chunk + 1) * span, width)):
        c = light[b, y, x]
        if x > 0 and y > 0 and x < width - 1 and y < height - 1:
            share = look.blur
            if outline(face_id, z, b, y, x):
                share = 1.0
            if share > 0.0:
                cross = light[b, y, x - 1] + light[b, y, x + 1] + light[b, y - 1, x] + light[b, y + 1, x]
                corners = light[b, y - 1, x - 1] + light[b, y - 1, x + 1]
                corners = corners + light[b, y + 1, x - 1] + light[b, y + 1, x + 1]
                mean = c * 0.25 + cross * 0.125 + corners * 0.0625
                c = c * (1.0 - share) + mean * share
        dx = (float(x) + 0.5) / float(width) - 0.5
        dy = (float(y) + 0.5) / float(height) - 0.5
        c = wp.cw_mul(c, look.gain) * (1.0 - look.vignette * 2.0 * (dx * dx + dy * dy))
        grey = 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]
        c = wp.vec3(grey, grey, grey) * (1.0 - look.saturation) + c * look.saturation
        n0 = tiles[CLOUD_TILE, (y + look.noise_v) & 255, (x + look.noise_u) & 255]
        n1 = tiles[CLOUD_TILE, (y + look.noise_u) & 255, (x * 3 + look.noise_v) & 255]
        common = 0.7 * n0[2] * look.noise + 0.5
        colour = 0.6 * look.noise
        if look.saturation == 0.0:
            colour = 0.0
        image[b, y, x, 0] = wp.uint8(wp.clamp(encode(tables, b, c[0]) + common + colour * n0[3], 0.0, 255.0))
        image[b, y, x, 1] = wp.uint8(wp.clamp(encode(tables, b, c[1]) + common + colour * n1[2], 0.0, 255.0))
        image[b, y, x, 2] = wp.uint8(wp.clamp(encode(tables, b, c[2]) + common + colour * n1[3], 0.0, 255.0))
