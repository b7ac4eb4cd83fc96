"""`synthforge report`: evaluations that lie anywhere below the folders named, set beside the published rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from synthforge.cli import main
from synthforge.core.errors import DataError
from synthforge.core.plugins import load_plugins
from synthforge.core.provenance import PREVIOUS
from synthforge.core.records import PublishedRow, Scores
from synthforge.evaluation.protocol import Evaluation
from synthforge.evaluation.store import save_evaluation
from synthforge.stages.report import collect


def write(folder: Path, label: str, split: str, nme: float) -> None:
    evaluation = Evaluation(
        benchmark="toy",
        split=split,
        task=load_plugins().build("task", "keypoints"),
        schema="ibug68",
        scores=Scores({"nme": nme}, {"nme": "%"}, {"a": nme, "b": nme}, "nme"),
        count=2,
        available=2,
        protocol={"source": "model"},
        seconds=1.0,
        published=(PublishedRow("theirs", "Table 1", {"nme": 3.0}, split="test"),),
    )
    save_evaluation(evaluation, folder, label=label)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run with two evaluate stages, one of two splits, and one that was set aside."""
    write(tmp_path / "run/first/test", "first", "test", 5.0)
    write(tmp_path / "run/second/test", "second", "test", 4.0)
    write(tmp_path / "run/second/val", "second", "val", 4.5)
    write(tmp_path / f"run/{PREVIOUS}/first/test", "old", "test", 9.0)
    return tmp_path / "run"


def labels(*folders: Path) -> list[tuple[str, str]]:
    return [(label, each.split) for label, each in collect(folders, load_plugins(), where="here")]


def test_runs_stages_and_single_evaluations_are_found(run_folder: Path) -> None:
    assert labels(run_folder) == [("first", "test"), ("second", "test"), ("second", "val")]
    assert labels(run_folder / "second") == [("second", "test"), ("second", "val")]
    assert labels(run_folder / "second/val", run_folder / "first") == [("second", "val"), ("first", "test")]
    shutil.rmtree(run_folder / "first")
    shutil.rmtree(run_folder / "second")
    with pytest.raises(DataError, match=r"here: .*run holds no evaluation"):
        collect([run_folder], load_plugins(), where="here")


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main.cli, ["report", *map(str, arguments)])


def test_the_command_writes_one_page_in_three_forms(run_folder: Path, tmp_path: Path) -> None:
    done = command(run_folder, "--out", tmp_path / "beside", "--title", "Side by side", "--json", tmp_path / "all.json")
    assert done.exit_code == 0, done.output
    assert {path.name for path in (tmp_path / "beside").iterdir()} == {"report.html", "report.md", "report.json"}
    text = (tmp_path / "beside/report.md").read_text(encoding="utf-8")
    assert text.startswith("# Side by side\n")
    assert "| **second (ours)** | **4.00** |" in text
    rows = json.loads((tmp_path / "all.json").read_text())["evaluations"]
    assert [(row["label"], row["split"], row["values"]["nme"]) for row in rows] == [
        ("first", "test", 5.0),
        ("second", "test", 4.0),
        ("second", "val", 4.5),
    ]
    assert rows == json.loads((tmp_path / "beside/report.json").read_text())["evaluations"]


def test_a_wrong_folder_is_named(run_folder: Path, tmp_path: Path) -> None:
    done = command(tmp_path / "nowhere", "--out", tmp_path / "beside")
    assert done.exit_code != 0
    assert "nowhere" in str(done.exception)
    assert not (tmp_path / "beside").exists()
