"""A trained network's weights for the same network with more channels, which starts with the same function."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


def widened(given: Mapping[str, torch.Tensor], fresh: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """`given`, the weights of a network, in the shapes of `fresh`, those of an untrained one like it, equal or wider.

    Old channels come first. Weights from new channels to old ones are zero-initialised; all other weights of new
    channels keep their random values. So the wider network starts with the function of the narrow one, as in Net2Net
    (Chen et al. 2016), but without duplicated channels. Holds where channels are never concatenated or grouped.

    Raises ValueError for tensors that one of them lacks, and for shapes that are not those of a wider network.
    """
    if set(given) != set(fresh):
        names = sorted(set(given) ^ set(fresh))
        raise ValueError(f"only one of them has {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
    wide = {}
    for name, old in given.items():
        new = fresh[name].clone()
        # outputs and inputs of a layer, or channels alone; what else has an extent keeps it
        grows = {1: 1, 2: 2, 4: 2}.get(old.ndim, 0)
        fits = old.ndim == new.ndim and old.shape[grows:] == new.shape[grows:]
        if not fits or any(a > b for a, b in zip(old.shape, new.shape, strict=True)):
            raise ValueError(f"{name} has shape {tuple(old.shape)}, which is no part of {tuple(new.shape)}")
        if grows == 2:
            new[: len(old), old.shape[1] :] = 0
            new[: len(old), : old.shape[1]] = old
        elif grows == 1:
            new[: len(old)] = old
        else:
            new.copy_(old)
        wide[name] = new
    return wide


def start_weights(given: nn.Module, model: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a `FaceModel` that starts from another one: `widened`, its own for heads and parts of heads that
    the other lacks.

    Raises ValueError as `widened` does. Heads that only the other one has are left out.
    """
    given_weights, own = given.state_dict(), model.state_dict()
    both = {_head(name) for name in given_weights} & {_head(name) for name in own}
    shared = [{k: v for k, v in weights.items() if _head(k) in both} for weights in (given_weights, own)]
    for head in filter(None, both):  # where one of two heads has more parts, as `tokens` than `light`: without these
        names = [{name for name in weights if _head(name) == head} for weights in shared]
        if names[0] <= names[1] or names[1] <= names[0]:
            for weights in shared:
                for name in names[0] ^ names[1]:
                    weights.pop(name, None)
    return {**own, **widened(*shared)}


def _head(name: str) -> str:
    """The task whose output head a weight belongs to; empty for other weights."""
    part, _, rest = name.partition(".")
    return rest.partition(".")[0] if part == "heads" else ""
