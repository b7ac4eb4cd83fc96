"""The readers that `fuzz.py` feeds, each with sound files to start from; `tests/core/test_readers.py` feeds them, too.

A reader takes bytes and a folder of its own. It may raise nothing but the project's errors. Records that carry a
checksum are changed value by value and sealed again, so that what stands behind the checksum is reached.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "datasets")]

#: what stands where something else should
HOSTILE: list[Any] = [
    *(None, True, -1, 0, 2**60, 1e308, 0.5, "", "x", "../../x", "\0", "é" * 300, [], {}, [[]], [None], [-1], {"": {}}),
    *({"shard": 0}, [["a"] * 8], {"name": ["x"]}, [{"kind": "label"}], [2**53] * 3, "NaN", {"__class__": "x"}),
]
Read = Callable[[bytes, Path], Any]


@dataclass(frozen=True)
class Reader:
    """read: what is fed with bytes and an empty folder; seeds: sound and odd inputs to start from."""

    read: Read
    seeds: Callable[[], list[bytes]]


READERS: dict[str, Reader] = {}


def reader(name: str, *seeds: bytes | Callable[[], bytes]) -> Callable[[Read], Read]:
    """Enter a reader into the table."""

    def enter(read: Read) -> Read:
        READERS[name] = Reader(read, lambda: [seed() if callable(seed) else seed for seed in seeds])
        return read

    return enter


def of_file(name: str, file: str, read: Callable[[Path], Any], *seeds: bytes | Callable[[], bytes]) -> None:
    """Enter a reader of one file by its path."""

    def run(data: bytes, folder: Path) -> Any:
        (folder / file).write_bytes(data)
        return read(folder / file)

    reader(name, *seeds)(run)


def nodes(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a record."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*place, key)
            yield from nodes(item, (*place, key))


def changed(record: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A record with another value at a place; `...` takes it away."""
    record = copy.deepcopy(record)
    *way, last = place
    inner = record
    for key in way:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return record


def edited(record: Any, data: bytes) -> Any:
    """A record with changes by bytes: in every line two bytes choose a place, the rest is the value there in JSON.

    One byte behind the place chooses of `HOSTILE`; nothing behind it takes the place away.
    """
    for line in data.split(b"\n")[:4]:
        places = list(nodes(record))
        if not places:
            break
        value: Any = ...
        if len(line) == 3:
            value = HOSTILE[line[2] % len(HOSTILE)]
        elif len(line) > 3:
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(json.dumps(json.loads(line[2:]), allow_nan=False))  # what a file can hold
        record = changed(record, places[int.from_bytes(line[:2], "big") % len(places)], value)
    return record


EDITS = (b"\x00\x01\x03", b"\x00\x05", b'\x00\x02{"a": [1]}', b"\x00\x09\x0d\n\x00\x03\x04")


# --- what people write: configurations, options, expressions ----------------------------------------------------------

PIPELINE = b"""seed: 1
benchmark: {name: 300w, root: "${defaults.root}/x"}
defaults: {root: /data, learn: &learn {run: train, epochs: 1e1}}
stages:
  data: {run: generate, generator: anny, samples: 8, resolution: 64}
  model: {<<: *learn, dataset: data, tasks: [{name: keypoints}], optimiser: {lr: 1e-3}}
"""


def _pipeline(path: Path) -> Any:
    from synthforge.core.config import read_yaml
    from synthforge.core.pipeline import load_pipeline
    from synthforge.stages import KINDS

    if not read_yaml(path).get("plugins"):  # files that a pipeline names are code
        load_pipeline(path, KINDS)


of_file("YAML", "pipeline.yaml", _pipeline, PIPELINE, b"a: &a [*a]\n", b"a: ${b}${b}\nb: ${a}\n", b"? [1]\n: 2\n")


RECIPE = b"""recipe: 1
made_with: {"numpy": "2.4.6"}
plugins: {"generator anny": "synthforge 0.1.0"}
sha256: "22ec360a"
shards: "a4f7cde0 5898de12"
generate: {start: 0, samples: 60, resolution: 64, seed: 7, annotators: ["depth"], generator: {name: anny}}
"""


def _recipe(path: Path) -> Any:
    from synthforge.stages.again import read_recipe

    return read_recipe(path)


of_file("recipe", "recipe.yaml", _recipe, RECIPE, b"recipe: 1\nsha256: a\nshards: b\ngenerate: {1: 2}\n")


