"""A model in its own schema, scored in a benchmark's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from by_path import load
from synthforge_plugins.schemas import CELEBAMASK19, LAPA11, SYNTHFORGE
from toy_benchmarks import TASKS, Toy, read_labels

from synthforge.core.errors import UserError
from synthforge.core.plugins import load_plugins
from synthforge.core.schemas import class_mapping
from synthforge.evaluation.protocol import ScoringOptions, evaluate
from synthforge.prediction.network import Function
from synthforge.prediction.predictor import Predictor
from synthforge.stages.predictor import evaluate_model


def map_logits(logits: torch.Tensor, target: str) -> torch.Tensor:
    return TASKS["segmentation"].in_schema({"logits": logits}, target)["logits"]


@pytest.mark.parametrize("target", ["lapa11", "celebamask19"])
def test_probabilities_are_summed_by_target_class(target: str) -> None:
    logits = torch.randn(2, len(SYNTHFORGE), 5, 4, generator=torch.Generator().manual_seed(0))
    mapped = map_logits(logits, target).exp()
    table = class_mapping("synthforge", target)
    probabilities = logits.softmax(dim=1)
    for wanted in range(mapped.shape[1]):
        sources = [k for k in range(len(SYNTHFORGE)) if table[k] == wanted]
        expected = probabilities[:, sources].sum(dim=1) if sources else torch.zeros(2, 5, 4)
        torch.testing.assert_close(mapped[:, wanted], expected, atol=1e-6, rtol=1e-4)


def test_split_votes_are_counted_together() -> None:
    """Teeth 0.3 and tongue 0.3 make inner mouth 0.6, against upper lip 0.4."""
    logits = torch.full((1, len(SYNTHFORGE), 1, 1), -50.0)
    for name, share in (("teeth", 0.3), ("tongue", 0.3), ("upper_lip", 0.4)):
        logits[0, SYNTHFORGE.id(name)] = torch.tensor(share).log()
    assert map_logits(logits, "lapa11").argmax() == LAPA11.id("inner_mouth")
    assert map_logits(logits, "celebamask19").argmax() == CELEBAMASK19.id("mouth")


def test_the_subjects_left_brow_is_lapas_right_one() -> None:
    logits = torch.zeros(1, len(SYNTHFORGE), 1, 1)
    logits[0, SYNTHFORGE.id("left_brow")] = 20
    assert map_logits(logits, "lapa11").argmax() == LAPA11.id("right_brow")
    assert map_logits(logits, "celebamask19").argmax() == CELEBAMASK19.id("l_brow")


def test_an_onnx_file_of_other_makers_is_scored(tmp_path: Path) -> None:
    """All of its points lie at one place, so errors are those of that place."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    foreign = load(Path(__file__).parents[1] / "prediction" / "test_onnx_network.py").foreign
    path = foreign(tmp_path / "mine.onnx", schema="ibug68", size=8)
    found = evaluate_model(path, Toy("keypoints"), "test", plugins=load_plugins(), name="toy", passes=1)
    assert len(found.scores.per_item) == 10
    assert found.scores.values["nme"] > 0


def test_a_mapped_predictor_is_scored() -> None:
    mapping = class_mapping("synthforge", "lapa11")

    def predictor(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        lapa = read_labels(batch)["logits"]
        own = torch.full((len(batch), len(SYNTHFORGE), *lapa.shape[2:]), -40.0)
        for source in reversed(range(len(SYNTHFORGE))):
            first = list(mapping[: len(SYNTHFORGE)]).index(mapping[source])
            own[:, first] = lapa[:, int(mapping[source])]
        return {"logits": own}

    task, bench = TASKS["segmentation"], Toy("segmentation", 3)
    asked = Predictor(Function(predictor, task, crop_scale=bench.crop_scale), schemas={task.name: "lapa11"})
    scores = evaluate(asked, task, bench, "test", ScoringOptions(progress=False))
    assert scores.scores.values["accuracy"] > 90


def test_unknown_mappings_and_wrong_outputs_are_refused() -> None:
    lapa = load_plugins().build("task", {"name": "segmentation", "schema": "lapa11"})
    with pytest.raises(UserError, match="no mapping from class schema 'lapa11' to 'celebamask19'"):
        lapa.in_schema({"logits": torch.zeros(1, 11, 2, 2)}, "celebamask19")
    task, bench = TASKS["segmentation"], Toy("segmentation", 3)
    asked = Predictor(Function(read_labels, task), schemas={task.name: "lapa11"})
    with pytest.raises(UserError, match="11 channels; the schema synthforge has"):
        evaluate(asked, task, bench, "test", ScoringOptions(progress=False))
    same = {"logits": torch.randn(1, 11, 2, 2)}
    assert lapa.in_schema(same, "lapa11") is same
    with pytest.raises(UserError, match="'ibug68', which cannot be scored as 'other98'"):
        TASKS["keypoints"].in_schema({"points": torch.zeros(1, 68, 2)}, "other98")
