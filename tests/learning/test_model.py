from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from blobs import light_tasks
from synthforge_plugins.schemas import IBUG68

from synthforge.core.errors import ConfigError, DataError, PluginError, SynthForgeError, UserError
from synthforge.core.plugins import load_plugins
from synthforge.learning.config import NetworkConfig
from synthforge.learning.model import AdapterInfo, FaceModel, build_tasks, load_model

NETWORK = NetworkConfig(backbone="residual", width=0.125, channels=12, input_size=32)


def some_model(**options: Any) -> FaceModel:
    torch.manual_seed(0)
    tasks, references = build_tasks(light_tasks(), load_plugins())
    model = FaceModel(NETWORK, tasks, references, info={"crop_scale": 1.7, "seed": 3}, **options)
    for parameter in model.parameters():  # something that is not all zeros in the last layers
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    return model.eval()


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    model = some_model(
        adapters={"segmentation": AdapterInfo("lapa11", True, "lapa"), "keypoints": AdapterInfo("ibug68", False)}
    )
    images = torch.rand(3, 3, 32, 32)
    expected = model.predict(images)
    model.save(tmp_path)
    again = load_model(tmp_path)
    assert not again.training
    assert again.crop_scale == 1.7
    assert again.schema("segmentation") == "lapa11"
    found = again.predict(images)
    for task, prediction in expected.items():
        assert prediction.keys() == found[task].keys()
        assert all(torch.equal(prediction[key], found[task][key]) for key in prediction)
    assert found["keypoints"]["points"].shape == (3, 68, 2)
    assert found["segmentation"]["logits"].shape == (3, 11, 32, 32)
    assert found["depth"]["depth"].shape == (3, 1, 32, 32)
    assert again.predict(images, adapted=False)["segmentation"]["logits"].shape == (3, 29, 32, 32)
    assert list(again.predict(images, tasks=["depth"])) == ["depth"]
    description = json.loads((tmp_path / "model.json").read_text())
    assert description["tasks"][0]["head"] == "light"
    assert description["seed"] == 3
    assert not [p for p in tmp_path.iterdir() if p.suffix not in (".json", ".safetensors")]


def test_convolutions_take_crops_of_another_size_and_transformers_say_so(tmp_path: Path) -> None:
    some_model().save(tmp_path / "convolutions")
    assert load_model(tmp_path / "convolutions", input_size=48).predict(torch.rand(1, 3, 48, 48))
    tasks, references = build_tasks(light_tasks(), load_plugins())
    network = NetworkConfig(backbone="timm", model="vit_tiny_patch16_224", channels=8, input_size=32)
    FaceModel(network, tasks, references).save(tmp_path / "transformer")
    assert load_model(tmp_path / "transformer").input_size == 32
    with pytest.raises(ConfigError, match="crops of 32 pixels, not of 64"):
        load_model(tmp_path / "transformer", input_size=64)


def test_a_symmetric_model_answers_mirrored_images_alike() -> None:
    """Averaging over the mirror image makes any model equivariant to mirroring."""
    model = some_model()
    images = torch.rand(2, 3, 32, 32)
    plain, turned = model.predict(images, flip=True), model.predict(images.flip(-1), flip=True)
    for task, prediction in plain.items():
        back = model.tasks[task].flip(turned[task], model.schema(task))
        for key, value in prediction.items():
            assert torch.allclose(value, back[key], atol=1e-4), (task, key)
    points = plain["keypoints"]["points"]
    mirrored = model.tasks["keypoints"].flip({"points": points}, "ibug68")["points"]
    assert torch.allclose(mirrored[:, IBUG68.mirror[0], 0], 1 - points[:, 0, 0])


