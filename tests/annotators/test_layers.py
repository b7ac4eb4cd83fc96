"""Albedo and mattes: what does not depend on light, and where hair, beards and glasses change a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ball_head import ball_rendering
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge import testing
from synthforge.core.errors import AnnotationError
from synthforge.core.plugins import Plugins
from synthforge.core.records import Rendering
from synthforge.datasets.codecs import CODECS, Encoding

BEARDED: dict[str, Any] = {
    "person": {"gender": "man", "age": "young"},
    "beard": {"style": "full"},
    "glasses": {"present": 1, "sun": 0},
    **{name: {"present": 0} for name in ("mask", "hand", "occluder", "hat")},
}


def rendered(plugins: Plugins, index: int = 11, **changes: dict[str, Any]) -> Rendering:
    generator = plugins.build("generator", {"name": "anny", **BEARDED})
    scene = generator.sample(7, index)
    for group, values in changes.items():
        scene.parameters[group].update(values)
    (found,) = generator.render([scene], 128)
    return found


def values(plugins: Plugins, name: str, rendering: Rendering) -> dict[str, Any]:
    return plugins.build("annotator", name).annotate(rendering)


@pytest.mark.parametrize("name", ["albedo", "mattes"])
def test_the_contract(plugins: Plugins, name: str) -> None:
    testing.check_plugin(plugins, "annotator", name, rendering=rendered(plugins))
    with pytest.raises(AnnotationError, match=name):
        values(plugins, name, ball_rendering())


def test_albedo_knows_no_light(plugins: Plugins) -> None:
    """The same person in other light has the same albedo, and it is black where nothing is."""
    bright, dark = rendered(plugins), rendered(plugins, light={"ambient": 0.0, "environment_share": 0.0})
    assert not np.array_equal(bright.image, dark.image)
    albedo = values(plugins, "albedo", bright)["albedo"]
    assert np.array_equal(albedo, values(plugins, "albedo", dark)["albedo"])
    assert bright.surface is not None
    empty = bright.surface.face_id < 0
    for matte in values(plugins, "mattes", bright).values():
        empty &= matte == 0
    assert empty.sum() > 1000
    assert not albedo[empty].any()
    skin = bright.labels["synthforge"] == 1
    assert 40 < albedo[skin].mean() < 220


@pytest.mark.parametrize(("group", "matte", "index"), [("hair", "hair", 2), ("beard", "beard", 5)])
def test_a_matte_is_where_another_colour_shows(plugins: Plugins, group: str, matte: str, index: int) -> None:
    """Dyed hair changes the albedo where its matte is, in proportion to it, and nowhere else."""
    black, white = ({group: {"colour": np.full(3, level)}} for level in (0.02, 0.6))
    first, second = (rendered(plugins, index, **each) for each in (black, white))
    one, two = (each.layers().albedo for each in (first, second) if each.layers is not None)
    opacity = values(plugins, "mattes", first)[f"{matte}_matte"]
    changed = (two - one).mean(-1)
    assert (opacity > 0.7).sum() > 30
    assert np.abs(changed[opacity == 0]).max() < 0.008  # opacities have 255 steps
    assert (changed[opacity > 0.5] > 0.02).mean() > 0.98
    label = first.labels["synthforge"] == SYNTHFORGE.id({"hair": "hair", "beard": "facial_hair"}[matte])
    assert (opacity[label] >= 0.4).mean() > 0.9


def test_glasses_are_a_frame_and_thin_lenses(plugins: Plugins) -> None:
    rendering = rendered(plugins)
    opacity = values(plugins, "mattes", rendering)["glasses_matte"]
    assert (opacity == 1).sum() > 20
    assert ((opacity > 0) & (opacity < 0.5)).sum() > 100


def test_stored_opacity_is_within_half_a_unit() -> None:
    matte, item, encoding = np.linspace(0, 1, 77, dtype=np.float32).reshape(7, 11), None, Encoding()
    codec = CODECS["matte"]
    back = codec.decode(codec.encode(matte, item, encoding), item, encoding)  # type: ignore[arg-type]
    np.testing.assert_allclose(back, matte, atol=1 / 510)
    with pytest.raises(ValueError, match="between 0 and 1"):
        codec.encode(matte * 2, item, encoding)  # type: ignore[arg-type]
