"""Same seed, same bytes as before: what every generator makes is held against digests stored beside this file.

What is drawn must be equal bit for bit on every machine. What follows from it, pictures and annotations must be so on
the kind of machine and the versions that the digests were stored with. NumPy's exp and sin differ in their last bit
between kinds of processor. Elsewhere parameters must agree to nine digits, and small copies of the rest within `_NEAR`.
After a change that is meant to move bytes: `python tests/generators/test_same_bytes.py`, and say so in CHANGELOG.md.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge.assets import registry
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Rendering

DIGESTS = Path(__file__).with_name("same_bytes.json")
COPIES = Path(__file__).with_name("same_bytes.npz")
SIDE = 12  # of the small copies
GEOMETRY = ("landmarks", "segmentation", "depth", "normals")
PRESETS = load_plugins().entry("generator", "anny").presets
CASES: dict[str, tuple[dict[str, Any], tuple[Any, ...], int]] = {
    **{f"anny/{name}": ({"name": "anny", "preset": name}, GEOMETRY, 96) for name in PRESETS},
    "next3d": (
        {"name": "next3d", "batch_size": 2, "depth_resolution": 16},
        ("landmarks", {"name": "segmentation", "schema": "flame20"}, "depth", "normals"),
        64,
    ),
    "eg3d": ({"name": "eg3d", "batch_size": 2, "depth_resolution": 16}, ("depth",), 64),
    "recorded": (
        {"name": "recorded", "layout": "face-synthetics"},
        ({"name": "stored", "layout": "face-synthetics"},),
        48,
    ),
}
FACES = 3
#: how far small copies may differ on average: grey levels, share of pixels, metres, unit length, pixels, metres, share
_NEAR = {"image": 2.0, "label": 0.03, "depth": 0.002, "normals": 0.03, "points2d": 0.1, "points3d": 1e-4, "flags": 0.03}


def machine() -> str:
    """What pixels may depend on: kind of processor and versions."""
    versions = (f"{name} {version(name)}" for name in ("torch", "numpy", "scipy", "warp-lang", "pillow", "anny"))
    return ", ".join((platform.machine(), torch.backends.cpu.get_cpu_capability(), _processor(), *versions))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    parts = ("vendor_id", "cpu family", "model\t")
    return " ".join(line.partition(":")[2].strip() for part in parts for line in lines[:30] if line.startswith(part))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, np.ndarray | str]]:
    """Every number, array and text of nested parameters, by path."""
    if isinstance(value, dict):
        for key, item in value.items():  # in their order, which is that of the bytes in a shard
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, (str, Path)) or value is None:
        yield path, str(value)
    else:
        array = np.asarray(value)
        yield path, array if array.dtype == np.float32 else array.astype(np.float64)


def digest(values: list[Any]) -> str:
    """SHA-256 over paths, shapes and bytes."""
    total = hashlib.sha256()
    for value in values:
        for path, leaf in leaves(value):
            body = leaf.encode() if isinstance(leaf, str) else str(leaf.shape).encode() + leaf.tobytes()
            total.update(path.encode() + b"\0" + body)
    return total.hexdigest()[:32]


def small(kind: str, values: list[Any]) -> np.ndarray:
    """A copy of a few bytes: every n-th pixel of a label, means of blocks of a picture, points as they are."""
    if not kind:
        return means(values)
    array = np.stack(values)
    if kind.startswith("points") or kind == "flags":
        return array.astype(np.float32)
    step = array.shape[1] // SIDE
    if kind == "label":
        return array[:, step // 2 :: step, step // 2 :: step]
    cut = array[:, : step * SIDE, : step * SIDE].astype(np.float64)
    cut = cut.reshape(len(cut), SIDE, step, SIDE, step, *cut.shape[3:]).mean((2, 4))
    return cut.round().astype(np.uint8) if kind == "image" else cut.astype(np.float16)


def means(values: list[Any]) -> np.ndarray:
    """The mean of every array of nested parameters, in the order of their paths; a text counts by its digest."""
    found = [leaf for value in values for _, leaf in leaves(value)]
    return np.array([int(digest([x])[:8], 16) if isinstance(x, str) else x.mean() if x.size else 0.0 for x in found])


def made(case: str, folder: Path) -> dict[str, tuple[str, list[Any]]]:
    """What is drawn for a few scenes, their parameters, pictures and annotations: kind and values by name."""
    reference, annotators, size = CASES[case]
    if case == "recorded":
        reference = {**reference, "root": str(_face_synthetics(folder))}
    plugins = load_plugins()
    generator = plugins.build("generator", reference)
    scenes = [generator.sample(5, index) for index in range(FACES)]
    renderings: list[Rendering] = generator.render(scenes, size)
    found: dict[str, tuple[str, list[Any]]] = {
        "drawn": ("", [dict(scene.drawn) for scene in scenes]),
        "parameters": ("", [dict(scene.parameters) for scene in scenes]),
        "image": ("image", [r.image for r in renderings]),
    }
    for name in annotators:
        annotator = plugins.build("annotator", name)
        each = [annotator.annotate(rendering) for rendering in renderings]
        found |= {f.name: (f.kind, [values[f.name] for values in each]) for f in annotator.fields}
    return found


def _face_synthetics(folder: Path) -> Path:
    """Pictures, classes and points in the layout of FaceSynthetics, made of waves."""
    root = folder / "recorded"
    root.mkdir(exist_ok=True)
    y, x = np.mgrid[0:64, 0:64]
    for index in range(FACES):
        waves = [127.5 + 127.5 * np.sin((x * (k + 1) + y * (index + 1)) / 9) for k in range(3)]
        Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save(root / f"{index:06d}.png")
        Image.fromarray(((x // 8 + y // 8 + index) % 19).astype(np.uint8)).save(root / f"{index:06d}_seg.png")
        points = [(32 + 20 * math.cos(k / 5), 32 + (15 + index) * math.sin(k / 5)) for k in range(70)]
        (root / f"{index:06d}_ldmks.txt").write_text("".join(f"{a:.4f} {b:.4f}\n" for a, b in points))
    return root


def _next3d_files(folder: Path) -> None:
    from synthforge_plugins.generators.next3d import write_fake_files

    for name, path in write_fake_files(folder / "next3d").items():
        registry.add_asset(name, path)


def _eg3d_files(folder: Path) -> None:
    from test_eg3d import write_checkpoint

    write_checkpoint(folder)


FILES: dict[str, Callable[[Path], None]] = {"next3d": _next3d_files, "eg3d": _eg3d_files}


@pytest.mark.parametrize("case", CASES)
def test_the_same_seed_makes_the_same_bytes_as_before(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    FILES.get(case, lambda folder: None)(tmp_path)
    found = made(case, tmp_path)
    stored = json.loads(DIGESTS.read_text())
    want = stored["cases"][case]
    assert set(found) == set(want)
    copies = np.load(COPIES)
    for name, (kind, values) in found.items():
        if name == "drawn" or stored["machine"] == machine():
            assert digest(values) == want[name], f"{case}: other bytes of '{name}' than before"
        if name == "drawn":
            continue
        before, now = copies[f"{case}/{name}"], small(kind, values)
        assert now.shape == before.shape, name
        if not kind:
            np.testing.assert_allclose(now, before, rtol=1e-9, atol=1e-12)
            continue
        differ = now != before if kind == "label" else np.abs(now.astype(float) - before.astype(float))
        assert np.nanmean(differ) <= _NEAR[kind], f"{case}: '{name}' is not what it was"


def test_a_changed_bit_is_seen() -> None:
    values = [{"a": np.arange(3.0), "b": {"c": "x", "d": 1}}]
    moved = [{"a": np.array([0.0, 1.0, np.nextafter(2.0, 3.0)]), "b": {"c": "x", "d": 1}}]
    turned = [{"a": np.arange(3.0), "b": {"d": 1, "c": "x"}}]
    renamed = [{"a": np.arange(3.0), "b": {"c": "y", "d": 1}}]
    assert digest(values) == digest([{"a": np.arange(3.0), "b": {"c": "x", "d": 1}}])
    assert len({digest(each) for each in (values, moved, turned, renamed)}) == 4


def store() -> None:
    """Store what the generators make now."""
    cases, copies = {}, {}
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(Path(place) / "assets"))
        for case in CASES:
            folder = Path(place) / case.replace("/", "_")
            folder.mkdir()
            FILES.get(case, lambda folder: None)(folder)
            found = made(case, folder)
            cases[case] = {name: digest(values) for name, (_, values) in found.items()}
            found.pop("drawn")  # never held against anything but its digest
            copies |= {f"{case}/{name}": small(kind, values) for name, (kind, values) in found.items()}
    DIGESTS.write_text(json.dumps({"machine": machine(), "cases": cases}, indent=1) + "\n")
    np.savez_compressed(COPIES, **copies)


if __name__ == "__main__":
    store()
