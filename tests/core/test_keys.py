"""Keys: what stands at a field is what is checked, shown and said."""

from __future__ import annotations

import json
import math
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from omegaconf import MISSING

from synthforge.core.config import apply_overrides, build_config, key, read_yaml, resolve
from synthforge.core.errors import ConfigError, ConfigWarning
from synthforge.core.keys import Key, describe_keys
from synthforge.core.plugins import load_plugins
from synthforge.core.yaml12 import MAX_BYTES, MAX_DEPTH, parse
from synthforge.stages import KINDS

STYLES = ("none", "stubble", "full")


@dataclass
class Dice:
    """A value type as a plugin may have: a distribution over codes or numbers."""

    kind: str = "constant"
    mean: float = 0.0
    low: float = -math.inf
    values: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "choice"):
            raise ValueError(f"'{self.kind}' is no distribution")

    @classmethod
    def from_yaml(cls, value: Any, about: Key) -> Any:
        if isinstance(value, str):
            return {"kind": "constant", "mean": float(about.code(value))}
        if isinstance(value, (int, float)):
            return {"kind": "constant", "mean": value}
        return value

    @classmethod
    def scaled(cls, value: Mapping[str, Any], factor: float) -> Mapping[str, Any]:
        return {k: v * factor if k == "mean" else v for k, v in value.items()}

    def problem(self, about: Key) -> str:
        return about.problem(self.values or self.mean)


@dataclass
class Group:
    tilt: float = key(0.1, "Rotation.", unit="rad", low=-1.5, high=1.5)
    turn: Dice = key(Dice(mean=0.2), "Turn.", unit="rad", low=-2, high=2)
    style: Dice = key(Dice(), "Style of the beard.", choices=STYLES, low=0, high=2)


@dataclass
class Config:
    root: str = key(MISSING, "Folder.")
    share: float = key(0.5, "Share of faces.", low=0, high=1)
    decay: float = key(0.9, "Decay.", low=0, below=1)
    width: float = key(1.0, "Width.", above=0)
    size: int = key(0, "Side of the crop, 0 for the model's own.", unit="px", low=16, high=4096)
    sizes: list[int] = key([], "More sizes.", low=16)
    pair: list[float] = key([0.0, 1.0], "Two numbers.", length=2, low=0)
    limits: dict[str, int] = key({}, "Faces by folder.", low=1)
    mode: str = key("slow", "How.", choices=("slow", "fast"), renamed_from="speed")
    steps: int | None = key(None, "Steps, null for no end.", low=1)
    group: Group = key(Group, "What turns.")


def build(**values: Any) -> Config:
    return build_config(Config, {"root": "r", **values}, where="p.yaml: stages.x")


