"""The shading kernel: what a pixel sees of the two layers, its colour, and the class that colour stands for.

Layer A holds what is opaque, layer B what may be thin: hair, lashes, lenses. Where B lies in front of A it is blended
over it. The class map is decided here, from the same numbers as the colour:

- skin, ears, lips, eyes, mouth ... : the head's own region table at the pixel's centre;
- brow: where the brow's smooth outline (without single strands) covers at least half;
- facial hair, hair painted on the scalp: where their smooth density reaches one half;
- hair in layer B: where its opacity, strands included, reaches one half; then depth and face are the hair's too;
- lashes and lenses: lashes never change a class; a lens is `lens` whatever lies behind it.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from synthforge.core.schemas import SYNTHFORGE

from .look import Look
from .scenery import backdrop, cloth_colour, shadow_of_lid
from .surfaces import (
    Surface,
    beard_cover,
    brow_cover,
    eye_colour,
    hair_light,
    reflected,
    roughen,
)
from .tiles import CLOUDS, SKIN, STRANDS, step_between, tile_at

wp.set_module_options({"enable_backward": False})

# what a face is made of
BODY, LEFT_EYE, RIGHT_EYE, TEETH, TONGUE, LASHES, HAIR, FRAME, LENS, OCCLUDER, UNUSED = range(11)
IS_LEFT_EYE, IS_RIGHT_EYE, IS_TEETH, IS_TONGUE = (wp.constant(m) for m in (LEFT_EYE, RIGHT_EYE, TEETH, TONGUE))
IS_BODY, IS_LASHES, IS_HAIR, IS_FRAME = (wp.constant(m) for m in (BODY, LASHES, HAIR, FRAME))
IS_LENS, IS_OCCLUDER = wp.constant(LENS), wp.constant(OCCLUDER)
SKIN_TILE, STRAND_TILE, CLOUD_TILE = (wp.constant(t) for t in (SKIN, STRANDS, CLOUDS))


def _class(name: str):
    return wp.constant(wp.int32(SYNTHFORGE.id(name)))


C_SKIN, C_NOSE, C_MOUTH, C_HAIR, C_BEARD = (_class(n) for n in ("skin", "nose", "inner_mouth", "hair", "facial_hair"))
C_LEFT_BROW, C_RIGHT_BROW, C_LEFT_EAR, C_RIGHT_EAR = (
    _class(n) for n in ("left_brow", "right_brow", "left_ear", "right_ear")
)
C_LEFT_LID, C_RIGHT_LID, C_CLOTH, C_SCALP = (_class(n) for n in ("left_lid", "right_lid", "cloth", "scalp"))
C_GLASSES, C_LENS, C_OCCLUDER = (_class(n) for n in ("glasses", "lens", "occluder"))


@wp.struct
class Head:
    """Static arrays of the scene's mesh and of its head."""

    faces: wp.array(dtype=wp.vec3i)
    material: wp.array(dtype=wp.uint8)
    regions: wp.array3d(dtype=wp.uint8)
    brow: wp.array(dtype=wp.vec2)
    brow_face: wp.array(dtype=wp.uint8)
    mm: wp.array(dtype=wp.vec3)
    axis: wp.array(dtype=wp.vec3)
    tiles: wp.array3d(dtype=wp.vec4)
    lit: wp.array(dtype=wp.int32)
    hair_first: int


@wp.struct
class Posed:
    """Per-image arrays of the scene's mesh."""

    paint: wp.array2d(dtype=wp.vec4)
    vertices: wp.array2d(dtype=wp.vec3)
    normals: wp.array2d(dtype=wp.vec3)
    strand: wp.array2d(dtype=wp.vec4)
    tangent: wp.array2d(dtype=wp.vec3)
    seen: wp.array3d(dtype=wp.float32)
    eyes: wp.array3d(dtype=wp.vec3)
    shapes: wp.array3d(dtype=wp.float32)


@wp.struct
class Layer:
    """Fragments of one layer, and the scene's face number of each of its faces."""

    face_id: wp.array3d(dtype=wp.int32)
    barycentric: wp.array3d(dtype=wp.vec3)
    z: wp.array3d(dtype=wp.float32)
    number: wp.array(dtype=wp.int32)


