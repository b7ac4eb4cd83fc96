"""Every shipped pipeline: it loads, every key and reference of it is right, and a tiny one runs through every stage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from synthforge_plugins.benchmarks import celebamask_hq, lapa, w300
from tiny_trees import CELEBA, write_trees

from synthforge.assets import registry
from synthforge.cli.common import run_folder, shipped_configs
from synthforge.core import pipeline as engine
from synthforge.core.config import read_yaml
from synthforge.core.errors import ConfigError
from synthforge.core.pipeline import StageResult, load_pipeline, run_pipeline
from synthforge.core.plugins import load_plugins
from synthforge.stages import KINDS

CONFIGS = shipped_configs()
TABLES = ("table1_300w", "table2_lapa", "table3_celebamask_hq", "depth_lapa_d")
BACKBONES = {"paper": ("sb", "rs", "deca"), "laptop": ("sb", "rs")}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return write_trees(tmp_path_factory.mktemp("trees"))


def settings_for(name: str, trees: Mapping[str, Path], backbones: Path | None = None) -> list[str]:
    """What a user must say: where the photographs lie, and the backbones where these are not in `runs/`."""
    raw = read_yaml(CONFIGS[name])
    found = {f"benchmarks.{key}": each for key, each in (raw.get("benchmarks") or {}).items()}
    if "benchmark" in raw:
        found["benchmark"] = raw["benchmark"]
    settings = [f"{key}.root={trees[each['name']]}" for key, each in found.items()]
    if "backbones" in (raw.get("defaults") or {}):
        settings.append(f"defaults.backbones={backbones}")
    return settings


def stages_of(name: str, *kinds: str) -> list[str]:
    return [key for key, stage in read_yaml(CONFIGS[name])["stages"].items() if stage["run"] in kinds]


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Licensed files are another test's."""
    monkeypatch.setattr(engine, "_check_lacking", lambda *_: None, raising=False)


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize("name", CONFIGS)
def test_every_key_and_reference_is_right(name: str, trees: Mapping[str, Path], tmp_path: Path) -> None:
    for model in BACKBONES["paper"]:
        (tmp_path / "backbones" / model).mkdir(parents=True)
        tasks = [{"name": task} for task in ("keypoints", "segmentation", "depth")]
        (tmp_path / "backbones" / model / "model.json").write_text(
            json.dumps({"network": {"backbone": "residual"}, "tasks": tasks})
        )
    settings = settings_for(name, trees, tmp_path / "backbones")
    settings += [f"stages.{stage}.batch_size=2" for stage in stages_of(name, "finetune")]  # the trees are tiny
    pipeline = load_pipeline(CONFIGS[name], KINDS, overrides=settings)
    results = run_pipeline(pipeline, tmp_path / "out", say=lambda _: None, dry=True)
    assert [result.name for result in results] == list(read_yaml(CONFIGS[name])["stages"])
    assert pipeline.description
    reports = [stage.config for stage in pipeline.stages if stage.kind.name == "report"]
    listed = [each for report in reports for each in report.evaluations]
    if reports:
        assert sorted(listed) == sorted(stage.name for stage in pipeline.stages if stage.kind.name == "evaluate")
    used = {value for stage in pipeline.stages for value in stage.references.values()}
    idle = [
        s.name
        for s in pipeline.stages[:-1]
        if s.kind.name in ("generate", "finetune", "standin") and s.name not in used
    ]
    only_pictures = all(stage.kind.name == "generate" for stage in pipeline.stages)  # for a study, or for the user
    assert only_pictures or not idle


