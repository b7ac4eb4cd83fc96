"""export: a model trained only on synthetic samples, prepared for distribution with its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError
from ..core.pipeline import Promise, StageContext, StageKind
from ..core.plugins import load_plugins
from . import promises
from .report import check_evaluations, collect

if TYPE_CHECKING:
    import numpy as np

    from ..core.plugins import Plugins
    from ..evaluation.card import CardText
    from ..evaluation.protocol import Evaluation

#: on which an ONNX file in 8-bit integers is calibrated
CALIBRATION_FACES = 96


@dataclass
class ExportConfig:
    """A model for distribution, with its card."""

    model: str = key(MISSING, "A train stage or a model folder.")
    heads: list[str] = key(
        [],
        "Train stages or model folders on the same encoder (`optimiser.encoder_factor: 0`), whose output heads are "
        "added.",
    )
    evaluations: list[str] = key([], "Evaluate stages or their folders, whose figures the card shows.")
    dtype: str = key("float16", "Type of the weights on disk.", choices=("float16", "float32"))
    title: str = key("SynthForge face model", "Title of the card.")
    summary: str = key("", "First paragraph of the card.")
    limits: list[str] = key([], "What the model cannot do, for the card.")


def promise(context: StageContext, config: ExportConfig) -> Promise:
    """The same model, with all output heads. Raises ConfigError for inputs of the wrong kind."""
    check_evaluations(context)
    names = ("model", *(f"heads.{index}" for index in range(len(config.heads))))
    models = [promises.of_input(context, name, "model") for name in names]
    for name, model in zip(names, models, strict=True):
        if model.photographs:
            raise ConfigError(
                f"{context.where}.{name}: a model that was trained on photographs is not exported",
                hint="Export the model that was trained on synthetic samples alone, before label fine-tuning.",
            )
    return replace(models[0], tasks={task: reference for model in models for task, reference in model.tasks.items()})


def run(context: StageContext, config: ExportConfig) -> None:
    """Write the weights, their description, the card and its figures."""
    from ..evaluation.card import MEGABYTE, CardText

    folders = [context.inputs[f"evaluations.{index}"] for index in range(len(config.evaluations))]
    facts = write(
        context.inputs["model"],
        context.out,
        collect(folders, context.plugins, where=f"{context.where}.evaluations"),
        CardText(config.title, config.summary, config.limits),
        dtype=config.dtype,
        heads=[context.inputs[f"heads.{index}"] for index in range(len(config.heads))],
        plugins=context.plugins,
    )
    context.say(f"  {facts['bytes'] / MEGABYTE:.1f} MB, {facts['parameters']:,} parameters, sha256 {facts['sha256']}")


def write(
    model: Path,
    out: Path,
    evaluations: Sequence[tuple[str, Evaluation]],
    text: CardText,
    *,
    dtype: str = "float16",
    heads: Sequence[Path] = (),
    plugins: Plugins | None = None,
) -> dict[str, Any]:
    """Export a model folder to `out` with its card, as `learning.export.export_model` does alone."""
    from ..evaluation.card import write_card
    from ..learning.export import export_model
    from ..learning.model import build_tasks
    from ..learning.weights import read_description

    plugins = plugins or load_plugins()
    facts = export_model(model, out, dtype=dtype, heads=heads, plugins=plugins)
    description = read_description(out)
    tasks, _ = build_tasks(description["tasks"], plugins)
    meanings = {name: task.meaning for name, task in tasks.items()}
    write_card(out, {**description, "meanings": meanings}, facts, evaluations, text)
    return facts


def rendered_faces(model: Path, plugins: Plugins) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures (H,W,3) uint8 by the default generator, and the points of their faces in the schema of the model's.

    Raises PluginError where nothing translates the points.
    """
    from ..core.schemas import POINT_SCHEMAS, translate_points
    from ..core.tables import Default
    from ..learning.weights import read_description
    from .probe import Probe

    names = Default("generators").found(), Default("annotators", several=True).found()[0]
    made = Probe(plugins, {"name": names[0]}, {"name": names[1]}, persons=CALIBRATION_FACES)
    field = made.field()
    schemas = read_description(model)["schemas"].values()
    schema = next((each for each in schemas if each in POINT_SCHEMAS), field.schema)
    return [(face.image, translate_points(face.target, field.schema, schema)) for face in made.faces([], field)]


KIND = StageKind("export", ExportConfig, run, inputs=("model", "heads", "evaluations"), promise=promise)
