"""Kernels that grow hair on posed heads and paint what varies slowly over the skin onto the vertices.

One source for CPU and CUDA. As in `synthforge.geometry`, a thread handles `span` neighbouring items: all of an image on
the CPU, one on CUDA. No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .hair_mesh import BOUND_ROWS, HANG_ROWS, ROWS
from .look import Look
from .tiles import CLOUDS, STRANDS, step_between, tile_at

wp.set_module_options({"enable_backward": False})

BOUND = wp.constant(BOUND_ROWS)
HANG = wp.constant(HANG_ROWS)
COLUMN = wp.constant(ROWS)
STRAND_TILE = wp.constant(STRANDS)
CLOUD_TILE = wp.constant(CLOUDS)
U_PER_RADIAN = wp.constant(1024.0 / 6.2831853)
BALD, BUZZ, SHORT, FULL, LONG, TIED = (wp.constant(i) for i in range(6))


@wp.func
def hanging(look: Look, azimuth: wp.float32) -> wp.float32:
    """Length in mm of the hair that hangs beyond the hairline at an azimuth: the fringe in front, long hair behind."""
    around = wp.abs(azimuth)
    from_parting = wp.abs(azimuth - look.parting * 0.5)
    front = look.fringe * step_between(0.95, 0.6, around) * (0.55 + 0.45 * step_between(0.02, 0.4, from_parting))
    back = look.length * step_between(look.opening - 0.12, look.opening + 0.12, around)
    return wp.max(front, back)


@wp.func
def line_shift(look: Look, around: wp.float32) -> wp.float32:
    """How far, in mm, this person's hairline lies above the reference at |azimuth|."""
    t = (around - 0.62) / 0.3
    front = step_between(1.15, 0.8, around)
    return look.hairline * front + look.recess * wp.exp(-t * t)


@wp.kernel
def hair_kernel(
    looks: wp.array(dtype=Look),
    tiles: wp.array3d(dtype=wp.vec4),
    corners: wp.array3d(dtype=wp.int32),
    weights: wp.array2d(dtype=wp.vec3),
    along: wp.array2d(dtype=wp.float32),
    azimuths: wp.array(dtype=wp.float32),
    normals: wp.array2d(dtype=wp.vec3),
    down: wp.array(dtype=wp.vec3),
    first: wp.int32,
    columns: wp.int32,
    span: wp.int32,
    vertices: wp.array2d(dtype=wp.vec3),
    strand: wp.array2d(dtype=wp.vec4),
):
    """Place the hair's vertices, metres, behind the head's own in `vertices`.

    strand (B,hair vertices): texture u in texels; mm along the strand from the hairline; mm at which it ends; 1 where
    hair may grow. down: the direction hair falls in.
    """
    b, chunk = wp.tid()
    look = looks[b]
    fall = down[b]
    for column in range(chunk * span, wp.min((chunk + 1) * span, columns)):
        angle = azimuths[column]
        around = wp.abs(angle)
        hang = hanging(look, angle)
        free = step_between(2.0, 14.0, hang)
        end = hang * free - line_shift(look, around) * (1.0 - free)
        grows = 0.0
        if look.style >= SHORT:
            grows = 1.0
        u = angle * U_PER_RADIAN
        outward = wp.vec3(0.0, 0.0, 0.0)
        edge = wp.vec3(0.0, 0.0, 0.0)
        before = wp.vec3(0.0, 0.0, 0.0)
        thick = 0.0
        for row in range(BOUND):
            i = corners[column, row, 0]
            j = corners[column, row, 1]
            k = corners[column, row, 2]
            w = weights[column, row]
            point = vertices[b, i] * w[0] + vertices[b, j] * w[1] + vertices[b, k] * w[2]
            outward = wp.normalize(normals[b, i] * w[0] + normals[b, j] * w[1] + normals[b, k] * w[2])
            v = along[column, row]
            inside = end - v
            top = step_between(-20.0, -95.0, v) * step_between(1.6, 1.0, around * 0.55)
            noise = tile_at(tiles, CLOUD_TILE, look.hair_u + u * 0.35, look.hair_v + v * 0.9)
            thick = (look.side + (look.top - look.side) * top) * (1.0 + 0.8 * look.lumps * noise[1])
            # short hair thins towards its edge; hair that goes on beyond it keeps a few millimetres
            rim = wp.max(step_between(0.0, 32.0, inside), 0.65 * free)
            thick = wp.max(thick * rim, 0.0) + 1.0
            if inside < -10.0 or grows == 0.0:
                thick = -12.0
            before = edge
            edge = point + outward * (0.001 * thick)
            index = first + column * COLUMN + row
            vertices[b, index] = edge
            strand[b, column * COLUMN + row] = wp.vec4(u, v, end, grows)
        along_skin = wp.normalize(edge - before)
        away = outward - fall * wp.dot(outward, fall)
        bend = 22.0
        if around < 0.9:
            bend = 45.0
        for k in range(HANG):
            t = wp.max(hang, 0.0) * float(k + 1) / float(HANG)
            slide = bend * (1.0 - wp.exp(-t / bend))
            flare = 0.16 * t + 3.0 * step_between(0.0, 25.0, t) * step_between(0.6, 1.2, around)
            wavy = tile_at(tiles, CLOUD_TILE, look.hair_u + u * 0.5, look.hair_v + t * 0.9)
            flare = flare + look.wave * 9.0 * wavy[1] * step_between(0.0, 60.0, t)
            point = edge + (along_skin * slide + fall * (t - slide) + away * flare) * 0.001
            if grows == 0.0 or hang < 2.0:
                point = edge
            vertices[b, first + column * COLUMN + BOUND + k] = point
            strand[b, column * COLUMN + BOUND + k] = wp.vec4(u, t, end, grows * wp.min(hang, 1.0))


