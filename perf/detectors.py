"""What independent detectors make of rendered faces: how often they find them, and where they put the points.

    python perf/detectors.py                                  60 new renders of the generator `anny`
    python perf/detectors.py runs/quickstart/dataset --count 300 --photographs DIR
    python perf/detectors.py --calibrate DIR --limit 500      the calibrations in plugins/detectors

A check, never a label. Detection rate by |yaw| (exact, from the points in space): a face is found when a calibrated box
overlaps the tight box of its landmarks by an IoU of 0.3. Points: mtcnn's five, and dlib's 68 where the package
`face_recognition_models` is there (its predictor learned from 300W's training photographs, not for commercial use; so
it is no dependency). Distances are in % of the distance of the outer eye corners: their mean and, behind it, the length
of the mean offset vector. That length is convention or bias; the rest differs from face to face. --photographs names a
folder of 300W: the same on annotated training photographs, without which the distances mean little. --clear: only
renders with hardly any hidden point on brows, eyes, nose and mouth. Detectors of whole faces miss masked ones, which
renders are meant to have.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge_plugins.detectors import MTCNN_SMALLEST
from synthforge_plugins.schemas import IBUG68

from synthforge.core.camera import Camera
from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.datasets.crops import tight_box
from synthforge.datasets.reader import ShardDataset
from synthforge.evaluation.boxes import matching
from synthforge.evaluation.pose import pose_in_space, yaw_in_image
from synthforge.prediction.detectors import DETECTORS, detect_faces, is_installed, to_crop_box

BINS = ((0, 15), (15, 30), (0, 30), (30, 45), (45, 60), (60, 91))
# A detector's five points as iBUG's: eye centres (right first), nose tip, mouth corners.
FIVE: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "eyes": (tuple(range(36, 42)), tuple(range(42, 48))),
    "nose": ((30,),),
    "mouth": ((48,), (54,)),
}


# The points within the face, and the share of them that is seen where nothing is in its way.
INNER, CLEAR = slice(17, 68), 0.95


class Known(NamedTuple):
    """A face with its 68 points in pixels, and its yaw in degrees."""

    image: np.ndarray
    points: np.ndarray
    yaw: float


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", type=Path, help="a dataset folder [default: new renders]")
    parser.add_argument("--count", type=int, default=60, help="faces, spread evenly over the dataset")
    parser.add_argument("--resolution", type=int, default=256, help="of new renders, pixels")
    parser.add_argument(
        "--detectors", default=",".join(n for n, d in DETECTORS.items() if d.calibration and is_installed(n))
    )
    parser.add_argument("--clear", action="store_true", help="only renders with nothing in the way of the face")
    parser.add_argument("--photographs", type=Path, help="300W's folder: the same on annotated training photographs")
    parser.add_argument("--calibrate", type=Path, help="300W's folder: print the calibration of each detector instead")
    parser.add_argument("--limit", type=int, default=500, help="faces for --calibrate")
    parser.add_argument("--json", type=Path, dest="json_file", help="write the figures here as well")
    options = parser.parse_args()
    names = [name for name in options.detectors.split(",") if name]
    if not names:
        print("no detector is installed: pip install 'synthforge[predict]'")
        return
    if options.calibrate is not None:
        for name in names:
            print(name, calibrate(options.calibrate, name, options.limit))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.dataset or render(Path(scratch) / "dataset", options.count, options.resolution)
        sets: dict[str, tuple[int, Callable[[], Iterable[Known]]]] = {}
        dataset = ShardDataset(folder)
        count = min(options.count, len(dataset))
        chosen = np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist()
        if options.clear:
            seen = ShardDataset(folder, fields=["landmark_visibility"])
            chosen = [i for i in chosen if np.asarray(seen[i]["landmark_visibility"])[INNER].mean() > CLEAR]
        sets["renders"] = len(chosen), lambda: renders(dataset, chosen)
        if options.photographs is not None:
            sets["photographs"] = count, lambda: photographs(options.photographs, count)
        figures = {title: measure(title, size, faces(), names) for title, (size, faces) in sets.items()}
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(figures, indent=2) + "\n")


def render(out: Path, count: int, resolution: int) -> Path:
    """A small dataset of the generator `anny` with everything on."""
    config = out.with_suffix(".yaml")
    config.write_text("seed: 5\nstages:\n  dataset: {run: generate, generator: anny, annotators: [landmarks]}\n")
    command = [sys.executable, "-m", "synthforge", "generate", config, "--samples", count, "--resolution", resolution]
    subprocess.run([*map(str, command), "--out", str(out.parent)], check=True)
    return out


def renders(dataset: ShardDataset, chosen: Sequence[int]) -> Iterator[Known]:
    """Faces of a dataset that has points in space."""
    for index in chosen:
        sample = dataset[index]
        yaw = pose_in_space(sample["landmarks3d"], Camera.from_json(sample["camera"]))["yaw"]
        yield Known(sample["image"], np.asarray(sample["landmarks2d"], float), yaw)


def photographs(root: Path, count: int) -> Iterator[Known]:
    """Annotated training faces of 300W; their yaw is estimated from the points."""
    for sample in samples(root, count):
        yield Known(sample.image, sample.target, yaw_in_image(sample.target))


def samples(root: Path, count: int) -> Iterator[Any]:
    """So many training faces of 300W, drawn with seed 0."""
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(root)}, where="perf")
    items = benchmark.items("train")
    for index in np.random.default_rng(0).permutation(len(items))[:count]:
        yield benchmark.load(items[index])


def calibrate(root: Path, name: str, limit: int) -> dict[str, float]:
    """The medians that a detector's `Calibration` holds, and how far it is off with them."""
    rows = []
    with progress_bar(f"calibrate {name}", limit, unit="faces") as advance:
        for sample in samples(root, limit):
            x0, y0, x1, y1 = sample.box
            side = max(x1 - x0, y1 - y0)
            centre = np.array([x0 + x1, y0 + y1]) / 2
            found = [np.array(box) for box in detect_faces(sample.image, name)]
            found = [b for b in found if np.linalg.norm((b[:2] + b[2:]) / 2 - centre) < 0.4 * side]
            if found:
                best = min(found, key=lambda b: float(np.linalg.norm((b[:2] + b[2:]) / 2 - centre)))
                own = float(np.sqrt(np.prod(best[2:] - best[:2])))
                rows.append((*(centre - (best[:2] + best[2:]) / 2) / own, side / own))
            advance(1)
    right, down, scale = np.median(rows, axis=0)
    off = np.array(rows)
    centre_error = np.hypot(off[:, 0], off[:, 1] - down) / off[:, 2]
    return {
        "faces": limit,
        "found": len(rows) / limit,
        "right (unused)": round(float(right), 3),
        "down": round(float(down), 3),
        "scale": round(float(scale), 3),
        "spread of centres": round(float(np.median(centre_error)), 3),
        "spread of sides": round(float(np.median(np.abs(scale / off[:, 2] - 1))), 3),
    }


