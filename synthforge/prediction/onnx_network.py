"""An ONNX file as the network of a `Predictor`: ours by its metadata, others' landmarks by a mapping beside them."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import MISSING

from ..core.config import build_config, key
from ..core.errors import DataError, UserError
from ..core.foreign import boundary, read_json
from ..core.interfaces import Task
from ..core.plugins import Plugins, load_plugins
from ..core.schemas import POINT_SCHEMAS
from ..core.storage import place
from ..learning.looks import Look, SecondLookInfo
from ..learning.model import build_tasks, load_model
from ..learning.onnx_file import METADATA
from ..learning.weights import model_digest
from .network import Function, Network

#: ending of the file of a second look beside `NAME.onnx`
LOOKS = ".look.onnx"


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


def open_network(
    path: Path | str, *, plugins: Plugins | None = None, device: str = "cpu", input_size: int = 0
) -> Network:
    """A model folder, or an ONNX file, which onnxruntime computes on the processor.

    Raises what `load_model` and `read_onnx` raise.
    """
    if not str(path).endswith(".onnx"):
        return load_model(path, plugins=plugins, device=device, input_size=input_size)
    return read_onnx(place(path), plugins or load_plugins())[0]


def network_digest(path: Path) -> str:
    """SHA-256 over a model folder's weights and description, or over an ONNX file and its second look."""
    if path.suffix != ".onnx":
        return model_digest(path)
    files = [each for each in (path, path.with_suffix(LOOKS), path.with_suffix(".json")) if each.is_file()]
    return hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()


def read_onnx(path: Path, plugins: Plugins) -> tuple[Network, list[Path]]:
    """The network of a file and the files it was read from.

    Ours answers all of its tasks, and looks again by the file `NAME.look.onnx` beside it, if there is one. Raises
    UserError without onnxruntime and for a mapping that does not fit, DataError for a damaged file.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return _own(path, plugins)
    session, data, where = _session(path), read_json(beside), str(beside)
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
    call = _Call(session, mapping, mapping.input or next(iter(inputs)), outputs.index(mapping.output or outputs[0]))
    return Function(call, task, mapping.schema, mapping.size, mapping.crop_scale), [path, beside]


def task_of_points(plugins: Plugins) -> str:
    """The first task whose values are points of the image."""
    return next(each.name for each in plugins.catalogues["task"] if getattr(each.factory, "kind", "") == "points2d")


@dataclass(frozen=True)
class OnnxModel:
    """A file of `learning.onnx_file.export_onnx`: every task of it, with the mirrored crop and the second look.

    graph: the network; about: its metadata; tasks: built from it; looks: networks of the second look.
    """

    graph: _Graph
    about: Mapping[str, Any]
    tasks: Mapping[str, Task]
    looks: Sequence[Look] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def crop_scale(self) -> float:
        """Side of the crops in units of the tight landmark box's larger side."""
        return float(self.about["crop"]["scale"])

    @property
    def info(self) -> Mapping[str, Any]:
        """Photographs that the model learned from, as the description of a model folder has them."""
        return {"real_data": self.about.get("real_data", [])}

    @property
    def adapter_info(self) -> Mapping[str, Any]:
        """The tasks that a label fine-tuning network answers."""
        return {name: each for name, each in self.about["tasks"].items() if each["fine_tuned"]}

    def size_of(self, task: str) -> int:
        """Side in pixels of the crops that the file takes for a task."""
        given = self.about["tasks"][task]["input"]
        return int(next(each["size"] for each in self.about["inputs"] if each["name"] == given))

    def schema(self, task: str) -> str:
        """The schema of a task's answers."""
        return str(self.about["tasks"][task]["schema"])

    def mirrors(self, task: str, flip: bool | None = None) -> bool:
        """Whether a task is answered by the mean with the mirrored crop."""
        return bool(self.about["tasks"][task]["mean_with_mirrored_crop"]) if flip is None else flip

    def looks_for(self, task: str) -> Sequence[Look]:
        """The networks of a second look at a task's points."""
        return [look for look in self.looks if look.info.task == task]

    def predict(
        self, images: torch.Tensor, *, adapted: bool, flip: bool | None, tasks: Sequence[str]
    ) -> Mapping[str, Mapping[str, torch.Tensor]]:
        """See `FaceModel.predict`. Raises UserError for crops of another size than the file takes, and where the
        answers before label fine-tuning are wanted, which it lacks."""
        for name in tasks:
            if images.shape[-1] != self.size_of(name):
                raise UserError(
                    f"input_size: the file takes crops of {self.size_of(name)} pixels for the task '{name}'"
                )
            if not adapted and name in self.adapter_info:
                raise UserError(f"the file answers the task '{name}' in the schema '{self.schema(name)}' alone")
        found = self._answers(images, tasks)
        twice = [name for name in tasks if self.mirrors(name, flip)]
        for name, other in self._answers(images.flip(-1), twice).items() if twice else ():
            # the file adds what annotations lean by, which the mean must not cancel
            task = self.tasks[name]
            one, other = (self._leaning(name, each, -1.0) for each in (found[name], other))
            found[name] = self._leaning(name, task.mean([one, task.flip(other, self.schema(name))]), 1.0)
        return found

    def _leaning(self, name: str, found: Mapping[str, torch.Tensor], sign: float) -> dict[str, torch.Tensor]:
        lean = [sign * value for value in self.about["tasks"][name]["lean"]]
        return self.tasks[name].shifted(found, lean) if any(lean) else dict(found)

    def _answers(self, images: torch.Tensor, tasks: Sequence[str]) -> dict[str, dict[str, torch.Tensor]]:
        rows = [self.about["tasks"][name] for name in tasks]
        given = {rows[0]["input"]: np.ascontiguousarray(images.numpy())}
        values = _run(self.graph.session([row["output"] for row in rows]), given)
        return {name: {self.tasks[name].output: value} for name, value in zip(tasks, values, strict=True)}


