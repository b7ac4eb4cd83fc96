"""`make audit` and `make sbom`: what is found, what is missing, and what is said where nothing can be reached."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLEAN = "No known vulnerabilities found\n"
MISSED = "Name Skip Reason\ntorch Dependency not found on PyPI and could not be audited: torch (2.12.0+cpu)\n"
FOUND = "Found 1 known vulnerability in 1 package\nName Version ID Fix Versions\njinja2 2.4.1 PYSEC-2014-8 2.7.2\n"
AWAY = "ERROR:pip_audit._cli:HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /x\n"


@pytest.mark.parametrize(
    ("says", "code", "told", "ends"),
    [
        (CLEAN, 0, "No known vulnerabilities", 0),
        (CLEAN + MISSED, 0, "could not be audited: torch", 0),
        (CLEAN + MISSED * 500, 0, "SKIPPED", 0),
        (AWAY, 1, "SKIPPED", 0),
        (FOUND, 1, "PYSEC-2014-8", 2),
        (FOUND + MISSED * 500, 1, "PYSEC-2014-8", 2),
        ("ERROR: hashes do not match\n", 1, "hashes do not match", 2),
    ],
    ids=["clean", "one missed", "all missed", "not reached", "found", "found and missed", "another error"],
)
def test_an_audit_fails_on_what_it_finds_and_skips_only_where_it_sees_nothing(
    tmp_path: Path, says: str, code: int, told: str, ends: int
) -> None:
    tool = tmp_path / "env/.audit/bin/uv"
    tool.parent.mkdir(parents=True)
    (tmp_path / "says").write_text(says)
    tool.write_text(f"#!/bin/sh\ncat {tmp_path / 'says'}\nexit {code}\n")
    tool.chmod(0o755)
    for name in ("Makefile", "requirements.lock", "tools.lock"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "env/.audit").touch()
    time.sleep(0.01)
    (tmp_path / "env/.audit").touch()  # newer than tools.lock: made already
    done = subprocess.run(["make", "audit", "VENV=env"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == ends, done.stdout + done.stderr
    assert told in done.stdout
    assert ("SKIPPED" in done.stdout) == (told == "SKIPPED")


@pytest.mark.slow
def test_the_list_of_what_is_installed_is_complete_and_the_same_twice(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("cyclonedx-py")
    if not tool.is_file():
        pytest.skip("cyclonedx-py is not installed")
    for name in ("one", "two"):
        about = ["environment", sys.executable, "--pyproject", ROOT / "pyproject.toml", "--output-reproducible"]
        subprocess.run([tool, *about, "--of", "JSON", "-o", tmp_path / name], capture_output=True, check=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    listed = json.loads((tmp_path / "one").read_text(encoding="utf-8"))
    assert listed["bomFormat"] == "CycloneDX"
    parts = {part["name"].lower(): part for part in listed["components"]}
    assert {"torch", "numpy", "safetensors", "anny"} <= parts.keys()
    assert all(part["version"] and part["purl"].startswith("pkg:pypi/") for part in parts.values() if "purl" in part)
    assert [part for part in parts.values() if part.get("licenses")]