@wp.struct
class Picture:
    """What the kernel writes."""

    light: wp.array3d(dtype=wp.vec3)
    label: wp.array3d(dtype=wp.uint8)
    face_id: wp.array3d(dtype=wp.int32)
    barycentric: wp.array3d(dtype=wp.vec3)
    z: wp.array3d(dtype=wp.float32)


@wp.struct
class Sample:
    """A shaded point: reflected light and class."""

    light: wp.vec3
    label: int


@wp.func
def blend4(paint: wp.array2d(dtype=wp.vec4), b: wp.int32, c: wp.vec3i, w: wp.vec3, slot: wp.int32) -> wp.vec4:
    return paint[b, c[0] * 4 + slot] * w[0] + paint[b, c[1] * 4 + slot] * w[1] + paint[b, c[2] * 4 + slot] * w[2]


@wp.func
def shade_body(
    look: Look, head: Head, posed: Posed, b: wp.int32, f: wp.int32, c: wp.vec3i, w: wp.vec3, view: wp.vec3
) -> Sample:
    """Skin and all that is painted on it."""
    out = Sample()
    label = wp.int32(head.regions[f, wp.min(wp.int32(w[0] * 16.0), 15), wp.min(wp.int32(w[1] * 16.0), 15)])
    p0 = blend4(posed.paint, b, c, w, 0)
    p1 = blend4(posed.paint, b, c, w, 1)
    p2 = blend4(posed.paint, b, c, w, 2)
    p3 = blend4(posed.paint, b, c, w, 3)
    s = Surface()
    s.normal = wp.normalize(wp.vec3(p0[0], p0[1], p0[2]))
    s.view = view
    s.open_sky = p0[3]
    s.seen0 = p3[2]
    s.seen1 = p3[3]
    noise = tile_at(head.tiles, SKIN_TILE, p3[0] + look.offset_u, p3[1] + look.offset_v)
    if p2[3] < 0.0:
        mm = head.mm[c[0]] * w[0] + head.mm[c[1]] * w[1] + head.mm[c[2]] * w[2]
        scale = look.cloth_scale
        weave = tile_at(head.tiles, CLOUD_TILE, mm[0] * scale, (mm[1] + 0.4 * mm[2]) * scale)
        s.albedo = cloth_colour(look, weave) * (1.0 - 0.35 * step_between(-5.0, 0.0, p2[3]))
        s.normal = roughen(s.normal, wp.vec2(noise[2], noise[3]) * 0.2)
        out.light = reflected(look, s)
        out.label = C_CLOTH
        return out
    if label == C_LEFT_BROW or label == C_RIGHT_BROW:
        label = C_SKIN

    s.scatter = wp.vec3(look.scatter, look.scatter * 0.45, look.scatter * 0.3)
    s.roughness = look.roughness
    s.gloss = p1[3] * (1.0 + 0.35 * noise[1])
    albedo = wp.vec3(p1[0], p1[1], p1[2])
    fine = 1.0 + look.mottle * noise[0] + look.grain * noise[1]
    albedo = albedo * fine
    if look.freckles > 0.0:
        spot = look.freckles * step_between(0.25, 0.6, noise[1]) * step_between(0.2, 0.8, p0[3])
        albedo = wp.cw_mul(albedo, wp.vec3(1.0 - 0.35 * spot, 1.0 - 0.5 * spot, 1.0 - 0.6 * spot))
    lips = step_between(0.25, 0.75, p2[0])
    if lips > 0.0:
        albedo = albedo * (1.0 - lips) + look.lips * (lips * (1.0 + 0.18 * noise[0] + 0.1 * noise[1]))
        s.gloss = s.gloss + lips * look.lip_gloss * (0.8 + noise[1])
        s.roughness = s.roughness * (1.0 - 0.3 * lips)
    relief = look.relief
    if head.brow_face[f] != wp.uint8(0):
        st = head.brow[c[0]] * w[0] + head.brow[c[1]] * w[1] + head.brow[c[2]] * w[2]
        lean = st[0] * 90.0 + st[1] * 14.0
        hairs = tile_at(head.tiles, STRAND_TILE, lean + look.hair_v, st[1] * 9.0 + look.hair_u)
        cover = brow_cover(look, st[0], st[1], hairs)
        if cover > 0.01:
            albedo = albedo * (1.0 - cover) + look.brow * (cover * (1.0 + 0.5 * hairs[0]))
            s.gloss = s.gloss * (1.0 - 0.7 * cover)
            outline = (look.brow_thickness * (1.0 - look.brow_taper * step_between(0.45, 1.05, st[0]))) - wp.abs(st[1])
            if outline > 0.0 and st[0] > 0.0 and st[0] < 0.98:
                label = C_LEFT_BROW
                if head.mm[c[0]][0] < 0.0:
                    label = C_RIGHT_BROW
    if p2[1] > 0.02 and lips < 0.7:
        density = p2[1] * (1.0 - lips)
        fibre = tile_at(head.tiles, STRAND_TILE, p3[0] * 1.3 + look.hair_u, p3[1] * 2.5 + look.hair_v)
        cover = beard_cover(look, density, fibre)
        albedo = albedo * (1.0 - cover) + look.beard * (cover * (1.0 + 0.6 * fibre[0]))
        s.gloss = s.gloss * (1.0 - 0.8 * cover)
        relief = relief + 0.5 * cover
        if density >= 0.5:
            label = C_BEARD
    if p2[2] > -14.0 and look.roots > 0.0 and label != C_LEFT_EAR and label != C_RIGHT_EAR:
        fibre = tile_at(head.tiles, STRAND_TILE, p3[0] * 2.0 + look.hair_u, p3[1] * 1.2 + look.hair_v)
        density = step_between(-5.0, 5.0, p2[2] + 4.0 * noise[0])
        cover = wp.clamp(density * look.roots * (0.9 + 0.35 * fibre[0]), 0.0, 1.0)
        albedo = albedo * (1.0 - cover) + look.hair * (cover * (0.85 + 0.5 * fibre[0]))
        s.gloss = s.gloss * (1.0 - 0.8 * cover)
        if density * look.roots >= 0.5:
            label = C_HAIR
    if label == C_LEFT_LID or label == C_RIGHT_LID:
        # lids are thin, moist and, at the rim, painted or shaded by lashes
        albedo = wp.cw_mul(albedo, wp.vec3(0.95, 0.86, 0.86)) * (1.0 - 0.5 * look.liner)
    if label == C_MOUTH:
        albedo = wp.vec3(0.20, 0.045, 0.04)
        s.open_sky = 0.25 * s.open_sky
        s.seen0 = 0.35 * s.seen0
        s.seen1 = 0.35 * s.seen1
    s.albedo = albedo
    s.normal = roughen(s.normal, wp.vec2(noise[2], noise[3]) * relief)
    out.light = reflected(look, s)
    out.label = label
    return out


