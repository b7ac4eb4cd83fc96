"""Pictures of the generator `anny`: labels against the head's own points, determinism, what hides what."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import label
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.factors.person import HAIR_STYLES
from synthforge_plugins.generators.anny.generator import AnnyGenerator
from synthforge_plugins.generators.anny.static_scene import StaticScene
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError
from synthforge.core.records import Rendering, Surface
from synthforge.geometry.cameras import stack_cameras, to_camera_torch
from synthforge.geometry.raster import get_rasteriser
from synthforge.testing import check_generator

SIZE = 112


def always(value: float) -> dict[str, Any]:
    return {"kind": "constant", "mean": value}


FRONTAL = {
    "azimuth_degrees": always(0.0),
    "elevation_degrees": always(0.0),
    "roll_degrees": always(0.0),
    "face_fraction": always(0.42),
    "shift_x": always(0.0),
    "shift_y": always(0.0),
}
NONE = {"present": 0.0}
BARE = {"glasses": NONE, "occluder": NONE}
# of an age at which heads may be bald
GROWN = {"children": 0.0, "age_low": 0.6}


def style(name: str, **extra: Any) -> dict[str, Any]:
    number = always(HAIR_STYLES.index(name))
    return {"style_men": number, "style_women": number, **extra}


@pytest.fixture(scope="module")
def generator() -> AnnyGenerator:
    return build(AnnyConfig())


@pytest.fixture(scope="module")
def make(generator: AnnyGenerator) -> Any:
    """Generators of other configurations on the same static scene, which takes seconds to build."""

    def with_config(**values: Any) -> AnnyGenerator:
        other = build(build_config(AnnyConfig, values))
        other.__dict__["head"] = generator.head
        other.__dict__["renderer"] = generator.renderer
        return other

    return with_config


@pytest.fixture(scope="module")
def pictures(generator: AnnyGenerator) -> list[Rendering]:
    return generator.render([generator.sample(11, i) for i in range(8)], SIZE)


def mesh(rendering: Rendering) -> Surface:
    assert rendering.surface is not None
    return rendering.surface


def landmarks(rendering: Rendering) -> np.ndarray:
    """The 68 points, world metres."""
    assert rendering.head is not None
    vertices = mesh(rendering).vertices[None, : mesh(rendering).head_vertices]
    return rendering.head.landmarks(torch.as_tensor(vertices))[0].numpy()


def mask(rendering: Rendering, *names: str) -> np.ndarray:
    return np.isin(rendering.labels["synthforge"], [SYNTHFORGE.id(name) for name in names])


def render(generator: AnnyGenerator, count: int, seed: int = 2, size: int = SIZE) -> list[Rendering]:
    return generator.render([generator.sample(seed, i) for i in range(count)], size)


def test_the_contract(generator: AnnyGenerator) -> None:
    check_generator(generator)


def test_a_rendering_is_consistent_with_its_surface(pictures: list[Rendering]) -> None:
    for r in pictures:
        s = mesh(r)
        assert r.head is not None
        assert r.image.shape == (SIZE, SIZE, 3)
        assert r.image.dtype == np.uint8
        assert np.isfinite(s.vertices).all()
        assert s.faces[: s.head_faces].tolist() == r.head.faces.tolist()
        assert s.faces.max() < len(s.vertices)
        seen = s.face_id >= 0
        label = r.labels["synthforge"]
        assert label.max() < len(SYNTHFORGE)
        assert ((label > 0) == seen).all()
        assert (s.z[~seen] == 0).all()
        assert np.abs(s.barycentric[seen].sum(-1) - 1).max() < 1e-4
        assert s.barycentric.min() >= 0
        # the surface point of every pixel projects onto the pixel's centre, at the depth that was written
        corners = s.vertices[s.faces[s.face_id[seen]]].astype(np.float64)
        points = (corners * s.barycentric[seen][..., None]).sum(1)
        pixels, z = r.camera.project(points)
        y, x = np.nonzero(seen)
        assert np.abs(z - s.z[seen]).max() < 2e-4
        assert np.abs(pixels - np.stack([x, y], 1) - 0.5).max() < 0.02


def test_pixels_do_not_depend_on_the_batch(generator: AnnyGenerator, pictures: list[Rendering]) -> None:
    scenes = [generator.sample(11, i) for i in range(8)]
    alone = [generator.render([s], SIZE)[0] for s in scenes[:3]]
    mixed = generator.render([scenes[2], scenes[0], scenes[1], scenes[5]], SIZE)
    for first, others in ((pictures[0], (alone[0], mixed[1])), (pictures[2], (alone[2], mixed[0]))):
        for other in others:
            assert np.array_equal(first.image, other.image)
            assert np.array_equal(first.labels["synthforge"], other.labels["synthforge"])
            assert np.array_equal(mesh(first).z, mesh(other).z)


def test_pixels_do_not_depend_on_the_number_of_threads(generator: AnnyGenerator, pictures: list[Rendering]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        again = generator.render([generator.sample(11, i) for i in range(3)], SIZE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(again, pictures[:3], strict=True))


def digest(rendering: Rendering) -> str:
    return hashlib.sha256(rendering.image.tobytes() + rendering.labels["synthforge"].tobytes()).hexdigest()


@pytest.mark.slow
def test_a_fresh_process_makes_the_same_bytes(pictures: list[Rendering]) -> None:
    program = (
        "import hashlib\n"
        "from synthforge_plugins.generators.anny import build\n"
        "from synthforge_plugins.generators.anny.factors.config import AnnyConfig\n"
        "g = build(AnnyConfig())\n"
        f"r = g.render([g.sample(11, 4)], {SIZE})[0]\n"
        "print(hashlib.sha256(r.image.tobytes() + r.labels['synthforge'].tobytes()).hexdigest())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split()[-1] == digest(pictures[4])


def test_labels_lie_where_the_landmarks_are(make: Any) -> None:
    # without smiles: the middle of lips whose corners are raised lies above them
    seen = {"head": {"blink": 0.0, "smile": 0.0}, "hand": {"present": 0.0}, "mask": {"present": 0.0}}
    generator = make(camera=FRONTAL, hair=style("buzz"), beard={"style": always(0)}, **seen, **BARE)
    wanted = {
        "nose": ([30], ("nose",)),
        "right eye": (range(36, 42), ("right_eye", "right_lid")),
        "left eye": (range(42, 48), ("left_eye", "left_lid")),
        "lips": (range(48, 60), ("upper_lip", "lower_lip", "inner_mouth", "teeth", "tongue")),
        "right brow": (range(18, 21), ("right_brow", "skin")),
        "left brow": (range(23, 26), ("left_brow", "skin")),
    }
    hits: dict[str, list[bool]] = {name: [] for name in wanted}
    for r in render(generator, 8, size=160):
        points = landmarks(r)
        for name, (numbers, classes) in wanted.items():
            (x, y), _ = r.camera.project(points[list(numbers)].mean(0))
            hits[name].append(bool(mask(r, *classes)[int(y), int(x)]))
    assert {name: float(np.mean(values)) for name, values in hits.items() if np.mean(values) < 0.85} == {}


def test_labels_of_the_bare_head_are_its_regions(make: Any) -> None:
    no_gums = {"crown": always(20.0)}
    generator = make(camera=FRONTAL, hair=style("bald"), beard={"style": always(0)}, skin=no_gums, **BARE)
    checked = 0
    for r in render(generator, 6, size=160):
        s = mesh(r)
        assert r.head is not None
        seen = (s.face_id >= 0) & (s.face_id < s.head_faces)
        regions = r.head.regions_at(s.face_id[seen], s.barycentric[seen])
        # nothing is painted on these: brows, beards, roots and cloth leave them as they are
        named = ("nose", "upper_lip", "lower_lip", "left_lid", "right_lid", "inner_mouth", "teeth", "tongue")
        bare = np.isin(regions, [SYNTHFORGE.id(name) for name in named])
        checked += bare.sum()
        # a point on the border of two cells of a region map may round to either
        assert (regions != r.labels["synthforge"][seen])[bare].mean() < 2e-3
    assert checked > 3000


def test_brows_are_painted_on_the_brow_points(make: Any) -> None:
    brows = {"density": always(0.95), "thickness": always(1.1)}
    generator = make(camera=FRONTAL, hair=style("buzz"), brows=brows, **BARE)
    for r in render(generator, 4, size=200):
        points = landmarks(r)
        for name, numbers in (("right_brow", range(17, 22)), ("left_brow", range(22, 27))):
            pixels, _ = r.camera.project(points[list(numbers)])
            y, x = np.nonzero(mask(r, name))
            assert len(x) > 40
            # the outline spans the points from end to end, and covers their middle
            assert abs(x.min() + 0.5 - pixels[:, 0].min()) < 6
            assert abs(x.max() + 0.5 - pixels[:, 0].max()) < 6
            assert abs(y.mean() + 0.5 - pixels[:, 1].mean()) < 4


def test_left_is_the_subjects_left(make: Any) -> None:
    for r in render(make(camera=FRONTAL, hair=style("buzz"), head={"blink": 0.0}, **BARE), 4):
        for part in ("eye", "brow", "ear"):
            left, right = (np.nonzero(mask(r, f"{side}_{part}"))[1] for side in ("left", "right"))
            if len(left) and len(right):
                assert left.mean() > right.mean(), part


def test_azimuth_turns_the_camera_to_the_subjects_left(make: Any) -> None:
    for azimuth in (-40.0, 40.0):
        r = render(make(camera={**FRONTAL, "azimuth_degrees": always(azimuth)}), 1)[0]
        assert np.sign(r.camera.position[0]) == np.sign(azimuth)


def test_the_face_has_the_size_that_was_asked_for(make: Any) -> None:
    for fraction in (0.26, 0.44):
        for r in render(
            make(camera={**FRONTAL, "face_fraction": always(fraction)}, head={"head": 0.0, "neck": 0.0}), 3
        ):
            points = landmarks(r)
            pixels, _ = r.camera.project(points)
            height = abs(pixels[8, 1] - pixels[17:27, 1].mean()) / SIZE
            assert height == pytest.approx(fraction, rel=0.12)
            assert (pixels > 0).all()
            assert (pixels < SIZE).all()


def test_hair_is_there_when_it_should_be_and_hides_ears(make: Any) -> None:
    common = {"camera": {**FRONTAL, "azimuth_degrees": always(34.0)}, "head": GROWN, **BARE}
    bald = render(make(hair=style("bald"), **common), 4)
    long = render(make(hair=style("long", cover_ears=always(0.0), length=always(150.0)), **common), 4)
    assert sum(mask(r, "hair").sum() for r in bald) == 0
    ears = [sum(mask(r, "left_ear", "right_ear").sum() for r in group) for group in (bald, long)]
    assert ears[0] > 100
    assert ears[1] < 0.25 * ears[0]
    for r in long:
        hair = mask(r, "hair")
        assert hair.mean() > 0.03
        painted = mesh(r).face_id[hair] < mesh(r).head_faces  # roots on the scalp are the head's own surface
        assert painted.mean() < 0.5


def test_no_background_is_seen_between_hair_and_face(make: Any) -> None:
    turned = {**FRONTAL, "azimuth_degrees": always(-34.0), "elevation_degrees": always(-20.0)}
    for hair in (style("curly"), style("long", cover_ears=always(0.0))):
        for r in render(make(camera=turned, head=GROWN, hair=hair, hand=NONE, **BARE), 4, size=192):
            empty = label(mesh(r).face_id < 0)[0]
            edge = np.unique(np.r_[empty[0], empty[-1], empty[:, 0], empty[:, -1]])
            assert (~np.isin(empty, edge) & (empty > 0)).sum() <= 40  # 13 to 490 without the inner side of hair


def test_a_full_beard_covers_the_chin_and_stubble_does_not_count(make: Any) -> None:
    men = {"gender_beta": 50.0}
    open_view = {name: {"present": 0.0} for name in ("hand", "mask", "scarf")}
    full = make(camera=FRONTAL, beard={"style": always(2), "density": always(1.0)}, head=men, **open_view, **BARE)
    stubble = make(camera=FRONTAL, beard={"style": always(1)}, head=men, **BARE)
    scenes = [s for s in (full.sample(4, i) for i in range(16)) if s.parameters["beard"]["style"] == "full"]
    assert scenes
    covered = [mask(r, "facial_hair").mean() for r in full.render(scenes, SIZE)]
    assert min(covered) > 0.01
    assert not any(mask(r, "facial_hair").any() for r in render(stubble, 4))


def test_eyes_are_seen_through_clear_lenses_and_not_through_dark_ones(make: Any) -> None:
    worn = {"present": 1.0, "rim": always(2.4)}
    dark = render(make(camera=FRONTAL, glasses={**worn, "sun": 1.0}, hair=style("buzz"), occluder={"present": 0.0}), 3)
    clear = render(make(camera=FRONTAL, glasses={**worn, "sun": 0.0}, hair=style("buzz"), occluder={"present": 0.0}), 3)
    for r in dark:
        assert mask(r, "glasses").sum() > 20
        assert mask(r, "lens").sum() > 60
        assert mask(r, "left_eye", "right_eye").sum() <= 2
    for r in clear:
        assert mask(r, "glasses").sum() > 20
        assert mask(r, "lens").sum() > 60
    assert sum(mask(r, "left_eye", "right_eye").sum() for r in clear) > 30


def test_long_beards_stand_off_the_chin_and_leave_lips_ears_and_chest_alone(make: Any) -> None:
    head = {"gender_beta": 50.0, "children": 0.0, "neck": 0.0, "head": 0.0}
    plain = {"camera": FRONTAL, "head": head, "hat": {"present": 0.0}, "mask": {"present": 0.0}}
    plain |= {"scarf": {"present": 0.0}, "hand": {"present": 0.0}, "hair": style("bald"), **BARE}
    made = [
        make(beard={"style": always(kind), "density": always(1.0), "length": always(length)}, **plain)
        for kind, length in ((0, 9.0), (2, 4.0), (2, 60.0))
    ]
    wanted = [i for i in range(12) if made[2].sample(4, i).parameters["beard"]["style"] == "full"][:4]
    assert wanted
    static: StaticScene = made[2].renderer.static
    height, ears = static.mm[:, 1], np.asarray(static.head.ear)
    for before, *bearded in zip(*(g.render([g.sample(4, i) for i in wanted], SIZE) for g in made), strict=True):
        beards = [mask(r, "facial_hair") for r in bearded]
        assert beards[1].sum() > 1.3 * beards[0].sum()
        chin = before.camera.project(landmarks(before)[8:9])[0][0, 1]
        assert np.nonzero(beards[1])[0].max() > chin + 0.1 * SIZE
        for r, beard in zip(bearded, beards, strict=True):
            # the mouth is as visible as on a shaven face, but for single hairs along the lips
            lips = [mask(x, "upper_lip", "lower_lip", "teeth", "inner_mouth", "tongue") for x in (before, r)]
            assert (lips[0] & ~lips[1]).sum() <= 0.15 * lips[0].sum()
            s = mesh(r)
            own = beard & (s.face_id < s.head_faces)
            corners = s.faces[s.face_id[own]]
            assert height[corners].min() > -175.0
            assert (ears[corners] < 0.5).any(1).all()
            lifted = s.faces[s.face_id[beard & ~own]]
            assert lifted.min() >= static.beard_first
            assert lifted.max() < static.glasses_first


def test_the_length_of_a_beard_moves_nothing_else(make: Any) -> None:
    short, long = (make(beard={"length": always(value)}).sample(4, 1) for value in (4.0, 60.0))
    assert short.parameters["beard"].pop("length") < long.parameters["beard"].pop("length")
    assert short.drawn["beard"].pop("length") < long.drawn["beard"].pop("length")
    assert str(short.parameters) == str(long.parameters)
    assert short.drawn == long.drawn


def test_an_occluder_lies_in_front(make: Any) -> None:
    centre = {"present": 1.0, "x": always(0.0), "y": always(0.0)}
    for r in render(make(camera=FRONTAL, occluder=centre, hair=style("buzz")), 3):
        assert mask(r, "occluder").sum() > 100
        assert not mask(r, "nose").sum() > 0.5 * mask(r, "occluder").sum()


def test_light_and_skin_change_the_picture_but_not_the_labels(make: Any, generator: AnnyGenerator) -> None:
    bright = make(light={"key_azimuth_degrees": always(69.0)}, skin={"melanin": always(0.5)})
    changed = bright.render([bright.sample(11, 1)], SIZE)[0]
    before = generator.render([generator.sample(11, 1)], SIZE)[0]
    assert np.array_equal(before.labels["synthforge"], changed.labels["synthforge"])
    assert np.abs(before.image.astype(int) - changed.image).mean() > 2


def test_shadows_fall_away_from_the_light(make: Any) -> None:
    def lit(azimuth: float) -> np.ndarray:
        light = {"count": always(1), "key_azimuth_degrees": always(azimuth), "key_elevation_degrees": always(11.5)}
        light |= {"key_level": always(1.2), "ambient_level": always(0.15), "ambient_side": always(0.0)}
        g = make(camera=FRONTAL, light=light, hair=style("bald"), film={"noise": always(0.0)}, **BARE)
        r = render(g, 1)[0]
        skin = mask(r, "skin")
        x = np.nonzero(skin)[1]
        halves = [r.image[skin][(x - np.median(x)) * side > 4].mean() for side in (-1, 1)]
        return np.array(halves)

    from_left, from_right = lit(63.0), lit(-63.0)  # positive: to the subject's left, image right
    assert from_left[1] > 1.3 * from_left[0]
    assert from_right[0] > 1.3 * from_right[1]


def test_layers_agree_with_the_geometry_librarys_rasteriser(generator: AnnyGenerator) -> None:
    """The generator draws with a rasteriser of its own: the opaque layer of a bald, bare head must be the same."""
    plain = build(
        build_config(AnnyConfig, {"hair": style("bald"), "head": GROWN, **BARE, "eyes": {"lashes": always(0.0)}})
    )
    plain.__dict__["head"], plain.__dict__["renderer"] = generator.head, generator.renderer
    static: StaticScene = generator.renderer.static
    renderings = render(plain, 4)
    vertices = torch.as_tensor(np.stack([mesh(r).vertices for r in renderings]))
    intrinsics, poses = stack_cameras([r.camera for r in renderings])
    solid = torch.zeros(len(static.faces), dtype=torch.bool)
    for first, last in static.layers[0]:
        solid[first:last] = True
    fragments = get_rasteriser("warp").rasterise(
        to_camera_torch(vertices, poses), torch.as_tensor(static.faces), intrinsics, SIZE, SIZE, face_mask=solid
    )
    ours = np.stack([mesh(r).face_id for r in renderings])
    theirs = fragments.face_id.numpy()
    assert (ours != theirs).mean() < 2e-3
    same = (ours == theirs) & (ours >= 0)
    z = np.stack([mesh(r).z for r in renderings])
    assert np.abs(z - fragments.z.numpy())[same].max() < 1e-4


def test_the_head_takes_keys_of_its_own_distribution() -> None:
    assert build(build_config(AnnyConfig, {"head": {"blink": 0.5}})).config.head.blink == 0.5
    with pytest.raises(ConfigError, match="blnk"):
        build_config(AnnyConfig, {"head": {"blnk": 0.5}})
