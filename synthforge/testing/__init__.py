"""The contract suite: what every plugin of each kind must keep, first-party or not.

    from synthforge.core.plugins import load_plugins
    from synthforge.testing import check_plugin
    def test_contract():
        check_plugin(load_plugins(strict=True), "generator", "mine")

Whatever a plugin does wrong is an AssertionError that names it and the method. What a check needs besides the plugin it
makes itself: renderings and annotations of the registered plugins, made-up files in place of licensed ones.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import tempfile
import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, get_args

import numpy as np
from omegaconf import OmegaConf

from ..core.boundary import who
from ..core.catalogue import Entry
from ..core.errors import SynthForgeError
from ..core.factors import Factor
from ..core.frames import CropFrame
from ..core.handover import check_annotations, check_renderings, check_scene, check_verdict
from ..core.interfaces import Annotator, Benchmark, Filter, Generator, HeadModel, SceneFilter, Task
from ..core.plugins import Plugins
from ..core.records import MARKS, FieldKind, Members, RealSample, Rendering, Scores, Verdict
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS
from .executors import check_executor as check_executor
from .formats import check_format as check_format
from .provided import annotated, build, made_up_files, rendering_for, stood_in

C = TypeVar("C", bound=Callable[..., Any])


@contextmanager
def _blamed(what: str) -> Iterator[None]:
    """Whatever is raised as an AssertionError about `what`."""
    try:
        yield
    except unittest.SkipTest:
        raise
    except Exception as error:  # a plugin can make any line of a check fail
        ours = isinstance(error, (AssertionError, SynthForgeError))
        said = str(error) if ours else f"{type(error).__name__}: {error}"
        raise AssertionError(said if what in said else f"{what}: {said}") from error


def _check(check: C) -> C:
    """A check whose every failure is an AssertionError that names the plugin, its first argument."""

    @functools.wraps(check)
    def checked(plugin: Any, *given: Any, **named: Any) -> Any:
        with _blamed(who(plugin)):
            return check(plugin, *given, **named)

    return checked  # type: ignore[return-value]


def _name(plugin: Any) -> str:
    return getattr(plugin, "registered", "") or type(plugin).__name__


def _call(plugin: Any, method: str, type_: type, *arguments: Any) -> Any:
    """What a method returns, which must be of that type."""
    result = getattr(plugin, method)(*arguments)
    assert isinstance(result, type_), (
        f"{who(plugin)}.{method} returned {type(result).__name__}, not {type_.__name__}: is a `return` missing?"
    )
    return result


def check_entry(entry: Entry) -> None:
    """A registered plugin: a typed configuration whose keys all have defaults or are `???`, a summary, a licence."""
    assert dataclasses.is_dataclass(entry.config), f"{entry.name}: the config must be a dataclass"
    assert entry.summary.strip(), f"{entry.name}: a one-line summary is missing"
    assert "\n" not in entry.summary, f"{entry.name}: the summary is one line"
    assert entry.licence.strip(), f"{entry.name}: say under what licence its output or labels stand"
    for item in dataclasses.fields(entry.config):
        assert item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING, (
            f"{entry.name}: the key '{item.name}' needs a default (MISSING where the user must give it)"
        )
    OmegaConf.structured(entry.config)


@_check
def check_head(head: HeadModel) -> None:
    """A head: consistent topology, a known region and point schema, regions that answer for any surface point."""
    faces = head.faces
    assert faces.ndim == 2, f"faces are (F,3), got {faces.shape}"
    assert faces.shape[1] == 3, f"faces are (F,3), got {faces.shape}"
    assert faces.min() >= 0, "a face names a negative vertex"
    assert faces.max() < head.num_vertices, "a face names a vertex that is not there"
    assert head.region_schema in CLASS_SCHEMAS, f"unknown region schema '{head.region_schema}'"
    assert head.point_schema in POINT_SCHEMAS, f"unknown point schema '{head.point_schema}'"
    ids = np.arange(len(faces), dtype=np.int64)
    regions = head.regions_at(ids, np.full((len(faces), 3), 1 / 3, np.float32))
    assert regions.dtype == np.uint8, f"regions are uint8, got {regions.dtype}"
    assert regions.shape == (len(faces),), f"regions are (N,), got {regions.shape}"
    assert regions.max() < len(CLASS_SCHEMAS[head.region_schema]), "a region id lies outside the schema"


@_check
def check_generator(
    generator: Generator, *, resolution: int = 64, seed: int = 5, members: Members | None = None
) -> list[Rendering]:
    """A generator: pure in (seed, index), whatever the batch; parameters JSON can hold; images as they should be.

    members: which samples show one scene together, as its configuration says.
    """
    if members is not None and members.count > 1:
        _check_members(generator, members, resolution, seed)
    scenes = [generator.sample(seed, index) for index in (0, 1)]
    for index, scene in enumerate(scenes):
        check_scene(_name(generator), scene, seed, index)
    again = generator.sample(seed, 1)
    assert scenes[1].seed == seed, "a scene carries its own seed"
    assert _plain(scenes[1].parameters) == _plain(again.parameters), "the same (seed, index) gave another scene"
    different = _plain(scenes[0].parameters) != _plain(scenes[1].parameters)
    assert different, "two indices gave the same scene"
    json.dumps(_plain(scenes[0].parameters))
    renderings = generator.render(scenes, resolution)
    check_renderings(_name(generator), scenes, renderings, resolution)
    repeated = generator.render(scenes, resolution)
    for first, second in zip(renderings, repeated, strict=True):
        assert first.image.std() > 1, "the image is blank"
        assert np.array_equal(first.image, second.image), "rendering twice gave other pixels"
        _check_rendering(first, resolution)
    alone = generator.render(scenes[1:], resolution)[0].image.astype(int)
    difference = np.abs(alone - renderings[1].image).mean()
    assert difference < 0.5, f"a rendering depends on its batch: mean difference {difference:.2f} of 255"
    json.dumps(_call(generator, "provenance", dict))
    return renderings


def _check_members(generator: Generator, members: Members, resolution: int, seed: int) -> None:
    """Views of one moment: the same mesh of the head from different cameras; another moment, another picture,
    which `following` gives."""
    count = min(members.count, 2 * members.views)
    scenes = [generator.sample(seed, members.count + member) for member in range(count)]
    renderings = generator.render(scenes, resolution)
    for start in range(0, count, members.views):
        first, *others = renderings[start : start + members.views]
        for number, other in enumerate(others, 1):
            assert other.camera != first.camera, f"views 0 and {number} have the same camera"
            if first.surface is not None and other.surface is not None:
                one, two = (each.vertices[: each.head_vertices] for each in (first.surface, other.surface))
                assert np.array_equal(one, two), f"the head is another one in view {number}"
    if members.frames > 1:
        assert not np.array_equal(renderings[0].image, renderings[members.views].image), "nothing moves in a clip"
        if renderings[0].following is not None:
            after = renderings[0].following()
            assert after is not None, "`following` gives nothing, but a next frame is there"
            assert after.scene.index == scenes[members.views].index, "`following` is not the next frame of this camera"


def _check_rendering(rendering: Rendering, resolution: int) -> None:
    assert rendering.camera.width == rendering.camera.height == resolution, "the camera is that of the image"
    for schema in rendering.labels:
        assert schema in CLASS_SCHEMAS, f"unknown class schema '{schema}'"
    surface = rendering.surface
    if surface is None:
        return
    assert surface.faces.max() < len(surface.vertices), "a face names a vertex that is not there"
    covered = surface.face_id >= 0
    assert covered.any(), "the mesh covers no pixel"
    assert (surface.z[covered] > 0).all(), "z is positive where a face is seen"
    assert (surface.z[~covered] == 0).all(), "z is 0 where there is none"
    assert np.allclose(surface.barycentric[covered].sum(-1), 1, atol=1e-3), "barycentrics sum to 1"
    if rendering.head is not None:
        assert np.array_equal(surface.faces[: surface.head_faces], rendering.head.faces), "the head's faces come first"
    if rendering.people:
        assert all(person.camera == rendering.camera for person in rendering.people), "all people have one camera"
        seen = sum(np.asarray(person.surface.face_id >= 0, int) for person in rendering.people if person.surface)
        assert np.array_equal(seen, covered), "each covered pixel is seen of exactly one of the people"


@_check
def check_annotator(annotator: Annotator, rendering: Rendering) -> None:
    """An annotator: exactly the fields it declares, of the declared kind, twice the same, the rendering untouched."""
    before = rendering.image.copy()
    values = annotator.annotate(rendering)
    check_annotations(_name(annotator), annotator.fields, values, rendering)
    again = annotator.annotate(rendering)
    for item in annotator.fields:
        assert item.kind in get_args(FieldKind), f"{item.name}: there is no kind '{item.kind}' of field"
        assert item.mark in ("", *MARKS), f"{item.name}: no mark is called '{item.mark}'; known: {', '.join(MARKS)}"
        assert _same(values[item.name], again[item.name]), f"{item.name} differs when asked twice"
        if item.kind == "json":
            json.dumps(_plain(values[item.name]))
    assert np.array_equal(before, rendering.image), "the annotator changed the image"


@_check
def check_filter(
    judge: Filter, rendering: Rendering, annotations: Mapping[str, Any], factors: Mapping[str, Factor] | None = None
) -> Verdict:
    """A filter: a verdict with a reason where it rejects and finite figures, twice the same, the sample untouched.

    factors: by name, of the generator of the rendering, for filters that judge scenes.
    """
    missing = [name for name in judge.fields if name not in annotations]
    assert not missing, f"it reads {missing}, which the sample lacks: annotate it with these first"
    image = rendering.image.copy()
    before = copy.deepcopy(dict(annotations))

    def ask() -> Verdict:
        first = judge.judge_scene(rendering.scene, factors or {}) if isinstance(judge, SceneFilter) else Verdict(True)
        return judge.judge(rendering, annotations) if first.accepted else first

    verdict = ask()
    check_verdict(_name(judge), verdict, rendering.scene)
    assert verdict.accepted or verdict.reason, "`judge`: a rejection needs a reason"
    json.dumps(_plain(verdict.figures))
    assert ask() == verdict, "the same sample was judged otherwise the second time"
    assert np.array_equal(image, rendering.image), "the filter changed the image"
    assert set(before) == set(annotations), "the filter added or removed annotations"
    for name, value in before.items():
        assert _same(value, annotations[name]), f"the filter changed the annotation '{name}'"
    json.dumps(_call(judge, "provenance", dict))
    return verdict


def _same(first: Any, second: Any) -> bool:
    """Whether two annotations are the same, NaN counting as itself."""
    a, b = np.asarray(first), np.asarray(second)
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f"))


@_check
def check_task(task: Task, *, channels: int = 8, size: int = 32) -> None:
    """A task: a head that predicts, a finite loss that falls when its gradient is followed, metrics as sums, values."""
    import torch

    torch.manual_seed(0)
    head = _call(task, "build_head", torch.nn.Module, channels)
    features = torch.randn(2, channels, size, size)
    target = task.example_target(2, size)
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        loss = _call(task, "loss", torch.Tensor, head(features), target)
        assert loss.ndim == 0, "the loss is a scalar"
        assert torch.isfinite(loss), "the loss is not finite"
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[1:]) < losses[0], f"following its gradient does not lower the loss: {losses}"
    head.eval()
    with torch.no_grad():
        figures = _call(task, "metrics", dict, head(features), target)
    assert figures, "at least one metric"
    for name, pair in figures.items():
        assert pair.shape == (2,), f"the metric {name} is a (sum, weight) pair"
    _check_values(task, head(features), size)


def _check_values(task: Task, prediction: Mapping[str, Any], size: int) -> None:
    """Mirroring, and values in the pixels of a photograph: finite, drawn, told as JSON, written as declared."""
    missing = {task.output, *task.maps} - set(prediction)
    assert not missing, f"the prediction lacks {sorted(missing)}"
    twice = task.flip(task.flip(prediction, task.schema), task.schema)
    assert set(twice) == set(prediction), "mirroring gives other entries"
    for key, value in prediction.items():
        assert np.allclose(value.detach(), twice[key].detach(), atol=1e-5), f"mirroring '{key}' twice changes it"
    same = task.mean([prediction, prediction])
    assert set(same) == set(prediction), "the mean of two answers has other entries"
    value = prediction[task.output].detach()
    assert np.allclose(value, same[task.output].detach(), atol=1e-4), "the mean of an answer with itself is another"
    frame = CropFrame(np.array([[0.5, 0.0, -3.0], [0.0, 0.5, -2.0]]), size, (6, 4, 6 + 2 * size, 4 + 2 * size))
    values = [task.to_photograph(value.detach(), frame) for value in prediction[task.output]]
    for value in values:
        assert value.dtype.kind in "fiub", f"a value is an array of numbers, got {value.dtype}"
        assert np.isfinite(value).all(), "a value is not finite"
        if task.output in task.maps:
            assert value.shape[:2] == (2 * size, 2 * size), f"a map covers the frame's region, got {value.shape}"
        if task.locates:
            x0, y0, x1, y1 = task.face_box(value)
            assert x1 > x0, "the face box is empty"
            assert y1 > y0, "the face box is empty"
        drawn = task.draw(np.full((size, size, 3), 90, np.uint8), frame, value, task.schema)
        assert drawn is None or (drawn.shape, drawn.dtype) == ((size, size, 3), np.uint8), "draw keeps size and type"
        json.dumps(task.record(value, task.schema, 0), allow_nan=False)
    written = task.files(values, [frame] * len(values), (5 + 2 * size, 7 + 2 * size), task.schema)
    undeclared = set(written) - set(task.suffixes())
    assert not undeclared, f"it writes {sorted(undeclared)}, which `suffixes` does not name"


@_check
def check_benchmark(benchmark: Benchmark, split: str = "") -> None:
    """A benchmark on data in its own format: stable items, readable samples, a perfect prediction scores best.

    split: by default the first that has data.
    """
    unknown = set(benchmark.test_splits) - set(benchmark.splits)
    assert not unknown, f"test_splits names {sorted(unknown)}, which `splits` lacks"
    if not split:
        split = next((each for each in benchmark.splits if _has_items(benchmark, each)), benchmark.splits[0])
    assert split in benchmark.splits, f"'{split}' is not one of {benchmark.splits}"
    items = _call(benchmark, "items", list, split)
    assert items, f"the split '{split}' is empty"
    assert [item.key for item in items] == [item.key for item in benchmark.items(split)], "items change their order"
    assert len({item.key for item in items}) == len(items), "keys must differ"
    samples = [_call(benchmark, "load", RealSample, item) for item in items[:3]]
    for sample in samples:
        assert sample.image.dtype == np.uint8, f"images are uint8, got {sample.image.dtype}"
        assert sample.image.ndim == 3, f"images are (H,W,3), got {sample.image.shape}"
        x0, y0, x1, y1 = sample.box
        assert x1 > x0, "the face box is empty"
        assert y1 > y0, "the face box is empty"
    scores = _call(benchmark, "score", Scores, [(sample, sample.target) for sample in samples])
    assert scores.primary in scores.values, f"the primary metric '{scores.primary}' is not among the values"
    assert set(scores.units) == set(scores.values), "every value needs a unit"
    assert set(scores.per_item) == {sample.item.key for sample in samples}, "one error for each face"
    assert max(scores.per_item.values()) <= 1e-6, "a perfect prediction has an error"


def _has_items(benchmark: Benchmark, split: str) -> bool:
    with suppress(SynthForgeError):
        return bool(benchmark.items(split))
    return False


CHECKS: dict[str, Callable[..., Any]] = {
    "head": check_head,
    "generator": check_generator,
    "annotator": check_annotator,
    "filter": check_filter,
    "task": check_task,
    "benchmark": check_benchmark,
    "executor": _check(check_executor),
}


def check_plugin(plugins: Plugins, kind: str, reference: str | Mapping[str, Any], **arguments: Any) -> None:
    """Check a plugin by its reference: how it is registered, then what it does.

    arguments: for the check of its kind, in place of what is made here. Raises AssertionError for whatever is wrong,
    and `unittest.SkipTest`, which pytest shows as skipped, where a package, a licensed file or data is missing.
    """
    name = reference if isinstance(reference, str) else str(reference.get("name"))
    with _blamed(f"{kind} '{name}'"):
        assert kind in CHECKS, f"there is no kind '{kind}'; known: {', '.join(CHECKS)}"
        entry = plugins.entry(kind, name)
        check_entry(entry)
        with made_up_files(entry), tempfile.TemporaryDirectory() as root:
            found = stood_in(plugins, name, root) if kind == "benchmark" and isinstance(reference, str) else None
            plugin: Any = found or build(plugins, kind, reference)
            if kind == "annotator" and not arguments:
                arguments = {"rendering": rendering_for(plugins, plugin)}
            if kind == "filter" and not arguments:
                rendering, annotations = annotated(plugins, plugin)
                arguments = {"rendering": rendering, "annotations": annotations}
            if kind == "generator" and not arguments:
                config = plugins.bind(kind, reference, where=kind).config
                arguments = {"members": getattr(config, "members", None)}
            CHECKS[kind](plugin, **arguments)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value
