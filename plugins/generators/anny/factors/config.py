# ruff: noqa: RUF009
# The helpers of `table` return dataclass fields, not values.
"""The generator's configuration: groups of factors, each declared once (see `table`). No heavy imports here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthforge.core.keys import key
from synthforge.core.machine import need_device
from synthforge.core.records import Members
from synthforge.geometry.rigs import RigConfig

from ....heads.anny.distribution import AnnyDistribution
from .crowd import CrowdConfig
from .motion import MotionConfig
from .person import (
    BeardConfig,
    BrowsConfig,
    ClothesConfig,
    EyesConfig,
    GlassesConfig,
    HairConfig,
    PersonConfig,
    SkinConfig,
)
from .picture import BackgroundConfig, CameraConfig, FilmConfig, LightConfig, NearLightConfig
from .worn import BorderConfig, HandConfig, HatConfig, JewelleryConfig, MaskConfig, OccluderConfig, ScarfConfig


@dataclass
class DesignConfig:
    """A balanced design over named factors. The others stay random."""

    kind: str = key(
        "none",
        "How the named factors are spread over the samples.",
        choices=("none", "full_factorial", "latin_hypercube", "sobol"),
    )
    factors: list[str] = key([], "Their names, such as person.age or glasses.present.")
    levels: int = key(3, "Levels of a factor without a few values of its own, in a full factorial.", low=2, high=1000)
    size: int = key(1000, "Samples of one Latin hypercube; then the next begins.", low=2, high=10_000_000)


@dataclass
class AnnyConfig:
    """Everything the generator `anny` can be told. A further factor: subclass a group, and this with that group."""

    batch_size: int = key(
        16,
        "Heads evaluated at once; pixels depend on it in their last bits, so short batches are padded.",
        low=1,
        high=1024,
    )
    device: str = key("cpu", "Where pictures are made; auto is cuda if there is one.", choices=("cpu", "cuda", "auto"))
    quality: str = key(
        "fast",
        "fine: supersampled, with traced shadows and light that scatters in skin. The labels are the same.",
        choices=("fast", "fine"),
        since="0.1",
    )
    person: PersonConfig = key(PersonConfig, "Who is seen, in words: gender, age in years, skin, pose ...")
    head: AnnyDistribution = key(AnnyDistribution, "Identity, expression, gaze and neck.")
    camera: CameraConfig = key(CameraConfig, "Where the camera stands and how large the face is.")
    light: LightConfig = key(LightConfig, "Directional lights and light from everywhere.")
    near_light: NearLightConfig = key(NearLightConfig, "A light close to the face: a screen, lamp, phone or fire.")
    skin: SkinConfig = key(SkinConfig, "Pigments, lines, make-up and gloss of the skin.")
    eyes: EyesConfig = key(EyesConfig, "Iris, pupil, white, lashes.")
    brows: BrowsConfig = key(BrowsConfig, "Shape and colour of the brows.")
    hair: HairConfig = key(HairConfig, "Style, colour and shape of the hair.")
    beard: BeardConfig = key(BeardConfig, "Beards of men.")
    clothes: ClothesConfig = key(ClothesConfig, "What covers the torso.")
    glasses: GlassesConfig = key(GlassesConfig, "Glasses, clear and dark.")
    background: BackgroundConfig = key(BackgroundConfig, "What lies behind the head.")
    film: FilmConfig = key(FilmConfig, "From light to bytes.")
    hat: HatConfig = key(HatConfig, "Caps, knitted caps, brimmed hats, headscarves, hoods.")
    mask: MaskConfig = key(MaskConfig, "Masks over mouth and nose.")
    scarf: ScarfConfig = key(ScarfConfig, "Cloth around the neck.")
    hand: HandConfig = key(HandConfig, "The person's own hand at the face.")
    occluder: OccluderConfig = key(OccluderConfig, "Other things in front of the face.")
    jewellery: JewelleryConfig = key(JewelleryConfig, "Earrings and chains.")
    border: BorderConfig = key(BorderConfig, "Faces partly outside the picture, margins beyond a photograph's edge.")
    rules: dict[str, Any] = key(
        {}, "Rules of plausibility by name: false switches one off, a mapping changes or adds one (docs/anny.md)."
    )
    design: DesignConfig = key(DesignConfig, "A balanced design over some factors.")
    rig: RigConfig = key(RigConfig, "Several cameras that see each person (docs/rigs.md).", since="0.1")
    crowd: CrowdConfig = key(CrowdConfig, "Several people in a picture (docs/crowds.md).", since="0.1")
    motion: MotionConfig = key(MotionConfig, "A clip of each person (docs/clips.md).", since="0.1")

    def __post_init__(self) -> None:
        """Raises ValueError for rules and designs that do not fit the factors, and for crowds in rigs and clips."""
        if self.crowd.most > 1 and self.members.count > 1:
            raise ValueError("crowd: several people are shown by single pictures, not by `rig` or `motion`")
        if self.rules:
            from .rules import rules_of

            rules_of(self)
        if self.design != DesignConfig():
            from .design import check_design

            check_design(self)

    @property
    def members(self) -> Members:
        """Which samples show one person."""
        frames = self.motion.frames
        return Members(len(self.rig.placements()), frames, self.motion.fps if frames > 1 else 0.0)

    def check(self) -> None:
        """Raise ConfigError for a device that is not there."""
        need_device("device", self.device)
