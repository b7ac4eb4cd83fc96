"""The rasteriser's rules: watertight, independent of order, perspective-correct; both backends agree."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes
from scipy.spatial import Delaunay

from synthforge.geometry.cameras import orbit_camera, stack_cameras, to_camera_torch
from synthforge.geometry.meshes import Mesh, icosphere
from synthforge.geometry.raster import (
    BackendMissingError,
    Fragments,
    RasterError,
    get_rasteriser,
)
from synthforge.geometry.raster_warp import interpolate

property_test = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31)
WARP = get_rasteriser("warp")


def assert_close(actual: torch.Tensor, expected: torch.Tensor, atol: float = 1e-5) -> None:
    """As torch.testing has it, which takes seconds to import."""
    np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=0, atol=atol)


def bumpy(subdivisions: int, seed: int = 0, amount: float = 0.01) -> tuple[torch.Tensor, torch.Tensor]:
    """A closed star-shaped blob of 12 cm radius."""
    mesh = icosphere(subdivisions, 0.12)
    scale = 1 + np.random.default_rng(seed).normal(0, amount / 0.12, (len(mesh.vertices), 1))
    return torch.tensor(mesh.vertices * scale, dtype=torch.float32), torch.tensor(mesh.faces)


def view(
    vertices: torch.Tensor, azimuth: float = 0.4, width: int = 64, height: int = 64, fov: float = 20
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices in the camera frame (1, V, 3) and intrinsics (1, 3, 3)."""
    intrinsics, poses = stack_cameras([orbit_camera(azimuth, 0.2, 1.0, fov, width, height)])
    return to_camera_torch(vertices, poses), intrinsics


