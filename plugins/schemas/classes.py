"""Class schemas: this project's own, those of the datasets it reads, and that of FLAME's regions."""

from __future__ import annotations

from colorsys import hsv_to_rgb

from synthforge.core.schemas import ClassSchema

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

# What becomes in a clip's next frame of the point that a pixel shows.
FLOW = ClassSchema(
    name="flow",
    classes=("nothing", "visible", "hidden", "outside"),
    colours=((0, 0, 0), (90, 200, 120), (220, 80, 60), (240, 200, 60)),
)

_PEOPLE = 64


def _bright(number: int) -> tuple[int, int, int]:
    red, green, blue = hsv_to_rgb(0.618 * number % 1, 0.65, 0.95 - 0.18 * (number % 3))
    return round(255 * red), round(255 * green), round(255 * blue)


INSTANCES = ClassSchema(
    name="instances",
    classes=("nobody", *(f"person_{number}" for number in range(1, _PEOPLE + 1))),
    colours=((0, 0, 0), *map(_bright, range(_PEOPLE))),
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
