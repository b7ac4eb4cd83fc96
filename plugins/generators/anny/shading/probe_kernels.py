"""Light that reaches what a picture shows, at every pixel of a coarse grid: traced shadows, sky, scattering in skin.

Rays start at the surface that the grid's pixel sees and end at the nearest triangle. Neighbouring pixels take different
directions out of one low-discrepancy set of sixteen; the mean over their neighbourhood, on the same surface, is free
of noise and of seams. Directions depend on the pixel alone, so that bytes are those of any batch and worker.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# ruff: noqa: UP018
# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from ..mesh import materials
from .arrays import Head, Posed
from .draw_kernels import face_of, weights_of
from .fragments import between
from .look import Look
from .surfaces import risen, second_light, sky_light, wrapped

wp.set_module_options({"enable_backward": False})

IS_BODY = wp.constant(materials.BODY)
NOTHING = wp.constant(wp.int64(0))
LIFT = wp.constant(0.0004)  # m from a surface where its rays start
REACH = wp.constant(0.35)  # m beyond which nothing shades
THROUGH = wp.constant(0.12)  # share of the light that hair lets through
ASKEW = wp.constant(0.003)  # m off its plane that a neighbour may lie
TURN = wp.constant(6.2831853)
TAPS = wp.constant(24)
#: mean free paths of red, green and blue light in skin, m: shape of Burley's profile
RED, GREEN, BLUE = wp.constant(0.00105), wp.constant(0.0004), wp.constant(0.0002)


@wp.struct
class Probes:
    """Numbers of the cells of the grid. seen: shares of the first two lights and of the sky, and 1 + material, 0 for
    nothing; light: irradiance."""

    width: int
    step: int
    point: wp.array(dtype=wp.vec3)
    normal: wp.array(dtype=wp.vec3)
    seen: wp.array(dtype=wp.vec4)
    light: wp.array(dtype=wp.vec3)


@wp.struct
class Scenery:
    """What shades: triangles in the camera's axes, those from `hairs` on are hair; size of the lights, radians."""

    mesh: wp.uint64
    hairs: int
    size: float
    rays: int
    shadows: int


@wp.func
def passed(scene: Scenery, start: wp.vec3, towards: wp.vec3) -> wp.float32:
    """Share of the light from a direction that arrives."""
    hit = wp.mesh_query_ray(scene.mesh, start, towards, REACH)
    if not hit.result:
        return 1.0
    return wp.where(hit.face >= scene.hairs, THROUGH, 0.0)


@wp.func
def halved(number: wp.int32) -> wp.float32:
    """Van der Corput's sequence in base 2."""
    bits = wp.uint32(number)
    total = float(0.0)
    part = float(0.5)
    for _ in range(12):
        total = total + part * float(bits & wp.uint32(1))
        bits = bits >> wp.uint32(1)
        part = part * 0.5
    return total


@wp.func
def cell_number(x: wp.int32, y: wp.int32) -> wp.int32:
    """Place of a pixel in the 4 x 4 pattern of Bayer, 0 to 15."""
    a = x ^ y
    return ((a & 1) << 3) | ((y & 1) << 2) | (a & 2) | ((y & 2) >> 1)


@wp.func
def lamp(
    scene: Scenery,
    start: wp.vec3,
    n: wp.vec3,
    light: wp.vec3,
    size: wp.float32,
    turned: wp.mat33,
    place: wp.int32,
    wanted: wp.int32,
) -> wp.float32:
    """Share of a light, a disk about a direction of the world, that a point in the camera's axes sees. size: radius of
    the disk over its distance."""
    if wanted == 0:
        return 1.0
    towards = turned * light
    if wp.dot(turned * n, towards) < -0.1 - size:
        return 0.0
    aside = wp.normalize(wp.cross(towards, wp.vec3(0.31, 0.87, 0.38)))
    up = wp.cross(towards, aside)
    total = float(0.0)
    for k in range(scene.shadows):
        number = k * 16 + place
        radius = size * wp.sqrt((float(number) + 0.5) / float(16 * scene.shadows))
        angle = TURN * halved(number)
        total = total + passed(
            scene, start, wp.normalize(towards + (aside * wp.cos(angle) + up * wp.sin(angle)) * radius)
        )
    return total / float(scene.shadows)


