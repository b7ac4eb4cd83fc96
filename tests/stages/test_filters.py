"""Quality filters in `generate`: what they reject is recorded, the same for any number of workers and any kill."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthforge.core.errors import ConfigError, DataError, UserError
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.datasets.reader import ShardDataset, read_manifest
from synthforge.datasets.rejections import REJECTIONS, acceptance, read_rejections
from synthforge.datasets.verify import verify
from synthforge.stages import KINDS

FILTER = '''
"""Balls seen from the right side of a limit."""
from dataclasses import dataclass

from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Filter
from synthforge.core.records import Verdict


@dataclass
class SideConfig:
    low: float = -0.4
    high: float = 0.4
    reads: str = "depth"


class Side(Filter):
    def __init__(self, config):
        self.config, self.fields = config, (config.reads,)

    def judge(self, rendering, annotations):
        azimuth = rendering.scene.parameters["azimuth"]
        figures = {"azimuth_rad": azimuth, "pixels": float((annotations["depth"] > 0).sum())}
        if azimuth < self.config.low:
            return Verdict(False, "from the left", figures)
        return Verdict(azimuth <= self.config.high, "from the right", figures)

    def provenance(self):
        return {"limits": [self.config.low, self.config.high]}


@hookimpl
def register_filters(register):
    register("side", Side, config=SideConfig, summary="where the camera stands")
'''


@pytest.fixture
def filtered(pipeline_file: Path) -> Path:
    """The pipeline of balls with a filter that rejects about half of them."""
    (pipeline_file.parent / "side.py").write_text(FILTER)
    text = pipeline_file.read_text().replace("[./ballkit.py]", "[./ballkit.py, ./side.py]")
    text = text.replace("    samples: 40", "    filters: [side]\n    samples: 40")
    pipeline_file.write_text(text.replace("workers: 2", "workers: 1"))
    return pipeline_file


def _run(pipeline: Path, out: Path, *overrides: str) -> list[str]:
    said: list[str] = []
    run_pipeline(load_pipeline(pipeline, KINDS, overrides=overrides), out, say=said.append)
    return said


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }


def test_rejections_are_recorded_and_the_rest_is_untouched(filtered: Path, tmp_path: Path) -> None:
    said = _run(filtered, tmp_path / "a")
    root = tmp_path / "a/dataset"
    manifest, rows, dataset = read_manifest(root), read_rejections(root), ShardDataset(root)
    kept = {int(sample["__key__"]) for sample in dataset}
    assert 5 < len(kept) < 35
    assert kept | {row["index"] for row in rows} == set(range(40))
    assert [row["index"] for row in rows] == sorted(row["index"] for row in rows)
    assert kept.isdisjoint(row["index"] for row in rows)
    for row in rows:
        wrong = row["figures"]["azimuth_rad"] < -0.4
        assert row["reason"] == ("from the left" if wrong else "from the right")
        assert row["filter"] == "side"
        assert row["figures"]["pixels"] > 0
    assert all(abs(sample["scene"]["parameters"]["azimuth"]) <= 0.4 for sample in dataset)
    record = manifest["filters"]
    assert (record["candidates"], record["accepted"], manifest["count"]) == (40, len(kept), len(kept))
    assert record["acceptance_rate"] == pytest.approx(len(kept) / 40)
    assert record["applied"][0]["provenance"] == {"limits": [-0.4, 0.4]}
    assert sum(record["applied"][0]["reasons"].values()) == len(rows)
    assert manifest["licences"]["filter side"] == "Apache-2.0"
    assert any(f"{len(kept)} of 40 samples accepted" in line for line in said)
    # what stays is byte for byte what an unfiltered dataset holds
    _run(filtered, tmp_path / "b", "stages.dataset.filters=[]")
    whole = ShardDataset(tmp_path / "b/dataset")
    for sample in dataset:
        assert (whole[int(sample["__key__"])]["image"] == sample["image"]).all()
    assert "filters" not in whole.manifest
    assert not (tmp_path / f"b/dataset/{REJECTIONS}").exists()
    # and its fingerprint is that of a release that knew no filters
    assert "filters" not in json.loads((tmp_path / "b/dataset/.stage.json").read_text())["facts"]["config"]


def test_workers_and_kills_change_no_byte(filtered: Path, tmp_path: Path) -> None:
    _run(filtered, tmp_path / "whole")
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "synthforge", "run", str(filtered), "--out", str(out)]
    command += ["--set", "stages.dataset.workers=2"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("dataset/shard-*.json")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / f"dataset/{REJECTIONS}").exists()
    time.sleep(1.0)  # until its workers have noticed
    _run(filtered, out, "stages.dataset.workers=2")
    assert _digests(out / "dataset") == _digests(tmp_path / "whole/dataset")
    assert REJECTIONS in _digests(out / "dataset")


def test_filters_are_asked_in_order_and_may_stand_twice(filtered: Path, tmp_path: Path) -> None:
    strict = "{name: side, low: -0.2, high: 2}"
    _run(filtered, tmp_path / "run", f"stages.dataset.filters=[{{name: side, low: -2}}, {strict}]")
    root = tmp_path / "run/dataset"
    first, second = read_manifest(root)["filters"]["applied"]
    assert (first["name"], second["name"]) == ("side[0]", "side[1]")
    assert set(first["reasons"]) == {"from the right"}
    assert set(second["reasons"]) == {"from the left"}
    assert first["judged"] == 40
    assert second["judged"] == 40 - first["rejected"]
    assert "side[0]: from the right" in acceptance(read_manifest(root))


def test_a_changed_filter_reruns(filtered: Path, tmp_path: Path) -> None:
    _run(filtered, tmp_path / "run")
    assert any("up to date" in line for line in _run(filtered, tmp_path / "run"))
    said = _run(filtered, tmp_path / "run", "stages.dataset.filters=[{name: side, low: -0.1}]")
    assert any("running again (filters" in line for line in said)


def test_rejecting_everything_is_one_clear_message(filtered: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rejected all 40 samples: side: from the right \(40\)") as caught:
        _run(filtered, tmp_path / "run", "stages.dataset.filters=[{name: side, low: -2, high: -1}]")
    assert "Loosen" in (caught.value.hint or "")
    assert not (tmp_path / "run/dataset/manifest.json").exists()


def test_shards_may_be_empty(filtered: Path, tmp_path: Path) -> None:
    few = "stages.dataset.filters=[{name: side, low: 0.3, high: 0.5}]"
    _run(filtered, tmp_path / "run", "stages.dataset.shard_size=2", few)
    root = tmp_path / "run/dataset"
    counts = [entry["count"] for entry in read_manifest(root)["shards"]]
    assert 0 in counts
    assert len(list(ShardDataset(root))) == sum(counts) > 0
    assert verify(root).ok


def test_verify_and_show_report_the_filters(filtered: Path, tmp_path: Path) -> None:
    _run(filtered, tmp_path / "run")
    root = tmp_path / "run/dataset"
    for arguments in (["verify", str(root)], ["show", str(root), "--count", "1", "--out", str(tmp_path / "s.png")]):
        done = subprocess.run([sys.executable, "-m", "synthforge", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "of 40 samples accepted" in done.stderr
    assert verify(root).to_json()["filters"]["candidates"] == 40
    path = root / REJECTIONS
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert any("does not have the checksum" in problem for problem in verify(root).problems)
    path.unlink()
    assert any(f"{REJECTIONS} is missing" in problem for problem in verify(root).problems)


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ("[sid]", UserError, "Did you mean 'side'?"),
        ("[{name: side, lwo: 1}]", UserError, "Did you mean 'low'?"),
        ("[{name: side, reads: landmarks2d}]", ConfigError, "reads landmarks2d, which no annotator writes"),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    filtered: Path, tmp_path: Path, filters: str, error: type[UserError], message: str
) -> None:
    with pytest.raises(error) as caught:
        _run(filtered, tmp_path / "run", f"stages.dataset.filters={filters}")
    assert message in str(caught.value)
    assert "stages.dataset.filters[0]" in str(caught.value)
    assert not list((tmp_path / "run").glob("dataset*"))
