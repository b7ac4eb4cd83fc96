"""From (seed, index) to the parameters of a picture: one random stream per group of factors.

What depends on the person (a beard on a man, grey hair with age, skin with ancestry) is decided here; everything the
renderer needs is in the result, as numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from synthforge.core.nearby import Origin
from synthforge.geometry.cameras import orbit_direction

from ....heads.anny.sampling import sample_parameters
from ..backdrops.shapes import draw_background
from ..factors.config import AnnyConfig
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
from ..factors.picture import BACKGROUNDS, LightConfig
from ..factors.table import draw, groups, kept, used
from ..light.environment import NAMES as ENVIRONMENTS
from ..light.palette import IRIS, MELANIN_RANGE, from_hsv, hair_colour, skin_tone, white_light
from .plausibility import TEENAGER, plausible
from .worn import adapt_hair, sample_accessories

YOUNG_ADULT = 2 / 3  # in the phenotypes' unit of age
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
    return sample_with_factors(config, local_names, expression_names, origin or Origin(seed, index))[0]


def sample_with_factors(
    config: AnnyConfig, local_names: tuple[str, ...], expression_names: tuple[str, ...], origin: Origin
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The same, and what was drawn of every declared factor by group, before it is fitted to the person."""

    def stream(name: str) -> np.random.Generator:
        return origin.stream(f"anny/{name}")

    streams = {name: stream(name) for name in groups(config)}
    factors = {name: draw(getattr(config, name), rng, partial(_own, origin, name)) for name, rng in streams.items()}
    camera = orbit_direction(factors["camera"]["azimuth"], factors["camera"]["elevation"])
    head = sample_parameters(stream("head"), config.head, local_names, expression_names, camera)
    gender, age = float(head["phenotype"][0]), float(head["phenotype"][1])
    drawn = factors
    facts = {"gender": gender, "age": age}
    skin = _skin(plausible("skin", factors["skin"], facts), config.skin.melanin_by_ancestry, head["phenotype"])
    facts["melanin"] = skin["melanin"]
    factors = {name: values if name == "skin" else plausible(name, values, facts) for name, values in factors.items()}
    hair = _hair(factors["hair"], gender, age, skin["melanin"], streams["hair"])
    cloth = factors["clothes"]
    clothes: dict[str, Any] = {"colour": from_hsv(cloth["hue"], cloth["saturation"], cloth["value"])}
    clothes |= kept(ClothesConfig, cloth)
    worn = sample_accessories(factors, config, streams, gender, age, skin["tone"], clothes["colour"])
    parameters = {
        "head": head,
        "camera": factors["camera"],
        "light": _lights(factors["light"]),
        "skin": skin,
        "eyes": _eyes(factors["eyes"]),
        "brows": _brows(factors["brows"], hair, skin, gender, config.brows.men),
        "hair": adapt_hair(hair, worn["hat"]),
        "beard": _beard(factors["beard"], hair),
        "clothes": clothes,
        "glasses": _glasses(factors["glasses"], config.glasses.present, config.glasses.sun, streams["glasses"]),
        **worn,
        "background": draw_background(
            BACKGROUNDS[int(factors["background"]["kind"])], factors["background"], streams["background"]
        ),
        "film": _film(factors["film"], config.film.monochrome, streams["film"]),
    }
    for name, kind in groups(config).items():  # factors added to a group reach the parameters as they were drawn
        parameters[name] = parameters[name] | kept(kind, factors[name], kind.SHARED)
    for group, name, change in used(config, "change"):
        change(parameters, factors[group][name])
    return parameters, drawn


def _own(origin: Origin, group: str, factor: str) -> np.random.Generator:
    return origin.stream(f"anny/{group}/{factor}")


def recorded(drawn: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Drawn values as samples keep them: to seven digits."""
    return {name: {factor: float(f"{value:.7g}") for factor, value in group.items()} for name, group in drawn.items()}


def drawn_factors(config: AnnyConfig, origin: Origin) -> dict[str, dict[str, float]]:
    """The values that `sample_scene` draws of every declared factor, by group, to seven digits."""
    names = groups(config)
    return recorded({n: draw(getattr(config, n), origin.stream(f"anny/{n}"), partial(_own, origin, n)) for n in names})


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


def _skin(f: Mapping[str, float], by_ancestry: list[float], phenotype: np.ndarray) -> dict[str, Any]:
    ancestry = phenotype[6:9] / max(float(phenotype[6:9].sum()), 1e-6)
    melanin = float(np.clip(float(ancestry @ np.asarray(by_ancestry)) + f["melanin"], *MELANIN_RANGE))
    age = float(phenotype[1])
    old = max(0.0, (age - YOUNG_ADULT) / (1 - YOUNG_ADULT))
    hue = np.exp([f["hue"], -0.3 * f["hue"], -f["hue"]])
    tone = skin_tone(melanin, f["haemoglobin"]) * math.exp(f["shade"]) * hue
    red, dark = f["lip_red"] * (1 - 0.25 * float(phenotype[0] < 0.5)), f["lip_dark"]
    lips = tone * np.array([1.0 - 0.35 * dark, 1.0 - 0.75 * red - 0.25 * dark, 1.0 - 0.6 * red - 0.25 * dark])
    if f["lipstick"] > 0:
        paint = from_hsv(0.97 + 0.06 * f["hue"] / 0.1, 0.75, 0.45 - 0.3 * dark)
        lips = lips * (1 - f["lipstick"]) + paint * f["lipstick"]
    painted = float(phenotype[0] > 0.5 and age > TEENAGER)
    aged = {n: f[n] * ((0.1 if n == "forehead" else 0.3) * float(age > TEENAGER) + f["wrinkled"] * old) for n in _LINES}
    shadow = from_hsv(f["eyeshadow_hue"], 0.5, 0.5) * tone
    relief = f["relief"] + f["ageing"] * old
    return kept(SkinConfig, f) | {
        "melanin": melanin,
        "tone": tone,
        "lips": lips,
        "relief": relief,
        "pores": f["pores"] * float(age > TEENAGER),
        "eyeshadow": f["eyeshadow"] * painted,
        "shadow_colour": shadow,
        "rouge": f["rouge"] * painted,
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
