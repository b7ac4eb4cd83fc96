"""Folders of photographs through a small real model, from boxes in a list; no detector is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge.core.errors import DataError, PluginError, UserError
from synthforge.core.plugins import load_plugins
from synthforge.core.shipped import find_model, shipped_models
from synthforge.learning.config import NetworkConfig
from synthforge.learning.model import FaceModel, build_tasks
from synthforge.prediction.boxes import read_boxes
from synthforge.prediction.detectors import Found
from synthforge.prediction.outcomes import Outcome, check, summary, unreadable
from synthforge.prediction.photographs import list_photographs
from synthforge.prediction.run import PredictOptions, predict_photographs

TASKS = [
    {"name": "keypoints", "head": "light"},
    {"name": "segmentation", "head": "light", "width": 0.1},
    {"name": "depth", "head": "light", "width": 0.1},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tasks, references = build_tasks(TASKS, load_plugins())
    network = NetworkConfig(backbone="residual", width=0.125, channels=12, input_size=32)
    folder = tmp_path_factory.mktemp("model") / "small"
    made = FaceModel(network, tasks, references, info={"crop_scale": 1.5})
    for parameter in made.parameters():  # something that is not all zeros in the last layers
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    made.eval().save(folder)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b.png", "nobody.png"):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3)).astype(np.uint8)).save(folder / name)
    (folder / "boxes.csv").write_text("a.jpg,10,10,50,50\na.jpg,40,20,75,55\nb.png,20,20,50,50\n")
    return folder


def predict(model: Path, photos: Path, out: Path, options: PredictOptions | None = None) -> list[Outcome]:
    listed = list_photographs([str(photos)], out).photographs
    boxes = read_boxes(photos / "boxes.csv", [p.path for p in listed]).found
    return predict_photographs(model, listed, out, options or PredictOptions(), boxes=boxes, progress=False)


def record(out: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    return found


def status(outcomes: list[Outcome]) -> list[str]:
    return [o.status for o in outcomes]


def test_what_is_written(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcomes = predict(model, photos, out)
    assert [(o.file.name, o.status, o.faces) for o in outcomes] == [
        ("a.jpg", "done", 2),
        ("b.png", "done", 1),
        ("nobody.png", "done", 0),
    ]
    told = record(out, "a")
    assert (told["image"]["width"], told["image"]["height"]) == (80, 60)
    assert told["model"]["schemas"] == {"depth": "", "keypoints": "ibug68", "segmentation": "synthforge"}
    assert len(told["model"]["sha256"]) == 64
    assert told["files"] == {"overlay": "a.overlay.jpg", "labels": "a.labels.png", "depth": "a.depth.npz"}
    labels = np.array(Image.open(out / "a.labels.png"))
    assert labels.shape == (60, 80)
    with np.load(out / "a.depth.npz") as depth:
        for i, face in enumerate(told["faces"]):
            left, top, right, bottom = face["region"]
            assert depth[face["depth"]["array"]].shape == (bottom - top, right - left)
            assert np.isfinite(depth[f"depth_{i}"]).all()
            assert face["landmarks"]["schema"] == "ibug68"
            assert np.array(face["landmarks"]["points"]).shape == (68, 2)
            assert sum(face["classes"]["shares"].values()) == pytest.approx(1, abs=1e-4)
            assert 0 <= left < right <= 80
            assert 0 <= top < bottom <= 60
    assert told["faces"][0]["box"] == told["faces"][0]["landmarks_box"] == [10, 10, 50, 50]
    assert record(out, "nobody")["faces"] == []
    assert not np.array(Image.open(out / "nobody.labels.png")).any()
    assert Image.open(out / "nobody.overlay.jpg").width > 100


def test_a_second_call_keeps_and_a_changed_one_sets_aside(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(model, photos, out)
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()}
    assert status(predict(model, photos, out)) == ["kept"] * 3
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.iterdir()} == before
    # Another box for one photograph: it alone is done again, and what was there is set aside.
    (photos / "boxes.csv").write_text("a.jpg,10,10,50,50\na.jpg,40,20,75,55\nb.png,21,20,50,50\n")
    assert status(predict(model, photos, out)) == ["kept", "done", "kept"]
    for suffix in (".json", ".overlay.jpg", ".labels.png", ".depth.npz"):
        (aside,) = (out / ".previous").glob(f"b.*/b{suffix}")
        assert aside.read_bytes() == before[f"b{suffix}"][0]
    # A lost file is made again; so is everything with other options, which leave no file of the old ones behind.
    (out / "a.depth.npz").unlink()
    assert status(predict(model, photos, out)) == ["done", "kept", "kept"]
    assert status(predict(model, photos, out, PredictOptions(passes=1, overlay="png"))) == ["done"] * 3
    assert not list(out.glob("*.overlay.jpg"))
    assert (
        status(predict(model, photos, out, PredictOptions(passes=1, overlay="none", tasks=("keypoints",))))
        == ["done"] * 3
    )
    assert sorted(p.name for p in out.glob("*.*") if p.is_file()) == ["a.json", "b.json", "nobody.json"]
    assert len(list((out / ".previous").glob("a.*/a.json"))) == 3, "every older result is kept"
    assert "depth" not in record(out, "a")["faces"][0]


def test_points_in_another_schema(model: Path, photos: Path, tmp_path: Path) -> None:
    asked = PredictOptions(passes=1, overlay="jpg", schema="wflw98")
    assert status(predict(model, photos, tmp_path / "out", asked)) == ["done"] * 3
    predict(model, photos, tmp_path / "own", PredictOptions(passes=1, overlay="none"))
    found, own = (record(tmp_path / folder, "a")["faces"][0]["landmarks"] for folder in ("out", "own"))
    assert (found["schema"], own["schema"]) == ("wflw98", "ibug68")
    assert len(found["points"]) == 98
    np.testing.assert_allclose(found["points"][51:60], own["points"][27:36], atol=0.002)
    with pytest.raises(PluginError, match="'ibug68' to 'wflw99'"):
        predict(model, photos, tmp_path / "no", PredictOptions(schema="wflw99"))


def test_results_may_lie_beside_the_photographs(model: Path, photos: Path) -> None:
    assert status(predict(model, photos, photos)) == ["done"] * 3
    assert status(predict(model, photos, photos)) == ["kept"] * 3


def test_files_of_others_are_left_alone(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.json").write_text('{"mine": 1}')
    (out / "b.json").write_text("not JSON")
    (out / "nobody.labels.png").write_text("made by hand")
    outcomes = predict(model, photos, out)
    assert status(outcomes) == ["failed"] * 3
    assert "is there and no record of predict" in outcomes[0].error
    assert "nobody.labels.png is there, and predict did not write it so" in outcomes[2].error
    assert (out / "a.json").read_text() == '{"mine": 1}'
    assert (out / "nobody.labels.png").read_text() == "made by hand"
    assert len(list(out.iterdir())) == 3


def test_a_result_that_was_changed_is_neither_kept_nor_lost(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(model, photos, out)
    data = bytearray((out / "a.labels.png").read_bytes())
    data[-20] ^= 1
    (out / "a.labels.png").write_bytes(data)
    outcomes = predict(model, photos, out)
    assert status(outcomes) == ["failed", "kept", "kept"]
    assert "a.labels.png" in outcomes[0].error
    assert (out / "a.labels.png").read_bytes() == data
    (out / "a.labels.png").unlink()
    assert status(predict(model, photos, out)) == ["done", "kept", "kept"]


def test_photographs_of_one_name_keep_their_results_over_several_calls(model: Path, tmp_path: Path) -> None:
    out, files = tmp_path / "out", [tmp_path / name / "a.png" for name in ("one", "two", "three")]
    for value, path in enumerate(files):
        path.parent.mkdir()
        Image.fromarray(np.full((60, 60, 3), 40 * value, np.uint8)).save(path)

    def call(path: Path) -> Outcome:
        listed = list_photographs([str(path)], out).photographs
        (outcome,) = predict_photographs(model, listed, out, boxes={path: [(10, 10, 50, 50)]}, progress=False)
        return outcome

    first = [call(path) for path in files]
    assert [o.status for o in first] == ["done"] * 3
    assert [json.loads(o.record.read_text())["image"]["file"] for o in first if o.record] == list(map(str, files))
    assert len({o.record for o in first}) == 3
    assert [(o.status, o.record) for o in map(call, reversed(files))] == [("kept", o.record) for o in first[::-1]]
    # An edited photograph is the same one: its old result is set aside under its own name.
    Image.fromarray(np.full((60, 60, 3), 200, np.uint8)).save(files[1])
    again = call(files[1])
    assert (again.status, again.record) == ("done", first[1].record)
    assert again.record
    assert len(list((out / ".previous").glob(f"*/{again.record.name}"))) == 1


def test_a_long_name_and_bytes_that_are_not_utf_8(model: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for name in ("\u9854".encode() * 80 + b".png", b"caf\xe9.png"):
        Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(io := BytesIO(), "PNG")
        (folder / os.fsdecode(name)).write_bytes(io.getvalue())
    listed = list_photographs([str(folder)], out).photographs
    boxes = {p.path: [(10.0, 10.0, 50.0, 50.0)] for p in listed}
    for expected in ("done", "kept"):
        outcomes = predict_photographs(model, listed, out, boxes=boxes, progress=False)
        assert status(outcomes) == [expected] * 2, outcomes
    assert json.dumps(summary(outcomes)).encode()
    assert any("caf\\xe9" in image["file"] for image in summary(outcomes)["images"])


def test_faces_carry_the_detectors_score(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Found((10.0, 10.0, 50.0, 50.0), 1.25), Found((20.0, 20.0, 40.0, 40.0), 0.25)]
    monkeypatch.setattr("synthforge.prediction.detectors._loaded", lambda detector: lambda image, hint: found)
    Image.fromarray(np.zeros((60, 60, 3), np.uint8)).save(tmp_path / "a.png")
    listed = list_photographs([str(tmp_path / "a.png")]).photographs
    for least, scores in ((None, [1.25, 0.25]), (0.5, [1.25])):
        options = PredictOptions(detector="dlib", tasks=("keypoints",), overlay="none", min_score=least)
        predict_photographs(model, listed, tmp_path / "out", options, progress=False)
        assert [face["score"] for face in record(tmp_path / "out", "a")["faces"]] == scores


def test_a_damaged_photograph_does_not_stop_the_others(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = (photos / "a.jpg").read_bytes()
    (photos / "a.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "boxes.csv").write_text("a.jpg,10,10,50,50\nb.png,200,20,250,50\nnobody.png,10,10,50,50\n")
    outcomes = predict(model, photos, out)
    assert status(outcomes) == ["failed", "failed", "done"]
    assert str(photos / "a.jpg") in outcomes[0].error
    assert "b.png" in outcomes[1].error
    assert "outside of the photograph" in outcomes[1].error
    with pytest.raises(DataError, match=r"2 of 3 photographs failed:\n.*a\.jpg.*\n.*b\.png") as told:
        check(outcomes)
    assert told.value.hint == "The others are done."
    with pytest.raises(DataError) as told:
        check(outcomes[:1])
    assert told.value.hint is None
    check(outcomes[2:])
    (photos / "a.jpg").write_bytes(whole)
    assert status(predict(model, photos, out)) == ["done", "failed", "kept"]


def test_a_killed_call_goes_on(model: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:

        def killed(path: Path, data: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("synthforge.prediction.run.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            predict(model, photos, out)
    assert not list(out.glob("*.json"))  # what has no record is not done
    assert status(predict(model, photos, out)) == ["done"] * 3


def test_where_nothing_can_be_read_no_model_is_loaded(photos: Path, tmp_path: Path) -> None:
    listed = list_photographs([str(photos)]).photographs
    assert unreadable(listed) == []
    (photos / "a.jpg").write_bytes(b"no picture")
    assert unreadable(listed) == []  # one of them can
    code = (
        "import sys; from synthforge.cli.main import main\n"
        f"sys.argv = ['synthforge', 'predict', 'face', {str(photos / 'a.jpg')!r}, '--out', {str(tmp_path / 'out')!r}]\n"
        "try: main()\nfinally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False"], done.stderr
    assert done.returncode == 2
    assert "a.jpg is not a whole" in done.stderr


def test_boxes_in_a_detectors_convention(model: Path, photos: Path, tmp_path: Path) -> None:
    predict(model, photos, tmp_path / "out", PredictOptions(boxes_of="dlib"))
    face = record(tmp_path / "out", "b")["faces"][0]
    assert face["box"] == [20, 20, 50, 50]
    assert face["landmarks_box"] != face["box"]


def test_what_concerns_all_photographs_stops_at_once(model: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no task 'normals'"):
        predict(model, photos, tmp_path / "out", PredictOptions(tasks=("normals",)))
    with pytest.raises(UserError, match="no face detector 'tight'"):
        predict(model, photos, tmp_path / "out", PredictOptions(boxes_of="tight"))
    assert not (tmp_path / "out").exists()


def test_the_command(model: Path, photos: Path, tmp_path: Path) -> None:
    whole = (photos / "a.jpg").read_bytes()
    (photos / "a.jpg").write_bytes(whole[:300])
    command = [sys.executable, "-m", "synthforge", "predict", model, photos, "--boxes", photos / "boxes.csv"]
    command += ["--out", tmp_path / "out", "--json", "-", "--tasks", "keypoints", "--input-size", "48", "--flip"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    told = json.loads(done.stdout)["images"]
    assert [image["status"] for image in told] == ["failed", "done", "done"]
    assert "1 of 3 photographs failed" in done.stderr
    assert str(photos / "a.jpg") in done.stderr
    assert "1 faces in 2 images, no face in 1" in done.stderr
    record = json.loads(Path(told[1]["record"]).read_text())
    assert record["model"]["input_size"] == {"keypoints": 48}
    assert "keypoints" in record["model"]["mirrored"]


def test_models_are_found_by_path_and_by_name(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model(model) == model
    with pytest.raises(UserError, match="holds no model"):
        find_model(tmp_path)
    with pytest.raises(UserError, match="there is no model nowhere"):
        find_model("nowhere")
    for name, folder in shipped_models().items():
        assert find_model(name) == folder
    monkeypatch.setattr("synthforge.core.shipped.shipped_models", lambda: {"small": model})
    assert find_model("small") == find_model("models/small") == model
    with pytest.raises(UserError, match="Did you mean 'small'"):
        find_model("smal")


def test_a_record_that_was_damaged_is_named_and_stays(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict(model, photos, out)
    path = out / "a.json"
    sound = path.read_text()
    first = json.loads(sound)["faces"][0]["landmarks"]["points"][0][0]
    path.write_text(sound.replace(repr(first), repr(first + 1), 1))
    damaged = path.read_text()
    outcomes = predict(model, photos, out)
    assert status(outcomes) == ["failed", "kept", "kept"]
    assert "a.json" in outcomes[0].error
    assert "changed or damaged after it was written" in outcomes[0].error
    assert path.read_text() == damaged
    path.write_text(sound)
    assert status(predict(model, photos, out)) == ["kept"] * 3
