"""Scenes near others, and what the generators declare, for every generator that can."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.factors.declared import declared_factors
from synthforge_plugins.generators.anny.people.sampling import drawn_factors, sample_scene

from synthforge.core.factors import Factor, read
from synthforge.core.interfaces import OriginGenerator
from synthforge.core.nearby import Origin
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Scene

LOCAL = ("l-eye-scale-decr-incr", "r-eye-scale-decr-incr", "chin-height-decr-incr")
LOOKS = tuple(f"eyeLook{way}{side}" for way in ("Up", "Down", "In", "Out") for side in ("Left", "Right"))
EXPRESSION = (*LOOKS, "eyeBlinkLeft", "eyeBlinkRight", "jawOpen")


class AnnyScenes(OriginGenerator):
    """The generator `anny` as far as scenes, without building its head."""

    def __init__(self, config: AnnyConfig | None = None) -> None:
        self.config = config or AnnyConfig()

    def sample_from(self, origin: Origin) -> Scene:
        key = origin.seed, origin.index
        parameters = sample_scene(self.config, LOCAL, EXPRESSION, *key, origin)
        return Scene(*key, parameters, drawn=drawn_factors(self.config, origin), origin=origin)

    def factors(self) -> tuple[Factor, ...]:
        return declared_factors(self.config, EXPRESSION)

    def render(self, scenes: Any, resolution: int) -> Any:
        raise AssertionError("nothing is rendered here")


@pytest.fixture(scope="module", params=["anny", "next3d", "eg3d"])
def generator(request: pytest.FixtureRequest) -> OriginGenerator:
    """Each first-party generator that draws its own scenes; none needs its weights for that."""
    if request.param == "anny":
        return AnnyScenes()
    built: OriginGenerator = load_plugins(strict=True).build("generator", request.param)
    return built


def values_of(generator: OriginGenerator, origins: list[Origin], wanted: list[Factor]) -> dict[str, np.ndarray]:
    records = []
    for origin in origins:
        scene = generator.sample_from(origin)
        records.append({"drawn": scene.drawn, "parameters": scene.parameters})
    return {f.name: np.array([v for r in records for v in read(r, f)]) for f in wanted}


def distance(factor: Factor, values: np.ndarray) -> float:
    """Kolmogorov-Smirnov, with steps."""
    values = np.sort(values)
    n = len(values)
    above = np.searchsorted(values, values, "right") / n - factor.cdf(values)
    below = factor.cdf(np.nextafter(values, -np.inf)) - np.searchsorted(values, values, "left") / n
    return float(max(above.max(), below.max()))


def flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: flat(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_a_scene_of_its_own_origin_is_the_sample(generator: OriginGenerator) -> None:
    plain, same = generator.sample(3, 5), generator.sample_from(Origin(3, 5))
    assert (same.seed, same.index) == (3, 5)
    assert flat(plain.parameters) == flat(same.parameters)


def test_every_declared_factor_has_a_source_and_its_declared_distribution(generator: OriginGenerator) -> None:
    wanted = [factor for factor in generator.factors() if factor.kind != "observed"]
    assert len(wanted) >= 4
    count = 400
    values = values_of(generator, [Origin(2, i) for i in range(count)], wanted)
    for factor in wanted:
        assert factor.source, f"{factor.name}: say where its numbers come from"
        found = values[factor.name]
        assert len(found) >= count, f"{factor.name}: no value at {factor.paths} in a sample"
        # one in a thousand would lie beyond this by chance; there are about 150
        assert distance(factor, found) < 2.3 / np.sqrt(len(found)), factor.name


def test_near_scenes_stay_within_what_is_declared_and_distributed_so(generator: OriginGenerator) -> None:
    wanted = [factor for factor in generator.factors() if factor.kind != "observed"]
    values = values_of(generator, [Origin(8, i, Origin(2, i), 0.4) for i in range(400)], wanted)
    for factor in wanted:
        low, high = factor.span()
        found = values[factor.name]
        slack = 1e-6 * max(1.0, abs(low), abs(high))
        assert found.min() >= low - slack, factor.name
        assert found.max() <= high + slack, factor.name
        assert distance(factor, found) < 2.3 / np.sqrt(len(found)), factor.name


def test_near_is_nearer_than_anywhere(generator: OriginGenerator) -> None:
    wanted = [factor for factor in generator.factors() if factor.kind in ("uniform", "normal")]
    parents = values_of(generator, [Origin(2, i) for i in range(60)], wanted)
    near = values_of(generator, [Origin(8, i, Origin(2, i), 0.3) for i in range(60)], wanted)
    far = values_of(generator, [Origin(8, i) for i in range(60)], wanted)
    for factor in wanted:
        name = factor.name
        moved = np.abs(near[name] - parents[name]).mean()
        assert moved < 0.75 * np.abs(far[name] - parents[name]).mean(), name


def test_whatever_may_be_present_is_reported() -> None:
    config = AnnyConfig()
    chances = {f"{name}.present" for name, group in vars(config).items() if hasattr(group, "present")}
    assert len(chances) >= 2
    assert chances <= {factor.name for factor in declared_factors(config)}, "say where it is seen: chance(..., seen=)"
