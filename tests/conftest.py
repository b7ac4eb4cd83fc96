"""Where the reference numbers and the annotated photographs lie; tests that need them skip visibly without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from synthforge.core.cores import one_thread

# As the commands do, and before anything loads torch.
one_thread()
# A busy machine is no failure: whatever is slow is seen by the suite's own time limits.
settings.register_profile("synthforge", deadline=None)
settings.load_profile("synthforge")

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def _folder(variable: str, name: str) -> Path:
    path = Path(os.environ.get(variable) or _BESIDE / name)
    if not path.is_dir():
        pytest.skip(f"{variable} is not set and {name} does not lie beside the checkout")
    return path


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Folder of reference inputs and outputs (SYNTHFORGE_PARITY)."""
    return _folder("SYNTHFORGE_PARITY", "parity")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real annotated photographs (SYNTHFORGE_DATA)."""
    return _folder("SYNTHFORGE_DATA", "data")
