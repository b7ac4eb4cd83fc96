"""The job files of docs/jobs: they parse, and each index asks for its own part."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from synthforge.core.parts import Part

JOBS = Path(__file__).resolve().parents[2] / "docs/jobs"


def _asked(folder: Path, script: list[str], code: int = 0, **variables: str) -> tuple[int, list[str]]:
    """Exit code, and what `synthforge` was called with, which ends with `code`."""
    fake = folder / "synthforge"
    fake.write_text(f'#!/bin/bash\necho "$@" >> {folder}/asked\nexit {code}\n')
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CONFIG": "p.yaml", "OUT": "data/x"}
    done = subprocess.run(script, env={**environment, **variables}, capture_output=True, text=True, check=False)
    return done.returncode, (folder / "asked").read_text().splitlines()


@pytest.mark.parametrize("name", ["slurm.sbatch", "spot.sh"])
def test_scripts_have_no_mistake_of_syntax(name: str) -> None:
    subprocess.run(["bash", "-n", str(JOBS / name)], check=True)


def test_slurm(tmp_path: Path) -> None:
    path = JOBS / "slurm.sbatch"
    options = [line.split()[1] for line in path.read_text().splitlines() if line.startswith("#SBATCH")]
    assert all(option.startswith("--") for option in options)
    assert "--requeue" in options
    given = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_CPUS_PER_TASK": "8"}
    code, asked = _asked(tmp_path, ["bash", str(path)], **given)
    assert (code, asked) == (0, ["generate p.yaml --out data/x --shards 3/16 --workers 8"])


def test_kubernetes(tmp_path: Path) -> None:
    generate, merge = yaml.safe_load_all((JOBS / "kubernetes.yaml").read_text())
    spec = generate["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    parts = spec["completions"]
    assert (spec["completionMode"], spec["parallelism"]) == ("Indexed", parts)
    asked: list[str] = []
    for index in ("0", str(parts - 1)):
        code, asked = _asked(tmp_path, container["command"] + container["args"], JOB_COMPLETION_INDEX=index)
        assert code == 0
    taken = [Part.parse(line.rpartition(" ")[2]) for line in asked]
    assert taken == [Part(1, parts), Part(parts, parts)]
    assert merge["spec"]["template"]["spec"]["containers"][0]["command"] == ["synthforge", "merge", "/data/faces"]
    claims = [job["spec"]["template"]["spec"]["volumes"][0] for job in (generate, merge)]
    assert claims[0] == claims[1]


@pytest.mark.parametrize(("code", "ends", "times"), [(0, 0, 1), (2, 2, 1), (1, 1, 5), (130, 1, 5)])
def test_spot_machines_try_again_unless_the_input_is_wrong(tmp_path: Path, code: int, ends: int, times: int) -> None:
    ended, asked = _asked(tmp_path, [str(JOBS / "spot.sh"), "3", "16"], code, PAUSE="0")
    assert ended == ends
    assert asked == ["generate p.yaml --out data/x --shards 3/16"] * times
