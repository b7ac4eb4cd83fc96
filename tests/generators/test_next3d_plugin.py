"""The generator `next3d` end to end, on made-up files in the official formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from synthforge_plugins.generators.next3d import write_fake_files
from synthforge_plugins.generators.next3d.generator import Next3DGenerator
from synthforge_plugins.generators.next3d.settings import Next3DConfig
from synthforge_plugins.generators.next3d.views import label, volume_camera

from synthforge.assets import registry
from synthforge.assets.stylegan_pickle import read_checkpoint, write_safetensors
from synthforge.core.config import build_config
from synthforge.core.errors import AssetError, ConfigError
from synthforge.core.files import sha256_of
from synthforge.core.plugins import load_plugins
from synthforge.testing import check_annotator, check_generator, check_head, check_plugin


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(registry.VARIABLE, str(folder / "added"))
        for name, path in write_fake_files(folder / "in").items():
            registry.add_asset(name, path)
    return folder


@pytest.fixture
def assets(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(registry.VARIABLE, str(files / "added"))
    return files


@pytest.mark.usefixtures("assets")
@pytest.mark.parametrize("variant", ["official", "synthforge"])
def test_contract_of_generator_head_and_annotators(variant: str) -> None:
    plugins = load_plugins()
    reference = {"name": "next3d", "variant": variant, "batch_size": 2, "depth_resolution": 32}
    renderings = check_generator(plugins.build("generator", reference), resolution=128)
    check_plugin(plugins, "head", "flame")
    for name in ("landmarks", {"name": "segmentation", "schema": "flame20"}, "depth", "normals"):
        check_annotator(plugins.build("annotator", name), renderings[0])
    head = renderings[0].head
    assert head is not None
    check_head(head)


@pytest.mark.usefixtures("assets")
def test_what_is_drawn_depends_on_seed_index_and_stream_alone() -> None:
    one, other = (Next3DGenerator(Next3DConfig(identity=n)) for n in (100, 10))
    a, b = one.sample(3, 4).parameters, other.sample(3, 4).parameters
    assert a["z"] == b["z"]
    assert a["azimuth"] == b["azimuth"]
    assert len(b["flame_shape"]) == 10
    assert one.sample(3, 5).parameters["z"] != a["z"]
    drawn = [one.sample(0, i).parameters for i in range(300)]
    shape = np.array([p["flame_shape"] for p in drawn])
    assert np.abs(shape).max() <= 2
    assert shape.std() == pytest.approx(4 / np.sqrt(12), rel=0.02)
    view = np.array([[p["azimuth"], p["elevation"], p["field_of_view"]] for p in drawn])
    assert (np.abs(view[:, :2]) <= 0.8).all()
    assert 18 <= view[:, 2].min() <= 18.3
    assert 23.7 <= view[:, 2].max() <= 24


@pytest.mark.usefixtures("assets")
def test_jitter_belongs_to_the_sample() -> None:
    generator = Next3DGenerator(Next3DConfig(depth_resolution=16))
    scenes = [generator.sample(0, i) for i in range(3)]
    together = generator.render(scenes, 64)
    alone = generator.render(scenes[2:], 64)[0]
    assert np.array_equal(together[2].image, alone.image)
    still = Next3DGenerator(Next3DConfig(depth_resolution=16, jitter=False)).render(scenes[2:], 64)[0]
    assert not np.array_equal(still.image, alone.image)
    np.testing.assert_array_equal(still.depth, alone.depth)


@pytest.mark.usefixtures("assets")
def test_depth_is_metric_and_the_same_at_any_resolution() -> None:
    fine, coarse = (Next3DGenerator(Next3DConfig(depth_resolution=n)) for n in (64, 0))
    scene = fine.sample(0, 0)
    a, b = (generator.render([scene], 64)[0] for generator in (fine, coarse))
    np.testing.assert_array_equal(a.depth, b.depth)
    assert a.depth is not None
    inside = a.depth > 0
    assert inside.any()
    # near and far of the volume, 2.25 and 3.3, over about 2.48 units to the metre
    assert a.depth[inside].min() > 2.25 / 2.48 * 0.9
    assert a.depth[inside].max() < 3.4 / 2.48
    assert a.surface is not None
    head = a.surface.vertices[:, 1].max() - a.surface.vertices[:, 1].min()
    assert 0.15 < head < 0.3


def test_the_frontal_camera_is_the_published_one() -> None:
    camera = label([volume_camera(0.0, 0.0, 2.7, 18.8326, 512)])[0]
    expected = torch.eye(4) * torch.tensor([1.0, -1.0, -1.0, 1.0])
    expected[2, 3] = 2.7
    torch.testing.assert_close(camera[:16].view(4, 4), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(camera[16], torch.tensor(4.2634), rtol=0, atol=2e-3)


def test_a_camera_to_the_left_sees_the_subjects_left() -> None:
    camera = volume_camera(0.5, 0.3, 2.7, 20.0, 512)
    assert camera.position[0] > 0
    assert camera.position[1] > 0
    assert np.linalg.norm(camera.position) == pytest.approx(2.7)
    pixel, _ = camera.project([[0.0, 0.0, 0.2]])
    np.testing.assert_allclose(pixel, [[256, 256]])


def test_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path))
    generator = Next3DGenerator(Next3DConfig())
    with pytest.raises(AssetError, match="next3d-ffhq is missing"):
        generator.render([generator.sample(0, 0)], 64)
    with pytest.raises(AssetError, match="flame2020 is missing"):
        load_plugins().build("head", "flame")


def test_safetensors_give_the_same_pictures(assets: Path, tmp_path: Path) -> None:
    converted = write_safetensors(read_checkpoint(assets / "in" / "next3d.pkl"), tmp_path / "g.safetensors")
    one, other = Next3DGenerator(Next3DConfig()), Next3DGenerator(Next3DConfig(checkpoint=str(converted)))
    scene = one.sample(1, 1)
    assert np.array_equal(one.render([scene], 32)[0].image, other.render([scene], 32)[0].image)
    assert other.provenance()["checkpoint_sha256"] == sha256_of(converted)


def test_another_network_is_refused_by_tensor_name(assets: Path) -> None:
    from synthforge_plugins.generators.next3d.generator import network_of

    checkpoint = read_checkpoint(assets / "in" / "next3d.pkl")
    checkpoint.state["decoder.net.0.weight"] = torch.zeros(2, 2)
    checkpoint.state["surprise"] = torch.zeros(1)
    with pytest.raises(AssetError, match=r"surprise is not part.*decoder\.net\.0\.weight has shape \(2, 2\)"):
        network_of(checkpoint, "official")


@pytest.mark.parametrize(
    "values", [{"variant": "offical"}, {"condition": "side"}, {"field_of_view": [24.0, 18.0]}, {"batch_size": 0}]
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(values))}"):
        build_config(Next3DConfig, values)


@pytest.mark.usefixtures("assets")
def test_the_mapping_network_sees_the_camera_that_was_asked_for() -> None:
    """The paper's script conditions on the sample's camera, the published evaluation on the frontal one."""
    frontal = label([volume_camera(0.0, 0.0, 2.7, 18.83, 512)])[0]
    for variant, condition, follows in (
        ("synthforge", "", True),
        ("official", "", False),
        ("synthforge", "frontal", False),
        ("official", "sampled", True),
    ):
        generator = Next3DGenerator(Next3DConfig(variant=variant, condition=condition))
        scenes = [generator.sample(0, i) for i in range(2)]
        sampled = torch.arange(50.0).view(2, 25)
        seen = generator._condition(scenes, sampled)
        expected = sampled if follows else frontal.expand(2, -1)
        torch.testing.assert_close(seen, expected)
