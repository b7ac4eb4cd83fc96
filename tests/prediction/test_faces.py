from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge.core.errors import UserError
from synthforge.core.frames import CropFrame
from synthforge.core.plugins import load_plugins
from synthforge.datasets import crops
from synthforge.prediction.faces import Face
from synthforge.prediction.overlay import draw
from synthforge.prediction.predictor import Predictor

SIZE = 64
TASKS = {name: load_plugins().build("task", name) for name in ("keypoints", "segmentation", "depth")}


class Seer:
    """Stands for a model: its landmarks are the box of what is red, its classes what is red, its depth the blue."""

    crop_scale = 2.0
    tasks = TASKS
    device = torch.device("cpu")

    def __init__(self, sizes: Mapping[str, int] | None = None, wrong: float | None = None) -> None:
        self.calls: list[tuple[int, tuple[str, ...]]] = []
        self.seen: list[int] = []
        self.flips: list[bool | None] = []
        self.sizes, self.wrong = sizes or {}, wrong

    def size_of(self, task: str) -> int:
        return self.sizes.get(task, SIZE)

    def schema(self, task: str) -> str:
        return ""

    def mirrors(self, task: str, flip: bool | None = None) -> bool:
        return bool(flip)

    def looks_for(self, task: str) -> tuple[()]:
        return ()

    def predict(
        self, images: torch.Tensor, *, adapted: bool, tasks: Sequence[str], flip: bool | None
    ) -> dict[str, dict[str, torch.Tensor]]:
        self.calls.append((len(images), tuple(tasks)))
        self.seen.append(images.shape[-1])
        self.flips.append(flip)
        red = images[:, 0] > 0.5
        points = []
        for mask in red:
            y, x = torch.nonzero(mask, as_tuple=True)
            if self.wrong is not None:
                points.append([[self.wrong * images.shape[-1]] * 2] * 2)
                continue
            points.append([[float(x.min()), float(y.min())], [float(x.max()) + 1, float(y.max()) + 1]])
        found = {
            "keypoints": {"points": torch.tensor(points) / images.shape[-1]},
            "segmentation": {"logits": torch.stack([0.5 - images[:, 0], images[:, 0] - 0.5], dim=1)},
            "depth": {"depth": images[:, 2:]},
        }
        return {task: found[task] for task in tasks}


@pytest.fixture
def image() -> np.ndarray:
    """Two red rectangles, x 40..80, y 30..60 and x 160..180, y 90..120; blue grows from left to right."""
    picture = np.zeros((150, 200, 3), np.uint8)
    picture[30:60, 40:80, 0] = 255
    picture[90:120, 160:180, 0] = 255
    picture[..., 2] = np.arange(200)
    return picture


def run(image: np.ndarray, boxes: Sequence[tuple[float, ...]], **options: Any) -> tuple[list[Face], Seer]:
    seer = options.pop("seer", None) or Seer()
    return Predictor(seer, **{"passes": 1, **options})(image, boxes), seer


def test_answers_lie_in_the_photographs_pixels(image: np.ndarray) -> None:
    boxes = [(40.0, 30.0, 80.0, 60.0), (150.0, 85.0, 182.0, 118.0)]
    (first, second), seer = run(image, boxes)
    assert seer.calls == [(2, tuple(TASKS))]
    assert first.crop == (20, 5, 100, 85)
    assert first.region == (20, 5, 100, 85)
    assert first.points is not None
    assert first.labels is not None
    assert first.depth is not None
    assert np.allclose(first.points, [(40, 30), (80, 60)], atol=1.3)  # the crop's pixels are 1.25 wide
    wanted = image[5:85, 20:100, 0] > 0
    assert np.mean(first.labels.astype(bool) != wanted) < 0.02
    assert np.allclose(first.depth[:, 2:-2] * 255, image[5:85, 22:98, 2], atol=1.0)
    # The second crop leaves the photograph; its region does not.
    assert second.crop == pytest.approx((133, 68.5, 199, 134.5))
    assert second.region == (133, 68, 199, 135)
    (outer,), _ = run(image, [(150.0, 90.0, 190.0, 130.0)])
    assert outer.region == (130, 70, 200, 150)
    assert outer.labels is not None
    assert outer.labels.shape == (80, 70)
    assert np.mean(outer.labels.astype(bool) != (image[70:150, 130:200, 0] > 0)) < 0.02


def test_tasks_that_must_be_named_are_left_out_until_they_are(image: np.ndarray) -> None:
    seer = Seer()
    seer.tasks = {**TASKS, "gaze": load_plugins().build("task", "gaze")}
    boxes = [(40.0, 30.0, 80.0, 60.0)]
    run(image, boxes, seer=seer)
    assert seer.calls == [(1, tuple(TASKS))]
    assert Predictor(seer, tasks=["all"]).tasks == (*TASKS, "gaze")
    assert Predictor(seer, tasks=["gaze"]).tasks == ("gaze",)
    seer.tasks = {"gaze": seer.tasks["gaze"]}
    assert Predictor(seer).tasks == ("gaze",), "a model of such tasks alone"


def test_rows_are_mapped_in_parts_without_a_seam(image: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,), _ = run(image, [(40.0, 30.0, 80.0, 60.0)])
    monkeypatch.setattr("synthforge.core.frames.STRIP_PIXELS", 500)
    (parts,), _ = run(image, [(40.0, 30.0, 80.0, 60.0)])
    assert np.array_equal(whole.labels, parts.labels)  # type: ignore[arg-type]
    assert np.allclose(whole.depth, parts.depth, atol=1e-6)  # type: ignore[arg-type]


