"""Where the numbers of every factor come from: the first pattern that fits its name counts.

Three kinds of source: something published, named here; a range that is physically or anatomically possible; and a
choice of ours, made by looking at renders. A choice says so: it is no claim about any population.
"""

from __future__ import annotations

_PAPER = "the paper's range (SynthForge, section 3.1)"
_CHOICE = "a choice of ours, by looking at renders"

SOURCES: dict[str, str] = {
    # the head
    "head.gender": "MakeHuman's slider (0 man, 1 woman); Beta(1/4, 1/4) is a choice: clear cases with some between",
    "head.age": "MakeHuman's unit (0 baby, 1/3 child, 2/3 young adult, 1 old); one in eight a child of any "
    "age, adults uniform: a choice, broad rather than any country's age pyramid",
    "head.african": "Dirichlet(1/2), the same for all three: balanced by construction, not a population's shares",
    "head.asian": "as head.african",
    "head.caucasian": "as head.african",
    "head.gaze_*": "four of five look into the camera, a choice: photographs show people who do; the others turn a "
    "part of that way, and mostly stay within 15 degrees of it, as most saccades do (Bahill, Adler & Stark 1975): "
    "sigma 9 and 6",
    "head.neck_*": "a choice: small turns; the camera's orbit makes the large ones",
    "head.head_*": "a choice: small turns; the camera's orbit makes the large ones",
    "head.*": "MakeHuman's sliders, normal about their middle (lips: about Farkas's mean heights, noses and chins: "
    "by studies/pose_bias.py, see heads.anny.sampling.MIDDLES); the spread is a choice: their ends are caricatures",
    "expression.*": "ARKit's actions by rules (docs/heads.md): shares of neutral, few and many actions, of smiles, "
    "open jaws and shut eyes are choices; no statistics of expressions were used",
    # the camera
    "camera.azimuth": "most people look at the camera: a choice; the paper's uniform 0.8 rad by "
    "`camera: {azimuth: {kind: uniform, low: -0.8, high: 0.8}}`",
    "camera.elevation": "within the paper's range of 0.8 rad; concentrated at the height of mouth and eyes: a choice",
    "camera.field_of_view": _PAPER,
    "camera.*": _CHOICE,
    # light
    "light.*_kelvin": "photographers' tables: candle 1900 K, tungsten 2800 K, noon 5500 K, overcast 6500 K, blue sky "
    "above 9000 K; the spread is a choice",
    "light.environment": "kinds of surroundings in environment.py, about equally often: a choice",
    "light.*": _CHOICE,
    # skin
    "skin.melanin": "absorption after Jacques 2013 (palette.py); the range covers the human one, see "
    "melanin_by_ancestry: a choice",
    "skin.haemoglobin": "absorption after Jacques 2013 (palette.py); the range is a choice",
    "skin.roughness": "around what Weyrich et al. 2006 fit to facial skin; the range is a choice",
    "skin.*": _CHOICE,
    # eyes
    "eyes.iris_radius": "white-to-white diameter 11.7 mm, standard deviation 0.4 mm (Ruefer et al. 2005)",
    "eyes.pupil": "3 to 6 mm of diameter, as in indoor to outdoor light (Watson & Yellott 2012); evenly: a choice",
    "eyes.iris": "more brown than light ones, as worldwide; the shares are a choice",
    "eyes.*": _CHOICE,
    # hair and dress
    "hair.colour": "cumulative shares in palette.HAIR: mostly black and brown, 1 to 4 % red, as worldwide; a choice",
    "hair.hairline": "about 65 mm above the nasion (Farkas 1994: 67 in men, 63 in women); the spread is a choice",
    "hair.*": _CHOICE,
    "brows.*": _CHOICE,
    "beard.*": _CHOICE,
    "clothes.*": _CHOICE,
    "glasses.present": "a choice of ours: fewer than wear them, more than are photographed with them",
    "glasses.width": "lenses of common frames are 40 to 60 mm wide; the shape is a choice",
    "glasses.rim": "wire is 0.8 to 2 mm thick, acetate 3 to 6",
    "glasses.*": _CHOICE,
    "hat.present": "5 % in CelebAMask-HQ (a count, see factors/worn.py), more outdoors",
    "jewellery.necklace": "4 % in CelebAMask-HQ (a count, see factors/worn.py)",
    **dict.fromkeys(("hat.*", "mask.*", "scarf.*", "hand.*", "jewellery.*", "border.*"), _CHOICE),
    # picture
    "background.*": _CHOICE,
    "film.jpeg": "libjpeg qualities that cameras (95) and web sites (65 to 88) use; the shares are a choice",
    **dict.fromkeys(
        ("film.noise", "film.blur", "film.scale", "film.motion", "film.defocus"),
        "a choice of ours: few renders noisier or softer than photographs cropped to 256 pixels are",
    ),
    **dict.fromkeys(
        ("film.exposure", "film.contrast", "film.saturation"),
        "a choice of ours: luma and saturation over a face spread as in photographs (studies/contrast.py)",
    ),
    "film.*": _CHOICE,
    "occluder.*": _CHOICE,
}
