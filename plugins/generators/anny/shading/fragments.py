"""What one fragment looks like, material by material: the light it reflects, and its class or its opacity.

Where a colour decides a class, both come from the same numbers:

- skin, ears, lips, eyes, mouth ... : the head's own region table;
- brow: where the brow's smooth outline (without single strands) covers at least half;
- facial hair, hair painted on the scalp: where their smooth density reaches one half.

No `from __future__ import annotations` here: warp reads the annotations of its functions.
"""

# ruff: noqa: UP018, SIM109
# mypy: ignore-errors
# These are written in warp's language, whose types mypy cannot follow.

from typing import Any

import warp as wp

from ....heads.anny.regions import CELLS as _CELLS
from ....schemas import SYNTHFORGE
from ..mesh import materials
from ..mesh.worn import slots
from .arrays import MIXED_REGION, Head, Posed
from .look import Look
from .mouth import tongue_light, tooth_light
from .scenery import cloth_colour
from .surfaces import (
    beard_cover,
    brow_cover,
    brow_shape,
    catchlight,
    eye_colour,
    lash_cover,
    lid_edge,
    lid_shadow,
    lit,
    second_light,
    sky_light,
)
from .tiles import CLOUD_START, SKIN_START, square_at, step_between, strands_at, wrinkles_at

wp.set_module_options({"enable_backward": False})

IS_TONGUE, IS_LASHES, IS_HAIR, IS_BEARD, IS_FRAME = (
    wp.constant(m) for m in (materials.TONGUE, materials.LASHES, materials.HAIR, materials.BEARD, materials.FRAME)
)
CELLS = wp.constant(_CELLS)  # of a face's own map of regions, a side


def classes(*names: str):
    """Ids of classes of the schema `synthforge` as constants of a kernel."""
    return (wp.constant(wp.int32(SYNTHFORGE.id(name))) for name in names)


WEAVES, KNIT, SKIN = (wp.constant(n) for n in (slots.WEAVES, slots.KNIT, slots.SKIN))
MIXED = wp.constant(MIXED_REGION)
LINING = wp.constant(0.45)  # of the light that falls on hair, what its inner side shows
C_SKIN, C_MOUTH, C_HAIR, C_BEARD, C_CLOTH = classes("skin", "inner_mouth", "hair", "facial_hair", "cloth")
C_LEFT_BROW, C_RIGHT_BROW, C_LEFT_EAR, C_RIGHT_EAR = classes("left_brow", "right_brow", "left_ear", "right_ear")
C_LEFT_LID, C_RIGHT_LID, C_GLASSES = classes("left_lid", "right_lid", "glasses")


@wp.func
def between(values: wp.array(dtype=Any), start: wp.int32, c: wp.vec3i, w: wp.vec3):
    """The value at barycentrics w of a triangle whose corners' values lie at `start` + c."""
    return values[start + c[0]] * w[0] + values[start + c[1]] * w[1] + values[start + c[2]] * w[2]


@wp.func
def speckled(
    albedo: wp.vec3, head: Head, posed: Posed, b: wp.int32, c: wp.vec3i, w: wp.vec3, u: wp.float32, v: wp.float32
) -> wp.vec3:
    """The albedo under the stains with spots, at (u, v) millimetres of the skin."""
    for k in range(posed.stains.count):
        spots = posed.stains.speckle[k]
        if spots[3] > 0.0:
            noise = square_at(head.tiles, SKIN_START, u * spots[3], v * spots[3])
            where = posed.stains.where[k, c[0]] * w[0] + posed.stains.where[k, c[1]] * w[1]
            where = where + posed.stains.where[k, c[2]] * w[2]
            part = posed.stains.amount[b, k] * where * step_between(spots[1], spots[2], noise[wp.int32(spots[0])])
            albedo = wp.cw_mul(albedo, wp.vec3(1.0 - part, 1.0 - part, 1.0 - part) + posed.stains.colour[k] * part)
    return albedo


@wp.func
def strayed(looks: wp.array(dtype=Look), b: wp.int32) -> wp.vec4:
    """Irradiance that reflections between lips, cheeks and teeth leave where vertices see no light."""
    rest = (looks[b].ambient + looks[b].colour0 * 0.3) * 0.12
    return wp.vec4(rest[0], rest[1], rest[2], 0.0)


