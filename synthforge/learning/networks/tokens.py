"""Dense networks whose classes are tokens: each asks the picture what it looks like here, pixels are compared with it.

The idea is that of Segmenter (Strudel et al. 2021) and MaskFormer (Cheng et al. 2021), made small for a CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from .blocks import conv, resize
from .heads import dense_net
from .pyramid import PIXELS, STRIDE

#: channels of a token at width 1, and attention heads
_WIDTH, _HEADS = 53, 4
#: channels of what is read from the pixels
_DETAIL = 16
#: cells of the fine grid, each way, that are one place which tokens look at
_POOLED = 4


class _Block(nn.Module):
    """Tokens look at places of the picture, then at each other, then think: a pre-normalised decoder block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.normalised = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.query, self.place = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.among = nn.Linear(width, 3 * width)
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.net = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Tokens (B,K,width) and places (B,N,width) -> tokens."""
        first, second, third, of_places = self.normalised
        key, value = self.place(of_places(places)).chunk(2, -1)
        tokens = tokens + self.out[0](_attended(self.query(first(tokens)), key, value))
        tokens = tokens + self.out[1](_attended(*self.among(second(tokens)).chunk(3, -1)))
        thought: torch.Tensor = self.net(third(tokens))
        return tokens + thought


def _attended(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    parts = [x.unflatten(-1, (_HEADS, -1)).transpose(1, 2) for x in (query, key, value)]
    return functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)


class TokenNet(nn.Module):
    """`Pyramid.parts`, of `inputs` channels together -> a map (B,outputs,2h,2w) that starts at zero.

    A pixel's vector is made at the resolution of the features, from these and from the photograph's pixels, four at
    once (sub-pixel convolution, Shi et al. 2016): half the cost of convolutions on the fine grid. given: channels of a
    further map, of any size.
    """

    def __init__(self, inputs: int, outputs: int, *, width: float = 1.0, given: int = 0, blocks: int = 1) -> None:
        super().__init__()
        between, width = max(8, round(64 * width)), _HEADS * max(2, round(_WIDTH * width / _HEADS))
        self.detail = nn.Sequential(conv(3, _DETAIL, stride=2), conv(_DETAIL, _DETAIL))
        self.narrow, self.enter = conv(inputs - PIXELS, width, kernel=1), conv(width, width)
        self.mix = conv(width + 4 * (_DETAIL + given), between)
        self.embed = nn.Conv2d(between, 4 * width, 1)
        self.memory = nn.Linear(width, width)
        self.tokens = nn.Parameter(0.5 * torch.randn(outputs, width))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.normalised = nn.LayerNorm(width)
        nn.init.zeros_(self.normalised.weight)

    def forward(self, parts: Sequence[torch.Tensor], given: torch.Tensor | None = None) -> torch.Tensor:
        """See the class."""
        *maps, folded = parts
        detail = self.detail(functional.pixel_shuffle(folded, STRIDE))
        if given is not None:
            detail = torch.cat([detail, resize(given, (detail.shape[-2], detail.shape[-1])).to(detail.dtype)], 1)
        x = self.mix(torch.cat([self._entered(maps), functional.pixel_unshuffle(detail, 2)], 1))
        pixels = functional.pixel_shuffle(self.embed(x), 2)
        places = self.memory(functional.avg_pool2d(pixels, _POOLED).flatten(2).transpose(1, 2))
        tokens = self.tokens.expand(folded.shape[0], -1, -1)
        for block in self.blocks:
            tokens = block(tokens, places)
        tokens = self.normalised(tokens) * tokens.shape[-1] ** -0.5
        return torch.einsum("bkw,bwyx->bkyx", tokens, pixels) + self.bias[:, None, None]

    def _entered(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """A 1x1 convolution of all maps and what follows it. Each map is convolved at its own size, for a third of the
        cost, and only then brought to that of the first."""
        weights = self.narrow[0].get_parameter("weight").split([each.shape[1] for each in maps], dim=1)
        size = maps[0].shape[-2:]
        found = [functional.conv2d(each, weight) for each, weight in zip(maps, weights, strict=True)]
        x = found[0]
        for each in found[1:]:
            same = each.shape[-2:] == size
            x = x + (each if same else functional.interpolate(each, size=size, mode="bilinear"))
        entered: torch.Tensor = self.enter(self.narrow[1:](x))
        return entered


class TokenHead(nn.Module):
    """Dense output head: `Pyramid.parts`, of which the first has `features` channels, to one map (B,outputs,2h,2w)
    under `key`: the light head's, and what tokens add on the fine grid."""

    def __init__(self, features: int, inputs: int, outputs: int, key: str, *, width: float = 1.0) -> None:
        super().__init__()
        self.key = key
        self.net = dense_net(features, outputs, head="light", width=width)
        self.fine = TokenNet(inputs, outputs, width=width)

    def forward(self, parts: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """{key: map}."""
        fine = self.fine(parts)
        return {self.key: resize(self.net(parts[0]), (fine.shape[-2], fine.shape[-1])) + fine}
