"""Expressions by name: which ARKit actions make them, how strong, and which name an expression goes by. No imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: Actions of each named expression with the range of their strength, the most particular expression first. After
#: FACS's prototypes of emotions (Ekman, Friesen & Hager 2002); the strengths are choices, by looking at renders.
ACTIONS: dict[str, dict[str, tuple[float, float]]] = {
    "laughing": {
        "mouthSmile": (0.6, 1.0),
        "cheekSquint": (0.4, 0.8),
        "mouthUpperUp": (0.5, 0.8),
        "mouthLowerDown": (0.3, 0.6),
        "jawOpen": (0.3, 0.5),
    },
    "smiling": {
        "mouthSmile": (0.45, 0.9),
        "cheekSquint": (0.2, 0.6),
        "mouthUpperUp": (0.0, 0.7),
        "mouthLowerDown": (0.0, 0.5),
        "jawOpen": (0.0, 0.2),
    },
    "surprised": {
        "browInnerUp": (0.5, 1.0),
        "browOuterUp": (0.5, 1.0),
        "eyeWide": (0.4, 0.9),
        "jawOpen": (0.2, 0.5),
    },
    "disgusted": {
        "noseSneer": (0.5, 0.9),
        "mouthUpperUp": (0.25, 0.5),
        "browDown": (0.2, 0.5),
        "cheekSquint": (0.2, 0.5),
    },
    "angry": {
        "browDown": (0.5, 1.0),
        "eyeSquint": (0.25, 0.6),
        "mouthPress": (0.2, 0.6),
        "noseSneer": (0.0, 0.3),
    },
    "sad": {"mouthFrown": (0.4, 0.8), "browInnerUp": (0.4, 0.9), "mouthShrugLower": (0.0, 0.4)},
    "talking": {"jawOpen": (0.15, 0.4), "mouthFunnel": (0.0, 0.35), "mouthLowerDown": (0.0, 0.3)},
    "neutral": {},
}
OTHER = "other"  # an expression without a name here
#: a name is recognised from this part of its actions' least strength on: sides of a face differ
_RECOGNISED = 0.75
_CALM = 0.12  # of a neutral face no action is stronger; the turn of the eyes and lids does not count


def name_of(values: Sequence[float], names: Sequence[str]) -> str:
    """What an expression is called: a key of ACTIONS, or OTHER. values: strengths of the actions of `names`."""
    found = mean_actions(values, names)
    if all(value < _CALM for stem, value in found.items() if not stem.startswith(("eyeLook", "eyeBlink"))):
        return "neutral"
    for name, actions in ACTIONS.items():
        if actions and all(found.get(stem, 0.0) >= _RECOGNISED * low for stem, (low, _) in actions.items()):
            return name
    return OTHER


def mean_actions(values: Sequence[float], names: Sequence[str]) -> Mapping[str, float]:
    """Strength by action without its side: the mean of left and right."""
    found: dict[str, list[float]] = {}
    for name, value in zip(names, values, strict=True):
        found.setdefault(name.removesuffix("Left").removesuffix("Right"), []).append(float(value))
    return {stem: sum(both) / len(both) for stem, both in found.items()}