@wp.func
def shade_body(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    b: wp.int32,
    f: wp.int32,
    c: wp.vec3i,
    w: wp.vec3,
    arriving: wp.vec4,
) -> wp.vec4:
    """Skin and all that is painted on it: reflected light, and class + 256 * opacity of a beard + 65536 * of hair.

    An opacity of 255 is opaque; whole numbers below 2**24 are exact. arriving: irradiance and highlight, see
    `dress_kernels.light_kernel`.
    """
    label = wp.int32(head.region[f])
    if label == MIXED:
        last = CELLS - 1
        cell = float(CELLS)
        label = wp.int32(head.regions[f, wp.min(wp.int32(w[0] * cell), last), wp.min(wp.int32(w[1] * cell), last)])
    glow = arriving
    base = between(posed.albedo, b * posed.head_count, c, w)
    grown = 0
    mark = between(posed.marks, b * posed.head_count, c, w)
    uv = between(head.uv, 0, c, w)
    if mark[2] < 0.0:
        mm = between(head.mm, 0, c, w)
        scale = looks[b].cloth_scale
        weave = square_at(head.tiles, CLOUD_START, mm[0] * scale, (mm[1] + 0.4 * mm[2]) * scale)
        cloth = cloth_colour(looks, b, weave) * (1.0 - 0.35 * step_between(-5.0, 0.0, mark[2]))
        out = lit(glow, cloth, 0.0)
        return wp.vec4(out[0], out[1], out[2], float(C_CLOTH))
    if label == C_LEFT_BROW or label == C_RIGHT_BROW:
        label = C_SKIN

    noise = square_at(head.tiles, SKIN_START, uv[0] + looks[b].offset_u, uv[1] + looks[b].offset_v)
    albedo = wp.vec3(base[0], base[1], base[2]) * (1.0 + looks[b].mottle * noise[0] + looks[b].grain * noise[1])
    gloss = 1.0 + 0.1 * noise[1]
    lines = float(0.0)
    if looks[b].folds > 0.0 or looks[b].crow > 0.0 or looks[b].forehead > 0.0 or looks[b].frown > 0.0:
        drawn = wrinkles_at(head.wrinkles, uv[0] + 0.8 * noise[0], uv[1] + 0.8 * noise[0])
        lines = looks[b].forehead * drawn[0] + looks[b].folds * drawn[1] + looks[b].crow * drawn[2]
        lines = lines + looks[b].frown * drawn[3]
    if looks[b].pores > 0.0:
        # twice two texels a millimetre: what a picture of 256 pixels just resolves, and larger ones show
        pore = square_at(head.tiles, SKIN_START, uv[0] * 2.7 + looks[b].offset_v, uv[1] * 2.7 + looks[b].offset_u)
        albedo = albedo * (1.0 + looks[b].pores * pore[1])
        gloss = gloss * (1.0 + 3.0 * looks[b].pores * pore[1])
    if looks[b].moles > 0.0:
        su = (uv[0] + looks[b].offset_u) * 0.04167
        sv = (uv[1] + looks[b].offset_v) * 0.04167
        dice = head.tiles[CLOUD_START + (wp.int32(wp.floor(su)) & 127) + ((wp.int32(wp.floor(sv)) & 127) << 7)]
        # two independent normal numbers of the square: whether, and where and how large
        if wp.abs(dice[2]) < looks[b].moles * 1.25:
            place = 0.5 + 0.12 * wp.clamp(dice[3], -2.0, 2.0)
            du = (su - wp.floor(su) - place) * 24.0
            dv = (sv - wp.floor(sv) - 1.0 + place) * 24.0
            spot = step_between(1.0, 0.45, wp.sqrt(du * du + dv * dv) / (2.2 + 0.8 * wp.abs(dice[3])))
            albedo = wp.cw_mul(albedo, wp.vec3(1.0 - 0.45 * spot, 1.0 - 0.62 * spot, 1.0 - 0.68 * spot))
    relief = looks[b].relief
    if looks[b].freckles > 0.0:
        spot = looks[b].freckles * step_between(0.3, 0.6, noise[1])
        albedo = wp.cw_mul(albedo, wp.vec3(1.0 - 0.3 * spot, 1.0 - 0.45 * spot, 1.0 - 0.55 * spot))
    if posed.stains.count > 0:
        albedo = speckled(albedo, head, posed, b, c, w, uv[0] + looks[b].offset_u, uv[1] + looks[b].offset_v)
    lips = step_between(0.25, 0.75, mark[0])
    if lips > 0.0:
        albedo = albedo * (1.0 - lips) + looks[b].lips * (lips * (1.0 + 0.15 * noise[0] + 0.1 * noise[1]))
        gloss = gloss * (1.0 + lips * looks[b].lip_gloss)
    if head.brow_face[f] != wp.uint8(0):
        st = between(head.brow, 0, c, w)
        # hairs stand up at the inner end and lie along the brow towards the outer one
        lean = st[0] * 64.0 + st[1] * (4.0 + 14.0 * wp.clamp(st[0], 0.0, 1.0))
        hairs = strands_at(head.tiles, lean + looks[b].hair_v, st[1] * 9.0 + looks[b].hair_u)
        shape = brow_shape(looks, b, st[0])
        cover = brow_cover(looks, b, st[0], st[1] - shape[0], shape[1], hairs)
        if cover > 0.01:
            albedo = albedo * (1.0 - cover) + looks[b].brow * (cover * (1.0 + 0.5 * hairs[0]))
            gloss = gloss * (1.0 - 0.8 * cover)
            if shape[1] > wp.abs(st[1] - shape[0]) and st[0] > 0.0 and st[0] < 0.98:
                label = C_LEFT_BROW
                if head.mm[c[0]][0] < 0.0:
                    label = C_RIGHT_BROW
    if base[3] > 0.02 and lips < 0.7:
        density = base[3] * (1.0 - lips)
        # hairs a few millimetres long at most, across which a picture of 512 pixels sees clumps
        fibre = strands_at(head.tiles, uv[0] * 1.7 + looks[b].hair_u, uv[1] * 14.0 + looks[b].hair_v)
        cover = beard_cover(looks, b, density, fibre)
        grown = grown + 256 * wp.int32(255.0 * cover)
        albedo = albedo * (1.0 - cover) + looks[b].beard * (cover * (1.0 + 0.6 * fibre[0]))
        gloss = gloss * (1.0 - 0.8 * cover)
        relief = relief + 0.3 * cover
        if density >= 0.5:
            label = C_BEARD
    if mark[1] > -14.0 and looks[b].roots > 0.0 and label != C_LEFT_EAR and label != C_RIGHT_EAR:
        fibre = strands_at(head.tiles, uv[0] * 2.0 + looks[b].hair_u, uv[1] * 1.2 + looks[b].hair_v)
        density = step_between(-5.0, 5.0, mark[1] + 4.0 * noise[0]) * looks[b].roots
        # single hairs stand in front of the line, and skin shows between those behind it
        loose = step_between(-10.0, 9.0, mark[1] + 4.0 * noise[0] + 4.0 * fibre[0]) * looks[b].roots
        cover = wp.clamp(loose * (0.9 + 0.35 * fibre[0]), 0.0, 1.0)
        grown = grown + 65536 * wp.int32(255.0 * cover)
        albedo = albedo * (1.0 - cover) + looks[b].hair * (cover * (0.85 + 0.5 * fibre[0]))
        gloss = gloss * (1.0 - 0.8 * cover)
        if density >= 0.5:
            label = C_HAIR
    if label == C_LEFT_LID or label == C_RIGHT_LID:
        # lids are thin and moist
        albedo = wp.cw_mul(albedo, wp.vec3(0.95, 0.88, 0.88))
    lid = between(head.axis, 0, c, w)
    if lid[2] > 0.999:
        edge = lid_edge(looks, b, lid[0], lid[1], noise[1])
        albedo = albedo * edge
        gloss = gloss * edge
    if label == C_MOUTH:
        # hardly any light gets out again from behind the teeth
        depth = head.mm[c[0]][2] * w[0] + head.mm[c[1]][2] * w[1] + head.mm[c[2]][2] * w[2]
        albedo = wp.vec3(0.22, 0.055, 0.05)
        front = step_between(-45.0, 20.0, depth)
        glow = glow * (0.05 + 0.3 * step_between(0.0, 26.0, depth)) + strayed(looks, b) * front
    # bumps brighten towards the key light and darken away from it
    emboss = 1.0 + relief * (noise[2] * looks[b].emboss_u + noise[3] * looks[b].emboss_v) + lines * (1.0 - lips)
    out = lit(glow, albedo, gloss) * emboss
    return wp.vec4(out[0], out[1], out[2], float(label + grown))


