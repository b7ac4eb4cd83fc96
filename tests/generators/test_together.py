"""Samples that show one person together: made by the stage, read as groups, the same bytes whatever makes them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthforge as sf
from synthforge import testing
from synthforge.core.camera import Camera
from synthforge.core.errors import ConfigError, UserError
from synthforge.core.plugins import load_plugins
from synthforge.datasets.members import Clip
from synthforge.datasets.verify import verify
from synthforge.geometry.rigs import triangulate
from synthforge.stages.repair import repair

RIG: dict[str, Any] = {"name": "anny", "rig": {"kind": "arc", "cameras": 3, "span_degrees": 50}, "batch_size": 4}
#: who it is, and what is worn: whatever a view or a frame shows
PERSON = ("skin", "eyes", "brows", "hair", "beard", "clothes", "glasses", "hat", "mask", "scarf", "jewellery")


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("shard-*")}


def same(first: Any, second: Any) -> bool:
    """Whether two nested parameters are the same, bit for bit."""
    return json.dumps(first, default=lambda x: x.tolist()) == json.dumps(second, default=lambda x: x.tolist())


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rig") / "dataset"
    sf.generate(out, RIG, samples=12, resolution=64, seed=4, shard_size=5, workers=1)
    return out


def test_workers_change_no_byte_of_a_rig(rig: Path, tmp_path: Path) -> None:
    sf.generate(tmp_path / "two", RIG, samples=12, resolution=64, seed=4, shard_size=5, workers=2)
    assert digests(tmp_path / "two") == digests(rig)
    assert verify(rig).ok, verify(rig).problems


def test_a_damaged_shard_of_a_rig_is_made_again(rig: Path, tmp_path: Path) -> None:
    sf.generate(tmp_path / "damaged", RIG, samples=12, resolution=64, seed=4, shard_size=5, workers=1)
    (tmp_path / "damaged/shard-00001.tar").unlink()
    assert repair(tmp_path / "damaged", workers=1, say=lambda text: None)["status"] == "repaired"
    assert digests(tmp_path / "damaged") == digests(rig)


def test_the_landmarks_of_all_cameras_meet_in_space(rig: Path) -> None:
    dataset = sf.open_dataset(rig, ["landmarks2d", "landmarks3d", "camera", "group", "member"])
    assert len(dataset.groups()) == 4
    for number, shot in enumerate(dataset.groups()):
        samples = list(shot)
        assert [(each["group"], each["member"]) for each in samples] == [(number, k) for k in range(3)]
        cameras = [Camera(*each["camera"]) for each in samples]
        pixels = np.stack([each["landmarks2d"] for each in samples])
        found = triangulate(cameras, pixels)
        np.testing.assert_allclose(found, samples[0]["landmarks3d"], atol=1e-5)
        for camera, seen in zip(cameras, pixels, strict=True):
            assert np.abs(camera.project(found)[0] - seen).max() < 0.1


def test_one_person_is_seen_by_all_cameras(rig: Path) -> None:
    dataset = sf.open_dataset(rig, ["scene"])
    for shot in dataset.groups():
        first, *others = [each["scene"]["parameters"] for each in shot]
        for other in others:
            assert all(same(first[name], other[name]) for name in (*PERSON, "head", "light", "camera"))
    two = [dataset[k]["scene"]["parameters"]["head"] for k in (0, 3)]
    assert not same(two[0], two[1])


def test_groups_open_by_index_and_stream(rig: Path) -> None:
    dataset = sf.open_dataset(rig)
    shot: Clip = dataset.clip(2)
    assert (len(shot), shot.group, shot[1]["key"]) == (3, 2, "000000007")
    assert [each["key"] for each in shot] == ["000000006", "000000007", "000000008"]
    assert [each["key"] for each in shot.view(2)] == ["000000008"]
    assert [each["key"] for each in dataset.clip(-1).frame(0)] == ["000000009", "000000010", "000000011"]
    with pytest.raises(IndexError):
        dataset.clip(4)


def test_what_filters_reject_is_left_out_of_its_group(tmp_path: Path) -> None:
    turned = {"name": "scene", "where": {"person.yaw_degrees": {"low": 0, "high": 180}}}
    sf.generate(tmp_path / "d", RIG, samples=12, resolution=32, seed=4, shard_size=5, workers=1, filters=[turned])
    dataset = sf.open_dataset(tmp_path / "d", ["group", "member"])
    assert 0 < len(dataset) < 12
    found = [(each["group"], each["member"]) for shot in dataset.groups() for each in shot]
    assert found == [(each["group"], each["member"]) for each in (dataset[k] for k in range(len(dataset)))]
    assert [shot.group for shot in dataset.groups()] == sorted({group for group, _ in found})
    assert verify(tmp_path / "d").ok


def test_single_pictures_are_groups_of_one(tmp_path: Path) -> None:
    dataset = sf.generate(tmp_path / "d", "anny", samples=2, resolution=32, workers=1)
    assert [len(shot) for shot in dataset.groups()] == [1, 1]
    assert "members" not in dataset.manifest["config"]
    assert "rig" not in dataset.manifest["config"]["generator_config"]  # manifests stay as they were
    assert not {"group", "member"} & {item.name for item in dataset.shards.all_fields}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"samples": 10}, "samples: 10 is no whole number of groups of 3"),
        ({"start": 4}, "start: 4 is no whole number"),
        ({"count": "accepted", "filters": ["visible"]}, "count: samples that show one scene"),
    ],
)
def test_parts_of_a_group_are_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        sf.generate(tmp_path / "d", RIG, **{"samples": 12, **keys})


def test_a_generator_without_views_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no key 'rig'"):
        sf.generate(tmp_path / "d", {"name": "next3d", "rig": {"kind": "ring"}}, samples=8)


@pytest.mark.parametrize("kind", ["ring", "nir-pair"])
def test_rigs_keep_the_contract(kind: str) -> None:
    testing.check_plugin(load_plugins(), "generator", {"name": "anny", "rig": {"kind": kind}})


def test_infrared_is_grey_and_shows_the_same_face() -> None:
    generator = load_plugins().build("generator", {"name": "anny", "rig": {"kind": "nir-pair"}, "film": {"jpeg": 0}})
    colour, grey = generator.render([generator.sample(2, index) for index in (4, 5)], 96)
    assert np.ptp(grey.image.astype(int), axis=-1).max() <= 1
    assert np.ptp(colour.image.astype(int), axis=-1).max() > 20
    assert np.array_equal(colour.surface.vertices, grey.surface.vertices)


def test_eyes_meet_a_camera_that_a_rule_has_moved() -> None:
    keys: dict[str, Any] = {"head": {"contact": 1}, "camera": {"azimuth_degrees": 20, "elevation_degrees": 0}}
    moves = {"factor": "camera.azimuth_degrees", "where": {"person.age": {"low": 0, "high": 99}}, "value": -20}
    told = load_plugins().build("generator", {"name": "anny", **keys, "rules": {"moves": moves}})
    keys["camera"] = {**keys["camera"], "azimuth_degrees": -20}
    drawn = load_plugins().build("generator", {"name": "anny", **keys})
    for index in range(6):
        moved, there = told.sample(1, index), drawn.sample(1, index)
        assert moved.parameters["camera"]["azimuth"] == pytest.approx(there.parameters["camera"]["azimuth"])
        for name in ("gaze", "expression"):
            np.testing.assert_allclose(moved.parameters["head"][name], there.parameters["head"][name], atol=1e-6)
