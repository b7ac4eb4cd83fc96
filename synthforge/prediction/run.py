"""Many photographs through a model, into a folder: for each a picture, a JSON record, a label map and depth.

    NAME.json           what was found, and of what (see docs/predict.md); written last, so it stands for the others
    NAME.overlay.jpg    for people
    NAME.labels.png     class ids (H,W), a palette image: the ids are the pixel values
    NAME.depth.npz      depth_0, depth_1, ...: (h,w) float32 over each face's `region`

A record whose photograph, model, boxes and options are the same is kept; what no longer fits is set aside in
`.previous/`; a file that this command did not write stops its photograph, not the others.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from .. import __version__
from ..core.errors import DataError, UserError
from ..core.files import write_bytes, write_json
from ..core.plugins import Plugins
from ..core.progress import progress_bar
from ..core.provenance import PREVIOUS, digest
from ..core.schemas import CLASS_SCHEMAS
from ..datasets import drawing
from ..datasets.crops import Box
from ..learning.model import FaceModel, load_model, model_digest
from .boxes import read_boxes
from .detectors import WORKING_SIDE, detect_faces, find_detector, to_crop_box
from .faces import Face, predict_faces
from .overlay import draw
from .photographs import Photograph, decode, read_bytes

FORMAT = "synthforge-prediction-1"
# Everything this command may write for one photograph, behind its name.
OUTPUTS = (".json", ".overlay.jpg", ".overlay.png", ".labels.png", ".depth.npz")
#: boxes given by a user that are tight boxes of the landmarks already
LANDMARKS = "landmarks"


@dataclass(frozen=True)
class Options:
    """What is asked of every photograph.

    detector: finds the faces where no boxes are given. boxes_of: what given boxes are: `landmarks`, tight around the 68
    points, or a detector's name, whose calibration then applies. tasks: None is all. overlay: `jpg`, `png` or `none`.
    input_size: pixels of a crop, 0 for those the model was trained on. flip: the mean with the mirrored crop for every
    task or for none, None: as the model says.
    """

    detector: str = "dlib"
    boxes_of: str = LANDMARKS
    passes: int = 2
    tasks: tuple[str, ...] | None = None
    overlay: str = "jpg"
    input_size: int = 0
    flip: bool | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one photograph: `done`, `kept` from an earlier call, or `failed` with the reason."""

    file: Path
    status: Literal["done", "kept", "failed"]
    faces: int = 0
    record: Path | None = None
    error: str = ""


@dataclass(frozen=True)
class _Ready:
    """A photograph read and its faces located; `image` is None where an earlier result still holds."""

    photograph: Photograph
    facts: Mapping[str, Any]
    image: np.ndarray | None = None
    boxes: Sequence[tuple[Box, Box]] = ()
    kept: int = 0


def predict_photographs(
    folder: Path,
    photographs: Sequence[Photograph],
    out: Path,
    options: Options = Options(),
    *,
    boxes: Path | None = None,
    plugins: Plugins | None = None,
    progress: bool = True,
) -> list[Outcome]:
    """Predict every photograph with the model in `folder` and write the results into `out`; outcomes in order.

    A photograph that cannot be read or written does not stop the others. Raises UserError and DataError for what
    concerns all of them: the model, a task it lacks, a missing detector, the list of boxes.
    """
    given = read_boxes(boxes, [p.path for p in photographs]).found if boxes is not None else None
    source = options.detector if given is None else options.boxes_of
    if source != LANDMARKS:
        find_detector(source)
    if given is None:
        detect_faces(np.zeros((80, 80, 3), np.uint8), options.detector)  # a missing package is said before any work
    model = load_model(folder, plugins=plugins, input_size=options.input_size)
    tasks = tuple(model.tasks) if options.tasks is None else options.tasks
    passes = options.passes if "keypoints" in model.tasks else 1
    predict_faces(model, np.zeros((8, 8, 3), np.uint8), [], tasks=tasks, passes=passes)  # a wrong task likewise
    job = _Job(folder, model, out, options, given, source, tasks, passes)
    outcomes = []
    with progress_bar("predict", len(photographs), unit="images", shown=progress) as advance:
        for photograph, waiting in _ahead(job.prepare, photographs):
            outcomes.append(job.finish(photograph, waiting))
            advance(1)
    return outcomes


