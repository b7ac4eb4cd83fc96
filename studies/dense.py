"""How far points of the mesh, their standard deviations and visibility hold, and actions, pose, gaze and openness.

    python studies/dense.py face --renders DATASET --json renders.json
    python studies/dense.py face --photographs DIR --count 600 --json photographs.json

DATASET: faces with all fields of `configs/dense.yaml`, none of which were learned from. DIR: a folder of 300W; only
photographs of its training split are read, evenly over it. Their 68 points are compared with points of the mesh
(`studies/peers.py`), the jaw at equal steps along its outline. NME is in % of the distance of the outer eye corners;
"both" is what `synthforge.compat.mediapipe` makes of the mesh and the fitted head. Spearman's correlation is that of
the mean standard deviation of a face with its mean error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from blind import auc
from peers import INNER, OUTLINE, along

from synthforge.compat.mediapipe import depth_in_pixels, joined
from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.core.schemas import POINT_SCHEMAS, point_mapping
from synthforge.core.shipped import find_model
from synthforge.datasets import crops
from synthforge.datasets.reader import ShardDataset, read_manifest
from synthforge.learning.config import FramingConfig
from synthforge.learning.data import CropDataset, needed_fields, prepare, synthetic_faces, task_targets
from synthforge.learning.feeds import Mean
from synthforge.learning.loaders import make_loader
from synthforge.learning.model import FaceModel, load_model
from synthforge.prediction.predictor import Predictor

BATCH = 25
#: of the 478 points
IRISES = slice(468, 478)
CORNERS = POINT_SCHEMAS["ibug68"].eye_corners


def renders(model: FaceModel, folder: Path) -> dict[str, Any]:
    """Figures on rendered faces, crops around their own boxes, answered as `predict` does in one pass."""
    tasks = {name: task for name, task in model.tasks.items() if task.on_request}
    dataset = ShardDataset(folder, fields=["landmarks2d", *needed_fields(tasks.values(), read_manifest(folder))])
    faces, plans, members = synthetic_faces(dataset, tasks, where=str(folder))
    size = model.size_of("mesh")
    cut = CropDataset(faces, plans, size, FramingConfig(crop_scale=model.crop_scale))
    batches = [[(0, i) for i in range(a, min(a + BATCH, len(cut)))] for a in range(0, len(cut), BATCH)]
    mean, rows = Mean(), []
    with progress_bar("renders", len(cut), unit="faces") as advance:
        for batch in make_loader(cut, batches, workers=0):
            images, targets = prepare(batch, plans, size, torch.device("cpu"))
            wanted = task_targets(targets, members)
            found = model.predict(images, tasks=[*tasks, "keypoints"])
            for name, task in tasks.items():
                mean.add(task.metrics(found[name], wanted[name]), f"{name}/")
            rows.append(_mesh_rows(found, wanted["mesh"]))
            advance(len(images))
    part = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
    figures: dict[str, Any] = {name: round(value, 3) for name, value in mean.result().items()}
    figures["faces"] = len(cut)
    within = (part["error"] < part["sigma"]).mean((0, 1))
    figures["within_sigma_by_coordinate"] = dict(zip("xyXYZ", (100 * within).round(1).tolist(), strict=True))
    seen, score = part["visible"], part["score"]
    figures["auc_hidden"] = auc(score.ravel(), seen.ravel())
    areas = [auc(b, a) for a, b in zip(seen, score, strict=True) if 0 < a.sum() < len(a)]
    figures["auc_hidden_within_faces"] = float(np.mean(areas))
    figures["hidden"] = float(1 - seen.mean())
    for name, columns in (("place", slice(0, 2)), ("space", slice(2, 5))):
        sigma, error = part["sigma"][..., columns].mean((1, 2)), part["error"][..., columns].mean((1, 2))
        figures[f"spearman_{name}"] = float(spearmanr(sigma, error)[0])
    return figures | {key: float(values.mean()) for key, values in part.items() if ":" in key}


def directions(model: FaceModel, folder: Path, task: str = "gaze") -> dict[str, float]:
    """The mean angle between answered and true vectors of rendered faces, degrees, with and without the second look."""
    dataset = ShardDataset(folder, fields=["image", "landmarks2d", *model.tasks[task].fields])
    errors: dict[str, list[float]] = {"first look": [], "second look": []}
    predictors = [Predictor(model, tasks=[task], passes=1, second_look=again) for again in (False, True)]
    with progress_bar(task, len(dataset), unit="faces") as advance:
        for first in range(0, len(dataset), BATCH):
            samples = [dataset[i] for i in range(first, min(first + BATCH, len(dataset)))]
            images, boxes = [s["image"] for s in samples], [crops.tight_box(s["landmarks2d"]) for s in samples]
            for kept, predictor in zip(errors.values(), predictors, strict=True):
                for face, sample in zip(predictor.faces(images, boxes), samples, strict=True):
                    cosine = (face.values[task] * sample[model.tasks[task].fields[0]]).sum(-1)
                    kept.append(float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()))
            advance(len(samples))
    return {f"{task}, {look}, degrees": float(np.mean(kept)) for look, kept in errors.items()}


def _mesh_rows(found: Any, wanted: Any) -> dict[str, np.ndarray]:
    answer = found["mesh"]["mesh"].double().numpy()
    truth = torch.cat([wanted["points"], wanted["space"]], -1).double().numpy()
    a, b = POINT_SCHEMAS["mediapipe478"].eye_corners
    eyes = np.linalg.norm(truth[:, a, :2] - truth[:, b, :2], axis=-1)
    points = found["keypoints"]["points"].double().numpy()
    fitted = np.stack([point_mapping("ibug68", "mediapipe478").translate(each) for each in points])
    rows = {
        "error": np.abs(answer[..., :5] - truth),
        "sigma": np.exp(answer[..., 5:10]),
        "score": answer[..., 10],
        "visible": wanted["visible"].numpy(),
    }
    both = np.stack([joined(head, mesh) for head, mesh in zip(fitted, answer, strict=True)])
    for name, given in (("mesh", in_space(answer)), ("fitted head", fitted), ("both", both)):
        off = 100 * (given[..., :2] - truth[..., :2]) / eyes[:, None, None]
        flat = np.linalg.norm(off, axis=-1)
        rows |= {f"{name}: NME": flat.mean(1), f"{name}: NME of irises": flat[:, IRISES].mean(1)}
        rows[f"{name}: error of z, %"] = np.abs(_depth(given, eyes) - _depth(in_space(truth), eyes)).mean(1)
    return rows


def _depth(points: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    return 100 * (points[..., 2] - points[..., 2].mean(1, keepdims=True)) / eyes[:, None]


def in_space(numbers: np.ndarray) -> np.ndarray:
    """x, y and z (B,478,3) in one unit, z from metres at the scale of x and y; numbers (B,478,5+) as of the task."""
    return np.concatenate([numbers[..., :2], depth_in_pixels(numbers)[..., None]], -1)


def photographs(model: FaceModel, folder: Path, count: int, pictures: Path | None) -> dict[str, Any]:
    """Figures on annotated training photographs of 300W, two passes as `predict` does."""
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(folder)}, where="--photographs")
    items = benchmark.items("all-train")
    items = items[:: max(1, len(items) // count)][:count]
    predictor = Predictor(model, tasks=["keypoints", "mesh"])
    rows = []
    with progress_bar("photographs", len(items), unit="faces") as advance:
        for item in items:
            sample = benchmark.load(item)
            (face,) = predictor(sample.image, [sample.box])
            eyes = np.linalg.norm(sample.target[CORNERS[0]] - sample.target[CORNERS[1]])
            mesh = face.values["mesh"]
            fitted = face.points_as("mediapipe478")
            points = [face.points, *map(as_ibug, (mesh, fitted))]
            off = [100 * np.linalg.norm(p - sample.target, axis=1) / eyes for p in points]
            rows.append([100 * mesh[:, 5:7].mean() / eyes, *(part.mean() for o in off for part in (o, o[17:]))])
            if pictures is not None and len(rows) <= 12:
                crops_of(face, pictures / f"{len(rows):02d}.png")
            advance(1)
    sigma, *errors = np.array(rows).T
    names = [f"{of}{part}" for of in ("keypoints", "mesh", "fitted head") for part in ("", ", without the jaw")]
    figures: dict[str, Any] = {"faces": len(rows), "mean sigma, %": float(sigma.mean())}
    for name, error in zip(names, errors, strict=True):
        figures[f"NME of {name}"] = float(error.mean())
        figures[f"Spearman of sigma and the error of {name}"] = float(spearmanr(sigma, error)[0])
    return figures


def as_ibug(mesh: np.ndarray) -> np.ndarray:
    """Points (478,2+) as those of iBUG (68,2)."""
    right, left = (along(mesh[list(half), :2], 9) for half in OUTLINE)
    return np.concatenate([right, left[1:], mesh[list(INNER), :2]])


def crops_of(face: Any, path: Path) -> None:
    """The face at 512 pixels with its points: as drawn, and circles of one standard deviation, hidden ones red."""
    from PIL import Image, ImageDraw

    task, value = face.tasks["mesh"], face.values["mesh"]
    seen, frame = crops.crop(face.image, face.crop, 512)[0], face.frame(512)
    drawn = Image.fromarray(task.draw(seen, frame, value, face.schemas["mesh"]))
    circles = Image.fromarray(seen)
    pen, scale = ImageDraw.Draw(circles), float(frame.matrix[0, 0])
    for row in value:
        x, y = frame.matrix[:, :2] @ row[:2] + frame.matrix[:, 2]
        r = scale * row[5:7]
        pen.ellipse((x - r[0], y - r[1], x + r[0], y + r[1]), outline=(60, 255, 60) if row[10] > 0.5 else (255, 60, 60))
    both = Image.new("RGB", (1024, 512))
    both.paste(drawn, (0, 0))
    both.paste(circles, (512, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    both.save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, score, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a model folder or a shipped name, with the task mesh")
    parser.add_argument("--renders", type=Path, help="a dataset")
    parser.add_argument("--photographs", type=Path, help="a folder of 300W")
    parser.add_argument("--count", type=int, default=600, help="of photographs")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the first photographs")
    parser.add_argument("--json", type=Path, dest="json_file", help="write the figures here as well")
    options = parser.parse_args(arguments)
    model = load_model(find_model(options.model))
    figures: dict[str, Any] = {}
    if options.renders:
        figures["renders"] = renders(model, options.renders) | directions(model, options.renders)
    if options.photographs:
        figures["photographs"] = photographs(model, options.photographs, options.count, options.pictures)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json_file:
        options.json_file.write_text(text + "\n")


if __name__ == "__main__":
    main()
