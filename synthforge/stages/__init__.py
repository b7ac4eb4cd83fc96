"""The stages a pipeline is made of: one file each, thin, on top of the libraries.

Only configurations are imported here; torch and the rest load when a stage runs.
"""

from __future__ import annotations

from ..core.pipeline import StageKind
from . import adapt, convert, evaluate, export, finetune, generate, overview, report, standin, train

KINDS: dict[str, StageKind] = {
    module.KIND.name: module.KIND
    for module in (generate, adapt, convert, train, finetune, standin, evaluate, report, overview, export)
}
