"""What surfaces look like: light on skin, brows, beard, eyes, teeth, cloth and hair, as warp functions.

All colours are linear. No `from __future__ import annotations` here: warp reads the annotations of functions.
"""

# mypy: ignore-errors
# Warp functions are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .look import Look
from .tiles import CLOUDS, SKIN, STRANDS, step_between

wp.set_module_options({"enable_backward": False})

SKIN_TILE = wp.constant(SKIN)
STRAND_TILE = wp.constant(STRANDS)
CLOUD_TILE = wp.constant(CLOUDS)


@wp.struct
class Surface:
    """One shaded point: outward normal, direction to the eye, colour, and how it answers light.

    scatter: how far each channel's light wraps past the terminator; gloss, roughness: of the highlights; open_sky: what
    the surroundings leave of ambient light; seen0, seen1: of the two lights with shadows.
    """

    normal: wp.vec3
    view: wp.vec3
    albedo: wp.vec3
    scatter: wp.vec3
    gloss: float
    roughness: float
    open_sky: float
    seen0: float
    seen1: float


@wp.func
def highlight(n: wp.vec3, view: wp.vec3, light: wp.vec3, roughness: wp.float32) -> wp.float32:
    """Specular reflection for unit light: Schlick's rational Blinn-Phong lobe with a Fresnel term (F0 = 0.028)."""
    half = wp.normalize(light + view)
    nh = wp.max(wp.dot(n, half), 0.0)
    m = 2.0 / (roughness * roughness) - 1.0
    lobe = nh / (m - m * nh + nh)
    f = 1.0 - wp.max(wp.dot(half, view), 0.0)
    f2 = f * f
    fresnel = 0.028 + 0.972 * f2 * f2 * f
    return lobe * (m + 3.0) * 0.125 * fresnel * 2.2


@wp.func
def add_light(s: Surface, direction: wp.vec3, colour: wp.vec3, seen: wp.float32) -> wp.vec3:
    """Light of one direction reflected towards the eye."""
    d = wp.dot(s.normal, direction)
    wrap = s.scatter
    diffuse = wp.vec3(
        wp.max((d + wrap[0]) / (1.0 + wrap[0]), 0.0),
        wp.max((d + wrap[1]) / (1.0 + wrap[1]), 0.0),
        wp.max((d + wrap[2]) / (1.0 + wrap[2]), 0.0),
    )
    # a shadow's edge on skin is red for the same reason: blood-coloured light leaks into it
    leak = seen * (1.0 - seen) * wrap[0]
    diffuse = wp.cw_mul(diffuse, wp.vec3(seen + leak, seen, seen))
    out = wp.cw_mul(s.albedo, diffuse)
    if d > 0.0 and s.gloss > 0.0:
        spec = s.gloss * seen * d * highlight(s.normal, s.view, direction, s.roughness)
        out = out + wp.vec3(spec, spec, spec)
    return wp.cw_mul(out, colour)


@wp.func
def reflected(look: Look, s: Surface) -> wp.vec3:
    """All light reflected towards the eye."""
    n = s.normal
    sky = look.ambient + look.ambient_x * n[0] + look.ambient_y * n[1] + look.ambient_z * n[2]
    sky = wp.vec3(wp.max(sky[0], 0.0), wp.max(sky[1], 0.0), wp.max(sky[2], 0.0)) * s.open_sky
    tint = wp.vec3(1.0 + 0.5 * s.scatter[0] * (1.0 - s.open_sky), 1.0, 1.0)
    out = wp.cw_mul(wp.cw_mul(s.albedo, sky), tint)
    graze = 1.0 - wp.max(wp.dot(n, s.view), 0.0)
    sheen = s.gloss * (0.03 + 0.25 * graze * graze * graze * graze)
    out = out + sky * sheen
    out = out + add_light(s, look.light0, look.colour0, s.seen0)
    if look.colour1[1] > 0.0:
        out = out + add_light(s, look.light1, look.colour1, s.seen1)
    if look.colour2[1] > 0.0:
        out = out + add_light(s, look.light2, look.colour2, wp.min(1.0, 1.3 * s.open_sky))
    return out


@wp.func
def roughen(n: wp.vec3, slope: wp.vec2) -> wp.vec3:
    """The normal n tilted by a relief's slopes along two tangents (right-ish and up-ish)."""
    right = wp.normalize(wp.vec3(n[2], 0.0, -n[0] + 1.0e-6))
    up = wp.cross(n, right)
    return wp.normalize(n - right * slope[0] - up * slope[1])


