"""FLAME against the reference numbers, and what must hold for any head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthforge_plugins.heads.flame import fake
from synthforge_plugins.heads.flame.assets import load_flame_head
from synthforge_plugins.heads.flame.formats import (
    FlameModel,
    read_flame,
    read_landmark_embedding,
    read_masks,
    read_texture_layout,
)
from synthforge_plugins.heads.flame.head import FlameHead, contour_row, head_yaw
from synthforge_plugins.heads.flame.regions import regions_from_masks
from synthforge_plugins.schemas import FLAME20, IBUG68

from synthforge.assets import registry
from synthforge.core.errors import AssetError


def degrees(*values: float) -> torch.Tensor:
    return torch.deg2rad(torch.tensor(values))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flame")
    fake.write_flame(folder)
    return folder


@pytest.fixture(scope="module")
def head(files: Path) -> FlameHead:
    model = read_flame(files / "generic_model.pkl")
    embedding = read_landmark_embedding(files / "landmark_embedding.npy", len(model.faces))
    masks = read_masks(files / "FLAME_masks.pkl", len(model.template))
    layout = read_texture_layout(files / "FLAME_texture.npz", len(model.faces))
    return FlameHead(model, embedding, regions_from_masks(model, masks, embedding, layout))


@pytest.mark.parity
def test_reference_numbers(parity_dir: Path) -> None:
    arrays = np.load(parity_dir / "flame/synthetic_model_arrays.npz")
    reference = {name: torch.tensor(value) for name, value in np.load(parity_dir / "flame/reference.npz").items()}
    model = FlameModel(
        template=arrays["v_template"],
        faces=arrays["f"].astype(np.int32),
        shape_basis=arrays["shapedirs_150"][..., :100],
        expression_basis=arrays["shapedirs_150"][..., 100:],
        pose_basis=arrays["posedirs"],
        joint_regressor=arrays["J_regressor"],
        weights=arrays["weights"],
        parents=(-1, 0, 1, 1, 1),
    )
    embedding = read_landmark_embedding(parity_dir / "flame/landmark_embedding.npy", 9976)
    head = FlameHead(model, embedding)
    batch = len(reference["shape"])
    for eyes, suffix in ((reference["eye"], ""), (torch.zeros(batch, 6), "_no_eye")):
        parts = [reference["pose"][:, :3], torch.zeros(batch, 3), reference["pose"][:, 3:], eyes]
        pose = torch.cat(parts, 1).view(batch, 5, 3)
        vertices, joints = head(reference["shape"], reference["exp"], pose)
        yaw = head_yaw(pose)
        torch.testing.assert_close(vertices, reference["vertices" + suffix], rtol=0, atol=1e-6)
        points = head.landmarks_by_yaw(vertices, yaw)
        torch.testing.assert_close(points, reference["landmarks2d" + suffix], rtol=0, atol=1e-6)
        if not suffix:
            torch.testing.assert_close(joints, reference["joints"], rtol=0, atol=1e-6)
            torch.testing.assert_close(head.landmarks(vertices), reference["landmarks3d"], rtol=0, atol=1e-6)
        row = contour_row(yaw)
        assert torch.equal(torch.as_tensor(embedding.dynamic_faces)[row].long(), reference["dynamic_faces_idx"])
        assert torch.equal(head.dynamic_barycentric[row], reference["dynamic_bary"])


def test_contour_rows_follow_whole_degrees() -> None:
    yaw = degrees(0, 0.4, 1.6, 39.2, 80, -0.4, -0.6, -38.6, -39.4, -41, -80)
    assert contour_row(yaw).tolist() == [0, 0, 2, 39, 39, 0, 40, 78, 78, 78, 78]


def test_global_rotation_turns_the_rest_shape_rigidly(head: FlameHead) -> None:
    pose = torch.zeros(1, 5, 3)
    pose[0, 0, 1] = 0.5
    rest, joints = head(torch.zeros(1, 10), torch.zeros(1, 5))
    turned, _ = head(torch.zeros(1, 10), torch.zeros(1, 5), pose)
    root = joints[:, :1]
    torch.testing.assert_close((turned - root).norm(dim=-1), (rest - root).norm(dim=-1), rtol=0, atol=1e-6)
    # the nose tip, out towards +z, swings to the subject's left
    tip = rest[0, :, 2].argmax()
    assert turned[0, tip, 0] > rest[0, tip, 0] + 0.02


@pytest.mark.parametrize("yaw", [-50.0, -20.0, 0.0, 10.0, 35.0])
def test_visible_contour_sees_head_and_camera_alike(head: FlameHead, yaw: float) -> None:
    """Turning the head is the same as walking the camera round it the other way."""
    angle = degrees(yaw)
    pose = torch.zeros(1, 5, 3)
    pose[0, 0, 1] = angle
    turned, _ = head(torch.zeros(1, 10), torch.zeros(1, 5), pose)
    rest, _ = head(torch.zeros(1, 10), torch.zeros(1, 5))
    front = torch.tensor([[0.0, 0.0, 100.0]])
    aside = torch.tensor([[-100 * float(torch.sin(angle)), 0.0, 100 * float(torch.cos(angle))]])
    for vertices, camera in ((turned, front), (rest, aside)):
        assert float(torch.rad2deg(head.yaw_seen_from(vertices, camera))) == pytest.approx(yaw, abs=0.2)
    with pytest.raises(ValueError, match="camera_position"):
        head.landmarks(rest, contour="visible")


def test_jaw_opens_downwards_and_gradients_flow(head: FlameHead) -> None:
    pose = torch.zeros(1, 5, 3)
    pose[0, 2, 0] = 0.3
    pose.requires_grad_()
    closed, _ = head(torch.zeros(1, 10), torch.zeros(1, 5))
    opened, _ = head(torch.zeros(1, 10), torch.zeros(1, 5), pose)
    chin = head.landmarks(opened)[0, 8, 1]
    assert chin < head.landmarks(closed)[0, 8, 1]
    chin.backward()
    assert pose.grad is not None
    assert pose.grad[0, 2, 0] < 0


def test_regions_are_symmetric_and_painted_where_the_masks_are_silent(head: FlameHead) -> None:
    vertices, _ = head(torch.zeros(1, 10), torch.zeros(1, 5))
    centre = np.full((len(head.faces), 3), 1 / 3)
    label = head.regions_at(np.arange(len(head.faces)), centre)
    middle = vertices[0].numpy()[head.faces].mean(1)
    for side, sign in (("left", 1), ("right", -1)):
        for part in ("ear", "eyeball"):
            found = middle[label == FLAME20.id(f"{side}_{part}"), 0]
            assert len(found) > 0
            assert (found * sign > 0).all()
    upper, lower = (middle[label == FLAME20.id(name), 1] for name in ("upper_lip", "lower_lip"))
    assert len(upper) > 0
    assert len(lower) > 0
    assert upper.mean() > lower.mean()
    for name in ("left_eyebrow", "right_eyebrow"):
        assert (label == FLAME20.id(name)).any()
    points = head.landmarks(vertices)[0, :, 0]
    torch.testing.assert_close(points, -points[list(IBUG68.mirror)], rtol=0, atol=0.01)


def test_files_of_the_wrong_shape_are_refused(files: Path, tmp_path: Path) -> None:
    model = read_flame(files / "generic_model.pkl")
    with pytest.raises(AssetError, match="points outside"):
        read_landmark_embedding(files / "landmark_embedding.npy", 10)
    with pytest.raises(AssetError, match="points outside"):
        read_masks(files / "FLAME_masks.pkl", 10)
    with pytest.raises(AssetError, match="no entry 'v_template'"):
        read_flame(files / "FLAME_masks.pkl")
    np.savez(tmp_path / "texture.npz", vt=np.zeros((4, 3)), ft=np.zeros((len(model.faces), 3), int))
    with pytest.raises(AssetError, match=r"vt is float64 \(4, 3\)"):
        read_texture_layout(tmp_path / "texture.npz", len(model.faces))


def test_contour_rows_over_every_degree() -> None:
    for degree in range(-180, 181):
        expected = min(degree, 39) if degree >= 0 else min(39 - degree, 78)
        assert contour_row(degrees(degree)).tolist() == [expected]
    # half degrees go to the even one, as round does
    assert contour_row(degrees(0.5, 1.5, -0.5, 38.6, 39.6)).tolist() == [0, 2, 0, 39, 39]


def test_head_yaw_is_the_turn_of_global_and_neck_together() -> None:
    turns = torch.arange(-85, 86, 5)
    pose = torch.zeros(len(turns), 5, 3)
    pose[:, 0, 1] = torch.deg2rad(turns * 0.5)
    pose[:, 1, 1] = torch.deg2rad(turns * 0.5)
    torch.testing.assert_close(torch.rad2deg(head_yaw(pose)), turns.float(), rtol=0, atol=1e-3)
    pitched = pose.clone()
    pitched[:, 0, 0], pitched[:, 1] = 0.2, 0.0
    assert (head_yaw(pitched).sign() == turns.sign()).all()


def test_a_batch_is_its_heads_one_by_one(head: FlameHead) -> None:
    generator = torch.Generator().manual_seed(3)
    shape, expression = (torch.randn(4, n, generator=generator) for n in (100, 50))
    pose = 0.4 * torch.randn(4, 5, 3, generator=generator)
    camera = torch.tensor([[0.4, 0.1, 1.0]]).expand(4, -1)
    vertices, joints = head(shape, expression, pose)
    visible = head.landmarks(vertices, camera, "visible")
    for i in range(4):
        one = slice(i, i + 1)
        alone, alone_joints = head(shape[one], expression[one], pose[one])
        torch.testing.assert_close(alone[0], vertices[i], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone_joints[0], joints[i], rtol=0, atol=1e-6)
        torch.testing.assert_close(head.landmarks(alone, camera[one], "visible")[0], visible[i], rtol=0, atol=1e-6)


def test_components_that_are_not_given_are_zero(head: FlameHead) -> None:
    short, _ = head(torch.ones(1, 7), torch.ones(1, 3))
    shape, expression = torch.zeros(1, 300), torch.zeros(1, 100)
    shape[:, :7], expression[:, :3] = 1, 1
    torch.testing.assert_close(head(shape, expression)[0], short, rtol=0, atol=1e-6)


@pytest.mark.parametrize("edition", ["flame2020", "flame2023", "flame2023-open"])
def test_every_edition_is_found_by_its_name(edition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "added"))
    for name, path in fake.write_flame_assets(tmp_path / "in").items():
        registry.add_asset(edition if name == "flame2020" else name, path)
    loaded = load_flame_head(edition)
    assert loaded.num_vertices == 5023
    other = next(name for name in ("flame2020", "flame2023") if name != edition)
    with pytest.raises(AssetError, match=f"{other} is missing"):
        load_flame_head(other)
