"""The shipped detector as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from synthforge.core.shipped import shipped_file
from synthforge.learning.onnx_file import Graph, write_graph

from .finders import SIDES, WEIGHTS
from .network import COARSEST, SAME, STRIDE, Centres, load

METADATA = {
    "detector": "synthforge",
    "licence": "Apache-2.0",
    "image": "pictures (batch, 3, rows, columns) float32, RGB in [0, 1]; rows and columns are multiples of "
    f"{COARSEST}, what lies beyond the picture is 0.5",
    "scores": f"probability of a face whose centre lies near (column + 0.5, row + 0.5) * {STRIDE} pixels; a face is a "
    "maximum among its eight neighbours",
    "boxes": "x0, y0, x1, y1 in pixels of the input: the tight box of the 68 landmarks, brows to chin",
    "same": f"of two boxes with an intersection over union of {SAME} or more, the surer one is kept",
    "sides": f"asked with the longer side at {', '.join(map(str, SIDES))} pixels, never enlarged; of one face the mean "
    "box and probability, which is 0 at a size that does not show it",
}


class CentresGraph(Graph):
    """Pictures to probabilities and boxes."""

    def __init__(self, network: Centres) -> None:
        super().__init__()
        self.network, self.inputs, self.outputs = network, {"pictures": (3, 256, 256)}, ["scores", "boxes"]
        rows, columns = (COARSEST * torch.export.Dim(name, min=1, max=64) for name in ("rows", "columns"))
        self.free = [{0: torch.export.Dim("batch", min=1), 2: rows, 3: columns}]

    def forward(self, *pictures: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(B,3,H,W) -> (B,h,w) and (B,h,w,4)."""
        scores, boxes = self.network(pictures[0])
        return scores.sigmoid(), boxes


def export_detector(out: Path | str) -> dict[str, Any]:
    """Write the detector that ships to an ONNX file. Returns and raises what `export_onnx` of `onnx_file` does."""
    return write_graph(CentresGraph(load(shipped_file(WEIGHTS))).eval(), METADATA, out)