def test_a_model_says_which_tasks_look_at_the_mirrored_crop_too(tmp_path: Path) -> None:
    model = some_model()
    model.info["mirrored"] = ["keypoints"]
    model.save(tmp_path)
    images = torch.rand(2, 3, 32, 32)
    loaded = load_model(tmp_path)
    told, both, plain = (loaded.predict(images, flip=flip) for flip in (None, True, False))
    for task, wanted, other in (("keypoints", both, plain), ("segmentation", plain, both)):
        for key, value in told[task].items():
            assert torch.equal(value, wanted[task][key]), (task, key)
            assert not torch.equal(value, other[task][key]), (task, key)


def test_damaged_folders_are_answered(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no model\.json"):
        load_model(tmp_path)
    some_model().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"model\.safetensors was damaged or replaced"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(DataError, match=r"model\.safetensors cannot be read"):
        load_model(tmp_path)
    description = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(DataError, match="format 99"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({**description, "tasks": [{"name": "hair_count"}]}))
    with pytest.raises(PluginError, match="hair_count"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(DataError, match="is not valid JSON"):
        load_model(tmp_path)


def test_no_flipped_bit_of_a_model_folder_goes_unseen(tmp_path: Path) -> None:
    model = some_model()
    model.save(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("model.safetensors", "model.json"):
        path = tmp_path / name
        whole = path.read_bytes()
        for place in rng.choice(len(whole), 24, replace=False):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            try:
                found = load_model(tmp_path)
            except UserError:
                continue
            # white space, and a key that names no digest any more, change nothing
            assert name == "model.json"
            assert {**found.describe(), "sha256": 0} == {**found.describe(), **json.loads(whole), "sha256": 0}
        path.write_bytes(whole)
    load_model(tmp_path)


def test_folders_from_before_digests_load(tmp_path: Path) -> None:
    some_model().save(tmp_path)
    path = tmp_path / "model.json"
    description = json.loads(path.read_text())
    path.write_text(json.dumps({**description, "crop_scale": 1.5}))
    with pytest.raises(DataError, match=r"model\.json was changed"):
        load_model(tmp_path)
    del description["sha256"]
    path.write_text(json.dumps({**description, "crop_scale": 1.5}))
    assert load_model(tmp_path).crop_scale == 1.5


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    model = some_model()
    next(model.backbone.parameters()).data[0] = float("nan")
    with pytest.raises(SynthForgeError, match=r"backbone\..* is not finite"):
        model.save(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"network": {"backbone": "timm", "options": {"checkpoint_path": "evil.pth"}}}, "checkpoint_path: only these"),
        ({"network": {"backbone": "${oc.env:HOME}"}}, r"backbone: there is no '\$\{oc.env:HOME\}'"),
        ({"network": {"channels": 10**9}}, "channels: [0-9,]+ is out of range"),
        ({"network": {"backbone": "timm", "model": "xyzzy"}}, "network.model: timm has no model 'xyzzy'"),
        ({"tasks": [{"name": "keypoints", "loss": "l3"}]}, r"tasks\[0\].loss: 'l3' is not one of"),
        ({"network": 3}, "is not the description of a model"),
        ({"tasks": [{"name": "keypoints", "head": "light", "width": 4096}]}, "it asks for [0-9,]+ parameters"),
        ({"adapters": {"hair": {"schema": "ibug68", "with_features": True}}}, "'hair' is missing"),
        ({"adapters": 7}, "is not the description of a model"),
        ({"crop_scale": "wide"}, "could not convert"),
        ({"crop_scale": [1]}, "is not the description of a model"),
        ({"mirrored": ["hair"]}, "mirrored names tasks"),
        ({"task_sizes": {"keypoints": "x"}}, "invalid literal"),
        ({"sha256": [1]}, None),
    ],
)
def test_a_foreign_description_loads_nothing_and_asks_for_little(
    tmp_path: Path, change: dict[str, Any], answer: str | None
) -> None:
    some_model().save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": {}} | change))
    if answer is None:
        load_model(tmp_path)
    else:
        with pytest.raises(UserError, match=answer) as caught:
            load_model(tmp_path)
        assert str(path) in caught.value.message
