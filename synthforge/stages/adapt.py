"""adapt: new scenes near those with a large loss, within the distributions that the generator declares.

Every sample of a finished dataset is scored by the model's loss. Parents are drawn by softmax(temperature * hardness).
Each new scene perturbs its parent's random numbers (`core.nearby`), so that no factor leaves its declared range.
The rest of the scenes are drawn independently. `distributions.html` compares the distributions.
"""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import MISSING

from ..core.config import key
from ..core.errors import ConfigError, DataError, SynthForgeError
from ..core.interfaces import OriginGenerator
from ..core.nearby import Origin
from ..core.pipeline import Promise, StageContext, StageKind
from ..core.provenance import digest
from ..core.references import Bound
from ..core.tables import Default
from . import generate, promises
from .generate import LAST, MANY
from .recipe import members_of

if TYPE_CHECKING:
    from ..core.plugins import Plugins

SCORES = "scores.json"
# Keys of the dataset's configuration that the new samples use; the others are keys of this stage.
_INHERITED = ("annotators", "filters", "resolution", "shard_size", "jpeg_quality", "depth_scale")


@dataclass
class AdaptConfig:
    """New samples near hard ones. Generator, annotators, resolution and encoding are those of the dataset."""

    dataset: str = key(MISSING, "The samples to score: a generate or adapt stage, or a dataset folder.")
    model: str = key(MISSING, "The model whose loss measures hardness: a train stage or a model folder.")
    samples: int = key(1000, "How many new samples.", low=1, high=MANY)
    temperature: float = key(
        1.0, "Parents are drawn in proportion to exp(temperature * loss in standard deviations); 0 draws evenly.", low=0
    )
    spread: float = key(0.3, "Distance of a new scene from its parent: 0 repeats it, 1 is independent.", low=0, high=1)
    share: float = key(0.7, "Share of new samples with a parent; the others are drawn independently.", low=0, high=1)
    start: int | None = key(None, "Index of the first new sample, null for after the dataset's.", low=0, high=LAST)
    seed: int | None = key(None, "Seed, null for the dataset's.", low=0, high=LAST)
    workers: int = key(0, "Processes; 0 is one per core. Never changes a byte.", low=0, high=100_000, counts=False)
    executor: Any = key(
        Default("executors"), "Where shards are made: a name, or a mapping with `name` and its own keys.", counts=False
    )


def check(context: StageContext, config: AdaptConfig) -> None:
    """Raise ConfigError for inputs of the wrong kind and, if the dataset exists, for an unsuitable generator."""
    from ..datasets.layout import MANIFEST
    from ..datasets.reader import read_manifest

    if (context.inputs["dataset"] / MANIFEST).exists():
        _generator(context, read_manifest(context.inputs["dataset"]))


def promise(context: StageContext, config: AdaptConfig) -> Promise:
    """A dataset like the one that is scored. Raises ConfigError for inputs of the wrong kind."""
    promises.of_input(context, "model", "model")
    return dataclasses.replace(promises.of_input(context, "dataset", "dataset"), samples=config.samples)


