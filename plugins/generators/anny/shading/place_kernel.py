"""The kernel that looks into places: the nearest block along each pixel's ray, its pattern, and the light on it.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: RUF046, UP018
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..backdrops import places
from .tiles import CLOUD_START, square_at, step_between

wp.set_module_options({"enable_backward": False})

PANES, BOARDS, BOOKS, LEAVES, OUTSIDE = (
    wp.constant(n) for n in (places.PANES, places.BOARDS, places.BOOKS, places.LEAVES, places.OUTSIDE)
)
ROUND, INNER = wp.constant(places.ROUND), wp.constant(places.INNER)
FAR = wp.constant(1.0e6)


@wp.struct
class Block:
    """See `backdrops.places.Place.add`."""

    low: wp.vec3
    high: wp.vec3
    colour: wp.vec3
    second: wp.vec3
    pattern: float
    size: float
    glow: float
    form: float


@wp.struct
class Sight:
    """A camera in a place, and the place's light. The ray through cell (x, y) has direction
    ray0 + x * ray_x + y * ray_y. first, count: of its blocks; cells: of a side; start: the first of its cells."""

    eye: wp.vec3
    ray0: wp.vec3
    ray_x: wp.vec3
    ray_y: wp.vec3
    sun: wp.vec3
    lamp: wp.vec3
    lamp_reach: float
    zenith: wp.vec3
    horizon: wp.vec3
    ground: wp.vec3
    spread: float
    first: int
    count: int
    cells: int
    start: int


@wp.func
def dice(i: wp.int32, j: wp.int32, k: wp.int32):
    """A number in [0, 1) of three whole ones."""
    return wp.randf(wp.rand_init(i * 7919 + j * 104729 + k, j))


@wp.func
def sky_at(sight: Sight, tiles: wp.array(dtype=wp.vec4), d: wp.vec3) -> wp.vec3:
    """The sky with clouds, and a hazy ground, in a direction."""
    up = d[1]
    if up < 0.0:
        return sight.ground * step_between(-0.3, 0.0, -up) + sight.horizon * (0.5 * step_between(0.0, -0.3, -up))
    cloud = square_at(tiles, CLOUD_START, 40.0 * d[0] / (up + 0.25), 40.0 * d[2] / (up + 0.25))
    share = wp.min(2.2 * up, 1.0)
    sky = sight.horizon * (1.0 - share) + sight.zenith * share
    white = wp.clamp(0.7 * cloud[0], 0.0, 0.6)
    return sky * (1.0 - white) + sight.horizon * white


@wp.func
def outside_at(sight: Sight, tiles: wp.array(dtype=wp.vec4), d: wp.vec3) -> wp.vec3:
    """What is seen through a window: sky above houses and trees."""
    turn = wp.atan2(d[0], d[2]) * 9.0
    house = wp.int32(wp.floor(turn))
    high = 0.22 * dice(house, 7, 3) - 0.03 + 0.02 * square_at(tiles, CLOUD_START, turn * 25.0, 0.0)[1]
    if d[1] > high:
        return sky_at(sight, tiles, d)
    leafy = square_at(tiles, CLOUD_START, turn * 12.0, d[1] * 110.0)
    shade = 0.25 + 0.5 * dice(house, 11, 5)
    return (sight.ground * 0.6 + sight.horizon * 0.2) * (shade * (1.0 + 0.4 * leafy[1]))


@wp.func
def painted(block: Block, tiles: wp.array(dtype=wp.vec4), u: wp.float32, v: wp.float32) -> wp.vec3:
    """The colour of a surface at (u, v) metres, u level."""
    pattern = wp.int32(block.pattern)
    a = block.colour
    b = block.second
    s = u / block.size
    t = v / block.size
    share = float(0.0)
    if pattern == PANES:
        i = wp.int32(wp.floor(s))
        j = wp.int32(wp.floor(t))
        fs = s - wp.floor(s)
        ft = t - wp.floor(t)
        if fs > 0.24 and fs < 0.76 and ft > 0.2 and ft < 0.8:
            share = 0.6 + 0.4 * dice(i, j, 1)
            if wp.abs(fs - 0.5) < 0.025 or wp.abs(ft - 0.6) < 0.02:
                share = 0.2
    elif pattern == BOARDS:
        i = wp.int32(wp.floor(s))
        grain = square_at(tiles, CLOUD_START, s * 40.0, v * 3.0)
        share = 0.6 * dice(i, 3, 9) + 0.2 * grain[1]
        if s - wp.floor(s) < 0.06:
            share = 1.0
    elif pattern == BOOKS:
        row = wp.floor(t)
        book = wp.int32(wp.floor(u / 0.035))
        high = 0.6 + 0.3 * dice(book, wp.int32(row), 2)
        if t - row < high:
            hue = dice(book, wp.int32(row), 4)
            b = wp.vec3(0.1 + 0.5 * hue, 0.1 + 0.4 * dice(book, wp.int32(row), 5), 0.08 + 0.4 * dice(book, 6, 6))
            return b * (0.35 + 0.65 * dice(book, wp.int32(row), 8))
        share = 0.0
        a = a * 0.3
    elif pattern == LEAVES:
        noise = square_at(tiles, CLOUD_START, s * 9.0, t * 9.0)
        share = 0.5 + 0.5 * noise[1] + 0.3 * noise[0]
    share = wp.clamp(share, 0.0, 1.0)
    return a * (1.0 - share) + b * share


@wp.kernel
def place_kernel(
    blocks: wp.array(dtype=Block),
    sights: wp.array(dtype=Sight),
    tiles: wp.array(dtype=wp.vec4),
    span: wp.int32,
    out: wp.array(dtype=wp.vec3),
):
    """Light from places in each cell of pictures of them."""
    i, y, chunk = wp.tid()
    sight = sights[i]
    o = sight.eye
    last = wp.min((chunk + 1) * span, sight.cells)
    if y >= sight.cells:
        last = 0
    for x in range(chunk * span, last):
        d = wp.normalize(sight.ray0 + sight.ray_x * float(x) + sight.ray_y * float(y))
        inverse = wp.vec3(1.0 / (d[0] + 1.0e-9), 1.0 / (d[1] + 1.0e-9), 1.0 / (d[2] + 1.0e-9))
        best = FAR
        found = int(-1)
        for k in range(sight.first, sight.first + sight.count):
            block = blocks[k]
            t0 = wp.cw_mul(block.low - o, inverse)
            t1 = wp.cw_mul(block.high - o, inverse)
            near = wp.max(wp.max(wp.min(t0[0], t1[0]), wp.min(t0[1], t1[1])), wp.min(t0[2], t1[2]))
            far = wp.min(wp.min(wp.max(t0[0], t1[0]), wp.max(t0[1], t1[1])), wp.max(t0[2], t1[2]))
            if near < far and far > 0.0 and near < best:
                form = wp.int32(block.form)
                hit = near
                if form == INNER:
                    hit = far
                elif form == ROUND:
                    half = (block.high - block.low) * 0.5
                    p = wp.cw_div(o - (block.low + block.high) * 0.5, half)
                    q = wp.cw_div(d, half)
                    aa = wp.dot(q, q)
                    bb = wp.dot(p, q)
                    under = bb * bb - aa * (wp.dot(p, p) - 1.0)
                    hit = -1.0
                    if under > 0.0:
                        hit = (-bb - wp.sqrt(under)) / aa
                        if wp.int32(block.pattern) == LEAVES and hit > 0.0:
                            # ragged towards the outline
                            at = o + d * hit
                            ragged = square_at(
                                tiles, CLOUD_START, (at[0] + at[2]) * 9.0 / block.size, at[1] * 9.0 / block.size
                            )
                            if wp.sqrt(under / aa) < 0.45 * wp.abs(ragged[1]) + 0.1:
                                hit = -1.0
                if hit > 0.05 and hit < best:
                    best = hit
                    found = k
        light = wp.vec3(0.0, 0.0, 0.0)
        if found < 0:
            light = sky_at(sight, tiles, d)
        else:
            block = blocks[found]
            at = o + d * best
            middle = (block.low + block.high) * 0.5
            half = (block.high - block.low) * 0.5
            r = wp.cw_div(at - middle, half)
            n = wp.vec3(0.0, 0.0, 0.0)
            u = at[0]
            v = at[1]
            if wp.int32(block.form) == ROUND:
                n = wp.normalize(wp.cw_div(r, half))
                u = at[0] + at[2]
            elif wp.abs(r[1]) > wp.abs(r[0]) and wp.abs(r[1]) > wp.abs(r[2]):
                n = wp.vec3(0.0, wp.sign(r[1]), 0.0)
                v = at[2]
            elif wp.abs(r[0]) > wp.abs(r[2]):
                n = wp.vec3(wp.sign(r[0]), 0.0, 0.0)
                u = at[2]
            else:
                n = wp.vec3(0.0, 0.0, wp.sign(r[2]))
            nook = float(1.0)
            if wp.int32(block.form) == INNER:
                n = -n
                # less light reaches the edges of a room
                edge = wp.vec3(
                    half[0] * (1.0 - wp.abs(r[0])), half[1] * (1.0 - wp.abs(r[1])), half[2] * (1.0 - wp.abs(r[2]))
                )
                second = wp.max(wp.min(edge[0], edge[1]), wp.min(wp.max(edge[0], edge[1]), edge[2]))
                nook = 1.0 - 0.35 * wp.exp(-second / 0.25)
            if wp.int32(block.pattern) == OUTSIDE:
                light = outside_at(sight, tiles, d) * block.glow
            else:
                to_lamp = sight.lamp - at
                away = wp.length(to_lamp)
                lit = 0.0
                if sight.lamp_reach < FAR:
                    fall = away / sight.lamp_reach
                    lit = (0.4 + 0.6 * wp.max(wp.dot(n, to_lamp) / away, 0.0)) * 1.3 / (1.0 + fall * fall)
                else:
                    lit = 1.1 * wp.max(wp.dot(n, sight.sun), 0.0)
                e = sight.spread * (0.75 + 0.25 * n[1]) * nook + lit
                light = painted(block, tiles, u, v) * (e + block.glow)
                if sight.lamp_reach >= FAR:
                    haze = 1.0 - wp.exp(-best / 90.0)
                    light = light * (1.0 - haze) + sight.horizon * haze
        out[sight.start + y * sight.cells + x] = light
