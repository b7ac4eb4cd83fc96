"""What is measured is what is served: `evaluate` and `predict` give the same points, bit by bit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge.core.interfaces import Benchmark
from synthforge.core.plugins import load_plugins
from synthforge.core.records import RealItem, RealSample, Scores
from synthforge.evaluation.protocol import ScoringOptions
from synthforge.learning.config import NetworkConfig
from synthforge.learning.model import FaceModel, build_tasks, load_model
from synthforge.prediction.boxes import read_boxes
from synthforge.prediction.photographs import list_photographs
from synthforge.prediction.predictor import PASSES, Predictor
from synthforge.prediction.run import PredictOptions, predict_photographs
from synthforge.stages.predictor import evaluate_model

BOX = (11.0, 8.0, 47.5, 52.25)


class Photographs(Benchmark):
    """Noise of several sizes; keeps what it was given to score."""

    task, schema, splits, crop_scale = "keypoints", "ibug68", ("test",), 1.5

    def __init__(self, root: Path) -> None:
        self.root = root
        self.given: dict[str, np.ndarray] = {}

    def items(self, split: str) -> list[RealItem]:
        return [RealItem(path.stem, path, path) for path in sorted(self.root.glob("*.png"))]

    def load(self, item: RealItem) -> RealSample:
        image = np.array(Image.open(item.image))
        target = np.random.default_rng(1).uniform(10, 50, (68, 2))
        return RealSample(item, image, BOX, target)

    def score(self, results: Iterable[tuple[RealSample, np.ndarray]]) -> Scores:
        self.given = {sample.item.key: prediction for sample, prediction in results}
        return Scores({"nme": 1.0}, {"nme": "%"}, dict.fromkeys(self.given, 1.0), "nme")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    tasks, references = build_tasks(
        [{"name": "keypoints", "head": "light", "width": 16}, {"name": "depth", "head": "light", "width": 0.1}],
        load_plugins(),
    )
    network = NetworkConfig(backbone="residual", width=0.125, channels=12, input_size=32)
    info = {"crop_scale": 1.5, "task_sizes": {"keypoints": 48}, "mirrored": ["keypoints"]}
    made = FaceModel(network, tasks, references, info=info)
    for parameter in made.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    folder = tmp_path_factory.mktemp("model")
    made.eval().save(folder)
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(60, 64), (90, 55), (61, 63), (200, 150), (64, 64)]):
        noise = Image.fromarray(rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)).resize((width, height))
        noise.save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    "options", [{}, {"passes": 1}, {"passes": 3}, {"flip": False}, {"input_size": 40, "flip": True}], ids=str
)
def test_evaluate_and_predict_give_the_same_points(
    model: Path, photographs: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    bench = Photographs(photographs)
    evaluation = evaluate_model(
        model,
        bench,
        "test",
        ScoringOptions(batch_size=3, cases=0, progress=False),
        plugins=load_plugins(),
        name="x",
        **options,
    )
    predictor = Predictor.load(model, **options)
    assert evaluation.protocol["passes"] == predictor.passes == options.get("passes", PASSES)
    assert evaluation.protocol["input_size"] == options.get("input_size", 48)
    for key, points in bench.given.items():
        (face,) = predictor(photographs / f"{key}.png", [BOX])
        assert face.points is not None
        assert np.array_equal(face.points, points)
    assert len(bench.given) == 5
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("".join(f"{key}.png,{','.join(map(str, BOX))}\n" for key in bench.given))
    listed = list_photographs([str(photographs)]).photographs
    given = read_boxes(boxes, [p.path for p in listed]).found
    asked = PredictOptions(overlay="none", **options)
    predict_photographs(model, listed, tmp_path / "out", asked, boxes=given, progress=False)
    for key, points in bench.given.items():
        record = (tmp_path / "out" / f"{key}.json").read_text()
        assert str([[round(float(v), 3) for v in point] for point in points]).replace(" ", "") in "".join(
            record.split()
        )


def test_a_task_is_answered_as_by_the_network_at_its_size(model: Path, photographs: Path) -> None:
    """The same weights at 48 pixels, whether the network was opened for them or not."""
    image = np.array(Image.open(photographs / "0.png"))
    own = Predictor(load_model(model, task="keypoints"))(image, [BOX])[0]
    asked = Predictor.load(model, input_size=48)(image, [BOX])[0]
    assert np.array_equal(own.points, asked.points)  # type: ignore[arg-type]
    told = own.to_json()
    assert told["landmarks"]["schema"] == "ibug68"
    assert told["depth"] == {"array": "depth_0", "unit": "m"}
    assert own.draw(tile=64).size[0] > 64
    assert own.visibility is None
