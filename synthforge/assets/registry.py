"""Licensed files: what each is for, where it comes from, under which licence, and where we look for it.

None of them may be redistributed, so none is downloaded here: the user fetches them and `add_asset` checks and keeps
them. The table is data; this module imports neither torch nor the readers until a file is to be checked.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synthforge.core.errors import AssetError
from synthforge.core.files import sha256_of

VARIABLE = "SYNTHFORGE_ASSETS"
_FLAME_SITE = "https://flame.is.tue.mpg.de (registration)"
_NON_COMMERCIAL = "MPI non-commercial scientific research licence"


@dataclass(frozen=True)
class Asset:
    """One licensed file.

    file: its path below the assets folder; sha256: known checksum, or empty where it is recorded when the file is
    added; reader: the check in `_READERS` that a file must pass; edition: which of several the file is.
    """

    name: str
    file: str
    purpose: str
    source: str
    licence: str
    commercial: bool
    reader: str
    sha256: str = ""
    edition: str = ""


ASSETS: tuple[Asset, ...] = (
    Asset(
        "next3d-ffhq",
        "next3d/next3d_ffhq_512.pkl",
        "generator `next3d`: weights trained on FFHQ at 512",
        "https://github.com/MrTornado24/Next3D (links in its README)",
        "Next3D: NVIDIA Source Code License (non-commercial); made with FFHQ (CC BY-NC-SA 4.0)",
        False,
        "stylegan",
        edition="FFHQ 512",
    ),
    Asset(
        "eg3d-ffhq",
        "eg3d/ffhq512-128.pkl",
        "generator `eg3d`: weights trained on FFHQ at 512, neural resolution 128",
        "https://catalog.ngc.nvidia.com/orgs/nvidia/teams/research/models/eg3d",
        "NVIDIA Source Code License (non-commercial)",
        False,
        "stylegan",
        edition="FFHQ 512-128",
    ),
    Asset(
        "flame2020",
        "flame/flame2020/generic_model.pkl",
        "head `flame`, edition 2020",
        _FLAME_SITE,
        _NON_COMMERCIAL,
        False,
        "flame",
        edition="2020",
    ),
    Asset(
        "flame2023",
        "flame/flame2023/generic_model.pkl",
        "head `flame`, edition 2023",
        _FLAME_SITE,
        _NON_COMMERCIAL,
        False,
        "flame",
        edition="2023",
    ),
    Asset(
        "flame2023-open",
        "flame/flame2023_open/generic_model.pkl",
        "head `flame`, edition 2023 Open",
        _FLAME_SITE,
        "CC BY 4.0",
        True,
        "flame",
        edition="2023 Open",
    ),
    Asset(
        "flame-landmarks",
        "flame/landmark_embedding.npy",
        "68 landmarks on FLAME's mesh",
        "https://github.com/yfeng95/DECA (data folder)",
        _NON_COMMERCIAL,
        False,
        "landmarks",
    ),
    Asset(
        "flame-masks",
        "flame/FLAME_masks.pkl",
        "regions on FLAME's mesh, for segmentation",
        _FLAME_SITE,
        _NON_COMMERCIAL,
        False,
        "masks",
    ),
    Asset(
        "flame-texture",
        "flame/FLAME_texture.npz",
        "FLAME's texture layout (`vt`, `ft`), for painted classes",
        _FLAME_SITE,
        "CC BY-NC-SA 4.0",
        False,
        "texture",
    ),
    Asset(
        "uv-face-mask",
        "flame/uv_face_eye_mask.png",
        "generator `next3d`: which texels of the neural texture belong to the face (PNG, or .npz with `mask`)",
        "https://github.com/yfeng95/DECA (data folder)",
        _NON_COMMERCIAL,
        False,
        "mask",
    ),
    Asset(
        "deca",
        "deca/deca_model.tar",
        "annotator `deca`: weights of the coarse encoder",
        "https://github.com/yfeng95/DECA (link in its README)",
        _NON_COMMERCIAL,
        False,
        "deca",
        edition="coarse",
    ),
    Asset(
        "fan",
        "fan/checkpoints/2DFAN4-11f355bf06.pth.tar",
        "filter `detector`, detector fan: weights of the landmark network 2DFAN-4",
        "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar",
        "face-alignment: BSD-3-Clause; trained on 300W-LP (photographs for research)",
        False,
        "weights",
        edition="2DFAN-4",
    ),
    Asset(
        "fan-faces",
        "fan/checkpoints/s3fd-619a316812.pth",
        "filter `detector`, detector fan: weights of the face detector S3FD",
        "https://www.adrianbulat.com/downloads/python-fan/s3fd-619a316812.pth",
        "face-alignment: BSD-3-Clause; trained on WIDER FACE (photographs for research)",
        False,
        "weights",
        edition="S3FD",
    ),
    Asset(
        "dlib-landmarks",
        "dlib/shape_predictor_68_face_landmarks.dat",
        "filter `detector`, detector dlib: its 68-point shape predictor",
        "http://dlib.net/files/shape_predictor_68_face_landmarks.dat.bz2 (unpack it)",
        "trained on 300W, whose licence excludes commercial use",
        False,
        "dlib",
        edition="68 points",
    ),
)


def assets_folder() -> Path:
    """Where licensed files are kept: the environment variable SYNTHFORGE_ASSETS, else below ~/.local/share."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".local/share/synthforge/assets"


