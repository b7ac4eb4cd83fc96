"""How many annotated faces of photographs each detector finds, and how many other boxes it draws.

    python perf/faces_found.py DIR                           DIR: 300W's folder; training photographs, uncropped
    python perf/faces_found.py DIR --turn 30 --sheet sheet.jpg
    python perf/faces_found.py --crowds runs/crowds/held     rendered crowds, by yaw, roll and size of the face

A face is found when a calibrated box overlaps the tight box of its landmarks by an IoU of 0.5. A box that overlaps it
by less than 0.3 is another one. Photographs show faces that nobody annotated: `confirmed` are those other boxes that
overlap a box of one more detector, `alone` the rest. --sheet draws these, for eyes to judge. Time is of a whole call,
on one thread.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from PIL import Image, ImageDraw

from synthforge.core.frames import Box, apply
from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.datasets.crops import tight_box
from synthforge.datasets.reader import ShardDataset
from synthforge.evaluation.boxes import overlap
from synthforge.prediction.detectors import DETECTORS, find_faces, is_installed, to_crop_box

FOUND, OTHER = 0.5, 0.3
#: of a rendered face's landmarks: one that shows fewer is not counted, than the second is not looked for
SEEN, HIDDEN = 0.36, 0.1
BINS = {"yaw": (0, 30, 60, 90, 120), "roll": (0, 15, 30, 60, 180), "side": (8, 16, 24, 48, 96, 400)}


class Picture(NamedTuple):
    """A picture, its faces' landmarks (68,2), boxes of faces that are not counted, and yaw, roll, side of each face."""

    key: str
    image: np.ndarray
    faces: list[np.ndarray]
    ignored: list[Box]
    facts: list[dict[str, float]]


