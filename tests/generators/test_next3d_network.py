"""The fast network against plain arithmetic, on other sizes, batches, meshes and weights than the reference numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from next3d_reference import query, superresolution, synthesis
from synthforge_plugins.generators.next3d import parallel, upsampling, winograd
from synthforge_plugins.generators.next3d.config import PLANE_AXES, TINY, TriplaneConfig
from synthforge_plugins.generators.next3d.dynamic import covered_box, fill_holes, mouth_box
from synthforge_plugins.generators.next3d.fake import random_network
from synthforge_plugins.generators.next3d.layers import binomial_filter, convolve_few, convolve_up_few
from synthforge_plugins.generators.next3d.network import LAYERS, Next3DNetwork
from synthforge_plugins.generators.next3d.raster import rasterise
from synthforge_plugins.generators.next3d.synthesis import ConditionalSynthesis
from synthforge_plugins.generators.next3d.volume import (
    Rays,
    Volume,
    VolumeOptions,
    importance_samples,
    march_weights,
    middle_jitter,
    pinhole_rays,
    seeded_jitter,
)
from synthforge_plugins.heads.flame.fake_head import fake_head, landmark_angles

# Wider than the reference's tiny network, so that the Winograd path is taken at 64 pixels and above.
WIDE = TriplaneConfig(z=16, w=16, channel_base=16384, channel_max=256, neural=16, superres_input=32, superres=(8, 6))


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def meshes(batch: int) -> torch.Tensor:
    head = fake_head()
    face, weight = head.locate(*landmark_angles())
    points = (head.vertices[head.faces[face]] * weight[..., None]).sum(1)
    rest = torch.tensor(np.concatenate([head.vertices, points]), dtype=torch.float32)
    scale = 1 + 0.1 * drawn(batch, 1, 3, seed=5)
    return rest * scale + 0.005 * drawn(batch, 1, 3, seed=6)


def cameras(batch: int) -> torch.Tensor:
    from synthforge_plugins.generators.next3d.views import label, volume_camera

    return label([volume_camera(0.3 * i - 0.2, 0.2 * i, 2.7, 18 + i, 64) for i in range(batch)])


@pytest.fixture(scope="module")
def tiny() -> Next3DNetwork:
    return random_network(TINY, seed=3)


def wide_cameras() -> torch.Tensor:
    """Three views, from 60 degrees to one side to 60 to the other."""
    from synthforge_plugins.generators.next3d.views import label, volume_camera

    return label([volume_camera(x, y, 2.7, fov, 64) for x, y, fov in ((-1.05, 0.4, 12), (0, 0, 18), (1.05, -0.5, 27))])


def far_meshes() -> torch.Tensor:
    """Three heads: as it is, one that leaves the planes at an edge, and one larger than the planes."""
    head = meshes(1).expand(3, -1, -1).clone()
    head[1] += torch.tensor([0.15, 0.1, -0.1])
    head[2] *= 2.5
    return head


@pytest.mark.parametrize("variant", ["official", "synthforge"])
def test_a_batch_is_its_samples_one_by_one(variant: Literal["official", "synthforge"]) -> None:
    network = random_network(TINY, seed=3)
    network.variant = variant
    c, mesh = wide_cameras(), far_meshes()
    with torch.inference_mode():
        ws = network.map(drawn(3, 16), c, psi=0.6, cutoff=8)
        planes = network.planes(ws, mesh)
        streams = [torch.Generator().manual_seed(i) for i in range(3)]
        finer = network.depth_resolution() ** 2
        jitters = seeded_jitter(streams, 256, TINY.volume), seeded_jitter(streams, finer, TINY.volume)
        output = network.synthesise(ws, planes.blended, c, *jitters)
        assert output.distance.shape[1:] == (network.depth_resolution(),) * 2
        for i in range(3):
            only = slice(i, i + 1)
            alone = network.planes(ws[only], mesh[only])
            assert alone.boxes == planes.boxes[only]
            for one_view, view in zip(alone.views, planes.views, strict=True):
                assert torch.equal(one_view.face_id[0], view.face_id[i])
                assert torch.equal(one_view.alpha[0], view.alpha[i])
            torch.testing.assert_close(alone.blended[0], planes.blended[i], rtol=0, atol=1e-4)
            own = [(coarse[only], fine[only]) for coarse, fine in jitters]
            one = network.synthesise(ws[only], alone.blended, c[only], *own)
            torch.testing.assert_close(one.image[0], output.image[i], rtol=0, atol=2e-4)
            torch.testing.assert_close(one.distance[0], output.distance[i], rtol=0, atol=1e-3)
    covered = [int((view.face_id[0] >= 0).sum()) for view in (planes.views[0],)]
    assert min(covered) > 1000


def test_only_the_front_follows_the_mesh_in_the_papers_script() -> None:
    network = random_network(TINY, seed=3)
    c, mesh = cameras(1), meshes(1)
    with torch.inference_mode():
        ws = network.map(drawn(1, 16), c)
        moving = {}
        for variant in ("official", "synthforge"):
            network.variant = variant  # type: ignore[assignment]
            here, there = (network.planes(ws, value).blended[0] for value in (mesh, mesh + 0.02))
            moving[variant] = [not torch.equal(here[plane], there[plane]) for plane in range(3)]
    assert moving == {"official": [True, True, True], "synthforge": [True, False, False]}


def test_truncation_draws_the_first_entries_to_the_mean(tiny: Next3DNetwork) -> None:
    z, c = drawn(2, 16), cameras(2)
    mean = drawn(16, seed=4)
    tiny.backbone.mapping.w_avg.copy_(mean)
    try:
        whole = tiny.map(z, c)
        for psi, cutoff in ((0.0, 14), (0.7, 14), (0.7, 5), (-0.5, 1), (0.3, 28)):
            ws = tiny.map(z, c, psi=psi, cutoff=cutoff)
            end = min(cutoff, LAYERS)  # the texture's entries are never truncated
            torch.testing.assert_close(ws[:, :end], (mean + psi * (whole - mean))[:, :end])
            torch.testing.assert_close(ws[:, end:], whole[:, end:])
    finally:
        tiny.backbone.mapping.w_avg.zero_()


def test_empty_rays_lie_at_their_own_or_the_batchs_farthest_sample(tiny: Next3DNetwork) -> None:
    class Empty(Volume):
        def _query(self, points: torch.Tensor, colour: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
            return torch.full((len(points), points.shape[2]), -400.0), None

    options = VolumeOptions(coarse=12, fine=12)
    empty = Empty(torch.zeros(2, 3, 32, 4, 4), tiny.decoder, tiny._projection, options)
    rays = pinhole_rays(cameras(2), 70)  # more than are marched at once
    coarse, fine = middle_jitter(2, 4900, options)
    coarse = coarse.clone()
    coarse[1, 4899, -1] = 0.9
    step = (options.far - options.near) / (options.coarse - 1)
    own = empty.march(rays, (coarse, fine), colour=False).distance
    torch.testing.assert_close(own.amax(1), options.far + step * torch.tensor([0.5, 0.9]))
    assert (own == own[:, :1]).all()
    together = empty.march(rays, (coarse, fine), colour=False, together=True).distance
    assert (together == own[1, 0]).all()


def test_what_lets_light_through_is_rounded_to_the_nearest() -> None:
    """Below a tenth of a millionth, single steps of float32 decide about an almost empty ray's depth."""
    distance = torch.tensor([2.0, 2.25])
    for steps, expected in ((0.49, 0), (0.51, 1), (6.46, 6), (10.49, 10)):
        wanted = steps * 2**-24 / 0.25  # softplus of the mean density less one
        density = torch.full((2,), float(np.log(np.expm1(wanted))) + 1)
        assert float(march_weights(distance, density)[0]) == expected * 2**-24


