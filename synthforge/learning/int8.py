"""An exported graph in 8-bit integers (Jacob et al. 2018), by onnxruntime's own tools, calibrated on rendered faces."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: what is computed in integers; all else, such as softmax and resizing, stays in single precision
KINDS = ("Conv", "Relu", "Add")
#: pictures that are calibrated on at once
_BATCH = 8


def quantised(proto: Any, pictures: Mapping[str, np.ndarray]) -> Any:
    """The graph with 8-bit activations and 7-bit weights, scaled by channel.

    Weights have 7 bits because products of 8 overflow where a processor adds two of them in 16 bits (AVX2); so answers
    are equal on processors with and without VNNI. The convolutions next to inputs and outputs stay in single precision.
    pictures: of every input, as many each.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = _batches(pictures)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._batches, None)

    with tempfile.TemporaryDirectory() as work:
        folded, out = _folded(proto, Path(work)), Path(work, "int8.onnx")
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # its advice to do what `_folded` has done
        try:
            quantize_static(
                folded,
                out,
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(KINDS),
                nodes_to_exclude=_float_nodes(onnx.load(folded).graph),
            )
        finally:
            logging.getLogger().setLevel(level)
        return onnx.load(out)


def _batches(pictures: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for first in range(0, max(map(len, pictures.values())), _BATCH):
        yield {name: values[first : first + _BATCH] for name, values in pictures.items()}


def _folded(proto: Any, folder: Path) -> Path:
    """The graph without constants to compute, its normalisation within the convolutions."""
    import onnx
    import onnxruntime

    nodes, file = -1, folder / "0.onnx"
    onnx.save(proto, file)
    while (count := len(onnx.load(file).graph.node)) != nodes:  # what is folded makes room for more
        nodes = count
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = 3
        given, file = file, file.with_suffix(".next.onnx")
        options.optimized_model_filepath = str(file)
        onnxruntime.InferenceSession(str(given), options, providers=["CPUExecutionProvider"])
    return file


def _float_nodes(graph: Any) -> list[str]:
    """Names of the nodes that stay in single precision: the first and last convolutions, and what adds no features."""
    made = {output: node.op_type for node in graph.node for output in node.output}
    weights = {each.name for each in graph.initializer}
    read: dict[str, set[str]] = {}
    for node in graph.node:
        for name in node.input:
            read.setdefault(name, set()).add(node.op_type)
    kept = []
    for node in graph.node:
        if node.op_type == "Conv":
            inside = made.get(node.input[0]) in (*KINDS, "Resize", "Concat")
            inside &= bool(read.get(node.output[0])) and read[node.output[0]] <= set(KINDS)
        else:
            inside = all(made.get(name) in (*KINDS, "Resize") for name in node.input if name not in weights)
            inside &= node.op_type != "Add" or not any(name in weights for name in node.input)
        if not inside:
            kept.append(node.name)
    return kept