@reader("--set", b"a.b=1", b"a.c[0]=${a.b}", b"x.y.z={a: 1e-3}", b"d=2024-01-15 # no", b"a={<<: {b: 2}}")
def _set(data: bytes, folder: Path) -> Any:
    from synthforge.core.config import apply_overrides, resolve

    given = {"a": {"b": "text", "c": [1, 2]}, "d": 1.5}
    return resolve(apply_overrides(given, data.decode("utf-8", "replace").split("\n")), source="x.yaml")


@reader("URL", b"s3://bucket/key", b"file:///tmp/x", b"memory://a/b", b"s3://user:word@host/x?y#z", b"s3://b/../c")
def _url(data: bytes, folder: Path) -> Any:
    from synthforge.core.storage import place

    found = place(data.decode("utf-8", "replace"))
    return found.name, str(found.parent / "x")


@reader("--shards", b"3/16", b"0/1", b"999999/999999", "٣/٣".encode())
def _part(data: bytes, folder: Path) -> Any:
    from synthforge.core.parts import Part

    part = Part.parse(data.decode("utf-8", "replace"))
    assert part.within(7).stop <= 7


@reader("probe --factor", b"yaw=-90,0,90", b"yaw", b"film.noise=0,1e1,x", b"a.b={c: [1]},2")
def _factor(data: bytes, folder: Path) -> Any:
    from synthforge.core.config import apply_overrides, resolve
    from synthforge.core.factors import Sweep
    from synthforge.stages.probe import named, settings_of

    declared = {"yaw": Sweep("yaw", ("camera.yaw",), (-30.0, 0.0, 30.0), 0.0)}
    sweep = named(data.decode("utf-8", "replace"), declared)
    for level in sweep.levels:
        resolve(apply_overrides({"name": "x"}, settings_of(sweep, level)), source="--factor")


@reader("filter scene", b"{where: {yaw_degrees: {low: -10, high: 10}}}", b"{where: {beard: [short, 1]}}")
def _scene(data: bytes, folder: Path) -> Any:
    from synthforge_plugins.filters.scene import SceneConfig, ScenesWanted

    from synthforge.core.config import build_config
    from synthforge.core.factors import Factor
    from synthforge.core.records import Scene
    from synthforge.core.yaml12 import parse

    values = parse(data.decode("utf-8", "replace"), "x")
    factors = {
        "yaw": Factor("yaw", ("drawn.yaw",), "uniform", -1.0, 1.0, unit="rad"),
        "beard": Factor("beard", ("drawn.beard",), "choice", values=(0, 1), weights=(1, 1), labels=("none", "short")),
    }
    wanted = ScenesWanted(build_config(SceneConfig, values if isinstance(values, dict) else {}, where="x"))
    for yaw, beard in ((0.1, 1.0), (float("nan"), 0.0)):
        scene = Scene(seed=1, index=2, parameters={}, drawn={"yaw": yaw, "beard": beard})
        wanted.judge_scene(scene, factors)


# --- texts of datasets and of other tools -----------------------------------------------------------------------------


def _pts() -> bytes:
    return b"version: 1\nn_points: 68\n{\n" + b"1.5 2e1\n" * 68 + b"}\n"


def _lazy(module: str, name: str, **options: Any) -> Callable[[Path], Any]:
    """A reader that is imported when it is used."""

    def read(path: Path) -> Any:
        import importlib

        return getattr(importlib.import_module(module), name)(path, **options)

    return read


FILES = "synthforge.evaluation.files"
of_file(".pts", "a.pts", _lazy(FILES, "read_pts"), _pts, lambda: _pts().replace(b"1.5 2e1", b"1.5, nan"))
of_file("LaPa text", "a.txt", _lazy(FILES, "read_pairs", header=True), b"2\n1.5 2\n3,4\n", "²\n1 2\n".encode())
of_file("JSON points", "a.json", _lazy("synthforge_plugins.tasks.keypoints", "_json_points"), b"[[1, 2.5], [3, 4]]",
        b'{"points": [[1, 2], [3]]}')  # fmt: skip
of_file("alignment", "a.json", _lazy("synthforge_plugins.generators.next3d.alignment", "read_alignment"),
        b'{"matrix": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "offset": [0, 0, 1e-3]}')  # fmt: skip