@wp.func
def shade_eye(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    b: wp.int32,
    side: wp.int32,
    c: wp.vec3i,
    w: wp.vec3,
    view: wp.vec3,
    glow: wp.vec4,
) -> wp.vec3:
    """The eyeball: its colour by direction from its centre, darker under the upper lid and in the corners."""
    d = wp.normalize(between(head.axis, 0, c, w))
    n = between(posed.normals, b * posed.count, c, w)
    n = wp.normalize(n)
    p = between(posed.vertices, b * posed.count, c, w)
    noise = square_at(head.tiles, SKIN_START, d[0] * 70.0 + looks[b].offset_v, d[1] * 70.0 + looks[b].offset_u)
    colour = eye_colour(looks, b, d, noise)
    from_middle = p - posed.eye_middle[b * 2 + side]
    across = wp.dot(from_middle, posed.eye_across[b * 2 + side])
    height = wp.dot(from_middle, posed.eye_up[b * 2 + side]) * 1000.0
    rims = posed.eye_rims[b * 2 + side]
    arch = wp.max(1.0 - across * across, 0.0)
    lid = lid_shadow(rims[0] * arch - height, looks[b].lid_shadow)
    lower = 1.0 - 0.25 * step_between(1.5, -0.5, height - rims[1] * arch)
    corner = 1.0 - 0.5 * step_between(0.55, 1.05, wp.abs(across))
    shade = lid * lower * corner
    # light reaches the eyeball through the opening of the lids even where the vertices behind them are in shadow
    sky = sky_light(looks, b, n)
    e = (wp.vec3(glow[0], glow[1], glow[2]) * 0.65 + sky * 0.35) * shade
    d0 = wp.dot(n, looks[b].light0)
    second = second_light(looks, b, p)
    l1 = wp.vec3(second[0], second[1], second[2])
    d1 = wp.dot(n, l1)
    # a lamp's or a window's image in the tear film: small, with a clear edge
    spark0 = catchlight(looks, b, n, view, looks[b].light0, d0, looks[b].catchlight)
    # the image of a near light is as large as it should be, and the dimmer the larger: F0 0.025 of its radiance
    wide = looks[b].near_size * wp.sqrt(second[3])
    spark1 = catchlight(looks, b, n, view, l1, d1, wp.max(looks[b].catchlight, 0.35 * wide)) * second[3]
    spark1 = spark1 * wp.min(1.0, 0.016 / wp.max(wide * wide, 1.0e-6))
    # the cornea's bulge catches most lights
    bulge = 0.06 + 0.94 * step_between(1.5, 0.9, wp.sqrt(wp.max(1.0 - d[2] * d[2], 0.0)) / looks[b].iris_sine)
    spark = (looks[b].colour0 * spark0 + looks[b].colour1 * spark1) * bulge
    return wp.cw_mul(colour, e) + (spark * lid + sky * (0.012 * lid)) * looks[b].eye_gloss


