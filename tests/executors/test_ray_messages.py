"""What the executor `ray` says where no cluster lets it in; no cluster is started."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ray", reason="ray is not installed")

from synthforge_plugins.executors.ray import RayConfig, RayExecutor

from synthforge.core.errors import UserError


@pytest.mark.parametrize(
    ("said", "hint"), [("InvalidAuthToken: missing", "RAY_AUTH_MODE=token"), ("late", "ray start")]
)
def test_a_cluster_that_cannot_be_joined_is_told_with_a_way_out(said: str, hint: str) -> None:
    def init(**options: Any) -> None:
        raise RuntimeError(said)

    executor = RayExecutor(RayConfig(address="here:1"))
    executor.ray = SimpleNamespace(init=init)
    with pytest.raises(UserError, match="cannot join the Ray cluster here:1") as caught:
        executor._connect()
    assert hint in str(caught.value.hint)
