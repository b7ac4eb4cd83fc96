"""The worked example of docs/benchmarks.md is under 60 lines and works as printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from synthforge.core.errors import DataError
from synthforge.core.plugins import Plugins, load_plugins
from synthforge.evaluation.protocol import ScoringOptions, evaluate
from synthforge.evaluation.report import write_report
from synthforge.prediction.network import Function
from synthforge.prediction.predictor import Predictor
from synthforge.stages.evaluate import EvaluateConfig
from synthforge.testing import check_benchmark

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    blocks = re.findall(r"<!-- worked example.*?-->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 1
    assert blocks[0].count("\n") < 60
    (tmp_path / "csv_faces.py").write_text(blocks[0])
    loaded = Plugins(strict=True)
    loaded.add_file("./csv_faces.py", base=tmp_path)
    return loaded


def test_the_worked_example_works(plugins: Plugins, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = []
    for number in range(4):
        Image.fromarray(np.full((80, 90, 3), 40 * number, np.uint8)).save(tmp_path / f"face{number}.png")
        points = rng.uniform(20, 60, (68, 2))
        lines.append(",".join([f"face{number}.png", *(f"{value:.4f}" for value in points.ravel())]))
    (tmp_path / "faces.csv").write_text("\n".join(lines) + "\n")
    bench = plugins.build("benchmark", {"name": "csv-faces", "root": str(tmp_path)})
    check_benchmark(bench, "test")
    item = bench.items("test")[3]
    first = [float(value) for value in lines[3].split(",")[1:3]]
    np.testing.assert_allclose(bench.load(item).target[0], np.array(first) + 0.5)

    def middle(crops: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"points": torch.full((len(crops), 68, 2), 0.5)}

    task = load_plugins().build("task", bench.task)
    predictor = Predictor(Function(middle, task), passes=1)
    evaluation = evaluate(predictor, task, bench, "test", ScoringOptions(cases=1, progress=False), name="csv-faces")
    target = bench.load(item).target
    centre = (target.min(axis=0) + target.max(axis=0)) / 2
    expected = 100 * np.linalg.norm(target - centre, axis=1).mean() / np.linalg.norm(target[36] - target[45])
    assert evaluation.scores.per_item["face3"] == pytest.approx(expected)
    page = write_report([("middle of the crop", evaluation)], tmp_path / "report").read_text(encoding="utf-8")
    assert "Their paper, Table 2" in page


def test_the_worked_example_names_a_missing_file(plugins: Plugins, tmp_path: Path) -> None:
    bench = plugins.build("benchmark", {"name": "csv-faces", "root": str(tmp_path)})
    with pytest.raises(DataError, match=r"faces\.csv is not there"):
        bench.items("test")


def test_the_yaml_beside_it_has_the_stages_keys() -> None:
    block = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)[-1]
    pipeline = yaml.safe_load(block)
    assert pipeline["plugins"] == ["./csv_faces.py"]
    stage = pipeline["stages"]["score"]
    assert stage.pop("run") == "evaluate"
    EvaluateConfig(**stage)


def test_the_page_names_every_benchmark_with_its_splits() -> None:
    from synthforge_plugins.benchmarks import celebamask_hq, lapa, lapa_d, w300

    text = PAGE.read_text(encoding="utf-8")
    for name, kind in (
        ("300w", w300.W300),
        ("lapa", lapa.Lapa),
        ("lapa-landmarks", lapa.LapaLandmarks),
        ("celebamask-hq", celebamask_hq.CelebAMaskHQ),
        ("lapa-d", lapa_d.LapaD),
    ):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert ", ".join(kind.splits) in row
        assert kind.task in row
