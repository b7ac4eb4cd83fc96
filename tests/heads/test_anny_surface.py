"""Landmarks and regions of the anny head: on the surface, on the tissue they are named after, and in agreement."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
import torch
from synthforge_plugins.heads.anny.anatomy import lid_curve, study
from synthforge_plugins.heads.anny.embedding import INNER_RIM, derive
from synthforge_plugins.heads.anny.head import AnnyHead
from synthforge_plugins.heads.anny.landmarks import (
    EMBEDDING_FILE,
    FACE_LENGTH,
    JAW_ENDS_STAY,
    JAW_SLIDES,
    LONG_FACES,
    STANDS_OUT,
    jaw_steps,
)
from synthforge_plugins.heads.anny.regions import CELLS
from synthforge_plugins.heads.anny.sampling import AnnyDistribution
from synthforge_plugins.schemas import IBUG68, SYNTHFORGE


@pytest.fixture(scope="session")
def head() -> AnnyHead:
    """The head, from the cache."""
    return AnnyHead()


def pose(head: AnnyHead, **actions: float) -> torch.Tensor:
    expression = torch.zeros(1, len(head.expression_names))
    for name, value in actions.items():
        expression[0, head.expression_names.index(name)] = value
    return head({"expression": expression}).vertices


def points(head: AnnyHead, **actions: float) -> np.ndarray:
    return head.landmarks(pose(head, **actions))[0].numpy()


def around(head: AnnyHead, index: int, radius: float) -> set[str]:
    """Names of the classes within a distance (m) of a landmark on the canonical head."""
    rest = head.rest.astype(np.float64)
    place = points(head)[index]
    near = np.flatnonzero(np.linalg.norm(rest[head.faces].mean(1) - place, axis=1) < 0.02)
    near = near[head.face_group[near] == 0]
    cells = (np.arange(CELLS) + 0.5) / CELLS
    a, b = (grid.ravel() for grid in np.meshgrid(cells, cells, indexing="ij"))
    inside = a + b < 1
    weights = np.stack([a, b, 1 - a - b], axis=1)[inside]
    where = np.einsum("mk,nkd->nmd", weights, rest[head.faces[near]])
    close = np.linalg.norm(where - place, axis=-1) < radius
    face_id = np.broadcast_to(near[:, None], close.shape)[close]
    classes = head.regions_at(face_id, np.broadcast_to(weights, (*close.shape, 3))[close])
    return {SYNTHFORGE.classes[i] for i in np.unique(classes)}


def test_the_packaged_embedding_is_the_derived_one(head: AnnyHead) -> None:
    packaged = json.loads(resources.files("synthforge_plugins.heads.anny").joinpath("data", EMBEDDING_FILE).read_text())
    derived = derive(head)
    assert derived.keys() == packaged.keys()
    for name in ("points", "jaw_curves", "brow_bands"):
        for part in ("vertices", "barycentric"):
            assert np.shape(derived[name][part]) == np.shape(packaged[name][part])
    # another BLAS may pick the neighbouring triangle: places must agree, not ids
    index = np.full(head.source.max() + 1, -1)
    index[head.source] = np.arange(len(head.source))
    for name in ("points", "jaw_curves", "brow_bands"):
        places = [
            (head.rest[index[np.array(d[name]["vertices"])]] * np.array(d[name]["barycentric"])[..., None]).sum(-2)
            for d in (derived, packaged)
        ]
        np.testing.assert_allclose(places[0], places[1], atol=5e-4)


def test_embedding_lies_on_triangles(head: AnnyHead) -> None:
    faces = {frozenset(face) for face in head.faces.tolist()}
    used = [
        {v for v, w in zip(corner, weight, strict=True) if w > 1e-4}
        for corner, weight in zip(head.embedding.vertices.tolist(), head.embedding.barycentric.tolist(), strict=True)
    ]
    assert (head.embedding.barycentric >= 0).all()
    np.testing.assert_allclose(head.embedding.barycentric.sum(-1), 1, atol=1e-4)
    between = (36, 39, 42, 45, 60, 64)  # in the opening of the lids and between the lips: see the test below
    for number, corner in enumerate(used):
        assert any(corner <= face for face in faces) == (number not in between), number


def test_landmarks_are_symmetric_and_sided(head: AnnyHead) -> None:
    rest = points(head)
    np.testing.assert_allclose(rest[list(IBUG68.mirror)] * [-1, 1, 1], rest, atol=1e-5)
    for left in (*range(9, 17), *range(22, 27), *range(42, 48), 34, 35, 52, 53, 54, 55, 56, 63, 64, 65):
        assert rest[left, 0] > 0, left
    # from top to bottom: brow, eye, nose, mouth, chin
    order = [rest[i, 1].mean() for i in (range(22, 27), range(42, 48), range(31, 36), range(48, 68), range(8, 9))]
    assert (np.diff(order) < -0.01).all()


def test_landmarks_have_human_proportions(head: AnnyHead) -> None:
    """Adult means (Farkas, Anthropometry of the Head and Face, 1994) with room for more than two deviations, in mm."""
    rest = 1000 * points(head)

    def distance(a: int, b: int) -> float:
        return float(np.linalg.norm(rest[a] - rest[b]))

    assert 24 < distance(42, 45) < 35  # eye fissure length
    assert 26 < distance(39, 42) < 40  # between the inner canthi
    assert 42 < distance(48, 54) < 60  # mouth width
    assert 42 < distance(27, 33) < 58  # nose height
    assert 15 < distance(33, 51) + distance(51, 62) < 28  # upper lip height
    assert 15 < distance(21, 22) < 30  # between the brows
    assert 14 < rest[24, 1] - rest[42:48, 1].mean() < 26  # brow above the eye


def test_corners_lie_just_inside_of_the_openings(head: AnnyHead) -> None:
    anatomy = study(head)
    rest = points(head)
    lids, lips = lid_curve(anatomy).on(head.rest), np.flatnonzero(np.abs(anatomy.mouth) < 0.5)
    inner, outer = lids[lids[:, 0].argmin()], lids[lids[:, 0].argmax()]
    assert 0.0005 < np.linalg.norm(rest[42] - inner) < 0.0015
    assert 0.0015 < np.linalg.norm(rest[45] - outer) < 0.0027
    for index in (42, 45):
        at = np.abs(lids[:, 0] - rest[index, 0]) < 0.002
        assert lids[at, 1].min() < rest[index, 1] < lids[at, 1].max()
    assert 0.0 < rest[54, 0] - rest[64, 0] < 0.008
    assert np.linalg.norm(head.rest[lips] - rest[64], axis=1).min() < 0.002


@pytest.mark.parametrize("index", [43, 44, 46, 47])
def test_lid_points_part_eye_and_lid(head: AnnyHead, index: int) -> None:
    assert {"left_eye", "left_lid"} <= around(head, index, 0.0015)
    assert {"right_eye", "right_lid"} <= around(head, IBUG68.mirror[index], 0.0015)


@pytest.mark.parametrize(
    ("indices", "classes"),
    [
        (range(49, 54), {"upper_lip", "skin"}),
        (range(55, 60), {"lower_lip", "skin"}),
        ((61, 62, 63), {"upper_lip", "inner_mouth"}),
        ((65, 66, 67), {"lower_lip", "inner_mouth"}),
        ((48, 54), {"upper_lip", "lower_lip", "skin"}),
    ],
)
def test_lip_points_lie_on_the_lip_border_or_just_inside(head: AnnyHead, indices: range, classes: set[str]) -> None:
    for index in indices:
        assert classes <= around(head, index, 0.0029), index


def test_brow_points_lie_along_the_upper_edge_of_the_brow(head: AnnyHead) -> None:
    for index in range(22, 27):
        for number, name in ((index, "left_brow"), (IBUG68.mirror[index], "right_brow")):
            assert {name, "skin"} <= around(head, number, 0.0026), number


def test_nose_and_jaw_points(head: AnnyHead) -> None:
    for index in range(27, 36):
        assert "nose" in around(head, index, 0.002), index
    for index in range(3, 14):
        assert "skin" in around(head, index, 0.002), index


def test_brow_bands(head: AnnyHead) -> None:
    band = head.embedding
    edges = (head.rest[band.brow_vertices] * band.brow_barycentric[..., None]).sum(-2)
    assert edges.shape[:2] == (2, 2)
    assert edges.shape[2] >= 9
    left_lower, left_upper = edges[0]
    assert (np.diff(left_lower[:, 0]) > 0).all(), "from the inner to the outer end"
    assert (left_upper[:, 1] > left_lower[:, 1]).all()
    np.testing.assert_allclose(edges[1] * [-1, 1, 1], edges[0], atol=1e-5)


def test_shut_eyes_close_the_lids(head: AnnyHead) -> None:
    awake, asleep = points(head), points(head, eyeBlinkLeft=1, eyeBlinkRight=1)
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        gap = np.linalg.norm(awake[upper] - awake[lower])
        assert gap > 0.005
        assert np.linalg.norm(asleep[upper] - asleep[lower]) < gap / 3


def test_an_open_jaw_parts_the_lips(head: AnnyHead) -> None:
    shut, wide = points(head), points(head, jawOpen=0.7)
    assert abs(shut[62, 1] - shut[66, 1]) < INNER_RIM + 0.0005
    assert wide[62, 1] - wide[66, 1] > 0.015
    assert shut[8, 1] - wide[8, 1] > 0.01


def test_pressed_lips_touch_and_do_not_cross(head: AnnyHead) -> None:
    for action in ({"mouthPressLeft": 1, "mouthPressRight": 1}, {"mouthRollLower": 1, "mouthRollUpper": 1}):
        pressed = points(head, **action)
        for upper, lower in ((61, 67), (62, 66), (63, 65)):
            assert pressed[upper, 1] - pressed[lower, 1] > -0.001


@pytest.mark.parametrize("yaw", [-50, -20, 0, 20, 50])
def test_the_visible_jaw_line_is_spread_as_annotators_do_in_the_image(head: AnnyHead, yaw: float) -> None:
    angle = np.radians(yaw)
    position = 1.2 * np.array([np.sin(angle), 0.1, np.cos(angle)], np.float32)
    seen = head.landmarks(pose(head), torch.from_numpy(position)[None], "visible")[0].numpy()
    forward = (seen[33] - position) / np.linalg.norm(seen[33] - position)
    rays = (seen[:17] - position) / ((seen[:17] - position) @ forward)[:, None]
    steps = np.linalg.norm(np.diff(rays - forward, axis=0), axis=1)
    longer = []
    for side in (steps[:8][::-1], steps[8:]):  # points stand on the curve, steps are its chords
        relative = side / np.diff(jaw_steps(9))
        assert relative[:6].max() / relative[:6].min() < 1.06
        longer.append(relative[6:].mean() / relative[:6].mean() - 1)
    # the points between the ends slide to the far side: seen from the side of the left ear, to the right one
    width = np.linalg.norm(seen[45] - seen[36]) / ((seen[33] - position) @ forward)
    slid = JAW_SLIDES * np.sin(angle) * width / steps.mean()
    np.testing.assert_allclose(longer, [-slid / 2, slid / 2], atol=0.06)


def test_visible_contour_from_the_front_is_the_static_one(head: AnnyHead) -> None:
    vertices = pose(head)
    seen = head.landmarks(vertices, torch.tensor([[0.0, 0.0, 1.5]]), "visible")
    assert (seen - head.landmarks(vertices)).norm(dim=-1).max() < 0.004


@pytest.mark.parametrize("yaw", [-60, -40, 40, 60])
def test_visible_contour_follows_the_far_outline(head: AnnyHead, yaw: float) -> None:
    """From the side the far points move outwards in the image, the near ones stay."""
    angle = np.radians(yaw)
    camera = 1.2 * torch.tensor([[np.sin(angle), 0.0, np.cos(angle)]], dtype=torch.float32)
    vertices = pose(head)
    static, seen = head.landmarks(vertices)[0].numpy(), head.landmarks(vertices, camera, "visible")[0].numpy()
    image_x = np.array([np.cos(angle), 0, -np.sin(angle)])
    outward = (seen - static) @ image_x * np.sign(-yaw)
    far, near = (range(2, 6), range(11, 16)) if yaw > 0 else (range(11, 15), range(1, 6))
    assert (outward[list(far)] > 0.005).all()
    assert (np.abs(outward[list(near)]) < 0.006).all()
    forward = np.zeros(68)
    forward[list(STANDS_OUT)] = [sideways for sideways, _ in STANDS_OUT.values()]
    aside = (seen - static)[17:] @ image_x
    # seen from the side of its left ear, the head looks to image left
    np.testing.assert_allclose(aside, forward[17:] * -np.sin(angle), atol=3e-4)
    np.testing.assert_allclose((seen - static)[17:, 1], 0, atol=1e-3)


@pytest.mark.parametrize("elevation", [-25, -10, 10, 25])
def test_the_ends_of_the_jaw_follow_a_nod_only_part_of_the_way(head: AnnyHead, elevation: float) -> None:
    """Seen from above the ears rise over the eyes in the picture, from below they sink: the jaw's ends do so less."""
    angle = np.radians(elevation)
    position = 1.2 * np.array([0, np.sin(angle), np.cos(angle)], np.float32)
    up, view = np.array([0, np.cos(angle), -np.sin(angle)]), -position / 1.2
    vertices = pose(head)

    def over_the_eyes(points: np.ndarray) -> np.ndarray:
        rays = points - position
        height = (rays @ up) / (rays @ view)
        return np.asarray(height[[0, 8, 16]] - height[[36, 45]].mean())

    points = head.landmarks(vertices)[0].numpy()
    static = over_the_eyes(points)
    seen = over_the_eyes(head.landmarks(vertices, torch.from_numpy(position)[None], "visible")[0].numpy())
    ends = static[[0, 2]]
    assert (np.sign(ends) == np.sign(elevation)).all()
    width = np.linalg.norm(points[45] - points[36]) / ((points[33] - position) @ view)
    stay = -LONG_FACES * (-static[1] - FACE_LENGTH * width)  # longer faces, lower ends
    expected = (1 - JAW_ENDS_STAY) * ends + JAW_ENDS_STAY * stay
    np.testing.assert_allclose(seen[[0, 2]], expected, atol=0.15 * np.abs(ends).max())


