"""Weights, descriptions and checkpoints that prove themselves: held against a digest when they are read."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from ..core.blocks import whole
from ..core.environment import hidden
from ..core.errors import DataError, SynthForgeError
from ..core.files import write_bytes
from ..core.foreign import opened, read_json
from ..core.shipped import DESCRIPTION
from ..core.storage import RemotePath, place

WEIGHTS = "model.safetensors"
FORMAT = 1
#: key of `model.json` that holds the SHA-256 of the weights, and of itself without this key
DIGESTS = "sha256"
#: stands between a checkpoint and its SHA-256, behind the end of the zip archive where torch does not look
_MARK = b"synthforge:sha256:"
_LENGTH = len(_MARK) + hashlib.sha256().digest_size


def check_finite(weights: Mapping[str, Any], what: str) -> None:
    """Raise SynthForgeError where a tensor of a state dict holds NaN or infinity; what: for the message."""
    for name, value in weights.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise SynthForgeError(
                f"{what}: {name} is not finite",
                hint="Nothing was written. Lower the learning rate, set optimiser.clip=1, or train with "
                "precision=32-true.",
            )


def write_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> str:
    """Write safetensors atomically; their SHA-256. Raises SynthForgeError for weights that are not finite."""
    check_finite(weights, str(path))
    data = safetensors.torch.save({name: value.detach().cpu().contiguous() for name, value in weights.items()})
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def read_weights(path: Path, sha256: str = "") -> bytes:
    """The bytes of a weight file. sha256: what it must have, empty where nobody knows.

    Raises DataError for another digest or a file that cannot be read.
    """
    try:
        data = whole(path, sha256) if isinstance(path, RemotePath) and sha256 else _bytes(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(
            f"{path} was damaged or replaced: its SHA-256 is not the one written with it",
            hint="Restore the folder from a copy, or train again. If you changed it yourself, remove the key 'sha256' "
            "from model.json to accept it.",
        )
    return data


def _bytes(path: Path) -> bytes:
    with opened(path) as file:
        return file.read()


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain data and tensors atomically, so that `torch.load` reads them with weights_only."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    data = buffer.getvalue()
    write_bytes(path, data + _MARK + hashlib.sha256(data).digest())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote, or an older file without a digest. Raises DataError for a damaged one."""
    data = _bytes(path)
    whole, end = data[:-_LENGTH], data[-_LENGTH:]
    marked = end.startswith(_MARK)
    try:
        if marked and hashlib.sha256(whole).digest() != end[len(_MARK) :]:
            raise ValueError("its SHA-256 is not the one written with it")
        content = torch.load(io.BytesIO(whole if marked else data), map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or "fingerprint" not in content:
            raise ValueError("it is no checkpoint of a training")
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise DataError(
            f"{path} cannot be read: {' '.join(str(error).split())[:300]}", hint="Delete it to train from the start."
        ) from error
    return content


def check_weights(folder: Path, description: Mapping[str, Any]) -> None:
    """Raise DataError where the weights of a model folder are not there, or not those that `model.json` names."""
    read_weights(folder / WEIGHTS, written_digest(description, WEIGHTS))


def written_digest(description: Mapping[str, Any], name: str) -> str:
    """The SHA-256 that a description gives of a file, empty where it gives none."""
    given = description.get(DIGESTS)
    return str(given.get(name, "")) if isinstance(given, dict) else ""


def description_digest(description: Mapping[str, Any]) -> str:
    """The SHA-256 of a description, which may have been read back."""
    # twice: once read back from JSON, keys are strings and their order is another
    plain = json.loads(hidden(json.dumps(dict(description), default=str)))
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def model_digest(folder: Path) -> str:
    """SHA-256 over a model folder's weights and description."""
    total = hashlib.sha256()
    for name in (WEIGHTS, DESCRIPTION):
        total.update((folder / name).read_bytes())
    return total.hexdigest()


def read_description(folder: Path | str) -> dict[str, Any]:
    """`model.json` of a model folder. Raises DataError when it is not there or not readable."""
    path = place(folder) / DESCRIPTION
    if not path.exists():
        raise DataError(f"{folder} holds no model: there is no {DESCRIPTION}")
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(
            f"{path} is of format {data.get('format') if isinstance(data, dict) else '?'}; this version reads {FORMAT}"
        )
    return data
