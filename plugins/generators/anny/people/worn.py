"""From factors to parameters of what is worn and held, and what goes with what: rules about people, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..factors.table import kept
from ..factors.worn import (
    BORDERS,
    EARRING_KINDS,
    HAND_PLACES,
    HAT_KINDS,
    THINGS,
    HandConfig,
    HatConfig,
    JewelleryConfig,
    MaskConfig,
    OccluderConfig,
    ScarfConfig,
)
from ..light.palette import from_hsv
from ..mesh.worn.headwear import rim_terms
from ..mesh.worn.jewellery import METALS
from ..mesh.worn.masks import COLOURS

GROUPS = ("hat", "mask", "scarf", "hand", "occluder", "jewellery", "border")
ADULT = 0.58  # in the phenotypes' unit of age: children wear half as many earrings
# what an adult's hat does to the hair: hidden altogether, or without a fringe
HIDES_HAIR = ("headscarf",)
HIDES_FRINGE = ("headscarf", "hood")


def sample_accessories(
    factors: Mapping[str, Mapping[str, float]],
    config: Any,
    streams: Mapping[str, np.random.Generator],
    gender: float,
    age: float,
    tone: np.ndarray,
    cloth: np.ndarray,
) -> dict[str, Any]:
    """Parameters of every group of GROUPS: factors by group; config: chances by group; gender 0 male, 1 female; tone
    and cloth (3,): colours of skin and clothes."""
    chances = {name: streams[name].random(4) for name in GROUPS}
    woman, adult = gender > 0.5, age > ADULT
    hat = _hat(factors["hat"], chances["hat"], config.hat.present, woman)
    hand = _hand(factors["hand"], chances["hand"], config.hand.present, tone, cloth)
    thing = _thing(factors["occluder"], chances["occluder"], config.occluder, tone, cloth)
    # two hands and a thing at once are too much
    hand["present"] = hand["present"] and not thing["present"]
    mask = _mask(factors["mask"], chances["mask"], config.mask)
    scarf = _scarf(factors["scarf"], chances["scarf"], config.scarf.present, hat)
    jewellery = _jewellery(factors["jewellery"], chances["jewellery"], config.jewellery, woman, adult)
    if hat["present"] and hat["kind"] in HIDES_FRINGE:  # under the cloth
        jewellery["worn"] = [False, False]
    return {
        "hat": hat,
        "mask": mask,
        "scarf": scarf,
        "hand": hand,
        "occluder": thing,
        "jewellery": jewellery,
        "border": _border(factors["border"], chances["border"], config.border),
    }


def _hat(f: Mapping[str, float], chance: np.ndarray, present: float, woman: bool) -> dict[str, Any]:
    kind = HAT_KINDS[int(f["kind_women"] if woman else f["kind_men"])]
    reach = f["reach"] + {"headscarf": 12.0, "hood": 26.0, "brimmed": 3.0}.get(kind, 0.0)
    # a knitted cap comes down over the ears or sits above them; a brim sits level
    side = {"beanie": f["side"] - 10.0, "brimmed": f["side"] + 4.0, "hood": 10.0, "headscarf": 10.0}.get(
        kind, f["side"]
    )
    back = f["back"] + {"brimmed": 22.0, "beanie": -8.0}.get(kind, 0.0)
    return {
        "present": bool(chance[0] < present),
        "kind": kind,
        "rim": rim_terms(reach, side, back),
        "colour": from_hsv(f["hue"], f["saturation"], f["value"]),
        "ribs": float(round(f["ribs"])),
        **kept(HatConfig, f),
    }


def _mask(f: Mapping[str, float], chance: np.ndarray, config: Any) -> dict[str, Any]:
    tint = int(f["tint"])
    colour = COLOURS[tint] if tint < len(COLOURS) - 1 else from_hsv(f["hue"], 0.5, 0.3)
    return {
        "present": bool(chance[0] < config.present),
        "under_nose": bool(chance[1] < config.under_nose),
        "colour": np.clip(colour * f["value"], 0, 1),
        **kept(MaskConfig, f),
    }


def _scarf(f: Mapping[str, float], chance: np.ndarray, present: float, hat: Mapping[str, Any]) -> dict[str, Any]:
    scarf: dict[str, Any] = {
        "present": bool(chance[0] < present),
        "label": "cloth",
        "colour": from_hsv(f["hue"], f["saturation"], f["value"]),
        "phase": float(2 * np.pi * chance[1]),
        **kept(ScarfConfig, f),
    }
    if hat["present"] and hat["kind"] == "headscarf":  # its lower part goes around the neck
        scarf |= {"present": True, "label": "hat", "colour": hat["colour"], "knit": 0.5 * hat["knit"]}
        scarf |= {"bulk": 0.6 * f["bulk"], "tall": 74.0, "rise": 8.0 + 0.1 * f["rise"], "loose": 0.0, "nape": 44.0}
        scarf["phase"] = float(min(scarf["phase"], 3.0))
    if hat["present"] and hat["kind"] == "hood" and not scarf["present"]:
        scarf |= {"present": True, "colour": hat["colour"], "knit": 0.5 * hat["knit"], "rise": min(f["rise"], -25.0)}
        scarf["phase"] = float(min(scarf["phase"], 3.0))
    return scarf


def _hand(
    f: Mapping[str, float], chance: np.ndarray, present: float, tone: np.ndarray, cloth: np.ndarray
) -> dict[str, Any]:
    return {
        "present": bool(chance[0] < present),
        "left": bool(chance[1] < 0.5),
        "place": HAND_PLACES[int(f["place"])],
        "tone": tone,
        "sleeve": cloth,
        **kept(HandConfig, f),
    }


def _thing(
    f: Mapping[str, float], chance: np.ndarray, config: Any, tone: np.ndarray, cloth: np.ndarray
) -> dict[str, Any]:
    kind = THINGS[int(f["kind"])]
    colour = from_hsv(f["hue"], f["saturation"], f["value"])
    if kind == "microphone":
        colour = np.full(3, 0.012 + 0.5 * float(chance[3] > 0.8))
    if kind == "blob" and chance[1] < config.skin:
        colour = tone
    return {
        "present": bool(chance[0] < config.present),
        "kind": kind,
        "colour": colour,
        "held": bool(chance[2] < config.held) or kind != "microphone",
        "left": bool(chance[3] * 1e3 % 1 < 0.5),
        "grey": float(chance[1]),
        "band": 0.6 + 0.8 * float(chance[1]),
        "tone": tone,
        "sleeve": cloth,
        **kept(OccluderConfig, f),
    }


def _jewellery(f: Mapping[str, float], chance: np.ndarray, config: Any, woman: bool, adult: bool) -> dict[str, Any]:
    share = config.women if woman else config.men
    worn = bool(chance[0] < share * (1.0 if adult else 0.5))
    both = chance[1] >= config.single * (1.0 if woman else 8.0)
    metal = int(f["metal"])
    kind = EARRING_KINDS[int(f["kind"])]
    return {
        "worn": [worn, worn and bool(both)],
        "kind": kind,
        "necklace": bool(chance[2] < (config.necklace if woman else 0.2 * config.necklace)),
        "colour": METALS[metal] if metal < len(METALS) - 1 else from_hsv(f["hue"], 0.7, 0.35),
        **kept(JewelleryConfig, f),
    }


def _border(f: Mapping[str, float], chance: np.ndarray, config: Any) -> dict[str, Any]:
    cut = bool(chance[0] < config.cut)
    # a picture cut from beyond a photograph's edge shows the edge, not a face outside of it
    return {
        "cut": cut,
        "shift_x": float(f["shift"] * np.cos(f["way"])) if cut else 0.0,
        "shift_y": float(f["shift"] * np.sin(f["way"])) if cut else 0.0,
        "margin": bool(not cut and chance[1] < config.margin),
        "side": int(f["side"]),
        "wide": f["wide"],
        "fill": BORDERS[int(f["fill"])],
    }


def adapt_hair(hair: dict[str, Any], hat: Mapping[str, Any]) -> dict[str, Any]:
    """Hair as a hat leaves it: all hidden, or without fringe and length in front of the ears."""
    if not hat["present"] or hat["kind"] not in HIDES_FRINGE:
        return hair
    changed: dict[str, Any] = {"fringe": 0.0, "cover_ears": 1.0}
    if hat["kind"] in HIDES_HAIR:
        changed["style"] = "buzz" if hair["style"] != "bald" else "bald"
        changed["hairline"] = max(hair["hairline"], 0.0)  # none looks out below the rim
    return {**hair, **changed}