def get_asset(name: str) -> Asset:
    """The table's row. Raises: AssetError naming the known ones."""
    for asset in ASSETS:
        if asset.name == name:
            return asset
    raise AssetError(f"there is no asset called '{name}'", hint=f"Known: {', '.join(a.name for a in ASSETS)}.")


def candidates(asset: Asset) -> list[Path]:
    """Where the file may lie, in order: its official form, then the form we convert it to."""
    path = assets_folder() / asset.file
    others = {"stylegan": (".safetensors",), "mask": (".npz",)}.get(asset.reader, ())
    return [path, *(path.with_suffix(suffix) for suffix in others)]


def find_asset(name: str) -> Path:
    """Path of a licensed file that has been added.

    Raises: AssetError that says what it is for, where to get it, under which licence and where it is looked for.
    """
    path = present(name)
    if path is not None:
        return path
    what, how = missing(name)
    raise AssetError(what, hint=how)


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
    _READERS[asset.reader](source)
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
    recorded = _sidecar(path).read_text().split()[0] if _sidecar(path).is_file() else digest
    if recorded != digest:
        raise AssetError(
            f"{path}: has changed since it was added (checksum {digest}, recorded {recorded})",
            hint=f"Add it again with `synthforge assets add {name} FILE`.",
        )
    return digest


def status() -> list[tuple[Asset, Path | None]]:
    """Every row of the table with the path of its file, or None where it is missing."""
    return [(asset, present(asset.name)) for asset in ASSETS]


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _check_stylegan(path: Path) -> None:
    from synthforge.assets.stylegan_pickle import read_checkpoint

    if not read_checkpoint(path).state:
        raise AssetError(f"{path}: holds no tensors")


def _check_flame(path: Path) -> None:
    from synthforge.heads.flame_io import read_flame

    read_flame(path)


def _check_landmarks(path: Path) -> None:
    from synthforge.heads.flame_io import FACES, read_landmark_embedding

    read_landmark_embedding(path, FACES)


def _check_masks(path: Path) -> None:
    from synthforge.heads.flame_io import VERTICES, read_masks

    read_masks(path, VERTICES)


def _check_texture(path: Path) -> None:
    from synthforge.heads.flame_io import FACES, read_texture_layout

    read_texture_layout(path, FACES)


def _check_mask(path: Path) -> None:
    from synthforge.heads.flame_io import read_uv_mask

    read_uv_mask(path)


def _check_deca(path: Path) -> None:
    from synthforge.assets.torch_checkpoint import read_torch_checkpoint

    if "E_flame" not in read_torch_checkpoint(path):
        raise AssetError(f"{path}: has no entry E_flame, the coarse encoder of DECA")


def _check_weights(path: Path) -> None:
    import torch

    from synthforge.assets.torch_checkpoint import read_torch_checkpoint

    state = read_torch_checkpoint(path)
    if not state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise AssetError(f"{path}: is not the state of a network (tensors by name)")


def _check_dlib(path: Path) -> None:
    with path.open("rb") as stream:
        start = stream.read(2)
    if start != b"\x01\x01":  # dlib writes an integer as its length and its bytes; shape predictors are of version 1
        raise AssetError(f"{path}: is not a shape predictor of dlib", hint="A .bz2 file must be unpacked first.")


_READERS: dict[str, Callable[[Path], None]] = {
    "stylegan": _check_stylegan,
    "flame": _check_flame,
    "landmarks": _check_landmarks,
    "masks": _check_masks,
    "texture": _check_texture,
    "mask": _check_mask,
    "deca": _check_deca,
    "weights": _check_weights,
    "dlib": _check_dlib,
}