def test_the_second_pass_crops_around_the_landmarks_found(image: np.ndarray) -> None:
    loose = (30.0, 20.0, 86.0, 76.0)
    (once,), _ = run(image, [loose])
    (twice,), seer = run(image, [loose], passes=2)
    assert seer.calls == [(1, ("keypoints",)), (1, tuple(TASKS))]
    assert once.crop == (2, -8, 114, 104)
    assert twice.crop == pytest.approx((20, 5, 100, 85), abs=3.6)  # as from the true box, within two pixels of the crop
    assert twice.box == loose
    # What makes no crop leaves the first one.
    (kept,), _ = run(np.where(image[..., :1] >= 0, [255, 0, 0], image).astype(np.uint8), [loose], passes=2)
    assert kept.points is not None


@pytest.mark.parametrize("flip", [None, True, False])
def test_every_pass_is_asked_for_the_mirrored_crop_alike(image: np.ndarray, flip: bool | None) -> None:
    _, seer = run(image, [(30.0, 20.0, 86.0, 76.0)], passes=2, flip=flip)
    assert seer.flips == [flip, flip]


def test_many_faces_go_in_batches(image: np.ndarray) -> None:
    faces, seer = run(image, [(40.0, 30.0, 80.0, 60.0)] * 35, tasks=["depth"])
    assert len(faces) == 35
    assert seer.calls == [(16, ("depth",)), (16, ("depth",)), (3, ("depth",))]
    assert faces[0].points is None
    assert faces[0].labels is None
    assert run(image, [])[0] == []


def test_wrong_boxes_and_tasks_are_named(image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"the box 300, 10, 340, 50 lies outside .* 200 x 150"):
        run(image, [(300.0, 10.0, 340.0, 50.0)])
    with pytest.raises(UserError, match="larger than"):
        run(image, [(0.0, 0.0, 1e6, 1e6)])
    with pytest.raises(UserError, match="no task 'normals'"):
        run(image, [], tasks=["normals"])


@pytest.mark.parametrize("wrong", [5.0, 0.5, float("nan")])
def test_a_second_box_that_makes_no_crop_leaves_the_first(image: np.ndarray, wrong: float) -> None:
    """Off the photograph, empty; what is not finite is an error of the model's and said so."""
    boxes = [(40.0, 30.0, 80.0, 60.0)]
    if np.isnan(wrong):
        with pytest.raises(UserError, match="not finite"):
            run(image, boxes, passes=2, seer=Seer(wrong=wrong))
        return
    (face,), _ = run(image, boxes, passes=2, seer=Seer(wrong=wrong))
    assert face.crop == (20, 5, 100, 85)


def test_each_task_sees_its_own_size_and_equal_sizes_share_a_look(image: np.ndarray) -> None:
    boxes = [(40.0, 30.0, 80.0, 60.0)]
    seer = Seer({"keypoints": 96, "segmentation": 96})
    (face,), _ = run(image, boxes, seer=seer, passes=2)
    assert seer.calls == [(1, ("keypoints",)), (1, ("keypoints", "segmentation")), (1, ("depth",))]
    assert seer.seen == [96, 96, SIZE]
    assert face.depth is not None
    assert face.labels is not None
    assert face.depth.shape == face.labels.shape
    seer = Seer({"keypoints": 96})
    run(image, boxes, seer=seer, input_size=48)
    assert seer.seen == [48]


def test_where_crops_meet_the_nearer_face_decides() -> None:
    def merged(*faces: tuple[int, int]) -> np.ndarray:
        labels, frames = [], []
        for x0, value in faces:
            label = np.full((10, 10), value, np.uint8)
            label[0] = 0
            labels.append(label)
            frames.append(CropFrame(crops.box_matrix((x0, 0, x0 + 10, 10), 32), 32, (x0, 0, x0 + 10, 10)))
        written = TASKS["segmentation"].files(labels, frames, (10, 20), "synthforge")
        return np.array(Image.open(io.BytesIO(written[".labels.png"])))

    both = merged((0, 1), (6, 2))
    assert both[0].tolist() == [0] * 20
    assert both[5].tolist() == [1] * 8 + [2] * 8 + [0] * 4
    assert np.array_equal(both, merged((6, 2), (0, 1)))
    assert merged((0, 1))[5].tolist() == [1] * 10 + [0] * 10


def test_the_picture_shows_boxes_classes_and_a_row_a_face(image: np.ndarray) -> None:
    faces, _ = run(image, [(40.0, 30.0, 80.0, 60.0), (150.0, 85.0, 182.0, 118.0)])
    sheet = draw(image, faces, tile=100)
    alone = draw(image, faces[:1], tile=100)
    assert sheet.shape[1] == alone.shape[1] == 3 * 106 + 6
    assert sheet.shape[0] == alone.shape[0] + 106
    nothing = draw(image, [], tile=100)
    assert nothing.shape[1] == 2 * 106 + 6
    pixels = sheet.reshape(-1, 3)
    skin = (67, 131, 197)  # class 1 of an unknown schema, in the legend
    assert (pixels == skin).all(axis=1).any()
    assert not (nothing.reshape(-1, 3) == skin).all(axis=1).any()