@pytest.mark.parametrize(
    ("values", "where", "told"),
    [
        ({"share": 2}, "share", "2 is out of range, which is 0 to 1"),
        ({"share": math.nan}, "share", "nan is not a finite number"),
        ({"decay": 1.0}, "decay", "1 is out of range, which is at least 0 and below 1"),
        ({"width": 0}, "width", "0 is out of range, which is above 0"),
        ({"width": math.inf}, "width", "inf is not a finite number"),
        ({"size": 8}, "size", "8 px is out of range, which is 16 to 4,096 px"),
        ({"sizes": [64, 2]}, "sizes[1]", "2 is out of range"),
        ({"pair": [1]}, "pair", "2 values are needed, got 1"),
        ({"limits": {"afw": 0}}, "limits.afw", "0 is out of range, which is at least 1"),
        ({"mode": "fats"}, "mode", "'fats' is not one of slow, fast"),
        ({"steps": 0}, "steps", "0 is out of range"),
        (
            {"group": {"tilt_degrees": 90}},
            "group.tilt_degrees",
            "90 degrees is out of range, which is -85.9437 to 85.9437 degrees",
        ),
        ({"group": {"style": "fulll"}}, "group.style", "'fulll' is not one of none, stubble, full"),
        ({"group": {"style": 17}}, "group.style", "17 is out of range"),
        ({"group": {"style": {"kind": "dice"}}}, "group.style", "'dice' is no distribution"),
        ({"size": "${oc.env:HOME}"}, "size", "cannot be looked up here"),
        ({"root": True}, "root", "write 'true' in quotes"),
    ],
)
def test_a_wrong_value_is_answered_with_path_value_and_range(values: dict[str, Any], where: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(**values)
    assert caught.value.message.startswith(f"p.yaml: stages.x.{where}: ")
    assert told in caught.value.message


def test_values_within_and_the_default_outside() -> None:
    made = build(share=1, decay=0, size=0, sizes=[16], steps=None, limits={"afw": 1})
    assert (made.share, made.decay, made.size, made.sizes, made.pair) == (1.0, 0.0, 0, [16], [0.0, 1.0])


def test_names_stand_for_codes() -> None:
    assert build(group={"style": "full"}).group.style == Dice("constant", 2.0)


def test_an_angle_is_degrees_in_yaml_and_radians_in_python() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = build(group={"tilt_degrees": 45, "turn_degrees": {"mean": 90}}).group
    assert made.tilt == math.radians(45)
    assert made.turn.mean == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(
    ("value", "told"), [(0.5, "0.5 radians: write 'tilt_degrees: 28.648'"), (1, "write 'tilt_degrees: 57.296'")]
)
def test_radians_keep_working_with_a_warning_that_shows_both(value: float, told: str) -> None:
    with pytest.warns(ConfigWarning, match=told):
        assert build(group={"tilt": value}).group.tilt == value


def test_a_former_name_keeps_working_with_a_warning() -> None:
    with pytest.warns(ConfigWarning, match=r"p\.yaml: stages\.x\.speed: write 'mode'"):
        assert build(speed="fast").mode == "fast"
    with pytest.raises(ConfigError, match="same key as 'mode'"):
        build(mode="fast", speed="fast")


def test_a_preset_lies_under_the_users_keys() -> None:
    under = {"group": {"turn_degrees": {"kind": "constant", "mean": 57.3}, "tilt_degrees": 18}, "share": 0.1}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = build_config(Config, {"root": "r", "group": {"turn_degrees": {"mean": 45}}}, under=under)
    found = (made.group.turn.mean, made.group.tilt, made.share)
    assert found == (pytest.approx(math.pi / 4), pytest.approx(math.pi / 10), 0.1)


def test_nothing_is_looked_up_in_values_of_a_foreign_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hidden")
    assert build(root="${oc.env:SECRET_TOKEN}").root == "${oc.env:SECRET_TOKEN}"


def test_a_key_that_must_be_given_is_named_as_it_is_set() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(Config, {}, where="p.yaml: stages.x")
    assert caught.value.message == "p.yaml: stages.x.root: this key must be given"
    assert caught.value.hint == "Add it, or --set stages.x.root=VALUE."


def test_keys_describe_themselves() -> None:
    rows = {row["key"]: row for row in describe_keys(Config)}
    assert rows["root"]["default"] == "(must be given)"
    assert rows["size"] | {"source": ""} == {
        "key": "size",
        "type": "whole number",
        "default": 0,
        "unit": "px",
        "range": "16 to 4,096",
        "doc": "Side of the crop, 0 for the model's own.",
        "source": "",
    }
    angle = rows["group.tilt_degrees"]
    assert (angle["unit"], angle["range"]) == ("degrees", "-85.9437 to 85.9437")
    assert angle["default"] == pytest.approx(5.729578)
    assert rows["group.turn_degrees"]["default"]["mean"] == pytest.approx(math.degrees(0.2))
    assert rows["group.style"]["range"] == "none, stubble, full"
    assert rows["group"] == {"key": "group", "type": "group", "doc": "What turns."}
    json.dumps(list(rows.values()), allow_nan=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, text) for text in ("no", "on", "yes", "12:30", "2024_01", "2024-01-15", "1_000", "0b1", "=", "0.1.2")),
        *(("true", True), ("False", False), ("~", None), ("", None), ("null", None)),
        *(("12", 12), ("-3", -3), ("+5", 5), ("007", 7), ("0x10", 16), ("0o17", 15)),
        *(
            ("1e1", 10.0),
            ("1e-1", 0.1),
            ("1.5", 1.5),
            (".5", 0.5),
            ("1.", 1.0),
            ("-.inf", -math.inf),
            (".Inf", math.inf),
        ),
    ],
)
def test_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    (found,) = parse(f"[{text or '~'}]", "x")
    assert found == value
    assert isinstance(found, type(value))


