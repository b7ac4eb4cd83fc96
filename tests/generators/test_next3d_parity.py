"""Next3D against the numbers of the published network on a tiny configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthforge_plugins.generators.next3d.config import TINY, TriplaneConfig
from synthforge_plugins.generators.next3d.network import LAYERS, Next3DNetwork
from synthforge_plugins.generators.next3d.raster import rasterise, view_vertices

pytestmark = pytest.mark.parity
TOLERANCE = 3e-4  # the published network's own noise is 3e-5
RENDERING = {"depth_resolution": 12, "depth_resolution_importance": 12}


@pytest.fixture(scope="module")
def state(parity_dir: Path) -> dict[str, torch.Tensor]:
    return {k: torch.tensor(v) for k, v in np.load(parity_dir / "next3d_tiny/state_dict.npz").items()}


@pytest.fixture(scope="module")
def inputs(parity_dir: Path) -> dict[str, torch.Tensor]:
    return {k: torch.tensor(v) for k, v in np.load(parity_dir / "next3d_tiny/inputs.npz").items()}


def reference(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return {k: torch.tensor(v) for k, v in np.load(folder / f"{name}.npz").items()}


def network(parity_dir: Path, state: dict[str, torch.Tensor], variant: str) -> Next3DNetwork:
    mask = torch.tensor(np.load(parity_dir / "uv_face_eye_mask.npz")["mask"]) / 255
    return Next3DNetwork.from_state(
        {**state, "dataset_label_std": torch.ones(25)},
        mask,
        rendering=RENDERING,
        neural=16,
        variant=variant,  # type: ignore[arg-type]
    )


def assert_same(name: str, value: torch.Tensor, golden: dict[str, torch.Tensor]) -> None:
    """Whole tensors where the reference holds them whole, else its sampled values."""
    if name in golden:
        torch.testing.assert_close(value.reshape(golden[name].shape), golden[name], rtol=0, atol=TOLERANCE, msg=name)
        return
    assert list(value.shape) == golden[f"{name}@shape"].tolist()
    sampled = value.flatten()[golden[f"idx/{value.numel()}"]]
    torch.testing.assert_close(sampled, golden[f"{name}@val"], rtol=0, atol=TOLERANCE, msg=name)
    mean, deviation, *_ = golden[f"{name}@stat"].tolist()
    assert value.mean().item() == pytest.approx(mean, abs=1e-4)
    assert value.std().item() == pytest.approx(deviation, abs=1e-3)


def test_the_sizes_are_read_off_the_tensors(parity_dir: Path, state: dict[str, torch.Tensor]) -> None:
    assert network(parity_dir, state, "official").config == TINY


@pytest.mark.parametrize("size", ["full", "tiny"])
def test_every_name_and_shape_of_the_published_state_dict(parity_dir: Path, size: str) -> None:
    listed = {}
    for line in (parity_dir / f"next3d_{size}_state_dict_keys.txt").read_text().splitlines():
        name, shape, dtype = line.split("\t")
        listed[name] = (shape, dtype)
    own = Next3DNetwork(TriplaneConfig() if size == "full" else TINY, torch.ones(4, 4)).state_dict()
    assert {n: (str(tuple(v.shape)), str(v.dtype).removeprefix("torch.")) for n, v in own.items()} == listed


def test_face_ids_and_depths_are_exact(
    parity_dir: Path, state: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor]
) -> None:
    golden = reference(parity_dir / "next3d_tiny", "compact_mid")
    faces = state["faces"][0][:, [0, 2, 1]]
    for view, suffix in enumerate(("", "#2", "#3", "#4")):
        vertices = view_vertices(inputs["v"][:, :5023], view)
        assert torch.equal(vertices, golden[f"raster_verts{suffix}"])
        face_id, barycentric, depth = rasterise(vertices, faces)
        assert torch.equal(face_id.int()[..., None], golden[f"pix_to_face{suffix}"])
        assert torch.equal(depth[..., None], golden[f"zbuf{suffix}"])
        assert_same(f"bary{suffix}", barycentric[:, :, :, None], golden)


@pytest.mark.parametrize("variant", ["official", "synthforge"])
def test_every_stage(
    parity_dir: Path, state: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor], variant: str
) -> None:
    folder = parity_dir / ("next3d_tiny" if variant == "official" else "next3d_tiny_synthforge")
    golden, seeded = reference(folder, "compact_mid"), reference(folder, "compact_seed1234")
    net = network(parity_dir, state, variant)
    ws = net.map(inputs["z"], inputs["c_cond"])
    assert_same("ws", ws, golden)
    if variant == "official":
        assert_same("ws_psi0.7_cutoff14", net.map(inputs["z"], inputs["c_cond"], psi=0.7, cutoff=LAYERS), golden)
    planes = net.planes(ws, inputs["v"])
    for name, view in zip(("front", "side", "top"), planes.views, strict=variant == "official"):
        assert torch.equal(view.alpha, golden[f"alpha_{name}"])
        assert_same(f"raster_{name}", view.features, golden)
    assert planes.boxes == [tuple(box) for box in golden["mouth_box"].tolist()]
    assert_same("blended_planes", planes.blended, golden)
    output = net.synthesise(ws, planes.blended, inputs["c"])
    assert_same("image_raw", output.image_raw, golden)
    assert_same("image_depth", output.distance, golden)
    assert_same("image", output.image, golden)

    jitters = [
        (seeded[f"u_coarse{s}"][..., 0], seeded[f"u_fine{s}"][None]) for s in ("", "#2") if f"u_coarse{s}" in seeded
    ]
    drawn = net.synthesise(ws, planes.blended, inputs["c"], jitters[-1], jitters[0])
    assert_same("image", drawn.image, seeded)
    assert_same("image_raw", drawn.image_raw, seeded)
    assert_same("image_depth", drawn.distance, seeded)


def test_density_queries(parity_dir: Path, state: dict[str, torch.Tensor], inputs: dict[str, torch.Tensor]) -> None:
    golden = reference(parity_dir / "next3d_tiny", "compact_mid")
    net = network(parity_dir, state, "official")
    planes = net.planes(net.map(inputs["z"], inputs["c_cond"]), inputs["v"])
    density, colour = net.volume(planes.blended).query(golden["query_points"])
    assert_same("query_sigma", density, golden)
    assert colour is not None
    assert_same("query_rgb", colour, golden)
