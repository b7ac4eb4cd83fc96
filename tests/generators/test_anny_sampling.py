"""Scenes of the generator `anny`: declared ranges, purity, independence of factors, and what depends on the person."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.factors.distributions import Distribution
from synthforge_plugins.generators.anny.factors.table import draw, groups
from synthforge_plugins.generators.anny.light.palette import luminance, skin_tone, white_light
from synthforge_plugins.generators.anny.people import sampling

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError
from synthforge.core.seeding import numpy_rng

LOCAL = ("l-eye-scale-decr-incr", "r-eye-scale-decr-incr", "chin-height-decr-incr")
LOOKS = tuple(f"eyeLook{way}{side}" for way in ("Up", "Down", "In", "Out") for side in ("Left", "Right"))
EXPRESSION = (*LOOKS, "eyeBlinkLeft", "eyeBlinkRight", "jawOpen")


def scene(index: int, config: AnnyConfig | None = None, seed: int = 3) -> dict:
    return sampling.sample_scene(config or AnnyConfig(), LOCAL, EXPRESSION, seed, index)


def none(name: str) -> np.random.Generator:
    raise AssertionError(f"{name} should share the stream of its group")


def flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


GROUPS = [name for name, group in groups(AnnyConfig()).items() if group.SHARED]


@pytest.mark.parametrize("name", GROUPS)
def test_draws_stay_within_the_declared_range_and_use_it(name: str) -> None:
    group = getattr(AnnyConfig(), name)
    drawn = [
        draw(group, numpy_rng(0, index, name), lambda factor, index=index: numpy_rng(0, index, f"{name}/{factor}"))
        for index in range(300)
    ]
    for factor, distribution in vars(group).items():
        if not isinstance(distribution, Distribution):
            continue
        values = np.array([d[factor] for d in drawn])
        low, high = distribution.bounds
        assert values.min() >= low - 1e-12, factor
        assert values.max() <= high + 1e-12, factor
        if distribution.kind == "uniform":
            assert abs(values.mean() - (low + high) / 2) < 0.12 * (high - low), factor
        if distribution.kind == "normal":
            assert values.std() > 0, factor
        if distribution.kind == "choice":
            share = np.array(distribution.weights) / sum(distribution.weights)
            found = np.array([(values == v).mean() for v in distribution.values])
            assert np.abs(found - share).max() < 0.1, factor


def test_camera_covers_the_papers_range() -> None:
    cameras = [scene(i)["camera"] for i in range(200)]
    azimuth = np.array([c["azimuth"] for c in cameras])
    assert azimuth.min() < -0.7
    assert azimuth.max() > 0.7
    assert all(abs(c["elevation"]) <= 0.8 and 12 <= c["field_of_view"] <= 27 for c in cameras)


def test_a_scene_is_a_function_of_seed_and_index() -> None:
    assert flat(scene(7)) == flat(scene(7))
    assert flat(scene(7)) != flat(scene(8))
    assert flat(scene(7)) != flat(scene(7, seed=4))


def test_changing_one_group_leaves_the_others_as_they_were() -> None:
    config = AnnyConfig()
    config.light.count = Distribution("constant", mean=3)
    config.light.key_azimuth = Distribution("uniform", low=-0.1, high=0.1)
    plain, changed = flat(scene(5)), flat(scene(5, config))
    assert plain["light"] != changed["light"]
    assert {k: v for k, v in plain.items() if k != "light"} == {k: v for k, v in changed.items() if k != "light"}


def test_changing_one_factor_leaves_its_group_as_it_was() -> None:
    group = AnnyConfig().camera
    before = draw(group, numpy_rng(1, 2, "camera"), none)
    group.azimuth = Distribution("normal", mean=0.0, std=0.2, low=-0.5, high=0.5)
    after = draw(group, numpy_rng(1, 2, "camera"), none)
    assert before["azimuth"] != after["azimuth"]
    assert {k: v for k, v in before.items() if k != "azimuth"} == {k: v for k, v in after.items() if k != "azimuth"}


def test_beards_grow_on_men_only_and_colours_are_colours() -> None:
    seen = {"man": 0, "woman": 0}
    for index in range(250):
        p = scene(index)
        gender, age = p["head"]["phenotype"][:2]
        bearded = p["beard"]["style"] != "none"
        if gender >= 0.5 or age <= sampling.TEENAGER:
            assert not bearded
        seen["man" if gender < 0.5 else "woman"] += bearded
        for group, name in (("skin", "tone"), ("skin", "lips"), ("hair", "colour"), ("eyes", "iris")):
            assert np.isfinite(p[group][name]).all()
            assert (p[group][name] >= 0).all()
            assert (p[group][name] <= 1.2).all(), (group, name, p[group][name])
        assert 0 <= p["light"]["count"] <= 3
        dark = p["light"]["colour"][p["light"]["count"] :]
        assert (dark == 0).all()
    assert seen["man"] > 20


def test_skin_darkens_with_melanin_and_reddens_with_blood() -> None:
    tones = np.stack([skin_tone(m, 0.0) for m in np.linspace(0, 2, 9)])
    assert (np.diff(tones, axis=0) < 0).all()
    assert (tones[:, 0] > tones[:, 1]).all()
    assert (tones[:, 1] > tones[:, 2]).all()
    pale, flushed = skin_tone(0.3, 0.0), skin_tone(0.3, 0.2)
    assert flushed[1] / flushed[0] < pale[1] / pale[0]


def test_white_light_is_neutral_at_daylight_and_red_below() -> None:
    assert np.allclose(white_light(6500), 1)
    warm = white_light(3000)
    assert warm[0] > warm[1] > warm[2]
    assert luminance(warm) == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"light": {"count": {"kind": "poisson"}}}, "poisson"),
        ({"camera": {"azimuth_degrees": {"kind": "uniform", "low": 60, "high": -60}}}, "low <= high"),
        ({"skin": {"melanine": 1}}, "melanine"),
        ({"hair": {"style_men": {"kind": "choice", "values": [1.0], "weights": [0.5, 0.5]}}}, "weights"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_config(AnnyConfig, values, where="generator")


def test_distributions_can_be_changed_key_by_key() -> None:
    narrow = {"camera": {"azimuth_degrees": {"low": -12, "high": 12}}, "glasses": {"present": 1.0}}
    config = build_config(AnnyConfig, narrow)
    assert config.camera.azimuth.bounds == pytest.approx((-0.20944, 0.20944), abs=1e-5)
    assert all(abs(scene(i, config)["camera"]["azimuth"]) <= 0.2095 for i in range(20))
    assert all(scene(i, config)["glasses"]["worn"] for i in range(20))