def run(context: StageContext, config: AdaptConfig) -> None:
    """Score, draw parents, write the dataset, and report the distributions."""
    from ..core.progress import progress_bar
    from ..datasets.distributions import compare, factors_of, read_values, write_page
    from ..datasets.reader import ShardDataset, read_manifest
    from ..learning.hardness import draw_parents, probabilities

    root = context.inputs["dataset"]
    manifest = read_manifest(root)
    generator = _generator(context, manifest)
    made = manifest["config"]
    seed = int(made["seed"]) if config.seed is None else config.seed
    start = int(made["start"]) + int(made["samples"]) if config.start is None else config.start
    scores = _scores(context, manifest)
    chances = probabilities(scores["hardness"], config.temperature)
    parents = draw_parents(chances, config.share, seed, range(start, start + config.samples))
    scenes = ShardDataset(root, ["scene"])
    origins, known = [], {}
    with progress_bar("draw parents", len(parents), unit="scenes") as advance:
        for index, parent in enumerate(parents.tolist(), start):
            if parent >= 0 and parent not in known:
                known[parent] = Origin.from_json(scenes[parent]["scene"])
            above = known.get(parent)
            origins.append(Origin(seed, index, above, config.spread if above else 0.0))
            advance(1)
    values = {name: made[name] for name in _INHERITED if name in made}
    values |= {"generator": generator.reference, "samples": config.samples, "start": start, "seed": seed}
    values |= {"workers": config.workers, "executor": config.executor.reference}
    own = generate.bound_as_made(values, context.plugins, f"{context.where}.dataset")
    drawn = {
        "dataset": manifest["sha256"],
        "scores": digest([scores["keys"], scores["losses"]]),
        **{name: getattr(config, name) for name in ("temperature", "spread", "share")},
    }
    generate.write(context, own, origins=origins, more={"adapt": drawn})
    factors, note = factors_of(read_manifest(context.out), context.plugins)
    declared_by = read_values(ShardDataset(root, ["scene"]), factors)["drawn"]
    chosen = declared_by.take([parent for parent in parents.tolist() if parent >= 0])
    new = read_values(ShardDataset(context.out, ["scene"]), factors)["drawn"]
    groups = {"dataset": declared_by, "parents": chosen, "new samples": new}
    page = write_page(
        context.out / "distributions.html",
        compare(factors, groups),
        title=f"What {context.name} realised",
        facts={
            "scored": f"{len(chances):,} samples",
            "effective number of parents": f"{1 / float((chances**2).sum()):,.0f}",
            "new samples": f"{len(parents):,}, of which {(parents >= 0).sum():,} near {len(known):,} parents",
            **{name: getattr(config, name) for name in ("temperature", "spread", "share")},
        },
        notes=[*([note] if note else []), "Parents are those of the new samples, each as often as it was drawn."],
    )
    context.say(f"  {page}")


def _generator(context: StageContext, manifest: dict[str, Any]) -> Bound:
    """The dataset's generator. Raises ConfigError when it cannot draw scenes near others."""
    made, where = manifest["config"], f"{context.where}.dataset"
    try:
        reference = generate.reference_of(made, context.plugins, where)
    except (KeyError, TypeError):
        raise DataError(
            f"{context.where}.dataset: {context.inputs['dataset']} does not name the generator that made it",
            hint="Use a dataset that `generate` wrote.",
        ) from None
    bound: Bound = generate.bound_as_made({"generator": reference}, context.plugins, where).generator
    if not isinstance(bound.built, OriginGenerator):
        able = ", ".join(_able(context.plugins)) or "none"
        raise ConfigError(
            f"{context.where}.dataset: the generator '{made['generator']}' cannot draw scenes near others",
            hint=f"These can: {able}. Your own has to be an `OriginGenerator` (docs/plugins.md).",
        )
    if members_of(bound).count > 1:
        raise ConfigError(
            f"{context.where}.dataset: its samples show one scene together, and none can be drawn near another alone",
            hint="Use a dataset of the same generator without `rig` and `motion`.",
        )
    return bound


def _able(plugins: Plugins) -> list[str]:
    found = []
    for name in plugins.catalogues["generator"].names():
        with suppress(SynthForgeError):  # a generator that needs keys or files is skipped
            if isinstance(plugins.build("generator", name), OriginGenerator):
                found.append(name)
    return found


def _scores(context: StageContext, manifest: dict[str, Any]) -> dict[str, Any]:
    """Losses and hardness of every sample, computed once: a killed run resumes with the same numbers.

    Scores of other datasets or models are not reused: the stage's folder is new when an input changes.
    """
    import numpy as np

    from ..core.files import write_json
    from ..core.foreign import read_json
    from ..datasets.reader import ShardDataset
    from ..learning.data import needed_fields
    from ..learning.hardness import hardness, sample_losses
    from ..learning.model import load_model

    path, folder = context.out / SCORES, context.inputs["model"]
    if path.exists():
        kept = read_json(path, hint="Delete it; it will be made again.")
        return {**kept, "hardness": np.asarray(kept["hardness"])}
    model = load_model(folder, plugins=context.plugins)
    dataset = ShardDataset(context.inputs["dataset"], fields=needed_fields(model.tasks.values(), manifest))
    losses = sample_losses(model, dataset)
    record: dict[str, Any] = {
        "keys": dataset.keys(),
        "losses": {name: values.tolist() for name, values in losses.items()},
        "hardness": hardness(losses).tolist(),
    }
    write_json(Path(path), record)
    return {**record, "hardness": np.asarray(record["hardness"])}


KIND = StageKind(
    "adapt",
    AdaptConfig,
    run,
    inputs=("dataset", "model"),
    plugins={"executor": "executor"},
    check=check,
    promise=promise,
    mends=True,
)
