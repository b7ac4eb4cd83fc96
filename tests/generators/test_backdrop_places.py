"""Places behind heads: pure in their key, in perspective, out of focus, and without any effect on labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.backdrops.places import NUMBERS, PLACES, Place, in_view, place_of
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.shading import places
from synthforge_plugins.generators.anny.shading.look import pack_look
from synthforge_plugins.schemas import SYNTHFORGE

from synthforge.core.config import build_config
from synthforge.geometry.cameras import orbit_camera

SIZE = 64


def background(kind: str, key: int = 3, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "place": key, "first": np.full(3, 0.3), "second": np.full(3, 0.2), "level": 1.0, **changes}


def of(kind: str, **more: Any) -> Any:
    return build(build_config(AnnyConfig, {"background": {"kind": kind, **more}, "film": {"jpeg": 0, "scale": 1.0}}))


@pytest.mark.parametrize("kind", PLACES)
def test_a_key_is_one_place(kind: str) -> None:
    one, same, other = (place_of(background(kind, key)) for key in (5, 5, 6))
    assert np.array_equal(one.blocks, same.blocks)
    assert one.turn == same.turn
    assert len(one.blocks) != len(other.blocks) or not np.array_equal(one.blocks, other.blocks)
    blocks = np.array(one.blocks)
    assert blocks.shape[1] == NUMBERS
    assert (blocks[:, :3] < blocks[:, 3:6]).all()
    assert np.isfinite(blocks).all()
    assert (blocks[:, 6:12] >= 0).all()


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_things_are_seen_where_the_camera_projects_them(monkeypatch: pytest.MonkeyPatch, turn: float) -> None:
    generator = of("room")
    scene = generator.sample(1, 0)
    camera = orbit_camera(0.3, 0.1, 1.2, 30.0, SIZE, SIZE)
    ca, sa = np.cos(turn), np.sin(turn)
    rotation = np.array([[ca, 0.0, sa], [0.0, 1.0, 0.0], [-sa, 0.0, ca]])  # from the world to the place
    middle = np.array([-0.4, 0.2, -3.0])
    place = Place(turn, np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.0, 1e6]), np.zeros((3, 3)), 0.0)
    at = rotation @ middle
    place.add(*((x - 0.15, x + 0.15) for x in at), np.ones(3), glow=1.0)
    monkeypatch.setattr(places, "place_of", lambda _: place)
    look = pack_look(scene.parameters, camera, 0.35)
    (light,) = places.look_into(
        [background("room", blur=0.001)], look[None], SIZE // 2, SIZE, generator.renderer.static.tiles
    )
    rows, columns = np.nonzero(light[..., 1].cpu().numpy() > 0.5)
    expected, _ = camera.project(middle[None])
    assert abs(2 * columns.mean() + 1 - expected[0, 0]) < 1.5
    assert abs(2 * rows.mean() + 1 - expected[0, 1]) < 1.5
    assert len(rows) > 4


def test_what_is_out_of_sight_is_left_out() -> None:
    place = Place(0.0, np.ones(3), np.ones(4), np.zeros((3, 3)), 1.0)
    place.add((-0.1, 0.1), (-0.1, 0.1), (-5.1, -5.0), np.ones(3))
    place.add((-0.1, 0.1), (-0.1, 0.1), (5.0, 5.1), np.ones(3))
    place.add((4.0, 4.2), (-0.1, 0.1), (-5.1, -5.0), np.ones(3))
    seen = in_view(np.array(place.blocks), np.zeros(3), np.array([0.0, 0.0, -1.0]), 0.3)
    assert np.array_equal(seen, np.array(place.blocks)[:1])


def test_labels_stay_and_blur_blurs() -> None:
    sharp, soft, plain = (
        generator.render([generator.sample(2, 4)], SIZE)[0]
        for generator in (of("street", blur=0.004), of("street", blur=0.15), of("plain"))
    )
    labels = [made.labels[SYNTHFORGE.name] for made in (sharp, soft, plain)]
    assert np.array_equal(labels[0], labels[1])
    assert np.array_equal(labels[0], labels[2])
    behind = torch.as_tensor(labels[0] == 0)
    assert int(behind.sum()) > 200
    edges = [
        np.abs(np.diff(made.image.astype(float), axis=1)).mean(-1)[behind[:, 1:].numpy()].mean()
        for made in (sharp, soft)
    ]
    assert edges[0] > edges[1]


def test_the_cameras_of_a_rig_see_one_place() -> None:
    config = {"background": {"kind": "room"}, "rig": {"kind": "arc", "cameras": 3}}
    generator = build(build_config(AnnyConfig, config))
    keys = {generator.sample(3, i).parameters["background"]["place"] for i in range(3)}
    assert len(keys) == 1
