"""`synthforge predict`: a model on photographs."""

from __future__ import annotations

import warnings
from pathlib import Path

import click

from .common import LOCAL_PATH, PATH_OR_URL, say, write_json_to


@click.command(
    epilog="Example: synthforge predict runs/quickstart/adapted photos/ --out found\n\n"
    "Exit codes: 0 all done, 2 some photographs could not be read or written (they are named at the end)."
)
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option("--out", type=PATH_OR_URL, required=True, help="Folder or URL for the results.")
@click.option(
    "--boxes",
    type=LOCAL_PATH,
    help="Face boxes instead of a detector: CSV lines file,x0,y0,x1,y1, or JSON {file: [[x0,y0,x1,y1], ...]}.",
)
@click.option(
    "--boxes-of",
    default="landmarks",
    show_default=True,
    help="Meaning of the boxes of --boxes: `landmarks`, tight around the 68 points (brows to chin), or a detector's.",
)
@click.option(
    "--detector",
    default="",
    help="Face detector [default: the one of the highest rank, see `synthforge plugins --kind detectors`].",
)
@click.option("--min-score", type=float, help="Leave out faces with a lower detector score (see docs/predict.md).")
@click.option(
    "--passes",
    type=click.IntRange(1, 3),
    default=2,
    show_default=True,
    help="Number of crops, each further one around the landmarks found.",
)
@click.option(
    "--input-size",
    type=click.IntRange(min=16),
    help="Pixels of a crop for all tasks; default: each task's own size.",
)
@click.option(
    "--flip/--no-flip",
    default=None,
    help="Mean of the predictions for the crop and its mirror image, at twice the cost [default: set by the model].",
)
@click.option(
    "--tasks", help="Comma-separated tasks, or `all` [default: all but those to be named, see docs/predict.md]."
)
@click.option(
    "--schema",
    default="",
    help="Point schema of the landmarks, as `wflw98` or `mediapipe478` [default: the model's].",
)
@click.option(
    "--overlay",
    type=click.Choice(["jpg", "png", "none"]),
    default="jpg",
    show_default=True,
    help="The picture with the predictions drawn.",
)
@click.option("--plugin", "extra", multiple=True, help="A plugin file or module to load as well; repeatable.")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was done; - is stdout.")
def command(
    model: str,
    images: tuple[str, ...],
    out: Path,
    boxes: Path | None,
    boxes_of: str,
    detector: str,
    min_score: float | None,
    passes: int,
    input_size: int | None,
    flip: bool | None,
    tasks: str | None,
    schema: str,
    overlay: str,
    extra: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Landmarks, classes and depth of the faces in IMAGES (files, folders, patterns) by MODEL.

    MODEL is a folder with model.json, or the name of a shipped one. Each image gets
    NAME.json, NAME.overlay.jpg, NAME.labels.png and NAME.depth.npz. Existing results that are still valid are kept;
    others are set aside in `.previous/`.
    """
    from ..core.plugins import load_plugins
    from ..core.shipped import find_model
    from ..core.storage import here, is_remote
    from ..prediction.boxes import read_boxes
    from ..prediction.outcomes import check, summary, unreadable
    from ..prediction.photographs import list_photographs, told_counts

    if boxes is not None and min_score is not None:
        raise click.UsageError("--min-score is for a detector's faces: those of --boxes have no score")
    warnings.filterwarnings("ignore", message="Image size")  # our own limit reports the file
    folder = find_model(model)
    listing = list_photographs([str(here(each)) for each in images], None if is_remote(out) else out)
    photographs = listing.photographs
    if listing.passed_over:
        say(f"skipped in the folders: {told_counts(listing.passed_over)}")
    given = read_boxes(boxes, [p.path for p in photographs]) if boxes is not None else None
    if given is not None and given.others:
        named = ", ".join(given.others[:5]) + (" ..." if len(given.others) > 5 else "")
        say(f"{boxes} lists {len(given.others)} files that are not among the photographs: {named}")
    more = {"passed_over": dict(listing.passed_over), "boxes_of_others": list(given.others) if given else []}
    if outcomes := unreadable(photographs):
        write_json_to({**summary(outcomes), **more}, json_file)
        check(outcomes)
    from ..prediction.run import PredictOptions, predict_photographs

    chosen = tuple(t.strip() for t in tasks.split(",")) if tasks else None
    options = PredictOptions(detector, boxes_of, passes, chosen, overlay, input_size or 0, flip, min_score, schema)
    found = given.found if given is not None else None
    outcomes = predict_photographs(folder, photographs, out, options, boxes=found, plugins=load_plugins(extra))
    write_json_to({**summary(outcomes), **more}, json_file)
    fine = [o for o in outcomes if o.status != "failed"]
    kept, empty = sum(o.status == "kept" for o in fine), sum(o.faces == 0 for o in fine)
    notes = [f"{kept} kept from before" if kept else "", f"no face in {empty}" if empty else ""]
    details = "".join(f", {note}" for note in notes if note)
    say(f"{sum(o.faces for o in fine)} faces in {len(fine)} images{details}: {out}")
    check(outcomes)
