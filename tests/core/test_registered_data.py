"""Data that plugins register: by name, for the whole process, and never two of one name."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from synthforge.core import tables
from synthforge.core.config import build_config
from synthforge.core.discovery import Offer, Source
from synthforge.core.errors import ConfigError, PluginError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import FieldKind
from synthforge.core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS, PointSchema, class_mapping
from synthforge.learning.config import FinetuneConfig, TrainConfig
from synthforge.stages.generate import GenerateConfig


def _offer(schema: object, distribution: str, origin: str = "theirs") -> None:
    tables.add(Offer("schemas", (schema,), {}), Source(lambda: None, origin, distribution))


@pytest.fixture(autouse=True)
def _as_before() -> object:
    """What a test registers goes with it."""
    assert CLASS_SCHEMAS  # filled
    rows = {hook: dict(each) for hook, each in tables._rows.items()}
    defaults = {hook: dict(each) for hook, each in tables._defaults.items()}
    yield
    tables._defaults = defaults
    tables._conflicts.clear()
    for hook, each in rows.items():
        tables._rows[hook] = each


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="there is no class schema 'lapa12'") as caught:
        CLASS_SCHEMAS["lapa12"]
    assert "'lapa11'" in (caught.value.hint or "")
    assert "lapa12" not in CLASS_SCHEMAS
    assert "ibug68" not in CLASS_SCHEMAS, "a point schema is no class schema"
    assert "ibug68" in POINT_SCHEMAS


def test_two_records_of_one_name_are_an_error_that_names_both_and_spare_the_others() -> None:
    _offer(PointSchema("two", (1, 0), ()), "theirs 1.0")
    _offer(PointSchema("two", (1, 0), ()), "copy 1.0", "elsewhere")  # the same data
    assert len(POINT_SCHEMAS["two"]) == 2
    with pytest.raises(PluginError, match=r"theirs 1\.0 .*others 2\.0"):
        _offer(PointSchema("two", (0, 1), ()), "others 2.0")
    with pytest.raises(PluginError, match=r"theirs 1\.0 .*others 2\.0"):
        POINT_SCHEMAS["two"]
    assert len(POINT_SCHEMAS["ibug68"]) == 68


def test_a_module_may_register_a_changed_record_again() -> None:
    _offer(PointSchema("two", (1, 0), ()), "theirs 1.0")
    _offer(PointSchema("two", (1, 0, 2), ()), "theirs 1.0")
    assert len(POINT_SCHEMAS["two"]) == 3


def test_what_is_no_record_is_refused() -> None:
    with pytest.raises(PluginError, match="register_schemas: `register` takes one"):
        _offer("ibug69", "theirs 1.0")


SCHEMAS = """
from synthforge.core.hookspecs import hookimpl
from synthforge.core.schemas import ClassMapping, ClassSchema

@hookimpl
def register_schemas(register):
    register(ClassSchema("halves", ("background", "upper", "lower"), ((0, 0, 0), (255, 0, 0), (0, 255, 0))))

@hookimpl
def register_mappings(register):
    register(ClassMapping("synthforge", "halves", {"hair": "upper", "skin": "lower"}))