@wp.func
def hair_sample(looks: wp.array(dtype=Look), head: Head, posed: Posed, b: wp.int32, c: wp.vec3i, w: wp.vec3) -> wp.vec4:
    """Light reflected by a hair fragment, and its opacity."""
    h = between(posed.strand, b * posed.hair_count - head.hair_first, c, w)
    v = h[1]
    wave = looks[b].wave
    curl = wp.sin(v * (0.03 + 0.06 * wave) + looks[b].hair_v)
    u = h[0] + looks[b].hair_u + wave * 9.0 * curl + looks[b].sweep * v
    noise = strands_at(head.tiles, u, v + looks[b].hair_v)
    clump = float(0.0)
    if looks[b].curl > 0.0:
        knots = square_at(head.tiles, CLOUD_START, u * 0.45, v * 1.7 + looks[b].hair_u)
        clump = looks[b].curl * (0.7 * knots[0] + 0.5 * knots[1])
        noise = strands_at(head.tiles, u + 40.0 * clump, v + 90.0 * looks[b].curl * knots[0])
    left = (h[2] - v) / looks[b].ragged + 0.5 * noise[1]
    cover = step_between(0.0, 0.4, left + 0.5 - noise[2]) * step_between(0.3, 0.7, h[3])
    if cover <= 0.0:
        return wp.vec4(0.0, 0.0, 0.0, 0.0)
    glow = between(posed.glow, b * posed.count, c, w)
    depth = wp.clamp(0.9 + looks[b].hair_depth * (0.4 * noise[1] + 0.2 * noise[0]) + 0.8 * clump, 0.25, 1.4)
    depth = depth * (1.0 + looks[b].hair_tips * step_between(-20.0, 160.0, v))
    shade = 1.0 + looks[b].hair_contrast * (0.8 * noise[0] + 0.7 * noise[3])
    colour = looks[b].hair * (wp.max(shade, 0.15) * depth)
    # one highlight takes the hair's colour, a weaker one that of the light
    spec = glow[3] * looks[b].hair_gloss * wp.max(0.6 + 0.9 * noise[0], 0.0)
    e = wp.vec3(glow[0], glow[1], glow[2])
    hue = e / wp.max(e[1], 1.0e-3)
    light = wp.cw_mul(colour, e + hue * (1.6 * spec)) + hue * (0.05 * spec)
    return wp.vec4(light[0], light[1], light[2], cover)


