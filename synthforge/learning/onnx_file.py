"""A model as one ONNX file that needs neither torch nor SynthForge: what to feed and what comes out is its metadata."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.errors import SynthForgeError, UserError
from ..core.files import write_bytes
from ..core.plugins import Plugins
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS
from ..core.storage import place
from ..datasets.crops import crop, square_box, tight_box
from .int8 import quantised
from .looks import ROOM, SecondLook, looks_of
from .losses import to_size
from .model import FaceModel, load_model
from .patches import cut_patches
from .weights import WEIGHTS

#: entry of the file's metadata that holds the description, as JSON
METADATA = "synthforge"
FORMAT = 1
#: largest difference to torch, as a share of the largest value of an output (of 1 where that is smaller)
TOLERANCE = 1e-4
#: of 8-bit integers: root mean square difference to torch over the output's standard deviation, on the rendered faces
TOLERANCE_INT8 = 0.1
INTEGERS = "8-bit integers, calibrated on rendered faces; first and last convolutions and all else in float32"

#: image (H,W,3) uint8 and the points of its face (N,2) in pixels, of the schema in which the model answers
Face = tuple[np.ndarray, np.ndarray]

IMAGE = {
    "layout": "(batch, 3, size, size) float32",
    "colours": "RGB, sRGB as in the photograph, not linear",
    "range": [0.0, 1.0],
    "normalisation": "none: the network subtracts its own mean",
}
CROP = {
    "box": "tight box of the landmarks, brows to chin: x0, y0, x1, y1 in pixels; pixel i covers [i, i + 1)",
    "square": "same centre as the box; side = scale * max(x1 - x0, y1 - y0)",
    "resampling": "triangle filter over each pixel's footprint, to 8 bits: Pillow's resize(BILINEAR, box=square)",
    "outside": "black",
}
POINTS = "x, y in [0, 1] of the crop; pixels of the photograph are (left, top) of the square + side * (x, y)"
PATCH = {
    "centre": "mean of the part's points in the first answer, pixels of the photograph",
    "square": "side * the larger side of the box around all points of the first answer; turned so that the outer eye "
    "corners (`corners`) are level; left and right change places where `mirrored` says so",
    "resampling": f"as `crop`, an upright square {ROOM} times as large; the patch bilinearly from its pixels",
    "answer": "x, y in [0, 1] of the patch; for each part, a point moves by `share` of the way from the first answer",
}
DIRECTIONS = (
    "a unit vector for each part, of `vectors`, the mean over parts of one vector; in the axes of the patch: x right, "
    "y down, z into the picture. `first`: the same vector of the first answer, and the 2nd and 3rd axis of its `pose`"
)
MAP = "a value at each pixel of the crop, whose centres lie at (i + 0.5) / size"


#: of each input the sizes that are free, by dimension: batch 0, rows 2, columns 3
Free = list[dict[int, Any]]


class Graph(nn.Module):
    """A network as a file holds it. inputs: name and shape of each, without the batch: pictures in [0,1], or unit
    vectors; free: which of their sizes may differ; outputs: names, in the order of its answers."""

    inputs: Mapping[str, tuple[int, ...]]
    free: Free
    outputs: Sequence[str]


class _Graph(Graph):
    """One answer a task, from one crop a size; tasks of a size share the encoder's pass."""

    def __init__(self, model: FaceModel, sizes: Mapping[int, Sequence[str]]) -> None:
        super().__init__()
        self.model, self.sizes = model, sizes
        self.inputs = {_input(size): (3, size, size) for size in sizes}
        self.free = [{0: torch.export.Dim("batch", min=1)}] * len(sizes)
        self.outputs = [name for names in sizes.values() for name in names]

    def forward(self, *crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
        model, answers = self.model, []
        for images, names in zip(crops, self.sizes.values(), strict=True):
            features, reads = model.features_for(images, names)
            for name in names:
                task, info = model.tasks[name], model.adapter_info.get(name)
                found = model.head(name, features)
                if info is not None:
                    found = model.adapters[name](found, reads[name])
                    found = task.shifted(found, info.lean) if any(info.lean) else found
                answers.append(to_size(task, found, (images.shape[-2], images.shape[-1]))[task.output])
        return tuple(answers)


class _LookGraph(Graph):
    """The networks of the second look, each with inputs and outputs of its own."""

    def __init__(self, looks: Sequence[SecondLook]) -> None:
        super().__init__()
        self.looks = nn.ModuleList(looks)
        self.inputs, self.outputs, self.free = {}, [], []
        for i, look in enumerate(looks):
            inputs: dict[str, tuple[int, ...]] = {f"patch{i}": (3, look.info.size, look.info.size)}
            inputs |= {f"first{i}": (3, 3)} if look.info.directions else {}
            self.inputs |= inputs
            self.free += [{0: torch.export.Dim(f"batch{i}", min=1)}] * len(inputs)
            self.outputs += [f"points{i}", f"directions{i}"][: len(inputs)]

    def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        answers: list[torch.Tensor] = []
        each = iter(given)
        for look in self.looks:
            assert isinstance(look, SecondLook)
            patches = next(each)
            answers += look.with_directions(patches, next(each)) if look.info.directions else [look(patches)]
        return tuple(answers)


def export_onnx(
    model_dir: Path | str,
    out: Path | str,
    *,
    tasks: Sequence[str] = (),
    second_look: bool = False,
    faces: Sequence[Face] = (),
    plugins: Plugins | None = None,
) -> dict[str, Any]:
    """Write a model folder's tasks, by default all, to the ONNX file `out`, and compare it with torch in onnxruntime.

    One input a crop size ("crop160", say) with a free batch axis; one output a task, by its name. A fine-tuned task
    answers through its label network. The mirrored crop and a second look are left out. second_look: its networks
    instead, each with inputs and outputs of its own. Weights that half precision holds exactly are stored so. faces:
    rendered ones, on which the file is calibrated for 8-bit integers (`int8`); none for single precision. Returns
    {"bytes", "sha256", "difference" (see `TOLERANCE` and `TOLERANCE_INT8`), "metadata"}.

    Raises UserError where the extra is missing or the model lacks a task or a second look, SynthForgeError for a graph
    that does not answer as torch does.
    """
    _check_extra()
    model = load_model(model_dir, plugins=plugins)
    for name in tasks:
        if name not in model.tasks:
            raise UserError(f"the model has no task '{name}'", hint=f"It has: {', '.join(model.tasks)}.")
    sizes: dict[int, list[str]] = {}
    looks: list[SecondLook] = []
    for name in model.tasks:
        if not tasks or name in tasks:
            sizes.setdefault(model.size_of(name), []).append(name)
            looks += model.looks_for(name)
    if second_look and not looks:
        raise UserError(f"{model_dir}: no network of a second look answers these tasks")
    graph: Graph = _LookGraph(looks) if second_look else _Graph(model, sizes)
    graph.eval()
    weights = hashlib.sha256((place(model_dir) / WEIGHTS).read_bytes()).hexdigest()
    metadata = _describe(model, weights) | (
        _describe_looks(model, looks) if second_look else _describe_tasks(model, sizes)
    )
    metadata["arithmetic"] = INTEGERS if faces else "float32"
    return write_graph(graph, metadata, out, _calibration(graph, model, faces) if faces else ())


def write_graph(
    graph: Graph, metadata: dict[str, Any], out: Path | str, pictures: Sequence[torch.Tensor] = ()
) -> dict[str, Any]:
    """Write a module in eval mode as ONNX, in 8-bit integers where `pictures` of each input to calibrate on are given.

    Returns and raises what `export_onnx` does.
    """
    onnx, onnxruntime = _check_extra()
    proto, exact = _translated(graph), not pictures
    if exact:
        _halve(proto)
        pictures = _pictures(graph, 3)  # another batch than the graph was traced with
    else:
        proto = quantised(proto, _feed(graph, pictures))
    onnx.helper.set_model_props(proto, {METADATA: json.dumps(metadata, ensure_ascii=False)})
    proto.producer_name, proto.doc_string = "synthforge", "See the metadata entry 'synthforge' (JSON)."
    onnx.checker.check_model(proto, full_check=True)
    data = proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    difference = _difference(graph, session, pictures, mean=not exact)
    if not difference <= (TOLERANCE if exact else TOLERANCE_INT8):
        raise SynthForgeError(
            f"{', '.join(graph.outputs)}: onnxruntime's answers differ from torch's by {difference:.1e}; "
            "nothing was written",
            hint="Report it with the versions of torch, onnx and onnxruntime.",
        )
    write_bytes(place(out), data)
    return {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "difference": difference,
        "metadata": metadata,
    }


def _check_extra() -> tuple[Any, Any]:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  torch.onnx works through it
    except ImportError as error:
        raise UserError(
            f"ONNX files need the package {error.name}, which is not installed", hint="pip install 'synthforge[onnx]'"
        ) from error
    return onnx, onnxruntime


def _input(size: int) -> str:
    return f"crop{size}"


def _pictures(graph: Graph, count: int) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(count, *shape, generator=generator) for shape in graph.inputs.values())


