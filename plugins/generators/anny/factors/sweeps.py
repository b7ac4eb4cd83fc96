"""What `synthforge probe` varies of `anny`; levels in the units of YAML. Any other key can be named as well."""

from __future__ import annotations

from synthforge.core.factors import Sweep

SWEEPS = (
    Sweep("yaw", ("camera.azimuth_degrees",), (-90, -60, -30, 0, 30, 60, 90), 0, "degrees", doc="Orbit of the camera."),
    Sweep("pitch", ("camera.elevation_degrees",), (-40, -20, 0, 20, 40), 0, "degrees", doc="Height of the camera."),
    Sweep("roll", ("camera.roll_degrees",), (-60, -30, 0, 30, 60), 0, "degrees", doc="Turn of the picture."),
    Sweep("expression", ("head.strength",), (0, 0.5, 1, 1.5, 2), 0, fixed={"head.neutral": 0.0}, doc="Strength."),
    Sweep("age", ("head.age_low", "head.age_high"), (0.15, 0.33, 0.5, 0.67, 0.85, 1), 0.67,
          fixed={"head.children": 0.0, "head.age_child": 0.0}, doc="1/3 child, 2/3 young adult, 1 old."),
    Sweep("melanin", ("skin.melanin",), (0.15, 0.4, 0.7, 1, 1.3, 1.6), 0.4,
          fixed={"skin.melanin_by_ancestry": [0.0, 0.0, 0.0]}, doc="Melanin of the skin, whatever the ancestry."),
    Sweep("light", ("light.key_azimuth_degrees",), (-120, -80, -40, 0, 40, 80, 120), 0, "degrees",
          fixed={"light.count": 1, "light.key_level": 1.5, "light.ambient_level": 0.15},
          doc="Where the one hard light stands, from the camera's side."),
    Sweep("exposure", ("film.exposure",), (-4, -3, -2, -1, 0, 1, 2), 0, "stops", doc="Beyond the automatic one."),
    Sweep("glasses", ("glasses.present",), (0, 1), 0, fixed={"glasses.sun": 0.0}, doc="0 none, 1 clear glasses."),
    Sweep("sunglasses", ("glasses.present",), (0, 1), 0, fixed={"glasses.sun": 1.0}, doc="0 none, 1 dark glasses."),
    Sweep("mask", ("mask.present",), (0, 1), 0, fixed={"mask.under_nose": 0.0}, doc="0 none, 1 over mouth and nose."),
    Sweep("occluder", ("occluder.present",), (0, 1), 0, doc="0 none, 1 a thing in front of the face."),
    Sweep("hand", ("hand.present",), (0, 1), 0, doc="0 none, 1 a hand at the face."),
    Sweep("face-size", ("camera.face_fraction",), (0.04, 0.08, 0.15, 0.25, 0.4), 0.4, "of the height",
          fixed={"film.scale": 1}, doc="From chin to brows."),
    Sweep("blur", ("film.defocus",), (0, 1, 2, 4, 8), 0, "px of 256", fixed={"film.blur": 0.0}, doc="Radius."),
    Sweep("noise", ("film.noise",), (0, 5, 10, 20, 40), 0, "8-bit steps", doc="Standard deviation at mid grey."),
    Sweep("jpeg", ("film.jpeg",), (100, 90, 60, 30, 15, 5), 100, "quality", fixed={"film.scale": 1}, doc="libjpeg."),
)  # fmt: skip
