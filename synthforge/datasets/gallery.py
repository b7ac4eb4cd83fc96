"""One HTML page that needs no other file: samples with their labels to switch on, to filter, to turn and to play."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import DataError
from ..core.factors import Factor, seen
from ..core.files import write_text
from ..core.pages import page
from ..core.progress import progress_bar
from ..core.records import Field
from . import drawing, layers
from .distributions import compare, panel, values_of
from .reader import ShardDataset

#: samples of a page, and pixels of the longer side of its pictures, unless more are asked for: 5 to 10 MB
SAMPLES, SIDE = 200, 256
_MESH = 128  # depths along the longer side of a surface to turn
_LEVELS = 4095  # of these depths, in two channels of a lossless picture
_FPS = 24.0
_MOST_WORDS = 3  # numbers of a label under a small picture


def write_gallery(
    dataset: ShardDataset,
    indices: Sequence[int],
    out: Path,
    factors: Sequence[Factor] = (),
    *,
    columns: Sequence[Field] | None = None,
    side: int = SIDE,
    notes: Sequence[str] = (),
) -> Path:
    """Write a page about these samples and return its path.

    factors: what the generator says it draws (`distributions.factors_of`): filters and distributions. columns: the
    labels to show, None for all that can be drawn. side: of the pictures, in pixels; smaller ones stay as they are.

    Every text of the dataset is data in the page, never markup. Raises DataError for no samples.
    """
    if not indices:
        raise DataError("a gallery needs at least one sample")
    chosen = layers.drawable(dataset.fields) if columns is None else columns
    shown = [item for item in chosen if item.name != "image"]
    scalars = [item for item in dataset.fields if item.kind == "json" and item.unit and not item.mark]
    rows: list[dict[str, Any]] = []
    scenes: list[Mapping[str, Any]] = []
    legends: dict[str, set[int]] = {item.name: set() for item in shown if item.kind == "label"}
    members = dataset.manifest["config"].get("members")
    with progress_bar("draw samples", len(indices), unit="samples") as advance:
        for index in indices:
            sample = dataset[index]
            for name, found in legends.items():
                found.update(np.unique(sample[name]).tolist())
            rows.append(_sample(sample, shown, dataset.fields, side) | {"clip": _clip(sample, members)})
            scenes.append(sample.get("scene") or {})
            rows[-1]["numbers"] = {k: v for item in scalars for k, v in layers.numbers(sample, item).items()}
            advance(1)
    described = [_described(item, sorted(legends.get(item.name, ()))) for item in shown]
    for number, item in enumerate(described):
        item["kind"] = next((row["kinds"][number] for row in rows if row["kinds"][number]), "marks")
    first = next((n for n, item in enumerate(described) if item["kind"] == "marks"), None)
    if first is not None:
        described[first]["on"] = True
    columns_ = _columns(rows, scenes, factors, {item.name: item for item in scalars})
    records = compare(factors, values_of(scenes, factors)) if factors else []
    data = {
        "layers": described,
        "factors": [entry for entry, _ in columns_],
        "fps": _fps(members),
        "samples": [
            {name: row[name] for name in ("key", "size", "image", "layers", "notes", "depth", "clip")}
            | {"values": [column[n] for _, column in columns_]}
            for n, row in enumerate(rows)
        ],
    }
    text = page(
        __package__,
        "gallery.html",
        maker=drawing.SIGNATURE,
        title=dataset.root.name,
        about=_about(dataset, indices),
        notes=list(notes),
        data=data,
        shown=f"{len(rows):,}",
        groups=["drawn", "rendered"],
        panels=[panel(record, ["drawn", "rendered"]) for record in records],
    )
    write_text(out, text)
    return out


def _about(dataset: ShardDataset, indices: Sequence[int]) -> str:
    config = dataset.manifest["config"]
    made = [f"{name} {config[name]}" for name in ("generator", "seed", "resolution") if name in config]
    part = f"samples {indices[0]:,} to {indices[-1]:,} of {len(dataset):,}"
    return ", ".join([*made, part if len(indices) < len(dataset) else f"all {len(dataset):,} samples"])


def _described(item: Field, classes: Sequence[int]) -> dict[str, Any]:
    colours = drawing.palette(item.schema)
    return {
        "name": item.name,
        "about": item.description or item.schema,
        "on": False,
        "legend": [[_css(colours[i]), drawing.class_name(item.schema, i)] for i in classes],
    }


def _sample(sample: Mapping[str, Any], shown: Sequence[Field], fields: Sequence[Field], side: int) -> dict[str, Any]:
    """A sample as the page holds it: pictures as WebP, marks in pixels of its image, numbers in words."""
    picture = drawing.fit(sample["image"], min(side, max(sample["image"].shape[:2])))
    height, width = picture.shape[:2]
    factor = width / sample["image"].shape[1]
    parts: list[Any] = []
    notes, kinds = [], []
    for item in shown:
        found = layers.layer(sample, item, fields)
        notes.append(found.note)
        if found.pixels is not None:
            kinds.append("map")
            parts.append(_map(found, item, (width, height)))
        elif found.numbers:
            kinds.append("numbers")
            parts.append(None)
            largest = sorted(found.numbers.items(), key=lambda pair: -abs(pair[1]))[:_MOST_WORDS]
            words = [f"{path.removeprefix(item.name + '.')} {value:.3g}" for path, value in largest]
            notes[-1] = ", ".join(words) if found.numbers.keys() != {item.name} else f"{largest[0][1]:.3g} {item.unit}"
        else:
            kinds.append("marks" if found.marks else "")
            parts.append([_mark(mark, factor) for mark in found.marks])
    return {
        "key": sample["__key__"],
        "size": [width, height],
        "image": _webp(picture, quality=82),
        "layers": parts,
        "notes": notes,
        "kinds": kinds,
        "depth": _surface(sample, fields, factor),
    }


def _map(found: layers.Layer, item: Field, size: tuple[int, int]) -> str:
    """A map with holes where it says nothing: classes exactly, everything else as small as a photograph."""
    assert found.pixels is not None
    there = np.ones(found.pixels.shape[:2], np.bool_) if found.there is None else found.there
    alpha = (there * 255).astype(np.uint8)[..., None]
    pixels = np.concatenate([found.pixels, alpha], axis=-1)
    if item.kind == "label":
        return _webp(drawing.resize(pixels, *size, Image.Resampling.NEAREST), lossless=True)
    return _webp(drawing.resize(pixels, *size, Image.Resampling.BOX), quality=75)


def _mark(mark: drawing.Mark, factor: float) -> list[Any]:
    places = [np.round(points * factor, 1).ravel().tolist() for points in mark.at]
    return [mark.shape, _css(mark.colour), mark.size, places]


def _css(colour: Sequence[int]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in colour)


def _webp(picture: np.ndarray, **options: Any) -> str:
    return base64.b64encode(drawing.encoded(picture, "WEBP", method=4, **options)).decode("ascii")


def _surface(sample: Mapping[str, Any], fields: Sequence[Field], factor: float) -> dict[str, Any] | None:
    """The first depth map in metres, thinned out, with what brings its pixels into space; None without a camera."""
    camera = layers.camera_of(sample)
    item = next((item for item in fields if item.kind == "depth" and item.unit == "m"), None)
    if camera is None or item is None or not (sample[item.name] > 0).any():
        return None
    depth = sample[item.name]
    step = math.ceil(max(depth.shape) / _MESH)
    thin = depth[::step, ::step]
    if not (thin > 0).any():
        return None
    near, far = float(thin[thin > 0].min()), float(thin.max())
    level = np.where(thin > 0, 1 + np.rint((thin - near) / max(far - near, 1e-9) * (_LEVELS - 1)), 0).astype(np.uint16)
    packed = np.stack([level >> 4, (level & 15) << 4, np.zeros_like(level)], -1).astype(np.uint8)
    k = camera.intrinsics
    return {
        "map": _webp(packed, lossless=True, exact=True),
        "near": near,
        "far": far,
        "step": step,
        "size": [depth.shape[1], depth.shape[0]],
        "camera": [float(v) for v in (k[0, 0], k[1, 1], k[0, 2], k[1, 2])],
    }


def _clip(sample: Mapping[str, Any], members: Any) -> list[int] | None:
    """Clip, frame and view of a sample whose dataset says that groups of samples are clips."""
    group, member = sample.get("group"), sample.get("member")
    if not isinstance(members, Mapping) or type(group) is not int or type(member) is not int:
        return None
    views = members.get("views")
    views = views if type(views) is int and views > 0 else 1
    return [group, member // views, member % views]


def _fps(members: Any) -> float:
    fps = members.get("fps") if isinstance(members, Mapping) else None
    return float(fps) if isinstance(fps, int | float) and 0 < fps <= 240 else _FPS


def _columns(
    rows: Sequence[Mapping[str, Any]],
    scenes: Sequence[Mapping[str, Any]],
    factors: Sequence[Factor],
    scalars: Mapping[str, Field],
) -> list[tuple[dict[str, Any], list[Any]]]:
    """What samples are filtered by, with a value for each: numbers of annotations, then factors as rendered."""
    found: list[tuple[dict[str, Any], list[Any]]] = []
    for path in dict.fromkeys(path for row in rows for path in row["numbers"]):
        name = path.split(".")[0]
        about = {"name": path, "group": name, "unit": scalars[name].unit, "discrete": False}
        found.append((about, [_short(row["numbers"].get(path)) for row in rows]))
    for factor in factors:
        about = {"name": factor.name, "group": factor.name.split(".")[0], "unit": factor.unit}
        about["discrete"] = factor.discrete
        found.append((about, [_short(seen(scene, factor)) for scene in scenes]))
    return found


def _short(value: float | str | None) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    return float(f"{value:.5g}") if math.isfinite(value) else None
