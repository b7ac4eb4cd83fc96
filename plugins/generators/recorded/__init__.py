"""The generator `recorded` replays an existing dataset, and the annotator `stored` passes its annotations on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synthforge.core.hookspecs import hookimpl

from .config import RecordedConfig, StoredConfig

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

    from .generator import RecordedGenerator
    from .stored import StoredAnnotator


def build_generator(config: RecordedConfig) -> RecordedGenerator:
    """The generator of a configuration; reads the names of the folder's samples."""
    from .generator import RecordedGenerator

    return RecordedGenerator(config)


def build_annotator(config: StoredConfig) -> StoredAnnotator:
    """The annotator of a configuration."""
    from .stored import StoredAnnotator

    return StoredAnnotator(config)


@hookimpl
def register_generators(register: Register) -> None:
    """Offer the generator `recorded`."""
    register(
        "recorded",
        build_generator,
        config=RecordedConfig,
        summary="Replays an existing dataset: our own shards, the paper's layout, FaceSynthetics, YOLO pose",
        licence="that of the dataset",
    )


@hookimpl
def register_annotators(register: Register) -> None:
    """Offer the annotator `stored`."""
    register(
        "stored",
        build_annotator,
        config=StoredConfig,
        summary="annotations that a replayed dataset brings along, unchanged",
        licence="that of the dataset",
    )
