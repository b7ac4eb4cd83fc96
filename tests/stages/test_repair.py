"""`repair`: damage is named by shard, key and kind of bytes, and made again alone, to the same bytes, or refused."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from synthforge_plugins.executors import local

from synthforge.cli import repair as repair_command
from synthforge.cli import verify as verify_command
from synthforge.core.errors import ConfigWarning, DataError, PluginError, SynthForgeError
from synthforge.core.parts import Part
from synthforge.core.pipeline import load_pipeline, run_pipeline
from synthforge.core.plugins import load_plugins
from synthforge.datasets.layout import digest, read_marker, to_bytes
from synthforge.datasets.verify import verify
from synthforge.stages import KINDS, generate, repair


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process renders itself."""
    monkeypatch.setattr(local, "is_one_thread", lambda: True)


@pytest.fixture
def dataset(pipeline_file: Path, tmp_path: Path) -> Path:
    """Four shards of three balls, with the plugin file beside."""
    few = ("samples=12", "shard_size=3", "resolution=32")
    pipeline = load_pipeline(pipeline_file, KINDS, overrides=[f"stages.dataset.{each}" for each in few])
    run_pipeline(pipeline, tmp_path / "faces", folders={"dataset": tmp_path / "faces"}, say=lambda text: None)
    return tmp_path / "faces"


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


def _repair(folder: Path, **options: object) -> dict[str, object]:
    options = {"plugin_files": [str(folder.parent / "ballkit.py")], "say": lambda text: None, **options}
    return repair.repair(folder, **options)  # type: ignore[arg-type]


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _cut(path: Path, by: int) -> None:
    path.write_bytes(path.read_bytes()[:-by])


def _place(folder: Path, key: int, member: str) -> tuple[int, int]:
    """Offset and size of a member of shard 1."""
    info = read_marker(folder, 1)
    column = info.members.index(member)
    return info.offsets[key][column], info.sizes[key][column]


