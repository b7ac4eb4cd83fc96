"""The shading kernel of `quality: fine`: colours alone, at twice the picture's resolution, in traced light.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: UP018, SIM109
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..mesh import materials
from .arrays import Head, Posed
from .draw_kernels import face_of, weights_of
from .fragments import between, shade_body, shade_eye, shade_lining, shade_other, shade_thin, shade_worn
from .hair_kernels import Hairs, hair_light
from .look import Look
from .probe_kernels import Probes, alike
from .scenery import enlarged
from .shade_kernel import IS_BODY, IS_LEFT_EYE, IS_RIGHT_EYE, IS_WORN, NOTHING
from .surfaces import second_light, sheen
from .tiles import SKIN_START, square_at

wp.set_module_options({"enable_backward": False})

IS_TEETH, IS_TONGUE = wp.constant(materials.TEETH), wp.constant(materials.TONGUE)
BUMPS = wp.constant(2.5)  # slope of the relief that highlights see, over that which darkens


@wp.func
def arrived(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    probes: Probes,
    oily: wp.array(dtype=wp.float32),
    material: wp.int32,
    c: wp.vec3i,
    w: wp.vec3,
    x: wp.float32,
    y: wp.float32,
    view: wp.vec3,
) -> wp.vec4:
    """Irradiance and highlight at a fragment, at (x, y) in cells of the probes; where they see other surfaces, what its
    vertices receive."""
    p = between(posed.vertices, 0, c, w)
    n = wp.normalize(between(posed.normals, 0, c, w))
    i = wp.int32(wp.floor(x))
    j = wp.int32(wp.floor(y))
    e = wp.vec3(0.0, 0.0, 0.0)
    seen = wp.vec4(0.0, 0.0, 0.0, 0.0)
    total = float(0.0)
    for corner in range(4):
        column = i + (corner & 1)
        row = j + (corner >> 1)
        if column >= 0 and row >= 0 and column < probes.width and row < probes.width:
            cell = row * probes.width + column
            near = (1.001 - wp.abs(x - float(column))) * (1.001 - wp.abs(y - float(row)))
            share = near * alike(probes, cell, 1.0 + float(material), p, n)
            e = e + probes.light[cell] * share
            seen = seen + probes.seen[cell] * share
            total = total + share
    # teeth and tongue have rules of their own for what reaches them
    if total < 0.001 or material == IS_TEETH or material == IS_TONGUE:
        return between(posed.glow, 0, c, w)
    e = e / total
    seen = seen / total
    gloss = float(0.8)
    roughness = float(0.25)
    m = n
    if material == IS_BODY:
        gloss = looks[0].sebum * (0.45 + 0.75 * between(oily, 0, c, w))
        roughness = looks[0].roughness
        uv = between(head.uv, 0, c, w)
        noise = square_at(head.tiles, SKIN_START, uv[0] + looks[0].offset_u, uv[1] + looks[0].offset_v)
        fine = square_at(head.tiles, SKIN_START, uv[0] * 2.7 + looks[0].offset_v, uv[1] * 2.7 + looks[0].offset_u)
        slope = BUMPS * (looks[0].relief + 0.02)
        aside = wp.normalize(wp.cross(wp.vec3(0.0, 1.0, 0.0), n))
        up = wp.cross(n, aside)
        tilt = aside * (noise[2] + 0.7 * fine[2]) + up * (noise[3] + 0.7 * fine[3])
        m = wp.normalize(n - tilt * slope)
    second = second_light(looks, 0, p)
    s = sheen(looks, 0, m, view, e[1] * seen[2], seen[2], seen[0], seen[1], seen[2], second, roughness)
    return wp.vec4(e[0], e[1], e[2], s * gloss)


@wp.kernel
def fine_kernel(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    solid: wp.array(dtype=wp.int64),
    thin: wp.array(dtype=wp.int64),
    lining: wp.array(dtype=wp.int64),
    oily: wp.array(dtype=wp.float32),
    probes: Probes,
    strands: wp.array(dtype=wp.int64),
    hairs: Hairs,
    scale: wp.float32,
    size: wp.int32,
    span: wp.int32,
    out: wp.array(dtype=wp.vec4),
):
    """Light of every pixel of one picture, with the opacity of all before the background. scale: pixels of the
    probes' picture a pixel."""
    y, chunk = wp.tid()
    row = y * size
    inverse = 1.0 / float(size)
    fy = float(y) + 0.5
    for x in range(chunk * span, wp.min((chunk + 1) * span, size)):
        fx = float(x) + 0.5
        key = solid[row + x]
        inner = lining[row + x]
        front = wp.where(inner > thin[row + x], NOTHING, thin[row + x])
        over = wp.vec4(0.0, 0.0, 0.0, 0.0)
        strand = strands[row + x]
        if front > key and front > strand:
            face = face_of(front)
            c = head.faces[face]
            w = weights_of(posed.screen, 0, c, fx, fy)
            over = shade_thin(looks, head, posed, 0, wp.int32(head.material[face]), c, w)
        if over[3] < 1.0 and inner > key and inner > strand:
            c = head.faces[face_of(inner)]
            over = shade_lining(looks, head, posed, 0, c, weights_of(posed.screen, 0, c, fx, fy), over)
        colour = wp.vec3(0.0, 0.0, 0.0)
        opaque = float(1.0)
        if over[3] < 1.0:
            if strand > key:
                colour = hair_light(hairs, face_of(strand), fx, fy)
            elif key != NOTHING:
                face = face_of(key)
                material = wp.int32(head.material[face])
                c = head.faces[face]
                w = weights_of(posed.screen, 0, c, fx, fy)
                view = -wp.normalize(looks[0].ray0 + looks[0].ray_x * float(x) + looks[0].ray_y * float(y))
                # a cell's probe stands at the centre of its middle pixel
                step = float(probes.step)
                cx = (fx * scale - float(probes.step / 2) - 0.5) / step
                cy = (fy * scale - float(probes.step / 2) - 0.5) / step
                glow = arrived(looks, head, posed, probes, oily, material, c, w, cx, cy, view)
                if material == IS_BODY:
                    skin = shade_body(looks, head, posed, 0, face, c, w, glow)
                    colour = wp.vec3(skin[0], skin[1], skin[2])
                elif material == IS_LEFT_EYE or material == IS_RIGHT_EYE:
                    colour = shade_eye(looks, head, posed, 0, material - IS_LEFT_EYE, c, w, view, glow)
                elif material == IS_WORN:
                    worn = shade_worn(looks, head, posed, 0, c, w, glow)
                    colour = wp.vec3(worn[0], worn[1], worn[2])
                else:
                    other = shade_other(looks, head, 0, material, face, c, w, glow)
                    colour = wp.vec3(other[0], other[1], other[2])
            else:
                colour = enlarged(posed.backdrop, (size + 1) >> 1, 0, y, x)
                opaque = over[3]
        colour = colour * (1.0 - over[3]) + wp.vec3(over[0], over[1], over[2]) * over[3]
        dx = fx * inverse - 0.5
        dy = fy * inverse - 0.5
        colour = wp.cw_mul(colour, looks[0].gain * (1.0 - 2.0 * looks[0].vignette * (dx * dx + dy * dy)))
        out[row + x] = wp.vec4(colour[0], colour[1], colour[2], opaque)
