"""`quality: fine`: another picture with the same labels, the same bytes however it is made."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from synthforge_plugins.generators.anny.shading import fine
from synthforge_plugins.generators.anny.shading.fine import OVER, filtered
from synthforge_plugins.schemas import SYNTHFORGE
from test_together import digests

import synthforge as sf
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Rendering

FINE: dict[str, Any] = {"name": "anny", "quality": "fine", "batch_size": 4}
KINDS: dict[str, dict[str, Any]] = {
    "portraits": {},
    "rig": {"rig": {"kind": "ring", "cameras": 2}},
    "clip": {"motion": {"frames": 2, "shutter": 0.5}},
    "crowd": {"crowd": {"least": 2, "most": 3, "smallest": 0.15, "largest": 0.3}},
}
LABELS = ("landmarks", "segmentation", "depth", "normals", "mattes", "albedo")


def rendered(keys: dict[str, Any], count: int = 3, size: int = 96) -> list[Rendering]:
    generator = load_plugins().build("generator", keys)
    found: list[Rendering] = generator.render([generator.sample(5, index) for index in range(count)], size)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_those_of_fast_to_the_last_bit(kind: str) -> None:
    count = 1 if kind == "crowd" else 2
    good = rendered({**FINE, **KINDS[kind]}, count)
    fast = rendered({**FINE, **KINDS[kind], "quality": "fast"}, count)
    annotators = [load_plugins().build("annotator", name) for name in (LABELS[:4] if kind == "crowd" else LABELS)]
    for ours, theirs in zip(good, fast, strict=True):
        for field in fields(ours.surface):
            assert np.array_equal(getattr(ours.surface, field.name), getattr(theirs.surface, field.name)), field.name
        for annotator in annotators:
            labels, others = annotator.annotate(ours), annotator.annotate(theirs)
            assert all(np.array_equal(labels[name], others[name], equal_nan=True) for name in labels)
        # the same scene: alike from afar, and not the same picture
        blocks = [each.image.reshape(6, 16, 6, 16, 3).mean((1, 3)) for each in (ours, theirs)]
        assert np.abs(blocks[0] - blocks[1]).mean() < 20
        assert (ours.image != theirs.image).mean() > 0.1


def test_workers_and_batches_change_no_byte(tmp_path: Path) -> None:
    options: dict[str, Any] = {"samples": 5, "resolution": 64, "seed": 4, "shard_size": 3}
    for workers in (1, 2):
        sf.generate(tmp_path / str(workers), FINE, **options, workers=workers)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    together, (alone,) = rendered(FINE, 3, 64), rendered(FINE, 1, 64)
    assert np.array_equal(together[0].image, alone.image)


def test_outlines_have_fewer_steps_than_those_of_fast() -> None:
    """Along the outline of a head before a plain background, few pixels differ fully from both their neighbours."""

    def steps(quality: str) -> float:
        film: dict[str, Any] = dict.fromkeys(("noise", "blur", "motion", "defocus", "jpeg"), 0.0) | {"scale": 1.0}
        keys = {**FINE, "quality": quality, "film": film}
        (face,) = rendered({**keys, "background": {"kind": "plain"}}, 1, 128)
        luma = face.image.astype(float).mean(-1)
        return float(np.abs(np.diff(luma, 2, axis=0)).max(1).mean())

    assert steps("fine") < steps("fast")


def test_no_hair_grows_through_hats() -> None:
    film: dict[str, Any] = dict.fromkeys(("noise", "blur", "motion", "defocus", "jpeg"), 0.0) | {"scale": 1.0}
    keys = {"hat": {"present": 1, "kind_men": "beanie", "kind_women": "beanie"}, "film": film}
    keys |= {"hair": {"style_men": "long", "style_women": "full"}}
    for good, fast in zip(rendered({**FINE, **keys}), rendered({**FINE, **keys, "quality": "fast"}), strict=True):
        hat = binary_erosion(fast.labels["synthforge"] == SYNTHFORGE.id("hat"), iterations=2)
        assert hat.sum() > 100
        change = np.abs(good.image.astype(float) - fast.image.astype(float)).mean(-1)[hat]
        assert np.median(change) < 20
        assert (change > 60).mean() < 0.02


def test_people_of_a_crowd_shade_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    close = {**FINE, "crowd": {"least": 4, "most": 4, "smallest": 0.2, "largest": 0.3, "overlap": 0.6}}
    (together,) = rendered(close, 1, 128)
    triangles = fine._triangles
    monkeypatch.setattr(fine, "_triangles", lambda *given: triangles(*given) if len(given[3]) == 1 else None)
    (apart,) = rendered(close, 1, 128)
    change = together.image.astype(float).mean(-1) - apart.image.astype(float).mean(-1)
    assert (change < -8).sum() > 30
    assert (change > 8).sum() < 0.2 * (change < -8).sum()


def test_the_filter_keeps_the_mean_and_the_place() -> None:
    flat = torch.full((8, 8, 1), 0.3)
    assert torch.allclose(filtered(flat), torch.full((4, 4, 1), 0.3))
    ramp = torch.arange(32.0)[:, None, None].expand(32, 32, 1).contiguous()
    middle = filtered(ramp)[4:-4, 8, 0]
    assert torch.allclose(middle, OVER * torch.arange(4.0, 12.0) + (OVER - 1) / 2, atol=1e-4)
