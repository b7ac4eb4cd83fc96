"""From parameters to pixels: pose heads, dress them, draw two layers, shade, develop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
import warp as wp

from synthforge.core.camera import Camera
from synthforge.core.records import Rendering, Scene, Surface
from synthforge.geometry.cameras import orbit_camera
from synthforge.geometry.meshes import vertex_normals
from synthforge.geometry.warp_runtime import as_warp, chunks, launch, span

from ...heads.anny.landmarks import surface_points
from .backdrops.folder import Folder
from .film.border import add_margin
from .film.develop import develop, publish
from .mesh.glasses import glasses_shape
from .mesh.hair import COLUMNS
from .shading.arrays import Picture, Posed
from .shading.draw_kernels import draw_kernel, project_kernel
from .shading.dress_kernels import hair_kernel, light_kernel, paint_kernel
from .shading.look import MAX_SHAPES, Look, light_directions, pack_look
from .shading.scenery import Shape, backdrop_kernel
from .shading.shade_kernel import shade_kernel
from .shading.shadows import cast_shadows
from .shading.strands import grow_beards, tangents
from .static_scene import StaticScene

EYE_PLANE = 13.0  # mm in front of the eyeball's centre where lenses sit, plus the eyeball's own radius
Clock = Callable[[str], None]


class Renderer:
    """Renders batches of scenes of one static."""

    def __init__(self, static: StaticScene) -> None:
        self.static, self.device = static, static.device
        self.folder: Folder | None = None  # of backgrounds; the generator sets it

    def render(
        self, scenes: Sequence[Scene], resolution: int, batch: int, clock: Clock = lambda part: None
    ) -> list[Rendering]:
        """One rendering per scene. Heads are evaluated `batch` at a time, the last scene repeated to fill it, since
        matrix products of different sizes may differ in their last bits. Everything else is computed per image."""
        parameters = [scene.parameters for scene in scenes]
        count = len(scenes)
        head = self._pose([p["head"] for p in parameters], batch)
        clock("head")
        points = self._points(head)
        cameras = [self._camera(p, points[i], resolution) for i, p in enumerate(parameters)]
        sines = self._iris_sines(parameters, head)
        looks = np.stack([pack_look(p, c, s) for p, c, s in zip(parameters, cameras, sines, strict=True)])
        look_array: Any = wp.array(looks, dtype=Look, device=wp.device_from_torch(self.device))
        clock("pack")
        vertices, strand, dead, normals, worn = self._dress(head, look_array, parameters, cameras, points)
        clock("dress")
        seen = self._shadows(vertices, normals, dead, parameters)
        clock("shadows")
        screen = self._project(look_array, vertices, dead)
        posed, keep = self._posed(vertices, normals, strand, seen, screen, look_array, dead, worn, parameters)
        clock("paint")
        solid, thin = (self._draw(screen, ranges, resolution) for ranges in (self.static.solid, self.static.thin))
        clock("raster")
        backdrop = self._backdrop(look_array, parameters, solid, looks["gain"])
        posed.backdrop = _flat(backdrop, wp.vec3)
        clock("background")
        light, label, face_id, bary, z = self._shade(look_array, posed, solid, thin)
        clock("shade")
        image = develop(light, z, [p["film"] for p in parameters])
        clock("film")
        del keep
        arrays = [t.cpu().numpy() for t in (vertices, normals, face_id, bary, z, label, image)]
        arrays[-1] = np.stack(
            [publish(*pair) for pair in zip(arrays[-1], [p["film"] for p in parameters], strict=True)]
        )
        for i, p in enumerate(parameters):
            if p["border"]["margin"]:
                pixels, _ = cameras[i].project(points[i])
                add_margin(
                    p["border"],
                    pixels,
                    arrays[6][i],
                    (arrays[2][i], -1),
                    (arrays[3][i], 0),
                    (arrays[4][i], 0),
                    (arrays[5][i], 0),
                )
        clock("publish")
        renderings = [self._rendering(scenes[i], cameras[i], *(array[i] for array in arrays)) for i in range(count)]
        clock("hand over")
        return renderings

    def _rendering(self, scene: Scene, camera: Camera, *arrays: np.ndarray) -> Rendering:
        vertices, normals, face_id, bary, z, label, image = arrays
        surface = Surface(
            vertices=vertices,
            normals=normals,
            faces=self.static.faces,
            face_id=face_id,
            barycentric=bary,
            z=z,
            head_vertices=self.static.head.num_vertices,
            head_faces=len(self.static.head.faces),
        )
        return Rendering(
            scene=scene,
            camera=camera,
            image=image,
            head=self.static.head,
            surface=surface,
            labels={"synthforge": label},
        )

    # -- geometry -----------------------------------------------------------------------------------------------

    def _pose(self, heads: Sequence[Mapping[str, np.ndarray]], batch: int) -> torch.Tensor:
        parts = []
        with torch.no_grad():
            for start in range(0, len(heads), batch):
                chunk = list(heads[start : start + batch])
                filled = chunk + [chunk[-1]] * (batch - len(chunk))
                values = {
                    name: torch.as_tensor(np.stack([h[name] for h in filled]), device=self.device) for name in filled[0]
                }
                parts.append(self.static.head.forward(values).vertices[: len(chunk)])
        return torch.cat(parts)

    def _points(self, head: torch.Tensor) -> np.ndarray:
        """The 68 static landmarks (B,68,3), metres."""
        embedding = self.static.head.embedding
        return surface_points(head, embedding.vertices, embedding.barycentric).double().cpu().numpy()

    def _camera(self, parameters: Mapping[str, Any], points: np.ndarray, resolution: int) -> Camera:
        """An orbit about the middle of the face, at the distance that gives the face its size."""
        c = parameters["camera"]
        brows = points[17:27].mean(0)
        chin = points[8]
        middle = (brows + chin) / 2
        tangent = np.tan(np.radians(c["field_of_view"]) / 2)
        frame = float(np.linalg.norm(brows - chin)) / c["face_fraction"]  # height of the picture at the face
        radius = frame / (2 * tangent)
        # the point looked at lies inside the head, so that turning does not push the face out of the picture
        target = middle + np.array([0.0, 0.12 * frame * 0.5, -0.045])
        ca, sa = np.cos(c["azimuth"]), np.sin(c["azimuth"])
        shift_x, shift_y = (c[name] + parameters["border"][name] for name in ("shift_x", "shift_y"))
        target = target + frame * (shift_x * np.array([ca, 0.0, -sa]) + shift_y * np.array([0.0, 1.0, 0.0]))
        return orbit_camera(
            c["azimuth"],
            c["elevation"],
            radius,
            c["field_of_view"],
            resolution,
            resolution,
            target=tuple(target.tolist()),
            roll=c["roll"],
        )

    def _iris_sines(self, parameters: Sequence[Mapping[str, Any]], head: torch.Tensor) -> np.ndarray:
        """Radius of the iris over that of the eyeball; children's irises are nearly as large as adults'."""
        radius = self.static.head.eyeballs(head).radius.mean(1).cpu().numpy() * 1000.0
        iris = np.array([p["eyes"]["iris_radius"] for p in parameters])
        return np.clip(iris / radius, 0.25, 0.5)

    def _dress(
        self,
        head: torch.Tensor,
        looks: Any,
        parameters: Sequence[Mapping[str, Any]],
        cameras: Sequence[Camera],
        points: np.ndarray,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """All vertices (B,V,3), strand coordinates of hair and beard (B,N,4), dead vertices (B,V), normals (B,V,3);
        paint of what is worn and the share of the sky it leaves to the head, see `Wardrobe.dress`."""
        static, batch = self.static, len(head)
        vertices = torch.zeros(batch, static.num_vertices, 3, device=self.device)
        vertices[:, : head.shape[1]] = head
        strand = torch.zeros(batch, static.glasses_first - static.hair_first, 4, device=self.device)
        dead = torch.zeros(batch, static.num_vertices, dtype=torch.uint8, device=self.device)
        size = span(COLUMNS + 1, self.device)
        corners, weights, along = static.hair_arrays
        inputs = [looks, as_warp(static.tiles, wp.vec4), as_warp(corners), as_warp(weights, wp.vec3), as_warp(along)]
        inputs += [as_warp(static.hair_azimuth), as_warp(static.hair_height), static.hair_first, COLUMNS + 1, size]
        inputs += [as_warp(vertices, wp.vec3), as_warp(strand, wp.vec4), as_warp(dead)]
        launch(hair_kernel, (batch, chunks(COLUMNS + 1, size)), inputs, self.device)
        grow_beards(static, looks, vertices, strand, dead)
        worn = self._accessories(vertices, dead, parameters, cameras, points)
        return vertices, strand, dead, vertex_normals(vertices, static.incidence.faces, static.incidence), worn

    def _accessories(
        self,
        vertices: torch.Tensor,
        dead: torch.Tensor,
        parameters: Sequence[Mapping[str, Any]],
        cameras: Sequence[Camera],
        points: np.ndarray,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put glasses and all that is worn or held into `vertices`; what is not there collapses to a point inside the
        head. Returns paint and share of the sky, see `Wardrobe.dress`."""
        static = self.static
        head = vertices[:, : static.head.num_vertices]
        eyes = static.head.eyeballs(head)
        centre = eyes.centre.double().cpu().numpy()
        radius = eyes.radius.double().cpu().numpy()
        frames = [face_frame(points[i], centre[i]) for i in range(len(parameters))]
        for i, p in enumerate(parameters):
            middle = centre[i].mean(0)
            frame = np.tile(middle - [0.0, 0.0, 0.07], (static.worn_first - static.glasses_first, 1))
            if p["glasses"]["worn"]:
                gap = float(np.linalg.norm(centre[i, 0] - centre[i, 1])) * 500.0
                shape = glasses_shape(p["glasses"], gap)
                shape[:, 2] += EYE_PLANE + radius[i].mean() * 1000.0
                frame = middle + shape * 0.001 @ frames[i]
            vertices[i, static.glasses_first : static.worn_first] = torch.as_tensor(frame, dtype=torch.float32)
        worn, paint, absent, sky = static.wardrobe.dress(
            parameters, head.cpu().numpy(), points, frames, centre, cameras
        )
        vertices[:, static.worn_first :] = torch.as_tensor(worn)
        dead[:, static.worn_first :] = torch.as_tensor(absent)
        return torch.as_tensor(paint, device=self.device), torch.as_tensor(sky, device=self.device)

    # -- light --------------------------------------------------------------------------------------------------

    def _shadows(
        self,
        vertices: torch.Tensor,
        normals: torch.Tensor,
        dead: torch.Tensor,
        parameters: Sequence[Mapping[str, Any]],
    ) -> torch.Tensor:
        """Visibility (B,2,N) of the first two lights from the vertices that can be shaded."""
        pairs = []
        for i, p in enumerate(parameters):
            light = p["light"]
            directions = light_directions(light, p["camera"]["azimuth"])
            casting = min(light["casting"], light["count"])
            pairs += [(i, k, directions[k], light["softness"]) for k in range(casting)]
        static = self.static
        return cast_shadows(vertices, normals, dead, static.shadow_faces, static.shadow_vertices, pairs)

    def _posed(
        self,
        vertices: torch.Tensor,
        normals: torch.Tensor,
        strand: torch.Tensor,
        seen: torch.Tensor,
        screen: torch.Tensor,
        looks: Any,
        dead: torch.Tensor,
        worn: tuple[torch.Tensor, torch.Tensor],
        parameters: Sequence[Mapping[str, Any]],
    ) -> tuple[Any, list[torch.Tensor]]:
        """The per-image arrays as the struct kernels read, and the tensors that own its memory."""
        static, batch, count = self.static, len(vertices), self.static.head.num_vertices
        albedo, marks = (torch.empty(batch, count, 4, device=self.device) for _ in range(2))
        size = span(count, self.device)
        inputs = [looks, as_warp(static.tiles, wp.vec4), as_warp(static.mm_tensor, wp.vec3)]
        inputs += [as_warp(static.skin_uv, wp.vec2), static.marks, static.stains(parameters), count, size]
        inputs += [as_warp(albedo, wp.vec4), as_warp(marks, wp.vec4)]
        launch(paint_kernel, (batch, chunks(count, size)), inputs, self.device)
        glow = torch.empty(batch, static.num_vertices, 4, device=self.device)
        size = span(static.num_vertices, self.device)
        inputs = [looks, as_warp(static.vertex_material), as_warp(static.open_sky), as_warp(static.oily)]
        inputs += [as_warp(t, wp.vec3) for t in (vertices, normals, tangents(static, vertices))]
        inputs += [as_warp(seen), as_warp(static.lit_index), as_warp(dead), as_warp(worn[1])]
        inputs += [static.hair_first, static.num_vertices, size]
        inputs += [as_warp(glow, wp.vec4)]
        launch(light_kernel, (batch, chunks(static.num_vertices, size)), inputs, self.device)
        eyes = self._eye_frames(vertices[:, :count])
        posed = Posed()
        posed.count, posed.head_count, posed.hair_count = static.num_vertices, count, strand.shape[1]
        posed.glow, posed.albedo, posed.marks = (_flat(t, wp.vec4) for t in (glow, albedo, marks))
        posed.vertices, posed.normals = _flat(vertices, wp.vec3), _flat(normals, wp.vec3)
        posed.strand = _flat(strand, wp.vec4)
        posed.worn_first, posed.worn_count = static.worn_first, static.wardrobe.num_vertices
        colour, cloth = (worn[0][:, :, k].contiguous() for k in range(2))
        posed.worn_colour, posed.worn_cloth = _flat(colour, wp.vec4), _flat(cloth, wp.vec4)
        for name, tensor in eyes.items():
            setattr(posed, f"eye_{name}", _flat(tensor, wp.vec3))
        posed.screen = _flat(screen, wp.vec3)
        return posed, [glow, albedo, marks, vertices, normals, strand, *eyes.values(), colour, cloth]

    def _eye_frames(self, head: torch.Tensor) -> dict[str, torch.Tensor]:
        """Opening of the lids, each (B,2,3), left eye first. middle of the corners (m); across: the line between them
        over half its length (1/m); up (unit); rims: heights of the upper and the lower one above the corners (mm)."""
        embedding = self.static.head.embedding
        p = surface_points(head, embedding.vertices, embedding.barycentric)
        frames = []
        for inner, outer, upper, lower in ((42, 45, (43, 44), (46, 47)), (39, 36, (37, 38), (40, 41))):
            middle = (p[:, inner] + p[:, outer]) / 2
            line = (p[:, outer] - p[:, inner]) / 2
            width = line.norm(dim=-1, keepdim=True).clamp_min(1e-4)
            up = (p[:, 27] - p[:, 8]) - line / width * ((p[:, 27] - p[:, 8]) * line / width).sum(-1, keepdim=True)
            up = up / up.norm(dim=-1, keepdim=True)
            rims = [((p[:, list(r)].mean(1) - middle) * up).sum(-1, keepdim=True) * 1150.0 for r in (upper, lower)]
            frames.append((middle, line / width**2, up, torch.cat([*rims, rims[0] * 0], -1)))
        names = ("middle", "across", "up", "rims")
        return {n: torch.stack(sides, dim=1).contiguous() for n, *sides in zip(names, *frames, strict=True)}

    # -- pixels -------------------------------------------------------------------------------------------------

    def _project(self, looks: Any, vertices: torch.Tensor, dead: torch.Tensor) -> torch.Tensor:
        """Vertices (B,V,3) in pixels, with the reciprocal of their depth: see `draw_kernels.project_kernel`."""
        screen = torch.empty_like(vertices)
        count = self.static.num_vertices
        step = span(count, self.device)
        inputs = [looks, as_warp(vertices, wp.vec3), as_warp(dead), count, step, _flat(screen, wp.vec3)]
        launch(project_kernel, (len(vertices), chunks(count, step)), inputs, self.device)
        return screen

    def _draw(self, screen: torch.Tensor, ranges: Sequence[tuple[int, int]], size: int) -> torch.Tensor:
        """Key buffer (B,H,W) of one layer."""
        keys = torch.zeros(len(screen), size, size, dtype=torch.int64, device=self.device)
        for first, last in ranges:
            step = span(last - first, self.device)
            inputs = [_flat(screen, wp.vec3), as_warp(self.static.faces_tensor, wp.vec3i)]
            inputs += [self.static.num_vertices, first, last, size, step]
            launch(draw_kernel, (len(screen), chunks(last - first, step)), [*inputs, _flat(keys)], self.device)
        return keys

    def _backdrop(
        self, looks: Any, parameters: Sequence[Mapping[str, Any]], solid: torch.Tensor, gains: np.ndarray
    ) -> torch.Tensor:
        """The background (B,h,h,3) at half resolution. gains (B,3): by which light will be multiplied."""
        batch, size = solid.shape[:2]
        small = (size + 1) // 2
        packed = np.stack([_pack_shapes(p["background"]) for p in parameters])
        shapes: Any = wp.array(packed, dtype=Shape, device=wp.device_from_torch(self.device))
        out = torch.zeros(batch, small, small, 3, device=self.device)
        step = span(small, self.device)
        inputs = [looks, as_warp(self.static.tiles, wp.vec4), shapes, _flat(solid), size, small, step]
        launch(backdrop_kernel, (batch, small, chunks(small, step)), [*inputs, _flat(out, wp.vec3)], self.device)
        for i, p in enumerate(parameters):
            if p["background"]["file"] and self.folder is not None:
                # as bright as it was taken: exposure and white balance are the face's
                picture = self.folder.load(p["background"], small) / np.maximum(gains[i], 1e-3)
                out[i] = torch.as_tensor(picture.astype(np.float32), device=self.device)
        return out

    def _shade(
        self,
        looks: Any,
        posed: Any,
        solid: torch.Tensor,
        thin: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Linear light (B,H,W,3), classes, face ids, barycentrics (B,H,W,3) and depths (B,H,W)."""
        batch, size = solid.shape[:2]

        def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.empty(batch, size, size, *shape, dtype=dtype, device=self.device)

        light, label, face_id = empty(3), empty(dtype=torch.uint8), empty(dtype=torch.int32)
        bary, z = empty(3), empty()
        picture = Picture()
        picture.light, picture.label = _flat(light, wp.vec3), _flat(label)
        picture.face_id, picture.barycentric, picture.z = _flat(face_id), _flat(bary, wp.vec3), _flat(z)
        step = span(size, self.device)
        grid = (batch, size, chunks(size, step))
        inputs = [looks, self.static.for_kernels, posed, _flat(solid), _flat(thin), size, step, picture]
        launch(shade_kernel, grid, inputs, self.device)
        return light, label, face_id, bary, z


def face_frame(points: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """Rows x (to the subject's left), y (up), z (forward) of a posed face: points (68,3), eyeball centres (2,3)."""
    x = eyes[0] - eyes[1]
    x /= np.linalg.norm(x)
    # from between the jaw's ends, which do not move with the mouth, to the root of the nose: forward and a little up
    forward = points[27] - (points[0] + points[16]) / 2
    y = np.cross(forward, x)
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])