@pytest.mark.parametrize("config", [TINY, pytest.param(WIDE, marks=pytest.mark.slow)], ids=["tiny", "wide"])
def test_every_network_is_the_plain_arithmetic(config: TriplaneConfig) -> None:
    network = random_network(config, seed=7)
    state = dict(network.state_dict())
    with torch.inference_mode():
        ws = network.map(drawn(1, 16, seed=8), cameras(1))
        main = ws[:, :LAYERS]
        texture = network.texture_backbone.synthesis(ws[:, LAYERS:])
        close(texture, synthesis(state, "texture_backbone.synthesis", ws[:, LAYERS:], 256))
        condition = drawn(1, 32, 64, 64, seed=9)
        close(
            network.mouth_backbone.synthesis(main, condition),
            synthesis(state, "mouth_backbone.synthesis", main, 256, condition, first=8),
        )
        condition = texture.contiguous()
        whole = synthesis(state, "neural_blending.synthesis", main, 256, condition, first=64)
        close(network.neural_blending.synthesis(main, condition), whole)
        for top, bottom, left, right in ((90, 170, 100, 151), (0, 40, 200, 256), (128, 129, 128, 129)):
            part = network.neural_blending.synthesis(main, condition, (top, bottom, left, right))
            inside = (..., slice(top, bottom), slice(left, right))
            close(part[inside], whole[inside])
        features = drawn(1, 32, 16, 16, seed=10).clamp(-1, 1)
        close(
            network.superresolution(features, ws[:, LAYERS - 1]),
            superresolution(state, features, ws[:, LAYERS - 1], config.superres_input),
        )


