"""The page of a dataset: everything in one file, nothing of the data is markup, and it works in a browser."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from made_samples import FIELDS, make_sample
from PIL import Image

from synthforge.cli.show import command
from synthforge.core.factors import Factor
from synthforge.core.records import Field
from synthforge.core.schemas import CLASS_SCHEMAS
from synthforge.datasets.gallery import write_gallery
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.writer import finish, write_shard

EVIL = "</script><script>document.title='broken into'</script><img src=x onerror=document.title=1>"
NUMBERS = (
    Field("pose", "json", "degrees", description=EVIL),
    Field("box", "json", "px", mark="box"),
    Field("ways", "directions", frame="camera", mark="arrows", beside="eyes"),
    Field("eyes", "points3d", "m", "camera"),
    Field("rings", "json", "px", mark="ellipses", beside="ring_angles"),
    Field("ring_angles", "json", "degrees"),
    Field("albedo", "image", "sRGB"),
    Field("group", "json"),
    Field("member", "json"),
)
FACTORS = (
    Factor("skin.tone", ("parameters.shape.0",), "uniform", low=0.0, high=1.0),
    Factor("worn.hat", ("parameters.hat",), "choice", values=(0, 1), labels=("no", EVIL)),
)


def sample(index: int) -> dict[str, Any]:
    made = make_sample(index, 48)
    yy, xx = np.mgrid[:48, :48]
    dome = 1.2 - 0.3 * np.sqrt(np.clip(1 - ((xx - 24) / 22) ** 2 - ((yy - 24) / 22) ** 2, 0, 1))
    made["depth"] = np.where((xx - 24) ** 2 + (yy - 24) ** 2 < 400, dome, 0).astype(np.float32)
    made["scene"]["parameters"]["hat"] = index % 2
    made |= {
        "pose": {"yaw": 10.0 * index - 30, EVIL: 1.0},
        "box": [5.0, 6.0, 40.0, 41.5],
        "ways": np.array([[0, 0, -1], [0.6, 0, -0.8]], np.float32),
        "eyes": np.array([[-0.03, 0, 1], [0.03, 0, 1]], np.float32),
        "rings": {"left": {"iris": {"centre": [12.0, 20.0], "axes": [4.0, 2.0]}, "pupil": None}},
        "ring_angles": {"left": {"iris": 90.0, "pupil": None}},
        "albedo": np.full((48, 48, 3), 90, np.uint8),
        "group": index // 3,
        "member": index % 3,
    }
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six samples in two clips of three frames."""
    root = tmp_path_factory.mktemp("made") / "faces"
    write_shard(root, 0, map(sample, range(6)), (*FIELDS, *NUMBERS), config_hash="x")
    config = {"samples": 6, "generator": EVIL, "members": {"views": 1, "frames": 3, "fps": 20}}
    finish(root, shards=1, config_hash="x", config=config, licences={}, factors=FACTORS)
    return root


@pytest.fixture(scope="module")
def page(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "faces.html"
    return write_gallery(ShardDataset(dataset), range(6), out, FACTORS)


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.S)
    assert found
    return json.loads(found[1])


def picture(text: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(text))))


