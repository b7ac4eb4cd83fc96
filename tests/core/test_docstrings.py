"""Code names in docstrings exist: what stands in backticks is a name, a key, a value or a file that the code has."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("synthforge", "plugins", "perf", "studies")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
# A name, perhaps with attributes, perhaps with arguments.
_NAME = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:\(.*\)|\[.*\])?")
_FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|md|yaml|html)")
_CONFIG = re.compile(r"paper/\w+")
_WORD = re.compile(r"[A-Za-z_]\w*")
_DATA = ("tar", "pkl", "npz", "npy", "pts", "ckpt", "json", "png", "jpg", "safetensors", "txt", "sha256")


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def docstrings(path: Path) -> tuple[tuple[int, str], ...]:
    found = []
    for node in nodes(path):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (text := ast.get_docstring(node)):
            found.append((node.body[0].lineno, text))
    return tuple(found)


@cache
def words(path: Path) -> frozenset[str]:
    """Every identifier of a module's code and every word of its strings, docstrings aside."""
    documentation = {line for line, _ in docstrings(path)}
    found = set(path.with_suffix("").parts)
    for node in nodes(path):
        for name in ("id", "name", "attr", "arg", "asname", "module"):
            if isinstance(value := getattr(node, name, None), str):
                found.update(value.split("."))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.lineno not in documentation:
            found.update(_WORD.findall(node.value))
    return frozenset(found)


@cache
def elsewhere() -> frozenset[str]:
    """Names that need no module in front of them: of modules, classes, fields, arguments, constants, texts."""
    found = {*dir(builtins), *keyword.kwlist}
    for path in MODULES:
        functions = {node.name for node in nodes(path) if isinstance(node, ast.FunctionDef)}
        found |= words(path) - functions
    return frozenset(found)


@cache
def qualified() -> frozenset[str]:
    """`package.name`, `module.name` and `Class.member` of everything there is."""
    found = set()
    for path in MODULES:
        module = path.parent.name if path.stem == "__init__" else path.stem
        found |= {f"{name}.{word}" for word in words(path) for name in (module, path.parent.name)}
        found |= {f"{path.parent.name}.{module}"}
        found |= {f"{path.parent.parent.name}.{path.parent.name}"}
        for node in nodes(path):
            if isinstance(node, ast.ClassDef):
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                found |= {f"{node.name}.{word}" for word in _members(node) | bases}
    return frozenset(found)


@cache
def owners() -> frozenset[str]:
    """Modules and classes, each with a dot behind it."""
    return frozenset(f"{name.partition('.')[0]}." for name in qualified())


@cache
def members() -> frozenset[str]:
    """Everything that some module or class has."""
    return frozenset(name.partition(".")[2] for name in qualified())


def _members(node: ast.ClassDef) -> set[str]:
    found = {inner.name for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef)}
    found |= {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
    return found | {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


@cache
def foreign() -> frozenset[str]:
    """Top-level names of the packages that our code imports, and their customary short names."""
    found = set(sys.stdlib_module_names) | {"np", "wp"}
    for path in MODULES:
        for node in nodes(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found.update(name.partition(".")[0] for name in names)
    return frozenset(found - {"synthforge", "synthforge_plugins"})


def wrong(text: str, path: Path) -> Iterator[str]:
    """The names in a docstring of a module that do not exist."""
    for token in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text):
        if token.startswith(("./", "__")) or token.endswith("_") or token.isupper():
            continue  # a user's own file, Python's, a prefix, a placeholder
        if _FILE.fullmatch(token) or _CONFIG.fullmatch(token):
            if not _is_file(token, path):
                yield token
        elif (match := _NAME.fullmatch(token)) is not None and not _is_name(match[1], path):
            yield token


def _is_file(token: str, path: Path) -> bool:
    places = (ROOT, ROOT / "synthforge", ROOT / "plugins", ROOT / "configs", path.parent)
    return (
        any((place / end).exists() for place in places for end in (token, f"{token}.yaml"))
        or token in {module.name for module in MODULES}
        or set(_WORD.findall(token)) <= words(path)
    )


def _is_name(name: str, path: Path) -> bool:
    *above, last = name.split(".")
    if not above:
        return last in words(path) or last in elsewhere()
    if above[0] in foreign() or last in _DATA:
        return True
    if f"{above[-1]}.{last}" in qualified() or set(name.split(".")) <= words(path):
        return True
    # Of a class or module the member must be there; of anything else (an argument, a key) something must be called so.
    return f"{above[-1]}." not in owners() and last in elsewhere() | members()


@pytest.mark.parametrize("package", PACKAGES)
def test_names_in_docstrings_exist(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: `{token}`"
        for path in MODULES
        if path.relative_to(ROOT).parts[0] == package
        for line, text in docstrings(path)
        for token in wrong(text, path)
    ]
    assert not found, "names that do not exist (those of other modules want the module: `crops.warp_label`):\n" + (
        "\n".join(found)
    )


def test_what_does_not_exist_is_found() -> None:
    text = "`place_nothing`, `Catalogue.nothing`, `crops.nothing`, `paper/nothing`, `nothing_at_all.py`, `tone_table`"
    here = ROOT / "synthforge/core/files.py"
    assert list(wrong(text, here)) == re.findall("`([^`]+)`", text)
    assert not list(wrong("`crops.warp_label`, `ShardDataset`, `replacing(path)`, `timm.x`, `core/files.py`", here))
