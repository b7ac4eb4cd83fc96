"""Network pickles become plain state dicts; licensed files are named, checked and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from synthforge_plugins.annotators.deca.fake import write_deca
from synthforge_plugins.heads.flame.fake import write_flame

from synthforge.assets import needs, registry
from synthforge.assets.stylegan_pickle import read_checkpoint, read_stylegan_pickle, write_safetensors
from synthforge.core.catalogue import FileNeed
from synthforge.core.errors import AssetError
from synthforge.core.files import sha256_of
from synthforge.testing.fake_files import write_stylegan_pickle

AXES = torch.eye(3).repeat(3, 1, 1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(registry.VARIABLE, str(tmp_path / "assets"))
    return tmp_path


def network(path: Path, mark: Path) -> dict[str, torch.Tensor]:
    state = {
        "backbone.mapping.w_avg": torch.randn(3),
        "backbone.synthesis.b4.conv1.weight": torch.randn(2, 2, 3, 3),
        "faces": torch.arange(6).view(1, 2, 3),
    }
    write_stylegan_pickle(
        path,
        state,
        class_name="TriPlaneGenerator",
        init_kwargs={"z_dim": 3, "rendering_kwargs": {"ray_start": 2.25, "depth_resolution": 48, "name": "x"}},
        plane_axes=AXES,
        source=f"open({str(mark)!r}, 'w')",
    )
    return state


def test_a_network_pickle_is_read_without_its_code(tmp_path: Path) -> None:
    state = network(tmp_path / "g.pkl", tmp_path / "ran")
    found = read_stylegan_pickle(tmp_path / "g.pkl")
    assert found.class_name == "TriPlaneGenerator"
    assert found.init_kwargs["z_dim"] == 3
    assert found.rendering_kwargs == {"ray_start": 2.25, "depth_resolution": 48, "name": "x"}
    assert found.plane_axes is not None
    assert torch.equal(found.plane_axes, AXES)
    assert set(found.state) == set(state)
    for name, value in state.items():
        assert torch.equal(found.state[name], value)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(AssetError, match="has no entry 'X'; it holds G, D, G_ema"):
        read_stylegan_pickle(tmp_path / "g.pkl", "X")
    with pytest.raises(AssetError, match="not a network"):
        read_stylegan_pickle(tmp_path / "g.pkl", "D")


def test_safetensors_keep_everything(tmp_path: Path) -> None:
    network(tmp_path / "g.pkl", tmp_path / "ran")
    before = read_checkpoint(tmp_path / "g.pkl")
    after = read_checkpoint(write_safetensors(before, tmp_path / "out" / "g.safetensors"))
    assert (after.class_name, after.init_kwargs, after.rendering_kwargs) == (
        before.class_name,
        before.init_kwargs,
        before.rendering_kwargs,
    )
    assert after.plane_axes is not None
    assert torch.equal(after.plane_axes, AXES)
    assert {n: v.tolist() for n, v in after.state.items()} == {n: v.tolist() for n, v in before.state.items()}
    (tmp_path / "bad.safetensors").write_bytes(b"123")
    with pytest.raises(AssetError, match="not a readable safetensors"):
        read_checkpoint(tmp_path / "bad.safetensors")


@pytest.mark.usefixtures("folder")
def test_missing_files_say_what_where_and_under_which_licence() -> None:
    for asset in registry.ASSETS.values():
        with pytest.raises(AssetError) as caught:
            registry.find_asset(asset.name)
        text = str(caught.value)
        use = "(commercial use allowed)" if asset.commercial else "(no commercial use)"
        for part in (asset.purpose, asset.source, asset.licence, asset.file, registry.VARIABLE, use):
            assert part in text
    with pytest.raises(AssetError, match="Did you mean 'next3d-ffhq'"):
        registry.find_asset("next3d")


def test_every_file_can_be_added_checked_and_found(folder: Path) -> None:
    made = {path.name: path for path in write_flame(folder / "in")}
    network(folder / "in" / "g.pkl", folder / "ran")
    given = {
        "next3d-ffhq": folder / "in" / "g.pkl",
        "eg3d-ffhq": write_safetensors(read_checkpoint(folder / "in" / "g.pkl"), folder / "in" / "e.safetensors"),
        "flame2023-open": made["generic_model.pkl"],
        "flame-landmarks": made["landmark_embedding.npy"],
        "flame-masks": made["FLAME_masks.pkl"],
        "flame-texture": made["FLAME_texture.npz"],
        "uv-face-mask": made["uv_face_eye_mask.npz"],
        "deca": write_deca(folder / "in" / "deca.tar", {"w": torch.ones(2)}),
    }
    for name, path in given.items():
        added = registry.add_asset(name, path)
        assert added.is_relative_to(folder / "assets")
        assert registry.find_asset(name) == added
        assert registry.verify_asset(name) == sha256_of(path)
    here = {asset.name for asset, path in registry.status() if path}
    assert here == set(given)
    assert not list((folder / "assets").rglob("*.part"))


def test_wrong_files_are_refused_and_leave_no_trace(folder: Path) -> None:
    (folder / "text").write_text("not a model")
    for asset in registry.ASSETS.values():
        with pytest.raises(AssetError):
            registry.add_asset(asset.name, folder / "text")
    assert not [path for path in (folder / "assets").rglob("*") if path.is_file()]
    with pytest.raises(AssetError, match="no such file"):
        registry.add_asset("deca", folder / "nowhere")


def test_a_changed_file_is_noticed(folder: Path) -> None:
    added = registry.add_asset("deca", write_deca(folder / "d.tar", {"w": torch.ones(2)}))
    added.write_bytes(added.read_bytes() + b"x")
    need = needs.Use("someone", FileNeed(asset="deca"))
    for use in (registry.verify_asset, registry.find_asset, lambda name: needs.lacking([need])):
        with pytest.raises(AssetError, match="has changed since it was added"):
            use("deca")


def test_a_torch_file_with_code_is_refused(folder: Path) -> None:
    import os

    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(folder / "ran"),)

    torch.save({"E_flame": Runs()}, folder / "evil.tar")
    with pytest.raises(AssetError, match="refused"):
        registry.add_asset("deca", folder / "evil.tar")
    assert not (folder / "ran").exists()
