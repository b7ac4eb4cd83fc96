"""A skin factor added by third-party code alone: no number drawn before moves, and the factor reaches the picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthforge_plugins.generators.anny.factors import AnnyConfig, Distribution, SkinConfig, factor, uniform
from synthforge_plugins.generators.anny.generator import AnnyGenerator
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge.core.errors import ConfigError
from synthforge.core.keys import describe_keys
from synthforge.core.plugins import Plugins, load_plugins
from synthforge.core.records import Rendering

SIZE = 96


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins(["./sunburnt.py"], base=Path(__file__).parent)


@pytest.fixture(scope="module")
def faces(plugins: Plugins) -> dict[Any, list[Rendering]]:
    """Pictures of `anny`, and of the variant without and with sunburn."""

    def render(reference: dict[str, Any]) -> list[Rendering]:
        generator = plugins.build("generator", reference)
        found: list[Rendering] = generator.render([generator.sample(3, i) for i in range(4)], SIZE)
        return found

    variants: list[tuple[Any, dict[str, Any]]] = [("anny", {"name": "anny"}), ("drawn", {"name": "sunburnt"})]
    variants += [(level, {"name": "sunburnt", "skin": {"sunburn": level}}) for level in (0.0, 1.0)]
    further: dict[str, dict[str, Any]] = {
        "peeling": {"skin": {"sunburn": 0.0, "peeling": 0.9}},
        "dark": {"skin": {"sunburn": 0.0}, "glasses": {"dark": 0.9}},
        "flare": {"skin": {"sunburn": 0.0}, "film": {"flare": 0.3}},
    }
    variants += [(name, {"name": "sunburnt", **keys}) for name, keys in further.items()]
    return {name: render(reference) for name, reference in variants}


def test_every_number_drawn_before_stays(faces: dict[Any, list[Rendering]]) -> None:
    for plain, varied in zip(faces["anny"], faces["drawn"], strict=True):
        drawn = {group: dict(values) for group, values in varied.scene.drawn.items()}
        level = drawn["skin"].pop("sunburn")
        for group, name in (("skin", "peeling"), ("glasses", "dark"), ("film", "flare")):
            assert drawn[group].pop(name) == 0
        assert drawn == plain.scene.drawn
        assert varied.scene.parameters["skin"]["sunburn"] == pytest.approx(level, rel=1e-6)
    assert len({r.scene.drawn["skin"]["sunburn"] for r in faces["drawn"]}) == 4


def test_without_sunburn_the_picture_is_that_of_anny(faces: dict[Any, list[Rendering]]) -> None:
    for plain, varied in zip(faces["anny"], faces[0.0], strict=True):
        np.testing.assert_array_equal(plain.image, varied.image)


def test_sunburn_reddens_skin_and_moves_no_label(faces: dict[Any, list[Rendering]]) -> None:
    falls = []
    for plain, burnt in zip(faces[0.0], faces[1.0], strict=True):
        labels = plain.labels["synthforge"]
        np.testing.assert_array_equal(labels, burnt.labels["synthforge"])
        skin = np.isin(labels, [SYNTHFORGE.id(name) for name in ("skin", "nose")])
        red, green, _ = ((burnt.image[skin].astype(float) + 1) / (plain.image[skin].astype(float) + 1)).T
        if not plain.scene.parameters["film"]["monochrome"]:
            falls.append(float(np.quantile(red / green, 0.95)))
    assert len(falls) >= 3
    assert min(falls) > 1.05, "where most of the sun was, green falls against red"


def test_spots_of_the_skin_are_drawn_by_the_shader(faces: dict[Any, list[Rendering]]) -> None:
    for plain, peeling in zip(faces[0.0], faces["peeling"], strict=True):
        np.testing.assert_array_equal(plain.labels["synthforge"], peeling.labels["synthforge"])
        change = peeling.image.astype(int).sum(-1) - plain.image.astype(int).sum(-1)
        skin = plain.labels["synthforge"] == SYNTHFORGE.id("skin")
        assert 0.02 < (np.abs(change[skin]) > 6).mean() < 0.7, "spots: some of the skin, not all of it"


def test_a_factor_changes_what_any_room_reads(faces: dict[Any, list[Rendering]]) -> None:
    for plain, dark in zip(faces[0.0], faces["dark"], strict=True):
        assert dark.scene.parameters["glasses"]["tint"] == pytest.approx(0.9)
        lens = [(r.labels["synthforge"] == SYNTHFORGE.id("lens")).sum() for r in (plain, dark)]
        assert lens[1] > max(lens[0] - 5, 20)


def test_a_factor_of_the_film_changes_light_and_no_label(faces: dict[Any, list[Rendering]]) -> None:
    for plain, veiled in zip(faces[0.0], faces["flare"], strict=True):
        np.testing.assert_array_equal(plain.labels["synthforge"], veiled.labels["synthforge"])
        assert veiled.image.mean() > plain.image.mean() + 5


def test_a_look_that_no_kernel_reads_is_refused() -> None:
    @dataclass
    class Skin(SkinConfig):
        tattoo: Distribution = factor(uniform(0.0, 1.0), "Ink.", look="tattoo")  # noqa: RUF009

    with pytest.raises(ConfigError, match=r"skin\.tattoo has look='tattoo'"):
        AnnyGenerator(AnnyConfig(skin=Skin()))


def test_it_is_declared_documented_and_checked(plugins: Plugins) -> None:
    generator = plugins.build("generator", "sunburnt")
    declared = {factor.name: factor for factor in generator.factors()}["skin.sunburn"]
    assert (declared.kind, declared.low, declared.high, declared.source) == ("uniform", 0.0, 0.8, "a choice")
    rows = {row["key"]: row for row in describe_keys(plugins.entry("generator", "sunburnt").config)}
    assert rows["skin.sunburn"]["range"] == "0 to 1"
    with pytest.raises(ConfigError, match=r"here\.skin\.sunburn: 2 is out of range, which is 0 to 1"):
        plugins.config("generator", {"name": "sunburnt", "skin": {"sunburn": 2}}, where="here")