@wp.kernel
def paint_kernel(
    looks: wp.array(dtype=Look),
    tiles: wp.array3d(dtype=wp.vec4),
    mm: wp.array(dtype=wp.vec3),
    skin_uv: wp.array(dtype=wp.vec2),
    marks: wp.array2d(dtype=wp.float32),
    occlusion: wp.array(dtype=wp.float32),
    normals: wp.array2d(dtype=wp.vec3),
    visibility: wp.array3d(dtype=wp.float32),
    lit_index: wp.array(dtype=wp.int32),
    count: wp.int32,
    span: wp.int32,
    paint: wp.array2d(dtype=wp.vec4),
):
    """What varies slowly over the head, per vertex: four vec4 each.

    0: normal, occlusion. 1: albedo, gloss. 2: lips, beard, mm inside the hairline, mm above the collar.
    3: texture u, v, visibility of the two shadowed lights.
    marks (V,10): azimuth, inside, moustache, chin, jaw, jaw_height, blush, socket, oily, lips; then collar.
    """
    b, chunk = wp.tid()
    look = looks[b]
    for i in range(chunk * span, wp.min((chunk + 1) * span, count)):
        n = normals[b, i]
        uv = skin_uv[i]
        shadow = lit_index[i]
        seen0 = 1.0
        seen1 = 1.0
        if shadow >= 0:
            seen0 = visibility[b, 0, shadow]
            seen1 = visibility[b, 1, shadow]
        open_sky = 1.0 - look.occlusion * (1.0 - occlusion[i])
        paint[b, i * 4] = wp.vec4(n[0], n[1], n[2], open_sky)

        blotch = tile_at(tiles, CLOUD_TILE, uv[0] * 0.35 + look.offset_u, uv[1] * 0.35 + look.offset_v)
        red = look.blush * (marks[i, 6] + 0.5 * blotch[1])
        dark = look.sockets * marks[i, 7]
        shade = (1.0 + 0.7 * look.mottle * blotch[0]) * (1.0 - 0.55 * dark)
        tone = look.tone
        albedo = wp.vec3(
            tone[0] * shade * (1.0 + 0.12 * red),
            tone[1] * shade * (1.0 - 0.75 * red) * (1.0 - 0.1 * dark),
            tone[2] * shade * (1.0 - 0.6 * red),
        )
        gloss = look.sebum * (0.45 + 0.75 * marks[i, 8])
        paint[b, i * 4 + 1] = wp.vec4(albedo[0], albedo[1], albedo[2], gloss)

        cheek = step_between(-3.0, 9.0, marks[i, 5] + look.beard_reach)
        beard = wp.max(look.jaw * cheek * marks[i, 4], look.chin * marks[i, 3])
        beard = wp.max(beard, look.moustache * marks[i, 2])
        inside = marks[i, 1] - line_shift(look, wp.abs(marks[i, 0]))
        point = mm[i]
        collar = marks[i, 10] - look.neckline
        if point[2] > -60.0:
            # a v-neck opens in front, widest at the neck
            collar = collar + look.vee * wp.max(45.0 - wp.abs(point[0]), 0.0)
        paint[b, i * 4 + 2] = wp.vec4(marks[i, 9], beard, inside, collar)
        paint[b, i * 4 + 3] = wp.vec4(uv[0], uv[1], seen0, seen1)
