"""The commands that `reliability.py` breaks, in small, and the folders in which it does."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from broken_store import BUCKET, DOWN, Store

from synthforge.cli.main import main
from synthforge.core.provenance import PREVIOUS
from synthforge.core.seeding import numpy_rng
from synthforge.testing import faults
from synthforge.testing.faults import CallCounter, Ended, Fault

ROOT = Path(__file__).resolve().parent.parent
OUT = "out"
BALLS = "seed: {seed}\nplugins: [./ballkit.py]\nstages:\n  data:\n    run: generate\n    generator: {{name: ball}}\n"
BALLS += "    annotators: [segmentation, depth]\n    samples: 8\n    resolution: 32\n    shard_size: 4\n"
CPU = "{accelerator: cpu, workers: 0, threads: 1, deterministic: true}"
TRAIN = f"""
seed: {{seed}}
plugins: [./ballkit.py]
stages:
  model:
    run: train
    dataset: ready/balls
    tasks: [{{{{name: segmentation, head: light, width: 0.1}}}}]
    network: {{{{backbone: residual, width: 0.1, channels: 8, input_size: 32}}}}
    self_supervision: {{{{weight: 0.0}}}}
    batch_size: 2
    epochs: 2
    val_fraction: 0.25
    precision: 32-true
    checkpoint_steps: 1
    hardware: {{{CPU}}}
"""
FINETUNE = f"""
seed: {{seed}}
plugins: [./ballkit.py]
stages:
  tuned:
    run: finetune
    model: ready/model
    benchmark: {{{{name: painted-balls, root: faces}}}}
    batch_size: 2
    epochs: 2
    precision: 32-true
    hardware: {{{CPU}}}
"""
EVALUATE = """
plugins: [./ballkit.py]
stages:
  scores:
    run: evaluate
    model: ready/model
    benchmark: {{name: painted-balls, root: faces}}
    worst: {seed}
    sheet: 2
"""
REPORT = """
plugins: [./ballkit.py]
stages:
  page: {{run: report, evaluations: [ready/scores], title: "{seed}"}}
"""
EXPORT = """
plugins: [./ballkit.py]
stages:
  given: {{run: export, model: ready/model, evaluations: [ready/scores], title: "{seed}"}}
"""
ADAPT = """
seed: {seed}
plugins: [./ballkit.py]
stages:
  near: {{run: adapt, dataset: ready/balls, model: ready/model, samples: 8, temperature: {seed}}}
"""
STANDIN = """
plugins: [./ballkit.py]
stages:
  given: {{run: standin, dataset: ready/balls, format: painted-balls, counts: {{train: 3, val: {seed}}}}}
"""
#: what `adapt` and `standin` need beyond the example plugin
NEAR = """

from synthforge.core.interfaces import OriginGenerator
from synthforge.evaluation.standin import mark_stand_in


class NearBall(OriginGenerator, Ball):
    def sample_from(self, origin):
        rng = origin.stream("ball")
        angles = {"azimuth": rng.uniform(-0.8, 0.8), "elevation": rng.uniform(-0.3, 0.3)}
        centre = rng.uniform(-0.05, 0.05, 3)
        values = {**angles, "centre": centre, "radius": self.radius * rng.uniform(0.5, 1)}
        return Scene(origin.seed, origin.index, values, origin=origin)


class Laid(PaintedBalls):
    def write_stand_in(self, samples, counts):
        mark_stand_in(self.root, "painted-balls", counts)
        for split, count in counts.items():
            (self.root / split).mkdir(exist_ok=True)
            for number, sample in zip(range(count), samples):
                labels = {"image": sample["image"], "label": sample["segmentation"]}
                np.savez(self.root / split / f"{split}{number}.npz", **labels)
        return dict(counts)


@hookimpl
def register_generators(register):
    register("ball", NearBall, config=BallConfig, summary="a ball before a wall", licence="CC0-1.0")


@hookimpl
def register_benchmarks(register):
    register("painted-balls", Laid, config=PaintedConfig, summary="balls with painted labels")
