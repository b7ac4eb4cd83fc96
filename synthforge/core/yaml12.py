"""YAML by the core schema of YAML 1.2, without duplicate keys, and with limits against hostile files.

YAML 1.1, PyYAML's own schema, reads `no` as false, `12:30` as 750, `2024_01` as 202401, `2024-01-15` as a date and
`1e-4` as a text. Here only `true` and `false` are flags, and a number keeps the text it was written as, so that a key
that wants a text gets `007` and not `7`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
# Values with every alias written out: a pipeline has some hundreds.
MAX_NODES = 20_000
MAX_REFERENCES = 2_000  # `${...}`, including nested ones; a pipeline has some dozens
_LARGEST = 2**63 - 1


class _Written:
    """A number that remembers how it was written."""

    text: str

    def __new__(cls, value: Any, text: str = "") -> Any:
        made = super().__new__(cls, value)  # type: ignore[call-arg]
        made.text = text or repr(made)
        return made

    def __str__(self) -> str:
        return self.text


class WholeNumber(_Written, int):
    """A whole number that remembers how it was written."""


class Number(_Written, float):
    """Such a number with a fraction or exponent."""


class _Loader(yaml.SafeLoader):
    """The safe loader with the core schema, which refuses duplicate keys and unbounded growth."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - as PyYAML declares it

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._seen = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, counted. An alias counts as many nodes as it refers to, since readers traverse them."""
        mark = self.peek_event().start_mark
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _problem(f"nested deeper than {MAX_DEPTH} levels", mark)
        before = self._seen
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias and id(node) not in self._sizes:
            raise _problem("an alias is inside what it refers to", mark)
        self._seen += self._sizes[id(node)] if alias else 1
        if self._seen > MAX_NODES:
            raise _problem(f"more than {MAX_NODES:,} values, with aliases expanded", mark)
        if not alias:
            self._sizes[id(node)] = self._seen - before
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Keys are the texts they are written as; the safe loader lets a second equal key replace the first."""
        seen: set[str] = set()
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise _problem("a key must be a text", name.start_mark)
            if name.tag == "tag:yaml.org,2002:merge":
                continue
            if name.value in seen:
                raise _problem(f"duplicate key '{name.value}'", name.start_mark)
            seen.add(name.value)
            name.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int:
        """A whole number: decimal, or with 0x or 0o before it."""
        text = str(node.value)
        if len(text) > 24:
            raise _problem("a number of more than 24 digits", node.start_mark)
        value = int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        if abs(value) > _LARGEST:
            raise _problem(f"the whole number {text} is too large", node.start_mark)
        return value if str(value) == text else WholeNumber(value, text)

    def real(self, node: yaml.ScalarNode) -> float:
        """A number with a point or an exponent, `.inf` or `.nan`."""
        text = str(node.value)
        value = float(text.replace(".", "", 1) if text[-1].isalpha() else text)
        if math.isinf(value) and text[-1].isdigit():
            raise _problem(f"the number {text} is too large", node.start_mark)
        return value if repr(value) == text else Number(value, text)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.number)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.real)


def _problem(text: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, text, mark)


def parse(text: str, source: str) -> Any:
    """YAML as plain data. Raises ConfigError with `source`, line and column for any error of the parser."""
    if text.count("${") > MAX_REFERENCES:
        raise ConfigError(f"{source}: not valid YAML: more than {MAX_REFERENCES:,} references")
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        context = f"{error.context}, " if str(error.problem).startswith("but ") else ""
        raise ConfigError(f"{place}: not valid YAML: {context}{error.problem}") from None
    except Exception as error:  # any other exception of the parser is caused by the file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{source}: not valid YAML: {reason}") from None


def parse_override(text: str, source: str) -> Any:
    """The value of `--set KEY=VALUE`: YAML, but a plain text is taken literally, since it has no comments."""
    value = parse(text, source)
    plain = text.strip()
    if "#" in plain and (value is None or isinstance(value, str)) and plain[0] not in "'\"|>&!":
        return plain
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as plain data. Raises ConfigError with file, line and column."""
    try:
        with path.open("rb") as file:
            written = file.read(MAX_BYTES + 1)
        if len(written) > MAX_BYTES:
            raise ConfigError(f"{path}: a configuration of at most {MAX_BYTES / 1e6:.1f} MB is read, this is larger")
        text = written.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: byte {error.start + 1}", hint="Save it as UTF-8.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    data = parse(text, str(path))
    if not isinstance(data, dict):
        found = {type(None): "empty", list: "a list"}.get(type(data), f"the value {data!r:.40}")
        raise ConfigError(f"{path}: a pipeline is a mapping of keys, this is {found}")
    return data
