"""`synthforge probe` end to end: a toy generator of someone else's, and a predictor whose error is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from synthforge.cli.main import cli

PLUGIN = """
from dataclasses import dataclass

import numpy as np

from synthforge.core.camera import Camera
from synthforge.core.factors import Sweep
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator, Generator
from synthforge.core.records import Field, Rendering, Scene
from synthforge.core.seeding import numpy_rng
from synthforge.geometry.cameras import orbit_camera

renders = []


@dataclass
class GreyConfig:
    level: float = 100.0
    red: float = 0.0


class Grey(Generator):
    \"\"\"A grey picture whose brightness is the cause, with points somewhere.\"\"\"

    def __init__(self, config):
        self.config = config

    def sample(self, seed, index):
        points = numpy_rng(seed, index, "grey").uniform(8, 56, (68, 2))
        return Scene(seed, index, {"points": points, "level": self.config.level, "red": self.config.red})

    def render(self, scenes, resolution):
        renders.append(len(scenes))
        pictures = []
        for scene in scenes:
            image = np.full((resolution, resolution, 3), int(scene.parameters["level"]), np.uint8)
            image[..., 0] += np.uint8(scene.parameters["red"])
            camera = orbit_camera(0.0, 0.0, 1.0, 20, resolution, resolution)
            pictures.append(Rendering(scene, camera, image))
        return pictures

    def sweeps(self):
        return (Sweep("brightness", ("level",), (0, 100, 200), 100),)


@dataclass
class Nothing:
    pass


class Truth(Annotator):
    fields = (Field("dots", "points2d", "pixels", "image", "ibug68"),)

    def __init__(self, config):
        pass

    def annotate(self, rendering):
        return {"dots": rendering.scene.parameters["points"].astype(np.float32)}


@hookimpl
def register_generators(register):
    register("grey", Grey, config=GreyConfig, summary="grey", licence="CC0-1.0")


@hookimpl
def register_annotators(register):
    register("dots", Truth, config=Nothing, summary="dots")
"""

PEER = """
import numpy as np

from synthforge.core.seeding import numpy_rng



def shifted(image, box):
    \"\"\"The true points of the person whose box this is, moved by a hundredth of the box for each step of grey.\"\"\"
    x0, y0, x1, y1 = box
    for index in range(64):
        points = numpy_rng(7, index, "grey").uniform(8, 56, (68, 2)).astype(np.float32).astype(float)
        if np.allclose([*points.min(0), *points.max(0)], box):
            move = (abs(int(image[0, 0, 1]) - 100) + int(image[0, 0, 0]) - int(image[0, 0, 1])) / 10000
            return points + [move * np.sqrt((x1 - x0) * (y1 - y0)), 0.0]
    raise AssertionError("an unknown box")
"""


FINDER = """
import numpy as np

from synthforge.core.hookspecs import hookimpl
from synthforge.core.seeding import numpy_rng
from synthforge.prediction.detectors import Calibration, Detector, Found


def load(device, faces, points):
    def find(image, box):
        x0, y0, x1, y1 = box
        side = (x1 - x0) * 0.8
        middle = np.array([x0 + x1, y0 + y1]) / 2
        for index in range(64):
            dots = numpy_rng(7, index, "grey").uniform(8, 56, (68, 2)).astype(np.float32).astype(float)
            low, high = dots.min(0), dots.max(0)
            if np.allclose((low + high) / 2, middle) and np.isclose(max(high - low), side):
                return [Found(box, None, dots + [0.01 * side, 0.0])]
        return []

    return find


