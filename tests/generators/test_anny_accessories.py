"""What the heads of the generator `anny` wear and hold: classes, what hides which landmarks, who wears what."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from synthforge_plugins.annotators.landmarks import LandmarksAnnotator, LandmarksConfig
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.factors.person import HAIR_STYLES
from synthforge_plugins.generators.anny.factors.worn import HAT_KINDS, THINGS
from synthforge_plugins.generators.anny.film.border import add_margin
from synthforge_plugins.generators.anny.generator import AnnyGenerator
from synthforge_plugins.generators.anny.mesh.worn.binding import relief
from synthforge_plugins.generators.anny.mesh.worn.headwear import rim_height, rim_terms
from synthforge_plugins.generators.anny.mesh.worn.slots import FACES, NUM_VERTICES, SLOTS, loft
from synthforge_plugins.generators.anny.people import sampling
from synthforge_plugins.generators.anny.people.worn import adapt_hair
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge.core.config import build_config
from synthforge.core.records import Rendering
from synthforge.core.schemas import class_mapping

SIZE = 128


def always(value: float) -> dict[str, Any]:
    return {"kind": "constant", "mean": value}


NOTHING: dict[str, Any] = {name: {"present": 0.0} for name in ("hat", "mask", "scarf", "hand", "occluder", "glasses")}
NOTHING |= {"jewellery": {"women": 0.0, "men": 0.0, "necklace": 0.0}, "border": {"cut": 0.0, "margin": 0.0}}
NOTHING |= {"hair": {"style_men": always(HAIR_STYLES.index("buzz")), "style_women": always(HAIR_STYLES.index("buzz"))}}
NOTHING["camera"] = {
    name: always(0.0) for name in ("azimuth_degrees", "elevation_degrees", "roll_degrees", "shift_x", "shift_y")
}
NOTHING["camera"] |= {"face_fraction": always(0.36)}
NOTHING["head"] = {"neck": 0.0, "head": 0.0}


@pytest.fixture(scope="module")
def base() -> AnnyGenerator:
    return build(AnnyConfig())


@pytest.fixture(scope="module")
def make(base: AnnyGenerator) -> Any:
    """Renderings of bare heads with what is given, on one static scene."""

    def render(count: int = 4, size: int = SIZE, seed: int = 3, **values: Any) -> list[Rendering]:
        generator = build(build_config(AnnyConfig, {**NOTHING, **values}))
        generator.__dict__["head"], generator.__dict__["renderer"] = base.head, base.renderer
        return generator.render([generator.sample(seed, i) for i in range(count)], size)

    return render


def mask(rendering: Rendering, *names: str) -> np.ndarray:
    return np.isin(rendering.labels["synthforge"], [SYNTHFORGE.id(name) for name in names])


def landmarks(rendering: Rendering) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (68,2) and visibility (68,)."""
    found = LandmarksAnnotator(LandmarksConfig()).annotate(rendering)
    return found["landmarks2d"], found["landmark_visibility"]


def test_a_bare_head_has_none_of_it(make: Any) -> None:
    for r in make():
        assert not mask(r, "hat", "face_mask", "occluder", "earring", "necklace", "glasses").any()


@pytest.mark.parametrize("kind", HAT_KINDS)
def test_hats_cover_the_crown_but_not_the_brows(make: Any, kind: str) -> None:
    number = always(HAT_KINDS.index(kind))
    for r in make(hat={"present": 1.0, "kind_men": number, "kind_women": number}):
        pixels, visible = landmarks(r)
        hat = mask(r, "hat")
        assert hat.mean() > 0.02
        # the hat reaches from the crown down to the forehead: above it there is no skin
        top = pixels[17:27, 1].min() - 0.45 * (pixels[8, 1] - pixels[17:27, 1].mean())
        assert not mask(r, "skin", "scalp")[: int(max(top, 0)), int(pixels[27, 0])].any()
        if kind != "brimmed" and r.scene.parameters["hat"]["kind"] == kind:
            assert visible[17:27].mean() >= 0.8  # a rim at least 30 mm above the eyes leaves the brows alone
            assert visible[36:48].all()


def test_the_rim_is_as_high_as_it_was_asked_for() -> None:
    terms = rim_terms(48.0, 20.0, -30.0)
    assert np.allclose(rim_height(terms, np.array([0.0, np.pi / 2, -np.pi / 2, np.pi])), [48, 20, 20, -30])


def test_reach_moves_the_rim(make: Any) -> None:
    def row(reach: float) -> np.ndarray:
        hat = {"present": 1.0, "kind_men": always(1), "kind_women": always(1), "reach": always(reach)}
        return np.array([np.nonzero(mask(r, "hat")[:, int(landmarks(r)[0][27, 0])])[0].max() for r in make(hat=hat)])

    assert (row(34.0) > row(64.0)).all()