def _flat(tensor: torch.Tensor, dtype: Any = None) -> Any:
    """A tensor as a warp array of one dimension; the last dimension is that of `dtype` if it is a vector."""
    return as_warp(tensor.view(-1) if dtype is None else tensor.view(-1, tensor.shape[-1]), dtype)


def _pack_shapes(background: Mapping[str, Any]) -> np.ndarray:
    """Records (MAX_SHAPES,) of `scenery.Shape`."""
    raw = background["shapes"]
    filled = np.zeros(MAX_SHAPES, _shape_type())
    packed, half = filled[: len(raw)], np.maximum(raw[:, 2:4], 0.005)
    packed["x"], packed["y"] = raw[:, 0], raw[:, 1]
    packed["cosine"], packed["sine"] = np.cos(raw[:, 4]), np.sin(raw[:, 4])
    packed["narrow_x"], packed["narrow_y"] = 1 / half[:, 0], 1 / half[:, 1]
    packed["steep"] = half.min(1) / np.maximum(raw[:, 5], 0.002)
    packed["roundness"], packed["colour"] = raw[:, 6], raw[:, 7:]
    packed["reach"] = np.linalg.norm(half, axis=1) + raw[:, 5]
    return filled


@cache
def _shape_type() -> np.dtype:
    return np.dtype(Shape.numpy_dtype())  # type: ignore[attr-defined]
