"""A checkpoint with random weights in the official format, for tests and for trying the pipeline out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthforge.testing.fake_files import write_stylegan_pickle

from ...heads.flame.fake_head import FakeHead, fake_head
from .config import PLANE_AXES, TINY, TriplaneConfig
from .layers import randomise
from .network import Next3DNetwork


def mesh_buffers(head: FakeHead | None = None) -> dict[str, torch.Tensor]:
    """The mesh buffers that a Next3D checkpoint carries, for the made-up head."""
    head = head or fake_head()
    uv = np.concatenate([head.uv * [2, -2] + [-1, 1], np.ones((len(head.uv), 1))], 1)
    return {
        "dense_faces": torch.zeros(1, 122990, 3, dtype=torch.int64),
        "faces": torch.tensor(head.faces[None]),
        "raw_uvcoords": torch.tensor(head.uv[None], dtype=torch.float32),
        "uvcoords": torch.tensor(uv[None], dtype=torch.float32),
        "uvfaces": torch.tensor(head.uv_faces[None]),
        "face_uvcoords": torch.tensor(uv[head.uv_faces][None], dtype=torch.float32),
    }


def random_network(config: TriplaneConfig, seed: int = 0) -> Next3DNetwork:
    """A network with the made-up head's mesh and the weights it would start training with, its noise switched on."""
    network = Next3DNetwork(config, torch.ones(8, 8))
    randomise(network, torch.Generator().manual_seed(seed))
    for name, value in mesh_buffers().items():
        network.get_buffer(name).copy_(value)
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    for block in (network.superresolution.block0, network.superresolution.block1):
        block.torgb.weight.mul_(0.2)  # or random weights would leave the range of a picture
    return network


def rendering_kwargs(config: TriplaneConfig) -> dict[str, Any]:
    """The published settings by their published names."""
    options = config.volume
    return {
        "ray_start": options.near,
        "ray_end": options.far,
        "box_warp": options.box_warp,
        "depth_resolution": options.coarse,
        "depth_resolution_importance": options.fine,
        "avg_camera_radius": 2.7,
        "avg_camera_pivot": [0.0, 0.0, 0.2],
    }


def write_fake_checkpoint(path: str | Path, config: TriplaneConfig = TINY, seed: int = 0) -> Path:
    """Write an official-style pickle; the published size takes 700 MB."""
    network = random_network(config, seed)
    kwargs = {
        "z_dim": config.z,
        "c_dim": config.c,
        "w_dim": config.w,
        "img_resolution": config.resolution,
        "img_channels": 3,
        "neural_rendering_resolution": config.neural,
        "rendering_kwargs": rendering_kwargs(config),
    }
    state = {**network.state_dict(), "dataset_label_std": torch.ones(config.c)}
    return write_stylegan_pickle(
        path,
        state,
        class_name="TriPlaneGenerator",
        init_kwargs=kwargs,
        plane_axes=torch.tensor(PLANE_AXES, dtype=torch.float32),
    )
