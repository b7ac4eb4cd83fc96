"""The detector that ships, and what it is trained on."""

from __future__ import annotations

from pathlib import Path

import by_path
import numpy as np
import pytest
import torch
from PIL import Image
from synthforge_plugins.detectors.finders import WEIGHTS
from synthforge_plugins.detectors.network import STRIDE, Centres, agreed, apart, faces_of, load
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge.core.shipped import shipped_file
from synthforge.evaluation.boxes import overlap
from synthforge.prediction.detectors import DETECTORS, detect_faces, find_detector, find_faces, to_crop_box

ROOT = Path(__file__).resolve().parents[2]
NAME = "synthforge"
#: of the 68 landmarks of the woman in the photograph, by eye
FACE = (183.0, 89.0, 259.0, 172.0)
#: what dlib calls a face as well
PATCH = (126.0, 342.0, 216.0, 433.0)


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    return Image.open(ROOT / "configs" / "photographs" / "astronaut.jpg").convert("RGB")


def test_it_needs_nothing_else() -> None:
    DETECTORS[NAME].check()
    assert shipped_file(WEIGHTS).stat().st_size < 2_500_000
    assert DETECTORS[NAME].version() not in ("", "unknown")


def test_the_face_is_found_and_the_mission_patch_is_none(astronaut: Image.Image) -> None:
    found = find_faces(np.asarray(astronaut), NAME)
    surest = max(found, key=lambda face: face.score or 0)
    assert overlap(to_crop_box(surest.box, NAME), FACE) > 0.6
    assert surest.score is not None
    assert 0.375 <= surest.score <= 1.0
    assert all(overlap(face.box, PATCH) == 0 for face in found)


@pytest.mark.parametrize("degrees", [-45, 45])
def test_a_tilted_face_is_found(astronaut: Image.Image, degrees: int) -> None:
    turned = astronaut.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    boxes = detect_faces(np.asarray(turned), NAME)
    x, y = (FACE[0] + FACE[2]) / 1024 - 0.5, (FACE[1] + FACE[3]) / 1024 - 0.5
    angle = np.radians(degrees)
    cx = turned.width / 2 + astronaut.width * (np.cos(angle) * x + np.sin(angle) * y)
    cy = turned.height / 2 + astronaut.width * (np.cos(angle) * y - np.sin(angle) * x)
    assert any(x0 < cx < x1 and y0 < cy < y1 for x0, y0, x1, y1 in boxes)


@pytest.mark.parametrize("size", [(1, 1), (700, 31), (31, 700), (33, 33)])
def test_a_picture_of_any_size_is_looked_at(size: tuple[int, int]) -> None:
    assert detect_faces(np.full((*size, 3), 90, np.uint8), NAME) == []


def test_peaks_are_faces_and_of_two_boxes_of_one_face_the_surer_stays() -> None:
    scores, boxes = torch.full((6, 6), -9.0), torch.zeros(6, 6, 4)
    for (row, column), score, box in (
        ((1, 1), 2.0, (0, 0, 20, 20)),
        ((1, 2), 1.0, (0, 0, 22, 22)),  # no maximum
        ((4, 1), 1.5, (1, 1, 20, 20)),  # the same face
        ((4, 4), 0.0, (30, 30, 40, 40)),
        ((0, 5), -3.0, (40, 0, 48, 8)),  # too unsure
    ):
        scores[row, column], boxes[row, column] = score, torch.tensor(box)
    (first, box), (second, other) = faces_of(scores, boxes, 0.3)
    assert (box, other) == ((0, 0, 20, 20), (30, 30, 40, 40))
    assert first == pytest.approx(0.8808, abs=1e-4)
    assert second == 0.5
    assert apart([]) == []


def test_a_face_that_one_of_two_looks_shows_is_half_as_sure() -> None:
    (first, box), (second, other) = agreed(
        [[(0.8, (0.0, 0.0, 20.0, 20.0))], [(0.4, (3.0, 0.0, 20.0, 20.0)), (0.6, (40.0, 0.0, 50.0, 10.0))]]
    )
    assert first == pytest.approx(0.6)
    assert box == pytest.approx((1.0, 0.0, 20.0, 20.0))
    assert (second, other) == (0.3, (40.0, 0.0, 50.0, 10.0))
    assert agreed([[], []]) == []


