"""overview: one page with generated faces, a model's predictions on photographs, its figures, and next steps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError
from ..core.files import sha256_of, write_bytes, write_text
from ..core.pipeline import Promise, StageContext, StageKind
from . import promises
from .report import check_evaluations, collect

if TYPE_CHECKING:
    from ..evaluation.protocol import Evaluation

PAGE, FACES = "overview.html", "faces.png"


@dataclass
class OverviewConfig:
    """One self-contained page that shows the results of a run."""

    dataset: str = key(MISSING, "A generate stage or a dataset folder, whose first samples are shown.")
    samples: int = key(6, "How many of them.", low=1, high=100)
    tile: int = key(224, "Side of their pictures.", unit="px", low=32, high=2048)
    model: str = key("", "A stage or folder: the model that is shown on `photographs`.")
    photographs: dict[str, str] = key({}, "Photographs beside the pipeline's file, each with a caption.")
    boxes: str = key(
        "", "Their face boxes, a file as `predict --boxes` reads it; empty: the face detector finds the faces."
    )
    evaluations: list[str] = key([], "Evaluate stages or their folders, whose main figures are shown.")
    report: str = key("", "A report stage or its folder, which the page links to.")
    title: str = key("SynthForge", "Title of the page.")
    next: dict[str, str] = key({}, "What to do next: commands, each with what it is for.")


def check(context: StageContext, config: OverviewConfig) -> None:
    """Raise ConfigError for inputs of the wrong kind and missing files."""
    promises.of_input(context, "dataset", "dataset")
    check_evaluations(context)
    if config.photographs:
        promises.of_input(context, "model", "model")
    for name, path in _files(context, config):
        if not path.is_file():
            raise ConfigError(f"{context.where}.{name}: there is no file {path}")


def outside(context: StageContext, config: OverviewConfig) -> dict[str, str] | None:
    """The photographs and their boxes."""
    return {name: sha256_of(path) for name, path in _files(context, config)} or None


def _files(context: StageContext, config: OverviewConfig) -> Iterator[tuple[str, Path]]:
    yield from ((f"photographs.{name}", context.base / name) for name in config.photographs)
    if config.photographs and config.boxes:
        yield "boxes", context.base / config.boxes


def run(context: StageContext, config: OverviewConfig) -> None:
    """Write the page, and the sheet of faces as a separate picture."""
    from ..core.pages import page
    from ..core.storage import is_remote
    from ..datasets.drawing import encoded
    from ..datasets.reader import ShardDataset
    from ..datasets.show import contact_sheet
    from ..evaluation.pictures import embed
    from ..evaluation.report import HTML
    from ..prediction.photographs import decode, read_bytes

    dataset = ShardDataset(context.inputs["dataset"])
    sheet = contact_sheet(dataset, range(min(config.samples, len(dataset))), context.out / FACES, tile=config.tile)
    context.say(f"  {sheet}")
    answers = []
    for number, (name, picture) in enumerate(_answers(context, config)):
        write_bytes(context.out / f"photograph-{number}.jpg", encoded(picture, quality=88))
        context.say(f"  {context.out / f'photograph-{number}.jpg'}")
        answers.append({"caption": config.photographs[name], "picture": embed(picture)})
    report = context.inputs.get("report")
    content = {
        "title": config.title,
        "count": f"{len(dataset):,}",
        "faces": embed(decode(read_bytes(sheet), sheet)),
        "answers": answers,
        "figures": [_figure(*each) for each in _evaluations(context, config)],
        "report": os.path.relpath(report / HTML, context.out) if report and not is_remote(report) else "",
        "next": config.next,
    }
    write_text(context.out / PAGE, page(__package__, PAGE, **content))
    context.say(f"  {context.out / PAGE}")


def _answers(context: StageContext, config: OverviewConfig) -> Iterator[tuple[str, Any]]:
    """The name of each photograph, and the photograph with the predictions drawn, (H,W,3) uint8."""
    from ..prediction.boxes import read_boxes
    from ..prediction.overlay import draw
    from ..prediction.predictor import Predictor

    if not config.photographs:
        return
    predictor = Predictor.load(context.inputs["model"], plugins=context.plugins)
    paths = {name: context.base / name for name in config.photographs}
    boxes = read_boxes(context.base / config.boxes, list(paths.values())).found if config.boxes else {}
    for name, path in paths.items():
        faces = predictor(path, boxes.get(path))
        yield name, draw(faces.image, faces)


def _evaluations(context: StageContext, config: OverviewConfig) -> list[tuple[str, Evaluation]]:
    folders = [context.inputs[f"evaluations.{index}"] for index in range(len(config.evaluations))]
    return collect(folders, context.plugins, where=f"{context.where}.evaluations")


def _figure(label: str, evaluation: Evaluation) -> dict[str, str]:
    from ..evaluation.report import tile

    measured = f"{evaluation.benchmark}, {evaluation.split}"
    if evaluation.stand_in:
        measured = f"rendered faces in the layout of {measured}: no photographs"
    return {**tile(label, evaluation), "measured": measured, "stand_in": evaluation.stand_in}


KIND = StageKind(
    "overview",
    OverviewConfig,
    run,
    inputs=("dataset", "model", "evaluations", "report"),
    check=check,
    promise=lambda *_: Promise("report"),
    outside=outside,
)