@wp.func
def beard_sample(
    looks: wp.array(dtype=Look), head: Head, posed: Posed, b: wp.int32, c: wp.vec3i, w: wp.vec3
) -> wp.vec4:
    """Light reflected by hair that stands off the face, and its opacity."""
    start = b * posed.hair_count - head.hair_first
    h = between(posed.strand, start, c, w)
    base = b * posed.count
    n = between(posed.normals, base, c, w)
    p = between(posed.vertices, base, c, w)
    noise = strands_at(head.tiles, h[0] + looks[b].hair_u, 2.0 * h[1] + looks[b].hair_v)
    fine = strands_at(head.tiles, 1.7 * h[0] + looks[b].hair_v, 3.0 * h[1] + looks[b].hair_u)
    rank = 0.5 * (noise[2] + fine[2])
    # towards the outline the hair's outer layers are looked through: few strands reach that far
    facing = wp.abs(wp.dot(n, wp.normalize(looks[b].eye - p))) / wp.max(wp.length(n), 1.0e-6)
    layer = wp.min(0.22 * wp.sqrt(h[2]), 0.85)
    full = (1.75 - 0.7 * looks[b].patchiness) * h[3] - 0.15
    cover = step_between(-0.15, 0.15, full - rank) * step_between(-0.15, 0.15, facing / layer - rank)
    if cover <= 0.0:
        return wp.vec4(0.0, 0.0, 0.0, 0.0)
    glow = between(posed.glow, base, c, w)
    shade = 1.0 + looks[b].hair_contrast * (0.7 * noise[0] + 0.6 * fine[0] + 0.5 * noise[3])
    depth = wp.clamp(0.9 + looks[b].hair_depth * (0.35 * noise[1] + 0.25 * fine[0]), 0.3, 1.3)
    colour = looks[b].beard * (wp.max(shade, 0.15) * depth)
    spec = 0.7 * glow[3] * looks[b].hair_gloss * wp.max(0.5 + 0.9 * fine[0], 0.0)
    e = wp.vec3(glow[0], glow[1], glow[2])
    hue = e / wp.max(e[1], 1.0e-3)
    light = wp.cw_mul(colour, e + hue * (1.6 * spec)) + hue * (0.04 * spec)
    return wp.vec4(light[0], light[1], light[2], 0.97 * cover)


