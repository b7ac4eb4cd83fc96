"""Other people's layouts, read and replayed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporting import export
from made_samples import FIELDS, make_sample
from PIL import Image
from synthforge_plugins.generators.recorded.layouts import LAYOUTS, ReadOptions, layout_named, resized

from synthforge.core.camera import Camera
from synthforge.core.errors import AnnotationError, ConfigError, DataError, UserError
from synthforge.core.plugins import Plugins, load_plugins
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.writer import MadeBy, finish, to_sample, write_shard
from synthforge.testing import check_annotator, check_generator

OURS = ReadOptions(schema="synthforge", metric_depth=True)


@pytest.fixture
def paper(tmp_path: Path, make_dataset: Callable[..., Path]) -> Path:
    return export(make_dataset(shards=1, count=3), "released-layout", tmp_path / "paper")


@pytest.fixture
def face_synthetics(tmp_path: Path) -> Path:
    root = tmp_path / "wood"
    root.mkdir()
    for index in range(2):
        rng = np.random.default_rng(index)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"{index:06d}.png")
        labels = rng.integers(0, 19, (32, 32), dtype=np.uint8)
        labels[0] = 255
        Image.fromarray(labels).save(root / f"{index:06d}_seg.png")
        points = rng.uniform(2, 30, (70, 2))
        (root / f"{index:06d}_ldmks.txt").write_text("\n".join(f"{x:.4f} {y:.4f}" for x, y in points) + "\n")
    return root


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_papers_layout_comes_back_within_its_precision(paper: Path) -> None:
    assert sorted(p.name for p in paper.iterdir() if p.is_dir()) == ["annotations", "depth", "images", "seg"]
    layout = LAYOUTS["paper"]
    assert layout.keys(paper) == ["00000", "00001", "00002"]
    for index, key in enumerate(layout.keys(paper)):
        got, want = layout.read(paper, key, OURS), make_sample(index)
        assert np.array_equal(got["image"], want["image"])
        assert np.array_equal(got["segmentation"], want["segmentation"])
        assert np.allclose(got["landmarks2d"], want["landmarks2d"])
        assert np.array_equal(got["depth"] > 0, want["depth"] > 0)
        assert np.abs(got["depth"] - want["depth"]).max() < 1.5 / 254 / 2 + 1e-3
        for name in ("intrinsics", "world_to_camera"):
            assert np.allclose(got["camera"][name], want["camera"][name], atol=1e-9)


def test_annotations_of_the_papers_layout_have_its_keys(paper: Path) -> None:
    record = json.loads((paper / "annotations" / "00001.json").read_text())
    names = {"z", "camera_params", "flame_shape", "flame_exp", "flame_pose", "2d_kps", "fan_kps", "mse"}
    assert names <= set(record)
    assert len(record["camera_params"]) == 25
    assert record["z"] == [1.0, 2.0]
    shape = make_sample(1)["scene"]["parameters"]["shape"].tolist()
    assert record["flame_shape"] == pytest.approx(shape, rel=1e-8)  # datasets keep nine digits of a scene
    assert record["fan_kps"] is None


def test_foreign_depth_stays_relative(paper: Path) -> None:
    options = ReadOptions(schema="synthforge")
    assert [item.name for item in LAYOUTS["paper"].fields(options)][-1] == "relative_depth"
    sample = LAYOUTS["paper"].read(paper, "00000", options)
    assert sample["relative_depth"].max() <= 1
    assert "depth" not in sample
    edit(paper / "annotations" / "00000.json", depth_range=None)
    with pytest.raises(DataError, match="no depth_range"):
        LAYOUTS["paper"].read(paper, "00000", OURS)
    given = ReadOptions(schema="synthforge", metric_depth=True, depth_range=(1.0, 3.0))
    depth = LAYOUTS["paper"].read(paper, "00000", given)["depth"]
    assert depth[depth > 0].min() == pytest.approx(1, abs=0.01)
    assert depth.max() == pytest.approx(3, abs=0.01)


def test_colours_of_ones_own(paper: Path) -> None:
    path = paper / "seg" / "00000.png"
    pixels = np.asarray(Image.open(path)).copy()
    nose = CLASS_SCHEMAS["synthforge"].colours[5]
    pixels[(pixels == nose).all(-1)] = (1, 2, 3)
    Image.fromarray(pixels).save(path)
    with pytest.raises(DataError, match="#010203") as caught:
        LAYOUTS["paper"].read(paper, "00000", OURS)
    assert "colours" in str(caught.value.hint)
    options = ReadOptions(schema="synthforge", metric_depth=True, colours={"nose": [1, 2, 3]})
    got = LAYOUTS["paper"].read(paper, "00000", options)
    assert np.array_equal(got["segmentation"], make_sample(0)["segmentation"])


def test_points_in_minus_one_to_one(paper: Path) -> None:
    path = paper / "annotations" / "00000.json"
    pixels = np.array(json.loads(path.read_text())["2d_kps"])
    edit(path, **{"2d_kps": (pixels / 12 - 1).tolist()})
    with pytest.raises(DataError, match="no pixels") as caught:
        LAYOUTS["paper"].read(paper, "00000", OURS)
    assert "ndc" in str(caught.value.hint)
    options = ReadOptions(schema="synthforge", metric_depth=True, points="ndc")
    assert np.allclose(LAYOUTS["paper"].read(paper, "00000", options)["landmarks2d"], pixels, atol=1e-4)


def test_yolo_pose_comes_back_within_its_digits(tmp_path: Path, make_dataset: Callable[..., Path]) -> None:
    root, layout = export(make_dataset(), "yolo-pose", tmp_path / "yolo", val=0.5), LAYOUTS["yolo-pose"]
    keys = layout.keys(root)
    assert keys == [f"{'train' if index < 3 else 'val'}/{index:09d}" for index in range(6)]
    for index, key in enumerate(keys):
        want, got = make_sample(index), layout.read(root, key, ReadOptions())
        inside = ((want["landmarks2d"] >= 0) & (want["landmarks2d"] <= 24)).all(-1)
        assert np.array_equal(got["image"], want["image"])
        assert np.allclose(got["landmarks2d"][inside], want["landmarks2d"][inside], atol=1e-4)
        assert np.isnan(got["landmarks2d"][~inside]).all()
        assert np.array_equal(got["landmark_visibility"], want["landmark_visibility"] & inside)
    assert [item.schema for item in layout.fields(ReadOptions(point_schema="wflw98"))] == ["wflw98"] * 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it has 0 rows"),
        (b"0 1 2\n0 1 2\n", "it has 2 rows"),
        (b"0 .5 .5 .1 .1 .5 .5 2", r"kpt_shape \[68, 3\]; it has 8 numbers"),
        (b"0" + b" nan" * 208, "is not a face with its points"),
        (None, "cannot read|no file"),
    ],
)
def test_broken_labels_of_yolo_pose_are_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images/a.png")
    path = tmp_path / "labels/a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        LAYOUTS["yolo-pose"].read(tmp_path, "a", ReadOptions())
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("annotations/00000.json", b"{"),
        ("annotations/00000.json", b"[]"),
        ("annotations/00000.json", b'{"2d_kps": [], "camera_params": "no"}'),
        ("images/00000.png", b"nothing"),
        ("depth/00000.png", b""),
        ("seg/00000.png", None),
    ],
)
def test_broken_files_of_the_papers_layout_are_named(paper: Path, file: str, content: bytes | None) -> None:
    path = paper / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=file.replace(".", r"\.")):
        LAYOUTS["paper"].read(paper, "00000", OURS)


def test_face_synthetics_is_read_as_documented(face_synthetics: Path) -> None:
    layout = LAYOUTS["face-synthetics"]
    assert layout.keys(face_synthetics) == ["000000", "000001"]
    sample = layout.read(face_synthetics, "000001", ReadOptions())
    assert np.array_equal(sample["segmentation"], np.asarray(Image.open(face_synthetics / "000001_seg.png")))
    points = np.loadtxt(face_synthetics / "000001_ldmks.txt").astype(np.float32)
    assert np.array_equal(sample["landmarks2d"], points[:68])
    assert np.array_equal(sample["pupils2d"], points[68:])
    assert sample["camera"] is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("000000_ldmks.txt", b"1 2\n3"),
        ("000000_ldmks.txt", b"a b\n"),
        ("000000_ldmks.txt", b"1 2\n" * 69),
        ("000000_ldmks.txt", b"nan 2\n" * 70),
        ("000000_ldmks.txt", None),
        ("000000_seg.png", b"\x89PNG"),
        ("000000.png", None),
    ],
)
def test_broken_files_of_face_synthetics_are_named(face_synthetics: Path, name: str, content: bytes | None) -> None:
    path = face_synthetics / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        LAYOUTS["face-synthetics"].read(face_synthetics, "000000", ReadOptions())


def test_class_ids_of_another_schema_are_no_face_synthetics(face_synthetics: Path) -> None:
    Image.fromarray(np.full((32, 32), 19, np.uint8)).save(face_synthetics / "000000_seg.png")
    with pytest.raises(DataError, match="class ids"):
        LAYOUTS["face-synthetics"].read(face_synthetics, "000000", ReadOptions())


def test_folders_of_another_kind_are_refused(tmp_path: Path) -> None:
    for name in LAYOUTS:
        with pytest.raises(DataError, match=r"holds no|has no folder"):
            layout_named(name).keys(tmp_path)
    with pytest.raises(UserError, match="no dataset layout 'coco'"):
        layout_named("coco")


def test_resizing_keeps_points_camera_and_maps_together() -> None:
    sample = make_sample(3)
    half = resized(sample, FIELDS, 12)
    assert half["image"].shape == (12, 12, 3)
    assert np.array_equal(half["segmentation"], sample["segmentation"][1::2, 1::2])
    assert half["segmentation"].dtype == np.uint8
    assert half["depth"].shape == (12, 12)
    assert half["normals"].shape == (12, 12, 3)
    projected, _ = Camera.from_json(half["camera"]).project(sample["landmarks3d"])
    assert np.allclose(half["landmarks2d"], projected, atol=1e-4)
    with pytest.raises(DataError, match="only square"):
        resized(sample | {"image": sample["image"][:10]}, FIELDS, 12)


def replay(plugins: Plugins, generator: dict, stored: dict, resolution: int) -> list[dict[str, Any]]:
    built, annotator = plugins.build("generator", generator), plugins.build("annotator", stored)
    scenes = [built.sample(0, index) for index in range(2)]
    return [to_sample(r, annotator.annotate(r)) for r in built.render(scenes, resolution)]


def test_our_own_shards_are_replayed(plugins: Plugins, make_dataset: Callable[..., Path], tmp_path: Path) -> None:
    root = make_dataset(shards=1, count=3)
    reference = {"name": "recorded", "root": str(root)}
    renderings = check_generator(plugins.build("generator", reference), resolution=24)
    check_annotator(plugins.build("annotator", {"name": "stored", "root": str(root)}), renderings[0])
    samples = replay(plugins, reference, {"name": "stored", "root": str(root)}, 24)
    original = ShardDataset(root)
    for got, want in zip(samples, original, strict=False):
        assert all(np.array_equal(got[item.name], want[item.name]) for item in original.fields)
        assert got["camera"] == want["camera"]
        assert got["scene"]["parameters"]["recorded"] == want["scene"]["parameters"]
    again = tmp_path / "again"
    annotator = plugins.build("annotator", {"name": "stored", "root": str(root)})
    write_shard(again, 0, samples, annotator.fields, config_hash="y")
    generator = plugins.build("generator", reference)
    finish(again, shards=1, config_hash="y", config={}, licences={}, made_by=MadeBy(generator.provenance()))
    assert ShardDataset(again).manifest["provenance"]["licences"] == {"made up": "CC0"}
    assert len(ShardDataset(again)) == 2


def test_other_annotators_find_labels_and_depth(plugins: Plugins, make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(shards=1, count=1)
    generator = plugins.build("generator", {"name": "recorded", "root": str(root)})
    (rendering,) = generator.render([generator.sample(0, 0)], 24)
    lapa = plugins.build("annotator", {"name": "segmentation", "schema": "lapa11"}).annotate(rendering)
    assert lapa["segmentation"].max() < len(CLASS_SCHEMAS["lapa11"])
    depth = plugins.build("annotator", "depth").annotate(rendering)["depth"]
    assert np.array_equal(depth, ShardDataset(root)[0]["depth"])


def test_the_papers_layout_is_replayed(plugins: Plugins, paper: Path) -> None:
    options = {"layout": "paper", "schema": "synthforge", "metric_depth": True}
    samples = replay(plugins, {"name": "recorded", "root": str(paper), **options}, {"name": "stored", **options}, 24)
    assert np.array_equal(samples[1]["segmentation"], make_sample(1)["segmentation"])
    assert samples[1]["scene"]["parameters"]["recorded"]["z"] == [1.0, 2.0]
    assert samples[1]["scene"]["parameters"]["key"] == "00001"


def test_face_synthetics_is_replayed_with_an_assumed_camera(plugins: Plugins, face_synthetics: Path) -> None:
    reference = {"name": "recorded", "root": str(face_synthetics), "layout": "face-synthetics"}
    stored = {"name": "stored", "layout": "face-synthetics", "fields": ["landmarks2d", "segmentation"]}
    check_generator(plugins.build("generator", reference), resolution=32)
    samples = replay(plugins, reference, stored, 16)
    assert samples[0]["image"].shape == (16, 16, 3)
    assert samples[0]["scene"]["parameters"]["camera_assumed"] is True
    whole = LAYOUTS["face-synthetics"].read(face_synthetics, "000000", ReadOptions())
    assert np.allclose(samples[0]["landmarks2d"], whole["landmarks2d"] / 2)


def test_replaying_answers_mistakes(plugins: Plugins, face_synthetics: Path, tmp_path: Path) -> None:
    reference = {"name": "recorded", "root": str(face_synthetics), "layout": "face-synthetics"}
    generator = plugins.build("generator", reference)
    with pytest.raises(UserError, match="has 2 samples; there is none with index 2"):
        generator.sample(0, 2)
    (rendering,) = generator.render([generator.sample(0, 0)], 32)
    with pytest.raises(AnnotationError, match="brings no relative_depth"):
        plugins.build("annotator", {"name": "stored", "layout": "paper"}).annotate(rendering)
    with pytest.raises(UserError, match="no field depht"):
        plugins.build("annotator", {"name": "stored", "layout": "paper", "fields": ["depht"]})
    with pytest.raises(UserError, match="needs the root"):
        plugins.build("annotator", "stored")
    with pytest.raises(ConfigError, match="layout"):
        plugins.build("generator", {"name": "recorded", "root": str(tmp_path), "layout": "coco"})
