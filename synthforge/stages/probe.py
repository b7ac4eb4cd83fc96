"""A probe: the error of models on the same rendered persons, with one factor set to each of its levels.

Persons are the samples of (seed, index); a level is the generator built with keys of its configuration set, so that
everything else is drawn as before (`core.factors.Sweep`). Errors of a level are stored in a file named by a digest of
all they depend on, so that a second run resumes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..assets.registry import find_asset
from ..core.checksums import checksums
from ..core.config import apply_overrides, resolve
from ..core.errors import UserError, did_you_mean
from ..core.factors import Sweep
from ..core.files import replacing, write_json, write_text
from ..core.foreign import read_json
from ..core.plugins import Plugins
from ..core.records import Field, RealItem, RealSample
from ..core.references import Bound
from ..core.schemas import POINT_SCHEMAS
from ..core.shipped import find_model
from ..core.storage import here, is_url
from ..core.versions import versions
from ..core.yaml12 import parse
from ..datasets.codecs import Encoding
from ..datasets.crops import tight_box
from ..evaluation import probing
from ..evaluation.files import read_array
from ..prediction.detectors import DETECTORS, find_detector, from_crop_box
from ..prediction.onnx_network import read_onnx, task_of_points
from ..prediction.predictor import Predictor
from .job import ShardJob, samples
from .recipe import Recipe

#: faces with their image and tight box -> points (N,2) in pixels of each image; None for a face that was not found
Subject = Callable[[Sequence[RealSample]], Sequence[np.ndarray | None]]
BOXES = "boxes.csv"  # of a folder of pictures
Advance = Callable[[int], Any]


@dataclass(frozen=True)
class Probe:
    """The renderings.

    generator, annotator: references as in YAML; the annotator's first points are the ground truth.
    """

    plugins: Plugins
    generator: Mapping[str, Any]
    annotator: Mapping[str, Any]
    persons: int = 32
    resolution: int = 256
    seed: int = 2026

    def field(self) -> Field:
        """The points scored. Raises UserError where the annotator writes none."""
        built = self._truth().built
        found = next((each for each in built.fields if each.kind == "points2d"), None)
        if found is None:
            raise UserError("--annotator: a probe measures points in the image; this annotator writes none")
        return found

    def sweeps(self) -> dict[str, Sweep]:
        """What the generator declares, by name."""
        built = self.plugins.build("generator", self.generator, where="--generator")
        return {sweep.name: sweep for sweep in built.sweeps()}

    def level(self, settings: Sequence[str]) -> str:
        """The folder of a level's pictures: a digest of all they depend on."""
        about = [dict(self.generator), self.annotator, self.persons, self.resolution, self.seed, versions(), settings]
        return _digest(about)

    def faces(self, settings: Sequence[str], field: Field) -> list[RealSample]:
        """The persons with keys of the generator set: those whose points `field` are all finite, in order."""
        folder = Path(self.level(settings))
        reference = resolve(apply_overrides(self.generator, settings, source="--factor"), source="--factor")
        generator = self.plugins.bind("generator", reference, where="--factor")
        recipe, size = Recipe(generator, (self._truth(),), ()), self.persons
        job = ShardJob(Path(), recipe, Encoding(), "", self.seed, 0, size, self.resolution, shard_size=size)
        found = []
        for index, (sample, _) in enumerate(samples(job, range(size))):
            assert sample is not None  # no filter rejects any
            points = np.asarray(sample[field.name], np.float64)
            if np.isfinite(points).all():
                item = RealItem(str(index), folder / f"{index}.png", Path())
                found.append(RealSample(item, sample["image"], tight_box(points), points))
        return found

    def _truth(self) -> Bound:
        return self.plugins.bind("annotator", self.annotator, where="--annotator")


def named(text: str, declared: Mapping[str, Sweep]) -> Sweep:
    """`yaw`, `yaw=-30,0,30` or `film.noise=0,10,20`: a sweep of the generator's, or any key of its configuration.

    Differences are paired with the declared base if it is among the levels, else with the first level. Raises
    UserError.
    """
    name, _, given = text.partition("=")
    levels = tuple(parse(each.strip(), "--factor") for each in given.split(",")) if given else ()
    sweep = declared.get(name)
    if sweep is None:
        if not levels:
            hint = did_you_mean(name, declared, "Factors")
            hint += " Or a key of the generator with its levels: film.noise=0,10,20."
            raise UserError(f"--factor {text}: no such factor", hint=hint)
        sweep = Sweep(name, (name,), levels, levels[0])
    levels = levels or sweep.levels
    if any(isinstance(each, (dict, list)) or each is None for each in levels) or len(set(levels)) != len(levels):
        raise UserError(f"--factor {text}: levels are different numbers or names, such as {sweep.name}=0,1")
    return replace(sweep, levels=levels, base=sweep.base if sweep.base in levels else levels[0])