def test_nothing_of_the_data_is_markup_and_nothing_is_fetched(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert "<img" not in text
    assert text.count("<script") == 2
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", text)
    assert "default-src 'none'" in text


def test_every_label_is_there_where_it_belongs(page: Path, dataset: Path) -> None:
    data, stored = data_of(page), ShardDataset(dataset)
    names = [item["name"] for item in data["layers"]]
    assert names == ["segmentation", "depth", "normals", "landmarks2d", "pose", "box", "ways", "rings", "albedo"]
    first = dict(zip(names, data["samples"][0]["layers"], strict=True))
    assert picture(data["samples"][0]["image"]).shape == (48, 48, 3)
    colours = picture(first["segmentation"])[..., :3]
    assert np.array_equal(colours, CLASS_SCHEMAS["synthforge"].palette[stored[0]["segmentation"]])
    assert (picture(first["depth"])[..., 3] == 255 * (stored[0]["depth"] > 0)).all()
    (box,) = first["box"]
    assert box[3] == [[5.0, 6.0, 40.0, 6.0, 40.0, 41.5, 5.0, 41.5, 5.0, 6.0]]
    ring = np.reshape(first["rings"][0][3][0], (-1, 2))  # the larger axis stands upright
    assert ring.min(0) == pytest.approx([10, 16], abs=0.1)
    assert ring.max(0) == pytest.approx([14, 24], abs=0.1)
    lines = first["ways"][0][3]
    assert lines[0][:2] == pytest.approx(lines[0][2:], abs=1)  # one looks back along the axis
    assert lines[1][2] > lines[1][0] + 3


def test_depth_comes_back_within_a_thousandth_of_its_range(page: Path, dataset: Path) -> None:
    depth, stored = data_of(page)["samples"][2]["depth"], ShardDataset(dataset)[2]["depth"]
    packed = picture(depth["map"]).astype(int)
    level = packed[..., 0] * 16 + (packed[..., 1] >> 4)
    there = stored > 0
    assert ((level > 0) == there).all()
    metres = depth["near"] + (level - 1) / 4094 * (depth["far"] - depth["near"])
    assert np.abs(metres - stored)[there].max() <= 0.001 * (depth["far"] - depth["near"])


def test_pages_stay_small(dataset: Path, tmp_path: Path) -> None:
    """Pictures are reduced to the side asked for, marks with them."""
    out = write_gallery(ShardDataset(dataset), range(2), tmp_path / "p.html", side=24)
    first = data_of(out)["samples"][0]
    assert first["size"] == [24, 24]
    assert first["layers"][5][0][3][0][:2] == [2.5, 3.0]
    assert out.stat().st_size < 100_000


def test_the_end_of_the_name_says_what_is_written(dataset: Path, tmp_path: Path) -> None:
    for name, begin in (("a.html", b"<!doctype html>"), ("a.png", b"\x89PNG")):
        done = CliRunner().invoke(command, [str(dataset), "--count", "2", "--out", str(tmp_path / name)])
        assert done.exit_code == 0, done.output
        assert (tmp_path / name).read_bytes().startswith(begin)
    done = CliRunner().invoke(command, [str(dataset)])
    assert done.exit_code == 0, done.output
    beside = dataset.with_name("faces.html")
    assert len(data_of(beside)["samples"]) == 6
    assert [item["name"] for item in data_of(beside)["factors"][-2:]] == ["skin.tone", "worn.hat"]
    done = CliRunner().invoke(command, [str(dataset), "--out", str(tmp_path / "a.bmp")])
    assert "ends in .html, .png" in str(done.exception)


def test_labels_of_other_files_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    """Values of the kind `json` are what a foreign file says."""
    wrong = sample(0) | {"box": [1, "2", None, 4], "rings": {"left": {"centre": 3, "axes": []}}, "pose": {"yaw": "x"}}
    fields = (*FIELDS, *(replace(f, beside="nowhere") if f.name == "ways" else f for f in NUMBERS))
    write_shard(tmp_path, 0, [wrong], fields, config_hash="x")
    finish(tmp_path, shards=1, config_hash="x", config={"members": [7]}, licences={})
    found = data_of(write_gallery(ShardDataset(tmp_path), [0], tmp_path / "p.html"))
    parts = dict(zip([i["name"] for i in found["layers"]], found["samples"][0]["layers"], strict=True))
    assert parts["box"] == parts["rings"] == parts["pose"] == []
    assert len(parts["ways"]) == 2
    assert found["samples"][0]["clip"] is None


@pytest.mark.browser
@pytest.mark.parametrize(
    ("views", "frames", "shown", "badge"),
    [(3, 1, "6 of 6 samples, 2 rigs", "3 cameras"), (3, 2, ", 3 clips", "2 frames")],
)
def test_rigs_play_camera_by_camera(
    tmp_path: Path, open_page: Callable[..., Any], views: int, frames: int, shown: str, badge: str
) -> None:
    each = views * frames
    write_shard(
        tmp_path,
        0,
        [sample(i) | {"group": i // each, "member": i % each} for i in range(6)],
        (*FIELDS, *NUMBERS),
        config_hash="x",
    )
    config = {"members": {"views": views, "frames": frames}}
    finish(tmp_path, shards=1, config_hash="x", config=config, licences={})
    opened = open_page(write_gallery(ShardDataset(tmp_path), range(6), tmp_path / "p.html"))
    assert shown in opened.locator("#count").inner_text()
    opened.locator(".card").first.click()
    assert opened.locator(".badge").first.inner_text() == badge
    assert opened.locator("#cameras").is_visible() == (frames > 1)
    slider = "#camera" if frames > 1 else "#frame"
    opened.locator(slider).evaluate("(i) => { i.value = 1; i.dispatchEvent(new Event('input')); }")
    assert opened.locator("#key").inner_text().endswith("1")  # the second camera at the same moment
    opened.locator("#frame").evaluate("(i) => { i.value = i.max; i.dispatchEvent(new Event('input')); }")
    assert opened.locator("#key").inner_text().endswith("4" if frames > 1 else "2")


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_it_works_in_a_browser(
    page: Path, open_page: Callable[..., Any], faults: Callable[[Any], list[str]], width: int, dark: bool
) -> None:
    shown = open_page(page, width, dark)
    assert shown.title() == "faces"
    assert shown.locator(".card").count() == 2  # a card a clip
    assert "6 of 6 samples, 2 clips" in shown.locator("#count").inner_text()
    shown.wait_for_function("document.querySelectorAll('.card img').length >= 2")
    assert faults(shown) == []

    pixels = "document.querySelector('.card canvas').getContext('2d').getImageData(0, 0, 360, 360).data"
    painted = f"() => {pixels}.filter((value) => value).length"
    marks = shown.evaluate(painted)
    shown.click("#toggles button:text-is('box')")
    assert shown.evaluate(painted) > marks > 0
    shown.click("#toggles button:text-is('segmentation')")
    assert shown.locator(".card .map").count() == 2
    assert "nose" in shown.locator("#legend").inner_text()

    if width < 800:
        shown.click("#filters > summary")
    shown.fill("#find", "yaw")
    lowest = shown.locator(".filter input[type=range]").first
    lowest.evaluate("(i) => { i.value = 500; i.dispatchEvent(new Event('input')); }")
    assert "3 of 6 samples, 1 clips" in shown.locator("#count").inner_text()
    shown.fill("#find", "hat")
    shown.locator(".filter label", has_text="no (3)").click()
    assert "1 of 6 samples" in shown.locator("#count").inner_text()  # the filter that is out of sight still counts
    assert faults(shown) == []
    shown.click("#clear")
    assert "6 of 6 samples" in shown.locator("#count").inner_text()

    shown.locator(".card").last.click()
    assert "000000003" in shown.locator("#key").inner_text()
    shown.wait_for_function("mesh === null || mesh.triangles() > 1000")
    shown.focus("#mesh")
    before = shown.evaluate("mesh && mesh.angles()[0]")
    shown.keyboard.press("ArrowRight")
    assert shown.evaluate("mesh && mesh.angles()[0]") != before or before is None
    assert "000000003" in shown.locator("#key").inner_text()
    shown.click("#play")
    shown.wait_for_function("document.getElementById('key').textContent.endsWith('5')")
    shown.click("#play")
    assert faults(shown) == []
    shown.keyboard.press("Escape")
    assert not shown.locator("#detail").is_visible()
    shown.click("#distributions > summary")
    assert faults(shown) == []
    assert shown.title() == "faces"