"""
#: faults by where they happen
OF_WORKERS = ("kill", "term", "full", "read-only")
OF_STORES = ("kill", *DOWN, "term", "int", "stop")


@dataclass(frozen=True)
class Command:
    """A command to break. older: what makes the older result, where one can lie there; copied: what lies in the output
    folder before, as a folder of the workspace; files: its configurations; learns: it needs a model, or makes one.
    workers: the fault happens to one of its worker processes. store: the output and what it reads lie in a store, of
    which the requests are counted."""

    name: str
    arguments: Sequence[str]
    learns: bool
    older: Sequence[str] = ()
    copied: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    workers: bool = False
    store: bool = False

    def faults(self, among: Sequence[str]) -> list[str]:
        """Those of the faults that can happen to it."""
        own = OF_WORKERS if self.workers else OF_STORES if self.store else faults.FAULTS
        return [name for name in among if name in own]


def _pipeline(name: str, text: str, learns: bool = True, workers: bool = False, store: bool = False) -> Command:
    stem = name.replace(" ", "-")
    if store:
        text = text.replace("ready/", f"s3://{BUCKET}/ready/")
    files = {f"{stem}.yaml": text.format(seed=1), f"{stem}-older.yaml": text.format(seed=2)}
    this, older = (["run", file, "--out", f"s3://{BUCKET}/{OUT}" if store else OUT] for file in files)
    return Command(name, this, learns, older, files=files, workers=workers, store=store)


def run(command: Command, arguments: Sequence[str], folder: Path, fault: Fault | None = None) -> Ended:
    """Run a command without a store, see `testing.faults.run`."""
    return faults.run(_with_workers if command.workers else main, arguments, folder, fault)


def _with_workers() -> None:
    """The command, whose spawned workers count as forked ones do."""
    from synthforge_plugins.executors import local

    watching = CallCounter.watching
    given = (Path(watching.folder), watching.fault, watching.file, watching.main)
    local._work = functools.partial(_counting_worker, given)
    main()


def _counting_worker(given: tuple[Any, ...], *arguments: Any) -> None:
    from synthforge_plugins.executors import local

    CallCounter(*given).watch()
    local._work(*arguments)


PREDICT = ["predict", "ready/model", "photos", "--out", OUT, "--plugin", "ballkit.py", "--passes", "1"]
COMMANDS = (
    _pipeline("generate", BALLS, learns=False),
    _pipeline("train", TRAIN),
    _pipeline("finetune", FINETUNE),
    _pipeline("evaluate", EVALUATE),
    _pipeline("report", REPORT),
    _pipeline("export", EXPORT),
    Command("predict", [*PREDICT, "--boxes", "boxes.csv"], True, older=[*PREDICT, "--boxes", "older.csv"]),
    Command("repair", ["repair", OUT, "--plugin", "ballkit.py"], False, copied="ready/damaged"),
    Command("merge", ["merge", OUT], False, copied="ready/parts"),
    _pipeline("adapt", ADAPT),
    _pipeline("standin", STANDIN, learns=False),
    _pipeline(
        "generate by 2 workers",
        f"{BALLS}    workers: 2\n    executor: {{{{name: local, few: 0}}}}\n",
        False,
        workers=True,
    ),
    _pipeline(
        "train by 2 processes",
        TRAIN.replace("workers: 0", "devices: 2, workers: 0").replace("batch_size: 2", "batch_size: 4"),
        workers=True,
    ),
    _pipeline("generate to S3", BALLS, False, store=True),
    _pipeline("train to S3", TRAIN, store=True),
    _pipeline("evaluate to S3", EVALUATE, store=True),
)


@dataclass(frozen=True)
class Class:
    """A class of files whose bits are flipped. file: in the workspace; reader: the command that reads it; verify: the
    folder that `synthforge verify` is given, empty where the reader alone checks; state: what lies there before:
    nothing, the command's own result, or what a kill at 60 % of its calls left."""

    name: str
    file: str
    reader: str
    verify: str = ""
    state: str = ""