def _ahead(
    prepare: Callable[[Photograph], _Ready], photographs: Sequence[Photograph]
) -> Iterator[tuple[Photograph, Future[_Ready]]]:
    """Each photograph with its preparation, which runs two photographs ahead in another thread."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting: list[Future[_Ready]] = []
        try:
            for i, photograph in enumerate(photographs):
                waiting += [pool.submit(prepare, p) for p in photographs[i + len(waiting) : i + 3]]
                yield photograph, waiting.pop(0)
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Job:
    folder: Path
    model: FaceModel
    out: Path
    options: Options
    given: Mapping[Path, Sequence[Box]] | None
    source: str
    tasks: Sequence[str]
    passes: int
    model_facts: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.model_facts = {
            "name": self.folder.name,
            "sha256": model_digest(self.folder),
            "input_size": self.model.input_size,
            "crop_scale": self.model.crop_scale,
            "mirrored": [task for task in self.model.tasks if self.model.mirrors(task, self.options.flip)],
            "schemas": {task: self.model.schema(task) for task in self.tasks},
        }

    def prepare(self, photograph: Photograph) -> _Ready:
        """Read a photograph and find its faces, unless an earlier record says the same was done."""
        data = read_bytes(photograph.path)
        facts = {
            "format": FORMAT,
            "version": __version__,
            "model": self.model_facts,
            "image": {"file": str(photograph.path), "sha256": hashlib.sha256(data).hexdigest()},
            "boxes": self._boxes_facts(photograph),
            "passes": self.passes,
            "tasks": list(self.tasks),
            "overlay": self.options.overlay,
        }
        record = self._record(photograph)
        if record is not None and record.get("fingerprint") == _fingerprint(facts) and self._complete(record):
            return _Ready(photograph, facts, kept=len(record["faces"]))
        image = decode(data, photograph.path)
        boxes = self.given[photograph.path] if self.given is not None else detect_faces(image, self.source)
        pairs = [(box, box if self.source == LANDMARKS else to_crop_box(box, self.source)) for box in boxes]
        return _Ready(photograph, facts, image, pairs)

    def _boxes_facts(self, photograph: Photograph) -> dict[str, Any]:
        facts: dict[str, Any] = {"from": "list" if self.given is not None else "detector", "of": self.source}
        if self.source != LANDMARKS:
            c = find_detector(self.source).calibration
            facts["calibration"] = {"down": c.down, "scale": c.scale}
        if self.given is not None:
            facts["given"] = [list(box) for box in self.given[photograph.path]]
        else:
            facts["working_side"] = WORKING_SIDE
        return facts

    def finish(self, photograph: Photograph, waiting: Future[_Ready]) -> Outcome:
        """Predict and write what `prepare` made ready; a user's error becomes the outcome."""
        record = self._path(photograph, ".json")
        try:
            ready = waiting.result()
            if ready.image is None:
                return Outcome(photograph.path, "kept", ready.kept, record)
            faces = predict_faces(
                self.model,
                ready.image,
                [box for _, box in ready.boxes],
                tasks=self.tasks,
                passes=self.passes,
                flip=self.options.flip,
            )
            self._write(ready, faces)
            return Outcome(photograph.path, "done", len(faces), record)
        except UserError as error:
            named = error.message if str(photograph.path) in error.message else f"{photograph.path}: {error.message}"
            return Outcome(photograph.path, "failed", error=named)

    def _write(self, ready: _Ready, faces: Sequence[Face]) -> None:
        assert ready.image is not None
        files: dict[str, bytes] = {}
        schemas = self.model_facts["schemas"]
        if self.options.overlay != "none":
            picture = draw(
                ready.image, faces, points=schemas.get("keypoints", ""), classes=schemas.get("segmentation", "")
            )
            kind, options = ("JPEG", {"quality": 90}) if self.options.overlay == "jpg" else ("PNG", {})
            files[f".overlay.{self.options.overlay}"] = drawing.encoded(picture, kind, **options)
        if "segmentation" in self.tasks:
            label = Image.fromarray(merge_labels(faces, ready.image.shape[:2]))
            label.putpalette(drawing.palette(schemas["segmentation"]).tobytes())
            files[".labels.png"] = drawing.encoded(label, "PNG")
        if "depth" in self.tasks:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **{f"depth_{i}": face.depth for i, face in enumerate(faces)})  # type: ignore[arg-type]
            files[".depth.npz"] = buffer.getvalue()
        self._make_room(ready.photograph)
        for suffix, data in files.items():
            write_bytes(self._path(ready.photograph, suffix), data)
        height, width = ready.image.shape[:2]
        record = {
            **ready.facts,
            "fingerprint": _fingerprint(ready.facts),
            "image": {**ready.facts["image"], "width": width, "height": height},
            "faces": [
                _face_record(face, given, schemas, i)
                for i, (face, (given, _)) in enumerate(zip(faces, ready.boxes, strict=True))
            ],
            "files": {suffix.split(".")[1]: ready.photograph.name + suffix for suffix in files},
        }
        write_json(self._path(ready.photograph, ".json"), record)

    def _path(self, photograph: Photograph, suffix: str) -> Path:
        return self.out / (photograph.name + suffix)

    def _record(self, photograph: Photograph) -> dict[str, Any] | None:
        """An earlier record; None where there is none. Raises DataError for a file that is no record of ours."""
        path = self._path(photograph, ".json")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(record, dict) and record.get("format") == FORMAT:
                return record
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            pass
        raise DataError(f"{path} is there and no record of predict", hint="Choose another --out, or move it away.")

    def _complete(self, record: Mapping[str, Any]) -> bool:
        return all((self.out / name).is_file() for name in record.get("files", {}).values())

    def _make_room(self, photograph: Photograph) -> None:
        """Set aside what an earlier call wrote under this name."""
        for path in (self._path(photograph, suffix) for suffix in OUTPUTS):
            if path.is_file():
                previous = self.out / PREVIOUS
                previous.mkdir(parents=True, exist_ok=True)
                os.replace(path, previous / path.name)