def test_hair_is_pressed_under_a_hat(make: Any) -> None:
    thick = {"style_men": always(HAIR_STYLES.index("full")), "style_women": always(HAIR_STYLES.index("full"))}
    thick |= {"thickness": always(1.0)}
    hat = {"present": 1.0, "kind_men": always(1), "kind_women": always(1), "slouch": always(2.0)}
    for bare, hatted in zip(make(hair=thick), make(hair=thick, hat=hat), strict=True):
        above = slice(0, int(landmarks(hatted)[0][17:27, 1].min() - 0.1 * SIZE))
        assert mask(bare, "hair")[above].sum() > 100
        # no tuft comes through the crown
        assert mask(hatted, "hair")[above].sum() < 0.1 * mask(hatted, "hat")[above].sum()


def test_a_mask_hides_the_mouth_but_leaves_its_landmarks_where_they_are(make: Any) -> None:
    worn = {"present": 1.0, "under_nose": 0.0}
    for bare, masked in zip(make(), make(mask=worn), strict=True):
        before, seen = landmarks(bare)
        after, visible = landmarks(masked)
        assert np.array_equal(before, after)
        assert seen[48:60].any()
        assert not visible[48:68].any()
        assert not visible[[30, 33]].any()
        assert visible[36:48].mean() > 0.9
        assert mask(masked, "face_mask").mean() > 0.03
        assert not mask(masked, "upper_lip", "lower_lip", "inner_mouth", "teeth").any()


def test_a_mask_below_the_nose_shows_it(make: Any) -> None:
    # a broad laugh lifts the edge of the upper lip above it
    for r in make(mask={"present": 1.0, "under_nose": 1.0}, person={"expression": "neutral"}):
        assert landmarks(r)[1][30]
        assert not landmarks(r)[1][48:68].any()


def test_a_hand_has_the_colour_of_the_face_and_hides_what_is_behind(make: Any) -> None:
    hand = {"present": 1.0, "place": always(2), "lift": always(0.0), "x": always(0.0), "y": always(0.0)}
    for bare, held in zip(make(), make(hand=hand), strict=True):
        hidden = mask(held, "occluder")
        assert hidden.mean() > 0.02
        assert landmarks(held)[1][48:60].mean() < landmarks(bare)[1][48:60].mean()
        assert np.array_equal(held.scene.parameters["hand"]["tone"], held.scene.parameters["skin"]["tone"])
        # a hand lies on the face: nearer than what it hides, by no more than its thickness and the face's relief
        assert held.surface is not None
        assert bare.surface is not None
        both = hidden & (bare.surface.face_id >= 0) & mask(bare, "skin", "nose", "upper_lip", "lower_lip")
        gap = bare.surface.z[both] - held.surface.z[both]
        assert gap.min() > -0.002
        assert np.median(gap) < 0.06


@pytest.mark.parametrize("kind", THINGS)
def test_things_are_occluders_and_become_background_elsewhere(make: Any, kind: str) -> None:
    thing = {"present": 1.0, "kind": always(THINGS.index(kind)), "x": always(0.0), "y": always(0.0)}
    for r in make(count=3, occluder=thing):
        assert mask(r, "occluder").mean() > 0.005
    for target in ("celebamask19", "lapa11"):
        assert class_mapping("synthforge", target)[SYNTHFORGE.id("occluder")] == 0


def test_scarves_are_cloth_and_headscarves_hats(make: Any) -> None:
    bare, scarf = make(), make(scarf={"present": 1.0, "rise": always(20.0)})
    for a, b in zip(bare, scarf, strict=True):
        assert mask(b, "neck").sum() < 0.6 * mask(a, "neck").sum()
        assert landmarks(b)[1][8] <= landmarks(a)[1][8]
    number = always(HAT_KINDS.index("headscarf"))
    for r in make(hat={"present": 1.0, "kind_men": number, "kind_women": number}):
        if r.scene.parameters["hat"]["kind"] == "headscarf":
            assert mask(r, "left_ear", "right_ear").sum() < 0.01 * mask(r, "hat").sum()
            assert mask(r, "hair").sum() < 0.01 * mask(r, "hat").sum()


def test_earrings_hang_at_the_ears(make: Any) -> None:
    rings = {"women": 1.0, "men": 1.0, "single": 0.0, "kind": always(2), "drop": always(20.0)}
    seen = 0
    for r in make(count=6, size=256, jewellery=rings, head={**NOTHING["head"], "gender_beta": 1.0}):
        pixels, _ = landmarks(r)
        y, x = np.nonzero(mask(r, "earring"))
        seen += len(x) > 0
        width = pixels[16, 0] - pixels[0, 0]
        # beside the jaw, between the eyes and below the chin
        assert (np.abs(x - pixels[27, 0]) > 0.35 * width).all()
        assert (y > pixels[36:48, 1].min()).all()
    assert seen >= 4


