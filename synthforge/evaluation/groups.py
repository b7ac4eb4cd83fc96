"""Errors by groups of faces: by any attribute a benchmark knows of them, in bins or by value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..core.errors import UserError

#: what faces are grouped by where nothing else is asked for and the benchmark knows it: degrees, and units of melanin
USUAL: dict[str, list[float]] = {"yaw": [-30.0, -10.0, 10.0, 30.0], "skin.melanin": [0.5, 1.0]}
#: most values an attribute may have when no edges are given
MOST_VALUES = 24


def check_edges(groups: Mapping[str, Any]) -> dict[str, list[float]]:
    """Groups as they stand in YAML: attribute -> ascending edges, or an empty list for one group a value.

    Raises ValueError that names the attribute.
    """
    checked = {}
    for name, edges in groups.items():
        values = [] if edges is None else edges
        numbers = isinstance(values, (list, tuple)) and all(
            isinstance(edge, (int, float)) and not isinstance(edge, bool) for edge in values
        )
        if not numbers or any(a >= b for a, b in pairwise(values)):
            raise ValueError(f"groups.{name}: ascending edges such as [-30, 0, 30], or [] for one group a value")
        checked[str(name)] = [float(edge) for edge in values]
    return checked


def usual(attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    """Those of `USUAL` that every face with attributes has a number for, or none."""

    def numbers(name: str) -> list[Any]:
        return [value for known in attributes.values() if (value := known.get(name)) is not None]

    fitting = {name: all(isinstance(v, int | float) and np.isfinite(v) for v in numbers(name)) for name in USUAL}
    return {name: edges for name, edges in USUAL.items() if numbers(name) and fitting[name]}


def labels_of(edges: Sequence[float]) -> list[str]:
    """What the bins between ascending edges are called; a bin holds its lower edge and not its upper one."""
    inner = [f"{a:g} .. {b:g}" for a, b in pairwise(edges)]
    return [f"< {edges[0]:g}", *inner, f">= {edges[-1]:g}"]


def members(name: str, edges: Sequence[float], attributes: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Keys of faces by the label of their group, in the order of bins or values; empty groups are left out.

    attributes: what is known of each face, by key. A face that lacks the attribute falls into the group `unknown`.
    Raises UserError when no face has it, when it is no number although there are edges, or has too many values.
    """
    values = {key: known.get(name) for key, known in attributes.items()}
    if values and all(value is None for value in values.values()):
        there = sorted({path for known in attributes.values() for path in known})
        near = [path for path in there if path.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
        raise UserError(
            f"groups.{name}: no face of this benchmark has that attribute",
            hint=f"{'Did you mean' if near else 'Known:'} {', '.join(near or there[:40]) or 'none'}.",
        )
    found: dict[str, list[str]] = {}
    if edges:
        names = labels_of(edges)
        found = {label: [] for label in names}
        for key, value in values.items():
            if value is None:
                found.setdefault("unknown", []).append(key)
                continue
            if isinstance(value, (bool, str)) or not np.isfinite(value):
                raise UserError(f"groups.{name}: {value!r} of '{key}' is no number", hint=f"Group by value: {name}: []")
            found[names[int(np.searchsorted(edges, float(value), side="right"))]].append(key)
    else:
        for key, value in sorted(values.items(), key=lambda pair: str(pair[1])):
            found.setdefault("unknown" if value is None else str(value), []).append(key)
        if len(found) > MOST_VALUES:
            raise UserError(
                f"groups.{name}: {len(found)} different values", hint=f"Give edges of bins, e.g. {name}: [0, 0.5, 1]"
            )
    return {label: keys for label, keys in found.items() if keys}


def figures(keys: Sequence[str], per_item: Mapping[str, float]) -> dict[str, float]:
    """Faces of a group and the mean, median and 90th percentile of their errors; NaN where none has an error."""
    errors = np.array([per_item[key] for key in keys if np.isfinite(per_item[key])] or [np.nan], np.float64)
    return {
        "faces": len(keys),
        "mean": float(errors.mean()),
        "median": float(np.median(errors)),
        "p90": float(np.percentile(errors, 90)),
    }
