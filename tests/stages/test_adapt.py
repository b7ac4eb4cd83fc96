"""`adapt`: new scenes near hard ones: deterministic, within the declared distributions, with their parents recorded."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthforge.core.errors import ConfigError, ConfigWarning
from synthforge.core.nearby import Origin
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.core.plugins import load_plugins
from synthforge.datasets.reader import ShardDataset
from synthforge.stages import KINDS, generate

BALLKIT = Path(__file__).resolve().parents[1] / "third_party/ballkit/ballkit.py"

NEAR = """
    def sample_from(self, origin: Origin) -> Scene:
        rng = origin.stream("ball")
        angles = {"azimuth": rng.uniform(-0.8, 0.8), "elevation": rng.uniform(-0.3, 0.3)}
        centre = rng.uniform(-0.05, 0.05, 3)
        values = {**angles, "centre": centre, "radius": self.radius * rng.uniform(0.5, 1)}
        return Scene(origin.seed, origin.index, values, origin=origin)

    def factors(self):
        radius = Factor("radius", ("parameters.radius",), "uniform", low=0.5 * self.radius, high=self.radius)
        return radius, Factor("centre", ("parameters.centre",), "uniform", low=-0.05, high=0.05, source="made up")
"""

PIPELINE = """
seed: 11
plugins: [./nearball.py]
stages:
  dataset:
    run: generate
    generator: {name: ball}
    annotators: [segmentation, depth]
    samples: 60
    resolution: 48
    shard_size: 10
    workers: 2
  model:
    run: train
    dataset: dataset
    tasks: [{name: segmentation, head: light, width: 0.25}]
    network: {backbone: residual, width: 0.125, channels: 16, input_size: 32}
    epochs: 1
    batch_size: 8
    hardware: {workers: 0, threads: 1, accelerator: cpu}
  harder: {run: adapt, dataset: dataset, model: model, samples: 40, temperature: 2.0, share: 0.8, workers: 2}
  better:
    run: train
    dataset: [dataset, harder]
    initial: model
    tasks: [{name: segmentation, head: light, width: 0.25}]
    network: {backbone: residual, width: 0.125, channels: 16, input_size: 32}
    epochs: 1
    batch_size: 8
    hardware: {workers: 0, threads: 1, accelerator: cpu}
"""


def write_pipeline(folder: Path) -> Path:
    text = BALLKIT.read_text()
    first, last = text.index("    def sample(self"), text.index("    def render(self")
    header = "from synthforge.core.factors import Factor\nfrom synthforge.core.nearby import Origin\n"
    text = text[:first] + NEAR.lstrip("\n") + "\n" + text[last:]
    (folder / "nearball.py").write_text(
        text.replace("from synthforge.core.records", header + "from synthforge.core.records")
        .replace("import Benchmark, Generator", "import Benchmark, OriginGenerator")
        .replace("class Ball(Generator)", "class Ball(OriginGenerator)")
    )
    (folder / "balls.yaml").write_text(PIPELINE)
    return folder / "balls.yaml"


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; `harder` lies beside what it was made from."""
    folder = tmp_path_factory.mktemp("adapt")
    run_pipeline(load_pipeline(write_pipeline(folder), KINDS), folder / "run", say=lambda text: None)
    return folder


def test_parents_are_recorded_and_are_those_the_model_finds_hard(made: Path) -> None:
    old, new = ShardDataset(made / "run/dataset", ["scene"]), ShardDataset(made / "run/harder", ["scene"])
    scores = json.loads((made / "run/harder/scores.json").read_text())
    hard = dict(zip(scores["keys"], scores["hardness"], strict=True))
    assert len(hard) == 60
    assert np.std(scores["losses"]["segmentation"]) > 0
    parents = []
    for number in range(40):
        scene = new[number]["scene"]
        assert scene["index"] == 60 + number, "indices go on where the dataset ends"
        if "parent" in scene:
            parent = scene["parent"]
            assert scene["spread"] == 0.3
            assert old[parent["index"]]["scene"]["seed"] == parent["seed"]
            parents.append(hard[f"{parent['index']:09d}"])
            near, was = scene["parameters"]["radius"], old[parent["index"]]["scene"]["parameters"]["radius"]
            assert 0.05 <= near <= 0.1
            assert near != was
    assert 22 <= len(parents) <= 39
    assert np.mean(parents) > np.mean(list(hard.values())) + 0.3