@reader("CelebAMask-HQ mapping", b"idx orig_idx orig_file\n0 119613 119614.jpg\n1 2 3.jpg\n", "0 ١\n".encode())
def _celeb(data: bytes, folder: Path) -> Any:
    from synthforge_plugins.benchmarks.celebamask_hq import MAPPING, CelebAMaskHQ, CelebAMaskHQConfig

    (folder / MAPPING).write_bytes(data)
    return CelebAMaskHQ(CelebAMaskHQConfig(root=str(folder)))._mapping()


@reader("LaPa-D list", b"a.jpg b.png\nc.jpg\n")
def _lapa_d(data: bytes, folder: Path) -> Any:
    from synthforge_plugins.benchmarks.lapa_d import LapaD, LapaDConfig

    (folder / "test_list.txt").write_bytes(data)
    return LapaD(LapaDConfig(root=str(folder)))._list("test")


@reader("FaceSynthetics points", b"1.5 2\n" * 70)
def _face_synthetics(data: bytes, folder: Path) -> Any:
    from synthforge_plugins.generators.recorded.layouts import LAYOUTS, ReadOptions

    for name in ("000000.png", "000000_seg.png"):
        (folder / name).write_bytes(_png())
    (folder / "000000_ldmks.txt").write_bytes(data)
    return LAYOUTS["face-synthetics"].read(folder, "000000", ReadOptions())


@reader("the paper's JSON", lambda: json.dumps({"2d_kps": [[0.1, 2.0]], "camera_params": [1.0] * 25}).encode())
def _paper(data: bytes, folder: Path) -> Any:
    from synthforge_plugins.generators.recorded.layouts import LAYOUTS, ReadOptions

    for name in ("images", "seg", "annotations", "depth"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "0.png").write_bytes(_png())
    (folder / "annotations" / "0.json").write_bytes(data)
    return LAYOUTS["paper"].read(folder, "0", ReadOptions(metric_depth=True))


@reader("YOLO pose", b"0 .5 .5 .2 .3" + b" .5 .25 2" * 68)
def _yolo(data: bytes, folder: Path) -> Any:
    from synthforge_plugins.generators.recorded.layouts import LAYOUTS, ReadOptions

    for name in ("images", "labels"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "images" / "0.png").write_bytes(_png())
    (folder / "labels" / "0.txt").write_bytes(data)
    return LAYOUTS["yolo-pose"].read(folder, "0", ReadOptions())


@reader("boxes file", b"file,x0,y0,x1,y1\na.png,1,2,3,4\n", b'{"a.png": [[1, 2, 3, 4]]}', b'[{"file": "a", "box": []}]')
def _boxes(data: bytes, folder: Path) -> Any:
    from synthforge.prediction.boxes import read_boxes

    (folder / "boxes").write_bytes(data)
    return read_boxes(folder / "boxes", [folder / "a.png", folder / "b" / "é.png"])


# --- plain data and pictures ------------------------------------------------------------------------------------------

of_file("JSON", "a.json", _lazy("synthforge.core.foreign", "read_json"), b'{"a": [1, 2.5, "\\u00e9", null]}', b"[NaN]",
        b"[" * 99)  # fmt: skip
of_file("NPY", "a.npy", _lazy("synthforge.core.foreign", "read_array"), lambda: _saved(np.save))
of_file("NPZ", "a.npz", _lazy("synthforge.core.foreign", "read_arrays"), lambda: _saved(np.savez_compressed))


def _saved(save: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, np.arange(12, dtype=np.float32).reshape(3, 4))
    return buffer.getvalue()


