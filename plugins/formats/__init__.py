"""The formats of other tools that datasets are exported to."""

from __future__ import annotations

from collections.abc import Callable

from synthforge.core.hookspecs import hookimpl
from synthforge.datasets.formats import Format

from .keypoints import COCO, YOLO_POSE
from .released import RELEASED
from .tables import HUGGINGFACE, LITDATA, WEBDATASET
from .trees import CELEBAMASK, LAPA, W300

#: nothing of the samples: what a dataset says of itself
CARD = Format(
    "card",
    "Dataset card, Croissant file and recipe alone",
    "README.md       what the dataset holds\ncroissant.json  the same for programs\nrecipe.yaml     makes it again",
    splits=False,
)


@hookimpl
def register_formats(register: Callable[[Format], None]) -> None:
    """Offer COCO, YOLO, Hugging Face, webdataset, LitData, three benchmarks' trees, the paper's layout and cards."""
    for each in (CARD, COCO, YOLO_POSE, HUGGINGFACE, WEBDATASET, LITDATA, W300, LAPA, CELEBAMASK, RELEASED):
        register(each)