@pytest.mark.usefixtures("no_files")
@pytest.mark.parametrize("name", [name for name in CONFIGS if stages_of(name, "train")])
def test_what_a_network_learns_from_is_in_its_dataset(name: str, trees: Mapping[str, Path], tmp_path: Path) -> None:
    pipeline = load_pipeline(CONFIGS[name], KINDS, overrides=settings_for(name, trees, tmp_path))
    stages = {stage.name: stage.config for stage in pipeline.stages}
    for trained in stages_of(name, "train"):
        config = stages[trained]
        for dataset in config.dataset if isinstance(config.dataset, list) else [config.dataset]:
            made = stages[dataset] if hasattr(stages[dataset], "annotators") else stages[stages[dataset].dataset]
            held = {field.name: field.schema for annotator in made.annotators for field in annotator.built.fields}
            for reference in config.tasks:
                task = reference.built
                assert task.fields[0] in held
                if name.startswith("paper/"):
                    assert held[task.fields[0]] == task.schema


def test_without_backbones_a_table_says_what_is_missing(trees: Mapping[str, Path], tmp_path: Path) -> None:
    settings = settings_for("laptop/table1_300w", trees, tmp_path)
    with pytest.raises(ConfigError, match=r"stages\.sb_scores\.model: '.*/sb' is not an earlier stage"):
        load_pipeline(CONFIGS["laptop/table1_300w"], KINDS, overrides=settings)


def test_shipped_runs_of_one_name_do_not_share_a_folder() -> None:
    folders = {run_folder(path, None) for path in CONFIGS.values()}
    assert len(folders) == len(CONFIGS)
    assert run_folder(CONFIGS["paper/backbones"], None) == Path("runs/paper/backbones")
    assert run_folder(Path("mine/thing.yaml"), None) == Path("runs/thing")
    for folder in BACKBONES:
        table = read_yaml(CONFIGS[f"{folder}/table1_300w"])
        assert table["defaults"]["backbones"] == f"runs/{folder}/backbones"


@pytest.mark.parametrize(("table", "published"), [(TABLES[0], w300.PUBLISHED), (TABLES[1], lapa.PUBLISHED)])
def test_ours_are_called_as_the_published_rows(table: str, published: tuple) -> None:
    """The report sets ours under the published row of the same name."""
    ours = {stage.get("label") for stage in read_yaml(CONFIGS[f"paper/{table}"])["stages"].values()}
    trained = {row.method for row in published if re.match(r"SB|Random sampling|DECA", row.method)}
    assert trained <= ours
    assert {row.method for row in celebamask_hq.PUBLISHED if row.method.startswith("SB")} <= {
        stage.get("label") for stage in read_yaml(CONFIGS[f"paper/{TABLES[2]}"])["stages"].values()
    }


def test_the_papers_numbers() -> None:
    stages = load_pipeline(CONFIGS["paper/backbones"], KINDS).stages
    dataset, sb, rs, deca = (stage.config for stage in stages)
    assert (dataset.samples, dataset.resolution) == (100_000, 512)
    made = dataset.generator.config
    assert list(made.field_of_view) == [12, 27]
    assert (made.azimuth, made.elevation, made.radius) == (0.8, 0.8, 2.7)
    for model in (sb, rs, deca):
        assert (model.network.backbone, model.network.channels, model.network.input_size) == ("unet", 64, 256)
        assert (model.optimiser.lr, model.optimiser.encoder_factor, model.optimiser.final_lr) == (1e-4, 0.1, 1e-5)
        assert model.batch_size == 16
        assert model.self_supervision.weight > 0
    assert (sb.sampling.policy, rs.sampling.policy, deca.sampling.policy) == ("all", "random", "all")
    for table in TABLES:
        for stage in read_yaml(CONFIGS[f"paper/{table}"])["stages"].values():
            if stage["run"] == "finetune":
                assert (stage["lr"], stage["final_lr"]) == (1e-4, 1e-6)