def test_the_middle_of_the_face_stands_forward(head: AnnyHead) -> None:
    """Means in mm. MakeHuman's own middles give 11.9, 35.6 and 14.6 for the last three."""
    config = AnnyDistribution(neutral=1.0, blink=0.0, children=0.0, neck=0.0, head=0.0)
    drawn = [head.sample_parameters(np.random.default_rng(seed), config) for seed in range(60)]
    parameters = {name: torch.from_numpy(np.stack([one[name] for one in drawn])) for name in drawn[0]}
    vertices = head.forward(parameters).vertices
    profile = 1000 * vertices[:, np.abs(head.rest[:, 0]) < 1e-5].mean(0).numpy()
    seen = 1000 * head.landmarks(vertices).mean(0).numpy()
    base = seen[33, 2]
    front = profile[profile[:, 2] > 40]
    nose = front[(front[:, 1] > seen[33, 1] + 5) & (front[:, 1] < seen[27, 1]), 2].max()
    chin = front[(front[:, 1] > seen[8, 1]) & (front[:, 1] < seen[57, 1] - 12), 2].max()
    eyes = seen[[36, 45], 2].mean()
    assert -4 < seen[51, 2] - base < 7
    assert 13 < nose - base < 18  # 16 to 17 before the subnasale (Arnett et al. 1999)
    assert 40 < seen[30, 2] - eyes < 46
    assert 18 < chin - eyes < 24


