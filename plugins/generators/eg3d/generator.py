"""The generator plugin: faces without a mesh, with metric depth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthforge.assets.stylegan_pickle import read_checkpoint
from synthforge.core.files import sha256_of
from synthforge.core.nearby import Origin
from synthforge.core.records import Rendering, Scene
from synthforge.core.seeding import torch_rng
from synthforge.datasets.marks import SOURCE_TYPE, TRAINED

from ..next3d.marched import VolumeGenerator
from ..next3d.views import label, metric, metric_depth, picture, volume_camera
from ..next3d.volume import middle_jitter, pinhole_rays, seeded_jitter
from .network import EG3DNetwork
from .settings import EG3DConfig


class EG3DGenerator(VolumeGenerator):
    """EG3D. World frame: the volume's, in metres by `units_per_metre`."""

    name = "eg3d"
    config: EG3DConfig

    @cached_property
    def network(self) -> EG3DNetwork:
        """The network with its weights."""
        read = read_checkpoint(self.checkpoint)
        neural = read.init_kwargs.get("neural_rendering_resolution")
        network = EG3DNetwork.from_state(read.state, read.plane_axes, rendering=read.rendering_kwargs, neural=neural)
        return network.to(self.config.device)

    def sample_from(self, origin: Origin) -> Scene:
        """See `OriginGenerator.sample_from`. z and camera have streams of their own, `eg3d/<name>`."""
        return self.drawn_scene(origin)

    def _render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        network, device, config = self.network, self.config.device, self.config
        options, batch = network.config.volume, len(scenes)
        cameras = []
        for p in (scene.parameters for scene in scenes):
            place = p["azimuth"], p["elevation"], p["radius"]
            cameras.append(volume_camera(*place, p["field_of_view"], resolution))
        c = label(cameras).to(device)
        z = torch.tensor(np.array([s.parameters["z"] for s in scenes]), dtype=torch.float32)
        ws = network.map(z[:, : network.config.z].to(device), c, psi=config.psi, cutoff=config.cutoff)
        volume = network.volume(ws)
        rays = network.config.neural**2
        if config.jitter:
            streams = [torch_rng(s.seed, s.index, "eg3d/jitter") for s in scenes]
            coarse, fine = (part.to(device) for part in seeded_jitter(streams, rays, options))
        else:
            coarse, fine = middle_jitter(batch, rays, options, device)
        images = network.render(volume, ws, c, (coarse, fine))
        n = config.depth_resolution or resolution
        marched = volume.march(pinhole_rays(c, n), middle_jitter(batch, n * n, options, device), colour=False)
        renderings = []
        for i, scene in enumerate(scenes):
            camera = metric(cameras[i], config.units_per_metre)
            distance, opacity = (part[i].view(n, n) for part in (marched.distance, marched.opacity))
            depth = metric_depth(distance, opacity, camera, config.units_per_metre, resolution)
            renderings.append(Rendering(scene=scene, camera=camera, image=picture(images[i], resolution), depth=depth))
        return renderings

    def provenance(self) -> dict[str, Any]:
        """Checkpoint, its hash and its licence."""
        return {
            SOURCE_TYPE: TRAINED,
            "checkpoint": Path(self.checkpoint).name,
            "checkpoint_sha256": sha256_of(Path(self.checkpoint)),
            "units_per_metre": self.config.units_per_metre,
            "licence": "that of the checkpoint (published: NVIDIA Source Code License, non-commercial)",
        }
