"""Schemas are data; these tests find a slip in the tables."""

from __future__ import annotations

import numpy as np
import pytest
from synthforge_plugins.schemas import IBUG68

from synthforge.core.schemas import CLASS_MAPPINGS, CLASS_SCHEMAS, IGNORE, POINT_SCHEMAS, class_mapping


@pytest.mark.parametrize("name", CLASS_SCHEMAS)
def test_flipping_classes_twice_changes_nothing(name: str) -> None:
    mirror = CLASS_SCHEMAS[name].mirror
    assert np.array_equal(mirror[mirror], np.arange(256))
    with pytest.warns(FutureWarning, match="ClassSchema.mirror"):
        assert CLASS_SCHEMAS[name].flip is mirror


@pytest.mark.parametrize("name", CLASS_SCHEMAS)
def test_every_sided_class_has_its_twin(name: str) -> None:
    schema = CLASS_SCHEMAS[name]
    sided = [c for c in schema.classes if c.startswith(("left_", "right_", "l_", "r_")) and c != "l_lip"]
    assert all(schema.mirror[schema.id(c)] != schema.id(c) for c in sided)


def test_the_lower_lip_of_celebamask_does_not_change_sides() -> None:
    schema = CLASS_SCHEMAS["celebamask19"]
    assert schema.mirror[schema.id("l_lip")] == schema.id("l_lip")


@pytest.mark.parametrize("name", POINT_SCHEMAS)
def test_mirroring_points_twice_changes_nothing(name: str) -> None:
    mirror = POINT_SCHEMAS[name].mirror
    assert [mirror[i] for i in mirror] == list(range(len(mirror)))


def test_ibug_mirror_keeps_edges_and_regions() -> None:
    edges = {frozenset(edge) for edge in IBUG68.edges}
    assert {frozenset(IBUG68.mirror[i] for i in edge) for edge in edges} == edges
    for points in IBUG68.regions.values():
        assert {IBUG68.mirror[i] for i in points} == set(points)
    assert sum(len(points) for points in IBUG68.regions.values()) == 68


@pytest.mark.parametrize("name", CLASS_MAPPINGS)
def test_mappings_name_real_classes_and_commute_with_flips(name: str) -> None:
    mapping = CLASS_MAPPINGS[name]
    a, b = CLASS_SCHEMAS[mapping.source], CLASS_SCHEMAS[mapping.target]
    for own, wanted in mapping.classes.items():
        assert own in a.classes
        assert wanted in b.classes
    table = class_mapping(mapping.source, mapping.target)
    ids = np.arange(len(a), dtype=np.uint8)
    assert np.array_equal(table[a.mirror[ids]], b.mirror[table[ids]])
    assert table[IGNORE] == IGNORE


def test_an_unknown_mapping_is_named() -> None:
    with pytest.raises(KeyError, match=r"lapa11.*flame20"):
        class_mapping("lapa11", "flame20")
