"""Reports and pictures of whole datasets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_samples import FIELDS, make_sample, make_samples
from PIL import Image
from synthforge_plugins.schemas import IBUG68, SYNTHFORGE

from synthforge.cli.show import beside
from synthforge.core.errors import DataError
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS, class_mapping
from synthforge.datasets.checks import landmark_agreement
from synthforge.datasets.layout import digest, to_bytes
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.show import contact_sheet
from synthforge.datasets.verify import VerifyReport, verify
from synthforge.datasets.writer import finish, write_shard


def verify_one(root: Path, change: dict[str, Any], fields: tuple[Field, ...] = FIELDS) -> VerifyReport:
    write_shard(root, 0, [make_sample(0), make_sample(1) | change], fields, config_hash="x")
    finish(root, shards=1, config_hash="x", config={}, licences={})
    return verify(root)


def test_a_sound_dataset_has_no_problems(make_dataset: Callable[..., Path]) -> None:
    calls: list[tuple[int, int]] = []
    report = verify(make_dataset(shards=2, count=3), lambda done, total: calls.append((done, total)))
    assert report.ok, report.problems
    assert (report.shards, report.samples) == (2, 6)
    assert calls == [(i, 6) for i in range(1, 7)]
    record = json.loads(json.dumps(report.to_json()))
    assert record["ok"] is True
    low, high = record["depth_range"]["depth"]
    assert 0.5 <= low < 0.6
    assert 1.9 < high <= 2.0001
    assert sum(record["classes"]["segmentation"].values()) == 6 * 24 * 24
    assert "nose" in record["classes"]["segmentation"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"landmarks3d": make_sample(2)["landmarks3d"]}, "landmarks3d project up to"),
        ({"landmark_visibility": np.ones(5, np.bool_)}, "landmark_visibility has 5 entries"),
        ({"camera": {"width": 3}}, "the camera is wrong"),
        ({"camera": make_sample(0, size=48)["camera"]}, "the camera is of 48 x 48 pixels"),
    ],
)
def test_samples_that_contradict_themselves_are_reported(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    report = verify_one(tmp_path, change)
    assert report.problem_count == 1
    assert report.problems[0].startswith("shard 0, sample 000000001: ")
    assert message in report.problems[0]


def test_a_shard_nobody_speaks_of_is_reported(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(shards=1)
    write_shard(root, 5, make_samples(50, 1), FIELDS, config_hash="x")
    report = verify(root)
    assert report.problem_count == 1
    assert "shard-00005.tar is not part of" in report.problems[0]


def face(schema: str = "synthforge", *, mirrored: bool = False) -> dict[str, Any]:
    """Landmarks in rows by region, on label stripes of the classes they name."""
    labels = np.ones((64, 64), np.uint8)
    points = np.full((68, 2), 2.5, np.float32)
    for row, (region, (ids, names)) in enumerate(IBUG68.classes.regions.items()):
        named = next((n for n in names if n.startswith(region.split("_")[0])), names[0])
        twin = {"right_": "left_", "left_": "right_"}
        if mirrored:
            for side, other in twin.items():
                if named.startswith(side):
                    named = named.replace(side, other)
                    break
        labels[8 * row + 8 : 8 * row + 12] = SYNTHFORGE.id(named)
        points[list(ids)] = np.stack([np.linspace(4, 60, len(ids)), np.full(len(ids), 8.0 * row + 10)], -1)
    labels = class_mapping("synthforge", schema)[labels]
    return {"regions": labels, "marks": points, "seen": np.ones(68, np.bool_)}


def described(schema: str = "synthforge", points: str = "ibug68") -> tuple[Field, ...]:
    """The fields of `face`, called as no annotator of ours calls them."""
    return (
        Field("marks", "points2d", schema=points),
        Field("seen", "flags", schema=points),
        Field("regions", "label", schema=schema),
    )


@pytest.mark.parametrize("schema", ["synthforge", "lapa11", "celebamask19"])
def test_landmarks_agree_with_the_labels_they_lie_on(schema: str) -> None:
    checked, agreed = landmark_agreement(face(schema), described(schema))
    assert checked == agreed
    assert checked["nose"] == 9
    assert checked["mouth"] == 20


@pytest.mark.parametrize("schema", ["synthforge", "lapa11"])
def test_swapped_sides_are_noticed(schema: str) -> None:
    _, agreed = landmark_agreement(face(schema, mirrored=True), described(schema))
    assert agreed["left_eye"] == agreed["right_eye"] == 0
    assert agreed["nose"] == 9


def test_hidden_and_covered_landmarks_are_not_judged() -> None:
    sample = face()
    sample["seen"][27:36] = False
    sample["regions"][sample["regions"] == SYNTHFORGE.id("right_eye")] = SYNTHFORGE.id("glasses")
    checked, _ = landmark_agreement(sample, described())
    assert checked["nose"] == checked["right_eye"] == 0
    assert checked["left_eye"] == 6


def test_a_schema_without_relation_is_not_judged() -> None:
    assert landmark_agreement(face(), described(points="somebody's points")) == ({}, {})
    assert landmark_agreement(face(), described("flame20")) == ({}, {})


def test_agreement_is_summed_over_a_dataset(tmp_path: Path) -> None:
    samples = [
        {"__key__": f"{i}", "image": np.zeros((64, 64, 3), np.uint8), "scene": None, "camera": None}
        | face(mirrored=i == 1)
        for i in range(2)
    ]
    write_shard(tmp_path, 0, samples, described(), config_hash="x")
    finish(tmp_path, shards=1, config_hash="x", config={}, licences={})
    report = verify(tmp_path)
    assert report.ok
    assert report.agreement["nose"] == {"checked": 18, "agree": 18}
    assert report.agreement["left_eye"] == {"checked": 12, "agree": 6}


def test_sheets_show_every_field_in_its_place(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    dataset = ShardDataset(make_dataset(shards=1, count=2))
    path = contact_sheet(dataset, [0, 1], tmp_path / "sheet.png", tile=48)
    with Image.open(path) as sheet:
        assert sheet.width == 4 + 5 * 52  # image, labels, depth, normals, landmarks
        pixels = np.asarray(sheet.convert("RGB"))
    top = 4 + 16 + 4  # below the headings: lines of 11 px text
    labels = dataset[0]["segmentation"].repeat(2, 0).repeat(2, 1)
    tile = pixels[top : top + 48, 4 + 52 : 4 + 52 + 48]
    assert np.array_equal(tile, CLASS_SCHEMAS["synthforge"].palette[labels])
    normals = pixels[top : top + 48, 4 + 3 * 52 : 4 + 3 * 52 + 48]
    assert (normals[:6] == 0).all()  # the first three rows have none
    depth = pixels[top : top + 48, 4 + 2 * 52 : 4 + 2 * 52 + 48]
    row, column = np.unravel_index(np.where(dataset[0]["depth"] > 0, dataset[0]["depth"], 9).argmin(), (24, 24))
    assert depth[2 * row, 2 * column].tolist() == [253, 231, 37]  # the nearest is the brightest


def test_many_samples_make_a_grid_and_no_ribbon(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    dataset = ShardDataset(make_dataset(shards=4, count=10))
    with Image.open(contact_sheet(dataset, range(40), tmp_path / "sheet.png")) as sheet:
        assert 1 < sheet.width / sheet.height < 2
        assert sheet.width * sheet.height < 13_000_000


def test_show_replaces_its_own_file_beside_a_dataset_and_nobody_elses(
    tmp_path: Path, make_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_dataset(shards=1, count=1)
    path = folder.with_name(f"{folder.name}.png")
    path.write_text("a picture of somebody")
    with pytest.raises(DataError, match=r"exists and was not written by `show`"):
        beside(folder, ".png")
    assert path.read_text() == "a picture of somebody"
    contact_sheet(ShardDataset(folder), [0], path, tile=32)
    assert beside(folder, ".png") == path
    monkeypatch.chdir(folder)
    assert beside(Path("."), ".png") == path  # a folder without a name has one


def test_sheets_take_columns_and_refuse_what_has_no_picture(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    dataset = ShardDataset(make_dataset(shards=1, count=1))
    with Image.open(contact_sheet(dataset, [0], tmp_path / "a.png", ["depth", "image"], tile=32)) as sheet:
        assert sheet.width == 4 + 2 * 36
    one, other = (
        contact_sheet(dataset, [0], tmp_path / f"{name}.png", [name]) for name in ("landmarks", "landmarks2d")
    )
    assert one.read_bytes() == other.read_bytes()
    for name in ("words", "nothing"):
        with pytest.raises(DataError, match=f"'{name}' cannot be drawn"):
            contact_sheet(dataset, [0], tmp_path / "b.png", [name])
    with pytest.raises(DataError, match="at least one"):
        contact_sheet(dataset, [], tmp_path / "b.png")


def test_a_dataset_with_fewer_samples_than_were_asked_for_is_not_sound(tmp_path: Path) -> None:
    for shard, count in ((0, 4), (1, 3)):
        write_shard(tmp_path, shard, make_samples(4 * shard, count), FIELDS, config_hash="x")
    asked = {"samples": 8, "shard_size": 4}
    with pytest.raises(DataError, match="shard 1 was to hold 4 samples; 3 were written and 0 rejected"):
        finish(tmp_path, shards=2, config_hash="x", config=asked, licences={})
    assert not (tmp_path / "manifest.json").exists()
    finish(tmp_path, shards=2, config_hash="x", config=asked | {"samples": 7}, licences={})
    report = verify(tmp_path)
    assert report.ok
    assert (report.asked, report.samples, report.rejected) == (7, 7, 0)
    # one that an earlier release finished without counting
    record = json.loads((tmp_path / "manifest.json").read_text())
    record["config"]["samples"] = 8
    del record["sha256"]
    (tmp_path / "manifest.json").write_bytes(to_bytes({**record, "sha256": digest(record)}, indent=1))
    assert verify(tmp_path).problems == [f"{tmp_path}: shard 1 was to hold 4 samples; 3 were written and 0 rejected"]
