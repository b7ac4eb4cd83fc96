"""Landmarks of any ONNX file as the network of a `Predictor`: by its own metadata, or by a mapping beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING

from ..core.config import build_config, key
from ..core.errors import DataError, UserError
from ..core.foreign import boundary, read_json
from ..core.plugins import Plugins
from ..core.schemas import POINT_SCHEMAS
from ..learning.onnx_file import METADATA
from .predictor import Function


@dataclass
class OnnxMapping:
    """Input and output of a file that others made: `NAME.json` beside `NAME.onnx`."""

    size: int = key(MISSING, "Side of the crop.", unit="px", low=8, high=4096)
    schema: str = key(MISSING, "Point schema of the answer.")
    input: str = key("", "Name of the input, empty for the only one.")
    output: str = key("", "Name of the output, empty for the only one.")
    crop_scale: float = key(1.3, "Side of the crop over the larger side of the points' box.", above=0, high=10)
    layout: str = key("nchw", "Order of the input's axes.", choices=("nchw", "nhwc"))
    channels: str = key("rgb", "Order of the colours.", choices=("rgb", "bgr"))
    mean: list[float] = key(lambda: [0.0, 0.0, 0.0], "Subtracted from colours in [0, 1], in their order.", length=3)
    std: list[float] = key(lambda: [1.0, 1.0, 1.0], "What colours are divided by afterwards.", length=3)
    unit: str = key("crop", "Of the answer: shares of the crop, or pixels of it.", choices=("crop", "pixels"))


def read_onnx(path: Path, plugins: Plugins) -> tuple[Function, list[Path]]:
    """The network of a file and the files it was read from.

    Raises UserError without onnxruntime and for a mapping that does not fit, DataError for a damaged file.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            f"{path} needs onnxruntime, which is not installed", hint="pip install 'synthforge[onnx]'"
        ) from error
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    with boundary(path, "an ONNX file"):
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    text, beside = session.get_modelmeta().custom_metadata_map.get(METADATA), path.with_suffix(".json")
    if beside.is_file():
        data, where, files = read_json(beside), str(beside), [path, beside]
    elif text:
        with boundary(path, "an ONNX file of this project"):
            data, where, files = _own(json.loads(text)), str(path), [path]
    else:
        raise UserError(
            f"{path} does not say what it takes and answers",
            hint=f'Write {beside}, such as {{"size": 224, "schema": NAME}} (docs/probe.md lists the keys).',
        )
    if not isinstance(data, dict):
        raise DataError(f"{where}: a mapping of keys is expected")
    mapping = build_config(OnnxMapping, data, where=where)
    if mapping.schema not in POINT_SCHEMAS:
        raise UserError(
            f"{where}: schema: '{mapping.schema}' is no point schema", hint=f"Known: {', '.join(POINT_SCHEMAS)}."
        )
    inputs = {each.name: each.shape for each in session.get_inputs()}
    outputs = [each.name for each in session.get_outputs()]
    for name, there, given in (("input", list(inputs), mapping.input), ("output", outputs, mapping.output)):
        if given not in there and (given or len(there) > 1):
            raise UserError(f"{where}: {name}: the file has {', '.join(there)}, not '{given}'")
    task = plugins.build("task", {"name": task_of_points(plugins), "schema": mapping.schema})
    call = _Call(session, mapping, mapping.input or next(iter(inputs)), mapping.output or outputs[0], inputs)
    return Function(call, task, mapping.schema, mapping.size, mapping.crop_scale), files


def task_of_points(plugins: Plugins) -> str:
    """The first task whose values are points of the image."""
    return next(each.name for each in plugins.catalogues["task"] if getattr(each.factory, "kind", "") == "points2d")


def _own(about: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of a file that this project exported."""
    task = next((each for each in about["tasks"].values() if each["schema"] in POINT_SCHEMAS), None)
    if task is None:
        raise ValueError(f"it answers {', '.join(about['tasks'])}, and no points")
    size = next(each["size"] for each in about["inputs"] if each["name"] == task["input"])
    names = {"input": task["input"], "output": task["output"], "schema": task["schema"]}
    return {**names, "size": size, "crop_scale": about["crop"]["scale"]}


@dataclass(frozen=True)
class _Call:
    """Crops (B,3,size,size) in [0,1] to points (B,N,2) in shares of the crop."""

    session: Any
    mapping: OnnxMapping
    input: str
    output: str
    inputs: Mapping[str, Any]

    def __call__(self, crops: torch.Tensor) -> Mapping[str, torch.Tensor]:
        m = self.mapping
        pixels = crops.numpy()[:, :: -1 if m.channels == "bgr" else 1]
        pixels = (pixels - np.reshape(m.mean, (3, 1, 1))) / np.reshape(m.std, (3, 1, 1))
        given = pixels.transpose(0, 2, 3, 1) if m.layout == "nhwc" else pixels
        feed = {self.input: np.ascontiguousarray(given, np.float32)}
        for name, shape in self.inputs.items():  # what other outputs need
            if name != self.input:
                feed[name] = np.zeros([len(crops), *shape[1:]], np.float32)
        found = np.asarray(self.session.run([self.output], feed)[0], np.float64)
        count = len(POINT_SCHEMAS[m.schema])
        if found.size != len(crops) * count * 2:
            raise UserError(f"the output {self.output} {found.shape} does not hold {count} points (x, y) for each crop")
        points = found.reshape(len(crops), count, 2) / (m.size if m.unit == "pixels" else 1)
        return {"points": torch.from_numpy(points)}
