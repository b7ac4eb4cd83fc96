"""Plausible heads: distributions over identity, expression, gaze and neck. numpy only, pure in the generator given.

Real faces differ less from each other than MakeHuman's sliders allow: a slider at its end moves a chin by 2 cm. The
spreads below keep the population near real statistics; brows and lips are the first to look wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from .distribution import AnnyDistribution
from .expressions import ACTIONS

# Sliders that move landmarks most for the least visible gain, and those that only shift the head on its neck.
_NARROW = ("chin", "mouth-lowerlip", "mouth-upperlip", "mouth-scale", "mouth-trans", "eyebrows", "forehead")
_SHIFTS = ("head-trans", "neck-trans", "neck-scale-vert", "measure-neck-height", "head-angle", "forehead-nubian")
_SHIFT_SIGMA = 0.06
# The brow's height and slope differ more between people than the shape of its bone.
_BROWS = ("eyebrows-angle", "eyebrows-trans-up")
_BROW_SIGMA = 0.28
# Where a slider's middle is not the mean face: MakeHuman's lips are full ones. Adults' vermilion is 8 to 9 mm high
# above the line of contact and 9 to 10 mm below it (Farkas 1994). That is for outer canthi 88 to 91 mm apart. The base
# mesh has 10 and 12.5 mm.
MIDDLES: dict[str, float] = {
    "mouth-upperlip-height-incr": -0.45,
    "mouth-upperlip-middle-up": -0.4,
    "mouth-lowerlip-height-incr": -0.35,
    # its base mesh lets the corners of the mouth hang
    "mouth-angles-up": 0.3,
    # its lower half moves brows twice as far as its upper one
    "eyebrows-trans-up": 0.15,
    # Its profile is flat. Before a vertical line through the subnasale adults' noses stand 16 to 17 mm, their chins
    # 3 mm behind it (Arnett et al. 1999); on the mean of these heads 12 and 9.5, with the numbers below 14 and 9. What
    # settled them is how far annotated points move as heads turn (studies/pose_bias.py): base of the nose, tip and chin
    # stand 4, 6 and 5 mm further before the eyes.
    "nose-scale-depth-incr": 0.6,
    "nose-greek-incr": 0.2,
    "nose-trans-forward": 0.15,
    "mouth-trans-forward": 0.2,
    "chin-prominent-incr": 0.6,
    "mouth-upperlip-volume-incr": -0.3,
    "mouth-scale-depth-incr": -0.15,
    # its cheeks are lean: at the angle of the jaw annotated faces are 5 % of the distance of the eyes' corners wider
    "head-fat-incr": 0.17,
}

# Actions by the muscle group that drives them; a group is drawn as a whole, then each of its actions.
_GROUPS: tuple[tuple[str, ...], ...] = (
    ("browDown",),
    ("browInnerUp", "browOuterUp"),
    ("browInnerUp",),
    ("browOuterUp",),
    ("cheekSquint", "eyeSquint"),
    ("eyeWide",),
    ("cheekPuff",),
    ("noseSneer",),
    ("mouthSmile", "cheekSquint", "mouthDimple"),
    ("mouthFrown",),
    ("mouthStretch",),
    ("mouthPress",),
    ("mouthUpperUp", "mouthLowerDown"),
    ("mouthLowerDown",),
    ("mouthPucker",),
    ("mouthFunnel",),
    ("mouthRollLower", "mouthRollUpper"),
    ("mouthShrugLower", "mouthShrugUpper"),
    ("mouthLeft",),
    ("mouthRight",),
    ("jawLeft",),
    ("jawRight",),
    ("jawForward",),
)
# How much of the drawn strength some groups get: the shapes part rolled and shrugged lips without showing teeth, and
# lids opened wide stare.
_SHARES = {"eyeWide": 0.6, "mouthFunnel": 0.7, "mouthRollLower": 0.4, "mouthShrugLower": 0.5}
_SHUT_SMILES = 0.2  # the share of smiles that show no teeth: most people smile for a camera

# Of each pair only the stronger stays: the muscles pull against each other, or the meshes would collide.
_OPPOSITES: tuple[tuple[str, str], ...] = (
    ("browDown", "browOuterUp"),
    ("browDown", "browInnerUp"),
    ("eyeWide", "eyeSquint"),
    ("eyeWide", "cheekSquint"),
    ("eyeWide", "eyeBlink"),
    ("mouthSmile", "mouthFrown"),
    ("mouthSmile", "mouthPucker"),
    ("mouthSmile", "mouthFunnel"),
    ("mouthStretch", "mouthPucker"),
    ("mouthStretch", "mouthFunnel"),
    ("mouthDimple", "mouthPucker"),
    ("mouthPress", "mouthUpperUp"),
    ("mouthPress", "mouthLowerDown"),
    ("mouthPress", "mouthFunnel"),
    ("mouthRollUpper", "mouthUpperUp"),
    ("mouthRollLower", "mouthLowerDown"),
    ("mouthShrugLower", "mouthLowerDown"),
    ("mouthShrugUpper", "mouthUpperUp"),
    ("jawOpen", "mouthPress"),
    ("jawOpen", "mouthShrugLower"),
    ("jawOpen", "mouthShrugUpper"),
    ("jawOpen", "mouthRollUpper"),
    ("jawOpen", "mouthRollLower"),
    ("jawOpen", "mouthClose"),
    ("jawOpen", "cheekPuff"),
    ("cheekPuff", "mouthUpperUp"),
    ("cheekPuff", "mouthLowerDown"),
)
_CENTRAL_OPPOSITES = (("mouthLeft", "mouthRight"), ("jawLeft", "jawRight"))


#: degrees: eyes turn this far (yaw, pitch) to meet a camera; beyond, people turn their heads or look elsewhere.
MEETS = (38.0, 24.0)
_MEETS_SIGMA = 2.0  # how exactly, degrees
_HALF_GAP = 0.0315  # metres: half the distance between adults' pupils (Dodgson 2004)


def sample_parameters(
    rng: np.random.Generator,
    config: AnnyDistribution,
    local_names: Sequence[str],
    expression_names: Sequence[str],
    camera: Sequence[float] | np.ndarray | Callable[[Rotation], np.ndarray] | None = None,
    expression: str = "",
) -> dict[str, np.ndarray]:
    """Parameters of one head for `AnnyHead.forward`, float32, without a batch dimension.

    camera: (3,) metres from the head to the camera, world axes, which eyes may look into, or that of a turn of the
    head; expression: a name of `expressions.ACTIONS` instead of a drawn one.
    """
    neck, head = (np.radians(sigma) * _normal(rng, config, 3) for sigma in (config.neck, config.head))
    turn = Rotation.from_rotvec(neck) * Rotation.from_rotvec(head)
    camera = camera(turn) if callable(camera) else camera
    gaze = _gaze(rng, config, None if camera is None else turn.inv().apply(np.asarray(camera, float)))
    values = {
        "phenotype": _phenotype(rng, config),
        "local": _local(rng, config, local_names),
        "expression": sample_expression(rng, config, expression_names, gaze, expression),
        "neck": neck,
        "head": head,
        "gaze": gaze,
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _normal(rng: np.random.Generator, config: AnnyDistribution, *shape: int) -> np.ndarray:
    """Standard normal numbers clipped at the limit: one draw each, so that the stream never shifts."""
    return np.clip(rng.standard_normal(shape), -config.limit, config.limit)


def _phenotype(rng: np.random.Generator, config: AnnyDistribution) -> np.ndarray:
    child, share = rng.random(2)
    low, high = (config.age_child, config.age_low) if child < config.children else (config.age_low, config.age_high)
    gender = rng.beta(config.gender_beta, config.gender_beta)
    rest = np.clip(0.5 + config.phenotype_sigma * _normal(rng, config, 4), 0, 1)
    ancestry = rng.dirichlet([config.ancestry_concentration] * 3)
    return np.concatenate([[gender, low + (high - low) * share], rest, ancestry])


def _local(rng: np.random.Generator, config: AnnyDistribution, names: Sequence[str]) -> np.ndarray:
    own, shared = _normal(rng, config, 2, len(names))
    common, sigma, share, factor = _local_table(tuple(names), config.local_sigma, config.narrow_sigma, config.asymmetry)
    middle = np.array([MIDDLES.get(name, 0.0) for name in names])
    return np.clip(middle + sigma * (np.sqrt(1 - share) * shared[common] + np.sqrt(share) * own) * factor, -1, 1)


@functools.lru_cache(maxsize=8)
def _local_table(
    names: tuple[str, ...], local_sigma: float, narrow_sigma: float, asymmetry: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By name: whose number two sides share, sigma, the part of the variance that is one side's own, a last factor."""
    position = {name: index for index, name in enumerate(names)}
    rows = []
    for index, name in enumerate(names):
        sided = name.startswith(("l-", "r-"))
        plain = name[2:] if sided else name
        sigma = narrow_sigma if plain.startswith(_NARROW) else local_sigma
        sigma = _SHIFT_SIGMA if plain.startswith(_SHIFTS) else sigma
        sigma = _BROW_SIGMA if plain.startswith(_BROWS) else sigma
        sideways = "trans-out" in plain and not sided
        row = (sigma, asymmetry**2 if sided else 0.0, asymmetry if sideways else 1.0)
        rows.append((position.get(f"l-{plain}", index), *row))  # two sides share the left side's number
    common, *others = zip(*rows, strict=True)
    sigma_by_name, share, factor = (np.array(column) for column in others)
    return np.array(common), sigma_by_name, share, factor


