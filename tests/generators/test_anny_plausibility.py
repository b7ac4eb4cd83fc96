"""Rules about people: each can be met, names factors that exist, and does what it says in drawn scenes."""

from __future__ import annotations

import pytest
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.factors.person import HAIR_STYLES
from synthforge_plugins.generators.anny.factors.rules import RULES, Rule, plausible
from synthforge_plugins.generators.anny.factors.table import groups, rows
from test_origins import AnnyScenes

PEOPLE = [
    {"person.gender": gender, "person.age": age, "person.skin": melanin}
    for gender in (0, 1)
    for age in (12, 40)
    for melanin in (0.2, 1.5)
]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_names_a_factor_and_holds_for_some_people_only(rule: Rule) -> None:
    group, name = rule.factor.split(".")
    row = next(row for row in rows(groups(AnnyConfig())[group]) if row.name == name)
    assert row.drawn
    assert not [value for value in (rule.value or 0.0, *rule.among) if row.key.problem(value)]
    met = [all(low <= facts[f] <= high for f, (low, high) in rule.facts.items()) for facts in PEOPLE]
    assert any(met)
    assert not all(met)
    assert group != "skin" or "person.skin" not in rule.facts, "melanin follows from the skin's own factors"


def test_a_rule_changes_its_factor_alone() -> None:
    drawn = {"style": 2.0, "density": 0.8}
    boy, man = {"person.gender": 0.0, "person.age": 13.0}, {"person.gender": 0.0, "person.age": 30.0}
    assert plausible("beard", drawn, boy) == {"style": 0, "density": 0.8}
    assert plausible("beard", drawn, man) == drawn
    assert drawn == {"style": 2.0, "density": 0.8}


def test_only_the_values_a_rule_names_are_replaced() -> None:
    child = {"person.gender": 0.0, "person.age": 13.0, "person.skin": 0.2}
    bald, long = HAIR_STYLES.index("bald"), HAIR_STYLES.index("long")
    assert plausible("hair", {"style_men": bald, "colour": 0.6}, child)["style_men"] == HAIR_STYLES.index("short")
    assert plausible("hair", {"style_men": long, "colour": 0.6}, child)["style_men"] == long
    assert plausible("hair", {"style_men": long, "colour": 0.6}, {**child, "person.skin": 1.0})["colour"] == 0.3


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
