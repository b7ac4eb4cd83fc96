"""Populations ordered by a few keys: counted in the scenes as they are rendered, the orders of docs/anny.md first."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthforge_plugins.generators.anny.people.person import slider_of, years_of

from synthforge.core.errors import ConfigError
from synthforge.core.factors import Factor, seen
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Scene
from synthforge.core.yaml12 import parse

MANUAL = Path(__file__).parents[2] / "docs/anny.md"
SECTION = MANUAL.read_text(encoding="utf-8").split("## Say whom")[1].split("\n## ")[0]
BLOCKS: list[dict[str, Any]] = [parse(text, "docs/anny.md") for text in re.findall(r"```yaml\n(.*?)```", SECTION, re.S)]
FACES = 32
Seen = Mapping[str, Any]


def scenes(keys: Mapping[str, Any], count: int = FACES, seed: int = 4) -> tuple[list[Scene], dict[str, Factor]]:
    generator = load_plugins().build("generator", {"name": "anny", **keys})
    return [generator.sample(seed, index) for index in range(count)], {f.name: f for f in generator.factors()}


def shown(keys: Mapping[str, Any], count: int = FACES, seed: int = 4) -> list[Seen]:
    """What the pictures of an order show, by the names of the factors."""
    found, factors = scenes(keys, count, seed)
    return [{name: seen(vars(scene), factor) for name, factor in factors.items()} for scene in found]


ORDERS: list[Callable[[Seen], bool]] = [
    lambda p: (
        p["person.gender"] == "woman"
        and 60 <= p["person.age"] <= 90
        and p["person.skin"] >= 0.89
        and p["person.expression"] == "smiling"
        and abs(p["person.yaw"]) <= math.radians(60.01)
        and p["glasses.present"] == "yes"
        and p["glasses.sun"] == "no"
    ),
    lambda p: p["person.gender"] == "man" and p["beard.style"] in ("full", "goatee", "moustache"),
    lambda p: (
        3 <= p["person.age"] <= 13
        and p["person.ancestry"] in ("asian", "african")
        and p["person.expression"] in ("laughing", "surprised")
        and {p["mask.present"], p["hand.present"], p["occluder.present"]} == {"no"}
    ),
    lambda p: (
        22 <= p["person.age"] <= 40
        and abs(abs(p["person.yaw"]) - math.radians(60)) < 1e-4
        and abs(p["person.pitch"]) < 1e-4
        and p["person.expression"] == "neutral"
        and (p["hat.kind_men"] or p["hat.kind_women"]) in (("cap",) if p["person.gender"] == "man" else ("headscarf",))
    ),
    lambda p: (
        40 <= p["person.age"] <= 60
        and p["person.skin"] <= 0.25
        and p["person.expression"] in ("angry", "sad")
        and p["eyes.iris"] in ("blue", "green")
        and p["hat.present"] == "no"
        and (p["glasses.sun"] == "yes" or p["glasses.present"] == "no")
    ),
]


@pytest.mark.parametrize("number", range(len(ORDERS)))
def test_the_orders_of_the_manual_are_what_the_pictures_show(number: int) -> None:
    people = shown(BLOCKS[number])
    wrong = [index for index, person in enumerate(people) if not ORDERS[number](person)]
    assert not wrong, {
        name: people[wrong[0]][name] for name in people[0] if name.startswith(("person", "hat", "beard"))
    }
    # and nobody else's order: what is asked for does not happen by itself
    assert sum(map(ORDERS[number], shown({}, 20))) < 8


def test_shares_that_are_asked_for_are_those_of_the_pictures() -> None:
    children = shown(BLOCKS[2], 120)
    assert np.mean([p["person.ancestry"] == "asian" for p in children]) == pytest.approx(0.75, abs=0.1)
    cross = shown(BLOCKS[4], 120)
    assert np.mean([p["glasses.present"] == "yes" for p in cross]) == pytest.approx(1 / 3, abs=0.1)


def test_what_is_left_out_stays_as_it_was() -> None:
    plain, _ = scenes({}, 5)
    ordered, _ = scenes({"person": {"gender": "woman", "age": 70}}, 5)
    for before, after in zip(plain, ordered, strict=True):
        assert before.drawn == {name: values for name, values in after.drawn.items() if name != "person"}
        for name in ("light", "background", "camera", "film"):
            assert str(before.parameters[name]) == str(after.parameters[name])
        assert (before.parameters["head"]["local"] == after.parameters["head"]["local"]).all()
        gender, other = (float(scene.parameters["head"]["phenotype"][0]) for scene in (before, after))
        assert other == max(gender, np.float32(1) - np.float32(gender))


def test_years_are_makehumans() -> None:
    assert [years_of(slider) for slider in (0.0, 1 / 3, 2 / 3, 1.0)] == pytest.approx([1, 10, 25, 90])
    assert all(years_of(slider_of(years)) == pytest.approx(years) for years in (1, 7, 18.4, 60, 90))


def test_what_rules_replace_is_reported_as_drawn_and_as_rendered() -> None:
    found, factors = scenes({"beard": {"style": "full"}}, 80)
    style = factors["beard.style"]
    assert all(scene.drawn["beard"]["style"] == 2 for scene in found)
    rendered = [seen(vars(scene), style) for scene in found]
    assert rendered == [scene.parameters["beard"]["style"] for scene in found]
    assert 0.2 < np.mean([name == "none" for name in rendered]) < 0.9
    lengths = [seen(vars(scene), factors["beard.length"]) for scene in found]
    assert [length is None for length in lengths] == [name == "none" for name in rendered]


def test_rules_are_switched_off_changed_and_added() -> None:
    keys = {"person": {"age": {"low": 30, "high": 80}}, "beard": {"style": "full"}}
    free = shown({**keys, "rules": {"no_beards_of_women": False}})
    assert {person["beard.style"] for person in free} == {"full"}
    stubble = shown({**keys, "rules": {"no_beards_of_women": {"value": "stubble"}}})
    assert {(p["person.gender"], p["beard.style"]) for p in stubble} == {("man", "full"), ("woman", "stubble")}
    old = {"factor": "glasses.present", "where": {"person.age": {"low": 60}}, "value": 1}
    young = {"factor": "glasses.present", "where": {"person.age": "young"}, "value": 0}
    read = shown({**keys, "rules": {"old": old, "young": young}})
    assert {p["glasses.present"] for p in read if p["person.age"] >= 60} == {"yes"}
    assert {p["glasses.present"] for p in read if p["person.age"] < 40} == {"no"}
    turned = {"factor": "camera.azimuth_degrees", "where": {"person.gender": "man"}, "value": 20}
    sides = shown({"rules": {"turned": turned, "roll": {**turned, "factor": "camera.roll_degrees", "value": 5}}}, 10)
    assert all(p["camera.roll"] == pytest.approx(math.radians(5)) for p in sides if p["person.gender"] == "man")
    found, _ = scenes({"rules": {"turned": {**turned, "value": 90}}}, 10)
    men = [scene for scene in found if scene.rendered["person"]["gender"] == 0]
    assert all(scene.rendered["camera"]["azimuth"] == pytest.approx(math.pi / 2) for scene in men)
    assert all(scene.rendered["person"]["yaw"] > 1 for scene in men)
    assert shown(BLOCKS[5], 3)  # the manual's


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"rules": {"no_beard_of_women": False}}, "no_beards_of_women"),
        ({"rules": {"mine": {"factor": "beard.stile", "where": {}}}}, "beard.style"),
        ({"rules": {"mine": {"factor": "beard.style", "where": {}, "value": "bushy"}}}, "not one of none, stubble"),
        ({"rules": {"mine": {"factor": "beard.length", "where": {}, "value": 900}}}, "out of range"),
        ({"rules": {"mine": {"factor": "skin.melanin", "where": {"person.skin": "dark"}, "value": 0}}}, "depend"),
        ({"rules": {"mine": {"factor": "beard.style"}}}, "needs `factor` and `where`"),
        ({"rules": {"mine": {"factor": "person.age", "where": {}, "value": 3}}}, "by the key `person`"),
        ({"rules": {"mine": {"factor": "beard.style", "where": {"hat.present": 1}, "value": 0}}}, "is a chance"),
        ({"rules": {"mine": {"factor": "camera.roll", "where": {}, "value": 0}}}, "camera.roll_degrees"),
        ({"person": {"age": 130}}, "out of range"),
        ({"person": {"gender": "lady"}}, "not one of man, woman"),
        ({"person": {"skin": {"dark": 1, "pink": 1}}}, "'pink' is not one of"),
        ({"design": {"kind": "sobol"}}, "both its `kind` and the `factors`"),
        ({"design": {"kind": "sobol", "factors": ["person.age"]}}, "person.age is not set"),
        ({"design": {"kind": "sobol", "factors": ["camera.azimut"]}}, "camera.azimuth"),
    ],
)
def test_orders_that_cannot_be_met_are_answered(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_plugins().build("generator", {"name": "anny", **keys})
    assert message in f"{caught.value} {caught.value.hint}"


def test_a_full_factorial_has_every_combination_equally_often() -> None:
    people = shown(BLOCKS[6], 32)
    cells = [(p["person.gender"], p["glasses.present"], round(p["person.skin"], 3)) for p in people]
    assert len(set(cells)) == 16
    assert all(cells.count(cell) == 2 for cell in cells)
    skins = sorted({cell[2] for cell in cells})
    assert skins == pytest.approx([0.1 + 1.9 * (level + 0.5) / 4 for level in range(4)], abs=1e-3)


@pytest.mark.parametrize("kind", ["latin_hypercube", "sobol"])
def test_spread_designs_put_one_sample_into_each_part(kind: str) -> None:
    order = {
        "person": {"age": {"low": 20, "high": 84}},
        "design": {"kind": kind, "factors": ["person.age", "camera.roll"], "size": 64},
    }
    found, _ = scenes(order, 64)
    parts = sorted(int(scene.drawn["person"]["age"] - 20) for scene in found)
    assert parts == list(range(64))
    rolls = np.sort([scene.drawn["camera"]["roll"] for scene in found])
    assert rolls.std() == pytest.approx(0.09, rel=0.05)
    assert np.abs(rolls + rolls[::-1]).mean() < 0.01  # as evenly on both sides
    generator = load_plugins().build("generator", {"name": "anny", **order})
    assert generator.sample(4, 37).drawn == found[37].drawn
    assert generator.sample(4, 64).drawn["person"] != found[0].drawn["person"]
    assert scenes(order, 3, seed=5)[0][0].drawn["person"] != found[0].drawn["person"]