@wp.func
def smoothed(posed: Posed, c: wp.vec3i, w: wp.vec3, p: wp.vec3) -> wp.vec3:
    """A point of a triangle moved out to the curved surface that its normals describe, so that facets cast no shadow.

    Hanika, "Hacking the shadow terminator" (Ray Tracing Gems II, 2021).
    """
    out = p
    for k in range(3):
        n = wp.normalize(posed.normals[c[k]])
        out = out - n * (w[k] * wp.min(wp.dot(p - posed.vertices[c[k]], n), 0.0))
    return out


@wp.kernel
def probe_kernel(
    looks: wp.array(dtype=Look),
    head: Head,
    posed: Posed,
    solid: wp.array(dtype=wp.int64),
    size: wp.int32,
    scene: Scenery,
    span: wp.int32,
    probes: Probes,
):
    """Points, normals and what reaches them, for one picture of side `size`."""
    y, chunk = wp.tid()
    turned = looks[0].camera
    lift = LIFT
    for x in range(chunk * span, wp.min((chunk + 1) * span, probes.width)):
        cell = y * probes.width + x
        row = wp.min(y * probes.step + probes.step / 2, size - 1)
        column = wp.min(x * probes.step + probes.step / 2, size - 1)
        key = solid[row * size + column]
        seen = wp.vec4(0.0, 0.0, 0.0, 0.0)
        if key != NOTHING:
            face = face_of(key)
            c = head.faces[face]
            w = weights_of(posed.screen, 0, c, float(column) + 0.5, float(row) + 0.5)
            n = wp.normalize(between(posed.normals, 0, c, w))
            p = between(posed.vertices, 0, c, w)
            probes.point[cell] = p
            probes.normal[cell] = n
            start = turned * (smoothed(posed, c, w, p) + n * lift) + looks[0].camera_offset
            place = cell_number(x, y)
            ahead = turned * n
            aside = wp.normalize(wp.cross(ahead, wp.vec3(0.31, 0.87, 0.38)))
            up = wp.cross(ahead, aside)
            sky = float(0.0)
            for k in range(scene.rays):
                number = k * 16 + place
                share = (float(number) + 0.5) / float(16 * scene.rays)
                angle = TURN * halved(number)
                flat = (aside * wp.cos(angle) + up * wp.sin(angle)) * wp.sqrt(share)
                sky = sky + passed(scene, start, flat + ahead * wp.sqrt(1.0 - share))
            second = second_light(looks, 0, p)
            towards = wp.vec3(second[0], second[1], second[2])
            wide = scene.size
            if looks[0].near > 0.0:
                wide = looks[0].near_size * wp.sqrt(second[3])
            seen = wp.vec4(
                lamp(scene, start, n, looks[0].light0, scene.size, turned, place, wp.min(looks[0].casting, 1)),
                lamp(scene, start, n, towards, wide, turned, place, wp.max(looks[0].casting - 1, 0)),
                sky / float(scene.rays),
                1.0 + float(head.material[face]),
            )
        probes.seen[cell] = seen


@wp.func
def alike(probes: Probes, cell: wp.int32, kind: wp.float32, p: wp.vec3, n: wp.vec3) -> wp.float32:
    """How far a cell lies on the same surface as a point with its normal, from 1 to 0."""
    if probes.seen[cell][3] != kind:
        return 0.0
    off = wp.abs(wp.dot(n, probes.point[cell] - p)) / ASKEW
    return wp.max(1.0 - off, 0.0) * wp.clamp(4.0 * wp.dot(n, probes.normal[cell]) - 2.0, 0.0, 1.0)