def _feed(graph: Graph, pictures: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: each.numpy() for name, each in zip(graph.inputs, pictures, strict=True)}


def _translated(graph: Graph) -> Any:
    with torch.no_grad():
        graph(*_pictures(graph, 1))  # fills caches (`losses`), which must not keep what the exporter traces with
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, of calls it makes itself
        # its optimiser folds normalisation into weights, which half precision then no longer holds exactly
        program = torch.onnx.export(
            graph,
            _pictures(graph, 2),
            dynamo=True,
            optimize=False,
            verbose=False,
            dynamic_shapes=(tuple(graph.free),),
            input_names=list(graph.inputs),
            output_names=graph.outputs,
        )
    assert program is not None  # only the older exporter gives none
    proto = program.model_proto
    # the exporter quietly keeps the batch it traced where a network reads it as a Python number
    if not all(given.type.tensor_type.shape.dim[0].dim_param for given in proto.graph.input):
        raise SynthForgeError(
            f"the network of {', '.join(graph.outputs)} fixes the size of the batch",
            hint="Its forward() takes len() of a tensor.",
        )
    return proto


def _halve(proto: Any) -> None:
    """Store weights in half precision where that loses nothing, as of shipped models; they are computed in single."""
    import onnx

    casts = []
    for weight in proto.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        value = onnx.numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if value.size > 1 and np.array_equal(half.astype(np.float32), value):
            casts.append(onnx.helper.make_node("Cast", [f"{weight.name}.half"], [weight.name], to=weight.data_type))
            weight.CopyFrom(onnx.numpy_helper.from_array(half, f"{weight.name}.half"))
    nodes = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*casts, *nodes])
    stored = {cast.output[0] for cast in casts}
    kept = [value for value in proto.graph.value_info if value.name not in stored]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(kept)


