"""Where plugins come from, and what each of them offers; nothing is checked or built here.

An installed package names its module in the entry point group `synthforge`; a pipeline names its own files.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pluggy

from . import hookspecs
from .boundary import location
from .errors import PluginError, SynthForgeError

#: raised when the hook interfaces change in a way that old plugins cannot follow
API_VERSION = 1
GROUP = "synthforge"


class HardExit(SystemExit):
    """A plugin called `os._exit` while it was imported."""


@dataclass(frozen=True)
class Source:
    """A plugin module: how it is imported, and who offers it (`synthforge 0.1.0`, `./my_generator.py`)."""

    load: Callable[[], Any]
    origin: str
    distribution: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.distribution} ({self.origin})"

    def imported(self) -> Any:
        """The module. `os._exit` in it raises as `sys.exit` does, since otherwise the cause of the exit could not be
        reported.

        With SYNTHFORGE_TRACE_PLUGINS=1 its name is printed on stderr first: the last name is that of a plugin that
        crashes the process.
        """
        if os.environ.get("SYNTHFORGE_TRACE_PLUGINS") == "1":
            print(f"synthforge: loading plugin {self.origin} ({self.distribution})", file=sys.stderr, flush=True)
        with _staying():
            return self.load()


@contextmanager
def _staying() -> Iterator[None]:
    """Run plugin code that must not end the process: `os._exit` raises HardExit, exceptions that are no Exception a
    PluginError."""
    leave, process = os._exit, os.getpid()

    def refuse(status: int) -> NoReturn:
        if os.getpid() != process:  # a process that it forked
            leave(status)
        raise HardExit(status)

    os._exit = refuse
    try:
        yield
    except (Exception, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(f"it raises {type(error).__name__}: {error}") from error
    finally:
        os._exit = leave


@dataclass(frozen=True)
class Offer:
    """One call of `register` by a hook: `hook` is the part of its name after `register_`."""

    hook: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]


def installed() -> tuple[Source, ...]:
    """The entry points of every installed distribution, each once, in a fixed order."""
    return _scan(tuple(sys.path))


@functools.lru_cache(maxsize=4)
def _scan(path: tuple[str, ...]) -> tuple[Source, ...]:
    found: dict[tuple[str, str], Source] = {}
    for distribution in distributions(path=list(path)):
        for entry in distribution.entry_points:
            if entry.group == GROUP:
                name = distribution.metadata["Name"] or ""
                source = Source(
                    entry.load, entry.value, f"{name} {distribution.version}", (entry.name.rpartition(".")[2],)
                )
                found.setdefault((name, entry.name), source)
    return tuple(found[key] for key in sorted(found))


def from_file(reference: str, base: Path) -> Source:
    """A plugin file (`./my_generator.py`, relative to `base`) or an importable module of the user's."""
    if not reference.endswith(".py"):
        return Source(partial(importlib.import_module, reference), reference, reference)
    path = (base / reference).resolve()
    if not path.is_file():
        raise PluginError(f"plugins: there is no file {reference} beside {base}")
    return Source(partial(module_from_file, path), reference, str(path))


def module_from_file(path: Path) -> ModuleType:
    """Import a file under a unique name: two files called `generator.py` must not share a module."""
    name = f"synthforge_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def offers(module: Any) -> list[Offer]:
    """What the hooks of one plugin register; pluggy checks each plugin separately, so that none affects another."""
    wanted = getattr(module, "SYNTHFORGE_API", API_VERSION)
    if wanted != API_VERSION:
        raise PluginError(f"it is written for plugin API {wanted}, this synthforge has {API_VERSION}")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(module)
    manager.check_pending()
    found: list[Offer] = []
    hooks = 0
    for name in hookspecs.HOOKS:
        hook = getattr(manager.hook, f"register_{name}")
        hooks += len(hook.get_hookimpls())
        with _staying():
            hook(register=lambda *given, name=name, **options: found.append(Offer(name, given, options)))
    if not hooks:
        raise PluginError("it has no hook (a function `register_generators(register)` marked @hookimpl, or the like)")
    return found


def reason(error: BaseException) -> str:
    """Why a plugin cannot be used, in one line."""
    if isinstance(error, SynthForgeError):
        return error.message
    said = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SystemExit):
        name = "os._exit" if isinstance(error, HardExit) else "sys.exit"
        said = f"it ends the process while it is imported: {name}({error.code!r})"
    place = location(error)
    return f"{said} ({place})" if place else said