def test_a_sample_can_be_drawn_again_from_its_record(made: Path) -> None:
    pipeline = load_pipeline(made / "balls.yaml", KINDS)
    ball = pipeline.plugins.build("generator", "ball")
    record = next(s["scene"] for s in ShardDataset(made / "run/harder", ["scene"]) if "parent" in s["scene"])
    again = ball.sample_from(Origin.from_json(record))
    assert again.parameters["radius"] == record["parameters"]["radius"]
    assert again.parameters["centre"] == pytest.approx(record["parameters"]["centre"], abs=1e-8)


def test_the_report_holds_what_was_realised_against_what_was_declared(made: Path) -> None:
    report = json.loads((made / "run/harder/distributions.json").read_text())
    radius, centre = report["factors"]
    assert radius["declared"]["mean"] == pytest.approx(0.075, abs=1e-4)
    assert set(radius["realised"]) == {"dataset", "parents", "new samples"}
    assert radius["realised"]["new samples"]["count"] == 40
    assert centre["realised"]["dataset"]["count"] == 180
    values = [s["scene"]["parameters"]["radius"] for s in ShardDataset(made / "run/harder", ["scene"])]
    assert radius["realised"]["new samples"]["mean"] == pytest.approx(np.mean(values))
    page = (made / "run/harder/distributions.html").read_text()
    assert "radius" in page
    assert "made up" in page


def test_a_model_learns_from_both_datasets(made: Path) -> None:
    description = json.loads((made / "run/better/model.json").read_text())
    assert description["training"]["samples"] == 98  # of 100, two of which validate
    assert description["licences"]["generator ball"] == "CC0-1.0"


@pytest.mark.slow
def test_workers_and_kills_change_no_byte(made: Path, tmp_path: Path) -> None:
    wanted = digests(made / "run/harder")
    run = tmp_path / "run"
    run.mkdir()
    command = ["cp", "-r", *(str(made / "run" / name) for name in ("dataset", "model")), str(run)]
    subprocess.run(command, check=True)
    path = made / "harder.yaml"  # beside the same plugin file: its path stands in the manifest
    path.write_text(PIPELINE.partition("  better:")[0])
    arguments = [sys.executable, "-m", "synthforge", "run", str(path), "--out", str(run), "--set"]
    process = subprocess.Popen(
        [*arguments, "stages.harder.workers=1"], stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not list((run / "harder").glob("shard-*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1.0)
    done = subprocess.run([*arguments, "stages.harder.workers=3"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert digests(run / "harder") == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("share: 0.8", "share: 1.8"), "share: 1.8 is out of range, which is 0 to 1"),
        (("temperature: 2.0", "temperatur: 2.0"), "Did you mean 'temperature'?"),
        (("samples: 40", "samples: 0"), "samples: 0 is out of range"),
        (("model: model", "model: modle"), "Did you mean 'model'?"),
    ],
)
def test_mistakes_are_answered_before_anything_starts(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = write_pipeline(tmp_path)
    path.write_text(PIPELINE.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path, KINDS)
    assert message in f"{caught.value} {caught.value.hint}"


def test_a_generator_that_cannot_names_those_that_can(made: Path, tmp_path: Path) -> None:
    path = write_pipeline(tmp_path)
    plain = BALLKIT.read_text()
    (tmp_path / "nearball.py").write_text(plain)
    text: Any = PIPELINE.partition("  better:")[0].replace("dataset: dataset", f"dataset: {made / 'run/dataset'}")
    path.write_text(text)
    with pytest.raises(ConfigError, match="'ball' cannot draw scenes near others") as caught:
        run_pipeline(load_pipeline(path, KINDS), tmp_path / "run", say=lambda line: None)
    assert "anny" in str(caught.value.hint)
    assert "next3d" in str(caught.value.hint)
    assert not (tmp_path / "run/dataset").exists()


def test_the_keys_of_a_manifest_are_those_that_made_it() -> None:
    """Every key of `anny`, infinite ends of ranges and angles in radians included, survives the manifest."""
    plugins = load_plugins()
    made = plugins.bind("generator", {"name": "anny", "preset": "frontal"})
    content = json.loads(json.dumps({"generator": "anny", "generator_config": generate.as_json(made.config)}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        again = plugins.bind("generator", generate.reference_of(content, plugins, "manifest"))
    assert again.config == made.config
