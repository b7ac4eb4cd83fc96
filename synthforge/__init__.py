"""SynthForge: annotated synthetic faces, and models trained on them. Nothing is loaded before it is used.

import synthforge as sf

faces = sf.load_model("face")("photo.jpg")                  # points, labels, depth; faces[0].draw()
face = sf.sample("anny", seed=7, index=0, resolution=512)   # image, annotations, camera, scene
data = sf.generate("faces", "anny", samples=1000)           # a torch Dataset; `sf.open_dataset` later
"""

from typing import Any

__version__ = "0.1.0"
# In alphabetical order; tests/test_front_door.py holds their signatures against a stored table.
__all__ = [
    "Dataset",
    "Face",
    "Faces",
    "Predictor",
    "Sample",
    "Trained",
    "UserError",
    "evaluate",
    "finetune",
    "generate",
    "load_model",
    "open_dataset",
    "sample",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("synthforge.api"), name)
    raise AttributeError(f"module 'synthforge' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
