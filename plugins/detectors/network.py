"""The network of the detector `synthforge`: a map of face centres and the box at each (CenterNet, Zhou et al. 2019)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from synthforge.core.frames import Box
from synthforge.evaluation.boxes import overlap
from synthforge.learning.networks.blocks import conv
from synthforge.learning.networks.folded import Folded
from synthforge.learning.networks.pyramid import ResidualEncoder

#: pixels from one answer to the next; width and height of what is shown are multiples of COARSEST
STRIDE, COARSEST = 8, 32
#: two boxes that overlap by more are one face
SAME = 0.4


class Centres(nn.Module):
    """A residual encoder, its maps of strides 8, 16 and 32 merged at stride 8 (Lin et al. 2017), and two output heads.

    width: of the encoder, 1 is ResNet-18. channels: of the merged map.
    """

    def __init__(self, width: float = 0.25, channels: int = 48) -> None:
        super().__init__()
        self.encoder = ResidualEncoder(width)
        below = self.encoder.channels[1:]
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, channels, 1) for inputs in below)
        self.smooth = nn.ModuleList(conv(channels, channels) for _ in below)
        self.score = nn.Sequential(conv(channels, channels), nn.Conv2d(channels, 1, 1))
        self.sides = nn.Sequential(conv(channels, channels), nn.Conv2d(channels, 4, 1))
        for head, start in ((self.score, -4.6), (self.sides, 1.0)):  # one place in a hundred is a face, of 43 pixels
            last = head[-1]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.constant_(last.bias, start)
        self._folded = Folded(self)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B,3,H,W) in [0,1] -> scores (B,h,w) before the sigmoid, and boxes (B,h,w,4) as x0, y0, x1, y1 in pixels."""
        maps = self.encoder(4.0 * images - 2.0)[1:]
        y = self.smooth[-1](self.lateral[-1](maps[-1]))
        for level in (1, 0):
            y = functional.interpolate(y, scale_factor=2.0, mode="nearest")
            y = self.smooth[level](y + self.lateral[level](maps[level]))
        reach = STRIDE * self.sides(y).float().clamp(max=6.0).exp()
        rows, columns = ((torch.arange(n, device=y.device) + 0.5) * STRIDE for n in y.shape[-2:])
        left, up, right, down = reach.unbind(1)
        x, y_ = columns, rows[:, None]
        return self.score(y)[:, 0].float(), torch.stack([x - left, y_ - up, x + right, y_ + down], -1)

    def fast(self) -> nn.Module:
        """Its copy with normalisation folded into the convolutions."""
        return self._folded()


def load(path: Path) -> Centres:
    """The network with the weights of a file, to be asked."""
    network = Centres()
    weights = {name: value.float() for name, value in load_file(path).items()}
    network.load_state_dict(weights, strict=False)  # how many batches normalisation has seen is not kept
    return network.eval().requires_grad_(False)


def faces_of(scores: torch.Tensor, boxes: torch.Tensor, least: float) -> list[tuple[float, Box]]:
    """Probability and box of each face in one picture, the surest first.

    scores (h,w), boxes (h,w,4): the network's. A face is a local maximum of at least `least`.
    """
    chance = scores.sigmoid()
    top = functional.max_pool2d(chance[None, None], 3, 1, 1)[0, 0]
    there = (chance >= least) & (chance == top)
    return apart(list(zip(chance[there].tolist(), map(tuple, boxes[there].tolist()), strict=True)))


def apart(faces: list[tuple[float, Box]]) -> list[tuple[float, Box]]:
    """The surest first, without those that overlap a surer one by `SAME`."""
    kept: list[tuple[float, Box]] = []
    for face in sorted(faces, reverse=True):
        if all(overlap(face[1], other) < SAME for _, other in kept):
            kept.append(face)
    return kept


def agreed(looks: list[list[tuple[float, Box]]]) -> list[tuple[float, Box]]:
    """The faces of one picture that was looked at several times, the surest first.

    Each is the mean box, weighted by probability, and the mean probability; a look that does not show it counts as 0.
    """
    faces = []
    for _, box in apart([face for look in looks for face in look]):
        own = [max((face for face in look if overlap(face[1], box) >= SAME), default=(0.0, box)) for look in looks]
        total = sum(score for score, _ in own)
        x0, y0, x1, y1 = (sum(score * each[i] for score, each in own) / total for i in range(4))
        faces.append((total / len(looks), (x0, y0, x1, y1)))
    return sorted(faces, reverse=True)
