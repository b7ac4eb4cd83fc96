"""FLAME's files as plain arrays: model, landmark embedding, region masks, texture layout.

Nobody may redistribute them; `synthforge.assets.registry` says where each comes from and under which licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthforge.assets.unpickle import load_flame_pickle, load_object_npy
from synthforge.core.errors import AssetError
from synthforge.core.foreign import boundary, read_arrays
from synthforge.core.images import read_map

VERTICES, FACES = 5023, 9976
IDENTITY, EXPRESSION = 300, 100  # components in `shapedirs`, in this order
JOINTS = ("global", "neck", "jaw", "left_eye", "right_eye")
_ROOT = 4294967295  # the parent of the root joint, -1 as uint32


@dataclass(frozen=True)
class FlameModel:
    """The arrays of `generic_model.pkl`.

    template (V,3) metres, y up, face towards +z; faces (F,3) int32, counter-clockwise from outside; shape_basis
    (V,3,S) and expression_basis (V,3,E) metres a unit; pose_basis (V,3,36); joint_regressor (5,V); weights (V,5);
    parents (5,) int, -1 for the root.
    """

    template: np.ndarray
    faces: np.ndarray
    shape_basis: np.ndarray
    expression_basis: np.ndarray
    pose_basis: np.ndarray
    joint_regressor: np.ndarray
    weights: np.ndarray
    parents: tuple[int, ...]


@dataclass(frozen=True)
class LandmarkEmbedding:
    """68 points as (face, barycentric) on the mesh, in iBUG order.

    static (51): points 17..67; dynamic (79,17): the jaw line seen from each head yaw; full (68): all points with the
    three-dimensional jaw line.
    """

    static_faces: np.ndarray
    static_barycentric: np.ndarray
    dynamic_faces: np.ndarray
    dynamic_barycentric: np.ndarray
    full_faces: np.ndarray
    full_barycentric: np.ndarray


@dataclass(frozen=True)
class TextureLayout:
    """UV coordinates (T,2) in [0,1], v up, and the UV corners (F,3) int32 of each face of the model."""

    uv: np.ndarray
    faces: np.ndarray


def read_flame(path: str | Path) -> FlameModel:
    """Read `generic_model.pkl` (2020, 2023 or 2023 Open) without running it.

    Raises: AssetError for a refused pickle, a missing key or an array of the wrong shape.
    """
    data = _dictionary(load_flame_pickle(path), path)
    get = _Reader(data, str(path))
    template = get("v_template", (None, 3), np.float64)
    count = len(template)
    basis = get("shapedirs", (count, 3, None), np.float64)
    if basis.shape[2] < IDENTITY + 1:
        raise AssetError(
            f"{path}: shapedirs has {basis.shape[2]} components; {IDENTITY} of identity and then expression are needed",
            hint="This looks like a truncated model. Use generic_model.pkl from https://flame.is.tue.mpg.de.",
        )
    parents = get("kintree_table", (2, len(JOINTS)), np.int64)[0]
    return FlameModel(
        template=template,
        faces=get.indices("f", (None, 3), count),
        shape_basis=basis[:, :, :IDENTITY],
        expression_basis=basis[:, :, IDENTITY:],
        pose_basis=get("posedirs", (count, 3, 9 * (len(JOINTS) - 1)), np.float64),
        joint_regressor=get("J_regressor", (len(JOINTS), count), np.float64),
        weights=get("weights", (count, len(JOINTS)), np.float64),
        parents=_parents(parents, path),
    )


def read_landmark_embedding(path: str | Path, faces: int) -> LandmarkEmbedding:
    """Read `landmark_embedding.npy` for a mesh of `faces` triangles. Raises: AssetError as `read_flame` does."""
    get = _Reader(_dictionary(load_object_npy(path), path), str(path))
    return LandmarkEmbedding(
        static_faces=get.indices("static_lmk_faces_idx", (51,), faces),
        static_barycentric=get("static_lmk_bary_coords", (51, 3), np.float32),
        dynamic_faces=get.indices("dynamic_lmk_faces_idx", (79, 17), faces),
        dynamic_barycentric=get("dynamic_lmk_bary_coords", (79, 17, 3), np.float32),
        full_faces=get.indices("full_lmk_faces_idx", (1, 68), faces)[0],
        full_barycentric=get("full_lmk_bary_coords", (1, 68, 3), np.float32)[0],
    )


def read_masks(path: str | Path, vertices: int) -> dict[str, np.ndarray]:
    """Read `FLAME_masks.pkl`: region name -> vertex ids int32. Raises: AssetError as `read_flame` does."""
    data = _dictionary(load_flame_pickle(path), path)
    get = _Reader(data, str(path))
    return {str(name): get.indices(str(name), (None,), vertices) for name in data}


def read_texture_layout(path: str | Path, faces: int) -> TextureLayout:
    """Read `vt` and `ft` of `FLAME_texture.npz`. Raises: AssetError as `read_flame` does."""
    data = read_arrays(Path(path), ("vt", "ft"), error=AssetError)
    get = _Reader(data, str(path))
    uv = get("vt", (None, 2), np.float64)
    return TextureLayout(uv=uv, faces=get.indices("ft", (faces, 3), len(uv)))


def read_uv_mask(path: str | Path) -> np.ndarray:
    """Read the UV mask of face and eyes: a square grey PNG or an `.npz` with `mask`; (S,S) float32 in [0,1].

    Raises: AssetError for another format or size.
    """
    with boundary(path, "a readable UV mask", error=AssetError):
        if Path(path).suffix == ".npz":
            mask = read_arrays(Path(path), ("mask",))["mask"]
        else:
            mask = read_map(Path(path), grey=True)
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1] or mask.dtype != np.uint8:
        raise AssetError(f"{path}: a UV mask is a square of bytes, got {mask.dtype} {mask.shape}")
    return mask.astype(np.float32) / np.float32(255)


def _dictionary(value: Any, path: str | Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise AssetError(f"{path}: holds a {type(value).__name__}, not a dictionary of arrays")
    return value


def _parents(table: np.ndarray, path: str | Path) -> tuple[int, ...]:
    parents = tuple(-1 if p == _ROOT or p == -1 else int(p) for p in table)
    if parents[0] != -1 or any(not 0 <= p < joint for joint, p in enumerate(parents) if joint):
        raise AssetError(f"{path}: kintree_table is not a tree with the root first: {parents}")
    return parents


class _Reader:
    """Takes arrays out of a file's dictionary, each with the shape and range it must have."""

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self._data, self._where = data, where

    def __call__(self, key: str, shape: tuple[int | None, ...], dtype: Any) -> np.ndarray:
        if key not in self._data:
            raise AssetError(f"{self._where}: has no entry {key!r}; it holds {', '.join(map(str, self._data))}")
        stored = self._data[key]
        # Nested lists that share their items can be larger than any memory as an array.
        value = np.asarray(stored if hasattr(stored, "__array__") else None)
        fits = value.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, value.shape, strict=True)
        )
        if not fits or value.dtype.kind not in "fiu":
            raise AssetError(f"{self._where}: {key} is {value.dtype} {value.shape}, expected numbers {shape}")
        if not np.isfinite(value).all():
            raise AssetError(f"{self._where}: {key} holds values that are not finite")
        return np.ascontiguousarray(value, dtype=dtype)

    def indices(self, key: str, shape: tuple[int | None, ...], limit: int) -> np.ndarray:
        value = self(key, shape, np.int64)
        if value.size and not (value.min() >= 0 and value.max() < limit):
            raise AssetError(f"{self._where}: {key} points outside 0..{limit - 1}")
        return value.astype(np.int32)
