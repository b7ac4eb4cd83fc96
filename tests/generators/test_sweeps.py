"""What `anny` offers to `synthforge probe`: valid at every level, and nothing else moves."""

from __future__ import annotations

import pytest
from synthforge_plugins.generators.anny.factors.sweeps import SWEEPS
from synthforge_plugins.generators.anny.people.sampling import drawn_factors

from synthforge.core.config import apply_overrides, resolve
from synthforge.core.factors import Sweep
from synthforge.core.nearby import Origin
from synthforge.core.plugins import load_plugins
from synthforge.stages.probe import settings_of


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.name)
def test_a_level_sets_its_keys_and_leaves_every_other_draw(sweep: Sweep) -> None:
    plugins = load_plugins()
    assert sweep.base in sweep.levels
    keys = {key.removesuffix("_degrees") for key in (*sweep.keys, *sweep.fixed)}
    plain = None
    for level in sweep.levels:
        reference = resolve(apply_overrides({"name": "anny"}, settings_of(sweep, level)), source="a sweep")
        drawn = drawn_factors(plugins.config("generator", reference), Origin(3, 5))
        others = {f"{g}.{n}": v for g, group in drawn.items() for n, v in group.items() if f"{g}.{n}" not in keys}
        plain = plain or others
        assert others == plain
