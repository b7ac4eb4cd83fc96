"""Checks of what a configuration needs of this machine, before the first stage starts.

A configuration class of a plugin or a stage may have a method `check(self)`. It builds nothing and raises ConfigError,
its message beginning with the key, for a folder, file or device that does not exist.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from .boundary import call
from .errors import ConfigError, at
from .files import files_in
from .keys import written_name


def check_config(config: Any, where: str, *, made: Collection[str] = ()) -> None:
    """Call `check` of a configuration, its groups and the plugins it names.

    where: file and YAML path, for messages. made: keys whose plugins read the output of another stage, which does not
    exist yet.
    """
    if callable(getattr(config, "check", None)):
        with at(where):
            call(f"{where}: `check` of {type(config).__name__}", config.check)
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        for each in value if isinstance(value, list) else [value]:
            if hasattr(each, "reference"):  # a plugin that was bound (`core.references`)
                if item.name not in made:
                    check_config(each.config, each.where)
            elif dataclasses.is_dataclass(each) and not isinstance(each, type):
                check_config(each, f"{where}.{written_name(item)}")


def need_folder(key: str, folder: str, suffixes: Sequence[str] = (), hint: str = "Name another folder.") -> None:
    """Raise ConfigError unless the folder that a key names exists and, with suffixes, holds such a file.

    hint: what to do where it holds none.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ConfigError(f"{key}: there is no folder {path}", hint="Write an existing folder there.")
    if suffixes and not files_in(path, suffixes):
        raise ConfigError(f"{key}: {path} holds no file ending in {', '.join(suffixes)}", hint=hint)


def need_file(key: str, path: str, suffixes: Sequence[str], hint: str) -> None:
    """Raise ConfigError unless a key names a file with one of these suffixes, or a folder that holds one.

    hint: what to do with files of other formats.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        need_folder(key, path, suffixes, hint)
    elif not place.is_file():
        raise ConfigError(f"{key}: there is no file or folder {place}", hint="Write an existing one there.")
    elif place.suffix.lower() not in suffixes:
        raise ConfigError(f"{key}: {place} does not end in {', '.join(suffixes)}", hint=hint)


def need_device(key: str, name: str, count: int = 1) -> None:
    """Raise ConfigError unless torch has the device that a key names: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    count: how many of them are needed; one CPU satisfies any count.
    """
    if name == "cpu":
        return
    import torch  # takes a second, and most configurations use the CPU

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    kind, colon, number = name.partition(":")
    if kind not in ("auto", "cuda", "mps") or (colon and (kind != "cuda" or not number.isdecimal())):
        raise ConfigError(f"{key}: '{name}' is no device", hint="One of: auto, cpu, cuda, cuda:0, cuda:1 ..., mps.")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"{key}: there is no Apple GPU (mps) here", hint="Use cpu.")
    wanted = int(number) + 1 if colon else count
    if (kind == "cuda" or (kind == "auto" and there)) and wanted > there:
        found = f"{there} CUDA device{'s' * (there > 1)}" if there else "no CUDA device"
        asked = f"'{name}'" if wanted == 1 or colon else f"{wanted} of them"
        raise ConfigError(f"{key}: {asked} was asked for; torch sees {found}", hint="Use cpu, or leave the key out.")
