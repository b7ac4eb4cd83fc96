"""Where a model's landmarks part from annotated ones as heads turn and nod: slopes that mean differences hide.

    python studies/pose_bias.py models/face DIR --count 1400          DIR: a folder of 300W (afw/, helen/, lfpw/)

On training faces of 300W (split `train`: none of its validation faces). For each point of the right half of the face,
left ones counted as their mirror images: the mean of annotation minus prediction after the shift common to all points.
Then its slope over the sines of yaw and pitch, as millimetres by which the point seems to lie too far back. Millimetres
take the outer eye corners as 85.5 mm apart. For the jaw: mean distance along and across the annotated contour, % of the
distance of the outer eye corners. Last the principal components of all differences.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge_plugins.schemas import IBUG68

from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.datasets.crops import tight_box
from synthforge.learning.model import FaceModel, load_model
from synthforge.prediction.predictor import Predictor

MM = 0.855  # a hundredth of the distance of the outer eye corners, as marked
TIP = 50.0  # the nose's tip before the outer eye corners, in the same hundredths: turns its offset into a sine


def main() -> None:
    """Parse the command line, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("root", type=Path, help="300W's folder")
    parser.add_argument("--count", type=int, default=1400, help="faces, drawn with seed 0")
    options = parser.parse_args()
    found, marked = points(load_model(options.model), options.root, options.count)
    slopes(found, marked)
    jaw(found, marked)
    modes(found, marked)


def points(model: FaceModel, root: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and annotated points (N,68,2) in pixels of the photographs."""
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(root)}, where="perf")
    items = benchmark.items("train")
    found, marked = [], []
    predictor = Predictor(model, tasks=["keypoints"], passes=1)
    with progress_bar("predict", min(count, len(items)), unit="faces") as advance:
        for index in np.random.default_rng(0).permutation(len(items))[:count]:
            sample = benchmark.load(items[index])
            truth = np.asarray(sample.target, float)
            face = predictor(sample.image, [tight_box(truth)])[0]
            found.append(face.points)
            marked.append(truth)
            advance(1)
    return np.array(found), np.array(marked)


def slopes(found: np.ndarray, marked: np.ndarray) -> None:
    """Print means and slopes by point."""
    right, left = IBUG68.eye_corners
    axis = found[:, left] - found[:, right]
    unit = np.linalg.norm(axis, axis=1, keepdims=True)
    x = axis / unit
    frame = np.stack([x, np.stack([-x[:, 1], x[:, 0]], axis=1)], axis=1) / unit[..., None] * 100
    middle = (found[:, right] + found[:, left])[:, None] / 2
    seen, off = ((a @ frame.transpose(0, 2, 1)) for a in (found - middle, marked - found))
    off = off - off.mean((0, 1))
    order = list(IBUG68.mirror)
    seen, off = (np.concatenate([a, a[:, order] * [-1, 1]]) for a in (seen, off))
    yaw, pitch = seen[:, 30, 0] / TIP, (seen[:, 30, 1] - seen[:, 30, 1].mean()) / TIP
    near = np.abs(yaw) < 0.6
    columns = np.stack([np.ones(near.sum()), yaw[near], pitch[near], yaw[near] ** 2], axis=1)
    rows = off[near].reshape(len(columns), -1)
    fitted = np.linalg.lstsq(columns, rows, rcond=None)[0]
    mean, by_yaw, by_pitch, _ = fitted
    print("point   mean right, down, mm   too far back by yaw, by pitch, mm")
    for index in (i for i in range(68) if i <= order[i]):
        (x_mean, y_mean), back = mean[2 * index : 2 * index + 2], (by_yaw[2 * index], by_pitch[2 * index + 1])
        told = f"{MM * x_mean:+5.2f} {MM * y_mean:+5.2f}            {MM * back[0]:+5.1f} {MM * back[1]:+5.1f}"
        print(f"{index:5d}   {told}")
    errors = (np.linalg.norm(each.reshape(-1, 2), axis=1).mean() for each in (rows, rows - columns @ fitted))
    print("NME after the common shift {:.2f} %, after all of these means and slopes {:.2f} %".format(*errors))


def jaw(found: np.ndarray, marked: np.ndarray) -> None:
    """Print how far jaw points lie along and across the annotated line."""
    line = marked[:, :17]
    along = np.gradient(line, axis=1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    unit = np.linalg.norm(np.subtract(*(marked[:, i] for i in IBUG68.eye_corners)), axis=1)
    off = 100 * (found[:, :17] - line) / unit[:, None, None]
    inwards = off[..., 0] * along[..., 1] - off[..., 1] * along[..., 0]
    print(f"jaw: along {np.abs((off * along).sum(-1)).mean():.2f}, across {np.abs(inwards).mean():.2f} %", end="")
    print(f"; inside at the angles (3, 4, 12, 13) by {inwards[:, [3, 4, 12, 13]].mean():.2f} %")


def modes(found: np.ndarray, marked: np.ndarray) -> None:
    """Print the principal components of the differences: what share of their variance, and of it at the jaw."""
    unit = np.linalg.norm(np.subtract(*(marked[:, i] for i in IBUG68.eye_corners)), axis=1)
    off = ((marked - found) / unit[:, None, None]).reshape(len(found), -1)
    _, size, rows = np.linalg.svd(off - off.mean(0), full_matrices=False)
    shares = 100 * size**2 / (size**2).sum()
    at_jaw = 100 * (rows.reshape(len(rows), 68, 2)[:, :17] ** 2).sum((1, 2))
    told = ", ".join(f"{share:.1f} ({jaw:.0f})" for share, jaw in zip(shares[:4], at_jaw[:4], strict=True))
    print(f"principal components, % of the variance (of it at the jaw): {told}")


if __name__ == "__main__":
    main()