TAR, MARKER = "shard-00001.tar", "shard-00001.json"
# by kind of bytes: what to do to the folder, and what is named: shard, key, part
DAMAGE: dict[str, tuple[Callable[[Path], object], tuple[int | None, str, str]]] = {
    "image": (
        lambda at: _flip(at / TAR, _place(at, 1, "image.png")[0] + 40),
        (1, "000000004", "image.png"),
    ),
    "json": (lambda at: _flip(at / TAR, _place(at, 2, "json")[0]), (1, "000000005", "json")),
    "header": (lambda at: _flip(at / TAR, 3), (1, "000000003", "header")),
    "padding": (lambda at: _flip(at / TAR, sum(_place(at, 0, "json")) + 1), (1, "000000003", "padding")),
    "end": (lambda at: _flip(at / TAR, (at / TAR).stat().st_size - 1), (1, "", "end")),
    "cut": (lambda at: _cut(at / TAR, 512), (1, "", "tar")),
    "tar lost": (lambda at: (at / TAR).unlink(), (1, "", "tar")),
    "marker": (lambda at: _flip(at / MARKER, 30), (1, "", "marker")),
    "marker lost": (lambda at: (at / MARKER).unlink(), (1, "", "marker")),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_and_made_again_alone(dataset: Path, kind: str) -> None:
    whole, stamps = _bytes(dataset), {path: path.stat().st_mtime_ns for path in dataset.glob("shard-*")}
    do, expected = DAMAGE[kind]
    do(dataset)
    found = [(row["shard"], row["key"], row["part"]) for row in verify(dataset).damage]
    assert found[0] == expected
    assert {row[0] for row in found} == {1}
    result = _repair(dataset)
    assert (result["status"], result["shards"]) == ("repaired", [1])
    assert _bytes(dataset) == whole
    assert {p for p, at in stamps.items() if p.stat().st_mtime_ns != at} == {dataset / TAR, dataset / MARKER}
    assert verify(dataset).ok
    assert _repair(dataset)["status"] == "sound"


def test_both_commands_say_what_they_found(dataset: Path) -> None:
    whole = _bytes(dataset)
    _flip(dataset / TAR, _place(dataset, 1, "image.png")[0] + 40)
    (dataset / "shard-00003.tar").unlink()
    runner = CliRunner()
    done = runner.invoke(verify_command.command, [str(dataset)])
    assert done.exit_code == 1
    assert "damaged: shard 1, sample 000000004, image.png: it does not have its checksum" in done.output
    assert "damaged: shard 3, tar: " in done.output
    assert runner.invoke(verify_command.command, [str(dataset), "--shards", "1/4"]).exit_code == 0
    assert runner.invoke(verify_command.command, [str(dataset), "--shards", "2/4"]).exit_code == 1
    plugin = str(dataset.parent / "ballkit.py")
    done = runner.invoke(repair_command.command, [str(dataset), "--plugin", plugin, "--json", "-", "--shards", "4/4"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["shards"] == [3]
    done = runner.invoke(repair_command.command, [str(dataset), "--plugin", plugin, "--json", "-"])
    record = json.loads(done.stdout)
    assert [(row["shard"], row["part"]) for row in record["damage"]] == [(1, "image.png")]
    assert Path(record["set_aside"], TAR).exists()
    assert _bytes(dataset) == whole


def _edited(folder: Path, **changes: object) -> None:
    """The manifest with other values, sealed again."""
    path = folder / "manifest.json"
    record = json.loads(path.read_text())
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if key:
            record[part][key] = value
        else:
            record[part] = value
    del record["sha256"]
    record["sha256"] = digest(record)
    path.write_bytes(to_bytes(record, indent=1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"versions__torch": "1.0"}, r"made with other versions: torch 1\.0, here"),
        ({"config__adapt": {"spread": 1}}, "has samples that depend on other data: it cannot be repeated"),
        ({"config__generator": "bowl"}, "there is no generator called 'bowl'"),
        ({"config__seed": 5}, "something changed since"),
        ({"plugins": {"generator ball": "./ballkit.py sha256 0123"}}, "was that of ./ballkit.py sha256 0123, here"),
    ],
)
def test_what_cannot_be_repeated_is_refused_and_nothing_is_touched(
    dataset: Path, change: dict[str, object], said: str
) -> None:
    (dataset / TAR).unlink()
    _edited(dataset, **change)
    before = _bytes(dataset)
    with pytest.raises((DataError, PluginError), match=said):
        _repair(dataset)
    assert _bytes(dataset) == before


def test_a_plugin_that_is_missing_or_another_is_named(dataset: Path) -> None:
    (dataset / TAR).unlink()
    with pytest.raises(PluginError, match=r"no generator called 'ball'[\s\S]*ballkit\.py sha256 .*--plugin"):
        _repair(dataset, plugin_files=[])
    other = dataset.parent / "other.py"
    shutil.copy(dataset.parent / "ballkit.py", other)
    other.write_text(other.read_text() + "\n# newer\n")
    with pytest.raises(PluginError, match=r"the generator 'ball' was that of \./ballkit\.py sha256 .*, here it is"):
        _repair(dataset, plugin_files=[str(other)])


def test_other_bytes_are_not_put_in_place(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _flip(dataset / TAR, 3)
    before = _bytes(dataset)
    from synthforge.datasets import writer

    encode = writer.encode_sample
    monkeypatch.setattr(writer, "encode_sample", lambda *given: {**encode(*given), "json": b"{}"})
    with pytest.raises(SynthForgeError, match="shards 1 were made again with other bytes") as caught:
        _repair(dataset)
    assert caught.value.exit_code == 1
    assert _bytes(dataset) == before


def test_a_damaged_manifest_and_parts(dataset: Path) -> None:
    assert _repair(dataset, part=Part(2, 9))["status"] == "sound"
    _flip(dataset / "manifest.json", 300)
    assert verify(dataset).damage[0]["part"] == "manifest"
    with pytest.raises(DataError, match="run its pipeline again"):
        _repair(dataset)


@pytest.mark.parametrize("reference", ["anny", {"name": "anny", "preset": "frontal"}, {"name": "anny", "hat": {}}])
def test_the_keys_of_a_generator_come_back_from_a_manifest_as_they_were(reference: str | dict[str, object]) -> None:
    plugins = load_plugins()
    made = plugins.bind("generator", reference).config
    stored = json.loads(json.dumps(generate.as_json(made)))
    own = generate.from_json(stored, generate.as_json(type(made)()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConfigWarning)
        again = plugins.bind("generator", {**own, "name": "anny"}).config
    assert json.dumps(generate.as_json(again)) == json.dumps(stored)  # 1 and 1.0 give other bytes