def close(fast: torch.Tensor, plain: torch.Tensor) -> None:
    """Within 3e-4 of the values' spread."""
    torch.testing.assert_close(fast, plain, rtol=0, atol=3e-4 * max(1.0, float(plain.std())))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 7), st.integers(1, 7), st.booleans(), st.integers(0, 1000))
def test_winograd_is_the_convolution(
    tiles_high: int, tiles_wide: int, inputs: int, outputs: int, two_parts: bool, seed: int
) -> None:
    height, width = 4 * tiles_high, 4 * tiles_wide
    x, weight = drawn(height, width, 2 * inputs, seed=seed), drawn(outputs, 2 * inputs, 3, 3, seed=seed + 1)
    scale = drawn(2 * inputs, seed=seed + 2)
    expected = F.conv2d((x * scale).permute(2, 0, 1)[None], weight, padding=1)[0].permute(1, 2, 0) + 1
    parts = [(x, scale)]
    if two_parts:
        parts = [(x[..., :inputs], scale[:inputs]), (x[..., inputs:], scale[inputs:])]
    factor, shift = drawn(outputs, seed=seed + 3), drawn(outputs, seed=seed + 4)
    found, keep = kept(height, width, outputs)
    with winograd.on_canvas(parts) as whole:
        winograd.convolve(whole, winograd.transform_kernel(weight), factor, shift, keep)
    close(found, (expected - 1) * factor + shift)


def kept(*shape: int) -> tuple[torch.Tensor, Callable[[torch.Tensor, int], None]]:
    """A canvas of unset values and a sink that fills each row of it once."""
    result = torch.full(shape, float("nan"))

    def keep(rows: torch.Tensor, first: int) -> None:
        into = result[first : first + len(rows)]
        assert into.shape == rows.shape
        assert into.isnan().all()
        into.copy_(rows)

    return result, keep


