"""From (seed, index) to the parameters of a picture: one random stream per group of factors.

What depends on the person (a beard on a man, grey hair with age, skin with ancestry) is decided here; everything the
renderer needs is in the result, as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from synthforge.core.nearby import Origin
from synthforge.geometry.cameras import orbit_direction

from ....heads.anny.sampling import sample_parameters
from ..backdrops.shapes import draw_background
from ..factors.config import AnnyConfig
from ..factors.design import design_point
from ..factors.person import (
    BEARD_STYLES,
    HAIR_STYLES,
    BeardConfig,
    BrowsConfig,
    ClothesConfig,
    EyesConfig,
    GlassesConfig,
    HairConfig,
    SkinConfig,
)
from ..factors.picture import BACKGROUNDS, LightConfig, NearLightConfig
from ..factors.rules import plausible, rules_of
from ..factors.table import draw, groups, kept, rows, used
from ..light.environment import NAMES as ENVIRONMENTS
from ..light.palette import IRIS, MELANIN_RANGE, from_hsv, hair_colour, skin_tone, white_light
from .person import (
    distance_of,
    facts_of,
    named_expression,
    rendered,
    seen_angles,
    shape_person,
    turned_camera,
    years_of,
)
from .worn import adapt_hair, sample_accessories

TEENAGER, YOUNG_ADULT = 0.52, 2 / 3  # in the phenotypes' unit of age
_ELASTIC = (4.0, 14.0, 30.0), (0.2, 0.5, 1.0)  # years, and how deep expression folds the skin
_LINES = ("forehead", "folds", "crow", "bags")


def sample_scene(
    config: AnnyConfig,
    local_names: tuple[str, ...],
    expression_names: tuple[str, ...],
    seed: int,
    index: int,
    origin: Origin | None = None,
) -> dict[str, Any]:
    """Everything one picture depends on. Pure in (seed, index); each group has its own stream, named as its key.

    origin: take the streams of this one instead.
    """
    return sample_with_factors(config, local_names, expression_names, origin or Origin(seed, index)).parameters


class Drawn(NamedTuple):
    """A scene's parameters; what was drawn of every declared factor by group, before it is fitted to the person; what
    the picture shows instead (`person.rendered`); the factors as the rules leave them."""

    parameters: dict[str, Any]
    drawn: dict[str, dict[str, float]]
    rendered: dict[str, Any]
    factors: Mapping[str, Mapping[str, float]]


def sample_with_factors(
    config: AnnyConfig, local_names: tuple[str, ...], expression_names: tuple[str, ...], origin: Origin
) -> Drawn:
    """The same, with the factors it was made from."""
    streams = {name: origin.stream(f"anny/{name}") for name in groups(config)}
    drawn, chances = _draw(config, origin, streams)
    who, turned = drawn["person"], dict(drawn["camera"])
    distance = distance_of(turned)

    def camera(turn: Rotation) -> np.ndarray:
        turned.update(turned_camera(turned, who, turn))
        return distance * orbit_direction(turned["azimuth"], turned["elevation"])

    expression = named_expression(who)
    head = sample_parameters(origin.stream("anny/head"), config.head, local_names, expression_names, camera, expression)
    shape_person(head["phenotype"], who)
    gender, age = float(head["phenotype"][0]), float(head["phenotype"][1])
    person = facts_of(head, turned, expression_names)
    facts = {f"{group}.{name}": value for group, values in drawn.items() for name, value in values.items()}
    facts |= {f"person.{name}": value for name, value in person.items()}
    facts.pop("person.skin", None)
    rules = rules_of(config)
    touched = {rule.factor.partition(".")[0] for rule in rules.values()}

    def ruled(group: str) -> dict[str, float]:
        if group not in touched:
            return dict(drawn[group])
        values = plausible(group, {**chances[group], **drawn[group]}, facts, rules)
        chances[group] = {name: values.pop(name) for name in chances[group]}
        return values

    factors = {"skin": ruled("skin")}
    skin = _skin(factors["skin"], config.skin.melanin_by_ancestry, head["phenotype"], who.get("skin"))
    facts["person.skin"] = person["skin"] = skin["melanin"]
    factors = {name: factors["skin"] if name == "skin" else ruled(name) for name in drawn}
    factors["camera"] |= {
        name: turned[name] for name in ("azimuth", "elevation") if turned[name] != drawn["camera"][name]
    }
    if any(factors["camera"][name] != turned[name] for name in ("azimuth", "elevation")):  # a rule has moved it
        there = distance * orbit_direction(factors["camera"]["azimuth"], factors["camera"]["elevation"])
        # the same draws: only eyes that look into the camera, and their lids, are other ones
        again = sample_parameters(
            origin.stream("anny/head"), config.head, local_names, expression_names, there, expression
        )
        head |= {name: again[name] for name in ("gaze", "expression")}
        person |= seen_angles(head, factors["camera"])
    chance = SimpleNamespace(**{name: SimpleNamespace(**values) for name, values in chances.items()})
    hair = _hair(factors["hair"], gender, age, skin["melanin"], streams["hair"])
    cloth = factors["clothes"]
    clothes: dict[str, Any] = {"colour": from_hsv(cloth["hue"], cloth["saturation"], cloth["value"])}
    clothes |= kept(ClothesConfig, cloth)
    worn = sample_accessories(factors, chance, streams, gender, age, skin["tone"], clothes["colour"])
    parameters = {
        "head": head,
        "camera": factors["camera"],
        "light": _lights(factors["light"]),
        "near_light": _near_light(factors["near_light"], chance.near_light.present, streams["near_light"]),
        "skin": skin,
        "eyes": _eyes(factors["eyes"]),
        "brows": _brows(factors["brows"], hair, skin, gender, config.brows.men),
        "hair": adapt_hair(hair, worn["hat"]),
        "beard": _beard(factors["beard"], hair),
        "clothes": clothes,
        "glasses": _glasses(factors["glasses"], chance.glasses.present, chance.glasses.sun, streams["glasses"]),
        **worn,
        "background": draw_background(
            BACKGROUNDS[int(factors["background"]["kind"])], factors["background"], streams["background"]
        ),
        "film": _film(factors["film"], chance.film.monochrome, streams["film"]),
    }
    for name, kind in groups(config).items():  # factors added to a group reach the parameters as they were drawn
        if further := kept(kind, factors[name], kind.SHARED):
            parameters[name] = parameters.get(name, {}) | further
    for group, name, change in used(config, "change"):
        change(parameters, factors[group][name])
    drawn = {name: values for name, values in drawn.items() if values}
    return Drawn(parameters, drawn, rendered(drawn, factors, parameters, person), factors)


def _draw(
    config: AnnyConfig, origin: Origin, streams: Mapping[str, np.random.Generator]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """What is drawn of every factor, and every chance, by group; a balanced design replaces those it names."""
    drawn = {name: draw(getattr(config, name), rng, partial(_own, origin, name)) for name, rng in streams.items()}
    chances = {
        name: {row.name: getattr(getattr(config, name), row.name) for row in rows(kind) if not row.drawn}
        for name, kind in groups(config).items()
    }
    for factor, value in design_point(config, origin.seed, origin.index).items():
        group, _, name = factor.partition(".")
        (drawn if name in drawn[group] else chances)[group][name] = value
    return drawn, chances


def _own(origin: Origin, group: str, factor: str) -> np.random.Generator:
    return origin.stream(f"anny/{group}/{factor}")


def recorded(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """Drawn or rendered values as samples keep them: to seven digits."""

    def short(value: float | None) -> float | None:
        return None if value is None else float(f"{value:.7g}")

    return {name: group and {factor: short(value) for factor, value in group.items()} for name, group in drawn.items()}


def drawn_factors(config: AnnyConfig, origin: Origin) -> dict[str, dict[str, float]]:
    """The values that `sample_scene` draws of every declared factor, by group, to seven digits."""
    drawn, _ = _draw(config, origin, {name: origin.stream(f"anny/{name}") for name in groups(config)})
    return recorded({name: values for name, values in drawn.items() if values})


def _lights(f: Mapping[str, float]) -> dict[str, Any]:
    """Directional lights (3,): colour 0 beyond `count`; a mean ambient colour and its gradients."""
    names = ("key", "fill", "back")
    count = int(f["count"])
    colour = np.zeros((3, 3))
    for i, name in enumerate(names[:count]):
        colour[i] = f[f"{name}_level"] * white_light(f[f"{name}_kelvin"])
    ambient = f["ambient_level"] * white_light(f["ambient_kelvin"])
    environment, share = ENVIRONMENTS[int(f["environment"])], f["environment_share"]
    return {
        "count": count,
        "azimuth": np.array([f[f"{name}_azimuth"] for name in names]),
        "elevation": np.array([f[f"{name}_elevation"] for name in names]),
        "colour": colour,
        "casting": int(f["casting"]),
        "softness": f["softness"],
        "ambient": ambient,
        **kept(LightConfig, f),
        "environment": environment,
        "environment_share": 0.0 if environment == "gradient" else share,
        "environment_level": f["ambient_level"] * f["environment_gain"],
    }


def _near_light(f: Mapping[str, float], present: float, rng: np.random.Generator) -> dict[str, Any]:
    colour = f["level"] * white_light(f["kelvin"])
    return {"present": bool(rng.random() < present), "colour": colour, **kept(NearLightConfig, f)}


def _skin(
    f: Mapping[str, float], by_ancestry: list[float], phenotype: np.ndarray, wanted: float | None
) -> dict[str, Any]:
    ancestry = phenotype[6:9] / max(float(phenotype[6:9].sum()), 1e-6)
    melanin = float(ancestry @ np.asarray(by_ancestry)) + f["melanin"] if wanted is None else wanted
    melanin = float(np.clip(melanin, *MELANIN_RANGE))
    age = float(phenotype[1])
    old = max(0.0, (age - YOUNG_ADULT) / (1 - YOUNG_ADULT))
    hue = np.exp([f["hue"], -0.3 * f["hue"], -f["hue"]])
    tone = skin_tone(melanin, f["haemoglobin"]) * math.exp(f["shade"]) * hue
    red, dark = f["lip_red"] * (1 - 0.25 * float(phenotype[0] < 0.5)), f["lip_dark"]
    lips = tone * np.array([1.0 - 0.35 * dark, 1.0 - 0.75 * red - 0.25 * dark, 1.0 - 0.6 * red - 0.25 * dark])
    if f["lipstick"] > 0:
        paint = from_hsv(0.97 + 0.06 * f["hue"] / 0.1, 0.75, 0.45 - 0.3 * dark)
        lips = lips * (1 - f["lipstick"]) + paint * f["lipstick"]
    aged = {name: f[name] * f["wrinkled"] * old for name in _LINES}
    # skin folds the deeper the less elastic it is: children's hardly does
    crease = f["crease"] * (float(np.interp(years_of(age), *_ELASTIC)) + 0.5 * old)
    shadow = from_hsv(f["eyeshadow_hue"], 0.5, 0.5) * tone
    relief = f["relief"] + f["ageing"] * old
    return kept(SkinConfig, f) | {
        "melanin": melanin,
        "tone": tone,
        "lips": lips,
        "relief": relief,
        "pores": f["pores"],
        "eyeshadow": f["eyeshadow"],
        "shadow_colour": shadow,
        "rouge": f["rouge"],
        "crease": crease,
        **aged,
    }


def _eyes(f: Mapping[str, float]) -> dict[str, Any]:
    kind = int(f["iris"])
    return {
        "iris_kind": kind,
        "iris": np.clip(IRIS[kind] * f["iris_shade"], 0, 1),
        "liner": f["liner"],
        "lashes": f["lashes"],
        **kept(EyesConfig, f),
    }


def _hair(
    f: Mapping[str, float], gender: float, age: float, melanin: float, rng: np.random.Generator
) -> dict[str, Any]:
    female = gender > 0.5
    kind = HAIR_STYLES[int(f["style_women"] if female else f["style_men"])]
    old = max(0.0, (age - YOUNG_ADULT) / (1 - YOUNG_ADULT))
    grey = float(np.clip(1.5 * old - 0.75 + f["grey"], 0, 1)) if old > 0.25 else 0.0
    # dark skin goes with dark hair
    colour = hair_colour(f["colour"], grey) * f["shade"] ** (1.0 - 0.7 * grey)
    return {
        "style": kind,
        "colour": np.clip(colour, 0, 1),
        "grey": grey,
        "recess": f["recess"] * (0.25 if female else 0.4 + 0.6 * old) * 34.0,
        "hairline": f["hairline"] + (0.0 if female else 9.0 * old),
        "fringe": float(f["fringe"] < (0.5 if female else 0.35)) * f["fringe_length"],
        "offset": rng.random(4),
        **kept(HairConfig, f),
    }


def _brows(
    f: Mapping[str, float], hair: Mapping[str, Any], skin: Mapping[str, Any], gender: float, men: float
) -> dict[str, Any]:
    # brows are darker than blond or grey hair, and clearly darker than the skin
    colour = np.minimum(np.minimum(hair["colour"], 0.12) * f["shade"], skin["tone"] * 0.42)
    thickness = f["thickness"] * (1.0 + men * (gender < 0.5))
    return {"colour": colour, "thickness": thickness, **kept(BrowsConfig, f)}


def _beard(f: Mapping[str, float], hair: Mapping[str, Any]) -> dict[str, Any]:
    style = BEARD_STYLES[int(f["style"])]
    return {"style": style, "colour": np.minimum(hair["colour"] * f["shade"], 0.5), **kept(BeardConfig, f)}


def _glasses(f: Mapping[str, float], present: float, sun: float, rng: np.random.Generator) -> dict[str, Any]:
    worn, dark = rng.random(2)
    return {
        "worn": bool(worn < present),
        "sun": bool(dark < sun),
        "tint": f["tint"] if dark < sun else 0.08,
        "colour": from_hsv(f["hue"], 0.35, f["value"]),
        **kept(GlassesConfig, f),
    }


def _film(f: Mapping[str, float], monochrome: float, rng: np.random.Generator) -> dict[str, Any]:
    grey, key = rng.random(), rng.integers(0, 2**31 - 1)
    flags = {"chroma": bool(f["chroma"]), "box": bool(f["box"]), "monochrome": bool(grey < monochrome)}
    return {**f, **flags, "saturation": 0.0 if grey < monochrome else f["saturation"], "noise_key": int(key)}