def _face_record(face: Face, given: Box, schemas: Mapping[str, str], index: int) -> dict[str, Any]:
    """A face as its JSON record tells it; every coordinate in pixels of the upright photograph."""
    record: dict[str, Any] = {
        "box": _rounded(given),
        "landmarks_box": _rounded(face.box),
        "crop": _rounded(face.crop),
        "region": list(face.region),
    }
    if face.points is not None:
        record["landmarks"] = {"schema": schemas["keypoints"], "points": [_rounded(p) for p in face.points]}
    if face.labels is not None:
        schema = schemas["segmentation"]
        counts = np.bincount(face.labels.ravel(), minlength=1)
        known = CLASS_SCHEMAS[schema].classes if schema in CLASS_SCHEMAS else ()
        record["classes"] = {
            "schema": schema,
            "shares": {
                (known[i] if i < len(known) else str(i)): round(float(n) / face.labels.size, 6)
                for i, n in enumerate(counts)
                if n
            },
        }
    if face.depth is not None:
        record["depth"] = {"array": f"depth_{index}", "unit": "m"}
    return record


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]


def merge_labels(faces: Sequence[Face], shape: tuple[int, int]) -> np.ndarray:
    """One label map (H,W) uint8 of a photograph; where faces' crops meet, the nearer crop's class that is not
    background decides, distances counted from the crops' centres in their own sides."""
    merged = np.zeros(shape, np.uint8)
    nearest = np.full(shape, np.inf, np.float32) if len(faces) > 1 else None
    for face in faces:
        if face.labels is None:
            continue
        left, top, right, bottom = face.region
        window = np.s_[top:bottom, left:right]
        if nearest is None:
            merged[window] = face.labels
            continue
        x0, y0, x1, y1 = face.crop
        x = (np.arange(left, right) + 0.5 - (x0 + x1) / 2) / (x1 - x0)
        y = (np.arange(top, bottom) + 0.5 - (y0 + y1) / 2) / (y1 - y0)
        distance = np.hypot(x[None], y[:, None]).astype(np.float32)
        wins = (face.labels != 0) & (distance < nearest[window])
        merged[window][wins] = face.labels[wins]
        nearest[window][wins] = distance[wins]
    return merged


def _fingerprint(facts: Mapping[str, Any]) -> str:
    return digest(facts)[:16]


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The outcomes as plain data, for JSON."""
    return {
        "images": [
            {
                "file": str(o.file),
                "status": o.status,
                "faces": o.faces,
                "record": str(o.record) if o.record is not None else None,
                "error": o.error or None,
            }
            for o in outcomes
        ]
    }


def check(outcomes: Sequence[Outcome]) -> None:
    """Raise DataError naming every photograph that failed; nothing when none did."""
    failed = [o for o in outcomes if o.status == "failed"]
    if failed:
        shown = "\n  ".join(o.error for o in failed[:20]) + ("\n  ..." if len(failed) > 20 else "")
        raise DataError(f"{len(failed)} of {len(outcomes)} photographs failed:\n  {shown}", hint="The others are done.")
