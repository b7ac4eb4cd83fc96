"""Warp kernels of the rasteriser: one source for CPU and CUDA.

Coverage is decided in exact integer arithmetic: vertices are snapped to 1 / 2^14 of a pixel, edge functions are
int64 (|coordinate| <= 2^29, so |edge| <= 2^61), and a pixel centre on an edge belongs to the triangle for which
the edge is a top or a left one. A shared edge therefore covers every pixel exactly once.

The z-buffer is a 64-bit key per pixel, depth in the high word and face id in the low one, and drawing takes the
minimum: the outcome does not depend on the order of faces or threads, and equal depths go to the smaller id.

A CPU launch runs its threads one after the other and pays about 30 ns for each, so every kernel handles `span`
neighbouring items a thread: all of a row or an image on the CPU, one on CUDA.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

SUBPIXEL_BITS = 14
MAX_SIZE = 16384  # largest image side, pixels
GUARD = 32768  # largest |pixel coordinate| a vertex may have; 2^15 * 2^14 = 2^29
NO_KEY = 0x7FFFFFFFFFFFFFFF

ONE = wp.constant(wp.int64(1 << SUBPIXEL_BITS))
HALF = wp.constant(wp.int64(1 << (SUBPIXEL_BITS - 1)))
SHIFT = wp.constant(wp.int64(SUBPIXEL_BITS))
SCALE = wp.constant(wp.float64(1 << SUBPIXEL_BITS))
LIMIT = wp.constant(wp.float64(GUARD))
INVALID = wp.constant(-(1 << 31))
EMPTY = wp.constant(wp.int64(NO_KEY))
LOW_WORD = wp.constant(wp.int64(0xFFFFFFFF))
SIGN_FLIP = wp.constant(wp.int32(0x7FFFFFFF))

wp.set_module_options({"enable_backward": False})


@wp.func
def edge(ax: wp.int64, ay: wp.int64, bx: wp.int64, by: wp.int64, px: wp.int64, py: wp.int64) -> wp.int64:
    """Twice the signed area of (a, b, p); positive where a, b, p turn clockwise on the screen (y down)."""
    return (bx - ax) * (py - ay) - (by - ay) * (px - ax)


@wp.func
def fill_bias(dx: wp.int64, dy: wp.int64) -> wp.int64:
    """0 for a top or left edge of a clockwise triangle (y down), else -1: E + bias >= 0 is inside."""
    if dy < wp.int64(0) or (dy == wp.int64(0) and dx > wp.int64(0)):
        return wp.int64(0)
    return wp.int64(-1)


@wp.func
def depth_to_key(z: wp.float32, face: wp.int32) -> wp.int64:
    """Order-preserving: nearer first, then the smaller face id; holds for negative z too."""
    bits = wp.cast(z, wp.int32)
    if bits < 0:
        bits = bits ^ SIGN_FLIP
    return wp.int64(bits) * wp.int64(4294967296) + wp.int64(face)


@wp.func
def key_to_depth(key: wp.int64) -> wp.float32:
    bits = wp.int32(key >> wp.int64(32))
    if bits < 0:
        bits = bits ^ SIGN_FLIP
    return wp.cast(bits, wp.float32)


@wp.func
def snap_vertex(
    b: wp.int32,
    v: wp.int32,
    vertices: wp.array2d(dtype=wp.vec3),
    intrinsics: wp.array3d(dtype=wp.float32),
    perspective: wp.int32,
    near: wp.float32,
    xy: wp.array3d(dtype=wp.int32),
    q: wp.array2d(dtype=wp.float32),
):
    p = vertices[b, v]
    x = wp.float64(p[0])
    y = wp.float64(p[1])
    z = p[2]
    valid = wp.isfinite(p)
    if perspective == 1:
        valid = valid and z >= near
    u = wp.float64(intrinsics[b, 0, 0]) * x + wp.float64(intrinsics[b, 0, 1]) * y
    w = wp.float64(intrinsics[b, 1, 0]) * x + wp.float64(intrinsics[b, 1, 1]) * y
    k = z
    if perspective == 1 and valid:
        u = u / wp.float64(z)
        w = w / wp.float64(z)
        k = 1.0 / z
    u = u + wp.float64(intrinsics[b, 0, 2])
    w = w + wp.float64(intrinsics[b, 1, 2])
    valid = valid and wp.abs(u) < LIMIT and wp.abs(w) < LIMIT
    if valid:
        xy[b, v, 0] = wp.int32(wp.floor(u * SCALE + wp.float64(0.5)))
        xy[b, v, 1] = wp.int32(wp.floor(w * SCALE + wp.float64(0.5)))
        q[b, v] = k
    else:
        xy[b, v, 0] = INVALID
        xy[b, v, 1] = INVALID
        q[b, v] = 0.0


@wp.kernel
def snap_kernel(
    vertices: wp.array2d(dtype=wp.vec3),
    intrinsics: wp.array3d(dtype=wp.float32),
    perspective: wp.int32,
    near: wp.float32,
    span: wp.int32,
    xy: wp.array3d(dtype=wp.int32),
    q: wp.array2d(dtype=wp.float32),
):
    """Project and snap vertices; q is 1 / z (perspective) or z, whichever is linear on the screen."""
    b, chunk = wp.tid()
    for v in range(chunk * span, wp.min((chunk + 1) * span, vertices.shape[1])):
        snap_vertex(b, v, vertices, intrinsics, perspective, near, xy, q)


@wp.func
def draw_triangle(
    b: wp.int32,
    f: wp.int32,
    xy: wp.array3d(dtype=wp.int32),
    q: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int32),
    face_mask: wp.array2d(dtype=wp.uint8),
    cull: wp.int32,
    perspective: wp.int32,
    keys: wp.array3d(dtype=wp.int64),
):
    if face_mask[b, f] == wp.uint8(0):
        return
    i = faces[f, 0]
    j = faces[f, 1]
    k = faces[f, 2]
    if xy[b, i, 0] == INVALID or xy[b, j, 0] == INVALID or xy[b, k, 0] == INVALID:
        return
    ax = wp.int64(xy[b, i, 0])
    ay = wp.int64(xy[b, i, 1])
    bx = wp.int64(xy[b, j, 0])
    by = wp.int64(xy[b, j, 1])
    cx = wp.int64(xy[b, k, 0])
    cy = wp.int64(xy[b, k, 1])
    qa = q[b, i]
    qb = q[b, j]
    qc = q[b, k]

    height = keys.shape[1]
    width = keys.shape[2]
    # Pixel centres lie at i * ONE + HALF: first centre >= min, last centre <= max.
    x0 = wp.max(wp.int32((wp.min(wp.min(ax, bx), cx) + HALF - wp.int64(1)) >> SHIFT), 0)
    x1 = wp.min(wp.int32((wp.max(wp.max(ax, bx), cx) - HALF) >> SHIFT), width - 1)
    y0 = wp.max(wp.int32((wp.min(wp.min(ay, by), cy) + HALF - wp.int64(1)) >> SHIFT), 0)
    y1 = wp.min(wp.int32((wp.max(wp.max(ay, by), cy) - HALF) >> SHIFT), height - 1)
    if x0 > x1 or y0 > y1:
        return

    area = edge(ax, ay, bx, by, cx, cy)
    # Counter-clockwise as seen is a negative area, since y points down.
    if area == wp.int64(0) or (cull == 1 and area > wp.int64(0)):
        return
    if area < wp.int64(0):
        area = -area
        tx = bx
        ty = by
        tq = qb
        bx = cx
        by = cy
        qb = qc
        cx = tx
        cy = ty
        qc = tq

    px = wp.int64(x0) * ONE + HALF
    py = wp.int64(y0) * ONE + HALF
    bias_a = fill_bias(cx - bx, cy - by)
    bias_b = fill_bias(ax - cx, ay - cy)
    bias_c = fill_bias(bx - ax, by - ay)
    row_a = edge(bx, by, cx, cy, px, py) + bias_a
    row_b = edge(cx, cy, ax, ay, px, py) + bias_b
    row_c = edge(ax, ay, bx, by, px, py) + bias_c
    step_xa = (by - cy) * ONE
    step_xb = (cy - ay) * ONE
    step_xc = (ay - by) * ONE
    step_ya = (cx - bx) * ONE
    step_yb = (ax - cx) * ONE
    step_yc = (bx - ax) * ONE
    inverse = 1.0 / wp.float32(area)
    for y in range(y0, y1 + 1):
        wa = row_a
        wb = row_b
        wc = row_c
        for x in range(x0, x1 + 1):
            if (wa | wb | wc) >= wp.int64(0):
                fb = wp.float32(wb - bias_b) * inverse
                fc = wp.float32(wc - bias_c) * inverse
                z = qa + fb * (qb - qa) + fc * (qc - qa)
                if perspective == 1:
                    z = 1.0 / z
                wp.atomic_min(keys, b, y, x, depth_to_key(z, f))
            wa = wa + step_xa
            wb = wb + step_xb
            wc = wc + step_xc
        row_a = row_a + step_ya
        row_b = row_b + step_yb
        row_c = row_c + step_yc


@wp.kernel
def draw_kernel(
    xy: wp.array3d(dtype=wp.int32),
    q: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int32),
    face_mask: wp.array2d(dtype=wp.uint8),
    cull: wp.int32,
    perspective: wp.int32,
    span: wp.int32,
    keys: wp.array3d(dtype=wp.int64),
):
    """Draw triangles into the key buffer."""
    b, chunk = wp.tid()
    for f in range(chunk * span, wp.min((chunk + 1) * span, faces.shape[0])):
        draw_triangle(b, f, xy, q, faces, face_mask, cull, perspective, keys)


@wp.func
def resolve_pixel(
    b: wp.int32,
    y: wp.int32,
    x: wp.int32,
    keys: wp.array3d(dtype=wp.int64),
    xy: wp.array3d(dtype=wp.int32),
    q: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int32),
    perspective: wp.int32,
    face_id: wp.array3d(dtype=wp.int32),
    barycentric: wp.array3d(dtype=wp.vec3),
    depth: wp.array3d(dtype=wp.float32),
):
    key = keys[b, y, x]
    if key == EMPTY:
        face_id[b, y, x] = -1
        barycentric[b, y, x] = wp.vec3(0.0, 0.0, 0.0)
        depth[b, y, x] = wp.inf
        return
    f = wp.int32(key & LOW_WORD)
    i = faces[f, 0]
    j = faces[f, 1]
    k = faces[f, 2]
    ax = wp.int64(xy[b, i, 0])
    ay = wp.int64(xy[b, i, 1])
    bx = wp.int64(xy[b, j, 0])
    by = wp.int64(xy[b, j, 1])
    cx = wp.int64(xy[b, k, 0])
    cy = wp.int64(xy[b, k, 1])
    px = wp.int64(x) * ONE + HALF
    py = wp.int64(y) * ONE + HALF
    # All three share the sign of the area, so their ratios are never negative.
    wa = wp.abs(wp.float32(edge(bx, by, cx, cy, px, py)))
    wb = wp.abs(wp.float32(edge(cx, cy, ax, ay, px, py)))
    wc = wp.abs(wp.float32(edge(ax, ay, bx, by, px, py)))
    if perspective == 1:
        wa = wa * q[b, i]
        wb = wb * q[b, j]
        wc = wc * q[b, k]
    total = wa + wb + wc
    face_id[b, y, x] = f
    barycentric[b, y, x] = wp.vec3(wa / total, wb / total, wc / total)
    depth[b, y, x] = key_to_depth(key)


@wp.kernel
def resolve_kernel(
    keys: wp.array3d(dtype=wp.int64),
    xy: wp.array3d(dtype=wp.int32),
    q: wp.array2d(dtype=wp.float32),
    faces: wp.array2d(dtype=wp.int32),
    perspective: wp.int32,
    span: wp.int32,
    face_id: wp.array3d(dtype=wp.int32),
    barycentric: wp.array3d(dtype=wp.vec3),
    depth: wp.array3d(dtype=wp.float32),
):
    """Key buffer to face id, perspective-correct barycentrics and z."""
    b, y, chunk = wp.tid()
    for x in range(chunk * span, wp.min((chunk + 1) * span, keys.shape[2])):
        resolve_pixel(b, y, x, keys, xy, q, faces, perspective, face_id, barycentric, depth)


@wp.func
def interpolate_pixel(
    b: wp.int32,
    y: wp.int32,
    x: wp.int32,
    face_id: wp.array3d(dtype=wp.int32),
    barycentric: wp.array3d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    attributes: wp.array3d(dtype=wp.float32),
    background: wp.float32,
    image: wp.array4d(dtype=wp.float32),
):
    f = face_id[b, y, x]
    channels = image.shape[3]
    if f < 0:
        for c in range(channels):
            image[b, y, x, c] = background
        return
    i = faces[f, 0]
    j = faces[f, 1]
    k = faces[f, 2]
    w = barycentric[b, y, x]
    for c in range(channels):
        image[b, y, x, c] = w[0] * attributes[b, i, c] + w[1] * attributes[b, j, c] + w[2] * attributes[b, k, c]


@wp.kernel
def interpolate_kernel(
    face_id: wp.array3d(dtype=wp.int32),
    barycentric: wp.array3d(dtype=wp.vec3),
    faces: wp.array2d(dtype=wp.int32),
    attributes: wp.array3d(dtype=wp.float32),
    background: wp.float32,
    span: wp.int32,
    image: wp.array4d(dtype=wp.float32),
):
    """Per-vertex attributes to pixels."""
    b, y, chunk = wp.tid()
    for x in range(chunk * span, wp.min((chunk + 1) * span, image.shape[2])):
        interpolate_pixel(b, y, x, face_id, barycentric, faces, attributes, background, image)
