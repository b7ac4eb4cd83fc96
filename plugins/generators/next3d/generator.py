"""The generator plugin: scenes from seeds, renderings from scenes, with the geometry that made them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from synthforge.assets.registry import find_asset
from synthforge.assets.stylegan_pickle import StyleGANCheckpoint, read_checkpoint
from synthforge.core.camera import Camera
from synthforge.core.factors import Factor
from synthforge.core.files import sha256_of
from synthforge.core.nearby import Origin
from synthforge.core.records import Rendering, Scene, Surface
from synthforge.core.seeding import torch_rng
from synthforge.datasets.marks import SOURCE_TYPE, TRAINED
from synthforge.geometry.cameras import stack_cameras, to_camera_torch
from synthforge.geometry.meshes import vertex_normals
from synthforge.geometry.raster import get_rasteriser

from ...heads.flame.assets import load_flame_head
from ...heads.flame.formats import read_uv_mask
from ...heads.flame.head import FlameHead
from .alignment import PUBLISHED, Affine, Residuals, read_alignment, refine
from .declared import flame_factors
from .marched import VolumeGenerator
from .network import Next3DNetwork
from .settings import Next3DConfig
from .views import label, metric, metric_depth, picture, volume_camera
from .volume import Volume, middle_jitter, pinhole_rays, seeded_jitter


class Next3DGenerator(VolumeGenerator):
    """Next3D on FLAME's mesh. See `Next3DConfig` for every factor and docs/next3d.md for what comes out.

    World frame: the volume's, divided by the alignment's scale, so that FLAME's head has its size in metres.
    """

    name = "next3d"
    config: Next3DConfig

    def __init__(self, config: Next3DConfig) -> None:
        """Raises AssetError at the first use of a file that is missing; nothing is read before."""
        super().__init__(config)
        self.alignment: Affine = read_alignment(config.alignment) if config.alignment else PUBLISHED

    @cached_property
    def network(self) -> Next3DNetwork:
        """The network with its weights."""
        return network_of(read_checkpoint(self.checkpoint), self.config.variant).to(self.config.device)

    @cached_property
    def head(self) -> FlameHead:
        """FLAME."""
        return load_flame_head(self.config.edition, self.config.painted)

    def sample_from(self, origin: Origin) -> Scene:
        """See `OriginGenerator.sample_from`. z, shape, expression and camera have streams `next3d/<name>`."""
        config = self.config
        return self.drawn_scene(
            origin,
            flame_shape=_uniform(origin, "shape", config.identity, config.identity_range),
            flame_expression=_uniform(origin, "expression", config.expression, config.expression_range),
            flame_pose=[0.0] * 15,
        )

    def factors(self) -> tuple[Factor, ...]:
        """See `Generator.factors`."""
        return (*super().factors(), *flame_factors(self.config))

    def _render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        network, device = self.network, self.config.device
        cameras = [_camera(scene, resolution) for scene in scenes]
        c = label(cameras).to(device)
        pose = self._pose(scenes)
        vertices, joints = self.head(*(_stack(scenes, f"flame_{part}") for part in ("shape", "expression")), pose)
        mesh = torch.cat([vertices, self.head.landmarks(vertices)], 1).to(device)
        z = _stack(scenes, "z")[:, : network.config.z].to(device)
        ws = network.map(z, self._condition(scenes, c), psi=self.config.psi, cutoff=self.config.cutoff)
        planes = network.planes(ws, mesh).blended
        volume = network.volume(planes)
        output = network.render(volume, ws, c, self._jitter(scenes))
        n = self.config.depth_resolution or resolution
        marched = volume.march(
            pinhole_rays(c, n), middle_jitter(len(scenes), n * n, network.config.volume, device), colour=False
        )
        renderings = []
        for i, scene in enumerate(scenes):
            aligned, residuals = self._align(vertices[i], volume, i)
            scale = self.alignment.scale
            camera = metric(cameras[i], scale)
            world = torch.as_tensor(aligned(vertices[i].double().numpy()) / scale, dtype=torch.float32)
            distance, opacity = (x[i].view(n, n) for x in (marched.distance, marched.opacity))
            depth = metric_depth(distance, opacity, camera, scale, resolution)
            known = self.head.known(pose[i], aligned(joints[i].double().numpy()) / scale, aligned.turn)
            stored = {"alignment": _report(aligned, scale, residuals)}
            renderings.append(
                Rendering(
                    scene=scene,
                    camera=camera,
                    image=picture(output[i], resolution),
                    head=self.head,
                    surface=self._surface(world, camera),
                    depth=depth,
                    known=known,
                    stored=stored,
                )
            )
        return renderings

    def _pose(self, scenes: Sequence[Scene]) -> torch.Tensor:
        return _stack(scenes, "flame_pose").view(len(scenes), 5, 3)

    def _condition(self, scenes: Sequence[Scene], c: torch.Tensor) -> torch.Tensor:
        sampled = self.config.condition or ("sampled" if self.config.variant == "synthforge" else "frontal")
        if sampled == "sampled":
            return c
        return label([frontal_camera(scene.parameters["radius"]) for scene in scenes]).to(c)

    def _jitter(self, scenes: Sequence[Scene]) -> tuple[torch.Tensor, torch.Tensor]:
        rays, options = self.network.config.neural**2, self.network.config.volume
        if not self.config.jitter:
            return middle_jitter(len(scenes), rays, options, self.config.device)
        streams = [torch_rng(scene.seed, scene.index, "next3d/jitter") for scene in scenes]
        coarse, fine = seeded_jitter(streams, rays, options)
        return coarse.to(self.config.device), fine.to(self.config.device)

    def _align(self, vertices: torch.Tensor, volume: Volume, i: int) -> tuple[Affine, Residuals | None]:
        if not self.config.refine:
            return self.alignment, None
        normals = vertex_normals(vertices, torch.as_tensor(self.head.faces))
        front = (normals[:, 2] > 0.3).numpy()  # what the face shows; the back of the head is covered by hair

        def density(points: torch.Tensor) -> torch.Tensor:
            sigma, _ = volume.sample(i).query(points[None].to(self.config.device), colour=False)
            return F.softplus(sigma[0] - 1)

        return refine(vertices.double().numpy()[front], normals.double().numpy()[front], density, self.alignment)

    def _surface(self, vertices: torch.Tensor, camera: Camera) -> Surface:
        faces = torch.as_tensor(self.head.faces)
        intrinsics, pose = stack_cameras([camera])
        found = get_rasteriser().rasterise(
            to_camera_torch(vertices[None], pose), faces, intrinsics, camera.height, camera.width
        )
        return Surface(
            vertices=vertices.numpy(),
            normals=vertex_normals(vertices, faces).numpy(),
            faces=self.head.faces,
            face_id=found.face_id[0].numpy(),
            barycentric=found.barycentric[0].numpy(),
            z=torch.where(found.mask, found.z, 0.0)[0].numpy(),
            head_vertices=self.head.num_vertices,
            head_faces=len(self.head.faces),
        )

    def provenance(self) -> dict[str, Any]:
        """Checkpoint and its hash, FLAME's edition, variant, alignment and licences."""
        return {
            SOURCE_TYPE: TRAINED,
            "checkpoint": Path(self.checkpoint).name,
            "checkpoint_sha256": sha256_of(Path(self.checkpoint)),
            "flame_edition": self.config.edition,
            "variant": self.config.variant,
            "alignment": _report(self.alignment, self.alignment.scale, None),
            "licence": "pictures as the checkpoint (published: non-commercial), geometry as the FLAME edition",
        }


