"""What the generator declares: every distribution of its configuration and of the head's, as `core.factors.Factor`s."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Iterator, Sequence

from synthforge.core.factors import Factor, chance
from synthforge.heads.anny.sampling import AnnyDistribution

from ..light.environment import NAMES as ENVIRONMENTS
from .config import BACKGROUNDS, BEARD_STYLES, HAIR_STYLES, AnnyConfig
from .distributions import TRIES, Distribution
from .sources import SOURCES
from .worn import BORDERS, EARRING_KINDS, HAND_PLACES, HAT_KINDS, THINGS

# Names of what the numbers of a choice stand for.
_LABELS: dict[str, tuple[str, ...]] = {
    "hair.style_men": HAIR_STYLES,
    "hair.style_women": HAIR_STYLES,
    "beard.style": BEARD_STYLES,
    "background.kind": BACKGROUNDS,
    "light.environment": tuple(ENVIRONMENTS),
    "hat.kind_men": HAT_KINDS,
    "hat.kind_women": HAT_KINDS,
    "hand.place": HAND_PLACES,
    "occluder.kind": THINGS,
    "jewellery.kind": EARRING_KINDS,
    "border.fill": BORDERS,
    "border.side": ("left", "right", "top", "bottom"),
    "eyes.iris": ("dark brown", "brown", "hazel", "blue", "grey", "green"),
}
# Chances, and where a sample says whether they came true.
CHANCES: dict[str, str] = {
    "glasses.present": "glasses.worn",
    "glasses.sun": "glasses.sun",
    "hat.present": "hat.present",
    "mask.present": "mask.present",
    "mask.under_nose": "mask.under_nose",
    "occluder.present": "occluder.present",
    "border.cut": "border.cut",
    "film.monochrome": "film.monochrome",
}
# Chances that something else has a say in (a headscarf comes with a scarf): what came of them is listed alone.
ENTANGLED: dict[str, str] = {
    "scarf.present": "scarf.present",
    "hand.present": "hand.present",
    "occluder.held": "occluder.held",
    "jewellery.necklace": "jewellery.necklace",
    "border.margin": "border.margin",
}
_BODY = ("muscle", "weight", "height", "proportions")
_ANCESTRY = ("african", "asian", "caucasian")


def declared_factors(
    config: AnnyConfig, distribution: AnnyDistribution, expression_names: Sequence[str] = ()
) -> tuple[Factor, ...]:
    """All factors of a configuration; expressions follow from rules and are listed without a declared distribution."""
    found = [*_head(distribution), *_expressions(expression_names), *_groups(config)]
    return tuple(dataclasses.replace(factor, source=source_of(factor.name)) for factor in found)


def source_of(name: str) -> str:
    """Where the numbers of a factor come from; empty when `sources.SOURCES` does not say."""
    return next((text for pattern, text in SOURCES.items() if fnmatch.fnmatchcase(name, pattern)), "")


def _groups(config: AnnyConfig) -> Iterator[Factor]:
    for group, values in vars(config).items():
        for name, value in vars(values).items() if dataclasses.is_dataclass(values) else ():
            full = f"{group}.{name}"
            if isinstance(value, Distribution):
                yield _factor(full, value)
            elif full in CHANCES:
                yield chance(full, f"parameters.{CHANCES[full]}", value)
            elif full in ENTANGLED:
                yield Factor(full, (f"parameters.{ENTANGLED[full]}",), "observed")


def _factor(name: str, value: Distribution) -> Factor:
    return Factor(
        name,
        (f"drawn.{name}",),
        value.kind,
        low=value.low,
        high=value.high,
        mean=value.mean,
        std=value.std,
        values=tuple(map(float, value.values)),
        weights=tuple(map(float, value.weights)),
        tries=TRIES,
        labels=_LABELS.get(name, ()),
    )


def _head(d: AnnyDistribution) -> Iterator[Factor]:
    phenotype = "parameters.head.phenotype"
    yield Factor("head.gender", (f"{phenotype}.0",), "beta", mean=d.gender_beta, std=d.gender_beta)
    ages = (min(d.age_child, d.age_low), d.age_low, d.age_high)
    yield Factor("head.age", (f"{phenotype}.1",), "pieces", values=ages, weights=(d.children, 1 - d.children))
    for number, name in enumerate(_BODY):
        reach = d.limit * d.phenotype_sigma
        low, high = max(0.0, 0.5 - reach), min(1.0, 0.5 + reach)
        yield Factor(f"head.{name}", (f"{phenotype}.{2 + number}",), "normal", low, high, 0.5, d.phenotype_sigma)
    for number, name in enumerate(_ANCESTRY):
        c = d.ancestry_concentration  # a share of a symmetric Dirichlet distribution in three
        yield Factor(f"head.{name}", (f"{phenotype}.{6 + number}",), "beta", mean=c, std=2 * c)
    for number, (name, sigma) in enumerate((("gaze_yaw", d.gaze_yaw), ("gaze_pitch", d.gaze_pitch))):
        paths = tuple(f"parameters.head.gaze.{eye}.{number}" for eye in (0, 1))
        turn = _turn(f"head.{name}", paths, sigma, d.limit)
        # eyes that meet the camera, or turn towards it, turn as camera and head do
        yield Factor(turn.name, paths, "observed", unit=turn.unit) if d.contact or d.follow else turn
    for joint, sigma in (("neck", d.neck), ("head", d.head)):
        for axis, letter in enumerate("xyz"):
            yield _turn(f"head.{joint}_{letter}", (f"parameters.head.{joint}.{axis}",), sigma, d.limit)


def _turn(name: str, paths: tuple[str, ...], degrees: float, limit: float) -> Factor:
    sigma = math.radians(degrees)
    return Factor(name, paths, "normal", -limit * sigma, limit * sigma, 0.0, sigma, unit="rad")


def _expressions(names: Sequence[str]) -> Iterator[Factor]:
    for number, name in enumerate(names):
        yield Factor(f"expression.{name}", (f"parameters.head.expression.{number}",), "observed")