@wp.func
def shade_eye(
    look: Look, head: Head, posed: Posed, b: wp.int32, side: wp.int32, c: wp.vec3i, w: wp.vec3, view: wp.vec3
) -> wp.vec3:
    """The eyeball: its colour by direction from its centre, darker under the upper lid and in the corners."""
    s = Surface()
    d = wp.normalize(head.axis[c[0]] * w[0] + head.axis[c[1]] * w[1] + head.axis[c[2]] * w[2])
    n = posed.normals[b, c[0]] * w[0] + posed.normals[b, c[1]] * w[1] + posed.normals[b, c[2]] * w[2]
    p = posed.vertices[b, c[0]] * w[0] + posed.vertices[b, c[1]] * w[1] + posed.vertices[b, c[2]] * w[2]
    p3 = blend4(posed.paint, b, c, w, 3)
    noise = tile_at(head.tiles, SKIN_TILE, d[0] * 70.0 + look.offset_v, d[1] * 70.0 + look.offset_u)
    colour = eye_colour(look, d, noise)
    from_middle = p - posed.eyes[b, side, 0]
    across = wp.dot(from_middle, posed.eyes[b, side, 1])
    height = wp.dot(from_middle, posed.eyes[b, side, 2]) * 1000.0
    rims = posed.eyes[b, side, 3]
    arch = wp.max(1.0 - across * across, 0.0)
    lid = shadow_of_lid(rims[0] * arch - height, look.lid_shadow)
    lower = 1.0 - 0.25 * step_between(1.5, -0.5, height - rims[1] * arch)
    corner = 1.0 - 0.5 * step_between(0.55, 1.05, wp.abs(across))
    s.normal = wp.normalize(n)
    s.view = view
    s.albedo = wp.vec3(colour[0], colour[1], colour[2])
    s.scatter = wp.vec3(0.25, 0.25, 0.25)
    s.gloss = colour[3]
    s.roughness = 0.12
    s.open_sky = 0.85 * lid * lower * corner
    s.seen0 = (0.3 + 0.7 * p3[2]) * lid
    s.seen1 = (0.3 + 0.7 * p3[3]) * lid
    return reflected(look, s)


