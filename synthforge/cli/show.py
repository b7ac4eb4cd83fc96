"""`synthforge show`: a contact sheet of a dataset."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example: synthforge show runs/quickstart/dataset --count 8 --out sheet.png")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="PNG to write [default: FOLDER.png].")
@click.option("--count", type=click.IntRange(min=1), default=8, show_default=True, help="How many samples.")
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="Index of the first one.")
@click.option("--columns", help="Comma-separated fields [default: all that can be drawn].")
@click.option("--tile", type=click.IntRange(min=32, max=2048), default=256, show_default=True, help="Pixels a tile.")
def command(folder: Path, out: Path | None, count: int, first: int, columns: str | None, tile: int) -> None:
    """Draw image, landmarks, labels, depth and normals of some samples in FOLDER side by side."""
    from ..core.errors import UserError
    from ..datasets.reader import ShardDataset
    from ..datasets.rejections import acceptance
    from ..datasets.show import contact_sheet

    dataset = ShardDataset(folder)
    if first >= len(dataset):
        raise UserError(f"--first {first}: the dataset has {len(dataset)} samples, 0 to {len(dataset) - 1}")
    path = out or folder.with_name(folder.name + ".png")
    names = [name.strip() for name in columns.split(",")] if columns else None
    contact_sheet(dataset, range(first, min(first + count, len(dataset))), path, names, tile)
    if accepted := acceptance(dataset.manifest):
        click.echo(accepted, err=True)
    click.echo(str(path))
