"""How a person moves: head, gaze, blinks, expressions and speech, and the hand that holds the camera, at any time.

Each is a function of its own stream, `anny/motion/<what>`, and of time in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from synthforge.core.nearby import Origin

from ....heads.anny.distribution import AnnyDistribution
from ....heads.anny.expressions import ACTIONS
from ....heads.anny.sampling import MEETS, follow_gaze, sample_expression
from ..factors.motion import MotionConfig
from .curves import Keys, Noise, eased

Head = dict[str, np.ndarray]

#: degrees of slow turns about x, y, z: of the neck, then of the head on it; and of the nods of speech
_SWAY = np.array([1.6, 2.6, 1.2, 2.2, 4.0, 1.6])
_NODS = np.array([0.3, 0.2, 0.2, 1.0, 0.6, 0.5])
_REACH = np.radians([40.0, 26.0])  # of the eyes, yaw and pitch
#: seconds in which lids close, stay shut and open (Evinger, Manning & Sibony 1991), and how far they close
_CLOSING, _SHUT, _OPENING, _LIDS = 0.09, 0.04, 0.2, 0.85
_HAND_DEGREES, _HAND_METRES = 0.35, 0.0025
#: actions of the mouth for groups of sounds, after the visemes of MPEG-4's facial animation; strengths are choices
_VISEMES: tuple[dict[str, float], ...] = (
    {"jawOpen": 0.38, "mouthLowerDown": 0.2},  # father
    {"jawOpen": 0.2, "mouthStretch": 0.22, "mouthLowerDown": 0.22, "mouthUpperUp": 0.12},  # bed
    {"jawOpen": 0.1, "mouthStretch": 0.3, "mouthLowerDown": 0.15},  # see
    {"jawOpen": 0.26, "mouthFunnel": 0.4},  # more
    {"jawOpen": 0.08, "mouthPucker": 0.5, "mouthFunnel": 0.15},  # too
    {"mouthPress": 0.25, "mouthRollLower": 0.2, "mouthRollUpper": 0.15},  # map
    {"jawOpen": 0.05, "mouthRollLower": 0.35, "mouthUpperUp": 0.1},  # five
    {"jawOpen": 0.15, "mouthLowerDown": 0.12},  # let
)
#: what of an expression stays while somebody talks: little of the mouth, but most of a smile
_MOUTH, _LASTING = ("mouth", "jaw", "cheekPuff", "tongue"), ("mouthSmile", "mouthFrown", "mouthDimple")


class Motion:
    """The motion of one person, whose portrait has the parameters `head`.

    camera: (3,) direction to the camera, world axes; ordered: whether the expression is one that was asked for, which
    then changes its strength alone.
    """

    def __init__(
        self,
        config: MotionConfig,
        distribution: AnnyDistribution,
        origin: Origin,
        head: Mapping[str, np.ndarray],
        names: Sequence[str],
        camera: np.ndarray,
        ordered: bool,
    ) -> None:
        self.config, self.names = config, names
        self._base = {name: np.asarray(value, np.float64) for name, value in head.items()}
        self._end = config.frames / config.fps + 1.0
        self._distribution, self._position = distribution, {name: index for index, name in enumerate(names)}

        def stream(what: str) -> np.random.Generator:
            return origin.stream(f"anny/motion/{what}")

        self._turn = Rotation.from_rotvec(self._base["neck"]) * Rotation.from_rotvec(self._base["head"])
        rng = stream("head")
        self._sway, self._nods = Noise(rng, 6, 0.05, 0.5), Noise(rng, 6, 0.5, 1.8)
        self._looks = self._fixations(stream("gaze"), self._turn.inv().apply(camera))
        self._blinks = self._blink_times(stream("blinks"))
        self._talk, self._sounds = self._phrases(stream("speech"))
        self._moods = self._expressions(stream("emotion"), ordered)
        rng = stream("camera")
        self._hand = Noise(rng, 6, 0.08, 0.8)

    # -- what is seen at a time -----------------------------------------------------------------------------------

    def head(self, time: float) -> Head:
        """Parameters of the head at a time in seconds, float32; identity is untouched."""
        talk = float(self._talk.at(time))
        turns = np.radians(self.config.head * (_SWAY * self._sway.at(time) + talk * _NODS * self._nods.at(time)))
        neck, head = self._base["neck"] + turns[:3], self._base["head"] + turns[3:]
        gaze = self._gaze(time, Rotation.from_rotvec(neck) * Rotation.from_rotvec(head))
        moved = {"neck": neck, "head": head, "gaze": gaze, "expression": self._face(time, talk, gaze)}
        return {name: np.asarray(value, np.float32) for name, value in moved.items()}

    def camera(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """How far the hand has turned and moved the camera: rotation vector (3,), metres (3,), world axes."""
        noise = self.config.camera * self._hand.at(time)
        return np.radians(_HAND_DEGREES) * noise[:3], _HAND_METRES * noise[3:]

    def _gaze(self, time: float, turn: Rotation) -> np.ndarray:
        """Eyes (2,2) stay on what they look at while the head turns about them."""
        yaw, pitch = self._looks.at(time)
        there = [math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)]
        x, y, z = (turn.inv() * self._turn).apply(there)
        angles = np.clip([math.atan2(x, z), math.asin(min(max(y, -1.0), 1.0))], -_REACH, _REACH)
        converge = (self._base["gaze"][1] - self._base["gaze"][0]) / 2
        return np.stack([angles - converge, angles + converge])

    def _face(self, time: float, talk: float, gaze: np.ndarray) -> np.ndarray:
        values = self._moods.at(time) * (1 - talk * self._given_up) + self._sounds.at(time)
        shut = max((_lid(time - start) for start in self._blinks), default=0.0)
        for side in ("Left", "Right"):
            values[self._position[f"eyeBlink{side}"]] = _LIDS * shut
            values[self._position[f"eyeWide{side}"]] *= 1 - shut
        follow_gaze(values, self._position, gaze)
        return np.clip(values, 0, 1)

    # -- plans, drawn once, in the order of time ------------------------------------------------------------------

    def _fixations(self, rng: np.random.Generator, camera: np.ndarray) -> Keys:
        """Where the eyes look, yaw and pitch in the frame of the portrait's head."""
        d = self._distribution
        there = np.degrees([math.atan2(camera[0], camera[2]), math.asin(min(max(camera[1], -1.0), 1.0))])
        meets = bool((np.abs(there) <= MEETS).all())
        looks, starts, lengths = [self._base["gaze"].mean(0)], [0.0], [1.0]
        time = float(rng.uniform(0.2, 2.5))
        while time < self._end and self.config.gaze:
            contact, hold = rng.random(), 0.35 * math.exp(rng.uniform(0.0, 2.0))
            aside = self.config.gaze * np.array([d.gaze_yaw, d.gaze_pitch]) * np.clip(rng.standard_normal(2), -2.5, 2.5)
            towards = there if meets and contact < d.contact else d.follow * np.clip(there, -np.array(MEETS), MEETS) / 2
            # eyes rest on eyes and mouth of whom they look at, a few degrees apart
            look = np.radians(towards + (0.25 if meets and contact < d.contact else 1.3) * aside)
            degrees = math.degrees(float(np.linalg.norm(look - looks[-1])))
            looks.append(look)
            starts.append(time)
            lengths.append(0.021 + 0.0022 * degrees)
            time += lengths[-1] + hold * (1.6 if contact < d.contact else 1.0)
        return Keys(starts, lengths, np.array(looks))

    def _blink_times(self, rng: np.random.Generator) -> list[float]:
        starts, time = [], 0.0
        while self.config.blinks:
            gap = _CLOSING + _SHUT + _OPENING + 0.15
            time += gap + float(rng.exponential(max(60 / self.config.blinks - gap, 0.05)))
            if time >= self._end:
                break
            starts.append(time)
        return starts

    def _phrases(self, rng: np.random.Generator) -> tuple[Keys, Keys]:
        """Whether somebody talks, from 0 to 1, and the actions (52,) of the sounds."""
        quiet = np.zeros(len(self.names))
        talk: tuple[list[float], list[float], list[float]] = ([0.0], [1.0], [0.0])
        sounds: tuple[list[float], list[float], list[np.ndarray]] = ([0.0], [1.0], [quiet])
        talks, time = rng.random() < self.config.speech, float(rng.uniform(0.0, 1.2))
        while talks and time < self._end:
            stop = time + float(rng.uniform(1.2, 4.0))
            _add(talk, time, 0.15, 1.0)
            while time < stop:
                viseme, step = _VISEMES[int(rng.integers(len(_VISEMES)))], float(rng.uniform(0.1, 0.2))
                _add(sounds, time, step, float(rng.uniform(0.6, 1.1)) * self._actions(viseme))
                time += step
            _add(sounds, time, 0.18, quiet)
            _add(talk, time, 0.3, 0.0)
            time += 0.3 + float(rng.uniform(0.3, 1.8))
        return Keys(*talk[:2], np.array(talk[2])), Keys(*sounds[:2], np.array(sounds[2]))

    def _expressions(self, rng: np.random.Generator, ordered: bool) -> Keys:
        """The portrait's expression and those that follow it, without lids and the turn of the eyes."""
        still = np.array([not name.startswith(("eyeLook", "eyeBlink")) for name in self.names], float)
        lasting = np.array([0.3 if name.startswith(_LASTING) else 0.85 for name in self.names])
        self._given_up = lasting * [name.startswith(_MOUTH) for name in self.names]
        first = still * self._base["expression"]
        kinds = [name for name in ACTIONS if name not in ("neutral", "talking")]
        moods: tuple[list[float], list[float], list[np.ndarray]] = ([0.0], [1.0], [first])
        time = float(rng.uniform(0.6, 3.0))
        while time < self._end and self.config.emotion:
            share, number, onset = rng.random(), int(rng.integers(len(kinds))), float(rng.uniform(0.35, 0.8))
            strength = float(rng.uniform(0.55, 1.0)) * self.config.emotion
            named = kinds[number] if share < 0.45 else "neutral" if share < 0.75 else ""
            gaze = self._base["gaze"]
            drawn = still * sample_expression(rng, self._distribution, self.names, gaze, named)
            _add(moods, time, onset, strength * (first if ordered else drawn))
            time += onset + 0.7 * math.exp(rng.uniform(0.0, 1.8))
        return Keys(moods[0], moods[1], np.array(moods[2]))

    def _actions(self, strengths: Mapping[str, float]) -> np.ndarray:
        values = np.zeros(len(self.names))
        for stem, strength in strengths.items():
            for name in (stem, f"{stem}Left", f"{stem}Right"):
                if name in self._position:
                    values[self._position[name]] = strength
        return values


def _add(keys: tuple[list[float], list[float], list], start: float, length: float, value: object) -> None:
    for column, item in zip(keys, (start, length, value), strict=True):
        column.append(item)


def _lid(since: float) -> float:
    """How far lids are shut, 0 to 1, some seconds after a blink began."""
    return eased(since / _CLOSING) - eased((since - _CLOSING - _SHUT) / _OPENING)