@pytest.mark.parametrize("text", ["007", "0x10", "1e1", "1.50", "+5", "2024_01", "12:30", "no", "2024-01-15", "a #2"])
def test_a_text_is_taken_as_it_was_written(text: str) -> None:
    values = resolve(apply_overrides({"copy": "${root}"}, [f"root={text}"]), source="x")
    assert build_config(Config, {"root": values["root"]}).root == text
    assert build_config(Config, {"root": values["copy"]}).root == text
    assert pickle.loads(pickle.dumps(values)) == values


def test_numbers_remember_their_text_and_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("size: 0x20\nshare: 5e-1\nsizes: [1e3]\nany: {n: 007, x: 1.50}\n", "utf-8")
    data = read_yaml(tmp_path / "a.yaml")
    made = build(**{name: data[name] for name in ("size", "share", "sizes")})
    assert (made.size, made.share, made.sizes) == (32, 0.5, [1000])
    assert all(type(value) in (int, float) for value in (made.size, made.share, *made.sizes))
    assert json.dumps(data["any"]) == '{"n": 7, "x": 1.5}'


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "more than 20,000 values"),
        ("a: &a [*a]\n", "inside what it refers to"),
        ("a: " + "[" * 500 + "]" * 500, f"deeper than {MAX_DEPTH} levels"),
        ("a: " + "[" * 100_000, "deeper than"),
        ("a: " + "{a: " * 100_000, "deeper than"),
        ("seed: " + "9" * 100_000, "more than 24 digits"),
        ("seed: 99999999999999999999", "too large"),
        ("seed: 1e999", "too large"),
        ("a: [" + "1," * 30_000 + "1]", "more than 20,000 values"),
        ("? [a, b]\n: 1\n", "a key must be a text"),
        ("a: \x01", "not valid YAML"),
        ("a: !!timestamp x", "not valid YAML"),
    ],
    ids=lambda text: text[:12],
)
def test_what_grows_without_end_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "bomb.yaml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=told) as caught:
        read_yaml(tmp_path / "bomb.yaml")
    assert "bomb.yaml" in caught.value.message
    assert len(caught.value.message) < 400


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "huge.yaml", "wb") as file:
        file.truncate(100 * MAX_BYTES)
    with pytest.raises(ConfigError, match="at most"):
        read_yaml(tmp_path / "huge.yaml")


@pytest.mark.parametrize(
    "override",
    [
        "a.b=${",
        "a[=1",
        "a..b=1",
        "=",
        "a=[1",
        "a=" + "[" * 3000,
        "a=${oc.env:HOME}",
        "a=${b",
        "a=${x:}",
        "a=*b",
        "a[]=1",
    ],
)
def test_whatever_an_override_makes_a_parser_raise_is_a_config_error(override: str) -> None:
    with pytest.raises(ConfigError):
        resolve(apply_overrides({"a": {"b": 1}}, [override]), source="p.yaml")


def _configurations() -> dict[str, type]:
    plugins = load_plugins()
    found = {f"{e.kind} {e.name}": e.config for kind in plugins.catalogues.values() for e in kind}
    return found | {f"stage {kind.name}": kind.config for kind in KINDS.values()}


@pytest.mark.parametrize("name", _configurations())
def test_every_key_has_a_sentence(name: str) -> None:
    rows = list(describe_keys(_configurations()[name]))
    bare = [row["key"] for row in rows if not row["doc"].strip()]
    assert not bare
    json.dumps(rows, allow_nan=False)