@hookimpl
def register_detectors(register):
    register(
        Detector(
            name="finds", summary="", licence="MIT", module="math", package="numpy", install="", convention="",
            load=load, calibration=Calibration(0.0, 0.8, (0.0, 0.0), ""), groups=tuple((i,) for i in range(68)),
        )
    )
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "greykit.py").write_text(PLUGIN)
    (tmp_path / "known_peer.py").write_text(PEER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _probe(*more: str) -> dict[str, list[dict[str, object]]]:
    options = ["--generator", "grey", "--annotator", "dots", "--plugin", "greykit", "--seed", "7", "--resolution", "64"]
    done = CliRunner().invoke(cli, ["probe", "known_peer:shifted", *options, "--out", "out", *more])
    assert done.exit_code == 0, done.output + str(done.exception)
    return json.loads(Path("out/probe.json").read_text())  # type: ignore[no-any-return]


def test_a_known_error_curve_is_found_again_and_resumed(here: Path) -> None:
    import greykit  # type: ignore[import-not-found]

    data = _probe("--persons", "12")
    rows = data["sweeps"][0]["lines"][0]["rows"]  # type: ignore[index]
    assert [row["mean"] for row in rows] == pytest.approx([1.0, 0.0, 1.0], abs=1e-5)
    assert [row["difference"] for row in rows] == pytest.approx([1.0, 0.0, 1.0], abs=1e-5)
    assert data["worst"][0]["factor"] == "brightness"
    page = Path("out/probe.html").read_text()
    assert "<polyline" in page
    assert "prefers-color-scheme: dark" in page
    assert "src=" not in page  # one file, nothing fetched
    before = len(greykit.renders)
    Path(sorted(Path("out/levels").iterdir())[0]).unlink()
    assert _probe("--persons", "12")["sweeps"] == data["sweeps"]
    assert len(greykit.renders) - before in (1, 2)  # the lost level alone, in batches of eight


def test_two_factors_cross_and_any_key_is_one(here: Path) -> None:
    data = _probe("--persons", "3", "--factor", "brightness=100,150", "--factor", "red=0,20", "--cross")
    first, second = data["sweeps"][0]["lines"]  # type: ignore[index]
    assert second["label"].endswith("red 20")
    assert [row["mean"] for row in first["rows"]] == pytest.approx([0.0, 0.5], abs=1e-5)
    assert [row["mean"] for row in second["rows"]] == pytest.approx([0.2, 0.7], abs=1e-5)


def test_wrong_factors_and_callables_are_told(here: Path) -> None:
    base = ["--generator", "grey", "--annotator", "dots", "--plugin", "greykit", "--out", "out"]
    for model, more, said in (
        ("known_peer:shifted", ["--factor", "brightnes"], "brightness"),
        ("known_peer:shifted", ["--factor", "brightness=1,1"], "different"),
        ("known_peer:shifted", ["--factor", "gray=1,2"], "gray"),
        ("known_peer:absent", ["--factor", "brightness"], "module:function"),
    ):
        done = CliRunner().invoke(cli, ["probe", model, *base, *more])
        told = f"{done.exception} {getattr(done.exception, 'hint', '')}"
        assert done.exit_code != 0
        assert said in told


def test_a_detector_that_answers_points_is_asked_with_the_true_box(here: Path) -> None:
    """Its own convention of boxes is a quarter larger; it moves every point by a hundredth of the true box."""
    Path("finder.py").write_text(FINDER)
    options = ["--generator", "grey", "--annotator", "dots", "--plugin", "greykit", "--plugin", "finder"]
    done = CliRunner().invoke(
        cli, ["probe", "finds", *options, "--seed", "7", "--resolution", "64", "--persons", "3", "--out", "out"]
    )
    assert done.exit_code == 0, done.output + str(done.exception)
    rows = json.loads(Path("out/probe.json").read_text())["sweeps"][0]["lines"][0]["rows"]
    assert [row["mean"] for row in rows] == pytest.approx([1.0] * len(rows), rel=0.15)


def test_faces_that_are_not_found_are_counted_and_not_scored(here: Path) -> None:
    Path("shy.py").write_text(
        PEER + "\n\ndef shy(image, box):\n    low = box[1] > 8.6\n"
        "    return None if image[0, 0, 1] > 150 or (low and image[0, 0, 1] < 50) else shifted(image, box)\n"
    )
    options = ["--generator", "grey", "--annotator", "dots", "--plugin", "greykit", "--seed", "7"]
    done = CliRunner().invoke(
        cli, ["probe", "shy:shy", *options, "--resolution", "64", "--persons", "8", "--out", "out"]
    )
    assert done.exit_code == 0, done.output + str(done.exception)
    rows = json.loads(Path("out/probe.json").read_text())["sweeps"][0]["lines"][0]["rows"]
    assert [row["persons"] + row["not_found"] for row in rows] == [8, 8, 8]
    assert 0 < rows[0]["not_found"] < 8
    assert (rows[1]["not_found"], rows[2]["not_found"]) == (0, 8)
    assert rows[0]["mean"] == pytest.approx(1.0, abs=1e-5), "the mean of those it finds"
    assert "worst at 200: 8 of 8 faces not found" in done.output
    page = Path("out/probe.html").read_text()
    assert "Hollow dots" in page
    assert page.count(">×</text>") == 1, "the level at which it finds nobody"
    assert f"({rows[0]['not_found']} not found)" in page


def test_points_are_what_numpy_says() -> None:
    from synthforge.core.records import RealItem, RealSample
    from synthforge.stages.probe import errors_of

    truth = np.array([[0.0, 0.0], [4.0, 9.0]])
    face = RealSample(RealItem("0", Path(), Path()), np.zeros((8, 8, 3), np.uint8), (0.0, 0.0, 4.0, 9.0), truth)
    assert errors_of(lambda faces: [truth + np.array([0.0, 3.0])], [face]) == {"0": pytest.approx(50.0)}


def test_answers_of_another_tool_lie_beside_the_pictures(here: Path) -> None:
    from synthforge.core.plugins import load_plugins
    from synthforge.stages.probe import Probe, named

    common = ["--generator", "grey", "--annotator", "dots", "--plugin", "greykit", "--resolution", "64"]
    common += ["--persons", "3", "--factor", "brightness=0,100"]
    done = CliRunner().invoke(cli, ["probe", "--pictures", "pictures", *common])
    assert done.exit_code == 0, done.output
    rows = [line.split(",") for line in Path("pictures/boxes.csv").read_text().splitlines()]
    assert len(rows) == len(list(Path("pictures").rglob("*.png"))) == 6
    measure = ["probe", "pictures", "--out", "out", *common, "--json", "figures.json"]
    missing = CliRunner().invoke(cli, measure)
    assert "has no answer beside it" in str(missing.exception)
    made = Probe(load_plugins(["greykit"]), {"name": "grey"}, {"name": "dots"}, 3, 64)
    sweep = named("brightness=0,100", made.sweeps())
    for level in sweep.levels:
        for face in made.faces([f"level={level}"], made.field()):
            x0, y0, x1, y1 = face.box
            shift = 0.05 * level / 100 * np.sqrt((x1 - x0) * (y1 - y0))
            np.save(Path("pictures", face.item.image).with_suffix(".npy"), face.target + np.array([shift, 0.0]))
    done = CliRunner().invoke(cli, measure)
    assert done.exit_code == 0, done.output
    found = json.loads(Path("figures.json").read_text())["sweeps"][0]["lines"][0]["rows"]
    assert [row["mean"] for row in found] == pytest.approx([0.0, 5.0], abs=1e-6)