def small(name: str, **dataset: int) -> list[str]:
    """Overrides that make a run of a configuration as short as it can be."""
    found = [f"stages.{stage}.{key}={value}" for stage in stages_of(name, "generate") for key, value in dataset.items()]
    for stage in stages_of(name, "train"):
        found += [f"stages.{stage}.network.{key}" for key in ("width=0.125", "channels=16", "input_size=64")]
        found += [f"stages.{stage}.{key}" for key in ("max_steps=2", "batch_size=2", "hardware.workers=0")]
        if "sampling" in read_yaml(CONFIGS[name])["stages"][stage]:
            found.append(f"stages.{stage}.sampling.budget=4")
    for stage in stages_of(name, "finetune"):
        found += [f"stages.{stage}.{key}" for key in ("max_steps=1", "batch_size=2", "hardware.workers=0")]
    return found


def run(name: str, out: Path, overrides: list[str]) -> list[StageResult]:
    pipeline = load_pipeline(CONFIGS[name], KINDS, overrides=overrides)
    return run_pipeline(pipeline, out, say=lambda _: None)


def check_report(folder: Path, published: bool = True) -> None:
    """One page in three forms, every row in each."""
    data = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    page, text = ((folder / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    for row in data["evaluations"]:
        assert row["label"] in page
        assert row["label"] in text
        assert row["count"] > 0
        assert bool(row["published"]) == published
        assert row["primary"] in row["values"]


@pytest.fixture(scope="module")
def laptop_backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("laptop")
    done = run("laptop/backbones", out, small("laptop/backbones", samples=8, resolution=64, shard_size=4))
    assert [result.status for result in done] == ["done"] * 3
    return out


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_a_laptops_tables_run(table: str, laptop_backbones: Path, trees: Mapping[str, Path], tmp_path: Path) -> None:
    name = f"laptop/{table}"
    settings = settings_for(name, trees, laptop_backbones) + small(name)
    run(name, tmp_path / "out", settings)
    check_report(tmp_path / "out/report", published=table != "depth_lapa_d")
    again = run(name, tmp_path / "out", settings)
    assert {result.status for result in again} == {"up to date"}


@pytest.mark.slow
def test_both_real_benchmarks_in_one_run(trees: Mapping[str, Path], tmp_path: Path) -> None:
    settings = settings_for("real", trees) + small("real", samples=8, resolution=64, shard_size=4)
    settings += ['stages.small.initial=""', "defaults.learn.hardware.devices=1"]
    settings += [f"stages.{stage}.hardware.devices=1" for stage in stages_of("real", "train")]
    run("real", tmp_path / "out", settings)
    check_report(tmp_path / "out/report")
    rows = json.loads((tmp_path / "out/report/report.json").read_text())["evaluations"]
    assert [(row["benchmark"], row["split"]) for row in rows] == [("300w", "val")] * 3 + [("celebamask-hq", "val")] * 3
    assert {"mean_f1/14", "mean_f1/18"} <= rows[-1]["values"].keys()
    assert rows[-1]["count"] == sum(162_771 <= index < 182_638 for index in CELEBA.values())
    text = (tmp_path / "out/report/report.md").read_text(encoding="utf-8")
    (line,) = re.findall(
        r"^\| method \| 300w, val: NME.*mean F1 over 14 classes.*over 18 classes.*$", text, re.MULTILINE
    )
    assert text.index("## Summary") < text.index(line)


@pytest.mark.slow
def test_the_papers_tables_run_on_made_up_files(
    trees: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "fake"))
    for kind, plugin in (("annotator", "deca"), ("generator", "next3d")):
        entry = load_plugins().entry(kind, plugin)
        assert entry.fake is not None
        for asset, path in entry.fake(tmp_path / plugin).items():
            registry.add_asset(asset, path)
    backbones = tmp_path / "backbones"
    run("paper/backbones", backbones, small("paper/backbones", samples=6, resolution=128, shard_size=3, workers=2))
    for table in TABLES:
        name = f"paper/{table}"
        run(name, tmp_path / table, settings_for(name, trees, backbones) + small(name))
        check_report(tmp_path / table / "report", published=table != "depth_lapa_d")
    rows = json.loads((tmp_path / "table1_300w/report/report.json").read_text())["evaluations"]
    assert {row["label"] for row in rows} == {row.method for row in w300.PUBLISHED[4:]}
