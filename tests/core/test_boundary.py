"""A plugin's own mistakes: one message with plugin, method, line and sample."""

from __future__ import annotations

import pickle
import textwrap
from pathlib import Path
from typing import Any

import pytest

from synthforge.core.boundary import PluginFault
from synthforge.core.errors import AnnotationError, PluginError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import RealItem, Scene

SOURCE = """
from dataclasses import dataclass
from synthforge.core.errors import AnnotationError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator, Benchmark, Generator

@dataclass
class Config:
    number: int = 1

class Broken(Generator):
    def __init__(self, config): pass
    def sample(self, seed, index): return self._divide(seed)
    def _divide(self, seed): return seed / 0  # line 14
    def render(self, scenes, resolution):
        import json
        json.loads("{")  # line 17
    def prepare(self): return None
    def factors(self): pass

class Quitter(Annotator):
    fields = ()
    def annotate(self, rendering): raise SystemExit(3)

class Careful(Annotator):
    fields = ()
    def annotate(self, rendering): raise AnnotationError("there is no mesh")

class Faces(Benchmark):
    splits = ("test",)
    def items(self, split): raise KeyError(split)
    def load(self, item): return {}["points"]
    def score(self, results): return None

class Half(Generator):  # line 36
    def sample(self, seed, index): return None

@hookimpl
def register_generators(register):
    register("broken", Broken, config=Config, summary="breaks")
    register("half", lambda config: Half(), config=Config, summary="lacks a method")

@hookimpl
def register_annotators(register):
    register("quitter", lambda config: Quitter(), config=Config, summary="leaves")
    register("careful", lambda config: Careful(), config=Config, summary="says why")

@hookimpl
def register_benchmarks(register):
    register("faces", lambda config: Faces(), config=Config, summary="breaks")
"""


def _build(tmp_path: Path, kind: str, name: str) -> Any:
    (tmp_path / "broken_plugin.py").write_text(textwrap.dedent(SOURCE).lstrip("\n"))
    return load_plugins(["./broken_plugin.py"], base=tmp_path).build(kind, name, where="p.yaml: x")


@pytest.mark.parametrize(
    ("kind", "name", "method", "arguments", "words"),
    [
        (
            "generator",
            "broken",
            "sample",
            (3, 7),
            ["'broken'", "Broken.sample", "ZeroDivisionError", ".py:13", "seed 3, index 7"],
        ),
        (
            "generator",
            "broken",
            "render",
            ([Scene(1, 4, {}), Scene(1, 5, {})], 8),
            ["JSONDecodeError", ".py:16", "seed 1, indices 4 to 5"],
        ),
        ("generator", "broken", "factors", (), ["returned nothing", ".py:18"]),
        ("annotator", "quitter", "annotate", (None,), ["'quitter'", "sys.exit(3)", ".py:22"]),
        ("benchmark", "faces", "items", ("test",), ["KeyError", ".py:30", "split 'test'"]),
        ("benchmark", "faces", "load", (RealItem("a/1", Path("x"), Path("x")),), ["KeyError: 'points'", "face 'a/1'"]),
        ("benchmark", "faces", "score", ([],), ["returned nothing"]),
    ],
)
def test_a_mistake_names_plugin_method_line_and_sample(
    tmp_path: Path, kind: str, name: str, method: str, arguments: tuple[Any, ...], words: list[str]
) -> None:
    with pytest.raises(PluginFault) as caught:
        getattr(_build(tmp_path, kind, name), method)(*arguments)
    for word in words:
        assert word in caught.value.message
    assert "\n" not in caught.value.message


def test_the_traceback_travels_between_processes(tmp_path: Path) -> None:
    with pytest.raises(PluginFault) as caught:
        _build(tmp_path, "generator", "broken").sample(3, 7)
    there = pickle.loads(pickle.dumps(caught.value))
    assert (there.message, there.hint, there.exit_code) == (caught.value.message, caught.value.hint, 1)
    assert "in _divide" in there.details


def test_an_error_meant_for_the_user_passes_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"^there is no mesh$"):
        _build(tmp_path, "annotator", "careful").annotate(None)


def test_a_method_that_may_return_nothing_may(tmp_path: Path) -> None:
    assert _build(tmp_path, "generator", "broken").prepare() is None


def test_a_function_that_a_plugin_registers_is_named_too(tmp_path: Path) -> None:
    from synthforge.assets.registry import Asset
    from synthforge.core.boundary import call

    def check(path: Path) -> None:
        raise OverflowError("too much")

    asset = Asset("key", "key.bin", "tests", "nowhere", "CC0-1.0", True, check)
    with pytest.raises(PluginFault, match=r"of 'key' raised OverflowError: too much \(.*test_boundary\.py:\d+\)"):
        call("the check of 'key'", asset.check, tmp_path)


def test_a_missing_method_is_named_with_its_class(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"p\.yaml: x: building the generator 'half'.*Half.*render.*\.py:40"):
        _build(tmp_path, "generator", "half")


PIPELINE = """
seed: 3
plugins: [./broken_plugin.py]
stages:
  dataset: {run: generate, generator: broken, annotators: [depth], samples: 2, resolution: 32}
"""


def test_the_command_line_gives_one_message_and_keeps_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from synthforge.cli.main import main

    (tmp_path / "broken_plugin.py").write_text(SOURCE.replace("def factors(self): pass", "").lstrip("\n"))
    (tmp_path / "p.yaml").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("SYNTHFORGE_TRACEBACK", "0")  # put back afterwards
    for options, shown in (([], False), (["--traceback"], True)):
        monkeypatch.setattr("sys.argv", ["synthforge", *options, "run", "p.yaml", "--out", "out"])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr().err
        assert ended.value.code == 1
        assert "broken_plugin.py:13, seed 3, index 0" in told
        assert ("in _divide" in told) is shown
    (log,) = tmp_path.glob("synthforge-*.log")
    assert "in _divide" in log.read_text()
