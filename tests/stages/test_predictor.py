"""Models whose labels have seen a split, and evaluate's keys."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, DataError, UserError
from synthforge.core.records import RealItem
from synthforge.stages.evaluate import EvaluateConfig
from synthforge.stages.predictor import _fine_tuned_on, _training

SPLITS = {"train": range(16), "val": range(16, 20), "all-train": range(20), "common": range(20, 24)}
BENCHMARK: Any = SimpleNamespace(
    task="keypoints",
    schema="ibug68",
    splits=tuple(SPLITS),
    items=lambda split: [RealItem(str(i), Path(str(i)), Path(str(i))) for i in SPLITS[split]],
)


def notes(split: str, **row: Any) -> list[str]:
    tuned = {"benchmark": "300w", "task": "keypoints", "train_split": "train", "train_faces": 16, "val_split": "val"}
    model: Any = SimpleNamespace(info={"real_data": [tuned | row]} if row != {"none": 1} else {})
    return _fine_tuned_on(model, BENCHMARK, split, "300w", Path("model"))


def test_a_figure_over_seen_and_unseen_faces_is_refused() -> None:
    with pytest.raises(UserError, match="fine-tuned on 16 of the 20 faces of 300w all-train") as caught:
        notes("all-train")
    assert "(val)" in str(caught.value.hint)
    with pytest.raises(UserError, match="fine-tuned on 5 of the 16 faces"):
        notes("train", train_faces=5)


def test_the_faces_it_learned_from_get_a_note_and_others_none() -> None:
    assert "no measure of unseen ones" in notes("train")[0]
    assert notes("val") == notes("common") == []
    assert notes("all-train", none=1) == notes("all-train", benchmark="lapa") == notes("all-train", task="depth") == []


def test_the_curves_of_a_training_go_with_what_it_is_measured_by(tmp_path: Path) -> None:
    def history(name: str, *rows: dict[str, Any]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"history": rows}))
        return folder

    both = [
        {"step": n, "epoch": n, "samples": 9, "depth/mae_mm": 1, "keypoints/nme": 5.0 / n, "keypoints/nme/jaw": 1}
        for n in (1, 2)
    ]
    assert _training(history("trained", *both), "keypoints", False) == {"step": [1, 2], "nme": [5.0, 2.5]}
    tuned = [{"step": n, "epoch": n, "samples": 9, "nme": 5.0 / n, "nme/jaw": 1} for n in (1, 2)]
    assert _training(history("tuned", *tuned), "keypoints", True) == {"step": [1, 2], "nme": [5.0, 2.5]}
    assert _training(tmp_path / "tuned", "depth", False) == {}
    assert _training(history("once", tuned[0]), "keypoints", True) == _training(tmp_path, "keypoints", True) == {}
    with pytest.raises(DataError, match="the figures of a training"):
        _training(history("wrong", {"step": "many"}), "keypoints", True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"box": "guess"}, "x.box: 'guess' is not one of truth, jitter, detector"),
        ({"passes": 0}, "x.passes: 0 is out of range, which is 1 to 10"),
        ({"align": {"kind": "spline"}}, "x.align.kind: 'spline' is not one of offset, affine"),
        ({"align": {"fitt": 3}}, "Did you mean 'fit'"),
        ({"worst": -1}, "x.worst: -1 is out of range"),
    ],
)
def test_wrong_keys_are_one_message(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(EvaluateConfig, {"model": "m", **values}, where="stages.x")
    assert message in f"{caught.value} {caught.value.hint}"
    assert "stages.x" in str(caught.value)


def test_attributes_with_dots_stay_whole() -> None:
    config = build_config(EvaluateConfig, {"model": "m", "groups": {"skin.melanin": [0.5, 1], "hair.style": []}})
    assert config.groups == {"skin.melanin": [0.5, 1], "hair.style": []}
