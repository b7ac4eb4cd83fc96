"""Models that come with the installation, found by name as the shipped configurations are."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from .errors import UserError, did_you_mean
from .storage import is_remote, place

DESCRIPTION = "model.json"


def _root() -> Path:
    try:
        return Path(str(files("synthforge_models")))
    except ModuleNotFoundError:  # an editable install from before there were models
        return Path(__file__).resolve().parents[2] / "models"


def shipped_file(name: str) -> Path:
    """A file that comes with the installation beside the models: `shipped_file("NAME/weights.safetensors")`."""
    return _root() / name


def shipped_models() -> dict[str, Path]:
    """Model folders that come with the installation, by name."""
    root = _root()
    return {str(path.parent.relative_to(root)): path.parent for path in sorted(root.rglob(DESCRIPTION))}


def given_folder(reference: str) -> Path | None:
    """The folder that a pipeline's reference means: an existing path, a URL, or a shipped model's name; else None.

    A shipped one may be written as in the repository, `models/NAME`.
    """
    path = place(reference)
    return path if is_remote(path) or path.exists() else shipped_models().get(_stem(reference))


def _stem(reference: str) -> str:
    return reference.removeprefix("models/").rstrip("/")


def find_model(name: str | Path) -> Path:
    """A model folder or an ONNX file by path or URL, or a shipped model by name.

    Raises UserError with the nearest name otherwise.
    """
    path = place(name)
    if (path / DESCRIPTION).is_file() or (path.suffix == ".onnx" and path.is_file()):
        return path
    shipped = shipped_models()
    stem = _stem(str(name))
    if stem in shipped:
        return shipped[stem]
    if is_remote(path) or path.is_dir():
        raise UserError(f"the folder {path} holds no model: there is no {DESCRIPTION}")
    known = did_you_mean(stem, shipped, "Shipped")
    raise UserError(f"there is no model {name}", hint=f"{known} Or give a folder with a {DESCRIPTION}.")