def measure(title: str, count: int, faces: Iterable[Known], names: Sequence[str]) -> dict[str, Any]:
    """Detection rates by |yaw| and distances by region of one set of faces, printed and as plain data."""
    found: dict[str, list[bool]] = {name: [] for name in names}
    placers = {name: place for name, place in (("mtcnn", five_points()), ("dlib68", dlib_68())) if place is not None}
    offsets: dict[str, dict[str, list[np.ndarray]]] = {name: {} for name in placers}
    yaws = []
    # An interrupted run still says what it found so far.
    with suppress(KeyboardInterrupt), progress_bar(title, count, unit="faces") as advance:
        for face in faces:
            box = tight_box(face.points)
            hits = {}
            for name in names:
                boxes = [to_crop_box(b, name) for b in detect_faces(face.image, name)]
                hits[name] = matching(box, boxes) is not None
            yaws.append(abs(face.yaw))
            for name, hit in hits.items():
                found[name].append(hit)
            if abs(face.yaw) < 30:
                for name, place in placers.items():
                    for region, vectors in (place(face) or {}).items():
                        offsets[name].setdefault(region, []).append(vectors)
            advance(1)
    rates = {name: _rates(np.array(yaws), np.array(hits)) for name, hits in found.items()}
    distances = {
        name: {region: _distances(np.array(v)) for region, v in regions.items()} for name, regions in offsets.items()
    }
    _print(title, rates, distances)
    return {"rates": rates, "distances": distances}


