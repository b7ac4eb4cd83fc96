"""Warp kernels of the rasteriser: one source for CPU and CUDA.

Coverage is decided in exact integer arithmetic. Vertices are snapped to 1 / 2^14 of a pixel; edge functions are int64
(|coordinate| <= 2^29, so |edge| <= 2^61). A pixel centre on an edge belongs to the triangle for which the edge is a top
or a left one. So triangles that share an edge cover every pixel exactly once.

The z-buffer is a 64-bit key per pixel: depth in the high word, triangle id in the low one. Drawing takes the minimum,
so the result does not depend on the order of triangles or threads. Of equal depths the smaller id wins.

A CPU launch runs its threads one after the other and pays about 30 ns for each. So every kernel handles `span`
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
    screen: wp.array(dtype=wp.vec3i),
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
        column = wp.int32(wp.floor(u * SCALE + wp.float64(0.5)))
        row = wp.int32(wp.floor(w * SCALE + wp.float64(0.5)))
        screen[b * vertices.shape[1] + v] = wp.vec3i(column, row, wp.cast(k, wp.int32))
    else:
        screen[b * vertices.shape[1] + v] = wp.vec3i(INVALID, INVALID, 0)


@wp.kernel
def snap_kernel(
    vertices: wp.array2d(dtype=wp.vec3),
    intrinsics: wp.array3d(dtype=wp.float32),
    perspective: wp.int32,
    near: wp.float32,
    span: wp.int32,
    screen: wp.array(dtype=wp.vec3i),
):
    """Project and snap vertices; q is 1 / z (perspective) or z, whichever is linear on the screen."""
    b, chunk = wp.tid()
    for v in range(chunk * span, wp.min((chunk + 1) * span, vertices.shape[1])):
        snap_vertex(b, v, vertices, intrinsics, perspective, near, screen)


@wp.func
def draw_triangle(
    b: wp.int32,
    f: wp.int32,
    base_vertex: wp.int32,
    screen: wp.array(dtype=wp.vec3i),
    faces: wp.array(dtype=wp.vec3i),
    face_mask: wp.array2d(dtype=wp.uint8),
    cull: wp.int32,
    perspective: wp.int32,
    height: wp.int32,
    width: wp.int32,
    keys: wp.array(dtype=wp.int64),
):
    if face_mask[b, f] == wp.uint8(0):
        return
    corners = faces[f]
    first = screen[base_vertex + corners[0]]
    second = screen[base_vertex + corners[1]]
    third = screen[base_vertex + corners[2]]
    if first[0] == INVALID or second[0] == INVALID or third[0] == INVALID:
        return
    ax = wp.int64(first[0])
    ay = wp.int64(first[1])
    bx = wp.int64(second[0])
    by = wp.int64(second[1])
    cx = wp.int64(third[0])
    cy = wp.int64(third[1])
    qa = wp.cast(first[2], wp.float32)
    qb = wp.cast(second[2], wp.float32)
    qc = wp.cast(third[2], wp.float32)

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
    sign = wp.float32(1.0)
    if perspective == 1:
        sign = -sign
    for y in range(y0, y1 + 1):
        base = (b * height + y) * width
        wa = row_a
        wb = row_b
        wc = row_c
        for x in range(x0, x1 + 1):
            if (wa | wb | wc) >= wp.int64(0):
                fb = wp.float32(wb - bias_b) * inverse
                fc = wp.float32(wc - bias_c) * inverse
                # Ordered by -1 / z where that is what is linear: no division here.
                wp.atomic_min(keys, base + x, depth_to_key(sign * (qa + fb * (qb - qa) + fc * (qc - qa)), f))
            wa = wa + step_xa
            wb = wb + step_xb
            wc = wc + step_xc
        row_a = row_a + step_ya
        row_b = row_b + step_yb
        row_c = row_c + step_yc


@wp.kernel
def draw_kernel(
    screen: wp.array(dtype=wp.vec3i),
    faces: wp.array(dtype=wp.vec3i),
    face_mask: wp.array2d(dtype=wp.uint8),
    vertex_count: wp.int32,
    cull: wp.int32,
    perspective: wp.int32,
    height: wp.int32,
    width: wp.int32,
    span: wp.int32,
    keys: wp.array(dtype=wp.int64),
):
    """Draw triangles into the key buffer."""
    b, chunk = wp.tid()
    for f in range(chunk * span, wp.min((chunk + 1) * span, faces.shape[0])):
        draw_triangle(b, f, b * vertex_count, screen, faces, face_mask, cull, perspective, height, width, keys)


@wp.func
def resolve_pixel(
    base_vertex: wp.int32,
    y: wp.int32,
    x: wp.int32,
    pixel: wp.int32,
    key: wp.int64,
    screen: wp.array(dtype=wp.vec3i),
    faces: wp.array(dtype=wp.vec3i),
    perspective: wp.int32,
    face_id: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=wp.float32),
):
    f = wp.int32(key & LOW_WORD)
    corners = faces[f]
    first = screen[base_vertex + corners[0]]
    second = screen[base_vertex + corners[1]]
    third = screen[base_vertex + corners[2]]
    px = wp.int64(x) * ONE + HALF
    py = wp.int64(y) * ONE + HALF
    ax = wp.int64(first[0]) - px
    ay = wp.int64(first[1]) - py
    bx = wp.int64(second[0]) - px
    by = wp.int64(second[1]) - py
    cx = wp.int64(third[0]) - px
    cy = wp.int64(third[1]) - py
    # All three share the sign of the area, so their ratios are never negative.
    wa = wp.abs(wp.float32(bx * cy - by * cx))
    wb = wp.abs(wp.float32(cx * ay - cy * ax))
    wc = wp.abs(wp.float32(ax * by - ay * bx))
    z = key_to_depth(key)
    if perspective == 1:
        wa = wa * wp.cast(first[2], wp.float32)
        wb = wb * wp.cast(second[2], wp.float32)
        wc = wc * wp.cast(third[2], wp.float32)
        z = -1.0 / z
    scale = 1.0 / (wa + wb + wc)
    face_id[pixel] = f
    barycentric[pixel] = wp.vec3(wa * scale, wb * scale, wc * scale)
    depth[pixel] = z


@wp.kernel
def resolve_kernel(
    keys: wp.array(dtype=wp.int64),
    screen: wp.array(dtype=wp.vec3i),
    faces: wp.array(dtype=wp.vec3i),
    vertex_count: wp.int32,
    perspective: wp.int32,
    height: wp.int32,
    width: wp.int32,
    span: wp.int32,
    face_id: wp.array(dtype=wp.int32),
    barycentric: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=wp.float32),
):
    """Key buffer to face id, perspective-correct barycentrics and z; empty pixels are left as they are."""
    b, y, chunk = wp.tid()
    row = (b * height + y) * width
    for x in range(chunk * span, wp.min((chunk + 1) * span, width)):
        key = keys[row + x]
        if key != EMPTY:
            resolve_pixel(b * vertex_count, y, x, row + x, key, screen, faces, perspective, face_id, barycentric, depth)


@wp.kernel
def interpolate_kernel(
    face_id: wp.array2d(dtype=wp.int32),
    barycentric: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    attributes: wp.array3d(dtype=wp.float32),
    background: wp.float32,
    span: wp.int32,
    image: wp.array3d(dtype=wp.float32),
):
    """Per-vertex attributes to pixels (flattened to one dimension an image)."""
    b, chunk = wp.tid()
    channels = image.shape[2]
    for p in range(chunk * span, wp.min((chunk + 1) * span, image.shape[1])):
        f = face_id[b, p]
        if f < 0:
            for c in range(channels):
                image[b, p, c] = background
        else:
            corners = faces[f]
            w = barycentric[b, p]
            for c in range(channels):
                image[b, p, c] = (
                    w[0] * attributes[b, corners[0], c]
                    + w[1] * attributes[b, corners[1], c]
                    + w[2] * attributes[b, corners[2], c]
                )