def _describe(model: FaceModel, weights: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "image": IMAGE,
        "crop": {**CROP, "scale": model.crop_scale},
        "weights_sha256": weights,
        "licences": dict(model.info.get("licences", {})),
        "photographs_seen": [str(item.get("benchmark", "?")) for item in model.info.get("real_data", [])]
        + [info.benchmark for info in model.adapter_info.values() if info.benchmark],
        "real_data": list(model.info.get("real_data", [])),
    }


def _describe_tasks(model: FaceModel, sizes: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    return {
        "inputs": [{"name": _input(size), "size": size} for size in sizes],
        "tasks": {name: _describe_task(model, name, size) for size, names in sizes.items() for name in names},
    }


def _describe_looks(model: FaceModel, looks: Sequence[SecondLook]) -> dict[str, Any]:
    details = []
    for i, look in enumerate(looks):
        info = look.info
        parts = zip(info.parts, info.mirrored, info.sides, strict=True)
        detail = (
            {"input": f"patch{i}", "size": info.size, "output": f"points{i}", "task": info.task, "share": info.share}
            | {"corners": list(POINT_SCHEMAS[model.schema(info.task)].eye_corners)}
            | {"parts": [{"points": list(part), "mirrored": m, "side": side} for part, m, side in parts]}
        )
        if info.directions:
            names = {"first": f"first{i}", "output": f"directions{i}", "pose": info.pose, "meaning": DIRECTIONS}
            detail["directions"] = {"task": info.directions, "vectors": list(info.vectors), **names}
        details.append(detail)
    return {"patch": {**PATCH, "room": ROOM}, "second_look": details}


def _describe_task(model: FaceModel, name: str, size: int) -> dict[str, Any]:
    task, schema = model.tasks[name], model.schema(name)
    classes, points = CLASS_SCHEMAS.get(schema), POINT_SCHEMAS.get(schema)
    details: dict[str, Any] = {"input": _input(size), "output": name, "schema": schema}
    details["meaning"] = task.meaning or (f"score of each class of {schema}, the largest wins" if classes else "")
    details["unit"] = "" if classes else "share of the crop" if task.kind == "points2d" else task.unit
    places = MAP if task.output in task.maps else POINTS if points else ""
    details["frame"] = "; ".join(filter(None, (task.raw, places)))
    info = model.adapter_info.get(name)
    details["fine_tuned"], details["lean"] = info is not None, list(info.lean if info else ())
    details["reference"] = dict(model.references[name])
    details["mean_with_mirrored_crop"] = name in model.mirrored
    details["second_look_left_out"] = bool(model.looks_for(name))
    if classes:
        details["classes"] = list(classes.classes)
    if points:
        details["mirror"] = list(points.mirror)
    return details


def _calibration(graph: Graph, model: FaceModel, faces: Sequence[Face]) -> tuple[torch.Tensor, ...]:
    """What each input sees of rendered faces."""
    images, points = [image for image, _ in faces], [points for _, points in faces]
    if isinstance(graph, _LookGraph):
        given: list[torch.Tensor] = []
        for info in (look.info for look in looks_of(graph)):
            given.append(cut_patches(info, images, points, POINT_SCHEMAS[model.schema(info.task)].eye_corners)[0])
            ahead = torch.tensor([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])  # upright, to the camera
            given += [ahead.expand(len(given[-1]), 3, 3).contiguous()] if info.directions else []
        return tuple(given)
    squares = [square_box(tight_box(each), model.crop_scale) for each in points]
    cuts = (
        np.stack([crop(image, square, size)[0] for image, square in zip(images, squares, strict=True)])
        for *_, size in graph.inputs.values()
    )
    return tuple(torch.from_numpy(each).permute(0, 3, 1, 2).contiguous().float() / 255 for each in cuts)


def _difference(graph: Graph, session: Any, pictures: Sequence[torch.Tensor], *, mean: bool = False) -> float:
    """The largest difference as a share of the largest value, or with `mean` its mean as `TOLERANCE_INT8` says."""
    with torch.no_grad():
        wanted = [answer.numpy() for answer in graph(*pictures)]
    pairs = list(zip(session.run(None, _feed(graph, pictures)), wanted, strict=True))
    if mean:
        return max(float(np.sqrt(np.square(a - b).mean()) / max(1e-6, b.std())) for a, b in pairs)
    return max(float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in pairs)