@wp.func
def shade_plain(
    look: Look,
    posed: Posed,
    b: wp.int32,
    c: wp.vec3i,
    w: wp.vec3,
    view: wp.vec3,
    albedo: wp.vec3,
    gloss: wp.float32,
    roughness: wp.float32,
    open_sky: wp.float32,
    seen: wp.float32,
) -> wp.vec3:
    """Teeth, tongue, frames: one colour, smooth normals."""
    s = Surface()
    n = posed.normals[b, c[0]] * w[0] + posed.normals[b, c[1]] * w[1] + posed.normals[b, c[2]] * w[2]
    s.normal = wp.normalize(n)
    s.view = view
    s.albedo = albedo
    s.scatter = wp.vec3(0.2, 0.1, 0.1)
    s.gloss = gloss
    s.roughness = roughness
    s.open_sky = open_sky
    s.seen0 = seen
    s.seen1 = seen
    return reflected(look, s)


@wp.func
def hair_sample(look: Look, head: Head, posed: Posed, b: wp.int32, c: wp.vec3i, w: wp.vec3, view: wp.vec3) -> wp.vec4:
    """Light reflected by a hair fragment, and its opacity."""
    i = c[0] - head.hair_first
    j = c[1] - head.hair_first
    k = c[2] - head.hair_first
    h = posed.strand[b, i] * w[0] + posed.strand[b, j] * w[1] + posed.strand[b, k] * w[2]
    v = h[1]
    curl = wp.sin(v * (0.03 + 0.06 * look.wave) + look.hair_v)
    u = h[0] + look.hair_u + look.wave * 9.0 * curl + look.sweep * v
    noise = tile_at(head.tiles, STRAND_TILE, u, v + look.hair_v)
    left = (h[2] - v) / look.ragged + 0.5 * noise[1]
    cover = step_between(0.0, 0.3, left + 0.35 - 0.7 * noise[2]) * step_between(0.3, 0.7, h[3])
    if cover <= 0.0:
        return wp.vec4(0.0, 0.0, 0.0, 0.0)
    s = Surface()
    n = posed.normals[b, c[0]] * w[0] + posed.normals[b, c[1]] * w[1] + posed.normals[b, c[2]] * w[2]
    n = wp.normalize(n)
    if wp.dot(n, view) < 0.0:
        n = -n
    s.normal = roughen(n, wp.vec2(0.35 * noise[1] + 0.2 * noise[0], 0.0))
    s.view = view
    seen = wp.vec2(0.0, 0.0)
    for q in range(3):
        lit = head.lit[c[q]]
        if lit >= 0:
            seen = seen + wp.vec2(posed.seen[b, 0, lit], posed.seen[b, 1, lit]) * w[q]
        else:
            seen = seen + wp.vec2(w[q], w[q])
    s.seen0 = seen[0]
    s.seen1 = seen[1]
    s.open_sky = wp.clamp(0.72 + 0.35 * noise[1] + 0.2 * n[1], 0.2, 1.0)
    tangent = posed.tangent[b, i] * w[0] + posed.tangent[b, j] * w[1] + posed.tangent[b, k] * w[2]
    shade = 1.0 + look.hair_contrast * (0.8 * noise[0] + 0.7 * noise[3])
    colour = look.hair * wp.max(shade, 0.15)
    light = hair_light(look, s, wp.normalize(tangent), colour, 0.25 * noise[0])
    return wp.vec4(light[0], light[1], light[2], cover)


