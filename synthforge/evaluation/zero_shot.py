"""Scoring a model in its own class schema on a benchmark's, without fine-tuning anything.

Each target class takes the summed probability of the source classes mapped to it (`core.schemas.class_mapping`), and
the argmax is taken among the targets: several source classes that share a target vote together.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..core.errors import UserError
from ..core.schemas import CLASS_SCHEMAS, class_mapping
from .protocol import Predictor

# A target class that no source class maps to; finite, so that interpolation stays finite.
UNREACHABLE = 1e-12


def map_logits(logits: torch.Tensor, source: str, target: str) -> torch.Tensor:
    """Logits (B,K,H,W) of class schema `source` as log-probabilities (B,L,H,W) of schema `target`.

    Raises UserError when no mapping between them is known or K is not the number of source classes.
    """
    try:
        table = class_mapping(source, target)
    except KeyError as error:
        raise UserError(f"'{source}' cannot be scored as '{target}': {error.args[0]}") from error
    classes = len(CLASS_SCHEMAS[source])
    if logits.shape[1] != classes:
        raise UserError(f"the logits have {logits.shape[1]} channels; the schema {source} has {classes}")
    if source == target:
        return logits
    probabilities = logits.float().softmax(dim=1)
    mapped = probabilities.new_zeros((logits.shape[0], len(CLASS_SCHEMAS[target]), *logits.shape[2:]))
    into = torch.as_tensor(table[:classes].astype("int64"), device=logits.device)
    mapped.index_add_(1, into, probabilities)
    return mapped.clamp_min(UNREACHABLE).log()


def in_schema(predictor: Predictor, source: str, target: str) -> Predictor:
    """A predictor whose `logits` are mapped from schema `source` to `target`; the rest of its output stays."""

    def mapped(batch: torch.Tensor) -> Mapping[str, torch.Tensor]:
        output = predictor(batch)
        if "logits" not in output:
            raise UserError(f"the prediction has no 'logits' to map (it gives {', '.join(output)})")
        return {**output, "logits": map_logits(output["logits"], source, target)}

    return mapped