def _rates(yaw: np.ndarray, hits: np.ndarray) -> dict[str, Any]:
    chosen = {f"{low}-{min(high, 90)}": (yaw >= low) & (yaw < high) for low, high in BINS}
    return {b: {"faces": int(m.sum()), "found": float(hits[m].mean()) if m.any() else None} for b, m in chosen.items()}


def _distances(vectors: np.ndarray) -> dict[str, float]:
    """vectors: (faces, points, 2), detector minus ours, in eye distances."""
    mean = vectors.mean(axis=0)
    return {
        "faces": len(vectors),
        "distance": 100 * float(np.linalg.norm(vectors, axis=-1).mean()),
        "bias": 100 * float(np.linalg.norm(mean, axis=-1).mean()),
        "right": 100 * float(mean[:, 0].mean()),
        "down": 100 * float(mean[:, 1].mean()),
    }


def _offsets(face: Known, theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    a, b = IBUG68.eye_corners
    return (theirs - ours) / np.linalg.norm(face.points[a] - face.points[b])


def five_points() -> Callable[[Known], dict[str, np.ndarray] | None] | None:
    """mtcnn's five points of the face at our box, as offsets by region."""
    if not is_installed("mtcnn"):
        return None
    import torch
    from facenet_pytorch import MTCNN
    from PIL import Image

    network = MTCNN(keep_all=True, post_process=False, min_face_size=MTCNN_SMALLEST, device="cpu")

    def place(face: Known) -> dict[str, np.ndarray] | None:
        with torch.inference_mode():
            boxes, _, points = network.detect(Image.fromarray(face.image), landmarks=True)
        if boxes is None:
            return None
        squares = [to_crop_box(tuple(map(float, box)), "mtcnn") for box in boxes]
        best = matching(tight_box(face.points), squares)
        if best is None:
            return None
        theirs = iter(np.asarray(points[squares.index(best)], float))  # an array of objects, in one release
        return {
            region: np.stack(
                [_offsets(face, next(theirs), face.points[list(members)].mean(axis=0)) for members in groups]
            )
            for region, groups in FIVE.items()
        }

    return place


def dlib_68() -> Callable[[Known], dict[str, np.ndarray] | None] | None:
    """dlib's 68 points from its own box, as offsets by region; where a package brings the file."""
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations or not is_installed("dlib"):
        return None
    import dlib

    path = Path(spec.submodule_search_locations[0]) / "models/shape_predictor_68_face_landmarks.dat"
    predictor = dlib.shape_predictor(str(path))

    def place(face: Known) -> dict[str, np.ndarray] | None:
        boxes = detect_faces(face.image, "dlib")
        squares = [to_crop_box(box, "dlib") for box in boxes]
        best = matching(tight_box(face.points), squares)
        if best is None:
            return None
        x0, y0, x1, y1 = boxes[squares.index(best)]
        box = dlib.rectangle(round(x0), round(y0), round(x1) - 1, round(y1) - 1)
        # dlib counts pixels from their centres, ours lie at i + 0.5.
        theirs = np.array([(p.x + 0.5, p.y + 0.5) for p in predictor(face.image, box).parts()])
        return {r: _offsets(face, theirs[list(m)], face.points[list(m)]) for r, m in IBUG68.regions.items()}

    return place


def _print(title: str, rates: Mapping[str, Any], distances: Mapping[str, Any]) -> None:
    bins = list(next(iter(rates.values())))
    print(f"\n{title}: found, % of faces (number of faces)")
    print(f"  {'|yaw|, degrees':16}" + "".join(f"{b:>16}" for b in bins))
    for name, row in rates.items():
        cells = [f"{100 * c['found']:.1f} ({c['faces']})" if c["faces"] else "-" for c in row.values()]
        print(f"  {name:16}" + "".join(f"{c:>16}" for c in cells))
    for name, regions in distances.items():
        print(f"{title}: {name}'s points from the known ones within +-30 degrees, % of the eye distance")
        print(f"  {'region':16}{'distance':>10}{'bias':>10}{'right':>10}{'down':>10}{'faces':>10}")
        for region, d in regions.items():
            cells = f"{d['distance']:>10.1f}{d['bias']:>10.1f}{d['right']:>10.1f}{d['down']:>10.1f}{d['faces']:>10}"
            print(f"  {region:16}{cells}")


if __name__ == "__main__":
    main()
