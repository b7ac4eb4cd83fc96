"""Kernels at the vertices: hair grows, light falls, and what varies slowly over the skin is painted.

Light is computed per vertex and interpolated, at a fifth of the cost of doing it per pixel. The mesh is about as fine
as the pixels of a 256 x 256 picture (3 mm).

One source for CPU and CUDA. As in `synthforge.geometry`, a thread handles `span` neighbouring items: all of an image on
the CPU, one on CUDA. No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: UP018
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..mesh.hair import BOUND_ROWS, HANG_ROWS, ROWS
from ..mesh.materials import BODY, HAIR, UNUSED
from ..mesh.worn.slots import ABSENT as _ABSENT
from .arrays import Marks, Stains
from .beard_kernels import beard_density
from .look import Look
from .surfaces import risen, second_light, sheen, sky_light, strand_highlight, wrapped
from .tiles import CLOUD_START, square_at, step_between

wp.set_module_options({"enable_backward": False})

BOUND = wp.constant(BOUND_ROWS)
HANG = wp.constant(HANG_ROWS)
COLUMN = wp.constant(ROWS)
MARGIN = wp.constant(16.0)  # mm beyond its end at which no strand of a lock is seen any more
U_PER_RADIAN = wp.constant(1024.0 / 6.2831853)
SHORT_STYLE = wp.constant(2)  # this style and later ones have hair as geometry
ABSENT = wp.constant(wp.uint8(_ABSENT))
IS_BODY, IS_HAIR, IS_UNUSED = wp.constant(BODY), wp.constant(HAIR), wp.constant(UNUSED)


@wp.func
def line_shift(looks: wp.array(dtype=Look), b: wp.int32, around: wp.float32) -> wp.float32:
    """How far, in mm, this person's hairline lies above the reference at |azimuth|."""
    t = (around - 0.62) / 0.3
    return looks[b].hairline * step_between(1.15, 0.8, around) + looks[b].recess * wp.exp(-t * t)


@wp.func
def pressed(
    looks: wp.array(dtype=Look), b: wp.int32, thick: wp.float32, azimuth: wp.float32, height: wp.float32
) -> wp.float32:
    """Thickness of hair that a hat lets be: flat above its rim, free 25 mm below. height: canonical mm."""
    rim = looks[b].hat_rim
    below = rim[0] + rim[1] * wp.cos(azimuth) + rim[2] * wp.cos(2.0 * azimuth) - height
    return wp.min(thick, 1.8 + wp.max(thick - 1.8, 0.0) * step_between(-2.0, 25.0, below))


