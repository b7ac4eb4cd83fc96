"""A skin factor added by third-party code alone: no number drawn before moves, and the factor reaches the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
    return {name: render(reference) for name, reference in variants}


def test_every_number_drawn_before_stays(faces: dict[Any, list[Rendering]]) -> None:
    for plain, varied in zip(faces["anny"], faces["drawn"], strict=True):
        drawn = {group: dict(values) for group, values in varied.scene.drawn.items()}
        level = drawn["skin"].pop("sunburn")
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


def test_it_is_declared_documented_and_checked(plugins: Plugins) -> None:
    generator = plugins.build("generator", "sunburnt")
    declared = {factor.name: factor for factor in generator.factors()}["skin.sunburn"]
    assert (declared.kind, declared.low, declared.high, declared.source) == ("uniform", 0.0, 0.8, "a choice")
    rows = {row["key"]: row for row in describe_keys(plugins.entry("generator", "sunburnt").config)}
    assert rows["skin.sunburn"]["range"] == "0 to 1"
    with pytest.raises(ConfigError, match=r"here\.skin\.sunburn: 2 is out of range, which is 0 to 1"):
        plugins.config("generator", {"name": "sunburnt", "skin": {"sunburn": 2}}, where="here")
