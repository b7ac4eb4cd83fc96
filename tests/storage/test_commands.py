"""Every command with its input and output in a store, one test a command; and what has to be a local path says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from by_path import load
from click.testing import CliRunner, Result
from PIL import Image
from stores import TESTS, environment

from synthforge.cli.main import COMMANDS, cli
from synthforge.core.errors import UserError
from synthforge.core.shipped import find_model
from synthforge.core.storage import RemotePath, place

BUCKET = "commands"
HARDWARE = "hardware: {accelerator: cpu, workers: 0, threads: 1}"
PIPELINE = f"""
seed: 1
plugins: [./ballkit.py]
stages:
  data:
    run: generate
    generator: {{name: ball}}
    annotators: [segmentation, depth]
    samples: 8
    resolution: 32
    shard_size: 4
    workers: 1
  model:
    run: train
    dataset: data
    tasks: [{{name: segmentation, head: light, width: 0.1}}]
    network: {{backbone: residual, width: 0.1, channels: 8, input_size: 32}}
    self_supervision: {{weight: 0.0}}
    batch_size: 2
    max_steps: 2
    epochs: null
    {HARDWARE}
  faces: {{run: standin, dataset: data, format: painted-balls, counts: {{train: 4, val: 2}}}}
  tuned:
    run: finetune
    model: model
    benchmark: {{name: painted-balls}}
    benchmark_root: faces
    batch_size: 2
    epochs: 1
    {HARDWARE}
  scores: {{run: evaluate, model: model, benchmark: {{name: painted-balls}}, benchmark_root: faces, splits: [val]}}
  near: {{run: adapt, dataset: data, model: model, samples: 4}}
  page: {{run: report, evaluations: [scores]}}
  given: {{run: export, model: model, evaluations: [scores]}}
"""


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def done(*arguments: object) -> Result:
    result = call(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def here(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with configurations, a stand-in and a photograph; the whole pipeline has run, in a bucket."""
    folder = tmp_path_factory.mktemp("commands")
    kit = (TESTS / "third_party/ballkit/ballkit.py").read_text()
    (folder / "ballkit.py").write_text(kit + load(TESTS.parent / "studies/broken_commands.py").NEAR)
    (folder / "greykit.py").write_text(load(TESTS / "stages/test_probe.py").PLUGIN)
    (folder / "all.yaml").write_text(PIPELINE)
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)).save(folder / "a.png")
    (folder / "video").mkdir()
    shutil.copy(folder / "a.png", folder / "video")
    (folder / "boxes.csv").write_text("a.png,4,4,40,40\n")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment(server), "SYNTHFORGE_CACHE": str(folder / "cache")}.items():
            patch.setenv(name, value)
        patch.setattr("synthforge_plugins.executors.local.is_one_thread", lambda: True)
        patch.chdir(folder)
        fsspec.filesystem("s3", skip_instance_cache=True).mkdir(BUCKET)
        done("run", "all.yaml", "--out", f"s3://{BUCKET}/run", "--json", f"s3://{BUCKET}/run.json")
        done("run", "all.yaml", "--out", "local")
        yield folder


