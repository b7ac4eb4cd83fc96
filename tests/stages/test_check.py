"""What a configuration gets wrong is said before the first stage, by `check` and by `run`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synthforge.cli.common import find_config
from synthforge.core.errors import UserError
from synthforge.core.pipeline import StageResult, load_pipeline, run_pipeline
from synthforge.stages import KINDS


def check(out: Path, *overrides: str) -> list[StageResult]:
    pipeline = load_pipeline(find_config("quickstart"), KINDS, overrides=overrides)
    return run_pipeline(pipeline, out, say=lambda _: None, dry=True)


@pytest.mark.parametrize(
    ("override", "where", "told"),
    [
        (
            "stages.dataset.samples=1e11",
            "dataset.samples",
            "100,000,000,000 is out of range, which is 1 to 100,000,000",
        ),
        ("stages.dataset.resolution=100000", "dataset.resolution", "16 to 4,096 px"),
        ("stages.dataset.annotators=[landmarks, depth]", "model.dataset", "learns from the field 'segmentation'"),
        ("stages.dataset.annotators=[landmarks, landmraks]", "dataset.annotators[1]", "Did you mean 'landmarks'"),
        ("stages.unseen.annotators=[depth]", "standin.dataset", "no points2d field, which faces of 300w need"),
        ("stages.model.dataset=standin", "model.dataset", "standin is no dataset but a benchmark"),
        ("stages.model.dataset=[]", "model.dataset", "at least one dataset"),
        ("stages.model.dataset=datset", "model.dataset", "is not an earlier stage, a folder or a shipped model"),
        ("stages.model.dataset=model", "model.dataset", "the stage names itself"),
        ("stages.model.epochs=0", "model.epochs", "0 is out of range"),
        ("stages.model.batch_size=401", "model.batch_size", "401 is more than the 308 samples"),
        ("stages.model.sampling={policy: random, budget: 785}", "model.sampling.budget", "785 is more than the"),
        ("stages.model.optimiser.encoder_factor=0", "model.optimiser.encoder_factor", "Give `initial`"),
        ("stages.model.mirrored=[keypoint]", "model.mirrored", "Did you mean 'keypoints'"),
        ("stages.model.task_weights={dpeth: 2}", "model.task_weights", "Did you mean 'depth'"),
        ("stages.model.tasks=[keypoints, keypoints]", "model.tasks[1]", "duplicate task"),
        ("stages.model.tasks=[{name: depth, heads: light}]", "model.tasks[0].heads", "Did you mean 'head'"),
        ("stages.model.augmentation=lihgt", "model.augmentation", "Did you mean 'light'"),
        ("stages.model.augmentation={policy: light, rotate: 7}", "model.augmentation.rotate", "no key 'rotate'"),
        ("stages.model.network.backbone=vgg", "model.network.backbone", "vgg"),
        ("stages.zero_shot.splits=[tset]", "zero_shot", "there is no split 'tset'"),
        ("stages.zero_shot.align={fit: 3, split: trian}", "zero_shot", "there is no split 'trian'"),
        ("stages.zero_shot.model=dataset", "zero_shot.model", "dataset is no model but a dataset"),
        (
            "stages.zero_shot.benchmark_root=model",
            "zero_shot.benchmark_root",
            "model is no benchmark or dataset but a model",
        ),
        (
            "stages.model={tasks: [segmentation], mirrored: []}",
            "zero_shot.model",
            "no task 'keypoints', which the benchmark scores",
        ),
        ("stages.adapted.train_split=common", "adapted", "common"),
        ("stages.adapted={train_split: common, benchmark_root: standin}", "adapted", "the test split 'common'"),
        ("stages.dataset.shard_size=20001", "dataset.shard_size", "20,001 is out of range, which is 1 to 20,000"),
        ("stages.adapted.val_split=train", "adapted.val_split", "cannot both train and validate"),
        ("stages.adapted.adapter={sise: 28}", "adapted.adapter.sise", "Did you mean 'size'"),
        ("stages.adapted.augmentation=none2", "adapted.augmentation", "no policy"),
        ("stages.report.evaluations=[zero_shot, model]", "report.evaluations.1", "model is no evaluation but a model"),
        # what only this machine can tell
        ("stages.dataset.generator={name: anny, device: cuda}", "dataset.generator.device", "no CUDA device"),
        ("stages.dataset.filters=[{name: detector, device: gpu0}]", "dataset.filters[0].device", "'gpu0' is no device"),
        ("stages.model.hardware={accelerator: gpu}", "model.hardware.accelerator", "no CUDA device"),
        ("stages.adapted.hardware={accelerator: cuda}", "adapted.hardware.accelerator", "no CUDA device"),
        (
            "stages.dataset.generator={name: anny, background: {folder: nothere}}",
            "dataset.generator.background.folder",
            "there is no folder nothere",
        ),
        (
            "stages.dataset.generator={name: anny, background: {folder: tests}}",
            "dataset.generator.background.folder",
            "tests holds no file ending in .jpg",
        ),
        ("stages.dataset.generator={name: recorded, root: nothere}", "dataset.generator.root", "no folder nothere"),
        # what does not fit together
        (
            "stages.dataset.generator={name: anny, background: {folder_share: 0.5}}",
            "dataset.generator.background.folder_share",
            "name it (folder)",
        ),
        ("stages.dataset.generator={name: anny, batch_size: 1e9}", "dataset.generator.batch_size", "1 to 1,024"),
        ("stages.model.hardware={devices: 5}", "model.batch_size", "16 does not divide over 5 devices"),
        (
            "stages.model={tasks: [{name: segmentation, head: paper}, keypoints, depth], more_sizes: [32]}",
            "model.more_sizes[0]",
            "crops of 32 px: a U-Net on a map of 8 x 8",
        ),
        (
            "stages.model.network={backbone: timm, model: convnext_atto, input_size: 16, channels: 8}",
            "model.network.input_size",
            "cannot take 2 crops of 16 px",
        ),
        ("stages.model.network={backbone: timm, model: xyzzy}", "model.network.model", "timm has no model 'xyzzy'"),
        ("stages.model.network.width=0.5", "model.initial", "it has another network or other tasks"),
        (
            "stages.model.network={backbone: unet, input_size: 96, width: 0.1}",
            "adapted.with_levels",
            "no feature pyramid",
        ),
    ],
)
def test_it_is_named_with_its_place(tmp_path: Path, override: str, where: str, told: str) -> None:
    more = ["stages.adapted.with_levels=true"] if where.endswith("with_levels") else []
    if where != "model.initial":  # else it would answer other networks and tasks first
        more.append('stages.model.initial=""')
    with pytest.raises(UserError) as caught:
        check(tmp_path / "out", override, *more)
    assert f"stages.{where}" in caught.value.message
    assert told in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_would_run_and_why(tmp_path: Path) -> None:
    assert {(r.status, r.reason) for r in check(tmp_path / "out")} == {("would run", "starting")}


def test_folders_are_held_to_the_same(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.dataset: .*face is no dataset but a model"):
        check(tmp_path / "out", "stages.model.dataset=face")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"model\.dataset: .*empty is no dataset"):
        check(tmp_path / "out", f"stages.model.dataset={tmp_path / 'empty'}")
    described = {"format": 1, "network": {}, "tasks": [{"name": "depth"}]}
    (tmp_path / "empty" / "model.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"zero_shot\.model: it has no task 'keypoints'"):
        check(tmp_path / "out", f"stages.zero_shot.model={tmp_path / 'empty'}")


OTHER_POINTS = """
from dataclasses import dataclass
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Benchmark
from synthforge.core.schemas import PointSchema

