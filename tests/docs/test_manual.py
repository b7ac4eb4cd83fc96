"""The manual builds with every link checked, names every hook and page, and its snippets fit the code of today."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from synthforge.cli.common import shipped_configs
from synthforge.cli.main import cli
from synthforge.core import hookspecs
from synthforge.core.shipped import shipped_models

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w*)\n((?s:.*?))^\1```$|((?:^ {4,}\S.*\n)(?:^ {4,}.*\n|^\n)*)", re.M)


# what the first argument of a command names where it is no path
GIVEN = {
    **dict.fromkeys(("run", "check", "generate", "train", "finetune"), shipped_configs()),
    **dict.fromkeys(("evaluate", "predict", "export", "probe"), shipped_models()),
}


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of a page in one of the languages; indented blocks are those of language ''."""
    found = []
    for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
        language, text = (match[2], match[3]) if match[4] is None else ("", match[4])
        if language in languages:
            indent = min(len(line) - len(line.lstrip()) for line in text.splitlines() if line.strip())
            found.append("\n".join(line[indent:] for line in text.splitlines()))
    return found


def commands(page: Path) -> Iterator[list[str]]:
    """Arguments of every `synthforge ...` in the code of a page, in blocks (continued lines joined) and in lines."""
    for text in blocks(page, "", "sh", "bash", "console"):
        for line in text.replace("\\\n", " ").splitlines():
            for part in re.split(r" && | \| ", line):
                if match := re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\S*/)?synthforge (.*)", part):
                    yield shlex.split(match[1], comments=True)
    for match in re.finditer(r"`synthforge ([^`\n]+)`", page.read_text(encoding="utf-8")):
        yield match[1].split()


def test_every_page_is_in_the_navigation() -> None:
    """And every page that the navigation names exists or is generated."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    missing = [str(p.relative_to(DOCS)) for p in DOCS.rglob("*.md") if str(p.relative_to(DOCS)) not in text]
    assert not missing, f"not in the navigation of mkdocs.yml: {missing}"


def test_every_hook_is_explained() -> None:
    """A plugin author finds each hook in docs/plugins.md."""
    page = (DOCS / "plugins.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("register_")]
    assert hooks
    assert not [name for name in hooks if name not in page]


def test_every_extra_is_explained() -> None:
    """The page on installing names each extra of the package."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = re.search(r"\[project.optional-dependencies\]\n(.*?)\n\[", text, re.S)
    assert section is not None
    extras = re.findall(r"^([a-z0-9]+) = \[", section[1], re.M)
    page = (DOCS / "install.md").read_text(encoding="utf-8")
    assert not [name for name in extras if f"| `{name}` |" not in page]


def test_code_is_found() -> None:
    """Else the tests below would hold of nothing: the README alone shows more than this."""
    readme = ROOT / "README.md"
    assert {"run", "show", "predict"} <= {words[0] for words in commands(readme)}
    assert blocks(readme, "python")
    assert blocks(readme, "yaml")
    assert sum(1 for page in PAGES for _ in commands(page)) > 80
    assert sum(len(blocks(page, "python")) for page in PAGES) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_those_of_today(page: Path) -> None:
    """Each command and option that a page shows exists."""
    for words in commands(page):
        context = click.Context(cli, info_name="synthforge")
        name, command = words[0] if words else "", cli
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            name, found = words[0], command.get_command(context, words[0])
            assert found is not None, f"{page.name}: there is no command '{name}'"
            command, words = found, words[1:]
        named = next((word for word in words if not word.startswith("-")), "")
        given = name in GIVEN and "--to" not in words  # which is for datasets
        if given and re.fullmatch(r"[a-z][a-z0-9_/]*", named) and not named.startswith("runs/"):
            assert named in GIVEN[name], f"{page.name}: {name}: there is no '{named}'"
        known = {option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts)}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= known | {"--help"}, f"{page.name}: {name}: {used - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_that_of_today(page: Path) -> None:
    """Each Python block compiles, and what it takes from the package is there."""
    for text in blocks(page, "python"):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("synthforge"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    there = hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
                    assert there, f"{page.name}: {node.module} has no {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_can_be_read(page: Path) -> None:
    """Each YAML block parses."""
    for text in blocks(page, "yaml"):
        yaml.safe_load(text)


def test_the_manual_builds(tmp_path: Path) -> None:
    """In strict mode: a broken link, a missing page or anchor is an error. Generated pages hold keys and commands."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plugins = (tmp_path / "site/reference/plugins.html").read_text(encoding="utf-8")
    shown = (tmp_path / "site/reference/commands.html").read_text(encoding="utf-8")
    assert "camera.azimuth" in plugins
    assert all(f"synthforge {name}" in shown or f">{name}<" in shown for name in cli.list_commands(click.Context(cli)))
