"""ONNX files: onnxruntime answers as torch does, and the metadata is enough to use one without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blobs import BlobBenchmark, Blobs, tiny
from click.testing import CliRunner
from torch.nn import functional

import synthforge as sf
from synthforge.cli.main import cli
from synthforge.core.errors import UserError
from synthforge.core.schemas import POINT_SCHEMAS
from synthforge.core.shipped import find_model
from synthforge.datasets import crops
from synthforge.learning import model as learning
from synthforge.learning.config import FinetuneConfig, SelfSupervisionConfig
from synthforge.learning.finetune import finetune
from synthforge.learning.onnx_file import export_onnx
from synthforge.learning.train import train
from synthforge.prediction.predictor import Predictor
from synthforge.stages import export as stage

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "onnx_points.py"
BLOCKED = "import runpy, sys; sys.modules['torch'] = sys.modules['synthforge'] = None; sys.argv = sys.argv[1:]; "


def export(*line: str) -> dict[str, Any]:
    found = CliRunner().invoke(cli, ["export", *line, "--json", "-"])
    assert found.exit_code == 0, found.output
    told: dict[str, Any] = json.loads(found.stdout)
    return told


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "face.onnx"
    export("face", "--onnx", str(file), "--second-look", str(file.with_name("face.look.onnx")))
    return file


def differences(file: Path, folder: Path, crops_of: dict[int, torch.Tensor]) -> dict[str, float]:
    """Largest difference of each output to the model's own prediction, one look without mirroring."""
    session, model = onnxruntime.InferenceSession(str(file)), learning.load_model(folder)
    tasks = json.loads(session.get_modelmeta().custom_metadata_map["synthforge"])["tasks"]
    found = session.run(list(tasks), {f"crop{size}": images.numpy() for size, images in crops_of.items()})
    gaps = {}
    for (name, told), values in zip(tasks.items(), found, strict=True):
        images = crops_of[int(told["input"].removeprefix("crop"))]
        wanted = model.predict(images, flip=False, tasks=[name])[name][model.tasks[name].output].numpy()
        assert values.shape == wanted.shape
        gaps[name] = float(np.abs(values - wanted).max() / max(1.0, np.abs(wanted).max()))
    return gaps


