"""Configuration: typed, and every mistake answered with file, YAML path and the nearest name."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import MISSING

from synthforge.core.config import apply_overrides, build_config, read_yaml, resolve, split_reference
from synthforge.core.errors import ConfigError


@dataclass
class Inner:
    size: int = 4
    root: str = "here"


@dataclass
class Outer:
    rate: float = 0.5
    inner: Inner = field(default_factory=Inner)
    names: list[str] = field(default_factory=list)


@dataclass
class Needs:
    root: str = MISSING


def test_values_are_merged_over_defaults() -> None:
    config = build_config(Outer, {"inner": {"size": 9}, "names": ["a"]})
    assert (config.rate, config.inner.size, config.inner.root, config.names) == (0.5, 9, "here", ["a"])
    assert isinstance(config.inner, Inner)


def test_an_unknown_key_is_answered_with_path_and_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(Outer, {"inner": {"sise": 9}}, where="a.yaml: stages.x")
    assert "a.yaml: stages.x.inner.sise" in caught.value.message
    assert "'size'" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("values", "part"), [({"rate": "fast"}, "rate"), ({"inner": {"size": 1.5}}, "size"), ({"names": 3}, "names")]
)
def test_a_wrong_type_is_named(values: dict[str, object], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        build_config(Outer, values, where="a.yaml: stages.x")


def test_a_key_that_must_be_given_is_named() -> None:
    with pytest.raises(ConfigError, match=r"w\.yaml: benchmark\.root"):
        build_config(Needs, {}, where="w.yaml: benchmark")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "2:1: not valid YAML"),
        ("- 1\n", "a pipeline is a mapping"),
        ("a: 1\na: 2\n", "duplicate key 'a'"),
        ("a: !!python/object:os.system {}\n", "not valid YAML"),
    ],
)
def test_bad_yaml_is_one_clear_message(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text + ("\n" if not text.endswith("\n") else ""))
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_yaml(tmp_path / "x.yaml")


@given(st.text(max_size=60))
def test_any_text_reads_or_raises_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    with contextlib.suppress(ConfigError):
        assert isinstance(read_yaml(path), dict)


def test_overrides_set_nested_keys_and_interpolate() -> None:
    config = apply_overrides({"a": {"b": 1}, "c": "${a.b}"}, ["a.b=5", "d.e=[1, 2]"])
    assert resolve(config, source="x") == {"a": {"b": 5}, "c": 5, "d": {"e": [1, 2]}}


@pytest.mark.parametrize("override", ["a", "=3", "a.b.c=[1"])
def test_a_malformed_override_is_named(override: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        apply_overrides({"a": {"b": 1}}, [override])


def test_an_interpolation_to_nowhere_is_named() -> None:
    with pytest.raises(ConfigError, match=r"p\.yaml.*nowhere"):
        resolve(apply_overrides({"a": "${nowhere}"}, []), source="p.yaml")


def test_references() -> None:
    assert split_reference("anny", kind="generator") == ("anny", {})
    assert split_reference({"name": "anny", "x": 1}, kind="generator") == ("anny", {"x": 1})
    with pytest.raises(ConfigError, match="by its name"):
        split_reference({"x": 1}, kind="generator", where="f.yaml: stages.d.generator")


@dataclass
class Span:
    low: float = 0.0
    high: float = 1.0


@dataclass
class Spanned:
    span: Span = field(default_factory=lambda: Span(low=-5.0, high=5.0))


def test_a_value_given_in_part_keeps_the_rest_of_its_own_default() -> None:
    """Not of its class's defaults: a distribution's bounds can be changed alone."""
    assert build_config(Spanned, {"span": {"high": 7.0}}).span == Span(low=-5.0, high=7.0)
    assert build_config(Spanned, {}).span == Span(low=-5.0, high=5.0)


@pytest.mark.parametrize("above", ["generator", "annotators[0]"])
def test_a_key_below_a_text_is_told_how_to_write_it(above: str) -> None:
    data = {"generator": "anny", "annotators": ["anny"]}
    with pytest.raises(ConfigError) as caught:
        apply_overrides(data, [f"{above}.preset=webcam"])
    assert f"{above} is the text 'anny', which has no keys" in caught.value.message
    assert caught.value.hint == f"For a plugin: --set '{above}={{name: anny, preset: webcam}}'."
    told = caught.value.hint.partition("--set '")[2].rstrip("'.")
    assert apply_overrides(data, [told]) != data


def test_a_key_two_below_a_text_is_told_as_well() -> None:
    with pytest.raises(ConfigError, match="generator is the text 'anny'") as caught:
        apply_overrides({"generator": "anny"}, ["generator.person.gender=woman"])
    told = str(caught.value.hint).partition("--set '")[2].removesuffix("'.")
    wanted = {"generator": {"name": "anny", "person": {"gender": "woman"}}}
    assert apply_overrides({"generator": "anny"}, [told]) == wanted
