"""A wheel, installed elsewhere and used from another folder, has every plugin and configuration."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _run(*command: str | Path, cwd: Path, **environment: str) -> str:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [str(c) for c in command], cwd=cwd, env=env | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment that has the wheel, and this environment's other packages without its editable hook."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", ROOT]
    _run(sys.executable, *build, cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    _run(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env/bin/python"
    target = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # A path named in a .pth file is searched, but the .pth files inside it (the editable install) are not run.
    (target / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    uv = Path(sys.executable).with_name("uv")
    _run(uv, "pip", "install", "--offline", "--python", python, "--no-deps", wheel, cwd=folder)
    return python


def test_the_wheel_has_every_plugin(installed: Path, tmp_path: Path) -> None:
    ours = json.loads(_run(sys.executable, "-m", "synthforge", "plugins", "--json", "-", cwd=ROOT))
    theirs = json.loads(_run(installed, "-m", "synthforge", "plugins", "--json", "-", cwd=tmp_path))
    where = _run(installed, "-c", "import synthforge; print(synthforge.__file__)", cwd=tmp_path)
    assert str(ROOT / "synthforge") not in where
    assert not theirs["broken"]
    assert theirs["plugins"] == ours["plugins"]
    assert len(theirs["plugins"]) > 10


def test_the_wheel_has_every_model(installed: Path, tmp_path: Path) -> None:
    code = "from synthforge.core import shipped\nfor k, v in shipped.shipped_models().items(): print(f'{k}={v}')"
    found = dict(line.split("=", 1) for line in _run(installed, "-c", code, cwd=tmp_path).splitlines() if line)
    ours = {
        str(path.parent.relative_to(ROOT / "models")): path.parent for path in (ROOT / "models").rglob("model.json")
    }
    assert found.keys() == ours.keys()
    for name, folder in ours.items():
        assert not found[name].startswith(str(ROOT))
        assert {p.name for p in folder.iterdir()} == {p.name for p in Path(found[name]).iterdir()}
    where = "import synthforge_models; print(synthforge_models.__file__)"
    assert not _run(installed, "-c", where, cwd=tmp_path).startswith(str(ROOT))


def test_the_wheel_has_every_configuration_and_data_file(installed: Path, tmp_path: Path) -> None:
    code = "from synthforge.cli.common import shipped_configs; print(*shipped_configs())"
    names = set(_run(installed, "-c", code, cwd=tmp_path).split())
    assert names == {str(p.relative_to(ROOT / "configs").with_suffix("")) for p in (ROOT / "configs").rglob("*.yaml")}
    assert "quickstart" in names
    code = "import synthforge, pathlib; print(pathlib.Path(synthforge.__file__).parent)"
    package = Path(_run(installed, "-c", code, cwd=tmp_path).strip())
    data = [
        path.relative_to(ROOT / "synthforge")
        for path in (ROOT / "synthforge").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert [str(name) for name in data if not (package / name).is_file()] == []


@pytest.mark.slow
def test_two_builds_have_the_same_bytes(tmp_path: Path) -> None:
    """From two copies of the sources that lie elsewhere and were written at other times."""
    digests = set()
    for name in ("one", "two"):
        copy = tmp_path / name / "source"
        copy.parent.mkdir()
        _run("git", "clone", "--quiet", ROOT, copy, cwd=tmp_path)
        for path in copy.rglob("*.py"):
            os.utime(path, (len(name) * 10**8, 10**9 if name == "one" else 11**9))
        build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / name, copy]
        _run(sys.executable, *build, cwd=tmp_path, SOURCE_DATE_EPOCH="1700000000")
        (wheel,) = (tmp_path / name).glob("*.whl")
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    assert len(digests) == 1
