"""Any ONNX file as a landmark model: our own by its metadata, others by the mapping beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthforge.core.errors import DataError, UserError
from synthforge.core.plugins import load_plugins

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from synthforge.prediction.onnx_network import read_onnx  # noqa: E402


def foreign(path: Path, **mapping: Any) -> Path:
    """A file whose 68 points all have the mean of its first colour, in both coordinates."""
    from onnx import TensorProto, helper

    layout = mapping.get("layout", "nchw")
    shape = ["b", 3, 8, 8] if layout == "nchw" else ["b", 8, 8, 3]
    channel = 1 if layout == "nchw" else 3
    const = {
        "start": np.array([0]),
        "end": np.array([1]),
        "axis": np.array([channel]),
        "axes": np.array([1, 2, 3]),
        "times": np.array([1, 136, 1, 1]),
    }
    nodes = [
        helper.make_node("Slice", ["x", "start", "end", "axis"], ["first"]),
        helper.make_node("ReduceMean", ["first", "axes"], ["mean"], keepdims=1),
        helper.make_node("Tile", ["mean", "times"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 136, 1, 1])],
        [onnx.numpy_helper.from_array(value.astype(np.int64), name) for name, value in const.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(path))
    if mapping:
        path.with_suffix(".json").write_text(json.dumps(mapping))
    return path


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"schema": "ibug68", "size": 8}, 0.25),
        ({"schema": "ibug68", "size": 8, "unit": "pixels"}, 0.25 / 8),
        ({"schema": "ibug68", "size": 8, "channels": "bgr"}, 0.75),
        ({"schema": "ibug68", "size": 8, "mean": [0.05, 0, 0], "std": [2, 1, 1]}, 0.1),
        ({"schema": "ibug68", "size": 8, "layout": "nhwc"}, 0.25),
    ],
)
def test_the_mapping_is_followed(tmp_path: Path, mapping: dict[str, Any], expected: float) -> None:
    path = foreign(tmp_path / "mine.onnx", **mapping)
    network, files = read_onnx(path, load_plugins())
    crops = torch.tensor([0.25, 0.5, 0.75]).view(1, 3, 1, 1).expand(2, 3, 8, 8)
    points = network.call(crops)["points"]
    assert points.shape == (2, 68, 2)
    assert torch.allclose(points, torch.full_like(points, expected), atol=1e-6)
    assert files == [path, path.with_suffix(".json")]


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({}, "does not say what it takes"),
        ({"size": 8, "schema": "ibug86"}, "is no point schema"),
        ({"schema": "ibug68", "size": 8, "output": "z"}, "the file has y, not 'z'"),
        ({"schema": "ibug68", "sise": 8}, "size"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, mapping: dict[str, Any], said: str) -> None:
    path = foreign(tmp_path / "mine.onnx", **mapping)
    with pytest.raises(UserError) as caught:
        read_onnx(path, load_plugins())
    assert said in f"{caught.value.message} {caught.value.hint}"


def test_points_of_another_count_and_damage_are_named(tmp_path: Path) -> None:
    path = foreign(tmp_path / "mine.onnx", size=8, schema="wflw98")
    network, _ = read_onnx(path, load_plugins())
    with pytest.raises(UserError, match="does not hold 98 points"):
        network.call(torch.zeros(1, 3, 8, 8))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="an ONNX file"):
        read_onnx(path, load_plugins())


@pytest.mark.slow
def test_the_shipped_model_by_its_file_answers_as_by_its_folder(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    import synthforge as sf
    from synthforge.core.records import RealItem, RealSample
    from synthforge.core.shipped import find_model
    from synthforge.learning.onnx_file import export_onnx
    from synthforge.stages.probe import subject

    path = tmp_path / "face.onnx"
    export_onnx(find_model("face"), path, plugins=load_plugins())
    image = sf.sample("anny", seed=3, index=0, resolution=128).image
    box = (30.0, 30.0, 100.0, 100.0)
    face = RealSample(RealItem("0", Path(), Path()), image, box, np.zeros((68, 2)))
    found = subject(str(path), load_plugins(), "ibug68")[0]([face])[0]
    model = sf.load_model("face", tasks=["keypoints"], flip=False, second_look=False)
    assert np.allclose(found, model.faces([image], [box])[0].points, atol=0.05)
