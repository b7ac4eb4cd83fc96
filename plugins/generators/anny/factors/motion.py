"""What moves in a clip: the keys of `motion`. No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass

from synthforge.core.keys import key

from .table import OURS


@dataclass
class MotionConfig:
    """A clip of each person. All is a pure function of (seed, group, time): a longer clip begins as a shorter one."""

    frames: int = key(1, "Frames of a clip; 1 is a single picture.", low=1, high=100_000)
    fps: float = key(25.0, "Frames a second.", unit="1/s", above=0, high=1000)
    head: float = key(1.0, "How far head and neck move; 0 holds them still.", low=0, high=5, source=OURS)
    gaze: float = key(
        1.0,
        "How far eyes turn aside between the looks they share with a portrait; 0 fixes them on one thing.",
        low=0,
        high=3,
        source="saccades by the main sequence (Bahill, Clark & Stark 1975); lengths of fixations are a choice",
    )
    blinks: float = key(
        17.0, "Blinks a minute.", low=0, high=60, source="17 a minute at rest, 26 in talk (Bentivoglio et al. 1997)"
    )
    speech: float = key(0.5, "Chance that the person talks in phrases.", low=0, high=1, source=OURS)
    emotion: float = key(
        1.0, "Strength of the expressions that follow the first one; 0 keeps that.", low=0, high=1, source=OURS
    )
    camera: float = key(1.0, "How far a camera in the hand sways; 0 is a tripod.", low=0, high=20, source=OURS)
    shutter: float = key(
        0.0, "Share of the time between frames in which light is caught: the blur of the motion.", low=0, high=1
    )
    exposures: int = key(5, "Pictures that are averaged for that blur.", low=2, high=64)
