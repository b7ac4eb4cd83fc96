"""What `doctor` says of the processor."""

from __future__ import annotations

import pytest

from synthforge.cli import doctor
from synthforge.core import cores
from synthforge.learning import hardware


@pytest.mark.parametrize(
    ("amx", "avx512_bf16", "kind", "follows"),
    [
        (True, True, "AMX", "trains and predicts in bf16"),
        (False, True, "AVX512_BF16", "trains and predicts in bf16"),
        (False, False, "AVX2", "is 32 bit"),
    ],
)
def test_the_processor_is_named_with_what_follows(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512_bf16: bool, kind: str, follows: str
) -> None:
    monkeypatch.setattr(hardware.torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(hardware.torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(hardware.torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(cores, "available_cores", lambda: 3)
    said = {finding.what: finding.detail for finding in doctor._torch()}
    assert said["processor"].startswith(f"{kind}: ")
    assert follows in said["processor"]
    assert said["cores"].startswith("3 for this process")
    assert "hardware.devices=3" in said["cores"]
