"""The one place where an exception of a plugin becomes a message: which plugin, which method, which line, which sample.

Every public method that a plugin overrides is wrapped when its class is made (`Guarded`), so no caller needs a `try`;
functions that it registers are called through `call`.
Our own errors (`core.errors`) pass: a plugin raises them to say what the user should do.
"""

from __future__ import annotations

import functools
import inspect
import pickle
import sysconfig
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from .errors import PluginError, SynthForgeError, UserError
from .nearby import Origin
from .records import RealItem, RealSample, Rendering, Scene

T = TypeVar("T")
#: what a plugin may raise; Ctrl-C passes
FAILURES = (Exception, SystemExit)
_ENGINE = Path(__file__).resolve().parents[1]
_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


class PluginFault(PluginError):
    """A plugin raised an exception that is not one of `core.errors`, or returned nothing.

    details: the traceback, also from a worker.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None, details: str = "") -> None:
        super().__init__(message, hint=hint)
        self.details = details


class Guarded:
    """Base of the interfaces: errors in methods that subclasses override name the plugin, the line and the sample."""

    #: the name it is registered by; set by `Plugins.build`
    registered: str = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        interfaces = [base for base in cls.__mro__[1:] if _is_interface(base)]
        if _is_interface(cls):
            return
        for name, function in list(vars(cls).items()):
            declared = next((vars(base)[name] for base in interfaces if name in vars(base)), None)
            if inspect.isfunction(function) and inspect.isfunction(declared) and not name.startswith("_"):
                setattr(cls, name, _guard(function, "None" not in str(declared.__annotations__.get("return"))))


def _is_interface(cls: type) -> bool:
    return issubclass(cls, Guarded) and cls.__module__.rpartition(".")[0] == __package__


def _guard(function: Callable[..., Any], returns: bool) -> Callable[..., Any]:
    """The method, with what it raises explained; `returns`: None is a forgotten `return`."""

    @functools.wraps(function)
    def guarded(self: Any, *given: Any, **named: Any) -> Any:
        try:
            result = function(self, *given, **named)
        except SynthForgeError:
            raise
        except FAILURES as error:
            arguments = dict(zip(inspect.signature(function).parameters, (self, *given), strict=False)) | named
            raise _fault(error, f"{who(self)}.{function.__name__}", function, _sample(arguments)) from error
        if result is None and returns:
            raise PluginFault(
                f"{who(self)}.{function.__name__} returned nothing ({_defined_at(function)})",
                hint="Is a `return` missing?",
            )
        return result

    return guarded


def who(plugin: Any) -> str:
    """How messages name a built plugin: `the generator 'ball': Ball`."""
    kind = next((base.__name__.lower() for base in type(plugin).__mro__ if _is_interface(base)), "plugin")
    name = getattr(plugin, "registered", "") or getattr(plugin, "name", "")
    return f"the {kind} {f'{name!r}: ' if name else ''}{type(plugin).__name__}"


class WorkerError(Exception):
    """The traceback of an exception in another process, as text: the cause of what is raised here."""


def carried(error: Exception) -> tuple[Exception, str]:
    """An exception so that it can travel to another process, and its traceback; call it where it was caught."""
    text = f"\n{traceback.format_exc()}"
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # not every exception can travel
        error = SynthForgeError(f"{type(error).__name__}: {error}")
    return error, text


def arrived(error: Exception, text: str) -> Exception:
    """The exception that `carried` returned, to be raised in this process."""
    error.__cause__ = None if isinstance(error, UserError) else WorkerError(text)
    return error


def call(what: str, function: Callable[..., T], *given: Any) -> T:
    """Call a function of a plugin that is no method of an interface; `what` names it in the message."""
    try:
        return function(*given)
    except (SynthForgeError, ImportError):
        raise
    except FAILURES as error:
        raise _fault(error, what, function) from error


def _fault(error: BaseException, what: str, code: Callable[..., Any], sample: str = "") -> PluginFault:
    """An exception of a plugin as one message: what raised it, the line of the plugin, and on which sample.

    code: what was called; its own line is named when no line of the plugin is in the traceback.
    """
    said = f"raised {type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, SystemExit):
        said = f"called sys.exit({error.code!r})"
    place = ", ".join(part for part in (location(error) or _defined_at(code), sample) if part)
    return PluginFault(
        f"{what} {said}" + (f" ({place})" if place else ""),
        hint="This is a fault of the plugin, not of its input.",
        details="".join(traceback.format_exception(error)),
    )


def _defined_at(code: Any) -> str:
    try:
        return f"{inspect.getsourcefile(inspect.unwrap(code))}:{inspect.getsourcelines(code)[1]}"
    except (OSError, TypeError):  # built-in, or no file to read
        return ""


def location(error: BaseException) -> str:
    """`file:line` where an exception left the plugin's code; empty if the traceback has no line of it."""
    frames = [
        (Path(frame.filename), frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and _ENGINE not in Path(frame.filename).resolve().parents
    ]
    frames = [
        frame for frame in frames if _LIBRARY not in frame[0].resolve().parents or "site-packages" in str(frame[0])
    ]
    if not frames:
        return ""
    home = frames[0][0]
    package = home.parent if (home.parent / "__init__.py").is_file() else home
    own = [frame for frame in frames if frame[0] == package or package in frame[0].parents]
    return "{}:{}".format(*own[-1])


def _sample(arguments: Mapping[str, Any]) -> str:
    """Which sample a method was called for, from its arguments: seed and index, or the key of a photograph."""
    if isinstance(arguments.get("seed"), int) and isinstance(arguments.get("index"), int):
        return f"seed {arguments['seed']}, index {arguments['index']}"
    for value in arguments.values():
        if isinstance(value, RealSample):
            value = value.item
        if isinstance(value, RealItem):
            return f"face '{value.key}'"
        if isinstance(value, Rendering):
            value = value.scene
        if isinstance(value, (Scene, Origin)):
            return f"seed {value.seed}, index {value.index}"
        if isinstance(value, Sequence) and value and isinstance(value[0], Scene):
            indices = [scene.index for scene in value]
            several = f"indices {indices[0]} to {indices[-1]}" if len(indices) > 1 else f"index {indices[0]}"
            return f"seed {value[0].seed}, {several}"
    return f"split '{arguments['split']}'" if isinstance(arguments.get("split"), str) else ""
