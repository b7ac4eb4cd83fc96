"""A ball for a head: everything its annotations should be is known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ball_head import ball_rendering

from synthforge.core.plugins import Plugins, load_plugins
from synthforge.core.records import Rendering


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return load_plugins()


@pytest.fixture(scope="session")
def ball() -> Callable[..., Rendering]:
    """ball(azimuth=..., size=...) -> a rendering of the ball; made once for each set of arguments."""
    return ball_rendering
