"""What lies behind the head, and cloth: warp functions.

No `from __future__ import annotations` here: warp reads the annotations of functions.
"""

# mypy: ignore-errors
# Warp functions are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .look import Look
from .tiles import CLOUD_START, square_at

wp.set_module_options({"enable_backward": False})


NOTHING = wp.constant(wp.int64(0))


@wp.struct
class Shape:
    """A shape of a background, in image sizes. cosine, sine: of its turn; narrow_*: reciprocal half sizes; steep: of
    its edge; roundness: 0 box, 1 ellipse; reach: the radius beyond which there is nothing."""

    x: float
    y: float
    cosine: float
    sine: float
    narrow_x: float
    narrow_y: float
    steep: float
    roundness: float
    colour: wp.vec3
    reach: float


@wp.func
def backdrop(
    looks: wp.array(dtype=Look), tiles: wp.array(dtype=wp.vec4), b: wp.int32, x: wp.float32, y: float
) -> wp.vec3:
    """The background at (x, y), image sizes, before any shape: a gradient and a pattern."""
    ramp = 0.5 + (x - 0.5) * looks[b].back_turn_x + (y - 0.5) * looks[b].back_turn_y
    # a steep gradient is a horizon; a gentle one, light on a wall
    ramp = (ramp - looks[b].back_horizon) * looks[b].back_steep + 0.5
    scale = looks[b].back_scale
    noise = square_at(tiles, CLOUD_START, x * scale + looks[b].back_u, y * scale + looks[b].back_v)
    mix = wp.clamp(ramp + 0.9 * looks[b].back_texture * noise[0], 0.0, 1.0)
    colour = looks[b].back0 * (1.0 - mix) + looks[b].back1 * mix
    return colour * (1.0 + 0.35 * looks[b].back_texture * noise[1])


@wp.func
def needed(solid: wp.array(dtype=wp.int64), size: wp.int32, b: wp.int32, row: wp.int32, column: wp.int32) -> bool:
    """Whether a pixel about (column, row) shows the background: a few are looked at, a cell's radius around it."""
    up = wp.max(row - 2, 0)
    down = wp.min(row + 1, size - 1)
    left = wp.max(column - 2, 0)
    right = wp.min(column + 1, size - 1)
    return (
        solid[(b * size + up) * size + left] == NOTHING
        or solid[(b * size + up) * size + right] == NOTHING
        or solid[(b * size + down) * size + left] == NOTHING
        or solid[(b * size + down) * size + right] == NOTHING
        or solid[(b * size + row) * size + column] == NOTHING
    )


@wp.kernel
def backdrop_kernel(
    looks: wp.array(dtype=Look),
    tiles: wp.array(dtype=wp.vec4),
    shapes: wp.array2d(dtype=Shape),
    solid: wp.array(dtype=wp.int64),
    full: wp.int32,
    width: wp.int32,
    span: wp.int32,
    out: wp.array(dtype=wp.vec3),
):
    """The background at half the picture's resolution: what is behind a face is usually out of focus.

    A gradient with a pattern, then shapes (B,N) with soft edges, far ones first. Cells all of whose pixels see the
    mesh stay as they are.
    """
    b, y, chunk = wp.tid()
    start = (b * width + y) * width
    row = wp.min(2 * y + 1, full - 1)
    size = float(width)
    first = chunk * span
    last = wp.min(first + span, width)
    if looks[b].shapes < 0:
        last = first  # something else is behind the head
    py = (float(y) + 0.5) / size
    for x in range(first, last):
        column = wp.min(2 * x + 1, full - 1)
        if needed(solid, full, b, row, column):
            out[start + x] = backdrop(looks, tiles, b, (float(x) + 0.5) / size, py)
    for i in range(looks[b].shapes):
        shape = shapes[b, i]
        reach = shape.reach
        dy = py - shape.y
        if wp.abs(dy) < reach:
            fill = shape.colour
            low = wp.max(first, wp.int32((shape.x - reach) * size))
            high = wp.min(last, wp.int32((shape.x + reach) * size) + 1)
            for x in range(low, high):
                dx = (float(x) + 0.5) / size - shape.x
                u = wp.abs((shape.cosine * dx + shape.sine * dy) * shape.narrow_x)
                v = wp.abs((shape.cosine * dy - shape.sine * dx) * shape.narrow_y)
                box = wp.max(u, v)
                inside = 1.0 - (box + (wp.sqrt(u * u + v * v) - box) * shape.roundness)
                alpha = inside * shape.steep + 0.5
                if alpha >= 1.0:
                    out[start + x] = fill
                elif alpha > 0.0:
                    alpha = alpha * alpha * (3.0 - 2.0 * alpha)
                    out[start + x] = out[start + x] * (1.0 - alpha) + fill * alpha


@wp.func
def enlarged(small: wp.array(dtype=wp.vec3), width: wp.int32, b: wp.int32, y: wp.int32, x: wp.int32) -> wp.vec3:
    """Pixel (x, y) of a picture twice as large as `small`, whose side is `width`: bilinear, weights 9 : 3 : 3 : 1."""
    j = y >> 1
    i = x >> 1
    j1 = wp.clamp(j + 2 * (y & 1) - 1, 0, width - 1)
    i1 = wp.clamp(i + 2 * (x & 1) - 1, 0, width - 1)
    near = (b * width + j) * width
    far = (b * width + j1) * width
    return small[near + i] * 0.5625 + (small[far + i] + small[near + i1]) * 0.1875 + small[far + i1] * 0.0625


@wp.func
def cloth_colour(looks: wp.array(dtype=Look), b: wp.int32, noise: wp.vec4) -> wp.vec3:
    """Albedo of the clothes."""
    shade = 1.0 + looks[b].cloth_pattern * (noise[0] * 0.8 + 0.5 * noise[1])
    return looks[b].cloth * wp.max(shade, 0.1)