def _picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    from PIL import Image

    values = np.random.default_rng(0).integers(0, 256, (9, 8, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _png() -> bytes:
    return _picture("PNG", "L")


@reader("PNG", lambda: _picture("PNG"), _png, lambda: _picture("PNG", "P"), lambda: _picture("PNG", "RGBA"),
        lambda: _picture("PNG", "I;16"))  # fmt: skip
def _maps(data: bytes, folder: Path) -> Any:
    from synthforge.core.errors import SynthForgeError
    from synthforge.core.images import decode_map, decode_photograph

    for options in ({"indices": True}, {"grey": True}, {}):
        with contextlib.suppress(SynthForgeError):
            decode_map(data, "x", **options)
    return decode_photograph(data, "x")


EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


@reader("photographs", lambda: _picture("JPEG", exif=EXIF), lambda: _picture("JPEG", "CMYK"),
        lambda: _picture("JPEG", progressive=True), lambda: _picture("WEBP"), lambda: _picture("TIFF"),
        lambda: _picture("BMP"), lambda: _picture("GIF"))  # fmt: skip
def _photograph(data: bytes, folder: Path) -> Any:
    from synthforge.prediction.photographs import decode, read_bytes

    (folder / "a").write_bytes(data)
    return decode(read_bytes(folder / "a"), folder / "a")


# --- our own records, sealed again ------------------------------------------------------------------------------------


@functools.cache
def _dataset() -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Manifest, marker and tar of a small dataset with filters and factors."""
    import tempfile

    from made_samples import FIELDS, make_samples

    from synthforge.core.factors import Factor
    from synthforge.core.records import Verdict
    from synthforge.datasets.layout import MANIFEST, marker_path, tar_path
    from synthforge.datasets.rejections import NOTE, rejection
    from synthforge.datasets.writer import finish, write_shard

    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        notes = {NOTE: [rejection(7, "visible", Verdict(False, "hidden", {"share": 0.25}))]}
        write_shard(root, 0, make_samples(0, 2), FIELDS, config_hash="abc", notes=notes)
        factors = [Factor("camera.roll", ("drawn.camera.roll",), "normal", mean=0.0, std=0.1, unit="rad", source="a")]
        config = {"generator": "anny", "samples": 3, "shard_size": 3}
        options = {"config": config, "licences": {"made up": "CC0"}, "factors": factors}
        finish(root, shards=1, config_hash="abc", filters=[{"name": "visible"}], **options)
        records = [json.loads((root / MANIFEST).read_bytes()), json.loads(marker_path(root, 0).read_bytes())]
        return records[0], records[1], tar_path(root, 0).read_bytes()


def _read_dataset(root: Path, manifest: Any, marker: Any, tar: bytes) -> None:
    """Write a dataset whose checksums fit, and do what a user may do with it."""
    from synthforge.core.errors import DataError
    from synthforge.core.files import sha256_of
    from synthforge.datasets.distributions import factors_of
    from synthforge.datasets.layout import MANIFEST, digest, marker_path, tar_path, to_bytes
    from synthforge.datasets.reader import ShardDataset, read_manifest
    from synthforge.datasets.rejections import acceptance
    from synthforge.datasets.verify import verify

    tar_path(root, 0).write_bytes(tar)
    sealed = _sealed(marker, "check", digest)
    marker_path(root, 0).write_bytes(to_bytes(sealed))
    with contextlib.suppress(KeyError, TypeError, IndexError, AttributeError):
        manifest["shards"][0] |= {name: sealed[name] for name in ("sha256", "size", "count")}
        manifest["shards"][0]["marker_sha256"] = sha256_of(marker_path(root, 0))
    (root / MANIFEST).write_bytes(to_bytes(_sealed(manifest, "sha256", digest), indent=1))
    json.dumps(verify(root).to_json())
    with contextlib.suppress(DataError):
        there = read_manifest(root)
        acceptance(there)
        factors_of(there)
    for sample in ShardDataset(root):
        assert sample["image"].shape == (24, 24, 3)


def _sealed(record: Any, name: str, digest: Callable[[Any], str]) -> Any:
    if not isinstance(record, dict):
        return record
    rest = {key: value for key, value in record.items() if key != name}
    return {**rest, name: digest(rest)}


@reader("manifest", *EDITS)
def _manifest(data: bytes, folder: Path) -> None:
    manifest, marker, tar = _dataset()
    _read_dataset(folder, edited(manifest, data), marker, tar)


@reader("marker", *EDITS)
def _marker(data: bytes, folder: Path) -> None:
    manifest, marker, tar = _dataset()
    _read_dataset(folder, copy.deepcopy(manifest), edited(marker, data), tar)


@reader("tar shard", b"\x00\x00\x00../../evil", b"\x00\x02\x00" + b"7" * 12, b"\x00\x10\x9c2", b"\x00\x04\x00\0\0\0")
def _tar(data: bytes, folder: Path) -> None:
    """Three bytes are a place in the tar, the rest of a line is what stands there instead."""
    from synthforge.core.files import sha256_of

    manifest, marker, tar = _dataset()
    damaged = bytearray(tar)
    for line in data.split(b"\n"):
        start = int.from_bytes(line[:3], "big") % len(tar)
        damaged[start : start + len(line) - 3] = line[3:]
    (folder / "x").write_bytes(damaged[: len(tar)])
    fits = {"sha256": sha256_of(folder / "x"), "size": len(tar), "crcs": []}
    _read_dataset(folder, copy.deepcopy(manifest), {**marker, **fits}, bytes(damaged[: len(tar)]))


@reader("parts of a dataset", *EDITS)
def _parts(data: bytes, folder: Path) -> None:
    from synthforge.core.provenance import UNMERGED
    from synthforge.datasets.layout import marker_path, tar_path, to_bytes
    from synthforge.stages.merge import merge

    manifest, marker, tar = _dataset()
    about = {"config": manifest["config"], "config_hash": "abc", "licences": {}, "shards": 1, "factors": []}
    record = about | {"filters": [], "provenance": {}, "plugins": {}, "files": {}}
    tar_path(folder, 0).write_bytes(tar)
    marker_path(folder, 0).write_bytes(to_bytes(marker))
    (folder / UNMERGED).write_bytes(to_bytes(edited(record, data)))
    merge(folder, say=lambda text: None)


@reader("state of a stage", *EDITS)
def _state(data: bytes, folder: Path) -> None:
    from synthforge.core.provenance import STATE_FILE, damaged, digest, fits, outputs, read_state
    from synthforge.stages.generate import GenerateConfig

    (folder / "a").write_bytes(b"x")
    record = {"fingerprint": "a1", "state": "done", "seconds": 1.5, "facts": {"seed": 7, "config": {"x": [1]}}}
    changed = edited({**record, "outputs": outputs(folder)}, data)
    (folder / STATE_FILE).write_text(json.dumps(_sealed(changed, "sha256", digest)))
    state = read_state(folder)
    assert state is not None
    fits(state, {}, GenerateConfig)
    damaged(folder, state.get("outputs", {}), content=True)


@functools.cache
def _plugins() -> Any:
    from synthforge.core.plugins import load_plugins

    return load_plugins()


@functools.cache
def _evaluation() -> tuple[dict[str, Any], bytes]:
    import tempfile

    from synthforge.core.records import RealItem, RealSample, Scores
    from synthforge.evaluation.protocol import Case, Evaluation
    from synthforge.evaluation.store import CASES, NUMBERS, save_evaluation

    points = np.arange(136.0).reshape(68, 2)
    sample = RealSample(RealItem("a", Path(), Path()), np.zeros((9, 8, 3), np.uint8), (0.0, 0.0, 8.0, 9.0), points)
    made = Evaluation(
        benchmark="300w", split="full", task=_plugins().build("task", "keypoints", where="x"), schema="ibug68",
        scores=Scores({"nme": 3.5}, {"nme": "%"}, {"a": 3.5}, "nme"), count=1, available=1, protocol={"a": 1},
        seconds=1.0, stand_in="", notes=["n"], published=[],
        cases=[Case("worst", 3.5, sample, points, (0.0, 0.0, 8.0, 9.0))],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as text:
        save_evaluation(made, Path(text))
        return json.loads((Path(text) / NUMBERS).read_bytes()), (Path(text) / CASES).read_bytes()


@reader("evaluation", *EDITS)
def _read_evaluation(data: bytes, folder: Path) -> None:
    from synthforge.core.provenance import digest
    from synthforge.evaluation.report import write_report
    from synthforge.evaluation.store import CASES, NUMBERS, load_evaluation

    record, cases = _evaluation()
    (folder / CASES).write_bytes(cases)
    (folder / NUMBERS).write_text(json.dumps(_sealed(edited(record, data), "sha256", digest)))
    found = load_evaluation(folder, _plugins())
    write_report([found], folder / "report", title="x", pictures=len(data) % 32 == 0)  # pictures take long


@reader("record of predict", *EDITS)
def _record(data: bytes, folder: Path) -> None:
    from synthforge.core.provenance import digest
    from synthforge.prediction.run import FORMAT, earlier_record

    for name in ("a.jpg", "a.labels.png"):
        (folder / name).write_bytes(b"x")
    files = {"labels": "a.labels.png", "jpg": "a.jpg"}
    record = {"format": FORMAT, "fingerprint": "abc", "image": {"file": "a", "place": "b", "sha256": "c"}, "faces": []}
    changed = edited({**record, "files": files, "digests": {}}, data)
    (folder / "a.json").write_text(json.dumps(_sealed(changed, "sha256", digest)))
    earlier_record(folder / "a.json")


@functools.cache
def _model() -> tuple[dict[str, Any], bytes]:
    import tempfile

    import torch

    from synthforge.learning.config import NetworkConfig
    from synthforge.learning.model import FaceModel, build_tasks

    torch.manual_seed(0)
    tasks, complete = build_tasks([{"name": "keypoints", "head": "light", "width": 4}], _plugins())
    network = NetworkConfig(backbone="residual", width=0.1, channels=4, input_size=32)
    with tempfile.TemporaryDirectory() as text:
        FaceModel(network, tasks, complete, info={"crop_scale": 1.5}).save(Path(text))
        weights = (Path(text) / "model.safetensors").read_bytes()
        description = json.loads((Path(text) / "model.json").read_bytes())
    return {key: value for key, value in description.items() if key != "sha256"}, weights


def _load(description: Any, weights: bytes, folder: Path) -> None:
    from synthforge.learning.model import load_model

    (folder / "model.json").write_text(json.dumps(description))
    (folder / "model.safetensors").write_bytes(weights)
    load_model(folder, plugins=_plugins())


@reader("model.json", *EDITS)
def _description(data: bytes, folder: Path) -> None:
    description, weights = _model()
    _load(edited(description, data), weights, folder)


@reader("safetensors", lambda: _model()[1][:4096], lambda: _model()[1])
def _weights(data: bytes, folder: Path) -> None:
    from synthforge.assets.stylegan_pickle import read_checkpoint
    from synthforge.core.errors import SynthForgeError

    (folder / "a.safetensors").write_bytes(data)
    with contextlib.suppress(SynthForgeError):
        read_checkpoint(folder / "a.safetensors")
    _load(_model()[0], data, folder)


@reader("lock", b'{"host": "a", "process": 12, "since": "2026-01-01"}', b'{"process": 1e9}', b"\xff")
def _lock(data: bytes, folder: Path) -> None:
    from synthforge.core.locks import LOCK_FILE, locked, locked_shards

    (folder / LOCK_FILE).write_bytes(data)
    (folder / f"{LOCK_FILE}.0-4").write_bytes(data)
    with locked(folder, shared=True), locked_shards(folder, range(2, 3)):
        pass


# --- licensed files of others -----------------------------------------------------------------------------------------


def _flame() -> bytes:
    from synthforge.testing import pickle_writer as writer

    arrays: Mapping[str, Any] = {
        "f": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "J_regressor": writer.csc_matrix(np.eye(3)),
        "shapedirs": writer.chumpy_array(np.ones((3, 3, 2))),
        "bs_style": "lbs",
    }
    return writer.dumps(arrays, python2=True)


def _embedding() -> bytes:
    from synthforge.testing import pickle_writer as writer

    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00v\x00" + header + writer.dumps(writer.object_array({"a": np.arange(3)}))


def _network() -> bytes:
    import torch

    from synthforge.testing import pickle_writer as writer

    state = {"_parameters": {"weight": torch.arange(4.0)}, "_buffers": {}, "_modules": {}, "_init_kwargs": {"a": 1}}
    return writer.dumps({"G_ema": writer.persistent("G", "raise RuntimeError('never run')", state)})


def _checkpoint(**options: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(4.0), "fingerprint": "a"}, buffer, **options)
    return buffer.getvalue()


FLAME = "synthforge_plugins.heads.flame.formats"
of_file("pickle of FLAME", "a.pkl", _lazy(FLAME, "read_masks", vertices=9), _flame)
of_file("object NPY of FLAME", "a.npy", _lazy(FLAME, "read_landmark_embedding", faces=9), _embedding)
of_file("pickle of StyleGAN", "a.pkl", _lazy("synthforge.assets.stylegan_pickle", "read_stylegan_pickle"), _network)
of_file("torch checkpoint", "a.pth", _lazy("synthforge.assets.torch_checkpoint", "read_torch_checkpoint"), _checkpoint,
        lambda: _checkpoint(_use_new_zipfile_serialization=False))  # fmt: skip
of_file("our checkpoint", "last.ckpt", _lazy("synthforge.learning.weights", "read_checkpoint"), _checkpoint)
