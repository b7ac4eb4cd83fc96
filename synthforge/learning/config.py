"""What training can be told. Defaults are the paper's numbers; a laptop's stand in its YAML. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..core.foreign import check_arguments

BACKBONES = ("unet", "residual", "timm")
SAMPLING = ("all", "random", "active")
CONSISTENCY = ("features", "outputs", "both")
WEIGHTING = ("fixed", "uncertainty")
PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed")
STRATEGIES = ("auto", "ddp", "ddp_fork", "ddp_spawn")


#: arguments of `timm.create_model` that a configuration or a model folder may give: none reads a file or loads code
TIMM_OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("drop_rate", "drop_path_rate", "mlp_ratio"), float),
    **dict.fromkeys(("out_indices", "output_stride", "patch_size", "window_size", "embed_dim", "num_heads"), int),
    **dict.fromkeys(("depth", "depths"), int),
    **dict.fromkeys(("act_layer",), ("relu", "gelu", "silu", "hard_swish")),
    "norm_layer": ("batchnorm2d", "layernorm", "groupnorm"),
    "pretrained": (False,),
}


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key} is one of {', '.join(allowed)}; got '{value}'")


def _at_least(key: str, value: float, least: float) -> None:
    if value < least:
        raise ValueError(f"{key} must be at least {least}, got {value}")


@dataclass
class NetworkConfig:
    """The feature encoder.

    backbone: `unet` (the paper's: 3 -> channels at full resolution), `residual` (a dense residual encoder and a feature
    pyramid; ResNet-18 at width 1) or `timm` (any timm model that gives features, and the same pyramid; always with
    random weights). width scales the channels of `unet` and `residual`; channels: of the feature map; options: further
    arguments of `timm.create_model`, of those in `TIMM_OPTIONS`. input_size: side of the square input in pixels. mean,
    std: of the normalisation.
    """

    backbone: str = "unet"
    model: str = "resnet18"
    width: float = 1.0
    channels: int = 64
    input_size: int = 256
    options: dict[str, Any] = field(default_factory=dict)
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])

    def __post_init__(self) -> None:
        _one_of("backbone", self.backbone, BACKBONES)
        check_arguments(self.options, TIMM_OPTIONS, "options")
        # model.json may come from anyone: a small file must not ask for all memory
        for name, least, most in (("channels", 1, 4096), ("input_size", 16, 4096), ("width", 1e-3, 16)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} lies between {least} and {most}, got {getattr(self, name)}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std are three numbers each, std above 0")


@dataclass
class OptimiserConfig:
    """AdamW with a cosine from `lr` to `final_lr`, after a linear warm-up of `warmup_steps`.

    The encoder learns at `encoder_factor` times the rate. clip: largest norm of the gradient, 0 for none.
    """

    lr: float = 1e-4
    final_lr: float = 1e-5
    encoder_factor: float = 0.1
    weight_decay: float = 0.01
    warmup_steps: int = 0
    clip: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.final_lr <= self.lr:
            raise ValueError(f"final_lr lies between 0 and lr, got {self.final_lr} and {self.lr}")


@dataclass
class FramingConfig:
    """How a face is cut out: the square around the tight box of its landmarks, `crop_scale` times the larger side.

    jitter_shift (sigma, in sides of the crop) and jitter_scale (sigma of the log) move and resize the box in training,
    as a detector would. wide: (share, factor) - that share of the crops shows up to `factor` times as much, so that one
    model serves crops of faces and of whole heads. margin: what is read around the crop, so that a rotation, a shift or
    a wide crop finds pixels there.
    """

    crop_scale: float = 1.3
    jitter_shift: float = 0.0
    jitter_scale: float = 0.0
    wide: list[float] = field(default_factory=lambda: [0.0, 1.0])
    margin: float = 1.3

    def __post_init__(self) -> None:
        _at_least("crop_scale", self.crop_scale, 0.1)
        _at_least("margin", self.margin, 1.0)
        if len(self.wide) != 2 or not 0 <= self.wide[0] <= 1 or self.wide[1] < 1:
            raise ValueError(f"wide is a share in [0, 1] and a factor of at least 1, got {self.wide}")


@dataclass
class SelfSupervisionConfig:
    """The affine term |f(A x) - A f(x)| (paper, section 3.2), times `weight`; 0 leaves it out.

    on: `features`, `outputs` or `both`. rotation in degrees, scale and shift are sigmas of A.
    """

    weight: float = 0.1
    on: str = "features"
    rotation: float = 18.0
    scale: float = 0.1
    shift: float = 0.05

    def __post_init__(self) -> None:
        _one_of("on", self.on, CONSISTENCY)


@dataclass
class SamplingConfig:
    """Which samples an epoch sees: `all`, a `random` subset of `budget` drawn once, or `active`.

    Active: every `every` epochs `budget` samples are drawn without replacement, in proportion to
    softmax(temperature * cumulative loss). Adaptive sampling, new samples near those a model finds hard, is no policy
    here but a stage before the next training: `{run: adapt, dataset: ..., model: ...}`.
    """

    policy: str = "all"
    budget: int = 0
    temperature: float = 0.2
    every: int = 10

    def __post_init__(self) -> None:
        _one_of("policy", self.policy, SAMPLING)
        _at_least("every", self.every, 1)
        if self.policy != "all":
            _at_least("budget", self.budget, 1)


@dataclass
class HardwareConfig:
    """Devices and speed. Nothing here changes what is learned beyond rounding and the reach of batch statistics.

    strategy `auto`: one process for one device; the launcher's when torchrun or SLURM started us; else fork on CPU and
    spawn on GPU. workers: processes that read and crop, -1 is one a core less the trainer's own. threads: of torch in
    each process; 0 is one, or what OMP_NUM_THREADS says: on a CPU, `devices` are what uses more cores. cache_gb: memory
    for decoded crops, of all processes together as long as the samples are the same (sampling `active` draws others).
    """

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    workers: int = -1
    threads: int = 0
    channels_last: bool = True
    compile: bool = False
    deterministic: bool = False
    cache_gb: float = 0.0

    def __post_init__(self) -> None:
        _one_of("strategy", self.strategy, STRATEGIES)
        _at_least("devices", self.devices, 1)
        _at_least("nodes", self.nodes, 1)


@dataclass
class TrainConfig:
    """Stage B. The end is where the first of `epochs`, `max_steps` (of the optimiser) and `max_minutes` is reached.

    tasks: references to task plugins; task_weights multiply their losses by name, or start the learned `uncertainty`
    weights (Kendall et al. 2018). batch_size: samples a batch, all devices together; accumulate: batches an optimiser
    step. dense_stride: losses of maps look at every so-manieth row and column, from a random first one in each step: an
    unbiased estimate of the loss over all pixels for a fraction of its cost. more_sizes: pixels of a crop that take
    turns with network.input_size from step to step, so that the model can be used at these as well; task_sizes: the one
    of them that a task is best evaluated and fine-tuned at, where that is not network.input_size. mirrored: tasks that
    the model, once trained, answers by the mean with the mirrored crop, at twice their cost. precision `auto`:
    bf16 where the device multiplies it natively, else 32 bit. augmentation: a policy of `learning.augment.POLICIES` by
    name, or {policy: NAME, rotation: 7} to change some of its numbers. ema: decay of the averaged weights, 0 for none.
    checkpoint_seconds, checkpoint_steps: how often `last.ckpt` is written (0: never by that count).
    """

    tasks: list[Any] = field(default_factory=lambda: ["keypoints", "segmentation", "depth"])
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    framing: FramingConfig = field(default_factory=FramingConfig)
    self_supervision: SelfSupervisionConfig = field(default_factory=SelfSupervisionConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig, metadata={"counts": False})
    epochs: int | None = 50
    max_steps: int | None = None
    max_minutes: float | None = None
    batch_size: int = 16
    accumulate: int = 1
    dense_stride: int = 1
    more_sizes: list[int] = field(default_factory=list)
    task_sizes: dict[str, int] = field(default_factory=dict)
    mirrored: list[str] = field(default_factory=list)
    precision: str = "auto"
    augmentation: Any = "paper"
    weighting: str = "fixed"
    task_weights: dict[str, float] = field(default_factory=dict)
    ema: float = 0.999
    val_fraction: float = 0.02
    validate_every: int = 1
    checkpoint_seconds: float = field(default=300.0, metadata={"counts": False})
    checkpoint_steps: int = field(default=0, metadata={"counts": False})

    def __post_init__(self) -> None:
        _one_of("weighting", self.weighting, WEIGHTING)
        _at_least("batch_size", self.batch_size, 1)
        _one_of("precision", self.precision, PRECISIONS)
        _at_least("accumulate", self.accumulate, 1)
        _at_least("dense_stride", self.dense_stride, 1)
        for size in self.more_sizes:
            _at_least("more_sizes", size, 16)
        for task, size in self.task_sizes.items():
            if size not in (self.network.input_size, *self.more_sizes):
                raise ValueError(f"task_sizes.{task}: {size} is neither network.input_size nor one of more_sizes")
        if self.epochs is None and self.max_steps is None and self.max_minutes is None:
            raise ValueError("one of epochs, max_steps and max_minutes must be given")
        if not 0 <= self.val_fraction < 1 or not 0 <= self.ema < 1:
            raise ValueError("val_fraction and ema lie in [0, 1)")
        if not self.tasks:
            raise ValueError("tasks: at least one is needed")


@dataclass
class FinetuneConfig:
    """Stage C: the label fine-tuning network of one task, on a frozen model.

    with_features: it also sees the backbone's feature map ("w/ features"); with_levels: and what that was merged from,
    the encoder's maps of every size (of a backbone with a feature pyramid). adapter: keys of the task's configuration
    for this network where it is not to be like the head, e.g. {head: paper, size: 28, width: 64}. input_size: pixels of
    a crop, 0 for those the model says the task is best at; more of them help where the classes are small. limit: use
    only the first so many training faces, 0 for all. patience: end after so many validations without a better one, 0
    for never. cache: the frozen network's answers to faces that are not augmented are computed once.
    """

    with_features: bool = True
    with_levels: bool = False
    adapter: dict[str, Any] = field(default_factory=dict)
    input_size: int = 0
    epochs: int | None = 30
    max_steps: int | None = None
    max_minutes: float | None = None
    batch_size: int = 16
    lr: float = 1e-4
    final_lr: float = 1e-6
    weight_decay: float = 0.01
    precision: str = "auto"
    augmentation: Any = "light"
    jitter_shift: float = 0.0
    jitter_scale: float = 0.0
    ema: float = 0.99
    validate_every: int = 1
    patience: int = 0
    limit: int = 0
    cache: bool = True
    hardware: HardwareConfig = field(default_factory=HardwareConfig, metadata={"counts": False})

    def __post_init__(self) -> None:
        _check_size(self.input_size)
        _at_least("batch_size", self.batch_size, 1)
        _one_of("precision", self.precision, PRECISIONS)
        if self.with_levels and not self.with_features:
            raise ValueError("with_levels needs with_features")
        if self.epochs is None and self.max_steps is None and self.max_minutes is None:
            raise ValueError("one of epochs, max_steps and max_minutes must be given")


def _check_size(pixels: int) -> None:
    if pixels and pixels < 16:
        raise ValueError(f"input_size is 0 or at least 16 pixels, got {pixels}")
