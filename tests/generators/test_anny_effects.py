"""Light, film, skin, hair and backgrounds of the generator `anny`: each is deterministic, seen, and moves no label."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.backdrops.shapes import SHAPES, draw_background
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.factors.person import HAIR_STYLES
from synthforge_plugins.generators.anny.factors.picture import BACKGROUNDS
from synthforge_plugins.generators.anny.film.develop import publish, tone_table
from synthforge_plugins.generators.anny.generator import AnnyGenerator
from synthforge_plugins.generators.anny.light.environment import (
    ENVIRONMENTS,
    NAMES,
    at,
    irradiance,
    mean_luminance,
    unit,
)
from synthforge_plugins.generators.anny.light.lamps import FACE, Lamps, lamps_of
from synthforge_plugins.generators.anny.shading.wrinkles import (
    ACTIONS,
    BOTTOM,
    FOLDS,
    HEIGHT,
    LEFT,
    TEXEL,
    WIDTH,
    creased,
)
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, DataError
from synthforge.core.records import Rendering
from synthforge.geometry.meshes import vertex_normals

SIZE = 96


def always(value: float) -> dict[str, Any]:
    return {"kind": "constant", "mean": value}


CLEAN = {
    **{name: always(0.0) for name in ("noise", "motion", "defocus", "jpeg", "blur", "warmth", "tint")},
    **{
        "scale": always(1.0),
        "shoulder": always(1.0),
        "exposure": always(0.0),
        "monochrome": 0.0,
        "clipped": always(1.0),
    },
}
PLAIN = {"kind": always(0), "texture": always(0.0)}
LIT = {"count": always(1), "environment": always(0)}


@pytest.fixture(scope="module")
def generator() -> AnnyGenerator:
    return build(AnnyConfig())


@pytest.fixture(scope="module")
def render(generator: AnnyGenerator) -> Any:
    """Pictures of a configuration, on one static scene, which takes seconds to build."""

    def pictures(count: int = 2, **values: Any) -> list[Rendering]:
        groups = {"film": CLEAN, "background": PLAIN, "light": LIT, "head": {"children": 0.0}}
        other = build(build_config(AnnyConfig, {**{k: v | values.pop(k, {}) for k, v in groups.items()}, **values}))
        other.__dict__["head"], other.__dict__["renderer"] = generator.head, generator.renderer
        return other.render([other.sample(5, i) for i in range(count)], SIZE)

    return pictures


SCALE = {"scale": always(3.0)}
EFFECTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "noise": ({}, {"film": {"noise": always(4.0)}}),
    "motion": ({}, {"film": {"motion": always(12.0), "motion_turn_degrees": always(28.6)}}),
    "defocus": ({}, {"film": {"defocus": always(4.0)}}),
    "slight defocus": ({}, {"film": {"defocus": always(1.6)}}),
    "sharpening": ({}, {"film": {"blur": always(-0.5)}}),
    "small size": ({}, {"film": SCALE | {"box": always(0)}}),
    "small size by averages": ({"film": SCALE | {"box": always(0)}}, {"film": SCALE | {"box": always(1)}}),
    "jpeg": ({}, {"film": {"jpeg": always(60)}}),
    "jpeg's colour": (
        {"film": {"jpeg": always(90), "chroma": always(0)}},
        {"film": {"jpeg": always(90), "chroma": always(1)}},
    ),
    "tint": ({}, {"film": {"tint": always(0.1)}}),
    "environment": ({}, {"light": {"environment": always(NAMES.index("window"))}}),
    "no lamp": ({}, {"light": {"count": always(0), "environment": always(NAMES.index("overcast"))}}),
    "near light": ({}, {"near_light": {"present": 1.0}}),
    "wrinkles": (
        {"skin": {name: always(0.0) for name in ("forehead", "folds", "crow", "bags")}},
        {"skin": {"forehead": always(0.4), "folds": always(0.5), "crow": always(0.4), "bags": always(0.3)}},
    ),
    "moles": ({"skin": {"moles": always(0.0)}}, {"skin": {"moles": always(0.4)}}),
    "pores": ({"skin": {"pores": always(0.0)}}, {"skin": {"pores": always(0.2)}}),
    "make-up": (
        {"skin": {"eyeshadow": always(0.0), "rouge": always(0.0)}},
        {"skin": {"eyeshadow": always(0.9), "rouge": always(0.5)}},
    ),
    "lashes": ({"eyes": {"lashes": always(0.0)}}, {"eyes": {"lashes": always(0.9)}}),
    "brows' colour": ({"brows": {"shade": always(1.0)}}, {"brows": {"shade": always(0.35)}}),
    "ends of hair": ({"hair": {"tips": always(0.0)}}, {"hair": {"tips": always(0.7)}}),
    "background": ({}, {"background": {"kind": always(BACKGROUNDS.index("crowd"))}}),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_an_effect_is_seen_again_and_moves_no_label(render: Any, name: str) -> None:
    without, with_effect = EFFECTS[name]
    before, after, again = render(**without), render(**with_effect), render(**with_effect)
    assert any(not np.array_equal(a.image, b.image) for a, b in zip(before, after, strict=True))
    for a, b, c in zip(before, after, again, strict=True):
        assert np.array_equal(b.image, c.image)
        assert a.surface is not None
        assert b.surface is not None
        assert np.array_equal(a.labels["synthforge"], b.labels["synthforge"])
        assert np.array_equal(a.surface.z, b.surface.z)
        assert np.array_equal(a.surface.vertices, b.surface.vertices)


def test_a_near_light_has_its_level_at_the_face_and_falls_by_the_square(generator: AnnyGenerator) -> None:
    scene = generator.sample(5, 0).parameters
    for turn in (0.0, 1.2):
        near = {"present": True, "x": 0.4, "y": 0.1, "z": 0.3, "size": 0.0, "colour": np.array([0.5, 1.0, 2.0])}
        lamps = lamps_of({**scene, "near_light": near, "camera": {"azimuth": turn}})
        place = lamps.towards[1] / lamps.near
        side = np.array([math.cos(turn), 0.0, -math.sin(turn)])  # to the right of the camera's picture
        assert (place - FACE) @ side == pytest.approx(0.4)
        assert (place - FACE) @ unit(turn, 0.0) == pytest.approx(0.3)

        def irradiance_at(point: np.ndarray, lamps: Lamps = lamps) -> np.ndarray:  # as the kernels compute it
            towards = lamps.towards[1] - lamps.near * point
            return np.asarray(lamps.colour[1] / (towards @ towards + lamps.size**2))

        assert irradiance_at(FACE) == pytest.approx(near["colour"])
        assert irradiance_at(2 * FACE - place) == pytest.approx(near["colour"] / 4)
        assert lamps.casting == 2


def test_a_near_light_lights_its_side_in_both_qualities(generator: AnnyGenerator) -> None:
    dark = {"count": always(0), "ambient_level": always(0.02), "environment": always(0), "environment_share": always(0)}
    head = {"children": 0.0, "neck": 0.0, "head": 0.0}
    for quality in ("fast", "fine"):
        means = []
        for x in (-0.4, 0.4):
            values = {"quality": quality, "film": CLEAN, "background": PLAIN, "light": dark, "head": head}
            place = {"x": always(x), "y": always(0.0), "z": always(0.2), "size": always(0.02)}
            values |= {"near_light": {"present": 1.0, **place}, "camera": {"azimuth_degrees": always(0.0)}}
            other = build(build_config(AnnyConfig, values))
            other.__dict__["head"], other.__dict__["renderer"] = generator.head, generator.renderer
            (made,) = other.render([other.sample(5, 0)], SIZE)
            grey, skin = made.image.mean(-1), made.labels["synthforge"] == SYNTHFORGE.id("skin")
            left = np.arange(SIZE) < np.flatnonzero(skin.any(0)).mean()
            means.append((grey[skin & left].mean(), grey[skin & ~left].mean()))
        assert means[0][0] > 1.5 * means[0][1], quality
        assert means[1][1] > 1.5 * means[1][0], quality


def test_film_does_not_depend_on_the_batch(generator: AnnyGenerator) -> None:
    scenes = [generator.sample(9, i) for i in range(12)]
    assert {s.parameters["film"]["jpeg"] > 0 for s in scenes} == {True, False}
    together = generator.render(scenes, SIZE)
    for i in (0, 5, 11):
        assert np.array_equal(generator.render([scenes[i]], SIZE)[0].image, together[i].image)


def test_shot_noise_grows_with_light_and_keeps_the_mean(render: Any) -> None:
    clean = render(1, background={"value": always(0.4), "saturation": always(0.0), "spread": always(0.0)})[0].image
    film = {"noise": always(6.0), "noise_floor": always(0.0), "grain": always(0)}
    noisy = render(1, film=film, background={"value": always(0.4), "saturation": always(0.0), "spread": always(0.0)})
    difference = noisy[0].image.astype(float) - clean
    middle = (clean > 60) & (clean < 200)
    assert abs(difference[middle].mean()) < 0.5
    assert 2 < difference[middle].std() < 14


def test_highlights_clip_without_a_shoulder() -> None:
    clipped, rolled = tone_table(1.0, 0.0), tone_table(1.0, 1.0)
    assert (clipped >= 255).sum() > (rolled >= 255).sum() + 64
    assert (np.diff(clipped) >= 0).all()
    assert (np.diff(rolled) >= 0).all()


def test_publishing_keeps_shape_and_place() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[20:44, 24:52] = 200
    for box in (False, True):
        small = publish(image, {"scale": 3.0, "jpeg": 70, "chroma": True, "box": box})
        assert small.shape == image.shape
        weight = small[..., 1].astype(float)
        y, x = np.mgrid[:64, :64]
        assert abs((weight * y).sum() / weight.sum() - 31.5) < 0.3
        assert abs((weight * x).sum() / weight.sum() - 37.5) < 0.3


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_mean_one_and_is_brightest_towards_its_light(name: str) -> None:
    polynomial = irradiance(name, 0.7)
    assert mean_luminance(polynomial) == pytest.approx(1.0)
    rng = np.random.default_rng(0)
    normals = rng.standard_normal((4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    values = normals @ polynomial[1:4] + polynomial[0]
    assert values.mean() > 0
    lobe = max(ENVIRONMENTS[name], key=lambda item: item.share * np.exp(-item.width))
    towards = unit(lobe.azimuth + 0.7, lobe.elevation)
    assert at(polynomial, towards).sum() > at(polynomial, -towards).sum()


def test_irradiance_matches_the_integral_of_its_light() -> None:
    """A point light's clamped cosine, which order 2 approximates: error within 10 % of the peak (Ramamoorthi 2001)."""
    from synthforge_plugins.generators.anny.light.environment import Lobe

    ENVIRONMENTS["point"] = (Lobe(1.0, 0.4, 0.3, 0.0, 6500),)
    try:
        polynomial = irradiance("point", 0.0)
    finally:
        del ENVIRONMENTS["point"]
    rng = np.random.default_rng(1)
    normals = rng.standard_normal((2000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    exact = 4.0 * np.maximum(normals @ unit(0.4, 0.3), 0.0)
    assert np.abs(at(polynomial, normals)[:, 1] - exact).max() < 0.1 * 4.0


def test_every_hair_style_renders_and_bigger_ones_cover_more(render: Any) -> None:
    share = {}
    for number, name in enumerate(HAIR_STYLES):
        hair = {"style_men": always(number), "style_women": always(number), "thickness": always(0.7)}
        labels = [r.labels["synthforge"] for r in render(2, hair=hair)]
        share[name] = np.mean([(label == SYNTHFORGE.id("hair")).mean() for label in labels])
    assert share["afro"] > 1.5 * share["buzz"]
    assert share["bob"] > share["short"]
    assert share["bald"] < 0.02


def test_backgrounds_are_within_their_number_of_shapes() -> None:
    factors = {"hue": 0.1, "saturation": 0.3, "value": 0.3, "spread": 0.5, "clutter": 8.0, "blur": 0.03}
    factors |= {"texture": 0.1, "texture_scale": 1.0}
    for kind in BACKGROUNDS:
        drawn = draw_background(kind, factors, np.random.default_rng(4))
        assert drawn["shapes"].shape == (drawn["count"], 10)
        assert drawn["count"] <= SHAPES
        assert np.isfinite(drawn["shapes"]).all()


def test_folds_lie_between_nose_and_mouth_and_not_on_the_cheeks(generator: AnnyGenerator) -> None:
    static = generator.renderer.static
    texture = static.wrinkles.cpu().numpy().reshape(HEIGHT, WIDTH, 4)[..., 1]
    column, row = ((static.skin_uv.cpu().numpy() - [LEFT, BOTTOM]) / TEXEL - 0.5).round().astype(int).T
    mm = static.mm
    body = generator.head.faces[generator.head.face_group == 0]
    normals = vertex_normals(torch.from_numpy(mm), torch.from_numpy(body)).numpy()
    front = np.flatnonzero((mm[:, 2] > -45) & (mm[:, 1] > -110) & (mm[:, 1] < 0) & (normals[:, 2] > 0.1))
    front = front[(column[front] >= 0) & (column[front] < WIDTH) & (row[front] >= 0) & (row[front] < HEIGHT)]
    dark = front[texture[row[front], column[front]] < -0.15]
    assert len(dark) > 10
    lines = [np.array(line, float) * [side, 1.0] for line, _ in FOLDS for side in (1.0, -1.0)]
    steps = np.linspace(0, 1, 9)[:, None]
    dense = np.concatenate([a + steps * (b - a) for line in lines for a, b in pairwise(line)])
    away = np.linalg.norm(mm[dark, None, :2] - dense[None], axis=-1).min(1)
    assert away.max() < 7.0, "millimetres from where folds are, seen from in front"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, colour in (("b.png", (20, 200, 30)), ("a.jpg", (220, 30, 20))):
        Image.new("RGB", (80, 60), colour).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_a_folder_of_pictures_is_the_background(generator: AnnyGenerator, folder: Path) -> None:
    values = {
        "film": CLEAN | {"vignette": always(0.0)},
        "background": {"folder": str(folder)},
        "border": {"cut": 0.0, "margin": 0.0},
    }
    own = build(build_config(AnnyConfig, values))
    own.__dict__["head"], own.__dict__["renderer"] = generator.head, generator.renderer
    scenes = [own.sample(3, i) for i in range(8)]
    names = [s.parameters["background"]["file"] for s in scenes]
    assert set(names) == {"a.jpg", "b.png"}
    for name, r in zip(names, own.render(scenes, SIZE), strict=True):
        behind = r.image[r.labels["synthforge"] == 0].mean(0)
        channel = 0 if name == "a.jpg" else 1
        assert behind[channel] > 1.5 * np.delete(behind, channel).max()
    assert own.provenance()["backgrounds"]["pictures"] == 2
    assert not generator.sample(3, 0).parameters["background"]["file"]


def test_a_folder_without_pictures_says_so(folder: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for place, message in ((empty, "holds no file ending in"), (tmp_path / "nowhere", "no folder")):
        with pytest.raises(ConfigError, match=message):
            build(build_config(AnnyConfig, {"background": {"folder": str(place)}}))
    (folder / "a.jpg").write_bytes(b"not a picture")
    own = build(build_config(AnnyConfig, {"background": {"folder": str(folder)}}))
    assert own.folder is not None
    with pytest.raises(DataError, match=r"a\.jpg"):
        own.folder.load({"file": "a.jpg", "crop": np.full(6, 0.5)}, 16)


def test_skin_folds_where_the_muscles_act_and_not_at_rest(generator: AnnyGenerator) -> None:
    names = generator.head.expression_names
    assert all(any(name.startswith(action) for name in names) for parts in ACTIONS.values() for action in parts)
    assert set(creased(np.zeros(len(names)), names).values()) == {0.0}
    half, full = (creased([x * name.startswith("mouthSmile") for name in names], names) for x in (0.5, 1.0))
    assert 0 < half["folds"] < full["folds"] <= 1
    assert full["crow"] > 0
    assert full["forehead"] == full["frown"] == 0
    depths = []
    for age in (6, 24, 80):
        config = build_config(AnnyConfig, {"person": {"age": age}})
        skin = build(config).sample(5, 0).parameters["skin"]
        assert (skin["folds"] > 0) == (age == 80), "the young have none at rest"
        depths.append(skin["crease"])
    assert depths == sorted(depths)


def test_creases_change_colours_alone(render: Any) -> None:
    who = {"person": {"expression": "surprised", "age": 40}, "hat": {"present": 0.0}}
    smooth, folded = (render(1, **who, skin={"crease": always(depth)})[0] for depth in (0.0, 0.5))
    assert (smooth.labels[SYNTHFORGE.name] == folded.labels[SYNTHFORGE.name]).all()
    skin = folded.labels[SYNTHFORGE.name] == SYNTHFORGE.id("skin")
    assert np.abs(folded.image.astype(int) - smooth.image)[skin].max() > 12


def test_gums_show_above_short_teeth_and_are_labelled(generator: AnnyGenerator, render: Any) -> None:
    who = {"person": {"expression": "laughing", "yaw_degrees": 0, "pitch_degrees": 0}, "mask": {"present": 0.0}}
    who |= {name: {"present": 0.0} for name in ("hand", "occluder")}
    short, tall = (render(6, **who, skin={"crown": always(height)}) for height in (4.0, 19.0))
    group, teeth = np.append(generator.head.face_group, 255), generator.head.group_names.index("upper_teeth")
    gums, colours = 0, []
    for few, many in zip(short, tall, strict=True):
        hit = group[np.where(few.surface.face_id < 0, -1, few.surface.face_id).clip(-1, len(group) - 1)] == teeth
        gum = hit & (few.labels[SYNTHFORGE.name] == SYNTHFORGE.id("inner_mouth"))
        assert (many.labels[SYNTHFORGE.name][gum] == SYNTHFORGE.id("teeth")).all()
        gums += gum.sum()
        colours += [few.image[gum].astype(int) - many.image[gum]]
    red, green, _ = np.concatenate(colours).mean(0)
    assert gums > 20
    assert red > green + 10, "gums are pink where teeth are white"
