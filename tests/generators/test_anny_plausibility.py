"""Rules about people: each can be met, names factors that exist, and does what it says in drawn scenes."""

from __future__ import annotations

import pytest
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.factors.distributions import Distribution
from synthforge_plugins.generators.anny.factors.person import HAIR_STYLES
from synthforge_plugins.generators.anny.people.plausibility import RULES, Rule, plausible
from test_origins import AnnyScenes

PEOPLE = [
    {"gender": gender, "age": age, "melanin": melanin}
    for gender in (0.1, 0.9)
    for age in (0.4, 0.7)
    for melanin in (0.2, 1.5)
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.factor}: {rule.why}")
def test_every_rule_names_a_factor_and_holds_for_some_people_only(rule: Rule) -> None:
    group, name = rule.factor.split(".")
    distribution = getattr(getattr(AnnyConfig(), group), name)
    assert isinstance(distribution, Distribution)
    if distribution.kind == "choice" and rule.value is not None:
        assert rule.value in distribution.values
        assert set(rule.among) <= set(distribution.values)
    met = [all(low <= facts[f] <= high for f, (low, high) in rule.facts.items()) for facts in PEOPLE]
    assert any(met)
    assert not all(met)
    assert group != "skin" or "melanin" not in rule.facts, "melanin follows from the skin's own factors"


def test_a_rule_changes_its_factor_alone() -> None:
    drawn = {"style": 2.0, "density": 0.8}
    boy, man = {"gender": 0.1, "age": 0.4}, {"gender": 0.1, "age": 0.7}
    assert plausible("beard", drawn, boy) == {"style": 0, "density": 0.8}
    assert plausible("beard", drawn, man) == drawn
    assert drawn == {"style": 2.0, "density": 0.8}


def test_only_the_values_a_rule_names_are_replaced() -> None:
    child = {"gender": 0.1, "age": 0.4, "melanin": 0.2}
    bald, long = HAIR_STYLES.index("bald"), HAIR_STYLES.index("long")
    assert plausible("hair", {"style_men": bald, "colour": 0.6}, child)["style_men"] == HAIR_STYLES.index("short")
    assert plausible("hair", {"style_men": long, "colour": 0.6}, child)["style_men"] == long
    assert plausible("hair", {"style_men": long, "colour": 0.6}, {**child, "melanin": 1.0})["colour"] == 0.3


def test_scenes_keep_the_rules_and_remember_what_was_drawn() -> None:
    generator, overruled = AnnyScenes(), 0
    for index in range(200):
        scene = generator.sample(5, index)
        gender, age = scene.parameters["head"]["phenotype"][:2]
        if age < 0.52:
            assert scene.parameters["hair"]["style"] != "bald"
        if gender > 0.5 or age < 0.58:
            assert scene.parameters["beard"]["style"] == "none"
            overruled += scene.drawn["beard"]["style"] > 0
        if scene.parameters["skin"]["melanin"] > 0.75:
            assert scene.parameters["eyes"]["iris_kind"] < 2
    assert overruled > 20
