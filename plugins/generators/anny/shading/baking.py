"""The albedo of any place of the scene's mesh, whether a pixel shows it or not: for texture maps.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: SIM109
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..mesh import materials
from .arrays import Head, Posed
from .fragments import between, shade_body, shade_eye, shade_other, shade_thin, shade_worn
from .look import Look
from .shade_kernel import IS_BEARD, IS_BODY, IS_HAIR, IS_LASHES, IS_LEFT_EYE, IS_LENS, IS_RIGHT_EYE, IS_WORN

UNUSED = wp.constant(materials.UNUSED)
wp.set_module_options({"enable_backward": False})


@wp.kernel
def bake_kernel(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    b: wp.int32,
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    out: wp.array(dtype=wp.vec4),
):
    """Light and opacity of picture b at barycentrics of faces; looks, posed: of even white light."""
    i = wp.tid()
    f = faces[i]
    w = weights[i]
    c = head.faces[f]
    material = wp.int32(head.material[f])
    found = wp.vec4(0.0, 0.0, 0.0, 1.0)
    glow = between(posed.glow, b * posed.count, c, w)
    if material == IS_BODY:
        found = shade_body(looks, head, posed, b, f, c, w, glow)
        found[3] = 1.0
    elif material == IS_WORN:
        found = shade_worn(looks, head, posed, b, c, w, glow)
        found[3] = 1.0
    elif material == IS_HAIR or material == IS_BEARD or material == IS_LASHES or material == IS_LENS:
        found = shade_thin(looks, head, posed, b, material, c, w)
    elif material == IS_LEFT_EYE or material == IS_RIGHT_EYE:
        plain = shade_eye(looks, head, posed, b, material - IS_LEFT_EYE, c, w, wp.vec3(0.0, 0.0, 1.0), glow)
        found = wp.vec4(plain[0], plain[1], plain[2], 1.0)
    else:
        found = shade_other(looks, head, b, material, f, c, w, glow)
        found[3] = 1.0
    base = b * posed.count
    alive = wp.max(posed.screen[base + c[0]][2], wp.max(posed.screen[base + c[1]][2], posed.screen[base + c[2]][2]))
    if material == UNUSED or alive <= 0.0:
        found[3] = 0.0
    out[i] = found