def upsampled(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x (I,H,W) through the transposed convolution and the filter, in float64."""
    spread = F.conv_transpose2d(x[None].double(), weight.transpose(0, 1).double(), stride=2)
    return F.conv2d(
        F.pad(spread, (1, 1, 1, 1)).transpose(0, 1), (binomial_filter() * 4).double()[None, None]
    ).transpose(0, 1)[0]


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 6), st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.integers(0, 1000)
)
def test_upsampling_is_transposed_convolution_and_filter(
    tiles_high: int, tiles_wide: int, inputs: int, outputs: int, threads: int, seed: int
) -> None:
    height, width = 4 * tiles_high, 4 * tiles_wide
    x, weight = drawn(inputs, height, width, seed=seed), drawn(outputs, inputs, 3, 3, seed=seed + 1)
    scale, factor, shift = (drawn(n, seed=seed + 2 + i) for i, n in enumerate((inputs, outputs, outputs)))
    expected = upsampled(x * scale[:, None, None], weight).permute(1, 2, 0).float() * factor + shift
    found, keep = kept(2 * height, 2 * width, outputs)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with winograd.on_canvas([(x.permute(1, 2, 0), scale)], upsampling.AFTER) as whole:
            kernel = upsampling.transform_up_kernel(weight)
            upsampling.convolve_up(whole, kernel, factor, shift, keep, binomial_filter() * 4)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (8, 4), (3, 5)])
def test_products_are_the_convolutions(height: int, width: int) -> None:
    x, weight = drawn(1, 6, height, width), drawn(5, 6, 3, 3, seed=1).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(convolve_few(x, weight), F.conv2d(x, weight, padding=1), rtol=0, atol=1e-5)
    up = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    found = convolve_up_few(x, weight)
    torch.testing.assert_close(found, up, rtol=0, atol=1e-5)
    assert found.is_contiguous(memory_format=torch.channels_last)  # or the filter would copy it


def test_borrowed_memory_is_lent_to_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_spare", [])  # what other tests have left
    with parallel.borrowed(50, 3) as one, parallel.borrowed(150) as other:
        assert one.data_ptr() != other.data_ptr()
        first = one.data_ptr()
    with parallel.borrowed(3, 50) as again, parallel.borrowed(150) as third:
        assert first in (again.data_ptr(), third.data_ptr())
        assert again.data_ptr() != third.data_ptr()
        again.fill_(1)  # outside inference mode as well as inside
        with torch.inference_mode():
            again.mul_(2)
    assert not again.is_inference()


def test_new_weights_are_noticed() -> None:
    network = ConditionalSynthesis(8, 64, 3, 16384, 256, condition=4, condition_size=64, first=32)
    from synthforge_plugins.generators.next3d.layers import randomise

    randomise(network, torch.Generator().manual_seed(0))
    ws, condition = drawn(1, 10, 8), drawn(1, 4, 64, 64)
    with torch.no_grad():
        before = network(ws, condition)
        for parameter in network.parameters():
            parameter.mul_(1.5)
        after = network(ws, condition)
        fresh = ConditionalSynthesis(8, 64, 3, 16384, 256, condition=4, condition_size=64, first=32)
        fresh.load_state_dict(network.state_dict())
        torch.testing.assert_close(after, fresh(ws, condition))
    assert (after - before).abs().max() > 0.1


@pytest.mark.parametrize("size", [64, 100])
def test_the_rasteriser_agrees_with_pytorch3d(size: int) -> None:
    rasterize = pytest.importorskip("pytorch3d.renderer.mesh.rasterize_meshes")
    structures = pytest.importorskip("pytorch3d.structures")
    generator = torch.Generator().manual_seed(size)
    vertices = torch.rand(2, 60, 3, generator=generator) * 2.6 - 1.3
    vertices[..., 2] += 5
    faces = torch.randint(0, 60, (80, 3), generator=generator)
    found = rasterise(vertices, faces, size)
    mesh = structures.Meshes(vertices, faces.expand(2, -1, -1))
    reference = rasterize.rasterize_meshes(
        mesh,
        image_size=size,
        blur_radius=0.0,
        faces_per_pixel=1,
        bin_size=0,
        perspective_correct=False,
        cull_backfaces=True,
    )
    face_id = torch.where(reference[0] >= 0, reference[0] % 80, -1)[..., 0]
    assert torch.equal(found[0], face_id)
    assert (found[0] >= 0).float().mean() > 0.3
    torch.testing.assert_close(found[2], reference[1][..., 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[1], reference[2][..., 0, :], rtol=0, atol=1e-6)


def test_the_rasteriser_survives_meshes_out_of_the_image() -> None:
    faces = torch.tensor([[0, 1, 2]])
    for offset in (5.0, -5.0, float("nan"), float("inf")):
        vertices = torch.tensor([[[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 1.0]]]) + offset
        assert (rasterise(vertices, faces, 16)[0] == -1).all()
    large = torch.tensor([[[-1e6, -1e6, 1.0], [1e6, -1e6, 1.0], [0.0, 1e6, 1.0]]])
    assert (rasterise(large, faces, 16)[0] == 0).all() or (rasterise(large, faces[:, [0, 2, 1]], 16)[0] == 0).all()


def test_holes_are_filled_and_what_is_reached_keeps_its_alpha() -> None:
    alpha = torch.zeros(2, 1, 9, 9)
    alpha[0, 0, 2:7, 2:7] = 1
    alpha[0, 0, 3:6, 3:6] = 0.25
    alpha[1] = alpha[0]
    alpha[1, 0, 2, 4] = 0.5  # a way in
    filled = fill_holes(alpha)
    assert (filled[0, 0, 3:6, 3:6] == 1).all()
    assert torch.equal(filled[1], alpha[1])
    alpha[0, 0, 0, 0] = 1  # the first pixel is closed: nothing is reached
    assert (fill_holes(alpha)[0] == 1).all()


def test_boxes_stay_inside_the_plane() -> None:
    points = torch.zeros(68, 3)
    assert mouth_box(points) == (133, 135, 127, 129)
    points[:, 0] = 1.0
    top, bottom, left, right = mouth_box(points)
    assert 0 <= top < bottom <= 256
    assert 0 <= left < right <= 256
    alpha = torch.zeros(2, 1, 8, 8)
    assert covered_box(alpha) == (0, 1, 0, 1)
    alpha[0, 0, 2, 3] = alpha[1, 0, 5, 1] = 0.1
    assert covered_box(alpha) == (2, 6, 1, 4)


def test_queries_are_grid_samples_through_the_decoder(tiny: Next3DNetwork) -> None:
    planes, points = drawn(2, 3, 32, 64, 64, seed=1), drawn(2, 500, 3, seed=2) * 0.3
    axes = torch.tensor(PLANE_AXES)
    volume = Volume(planes, tiny.decoder, tiny._projection, VolumeOptions())
    density, colour = volume.query(points)
    expected = query(dict(tiny.state_dict()), planes, axes, points)
    torch.testing.assert_close(density, expected[0], rtol=0, atol=1e-5)
    assert colour is not None
    torch.testing.assert_close(colour, expected[1], rtol=0, atol=1e-5)


def test_a_wall_is_seen_at_its_distance(tiny: Next3DNetwork) -> None:
    """Depth is the distance along the ray, whatever the ray, and marching more finely does not move it."""
    options = VolumeOptions(coarse=48, fine=48)

    class Wall(Volume):
        def _query(self, points: torch.Tensor, colour: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
            return torch.where(points[:, 2] < 0, 400.0, -400.0), torch.zeros(len(points), points.shape[2], 32)

    wall = Wall(torch.zeros(1, 3, 32, 4, 4), tiny.decoder, tiny._projection, options)
    rays = pinhole_rays(cameras(1), 12)
    marched = wall.march(rays, middle_jitter(1, 144, options))
    expected = -rays.origins[..., 2] / rays.directions[..., 2]
    torch.testing.assert_close(marched.distance, expected, rtol=0, atol=0.012)
    assert (marched.opacity > 0.999).all()


def test_marching_ray_by_ray_is_marching_together(tiny: Next3DNetwork) -> None:
    planes = drawn(1, 3, 32, 64, 64, seed=4)
    volume = Volume(planes, tiny.decoder, tiny._projection, TINY.volume)
    rays, jitter = pinhole_rays(cameras(1), 80), middle_jitter(1, 6400, TINY.volume)
    whole = volume.march(rays, jitter)
    parts = []
    for some in (slice(0, 900), slice(900, 6400)):
        part = Rays(rays.origins[:, some], rays.directions[:, some])
        parts.append(volume.march(part, (jitter[0][:, some], jitter[1][:, some])))
    torch.testing.assert_close(torch.cat([p.distance for p in parts], 1), whole.distance)


def test_weights_are_a_share_of_the_ray_and_samples_follow_them() -> None:
    distance = torch.linspace(2, 3, 20).expand(4, -1)
    density = drawn(4, 20) * 20
    weights = march_weights(distance, density)
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-6).all()
    peak = torch.zeros(1, 19)
    peak[0, 10] = 1
    u = torch.linspace(0, 1, 50)[None]
    found = importance_samples(distance[:1], peak, u)
    assert (found.diff() >= -1e-6).all()
    middle = (distance[0, 10] + distance[0, 11]) / 2
    assert (found - middle).abs().median() < 0.08


@pytest.mark.slow
def test_the_published_size_is_the_plain_arithmetic() -> None:
    network = random_network(TriplaneConfig(), seed=1)
    with torch.inference_mode():
        ws = network.map(drawn(1, 512), cameras(1), psi=0.7)
        state = dict(network.state_dict())
        close(network.backbone.synthesis(ws[:, :LAYERS]), synthesis(state, "backbone.synthesis", ws[:, :LAYERS], 256))
        features = drawn(1, 32, 64, 64, seed=2).clamp(-1, 1)
        fast = network.superresolution(features, ws[:, LAYERS - 1])
        close(fast, superresolution(state, features, ws[:, LAYERS - 1], 128))


@pytest.mark.slow
def test_the_published_size_runs_in_three_gibibytes(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / "perf/next3d.py"
    command = [sys.executable, str(script), "--repeats", "1", "--json", str(tmp_path / "perf.json")]
    subprocess.run(command, check=True, timeout=600)
    assert json.loads((tmp_path / "perf.json").read_text())["peak_gib"] < 3
