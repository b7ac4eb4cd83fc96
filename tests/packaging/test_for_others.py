"""What people and tools around the project read: completion, man pages, citation, forms, recipe, container, release."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

import synthforge
from synthforge.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_names_the_program(shell: str) -> None:
    script = run(sys.executable, "-m", "synthforge", "completion", shell)
    assert f"_SYNTHFORGE_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        run(shell, "-n", "-c", script) if shell != "fish" else run(shell, "--no-execute", "-c", script)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("synthforge ge", "plain,generate"),
        ("synthforge run --js", "plain,--json"),
        ("synthforge run qu", "plain,quick"),
    ],
)
def test_the_shell_is_offered(words: str, offered: str) -> None:
    asked = {"_SYNTHFORGE_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    assert offered in run(sys.executable, "-m", "synthforge", **asked)


def test_every_command_has_a_manual_page(tmp_path: Path) -> None:
    run(sys.executable, "distribution/man.py", tmp_path)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.1")}
    assert {f"synthforge-{name}" for name in COMMANDS} < pages.keys()
    for name, page in pages.items():
        assert re.match(rf'\.TH "{name.upper()}" 1 "" "synthforge {re.escape(synthforge.__version__)}"', page)
        assert [title for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS") if f".SH {title}\n" not in page] == []
    assert "\\-\\-shards" in pages["synthforge-generate"]
    if shutil.which("groff"):
        for path in tmp_path.glob("*.1"):
            done = subprocess.run(["groff", "-man", "-ww", "-z", path], capture_output=True, text=True, check=True)
            assert "warning" not in done.stderr, f"{path.name}: {done.stderr}"


def test_the_citation_is_of_this_version() -> None:
    """The file was held against the schema by `cffconvert --validate`; this holds it against the package."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["version"] == synthforge.__version__
    assert cited["license"] == importlib.metadata.metadata("synthforge")["License-Expression"]
    assert len(cited["references"][0]["authors"]) == 6


def test_forms_and_workflows_are_whole() -> None:
    """The keys that GitHub requires of issue forms and workflows."""
    forms = [p for p in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml"]
    assert len(forms) == 2
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= form.keys()
        ids = [item["id"] for item in form["body"]]
        assert len({*ids}) == len(ids)
        assert {item["type"] for item in form["body"]} <= {"textarea", "checkboxes", "input", "dropdown"}
        assert all("label" in item["attributes"] for item in form["body"])
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        flow: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert flow["permissions"]
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
        for job in flow["jobs"].values():
            assert job["runs-on"]
            for step in job["steps"]:
                assert step.keys() & {"uses", "run"}
                assert {*re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))} <= targets


def test_ci_runs_the_oldest_python_and_torch() -> None:
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["matrix"]["strategy"]["matrix"]
    oldest = matrix["include"][0]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'requires-python = ">={oldest["python"]}"' in project
    assert f'"torch>={oldest["torch"].removesuffix(".0")}"' in project


def test_the_recipe_has_our_dependencies() -> None:
    """conda-forge's recipe names each dependency of the wheel, with the same bounds."""
    recipe = yaml.safe_load((ROOT / "distribution/recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["schema_version"] == 1
    assert recipe["context"]["version"] == synthforge.__version__
    there = {line.split()[0]: line.partition(" ")[2] for line in recipe["requirements"]["run"]}
    names = {"torch": "pytorch", "kornia": "kornia"}
    wanted = [Requirement(text) for text in importlib.metadata.requires("synthforge") or []]
    for requirement in wanted:
        if requirement.marker is None:
            bounds = there.get(names.get(requirement.name, requirement.name))
            assert bounds is not None, requirement.name
            assert {*bounds.split(",")} == {*str(requirement.specifier).split(",")}, requirement.name
    scripts = recipe["build"]["python"]["entry_points"]
    assert scripts == ["synthforge = synthforge.cli.main:main"]


def test_nothing_but_torch_brings_cuda() -> None:
    """So torch's CPU build makes the whole installation free of it (docs/install.md)."""
    seen: set[str] = set()
    todo = ["synthforge"]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in seen or name == "torch":
            continue
        seen.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    assert len(seen) > 30
    assert [name for name in seen if re.search("nvidia|cuda|triton|cudnn|pytorch3d", name)] == []


def test_the_container_file_is_as_documented() -> None:
    """Pinned by hash, without root, without CUDA; it was read, and never built."""
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert "--require-hashes" in lines
    assert "download.pytorch.org/whl/cpu" in lines
    assert re.search(r"^USER (?!root|0)\S+", lines, re.M)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", lines, re.M):
        assert [name for name in source.split() if not (ROOT / name).exists()] == []


@pytest.mark.slow
def test_a_release_has_the_same_bytes_from_anywhere(tmp_path: Path) -> None:
    """Two checkouts, other times and other modes: the same checksums; sums fit; a changed tree is refused."""
    sums = []
    for name in ("one", "two"):
        copy, out = tmp_path / name / "source", tmp_path / name / "dist"
        copy.parent.mkdir()
        run("git", "clone", "--quiet", ROOT, copy, cwd=tmp_path)
        for path in copy.rglob("*.py"):
            os.utime(path, (10**9, 10**9 if name == "one" else 11**9))
            path.chmod(0o644 if name == "one" else 0o664)
        run("git", "config", "core.fileMode", "false", cwd=copy)
        run(sys.executable, copy / "distribution/release.py", "--no-sbom", "--out", out, cwd=tmp_path)
        for line in (out / "SHA256SUMS").read_text().splitlines():
            digest, file = line.split()
            assert hashlib.sha256((out / file).read_bytes()).hexdigest() == digest
        sums.append((out / "SHA256SUMS").read_text())
        assert (out / "NOTES.md").read_text().startswith("### ")
    assert sums[0] == sums[1]
    (tmp_path / "two/source/README.md").write_text("changed")
    done = subprocess.run(
        [sys.executable, tmp_path / "two/source/distribution/release.py", "--out", tmp_path / "none"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "commit first" in done.stderr
