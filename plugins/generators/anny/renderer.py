"""From parameters to pixels: pose heads, dress them, draw two layers, shade, develop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import warp as wp

from synthforge.core.records import Rendering, Scene, Surface

from ...schemas import SYNTHFORGE
from .backdrops.folder import Folder
from .factors.table import Exposed
from .film.border import add_margin
from .film.develop import develop, publish
from .shading.arrays import flat
from .shading.drawing import backdrops, draw, shade
from .shading.dressing import dress
from .shading.lighting import posed_arrays, shadows
from .shading.look import Look, pack_look
from .static_scene import StaticScene
from .view import FIRST, camera_of, iris_sines, known_of, posed_heads, static_landmarks

Clock = Callable[[str], None]


class Renderer:
    """Renders batches of scenes of one static. exposed: group and name of the parameter of factors, and their use."""

    def __init__(self, static: StaticScene, exposed: Sequence[tuple[str, str, Exposed]] = ()) -> None:
        self.static, self.device, self.exposed = static, static.device, exposed
        self.folder: Folder | None = None  # of backgrounds; the generator sets it

    def render(
        self, scenes: Sequence[Scene], resolution: int, batch: int, clock: Clock = lambda part: None
    ) -> list[Rendering]:
        """One rendering per scene. Heads are evaluated `batch` at a time, the last scene repeated to fill it, since
        matrix products of different sizes may differ in their last bits. Everything else is computed per image."""
        static, parameters = self.static, [scene.parameters for scene in scenes]
        head = posed_heads(static.head, [p["head"] for p in parameters], batch)
        clock("head")
        points = static_landmarks(static.head, head)
        cameras = [camera_of(p, points[i], resolution) for i, p in enumerate(parameters)]
        # what is held towards the camera is held towards the first one of a rig
        first = [camera_of({**p, "view": FIRST}, points[i], resolution) for i, p in enumerate(parameters)]
        sines = iris_sines(static.head, head, parameters)
        records = np.stack([pack_look(p, c, s) for p, c, s in zip(parameters, cameras, sines, strict=True)])
        looks: Any = wp.array(records, dtype=Look, device=wp.device_from_torch(self.device))
        clock("pack")
        dressed = dress(static, head, looks, parameters, first, points)
        clock("dress")
        seen = shadows(static, dressed, parameters)
        clock("shadows")
        posed, keep = posed_arrays(static, dressed, seen, looks, parameters)
        clock("paint")
        solid, thin = (draw(static, posed, len(scenes), ranges, resolution) for ranges in (static.solid, static.thin))
        clock("raster")
        behind = backdrops(static, looks, parameters, solid, records["gain"], self.folder)
        posed.backdrop = flat(behind, wp.vec3)
        clock("background")
        shaded = shade(static, looks, posed, solid, thin)
        clock("shade")
        uses = [[(use, p[group][name]) for group, name, use in self.exposed] for p in parameters]
        images = develop(shaded.light, shaded.z, [p["film"] for p in parameters], uses)
        clock("film")
        del keep
        maps = {name: value.cpu().numpy() for name, value in vars(shaded).items() if name != "light"}
        vertices, normals = dressed.vertices.cpu().numpy(), dressed.normals.cpu().numpy()
        developed = zip(images.cpu().numpy(), parameters, strict=True)
        pictures = np.stack([publish(image, p["film"]) for image, p in developed])
        for i, p in enumerate(parameters):
            if p["border"]["margin"]:
                pixels, _ = cameras[i].project(points[i])
                add_margin(p["border"], pixels, pictures[i], *((maps[name][i], away) for name, away in _AWAY.items()))
        clock("publish")
        eyes = [value.cpu().numpy() for value in static.head.eye_fronts(head)]
        arkit = static.head.expression_names
        renderings = [
            Rendering(
                scene=scene,
                camera=cameras[i],
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
                known=known_of([value[i] for value in eyes], float(sines[i]), scene.parameters, arkit),
            )
            for i, scene in enumerate(scenes)
        ]
        clock("hand over")
        return renderings


#: what maps hold where there is no surface
_AWAY = {"face_id": -1, "barycentric": 0, "z": 0, "label": 0}
