"""Many photographs through a model, into a folder: for each a picture, a JSON record, and the files of the tasks.

    NAME.json           what was found, and of what (see docs/predict.md); written last, so it stands for the others
    NAME.overlay.jpg    for people
    NAME.*              what tasks write (`Task.files`): label maps as `.labels.png`, depth as `.depth.npz` ...

A record whose photograph, model, boxes and options are the same is kept; what no longer fits is set aside in
`.previous/`; a file that this command did not write stops its photograph, not the others.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .. import __version__
from ..core.errors import DataError, UserError
from ..core.files import write_bytes, write_json
from ..core.plugins import Plugins
from ..core.progress import progress_bar
from ..core.provenance import PREVIOUS, digest
from ..datasets import drawing
from ..datasets.crops import Box
from ..learning.model import model_digest
from .boxes import read_boxes
from .detectors import WORKING_SIDE, detect_faces, find_detector, to_crop_box
from .faces import Face
from .overlay import draw
from .photographs import Photograph, decode, read_bytes
from .predictor import PASSES, Predictor

FORMAT = "synthforge-prediction-1"
OVERLAYS = (".overlay.jpg", ".overlay.png")
#: boxes given by a user that are tight boxes of the landmarks already
LANDMARKS = "landmarks"


@dataclass(frozen=True)
class Options:
    """What is asked of every photograph.

    detector: finds the faces where no boxes are given. boxes_of: what given boxes are: `landmarks`, tight around the 68
    points, or a detector's name, whose calibration then applies. tasks: None is all. overlay: `jpg`, `png` or `none`.
    passes, input_size, flip: see `predictor.Predictor`.
    """

    detector: str = "dlib"
    boxes_of: str = LANDMARKS
    passes: int = PASSES
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
    predictor = Predictor.load(
        folder,
        plugins=plugins,
        tasks=options.tasks,
        passes=options.passes,
        flip=options.flip,
        input_size=options.input_size,
    )
    job = _Job(folder, predictor, out, options, given, source)
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
    predictor: Predictor
    out: Path
    options: Options
    given: Mapping[Path, Sequence[Box]] | None
    source: str
    model_facts: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        predictor = self.predictor
        facts = {task: predictor.facts(task) for task in predictor.tasks}
        self.model_facts = {
            "name": self.folder.name,
            "sha256": model_digest(self.folder),
            "input_size": {task: fact["input_size"] for task, fact in facts.items()},
            "crop_scale": predictor.crop_scale,
            "mirrored": [task for task, fact in facts.items() if fact["flip"]],
            "schemas": {task: predictor.schemas[task] for task in predictor.tasks},
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
            "passes": self.predictor.passes,
            "tasks": list(self.predictor.tasks),
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
            faces = self.predictor(ready.image, [box for _, box in ready.boxes])
            self._write(ready, faces)
            return Outcome(photograph.path, "done", len(faces), record)
        except UserError as error:
            named = error.message if str(photograph.path) in error.message else f"{photograph.path}: {error.message}"
            return Outcome(photograph.path, "failed", error=named)

    def _write(self, ready: _Ready, faces: Sequence[Face]) -> None:
        assert ready.image is not None
        files: dict[str, bytes] = {}
        if self.options.overlay != "none":
            picture = draw(ready.image, faces)
            kind, options = ("JPEG", {"quality": 90}) if self.options.overlay == "jpg" else ("PNG", {})
            files[f".overlay.{self.options.overlay}"] = drawing.encoded(picture, kind, **options)
        shape, frames = (ready.image.shape[0], ready.image.shape[1]), [face.frame(1) for face in faces]
        for name in self.predictor.tasks:
            task, schema = self.predictor.model.tasks[name], self.predictor.schemas[name]
            files |= task.files([face.values[name] for face in faces], frames, shape, schema)
        self._make_room(ready.photograph)
        for suffix, data in files.items():
            write_bytes(self._path(ready.photograph, suffix), data)
        height, width = ready.image.shape[:2]
        record = {
            **ready.facts,
            "fingerprint": _fingerprint(ready.facts),
            "image": {**ready.facts["image"], "width": width, "height": height},
            "faces": [
                {"box": _rounded(given), **face.to_json(i)}
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
        tasks = self.predictor.model.tasks.values()
        suffixes = [".json", *OVERLAYS, *(suffix for task in tasks for suffix in task.suffixes())]
        for path in (self._path(photograph, suffix) for suffix in suffixes):
            if path.is_file():
                previous = self.out / PREVIOUS
                previous.mkdir(parents=True, exist_ok=True)
                os.replace(path, previous / path.name)


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]


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
