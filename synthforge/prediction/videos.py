"""Videos in and out: frames of a file or a folder of pictures, records of the faces tracked, a preview."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import DataError, UserError
from ..core.files import replacing
from ..core.locks import locked
from ..core.progress import progress_bar
from ..datasets import drawing
from ..datasets.video import VideoWriter, av_package
from .photographs import decode, list_photographs, read_bytes
from .tracking import Tracked, Tracker

#: of a folder of pictures
PICTURES_A_SECOND = Fraction(25)


@dataclass(frozen=True)
class Video:
    """frames: time in seconds and picture (H,W,3) uint8, in order. count: as the file says, 0 if it does not."""

    frames: Iterator[tuple[float, np.ndarray]]
    count: int
    rate: Fraction


@dataclass(frozen=True)
class Done:
    """What `track_video` made; faces: how many different ones."""

    frames: int
    faces: int
    files: tuple[Path, ...]


def open_video(path: Path) -> Video:
    """A video file, or a folder of pictures in the order of their names at 25 a second.

    Raises PluginError without the package av, and DataError for a file that holds no video or is damaged.
    """
    if path.is_dir():
        files = [each.path for each in list_photographs([str(path)], path / "none").photographs]
        pictures = ((float(i / PICTURES_A_SECOND), decode(read_bytes(file), file)) for i, file in enumerate(files))
        return Video(pictures, len(files), PICTURES_A_SECOND)
    av = av_package()
    try:
        container = av.open(str(path))
        stream = container.streams.video[0]
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise DataError(f"{path} is no video that can be read: {error}") from error
    rate = stream.average_rate or PICTURES_A_SECOND

    def frames() -> Iterator[tuple[float, np.ndarray]]:
        try:
            with container:
                for number, frame in enumerate(container.decode(stream)):
                    yield float(number / rate if frame.time is None else frame.time), frame.to_ndarray(format="rgb24")
        except av.error.FFmpegError as error:
            raise DataError(f"{path} is damaged: {error}") from error

    return Video(frames(), stream.frames, rate)


def track_video(tracker: Tracker, video: Path, out: Path, *, schema: str = "", preview: bool = True) -> Done:
    """Write `NAME.jsonl`, a line a frame, and `NAME.mp4` with the points drawn, into the folder `out`.

    Both appear when the whole video is done. schema: of the points written, empty for the model's. Raises UserError
    for results that are already there, and as `open_video`.
    """
    records, film = out / f"{video.name}.jsonl", out / f"{video.name}.mp4"
    files = (records, film) if preview else (records,)
    for file in files:
        if file.exists():
            raise UserError(f"{file} is there already", hint="Choose another --out, or move it away.")
    opened = open_video(video)
    count, numbers = 0, set()
    with ExitStack() as stack:
        stack.enter_context(locked(out, deep=False))
        lines = io.TextIOWrapper(stack.enter_context(replacing(records)), encoding="utf-8")
        stack.callback(lines.detach)
        shown = VideoWriter(stack.enter_context(replacing(film)), opened.rate) if preview else None
        advance = stack.enter_context(progress_bar("track", opened.count or None, unit="frames"))
        for time, picture in opened.frames:
            found = tracker(picture, time)
            numbers |= {each.id for each in found}
            entry = {"frame": count, "time": round(time, 6), "faces": [_record(each, schema) for each in found]}
            lines.write(json.dumps(entry) + "\n")
            if shown is not None:
                shown.add(_drawn(picture, found, schema))
            count += 1
            advance(1)
        lines.flush()
        if shown is not None:
            shown.close()
    return Done(count, len(numbers), files)


def _points(tracked: Tracked, schema: str) -> tuple[str, np.ndarray]:
    face = tracked.face
    (own,) = {face.schemas[name] for name in face.values if face.tasks[name].kind == "points2d"}
    return schema or own, face.points_as(schema or own)


def _record(tracked: Tracked, schema: str) -> dict[str, Any]:
    name, points = _points(tracked, schema)
    return {"id": tracked.id, "landmarks": {"schema": name, "points": points.round(3).tolist()}}


def _drawn(picture: np.ndarray, found: list[Tracked], schema: str) -> np.ndarray:
    layers = []
    for each in found:
        name, points = _points(each, schema)
        layers.append(drawing.Points(points, name, radius=1.5))
    boxes = [list(each.face.box) for each in found]
    return drawing.draw_boxes(drawing.draw_points(picture, layers), boxes, [str(each.id) for each in found])
