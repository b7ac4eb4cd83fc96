"""`synthforge new`: what it writes works as written."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from synthforge.cli.main import cli
from synthforge.cli.new import USES
from synthforge.core.errors import UserError
from synthforge.core.plugins import load_plugins
from synthforge.testing import CHECKS, check_plugin


def new(*arguments: str | Path) -> None:
    """Run the command; what it raises is raised here."""
    CliRunner().invoke(cli, ["new", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize("kind", [kind for kind in USES if kind in CHECKS])
def test_each_kind_keeps_its_contract(kind: str, tmp_path: Path) -> None:
    """Annotators and filters are shown what the generator draws."""
    for each in {kind, "generator"}:
        new(each, f"fresh-{each}", "--out", tmp_path / each)
    plugins = load_plugins([str(tmp_path / f"{each}/fresh_{each}.py") for each in {kind, "generator"}], strict=True)
    arguments: dict[str, Any] = {}
    if kind in ("annotator", "filter"):
        generator = plugins.build("generator", "fresh-generator")
        arguments["rendering"] = generator.render([generator.sample(1, 0)], 64)[0]
    if kind == "filter":
        arguments["annotations"] = {}
    check_plugin(plugins, kind, f"fresh-{kind}", **arguments)


def test_the_readme_of_a_generator_works_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    new("generator", "fresh-generator", "--out", "made")
    text = Path("made/README.md").read_text().replace("\\\n", "")
    line = next(line for line in text.splitlines() if line.strip().startswith("synthforge generate"))
    words = [*shlex.split(line)[1:], "--resolution", "32", "--set", f"plugins=[{tmp_path}/made/fresh_generator.py]"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert Path("faces/manifest.json").exists()


@pytest.mark.slow
def test_a_package_is_installed_and_its_tests_pass(tmp_path: Path) -> None:
    """As its README says, in a folder of its own."""
    new("detector", "fresh-detector", "--out", tmp_path / "made")
    pip = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target"]
    subprocess.run([sys.executable, *pip, tmp_path / "site", tmp_path / "made"], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_fresh_detector.py"],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path / "made",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("generator", "anny"), "the generator 'anny' exists already"),
        (("detector", "dlib"), "the detector 'dlib' exists already"),
        (("generator", "My Faces"), "is not a valid package name"),
        (("filter", "class"), "is not a valid package name"),
        (("filter", "../up"), "is not a valid package name"),
    ],
)
def test_wrong_names_write_nothing(
    arguments: tuple[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        new(*arguments)
    assert not list(tmp_path.iterdir())


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exists already"):
        new("filter", "mine", "--out", tmp_path)