CLASSES = (
    Class("dataset: shard", "ready/balls/shard-00000.tar", "train", "ready/balls"),
    Class("dataset: index of a shard", "ready/balls/shard-00001.json", "train", "ready/balls"),
    Class("dataset: manifest", "ready/balls/manifest.json", "train", "ready/balls"),
    Class("model: weights", "ready/model/model.safetensors", "predict", "ready/model"),
    Class("model: description", "ready/model/model.json", "predict", "ready/model"),
    Class("evaluation: figures", "ready/scores/val/evaluation.json", "report", "ready/scores"),
    Class("evaluation: pictures", "ready/scores/val/cases.npz", "report", "ready/scores"),
    Class("state of a stage", "ready/scores/.stage.json", "report", "ready/scores"),
    Class("checkpoint", "out/model/last.ckpt", "train", state="killed"),
    Class("record of predict", "out/a.json", "predict", state="done"),
    Class("map of predict", "out/a.labels.png", "predict", state="done"),
)


@dataclass
class Workspace:
    """A folder with everything the commands read, and a folder `trial` that is made from it anew for every trial.

    One path for all trials, because records name the photographs' place.
    """

    root: Path
    expected: dict[tuple[str, bool], tuple[dict[str, str], int]] = field(default_factory=dict)

    @functools.cached_property
    def store(self) -> Store:
        """A store, with what commands read."""
        made = Store()
        atexit.register(made.stop)
        os.environ["SYNTHFORGE_CACHE"] = str(self.root / "cache")
        made.fill(self.ready / "ready", "ready")
        return made

    def run(self, command: Command, arguments: Sequence[str], fault: Fault | None = None) -> Ended:
        """Run a command in the folder `trial`; what it makes in a store lies there before and afterwards."""
        if not command.store:
            return run(command, arguments, self.trial, fault)
        self.store.fill(self.trial / OUT, OUT)
        with self.store.front(self.trial.with_suffix(".calls"), fault.kind if fault else "", fault.at if fault else -1):
            ended = run(command, arguments, self.trial)
        shutil.rmtree(self.trial / OUT, ignore_errors=True)
        self.store.fetch(OUT, self.trial / OUT)
        return replace(ended, calls=int(self.trial.with_suffix(".requests").read_text(encoding="ascii")))

    @property
    def ready(self) -> Path:
        return self.root / "ready"

    @property
    def trial(self) -> Path:
        return self.root / "trial"

    def fresh(self) -> Path:
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(self.ready, self.trial)
        return self.trial

    def make(self, learns: bool) -> None:
        """Datasets, photographs and, where anything `learns`, a model and its evaluation: each by the real command."""
        from PIL import Image

        self.ready.mkdir(parents=True)
        kit = (ROOT / "tests/third_party/ballkit/ballkit.py").read_text(encoding="utf-8")
        (self.ready / "ballkit.py").write_text(kit + NEAR, encoding="utf-8")
        for command in COMMANDS:
            for name, text in command.files.items():
                (self.ready / name).write_text(text, encoding="utf-8")
        for split, count in (("train", 4), ("val", 2)):
            (self.ready / "faces" / split).mkdir(parents=True)
            for number in range(count):
                label = np.zeros((32, 32), np.uint8)
                label[8:24, 6 + number : 26] = 1
                image = np.where(label[..., None] > 0, (220, 170, 140), (90, 100, 90)).astype(np.uint8)
                np.savez(self.ready / "faces" / split / f"{split}{number}.npz", image=image, label=label)
        (self.ready / "photos").mkdir()
        rng = numpy_rng(0, 0, "photographs")
        for name in ("a.png", "b.png"):
            pixels = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            Image.fromarray(pixels).save(self.ready / "photos" / name)
        for name, rows in (("boxes.csv", "a.png,4,4,40,40\nb.png,10,6,50,44\n"), ("older.csv", "a.png,2,2,44,44\n")):
            (self.ready / name).write_text(rows, encoding="utf-8")
        made = self.ready / "ready"
        learned = (
            (["run", "train.yaml", "--out", OUT], {"model": "model"}),
            (["run", "evaluate.yaml", "--out", OUT], {"scores": "scores"}),
        )
        for given, into in (
            (["run", "generate.yaml", "--out", OUT], {"data": "balls"}),
            *(learned if learns else ()),
            (["generate", "generate.yaml", "--out", OUT, "--shards", "1/2"], {}),
            (["generate", "generate.yaml", "--out", OUT, "--shards", "2/2"], {"": "parts"}),
        ):
            ended = faults.run(main, given, self.ready)
            if ended.code:
                raise SystemExit(f"{' '.join(given)} ended with {ended.code}:\n{ended.output}")
            for old, new in into.items():
                made.mkdir(exist_ok=True)
                (self.ready / OUT / old).rename(made / new)
                shutil.rmtree(self.ready / OUT, ignore_errors=True)
        shutil.copytree(made / "balls", made / "damaged")
        tar = made / "damaged/shard-00001.tar"
        data = bytearray(tar.read_bytes())
        data[700] ^= 4
        tar.write_bytes(data)

    def before(self, command: Command, older: bool) -> Path:
        """The state before a command; older: with an older result there, and one thing of the user's beside it."""
        place = self.root / f"before-{command.name}-{int(older)}"
        if not place.exists():
            folder = self.fresh()
            if command.copied:
                shutil.copytree(folder / command.copied, folder / OUT)
            if older and command.older:
                ended = self.run(command, command.older)
                assert ended.code == 0, ended.output
            if older:
                (folder / OUT / PREVIOUS / "mine").mkdir(parents=True, exist_ok=True)
                (folder / OUT / PREVIOUS / "mine/thesis.txt").write_text("precious", encoding="utf-8")
            folder.rename(place)
        return place

    def flipped(self, kind: Class) -> Path:
        """The state before a flip of that class."""
        command = next(each for each in COMMANDS if each.name == kind.reader)
        calls = self.undisturbed(command, older=False)[1]
        place = self.root / f"flip-{kind.reader}-{kind.state}"
        if not place.exists():
            folder = self.start(command, older=False)
            if kind.state:
                self.run(
                    command, command.arguments, Fault("kill", int(0.6 * calls)) if kind.state == "killed" else None
                )
            folder.rename(place)
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(place, self.trial)
        return self.trial

    def start(self, command: Command, older: bool) -> Path:
        shutil.rmtree(self.trial, ignore_errors=True)
        shutil.copytree(self.before(command, older), self.trial)
        return self.trial

    def undisturbed(self, command: Command, older: bool) -> tuple[dict[str, str], int]:
        """What a command makes when nothing happens, and how many calls it takes; measured twice."""
        if (command.name, older) not in self.expected:
            found = []
            for _ in range(2):
                self.start(command, older)
                ended = self.run(command, command.arguments)
                assert ended.code == 0, ended.output
                found.append(content(self.trial))
            differ = sorted(
                name for name in found[0].keys() | found[1].keys() if found[0].get(name) != found[1].get(name)
            )
            assert not differ, f"{command.name}: two undisturbed runs differ in {differ}"
            self.expected[command.name, older] = found[0], ended.calls
        return self.expected[command.name, older]


def content(folder: Path) -> dict[str, str]:
    """A digest of every file by name; of JSON without what is a time. Logs of TensorBoard are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and "tensorboard" not in path.parts:
            data = path.read_bytes()
            if path.suffix == ".json" and name.startswith(OUT):
                data = _timeless(data, sealed=path.name in (".stage.json", "evaluation.json"))
            found[name] = hashlib.sha256(data).hexdigest()
    return found


def _timeless(data: bytes, *, sealed: bool) -> bytes:
    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                k: cut(v) for k, v in value.items() if "second" not in k and not (sealed and k in ("sha256", "outputs"))
            }
        return [cut(item) for item in value] if isinstance(value, list) else value

    try:
        return json.dumps(cut(json.loads(data)), sort_keys=True).encode()
    except ValueError:
        return data