def sample_expression(
    rng: np.random.Generator, config: AnnyDistribution, names: Sequence[str], gaze: np.ndarray, named: str
) -> np.ndarray:
    """Strengths (52,) of the actions of `names`. gaze: of both eyes, which lids follow; named: a name of
    `expressions.ACTIONS`, or an empty text for a drawn expression."""
    position = {name: index for index, name in enumerate(names)}
    values = np.zeros(len(names))
    kind, blink, talk, jaw, smile = rng.random(5)
    chosen = rng.random(len(_GROUPS))
    strength = rng.beta(1.3, 1.8, len(_GROUPS)) * config.strength
    sides = np.clip(1 + config.sides * _normal(rng, config, len(names)), 0, 1.4)
    one_sided = rng.random(len(_GROUPS))
    if named:  # its actions alone, both sides nearly alike
        sides = np.clip(sides, 0.9, 1.1)
    wanted = 0.0 if named or kind < config.neutral else 0.12 if kind < config.neutral + config.few else 0.25

    def put(stem: str, value: float, skip: str = "") -> None:
        for name in (stem, f"{stem}Left", f"{stem}Right"):
            if name in position and not (skip and name.endswith(skip)):
                index = position[name]
                values[index] = max(values[index], min(1.0, value * sides[index]))

    for number, stems in enumerate(_GROUPS):
        if chosen[number] < wanted * (config.aside if stems[0].endswith(("Left", "Right")) else 1.0):
            skip = "Left" if 2 * one_sided[number] < config.one_sided else ""
            skip = "Right" if 2 * (1 - one_sided[number]) < config.one_sided else skip
            for stem in stems:
                put(stem, _SHARES.get(stems[0], 1.0) * strength[number], skip)
    if wanted and talk < config.talk:
        put("jawOpen", min(1.0, config.strength * jaw**3))
    if wanted and smile < config.smile:
        amount = config.strength * (0.4 + 0.6 * smile / config.smile)
        for stem, share in (("mouthSmile", 1.0), ("cheekSquint", 0.6), ("mouthUpperUp", 0.3)):
            put(stem, amount * share)
        if jaw > _SHUT_SMILES:
            wide = (jaw - _SHUT_SMILES) / (1.0 - _SHUT_SMILES)
            for stem, share in (("mouthUpperUp", 0.95), ("mouthLowerDown", 0.85), ("jawOpen", 0.12 + 0.32 * wide**2)):
                put(stem, amount * share)
    actions = ACTIONS.get(named, {})
    for number, (stem, (low, high)) in enumerate(actions.items()):
        put(stem, low + (high - low) * chosen[number])
    if blink < config.blink and "eyeWide" not in actions:
        # the lids of the average head meet at 0.7: few are caught half way
        put("eyeBlink", 0.68 + 0.2 * jaw)
    _resolve(values, position)
    follow_gaze(values, position, gaze)
    return np.clip(values, 0, 1)