@wp.kernel
def hair_kernel(
    looks: wp.array(dtype=Look),
    tiles: wp.array(dtype=wp.vec4),
    corners: wp.array3d(dtype=wp.int32),
    weights: wp.array2d(dtype=wp.vec3),
    along: wp.array2d(dtype=wp.float32),
    azimuths: wp.array(dtype=wp.float32),
    heights: wp.array2d(dtype=wp.float32),
    first: wp.int32,
    columns: wp.int32,
    span: wp.int32,
    vertices: wp.array2d(dtype=wp.vec3),
    strand: wp.array2d(dtype=wp.vec4),
    dead: wp.array2d(dtype=wp.uint8),
):
    """Place the hair's vertices, metres, behind the head's own in `vertices`.

    strand (B,hair vertices): texture u in texels; mm along the strand from the hairline; mm at which it ends; 1 where
    hair may grow. dead (B,V): 1 where no strand is ever seen. Hair falls towards -y.
    """
    b, chunk = wp.tid()
    grows = float(0.0)
    if looks[b].style >= SHORT_STYLE:
        grows = 1.0
    # the middle of the skull: between front and back, left and right of the reference hairline
    middle = wp.vec3(0.0, 0.0, 0.0)
    for quarter in range(4):
        column = (columns - 1) * quarter / 4
        i = corners[column, BOUND - 4, 0]
        middle = middle + vertices[b, i] * 0.25
    fall = wp.vec3(0.0, -1.0, 0.0)
    for column in range(chunk * span, wp.min((chunk + 1) * span, columns)):
        angle = azimuths[column]
        around = wp.abs(angle)
        from_parting = wp.abs(angle - looks[b].parting * 0.5)
        front = looks[b].fringe * step_between(0.8, 0.5, around)
        front = front * (0.5 + 0.5 * step_between(0.02, 0.4, from_parting))
        back = looks[b].length * step_between(looks[b].opening - 0.12, looks[b].opening + 0.12, around)
        hang = wp.max(front, back)
        free = step_between(1.0, 12.0, hang)
        end = hang * free - line_shift(looks, b, around) * (1.0 - free)
        u = angle * U_PER_RADIAN
        outward = wp.vec3(0.0, 0.0, 0.0)
        edge = wp.vec3(0.0, 0.0, 0.0)
        before = wp.vec3(0.0, 0.0, 0.0)
        for row in range(BOUND):
            w = weights[column, row]
            point = (
                vertices[b, corners[column, row, 0]] * w[0]
                + vertices[b, corners[column, row, 1]] * w[1]
                + vertices[b, corners[column, row, 2]] * w[2]
            )
            outward = wp.normalize(point - middle)
            v = along[column, row]
            inside = end - v
            top = step_between(-20.0, -95.0, v) * step_between(2.9, 1.8, around)
            noise = square_at(tiles, CLOUD_START, looks[b].hair_u + u * 0.35, looks[b].hair_v + v * 0.9)
            thick = looks[b].side + (looks[b].top - looks[b].side) * top
            # slow clouds make the shape of the hair; fine ones, which columns so far apart cannot follow, its curls
            thick = thick * (1.0 + looks[b].lumps * (0.8 * noise[0] + 0.5 * looks[b].curl * noise[1]))
            # short hair thins towards its edge; hair that goes on beyond it keeps a few millimetres
            rim = wp.max(step_between(0.0, 32.0, inside), 0.65 * free)
            thick = wp.max(thick * rim, 0.0) + 1.0
            if inside < -10.0 or grows == 0.0:
                thick = -12.0
            thick = pressed(looks, b, thick, angle, heights[column, row])
            before = edge
            edge = point + outward * (0.001 * thick)
            vertices[b, first + column * COLUMN + row] = edge
            strand[b, column * COLUMN + row] = wp.vec4(u, v, end, grows)
            dead[b, first + column * COLUMN + row] = wp.uint8(wp.where(inside > -MARGIN and grows > 0.0, 0, 1))
        along_skin = wp.normalize(edge - before)
        away = wp.normalize(outward - fall * wp.dot(outward, fall))
        bend = 22.0
        if around < 0.9:
            bend = 45.0
        for k in range(HANG):
            t = hang * float(k + 1) / float(HANG)
            slide = bend * (1.0 - wp.exp(-t / bend))
            flare = 0.16 * t * step_between(0.8, 1.6, around) + 3.0 * step_between(0.0, 25.0, t) * step_between(
                0.6, 1.2, around
            )
            wavy = square_at(tiles, CLOUD_START, looks[b].hair_u + u * 0.1, looks[b].hair_v + t * 0.9)
            flare = flare + looks[b].wave * (16.0 * wavy[0] + 6.0 * wavy[1]) * step_between(0.0, 60.0, t)
            point = edge + (along_skin * slide + fall * (t - slide) + away * flare) * 0.001
            if grows == 0.0:
                point = edge
            vertices[b, first + column * COLUMN + BOUND + k] = point
            strand[b, column * COLUMN + BOUND + k] = wp.vec4(u, t, end, grows * wp.min(hang, 1.0))
            dead[b, first + column * COLUMN + BOUND + k] = wp.uint8(wp.where(hang > 1.0 and grows > 0.0, 0, 1))