RUN, IT = f"s3://{BUCKET}/run", f"s3://{BUCKET}/made"
#: arguments by command and what then lies in the store, below `made`
CASES = {
    "run": (f"all.yaml --out {RUN}", ""),
    "check": (f"all.yaml --out {RUN} --json {IT}/check.json", "check.json"),
    "generate": (f"all.yaml --out {IT}/data --samples 4", "data/manifest.json"),
    "train": (f"all.yaml --out {RUN} --json {IT}/train.json", "train.json"),
    "finetune": (f"all.yaml --out {RUN}", ""),
    "evaluate": (
        f"{RUN}/model --benchmark painted-balls --root local/faces --split val --plugin ballkit.py --report {IT}/page "
        f"--sheet {IT}/worst.jpg --markdown {IT}/figures.md --json {IT}/figures.json",
        "page/report.html worst.jpg figures.md figures.json",
    ),
    "probe": (
        f"s3://{BUCKET}/face --generator grey --annotator dots --factor brightness=0,100 --persons 2 --resolution 64 "
        f"--plugin greykit.py --out {IT}/probe",
        "probe/probe.html probe/probe.json",
    ),
    "predict": (
        f"{RUN}/model a.png --boxes boxes.csv --out {IT}/found --plugin ballkit.py --passes 1 --json {IT}/found.json",
        "found/a.json found/a.labels.png found/a.overlay.jpg found.json",
    ),
    "track": (
        f"face video --out {IT}/tracked --json {IT}/tracked.json",
        "tracked/video.jsonl tracked/video.mp4 tracked.json",
    ),
    "demo": (f"--out {IT}/demo --json {IT}/demo.json", "demo/page/overview.html demo.json"),
    "report": (
        f"{RUN}/scores --out {IT}/report --plugin ballkit.py --json {IT}/report.json",
        "report/report.html report/report.json report.json",
    ),
    "export": (
        f"{RUN}/model --out {IT}/given --json {IT}/given.json",
        "given/model.json given/model.safetensors given/README.md given.json",
    ),
    "make": (
        f"{IT}/card/recipe.yaml --out {IT}/again --plugin ballkit.py --json {IT}/again.json",
        "again/manifest.json again.json",
    ),
    "verify": (f"{RUN}/data --json {IT}/verified.json", "verified.json"),
    "repair": (f"{IT}/repair --plugin ballkit.py --json {IT}/repair.json", "repair.json"),
    "merge": (f"{IT}/merge", "merge/manifest.json"),
    "show": (f"{RUN}/data --out {IT}/sheet.png --count 2", "sheet.png"),
}
LOCAL_ONLY = {"assets", "plugins", "new", "doctor", "completion"}


def test_no_command_is_forgotten() -> None:
    assert set(CASES) | LOCAL_ONLY == set(COMMANDS)


@pytest.mark.parametrize("name", CASES)
def test_a_command_reads_and_writes_a_store(here: Path, name: str) -> None:
    arguments, expected = CASES[name]
    if name == "probe":
        for path in find_model("face").iterdir():
            there = place(f"s3://{BUCKET}/face/{path.name}")
            assert isinstance(there, RemotePath)
            there.put(path)
    if name == "make":
        done("export", f"{RUN}/data", "--to", "card", "--out", f"{IT}/card", "--plugin", "ballkit.py")
    if name == "merge":
        for part in ("1/2", "2/2"):
            done("generate", "all.yaml", "--out", f"{IT}/merge", "--shards", part)
    if name == "repair":
        place(f"{RUN}/data").rename(place(f"{IT}/repair"))
        tar = place(f"{IT}/repair/shard-00001.tar")
        assert isinstance(tar, RemotePath)
        sound = tar.read_bytes()
        tar.overwrite(sound[:600] + b"x" + sound[601:])
    result = done(name, *arguments.split())
    for file in expected.split():
        path = place(f"{IT}/{file}")
        assert path.is_file(), (file, result.output)
        if file.endswith(".json"):
            json.loads(path.read_bytes())
    if name == "repair":
        assert tar.read_bytes() == sound
        place(f"{IT}/repair").rename(place(f"{RUN}/data"))
    assert not [each.name for each in here.iterdir() if each.name.startswith("s3:")], "a URL was taken for a path"


def test_the_run_in_the_store_is_the_local_one(here: Path) -> None:
    for stage in ("data", "near", "faces", "page"):
        local = {path.relative_to(here / "local").as_posix(): path for path in (here / "local" / stage).rglob("*")}
        for name, path in local.items():
            if path.is_file() and "/." not in name and not name.startswith("page/"):
                assert (place(RUN) / name).read_bytes() == path.read_bytes(), name
            elif path.is_file() and "/." not in name:
                assert (place(RUN) / name).is_file(), name