def test_answers_are_those_of_torch(face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On noise and on rendered faces, in batches the graph was not traced with."""
    monkeypatch.setattr(learning, "native_bf16", lambda kind: False)
    generator = torch.Generator().manual_seed(3)
    noise = {size: torch.rand(3, 3, size, size, generator=generator) for size in (160, 112)}
    rendered: dict[int, list[torch.Tensor]] = {160: [], 112: []}
    for index in range(2):
        made = sf.sample("anny", seed=5, index=index, resolution=192)
        square = crops.square_box(crops.tight_box(made.annotations["landmarks2d"]), 1.3)
        for size, images in rendered.items():
            images.append(torch.from_numpy(crops.crop(made.image, square, size)[0]).permute(2, 0, 1) / 255)
    for batch in (noise, {size: torch.stack(images) for size, images in rendered.items()}):
        gaps = differences(face, find_model("face"), batch)
        assert {"keypoints", "segmentation", "depth", "mesh", "arkit", "head-pose", "gaze", "openness"} <= set(gaps)
        assert max(gaps.values()) < 1e-4, gaps
    assert face.stat().st_size < 15_000_000


def test_the_metadata_says_what_to_feed_and_what_comes_out(face: Path) -> None:
    session = onnxruntime.InferenceSession(str(face))
    told = json.loads(session.get_modelmeta().custom_metadata_map["synthforge"])
    described = json.loads((find_model("face") / "model.json").read_text())
    assert told["weights_sha256"] == described["sha256"]["model.safetensors"]
    assert told["crop"]["scale"] == described["crop_scale"]
    assert told["licences"] == described["licences"]
    assert {given["name"]: given["size"] for given in told["inputs"]} == {"crop160": 160, "crop112": 112}
    assert [given.shape[1:] for given in session.get_inputs()] == [[3, 160, 160], [3, 112, 112]]
    assert all(isinstance(given.shape[0], str) for given in session.get_inputs())
    assert told["tasks"]["keypoints"]["second_look_left_out"] is True
    assert told["tasks"]["depth"]["second_look_left_out"] is False
    assert told["tasks"]["keypoints"]["mirror"] == list(POINT_SCHEMAS["ibug68"].mirror)
    assert len(told["tasks"]["segmentation"]["classes"]) == 29
    assert told["photographs_seen"] == []
    assert "metres" in told["tasks"]["depth"]["meaning"]
    assert "logit of being seen" in told["tasks"]["mesh"]["frame"]
    assert "jawOpen" in told["tasks"]["arkit"]["frame"]


def test_networks_of_the_second_look_answer_as_in_torch(face: Path) -> None:
    """On noise, a different number of patches for each; the metadata says all that `look_again` takes from them."""
    looks = list(learning.load_model(find_model("face")).looks_for("keypoints"))
    session = onnxruntime.InferenceSession(str(face.with_name("face.look.onnx")))
    told = json.loads(session.get_modelmeta().custom_metadata_map["synthforge"])["second_look"]
    assert len(told) == len(looks) > 1
    generator = torch.Generator().manual_seed(3)
    patches = [torch.rand(3 + i, 3, each["size"], each["size"], generator=generator) for i, each in enumerate(told)]
    feed = {each["input"]: images.numpy() for each, images in zip(told, patches, strict=True)}
    firsts = {
        each["directions"]["first"]: functional.normalize(torch.rand(len(images), 3, 3, generator=generator), dim=-1)
        for each, images in zip(told, patches, strict=True)
        if "directions" in each
    }
    assert len(firsts) == 1
    feed |= {name: value.numpy() for name, value in firsts.items()}
    found = session.run([each["output"] for each in told], feed)
    also = told[0]["directions"]
    (directions,) = session.run([also["output"]], feed)
    wanted = looks[0].with_directions(patches[0], firsts[also["first"]])[1].numpy()
    assert float(np.abs(directions - wanted).max()) < 1e-4
    assert (also["task"], also["vectors"]) == ("gaze", list(looks[0].info.vectors))
    for look, each, images, points in zip(looks, told, patches, found, strict=True):
        assert float(np.abs(points - look(images).numpy()).max()) < 1e-4
        parts = [(list(part["points"]), part["mirrored"], part["side"]) for part in each["parts"]]
        expected = zip(map(list, look.info.parts), look.info.mirrored, look.info.sides, strict=True)
        assert parts == list(expected)
        assert each["share"] == look.info.share


@pytest.mark.parametrize("box", [(378.0, 128.0, 520.5, 260.0), (-30.5, 20.0, 80.0, 130.0)])
@pytest.mark.parametrize("again", [False, True], ids=["first", "second"])
def test_the_examples_need_no_torch(
    face: Path, box: tuple[float, ...], again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And find the points that the model does, on a face and over the edge of the photograph."""
    monkeypatch.setattr(learning, "native_bf16", lambda kind: False)
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLE.parent))
    photograph = ROOT / "docs" / "images" / "astronaut.jpg"
    example = EXAMPLE.with_name("onnx_second_look.py") if again else EXAMPLE
    code = f"{BLOCKED}runpy.run_path({str(example)!r}, run_name='__main__')"
    files = [str(face), str(face.with_name("face.look.onnx"))] if again else [str(face)]
    line = [sys.executable, "-c", code, str(example), *files, str(photograph), *map(str, box)]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    x0, y0, x1, y1 = box
    predictor = Predictor.load(find_model("face"), passes=1, flip=False, second_look=again)
    wanted = predictor(photograph, [(x0, y0, x1, y1)])[0].points
    # Pillow rounds a turned patch to 8 bits: hundredths of a pixel
    np.testing.assert_allclose(np.array(json.loads(done.stdout)), wanted, atol=0.05 if again else 0.01)