def _resolve(values: np.ndarray, position: dict[str, int]) -> None:
    """Of two opposite actions keep the stronger, side by side."""
    for first, second in (*_OPPOSITES, *_CENTRAL_OPPOSITES):
        for side in ("Left", "Right"):
            a = position.get(first, position.get(first + side))
            b = position.get(second, position.get(second + side))
            if a is not None and b is not None and values[a] > 0 and values[b] > 0:
                values[b if values[a] >= values[b] else a] = 0


def follow_gaze(values: np.ndarray, position: dict[str, int], gaze: np.ndarray) -> None:
    """Lids go down with the eye, and up a little: the look actions, in proportion to the angle (full at 30 degrees)."""
    for eye, side in enumerate(("Left", "Right")):
        yaw, pitch = gaze[eye] / np.radians(30)
        outward = yaw if side == "Left" else -yaw
        shut = values[position[f"eyeBlink{side}"]]
        for stem, amount in (("Down", -pitch), ("Up", pitch), ("Out", outward), ("In", -outward)):
            values[position[f"eyeLook{stem}{side}"]] = max(0.0, float(amount)) * (1 - shut)


def _gaze(rng: np.random.Generator, config: AnnyDistribution, camera: np.ndarray | None) -> np.ndarray:
    """Both eyes look at one point, the camera or something nearer or farther: (2,2) yaw, pitch in radians, left eye
    first.

    camera: (3,) metres to the camera in the frame of the turned head.
    """
    yaw, pitch, near = _normal(rng, config, 3)
    meets, share = rng.random(2)
    angles = np.array([config.gaze_yaw * yaw, config.gaze_pitch * pitch])
    converge = config.vergence * abs(near)
    if camera is not None:
        x, y, z = camera / np.linalg.norm(camera)
        there = np.degrees([np.arctan2(x, z), np.arcsin(np.clip(y, -1, 1))])
        towards = np.clip(there, -np.array(MEETS), MEETS)
        if meets >= config.contact or (towards != there).any():
            angles += config.follow * share * towards
        else:
            angles = there + _MEETS_SIGMA * np.array([yaw, pitch])
            converge = np.degrees(np.arctan(_HALF_GAP * np.cos(np.radians(there[0])) / np.linalg.norm(camera)))
    inwards = np.array([converge, 0.0])
    return np.radians([angles - inwards, angles + inwards])