def test_a_second_predict_keeps_what_is_in_the_store(here: Path) -> None:
    arguments = CASES["predict"][0].split()
    done("predict", *arguments)
    done("predict", *arguments)
    found = json.loads(place(f"{IT}/found.json").read_bytes())
    assert [row["status"] for row in found["images"]] == ["kept"]
    assert found["images"][0]["record"] == f"{IT}/found/a.json"
    (here / "boxes.csv").write_text("a.png,2,2,44,44\n")
    done("predict", *arguments)
    assert list(place(f"{IT}/found/.previous").rglob("a.json")), "the older result is set aside"


def test_a_dataset_is_exported_to_a_store_as_to_a_folder(here: Path) -> None:
    for out in (f"{IT}/rows", "rows"):
        done("export", f"{RUN}/data", "--to", "huggingface", "--out", out, "--plugin", "ballkit.py")
    local = sorted(path.relative_to(here / "rows").as_posix() for path in (here / "rows").rglob("*") if path.is_file())
    assert len([name for name in local if name.endswith(".parquet")]) == 2
    for name in local:
        if not name.startswith("."):
            assert (place(f"{IT}/rows") / name).read_bytes() == (here / "rows" / name).read_bytes(), name
    done("export", f"{RUN}/data", "--to", "huggingface", "--out", f"{IT}/rows", "--plugin", "ballkit.py")
    assert not list(place(f"{IT}/rows").rglob("*.parts")), "nothing of the work is left"


@pytest.mark.slow
def test_an_onnx_file_is_written_to_a_store(here: Path) -> None:
    pytest.importorskip("onnxscript")
    done("export", f"{RUN}/model", "--onnx", f"{IT}/model.onnx")
    assert place(f"{IT}/model.onnx").is_file()


LOCAL: list[list[Any]] = [
    ["run", "s3://commands/all.yaml"],
    ["predict", f"{RUN}/model", "s3://commands/a.png", "--out", "found"],
    ["predict", f"{RUN}/model", "a.png", "--out", "found", "--boxes", "s3://commands/boxes.csv"],
    ["track", "face", "s3://commands/a.mp4", "--out", "found"],
    ["evaluate", f"{RUN}/model", "--benchmark", "300w", "--root", "s3://commands/faces", "--split", "val"],
    ["evaluate", "--predictions", "s3://commands/faces", "--benchmark", "300w", "--root", "x", "--split", "val"],
    ["new", "filter", "mine", "--out", "s3://commands/mine"],
    ["assets", "add", "deca", "s3://commands/deca.tar"],
    ["assets", "convert", "s3://commands/a.pkl", "b.safetensors"],
    ["assets", "fake", "generator", "next3d", "--out", "s3://commands/fake"],
]


@pytest.mark.parametrize("arguments", LOCAL, ids=lambda each: " ".join(each[:2]))
def test_what_has_to_be_local_says_so(here: Path, arguments: list[str]) -> None:
    result = call(*arguments)
    assert isinstance(result.exception, UserError), (result.output, result.exception)
    url = next(each for each in arguments if each.startswith("s3://") and not each.startswith(RUN))
    assert result.exception.message.startswith(f"{url}: ")
    assert "local folders" in result.exception.message
    assert result.exception.hint == "Copy it to this machine first."
    shutil.rmtree(here / "found", ignore_errors=True)


def test_a_store_in_memory_serves_one_process(here: Path, memory: str) -> None:
    done("run", "all.yaml", "--out", memory, "--set", "stages.data.samples=6")
    done("verify", f"{memory}/data")
    done("show", f"{memory}/data", "--out", f"{memory}/sheet.png")
    done("export", f"{memory}/model", "--out", f"{memory}/handed")
    done("report", f"{memory}/scores", "--out", f"{memory}/page2", "--plugin", "ballkit.py")
    for name in ("data/manifest.json", "sheet.png", "handed/model.json", "page2/report.html"):
        assert place(f"{memory}/{name}").is_file()
