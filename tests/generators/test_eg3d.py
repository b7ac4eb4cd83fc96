"""The generator `eg3d` on a made-up checkpoint in the official format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthforge_plugins.generators.eg3d.network import LAYERS, NEURAL, PUBLISHED_AXES, EG3DNetwork
from synthforge_plugins.generators.next3d.config import PLANE_AXES, TINY
from synthforge_plugins.generators.next3d.layers import randomise
from synthforge_plugins.generators.next3d.volume import projections

from synthforge.assets import registry
from synthforge.core.errors import AssetError
from synthforge.core.plugins import load_plugins
from synthforge.testing import check_annotator, check_generator
from synthforge.testing.fake_files import write_stylegan_pickle

AXES = torch.tensor(PUBLISHED_AXES, dtype=torch.float32)


def write_checkpoint(folder: Path) -> EG3DNetwork:
    """A made-up checkpoint in the official format, added as the asset; returns the network in it."""
    network = EG3DNetwork(TINY, AXES)
    randomise(network, torch.Generator().manual_seed(0))
    for block in (network.superresolution.block0, network.superresolution.block1):
        block.torgb.weight.mul_(0.2)  # random weights would leave the range of a picture
    kwargs = {
        "z_dim": 16,
        "neural_rendering_resolution": 16,
        "rendering_kwargs": {
            "ray_start": 2.25,
            "ray_end": 3.3,
            "depth_resolution": 12,
            "depth_resolution_importance": 12,
        },
    }
    write_stylegan_pickle(
        folder / "e.pkl",
        network.state_dict(),
        class_name="TriPlaneGenerator",
        init_kwargs=kwargs,
        plane_axes=AXES,
    )
    registry.add_asset("eg3d-ffhq", folder / "e.pkl")
    return network


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EG3DNetwork:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    return write_checkpoint(tmp_path)


@pytest.mark.usefixtures("checkpoint")
def test_contract() -> None:
    plugins = load_plugins()
    generator = plugins.build("generator", {"name": "eg3d", "depth_resolution": 32, "batch_size": 2})
    rendering = check_generator(generator, resolution=64)[0]
    assert rendering.head is None
    check_annotator(plugins.build("annotator", "depth"), rendering)


def test_weights_and_axes_come_from_the_file(checkpoint: EG3DNetwork) -> None:
    from synthforge_plugins.generators.eg3d.generator import EG3DGenerator
    from synthforge_plugins.generators.eg3d.settings import EG3DConfig

    read = EG3DGenerator(EG3DConfig()).network
    assert read.config == TINY
    assert torch.equal(read._projection, projections(AXES))
    c = torch.randn(1, 25)
    z = torch.randn(1, 16)
    ws = read.map(z, c)
    assert ws.shape == (1, LAYERS, 16)
    assert torch.equal(ws, checkpoint.map(z, c))


def test_planes_are_looked_up_as_the_axes_say() -> None:
    point = torch.tensor([1.0, 2.0, 3.0])
    by_axes = {PUBLISHED_AXES: [[1, 2], [1, 3], [3, 1]], PLANE_AXES: [[1, 2], [1, 3], [3, 2]]}
    for axes, expected in by_axes.items():
        found = torch.einsum("c,pcd->pd", point, projections(torch.tensor(axes)))
        assert found.tolist() == expected


def test_unknown_axes_are_refused_and_the_published_sizes_have_their_names(checkpoint: EG3DNetwork) -> None:
    with pytest.raises(AssetError, match="plane_axes"):
        EG3DNetwork.from_state(checkpoint.state_dict(), None)
    assert NEURAL == 128
    prefixes = {
        ".".join(name.split(".")[: 2 if name.startswith("backbone") else 1]) for name in checkpoint.state_dict()
    }
    assert prefixes == {"backbone.mapping", "backbone.synthesis", "superresolution", "decoder"}
