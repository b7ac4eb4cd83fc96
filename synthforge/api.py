"""The front door: what `import synthforge` offers, each a line of use. Commands and stages run the same code.

`generate`, `train` and `finetune` run one stage of a pipeline into a folder. Results that still fit are kept,
interrupted calls resume, and results of other arguments are set aside (see docs/pipelines.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .core.camera import Camera
from .core.errors import UserError as UserError
from .core.foreign import read_json
from .core.pipeline import Pipeline, make_pipeline, run_pipeline
from .core.plugins import load_plugins
from .core.shipped import find_model
from .core.storage import place
from .datasets.tensors import Dataset
from .prediction.faces import Face as Face
from .prediction.faces import Faces as Faces
from .prediction.predictor import PASSES, Predictor
from .stages import KINDS

if TYPE_CHECKING:
    from .evaluation.protocol import Evaluation

#: a plugin by name, or with keys of its own: `"anny"`, `{"name": "anny", "preset": "frontal"}`
Reference = str | Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """One rendered face. image: (H,W,3) uint8 sRGB; annotations: arrays by field name; camera: in metres and pixels.

    scene: seed, index and every parameter it was made from.
    """

    image: np.ndarray
    annotations: Mapping[str, Any]
    camera: Camera
    scene: Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """A model that was trained or fine-tuned. folder: where it lies; metrics: of its last validation, by name."""

    folder: Path
    metrics: Mapping[str, float]

    def load(self, **options: Any) -> Predictor:
        """The model; options as of `load_model`."""
        return load_model(self.folder, **options)


def load_model(
    model: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    passes: int = PASSES,
    flip: bool | None = None,
    detector: str = "",
    device: str = "cpu",
    plugins: Sequence[str] = (),
    **options: Any,
) -> Predictor:
    """A model that predicts the faces of photographs: `load_model("face")("photo.jpg")[0].points`.

    model: a folder, or the name of a model that comes with the installation. tasks: only these, `["all"]`, or by
    default those that need not be named: of the model `face` keypoints, segmentation and depth. passes: number of
    crops, each further one around the face found. flip: mean with the mirrored crop, None as the model says. detector:
    name of a face detector, empty for the default one. device: as torch names it, `cpu` or `cuda:0`. plugins: files or
    modules to load as well. options: further ones of `Predictor`:

    - `min_score`: faces that the detector scores lower are left out;
    - `second_look`: False for eyes and mouth from the first look alone, in less time;
    - `input_size`: pixels of a crop, 0 for each task's own.

    Raises UserError for an unknown name or a task the model lacks, DataError for a damaged folder.
    """
    return Predictor.load(
        find_model(str(model)),
        plugins=load_plugins(plugins),
        device=device,
        tasks=tasks,
        passes=passes,
        flip=flip,
        detector=detector,
        **options,
    )


def sample(
    generator: Reference,
    *,
    seed: int = 0,
    index: int = 0,
    resolution: int = 256,
    annotators: Sequence[Reference] | None = None,
    plugins: Sequence[str] = (),
) -> Sample:
    """One sample of a generator, as sample `index` of a dataset of that seed and resolution.

    The same bytes where a picture does not depend on those rendered with it; else (batches of a network) equal up to
    rounding. resolution: pixels a side; annotators: None for those the stage has by default.
    Raises ConfigError and PluginError for a wrong name or key.
    """
    from .stages.job import ShardJob, samples
    from .stages.recipe import Recipe

    values = {"generator": generator, **_chosen(annotators=annotators), "resolution": resolution, "start": index}
    config = _pipeline("generate", values, seed, plugins).stages[0].config
    recipe = Recipe(config.generator, tuple(config.annotators), ())
    job = ShardJob(Path(), recipe, config.encoding(), "", seed, index, samples=1, resolution=resolution, shard_size=1)
    made, _ = next(samples(job, [index]))
    assert made is not None  # there are no filters
    annotations = {item.name: made[item.name] for item in recipe.fields}
    return Sample(made["image"], annotations, Camera.from_json(made["camera"]), made["scene"])


def open_dataset(folder: str | Path, fields: Sequence[str] | None = None, *, skip_damaged: bool = False) -> Dataset:
    """A finished dataset as a torch `Dataset`, see `datasets.tensors.Dataset`.

    fields: names to read, None for all that can be batched. skip_damaged: give the next sound sample instead of
    raising. Raises DataError for a folder that holds no finished dataset.
    """
    return Dataset(folder, fields, skip_damaged=skip_damaged)


def generate(
    out: str | Path,
    generator: Reference,
    *,
    samples: int = 1000,
    resolution: int = 256,
    seed: int = 0,
    annotators: Sequence[Reference] | None = None,
    plugins: Sequence[str] = (),
    **options: Any,
) -> Dataset:
    """Render and annotate a dataset into the folder `out`, and open it.

    resolution: pixels a side; annotators: None for those the stage has by default; options: further keys of the stage,
    such as `filters`, `workers`, `shard_size`. Raises ConfigError and PluginError for a wrong name or key, DataError
    for a folder that something else made.
    """
    values = {"generator": generator, "samples": samples, "resolution": resolution, **_chosen(annotators=annotators)}
    return Dataset(_run("generate", out, {**values, **options}, seed, plugins))


def train(
    dataset: str | Path | Dataset | Sequence[str | Path | Dataset],
    out: str | Path,
    *,
    tasks: Sequence[Reference] | None = None,
    seed: int = 0,
    plugins: Sequence[str] = (),
    **options: Any,
) -> Trained:
    """Train one model for all tasks on a dataset, or on several, into the folder `out`.

    tasks: None for those the stage has by default. options: further keys of the stage, such as `epochs`. Raises as
    `generate` does.
    """
    many = [dataset] if isinstance(dataset, (str, Path, Dataset)) else list(dataset)
    places = [str(item.root if isinstance(item, Dataset) else item) for item in many]
    return _trained("train", out, {"dataset": places, **_chosen(tasks=tasks), **options}, seed, plugins)


def finetune(
    model: str | Path | Trained,
    benchmark: Reference,
    out: str | Path,
    *,
    root: str | Path = "",
    seed: int = 0,
    plugins: Sequence[str] = (),
    **options: Any,
) -> Trained:
    """Fine-tune the labels of a model on a benchmark's photographs into the folder `out`; the model stays as it is.

    root: the benchmark's folder. options: further keys of the stage, such as `with_features`, `train_split`. Raises as
    `generate` does.
    """
    values = {"model": _folder(model), "benchmark": _benchmark(benchmark, root), **options}
    return _trained("finetune", out, values, seed, plugins)


def evaluate(
    model: str | Path | Trained,
    benchmark: Reference,
    split: str,
    *,
    root: str | Path = "",
    passes: int | None = None,
    box: str = "truth",
    limit: int | None = None,
    plugins: Sequence[str] = (),
) -> Evaluation:
    """Score a model on a split of a benchmark: `evaluate("face", "300w", "common", root=DIR).scores.values["nme"]`.

    root: the benchmark's folder; passes: number of crops, None as in `predict` for tasks that locate the face, else 1;
    box: `truth`, `jitter` or `detector`; limit: the first faces only. Raises UserError for a split or task that is not
    there, DataError for damaged files.
    """
    from .evaluation.protocol import ScoringOptions
    from .stages.predictor import evaluate_model

    found = load_plugins(plugins)
    reference = _benchmark(benchmark, root)
    built = found.build("benchmark", reference, where="benchmark")
    return evaluate_model(
        place(_folder(model)),
        built,
        split,
        ScoringOptions(box=box, limit=limit, progress=False),
        plugins=found,
        name=str(reference["name"]),
        passes=passes,
    )


def _folder(model: str | Path | Trained) -> str:
    return str(model.folder if isinstance(model, Trained) else find_model(str(model)))


def _benchmark(benchmark: Reference, root: str | Path) -> dict[str, Any]:
    named = {"name": benchmark} if isinstance(benchmark, str) else dict(benchmark)
    return {**named, **({"root": str(root)} if str(root) else {})}


def _chosen(**lists: Sequence[Reference] | None) -> dict[str, list[Reference]]:
    """Lists of plugins that were given; the others stay the defaults of the stage."""
    return {name: list(values) for name, values in lists.items() if values is not None}


def _pipeline(kind: str, values: Mapping[str, Any], seed: int, plugins: Sequence[str]) -> Pipeline:
    """One stage as a pipeline, checked."""
    data = {"seed": seed, "plugins": list(plugins), "stages": {kind: {"run": kind, **values}}}
    return make_pipeline(data, KINDS, source="synthforge", base=Path.cwd())


def _run(kind: str, out: str | Path, values: Mapping[str, Any], seed: int, plugins: Sequence[str]) -> Path:
    """Run one stage into a folder; its messages are dropped, its progress bar goes to stderr."""
    pipeline = _pipeline(kind, values, seed, plugins)
    folder = place(out)
    run_pipeline(pipeline, folder, say=lambda text: None, folders={kind: folder})
    return folder


def _trained(kind: str, out: str | Path, values: Mapping[str, Any], seed: int, plugins: Sequence[str]) -> Trained:
    folder = _run(kind, out, values, seed, plugins)
    return Trained(folder, read_json(folder / "metrics.json")["final"])
