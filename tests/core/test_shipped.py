"""Models by name: where a pipeline or a command finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthforge.core import shipped
from synthforge.core.errors import UserError


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "installed"
    (root / "face").mkdir(parents=True)
    (root / "face" / "model.json").write_text("{}")
    monkeypatch.setattr(shipped, "files", lambda name: root)
    return root


@pytest.mark.parametrize("name", ["face", "models/face", "models/face/"])
def test_a_reference_means_a_shipped_model_where_no_path_has_its_name(
    name: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.given_folder(name) == models / "face"
    assert shipped.find_model(name) == models / "face"
    own = tmp_path / name
    own.mkdir(parents=True)
    (own / "model.json").write_text("{}")
    assert shipped.given_folder(name) == Path(name)
    assert shipped.find_model(name) == Path(name)


def test_neither_a_path_nor_a_name_is_answered(models: Path) -> None:
    assert shipped.given_folder("fase") is None
    with pytest.raises(UserError, match="there is no model fase") as caught:
        shipped.find_model("fase")
    assert "Did you mean 'face'?" in str(caught.value.hint)
