"""`count: accepted`: what filters on scenes and on pictures reject is drawn again, the same for any workers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from synthforge.core.errors import DataError, UserError
from synthforge.core.nearby import Origin
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.datasets.reader import ShardDataset, read_manifest
from synthforge.datasets.rejections import read_rejections
from synthforge.datasets.verify import verify
from synthforge.stages import KINDS

FILTERS = '''
"""Balls from one side: by the scene, and by the picture."""
from dataclasses import dataclass

from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Filter, SceneFilter
from synthforge.core.records import Verdict


@dataclass
class Config:
    low: float = 0.0
    high: float = 9.0


class Left(SceneFilter):
    def __init__(self, config):
        self.config = config

    def judge_scene(self, scene, factors):
        azimuth = scene.parameters["azimuth"]
        return Verdict(azimuth >= self.config.low, "from the left", {"azimuth_rad": azimuth})


class Near(Filter):
    fields = ("depth",)

    def __init__(self, config):
        self.config = config

    def judge(self, rendering, annotations):
        assert rendering.scene.parameters["azimuth"] >= 0, "rendered, though the scene was rejected"
        return Verdict(rendering.scene.parameters["azimuth"] <= self.config.high, "from the right")


@hookimpl
def register_filters(register):
    register("left", Left, config=Config, summary="scenes from the right")
    register("near", Near, config=Config, summary="pictures from the front")
'''


@pytest.fixture
def pipeline(pipeline_file: Path) -> Path:
    (pipeline_file.parent / "sides.py").write_text(FILTERS)
    text = (
        pipeline_file.read_text()
        .replace("[./ballkit.py]", "[./ballkit.py, ./sides.py]")
        .replace("workers: 2", "workers: 1")
    )
    filters = "    filters: [{name: near, high: 0.3}, left]\n    count: accepted\n    samples: 20"
    pipeline_file.write_text(text.replace("    samples: 40", filters))
    return pipeline_file


def _run(pipeline: Path, out: Path, *overrides: str) -> dict[str, str]:
    run_pipeline(load_pipeline(pipeline, KINDS, overrides=overrides), out, say=lambda line: None)
    root = out / "dataset"
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in root.glob("*.tar")}


def test_every_sample_is_accepted_and_the_bytes_depend_on_nothing_else(pipeline: Path, tmp_path: Path) -> None:
    first = _run(pipeline, tmp_path / "a")
    assert first == _run(pipeline, tmp_path / "b", "stages.dataset.workers=2")
    root = tmp_path / "a/dataset"
    dataset, manifest, rows = ShardDataset(root), read_manifest(root), read_rejections(root)
    assert [int(sample["__key__"]) for sample in dataset] == list(range(20))
    assert all(0 <= sample["scene"]["parameters"]["azimuth"] <= 0.3 for sample in dataset)
    rejected = sum(row["times"] for row in rows)
    assert {row["filter"] for row in rows} == {"left", "near"}
    assert len({(row["index"], row["filter"]) for row in rows}) == len(rows) < rejected
    record = manifest["filters"]
    assert (record["accepted"], record["candidates"]) == (20, 20 + rejected)
    left, near = record["applied"]
    assert (left["name"], left["judged"], near["judged"]) == ("left", 20 + rejected, 20 + near["rejected"])
    assert verify(root).ok
    # samples that nothing rejected are those of a dataset without filters
    _run(pipeline, tmp_path / "c", "stages.dataset.filters=[]", "stages.dataset.count=candidates")
    plain, drawn_again = ShardDataset(tmp_path / "c/dataset"), {row["index"] for row in rows}
    at_once = [index for index in range(20) if index not in drawn_again]
    assert at_once
    assert all((plain[index]["image"] == dataset[index]["image"]).all() for index in at_once)


def test_scenes_that_are_left_out_are_recorded(pipeline: Path, tmp_path: Path) -> None:
    _run(pipeline, tmp_path / "a", "stages.dataset.count=candidates")
    record, rows = read_manifest(tmp_path / "a/dataset")["filters"], read_rejections(tmp_path / "a/dataset")
    assert record["candidates"] == 20 == record["accepted"] + len(rows)
    assert not any("times" in row for row in rows)
    assert verify(tmp_path / "a/dataset").ok


def test_what_nothing_can_pass_is_an_error_that_counts(pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"sample 0: .* all 10,000 scenes and 0 pictures; left: from the left \(10000\)"
    ):
        _run(pipeline, tmp_path / "a", "stages.dataset.filters=[{name: left, low: 99}]", "stages.dataset.samples=1")
    with pytest.raises(DataError, match=r"and 100 pictures; .*near: from the right \(100\)"):
        _run(
            pipeline,
            tmp_path / "b",
            "stages.dataset.filters=[left, {name: near, high: -1}]",
            "stages.dataset.samples=1",
        )


def test_attempts_have_streams_of_their_own_and_are_told() -> None:
    first, second = Origin(3, 7), Origin(3, 7, attempt=1)
    assert first.to_json() == {"seed": 3, "index": 7}
    assert Origin.from_json(second.to_json()) == second
    assert first.stream("a").random() != second.stream("a").random()
    child = Origin(4, 1, second, 0.2)
    assert Origin.from_json(child.to_json()) == child
    assert child.stream("a").random() != Origin(4, 1, first, 0.2).stream("a").random()


def test_faces_are_ordered_by_a_filter(tmp_path: Path) -> None:
    path = tmp_path / "faces.yaml"
    path.write_text(
        "seed: 3\nstages:\n  dataset:\n    run: generate\n    generator: anny\n    annotators: [landmarks]\n"
        "    samples: 4\n    count: accepted\n    resolution: 32\n    workers: 1\n    filters:\n"
        "      - name: scene\n"
        "        where: {person.age: {low: 60}, beard.style: [full, goatee], person.yaw_degrees: {low: 5}}\n"
    )
    _run(path, tmp_path / "out")
    dataset = ShardDataset(tmp_path / "out/dataset")
    scenes = [sample["scene"] for sample in dataset]
    assert len(scenes) == 4
    assert all(scene["rendered"]["person"]["age"] >= 60 for scene in scenes)
    assert all(scene["parameters"]["beard"]["style"] in ("full", "goatee") for scene in scenes)
    assert any(scene.get("attempt") for scene in scenes)
    for condition, hint in (("person.agee: 3", "person.age"), ("beard.style: fully", "full")):
        override = f"stages.dataset.filters=[{{name: scene, where: {{{condition}}}}}]"
        with pytest.raises(UserError) as caught:
            _run(path, tmp_path / "wrong", override)
        assert hint in f"{caught.value} {caught.value.hint}"
