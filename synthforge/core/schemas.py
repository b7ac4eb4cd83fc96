"""Label schemas as data: class names and colours, point names, left/right pairs, and mappings between schemas.

Annotators, tasks, benchmarks, flips, plots and exports all read these tables. Left and right are the subject's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

IGNORE = 255


@dataclass(frozen=True)
class ClassSchema:
    """Classes of a label map: id = position in `classes`; colours are sRGB, for pictures only."""

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    background: str = "background"

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or len(self.classes) != len(self.colours):
            raise ValueError(f"schema {self.name}: class names must differ and each have one colour")

    def __len__(self) -> int:
        return len(self.classes)

    def id(self, name: str) -> int:
        """The id of a class; KeyError if there is none of that name."""
        try:
            return self.classes.index(name)
        except ValueError:
            raise KeyError(f"schema {self.name} has no class '{name}'") from None

    @cached_property
    def palette(self) -> np.ndarray:
        """Colours (256,3) uint8 by id; ids beyond the schema are white."""
        table = np.full((256, 3), 255, np.uint8)
        table[: len(self.colours)] = self.colours
        return table

    @cached_property
    def flip(self) -> np.ndarray:
        """Look-up table (256,) uint8: the class each id becomes when the image is mirrored."""
        table = np.arange(256, dtype=np.uint8)
        for index, name in enumerate(self.classes):
            twin = _mirror_name(name)
            if twin != name and twin in self.classes:
                table[index] = self.id(twin)
        return table


@dataclass(frozen=True)
class PointSchema:
    """Named points: mirror[i] is the point that i becomes in the mirrored image; edges for drawing; regions by name.

    `eye_corners`: the two outer eye corners, whose distance normalises errors.
    """

    name: str
    mirror: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    eye_corners: tuple[int, int] = (36, 45)

    def __len__(self) -> int:
        return len(self.mirror)


def _mirror_name(name: str) -> str:
    for a, b in (("left", "right"), ("l_", "r_")):
        if name.startswith(a):
            return b + name[len(a) :]
        if name.startswith(b):
            return a + name[len(b) :]
    return name


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _chain(first: int, last: int, closed: bool = False) -> tuple[tuple[int, int], ...]:
    line = tuple((i, i + 1) for i in range(first, last))
    return (*line, (last, first)) if closed else line


def _pairs(count: int, swaps: Mapping[int, int]) -> tuple[int, ...]:
    table = list(range(count))
    for a, b in swaps.items():
        table[a], table[b] = b, a
    return tuple(table)


IBUG68 = PointSchema(
    name="ibug68",
    mirror=_pairs(
        68,
        {i: 16 - i for i in range(8)}
        | {17 + i: 26 - i for i in range(5)}
        | {31: 35, 32: 34}
        | {36: 45, 37: 44, 38: 43, 39: 42, 40: 47, 41: 46}
        | {48: 54, 49: 53, 50: 52, 59: 55, 58: 56, 60: 64, 61: 63, 67: 65},
    ),
    edges=(
        *_chain(0, 16),
        *_chain(17, 21),
        *_chain(22, 26),
        *_chain(27, 30),
        *_chain(31, 35),
        *_chain(36, 41, closed=True),
        *_chain(42, 47, closed=True),
        *_chain(48, 59, closed=True),
        *_chain(60, 67, closed=True),
    ),
    regions={
        "jaw": _span(0, 16),
        "brows": _span(17, 26),
        "nose": _span(27, 35),
        "eyes": _span(36, 47),
        "mouth": _span(48, 67),
    },
)

# The classes this project renders. A head's own regions are the first 19; what it wears and grows comes after.
SYNTHFORGE = ClassSchema(
    name="synthforge",
    classes=(
        *("background", "skin", "left_ear", "right_ear", "neck", "nose", "left_brow", "right_brow"),
        *("left_eye", "right_eye", "left_lid", "right_lid", "upper_lip", "lower_lip", "inner_mouth"),
        *("teeth", "tongue", "scalp", "torso", "hair", "facial_hair", "glasses", "lens", "hat"),
        *("earring", "necklace", "cloth", "face_mask", "occluder"),
    ),
    colours=(
        *((0, 0, 0), (236, 188, 150), (255, 128, 64), (64, 128, 255), (176, 122, 90), (250, 220, 90)),
        *((120, 60, 20), (20, 60, 120), (60, 220, 60), (60, 220, 220), (210, 150, 120), (190, 140, 130)),
        *((220, 40, 70), (180, 20, 110), (90, 0, 30), (240, 240, 240), (240, 120, 150), (140, 160, 110)),
        *((120, 90, 80), (90, 60, 160), (60, 40, 90), (20, 20, 20), (150, 200, 230), (200, 90, 20)),
        *((255, 215, 0), (230, 190, 60), (80, 110, 170), (120, 200, 190), (130, 130, 130)),
    ),
)

LAPA11 = ClassSchema(
    name="lapa11",
    classes=(
        *("background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "nose"),
        *("upper_lip", "inner_mouth", "lower_lip", "hair"),
    ),
    colours=(
        *((0, 0, 0), (0, 153, 255), (102, 255, 153), (0, 204, 153), (255, 255, 102), (255, 255, 204)),
        *((255, 153, 0), (255, 102, 255), (102, 0, 51), (255, 204, 255), (255, 0, 102)),
    ),
)

CELEBAMASK19 = ClassSchema(
    name="celebamask19",
    classes=(
        *("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear"),
        *("mouth", "u_lip", "l_lip", "hair", "hat", "earring", "necklace", "neck", "cloth"),
    ),
    colours=(
        *((0, 0, 0), (204, 0, 0), (76, 153, 0), (204, 204, 0), (51, 51, 255), (204, 0, 204)),
        *((0, 255, 255), (255, 204, 204), (102, 51, 0), (255, 0, 0), (102, 204, 0), (255, 255, 0)),
        *((0, 0, 153), (0, 0, 204), (255, 51, 153), (0, 204, 204), (0, 51, 0), (255, 153, 51), (0, 204, 0)),
    ),
)

FLAME20 = ClassSchema(
    name="flame20",
    classes=(
        *("background", "face", "forehead", "eye_region", "neck", "right_eye_region", "left_eye_region"),
        *("right_eyeball", "left_eyeball", "left_eyebrow", "right_eyebrow", "eye_region+forehead"),
        *("left_ear", "right_ear", "lower_lip", "upper_lip", "inner_mouth", "nose", "scalp", "neck_back"),
    ),
    colours=(
        *((0, 0, 0), (236, 188, 150), (245, 205, 160), (210, 150, 120), (176, 122, 90), (160, 120, 190)),
        *((190, 120, 160), (60, 220, 220), (60, 220, 60), (120, 60, 20), (20, 60, 120), (225, 175, 130)),
        *((255, 128, 64), (64, 128, 255), (180, 20, 110), (220, 40, 70), (90, 0, 30), (250, 220, 90)),
        *((140, 160, 110), (120, 90, 70)),
    ),
)

# The classes of FaceSynthetics (Wood et al. 2021), in the order its documentation gives; left is the subject's.
FACESYNTHETICS19 = ClassSchema(
    name="facesynthetics19",
    classes=(
        *("background", "skin", "nose", "right_eye", "left_eye", "right_brow", "left_brow", "right_ear", "left_ear"),
        *("mouth_interior", "top_lip", "bottom_lip", "neck", "hair", "beard", "clothing", "glasses", "headwear"),
        "facewear",
    ),
    colours=(
        *((0, 0, 0), (236, 188, 150), (250, 220, 90), (60, 220, 220), (60, 220, 60), (20, 60, 120), (120, 60, 20)),
        *((64, 128, 255), (255, 128, 64), (90, 0, 30), (220, 40, 70), (180, 20, 110), (176, 122, 90)),
        *((90, 60, 160), (60, 40, 90), (80, 110, 170), (20, 20, 20), (200, 90, 20), (120, 200, 190)),
    ),
)

POINT_SCHEMAS: dict[str, PointSchema] = {IBUG68.name: IBUG68}
CLASS_SCHEMAS: dict[str, ClassSchema] = {
    s.name: s for s in (SYNTHFORGE, LAPA11, CELEBAMASK19, FLAME20, FACESYNTHETICS19)
}

_FLAME_SKIN = dict.fromkeys(
    ("face", "forehead", "eye_region", "right_eye_region", "left_eye_region", "eye_region+forehead"), "skin"
)

# Source class -> target class. What is not named keeps its name; a class unknown to the target becomes background.
# LaPa's "left" lies at image left, so it is the subject's right; its classes are mapped crosswise.
# CelebAMask-HQ's "l_lip" is the lower lip: it must not be flipped with the sides (see `flip` tests).
CLASS_MAPPINGS: dict[tuple[str, str], dict[str, str]] = {
    ("synthforge", "lapa11"): {
        "left_ear": "background",
        "right_ear": "background",
        "neck": "background",
        "left_brow": "right_brow",
        "right_brow": "left_brow",
        "left_eye": "right_eye",
        "right_eye": "left_eye",
        "left_lid": "skin",
        "right_lid": "skin",
        "teeth": "inner_mouth",
        "tongue": "inner_mouth",
        "scalp": "skin",
        "torso": "background",
        "facial_hair": "skin",
        "glasses": "skin",
        "lens": "skin",
    },
    ("synthforge", "celebamask19"): {
        "left_ear": "l_ear",
        "right_ear": "r_ear",
        "left_brow": "l_brow",
        "right_brow": "r_brow",
        "left_eye": "l_eye",
        "right_eye": "r_eye",
        "left_lid": "skin",
        "right_lid": "skin",
        "upper_lip": "u_lip",
        "lower_lip": "l_lip",
        "inner_mouth": "mouth",
        "teeth": "mouth",
        "tongue": "mouth",
        "scalp": "skin",
        "torso": "neck",
        "facial_hair": "skin",
        "glasses": "eye_g",
        "lens": "eye_g",
    },
    ("flame20", "lapa11"): {
        **_FLAME_SKIN,
        "right_eyeball": "left_eye",
        "left_eyeball": "right_eye",
        "left_eyebrow": "right_brow",
        "right_eyebrow": "left_brow",
        "scalp": "hair",
    },
    ("flame20", "celebamask19"): {
        **_FLAME_SKIN,
        "right_eyeball": "r_eye",
        "left_eyeball": "l_eye",
        "left_eyebrow": "l_brow",
        "right_eyebrow": "r_brow",
        "left_ear": "l_ear",
        "right_ear": "r_ear",
        "lower_lip": "l_lip",
        "upper_lip": "u_lip",
        "inner_mouth": "mouth",
        "scalp": "hair",
        "neck_back": "neck",
    },
    ("facesynthetics19", "synthforge"): {
        "mouth_interior": "inner_mouth",
        "top_lip": "upper_lip",
        "bottom_lip": "lower_lip",
        "beard": "facial_hair",
        "clothing": "cloth",
        "headwear": "hat",
        "facewear": "face_mask",
    },
    ("facesynthetics19", "lapa11"): {
        "left_brow": "right_brow",
        "right_brow": "left_brow",
        "left_eye": "right_eye",
        "right_eye": "left_eye",
        "mouth_interior": "inner_mouth",
        "top_lip": "upper_lip",
        "bottom_lip": "lower_lip",
        "beard": "skin",
        "glasses": "skin",
    },
    ("facesynthetics19", "celebamask19"): {
        "left_brow": "l_brow",
        "right_brow": "r_brow",
        "left_eye": "l_eye",
        "right_eye": "r_eye",
        "left_ear": "l_ear",
        "right_ear": "r_ear",
        "mouth_interior": "mouth",
        "top_lip": "u_lip",
        "bottom_lip": "l_lip",
        "beard": "skin",
        "clothing": "cloth",
        "glasses": "eye_g",
        "headwear": "hat",
    },
}


def class_mapping(source: str, target: str) -> np.ndarray:
    """Look-up table (256,) uint8 from ids of schema `source` to ids of schema `target`; IGNORE stays IGNORE.

    Raises KeyError, naming both schemas, when no mapping between them is known.
    """
    table = np.full(256, IGNORE, np.uint8)
    a, b = CLASS_SCHEMAS[source], CLASS_SCHEMAS[target]
    if source == target:
        table[: len(a)] = np.arange(len(a))
        return table
    if (source, target) not in CLASS_MAPPINGS:
        raise KeyError(f"no mapping from class schema '{source}' to '{target}' is known")
    named = CLASS_MAPPINGS[source, target]
    for index, name in enumerate(a.classes):
        wanted = named.get(name, name)
        table[index] = b.id(wanted) if wanted in b.classes else 0
    return table