def settings_of(sweep: Sweep, level: float | str) -> list[str]:
    """The keys of a level as overrides."""
    fixed = [f"{key}={json.dumps(value)}" for key, value in sweep.fixed.items()]
    return [*fixed, *(f"{key}={level}" for key in sweep.keys)]


def subject(name: str, plugins: Plugins, schema: str) -> tuple[Subject, str]:
    """A model by folder or shipped name, an ONNX file, a detector that answers points, a callable `module:function`.
    Or a folder of pictures with the answers of another tool beside them. And a digest of its bytes.

    A callable takes an image (H,W,3) uint8 and a box (x0, y0, x1, y1); it returns points (N,2) of `schema`, or None
    where it finds no face. Raises UserError.
    """
    module, _, attribute = name.partition(":")
    if attribute and module.replace(".", "").isidentifier() and not is_url(name):
        try:
            loaded = importlib.import_module(module)
            function = getattr(loaded, attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{name}: {error}", hint="A callable is module:function, importable from here.") from None
        source = getattr(loaded, "__file__", None)
        digest = checksums([Path(source)])[0] if source else name
        return lambda faces: [function(face.image, face.box) for face in faces], digest
    if not is_url(name) and (answers := here(name) / BOXES).is_file():
        return _answers(answers.parent, plugins, schema)
    if name in DETECTORS:
        return _detector(name, schema)
    if name.endswith(".onnx"):
        network, files = read_onnx(here(name), plugins)
        predictor = Predictor(network)
    else:
        folder = find_model(name)
        predictor = Predictor.load(folder, plugins=plugins)
        files = sorted(path for path in folder.iterdir() if path.is_file())
    task = next((key for key, each in predictor.model.tasks.items() if each.kind == "points2d"), "")
    if not task:
        raise UserError(f"{name}: a probe measures points; the model has {', '.join(predictor.model.tasks)}")
    ready = Predictor(predictor.model, tasks=[task], schemas={task: schema})

    def run(faces: Sequence[RealSample]) -> list[np.ndarray]:
        return [face.values[task] for face in ready.faces([f.image for f in faces], [f.box for f in faces])]

    return run, " ".join(checksums(files))


def _detector(name: str, schema: str) -> tuple[Subject, str]:
    """The points of a detector's package in the true box, which is made one as the detector gives them."""
    detector = find_detector(name)
    if not detector.takes_boxes or len(detector.groups) != len(POINT_SCHEMAS[schema]):
        raise UserError(f"{name}: the detector answers no points of {schema} in a given box")
    detector.check()
    find = detector.build(faces=False, points=True)

    def run(faces: Sequence[RealSample]) -> list[np.ndarray | None]:
        made = [find(np.ascontiguousarray(face.image), from_crop_box(face.box, name)) for face in faces]
        return [each[0].points if each else None for each in made]

    files = [find_asset(asset) for asset in detector.point_assets]
    return run, " ".join([name, detector.version(), *checksums(files)])


def _answers(folder: Path, plugins: Plugins, schema: str) -> tuple[Subject, str]:
    """Files of points beside the pictures of `write_pictures`."""
    task = plugins.build("task", {"name": task_of_points(plugins), "schema": schema})
    readers = {".npy": read_array, **task.readers(schema, 0.5)}

    def run(faces: Sequence[RealSample]) -> list[np.ndarray]:
        found = []
        for face in faces:
            picture = folder / face.item.image
            path = next((p for end in readers if (p := picture.with_suffix(end)).is_file()), None)
            if path is None:
                raise UserError(f"{picture} has no answer beside it", hint=f"Write its points as {', '.join(readers)}.")
            found.append(readers[path.suffix](path))
        return found

    return run, " ".join(checksums(sorted(path for path in folder.rglob("*") if path.suffix in readers)))


def write_pictures(made: Probe, levels: Sequence[Sequence[str]], folder: Path, advance: Advance) -> int:
    """Write `LEVEL/PERSON.png` of every level into `folder`, and their boxes into `boxes.csv`; returns how many."""
    field, lines = made.field(), []
    for settings in levels:
        for face in made.faces(settings, field):
            with replacing(folder / face.item.image) as file:
                Image.fromarray(face.image).save(file, format="PNG")
            lines.append(",".join([face.item.image.as_posix(), *(f"{value:.3f}" for value in face.box)]))
        advance(1)
    write_text(folder / BOXES, "\n".join(lines) + "\n")
    return len(lines)


def curves(sweeps: Sequence[Sweep], *, cross: bool) -> list[tuple[Sweep, list[tuple[str, list[list[str]]]]]]:
    """Each sweep with its curves: the level that the second sweep is held at, in words, and the settings of each level.

    cross: the first of two sweeps at every level of the second; else each has one curve, which holds nothing.
    """
    if not cross:
        return [(sweep, [("", [settings_of(sweep, each) for each in sweep.levels])]) for sweep in sweeps]
    first, second = sweeps
    lines = []
    for held in second.levels:
        fixed = settings_of(second, held)
        lines.append((f"{second.name} {held}", [[*fixed, *settings_of(first, each)] for each in first.levels]))
    return [(first, lines)]


def settings_of_all(sweeps: Sequence[Sweep], *, cross: bool) -> list[list[str]]:
    """The settings of every level that `probe` measures."""
    return [settings for _, lines in curves(sweeps, cross=cross) for _, levels in lines for settings in levels]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:24]


