"""Warp kernels on surfaces: vertex normals, occlusion tests, shadow maps. Conventions as in `warp_kernels`."""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def normals_kernel(
    vertices: wp.array2d(dtype=wp.vec3),
    faces: wp.array(dtype=wp.vec3i),
    starts: wp.array(dtype=wp.int32),
    corners: wp.array(dtype=wp.int32),
    span: wp.int32,
    normals: wp.array2d(dtype=wp.vec3),
):
    """Area-weighted vertex normals; each vertex gathers its own faces, so no two threads share a sum."""
    b, chunk = wp.tid()
    for v in range(chunk * span, wp.min((chunk + 1) * span, vertices.shape[1])):
        total = wp.vec3(0.0, 0.0, 0.0)
        for n in range(starts[v], starts[v + 1]):
            corner = faces[corners[n] // 3]
            a = vertices[b, corner[0]]
            total = total + wp.cross(vertices[b, corner[1]] - a, vertices[b, corner[2]] - a)
        length = wp.length(total)
        if length > 0.0:
            normals[b, v] = total / length


@wp.func
def is_surface(z: wp.float32) -> bool:
    return z < wp.inf


@wp.func
def depth_at(z: wp.array3d(dtype=wp.float32), b: wp.int32, y: wp.int32, x: wp.int32) -> wp.float32:
    if y < 0 or x < 0 or y >= z.shape[1] or x >= z.shape[2]:
        return wp.inf
    return z[b, y, x]


@wp.kernel
def shadow_kernel(
    points: wp.array2d(dtype=wp.vec3),
    normals: wp.array2d(dtype=wp.vec3),
    z: wp.array3d(dtype=wp.float32),
    intrinsics: wp.array3d(dtype=wp.float32),
    bias_texels: wp.float32,
    softness_texels: wp.float32,
    span: wp.int32,
    lit: wp.array2d(dtype=wp.float32),
):
    """How much of the 4x4 depth-map texels around each point lets light through to it.

    Every texel is compared with the depth of the point's own tangent plane there, so that a slanted surface
    does not shade itself; weights are a cubic B-spline, so the result is smooth in the point's position.
    """
    b, chunk = wp.tid()
    for n in range(chunk * span, wp.min((chunk + 1) * span, points.shape[1])):
        p = points[b, n]
        normal = normals[b, n]
        scale = intrinsics[b, 0, 0]
        texel = 1.0 / scale
        # Light travels along +z: lit surfaces have normals with negative z. Steeper than 4:1 is clamped.
        facing = wp.max(-normal[2], 0.25)
        slope_x = normal[0] / facing * texel
        slope_y = normal[1] / facing * texel
        u = scale * p[0] + intrinsics[b, 0, 2] - 0.5
        v = scale * p[1] + intrinsics[b, 1, 2] - 0.5
        x0 = wp.int32(wp.floor(u))
        y0 = wp.int32(wp.floor(v))
        total = wp.float32(0.0)
        weights_x = wp.vec4()
        for i in range(4):
            weights_x[i] = spline_weight(wp.float32(x0 + i - 1) - u)
        for j in range(4):
            y = y0 + j - 1
            dy = wp.float32(y) - v
            weight_y = spline_weight(dy)
            for i in range(4):
                x = x0 + i - 1
                dx = wp.float32(x) - u
                open = wp.float32(1.0)
                here = depth_at(z, b, y, x)
                if is_surface(here):
                    behind = p[2] + slope_x * dx + slope_y * dy - here - bias_texels * texel
                    open = 1.0 - wp.clamp(behind / (softness_texels * texel), 0.0, 1.0)
                total = total + open * weights_x[i] * weight_y
        lit[b, n] = wp.clamp(total, 0.0, 1.0)


@wp.func
def spline_weight(distance: wp.float32) -> wp.float32:
    """Cubic B-spline; weights at distances one apart sum to 1."""
    d = wp.abs(distance)
    if d < 1.0:
        return 2.0 / 3.0 - d * d + 0.5 * d * d * d
    if d < 2.0:
        return (2.0 - d) * (2.0 - d) * (2.0 - d) / 6.0
    return 0.0
