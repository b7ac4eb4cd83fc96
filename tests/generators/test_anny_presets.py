"""Presets of the generator `anny`: they build, their keys exist, they differ as declared, and overrides win."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.people.sampling import drawn_factors
from synthforge_plugins.heads.anny.sampling import sample_expression
from test_origins import AnnyScenes

from synthforge.core.errors import ConfigError
from synthforge.core.nearby import Origin
from synthforge.core.plugins import Plugins, load_plugins


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins(strict=True)


def config(plugins: Plugins, **keys: Any) -> AnnyConfig:
    built: AnnyConfig = plugins.config("generator", {"name": "anny", **keys}, where="here.generator")
    return built


def draws(config: AnnyConfig, group: str, factor: str, count: int = 80) -> np.ndarray:
    return np.array([drawn_factors(config, Origin(1, i))[group][factor] for i in range(count)])


@pytest.mark.parametrize("name", load_plugins().entry("generator", "anny").presets)
def test_every_preset_is_a_configuration_that_scenes_can_be_drawn_from(plugins: Plugins, name: str) -> None:
    built = config(plugins, preset=name)
    assert (built == AnnyConfig()) == (name == "in-the-wild")
    scene = AnnyScenes(built).sample(1, 2)
    assert set(scene.drawn) <= set(vars(built))


def test_a_frontal_view_is_frontal_and_free(plugins: Plugins) -> None:
    built = config(plugins, preset="frontal")
    assert np.abs(draws(built, "camera", "azimuth")).max() <= 0.15
    scenes = [AnnyScenes(built).sample(1, i).parameters for i in range(60)]
    assert not any(scene["hat"]["present"] or scene["occluder"]["present"] for scene in scenes)
    assert any(AnnyScenes().sample(1, i).parameters["hat"]["present"] for i in range(60))


def test_a_drivers_camera_looks_up_in_grey_at_caps_and_sunglasses(plugins: Plugins) -> None:
    built, wild = config(plugins, preset="driver-camera"), AnnyConfig()
    assert draws(built, "camera", "elevation").mean() < -0.2
    assert built.glasses.present * built.glasses.sun > 2 * wild.glasses.present * wild.glasses.sun
    assert built.hat.present > 2 * wild.hat.present
    scenes = [AnnyScenes(built).sample(1, i).parameters for i in range(20)]
    assert all(scene["film"]["saturation"] == 0 for scene in scenes)
    colour = config(plugins, preset="driver-camera", film={"monochrome": 0.0})
    assert AnnyScenes(colour).sample(1, 0).parameters["film"]["saturation"] > 0


def test_a_webcam_is_close_wide_and_low(plugins: Plugins) -> None:
    built = config(plugins, preset="webcam")
    assert draws(built, "camera", "field_of_view").min() >= 38
    assert draws(built, "camera", "elevation").mean() < -0.08
    assert draws(built, "light", "key_kelvin").mean() > draws(AnnyConfig(), "light", "key_kelvin").mean() + 800


def test_overrides_win_over_the_preset_key_by_key(plugins: Plugins) -> None:
    built = config(plugins, preset="webcam", camera={"field_of_view": {"high": 50.0}}, glasses={"present": 1.0})
    assert built.camera.field_of_view.bounds == (38.0, 50.0)
    assert (built.glasses.present, built.glasses.sun) == (1.0, 0.0)
    fixed = config(plugins, preset="webcam", camera={"elevation_degrees": 6})
    assert fixed.camera.elevation.bounds == pytest.approx((0.10472, 0.10472), abs=1e-5)


def test_an_unknown_preset_is_answered_with_the_nearest(plugins: Plugins) -> None:
    with pytest.raises(ConfigError, match=r"here\.generator\.preset: .*no preset 'driver'") as caught:
        config(plugins, preset="driver")
    assert "Did you mean 'driver-camera'?" in str(caught.value.hint)
    assert "frontal" in str(caught.value.hint)


def test_a_plugin_without_presets_knows_no_such_key(plugins: Plugins) -> None:
    with pytest.raises(ConfigError, match="preset"):
        plugins.config("generator", {"name": "eg3d", "preset": "webcam"}, where="here.generator")


def test_few_faces_are_lopsided_unless_asked(plugins: Plugins) -> None:
    stems = ("mouthSmile", "browDown", "noseSneer", "mouthFrown", "mouthPress", "mouthUpperUp", "mouthDimple")
    lids = ("eyeBlink", "eyeLookDown", "eyeLookUp", "eyeLookOut", "eyeLookIn")
    names = [stem + side for side in ("Left", "Right") for stem in (*stems, *lids)]

    def uneven(built: AnnyConfig) -> float:
        rng, gaze = np.random.default_rng(3), np.zeros((2, 2))
        drawn = np.stack([sample_expression(rng, built.head, names, gaze, "") for _ in range(400)])
        left, right = drawn[:, : len(stems)], drawn[:, len(stems) + len(lids) :][:, : len(stems)]
        return float((np.abs(left - right) > 0.2).any(1).mean())

    lopsided = {"sides": 0.2, "one_sided": 0.08, "aside": 1.0}
    assert uneven(AnnyConfig()) < 0.6 * uneven(config(plugins, head=lopsided))
    assert uneven(config(plugins, preset="frontal")) < 0.02
