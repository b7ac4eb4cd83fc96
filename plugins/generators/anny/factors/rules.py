"""Rules about people, as data. A rule changes a drawn value, or a chance, that would be implausible.

The key `rules` switches rules off, changes them and adds others. Continuous dependences (hair greys and recedes with
age, brows follow the hair's colour, melanin follows ancestry) are formulas in `people.sampling`. What a headscarf hides
is in `people.worn`. The values before any rule are stored with each sample (`drawn`), and what the rules made of them
(`rendered`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from synthforge.core.errors import did_you_mean
from synthforge.core.keys import Key, plain_name

from .person import HAIR_STYLES
from .table import table_of
from .worn import EARRING_KINDS, HAT_KINDS, THINGS

#: years; from GROWN on people have beards, wear headscarves and brimmed hats and hold microphones
TEENAGER, GROWN = 18.4, 21.1
_MAN, _WOMAN = {"person.gender": (0.0, 0.0)}, {"person.gender": (1.0, 1.0)}
_YOUNG, _CHILD = {"person.age": (0.0, TEENAGER)}, {"person.age": (0.0, GROWN)}
_SMALL = {"person.age": (0.0, 13.0)}
_SHORT = float(HAIR_STYLES.index("short"))


@dataclass(frozen=True)
class Rule:
    """Where every fact lies in its closed range: take `value`, or `times` what was drawn.

    facts: factors of the person (`person.age` in years ...), and others as drawn; those of the skin itself know no
    `person.skin`. among: only when one of these values was drawn; empty for any.
    """

    factor: str
    facts: Mapping[str, tuple[float, float]]
    why: str = ""
    value: float | None = None
    times: float = 1.0
    among: tuple[float, ...] = ()


def _swap(kinds: tuple[str, ...], kind: str, instead: str) -> dict[str, Any]:
    return {"value": float(kinds.index(instead)), "among": (float(kinds.index(kind)),)}


RULES: dict[str, Rule] = {
    "no_beards_of_women": Rule("beard.style", _WOMAN, "women grow no beard", 0),
    "no_beards_of_children": Rule("beard.style", _CHILD, "nor do children", 0),
    "no_bald_boys": Rule("hair.style_men", _YOUNG, "children are not bald", _SHORT, among=(0,)),
    "no_bald_girls": Rule("hair.style_women", _YOUNG, "children are not bald", _SHORT, among=(0,)),
    "dark_hair": Rule("hair.colour", {"person.skin": (0.7, 9.0)}, "dark skin goes with dark hair", times=0.5),
    "dark_eyes": Rule(
        "eyes.iris", {"person.skin": (0.75, 9.0)}, "light irises go with little melanin", 0, among=(2, 3, 4, 5)
    ),
    "liner_of_men": Rule("eyes.liner", _MAN, "few men paint their lids", times=0.25),
    "lashes_of_men": Rule("eyes.lashes", _MAN, "men's lashes show less: neither painted nor curled", times=0.45),
    "no_lipstick_of_men": Rule("skin.lipstick", _MAN, "few men wear lipstick", 0),
    "no_lipstick_of_children": Rule("skin.lipstick", _YOUNG, "nor do children", 0),
    "no_eyeshadow_of_men": Rule("skin.eyeshadow", _MAN, "few men paint their lids", 0),
    "no_eyeshadow_of_children": Rule("skin.eyeshadow", _YOUNG, "nor do children", 0),
    "no_rouge_of_men": Rule("skin.rouge", _MAN, "few men paint their cheeks", 0),
    "no_rouge_of_children": Rule("skin.rouge", _YOUNG, "nor do children", 0),
    "no_pores_of_children": Rule("skin.pores", _YOUNG, "children's skin is smooth", 0),
    "smooth_skin_of_children": Rule("skin.relief", _SMALL, "children's skin is smooth", times=0.25),
    "even_skin_of_children": Rule("skin.mottle", _SMALL, "and even", times=0.5),
    "fine_skin_of_children": Rule("skin.grain", _SMALL, "and fine", times=0.25),
    "dull_skin_of_children": Rule("skin.sebum", _SMALL, "sebum comes with puberty", times=0.6),
    "few_moles_of_children": Rule("skin.moles", _SMALL, "moles come with the years", times=0.25),
    "rosy_cheeks_of_children": Rule("skin.blush", _SMALL, "children's cheeks are rosy", times=1.7),
    "bright_sockets_of_children": Rule("skin.sockets", _SMALL, "eyes lie less deep", times=0.4),
    "smooth_lids_of_children": Rule("eyes.lower_fold", _SMALL, "no folds under the eyes", times=0.3),
    "white_eyes_of_children": Rule("eyes.veins", _SMALL, "children's sclera shows few vessels", times=0.3),
    "no_headscarves_of_boys": Rule(
        "hat.kind_men", _CHILD, "a knitted cap instead", **_swap(HAT_KINDS, "headscarf", "beanie")
    ),
    "no_headscarves_of_girls": Rule(
        "hat.kind_women", _CHILD, "a knitted cap instead", **_swap(HAT_KINDS, "headscarf", "beanie")
    ),
    "no_brims_of_boys": Rule("hat.kind_men", _CHILD, "a cap instead", **_swap(HAT_KINDS, "brimmed", "cap")),
    "no_brims_of_girls": Rule("hat.kind_women", _CHILD, "a cap instead", **_swap(HAT_KINDS, "brimmed", "cap")),
    "no_microphones_of_children": Rule(
        "occluder.kind", _CHILD, "a blob instead", **_swap(THINGS, "microphone", "blob")
    ),
    "no_phones_of_children": Rule("occluder.kind", _CHILD, "a cup instead", **_swap(THINGS, "phone", "cup")),
    "studs_of_men": Rule("jewellery.kind", _MAN, "men wear studs", float(EARRING_KINDS.index("stud"))),
}


def plausible(
    group: str, drawn: Mapping[str, float], facts: Mapping[str, float], rules: Mapping[str, Rule] = RULES
) -> dict[str, float]:
    """The drawn values of a group of factors as the rules leave them, given what is known of the person."""
    values = dict(drawn)
    for rule in rules.values():
        where, _, name = rule.factor.partition(".")
        if where != group or name not in values or (rule.among and values[name] not in rule.among):
            continue
        if all(fact in facts and low <= facts[fact] <= high for fact, (low, high) in rule.facts.items()):
            values[name] = values[name] * rule.times if rule.value is None else rule.value
    return values


def rules_of(config: Any) -> Mapping[str, Rule]:
    """The rules of a generator's configuration: RULES as its key `rules` changes them.

    Raises ValueError for a rule that names no factor, no value of one, or a value out of range.
    """
    if not config.rules:
        return RULES
    found = dict(RULES)
    for name, given in config.rules.items():
        place = f"rules.{name}"
        if given is False or given is True:
            if name not in RULES:
                raise ValueError(f"{place}: there is no rule of this name. {did_you_mean(name, RULES)}")
            if not given:
                found.pop(name)
        elif isinstance(given, Mapping):
            found[name] = _rule(config, place, given, RULES.get(name))
        else:
            raise ValueError(f"{place}: a rule is switched off by false, or is a mapping of its keys")
    return found


def _rule(config: Any, place: str, given: Mapping[str, Any], before: Rule | None) -> Rule:
    known = ("factor", "where", "value", "times", "among", "why")
    stray = [name for name in given if name not in known]
    if stray or (before is None and not {"factor", "where"} <= set(given)):
        what = f"there is no key '{stray[0]}' here" if stray else "a rule needs `factor` and `where`"
        raise ValueError(f"{place}: {what}; its keys are {', '.join(known)}")
    try:
        factor, key, scale = _factor(config, str(given["factor"])) if "factor" in given else ("", Key(), 1.0)
        if before is not None and not factor:
            factor, key, scale = _factor(config, before.factor)
        if factor.startswith("person."):
            raise ValueError(f"factor: {factor} is who it is; rules change what people have: order by the key `person`")
        changed: dict[str, Any] = {"factor": factor}
        if "value" in given or "times" in given:
            changed |= {"value": None, "times": 1.0}
        if "value" in given:
            changed["value"] = _number(key, given["value"]) * scale
            if problem := key.problem(changed["value"]):
                raise ValueError(f"value: {problem}")
        if "times" in given:
            changed["times"] = float(given["times"])
        if "among" in given:
            changed["among"] = tuple(_number(key, each) * scale for each in given["among"])
        if "where" in given:
            changed["facts"] = dict(_facts(config, factor, given["where"]))
        changed |= {"why": str(given["why"])} if "why" in given else {}
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{place}: {error}") from None
    return dataclasses.replace(before, **changed) if before else Rule(**changed)


def _facts(config: Any, factor: str, where: Mapping[str, Any]) -> Iterator[tuple[str, tuple[float, float]]]:
    for name, wanted in where.items():
        fact, key, scale = _factor(config, str(name))
        if not table_of(config)[fact].drawn:
            raise ValueError(f"where: {fact} is a chance, which no rule can ask for")
        if fact == "person.skin" and factor.startswith("skin."):
            raise ValueError("where: what the skin is made of cannot depend on person.skin")
        if isinstance(wanted, Mapping):
            low, high = (float(wanted.get(end, open_)) for end, open_ in (("low", -math.inf), ("high", math.inf)))
        elif isinstance(wanted, str) and key.edges:
            code = key.code(wanted)
            low, high = key.edges[code : code + 2]
        else:
            low = high = _number(key, wanted)
        yield fact, (low * scale, high * scale)


def _factor(config: Any, name: str) -> tuple[str, Key, float]:
    """The name of a factor as tables have it, what is known of it, and radians per unit in YAML."""
    table = table_of(config)
    plain = plain_name(name, {each: row.key.unit for each, row in table.items()})
    return plain, table[plain].key, 1.0 if plain == name else math.radians(1)


def _number(key: Key, value: Any) -> float:
    return float(key.code(value)) if isinstance(value, str) and not key.edges else float(value)