@wp.func
def shade_thin(
    looks: wp.array(dtype=Look), head: Head, posed: Posed, b: wp.int32, material: wp.int32, c: wp.vec3i, w: wp.vec3
) -> wp.vec4:
    """Light and opacity of what is drawn in the second layer."""
    if material == IS_HAIR:
        return hair_sample(looks, head, posed, b, c, w)
    if material == IS_BEARD:
        return beard_sample(looks, head, posed, b, c, w)
    if material == IS_LASHES:
        place = between(head.axis, 0, c, w)
        away = wp.length(looks[b].eye - posed.vertices[b * posed.count + c[0]])
        dark = looks[b].brow * 0.06
        return wp.vec4(
            dark[0], dark[1], dark[2], lash_cover(looks, head.tiles, b, place, 1000.0 * away / looks[b].focal)
        )
    glow = between(posed.glow, b * posed.count, c, w)
    gleam = lit(glow, looks[b].lens, 1.0)
    return wp.vec4(gleam[0], gleam[1], gleam[2], looks[b].tint)


@wp.func
def shade_lining(
    looks: wp.array(dtype=Look), head: Head, posed: Posed, b: wp.int32, c: wp.vec3i, w: wp.vec3, over: wp.vec4
) -> wp.vec4:
    """Light and opacity of a thin fragment `over` with the inner side of hair behind it, which little light reaches."""
    inside = hair_sample(looks, head, posed, b, c, w)
    part = (1.0 - over[3]) * inside[3]
    cover = over[3] + part
    if cover <= 0.0:
        return over
    light = over * (over[3] / cover) + inside * (LINING * part / cover)
    return wp.vec4(light[0], light[1], light[2], cover)


@wp.func
def shade_other(
    looks: wp.array(dtype=Look),
    head: Head,
    b: wp.int32,
    material: wp.int32,
    f: wp.int32,
    c: wp.vec3i,
    w: wp.vec3,
    glow: wp.vec4,
) -> wp.vec4:
    """Teeth, gums, tongue, frames: reflected light and class."""
    if material == IS_FRAME:
        frame = lit(glow, looks[b].frame, 1.2)
        return wp.vec4(frame[0], frame[1], frame[2], float(C_GLASSES))
    mm = between(head.mm, 0, c, w)
    label = float(head.region[f])
    glow = glow + strayed(looks, b)
    if material == IS_TONGUE:
        tongue = tongue_light(head, glow, mm)
        return wp.vec4(tongue[0], tongue[1], tongue[2], label)
    out = tooth_light(glow, mm, looks[b].teeth_white, looks[b].teeth_parted, looks[b].crown, looks[b].tone)
    return wp.vec4(out[0], out[1], out[2], wp.where(out[3] < 0.5, label, float(C_MOUTH)))


@wp.func
def shade_worn(
    looks: wp.array(dtype=Look), head: Head, posed: Posed, b: wp.int32, c: wp.vec3i, w: wp.vec3, glow: wp.vec4
) -> wp.vec4:
    """What is worn or held, by the paint of its vertices: reflected light and class."""
    start = b * posed.worn_count - posed.worn_first
    base = between(posed.worn_colour, start, c, w)
    cloth = between(posed.worn_cloth, start, c, w)
    kind = wp.int32(posed.worn_cloth[start + c[0]][3])
    weave = kind / WEAVES
    pattern = cloth[2]
    shade = float(1.0)
    if weave == KNIT:
        # ribs of stitches that lean alternately
        rib = wp.cos(6.2831853 * cloth[0])
        stitch = wp.cos(6.2831853 * (cloth[1] + 0.3 * wp.abs(rib)))
        shade = 1.0 + pattern * (0.7 * rib + 0.35 * stitch)
    elif weave == SKIN:
        noise = square_at(head.tiles, SKIN_START, cloth[0] + looks[b].offset_u, cloth[1] + looks[b].offset_v)
        shade = 1.0 + pattern * (looks[b].mottle * noise[0] + 0.5 * looks[b].relief * (noise[2] + noise[3]))
    else:
        noise = square_at(head.tiles, CLOUD_START, cloth[0], cloth[1])
        shade = 1.0 + pattern * (0.8 * noise[0] + 0.5 * noise[1])
    albedo = wp.vec3(base[0], base[1], base[2]) * wp.max(shade, 0.1)
    out = lit(glow, albedo, base[3])
    return wp.vec4(out[0], out[1], out[2], float(kind - weave * WEAVES))
