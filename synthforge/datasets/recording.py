"""Samples as a recording for the viewer rerun (https://rerun.io): pictures, marks and depth where the camera stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, UserError
from ..core.files import write_bytes
from ..core.progress import progress_bar
from ..core.records import Field
from ..core.schemas import CLASS_SCHEMAS
from . import drawing, layers
from .reader import ShardDataset

_CAMERA = "world/camera"
_DOT = -1.5  # radius of a point: of the screen, since rerun takes positive ones for metres
_OVER = ("label", "points2d", "directions", "json")  # kinds that leave the picture visible; others have a view each


def write_recording(
    dataset: ShardDataset, indices: Sequence[int], out: Path, columns: Sequence[Field] | None = None
) -> Path:
    """Write samples to a file that `rerun FILE` opens, a step of the timeline `sample` each; return its path.

    The world is ours (y up, metres). `world/camera` is the pinhole camera of the sample; its pictures, label maps,
    marks and depth lie below, so that the viewer puts depth into space. Points in space lie below `world/points`,
    numbers below `numbers`. columns: the labels to write, None for all that can be drawn.

    Raises UserError without rerun-sdk and DataError for no samples.
    """
    try:
        import rerun as rr
        import rerun.blueprint as rrb
    except ImportError:
        raise UserError("a recording needs the package rerun-sdk", hint="pip install 'synthforge[rerun]'") from None
    if not indices:
        raise DataError("a recording needs at least one sample")
    chosen = layers.drawable(dataset.fields) if columns is None else columns
    recording = rr.RecordingStream("synthforge", recording_id=dataset.manifest["sha256"])
    memory = recording.memory_recording()
    maps = [f"{_CAMERA}/{item.name}" for item in chosen if item.name != "image" and item.kind not in _OVER]
    views = [
        rrb.Spatial2DView(origin=_CAMERA, contents=["$origin/**", *(f"- {path}" for path in maps)], name="labels"),
        *(rrb.Spatial2DView(origin=path, name=path.rsplit("/", 1)[-1]) for path in maps),
        rrb.Spatial3DView(origin="world", name="space"),
        rrb.TimeSeriesView(origin="numbers", name="numbers"),
    ]
    recording.send_blueprint(rrb.Blueprint(rrb.Grid(*views), collapse_panels=True))
    recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)
    for item in chosen:
        if item.kind == "label" and item.schema in CLASS_SCHEMAS:
            known = CLASS_SCHEMAS[item.schema]
            entries = [(i, name, tuple(known.palette[i].tolist())) for i, name in enumerate(known.classes)]
            recording.log(f"{_CAMERA}/{item.name}", rr.AnnotationContext(entries), static=True)
    with progress_bar("write samples", len(indices), unit="samples") as advance:
        for index in indices:
            recording.set_time("sample", sequence=index)
            for path, what in _logged(rr, dataset[index], chosen, dataset.fields):
                recording.log(path, what)
            advance(1)
    write_bytes(out, memory.drain_as_bytes())
    return out


def _logged(
    rr: Any, sample: dict[str, Any], chosen: Sequence[Field], fields: Sequence[Field]
) -> Iterator[tuple[str | list[Any], Any]]:
    """What a sample is in rerun's types, with its places."""
    camera = layers.camera_of(sample)
    if camera is not None:
        pose = camera.camera_to_world
        yield _CAMERA, rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
        yield (
            _CAMERA,
            rr.Pinhole(
                image_from_camera=camera.intrinsics,
                resolution=[camera.width, camera.height],
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=0.3,
            ),
        )
    for item in fields:
        if item.kind == "points3d" and item.frame == "world":
            yield f"world/points/{item.name}", rr.Points3D(sample[item.name], radii=0.001)
    for item in chosen:
        path, value = f"{_CAMERA}/{item.name}", sample[item.name]
        if item.kind == "label":
            yield path, rr.SegmentationImage(value, opacity=0.5)
            continue
        if item.kind == "depth":
            yield path, rr.DepthImage(value, meter=1.0, depth_range=drawing.depth_span(value, value > 0))
            continue
        found = layers.layer(sample, item, fields)
        if found.pixels is not None:
            kind = "JPEG" if item.kind == "image" else "PNG"
            yield (
                path,
                rr.EncodedImage(contents=drawing.encoded(found.pixels, kind), media_type=f"image/{kind.lower()}"),
            )
        elif found.numbers:
            for name, number in found.numbers.items():
                yield ["numbers", *name.split(".")], rr.Scalars(number)
        else:
            lines = [(points, mark.colour) for mark in found.marks if mark.shape == "lines" for points in mark.at]
            dots = [(points, mark.colour) for mark in found.marks if mark.shape != "lines" for points in mark.at]
            places = np.concatenate([points for points, _ in dots]) if dots else np.zeros((0, 2))
            colours = [colour for points, colour in dots for _ in points]
            # Logged also where there are none, since a viewer goes on showing the sample before.
            yield f"{path}/lines", rr.LineStrips2D([p for p, _ in lines], colors=[c for _, c in lines])
            yield f"{path}/points", rr.Points2D(places, colors=colours, radii=_DOT)
