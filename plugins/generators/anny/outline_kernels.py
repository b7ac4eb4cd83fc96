"""Softening of single pixels: the binomial mean of 3 x 3 neighbours, for a list of places.

No `from __future__ import annotations` here: warp reads the annotations of kernels.
"""

# mypy: ignore-errors
# Kernels are written in warp's language, whose types mypy cannot follow.

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def gather_kernel(
    pixels: wp.array(dtype=wp.vec3),
    places: wp.array(dtype=wp.int32),
    width: wp.int32,
    span: wp.int32,
    means: wp.array(dtype=wp.vec3),
):
    """means[i]: of the pixels around places[i], none of which lies on the picture's border."""
    chunk = wp.tid()
    for i in range(chunk * span, wp.min((chunk + 1) * span, places.shape[0])):
        p = places[i]
        sides = pixels[p - 1] + pixels[p + 1] + pixels[p - width] + pixels[p + width]
        corners = pixels[p - width - 1] + pixels[p - width + 1] + pixels[p + width - 1] + pixels[p + width + 1]
        means[i] = pixels[p] * 0.25 + sides * 0.125 + corners * 0.0625


@wp.kernel
def scatter_kernel(
    means: wp.array(dtype=wp.vec3), places: wp.array(dtype=wp.int32), span: wp.int32, pixels: wp.array(dtype=wp.vec3)
):
    """Write them back."""
    chunk = wp.tid()
    for i in range(chunk * span, wp.min((chunk + 1) * span, places.shape[0])):
        pixels[places[i]] = means[i]
