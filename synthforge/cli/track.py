"""`synthforge track`: a model on videos, each face under one number."""

from __future__ import annotations

from pathlib import Path

import click

from .common import LOCAL_PATH, PATH_OR_URL, say, write_json_to


@click.command(
    epilog="Example: synthforge track face clip.mp4 --out found\n\nExit codes: 0 done, 2 the video cannot be read or "
    "results are already there."
)
@click.argument("model")
@click.argument("video", type=LOCAL_PATH)
@click.option("--out", type=PATH_OR_URL, required=True, help="Folder or URL for the results.")
@click.option("--schema", default="", help="Point schema of the landmarks [default: the model's].")
@click.option("--smooth/--no-smooth", default=True, show_default=True, help="Filter points over time.")
@click.option("--preview/--no-preview", default=True, show_default=True, help="Write NAME.mp4 with the points drawn.")
@click.option("--detector", default="", help="What finds the faces [default: the one that ranks highest].")
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module to load as well; repeatable.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was done; - is stdout.")
def command(
    model: str,
    video: Path,
    out: Path,
    schema: str,
    smooth: bool,
    preview: bool,
    detector: str,
    extra: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Landmarks of the faces in VIDEO by MODEL, frame by frame.

    VIDEO is a file that FFmpeg reads, or a folder of pictures in the order of their names. NAME.jsonl gets a line for
    each frame: its number, its time in seconds, and its faces, each with `id` and `landmarks` in pixels.
    """
    from ..core.plugins import load_plugins
    from ..core.shipped import find_model
    from ..prediction.onnx_network import open_network
    from ..prediction.predictor import Predictor
    from ..prediction.tracking import Tracker
    from ..prediction.videos import track_video

    loaded = open_network(find_model(model), plugins=load_plugins(extra))
    tasks = [name for name, task in loaded.tasks.items() if task.kind == "points2d"]
    tracker = Tracker(Predictor(loaded, tasks=tasks, detector=detector), smooth=smooth)
    done = track_video(tracker, video, out, schema=schema, preview=preview)
    say(f"{done.faces} faces in {done.frames} frames: {', '.join(map(str, done.files))}")
    files = [str(file) for file in done.files]
    write_json_to({"frames": done.frames, "faces": done.faces, "files": files}, json_file)
