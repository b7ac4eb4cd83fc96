"""The configuration of training. Defaults are the paper's numbers; a laptop's stand in its YAML. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..core.config import key
from ..core.errors import ConfigError, did_you_mean
from ..core.foreign import check_arguments
from ..core.machine import need_device
from ..core.ranks import launched
from ..core.tables import Default
from .networks.backbone import BACKBONES

SAMPLING = ("all", "random", "active")
CONSISTENCY = ("features", "outputs", "both")
WEIGHTING = ("fixed", "uncertainty")
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
ACCELERATORS = ("auto", "cpu", "cuda", "gpu", "mps")
STRATEGIES = ("auto", "ddp", "ddp_fork", "ddp_spawn", "fsdp")
# model.json may come from anyone: a small file must not ask for all memory.
MAX_SIDE = 4096
# More samples than any dataset has: beyond it stands a slip of the pen.
MANY = 1_000_000
_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


@dataclass
class NetworkConfig:
    """The feature encoder."""

    backbone: str = key(
        Default("backbones"),
        "A registered feature encoder. `unet` is the paper's (3 -> channels at full resolution). `residual` is a dense "
        "residual encoder with a feature pyramid (ResNet-18 at width 1). `timm` is any timm model that gives features, "
        "with random weights and the same pyramid.",
    )
    model: str = key("resnet18", "Name of the timm model, for the backbone `timm`.")
    width: float = key(1.0, "Factor on the channels of `unet` and `residual`.", above=0, high=16)
    channels: int = key(64, "Channels of the feature map that the output heads read.", low=1, high=4096)
    input_size: int = key(256, "Side of the square input.", unit="px", low=16, high=MAX_SIDE)
    options: dict[str, Any] = key({}, "The backbone's own keys; for `timm` further arguments of `timm.create_model`.")
    mean: list[float] = key(_MEAN, "Mean of each colour channel, subtracted.", length=3, source="ImageNet")
    std: list[float] = key(
        _STD, "Standard deviation of each colour channel, divided by.", above=0, length=3, source="ImageNet"
    )

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise ValueError(f"backbone: there is no '{self.backbone}'. {did_you_mean(self.backbone, BACKBONES)}")
        check_arguments(self.options, BACKBONES[self.backbone].options, "options")


@dataclass
class OptimiserConfig:
    """AdamW, its learning rate a cosine from `lr` to `final_lr` after a linear warm-up."""

    lr: float = key(1e-4, "Learning rate at the start.", above=0, high=10, source="paper, section 4.1")
    final_lr: float = key(1e-5, "Learning rate at the end.", low=0, high=10, source="paper, section 4.1")
    encoder_factor: float = key(
        0.1,
        "The encoder's learning rate relative to the output heads'. 0 keeps the encoder of `initial` as it is, the "
        "statistics of its normalisation included.",
        low=0,
        high=100,
    )
    weight_decay: float = key(0.01, "Weight decay of AdamW.", low=0, high=10)
    warmup_steps: int = key(0, "Optimiser steps in which the learning rate rises to `lr`.", low=0)
    clip: float = key(0.0, "Largest norm of the gradient, 0 for no limit.", low=0)

    def __post_init__(self) -> None:
        if self.final_lr > self.lr:
            raise ValueError(f"final_lr: {self.final_lr:g} lies above lr ({self.lr:g})")


@dataclass
class FramingConfig:
    """How a face is cut out of its image: a square around the tight box of its landmarks."""

    crop_scale: float = key(1.3, "Side of the crop over the larger side of the landmarks' box.", low=0.1, high=10)
    jitter_shift: float = key(
        0.0, "Standard deviation of the box's shift in training, in sides of the crop.", low=0, high=1
    )
    jitter_scale: float = key(0.0, "Standard deviation of the logarithm of the box's size in training.", low=0, high=1)
    wide: list[float] = key(
        [0.0, 1.0],
        "[share, factor]: that share of the crops shows up to `factor` times as much, so that one model serves crops "
        "of faces and of whole heads.",
        length=2,
        low=0,
        high=10,
    )
    margin: float = key(
        1.3, "Side of what is read around a crop over the crop's, so that rotations find pixels there.", low=1, high=10
    )

    def __post_init__(self) -> None:
        if self.wide[0] > 1 or self.wide[1] < 1:
            raise ValueError(f"wide: a share of 0 to 1 and a factor of at least 1 are wanted, not {self.wide}")


@dataclass
class SelfSupervisionConfig:
    """The affine term |f(A x) - A f(x)| (paper, section 3.2): predictions follow a transformation A of the image."""

    weight: float = key(0.1, "Weight of the term, 0 leaves it out.", low=0)
    on: str = key(
        "features", "What must follow: the feature map, the predictions of the tasks, or both.", choices=CONSISTENCY
    )
    rotation: float = key(18.0, "Standard deviation of A's rotation.", unit="degrees", low=0, high=180)
    scale: float = key(0.1, "Standard deviation of the logarithm of A's scale.", low=0, high=2)
    shift: float = key(0.05, "Standard deviation of A's shift, in sides of the image.", low=0, high=1)


@dataclass
class SamplingConfig:
    """Which samples an epoch sees. New samples near hard ones are no policy here but the stage `adapt`."""

    policy: str = key(
        "all",
        "`all` samples, a `random` subset drawn once, or `active`: a subset drawn anew every few epochs, without "
        "replacement and in proportion to softmax(temperature * cumulative loss).",
        choices=SAMPLING,
    )
    budget: int = key(0, "Samples in the subset of `random` and `active`.", low=1)
    temperature: float = key(0.2, "Temperature of `active`; 0 draws evenly.", low=0)
    every: int = key(10, "Epochs between two draws of `active`.", low=1)
    shards: int = key(
        0,
        "Number of shards whose samples are shuffled among each other; an epoch then reads shard by shard, each once. "
        "0 shuffles all samples, for datasets that are near at hand.",
        low=0,
        high=MANY,
        since="0.1",
    )

    def __post_init__(self) -> None:
        if self.policy != "all" and not self.budget:
            raise ValueError(f"budget: must be given for the policy '{self.policy}'")


@dataclass
class HardwareConfig:
    """Devices and speed. Nothing here changes what is learned beyond rounding and the reach of batch statistics."""

    accelerator: str = key(
        "auto",
        "Kind of device: `cuda` (also `gpu`), `mps`, `cpu`, or `auto` for the best there is.",
        choices=ACCELERATORS,
    )
    devices: int = key(1, "Devices of each machine; on a CPU, processes.", low=1, high=1024)
    nodes: int = key(1, "Machines.", low=1, high=65536)
    strategy: str = key(
        "auto",
        "How processes share the work. In `auto` and the kinds of `ddp` each has the whole model, in `fsdp` a part of "
        "weights, gradients and optimiser state. The processes are the launcher's under torchrun or SLURM; else they "
        "are forked on a CPU and spawned on a GPU.",
        choices=STRATEGIES,
    )
    workers: int = key(-1, "Processes that read and crop; -1 is one a core less the trainer's own.", low=-1, high=1024)
    threads: int = key(
        0,
        "Threads of torch in each process; 0 is one, or what OMP_NUM_THREADS says. On a CPU, raise `devices` instead.",
        low=0,
        high=1024,
    )
    channels_last: bool = key(True, "Store feature maps with the channels last, which convolutions prefer.")
    compile: bool = key(False, "Compile the network with torch.compile.")
    deterministic: bool = key(False, "Use deterministic algorithms only, which is slower.")
    cache_gb: float = key(
        0.0, "Memory for decoded crops, of all processes together; not used by the sampling `active`.", unit="GB", low=0
    )

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.devices * self.nodes

    def check(self) -> None:
        """Raise ConfigError for devices that are not there."""
        need_device("accelerator", self.accelerator.replace("gpu", "cuda"), self.devices)
        started = launched()
        if started is not None and self.processes > 1 and started.world != self.processes:
            raise ConfigError(
                f"hardware: {self.nodes} nodes with {self.devices} devices are {self.processes} processes, and "
                f"{started.world} were started",
                hint="Let hardware.nodes and hardware.devices be what torchrun or srun was told.",
            )


@dataclass
class TrainConfig:
    """Stage B: one network on synthetic samples. It ends with the first of epochs, max_steps and max_minutes."""

    tasks: list[Any] = key(
        Default("tasks", several=True),
        "Task plugins: names, or mappings with `name` and the plugin's own keys.",
    )
    network: NetworkConfig = key(NetworkConfig, "The feature encoder.")
    optimiser: OptimiserConfig = key(OptimiserConfig, "AdamW and its learning rate.")
    framing: FramingConfig = key(FramingConfig, "How a face is cut out of its image.")
    self_supervision: SelfSupervisionConfig = key(SelfSupervisionConfig, "The affine consistency term.")
    sampling: SamplingConfig = key(SamplingConfig, "Which samples an epoch sees.")
    hardware: HardwareConfig = key(HardwareConfig, "Devices and speed.", counts=False)
    epochs: int | None = key(50, "Passes over the samples, null for no limit.", low=1, high=MANY)
    max_steps: int | None = key(None, "Steps of the optimiser, null for no limit.", low=1)
    max_minutes: float | None = key(None, "Time, null for no limit.", unit="min", above=0)
    batch_size: int = key(16, "Samples a batch, all devices together.", low=1, high=65536, source="paper, section 4.1")
    accumulate: int = key(1, "Batches an optimiser step.", low=1, high=65536)
    dense_stride: int = key(
        1,
        "Losses of maps use every n-th row and column, with a random offset in each step: an unbiased estimate "
        "of the loss over all pixels for a fraction of its cost.",
        low=1,
        high=256,
    )
    more_sizes: list[int] = key(
        [],
        "Further sides of a crop: steps alternate between network.input_size and these, so that the model can be used "
        "at all of them.",
        unit="px",
        low=16,
        high=MAX_SIDE,
    )
    task_sizes: dict[str, int] = key(
        {},
        "By task: the one of network.input_size and more_sizes at which it is best evaluated and fine-tuned.",
        unit="px",
        low=16,
        high=MAX_SIDE,
    )
    mirrored: list[str] = key(
        [], "Tasks that the trained model predicts by the mean with the mirrored crop, at twice their cost."
    )
    precision: str = key(
        "auto", "Arithmetic; `auto` is bf16 where the device multiplies it natively, else 32 bit.", choices=PRECISIONS
    )
    augmentation: Any = key(
        Default("policies"),
        "A policy by name, or {policy: NAME, rotation: 7} to change some of its numbers (angles in degrees).",
    )
    weighting: str = key(
        "fixed",
        "Weights of the tasks' losses: as given, or learned from homoscedastic uncertainty.",
        choices=WEIGHTING,
        source="Kendall et al. 2018",
    )
    task_weights: dict[str, float] = key({}, "By task: a factor on its loss, or where a learned weight starts.", low=0)
    ema: float = key(0.999, "Decay of the averaged weights a step, 0 for none.", low=0, below=1)
    val_fraction: float = key(0.02, "Share of the samples kept for validation.", low=0, below=1)
    validate_every: int = key(1, "Epochs between validations.", low=1)
    checkpoint_seconds: float = key(
        300.0, "Time between two checkpoints, 0 for none by time.", unit="s", low=0, counts=False
    )
    checkpoint_steps: int = key(0, "Steps between two checkpoints, 0 for none by count.", low=0, counts=False)

    def __post_init__(self) -> None:
        for task, size in self.task_sizes.items():
            if size not in (self.network.input_size, *self.more_sizes):
                raise ValueError(f"task_sizes.{task}: {size} is neither network.input_size nor one of more_sizes")
        _has_an_end(self)
        if self.batch_size % self.hardware.processes:
            raise ValueError(f"batch_size: {self.batch_size} does not divide over {self.hardware.processes} devices")
        if self.hardware.strategy == "fsdp" and self.precision == "16-mixed":
            raise ValueError("precision: 16-mixed does not go with hardware.strategy: fsdp; bf16-mixed does")
        if not self.tasks:
            raise ValueError("tasks: at least one is needed")


@dataclass
class FinetuneConfig:
    """Stage C: the label fine-tuning network of one task, on a frozen model."""

    with_features: bool = key(
        True, "The label network also sees the model's feature map.", source='paper, "w/ features"'
    )
    with_levels: bool = key(
        False, "It also sees the encoder's maps of every size and the pixels, for a backbone with a feature pyramid."
    )
    own_encoder: bool = key(
        False,
        "The label network stands behind an encoder and an output head of its own. They start as copies of the "
        "model's, see the photograph, and learn with it.",
    )
    encoder_factor: float = key(1.0, "Factor on the learning rate of that encoder.", low=0, high=1)
    second_look: float = key(
        0.0,
        "Factor on the shares of the model's second look at points, which then corrects the label network's answers "
        "too; 0 for none.",
        low=0,
        high=1,
    )
    keep: str = key(
        "best",
        "Which weights are kept: those of the best validation, or the averaged ones of the last step, which no "
        "validation face has chosen.",
        choices=("best", "last"),
    )
    adapter: dict[str, Any] = key(
        {},
        "Keys of the task's configuration in which this network differs from the task's output head, e.g. "
        "{head: paper, size: 28, width: 64}.",
    )
    input_size: int = key(0, "Side of a crop, 0 for the model's size of the task.", unit="px", low=16, high=MAX_SIDE)
    early_size: int = key(
        0, "Side of a crop in the first epochs, 0 for none: smaller ones are cheaper.", unit="px", low=0, high=MAX_SIDE
    )
    early_epochs: int = key(0, "Number of those epochs. They need augmented faces.", low=0)
    epochs: int | None = key(30, "Passes over the faces, null for no limit.", low=1, high=MANY)
    max_steps: int | None = key(None, "Steps of the optimiser, null for no limit.", low=1)
    max_minutes: float | None = key(None, "Time, null for no limit.", unit="min", above=0)
    batch_size: int = key(16, "Faces a batch.", low=1, high=65536)
    dense_stride: int = key(
        1, "Losses of maps use every n-th row and column, with a random offset in each step.", low=1, high=256
    )
    lr: float = key(1e-4, "Learning rate at the start.", above=0, high=10, source="paper, section 4.1")
    final_lr: float = key(1e-6, "Learning rate at the end of a cosine.", low=0, high=10, source="paper, section 4.1")
    weight_decay: float = key(0.01, "Weight decay of AdamW.", low=0, high=10)
    warmup_steps: int = key(0, "Steps in which the learning rate rises to `lr`.", low=0)
    clip: float = key(0.0, "Largest norm of the gradient, 0 for no limit.", low=0)
    precision: str = key(
        "auto", "Arithmetic; `auto` is bf16 where the device multiplies it natively, else 32 bit.", choices=PRECISIONS
    )
    augmentation: Any = key(
        Default("policies", attribute="default_finetune"),
        "A policy by name, or {policy: NAME, rotation: 7} to change some of its numbers.",
    )
    jitter_shift: float = key(0.0, "Standard deviation of the box's shift, in sides of the crop.", low=0, high=1)
    jitter_scale: float = key(0.0, "Standard deviation of the logarithm of the box's size.", low=0, high=1)
    ema: float = key(0.99, "Decay of the averaged weights a step, 0 for none.", low=0, below=1)
    validate_every: int = key(1, "Epochs between validations.", low=1)
    patience: int = key(0, "Number of validations without improvement after which training ends, 0 for never.", low=0)
    limit: int = key(0, "Number of training faces to use, from the first; 0 for all.", low=0)
    cache: bool = key(
        True, "Compute the frozen network's predictions only once for faces that are not augmented.", counts=False
    )
    hardware: HardwareConfig = key(HardwareConfig, "Devices and speed.", counts=False)

    def __post_init__(self) -> None:
        if self.with_levels and not self.with_features:
            raise ValueError("with_levels: needs with_features: true")
        if self.own_encoder and not self.with_features:
            raise ValueError("own_encoder: needs with_features: true")
        if bool(self.early_size) != bool(self.early_epochs) or 0 < self.early_size < 16:
            raise ValueError("early_size: goes with early_epochs, and is at least 16")
        _has_an_end(self)


def _has_an_end(config: TrainConfig | FinetuneConfig) -> None:
    if config.epochs is None and config.max_steps is None and config.max_minutes is None:
        raise ValueError("epochs: one of epochs, max_steps and max_minutes must be given")