def errors_of(run: Subject, faces: Sequence[RealSample]) -> dict[str, float | None]:
    """The error of each face by its key: the mean distance of its points in percent of sqrt(width * height) of the box.

    None for a face that was not found. Unlike the distance between the eye corners, this unit stays large in profile
    views (Zhu et al. 2016). Raises UserError for points that are not finite or not as many as the true ones.
    """
    found = run(faces) if faces else []
    errors: dict[str, float | None] = {}
    for face, answer in zip(faces, found, strict=True):
        if answer is None:
            errors[face.item.key] = None
            continue
        points = np.asarray(answer)
        if points.shape != face.target.shape or not np.isfinite(points).all():
            raise UserError(
                f"points {points.shape} of person {face.item.key}: expected {face.target.shape} finite values"
            )
        x0, y0, x1, y1 = face.box
        distance = np.linalg.norm(points - face.target, axis=1).mean()
        errors[face.item.key] = float(100 * distance / np.sqrt((x1 - x0) * (y1 - y0)))
    return errors


def probe(
    made: Probe, models: Sequence[str], sweeps: Sequence[Sweep], out: Path, *, cross: bool = False, advance: Advance
) -> dict[str, Any]:
    """Measure every model at every level, write `probe.html` and `probe.json` into `out`, and return the figures.

    cross: the first of two sweeps is made at every level of the second. advance: count of levels done.
    """
    field = made.field()
    subjects = {name: subject(name, made.plugins, field.schema) for name in models}

    def level(settings: list[str]) -> dict[str, dict[str, float | None]]:
        """Errors by model and person, from the file of an earlier run if there is one."""
        pictures, paths = made.level(settings), {}
        for name, (_, digest) in subjects.items():
            paths[name] = out / "levels" / f"{_digest([pictures, digest])}.json"
        absent = [name for name, path in paths.items() if not path.is_file()]
        faces = made.faces(settings, field) if absent else []
        for name in absent:
            write_json(paths[name], errors_of(subjects[name][0], faces))
        advance(1)
        return {name: read_json(path) for name, path in paths.items()}

    rows: list[dict[str, Any]] = []
    for sweep, held_at in curves(sweeps, cross=cross):
        lines = []
        for held, levels in held_at:
            found = [level(settings) for settings in levels]
            for name in models:
                people = [[errors[name].get(str(i)) for i in range(made.persons)] for errors in found]
                measured = probing.curve(sweep.levels, sweep.base, people)
                for row, errors in zip(measured, found, strict=True):
                    row["not_found"] = sum(error is None for error in errors[name].values())
                label = f"{name}, {held}" if held else name
                lines.append({"label": label, "rows": measured, "errors": people})
        title = f"{sweep.name} at levels of {sweeps[1].name}" if cross else sweep.name
        shown = {"name": title, "levels": list(sweep.levels), "base": sweep.base, "unit": sweep.unit, "doc": sweep.doc}
        rows.append({**shown, "lines": lines})
    data = {
        "title": f"Probe of {', '.join(models)}",
        "error": "NME, % of the box",
        "facts": {
            "persons": made.persons,
            "seed": made.seed,
            "resolution": f"{made.resolution} pixels",
            "generator": json.dumps(dict(made.generator)),
            "truth": f"{field.name} ({field.schema}) of {json.dumps(made.annotator)}",
            "box": "tight box of the true points",
        },
        "sweeps": rows,
        "worst": worst(rows),
        "versions": versions(),
    }
    probing.write_page(out / "probe.html", data)
    return data


def worst(sweeps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The worst level of every curve, the largest paired difference first; worst of all is one without a face found."""

    def more(row: Mapping[str, Any]) -> float:
        return float(row["difference"]) if row["persons"] or not row["not_found"] else np.inf

    found = [
        {"factor": sweep["name"], "unit": sweep["unit"], "label": line["label"], **row}
        for sweep in sweeps
        for line in sweep["lines"]
        if (rows := [row for row in line["rows"] if not np.isnan(more(row)) and not row["base"]])
        for row in [max(rows, key=more)]
    ]
    return sorted(found, key=more, reverse=True)
