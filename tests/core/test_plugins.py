"""Plugins from entry points and files: found, listed, and never able to disturb another."""

from __future__ import annotations

import inspect
import textwrap
from pathlib import Path

import pytest

from synthforge.core import tables
from synthforge.core.catalogue import PLUGIN_KINDS
from synthforge.core.discovery import Source, module_from_file
from synthforge.core.errors import PluginError
from synthforge.core.plugins import Plugins, load_plugins

GOOD = """
from dataclasses import dataclass
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Annotator
from synthforge.core.records import Field

@dataclass
class Config:
    number: int = 1

class Mine(Annotator):
    fields = (Field("mine", "json"),)
    def annotate(self, rendering):
        return {"mine": 1}

@hookimpl
def register_annotators(register):
    register("mine", lambda config: Mine(), config=Config, summary="counts")
"""


def _file(tmp_path: Path, name: str, source: str) -> str:
    (tmp_path / name).write_text(textwrap.dedent(source))
    return f"./{name}"


def test_a_file_of_the_pipeline_registers_a_plugin(tmp_path: Path) -> None:
    plugins = load_plugins([_file(tmp_path, "good.py", GOOD)], base=tmp_path)
    assert plugins.build("annotator", {"name": "mine", "number": 3}).fields[0].name == "mine"
    assert plugins.entry("annotator", "mine").origin == "./good.py"


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    plugins = load_plugins([_file(tmp_path, "good.py", GOOD)], base=tmp_path)
    with pytest.raises(PluginError, match=r"p\.yaml: x: there is no annotator called 'mime'") as caught:
        plugins.build("annotator", "mime", where="p.yaml: x")
    assert "'mine'" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("import dataclass", "import dataclas"), "ImportError"),
        (("register_annotators", "register_anotators"), "register_anotators"),
        (("@hookimpl", ""), "has no hook"),
        (("config=Config", "config=dict"), "must be a dataclass"),
        (('"mine", lambda config: Mine()', '"mine", 3'), "must be callable"),
        (("@dataclass", "SYNTHFORGE_API = 99\n@dataclass"), "plugin API 99"),
        (("from dataclasses", "raise SystemError('boom')\nfrom dataclasses"), "boom"),
        (("from dataclasses", "import sys; sys.exit(3)\nfrom dataclasses"), "ends the process"),
        (
            ("from dataclasses", "import argparse as a; a.ArgumentParser().parse_args(['-x'])\nfrom dataclasses"),
            "sys.exit(2)",
        ),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(GOOD.replace(*change))
    plugins = Plugins()
    source = Source(lambda: module_from_file(path), origin="bad", distribution="theirs 1.0", names=("mine",))
    plugins.add(source)
    (broken,) = plugins.broken
    assert broken.distribution == "theirs 1.0"
    assert reason in broken.reason
    with pytest.raises(PluginError) as caught:
        plugins.build("annotator", "mine")
    assert reason in str(caught.value)
    with pytest.raises(PluginError, match=r"theirs 1\.0"):
        Plugins(strict=True).add(source)


def test_a_duplicate_names_both_distributions_and_only_that_name_fails(tmp_path: Path) -> None:
    path = tmp_path / "good.py"
    path.write_text(GOOD)
    other = tmp_path / "other.py"
    other.write_text(GOOD + '    register("theirs", lambda config: Mine(), config=Config, summary="more")\n')
    plugins = Plugins()
    for name, file in (("ours 1.0", path), ("theirs 2.0", other)):
        plugins.add(Source(lambda file=file: module_from_file(file), origin=file.name, distribution=name))
    with pytest.raises(PluginError) as caught:
        plugins.build("annotator", "mine")
    assert "ours 1.0" in str(caught.value)
    assert "theirs 2.0" in str(caught.value)
    assert plugins.build("annotator", "theirs")


def test_a_factory_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    source = GOOD.replace("lambda config: Mine()", "lambda config: 3")
    plugins = load_plugins([_file(tmp_path, "wrong.py", source)], base=tmp_path)
    with pytest.raises(PluginError, match="is a int, not a"):
        plugins.build("annotator", "mine")


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for folder, name in (("a", "mine"), ("b", "other")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "p.py").write_text(GOOD.replace('"mine", lambda', f'"{name}", lambda'))
    plugins = load_plugins(["./a/p.py", "./b/p.py"], base=tmp_path)
    assert {"mine", "other"} <= set(plugins.catalogues["annotator"].names())


def test_every_first_party_plugin_loads() -> None:
    plugins = load_plugins(strict=True)
    assert not plugins.broken
    assert all(plugins.catalogues[kind].names() for kind in PLUGIN_KINDS)


def test_hooks_are_short_documented_and_named_after_the_kinds() -> None:
    from synthforge.core import hookspecs

    hooks = {name: value for name, value in vars(hookspecs).items() if name.startswith("register_")}
    assert set(hooks) == {f"register_{name}" for name in (*(f"{kind}s" for kind in PLUGIN_KINDS), *tables.HOOKS)}
    assert all(hook.__doc__ and len(hook.__doc__.splitlines()) == 1 for hook in hooks.values())
    assert len(Path(hookspecs.__file__).read_text().splitlines()) < 95


def test_the_manual_explains_every_hook_and_every_argument_of_register() -> None:
    from synthforge.core import hookspecs
    from synthforge.core.catalogue import Register

    manual = (Path(__file__).parents[2] / "docs/plugins.md").read_text()
    for name in hookspecs.HOOKS:
        assert f"| `register_{name}` |" in manual, name
    for name in list(inspect.signature(Register.__call__).parameters)[1:]:
        assert f"| `{name}` |" in manual, name


HOOK = "import os, sys\nfrom synthforge.core.hookspecs import hookimpl\n@hookimpl\ndef register_filters(register): "


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise GeneratorExit", "it raises GeneratorExit"),
        ("class Odd(BaseException): ...\nraise Odd('why')", "it raises Odd: why"),
        ("import os; os._exit(0)", r"os\._exit\(0\)"),
        (HOOK + "os._exit(4)", r"os\._exit\(4\)"),
        (HOOK + "sys.exit(4)", r"sys\.exit\(4\)"),
    ],
)
def test_whatever_a_plugin_does_to_leave_is_told(code: str, said: str, tmp_path: Path) -> None:
    """At import and in its hooks alike, and the process goes on."""
    (tmp_path / "leaves.py").write_text(code + "\n")
    with pytest.raises(PluginError, match=said):
        load_plugins(["./leaves.py"], base=tmp_path, strict=True)