@dataclass(frozen=True)
class _OnnxLook:
    graph: _Graph
    info: SecondLookInfo
    about: Mapping[str, Any]

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        given = {self.about["input"]: np.ascontiguousarray(patches.numpy())}
        return _run(self.graph.session([self.about["output"]]), given)[0]

    def with_directions(self, patches: torch.Tensor, first: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        also = self.about["directions"]
        given = {self.about["input"]: np.ascontiguousarray(patches.numpy()), also["first"]: first.numpy()}
        points, directions = _run(self.graph.session([self.about["output"], also["output"]]), given)
        return points, directions


class _Graph:
    """A file of this project. onnxruntime computes all of a graph, so that each set of outputs gets its own part."""

    def __init__(self, path: Path) -> None:
        self._onnx = _package("onnx", path)
        self._path, self._proto = path, self._onnx.load(path)
        self._sessions: dict[tuple[str, ...], Any] = {}
        said = {each.key: each.value for each in self._proto.metadata_props}
        if METADATA not in said:
            raise UserError(
                f"{path} does not say what it takes and answers",
                hint=f'Write {path.with_suffix(".json")}, such as {{"size": 224, "schema": NAME}} (docs/probe.md lists '
                "the keys).",
            )
        self.about: dict[str, Any] = json.loads(said[METADATA])

    def session(self, outputs: Sequence[str]) -> Any:
        """A session with these outputs, in this order."""
        wanted = tuple(outputs)
        if wanted not in self._sessions:
            inputs = [each.name for each in self._proto.graph.input]
            part = self._onnx.utils.Extractor(self._proto).extract_model(inputs, list(wanted))
            self._sessions[wanted] = _session(self._path, part.SerializeToString())
        return self._sessions[wanted]


def _own(path: Path, plugins: Plugins) -> tuple[OnnxModel, list[Path]]:
    """A file that this project exported."""
    with boundary(path, "an ONNX file of this project"):
        graph = _Graph(path)
        about = graph.about
        if any("reference" not in each for each in about["tasks"].values()):
            raise ValueError("an earlier version exported it; export it again")
        named = {name: each["reference"] for name, each in about["tasks"].items()}
        tasks, _ = build_tasks(list(named.values()), plugins, where=f"{path}: ")
        if list(tasks) != list(named):
            raise ValueError("its tasks are not those that it names")
    looks, beside = path.with_suffix(LOOKS), []
    if not looks.is_file():
        return OnnxModel(graph, about, tasks), [path]
    with boundary(looks, "an ONNX file of this project"):
        again = _Graph(looks)
        if again.about["weights_sha256"] != about["weights_sha256"]:
            raise ValueError(f"it belongs to another model than {path.name}")
        for each in again.about["second_look"]:
            points, mirrored, sides = ([part[key] for part in each["parts"]] for key in ("points", "mirrored", "side"))
            also = {key: each["directions"][key] for key in ("vectors", "pose")} if "directions" in each else {}
            also |= {"directions": each["directions"]["task"]} if also else {}
            info = SecondLookInfo(each["task"], points, mirrored, sides, each["size"], each["share"], **also)
            beside.append(_OnnxLook(again, info, each))
    return OnnxModel(graph, about, tasks, beside), [path, looks]


@dataclass(frozen=True)
class _Call:
    """Crops (B,3,size,size) in [0,1] to points (B,N,2) in shares of the crop."""

    session: Any
    mapping: OnnxMapping
    input: str
    output: int

    def __call__(self, crops: torch.Tensor) -> Mapping[str, torch.Tensor]:
        m = self.mapping
        pixels = crops.numpy()[:, :: -1 if m.channels == "bgr" else 1]
        pixels = (pixels - np.reshape(m.mean, (3, 1, 1))) / np.reshape(m.std, (3, 1, 1))
        given = pixels.transpose(0, 2, 3, 1) if m.layout == "nhwc" else pixels
        found = _run(self.session, {self.input: np.ascontiguousarray(given, np.float32)})[self.output].double()
        count = len(POINT_SCHEMAS[m.schema])
        if found.numel() != len(crops) * count * 2:
            name, shape = self.session.get_outputs()[self.output].name, tuple(found.shape)
            raise UserError(f"the output {name} {shape} does not hold {count} points (x, y) for each crop")
        points = found.reshape(len(crops), count, 2) / (m.size if m.unit == "pixels" else 1)
        return {"points": points}


def _session(path: Path, data: bytes | None = None) -> Any:
    """onnxruntime with as many threads as torch has, which do not spin while they wait; data: instead of the file's."""
    onnxruntime = _package("onnxruntime", path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    with boundary(path, "an ONNX file"):
        return onnxruntime.InferenceSession(data or str(path), options, providers=["CPUExecutionProvider"])


def _package(name: str, path: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        hint = "pip install 'synthforge[onnx]'"
        raise UserError(f"{path} needs the package {name}, which is not installed", hint=hint) from error


def _run(session: Any, given: Mapping[str, np.ndarray]) -> list[torch.Tensor]:
    """All outputs (B,...); inputs that these do not need, but perhaps the size of their batch, are zeros."""
    count = len(next(iter(given.values())))
    others = {each.name: each.shape for each in session.get_inputs() if each.name not in given}
    unused = {name: np.zeros([count, *shape[1:]], np.float32) for name, shape in others.items()}
    return [torch.from_numpy(value) for value in session.run(None, {**given, **unused})]
