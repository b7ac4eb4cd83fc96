"""`import synthforge`: quick, lazy, and the same from one version to the next.

After a change to the public API that is meant: `python tests/test_front_door.py`, and say so in CHANGELOG.md.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_trees
from PIL import Image
from torch.utils.data import DataLoader

import synthforge as sf

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("front_door.json")
SMALL = {"backbone": "residual", "width": 0.125, "channels": 12, "input_size": 32}


# A generator that is quick to load.
EGGS = """
import numpy as np
from dataclasses import dataclass
from synthforge.core.camera import Camera
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Generator
from synthforge.core.records import Rendering, Scene

@dataclass
class EggsConfig:
    grey: int = 7

class Eggs(Generator):
    batch_size = 4
    def __init__(self, config): self.grey = config.grey
    def sample(self, seed, index): return Scene(seed, index, {})
    def render(self, scenes, resolution):
        camera = Camera(resolution, resolution, [[9, 0, 8], [0, 9, 8], [0, 0, 1]], np.eye(4))
        return [Rendering(s, camera, np.full((resolution, resolution, 3), self.grey, np.uint8)) for s in scenes]

@hookimpl
def register_generators(register):
    register("eggs", Eggs, config=EggsConfig, summary="grey pictures", licence="CC0-1.0")
"""


def signatures() -> dict[str, str]:
    """Everything public: functions and constructors with their parameters, members of classes."""
    found = {}
    for name in sf.__all__:
        item = getattr(sf, name)
        found[name] = str(inspect.signature(item))
        if inspect.isclass(item):
            for member in sorted(vars(item)):
                value = vars(item)[member]
                if isinstance(value, property):
                    found[f"{name}.{member}"] = "property"
                elif not member.startswith("_") and isinstance(value, types.FunctionType | classmethod):
                    found[f"{name}.{member}"] = str(inspect.signature(getattr(item, member)))
    return found


def test_the_public_api_is_the_stored_one() -> None:
    assert signatures() == json.loads(TABLE.read_text()), "see the docstring of this file"


def test_no_function_takes_more_than_eight_parameters() -> None:
    for name in sf.__all__:
        if not inspect.isclass(getattr(sf, name)):
            assert len(inspect.signature(getattr(sf, name)).parameters) <= 8, name


def test_everything_public_is_documented_and_typed() -> None:
    stub = (ROOT / "synthforge/__init__.pyi").read_text()
    assert re.findall(r"import (\w+) as \1\n", stub) == list(sf.__all__)
    for name in sf.__all__:
        assert inspect.getdoc(getattr(sf, name)), name
    assert set(sf.__all__) <= set(dir(sf))
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        _ = sf.load_modle


def test_importing_takes_under_50_milliseconds_and_loads_nothing() -> None:
    code = "import sys; old = set(sys.modules); import synthforge; print(sorted(set(sys.modules) - old))"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.partition(".")[0] for name in re.findall(r"'([\w.]+)'", done.stdout)}
    assert loaded - set(sys.stdlib_module_names) == {"synthforge"}
    line = next(line for line in done.stderr.splitlines() if line.endswith("| synthforge"))
    assert int(line.split("|")[1]) < 50_000  # microseconds


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dlib")
    (example,) = re.findall(r"```python\n(import synthforge.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    small = example.replace("resolution=512", "resolution=48").replace("samples=1000", "samples=2, resolution=48")
    assert small.count("48") == 2
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((96, 96, 3), np.uint8)).save("photo.jpg")
    names: dict[str, Any] = {}
    exec(small, names)
    assert names["face"].image.shape == (48, 48, 3)
    assert list(names["faces"]) == []  # nobody is on that photograph
    assert len(names["data"]) == 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> sf.Dataset:
    return sf.generate(tmp_path_factory.mktemp("api") / "faces", "anny", samples=4, resolution=48, seed=7, workers=1)


def test_a_sample_is_that_of_the_dataset(data: sf.Dataset) -> None:
    alone, stored = sf.sample("anny", seed=7, index=2, resolution=48), data[2]
    assert np.array_equal(alone.image, stored["image"])
    for name, value in alone.annotations.items():
        assert np.allclose(value, stored[name], atol=0.02, equal_nan=True), (
            name
        )  # depth and normals are stored in steps
    assert np.array_equal(alone.camera.intrinsics, stored["camera"].intrinsics)
    assert alone.scene["seed"] == 7
    assert next(iter(DataLoader(data, batch_size=4)))["image"].shape == (4, 48, 48, 3)


def test_faces_of_a_photograph(data: sf.Dataset) -> None:
    model = sf.load_model("face", passes=1, input_size=64)
    faces = model(data[0]["image"], [(10.0, 8.0, 40.0, 40.0)])
    assert faces[0].points is not None
    assert faces[0].points.shape == (68, 2)
    assert faces[0].labels is not None
    assert faces.draw(tile=64).width > 100
    assert json.loads(json.dumps(faces.to_json()))[0]["landmarks"]["schema"] == "ibug68"


def test_a_dataset_becomes_a_model_and_a_figure(data: sf.Dataset, tmp_path: Path) -> None:
    made = sf.train(data, tmp_path / "model", tasks=["keypoints"], epochs=1, batch_size=2, network=SMALL)
    assert made.metrics["step"] == 1
    assert made.load(passes=1)(data[0]["image"], [(10.0, 8.0, 40.0, 40.0)])[0].points is not None
    found = sf.evaluate(made, "synthetic", "all", root=data.root)
    assert found.count == 4
    assert 0 < found.scores.values["nme"] < 1000
    trees = tiny_trees.write_trees(tmp_path / "trees")
    tuned = sf.finetune(made, "300w", tmp_path / "tuned", root=trees["300w"], epochs=1, batch_size=4)
    assert sf.evaluate(tuned, "300w", "common", root=trees["300w"]).count == 4
    assert tuned.metrics["nme"] > 0


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(sf.UserError, match=r"stages\.generate\.smaples: there is no key"):
        sf.generate(tmp_path / "faces", "anny", smaples=3)
    with pytest.raises(sf.UserError, match=r"stages\.generate\.resolution"):
        sf.sample("anny", resolution=5)
    with pytest.raises(sf.UserError, match="there is no model"):
        sf.load_model("fcae")
    assert not (tmp_path / "faces").exists()


def test_a_script_without_a_guard_starts_its_workers_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import synthforge as sf\nprint('once')\n"
        "print(len(sf.generate('out', 'eggs', samples=20, resolution=16, shard_size=5, workers=2, annotators=[],"
        " plugins=['eggs.py'])))\n"
    )
    (tmp_path / "eggs.py").write_text(EGGS)
    done = subprocess.run([sys.executable, script.name], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout.split() == ["once", "20"], done.stderr


if __name__ == "__main__":
    TABLE.write_text(json.dumps(signatures(), indent=1) + "\n")