@wp.kernel
def mean_kernel(
    looks: wp.array(dtype=Look),
    tone: wp.array(dtype=wp.vec3),
    span: wp.int32,
    probes: Probes,
    out: wp.array(dtype=wp.vec4),
):
    """The mean of what is seen over 5 x 5 cells of a surface (16 of them count as whole), and the light it makes."""
    y, chunk = wp.tid()
    width = probes.width
    for x in range(chunk * span, wp.min((chunk + 1) * span, width)):
        cell = y * width + x
        own = probes.seen[cell]
        if own[3] > 0.0:
            p = probes.point[cell]
            n = probes.normal[cell]
            total = wp.vec4(0.0, 0.0, 0.0, 0.0)
            weight = float(0.0)
            for j in range(-2, 3):
                for i in range(-2, 3):
                    if y + j >= 0 and y + j < width and x + i >= 0 and x + i < width:
                        other = cell + j * width + i
                        share = alike(probes, other, own[3], p, n)
                        share = share * wp.where(wp.abs(j) == 2, 0.5, 1.0) * wp.where(wp.abs(i) == 2, 0.5, 1.0)
                        total = total + probes.seen[other] * share
                        weight = weight + share
            mean = total / weight
            sky = 1.0 - looks[0].occlusion * (1.0 - mean[2])
            seen2 = wp.min(1.0, 1.3 * mean[2])
            seen1 = mean[1]
            if looks[0].casting < 2:
                seen1 = seen2
            seen0 = mean[0]
            if looks[0].casting < 1:
                seen0 = seen2
            out[cell] = wp.vec4(seen0, seen1, sky, own[3])
            body = own[3] == 1.0 + float(IS_BODY)
            scatter = wp.where(body, 0.35 * looks[0].scatter, 0.1)
            e = sky_light(looks, 0, n)
            if body:
                # light that hollows keep out is in part what their own walls reflect (Jimenez et al. 2016)
                a = tone[0]
                e = wp.vec3(
                    e[0] * sky / (1.0 - a[0] * (1.0 - sky)),
                    e[1] * sky / (1.0 - a[1] * (1.0 - sky)),
                    e[2] * sky / (1.0 - a[2] * (1.0 - sky)),
                )
            else:
                e = e * sky
            e = e + wrapped(wp.dot(n, looks[0].light0), scatter, seen0, looks[0].colour0)
            second = second_light(looks, 0, p)
            d1 = risen(looks, 0, wp.dot(n, wp.vec3(second[0], second[1], second[2])))
            e = e + wrapped(d1, scatter, seen1, looks[0].colour1 * second[3])
            e = e + wrapped(wp.dot(n, looks[0].light2), scatter, seen2, looks[0].colour2)
            probes.light[cell] = e
        else:
            out[cell] = own


@wp.func
def profile(distance: wp.float32, path: wp.float32) -> wp.float32:
    """Burley's normalised diffusion times distance, up to a factor (Christensen and Burley 2015)."""
    return (wp.exp(-distance / path) + wp.exp(-distance / (3.0 * path))) / path


@wp.kernel
def scatter_kernel(
    looks: wp.array(dtype=Look), span: wp.int32, metre: wp.float32, probes: Probes, out: wp.array(dtype=wp.vec3)
):
    """Irradiance of skin after light has wandered in it: a mean over neighbours by their true distance, per colour.

    metre: cells a metre at the distance of the face. Taps lie on a spiral whose density falls with the radius.
    """
    y, chunk = wp.tid()
    width = probes.width
    far = 0.5 + 2.0 * looks[0].scatter
    reach = 8.0 * RED * far
    for x in range(chunk * span, wp.min((chunk + 1) * span, width)):
        cell = y * width + x
        e = probes.light[cell]
        if probes.seen[cell][3] == 1.0 + float(IS_BODY):
            p = probes.point[cell]
            n = probes.normal[cell]
            # the middle stands for the disk that no tap lies in
            total = wp.vec3(0.0, 0.0, 0.0)
            weight = wp.vec3(0.0, 0.0, 0.0)
            start = float(cell_number(x, y)) * 0.3927
            for k in range(TAPS):
                share = (float(k) + 0.5) / float(TAPS)
                radius = reach * share * share
                angle = 2.3999632 * float(k) + start
                i = x + wp.int32(wp.round(radius * metre * wp.cos(angle)))
                j = y + wp.int32(wp.round(radius * metre * wp.sin(angle)))
                if i >= 0 and j >= 0 and i < width and j < width:
                    other = j * width + i
                    if probes.seen[other][3] == 1.0 + float(IS_BODY):
                        # radius grows as the square: area of a tap over its distance is as its share
                        d = wp.max(wp.length(probes.point[other] - p), radius)
                        area = share
                        w = wp.vec3(profile(d, RED * far), profile(d, GREEN * far), profile(d, BLUE * far)) * area
                        w = w * wp.clamp(1.5 + wp.dot(n, probes.normal[other]), 0.0, 1.0)
                        total = total + wp.cw_mul(probes.light[other], w)
                        weight = weight + w
            e = wp.cw_div(total, weight + wp.vec3(1.0e-9, 1.0e-9, 1.0e-9))
            if weight[2] < 1.0e-6:
                e = probes.light[cell]
        out[cell] = e
