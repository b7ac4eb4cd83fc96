"""`synthforge show`: samples with their labels, as a page, a sheet or a recording; or distributions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .common import PATH_OR_URL

if TYPE_CHECKING:
    from ..core.records import Field
    from ..datasets.reader import ShardDataset


@click.command(
    epilog="Example: synthforge show runs/quickstart/dataset; synthforge show runs/quickstart/dataset --count 40 "
    "--out sheet.png; synthforge show runs/quickstart/dataset --distributions --json -"
)
@click.argument("folder", type=PATH_OR_URL)
@click.option(
    "--out",
    type=PATH_OR_URL,
    help="File to write: .html is a page to filter and turn, .png a sheet, .mp4 a clip, .rrd a recording for the "
    "viewer rerun, .glb or .obj the mesh of the first sample with its texture [default: FOLDER.html].",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="How many samples [default: 200; of a .png 8, of an .mp4 the clip of the first one].",
)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Index of the first one.")
@click.option("--columns", help="Comma-separated fields [default: all that can be drawn, of an .mp4 the image].")
@click.option(
    "--tile",
    type=click.IntRange(min=32, max=2048),
    help="Pixels of a picture's longer side [default: 256; of a .png what keeps it below 12 megapixels].",
)
@click.option(
    "--distributions", is_flag=True, help="Declared, drawn and rendered distributions of every factor, as HTML."
)
@click.option("--json", "json_file", type=PATH_OR_URL, help="With --distributions: figures as JSON.")
def command(
    folder: Path,
    out: Path | None,
    count: int | None,
    first: int,
    columns: str | None,
    tile: int | None,
    distributions: bool,
    json_file: Path | None,
) -> None:
    """Draw samples in FOLDER with all their labels.

    The page holds everything in one file: a switch for each label, filters by what the scene and the annotations say,
    sequences to play, surfaces to turn. 200 samples take 5 to 10 MB.

    With --distributions: compare the drawn values of every factor with its declared distribution, and with what the
    pictures show.
    """
    from ..core.errors import UserError
    from ..datasets.reader import ShardDataset
    from ..datasets.rejections import acceptance
    from ..datasets.show import columns_of

    if distributions:
        _distributions(folder, out, json_file)
        return
    if json_file is not None:
        raise UserError("--json needs --distributions: pictures have no figures")
    suffix = out.suffix.lower() if out is not None else ".html"
    if suffix not in _WRITERS:
        raise UserError(f"--out {out}: a file for samples ends in {', '.join(_WRITERS)}")
    dataset = ShardDataset(folder)
    if first >= len(dataset):
        raise UserError(f"--first {first}: the dataset has {len(dataset)} samples, 0 to {len(dataset) - 1}")
    path = out or beside(folder, suffix)
    most, write, usual = _WRITERS[suffix]
    names = [name.strip() for name in columns.split(",")] if columns else usual
    chosen = range(first, min(first + (count or most), len(dataset)))
    write(dataset, chosen, path, columns_of(dataset, names), tile)
    if accepted := acceptance(dataset.manifest):
        click.echo(accepted, err=True)
    click.echo(str(path))


def _page(dataset: ShardDataset, chosen: range, path: Path, columns: Sequence[Field], tile: int | None) -> None:
    from ..datasets.distributions import factors_of
    from ..datasets.gallery import SIDE, write_gallery
    from .common import say

    factors, _ = factors_of(dataset.manifest)
    write_gallery(dataset, chosen, path, factors, columns=columns, side=tile or SIDE)
    say(f"  {len(chosen):,} of {len(dataset):,} samples, {path.stat().st_size / 1e6:.1f} MB")


def _sheet(dataset: ShardDataset, chosen: range, path: Path, columns: Sequence[Field], tile: int | None) -> None:
    from ..datasets.show import contact_sheet

    contact_sheet(dataset, chosen, path, [item.name for item in columns], tile)


def _recording(dataset: ShardDataset, chosen: range, path: Path, columns: Sequence[Field], tile: int | None) -> None:
    from ..datasets.recording import write_recording
    from .common import say

    write_recording(dataset, chosen, path, columns)
    say(f"  open it: rerun {path}")


def _movie(dataset: ShardDataset, chosen: range, path: Path, columns: Sequence[Field], tile: int | None) -> None:
    from ..datasets.video import clip_at, write_video

    write_video(dataset, chosen or clip_at(dataset, chosen.start), path, columns, tile)


def _mesh(dataset: ShardDataset, chosen: range, path: Path, columns: Sequence[Field], tile: int | None) -> None:
    from ..geometry.mesh_files import write_mesh
    from ..stages.again import rendering_of

    write_mesh(rendering_of(dataset, chosen.start), path)


_Writer = Callable[["ShardDataset", range, Path, Sequence["Field"], int | None], None]
#: by the end of a file's name: how many samples, what writes it, and the fields it shows, None for all
_WRITERS: dict[str, tuple[int, _Writer, list[str] | None]] = {
    ".html": (200, _page, None),
    ".png": (8, _sheet, None),
    ".rrd": (200, _recording, None),
    ".mp4": (0, _movie, ["image"]),
    **dict.fromkeys((".glb", ".obj"), (1, _mesh, ["image"])),
}


def beside(folder: Path, suffix: str) -> Path:
    """The file with the folder's name beside it; for a folder in a store, in the working directory.

    Raises DataError if that file exists and was not written by this command.
    """
    from ..core.errors import DataError
    from ..core.storage import is_remote
    from ..datasets.drawing import written_here

    if not is_remote(folder) and folder.name in ("", ".."):
        folder = folder.resolve()
    path = Path(folder.name + suffix) if is_remote(folder) else folder.with_name(folder.name + suffix)
    if path.exists() and not (path.is_file() and written_here(path)):
        raise DataError(f"{path} exists and was not written by `show`", hint="Name a file by --out.")
    return path


def _distributions(folder: Path, out: Path | None, json_file: Path | None) -> None:
    from ..core.errors import DataError
    from ..core.plugins import load_plugins
    from ..datasets.distributions import compare, factors_of, read_values, write_page
    from ..datasets.reader import ShardDataset
    from .common import write_json_to

    dataset = ShardDataset(folder, ["scene"])
    stored = bool(dataset.manifest.get("factors"))
    factors, note = factors_of(dataset.manifest, None if stored else load_plugins())
    if not factors:
        raise DataError(f"{folder}: {note}", hint="A generator declares them by `factors` (docs/plugins.md).")
    records = compare(factors, read_values(dataset, factors))
    path = out or beside(folder, ".distributions.html")
    write_page(path, records, title=f"Distributions of {folder.name}", notes=[note] if note else [])
    if json_file is not None:
        write_json_to({"folder": str(folder), "samples": len(dataset), "factors": records}, json_file)
        if str(json_file) == "-":
            return
    _table(records, len(dataset))
    click.echo(str(path))


def _table(records: Sequence[Mapping[str, Any]], samples: int) -> None:
    from rich.table import Table

    from ..core.progress import console
    from ..datasets.distributions import words

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("factor", "kind", "declared", "drawn", "distance", "rendered", "in pictures"):
        table.add_column(column, justify="left" if column in ("factor", "kind") else "right")
    for record in records:
        found, shown = (record["realised"][view] for view in ("drawn", "rendered"))
        far = f"{found['distance']:.3f}" if "distance" in found else ""
        row = (record["name"], record["kind"], words(record["declared"]), words(found), far, words(shown))
        table.add_row(*row, f"{shown['count']:,} of {samples:,}", style="yellow" if found.get("beyond_chance") else "")
    made = console()
    if not made.is_terminal:  # a file or a pipe has no width: names stay whole for `grep`
        made.width = max(made.width, 160)
    made.print(table)
