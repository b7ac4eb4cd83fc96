"""Single hairs over the hair's mesh: thin lines with ends of their own, that gather into locks and overlap.

A hair follows the columns of the mesh (see `mesh.hair`) from somewhere on it towards its end and a little beyond. It is
drawn as a line one sample wide. Where it is thinner than that, samples are left out at random, which the filter of
the picture turns into opacity.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: UP018
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..mesh import follicles
from ..mesh.hair import COLUMNS as _COLUMNS
from ..mesh.hair import ROWS as _ROWS
from .arrays import Head, Posed
from .draw_kernels import LAST
from .fragments import between
from .look import Look
from .probe_kernels import Probes, alike
from .surfaces import brow_cover, brow_shape, sky_light, strand_highlight, wrapped
from .tiles import step_between, strands_at

wp.set_module_options({"enable_backward": False})

PIECES = 14  # straight pieces of a hair
SHORT = wp.constant(4)  # of a short one
BROW, BEARD = wp.constant(follicles.BROW), wp.constant(follicles.BEARD)
SEGMENTS = wp.constant(PIECES)
COLUMNS, ROWS = wp.constant(_COLUMNS), wp.constant(_ROWS)
CROWN = wp.constant(70.0)  # mm from the crown within which columns crowd, and hairs are left out
LOCK, TRESS = wp.constant(0.4), wp.constant(1.3)  # columns between the middles of locks, of what several make
WIDTH = wp.constant(0.24)  # mm that a hair and its neighbours cover
HATLESS = wp.constant(1.0e3)  # rims of hats lie lower


@wp.struct
class Hairs:
    """Points of hairs, SEGMENTS + 1 each: screen (see `draw_kernels.project_kernel`), light they reflect."""

    count: int
    screen: wp.array(dtype=wp.vec3)
    light: wp.array(dtype=wp.vec4)


@wp.func
def row_at(posed: Posed, column: wp.int32, v: wp.float32, end: wp.float32, first: wp.float32) -> wp.float32:
    """Where between the rows of a column v mm from the hairline lies; the search begins at row `first`.

    Beyond `end` it goes straight on from the last row before it.
    """
    start = column * ROWS
    row = wp.clamp(wp.int32(first), 0, ROWS - 2)
    while row > 0 and posed.strand[start + row][1] > wp.min(v, end - 1.0):
        row = row - 1
    while row < ROWS - 2 and posed.strand[start + row + 1][1] <= wp.min(v, end - 1.0):
        row = row + 1
    low = posed.strand[start + row][1]
    high = posed.strand[start + row + 1][1]
    if high > end + 1.0 and row > 0:
        row = row - 1
        high = low
        low = posed.strand[start + row][1]
    return float(row) + (v - low) / wp.max(high - low, 0.5)


@wp.func
def along(values: wp.array(dtype=wp.vec3), start: wp.int32, row: wp.float32) -> wp.vec3:
    """The value at a row of the column that starts at `start`."""
    k = wp.clamp(wp.int32(wp.floor(row)), 0, ROWS - 2)
    t = row - float(k)
    return values[start + k] * (1.0 - t) + values[start + k + 1] * t


@wp.func
def glowing(values: wp.array(dtype=wp.vec4), start: wp.int32, row: wp.float32) -> wp.vec4:
    """As `along`, never beyond the rows around it."""
    k = wp.clamp(wp.int32(wp.floor(row)), 0, ROWS - 2)
    t = wp.clamp(row - float(k), 0.0, 1.0)
    return values[start + k] * (1.0 - t) + values[start + k + 1] * t


@wp.func
def shine(looks: wp.array(dtype=Look), n: wp.vec3, tangent: wp.vec3, p: wp.vec3, e: wp.vec3) -> wp.vec3:
    """Highlight of hairs of this direction where e of the light arrives: as much of each lamp as of all light."""
    t = wp.normalize(tangent)
    view = wp.normalize(looks[0].eye - p)
    sky = sky_light(looks, 0, n)
    full = sky + wrapped(wp.dot(n, looks[0].light0), 0.3, 1.0, looks[0].colour0)
    full = full + wrapped(wp.dot(n, looks[0].light1), 0.3, 1.0, looks[0].colour1)
    full = full + wrapped(wp.dot(n, looks[0].light2), 0.3, 1.0, looks[0].colour2)
    arrives = wp.clamp((e[1] - 0.6 * sky[1]) / wp.max(full[1] - 0.6 * sky[1], 1.0e-3), 0.0, 1.0)
    found = looks[0].colour0 * (
        strand_highlight(t, view, looks[0].light0) * wp.clamp(wp.dot(n, looks[0].light0) + 0.3, 0.0, 1.0)
    )
    found = found + looks[0].colour1 * (
        strand_highlight(t, view, looks[0].light1) * wp.clamp(wp.dot(n, looks[0].light1) + 0.3, 0.0, 1.0)
    )
    found = found + looks[0].colour2 * (
        strand_highlight(t, view, looks[0].light2) * wp.clamp(wp.dot(n, looks[0].light2) + 0.3, 0.0, 1.0)
    )
    # the sky shines too, from everywhere at once
    return (found * arrives + sky * (0.05 * arrives)) * looks[0].hair_gloss


@wp.kernel
def grow_kernel(looks: wp.array(dtype=Look), head: Head, posed: Posed, count: wp.int32, span: wp.int32, hairs: Hairs):
    """Place the first `count` hairs, those of the mesh, and light them; what does not grow gets a screen of zeros."""
    chunk = wp.tid()
    base = head.hair_first
    for k in range(chunk * span, wp.min((chunk + 1) * span, count)):
        dice = wp.rand_init(977, k)
        place = wp.randf(dice) * float(COLUMNS)
        column = wp.min(wp.int32(place), COLUMNS - 1)
        aside = place - float(column)
        near = column * ROWS
        far = near + ROWS
        end0 = posed.strand[near][2]
        end1 = posed.strand[far][2]
        end = end0 * (1.0 - aside) + end1 * aside
        crown = posed.strand[near][1]
        # a hair starts somewhere on the mesh and is a few centimetres long
        length = 26.0 + 70.0 * wp.randf(dice)
        start = crown + (end - crown) * wp.randf(dice) - 0.3 * length
        crowded = (start + 0.3 * length - crown) / CROWN
        loose = wp.randf(dice)
        ragged = wp.randf(dice) + wp.randf(dice) - 1.0
        depth = wp.randf(dice)
        # hairs of a lock share where they lean, how far they stand off and where they end; so do locks of a tress
        lock = wp.floor(place / LOCK + 0.6 * wp.randf(dice)) + 0.5
        tress = wp.floor(place / TRESS + 0.5 * wp.randf(dice))
        of_lock = wp.rand_init(wp.int32(lock) * 31 + wp.int32(2.0 * wp.randf(dice)), wp.int32(looks[0].hair_u))
        of_tress = wp.rand_init(wp.int32(tress) * 57 + wp.int32(2.0 * wp.randf(dice)), wp.int32(looks[0].hair_v))
        lean = wp.randf(of_tress) - 0.5 + 0.6 * (wp.randf(of_lock) - 0.5)
        stands = wp.min(0.1 * looks[0].top, 2.4) * (wp.randf(of_tress) - 0.45 + 0.7 * (wp.randf(of_lock) - 0.5))
        bright = wp.randf(of_lock) - 0.5 + 0.7 * (wp.randf(of_tress) - 0.5)
        last = wp.randf(of_tress) - 0.5 + 0.8 * (wp.randf(of_lock) - 0.5)
        swing = wp.randf(dice) - 0.5
        turn = 6.2831853 * wp.randf(dice)
        tone = wp.randf(dice)
        stop = wp.min(start + length, end + looks[0].ragged * (0.3 * ragged + 0.8 * last) + 1.5 * swing)
        start = wp.max(start, crown)
        alive = posed.strand[near][3] > 0.0 and stop - start > 5.0 and wp.randf(dice) < crowded
        if wp.abs(end1 - end0) > 60.0 or wp.min(end0, end1) < crown + 20.0:
            alive = False
        stray = loose > 0.965 and looks[0].hat_rim[0] > HATLESS
        row0 = float(0.0)
        row1 = float(0.0)
        for s in range(SEGMENTS + 1):
            number = k * (SEGMENTS + 1) + s
            hairs.screen[number] = wp.vec3(0.0, 0.0, 0.0)
            if alive:
                t = float(s) / float(SEGMENTS)
                v = start + (stop - start) * t
                # where hair hangs freely, columns of other lengths are compared by their share
                v0 = wp.where(v > 0.0 and end > 1.0, v * end0 / wp.max(end, 1.0), v)
                v1 = wp.where(v > 0.0 and end > 1.0, v * end1 / wp.max(end, 1.0), v)
                # locks: hairs draw together towards their ends
                drawn = step_between(0.0, 1.0, t) * 0.55 * (1.0 - looks[0].curl)
                x = place + (lock * LOCK - place) * drawn + 0.35 * swing * t * t
                x = x + 0.1 * looks[0].wave * wp.sin(v * 0.05 + looks[0].hair_v)
                x = x + 1.1 * lean * t * (1.0 - looks[0].curl)
                own = wp.clamp(x - float(column), -0.9, 1.9)
                row0 = row_at(posed, column, v0, end0, row0)
                row1 = row_at(posed, column + 1, v1, end1, row1)
                p = (
                    along(posed.vertices, base + near, row0) * (1.0 - own)
                    + along(posed.vertices, base + far, row1) * own
                )
                n = along(posed.normals, base + near, row0) * (1.0 - own) + along(posed.normals, base + far, row1) * own
                n = wp.normalize(n)
                inside = step_between(-2.0, 25.0, end - v)
                lift = -0.8 + 1.7 * depth + 0.5 * wp.sin(turn + 0.09 * v) + stands * (0.3 + 0.7 * inside)
                if stray:
                    lift = lift + 5.0 * t * t * (0.4 + swing)
                    p = p + wp.cross(n, wp.vec3(0.0, 1.0, 0.0)) * (0.006 * swing * t * t)
                beyond = wp.max(v - end, 0.0)
                lift = lift - 0.004 * beyond * beyond
                if looks[0].curl > 0.0:
                    radius = 2.6 * looks[0].curl
                    coil = turn + v * (0.5 + 0.4 * depth)
                    side = wp.normalize(wp.cross(n, wp.vec3(0.1, 1.0, 0.05)))
                    p = p + side * (0.001 * radius * wp.cos(coil))
                    lift = lift + radius * wp.sin(coil)
                if looks[0].hat_rim[0] < HATLESS:
                    lift = wp.clamp(lift, -1.0, 0.0)
                p = p + n * (0.001 * lift)
                glow = (
                    glowing(posed.glow, base + near, row0) * (1.0 - aside)
                    + glowing(posed.glow, base + far, row1) * aside
                )
                u = posed.strand[near][0] * (1.0 - aside) + posed.strand[far][0] * aside
                noise = strands_at(head.tiles, u + looks[0].hair_u, v + looks[0].hair_v)
                shade = 1.0 + looks[0].hair_contrast * (0.9 * (tone - 0.5) + 1.3 * bright + 0.3 * noise[3])
                under = 0.72 + 0.22 * depth + 0.09 * stands
                tips = 1.0 + looks[0].hair_tips * step_between(-20.0, 160.0, v)
                colour = looks[0].hair * (wp.max(shade, 0.25) * wp.clamp(under, 0.3, 1.3) * tips)
                e = wp.vec3(glow[0], glow[1], glow[2])
                tangent = wp.normalize(
                    along(posed.vertices, base + near, row0 + 0.5) - along(posed.vertices, base + near, row0 - 0.5)
                )
                gleam = shine(looks, n, tangent + n * (0.25 * swing), p, e)
                light = wp.cw_mul(colour, e + gleam * 2.5) + gleam * 0.15
                # hair that hangs is dark where it is seen from inside
                outside = step_between(-0.35, 0.1, wp.dot(n, wp.normalize(looks[0].eye - p)))
                light = light * (0.2 + 0.8 * outside)
                taper = step_between(1.0, 0.55, t) * step_between(0.0, 0.12, t)
                hairs.light[number] = wp.vec4(light[0], light[1], light[2], 0.15 + 0.85 * taper)
                q = looks[0].camera * p + looks[0].camera_offset
                if q[2] > 0.05:
                    scale = looks[0].focal / q[2]
                    hairs.screen[number] = wp.vec3(
                        q[0] * scale + looks[0].principal, q[1] * scale + looks[0].principal, 1.0 / q[2]
                    )


@wp.func
def rising(posed: Posed, c: wp.vec3i, a: wp.float32, b: wp.float32, d: wp.float32) -> wp.vec3:
    """Unit direction on a triangle in which a number grows that is a, b, d at its corners."""
    e1 = posed.vertices[c[1]] - posed.vertices[c[0]]
    e2 = posed.vertices[c[2]] - posed.vertices[c[0]]
    n = wp.cross(e1, e2)
    return wp.normalize(wp.cross(n, e1) * (d - a) - wp.cross(n, e2) * (b - a))


@wp.kernel
def sprout_kernel(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    probes: Probes,
    scale: wp.float32,
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    kinds: wp.array(dtype=wp.uint8),
    first: wp.int32,
    span: wp.int32,
    hairs: Hairs,
):
    """Short hairs on the skin, behind the first ones: brows, beards, the hairline. scale: cells of probes a sample."""
    chunk = wp.tid()
    for k in range(chunk * span, wp.min((chunk + 1) * span, faces.shape[0])):
        dice = wp.rand_init(4471, k)
        kind = wp.int32(kinds[k])
        c = head.faces[faces[k]]
        w = weights[k]
        st = between(head.brow, 0, c, w)
        mark = between(posed.marks, 0, c, w)
        lips = step_between(0.25, 0.75, mark[0])
        up = rising(posed, c, head.mm[c[0]][1], head.mm[c[1]][1], head.mm[c[2]][1])
        noise = wp.vec4(0.0, 0.0, 0.0, 0.0)
        chance = float(0.0)
        length = float(0.0)
        flat = up
        colour = looks[0].hair
        cover = float(1.0)
        if kind == BROW:
            shape = brow_shape(looks, 0, st[0])
            off = st[1] - shape[0]
            chance = 1.3 * brow_cover(looks, 0, st[0], off, shape[1], noise)
            out = rising(posed, c, head.brow[c[0]][0], head.brow[c[1]][0], head.brow[c[2]][0])
            rise = rising(posed, c, head.brow[c[0]][1], head.brow[c[1]][1], head.brow[c[2]][1])
            t = wp.clamp(st[0], 0.0, 1.0)
            # hairs stand up at the inner end, and from both edges draw towards the middle farther out
            flat = out * (0.35 + 0.9 * t) + rise * (0.7 - 0.8 * t - 0.5 * off + 0.35 * (wp.randf(dice) - 0.5))
            length = (3.6 + 2.4 * wp.randf(dice)) * (0.6 + 0.5 * wp.min(shape[1], 1.2))
            colour = looks[0].brow
            cover = 1.5
        elif kind == BEARD:
            grown = between(posed.albedo, 0, c, w)
            chance = grown[3] * (1.0 - lips)
            flat = up * (-1.0) + wp.normalize(wp.cross(up, posed.normals[c[0]])) * (1.2 * (wp.randf(dice) - 0.5))
            length = (
                1.1 + 0.9 * wp.randf(dice) + wp.min(0.5 * looks[0].beard_length, 11.0) * (0.4 + 0.6 * wp.randf(dice))
            )
            colour = looks[0].beard
            cover = 0.8
        else:
            chance = step_between(-9.0, 8.0, mark[1]) * looks[0].roots
            swept = wp.where(looks[0].length > 50.0 or looks[0].fringe == 0.0, 1.0, -1.0)
            flat = up * swept + wp.normalize(wp.cross(up, posed.normals[c[0]])) * (1.1 * (wp.randf(dice) - 0.5))
            length = wp.where(looks[0].top > 0.0, 3.0 + 5.0 * wp.randf(dice), 2.0 + wp.randf(dice))
            if mark[2] < 0.0 or looks[0].hat_rim[0] < HATLESS:
                chance = 0.0
        alive = wp.randf(dice) < chance
        n = wp.normalize(between(posed.normals, 0, c, w))
        p = between(posed.vertices, 0, c, w)
        flat = wp.normalize(flat - n * wp.dot(flat, n))
        tone = wp.randf(dice)
        curve = 0.25 * (wp.randf(dice) - 0.5)
        glow = between(posed.glow, 0, c, w)
        e = wp.vec3(glow[0], glow[1], glow[2])
        for s in range(SEGMENTS + 1):
            number = (first + k) * (SEGMENTS + 1) + s
            hairs.screen[number] = wp.vec3(0.0, 0.0, 0.0)
            if alive and s <= SHORT:
                t = float(s) / float(SHORT)
                side = wp.cross(n, flat)
                # they leave the skin at an angle and lie down again
                away = 0.1 + length * (0.3 * t - 0.22 * t * t)
                q = p + (flat * (length * t) + side * (length * curve * t * t) + n * away) * 0.001
                on = looks[0].camera * q + looks[0].camera_offset
                if on[2] > 0.05:
                    zoom = looks[0].focal / on[2]
                    x = on[0] * zoom + looks[0].principal
                    y = on[1] * zoom + looks[0].principal
                    hairs.screen[number] = wp.vec3(x, y, 1.0 / on[2])
                    if s == 0:
                        column = wp.int32(x * scale)
                        row = wp.int32(y * scale)
                        if column >= 0 and row >= 0 and column < probes.width and row < probes.width:
                            cell = row * probes.width + column
                            if alike(probes, cell, 1.0, p, n) > 0.3:
                                e = probes.light[cell]
                light = wp.cw_mul(colour * (0.65 + 0.7 * tone), e) + e * (0.012 * tone)
                fade = 1.0 - 0.8 * t * t
                hairs.light[number] = wp.vec4(light[0], light[1], light[2], cover * fade)


@wp.kernel
def trace_kernel(
    looks: wp.array(dtype=Look), hairs: Hairs, size: wp.int32, span: wp.int32, keys: wp.array(dtype=wp.int64)
):
    """Draw hairs into a key buffer, see `draw_kernels`; numbers count pieces."""
    chunk = wp.tid()
    for k in range(chunk * span, wp.min((chunk + 1) * span, hairs.count)):
        for s in range(SEGMENTS):
            number = k * (SEGMENTS + 1) + s
            a = hairs.screen[number]
            b = hairs.screen[number + 1]
            if a[2] > 0.0 and b[2] > 0.0:
                dx = b[0] - a[0]
                dy = b[1] - a[1]
                reach = wp.max(wp.abs(dx), wp.abs(dy))
                if reach < 400.0:
                    steps = wp.int32(wp.ceil(reach)) + 1
                    wide = WIDTH * 0.001 * looks[0].focal * a[2]
                    low = wp.int64(LAST - (k * SEGMENTS + s))
                    dice = wp.rand_init(31, number)
                    for i in range(steps):
                        t = (float(i) + 0.5) / float(steps)
                        x = wp.int32(wp.floor(a[0] + dx * t))
                        y = wp.int32(wp.floor(a[1] + dy * t))
                        cover = hairs.light[number][3] * (1.0 - t) + hairs.light[number + 1][3] * t
                        if wp.randf(dice) < wide * cover and x >= 0 and y >= 0 and x < size and y < size:
                            close = a[2] + (b[2] - a[2]) * t
                            key = (wp.int64(wp.cast(close, wp.int32)) << wp.int64(32)) + low
                            wp.atomic_max(keys, y * size + x, key)


@wp.func
def hair_light(hairs: Hairs, piece: wp.int32, x: wp.float32, y: wp.float32) -> wp.vec3:
    """Light that a piece of a hair reflects at a sample."""
    number = piece + piece / SEGMENTS
    a = hairs.screen[number]
    b = hairs.screen[number + 1]
    dx = b[0] - a[0]
    dy = b[1] - a[1]
    t = wp.clamp(((x - a[0]) * dx + (y - a[1]) * dy) / wp.max(dx * dx + dy * dy, 1.0e-6), 0.0, 1.0)
    light = hairs.light[number] * (1.0 - t) + hairs.light[number + 1] * t
    return wp.vec3(light[0], light[1], light[2])