def test_a_margin_is_empty_and_never_covers_a_landmark(make: Any) -> None:
    border = {"margin": 1.0, "cut": 0.0, "wide": always(0.25), "fill": always(0)}
    found = 0
    for r in make(count=8, border=border, camera={**NOTHING["camera"], "shift_x": always(0.05)}):
        assert r.surface is not None
        pixels, visible = landmarks(r)
        side = r.scene.parameters["border"]["side"]
        edge = {0: np.s_[:, 0], 1: np.s_[:, -1], 2: np.s_[0], 3: np.s_[-1]}[side]
        found += not r.image[edge].any()
        assert (r.labels["synthforge"][edge] == 0).all()
        assert (r.surface.face_id[edge] == -1).all()
        inside = r.image[pixels[30:31, 1].astype(int), pixels[30:31, 0].astype(int)]
        assert inside.any()
        assert visible[30]
    assert found >= 6


def test_a_margin_repeats_the_photographs_last_pixels() -> None:
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    before, label = image.copy(), np.ones((8, 8), np.uint8)
    add_margin({"side": 0, "wide": 0.25, "fill": "repeated"}, np.full((2, 2), 5.0), image, (label, 0))
    assert (image[:, :2] == before[:, 2:3]).all()
    assert np.array_equal(image[:, 2:], before[:, 2:])
    assert label[:, :2].sum() == 0
    assert label[:, 2:].all()


def test_a_cut_face_lies_partly_outside(make: Any) -> None:
    for r in make(
        border={"cut": 1.0, "margin": 0.0, "shift": always(0.4)},
        camera={**NOTHING["camera"], "face_fraction": always(0.44)},
    ):
        pixels, visible = landmarks(r)
        outside = (pixels < 0).any(1) | (pixels >= SIZE).any(1)
        assert outside.any()
        assert not visible[outside].any()


def scene(index: int) -> dict[str, Any]:
    return sampling.sample_scene(AnnyConfig(), ("a",), EXPRESSION, 5, index)


LOOKS = tuple(f"eyeLook{way}{side}" for way in ("Up", "Down", "In", "Out") for side in ("Left", "Right"))
EXPRESSION = (*LOOKS, "eyeBlinkLeft", "eyeBlinkRight", "jawOpen")


def test_shares_of_people_are_as_declared() -> None:
    scenes = [scene(i) for i in range(800)]
    for name, low, high in (
        ("hat", 0.05, 0.11),
        ("mask", 0.015, 0.05),
        ("hand", 0.03, 0.075),
        ("occluder", 0.03, 0.075),
    ):
        assert low < np.mean([s[name]["present"] for s in scenes]) < high, name
    women = [any(s["jewellery"]["worn"]) for s in scenes if s["head"]["phenotype"][0] > 0.5]
    men = [any(s["jewellery"]["worn"]) for s in scenes if s["head"]["phenotype"][0] <= 0.5]
    assert 0.15 < np.mean(women) < 0.32
    assert np.mean(men) < 0.08
    for s in scenes:
        assert not (s["hand"]["present"] and s["occluder"]["present"])
        if s["hat"]["present"] and s["hat"]["kind"] == "headscarf":
            assert s["scarf"]["label"] == "hat"
            assert s["hair"]["style"] in ("buzz", "bald")


def test_a_hood_takes_the_fringe_a_cap_leaves_the_hair() -> None:
    hair = {"style": "long", "fringe": 30.0, "cover_ears": 0.2}
    assert adapt_hair(hair, {"present": True, "kind": "hood"}) == {"style": "long", "fringe": 0.0, "cover_ears": 1.0}
    assert adapt_hair(hair, {"present": True, "kind": "cap"}) == hair
    assert adapt_hair(hair, {"present": False, "kind": "headscarf"}) == hair


def test_slots_share_no_vertex_and_faces_stay_inside() -> None:
    runs = sorted((slot.run.start, slot.run.stop) for slot in SLOTS.values())
    assert all(a[1] == b[0] for a, b in pairwise(runs))
    assert FACES.min() == 0
    assert FACES.max() == NUM_VERTICES - 1


def test_a_loft_is_seen_from_outside() -> None:
    line = np.array([[0.0, 0, 0], [0, 0, 1], [0, 0, 2]])
    points = loft(line, np.ones(3), np.ones(3), np.array([1.0, 0, 0]), 10)
    flat = points.reshape(-1, 3)
    faces = next(slot for slot in SLOTS.values() if slot.columns == 10 and slot.wraps)
    grid = type(faces)(10, 3, True, 0).faces()
    a, b, c = (flat[grid[:, k]] for k in range(3))
    normal, middle = np.cross(b - a, c - a), (a + b + c) / 3
    assert ((normal * (middle * [1, 1, 0])).sum(1) > 0).all()


def test_relief_takes_the_outermost_point_of_a_cell_and_its_neighbours() -> None:
    table = relief(np.array([[0.15, 0.15], [0.16, 0.12]]), np.array([1.0, 3.0]), np.zeros(2), np.ones(2), (10, 10))
    assert table.at(np.array([0.15, 0.15])) == 3.0
    assert table.at(np.array([0.25, 0.25])) == 3.0
    assert np.isneginf(table.at(np.array([[0.55, 0.55], [4.0, 0.0]]))).all()