@wp.kernel
def shade_kernel(
    looks: wp.array(dtype=Look), head: Head, posed: Posed, solid: Layer, thin: Layer, span: wp.int32, picture: Picture
):
    """Shade every pixel; see the module."""
    b, y, chunk = wp.tid()
    look = looks[b]
    width = picture.light.shape[2]
    for x in range(chunk * span, wp.min((chunk + 1) * span, width)):
        fx = float(x)
        fy = float(y)
        view = -wp.normalize(look.ray0 + look.ray_x * fx + look.ray_y * fy)
        light = wp.vec3(0.0, 0.0, 0.0)
        label = 0
        face = -1
        w = wp.vec3(0.0, 0.0, 0.0)
        z = 0.0
        layer_face = solid.face_id[b, y, x]
        if layer_face >= 0:
            face = solid.number[layer_face]
            w = solid.barycentric[b, y, x]
            z = solid.z[b, y, x]
            c = head.faces[face]
            material = wp.int32(head.material[face])
            if material == IS_BODY:
                sample = shade_body(look, head, posed, b, face, c, w, view)
                light = sample.light
                label = sample.label
            elif material == IS_LEFT_EYE or material == IS_RIGHT_EYE:
                light = shade_eye(look, head, posed, b, material - IS_LEFT_EYE, c, w, view)
                label = wp.int32(head.regions[face, 0, 0])
            elif material == IS_TEETH or material == IS_TONGUE:
                mm = head.mm[c[0]] * w[0] + head.mm[c[1]] * w[1] + head.mm[c[2]] * w[2]
                front = step_between(-14.0, 20.0, mm[2])
                albedo = wp.vec3(0.42, 0.13, 0.12)
                if material == IS_TEETH:
                    place = wp.abs(mm[0]) / 7.4
                    gap = wp.abs(place - wp.floor(place + 0.5))
                    albedo = wp.vec3(0.66, 0.60, 0.50) * (0.55 + 0.45 * step_between(0.0, 0.09, gap))
                light = shade_plain(look, posed, b, c, w, view, albedo, 0.5, 0.2, 0.12 + 0.5 * front, 0.1 + 0.6 * front)
                label = wp.int32(head.regions[face, 0, 0])
            elif material == IS_FRAME:
                light = shade_plain(look, posed, b, c, w, view, look.frame, 1.2, 0.25, 0.9, 1.0)
                label = C_GLASSES
            else:
                light = shade_plain(look, posed, b, c, w, view, look.occluder, 0.3, 0.5, 0.9, 1.0)
                label = C_OCCLUDER
        thin_face = thin.face_id[b, y, x]
        cover = 0.0
        layer = wp.vec4(0.0, 0.0, 0.0, 0.0)
        if thin_face >= 0 and (face < 0 or thin.z[b, y, x] < z):
            front_face = thin.number[thin_face]
            v = thin.barycentric[b, y, x]
            c = head.faces[front_face]
            material = wp.int32(head.material[front_face])
            if material == IS_HAIR:
                layer = hair_sample(look, head, posed, b, c, v, view)
                cover = layer[3]
                if cover >= 0.5:
                    label = C_HAIR
            elif material == IS_LASHES:
                mm = head.mm[c[0]] * v[0] + head.mm[c[1]] * v[1] + head.mm[c[2]] * v[2]
                hairs = tile_at(head.tiles, STRAND_TILE, mm[0] * 9.0, mm[1] * 3.0)
                cover = look.lashes * step_between(0.25, 0.75, hairs[2])
                layer = wp.vec4(0.01, 0.008, 0.007, cover)
            else:
                gleam = shade_plain(look, posed, b, c, v, view, look.lens, 1.0, 0.15, 1.0, 1.0)
                cover = look.tint
                layer = wp.vec4(gleam[0], gleam[1], gleam[2], cover)
                label = C_LENS
            if (cover >= 0.5 and material != IS_LASHES) or material == IS_LENS:
                face = front_face
                w = v
                z = thin.z[b, y, x]
        if layer_face < 0 and cover < 1.0:
            light = backdrop(look, posed.shapes, head.tiles, b, fx + 0.5, fy + 0.5, float(width))
        light = light * (1.0 - cover) + wp.vec3(layer[0], layer[1], layer[2]) * cover
        picture.light[b, y, x] = light
        picture.label[b, y, x] = wp.uint8(label)
        picture.face_id[b, y, x] = face
        picture.barycentric[b, y, x] = w
        picture.z[b, y, x] = z
