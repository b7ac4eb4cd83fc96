"""Recordings for the viewer rerun, read back by its own reader."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made_samples import FIELDS, make_sample

from synthforge.cli.show import command
from synthforge.core.camera import Camera
from synthforge.core.records import Field
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.writer import finish, write_shard

chunks = pytest.importorskip("rerun.chunk", reason="rerun-sdk is not installed")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ShardDataset:
    root = tmp_path_factory.mktemp("made") / "faces"
    fields = (*FIELDS, Field("face_box", "json", "px", mark="box"), Field("pose", "json", "degrees"))
    boxes = ([1.0, 2.0, 30.0, 31.0], None, [2.0, 2.0, 20.0, 21.0])
    samples = [make_sample(i, 40) | {"face_box": box, "pose": {"a/b": 5.0 * i}} for i, box in enumerate(boxes)]
    write_shard(root, 0, samples, fields, config_hash="x")
    finish(root, shards=1, config_hash="x", config={}, licences={})
    return ShardDataset(root)


@pytest.fixture(scope="module")
def logged(dataset: ShardDataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each component of each entity holds, sample by sample."""
    out = tmp_path_factory.mktemp("written") / "faces.rrd"
    done = CliRunner().invoke(command, [str(dataset.root), "--first", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    reader = chunks.RrdReader(out)
    assert len(reader.blueprints()) == 1
    found: dict[str, dict[int, Any]] = {}
    for chunk in reader.stream():
        columns = chunk.to_record_batch().to_pydict()
        for name, values in columns.items():
            place = found.setdefault(f"{chunk.entity_path}:{name.partition(':')[2]}", {})
            place.update((k, v) for k, v in zip(columns.get("sample", [-1]), values, strict=False) if v is not None)
    return {name: [values[k] for k in sorted(values)] for name, values in found.items()}


def test_pictures_and_labels_are_those_of_the_dataset(dataset: ShardDataset, logged: dict[str, list[Any]]) -> None:
    for place, index in enumerate((1, 2)):
        sample = dataset[index]
        for name, type_ in (("segmentation", np.uint8), ("depth", np.float32)):
            buffer = np.array(logged[f"/world/camera/{name}:buffer"][place][0], np.uint8)
            assert np.array_equal(buffer.view(type_).reshape(40, 40), sample[name])
        points = np.array(logged["/world/camera/landmarks2d/points:positions"][place])
        assert np.array_equal(np.sort(points, axis=0), np.sort(sample["landmarks2d"], axis=0))
        assert len(logged["/world/camera/normals:blob"][place][0]) > 100
    assert logged["/numbers/pose/a\\/b:scalars"] == [[5.0], [10.0]]


def test_the_camera_sees_points_where_they_are_drawn(dataset: ShardDataset, logged: dict[str, list[Any]]) -> None:
    for place, index in enumerate((1, 2)):
        known = Camera.from_json(dataset[index]["camera"])
        turn = np.reshape(logged["/world/camera:mat3x3"][place], (3, 3)).T  # columns first
        at = np.reshape(logged["/world/camera:translation"][place], 3)
        intrinsics = np.reshape(logged["/world/camera:image_from_camera"][place], (3, 3)).T
        seen = (np.array(logged["/world/points/landmarks3d:positions"][place]) - at) @ turn @ intrinsics.T
        expected, _ = known.project(dataset[index]["landmarks3d"])
        assert seen[:, :2] / seen[:, 2:] == pytest.approx(expected, abs=0.01)


def test_what_a_sample_lacks_does_not_stay_from_the_one_before(logged: dict[str, list[Any]]) -> None:
    assert [len(strips) for strips in logged["/world/camera/face_box/lines:strips"]] == [0, 1]
