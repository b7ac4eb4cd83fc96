"""What the generator declares: every distribution of its configuration and of the head's, as `core.factors.Factor`s.

Three kinds of source: something published, named; a range that is physically or anatomically possible; and a choice of
ours, made by looking at renders. A choice says so: it is no claim about any population.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from synthforge.core.factors import Factor, chance

from ....heads.anny.distribution import AnnyDistribution
from .config import AnnyConfig
from .distributions import TRIES, Distribution
from .table import FactorRow, groups, rows

_GENDER = "MakeHuman's slider (0 man, 1 woman); Beta(1/4, 1/4) is a choice: clear cases with some between"
_AGE = (
    "MakeHuman's unit (0 baby, 1/3 child, 2/3 young adult, 1 old); one in eight a child of any age, adults uniform: a "
    "choice, broad rather than any country's age pyramid"
)
_BODY = "MakeHuman's sliders, normal about their middle; the spread is a choice: their ends are caricatures"
_ANCESTRY = "Dirichlet(1/2), the same for all three: balanced by construction, not a population's shares"
_GAZE = (
    "four of five look into the camera, a choice: photographs show people who do; the others turn a part of that way, "
    "and mostly stay within 15 degrees of it, as most saccades do (Bahill, Adler & Stark 1975): sigma 9 and 6"
)
_SMALL = "a choice: small turns; the camera's orbit makes the large ones"
_RULES = (
    "ARKit's actions by rules (docs/heads.md): shares of neutral, few and many actions, of smiles, open jaws and shut "
    "eyes are choices; no statistics of expressions were used"
)


def declared_factors(config: AnnyConfig, expression_names: Sequence[str] = ()) -> tuple[Factor, ...]:
    """All factors of a configuration; expressions follow from rules and are listed without a declared distribution."""
    expressions = [
        Factor(f"expression.{name}", (f"parameters.head.expression.{number}",), "observed", source=_RULES)
        for number, name in enumerate(expression_names)
    ]
    return (*_head(config.head), *expressions, *_groups(config))


def _groups(config: AnnyConfig) -> Iterator[Factor]:
    for group, kind in groups(config).items():
        for row in rows(kind):
            name, value, seen = f"{group}.{row.name}", getattr(getattr(config, group), row.name), row.place.seen
            if row.drawn and value is not None:
                yield _factor(name, value, row)
            elif row.drawn:
                yield Factor(
                    name,
                    (f"rendered.{name}",),
                    "observed",
                    labels=() if row.key.edges else row.key.choices,
                    unit=row.key.unit,
                    source=row.key.source,
                )
            elif row.place.entangled:
                yield Factor(name, (f"parameters.{seen}",), "observed", labels=("no", "yes"), source=row.key.source)
            elif seen:
                yield chance(name, f"parameters.{seen}", value, row.key.source)


def _factor(name: str, value: Distribution, row: FactorRow) -> Factor:
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
        labels=() if row.key.edges else row.key.choices,
        unit=row.key.unit,
        source=row.key.source,
    )


def _head(d: AnnyDistribution) -> Iterator[Factor]:
    phenotype = "parameters.head.phenotype"
    yield Factor("head.gender", (f"{phenotype}.0",), "beta", mean=d.gender_beta, std=d.gender_beta, source=_GENDER)
    ages, shares = (min(d.age_child, d.age_low), d.age_low, d.age_high), (d.children, 1 - d.children)
    yield Factor("head.age", (f"{phenotype}.1",), "pieces", values=ages, weights=shares, source=_AGE)
    reach = d.limit * d.phenotype_sigma
    body: dict[str, Any] = {"low": max(0.0, 0.5 - reach), "high": min(1.0, 0.5 + reach), "source": _BODY}
    for number, name in enumerate(("muscle", "weight", "height", "proportions")):
        yield Factor(f"head.{name}", (f"{phenotype}.{2 + number}",), "normal", mean=0.5, std=d.phenotype_sigma, **body)
    for number, name in enumerate(("african", "asian", "caucasian")):
        c = d.ancestry_concentration  # a share of a symmetric Dirichlet distribution in three
        yield Factor(f"head.{name}", (f"{phenotype}.{6 + number}",), "beta", mean=c, std=2 * c, source=_ANCESTRY)
    for number, (name, sigma) in enumerate((("gaze_yaw", d.gaze_yaw), ("gaze_pitch", d.gaze_pitch))):
        paths = tuple(f"parameters.head.gaze.{eye}.{number}" for eye in (0, 1))
        # eyes that meet the camera, or turn towards it, turn as camera and head do
        free = not (d.contact or d.follow)
        yield (
            _turn(f"head.{name}", paths, sigma, d.limit, _GAZE)
            if free
            else Factor(f"head.{name}", paths, "observed", unit="rad", source=_GAZE)
        )
    for joint, sigma in (("neck", d.neck), ("head", d.head)):
        for axis, letter in enumerate("xyz"):
            yield _turn(f"head.{joint}_{letter}", (f"parameters.head.{joint}.{axis}",), sigma, d.limit, _SMALL)


def _turn(name: str, paths: tuple[str, ...], degrees: float, limit: float, source: str) -> Factor:
    sigma = math.radians(degrees)
    return Factor(name, paths, "normal", -limit * sigma, limit * sigma, 0.0, sigma, unit="rad", source=source)