def test_contour_arguments(head: AnnyHead) -> None:
    with pytest.raises(ValueError, match="needs camera_position"):
        head.landmarks(pose(head), None, "visible")
    with pytest.raises(ValueError, match="contour is"):
        head.landmarks(pose(head), None, "seen")  # type: ignore[arg-type]


def test_every_region_occurs_and_mirrors(head: AnnyHead) -> None:
    table = head.regions.table
    assert table.shape == (len(head.faces), CELLS, CELLS)
    body = np.unique(table[head.face_group != head.group_names.index("hair")])
    assert {SYNTHFORGE.classes[i] for i in body} == set(SYNTHFORGE.classes[:19]) - {"background"}
    centre = head.regions_at(np.arange(len(head.faces)), np.full((len(head.faces), 3), 1 / 3))
    index = {tuple(sorted(face)): number for number, face in enumerate(head.faces.tolist())}
    twin = np.array([index[tuple(sorted(face))] for face in head.mirror[head.faces].tolist()])
    assert (SYNTHFORGE.mirror[centre[twin]] == centre).mean() > 0.998


def test_regions_look_up_the_right_cell(head: AnnyHead) -> None:
    """A triangle with two classes answers differently at its corners, and a corner's weight of one is in range."""
    mixed = np.flatnonzero((head.regions.table.reshape(len(head.faces), -1) != head.regions.table[:, :1, 0]).any(1))
    corners = np.eye(3, dtype=np.float32)
    answers = np.stack([head.regions_at(mixed, np.broadcast_to(c, (len(mixed), 3))) for c in corners])
    assert (answers != answers[:1]).any()
    np.testing.assert_array_equal(answers[0], head.regions.table[mixed, CELLS - 1, 0])
