"""Environment variables: read by listed names, and their values stand in nothing that is written or said."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import synthforge as sf
from synthforge.core.config import apply_overrides, resolve
from synthforge.core.environment import LISTED, hidden
from synthforge.core.errors import ConfigError, DataError
from synthforge.datasets.reader import read_manifest

BALLKIT = Path(__file__).resolve().parents[1] / "third_party/ballkit/ballkit.py"
# What a user writes: replayed from one place, with a plugin file at another.
PIPELINE = """
environment: [PHOTOS, RESULTS]
plugins: [./ballkit.py]
stages:
  again:
    run: generate
    generator: {name: recorded, root: "${oc.env:PHOTOS}/balls"}
    annotators: [{name: stored, root: "${oc.env:PHOTOS}/balls"}]
    samples: 4
    resolution: 32
    workers: 2
    shard_size: 2
  more: {run: generate, generator: ball, annotators: [depth], samples: 4, resolution: 32}
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LISTED, "")


def read(text: str, **data: object) -> dict[str, object]:
    return resolve(apply_overrides({"root": text, **data}, []), source="p.yaml")


def test_a_listed_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "/srv/photos")
    assert read("${oc.env:PHOTOS}/x", environment=["PHOTOS"])["root"] == "/srv/photos/x"
    assert read("${oc.env:NONE,/other}", environment=["NONE"])["root"] == "/other"


@pytest.mark.parametrize(
    ("names", "text", "told"),
    [
        ([], "${oc.env:PHOTOS}", r"root: .*PHOTOS is not listed; add the line `environment: \[PHOTOS\]`"),
        ([], '${oc.decode:"${oc.env:PHOTOS}"}', "PHOTOS is not listed"),
        (["A"], "${oc.env:PHOTOS,x}", r"`environment: \[A, PHOTOS\]`"),
        (
            ["NONE", "PHOTOS"],
            "${oc.env:NONE} ${oc.env:PHOTOS} ${oc.env:NONE}",
            "p.yaml: environment: not set here: NONE$",
        ),
        (["N", "M"], "${oc.env:N}${oc.env:M}", "not set here: N, M$"),
        (["COUNT"], "${oc.env:COUNT}", "COUNT is not a path or address .* --set KEY=.COUNT"),
        ("PHOTOS", "x", "environment: a list of names"),
        (["${oc.env:PHOTOS}"], "x", "environment: a list of names"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(
    monkeypatch: pytest.MonkeyPatch, names: object, text: str, told: str
) -> None:
    monkeypatch.setenv("PHOTOS", "/srv/photos")
    monkeypatch.setenv("COUNT", "40")
    with pytest.raises(ConfigError) as caught:
        read(text, environment=names)
    assert "/srv/photos" not in str(caught.value)
    assert re.search(told, caught.value.message)
    assert len(caught.value.message.splitlines()) == 1


def test_messages_show_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "/srv/ph<o>tos/")
    monkeypatch.setenv(LISTED, "PHOTOS")
    assert str(DataError("no file /srv/ph<o>tos/a.png")) == "no file ${oc.env:PHOTOS}/a.png"
    assert hidden('<a href="/srv/ph&lt;o&gt;tos">') == '<a href="${oc.env:PHOTOS}">'
    assert hidden("/srv/ph<o>tos2 ${oc.env:PHOTOS}") == "/srv/ph<o>tos2 ${oc.env:PHOTOS}"


def test_no_byte_of_a_run_holds_the_value(tmp_path: Path) -> None:
    secret = "kept-to-ourselves"
    shutil.copy(BALLKIT, tmp_path / "ballkit.py")
    (tmp_path / "p.yaml").write_text(PIPELINE)
    elsewhere, moved = tmp_path / secret, tmp_path / f"{secret}-now"
    files = [str(tmp_path / "ballkit.py")]
    sf.generate(elsewhere / "balls", "ball", samples=4, resolution=32, annotators=["depth"], plugins=files)
    shutil.copytree(elsewhere, moved)
    said: list[str] = []

    def run(command: str, photos: Path) -> str:
        cache = {"SYNTHFORGE_CACHE": str(tmp_path / "cache"), "RESULTS": "/unused"}
        done = subprocess.run(
            [sys.executable, "-m", "synthforge", command, "p.yaml", "--out", "out", "--json", "-"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PHOTOS": str(photos), **cache},
        )
        said.append(done.stdout + done.stderr)
        return f"{done.returncode} {said[-1]}"

    assert run("run", elsewhere).startswith("0 ")
    assert len(read_manifest(tmp_path / "out/again")["sha256"]) == 64
    assert "again (generate): up to date" in run("check", elsewhere)
    assert "again (generate): would run: running again (environment changed)" in run("check", moved)
    assert "error: ${oc.env:PHOTOS}/balls is not a dataset" in run("run", elsewhere / "gone")
    files = [path for place in ("out", "cache") for path in (tmp_path / place).rglob("*") if path.is_file()]
    assert len(files) > 6
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert not [text for text in said if secret in text]