@dataclass
class NoKeys:
    pass

class Two(Benchmark):
    task, schema, splits, crop_scale = "keypoints", "two-points", ("test",), 1.0
    def __init__(self, config): pass
    def items(self, split): return []
    def load(self, item): raise AssertionError
    def score(self, results): raise AssertionError

@hookimpl
def register_schemas(register):
    register(PointSchema("two-points", mirror=(1, 0), edges=((0, 1),), eye_corners=(0, 1)))

@hookimpl
def register_benchmarks(register):
    register("two", Two, config=NoKeys, summary="two points")
"""


def test_points_that_nobody_can_translate_are_told_before_the_first_stage(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(OTHER_POINTS)
    file = tmp_path / "score.yaml"
    file.write_text(
        "plugins: [./two.py]\n"
        "stages:\n"
        "  faces: {run: generate, generator: anny, samples: 8}\n"
        "  model: {run: train, dataset: faces, tasks: [keypoints], batch_size: 2}\n"
        "  score: {run: evaluate, model: model, benchmark: two, splits: [test]}\n"
    )
    with pytest.raises(UserError, match=r"stages\.score\.benchmark: no mapping from .* 'ibug68' to 'two-points'"):
        run_pipeline(load_pipeline(file, KINDS), tmp_path / "out", say=lambda _: None, dry=True)