@wp.kernel
def light_kernel(
    looks: wp.array(dtype=Look),
    material: wp.array(dtype=wp.uint8),
    open_sky: wp.array(dtype=wp.float32),
    oily: wp.array(dtype=wp.float32),
    vertices: wp.array2d(dtype=wp.vec3),
    normals: wp.array2d(dtype=wp.vec3),
    tangents: wp.array2d(dtype=wp.vec3),
    visibility: wp.array3d(dtype=wp.float32),
    lit_index: wp.array(dtype=wp.int32),
    dead: wp.array2d(dtype=wp.uint8),
    shelter: wp.array2d(dtype=wp.float32),
    hair_first: wp.int32,
    count: wp.int32,
    span: wp.int32,
    glow: wp.array2d(dtype=wp.vec4),
):
    """Irradiance (rgb) and reflected highlight (luminance) at every vertex of the scene.

    material (V,) of each vertex; open_sky, oily (V,) static; dead (B,V): ABSENT is not lit; shelter (B, head vertices):
    share of the sky that accessories leave.
    """
    b, chunk = wp.tid()
    scatter_skin = looks[b].scatter
    roughness_skin = looks[b].roughness
    eye = looks[b].eye
    l0 = looks[b].light0
    l2 = looks[b].light2
    c0 = looks[b].colour0
    c2 = looks[b].colour2
    for i in range(chunk * span, wp.min((chunk + 1) * span, count)):
        kind = wp.int32(material[i])
        if kind != IS_UNUSED and dead[b, i] != ABSENT:
            n = normals[b, i]
            view = wp.normalize(eye - vertices[b, i])
            inner = float(1.0)
            if kind >= IS_HAIR and wp.dot(n, view) < 0.0:
                n = -n
                if kind == IS_HAIR:
                    inner = 0.35  # the inner side, behind the neck, sees little light
            shadow = lit_index[i]
            seen0 = float(1.0)
            seen1 = float(1.0)
            if shadow >= 0:
                seen0 = visibility[b, 0, shadow]
                seen1 = visibility[b, 1, shadow]
            sky = (1.0 - looks[b].occlusion * (1.0 - open_sky[i])) * inner
            seen0 = seen0 * inner
            seen1 = seen1 * inner
            if i < shelter.shape[1]:
                sky = sky * shelter[b, i]
            seen2 = wp.min(1.0, 1.3 * open_sky[i])
            if looks[b].casting < 2:
                seen1 = seen2
            scatter = float(0.2)
            if kind == IS_BODY:
                scatter = scatter_skin
            e = sky_light(looks, b, n) * sky
            if kind == IS_BODY:
                e = wp.vec3(e[0] * (1.0 + 0.5 * scatter * (1.0 - sky)), e[1], e[2])
            ambient = e[1]
            d0 = wp.dot(n, l0)
            second = second_light(looks, b, vertices[b, i])
            l1 = wp.vec3(second[0], second[1], second[2])
            c1 = looks[b].colour1 * second[3]
            d1 = risen(looks, b, wp.dot(n, l1))
            d2 = wp.dot(n, l2)
            if kind == IS_HAIR:
                scatter = 0.3
            e = e + wrapped(d0, scatter, seen0, c0)
            if c1[1] > 0.0:
                e = e + wrapped(d1, scatter, seen1, c1)
            if c2[1] > 0.0:
                e = e + wrapped(d2, scatter, seen2, c2)
            s = float(0.0)
            if kind == IS_HAIR:
                tangent = tangents[b, i - hair_first]
                s = strand_highlight(tangent, view, l0) * wp.clamp(d0 + 0.3, 0.0, 1.0) * seen0 * c0[1]
                if c1[1] > 0.0:
                    s = s + strand_highlight(tangent, view, l1) * wp.clamp(d1 + 0.3, 0.0, 1.0) * seen1 * c1[1]
                if c2[1] > 0.0:
                    s = s + strand_highlight(tangent, view, l2) * wp.clamp(d2 + 0.3, 0.0, 1.0) * c2[1]
            else:
                gloss = float(0.8)
                roughness = float(0.25)
                if kind == IS_BODY:
                    gloss = looks[b].sebum * (0.45 + 0.75 * oily[i])
                    roughness = roughness_skin
                s = sheen(looks, b, n, view, ambient, sky, seen0, seen1, seen2, second, roughness) * gloss
            glow[b, i] = wp.vec4(e[0], e[1], e[2], s)


@wp.kernel
def paint_kernel(
    looks: wp.array(dtype=Look),
    tiles: wp.array(dtype=wp.vec4),
    mm: wp.array(dtype=wp.vec3),
    skin_uv: wp.array(dtype=wp.vec2),
    marks: Marks,
    stains: Stains,
    count: wp.int32,
    span: wp.int32,
    albedos: wp.array2d(dtype=wp.vec4),
    painted: wp.array2d(dtype=wp.vec4),
):
    """What varies slowly over the skin, per vertex of the head.

    albedos: albedo, beard; painted: lips, mm inside the hairline, mm above the collar, socket.
    """
    b, chunk = wp.tid()
    tone = looks[b].tone
    for i in range(chunk * span, wp.min((chunk + 1) * span, count)):
        uv = skin_uv[i]
        blotch = square_at(tiles, CLOUD_START, uv[0] * 0.35 + looks[b].offset_u, uv[1] * 0.35 + looks[b].offset_v)
        red = looks[b].blush * (marks.blush[i] + 0.4 * blotch[1]) + looks[b].rouge * marks.blush[i]
        dark = looks[b].sockets * marks.socket[i] + looks[b].bags * marks.bag[i]
        shade = (1.0 + 0.5 * looks[b].mottle * blotch[0]) * (1.0 - 0.55 * dark)
        lid = looks[b].eyeshadow * marks.shadow[i]
        made_up = looks[b].shadow_colour
        albedo = wp.vec3(
            tone[0] * shade * (1.0 + 0.12 * red) * (1.0 - lid) + made_up[0] * lid,
            tone[1] * shade * (1.0 - 0.75 * red) * (1.0 - 0.1 * dark) * (1.0 - lid) + made_up[1] * lid,
            tone[2] * shade * (1.0 - 0.6 * red) * (1.0 - lid) + made_up[2] * lid,
        )
        for k in range(stains.count):
            if stains.speckle[k][3] == 0.0:
                part = stains.amount[b, k] * stains.where[k, i]
                albedo = wp.cw_mul(albedo, wp.vec3(1.0 - part, 1.0 - part, 1.0 - part) + stains.colour[k] * part)
        beard = beard_density(looks, tiles, marks, uv, b, i)
        albedos[b, i] = wp.vec4(albedo[0], albedo[1], albedo[2], beard)
        inside = marks.inside[i] - line_shift(looks, b, wp.abs(marks.azimuth[i]))
        point = mm[i]
        collar = marks.collar[i] - looks[b].neckline
        if point[2] > -60.0:
            # a v-neck opens in front, widest at the neck
            collar = collar + looks[b].vee * wp.max(45.0 - wp.abs(point[0]), 0.0)
        painted[b, i] = wp.vec4(marks.lips[i], inside, collar, dark)
