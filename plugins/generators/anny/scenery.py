"""What lies behind the head, and cloth: warp functions.

No `from __future__ import annotations` here: warp reads the annotations of functions.
"""

# mypy: ignore-errors
# Warp functions are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .look import Look
from .tiles import CLOUDS, step_between, tile_at

wp.set_module_options({"enable_backward": False})

CLOUD_TILE = wp.constant(CLOUDS)


@wp.func
def backdrop(
    look: Look,
    shapes: wp.array3d(dtype=wp.float32),
    tiles: wp.array3d(dtype=wp.vec4),
    b: wp.int32,
    x: wp.float32,
    y: wp.float32,
    size: wp.float32,
) -> wp.vec3:
    """The background at pixel (x, y): a gradient, a pattern, and shapes with soft edges, far ones first.

    shapes (B,N,10): centre x, y, half sizes, turn, blur, roundness (0 box, 1 ellipse), colour; in image sizes.
    """
    ramp = 0.5 + (x - 0.5 * size) * look.back_turn_x + (y - 0.5 * size) * look.back_turn_y
    noise = tile_at(tiles, CLOUD_TILE, x * look.back_scale + look.back_u, y * look.back_scale + look.back_v)
    mix = wp.clamp(ramp + 0.9 * look.back_texture * noise[0], 0.0, 1.0)
    colour = look.back0 * (1.0 - mix) + look.back1 * mix
    px = x / size
    py = y / size
    for i in range(look.shapes):
        dx = px - shapes[b, i, 0]
        dy = py - shapes[b, i, 1]
        c = shapes[b, i, 2]
        s = shapes[b, i, 3]
        u = (c * dx + s * dy) * shapes[b, i, 4]
        v = (c * dy - s * dx) * shapes[b, i, 5]
        if wp.abs(u) < 1.6 and wp.abs(v) < 1.6:
            box = wp.max(wp.abs(u), wp.abs(v))
            round = wp.sqrt(u * u + v * v)
            inside = 1.0 - (box + (round - box) * shapes[b, i, 7])
            alpha = wp.clamp(inside * shapes[b, i, 6] + 0.5, 0.0, 1.0)
            alpha = alpha * alpha * (3.0 - 2.0 * alpha)
            fill = wp.vec3(shapes[b, i, 8], shapes[b, i, 9], shapes[b, i, 10]) * (
                1.0 + 0.5 * look.back_texture * noise[1]
            )
            colour = colour * (1.0 - alpha) + fill * alpha
    return colour * (1.0 + 0.35 * look.back_texture * noise[1])


@wp.func
def cloth_colour(look: Look, noise: wp.vec4) -> wp.vec3:
    """Albedo of the clothes."""
    shade = 1.0 + look.cloth_pattern * (noise[0] * 0.8 + 0.5 * noise[1])
    return look.cloth * wp.max(shade, 0.1)


@wp.func
def shadow_of_lid(distance: wp.float32, strength: wp.float32) -> wp.float32:
    """What the upper lid and its lashes leave of the light, `distance` mm below its rim."""
    return 1.0 - strength * step_between(6.0, -1.0, distance)