def flat(points: np.ndarray, width: int, height: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel coordinates (V, 2) as vertices at z = 1 m, and intrinsics that map them back unchanged."""
    scale = 64.0
    camera = np.concatenate([points / scale, np.ones((len(points), 1))], axis=1)
    return torch.tensor(camera, dtype=torch.float32)[None], torch.diag(torch.tensor([scale, scale, 1.0]))[None]


def screen_orientation(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = points[faces].transpose(1, 0, 2)
    return np.cross(b - a, c - a)


@given(seeds, st.integers(4, 60), st.booleans())
@property_test
def test_a_triangulated_rectangle_covers_every_pixel_exactly_once(seed: int, count: int, on_centres: bool) -> None:
    random = np.random.default_rng(seed)
    inside = random.uniform(0, 24, (count, 2))
    if on_centres:  # vertices and edges through pixel centres: the hard case of the fill rule
        inside = np.unique(np.floor(inside) + 0.5, axis=0)
    points = np.concatenate([inside, [[-1, -1], [25, -1], [-1, 25], [25, 25]]])
    faces = Delaunay(points).simplices
    vertices, intrinsics = flat(points, 24, 24)
    covered = torch.zeros(24, 24, dtype=torch.int64)
    for start in range(0, len(faces), 16):  # every face alone, so that covering twice would show
        chunk = torch.tensor(faces[start : start + 16])
        alone = torch.eye(len(chunk), dtype=torch.bool)
        batch = vertices.expand(len(chunk), -1, -1)
        drawn = WARP.rasterise(batch, chunk, intrinsics[0], 24, 24, cull=False, face_mask=alone)
        covered += drawn.mask.sum(0)
    assert (covered == 1).all()


@given(seeds, st.floats(-3, 3))
@property_test
def test_a_closed_mesh_has_no_holes(seed: int, azimuth: float) -> None:
    # Convex, so that no notch of the outline can close into a hole between pixels.
    vertices, faces = bumpy(3, amount=0)
    vertices = vertices * torch.tensor(np.random.default_rng(seed).uniform(0.6, 1.2, 3), dtype=torch.float32)
    camera, intrinsics = view(vertices, azimuth)
    mask = WARP.rasterise(camera, faces, intrinsics, 64, 64).mask[0].numpy()
    assert mask.mean() > 0.05
    np.testing.assert_array_equal(binary_fill_holes(mask), mask)


@given(seeds)
@property_test
def test_the_order_of_faces_does_not_matter(seed: int) -> None:
    vertices, faces = bumpy(2, seed, amount=0.03)
    camera, intrinsics = view(vertices)
    permutation = torch.tensor(np.random.default_rng(seed).permutation(len(faces)))
    first = WARP.rasterise(camera, faces, intrinsics, 48, 48, cull=False)
    second = WARP.rasterise(camera, faces[permutation], intrinsics, 48, 48, cull=False)
    renamed = torch.where(second.mask, permutation[second.face_id.clamp_min(0).long()], -1)
    assert torch.equal(second.z, first.z)
    # on an edge two faces may be equally deep, and the smaller id wins
    same = renamed.int() == first.face_id
    assert (same | (first.barycentric.amin(-1) < 1e-5)).all()
    assert torch.equal(second.barycentric[same], first.barycentric[same])


def test_equal_depths_go_to_the_smaller_face() -> None:
    vertices, intrinsics = flat(np.array([[0.0, 0], [16, 0], [0, 16]]), 16, 16)
    faces = torch.tensor([[0, 1, 2]] * 3)
    drawn = WARP.rasterise(vertices, faces, intrinsics, 16, 16, cull=False)
    assert set(drawn.face_id.unique().tolist()) == {-1, 0}
    masked = WARP.rasterise(
        vertices, faces, intrinsics, 16, 16, cull=False, face_mask=torch.tensor([False, True, True])
    )
    assert set(masked.face_id.unique().tolist()) == {-1, 1}


@given(seeds)
@property_test
def test_tripling_the_resolution_keeps_the_pixels_that_coincide(seed: int) -> None:
    # Centres of pixels i at size n are centres of pixels 3i + 1 at size 3n.
    vertices, faces = bumpy(2, seed)
    small = draw(vertices, faces, 32)
    large = draw(vertices, faces, 96)
    same = small.face_id == large.face_id[:, 1::3, 1::3]
    assert same.float().mean() > 0.995  # snapping may move a centre across an edge
    close = same & small.mask
    assert_close(small.z[close], large.z[:, 1::3, 1::3][close], atol=2e-4)


def draw(vertices: torch.Tensor, faces: torch.Tensor, size: int) -> Fragments:
    camera, intrinsics = view(vertices, width=size, height=size)
    return WARP.rasterise(camera, faces, intrinsics, size, size)


@given(seeds)
@property_test
def test_doubling_the_resolution_quadruples_the_area(seed: int) -> None:
    vertices, faces = bumpy(2, seed)
    small = draw(vertices, faces, 48).mask.sum().item()
    large = draw(vertices, faces, 96).mask.sum().item()
    assert large == pytest.approx(4 * small, rel=0.03)


@given(seeds, st.floats(-3, 3))
@property_test
def test_interpolated_positions_project_to_their_pixels(seed: int, azimuth: float) -> None:
    vertices, faces = bumpy(2, seed)
    camera, intrinsics = view(vertices, azimuth, width=60, height=44)
    drawn = WARP.rasterise(camera, faces, intrinsics, 44, 60)
    positions = interpolate(drawn, faces, camera)
    pixels = positions @ intrinsics[0].T
    y, x = torch.meshgrid(torch.arange(44) + 0.5, torch.arange(60) + 0.5, indexing="ij")
    expected = torch.stack([x, y], -1)[None]
    seen = drawn.mask
    assert_close((pixels[..., :2] / pixels[..., 2:])[seen], expected[seen], atol=1e-3)
    assert_close(positions[..., 2][seen], drawn.z[seen], atol=1e-5)
    assert (drawn.barycentric[seen] >= 0).all()
    assert_close(drawn.barycentric[seen].sum(-1), torch.ones(int(seen.sum())))
    assert drawn.z[~seen].isinf().all()
    assert (drawn.barycentric[~seen] == 0).all()


def test_perspective_interpolation_is_not_linear_on_the_screen() -> None:
    # A strip from z = 1 to z = 3: halfway on the screen lies a quarter of the way along it.
    vertices = torch.tensor([[[-1.0, -1, 1], [-1, 1, 1], [3, 3, 3], [3, -3, 3]]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    intrinsics = torch.tensor([[32.5, 0, 32.5], [0, 32.5, 32.5], [0, 0, 1]])
    drawn = WARP.rasterise(vertices, faces, intrinsics, 65, 65, cull=False)
    along = interpolate(drawn, faces, torch.tensor([[0.0], [0], [1], [1]]))
    assert along[0, 32, 32, 0].item() == pytest.approx(0.25, abs=1e-4)
    assert drawn.z[0, 32, 32].item() == pytest.approx(1.5, abs=1e-4)


def test_culling_drops_what_is_seen_from_behind() -> None:
    vertices, faces = bumpy(2)
    camera, intrinsics = view(vertices)
    both = WARP.rasterise(camera, faces, intrinsics, 64, 64, cull=False)
    front = WARP.rasterise(camera, faces, intrinsics, 64, 64)
    assert torch.equal(both.face_id, front.face_id)  # of a closed mesh the front is seen either way
    turned = WARP.rasterise(camera, faces.flip(1), intrinsics, 64, 64)
    assert torch.equal(turned.mask, front.mask)
    assert (turned.z[turned.mask] > front.z[turned.mask] + 0.01).float().mean() > 0.9  # the inside of the back


def test_triangles_at_the_near_plane_and_broken_vertices_are_dropped() -> None:
    triangle = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [0, 1, 1]])
    intrinsics = torch.tensor([[16.0, 0, 16], [0, 16, 16], [0, 0, 1]])
    faces = torch.tensor([[0, 1, 2]])
    for value in (0.005, -1.0, float("nan")):
        broken = triangle.clone()
        broken[2, 2] = value
        batch = torch.stack([triangle, broken])
        drawn = WARP.rasterise(batch, faces, intrinsics, 32, 32, cull=False)
        assert drawn.mask[0].any()
        assert not drawn.mask[1].any()


def test_orthographic_pictures_ignore_depth_and_allow_any_sign() -> None:
    points = np.array([[2.0, 2], [14, 2], [2, 14]])
    vertices, intrinsics = flat(points, 16, 16)
    vertices = vertices.repeat(2, 1, 1)
    vertices[0, :, 2] = torch.tensor([-1.0, 0.5, 2])
    vertices[1, :, 2] = -3
    drawn = WARP.rasterise(
        vertices, torch.tensor([[0, 1, 2]]), intrinsics[0], 16, 16, cull=False, projection="orthographic"
    )
    assert torch.equal(drawn.mask[0], drawn.mask[1])
    weights = torch.tensor([-1.0, 0.5, 2])
    seen = drawn.mask[0]
    assert_close(drawn.z[0][seen], (drawn.barycentric[0] @ weights)[seen], atol=1e-6)
    assert (drawn.z[1][drawn.mask[1]] == -3).all()


def test_nearer_negative_depths_win_in_orthographic_pictures() -> None:
    points = np.array([[0.0, 0], [16, 0], [0, 16]] * 2)
    vertices, intrinsics = flat(points, 16, 16)
    vertices[0, :, 2] = torch.tensor([-1.0, -1, -1, -2, -2, -2])
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    drawn = WARP.rasterise(vertices, faces, intrinsics, 16, 16, cull=False, projection="orthographic")
    assert set(drawn.face_id.unique().tolist()) == {-1, 1}


def test_batches_equal_single_images_and_meshes_may_be_empty() -> None:
    first, faces = bumpy(2, 1)
    second, _ = bumpy(2, 2)
    cameras = [view(first, 0.1), view(second, 0.9)]
    vertices, intrinsics = (torch.cat(parts) for parts in zip(*cameras, strict=True))
    together = WARP.rasterise(vertices, faces, intrinsics, 40, 40)
    for index, (camera, matrix) in enumerate(cameras):
        alone = WARP.rasterise(camera, faces, matrix, 40, 40)
        assert torch.equal(alone.face_id[0], together.face_id[index])
        assert torch.equal(alone.z[0], together.z[index])
    nothing = WARP.rasterise(vertices, faces[:0], intrinsics, 40, 40)
    assert not nothing.mask.any()


@pytest.mark.parametrize("size", [1, 3])
def test_how_work_is_cut_into_threads_does_not_matter(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    # CUDA runs one item a thread, the CPU a whole row or mesh.
    vertices, faces = bumpy(2, amount=0.03)
    expected = draw(vertices, faces, 40)
    monkeypatch.setattr("synthforge.geometry.raster_warp.span", lambda count, device: size)
    drawn = draw(vertices, faces, 40)
    assert torch.equal(drawn.face_id, expected.face_id)
    assert torch.equal(drawn.barycentric, expected.barycentric)
    assert torch.equal(drawn.z, expected.z)
    assert torch.equal(interpolate(drawn, faces, vertices), interpolate(expected, faces, vertices))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_sees_what_the_cpu_sees() -> None:
    vertices, faces = bumpy(3)
    camera, intrinsics = view(vertices, width=128, height=128)
    cpu = WARP.rasterise(camera, faces, intrinsics, 128, 128)
    gpu = WARP.rasterise(camera.cuda(), faces.cuda(), intrinsics.cuda(), 128, 128)
    same = cpu.face_id == gpu.face_id.cpu()
    assert same.float().mean() > 0.9999  # only depths that differ in the last bit may tip a tie
    assert_close(gpu.barycentric.cpu()[same], cpu.barycentric[same], atol=1e-5)


@pytest.mark.slow
def test_kernels_compile_for_cuda_without_a_device(tmp_path: Path) -> None:
    import warp as wp

    from synthforge.geometry import warp_kernels, warp_kernels_surface
    from synthforge.geometry.warp_runtime import start

    start()
    if not hasattr(wp, "compile_aot_module"):
        pytest.skip("this release of warp cannot compile ahead of time")
    for module in (warp_kernels, warp_kernels_surface):
        wp.compile_aot_module(module, arch=80, module_dir=tmp_path, use_ptx=True)
    assert len(list(tmp_path.glob("*.ptx"))) == 2


def _face_heights(
    vertices: torch.Tensor, faces: torch.Tensor, intrinsics: torch.Tensor, projection: str
) -> torch.Tensor:
    """(B, F) pixels: shortest height of each face on the screen."""
    flat_z = vertices[..., 2:] if projection == "perspective" else torch.ones_like(vertices[..., 2:])
    rays = torch.cat([vertices[..., :2] / flat_z, torch.ones_like(flat_z)], -1)
    corners = (rays @ intrinsics.mT)[..., :2][:, faces.long()]  # (B, F, 3, 2)
    sides = corners - corners.roll(1, 2)
    area = (sides[:, :, 0, 0] * sides[:, :, 1, 1] - sides[:, :, 0, 1] * sides[:, :, 1, 0]).abs()
    return area / sides.norm(dim=-1).amax(-1)


def _compare(one: Fragments, other: Fragments, covered: torch.Tensor, heights: torch.Tensor) -> dict[str, float]:
    same = one.face_id == other.face_id
    # Weights across a sliver change by 1 within its height: 2^-15 of a pixel of snapping shows in them alone.
    solid = heights.gather(1, one.face_id.clamp_min(0).long().flatten(1)).view_as(covered) > 0.5
    both = same & one.mask & covered & solid
    return {
        "agreement": same[covered].float().mean().item(),
        "z": (one.z - other.z)[both].abs().max().item(),
        "barycentric": (one.barycentric - other.barycentric)[both].abs().max().item(),
    }


@pytest.mark.parametrize("projection", ["perspective", "orthographic"])
@pytest.mark.parametrize("cull", [True, False])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 72), (72, 40)])
def test_warp_and_pytorch3d_see_the_same(height: int, width: int, cull: bool, projection: str) -> None:
    pytest.importorskip("pytorch3d")
    vertices, faces = bumpy(1, amount=0.02)
    pairs = [view(vertices, azimuth, width, height, 18) for azimuth in (0.3, -1.0)]
    camera, intrinsics = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    random = torch.Generator().manual_seed(0)
    mask = torch.rand(2, len(faces), generator=random) > 0.2
    options: dict[str, Any] = {"cull": cull, "projection": projection, "face_mask": mask}
    one = WARP.rasterise(camera, faces, intrinsics, height, width, **options)
    other = get_rasteriser("pytorch3d").rasterise(camera, faces, intrinsics, height, width, **options)
    covered = one.mask | other.mask
    assert covered.float().mean() > 0.1
    # Pixels whose centre lies within 1/2000 pixel of an edge may go either way: moving the picture by that much
    # in warp tells which they are.
    for shift in (-5e-4, 5e-4):
        for axis in (0, 1):
            moved = intrinsics.clone()
            moved[:, axis, 2] += shift
            covered &= one.face_id == WARP.rasterise(camera, faces, moved, height, width, **options).face_id
    result = _compare(one, other, covered, _face_heights(camera, faces, intrinsics, projection))
    assert result["agreement"] >= 0.999
    assert result["z"] < 1e-4
    assert result["barycentric"] < 1e-4


def test_interpolation_passes_gradients_to_attributes_and_agrees_with_the_kernel() -> None:
    vertices, faces = bumpy(1)
    camera, intrinsics = view(vertices, width=24, height=20)
    drawn = WARP.rasterise(camera, faces, intrinsics, 20, 24)
    colours = torch.rand(1, len(vertices), 4, requires_grad=True)
    image = interpolate(drawn, faces, colours, background=0.5)
    assert_close(image.detach(), interpolate(drawn, faces, colours.detach(), background=0.5))
    assert (image[~drawn.mask] == 0.5).all()
    image.sum().backward()
    assert colours.grad is not None
    assert colours.grad.sum().item() == pytest.approx(4 * drawn.mask.sum().item(), rel=1e-4)


def test_wrong_arguments_are_named() -> None:
    vertices, faces = bumpy(0)
    camera, intrinsics = view(vertices)
    good: dict[str, Any] = {
        "vertices_camera": camera,
        "faces": faces,
        "intrinsics": intrinsics,
        "height": 8,
        "width": 8,
    }
    cases: list[tuple[dict[str, Any], str]] = [
        ({"vertices_camera": vertices}, r"shape \(B, V, 3\)"),
        ({"faces": faces + 1}, "names vertex 12"),
        ({"faces": faces - 1}, "names vertex -1"),
        ({"faces": faces.float()}, "integers"),
        ({"intrinsics": intrinsics.repeat(3, 1, 1)}, "intrinsics"),
        ({"height": 0}, "0 x 8 pixels"),
        ({"width": 20000}, "20000 pixels"),
        ({"face_mask": torch.ones(3)}, "face_mask"),
        ({"projection": "fisheye"}, "fisheye"),
    ]
    for change, message in cases:
        with pytest.raises(RasterError, match=message):
            WARP.rasterise(**(good | change))
    drawn = WARP.rasterise(**good)
    with pytest.raises(RasterError, match="attributes"):
        interpolate(drawn, faces, torch.zeros(2, 12, 1))


def test_unknown_and_missing_backends_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_rasteriser().name == "warp"
    with pytest.raises(RasterError, match=r"(?s)nvdiffrast.*auto, pytorch3d, warp"):
        get_rasteriser("nvdiffrast")
    real_import = builtins.__import__

    def without_pytorch3d(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pytorch3d"):
            raise ModuleNotFoundError(f"No module named {name!r}")
        return real_import(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "synthforge.geometry.raster_pytorch3d", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_pytorch3d)
    with pytest.raises(BackendMissingError, match=r"pip install 'synthforge\[pytorch3d\]'"):
        get_rasteriser("pytorch3d")


def test_a_mesh_tuple_feeds_the_rasteriser() -> None:
    mesh: Mesh = icosphere(1, 0.1)
    camera, intrinsics = view(torch.from_numpy(mesh.vertices))
    assert WARP.rasterise(camera, torch.from_numpy(mesh.faces), intrinsics, 32, 32).mask.any()
