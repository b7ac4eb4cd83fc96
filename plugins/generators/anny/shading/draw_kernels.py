"""The triangle that each pixel of a layer sees: a rasteriser for a scene of small triangles in front of one camera.

`synthforge.geometry`'s rasteriser decides coverage in exact integers and serves any mesh. This one needs half the time
for a head. It works in float32, assumes that every vertex lies in front of the camera, skips triangles without area
and leaves barycentrics to shading. Both agree in all but a few pixels on edges (tests/generators/test_anny_render.py).
A pixel centre on an edge belongs to both triangles, so that there are no cracks. The nearer one wins, and of equals
the smaller number.

A layer is a buffer of 64-bit keys, 0 where nothing is seen. The high word is closeness (a positive float, larger is
nearer), the low word 2^31 - 1 minus the triangle's number. Drawing takes the maximum, so the order of triangles and
threads does not matter.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

from .look import Look

wp.set_module_options({"enable_backward": False})

NEAR = wp.constant(0.05)  # m
SLACK = wp.constant(-1.0e-6)  # of a face's area: rounding must not open cracks
FLAT = wp.constant(1.0e-12)  # stands in for a slope of 0: such a line is crossed far away
FAR = wp.constant(1.0e5)
LAST = wp.constant(wp.int32(0x7FFFFFFF))
LOW_WORD = wp.constant(wp.int64(0x7FFFFFFF))


@wp.kernel
def project_kernel(
    looks: wp.array(dtype=Look),
    vertices: wp.array2d(dtype=wp.vec3),
    dead: wp.array2d(dtype=wp.uint8),
    count: wp.int32,
    span: wp.int32,
    screen: wp.array(dtype=wp.vec3),
):
    """Pixel coordinates and 1 / z (1 / m) of each vertex; negative if it is dead, 0 if it is not in front."""
    b, chunk = wp.tid()
    rotation = looks[b].camera
    offset = looks[b].camera_offset
    focal = looks[b].focal
    middle = looks[b].principal
    for i in range(chunk * span, wp.min((chunk + 1) * span, count)):
        p = rotation * vertices[b, i] + offset
        inverse = 0.0
        if p[2] > NEAR:
            inverse = 1.0 / p[2]
        x = p[0] * focal * inverse + middle
        y = p[1] * focal * inverse + middle
        if dead[b, i] != wp.uint8(0):
            inverse = -inverse
        screen[b * count + i] = wp.vec3(x, y, inverse)


@wp.kernel
def draw_kernel(
    screen: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    count: wp.int32,
    first: wp.int32,
    last: wp.int32,
    size: wp.int32,
    span: wp.int32,
    keys: wp.array(dtype=wp.int64),
):
    """Draw faces first..last-1 that are seen from their front and have a vertex alive.

    count: vertices an image; size: side of the square picture; arrays are flat (an index of three dimensions costs more
    than the arithmetic here).
    """
    b, chunk = wp.tid()
    base = b * count
    for f in range(first + chunk * span, wp.min(first + (chunk + 1) * span, last)):
        corner = faces[f]
        p = screen[base + corner[0]]
        q = screen[base + corner[1]]
        r = screen[base + corner[2]]
        qx = q[0] - p[0]
        qy = q[1] - p[1]
        rx = r[0] - p[0]
        ry = r[1] - p[1]
        # counter-clockwise as seen is a negative area, since y points down
        area = qx * ry - qy * rx
        alive = p[2] > 0.0 or q[2] > 0.0 or r[2] > 0.0
        if area < 0.0 and alive and p[2] * q[2] * r[2] != 0.0:
            x0 = wp.max(wp.int32(wp.ceil(p[0] + wp.min(wp.min(qx, rx), 0.0) - 0.5)), 0)
            x1 = wp.min(wp.int32(wp.floor(p[0] + wp.max(wp.max(qx, rx), 0.0) - 0.5)), size - 1)
            y0 = wp.max(wp.int32(wp.ceil(p[1] + wp.min(wp.min(qy, ry), 0.0) - 0.5)), 0)
            y1 = wp.min(wp.int32(wp.floor(p[1] + wp.max(wp.max(qy, ry), 0.0) - 0.5)), size - 1)
            if x0 <= x1 and y0 <= y1:
                scale = 1.0 / area
                # share of the second and third corner: linear in x and y
                stepx_q = ry * scale
                stepy_q = -rx * scale
                stepx_r = -qy * scale
                stepy_r = qx * scale
                dx = float(x0) + 0.5 - p[0]
                dy = float(y0) + 0.5 - p[1]
                row_q = dx * stepx_q + dy * stepy_q
                row_r = dx * stepx_r + dy * stepy_r
                near_p = wp.abs(p[2])
                near_q = wp.abs(q[2]) - near_p
                near_r = wp.abs(r[2]) - near_p
                low = wp.int64(LAST - f)
                # the third corner's share, as a third line whose positive side is inside
                stepx_p = -stepx_q - stepx_r
                reach_q = 1.0 / wp.where(stepx_q == 0.0, FLAT, stepx_q)
                reach_r = 1.0 / wp.where(stepx_r == 0.0, FLAT, stepx_r)
                reach_p = 1.0 / wp.where(stepx_p == 0.0, FLAT, stepx_p)
                slope = stepx_q * near_q + stepx_r * near_r
                for y in range(y0, y1 + 1):
                    # where along the row each of the three shares is 0
                    cross_q = (SLACK - row_q) * reach_q
                    cross_r = (SLACK - row_r) * reach_r
                    cross_p = (SLACK - (1.0 - row_q - row_r)) * reach_p
                    low_x = wp.max(
                        wp.max(wp.where(reach_q > 0.0, cross_q, 0.0), wp.where(reach_r > 0.0, cross_r, 0.0)),
                        wp.where(reach_p > 0.0, cross_p, 0.0),
                    )
                    high_x = wp.min(
                        wp.min(wp.where(reach_q > 0.0, FAR, cross_q), wp.where(reach_r > 0.0, FAR, cross_r)),
                        wp.where(reach_p > 0.0, FAR, cross_p),
                    )
                    start = wp.int32(wp.ceil(wp.min(low_x, FAR)))
                    stop = wp.min(wp.int32(wp.floor(wp.max(high_x, -1.0))), x1 - x0)
                    close = near_p + row_q * near_q + row_r * near_r + slope * float(start)
                    row = (b * size + y) * size + x0
                    for x in range(start, stop + 1):
                        key = (wp.int64(wp.cast(close, wp.int32)) << wp.int64(32)) + low
                        wp.atomic_max(keys, row + x, key)
                        close = close + slope
                    row_q = row_q + stepy_q
                    row_r = row_r + stepy_r


@wp.func
def face_of(key: wp.int64) -> wp.int32:
    """The face a key stands for."""
    return LAST - wp.int32(key & LOW_WORD)


@wp.func
def closeness_of(key: wp.int64) -> wp.float32:
    """1 / z of what a key stands for (in a shadow map: 1 - depth); 0 for nothing."""
    return wp.cast(wp.int32(key >> wp.int64(32)), wp.float32)


@wp.func
def weights_of(screen: wp.array(dtype=wp.vec3), base: wp.int32, c: wp.vec3i, x: wp.float32, y: wp.float32) -> wp.vec3:
    """Perspective-correct barycentrics of face c at (x, y) in pixels, each at least 0, summing to 1.

    base: where the image's vertices start in `screen`.
    """
    p = screen[base + c[0]]
    q = screen[base + c[1]]
    r = screen[base + c[2]]
    qx = q[0] - p[0]
    qy = q[1] - p[1]
    rx = r[0] - p[0]
    ry = r[1] - p[1]
    dx = x - p[0]
    dy = y - p[1]
    area = qx * ry - qy * rx
    share_q = wp.min((dx * ry - dy * rx) / area, 1.0)
    share_r = wp.min((dy * qx - dx * qy) / area, 1.0)
    wq = wp.max(share_q, 0.0) * wp.abs(q[2])
    wr = wp.max(share_r, 0.0) * wp.abs(r[2])
    wa = wp.max(1.0 - share_q - share_r, 0.0) * wp.abs(p[2])
    total = 1.0 / (wa + wq + wr)
    return wp.vec3(wa * total, wq * total, wr * total)
