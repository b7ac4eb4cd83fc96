"""The README's first command, and the paper's generator on made-up files: every stage, for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def _run(*arguments: str, cwd: Path, **environment: str) -> str:
    command = [sys.executable, "-m", "synthforge", *arguments]
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_quickstart_runs_once_and_says_what_it_stood_on(tmp_path: Path) -> None:
    small = [
        "--set",
        "stages.dataset.samples=64",
        "--set",
        "stages.model.epochs=1",
        "--set",
        "stages.adapted.epochs=2",
    ]
    first = json.loads(_run("run", "quickstart", "--out", "out", "--json", "-", *small, cwd=tmp_path))
    assert {row["status"] for row in first["stages"]} == {"done"}
    again = json.loads(_run("run", "quickstart", "--out", "out", "--json", "-", *small, cwd=tmp_path))
    assert {row["status"] for row in again["stages"]} == {"up to date"}
    page = (tmp_path / "out/report/report.html").read_text()
    assert "no real photographs" in page or "not real photographs" in page
    overview = (tmp_path / "out/page/overview.html").read_text()
    assert "On rendered faces, not on photographs" in overview
    assert 'href="../report/report.html"' in overview
    for folder in ("dataset", "unseen"):
        _run("verify", f"out/{folder}", cwd=tmp_path)
    tree = "out/standin"
    out = _run(
        *("evaluate", "out/adapted", "--benchmark", "300w", "--root", tree, "--split", "common", "--json", "-"),
        cwd=tmp_path,
    )
    (row,) = json.loads(out)["evaluations"]
    assert row["count"] == 48
    assert 0 < row["values"]["nme"] < 6  # it goes on from a good model


def test_the_papers_generator_runs_end_to_end_on_made_up_files(tmp_path: Path) -> None:
    _run("assets", "fake", "generator", "next3d", "--out", "fake", cwd=tmp_path)
    names = ("afw", "helen/trainset", "lfpw/trainset", "helen/testset", "lfpw/testset", "ibug")
    folders = ", ".join(f"{name}: 2" for name in names)
    small = {
        "stages.dataset.samples": "6",
        "stages.dataset.resolution": "128",
        "stages.dataset.shard_size": "3",
        "stages.unseen.samples": "12",
        "stages.unseen.resolution": "128",
        "stages.unseen.shard_size": "6",
        "stages.standin.counts": f"{{{folders}}}",
        "stages.model.network": "{backbone: unet, width: 0.125, channels: 16, input_size: 64}",
        "stages.model.max_steps": "2",
        "stages.model.batch_size": "2",
    }
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    fake = str(tmp_path / "fake")
    _run("run", "paper/generate_next3d", "--out", "out", *settings, cwd=tmp_path, SYNTHFORGE_ASSETS=fake)
    _run("verify", "out/dataset", cwd=tmp_path)
    assert (tmp_path / "out/report/report.html").is_file()
    manifest = json.loads((tmp_path / "out/dataset/manifest.json").read_text())
    assert "NVIDIA" in json.dumps(manifest["licences"])


def test_the_embedded_generators_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    options = ["--samples", "48", "--resolution", "96", "--set", "stages.dataset.shard_size=16"]
    for workers in ("1", "2"):
        _run("generate", "quickstart", *options, "--workers", workers, "--out", f"faces{workers}", cwd=tmp_path)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / f"faces{w}").glob("[!.]*")} for w in (1, 2))
    assert len(first) == 7
    assert first == second