def test_commands_take_a_file_as_a_model(face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks, with the mirrored crop and the second look that lies beside the file."""
    monkeypatch.setattr(learning, "native_bf16", lambda kind: False)
    photograph, box = ROOT / "docs" / "images" / "astronaut.jpg", (378.0, 128.0, 520.5, 260.0)
    found, wanted = (sf.load_model(model, tasks=["all"])(photograph, [box])[0] for model in (face, "face"))
    np.testing.assert_allclose(found.points, wanted.points, atol=0.02)
    assert np.mean(found.labels != wanted.labels) < 1e-3
    assert sorted(found.values) == sorted(wanted.values)
    assert len(found.values) == 8


@pytest.mark.slow
def test_integers_answer_nearly_as_torch_does(face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrated on rendered faces; the points move by less than 1 % of the face, in a smaller file."""
    monkeypatch.setattr(learning, "native_bf16", lambda kind: False)
    monkeypatch.setattr(stage, "CALIBRATION_FACES", 8)
    file, looks = tmp_path / "face8.onnx", tmp_path / "face8.look.onnx"
    told = export("face", "--onnx", str(file), "--second-look", str(looks), "--task", "keypoints", "--int8")
    assert "8-bit" in told["onnx"]["metadata"]["arithmetic"]
    assert 0 < told["onnx"]["difference"] < 0.1
    assert looks.stat().st_size < face.with_name("face.look.onnx").stat().st_size
    photograph, box = ROOT / "docs" / "images" / "astronaut.jpg", (378.0, 128.0, 520.5, 260.0)
    found, wanted = (sf.load_model(model, tasks=["keypoints"])(photograph, [box])[0].points for model in (file, "face"))
    far = np.linalg.norm(found - wanted, axis=1)
    assert 0 < far.mean() < 1.4


def test_the_example_is_short() -> None:
    """And the page shows it as it is."""
    code = EXAMPLE.read_text()
    assert len(code.splitlines()) <= 42
    assert code in (ROOT / "docs" / "onnx.md").read_text()


def test_a_model_without_a_second_look_has_none_to_export(tmp_path: Path) -> None:
    train(tiny(max_steps=2, self_supervision=SelfSupervisionConfig(weight=0.0)), "", tmp_path / "m", dataset=Blobs(8))
    with pytest.raises(UserError, match="second look"):
        export_onnx(tmp_path / "m", tmp_path / "x.onnx", second_look=True)
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("own", [False, True], ids=["frozen", "own-encoder"])
def test_a_label_fine_tuned_model_answers_through_its_label_network(
    own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "native_bf16", lambda kind: False)
    train(tiny(max_steps=2, self_supervision=SelfSupervisionConfig(weight=0.0)), "", tmp_path / "m", dataset=Blobs(8))
    config = FinetuneConfig(epochs=1, batch_size=4, lr=1e-3, own_encoder=own)
    finetune(config, tmp_path / "m", BlobBenchmark(), tmp_path / "tuned")
    model = learning.load_model(tmp_path / "tuned")
    task = next(iter(model.adapter_info))
    told = export(str(tmp_path / "tuned"), "--onnx", str(tmp_path / "t.onnx"), "--task", task)["onnx"]
    assert list(told["metadata"]["tasks"]) == [task]
    assert told["metadata"]["photographs_seen"]
    size = model.size_of(task)
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(1))
    assert differences(tmp_path / "t.onnx", tmp_path / "tuned", {size: images})[task] < 1e-4
    key = model.tasks[task].output
    plain, adapted = (model.predict(images, adapted=a, flip=False)[task][key] for a in (False, True))
    assert plain.shape != adapted.shape or float((plain - adapted).abs().max()) > 1e-4  # the check above could fail


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["face"], "--onnx FILE"),
        (["face", "--out", "x", "--task", "depth"], "--task"),
        (["face", "--onnx", "x.onnx", "--task", "smile"], "no task 'smile'"),
        (["face", "--out", "x", "--int8"], "--int8"),
        (["nobody", "--onnx", "x.onnx"], "nobody"),
    ],
)
def test_wrong_lines_are_refused(line: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        CliRunner().invoke(cli, ["export", *line], catch_exceptions=False)
    assert said in f"{caught.value.message} {caught.value.hint}"
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime") as caught:
        export_onnx(find_model("face"), tmp_path / "x.onnx")
    assert "synthforge[onnx]" in str(caught.value.hint)
