"""What was realised against what was declared: figures by hand, the page, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from synthforge.cli.show import command
from synthforge.core.camera import Camera
from synthforge.core.factors import Factor, chance
from synthforge.core.records import Rendering, Scene
from synthforge.datasets.distributions import Values, compare, distance, words, write_page
from synthforge.datasets.writer import finish, to_sample, write_shard

FACTORS = (
    Factor("camera.roll", ("drawn.camera.roll",), "normal", mean=0.0, std=0.1, unit="rad", source="a choice"),
    Factor(
        "hair.style", ("drawn.hair.style",), "choice", values=(0, 2), weights=(1, 3), labels=("bald", "short", "long")
    ),
    chance("glasses.present", "parameters.glasses.worn", 0.25),
    Factor("mouth.open", ("parameters.mouth",), "observed"),
)
COUNT = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset whose rolls are as declared and whose glasses are twice as frequent."""
    rng = np.random.default_rng(0)
    camera = Camera.from_json({**_camera()})
    samples = []
    for index in range(COUNT):
        parameters = {"glasses": {"worn": bool(index % 2)}, "mouth": float(rng.random() ** 2)}
        drawn = {
            "camera": {"roll": float(0.1 * rng.standard_normal())},
            "hair": {"style": float(2 * (rng.random() < 0.75))},
        }
        scene = Scene(1, index, parameters, drawn=drawn)
        samples.append(to_sample(Rendering(scene, camera, np.full((8, 8, 3), index % 256, np.uint8)), {}))
    root = tmp_path / "faces"
    write_shard(root, 0, samples, [], config_hash="x")
    finish(root, shards=1, config_hash="x", config={}, licences={}, factors=FACTORS)
    return root


def _camera() -> dict[str, object]:
    from synthforge.geometry.cameras import orbit_camera

    return orbit_camera(0.0, 0.0, 1.0, 20, 8, 8).to_json()


def values(**rows: list[float]) -> Values:
    return Values({name: [[v] for v in row] for name, row in rows.items()}, len(next(iter(rows.values()))))


def test_the_distance_is_kolmogorov_smirnovs() -> None:
    rng = np.random.default_rng(3)
    sample = rng.normal(0.02, 0.1, 300)
    assert distance(FACTORS[0], sample) == pytest.approx(stats.kstest(sample, stats.norm(0, 0.1).cdf).statistic)
    worn = np.array([1.0] * 30 + [0.0] * 70)
    assert distance(FACTORS[2], worn) == pytest.approx(0.05)


def test_figures_of_a_continuous_and_of_a_discrete_factor() -> None:
    found = compare([Factor("a", ("x",), "uniform", low=0, high=4)], {"new": values(a=[0.0, 1.0, 2.0, 3.0])})[0]
    assert found["declared"]["mean"] == pytest.approx(2)
    assert found["declared"]["std"] == pytest.approx(4 / np.sqrt(12), rel=1e-3)
    assert found["realised"]["new"]["mean"] == 1.5
    assert found["realised"]["new"]["distance"] == pytest.approx(0.25)
    assert sum(found["histogram"]["declared"]) == pytest.approx(1)
    assert sum(found["histogram"]["new"]) == pytest.approx(1)
    style = compare([FACTORS[1]], {"new": Values({"hair.style": [[0.0], [0.0], [2.0], [1.0]]}, 4)})[0]
    assert style["declared"]["shares"] == {"bald": 0.25, "long": 0.75}
    assert style["realised"]["new"]["shares"] == {"bald": 0.5, "short": 0.25, "long": 0.25}


def test_what_chance_does_not_explain_is_marked() -> None:
    rng = np.random.default_rng(1)
    near, far = rng.normal(0, 0.1, 500).tolist(), rng.normal(0.05, 0.1, 500).tolist()
    found = compare(
        [FACTORS[0]], {name: values(**{"camera.roll": row}) for name, row in (("near", near), ("far", far))}
    )
    realised = found[0]["realised"]
    assert not realised["near"]["beyond_chance"]
    assert realised["far"]["beyond_chance"]


def test_the_command_reports_a_dataset(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(
        command, [str(folder), "--distributions", "--out", str(page), "--json", str(tmp_path / "d.json")]
    )
    assert done.exit_code == 0, done.output
    assert "camera.roll" in done.output
    text = page.read_text()
    assert text.count('<figure class="panel">') == len(FACTORS)
    assert "a choice" in text
    report = json.loads((tmp_path / "d.json").read_text())
    by_name = {record["name"]: record for record in report["factors"]}
    assert report["samples"] == COUNT
    worn = by_name["glasses.present"]["realised"]["drawn"]
    assert worn["shares"] == {"no": 0.5, "yes": 0.5}
    assert worn["beyond_chance"]
    assert not by_name["camera.roll"]["realised"]["drawn"]["beyond_chance"]
    assert by_name["mouth.open"]["declared"] is None
    assert "distance" not in by_name["mouth.open"]["realised"]["drawn"]


def test_json_on_stdout_is_json_alone(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command, [str(folder), "--distributions", "--out", str(tmp_path / "p.html"), "--json", "-"]
    )
    assert json.loads(done.stdout)["samples"] == COUNT


def test_a_page_without_values_is_still_a_page(tmp_path: Path) -> None:
    records = compare(FACTORS, {"new": Values({factor.name: [] for factor in FACTORS}, 0)})
    assert "camera.roll" in write_page(tmp_path / "p.html", records, title="none").read_text()


def test_a_mean_that_rounding_leaves_of_zero_is_written_as_zero() -> None:
    assert words({"mean": -3.553e-18, "std": 0.1}) == "0 ± 0.1"
    assert words({"mean": -3.553e-5, "std": 0.1}) == "-3.553e-05 ± 0.1"
    assert words({"mean": 0.25, "std": 0.0}) == "0.25 ± 0"
    assert words(None) == words({"mean": None, "std": None}) == "–"
