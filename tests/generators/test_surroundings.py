"""Panoramas of the user's own: read or refused, and light and background that agree with each other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthforge_plugins.generators.anny import build
from synthforge_plugins.generators.anny.backdrops.surroundings import Surroundings
from synthforge_plugins.generators.anny.factors.config import AnnyConfig
from synthforge_plugins.generators.anny.light.environment import at, unit
from synthforge_plugins.generators.anny.shading.look import ambient_light

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, DataError
from synthforge.core.images import read_exr, read_radiance


def rgbe(light: np.ndarray) -> np.ndarray:
    """Bytes (H,W,4) of linear light."""
    strongest = light.max(-1)
    exponent = np.where(strongest > 1e-30, np.ceil(np.log2(np.maximum(strongest, 1e-30)) + 1e-6), 0)
    mantissa = np.clip(light / np.exp2(exponent - 8)[..., None], 0, 255)
    return np.concatenate([mantissa, np.where(strongest > 1e-30, exponent + 128, 0)[..., None]], -1).astype(np.uint8)


def radiance(light: np.ndarray, runs: bool = True) -> bytes:
    """A Radiance file; runs: channels by row, in runs of equal bytes where there are any."""
    height, width = light.shape[:2]
    pixels, data = rgbe(light), bytearray(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width))
    if not runs:
        return bytes(data) + pixels.tobytes()
    for row in pixels:
        data += bytes((2, 2, width >> 8, width & 255))
        for channel in row.T.tolist():
            x = 0
            while x < width:
                run = next(
                    (k for k in range(1, min(127, width - x)) if channel[x + k] != channel[x]), min(127, width - x)
                )
                data += bytes((128 + run, channel[x])) if run > 1 else bytes((1, channel[x]))
                x += run
    return bytes(data)


def room(height: int = 16) -> np.ndarray:
    """Dim grey, and a red window in the middle: where +z is when nothing is turned."""
    light = np.full((height, 2 * height, 3), 0.1, np.float32)
    light[height // 2 - 3 : height // 2 + 3, height - 4 : height + 4] = (4.0, 0.5, 0.5)
    return light


def generator(path: Path, **more: Any) -> Any:
    film = {"jpeg": 0, "scale": 1.0, "monochrome": 0.0}
    return build(build_config(AnnyConfig, {"background": {"hdri": str(path), **more}, "film": film}))


@pytest.mark.parametrize("runs", [False, True])
def test_radiance_is_read(tmp_path: Path, runs: bool) -> None:
    light = np.random.default_rng(0).gamma(1.0, 2.0, (6, 40, 3)).astype(np.float32)
    light[2] = 0.25
    (tmp_path / "a.hdr").write_bytes(radiance(light, runs))
    found = read_radiance(tmp_path / "a.hdr")
    assert found.shape == light.shape
    assert np.abs(found - light).max() <= light.max(-1).max() / 128


@given(st.data())
def test_damaged_files_are_refused_by_name(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = radiance(room(8))
    cut = data.draw(st.integers(0, len(whole) - 1))
    path = tmp_path_factory.mktemp("hdr") / "broken.hdr"
    path.write_bytes(whole[:cut])
    with pytest.raises(DataError, match=r"broken\.hdr") as caught:
        read_radiance(path)
    assert caught.value.hint


def exr(path: Path, **channels: np.ndarray) -> Path:
    openexr = pytest.importorskip("OpenEXR")
    openexr.File({"type": openexr.scanlineimage, "compression": openexr.ZIP_COMPRESSION}, channels).write(str(path))
    return path


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_openexr_is_read(tmp_path: Path, kind: type) -> None:
    light = np.random.default_rng(0).gamma(1.0, 20.0, (6, 40, 4)).astype(kind)
    for name, channels in {"RGB": 3, "RGBA": 4}.items():
        found = read_exr(exr(tmp_path / "a.exr", **{name: np.ascontiguousarray(light[..., :channels])}))
        assert np.array_equal(found, light[..., :3].astype(np.float32))
    grey = read_exr(exr(tmp_path / "a.exr", Y=light[..., 0].copy()))
    assert np.array_equal(grey, np.repeat(light[..., :1], 3, -1).astype(np.float32))


def test_damaged_openexr_is_refused_by_name(tmp_path: Path) -> None:
    whole = exr(tmp_path / "whole.exr", RGB=np.random.default_rng(0).random((16, 32, 3), np.float32)).read_bytes()
    path = tmp_path / "broken.exr"
    for cut in (0, 3, 40, 300, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"broken\.exr"):
            read_exr(path)
    for channels in ({"Z": np.ones((4, 8), np.float32)}, {"RGB": np.full((4, 8, 3), np.nan, np.float32)}):
        with pytest.raises(DataError, match=r"broken\.exr.*(channels|finite)"):
            read_exr(exr(path, **channels))


def test_both_formats_give_the_same_light(tmp_path: Path) -> None:
    (tmp_path / "room.hdr").write_bytes(radiance(room()))
    exr(tmp_path / "room.exr", RGB=room())
    around = [
        generator(tmp_path / name).sample(5, 0).parameters["light"]["around"] for name in ("room.hdr", "room.exr")
    ]
    assert np.allclose(*around, atol=0.02 * np.abs(around[0]).max())


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.hdr"
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 90000 +X 90000\n")
    with pytest.raises(DataError, match=r"large\.hdr"):
        read_radiance(path)


def test_light_comes_from_where_the_picture_is_bright(tmp_path: Path) -> None:
    (tmp_path / "room.hdr").write_bytes(radiance(room()))
    made = generator(tmp_path / "room.hdr")
    for index in range(3):
        scene = made.sample(5, index).parameters
        turn, around = scene["background"]["panorama_turn"], ambient_light(scene["light"], scene["camera"]["azimuth"])
        towards, away = (at(around, unit(turn + more, 0.0)) for more in (0.0, math.pi))
        assert towards[0] > 3 * away[0]
        assert towards[0] > 2 * towards[1]
        assert scene["light"]["count"] == 0  # a window is no sun
        # a camera that looks at the window sees it red
        look = {"ray0": unit(turn, 0.0) - 0.02, "ray_x": np.array([1e-3, 0, 0]), "ray_y": np.array([0, -1e-3, 0])}
        assert isinstance(made.folder, Surroundings)
        middle = made.folder.behind(scene["background"], look, 8, 16).mean((0, 1))
        assert middle[0] > 5 * middle[1]


def test_a_sun_casts_shadows_from_where_it_stands(tmp_path: Path) -> None:
    light = np.full((64, 128, 3), 0.2, np.float32)
    light[16, 20:22] = 900.0
    (tmp_path / "sun.hdr").write_bytes(radiance(light))
    scene = generator(tmp_path).sample(1, 0).parameters
    assert (scene["light"]["count"], scene["light"]["casting"]) == (1, 1)
    expected = math.pi - 2 * math.pi * 21 / 128 + scene["background"]["panorama_turn"]
    found = scene["light"]["azimuth"][0] + scene["camera"]["azimuth"]
    assert math.cos(found - expected) > 0.99
    assert abs(scene["light"]["elevation"][0] - math.pi * (0.5 - 16.5 / 64)) < 0.1
    light[12:21, 15:27] = 60.0  # a bright window instead casts softer shadows
    (tmp_path / "window.hdr").write_bytes(radiance(light))
    window = generator(tmp_path / "window.hdr").sample(1, 0).parameters
    assert window["light"]["casting"] == 1
    assert window["light"]["softness"] > 2 * scene["light"]["softness"] > 0


def test_faces_are_lit_and_stand_before_it(tmp_path: Path) -> None:
    (tmp_path / "room.hdr").write_bytes(radiance(room()))
    made = generator(tmp_path, blur=0.01)
    first, again = (made.render([made.sample(2, i) for i in range(2)], 48) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert first[0].image.std() > 5
    provenance = made.provenance()
    assert provenance["backgrounds"]["panoramas"] == 1


@pytest.mark.parametrize(("name", "words"), [("gone.hdr", "no file or folder"), ("room.tif", "does not end in .hdr")])
def test_other_files_are_refused_with_what_to_do(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "room.tif").write_bytes(b"II*\0")
    with pytest.raises(ConfigError, match=words) as caught:
        generator(tmp_path / name)
    assert name in str(caught.value)
    assert caught.value.hint
