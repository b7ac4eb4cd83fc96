"""Mappings between the class schemas: source class -> target class."""

from __future__ import annotations

from synthforge.core.schemas import ClassMapping

_FLAME_SKIN = dict.fromkeys(
    ("face", "forehead", "eye_region", "right_eye_region", "left_eye_region", "eye_region+forehead"), "skin"
)

# LaPa's "left" lies at image left, so it is the subject's right; its classes are mapped crosswise.
# CelebAMask-HQ's "l_lip" is the lower lip: it must not be flipped with the sides (see the tests of `mirror`).
MAPPINGS: tuple[ClassMapping, ...] = (
    ClassMapping(
        "synthforge",
        "lapa11",
        {
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
    ),
    ClassMapping(
        "synthforge",
        "celebamask19",
        {
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
    ),
    ClassMapping(
        "flame20",
        "lapa11",
        {
            **_FLAME_SKIN,
            "right_eyeball": "left_eye",
            "left_eyeball": "right_eye",
            "left_eyebrow": "right_brow",
            "right_eyebrow": "left_brow",
            "scalp": "hair",
        },
    ),
    ClassMapping(
        "flame20",
        "celebamask19",
        {
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
    ),
    ClassMapping(
        "facesynthetics19",
        "synthforge",
        {
            "mouth_interior": "inner_mouth",
            "top_lip": "upper_lip",
            "bottom_lip": "lower_lip",
            "beard": "facial_hair",
            "clothing": "cloth",
            "headwear": "hat",
            "facewear": "face_mask",
        },
    ),
    ClassMapping(
        "facesynthetics19",
        "lapa11",
        {
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
    ),
    ClassMapping(
        "facesynthetics19",
        "celebamask19",
        {
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
    ),
)
