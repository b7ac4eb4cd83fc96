"""Many photographs through a model, into a folder: for each a picture, a JSON record, and the files of the tasks.

    NAME.json           what was found, and of what (see docs/predict.md); written last, so it stands for the others
    NAME.overlay.jpg    for people
    NAME.*              what tasks write (`Task.files`): label maps as `.labels.png`, depth as `.depth.npz` ...

A record whose photograph, model, boxes and options are the same is kept; what no longer fits is set aside in
`.previous/`. Where another photograph has a record of the name already, the results get a name of their own. A file
that this command did not write, or that was changed since, is never touched: it stops its photograph, not the others.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..core.errors import DataError, UserError
from ..core.files import sha256_of, write_bytes, write_json
from ..core.foreign import boundary, check_record, read_json
from ..core.locks import locked
from ..core.plugins import Plugins
from ..core.progress import progress_bar
from ..core.provenance import PREVIOUS, check_seal, digest, sealed, set_aside
from ..core.scratch import working_folder
from ..datasets import drawing
from ..datasets.crops import Box
from .detectors import WORKING_SIDE, calibration, check_scores, detect_faces, find_detector, find_faces, to_crop_box
from .faces import Face
from .onnx_network import network_digest, open_network
from .outcomes import Outcome
from .overlay import draw
from .photographs import Photograph, decode, other_name, read_bytes, shown
from .predictor import PASSES, Predictor

FORMAT = "synthforge-prediction-1"
#: boxes given by a user that are tight boxes of the landmarks already
LANDMARKS = "landmarks"
_RECORD: dict[str, Any] = {
    "fingerprint?": str,
    "image?": dict,
    "faces": list,
    "files?": dict[str, str],
    "digests?": dict[str, str],
}


@dataclass(frozen=True)
class PredictOptions:
    """What is asked of every photograph.

    detector: finds the faces where no boxes are given, empty for the one that ranks highest.
    boxes_of: what given boxes are: `landmarks`, tight around the 68
    points, or a detector's name, whose calibration then applies. tasks: None is all. overlay: `jpg`, `png` or `none`.
    passes, input_size, flip: see `predictor.Predictor`. min_score: faces that the detector scores lower are left out.
    schema: of the landmarks, empty for the model's.
    """

    detector: str = ""
    boxes_of: str = LANDMARKS
    passes: int = PASSES
    tasks: tuple[str, ...] | None = None
    overlay: str = "jpg"
    input_size: int = 0
    flip: bool | None = None
    min_score: float | None = None
    schema: str = ""


@dataclass(frozen=True)
class _Ready:
    """A photograph read and its faces located; `image` is None where an earlier result still holds.

    boxes: as given, and as the crop starts from; scores: of the detector; before: the earlier record.
    """

    photograph: Photograph
    facts: Mapping[str, Any]
    image: np.ndarray | None = None
    boxes: Sequence[tuple[Box, Box]] = ()
    scores: Sequence[float | None] = ()
    before: Mapping[str, Any] | None = None
    kept: int = 0


def predict_photographs(
    folder: Path,
    photographs: Sequence[Photograph],
    out: Path,
    options: PredictOptions = PredictOptions(),
    *,
    boxes: Mapping[Path, Sequence[Box]] | None = None,
    plugins: Plugins | None = None,
    progress: bool = True,
) -> list[Outcome]:
    """Predict every photograph with the model in `folder` and write the results into `out`; outcomes in order.

    boxes: of every photograph, instead of a detector's. A photograph that cannot be read or written does not stop the
    others. Raises UserError and DataError for what concerns all of them: the model, a task it lacks, a missing
    detector, another process at work in `out`.
    """
    source = find_detector(options.detector).name if boxes is None else options.boxes_of
    if source != LANDMARKS:
        calibration(source)  # an unknown detector, or one without a calibration, is said here
    if boxes is None:
        if options.min_score is not None:
            check_scores(source)
        detect_faces(np.zeros((80, 80, 3), np.uint8), source)  # a missing package is said before any work
    model = open_network(folder, plugins=plugins, input_size=options.input_size)
    wanted = {name: options.schema for name, task in model.tasks.items() if options.schema and task.kind == "points2d"}
    predictor = Predictor(
        model,
        tasks=options.tasks,
        schemas=wanted,
        passes=options.passes,
        flip=options.flip,
        input_size=options.input_size,
    )
    outcomes = []
    with (
        locked(out, deep=False),
        working_folder(out, ()) as here,
        progress_bar("predict", len(photographs), unit="images", shown=progress) as advance,
    ):
        run = _Run(folder, predictor, here, options, boxes, source)
        for photograph, waiting in _ahead(run.prepare, photographs):
            made = run.finish(photograph, waiting)
            record = made.record and out / made.record.name
            outcomes.append(replace(made, record=record, error=made.error.replace(str(here), str(out))))
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
class _Run:
    """One call of `predict_photographs`: what it does with every photograph."""

    folder: Path
    predictor: Predictor
    out: Path
    options: PredictOptions
    given: Mapping[Path, Sequence[Box]] | None
    source: str
    model_facts: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        predictor = self.predictor
        facts = {task: predictor.facts(task) for task in predictor.tasks}
        self.model_facts = {
            "name": self.folder.name,
            "sha256": network_digest(self.folder),
            "input_size": {task: fact["input_size"] for task, fact in facts.items()},
            "crop_scale": predictor.crop_scale,
            "mirrored": [task for task, fact in facts.items() if fact["flip"]],
            "schemas": {task: predictor.schemas[task] for task in predictor.tasks},
        }

    def prepare(self, photograph: Photograph) -> _Ready:
        """Read a photograph and find its faces, unless an earlier record says the same was done."""
        data = read_bytes(photograph.path)
        image_facts = {"file": shown(photograph.path), "sha256": hashlib.sha256(data).hexdigest()}
        photograph, record = self._settled(photograph, image_facts)
        facts = {
            "format": FORMAT,
            "version": __version__,
            "model": self.model_facts,
            "image": image_facts,
            "boxes": self._boxes_facts(photograph),
            "passes": self.predictor.passes,
            "tasks": list(self.predictor.tasks),
            "overlay": self.options.overlay,
        }
        if record is not None and record.get("fingerprint") == _fingerprint(facts) and self._complete(record):
            return _Ready(photograph, facts, kept=len(record["faces"]))
        image = decode(data, photograph.path)
        scores: list[float | None] = []
        if self.given is not None:
            boxes = list(self.given[photograph.path])
            scores = [None] * len(boxes)
        else:
            found = find_faces(image, self.source, self.options.min_score)
            boxes, scores = [face.box for face in found], [face.score for face in found]
        pairs = [(box, box if self.source == LANDMARKS else to_crop_box(box, self.source)) for box in boxes]
        return _Ready(photograph, facts, image, pairs, scores, record)

    def _settled(self, photograph: Photograph, image: Mapping[str, str]) -> tuple[Photograph, dict[str, Any] | None]:
        """The photograph under the first of its names that is free or its own, and its record there."""
        for name in (photograph.name, other_name(photograph.name, photograph.place)):
            named = replace(photograph, name=name)
            record = earlier_record(self._path(named, ".json"))
            if record is None or _is_of(record, photograph, image):
                return named, record
        raise DataError(
            f"{self._path(named, '.json')} is there and of another photograph", hint="Choose another --out."
        )

    def _boxes_facts(self, photograph: Photograph) -> dict[str, Any]:
        facts: dict[str, Any] = {"from": "list" if self.given is not None else "detector", "of": self.source}
        if self.source != LANDMARKS:
            c = calibration(self.source)
            facts["calibration"] = {"down": c.down, "scale": c.scale}
        if self.given is not None:
            facts["given"] = [list(box) for box in self.given[photograph.path]]
        else:
            facts["working_side"] = WORKING_SIDE
            if self.options.min_score is not None:
                facts["min_score"] = self.options.min_score
        return facts

    def finish(self, photograph: Photograph, waiting: Future[_Ready]) -> Outcome:
        """Predict and write what `prepare` made ready; a user's error becomes the outcome."""
        try:
            ready = waiting.result()
            record = self._path(ready.photograph, ".json")
            if ready.image is None:
                return Outcome(photograph.path, "kept", ready.kept, record)
            faces = self.predictor(ready.image, [box for _, box in ready.boxes])
            self._write(ready, faces)
            return Outcome(photograph.path, "done", len(faces), record)
        except UserError as error:
            name = shown(photograph.path)
            named = error.message if name in error.message else f"{name}: {error.message}"
            return Outcome(photograph.path, "failed", error=f"{named} {error.hint or ''}".rstrip())

    def _write(self, ready: _Ready, faces: Sequence[Face]) -> None:
        assert ready.image is not None
        files: dict[str, bytes] = {}
        if self.options.overlay != "none":
            picture = draw(ready.image, faces)
            kind, options = ("JPEG", {"quality": 90}) if self.options.overlay == "jpg" else ("PNG", {})
            files[f".overlay.{self.options.overlay}"] = drawing.encoded(picture, kind, **options)
        shape, frames = (ready.image.shape[0], ready.image.shape[1]), [face.frame(1) for face in faces]
        for each in self.predictor.tasks:
            task, schema = self.predictor.model.tasks[each], self.predictor.schemas[each]
            files |= task.files([face.values[each] for face in faces], frames, shape, schema)
        height, width = ready.image.shape[:2]
        name = ready.photograph.name
        record = {
            **ready.facts,
            "fingerprint": _fingerprint(ready.facts),
            "image": {**ready.facts["image"], "width": width, "height": height, "place": ready.photograph.place},
            "faces": [
                {
                    "box": _rounded(given),
                    **({} if score is None else {"score": round(score, 4)}),
                    **face.to_json(i),
                }
                for i, (face, (given, _), score) in enumerate(zip(faces, ready.boxes, ready.scores, strict=True))
            ],
            "files": {suffix.split(".")[1]: name + suffix for suffix in files},
            "digests": {
                ready.photograph.name + suffix: hashlib.sha256(data).hexdigest() for suffix, data in files.items()
            },
        }
        self._make_room(ready, list(files))
        # First as unfinished: after a kill between two files it tells which of them are ours.
        write_json(self._path(ready.photograph, ".json"), sealed({**record, "fingerprint": ""}))
        for suffix, data in files.items():
            write_bytes(self._path(ready.photograph, suffix), data)
        write_json(self._path(ready.photograph, ".json"), sealed(record))

    def _path(self, photograph: Photograph, suffix: str) -> Path:
        return self.out / (photograph.name + suffix)

    def _complete(self, record: Mapping[str, Any]) -> bool:
        return all(self._is_ours(self.out / name, record) for name in record.get("files", {}).values())

    def _is_ours(self, path: Path, record: Mapping[str, Any]) -> bool:
        """Whether a file is there as the record says; records of earlier versions tell names alone."""
        if "digests" not in record:
            return path.is_file() and path.name in record.get("files", {}).values()
        return path.is_file() and sha256_of(path) == record["digests"].get(path.name)

    def _make_room(self, ready: _Ready, suffixes: Sequence[str]) -> None:
        """Set aside what an earlier call wrote under this name; DataError, before anything moves, for other files."""
        before = ready.before or {}
        names = [str(name) for name in before.get("files", {}).values()]
        written = [path for name in names if os.path.lexists(path := self.out / name)]
        wanted = [path for suffix in suffixes if os.path.lexists(path := self._path(ready.photograph, suffix))]
        for path in dict.fromkeys([*written, *wanted]):
            if not self._is_ours(path, before):
                raise DataError(
                    f"{path} is there, and predict did not write it so.", hint="Choose another --out, or move it away."
                )
        if not before.get("fingerprint"):
            return  # never finished: nothing to keep
        into = self.out / PREVIOUS / f"{ready.photograph.name}.{before['fingerprint'][:8]}"
        set_aside(self.out, [path.name for path in written], into, last=self._path(ready.photograph, ".json").name)


def earlier_record(path: Path) -> dict[str, Any] | None:
    """What a call of predict wrote at `path`, None for nothing. Raises DataError for a file that is no such record."""
    if not os.path.lexists(path):
        return None
    record = None
    with suppress(DataError):
        record = read_json(path)
    way_out = "Choose another --out, or move it away."
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{path} is there and no record of predict.", hint=way_out)
    with boundary(path, "the record that predict wrote", hint=way_out):
        check_seal(record)
        check_record(record, _RECORD)
        if any(not name or Path(name).name != name for name in record.get("files", {}).values()):
            raise ValueError("it names files elsewhere")
    return record


def _is_of(record: Mapping[str, Any], photograph: Photograph, image: Mapping[str, str]) -> bool:
    """Whether a record is of this photograph: of the same place, or the same content under the same path."""
    recorded = record.get("image", {})
    same = recorded.get("file") == image["file"]
    return recorded.get("place", photograph.place if same else "") == photograph.place or (
        same and recorded.get("sha256") == image["sha256"]
    )


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 3) for value in values]


def _fingerprint(facts: Mapping[str, Any]) -> str:
    return digest(facts)[:16]
