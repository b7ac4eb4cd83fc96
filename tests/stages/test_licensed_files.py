"""Licensed files of a pipeline: missing ones are all named before it starts, used ones stand in the manifest, and a
replaced one reruns the stage. On made-up files in the official formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthforge_plugins.annotators.deca import fake
from synthforge_plugins.annotators.deca.network import CoarseEncoder
from synthforge_plugins.generators.next3d import write_fake_files

from synthforge.assets import registry
from synthforge.core.errors import AssetError
from synthforge.core.files import sha256_of
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.datasets.reader import read_manifest
from synthforge.stages import KINDS

TEXT = """
seed: 2
stages:
  faces:
    run: generate
    generator: {name: next3d, depth_resolution: 16}
    annotators: [landmarks, deca]
    samples: 2
    resolution: 32
    workers: 1
  others:
    run: generate
    generator: eg3d
    annotators: [depth]
    samples: 2
"""
WITHOUT_EG3D = TEXT[: TEXT.index("  others:")]


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Next3D, FLAME and DECA, all made up."""
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    monkeypatch.setenv("SYNTHFORGE_CACHE", str(tmp_path / "cache"))
    files = write_fake_files(tmp_path / "in")
    torch.manual_seed(0)
    files["deca"] = fake.write_deca(tmp_path / "in/deca.tar", CoarseEncoder().state_dict())
    for name, path in files.items():
        registry.add_asset(name, path)
    return tmp_path / "assets"


def run(tmp_path: Path, text: str = WITHOUT_EG3D) -> list[str]:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    said: list[str] = []
    run_pipeline(load_pipeline(path, KINDS), tmp_path / "run", say=said.append)
    return said


def test_everything_missing_is_named_before_the_first_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    with pytest.raises(AssetError) as caught:
        run(tmp_path, TEXT)
    text = str(caught.value)
    for name in ("next3d-ffhq", "uv-face-mask", "flame2020", "flame-landmarks", "deca", "eg3d-ffhq"):
        asset = registry.get_asset(name)
        for part in (f"{name} is missing", asset.purpose, asset.source, asset.licence, str(tmp_path / "assets")):
            assert part in text
    assert "6 files missing; nothing was started" in text
    assert text.count("flame2020 is missing") == 1
    assert "(for generator next3d, annotator deca) [stages: faces]" in text
    assert "(for generator eg3d) [stages: others]" in text
    assert "flame-masks" not in text, "no label map is asked for"
    assert caught.value.exit_code == 2
    assert not list((tmp_path / "run").glob("faces*"))
    # a label map needs the regions, and so one file more
    with pytest.raises(AssetError, match="flame-masks is missing"):
        run(tmp_path, TEXT.replace("landmarks, deca", "{name: segmentation, schema: flame20}"))
    with pytest.raises(AssetError, match=r"there is no file nowhere\.pkl"):
        run(tmp_path, TEXT.replace("eg3d", "{name: eg3d, checkpoint: nowhere.pkl}"))


def test_the_manifest_names_each_file_and_a_replaced_one_reruns(added: Path, tmp_path: Path) -> None:
    assert any("starting" in line for line in run(tmp_path))
    manifest = read_manifest(tmp_path / "run/faces")
    rows = {row["name"]: row for row in manifest["licensed_files"]}
    assert {"next3d-ffhq", "flame2020", "flame-landmarks", "deca", "uv-face-mask"} <= set(rows)
    for name, row in rows.items():
        asset = registry.get_asset(name)
        assert row["sha256"] == sha256_of(registry.find_asset(name))
        assert (row["licence"], row["commercial_use"], row["edition"]) == (
            asset.licence,
            asset.commercial,
            asset.edition,
        )
    assert rows["flame2020"]["edition"] == "2020"
    assert rows["flame2020"]["used_by"] == ["annotator deca", "generator next3d"]
    assert rows["deca"]["used_by"] == ["annotator deca"]
    assert any("up to date" in line for line in run(tmp_path))
    torch.manual_seed(1)
    registry.add_asset("deca", fake.write_deca(tmp_path / "in/deca.tar", CoarseEncoder().state_dict()))
    said = run(tmp_path)
    assert any("running again (the data read changed)" in line for line in said), said
    again = {row["name"]: row["sha256"] for row in read_manifest(tmp_path / "run/faces")["licensed_files"]}
    assert again["deca"] != rows["deca"]["sha256"]
    assert again["next3d-ffhq"] == rows["next3d-ffhq"]["sha256"]
    assert added.is_dir()
