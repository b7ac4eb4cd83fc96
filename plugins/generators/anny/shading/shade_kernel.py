"""The shading kernel: what a pixel sees of the two layers, its colour, and the class that colour stands for.

Layer A holds what is opaque, layer B what may be thin: hair, beards, lashes, lenses. Where B lies in front of A it is
blended over it, and between them the inner side of hair: what locks leave open shows hair, not the background.
The class map is decided at the pixel's centre, from the same numbers as the colour:

- what lies in layer A: by the fragment itself (see `fragments`);
- hair, beards, lenses in layer B: where their opacity, strands included, reaches one half; then depth and face are
  theirs too;
- a clear lens: over skin, nose and lids. Eyes and brows, and whatever else is seen through it, keep their class, depth
  and face, as those who annotate photographs have it;
- lashes never change a class.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: UP018, SIM109
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..mesh import materials
from .arrays import Head, Picture, Posed
from .draw_kernels import closeness_of, face_of, weights_of
from .fragments import (
    between,
    classes,
    shade_body,
    shade_eye,
    shade_lining,
    shade_other,
    shade_thin,
    shade_worn,
)
from .look import Look
from .scenery import enlarged

wp.set_module_options({"enable_backward": False})

IS_BODY, IS_LEFT_EYE, IS_RIGHT_EYE = (wp.constant(m) for m in (materials.BODY, materials.LEFT_EYE, materials.RIGHT_EYE))
IS_HAIR, IS_LASHES, IS_BEARD, IS_LENS, IS_WORN = (
    wp.constant(m) for m in (materials.HAIR, materials.LASHES, materials.BEARD, materials.LENS, materials.WORN)
)
NOTHING = wp.constant(wp.int64(0))
C_HAIR, C_BEARD, C_GLASSES, C_LENS = classes("hair", "facial_hair", "glasses", "lens")
C_SKIN, C_NOSE, C_LEFT_LID, C_RIGHT_LID = classes("skin", "nose", "left_lid", "right_lid")


@wp.kernel
def shade_kernel(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    solid: wp.array(dtype=wp.int64),
    thin: wp.array(dtype=wp.int64),
    lining: wp.array(dtype=wp.int64),
    size: wp.int32,
    span: wp.int32,
    picture: Picture,
):
    """Shade every pixel; see the module. solid, thin, lining: key buffers of `draw_kernels`."""
    b, y, chunk = wp.tid()
    width = size
    row = (b * size + y) * size
    fy = float(y) + 0.5
    inverse = 1.0 / float(size)
    for x in range(chunk * span, wp.min((chunk + 1) * span, width)):
        fx = float(x) + 0.5
        key = solid[row + x]
        inner = lining[row + x]
        front = wp.where(inner > thin[row + x], NOTHING, thin[row + x])
        cover = float(0.0)
        over = wp.vec4(0.0, 0.0, 0.0, 0.0)
        kind = 0
        glass = 0
        ahead = -1
        lined = float(0.0)
        grown = 0
        below = 0
        face = -1
        close = float(0.0)
        w = wp.vec3(0.0, 0.0, 0.0)
        v = wp.vec3(0.0, 0.0, 0.0)
        colour = wp.vec3(0.0, 0.0, 0.0)
        # the word of closeness decides, the other only breaks ties
        if front > key:
            thin_face = face_of(front)
            material = wp.int32(head.material[thin_face])
            c = head.faces[thin_face]
            v = weights_of(posed.screen, b * posed.count, c, fx, fy)
            over = shade_thin(looks, head, posed, b, material, c, v)
            cover = over[3]
            ahead = material
            if material == IS_LENS:
                glass = 1
            if cover >= 0.5 and material != IS_LASHES:
                kind = wp.where(material == IS_LENS, C_LENS, wp.where(material == IS_BEARD, C_BEARD, C_HAIR))
                face = thin_face
                close = closeness_of(front)
                w = v
        if cover < 1.0 and inner > key:
            c = head.faces[face_of(inner)]
            v = weights_of(posed.screen, b * posed.count, c, fx, fy)
            over = shade_lining(looks, head, posed, b, c, v, over)
            if cover < 0.5 and over[3] >= 0.5:
                kind = C_HAIR
                face = face_of(inner)
                close = closeness_of(inner)
                w = v
            lined = over[3] - cover
            cover = over[3]
        if cover < 1.0:
            under = wp.vec3(0.0, 0.0, 0.0)
            if key != NOTHING:
                solid_face = face_of(key)
                material = wp.int32(head.material[solid_face])
                c = head.faces[solid_face]
                v = weights_of(posed.screen, b * posed.count, c, fx, fy)
                glow = between(posed.glow, b * posed.count, c, v)
                if material == IS_BODY:
                    sample = shade_body(looks, head, posed, b, solid_face, c, v, glow)
                    under = wp.vec3(sample[0], sample[1], sample[2])
                    grown = wp.int32(sample[3])
                    below = grown & 255
                elif material == IS_LEFT_EYE or material == IS_RIGHT_EYE:
                    view = -wp.normalize(looks[b].ray0 + looks[b].ray_x * float(x) + looks[b].ray_y * float(y))
                    under = shade_eye(looks, head, posed, b, material - IS_LEFT_EYE, c, v, view, glow)
                    below = wp.int32(head.region[solid_face])
                elif material == IS_WORN:
                    sample = shade_worn(looks, head, posed, b, c, v, glow)
                    under = wp.vec3(sample[0], sample[1], sample[2])
                    below = wp.int32(sample[3])
                else:
                    sample = shade_other(looks, head, b, material, solid_face, c, v, glow)
                    under = wp.vec3(sample[0], sample[1], sample[2])
                    below = wp.int32(sample[3])
                if face < 0:
                    kind = below
                    if glass == 1 and (
                        below == C_SKIN or below == C_NOSE or below == C_LEFT_LID or below == C_RIGHT_LID
                    ):
                        kind = C_LENS
                    face = solid_face
                    close = closeness_of(key)
                    w = v
            else:
                under = enlarged(posed.backdrop, (width + 1) >> 1, b, y, x)
            colour = under
        if cover > 0.0:
            colour = colour * (1.0 - cover) + wp.vec3(over[0], over[1], over[2]) * cover
        dx = fx * inverse - 0.5
        dy = fy * inverse - 0.5
        fade = 1.0 - 2.0 * looks[b].vignette * (dx * dx + dy * dy)
        if picture.matted == 1:
            rest = 1.0 - cover
            first = cover - lined
            hair = rest * float(grown >> 16) / 255.0 + lined + wp.where(ahead == IS_HAIR, first, 0.0)
            beard = rest * float((grown >> 8) & 255) / 255.0 + wp.where(ahead == IS_BEARD, first, 0.0)
            glasses = wp.where(below == C_GLASSES, rest, 0.0) + wp.where(ahead == IS_LENS, first, 0.0)
            solid_there = wp.where(key != NOTHING, rest, 0.0)
            picture.mattes[row + x] = wp.vec4(hair, beard, glasses, cover + solid_there)
        picture.light[row + x] = wp.cw_mul(colour, looks[b].gain * fade)
        picture.label[row + x] = wp.uint8(kind)
        picture.face_id[row + x] = face
        picture.barycentric[row + x] = w
        picture.z[row + x] = wp.where(face >= 0, 1.0 / close, 0.0)