@wp.func
def brow_cover(look: Look, along: wp.float32, across: wp.float32, noise: wp.vec4) -> wp.float32:
    """Opacity of brow hair at `along` (0 inner, 1 outer end) and `across` (half-thicknesses from the middle)."""
    thick = look.brow_thickness * (1.0 - look.brow_taper * step_between(0.45, 1.05, along))
    inner = step_between(-0.08, 0.10, along + 0.04 * noise[1])
    outer = step_between(1.06, 0.9, along)
    body = wp.clamp((thick - wp.abs(across)) / look.brow_edge + 0.5, 0.0, 1.0)
    strands = 1.0 - look.brow_strands * (0.55 - 0.9 * noise[0])
    return wp.clamp(look.brow_density * body * inner * outer * strands, 0.0, 0.97)


@wp.func
def beard_cover(look: Look, density: wp.float32, noise: wp.vec4) -> wp.float32:
    """Opacity of facial hair: a density broken up by strands."""
    gaps = 1.0 - look.patchiness * wp.max(1.0 - density, 0.25) * (0.5 - 0.9 * noise[0])
    cover = wp.clamp((density * 1.25 - 0.25 * look.patchiness * noise[3]) * gaps, 0.0, 0.96)
    return wp.where(density > 0.0, cover, 0.0)


@wp.func
def eye_colour(look: Look, d: wp.vec3, noise: wp.vec4) -> wp.vec4:
    """Albedo of the eyeball in unit direction d of its own frame (x left, y up, z along the axis), and its gloss."""
    across = wp.sqrt(wp.max(1.0 - d[2] * d[2], 0.0)) / look.iris_sine
    white = look.sclera
    corner = step_between(0.35, 0.9, wp.abs(d[0]))
    blood = look.veins * (0.25 + corner) * (0.6 + 0.8 * wp.max(noise[1], 0.0))
    sclera = wp.vec3(white, white * (0.95 - 0.45 * blood), white * (0.92 - 0.5 * blood))
    fibres = 1.0 + 0.5 * noise[0]
    ring = 1.0 - 0.65 * step_between(0.78, 1.0, across)
    centre = 1.0 + 0.8 * step_between(0.75, 0.35, across)
    iris = look.iris * (fibres * ring * centre)
    dark = wp.vec3(0.006, 0.006, 0.007)
    pupil = step_between(look.pupil + 0.06, look.pupil - 0.06, across)
    iris = iris * (1.0 - pupil) + dark * pupil
    edge = step_between(1.06, 0.94, across)
    mixed = sclera * (1.0 - edge) + iris * edge
    if d[2] < 0.0:
        mixed = sclera
    return wp.vec4(mixed[0], mixed[1], mixed[2], look.eye_gloss)


@wp.func
def hair_light(look: Look, s: Surface, tangent: wp.vec3, colour: wp.vec3, shift: wp.float32) -> wp.vec3:
    """Light on strands along `tangent`: Kajiya and Kay (1989), a soft diffuse term and two highlights."""
    n = s.normal
    sky = look.ambient + look.ambient_x * n[0] + look.ambient_y * n[1] + look.ambient_z * n[2]
    sky = wp.vec3(wp.max(sky[0], 0.0), wp.max(sky[1], 0.0), wp.max(sky[2], 0.0)) * s.open_sky
    out = wp.cw_mul(colour, sky)
    shifted = wp.normalize(tangent + n * shift)
    for i in range(3):
        direction = look.light0
        light = look.colour0 * s.seen0
        if i == 1:
            direction = look.light1
            light = look.colour1 * s.seen1
        if i == 2:
            direction = look.light2
            light = look.colour2
        d = wp.dot(n, direction)
        if light[1] > 0.0 and d > -0.3:
            facing = wp.clamp((d + 0.3) / 1.0, 0.0, 1.0)
            half = wp.normalize(direction + s.view)
            th = wp.dot(shifted, half)
            sine2 = wp.max(1.0 - th * th, 0.0)
            s8 = sine2 * sine2
            s8 = s8 * s8
            s32 = s8 * s8
            s32 = s32 * s32
            spec = look.hair_gloss * facing * (0.06 * s32 * s32 + 0.02)
            wide = look.hair_gloss * facing * 0.7 * s32
            out = out + wp.cw_mul(colour * (0.85 * facing + wide) + wp.vec3(spec, spec, spec), light)
    return out
