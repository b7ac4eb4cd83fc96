"""Wrong values of the generator `anny` are refused with key, value and range; names and short forms are taken."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthforge_plugins.generators.anny.factors import AnnyConfig, Distribution, normal
from synthforge_plugins.generators.anny.factors.table import factors, groups
from synthforge_plugins.generators.anny.people.sampling import drawn_factors

from synthforge.core.config import build_config
from synthforge.core.errors import ConfigError, ConfigWarning
from synthforge.core.nearby import Origin


def build(**values: Any) -> AnnyConfig:
    return build_config(AnnyConfig, values, where="p.yaml: generator")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"camera": {"azimuth_degrees": 270}}, r"camera\.azimuth_degrees: 270 degrees .* -180 to 180 degrees"),
        ({"camera": {"azimuth_degrees": {"low": -400}}}, r"azimuth_degrees: -400 degrees .* -180 to 180"),
        (
            {"camera": {"azimuth_degrees": {"kind": "uniform", "low": 60, "high": -60}}},
            "low <= high",
        ),
        ({"camera": {"field_of_view": {"high": 200}}}, r"field_of_view: 200 degrees .* 1 to 120 degrees"),
        ({"glasses": {"present": 2}}, r"glasses\.present: 2 .* 0 to 1"),
        ({"glasses": {"present": {"kind": "constant", "mean": 1}}}, r"glasses\.present"),
        ({"head": {"age_low": 0.9, "age_high": 0.5}}, r"head\.age_high: 0\.5 lies below age_low \(0\.9\)"),
        ({"head": {"children": -0.1}}, r"head\.children: -0\.1 .* 0 to 1"),
        ({"head": {"gender_beta": [0.2, 2]}}, r"head\.gender_beta: .*\[0\.2, 2\]"),
        ({"head": {"gender_beta": 0}}, r"head\.gender_beta: 0 .* above 0"),
        ({"beard": {"style": 17}}, r"beard\.style: 17 .* none, stubble, full"),
        ({"beard": {"style": "fool"}}, r"beard\.style: 'fool' is not one of none, stubble, full"),
        ({"beard": {"style": {"kind": "uniform", "low": 0, "high": 4}}}, r"beard\.style: .*`choice`"),
        ({"hair": {"style_men": 1.5}}, r"hair\.style_men: .*bald, buzz"),
        ({"hat": {"kind_men": {"cap": 1, "crown": 2}}}, r"hat\.kind_men: 'crown' is not one of cap"),
        ({"skin": {"melanin": {"mean": 50}}}, r"skin\.melanin: 50 .* -3 to 3"),
        ({"skin": {"melanin_by_ancestry": [1.0, 2.0]}}, "3 values are needed, got 2"),
        ({"film": {"jpeg": {"values": [90, 900]}}}, r"film\.jpeg: 900 .* 0 to 100"),
        ({"light": {"key_kelvin": math.inf}}, r"light\.key_kelvin.*: inf is not a finite number"),
        ({"background": {"folder_share": 1.5}}, r"background\.folder_share: 1\.5 .* 0 to 1"),
        ({"batch_size": 0}, r"batch_size: 0 .* 1 to 1,024"),
        ({"device": "tpu"}, "device: 'tpu' is not one of cpu, cuda, auto"),
    ],
)
def test_a_value_out_of_range_is_refused_with_key_value_and_range(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=r"^p\.yaml: generator\.") as caught:
        build(**values)
    assert caught.match(told)
    assert caught.value.exit_code == 2


def test_names_numbers_and_shares_are_short_forms() -> None:
    config = build(
        beard={"style": "full"},
        light={"count": 2, "environment": "overcast"},
        hat={"kind_men": {"cap": 3, "hood": 1}, "kind_women": {"values": ["beanie", "hood"]}},
        jewellery={"metal": {"mean": "pearl"}},
    )
    assert config.beard.style.bounds == (2, 2)
    assert (config.light.count.bounds, config.light.environment.bounds) == ((2, 2), (1, 1))
    assert (config.hat.kind_men.values, config.hat.kind_men.weights) == ([0, 4], [3, 1])
    assert (config.hat.kind_women.values, config.hat.kind_women.weights) == ([1, 4], [])
    assert config.jewellery.metal.bounds == (2, 2)


def test_radians_still_count_and_say_what_they_are_in_degrees() -> None:
    with pytest.warns(ConfigWarning, match=r"camera\.azimuth: .*0\.5.*radians: write 'azimuth_degrees: .*28\.648"):
        old = build(camera={"azimuth": {"low": -0.5, "high": 0.5}})
    new = build(camera={"azimuth_degrees": {"low": -28.64788976, "high": 28.64788976}})
    assert old == new
    assert new.camera.azimuth == normal(0.0, 0.36, -0.5, 0.5)
    with pytest.warns(ConfigWarning, match="3437"), pytest.raises(ConfigError, match="-180 to 180 degrees"):
        build(camera={"azimuth": 60})


@given(st.integers(-3000, 3000))
def test_degrees_come_back_as_the_radians_they_were_written_from(thousandths: int) -> None:
    radians = thousandths / 1000
    degrees = float(f"{math.degrees(radians):.12g}")
    given = {"kind": "choice", "values": [degrees], "weights": [2.0]}
    assert Distribution.scaled(given, math.radians(1)) == {"kind": "choice", "values": [radians], "weights": [2.0]}


def test_every_default_is_within_its_range_and_every_factor_has_unit_or_range() -> None:
    config = AnnyConfig()
    for name, group in groups(config).items():
        for row in factors(group):
            value = getattr(getattr(config, name), row.name)
            assert value is None or not value.problem(row.key), f"{name}.{row.name}"
            assert row.key.doc.endswith("."), f"{name}.{row.name}"
            assert row.key.low is not None, f"{name}.{row.name}"
            assert row.key.high is not None, f"{name}.{row.name}"
            assert row.key.source, f"{name}.{row.name}"


def test_an_angle_in_degrees_leaves_the_draws_of_the_others() -> None:
    plain = drawn_factors(AnnyConfig(), Origin(1, 2))
    turned = drawn_factors(build(camera={"azimuth_degrees": 10}), Origin(1, 2))
    assert turned["camera"].pop("azimuth") == pytest.approx(np.radians(10), rel=1e-6)
    plain["camera"].pop("azimuth")
    assert turned == plain


def test_the_command_answers_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from synthforge.cli.main import main

    pipeline = tmp_path / "p.yaml"
    pipeline.write_text(
        "stages:\n  faces: {run: generate, generator: {name: anny, beard: {style: 17}}, samples: 2, resolution: 64}\n"
    )
    monkeypatch.setattr(sys, "argv", ["synthforge", "run", str(pipeline), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "beard.style: 17" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out" / "faces").exists()
