"""Errors a user can act on.

The command line prints `message` and `hint` and exits with `exit_code`; anything else that escapes is our bug and
keeps its traceback.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .environment import hidden


class SynthForgeError(Exception):
    """What went wrong, where, and what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(hidden(message))
        self.message = hidden(message)
        self.hint = hint and hidden(hint)

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UserError(SynthForgeError):
    """The input is wrong: a key, a name, a path, or a file of another kind."""

    exit_code = 2


class ConfigError(UserError):
    """The pipeline YAML or an override is wrong."""


class DataError(UserError):
    """A file on disk is missing, truncated or in an unexpected format."""


class AssetError(UserError):
    """A licensed file is missing, has the wrong checksum or was refused."""


class PluginError(UserError):
    """A plugin is unknown, broken, duplicated, of the wrong type or incompatible."""


class AnnotationError(UserError):
    """A rendering lacks the geometry that an annotator reads."""


class ConfigWarning(FutureWarning):
    """A configuration key is deprecated: it still works under its old name or form."""


_KEYED = re.compile(r"[a-z_]+[a-z_.\[\]0-9]*: ")  # a message that begins with the key it is about


@contextmanager
def at(where: str) -> Iterator[None]:
    """Put file and YAML path before the messages of checks that know only their own key.

    A message that already begins with this file is left as it is.
    """
    try:
        yield
    except UserError as error:
        fault = error.exit_code != UserError.exit_code  # of a plugin, not of its input
        if fault or error.message.startswith(f"{where.partition(': ')[0].rstrip(':')}: "):
            raise
        link = " " if where.endswith(":") else "." if _KEYED.match(error.message) else ": "
        raise type(error)(f"{where}{link}{error.message}", hint=error.hint) from None


def did_you_mean(name: object, known: Iterable[str], label: str = "Known") -> str:
    """The hint for an unknown name: the nearest of the known ones, then all of them behind `label`."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    guess = f"Did you mean '{near[0]}'? " if near else ""
    return f"{guess}{label}: {', '.join(names) or 'none'}."
