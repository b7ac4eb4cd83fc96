"""What only the machine can tell: asked of every configuration and its groups, one message, nothing built."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from synthforge_plugins.generators.anny.factors.config import AnnyConfig

from synthforge.core.boundary import PluginFault
from synthforge.core.config import check_values
from synthforge.core.errors import ConfigError
from synthforge.core.machine import check_config, need_device, need_folder
from synthforge.core.plugins import load_plugins
from synthforge.learning.config import TrainConfig


@dataclass
class Inner:
    folder: str = ""
    broken: bool = False

    def check(self) -> None:
        if self.broken:
            raise ZeroDivisionError("odd")
        if self.folder:
            need_folder("folder", self.folder, [".png"])


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    rows: list[Inner] = field(default_factory=list)


def test_groups_are_asked_and_named(tmp_path: Path) -> None:
    check_config(Outer(), "p.yaml: stages.a")
    with pytest.raises(ConfigError, match=r"^p\.yaml: stages\.a\.inner\.folder: there is no folder nothere"):
        check_config(Outer(Inner("nothere")), "p.yaml: stages.a")
    with pytest.raises(ConfigError, match=r"folder: .* holds no file ending in \.png"):
        check_config(Outer(Inner(str(tmp_path))), "p.yaml: stages.a")
    (tmp_path / "a.PNG").touch()
    check_config(Outer(Inner(str(tmp_path)), [Inner()]), "p.yaml: stages.a")
    with pytest.raises(PluginFault, match="`check` of Inner raised ZeroDivisionError: odd"):
        check_config(Outer(rows=[Inner(broken=True)]), "p.yaml: stages.a")


@pytest.mark.parametrize(
    ("name", "there", "count", "told"),
    [
        ("cuda", 0, 1, "device: 'cuda' was asked for; torch sees no CUDA device"),
        ("cuda:1", 1, 1, "device: 'cuda:1' was asked for; torch sees 1 CUDA device"),
        ("cuda", 1, 2, "device: 2 of them was asked for; torch sees 1 CUDA device"),
        ("auto", 2, 3, "device: 3 of them was asked for; torch sees 2 CUDA devices"),
        ("gpu0", 1, 1, "device: 'gpu0' is no device"),
        ("cuda:x", 1, 1, "device: 'cuda:x' is no device"),
        ("cuda:1", 2, 1, ""),
        ("auto", 0, 4, ""),
        ("cpu", 0, 4, ""),
    ],
)
def test_devices(monkeypatch: pytest.MonkeyPatch, name: str, there: int, count: int, told: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    if not told:
        return need_device("device", name, count)
    with pytest.raises(ConfigError) as caught:
        need_device("device", name, count)
    assert caught.value.message == told


def test_configurations_made_in_python_are_held_to_the_same_ranges() -> None:
    check_values(AnnyConfig(), "config")
    check_values(TrainConfig(), "config")
    config = AnnyConfig(batch_size=0)
    plugins = load_plugins()
    with pytest.raises(ConfigError, match=r"^generator anny\.batch_size: 0 is out of range, which is 1 to 1,024"):
        plugins.build_entry(plugins.entry("generator", "anny"), config)
    config = TrainConfig()
    config.optimiser.lr = 30
    with pytest.raises(ConfigError, match=r"^config\.optimiser\.lr: 30 is out of range"):
        check_values(config, "config")


def test_numbers_of_a_policy_are_listed_with_their_ranges() -> None:
    from synthforge.core import tables

    (light,) = [row for row in tables.describe() if (row["kind"], row["name"]) == ("policies", "light")]
    (rotation,) = [row for row in light["keys"] if row["key"] == "rotation"]
    assert (rotation["default"], rotation["unit"], rotation["range"]) == (5.0, "degrees", "0 to 180")
    assert all(row["doc"] and row["range"] for row in light["keys"])
