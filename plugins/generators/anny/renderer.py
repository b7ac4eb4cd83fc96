"""From parameters to pixels: pose heads, dress them, draw layers, shade, develop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import warp as wp

from synthforge.core.camera import Camera
from synthforge.core.records import MATTES, Layers, Rendering, Scene, Surface
from synthforge.geometry.warp_runtime import as_structs, as_warp, launch, stacked

from ...schemas import SYNTHFORGE
from .backdrops.folder import Folder
from .backdrops.surroundings import Surroundings
from .factors.table import Exposed
from .film.border import add_margin
from .film.develop import develop, publish
from .film.meter import expose
from .shading.arrays import flat
from .shading.baking import bake_kernel
from .shading.drawing import Shaded, backdrops, draw, shade
from .shading.dressing import Dressed, dress
from .shading.fine import refine
from .shading.lighting import posed_arrays, shadows
from .shading.look import Look, pack_look
from .static_scene import StaticScene
from .together.crowd import joined
from .view import FIRST, camera_of, iris_sines, known_of, posed_heads, static_landmarks, still_heads

Clock = Callable[[str], None]


class Renderer:
    """Renders batches of scenes of one static. exposed: group and name of the parameter of factors, and their use."""

    def __init__(self, static: StaticScene, exposed: Sequence[tuple[str, str, Exposed]] = ()) -> None:
        self.static, self.device, self.exposed = static, static.device, exposed
        # the generator sets these: backgrounds, and whether pictures are made by `refine`
        self.folder: Folder | Surroundings | None = None
        self.fine = False

    def render(
        self,
        scenes: Sequence[Scene],
        resolution: int,
        batch: int,
        clock: Clock = lambda part: None,
        exposures: Sequence[Sequence[Mapping[str, Any]]] = (),
    ) -> list[Rendering]:
        """One rendering per scene. Heads are evaluated `batch` at a time, the last scene repeated to fill it, since
        matrix products of different sizes may differ in their last bits. Everything else is computed per image.

        exposures: of each scene, equally many parameters at times whose light is averaged; empty for the scene's own.
        """
        parameters = [scene.parameters for scene in scenes]
        seen = self._see(parameters, resolution, batch, clock)
        if exposures:
            seen.shaded.light.zero_()
            for others in zip(*exposures, strict=True):
                light = self._see(others, resolution, batch, clock).shaded.light
                seen.shaded.light.add_(light, alpha=1 / len(exposures[0]))
        uses = [[(use, p[group][name]) for group, name, use in self.exposed] for p in parameters]
        films = expose(seen.shaded.light, seen.shaded.label, [p["film"] for p in parameters])
        images = develop(seen.shaded.light, self._outlines(seen.shaded.z), films, uses)
        clock("film")
        maps = {name: value.cpu().numpy() for name, value in vars(seen.shaded).items() if name in _AWAY}
        developed = zip(images.cpu().numpy(), parameters, strict=True)
        pictures = np.stack([publish(image, p["film"]) for image, p in developed])
        for i, p in enumerate(parameters):
            if p["border"]["margin"]:
                pixels, _ = seen.cameras[i].project(seen.points[i])
                add_margin(p["border"], pixels, pictures[i], *((maps[name][i], away) for name, away in _AWAY.items()))
        clock("publish")
        layers = cache(partial(self._layers, seen, parameters))
        renderings = self._handed(scenes, seen, list(pictures), maps)
        for i, rendering in enumerate(renderings):
            rendering.layers = partial(_at, layers, i)
        clock("hand over")
        return renderings

    def render_crowd(self, scene: Scene, resolution: int, batch: int) -> Rendering:
        """The people of one scene, blended from the farthest to the nearest over one background."""
        people = [scene.parameters, *scene.parameters["others"]]
        seen = self._see(people, resolution, batch, lambda part: None, crowd=True)
        made = seen.shaded
        assert made.mattes is not None  # asked for
        opaque = made.mattes[..., 3] if seen.cover is None else seen.cover
        light, instance = made.light[-1], torch.full_like(made.label[0], len(people), dtype=torch.int64)
        middles = seen.dressed.vertices[:, : self.static.head.num_vertices].double().mean(1).cpu().numpy()
        depth = [camera.to_camera(p[None])[0, 2] for camera, p in zip(seen.cameras, middles, strict=True)]
        for k in np.argsort(depth)[::-1].tolist():
            light = made.light[k] + (1 - opaque[k, ..., None]) * light
            instance[made.face_id[k] >= 0] = k
        alone = {name: getattr(made, name) for name in _AWAY}
        nearest = {name: torch.full_like(each[0], _AWAY[name]) for name, each in alone.items()}
        maps: dict[str, list[np.ndarray]] = {name: [] for name in _AWAY}
        for k in range(len(people)):
            for name, each in alone.items():
                mine = (instance == k)[..., None] if each.ndim == 4 else instance == k
                maps[name].append(torch.where(mine, each[k], torch.full_like(each[k], _AWAY[name])).cpu().numpy())
                nearest[name] = torch.where(mine, each[k], nearest[name])
        uses = [[(use, scene.parameters[group][name]) for group, name, use in self.exposed]]
        films = expose(light[None], nearest["label"][None], [scene.parameters["film"]])
        (image,) = develop(light[None], self._outlines(nearest["z"][None]), films, uses).cpu().numpy()
        picture = publish(image, scene.parameters["film"])
        scenes = [replace(scene, parameters=p) for p in people]
        apart = self._handed(scenes, seen, [picture] * len(people), maps)
        layers = cache(partial(self._layers, seen, people))
        for k, person in enumerate(apart):
            person.layers = partial(_at, layers, k)
        found = joined(apart, {name: each.cpu().numpy() for name, each in nearest.items()}, instance.cpu().numpy())
        return replace(found, scene=scene, layers=None)

    def _outlines(self, z: torch.Tensor) -> torch.Tensor:
        """Depth whose edges the film smooths: none where light is a mean over a pixel's area already."""
        return torch.ones_like(z) if self.fine else z

    def _handed(
        self,
        scenes: Sequence[Scene],
        seen: _Seen,
        pictures: Sequence[np.ndarray],
        maps: Mapping[str, Sequence[np.ndarray]],
    ) -> list[Rendering]:
        static = self.static
        vertices, normals = seen.dressed.vertices.cpu().numpy(), seen.dressed.normals.cpu().numpy()
        eyes = [value.cpu().numpy() for value in static.head.eye_fronts(seen.head)]
        arkit = static.head.expression_names
        return [
            Rendering(
                scene=scene,
                camera=seen.cameras[i],
                image=pictures[i],
                head=static.head,
                surface=Surface(
                    vertices=vertices[i],
                    normals=normals[i],
                    faces=static.faces,
                    face_id=maps["face_id"][i],
                    barycentric=maps["barycentric"][i],
                    z=maps["z"][i],
                    head_vertices=static.head.num_vertices,
                    head_faces=len(static.head.faces),
                ),
                labels={SYNTHFORGE.name: maps["label"][i]},
                known=known_of([value[i] for value in eyes], float(seen.sines[i]), scene.parameters, arkit),
            )
            for i, scene in enumerate(scenes)
        ]

    def _see(
        self, parameters: Sequence[Mapping[str, Any]], resolution: int, batch: int, clock: Clock, crowd: bool = False
    ) -> _Seen:
        """Pose heads, dress and light them, and shade what the cameras see.

        crowd: nothing is behind people, who share the first one's exposure; light has one more picture, the background.
        """
        static = self.static
        head = posed_heads(static.head, [p["head"] for p in parameters], batch)
        clock("head")
        points = placed = static_landmarks(static.head, head)
        calm = None
        if any("time" in p.get("view", ()) for p in parameters):
            still = posed_heads(static.head, still_heads(parameters), batch)
            placed = static_landmarks(static.head, still)
            calm = still, placed
        cameras = [camera_of(p, placed[i], resolution) for i, p in enumerate(parameters)]
        # what is held towards the camera is held towards the first one of a rig
        first = [camera_of({**p, "view": FIRST}, placed[i], resolution) for i, p in enumerate(parameters)]
        sines = iris_sines(static.head, head, parameters)
        actions, each = static.head.expression_names, zip(parameters, cameras, sines, strict=True)
        records = stacked([pack_look(p, c, s, actions) for p, c, s in each])
        if crowd:
            records["gain"] = records["gain"][0]
        looks = as_structs(records, Look, self.device)
        clock("pack")
        dressed = dress(static, head, looks, parameters, first, points, calm)
        clock("dress")
        lit = shadows(static, dressed, parameters)
        clock("shadows")
        posed, keep = posed_arrays(static, dressed, lit, looks, parameters)
        clock("paint")
        drawn = [draw(static, posed, len(parameters), each, resolution) for each in static.layers]
        solid = drawn[0]
        clock("raster")
        shown = torch.zeros_like(solid) if crowd else solid  # pixels that hide the background
        behind = backdrops(static, looks, parameters, shown, records, self.folder)
        posed.backdrop = flat(behind, wp.vec3)
        clock("background")
        if crowd:
            back = shade(static, looks, posed, [shown] * len(drawn)).light[:1]
            behind.zero_()
        shaded = shade(static, looks, posed, drawn, matted=crowd)
        cover = None
        if self.fine:
            shaded.light, cover = refine(static, records, parameters, dressed, posed, solid, self.folder, crowd)
        if crowd:
            shaded.light = torch.cat([shaded.light, back])
        clock("shade")
        return _Seen(head, points, cameras, sines, dressed, shaded, records, (posed, keep, drawn), cover)

    def _layers(self, seen: _Seen, parameters: Sequence[Mapping[str, Any]]) -> list[Layers]:
        """What the pictures are blended from: the same scenes under even white light."""
        static, (posed, keep, drawn) = self.static, seen.state
        plain = seen.records.copy()
        for name in plain.dtype.names or ():
            if name in _UNEVEN or name.startswith("ambient_"):
                plain[name] = 0
        plain["gain"] = plain["ambient"] = 1
        looks = as_structs(plain, Look, self.device)
        glow = torch.ones(*seen.dressed.vertices.shape[:2], 4, device=static.device)
        glow[..., 3] = 0
        keep.append(glow)
        behind = torch.zeros(
            len(parameters), *((side + 1) // 2 for side in drawn[0].shape[1:]), 3, device=static.device
        )
        posed.glow, posed.backdrop = flat(glow, wp.vec4), flat(behind, wp.vec3)
        shaded = shade(static, looks, posed, drawn, matted=True)
        assert shaded.mattes is not None  # asked for
        albedo, mattes = shaded.light.clamp(0, 1).cpu().numpy(), shaded.mattes.cpu().numpy()
        for i, p in enumerate(parameters):
            if p["border"]["margin"]:
                pixels, _ = seen.cameras[i].project(seen.points[i])
                add_margin(p["border"], pixels, np.zeros_like(albedo[i]), (albedo[i], 0), (mattes[i], 0))

        def paint(number: int, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
            out = torch.empty(len(faces), 4, device=static.device)
            given = [torch.as_tensor(each, device=static.device) for each in (faces, weights)]
            inputs = [looks, static.for_kernels, posed, number, as_warp(given[0]), as_warp(given[1], wp.vec3)]
            launch(bake_kernel, (len(faces),), [*inputs, as_warp(out, wp.vec4)], static.device)
            return out.clamp(0, 1).cpu().numpy()

        return [
            Layers(a, {name: m[..., k] for k, name in enumerate(MATTES)}, partial(paint, number))
            for number, (a, m) in enumerate(zip(albedo, mattes, strict=True))
        ]


def _at(layers: Callable[[], list[Layers]], number: int) -> Layers:
    return layers()[number]


#: numbers of a look that shade, besides light
_UNEVEN = ("emboss_u", "emboss_v", "vignette", "folds", "crow", "forehead", "frown", "lid_shadow", "eye_gloss")


@dataclass(frozen=True)
class _Seen:
    """A batch of scenes before the film: posed heads (B,V,3), landmarks (B,68,3), irises, and see the classes. records:
    the looks; state: what was shaded, the arrays of kernels with the tensors that own them and the layers; cover:
    opacity by `refine`, None without it."""

    head: torch.Tensor
    points: np.ndarray
    cameras: list[Camera]
    sines: np.ndarray
    dressed: Dressed
    shaded: Shaded
    records: np.ndarray
    state: tuple[Any, list[torch.Tensor], list[torch.Tensor]]
    cover: torch.Tensor | None


#: what maps hold where there is no surface
_AWAY = {"face_id": -1, "barycentric": 0, "z": 0, "label": 0}
