"""Other people's dataset layouts: the paper's released one, FaceSynthetics and YOLO pose, all read only.

Foreign samples come back in the form `writer.write_shard` takes, so that they can be stored, shown and trained on like
our own. What a layout does not hold is absent, never made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.core.camera import Camera
from synthforge.core.errors import DataError, UserError
from synthforge.core.foreign import boundary, decimal, read_json, read_text
from synthforge.core.images import read_map, read_photograph
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS
from synthforge.datasets.codecs import check_label
from synthforge.datasets.marks import ALGORITHMIC, TRAINED

from ...schemas import FACESYNTHETICS19, FLAME20, IBUG68


@dataclass(frozen=True)
class ReadOptions:
    """What a foreign folder does not say of itself.

    schema: class schema of the label maps of the paper's layout; colours: RGB by class name, where they are not the
    schema's own. point_schema: of YOLO pose's points. points: `px`, or `ndc` for coordinates in -1..1 over the image.
    metric_depth: turn 8-bit depth into metres by the `depth_range` in its annotation, or by this one: (nearest,
    furthest) in metres.
    """

    schema: str = FLAME20.name
    point_schema: str = IBUG68.name
    colours: Mapping[str, Sequence[int]] = field(default_factory=dict)
    points: str = "px"
    metric_depth: bool = False
    depth_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Layout:
    """A foreign layout: keys of its samples in order, what they hold, and how to read one.

    source_type: IPTC's word for what made its pictures (`datasets.marks`), empty where anything may have.
    """

    summary: str
    licence: str
    keys: Callable[[Path], list[str]]
    fields: Callable[[ReadOptions], tuple[Field, ...]]
    read: Callable[[Path, str, ReadOptions], dict[str, Any]]
    source_type: str = ""


def _points(value: Any, path: Path, options: ReadOptions, size: int) -> np.ndarray:
    """(N,2) float32 pixels."""
    with boundary(path, "a list of points"):
        points = np.array(value, np.float32)
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points).all():
        raise DataError(f"{path}: points must be finite and (N, 2), got {points.shape}")
    points = points[:, :2]
    if options.points == "ndc":
        return ((points + 1) * np.float32(size / 2)).astype(np.float32)
    if np.abs(points).max() <= 1.5:
        raise DataError(f"{path}: points lie within -1.5..1.5, so they are no pixels", hint="Set points: ndc.")
    return np.ascontiguousarray(points)


# --- the paper's released layout -------------------------------------------------------------------------------------

_PAPER_NUMBERS = ("z", "flame_shape", "flame_exp", "flame_pose")


def _paper_keys(root: Path) -> list[str]:
    folder = root / "images"
    if not folder.is_dir():
        raise DataError(f"{root} has no folder images/", hint="The paper's layout: images/ depth/ seg/ annotations/.")
    return sorted(path.stem for path in folder.glob("*.png") if path.stem.isdecimal())


def _paper_fields(options: ReadOptions) -> tuple[Field, ...]:
    depth = (
        Field("depth", "depth", "m", "camera", description="camera z from 8 bits")
        if options.metric_depth
        else Field("relative_depth", "depth", "", "camera", description="8-bit depth / 255, scale and sign unknown")
    )
    return (
        Field("landmarks2d", "points2d", "px", "image", IBUG68.name),
        Field("segmentation", "label", "class id", "image", options.schema),
        depth,
    )


def _read_paper(root: Path, key: str, options: ReadOptions) -> dict[str, Any]:
    path = root / "annotations" / f"{key}.json"
    record = read_json(path)
    image = read_photograph(root / "images" / f"{key}.png")
    height, width = image.shape[:2]
    from synthforge.geometry.cameras import camera_from_eg3d

    with boundary(path, "an annotation of the paper's layout"):
        points = record["2d_kps"]
        label = np.array(record["camera_params"], np.float64).reshape(-1)
        parameters = {name: record.get(name) for name in (*_PAPER_NUMBERS, "fan_kps", "mse")}
        camera = camera_from_eg3d(label, width, height).to_json()
    sample = {
        "__key__": key,
        "image": image,
        "landmarks2d": _points(points, path, options, width),
        "segmentation": _labels_of(read_photograph(root / "seg" / f"{key}.png"), root / "seg" / f"{key}.png", options),
        "scene": {"parameters": parameters},
        "camera": camera,
    }
    depth_path = root / "depth" / f"{key}.png"
    stored = read_map(depth_path, grey=True)
    if stored.dtype != np.uint8:
        raise DataError(f"{depth_path}: expected 8-bit depth")
    if not options.metric_depth:
        return sample | {"relative_depth": stored.astype(np.float32) / np.float32(255)}
    limits = options.depth_range or record.get("depth_range")
    if limits is None:
        raise DataError(f"{path} has no depth_range", hint="Give depth_range: [nearest, furthest] in metres.")
    with boundary(path, "an annotation with a depth_range [nearest, furthest]"):
        near, far = (float(limit) for limit in limits)
    return sample | {"depth": _metres(stored, near, far)}


def _labels_of(pixels: np.ndarray, path: Path, options: ReadOptions) -> np.ndarray:
    """Class ids of a map of RGB colours; an unknown colour is an error, for the nearest one may be another class."""
    schema = CLASS_SCHEMAS[options.schema]
    colours = dict(zip(schema.classes, schema.colours, strict=True)) | {
        name: tuple(int(v) for v in colour) for name, colour in options.colours.items()
    }
    codes = pixels.astype(np.int32) @ np.array([65536, 256, 1], np.int32)
    table = {r * 65536 + g * 256 + b: schema.id(name) for name, (r, g, b) in colours.items()}
    table.setdefault(0xFFFFFF, IGNORE)
    present, inverse = np.unique(codes, return_inverse=True)
    stray = [f"#{code:06x}" for code in present.tolist() if code not in table]
    if stray:
        raise DataError(
            f"{path}: the colours {', '.join(stray[:5])} belong to no class of '{options.schema}'",
            hint="Set the schema the maps are in, or its colours: {class name: [r, g, b]}.",
        )
    ids = np.array([table[code] for code in present.tolist()], np.uint8)
    return ids[inverse.reshape(codes.shape)]


def _metres(stored: np.ndarray, near: float, far: float) -> np.ndarray:
    """8 bits to metres: 255 nearest, 1 furthest, 0 none."""
    depth = far - (stored.astype(np.float32) - 1) / np.float32(254) * np.float32(far - near)
    return np.where(stored > 0, depth, 0).astype(np.float32)


# --- FaceSynthetics, Wood et al., "Fake It Till You Make It" (ICCV 2021) ----------------------------------------------


def _face_synthetics_keys(root: Path) -> list[str]:
    keys = sorted(path.stem for path in root.glob("*.png") if path.stem.isdecimal())
    if not keys:
        raise DataError(f"{root} holds no NNNNNN.png", hint="Name the folder the FaceSynthetics archive unpacks to.")
    return keys


def _face_synthetics_fields(options: ReadOptions) -> tuple[Field, ...]:
    return (
        Field(
            "landmarks2d",
            "points2d",
            "px",
            "image",
            IBUG68.name,
            "projected from the mesh: no visible-contour jaw",
        ),
        Field("pupils2d", "points2d", "px", "image", description="the two pupils"),
        Field("segmentation", "label", "class id", "image", FACESYNTHETICS19.name),
    )


def _read_face_synthetics(root: Path, key: str, options: ReadOptions) -> dict[str, Any]:
    path = root / f"{key}_ldmks.txt"
    lines = read_text(path).splitlines()
    with boundary(path, "a list of points"):
        rows = [[decimal(number) for number in line.split()] for line in lines if line.strip()]
    if len(rows) != 70 or any(len(row) != 2 for row in rows):
        raise DataError(f"{path} must have 70 lines 'x y', it has {len(rows)} rows")
    image = read_photograph(root / f"{key}.png")
    points = _points(rows, path, options, image.shape[1])
    seg_path = root / f"{key}_seg.png"
    labels = read_map(seg_path, indices=True)
    if labels.dtype != np.uint8 or labels.ndim != 2:
        raise DataError(f"{seg_path}: expected one 8-bit class id a pixel")
    try:
        check_label(labels, FACESYNTHETICS19.name)
    except ValueError as error:
        raise DataError(f"{seg_path}: {error}") from error
    return {
        "__key__": key,
        "image": image,
        "landmarks2d": points[:68],
        "pupils2d": points[68:],
        "segmentation": labels,
        "scene": {"parameters": {}},
        "camera": None,
    }


# --- YOLO pose: https://docs.ultralytics.com/datasets/pose/ -----------------------------------------------------------

_PICTURES = (".png", ".jpg", ".jpeg")


def _yolo_keys(root: Path) -> list[str]:
    folder = root / "images"
    found = (path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES)
    keys = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in found)
    if not keys:
        raise DataError(f"{folder} holds no PNG or JPEG pictures", hint="YOLO pose: images/ and labels/ side by side.")
    return keys


def _yolo_fields(options: ReadOptions) -> tuple[Field, ...]:
    schema = POINT_SCHEMAS[options.point_schema].name
    return (
        Field("landmarks2d", "points2d", "px", "image", schema, "NaN where none is marked"),
        Field("landmark_visibility", "flags", schema=schema, description="marked as seen"),
    )


def _read_yolo(root: Path, key: str, options: ReadOptions) -> dict[str, Any]:
    path, count = root / "labels" / f"{key}.txt", len(POINT_SCHEMAS[options.point_schema])
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    if len(rows) != 1 or len(rows[0]) != 5 + 3 * count:
        found = f"{len(rows)} rows" if len(rows) != 1 else f"{len(rows[0])} numbers"
        raise DataError(f"{path} must have one face: {5 + 3 * count} numbers, kpt_shape [{count}, 3]; it has {found}")
    with boundary(path, "a face with its points"):
        values = np.array([decimal(number) for number in rows[0][5:]], np.float32).reshape(count, 3)
    image = read_photograph(next((root / "images").glob(f"{escape(key)}.*")))
    height, width = image.shape[:2]
    state = values[:, 2:]
    return {
        "__key__": key,
        "image": image,
        "landmarks2d": np.where(state > 0, values[:, :2] * np.array([width, height], np.float32), np.float32(np.nan)),
        "landmark_visibility": state[:, 0] > 1,
        "scene": {"parameters": {}},
        "camera": None,
    }


LAYOUTS: dict[str, Layout] = {
    "paper": Layout(
        "the paper's released layout", "that of the dataset", _paper_keys, _paper_fields, _read_paper, TRAINED
    ),
    "face-synthetics": Layout(
        "FaceSynthetics (Wood et al. 2021)",
        "FaceSynthetics dataset licence: non-commercial research",
        _face_synthetics_keys,
        _face_synthetics_fields,
        _read_face_synthetics,
        ALGORITHMIC,
    ),
    "yolo-pose": Layout("YOLO pose, one face a picture", "that of the dataset", _yolo_keys, _yolo_fields, _read_yolo),
}


def layout_named(name: str) -> Layout:
    """The layout of this name; UserError with the known ones otherwise."""
    if name not in LAYOUTS:
        raise UserError(f"there is no dataset layout '{name}'", hint=f"Known: {', '.join(LAYOUTS)}.")
    return LAYOUTS[name]


def resized(sample: Mapping[str, Any], fields: Sequence[Field], size: int) -> dict[str, Any]:
    """A sample with square images at `size` pixels: the image averaged, maps by nearest pixel, points and camera along.

    Raises DataError for images that are not square.
    """
    height, width = sample["image"].shape[:2]
    if height != width:
        raise DataError(f"sample {sample['__key__']} is {width} x {height} pixels; only square images can be replayed")
    if height == size:
        return dict(sample)
    from synthforge.datasets.crops import crop

    nearest = np.minimum(((np.arange(size) + 0.5) * height / size).astype(np.intp), height - 1)
    result = dict(sample)
    result["image"] = crop(sample["image"], (0, 0, width, height), size)[0]
    for item in fields:
        if item.kind in ("label", "depth", "normals", "uv"):
            result[item.name] = np.ascontiguousarray(sample[item.name][np.ix_(nearest, nearest)])
        elif item.kind == "points2d":
            result[item.name] = sample[item.name] * np.float32(size / width)
        elif item.kind == "json" and item.unit == "px":
            result[item.name] = _scaled(sample[item.name], size / width)
    if sample.get("camera") is not None:
        result["camera"] = Camera.from_json(sample["camera"]).resized(size, size).to_json()
    return result


def _scaled(value: Any, factor: float) -> Any:
    """A value as JSON holds it, each number times a factor."""
    if isinstance(value, Mapping):
        return {name: _scaled(part, factor) for name, part in value.items()}
    if isinstance(value, list):
        return [_scaled(part, factor) for part in value]
    return value * factor if isinstance(value, int | float) else value
