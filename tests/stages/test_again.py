"""A recipe of about a kilobyte makes a dataset again, to the same bytes; what differs is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from synthforge_plugins.executors import local

from synthforge.cli import export as export_command
from synthforge.cli import make as make_command
from synthforge.core.errors import DataError, PluginError, SynthForgeError
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.core.plugins import load_plugins
from synthforge.datasets.layout import digest, to_bytes
from synthforge.stages import KINDS, again, generate


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process renders itself."""
    monkeypatch.setattr(local, "is_one_thread", lambda: True)


@pytest.fixture
def dataset(pipeline_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four shards of three balls; the plugin file lies in the working directory."""
    monkeypatch.chdir(tmp_path)
    few = ("samples=12", "shard_size=3", "resolution=32")
    pipeline = load_pipeline(pipeline_file, KINDS, overrides=[f"stages.dataset.{each}" for each in few])
    run_pipeline(pipeline, tmp_path / "faces", folders={"dataset": tmp_path / "faces"}, say=lambda text: None)
    return tmp_path / "faces"


@pytest.fixture
def recipe(dataset: Path, tmp_path: Path) -> Path:
    out = tmp_path / "card"
    arguments = [str(dataset), "--to", "card", "--out", str(out), "--plugin", "./ballkit.py"]
    done = CliRunner().invoke(export_command.command, arguments)
    assert done.exit_code == 0, done.output
    return out / "recipe.yaml"


def _shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("shard-*.tar")}


def _make(recipe: Path, out: Path, **options: object) -> dict[str, object]:
    options = {"plugin_files": ["./ballkit.py"], "say": lambda text: None, **options}
    return again.make(recipe, out, **options)  # type: ignore[arg-type]


def test_a_recipe_makes_the_same_bytes(dataset: Path, recipe: Path, tmp_path: Path) -> None:
    assert recipe.stat().st_size < 1500
    assert "synthforge make recipe.yaml" in (recipe.parent / "README.md").read_text()
    arguments = [str(recipe), "--out", str(tmp_path / "again"), "--plugin", "./ballkit.py", "--json", "-"]
    done = CliRunner().invoke(make_command.command, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["status"] == "same bytes"
    assert len(_shards(dataset)) == 4
    assert _shards(tmp_path / "again") == _shards(dataset)
    assert (tmp_path / "again/manifest.json").read_bytes() == (dataset / "manifest.json").read_bytes()


def test_shards_and_versions_that_differ_are_named(recipe: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(recipe.read_text())
    names = data["shards"].split()
    data |= {"shards": " ".join([names[0], "0" * 8, *names[2:]]), "sha256": "0" * 64}
    data["made_with"]["numpy"] = "1.0"
    data["plugins"] = dict.fromkeys(data["plugins"], "somebody 1.0")
    recipe.write_text(yaml.safe_dump(data))
    said: list[str] = []
    with pytest.raises(SynthForgeError, match=r"other bytes than the recipe's: shards 1 of 4") as caught:
        _make(recipe, tmp_path / "again", say=said.append)
    assert caught.value.exit_code == 1
    assert "Version of numpy 1.0, here" in (caught.value.hint or "")
    assert "The generator ball was that of somebody 1.0, here of ./ballkit.py" in (caught.value.hint or "")
    assert any("other versions than the recipe's: numpy 1.0" in text for text in said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "is a list"),
        ("recipe: 2\ngenerate: {}", "reads 1"),
        ("recipe: 1\ngenerate: {}", "'sha256' is missing"),
        ("recipe: 1\nsha256: a\nshards: b\ngenerate: {sampels: 3}", "sampels"),
        ("recipe: 1\nsha256: a\nshards: b\ngenerate: {executor: ray}", "'executor' has no place"),
        ("recipe: 1\nsha256: a\nshards: [1]\ngenerate: {samples: 3}", "'shards' is not"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(SynthForgeError, match=said) as caught:
        _make(tmp_path / "r.yaml", tmp_path / "out", plugin_files=[])
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_plugin_that_is_missing_is_named_with_who_offered_it(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no generator called 'ball'") as caught:
        _make(recipe, tmp_path / "out", plugin_files=[])
    assert "./ballkit.py sha256" in (caught.value.hint or "")
    assert not (tmp_path / "out").exists()


def test_samples_that_depend_on_other_data_have_no_recipe(dataset: Path, tmp_path: Path) -> None:
    path = dataset / "manifest.json"
    record = json.loads(path.read_text())
    record["config"]["origins"] = 3
    del record["sha256"]
    path.write_bytes(to_bytes({**record, "sha256": digest(record)}, indent=1))
    (dataset / ".stage.json").unlink()
    with pytest.raises(DataError, match="samples that depend on other data"):
        again.recipe_text(dataset)
    arguments = [str(dataset), "--to", "card", "--out", str(tmp_path / "card"), "--plugin", "./ballkit.py"]
    done = CliRunner().invoke(export_command.command, arguments)
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "card/recipe.yaml").exists()
    assert "No recipe determines these samples" in (tmp_path / "card/README.md").read_text()


@pytest.mark.parametrize("kept", ["text", "number"])
def test_ends_of_ranges_that_are_open_survive(kept: str) -> None:
    """`person.gender: woman` is a constant without ends, which JSON writes as texts."""
    person = {"gender": "woman", "age": "old", "skin": {"brown": 1, "dark": 2}, "yaw_degrees": {"low": -60, "high": 60}}
    plugins = load_plugins()
    made = generate.bound_as_made({"generator": {"name": "anny", "person": person}}, plugins, "here")
    content = generate.as_json(made.generator.config)
    assert "-inf" in json.dumps(content)
    keys = generate.reference_of({"generator": "anny", "generator_config": content}, plugins, "here")
    if kept == "text":  # as a recipe holds them
        keys = generate.from_json(json.loads(json.dumps(generate.as_json(keys))), {})
    second = generate.bound_as_made({"generator": keys}, plugins, "here")
    assert generate.as_json(second.generator.config) == content
