"""What a plugin hands over wrongly is answered at once, naming plugin, seed and index."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from synthforge.core import handover
from synthforge.core.camera import Camera
from synthforge.core.errors import PluginError
from synthforge.core.records import Field, Rendering, Scene, Surface, Verdict

SIZE = 4
FIELDS = (
    Field("label", "label", schema="synthforge"),
    Field("flat", "points2d", schema="own"),
    Field("seen", "flags", schema="own"),
    Field("depth", "depth"),
)


def _rendering(index: int = 7) -> Rendering:
    camera = Camera(SIZE, SIZE, np.eye(3), np.eye(4))
    zeros = np.zeros((SIZE, SIZE), np.float32)
    return Rendering(
        Scene(3, index, {}),
        camera,
        np.zeros((SIZE, SIZE, 3), np.uint8),
        surface=Surface(
            vertices=np.zeros((3, 3), np.float32),
            normals=np.zeros((3, 3), np.float32),
            faces=np.array([[0, 1, 2]], np.int32),
            face_id=np.zeros((SIZE, SIZE), np.int32),
            barycentric=np.zeros((SIZE, SIZE, 3), np.float32),
            z=zeros,
            head_vertices=3,
            head_faces=1,
        ),
        labels={"synthforge": np.zeros((SIZE, SIZE), np.uint8)},
        depth=zeros.copy(),
        points={"own": np.zeros((2, 3), np.float32)},
    )


def _found() -> dict[str, Any]:
    return {
        "label": np.full((SIZE, SIZE), 255, np.uint8),
        "flat": np.array([[np.nan, np.nan], [1, 2]], np.float32),
        "seen": np.array([False, True]),
        "depth": np.zeros((SIZE, SIZE), np.float32),
    }


def test_what_is_right_passes() -> None:
    rendering = _rendering()
    handover.check_scene("g", rendering.scene, 3, 7)
    handover.check_renderings("g", [rendering.scene], [rendering], SIZE)
    handover.check_annotations("a", FIELDS, _found(), rendering)
    handover.check_verdict("f", Verdict(False, "dark", {"light": 0.1}), rendering.scene)


@pytest.mark.parametrize(
    ("scene", "message"),
    [(None, "returned nothing, not a Scene"), (Scene(3, 8, {}), "returned the scene of index 8")],
)
def test_scenes(scene: Any, message: str) -> None:
    with pytest.raises(PluginError, match=f"generator 'g' at seed 3, index 7: `sample` {message}"):
        handover.check_scene("g", scene, 3, 7)


def _set(name: str, value: Any) -> Callable[[Rendering], None]:
    def change(rendering: Rendering) -> None:
        place, _, last = name.rpartition(".")
        setattr(getattr(rendering, place) if place else rendering, last, value)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("image", np.zeros((SIZE, SIZE, 3))), "image is an array of float64, not an array of uint8"),
        (_set("image", np.zeros((SIZE, 5, 3), np.uint8)), r"image is of shape \(4, 5, 3\), not \(4, 4, 3\)"),
        (_set("labels", {"synthforge": np.full((SIZE, SIZE), 99, np.uint8)}), r"class ids \[99\]"),
        (_set("depth", np.full((SIZE, SIZE), np.nan, np.float32)), "depth holds values that are not finite"),
        (_set("surface.face_id", np.ones((SIZE, SIZE), np.int32)), "names face 1 of 1"),
        (_set("surface.z", np.zeros((2, 2), np.float32)), r"surface.z is of shape \(2, 2\)"),
        (_set("surface.vertices", np.full((3, 3), np.inf, np.float32)), "surface.vertices is not finite"),
        (_set("scene", Scene(3, 8, {})), "returned seed 3, index 8 in its place"),
    ],
)
def test_renderings(change: Callable[[Rendering], None], message: str) -> None:
    rendering = _rendering()
    scene = rendering.scene
    change(rendering)
    with pytest.raises(PluginError, match=message) as caught:
        handover.check_renderings("g", [scene], [rendering], SIZE)
    assert "generator 'g' at seed 3, index 7" in caught.value.message


@pytest.mark.parametrize(
    ("renderings", "message"),
    [
        (None, "returned nothing, not a list"),
        ([None, None], "not a list of Rendering"),
        ([_rendering()], "returned 1 renderings for 2 scenes"),
    ],
)
def test_one_rendering_for_each_scene(renderings: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        handover.check_renderings("g", [Scene(3, 7, {}), Scene(3, 8, {})], renderings, SIZE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": np.full((SIZE, SIZE), 200, np.uint8)}, r"label holds the class ids \[200\]"),
        ({"label": np.zeros((SIZE, SIZE), np.int64)}, "label is an array of int64"),
        ({"label": None}, "label is nothing"),
        ({"flat": np.full((2, 2), np.nan, np.float32)}, r"flat has NaN at \[0, 1\]"),
        ({"flat": np.full((2, 2), np.inf, np.float32)}, "flat holds infinite"),
        ({"flat": np.zeros((2, 3), np.float32)}, r"not \(N, 2\)"),
        ({"depth": np.full((SIZE, SIZE), np.nan, np.float32)}, "depth holds values that are not finite"),
        ({"more": 1}, "has more besides"),
    ],
)
def test_annotations(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        handover.check_annotations("a", FIELDS, {**_found(), **change}, _rendering())
    assert "annotator 'a' at seed 3, index 7" in caught.value.message


def test_annotations_that_are_lacking() -> None:
    with pytest.raises(PluginError, match="lacks depth, label, seen"):
        handover.check_annotations("a", FIELDS, {"flat": _found()["flat"]}, _rendering())
    with pytest.raises(PluginError, match="returned nothing, not a dict"):
        handover.check_annotations("a", FIELDS, None, _rendering())


def test_verdicts() -> None:
    with pytest.raises(PluginError, match="filter 'f' at seed 3, index 7: `judge` returned a bool, not a Verdict"):
        handover.check_verdict("f", True, Scene(3, 7, {}))
    with pytest.raises(PluginError, match="'light' is nan"):
        handover.check_verdict("f", Verdict(True, "", {"light": float("nan")}), Scene(3, 7, {}))
