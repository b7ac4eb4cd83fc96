"""Environment variables in a pipeline: only those that its YAML lists are read, and their values are never shown.

A variable is a folder or an address, so its value has a "/" and is rarely part of another text. All output of the
engine passes `hidden`, which replaces the value by `${oc.env:NAME}`.
"""

from __future__ import annotations

import functools
import html
import json
import os
import re
from collections.abc import Iterable
from typing import Any

#: a variable with the names that the pipelines of this process list, since worker processes inherit it
LISTED = "SYNTHFORGE_ENVIRONMENT"
SHORTEST = 4  # fewest characters of a value: hiding a shorter one would hide parts of most paths


def listed() -> tuple[str, ...]:
    """Names that the pipelines of this process list."""
    return tuple(filter(None, os.environ.get(LISTED, "").split(",")))


def list_names(names: Iterable[str]) -> None:
    """Hide the values of these variables from now on, in this process and those it starts."""
    os.environ[LISTED] = ",".join(dict.fromkeys((*listed(), *names)))


def is_place(value: str) -> bool:
    """Whether a value is allowed in a pipeline."""
    return "/" in value and len(value.rstrip("/")) >= SHORTEST


def hidden(text: str) -> str:
    """The text with values of listed variables replaced by references, also inside JSON or HTML."""
    names = listed()
    if not names:
        return text
    values = tuple((name, os.environ.get(name, "")) for name in names)
    pattern, references = _pattern(values)
    return pattern.sub(lambda match: references[match[0]], text) if references else text


def hidden_data(data: Any) -> Any:
    """Plain data with `hidden` texts; unchanged if no variable is listed."""
    return json.loads(hidden(json.dumps(data, default=str))) if listed() else data


@functools.lru_cache(maxsize=8)
def _pattern(values: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    references: dict[str, str] = {}
    for name, value in values:
        if is_place(value):
            user = os.path.expanduser(value)
            for form in (value, os.path.normpath(value), user, os.path.normpath(user), os.path.realpath(user)):
                for written in (form.rstrip("/"), html.escape(form.rstrip("/")), json.dumps(form.rstrip("/"))[1:-1]):
                    references.setdefault(written, f"${{oc.env:{name}}}")
    longest_first = sorted((form for form in references if is_place(form)), key=len, reverse=True)
    return re.compile(rf"(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"), references
