"""Licensed files: what each is for, where it comes from, under which licence, and where we look for it.

None of them may be redistributed, so none is downloaded here: the user fetches them and `add_asset` checks and keeps
them. Plugins register them beside what reads them (`hookspecs.register_assets`); imports no torch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synthforge.core.boundary import call
from synthforge.core.checksums import checksum
from synthforge.core.errors import AssetError, did_you_mean
from synthforge.core.files import sha256_of
from synthforge.core.foreign import read_text
from synthforge.core.tables import Table

VARIABLE = "SYNTHFORGE_ASSETS"


@dataclass(frozen=True)
class Asset:
    """One licensed file, registered by the plugin that reads it.

    file: its path below the assets folder. check: reads a file and raises AssetError for one that is not it; sha256:
    known checksum, or empty where it is recorded when the file is added. edition: which of several the file is.
    forms: suffixes of what it may be converted to.
    """

    name: str
    file: str
    purpose: str
    source: str
    licence: str
    commercial: bool
    check: Callable[[Path], object]
    sha256: str = ""
    edition: str = ""
    forms: tuple[str, ...] = ()


ASSETS = Table("assets", "asset", Asset)


def assets_folder() -> Path:
    """Where licensed files are kept: the environment variable SYNTHFORGE_ASSETS, else below ~/.local/share."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".local/share/synthforge/assets"


def get_asset(name: str) -> Asset:
    """The row of a licensed file. Raises: AssetError naming the known ones."""
    asset = ASSETS.get(name)
    if asset is None:
        raise AssetError(f"there is no asset called '{name}'", hint=did_you_mean(name, ASSETS))
    return asset


def candidates(asset: Asset) -> list[Path]:
    """Where the file may lie, in order: its official form, then the form we convert it to."""
    path = assets_folder() / asset.file
    return [path, *(path.with_suffix(suffix) for suffix in asset.forms)]


def find_asset(name: str) -> Path:
    """Path of a licensed file that has been added and is still the same (by its remembered checksum).

    Raises: AssetError that says what it is for, where to get it, under which licence and where it is looked for, or
    that it has changed.
    """
    path = present(name)
    if path is None:
        what, how = missing(name)
        raise AssetError(what, hint=how)
    _compare(name, path, checksum(path))
    return path


def present(name: str) -> Path | None:
    """Path of a licensed file, or None where it has not been added. Raises: AssetError for a name not in the table."""
    return next((path for path in candidates(get_asset(name)) if path.is_file()), None)


def missing(name: str) -> tuple[str, str]:
    """What to say of a file that is not there: that it is missing, and what to do about it."""
    asset = get_asset(name)
    use = "commercial use allowed" if asset.commercial else "no commercial use"
    return (
        f"{asset.name} is missing ({asset.purpose}); looked for {candidates(asset)[0]}",
        f"Get it from {asset.source}. Licence: {asset.licence} ({use}). Then run "
        f"`synthforge assets add {asset.name} FILE`, or set {VARIABLE} to the folder that holds {asset.file}.",
    )


def add_asset(name: str, path: str | Path) -> Path:
    """Check a file by reading it, then copy it into the assets folder beside its checksum (`FILE.sha256`).

    The copy is complete or absent. Returns where it lies.
    Raises: AssetError if it is refused, damaged, or not the file that the checksum in the table names.
    """
    asset, source = get_asset(name), Path(path)
    if not source.is_file():
        raise AssetError(f"{source}: there is no such file")
    digest = sha256_of(source)
    if asset.sha256 and digest != asset.sha256:
        raise AssetError(f"{source}: its checksum is {digest}, that of {name} is {asset.sha256}")
    call(f"{source}: the check of the asset '{name}'", asset.check, source)
    target = next((p for p in candidates(asset) if p.suffix == source.suffix), assets_folder() / asset.file)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    try:
        shutil.copyfile(source, temporary)
        if sha256_of(temporary) != digest:
            raise AssetError(f"{source}: changed while it was copied", hint="Try again.")
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    _sidecar(target).write_text(f"{digest}  {target.name}\n")
    return target


def verify_asset(name: str) -> str:
    """The checksum of an added file, after comparing it with the one recorded when it was added.

    Raises: AssetError if the file is missing or has changed.
    """
    path = find_asset(name)
    digest = sha256_of(path)
    _compare(name, path, digest)
    return digest


def _compare(name: str, path: Path, digest: str) -> None:
    recorded = read_text(_sidecar(path)).split() if _sidecar(path).is_file() else []
    expected = (recorded or [get_asset(name).sha256])[0]
    if expected and expected != digest:
        raise AssetError(
            f"{path}: has changed since it was added (checksum {digest}, recorded {expected})",
            hint=f"Add it again with `synthforge assets add {name} FILE`.",
        )


def status() -> list[tuple[Asset, Path | None]]:
    """Every row of the table with the path of its file, or None where it is missing."""
    return [(asset, present(asset.name)) for asset in ASSETS.values()]


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def check_stylegan(path: Path) -> None:
    """A checkpoint of the StyleGAN family, pickled or converted. Raises AssetError for anything else."""
    from synthforge.assets.stylegan_pickle import read_checkpoint

    if not read_checkpoint(path).state:
        raise AssetError(f"{path}: holds no tensors")


def check_weights(path: Path) -> None:
    """A torch checkpoint that is the state of a network: tensors by name. Raises AssetError for anything else."""
    import torch

    from synthforge.assets.torch_checkpoint import read_torch_checkpoint

    state = read_torch_checkpoint(path)
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise AssetError(f"{path}: is not the state of a network (tensors by name)")