def test_the_network_answers_in_pixels_and_folding_changes_nothing() -> None:
    torch.manual_seed(0)
    network = Centres(width=0.125, channels=16)
    network.train()(torch.rand(2, 3, 64, 96))  # statistics that are not the first ones
    network.eval()
    pictures = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        scores, boxes = network(pictures)
        folded = network.fast()(pictures)
    assert scores.shape == (2, 64 // STRIDE, 96 // STRIDE)
    assert boxes.shape == (*scores.shape, 4)
    middle = torch.tensor([STRIDE * 2.5, STRIDE * 1.5])  # of row 1, column 2
    assert (boxes[:, 1, 2, :2] < middle).all()
    assert (boxes[:, 1, 2, 2:] > middle).all()
    assert torch.allclose(scores, folded[0], atol=1e-4)


@pytest.mark.slow
def test_its_onnx_file_answers_alike(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from synthforge_plugins.detectors.onnx_graph import export_detector

    written = export_detector(tmp_path / "detector.onnx")
    assert written["difference"] < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx", providers=["CPUExecutionProvider"])
    pictures = torch.rand(1, 3, 96, 160)
    with torch.no_grad():
        wanted = load(shipped_file(WEIGHTS))(pictures)
    scores, boxes = session.run(None, {"pictures": pictures.numpy()})
    assert np.allclose(scores, wanted[0].sigmoid(), atol=1e-4)
    assert np.allclose(boxes, wanted[1], atol=0.05)


def test_targets_of_a_face_an_ignored_one_and_a_hidden_one() -> None:
    study = by_path.load(ROOT / "studies" / "train_detector.py")
    boxes = np.array([[20, 30, 60, 70], [100, 100, 140, 140], [150, 20, 180, 50]], np.float32)
    heat, known, place, box, weight = study.targets([boxes], [np.array([0.9, 0.2, 0.0])])
    assert (heat == 1).nonzero().tolist() == [[0, 6, 5]]
    assert float(weight.sum()) == pytest.approx(1.0)
    assert (box == torch.tensor([20.0, 30, 60, 70])).all()
    assert [0, 6, 5] in place.tolist()
    assert not known[0, 15, 15]
    assert known[0, 4, 20]
    assert known[0, 0, 0]
    perfect = torch.where(heat == 1, 9.0, -9.0)
    found = torch.zeros(*heat.shape, 4)
    found[place[:, 0], place[:, 1], place[:, 2]] = box
    good = study.loss_of(perfect, found, (heat, known, place, box, weight))
    assert float(good) < 1e-3
    assert float(study.loss_of(-perfect, found, (heat, known, place, box, weight))) > 1
    assert find_detector(NAME).name == NAME


def test_people_stand_cut_out_before_pictures_of_no_face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = by_path.load(ROOT / "studies" / "train_detector.py")
    drawing = by_path.load(ROOT / "studies" / "no_faces.py")
    red, size = np.array([250, 0, 0], np.uint8), 128
    classes = np.zeros((1, size, size), np.uint8)
    classes[0, 30:100, 30:100] = SYNTHFORGE.classes.index("hair")
    image = np.full((1, size, size, 3), (0, 0, 250), np.uint8)
    image[classes > 0] = red
    points = np.random.default_rng(0).uniform(40, 90, (1, 68, 2)).astype(np.float32)
    blue = [image[:, :20, :20]]
    behind = drawing.backgrounds(tmp_path / "b.npy", 6, blue, np.zeros((1, 40, 40, 3), np.uint8))
    assert np.array_equal(behind, drawing.backgrounds(tmp_path / "b.npy", 6, [], behind))  # kept
    assert len({picture.tobytes() for picture in behind}) == 6
    people = study.Source(image, [points], [np.ones((1, 68), bool)], classes)
    collage = study.Collage([people], np.full((2, 64, 64, 3), (0, 250, 0), np.uint8))
    monkeypatch.setattr(study, "CUT", 1.0)
    monkeypatch.setattr(study, "EMPTY", 0.0)
    for number in range(8):
        tile, marked, seen = collage._tile(np.random.default_rng(number), 100, 120)
        pixels = np.asarray(tile)
        assert pixels[..., 2].max() < 60  # nothing of what was behind the person
        shown = marked[seen]
        there = pixels[shown[:, 1].astype(int), shown[:, 0].astype(int)]
        assert (np.abs(there.astype(int) - red).max(-1) < 40).all()


def test_a_part_of_a_person_is_cut_out() -> None:
    drawing = by_path.load(ROOT / "studies" / "no_faces.py")
    image, classes = np.full((60, 60, 3), 9, np.uint8), np.zeros((60, 60), np.uint8)
    classes[10:40, 5:25] = SYNTHFORGE.classes.index("hair")
    parts = [drawing.piece(image, classes, np.random.default_rng(number)) for number in range(30)]
    found = [part for part in parts if part is not None]
    assert 0 < len(found) < 30
    shares = [(np.asarray(part)[..., 3] > 0).mean() for part in found]
    assert np.allclose(shares, 2 / 3, atol=0.03)