def photographs(
    root: Path, subsets: Sequence[str], turn: float, count: int
) -> tuple[int, Callable[[], Iterator[Picture]]]:
    """Training photographs of 300W, each turned by so many degrees about its middle."""
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(root)}, where="perf")
    items = [i for i in benchmark.items("all-train") if not subsets or i.key.startswith(tuple(subsets))]
    items = items[:: max(1, len(items) // count)] if count else items

    def each() -> Iterator[Picture]:
        for item in items:
            sample = benchmark.load(item)
            image, points = turned(sample.image, np.asarray(sample.target, float), turn)
            yield Picture(item.key, image, [points], [], [{}])

    return len(items), each


def turned(image: np.ndarray, points: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """A photograph on a larger canvas, turned clockwise about its middle, and its points."""
    if not degrees:
        return image, points
    turn = Image.fromarray(image).rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 128, 128))
    angle, half = np.radians(degrees), np.array(image.shape[1::-1]) / 2
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = np.array(turn.size) / 2 - matrix @ half
    return np.asarray(turn), apply(np.column_stack([matrix, offset]), points)


def crowds(folder: Path, count: int) -> tuple[int, Callable[[], Iterator[Picture]]]:
    """Rendered pictures with the labels of the annotator `people`."""
    data = ShardDataset(folder, fields=["image", "people"])
    chosen = range(len(data))[: count or None]

    def each() -> Iterator[Picture]:
        for index in chosen:
            sample = data[index]
            faces, ignored, facts = [], [], []
            for person in sample["people"]:
                points, share = np.array(person["landmarks2d"]), np.mean(person["landmark_visibility"])
                if share < SEEN:
                    ignored += [tight_box(points)] if share >= HIDDEN else []
                    continue
                faces.append(points)
                angles = {name: abs(person["head_angles"][name]) for name in ("yaw", "roll")}
                facts.append({**angles, "side": float(np.ptp(points, axis=0).max())})
            yield Picture(sample["__key__"], sample["image"], faces, ignored, facts)

    return len(chosen), each


def measure(
    title: str, count: int, pictures: Iterator[Picture], names: Sequence[str]
) -> tuple[dict[str, Any], list[Any]]:
    """Figures of each detector, and the other boxes that it alone drew, as (detector, score, picture, box)."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    alone, spent = [], dict.fromkeys(names, 0.0)
    with progress_bar(title, count, unit="pictures") as advance:
        for picture in pictures:
            truth, drawn = [tight_box(points) for points in picture.faces], {}
            for name in names:
                start = time.perf_counter()
                found = find_faces(picture.image, name)
                spent[name] += time.perf_counter() - start
                drawn[name] = [(to_crop_box(each.box, name), each.score) for each in found]
            for name, own in drawn.items():
                known = truth + picture.ignored
                other = [(b, s) for b, s in own if all(overlap(b, t) < OTHER for t in known)]
                theirs = [b for n, boxes in drawn.items() if n != name for b, _ in boxes]
                for box, score in other:
                    confirmed = any(overlap(box, b) >= OTHER for b in theirs)
                    rows[name].append({"other": True, "confirmed": confirmed, "score": score})
                    if not confirmed:
                        alone.append((name, score, picture, box))
                for box, facts in zip(truth, picture.facts, strict=True):
                    best = max(own, key=lambda each: overlap(box, each[0]), default=None)
                    iou = overlap(box, best[0]) if best else 0.0
                    score = max((s or 0.0 for b, s in own if overlap(box, b) >= FOUND), default=None)
                    rows[name].append({"other": False, "iou": iou, "score": score, **facts})
            advance(1)
    return {name: figures(rows[name], count, 1000 * spent[name] / max(1, count)) for name in names}, alone


def figures(rows: list[dict[str, Any]], pictures: int, milliseconds: float) -> dict[str, Any]:
    """Plain data of one detector."""
    faces, others = ([r for r in rows if r["other"] is other] for other in (False, True))
    found = [r["iou"] >= FOUND for r in faces]
    result: dict[str, Any] = {
        "faces": len(faces),
        "found": float(np.mean(found)),
        "mean IoU": float(np.mean([r["iou"] for r in faces if r["iou"] >= FOUND])) if any(found) else None,
        "other": len(others) / pictures,
        "alone": sum(not r["confirmed"] for r in others) / pictures,
        "ms": milliseconds,
    }
    for name, edges in BINS.items():
        for low, high in itertools.pairwise(edges):
            inside = [r["iou"] >= FOUND for r in faces if name in r and low <= r[name] < high]
            if inside:
                result[f"{name} {low}-{high}"] = [float(np.mean(inside)), len(inside)]
    result["scores"] = {
        "found": sorted(r["score"] or 0.0 for r in faces if r["iou"] >= FOUND),
        "alone": sorted(r["score"] or 0.0 for r in others if not r["confirmed"]),
        "other": sorted(r["score"] or 0.0 for r in others),
    }
    return result


def sheet(path: Path, boxes: list[Any], names: Sequence[str], least: int = 24) -> None:
    """Other boxes that one detector alone drew, a row of the surest for each."""
    tile = 128
    canvas = Image.new("RGB", (tile * 12, (tile + 14) * 2 * len(names)))
    pen = ImageDraw.Draw(canvas)
    for row, name in enumerate(names):
        own = sorted((each for each in boxes if each[0] == name), key=lambda each: -(each[1] or 0))[:least]
        for i, (_, score, picture, box) in enumerate(own):
            x0, y0, x1, y1 = box
            room = 0.5 * max(x1 - x0, y1 - y0)
            cut = Image.fromarray(picture.image).crop(
                (round(x0 - room), round(y0 - room), round(x1 + room), round(y1 + room))
            )
            x, y = i % 12 * tile, (2 * row + i // 12) * (tile + 14)
            canvas.paste(cut.resize((tile, tile)), (x, y + 14))
            pen.rectangle(
                (x + tile / 4, y + 14 + tile / 4, x + 3 * tile / 4, y + 14 + 3 * tile / 4), outline=(0, 255, 0)
            )
            pen.text((x + 2, y), f"{name} {score or 0:.2f}", fill=(255, 255, 255))
    canvas.save(path)


def show(title: str, found: dict[str, Any]) -> None:
    """A table; and for detectors that give scores, the same at other least scores."""
    print(f"\n{title}")
    print(f"  {'':14}{'found, %':>10}{'mean IoU':>10}{'other':>10}{'alone':>10}{'ms':>10}   boxes: a picture")
    for name, f in found.items():
        print(
            f"  {name:14}{100 * f['found']:>10.2f}{f['mean IoU'] or 0:>10.3f}{f['other']:>10.3f}"
            f"{f['alone']:>10.3f}{f['ms']:>10.1f}"
        )
    names = [key for key in next(iter(found.values())) if key.split()[0] in BINS]
    for key in names:
        cells = [f"{name} {100 * f[key][0]:.1f}" for name, f in found.items() if key in f]
        print(f"  {key:14} found, %: {', '.join(cells)} ({next(iter(found.values()))[key][1]} faces)")


def by_score(found: dict[str, Any], pictures: int) -> None:
    """What other least scores would leave."""
    for name, f in found.items():
        scores = {kind: np.array(values) for kind, values in f["scores"].items()}
        print(f"  {name}: least score, found %, other, alone a picture")
        for least in np.unique(np.quantile(scores["found"], [0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2])):
            rate = 100 * (scores["found"] >= least).sum() / f["faces"]
            rest = [f"{(scores[kind] >= least).sum() / pictures:.3f}" for kind in ("other", "alone")]
            print(f"    {least:8.3f} {rate:8.2f} {rest[0]:>8} {rest[1]:>8}")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, help="300W's folder")
    parser.add_argument("--crowds", type=Path, help="a dataset with the annotator `people` instead")
    parser.add_argument("--subsets", default="", help="of 300W, comma-separated: afw, helen, lfpw [default: all]")
    parser.add_argument("--count", type=int, default=0, help="pictures, spread evenly [default: all]")
    parser.add_argument("--turn", type=float, default=0.0, help="turn each photograph so far, degrees clockwise")
    parser.add_argument(
        "--detectors", default=",".join(n for n, d in DETECTORS.items() if d.calibration and is_installed(n))
    )
    parser.add_argument("--scores", action="store_true", help="what other least scores would leave")
    parser.add_argument("--sheet", type=Path, help="draw the boxes that one detector alone drew")
    parser.add_argument("--json", type=Path, dest="json_file", help="write the figures here as well")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    names = [name for name in options.detectors.split(",") if name]
    subsets = [name for name in options.subsets.split(",") if name]
    if options.crowds is not None:
        count, pictures = crowds(options.crowds, options.count)
    elif options.root is not None:
        count, pictures = photographs(options.root, subsets, options.turn, options.count)
    else:
        parser.error("300W's folder or --crowds is needed")
    title = f"{count} pictures of {options.crowds or options.root} {' '.join(subsets)}, turned {options.turn:g} degrees"
    found, alone = measure(title, count, pictures(), names)
    show(title, found)
    if options.scores:
        by_score(found, count)
    if options.sheet is not None:
        sheet(options.sheet, alone, names)
    if options.json_file is not None:
        options.json_file.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