"""


def test_a_file_of_the_pipeline_brings_a_schema_and_its_mapping(tmp_path: Path) -> None:
    (tmp_path / "halves.py").write_text(SCHEMAS)
    assert not load_plugins(["./halves.py"], base=tmp_path).broken
    table = class_mapping("synthforge", "halves")
    own = CLASS_SCHEMAS["synthforge"]
    assert (table[own.id("hair")], table[own.id("skin")], table[own.id("nose")]) == (1, 2, 0)


def test_a_table_fills_itself_in_a_process_that_loads_no_plugins() -> None:
    code = "from synthforge.core.schemas import POINT_SCHEMAS; print(len(POINT_SCHEMAS['ibug68']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "68"


def test_the_engine_names_none_of_what_plugins_register() -> None:
    """Neither them nor the fields that annotators give."""
    plugins = load_plugins()
    names = {row["name"] for row in tables.describe()}.union(*(each.names() for each in plugins.catalogues.values()))
    for name in ("landmarks", "segmentation", "depth", "normals"):
        names |= {field.name for field in plugins.build("annotator", name).fields}
    assert {"anny", "unet", "strong", "stored", "keypoints", "300w", "ibug68", "mtcnn", "landmark_visibility"} <= names
    # Words that stand for something else in the engine, too: the package, kinds of fields, keys (`detector`).
    names -= {"synthforge", "none", "detector", "visible", "landmarks", "scene", *get_args(FieldKind)}
    root = Path(tables.__file__).parents[1]
    exempt = {
        root / "learning/networks/heads.py": {"light", "paper"},  # output heads of the networks
        root / "learning/networks/tokens.py": {"light"},
        root / "core/versions.py": {"anny", "timm"},  # installed distributions
        root / "datasets/card.py": {"synthetic"},  # a tag of Hugging Face
        root / "compat/dlib.py": {"dlib"},  # what it stands in for, as below
        root / "compat/mediapipe.py": {"mediapipe478", "mesh", "arkit"},
    }
    named = [
        f"{path.relative_to(root)}:{node.lineno}: {node.value}"
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names - exempt.get(path, set())
    ]
    assert not named


GENERATOR = """
from dataclasses import dataclass
from synthforge.core.hookspecs import hookimpl

@dataclass
class Config:
    pass

@hookimpl
def register_generators(register):
    register("theirs", lambda config: None, config=Config, summary="", default=PLACE)
"""


def _generate(**given: Any) -> GenerateConfig:
    return build_config(GenerateConfig, given, where="p.yaml: stages.data")


def test_what_a_configuration_leaves_out_is_what_plugins_declare() -> None:
    assert (_generate().generator, _generate().annotators) == (
        "anny",
        ["landmarks", "segmentation", "depth", "normals"],
    )
    assert (TrainConfig().tasks, TrainConfig().network.backbone) == (["keypoints", "segmentation", "depth"], "unet")
    assert (TrainConfig().augmentation, FinetuneConfig().augmentation) == ("paper", "light")
    assert _generate(annotators=[]).annotators == [], "none is a choice"


def test_two_plugins_that_claim_one_default_are_both_named_and_a_choice_still_counts(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(GENERATOR.replace("PLACE", "1"))
    load_plugins(["./theirs.py"], base=tmp_path)
    with pytest.raises(ConfigError, match=r"stages\.data\.generator: two of .*'anny' of synthforge .*theirs\.py"):
        _generate()
    assert _generate(generator="anny").generator == "anny"


def test_a_plugin_of_a_pipeline_may_come_first(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(GENERATOR.replace("PLACE", "-1"))
    load_plugins(["./theirs.py"], base=tmp_path)
    assert _generate().generator == "theirs"


def test_a_default_that_nobody_declares_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_defaults", {})
    with pytest.raises(ConfigError, match=r"stages\.data\.generator: none of the generators is a default"):
        _generate()


def test_two_files_of_a_pipeline_that_disagree_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(SCHEMAS)
    (tmp_path / "two.py").write_text(SCHEMAS.replace('"upper", "lower")', '"lower", "upper")'))
    with pytest.raises(PluginError, match=r"two plugins register 'halves' in schemas: .*one\.py.* and .*two\.py"):
        load_plugins(["./one.py", "./two.py"], base=tmp_path)


def test_asking_whether_a_name_is_there_is_cheap() -> None:
    start = time.perf_counter()
    for _ in range(10_000):
        assert "" not in POINT_SCHEMAS
        assert POINT_SCHEMAS.get("lapa11") is None
    assert time.perf_counter() - start < 1.0, "20,000 misses: a search for the nearest name would take a minute"
