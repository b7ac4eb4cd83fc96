"""FLAME's files with made-up contents, for tests and for trying the pipeline out without a licence.

Nothing here comes from FLAME: the shapes are an egg's.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthforge.testing import pickle_writer as writer

from .fake_head import FakeHead, fake_head, landmark_angles


def write_flame(folder: str | Path, seed: int = 0) -> list[Path]:
    """Write generic_model.pkl, landmark_embedding.npy, FLAME_masks.pkl, FLAME_texture.npz and the UV mask."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    head = fake_head()
    files = {
        "generic_model.pkl": writer.dumps(flame_arrays(head, seed), python2=True),
        "landmark_embedding.npy": _object_npy(_embedding(head)),
        "FLAME_masks.pkl": writer.dumps(_masks(head), python2=True),
        "FLAME_texture.npz": _npz(vt=head.uv, ft=head.uv_faces.astype(np.uint32)),
        "uv_face_eye_mask.npz": _npz(mask=uv_mask()),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


#: files of `write_flame` by the name of the asset they stand for
FLAME_FILES = {
    "flame2020": "generic_model.pkl",
    "flame-landmarks": "landmark_embedding.npy",
    "flame-masks": "FLAME_masks.pkl",
    "flame-texture": "FLAME_texture.npz",
    "uv-face-mask": "uv_face_eye_mask.npz",
}


def write_flame_assets(folder: str | Path, seed: int = 0) -> dict[str, Path]:
    """`write_flame`, by asset name."""
    write_flame(folder, seed)
    return {name: Path(folder) / file for name, file in FLAME_FILES.items()}


def flame_arrays(head: FakeHead, seed: int = 0) -> dict[str, Any]:
    """The entries of `generic_model.pkl` for a made-up head, as `pickle_writer` takes them."""
    rng = np.random.default_rng(seed)
    count = len(head.vertices)
    weights = _skin_weights(head)
    joints = np.array(
        [[0, -0.1, -0.03], [0, -0.06, -0.02], [0, -0.02, 0.0], [0.031, 0.025, 0.068], [-0.031, 0.025, 0.068]]
    )
    regressor = np.zeros((5, count))
    for joint, place in enumerate(joints):
        nearest = np.argsort(((head.vertices - place) ** 2).sum(1))[:20]
        regressor[joint, nearest] = 1 / len(nearest)
    return {
        "f": head.faces.astype(np.uint32),
        "J_regressor": writer.csc_matrix(regressor),
        "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.uint32),
        "J": regressor @ head.vertices,
        "weights": weights,
        "posedirs": rng.normal(0, 1e-4, (count, 3, 36)),
        "bs_style": "lbs",
        "v_template": head.vertices,
        "shapedirs": writer.chumpy_array(_smooth_basis(head.vertices, 400, rng)),
        "bs_type": "lrotmin",
    }


def _smooth_basis(vertices: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Displacements (V,3,count) that vary slowly over the head, millimetres a unit."""
    waves = rng.normal(0, 15, (3, count))
    phase = rng.uniform(0, 2 * np.pi, count)
    size = 0.0015 / (1 + np.arange(count) % 300) ** 0.7
    return (np.sin(vertices @ waves + phase) * size)[:, None, :] * rng.normal(0, 1, (1, 3, count))


def _skin_weights(head: FakeHead) -> np.ndarray:
    x, y, z = head.vertices.T
    jaw = np.clip((-0.03 - y) / 0.03, 0, 1) * np.clip(z / 0.04, 0, 1) * 0.9
    torso = np.clip((-0.085 - y) / 0.02, 0, 1)
    weights = np.stack([torso * (1 - jaw), (1 - torso) * (1 - jaw), jaw, 0 * x, 0 * x], 1)
    for joint, part in ((3, "left_eyeball"), (4, "right_eyeball")):
        weights[head.parts[part]] = np.eye(5)[joint]
    return weights


def _embedding(head: FakeHead) -> dict[str, Any]:
    longitude, latitude = landmark_angles()
    faces, weights = head.locate(longitude, latitude)
    yaw = np.deg2rad(np.concatenate([np.arange(40), -np.arange(1, 40)]))
    # the contour of a turned head: the jaw line slides round towards the side that is turned away
    turned = longitude[None, :17] - yaw[:, None] * np.abs(longitude[None, :17]) / longitude[:17].max() * 0.6
    rows = [head.locate(row, latitude[:17]) for row in turned]
    return {
        "static_lmk_faces_idx": faces[17:].astype(np.int64),
        "static_lmk_bary_coords": weights[17:],
        "dynamic_lmk_faces_idx": torch.tensor(np.stack([f for f, _ in rows])),
        "dynamic_lmk_bary_coords": torch.tensor(np.stack([w for _, w in rows]), dtype=torch.float32),
        "full_lmk_faces_idx": faces[None].astype(np.int64),
        "full_lmk_bary_coords": weights[None].astype(np.float32),
    }


def _masks(head: FakeHead) -> dict[str, np.ndarray]:
    """FLAME's regions, by simple boxes on the egg."""
    x, y, z = head.vertices.T
    egg = np.isin(np.arange(len(x)), head.parts["egg"])
    front = egg & (z > 0.02)
    ear = egg & (np.abs(y) < 0.025) & (np.abs(z) < 0.015)
    eyes = front & (y > 0.01) & (y < 0.045)
    chosen = {
        "eye_region": eyes,
        "neck": egg & (y < -0.08) & (z < 0.03),
        "left_eyeball": np.isin(np.arange(len(x)), head.parts["left_eyeball"]),
        "right_eyeball": np.isin(np.arange(len(x)), head.parts["right_eyeball"]),
        "right_ear": ear & (x < -0.065),
        "left_ear": ear & (x > 0.065),
        "forehead": front & (y > 0.04) & (y < 0.075),
        "lips": front & (np.abs(x) < 0.022) & (y > -0.062) & (y < -0.032),
        "nose": front & (np.abs(x) < 0.013) & (y > -0.03) & (y < 0.02),
        "scalp": egg & ((y > 0.075) | (z < -0.02)) & (y > -0.05),
        "boundary": egg & (y > 1),
        "face": front & (y < 0.045),
        "left_eye_region": eyes & (np.abs(x - 0.031) < 0.014),
        "right_eye_region": eyes & (np.abs(x + 0.031) < 0.014),
    }
    return {name: np.flatnonzero(mask).astype(np.int64) for name, mask in chosen.items()}


def uv_mask(size: int = 256) -> np.ndarray:
    """A UV mask (size,size) uint8 of the front of the egg and its eyes, soft at the rim."""
    v, u = (np.mgrid[:size, :size] + 0.5) / size
    distance = np.hypot((u - 0.5) / 0.16, (v - 0.5) / 0.3)
    face = np.clip((1 - distance) * 12, 0, 1)
    return np.where(v < 0.09, 255, face * 255).astype(np.uint8)


def _object_npy(value: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "|O", "fortran_order": False, "shape": ()})
    out.write(writer.dumps(writer.object_array(value)))
    return out.getvalue()


def _npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()
