"""Rules about people, as data. A rule changes a drawn value that would be implausible.

Continuous dependences (hair greys and recedes with age, brows follow the hair's colour, melanin follows ancestry) are
formulas in `sampling`; what is worn by whom is in `people.worn`. The values before any rule are stored with
each sample (`drawn`), so that reports compare what was drawn with what was declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TEENAGER = 0.52  # in the phenotypes' unit of age: 1/3 child, 2/3 young adult
GROWN = 0.58
_MAN, _WOMAN = (0.0, 0.5), (0.5, 1.0)
_CHILD = (-1.0, TEENAGER)


@dataclass(frozen=True)
class Rule:
    """Where every fact lies in its closed range: take `value`, or `times` what was drawn.

    facts: of `gender` (0 man, 1 woman), `age` (see TEENAGER) and, except for the skin itself, `melanin`. among: only
    when one of these values was drawn; empty for any.
    """

    factor: str
    facts: Mapping[str, tuple[float, float]]
    why: str
    value: float | None = None
    times: float = 1.0
    among: tuple[float, ...] = ()


RULES: tuple[Rule, ...] = (
    Rule("beard.style", {"gender": _WOMAN}, "women grow no beard", value=0),
    Rule("beard.style", {"age": (-1.0, GROWN)}, "nor do children", value=0),
    Rule("hair.style_men", {"age": _CHILD}, "children are not bald", value=2, among=(0,)),
    Rule("hair.style_women", {"age": _CHILD}, "children are not bald", value=2, among=(0,)),
    Rule("hair.colour", {"melanin": (0.7, 9.0)}, "dark skin goes with dark hair", times=0.5),
    Rule("eyes.iris", {"melanin": (0.75, 9.0)}, "light irises go with little melanin", value=0, among=(2, 3, 4, 5)),
    Rule("eyes.liner", {"gender": _MAN}, "few men paint their lids", times=0.25),
    Rule("eyes.lashes", {"gender": _MAN}, "men's lashes show less: neither painted nor curled", times=0.45),
    Rule("skin.lipstick", {"gender": _MAN}, "few men wear lipstick", value=0),
    Rule("skin.lipstick", {"age": _CHILD}, "nor do children", value=0),
)


def plausible(group: str, drawn: Mapping[str, float], facts: Mapping[str, float]) -> dict[str, float]:
    """The drawn values of a group of factors as the rules leave them, given what is known of the person."""
    values = dict(drawn)
    for rule in RULES:
        where, _, name = rule.factor.partition(".")
        if where != group or name not in values or (rule.among and values[name] not in rule.among):
            continue
        if all(low <= facts[fact] <= high for fact, (low, high) in rule.facts.items()):
            values[name] = values[name] * rule.times if rule.value is None else rule.value
    return values
