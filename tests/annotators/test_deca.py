"""The baseline annotator `deca`, on made-up weights: formats, geometry and crops, not its accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthforge_plugins.annotators.deca.annotator import crop, face_square
from synthforge_plugins.annotators.deca.fake import write_deca
from synthforge_plugins.annotators.deca.network import CoarseEncoder, Code, decode, project
from synthforge_plugins.heads.flame.assets import load_flame_head
from synthforge_plugins.heads.flame.fake import write_flame

from synthforge.assets import registry
from synthforge.core.errors import AnnotationError, AssetError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Rendering, Scene
from synthforge.geometry.cameras import orbit_camera
from synthforge.testing import check_annotator


@pytest.fixture(scope="module")
def encoder() -> CoarseEncoder:
    torch.manual_seed(0)
    made = CoarseEncoder()
    with torch.no_grad():
        made.layers[2].weight.mul_(0.1)
        made.layers[2].bias[206] = 5.0  # the camera's scale: a head of about half the crop
    return made


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: CoarseEncoder) -> Path:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    write_flame(tmp_path)
    registry.add_asset("flame2020", tmp_path / "generic_model.pkl")
    registry.add_asset("flame-landmarks", tmp_path / "landmark_embedding.npy")
    registry.add_asset("flame-masks", tmp_path / "FLAME_masks.pkl")
    registry.add_asset("flame-texture", tmp_path / "FLAME_texture.npz")
    registry.add_asset("deca", write_deca(tmp_path / "deca.tar", encoder.state_dict()))
    return tmp_path


def rendering(points: np.ndarray | None) -> Rendering:
    camera = orbit_camera(0.2, 0.1, 0.8, 25.0, 96, 96)
    image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    return Rendering(Scene(0, 0, {}), camera, image, points={} if points is None else {"ibug68": points})


@pytest.mark.usefixtures("assets")
def test_contract() -> None:
    head = load_flame_head()
    vertices, _ = head(torch.zeros(1, 10), torch.zeros(1, 5))
    points = head.landmarks(vertices)[0].numpy()
    annotator = load_plugins().build("annotator", "deca")
    check_annotator(annotator, rendering(points))
    found = annotator.annotate(rendering(points))
    assert found["deca_landmarks2d"].shape == (68, 2)
    assert {name: len(value) for name, value in found["deca_parameters"].items()} == {
        "shape": 100,
        "expression": 50,
        "pose": 6,
        "camera": 3,
    }
    with pytest.raises(AnnotationError, match="where the face is"):
        annotator.annotate(rendering(None))


@pytest.mark.usefixtures("assets")
def test_dense_labels_are_those_of_the_estimated_mesh() -> None:
    head = load_flame_head()
    vertices, _ = head(torch.zeros(1, 10), torch.zeros(1, 5))
    made = rendering(head.landmarks(vertices)[0].numpy())
    plain = load_plugins().build("annotator", "deca").annotate(made)
    annotator = load_plugins().build("annotator", {"name": "deca", "dense": True})
    check_annotator(annotator, made)
    found = annotator.annotate(made)
    np.testing.assert_array_equal(found["deca_landmarks2d"], plain["deca_landmarks2d"])
    code = found["deca_parameters"]
    given = Code(**{name: torch.tensor([code.get(name, [0.0])]) for name in Code.__dataclass_fields__})
    placed, _ = decode(head, given)
    centre, side = face_square(made, 1.25)
    pixels = project(placed, given.camera)[0].numpy() * (side / 224) + centre - side / 2
    # The vertex nearest to the viewer lies in front of everything, so its pixel must show its class and its depth.
    nearest = int(placed[0, :, 2].argmax())
    x, y = pixels[nearest].astype(int)
    labels, depth = found["deca_segmentation"], found["deca_depth"]
    assert depth[depth > 0].min() >= 1.0 - float(placed[0, nearest, 2]) - 1e-5
    assert depth[y, x] == pytest.approx(1.0 - float(placed[0, nearest, 2]), abs=8e-3)  # its pixel's centre lies beside
    np.testing.assert_array_equal(labels > 0, depth > 0)
    inside = pixels[(pixels > 0).all(1) & (pixels < 96).all(1)]
    low, high = inside.min(0), inside.max(0)
    rows, columns = np.nonzero(depth)
    drawn = [columns.min(), rows.min(), columns.max(), rows.max()]
    np.testing.assert_allclose(drawn, [*low, *high], atol=2)


@pytest.mark.usefixtures("assets")
def test_a_code_is_decoded_by_flame_and_its_yaw_moves_the_jaw_line(encoder: CoarseEncoder) -> None:
    head = load_flame_head()
    code = encoder(torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    code.pose.zero_()
    code.pose[1, 1] = 0.5
    vertices, points = decode(head, code)
    assert vertices.shape == (2, head.num_vertices, 3)
    expected = head.landmarks_by_yaw(vertices, torch.tensor([0.0, 0.5]))
    torch.testing.assert_close(points, expected)
    assert (points[1, :17] - head.landmarks_by_yaw(vertices, torch.zeros(2))[1, :17]).abs().max() > 1e-3


def test_projection_is_scaled_orthographic_with_y_up() -> None:
    points = torch.tensor([[[0.0, 0.0, 5.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]]])
    pixels = project(points, torch.tensor([[5.0, 0.0, 0.0]]))[0]
    assert pixels.tolist() == [[112.0, 112.0], [168.0, 112.0], [112.0, 56.0]]
    shifted = project(points, torch.tensor([[5.0, 0.02, -0.01]]))[0]
    torch.testing.assert_close(shifted[0], torch.tensor([112 + 11.2, 112 + 5.6]))


def test_crops_keep_pixel_centres() -> None:
    image = np.random.default_rng(1).integers(0, 255, (224, 224, 3), dtype=np.uint8)
    same = crop(image, np.array([112.0, 112.0]), 224.0)
    assert np.array_equal((same[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8), image)
    beside = crop(image, np.array([122.0, 112.0]), 224.0)
    torch.testing.assert_close(beside[..., :-10], same[..., 10:], rtol=0, atol=1e-4)
    assert (beside[..., -9:] == 0).all()


@pytest.mark.usefixtures("assets")
def test_the_crop_is_a_square_around_the_landmarks() -> None:
    points = np.array([[-0.05, 0, 0], [0.05, 0, 0], [0, 0.02, 0]] + [[0, 0, 0]] * 65)
    made = rendering(points)
    centre, side = face_square(made, 2.0)
    pixels, _ = made.camera.project(points)
    assert side == pytest.approx(2 * (pixels[:, 0].max() - pixels[:, 0].min()))
    np.testing.assert_allclose(centre[0], (pixels[:, 0].max() + pixels[:, 0].min()) / 2)


def test_other_checkpoints_are_refused(encoder: CoarseEncoder) -> None:
    state = dict(encoder.state_dict())
    state["layers.0.bias"] = torch.zeros(3)
    del state["layers.2.bias"]
    with pytest.raises(AssetError, match=r"layers\.2\.bias is missing; layers\.0\.bias has shape \(3,\)"):
        CoarseEncoder.from_state(state)
