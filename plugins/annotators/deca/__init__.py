"""The annotator `deca`: the paper's baseline, labels estimated from the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthforge.core.hookspecs import hookimpl

from .settings import DecaConfig

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .annotator import DecaAnnotator


def build(config: DecaConfig) -> DecaAnnotator:
    """The annotator; its weights are read at the first picture."""
    from .annotator import DecaAnnotator

    return DecaAnnotator(config)


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `deca`."""
    register(
        "deca",
        build,
        config=DecaConfig,
        summary="landmarks and FLAME parameters estimated by DECA (the paper's baseline); needs files you download",
        licence="DECA and FLAME: MPI non-commercial",
    )