def network_of(checkpoint: StyleGANCheckpoint, variant: str) -> Next3DNetwork:
    """The network of a checkpoint, with the UV mask among the added assets. Raises: AssetError."""
    mask = torch.from_numpy(read_uv_mask(find_asset("uv-face-mask")))
    neural = checkpoint.init_kwargs.get("neural_rendering_resolution") or checkpoint.rendering_kwargs.get(
        "neural_rendering_resolution"
    )
    return Next3DNetwork.from_state(
        checkpoint.state,
        mask,
        rendering=checkpoint.rendering_kwargs,
        neural=neural,
        variant="official" if variant == "official" else "synthforge",
        plane_axes=checkpoint.plane_axes,
    )


def frontal_camera(radius: float) -> Camera:
    """The camera the published network was conditioned on at evaluation: straight ahead, 18.83 degrees."""
    return volume_camera(0.0, 0.0, radius, 18.83, 512)


def _camera(scene: Scene, resolution: int) -> Camera:
    p = scene.parameters
    return volume_camera(p["azimuth"], p["elevation"], p["radius"], p["field_of_view"], resolution)


def _uniform(origin: Origin, stream: str, count: int, limit: float) -> list[float]:
    return list(map(float, origin.stream(f"next3d/{stream}").uniform(-limit, limit, count)))


def _stack(scenes: Sequence[Scene], key: str) -> torch.Tensor:
    return torch.tensor(np.array([scene.parameters[key] for scene in scenes]), dtype=torch.float32)


def _report(affine: Affine, scale: float, residuals: Residuals | None) -> dict[str, Any]:
    report: dict[str, Any] = {
        "matrix": affine.matrix.tolist(),
        "offset": affine.offset.tolist(),
        "volume_units_per_metre": scale,
    }
    if residuals is not None:
        metres = {"median_m": residuals.median / scale, "rms_m": residuals.rms / scale}
        report |= metres | {"vertices_met": residuals.met, "vertices": residuals.of}
    return report
