"""Models made ready to hand out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from blobs import BlobBenchmark, Blobs, light_tasks, tiny
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from synthforge.cli.main import cli
from synthforge.core.errors import DataError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Scores
from synthforge.evaluation.card import CardText
from synthforge.evaluation.protocol import Evaluation
from synthforge.evaluation.store import save_evaluation
from synthforge.learning.config import FinetuneConfig, OptimiserConfig, SelfSupervisionConfig
from synthforge.learning.export import export_model
from synthforge.learning.finetune import finetune
from synthforge.learning.model import load_model
from synthforge.learning.train import train
from synthforge.stages import export

POINTS = {"faces": 12, "nme": 4.25}
EVALUATION = Evaluation(
    benchmark="300w",
    split="train",
    task=load_plugins().build("task", "keypoints"),
    schema="ibug68",
    scores=Scores({"nme": 4.25, "auc@8": float("nan")}, {"nme": "%"}, {"somebody/1": 4.0}, "nme"),
    count=12,
    available=12,
    protocol={"box": "truth", "passes": 2},
    seconds=1.0,
    details={
        "worst": [{"key": "somebody/1", "index": 0, "error": 4.0, "image": "somebody/1.jpg"}],
        "sets": {"afw": {"faces": 5, "nme": 4.5}, "lfpw": {"faces": 7, "nme": 4.1}, "all": POINTS},
        "groups": {
            "yaw": [
                {"group": "< -30", "faces": 1, "mean": 5.0},
                {"group": "-30 .. 30", "faces": 11, "mean": 4.25, "regions": {"jaw": 6.0}},
            ]
        },
        "boxes": {"missed": 1, "missed_faces": ["somebody/1"]},
        "align": {
            **{"kind": "affine", "split": "", "fitted_on": 30, "without": POINTS, "offset": POINTS, "with": POINTS},
            "by_set": {"without": {"of somebody": POINTS}},
        },
    },
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    config = tiny(
        max_steps=3,
        self_supervision=SelfSupervisionConfig(weight=0.0),
        more_sizes=[48],
        task_sizes={"segmentation": 48},
    )
    train(config, "", folder, dataset=Blobs(16))
    return folder


def write_card(model: Path, out: Path) -> None:
    text = CardText("Name", "Words.", ["It cannot see behind."])
    export.write(model, out, [("zero-shot", EVALUATION)], text)


def test_an_exported_model_answers_as_before_and_is_half_as_large(model: Path, tmp_path: Path) -> None:
    facts = export_model(model, tmp_path / "out")
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {v.dtype for v in weights.values()} == {torch.float16}
    assert facts["bytes"] == (tmp_path / "out" / "model.safetensors").stat().st_size
    assert facts["bytes"] < 0.6 * (model / "model.safetensors").stat().st_size
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found, wanted = (load_model(folder).predict(images) for folder in (tmp_path / "out", model))
    torch.testing.assert_close(found["keypoints"]["points"], wanted["keypoints"]["points"], atol=2e-3, rtol=0)
    assert (
        found["segmentation"]["logits"].argmax(1) == wanted["segmentation"]["logits"].argmax(1)
    ).float().mean() > 0.99


def test_the_card_holds_the_figures_and_no_name_of_a_face(model: Path, tmp_path: Path) -> None:
    write_card(model, tmp_path)
    page, figures = (tmp_path / "README.md").read_text(), (tmp_path / "figures.json").read_text()
    for said in (
        *("# Name", "Words.", "It cannot see behind.", "### zero-shot: 300w, train", "passes: 2"),
        *(
            "| nme | 4.25 % |",
            "| auc@8 | - |",
            "| lfpw | 7 | 4.10 |",
            "#### With one affine map",
            "- `depth`: camera z",
            "The best sizes are 48 pixels for segmentation; `predict` and `evaluate` take them",
        ),
    ):
        assert said in page
    assert "| < -30 | 1 | 5.00 | - |\n| -30 .. 30 | 11 | 4.25 | 6.00 |" in page
    seen = load_model(model).info["training"]
    assert f"Round 1: {seen['samples']} synthetic samples, {seen['samples_seen']} seen." in page
    assert "somebody" not in page + figures
    row = json.loads(figures)["evaluations"][0]
    assert (row["label"], row["values"], row["count"]) == ("zero-shot", {"nme": 4.25, "auc@8": None}, 12)
    assert row["details"]["boxes"] == {"missed": 1}


def test_a_model_that_has_seen_photographs_is_not_exported(model: Path, tmp_path: Path) -> None:
    finetune(FinetuneConfig(epochs=1, batch_size=4), model, BlobBenchmark(), tmp_path / "tuned")
    with pytest.raises(DataError, match="has seen real photographs"):
        export_model(tmp_path / "tuned", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_half_precision_cannot_hold_are_refused(model: Path, tmp_path: Path) -> None:
    described = json.loads((model / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(described | {"sha256": {}}))
    weights = load_file(model / "model.safetensors")
    name = next(key for key, value in weights.items() if value.dtype == torch.float32)
    weights[name] = weights[name] + 1e6
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="float32"):
        export_model(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export_model(tmp_path, tmp_path / "out", dtype="float32")


def test_the_command_writes_a_folder_that_loads(model: Path, tmp_path: Path) -> None:
    save_evaluation(EVALUATION, tmp_path / "zero" / "val", label="zero-shot")
    out = tmp_path / "out"
    line = ["export", str(model), "--out", str(out), "--evaluation", str(tmp_path / "zero"), "--json", "-"]
    found = CliRunner().invoke(cli, line)
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["parameters"] == sum(p.numel() for p in load_model(out).parameters())
    assert "zero-shot" in (out / "README.md").read_text()


def test_heads_learned_on_a_frozen_encoder_are_added_and_leave_other_answers_as_they_are(tmp_path: Path) -> None:
    tasks, no_term = light_tasks(), SelfSupervisionConfig(weight=0.0)
    base, other, both = tmp_path / "base", tmp_path / "other", tmp_path / "both"
    first = tiny(tasks=tasks[:2], epochs=None, max_steps=2, more_sizes=[48], task_sizes={"segmentation": 48})
    train(first, "", base, dataset=Blobs(16))
    frozen = OptimiserConfig(lr=3e-3, final_lr=1e-4, encoder_factor=0.0)
    more = {"optimiser": frozen, "self_supervision": no_term, "mirrored": ["depth"], "epochs": 2}
    train(tiny(tasks=tasks[2:], **more), "", other, dataset=Blobs(16, seed=2), initial=base)
    start, learned = (load_model(folder).backbone.state_dict() for folder in (base, other))
    assert all(torch.equal(start[name], learned[name]) for name in start)  # statistics of normalisation as well
    line = ["export", str(base), "--heads", str(other), "--out", str(both), "--dtype", "float32"]
    found = CliRunner().invoke(cli, line)
    assert found.exit_code == 0, found.output
    whole = load_model(both)
    assert (list(whole.tasks), whole.mirrored) == (["keypoints", "segmentation", "depth"], ("depth",))
    assert {name: whole.size_of(name) for name in whole.tasks} == {"keypoints": 32, "segmentation": 48, "depth": 32}
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    answers = whole.predict(images, flip=False)
    for folder in (base, other):
        for task, prediction in load_model(folder).predict(images, flip=False).items():
            assert all(torch.equal(prediction[key], answers[task][key]) for key in prediction), task
    page = (both / "README.md").read_text()
    assert "- `depth`: camera z" in page
    told = load_model(other).info["training"]
    counts = f"{told['samples']} synthetic samples, {told['samples_seen']} seen"
    assert f"- Output heads of depth, added later on the same encoder: {counts}." in page
    export_model(both, tmp_path / "again", heads=[other], dtype="float32")
    assert [each["tasks"] for each in load_model(tmp_path / "again").info["heads"]] == [["depth"]]


def test_heads_of_another_encoder_are_refused(model: Path, tmp_path: Path) -> None:
    train(tiny(tasks=light_tasks()[:1], max_steps=1, epochs=None), "", tmp_path / "other", seed=5, dataset=Blobs(16))
    with pytest.raises(DataError, match="another encoder"):
        export_model(model, tmp_path / "no", heads=[tmp_path / "other"])
