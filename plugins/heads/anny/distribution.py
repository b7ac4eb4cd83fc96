"""What heads are drawn: the keys of `sampling.sample_parameters`. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

from synthforge.core.keys import key


@dataclass
class AnnyDistribution:
    """Identity, expression and pose of heads. Sigmas are those of normal distributions, truncated at `limit` sigmas.

    Raises ValueError for ages that cross.
    """

    age_low: float = key(0.5, "Youngest adult: 0 baby, 1/3 child, 2/3 young adult, 1 old.", low=-0.33, high=1)
    age_high: float = key(1.0, "Oldest adult, in the same unit.", low=-0.33, high=1)
    age_child: float = key(0.05, "Youngest child, in the same unit; children reach up to age_low.", low=-0.33, high=1)
    children: float = key(0.12, "Share of children.", low=0, high=1)
    gender_beta: float = key(0.25, "Gender is Beta(b, b): small values make clear men and women.", above=0, high=100)
    ancestry_concentration: float = key(0.5, "Of the symmetric Dirichlet distribution of ancestry.", above=0, high=100)
    phenotype_sigma: float = key(0.16, "Sigma of muscle, weight, height and proportions about 0.5.", low=0, high=1)
    local_sigma: float = key(0.2, "Sigma of every local slider, whose range is -1 to 1.", low=0, high=1)
    narrow_sigma: float = key(0.12, "The same for sliders of chin, lips, brows and skull.", low=0, high=1)
    asymmetry: float = key(0.15, "Share of a local change that differs between left and right.", low=0, high=1)
    neutral: float = key(0.2, "Share of neutral faces.", low=0, high=1)
    few: float = key(0.6, "Share of faces with a few actions; the rest mix many.", low=0, high=1)
    strength: float = key(1.0, "Factor of all actions.", low=0, high=3)
    sides: float = key(0.13, "Sigma by which the two sides of an action differ, relative.", low=0, high=1)
    one_sided: float = key(0.03, "Share of actions on one side only: winks, sneers, lopsided grins.", low=0, high=1)
    aside: float = key(0.4, "How often mouth and jaw are pushed aside, relative to other actions.", low=0, high=5)
    blink: float = key(0.06, "Chance of shut eyes.", low=0, high=1)
    talk: float = key(0.35, "Chance of an open jaw.", low=0, high=1)
    smile: float = key(0.62, "Chance of a smile; photographs show many.", low=0, high=1)
    contact: float = key(0.88, "Chance of eyes that look into the camera, where they need not turn far.", low=0, high=1)
    follow: float = key(1.0, "Eyes without contact turn up to this part of the way to the camera.", low=0, high=1)
    gaze_yaw: float = key(9.0, "Sigma of eyes that turn aside.", unit="degrees", low=0, high=45)
    gaze_pitch: float = key(6.0, "Sigma of eyes that turn up or down.", unit="degrees", low=0, high=45)
    vergence: float = key(
        1.0,
        "Sigma of how far each eye turns inwards; eyes that look into the camera converge on it instead.",
        unit="degrees",
        low=0,
        high=20,
    )
    neck: float = key(4.0, "Sigma of the neck's turn about x, y, z.", unit="degrees", low=0, high=45)
    head: float = key(6.0, "Sigma of the head's turn on the neck about x, y, z.", unit="degrees", low=0, high=45)
    limit: float = key(2.5, "Where normal distributions are cut.", unit="sigmas", above=0, high=10)

    def __post_init__(self) -> None:
        for lower, upper in (("age_child", "age_low"), ("age_low", "age_high")):
            low, high = getattr(self, lower), getattr(self, upper)
            if low > high:
                raise ValueError(f"{upper}: {high:g} lies below {lower} ({low:g}); ages must not cross")
