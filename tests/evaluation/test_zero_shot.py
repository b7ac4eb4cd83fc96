"""A model in its own schema, scored in a benchmark's."""

from __future__ import annotations

import pytest
import torch
from synthforge_plugins.schemas import CELEBAMASK19, LAPA11, SYNTHFORGE
from toy_benchmarks import Toy, find_dots, read_labels

from synthforge.core.errors import UserError
from synthforge.core.schemas import class_mapping
from synthforge.evaluation.protocol import evaluate
from synthforge.evaluation.zero_shot import in_schema, map_logits


@pytest.mark.parametrize("target", ["lapa11", "celebamask19"])
def test_probabilities_are_summed_by_target_class(target: str) -> None:
    logits = torch.randn(2, len(SYNTHFORGE), 5, 4, generator=torch.Generator().manual_seed(0))
    mapped = map_logits(logits, "synthforge", target).exp()
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
    assert map_logits(logits, "synthforge", "lapa11").argmax() == LAPA11.id("inner_mouth")
    assert map_logits(logits, "synthforge", "celebamask19").argmax() == CELEBAMASK19.id("mouth")


def test_the_subjects_left_brow_is_lapas_right_one() -> None:
    logits = torch.zeros(1, len(SYNTHFORGE), 1, 1)
    logits[0, SYNTHFORGE.id("left_brow")] = 20
    assert map_logits(logits, "synthforge", "lapa11").argmax() == LAPA11.id("right_brow")
    assert map_logits(logits, "synthforge", "celebamask19").argmax() == CELEBAMASK19.id("l_brow")


def test_a_mapped_predictor_is_scored() -> None:
    mapping = class_mapping("synthforge", "lapa11")

    def predictor(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        lapa = read_labels(batch)["logits"]
        own = torch.full((len(batch), len(SYNTHFORGE), *lapa.shape[2:]), -40.0)
        for source in reversed(range(len(SYNTHFORGE))):
            first = list(mapping[: len(SYNTHFORGE)]).index(mapping[source])
            own[:, first] = lapa[:, int(mapping[source])]
        return {"logits": own}

    scores = evaluate(in_schema(predictor, "synthforge", "lapa11"), Toy("segmentation", 3), "test", progress=False)
    assert scores.scores.values["accuracy"] > 90


def test_unknown_mappings_and_wrong_outputs_are_refused() -> None:
    with pytest.raises(UserError, match="no mapping from class schema 'lapa11' to 'celebamask19'"):
        map_logits(torch.zeros(1, 11, 2, 2), "lapa11", "celebamask19")
    with pytest.raises(UserError, match="11 channels; the schema synthforge has"):
        map_logits(torch.zeros(1, 11, 2, 2), "synthforge", "lapa11")
    with pytest.raises(UserError, match="no 'logits' to map"):
        in_schema(find_dots, "synthforge", "lapa11")(torch.zeros(1, 3, 8, 8))
    same = torch.randn(1, 11, 2, 2)
    assert map_logits(same, "lapa11", "lapa11") is same
