"""MP4 files to look at: H.264 by PyAV; clips of a dataset, the views of a rig side by side."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import PluginError
from ..core.files import replacing
from ..core.progress import progress_bar
from ..core.records import Field
from . import drawing
from .layers import layer
from .members import members_of
from .reader import ShardDataset
from .show import tile_of

_FPS = 5.0  # of samples that are no frames of a clip


def av_package() -> Any:
    """The package av. Raises PluginError where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise PluginError("videos need the package av", hint="pip install 'synthforge[video]'") from error
    return av


class VideoWriter:
    """An MP4 of frames written into a file object; the first frame says the size, others are cut or padded."""

    def __init__(self, file: Any, rate: Fraction) -> None:
        self._av = av_package()
        self._container = self._av.open(file, "w", format="mp4")
        self._stream = self._container.add_stream("h264", rate=rate, options={"crf": "16"})
        self._stream.pix_fmt = "yuv420p"
        self._started = False

    def add(self, picture: np.ndarray) -> None:
        """Append one frame (H,W,3) uint8."""
        stream, size = self._stream, [side // 2 * 2 for side in picture.shape[:2]]  # the format wants even sides
        if not self._started:
            stream.height, stream.width = size
            self._started = True
        shown = np.zeros((stream.height, stream.width, 3), np.uint8)
        height, width = min(size[0], stream.height), min(size[1], stream.width)
        shown[:height, :width] = picture[:height, :width]
        self._container.mux(stream.encode(self._av.VideoFrame.from_ndarray(shown, format="rgb24")))

    def close(self) -> None:
        """Write what is left."""
        if self._started:
            self._container.mux(self._stream.encode())
        self._container.close()


def write_video(
    dataset: ShardDataset, chosen: Sequence[int], out: Path, columns: Sequence[Field], tile: int | None = None
) -> None:
    """Write samples as frames, in their order; fields, and views of one moment, are side by side.

    tile: pixels of a picture's longer side, None as it is. Raises PluginError without PyAV.
    """
    members = members_of(dataset.manifest)
    with replacing(out) as file, progress_bar("draw frames", len(chosen), unit="samples") as advance:
        writer = VideoWriter(file, Fraction(members.fps or _FPS).limit_denominator(1001))
        for _, moment in groupby(chosen, key=lambda index: _number(dataset, index) // members.views):
            tiles = []
            for index in moment:
                sample = dataset[index]
                side = tile or max(sample["image"].shape)
                for item in columns:
                    tiles.append(tile_of(sample, item, layer(sample, item, dataset.fields), side, max(11, side // 18)))
                advance(1)
            writer.add(drawing.stack(tiles, across=True))
        writer.close()


def _number(dataset: ShardDataset, index: int) -> int:
    """Group and member of a sample in one number; its place where it has neither."""
    return int(dataset.where(index)[1]) if members_of(dataset.manifest).count > 1 else index


def clip_at(dataset: ShardDataset, first: int) -> range:
    """The samples of the group that the sample at `first` belongs to."""
    count = members_of(dataset.manifest).count
    group, start, stop = _number(dataset, first) // count, first, first + 1
    while start > 0 and _number(dataset, start - 1) // count == group:
        start -= 1
    while stop < len(dataset) and _number(dataset, stop) // count == group:
        stop += 1
    return range(start, stop)
