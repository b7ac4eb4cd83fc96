"""Wrong configurations: each is answered before any work, by `check` and by `run`, in one message and with exit code 2.

The message names the file, the YAML path, and what was wrong: the value, its range, or the nearest name.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import yaml

from synthforge.cli.main import main
from synthforge.core.errors import ConfigError
from synthforge.core.pipeline import load_pipeline
from synthforge.stages import KINDS

PIPELINE = """
seed: 7
stages:
  dataset:
    run: generate
    generator: {name: anny, camera: {}, beard: {}, glasses: {}, head: {}, background: {}}
    annotators: [landmarks, segmentation, depth]
    samples: 100
    resolution: 64
  unseen: {run: generate, annotators: [landmarks], seed: 1007, samples: 40, resolution: 64}
  standin: {run: standin, dataset: unseen, counts: {afw: 4, helen/trainset: 4, ibug: 4}}
  model:
    run: train
    dataset: dataset
    tasks: [{name: keypoints, head: light, width: 8}, {name: depth, head: light, width: 0.1}]
    network: {backbone: residual, width: 0.1, channels: 8, input_size: 64}
    batch_size: 4
  scores: {run: evaluate, model: model, benchmark: 300w, benchmark_root: standin, splits: [common]}
  adapted: {run: finetune, model: model, benchmark: 300w, benchmark_root: standin}
  small: {run: export, model: model, evaluations: [scores]}
  report: {run: report, evaluations: [scores]}
"""

GENERATOR = "stages.dataset.generator"
# (key, what is written there, what the message says; its path is the key's where it does not begin with another one)
WRONG = [
    # the file itself
    ("description", "[a]", "description: a text"),
    ("seed", ".nan", "seed: a whole number"),
    ("seed", "1e400", "not valid YAML: the number 1e400 is too large"),
    ("stags", "{}", "Did you mean 'stages'?"),
    ("plugins", "[./nothere.py]", "there is no file ./nothere.py"),
    ("plugins", "[./ends.py]", "it ends the process while it is imported: sys.exit(3)"),
    ("plugins", "[./leaves.py]", "it ends the process while it is imported: os._exit(0)"),
    ("plugins", "./ends.py", "a list of files or modules"),
    ("environment", "HOME", "environment: a list of names of variables"),
    ("stages.scores.model", '"${oc.env:HOME}"', "the variable HOME is not listed; add the line `environment: [HOME]`"),
    ("stages.a/b", "{run: generate}", "a stage's name becomes a folder"),
    ("stages.a", "{run: generate}, a: {run: generate}", "duplicate key 'a'"),
    ("stages.dataset.run", "genrate", "Did you mean 'generate'?"),
    ("stages.dataset.run", "[generate]", "there is no stage ['generate']"),
    # unknown names
    (GENERATOR, "anyn", "Did you mean 'anny'?"),
    (f"{GENERATOR}.preset", "drivercamera", "Did you mean 'driver-camera'?"),
    (f"{GENERATOR}.preset", "[webcam]", "has no preset ['webcam']"),
    ("stages.dataset.annotators", "[landmraks]", "annotators[0]: there is no annotator called 'landmraks'"),
    ("stages.dataset.annotators", "[{name: landmarks, schema: ibug86}]", "Did you mean 'ibug68'?"),
    ("stages.dataset.filters", "[visibel]", "Did you mean 'visible'?"),
    ("stages.model.tasks", "[normls]", "Did you mean 'normals'?"),
    ("stages.model.tasks", "[{name: keypoints, head: lihgt}]", "tasks[0].head: 'lihgt' is not one of paper, light"),
    ("stages.model.tasks", "[{name: segmentation, schema: lapa}]", "tasks[0].schema: 'lapa' is not one of celeba"),
    ("stages.model.network.backbone", "vgg", "Known: residual, timm, unet"),
    ("stages.model.network", "{backbone: timm, options: {checkpoint_path: /x}}", "options.checkpoint_path: only these"),
    ("stages.model.augmentation", "lihgt", "Did you mean 'light'?"),
    ("stages.model.mirrored", "[keypoint]", "Did you mean 'keypoints'?"),
    ("stages.model.optimizer", "{lr: 1}", "Did you mean 'optimiser'?"),
    ("stages.scores.benchmark", "300v", "Did you mean '300w'?"),
    ("stages.scores.detector", "fna", "Did you mean 'fan'?"),
    ("stages.scores.splits", "[comon]", "Did you mean 'common'?"),
    ("stages.standin.counts", "{afv: 3}", "Did you mean 'afw'?"),
    # what does not fit together
    ("stages.dataset.annotators", "[landmarks]", "stages.model.dataset: the task 'depth' learns from"),
    ("stages.dataset.annotators", "[landmarks, landmarks]", "annotators[1]: 'landmarks' writes"),
    ("stages.unseen.annotators", "[depth]", "stages.standin.dataset: it has no points2d field"),
    ("stages.standin.counts", "{afw: 41}", "41 faces are more than the 40 of the dataset"),
    ("stages.model.dataset", "standin", "is no dataset but a benchmark"),
    ("stages.model.dataset", "[dataset, dataset]", "a dataset is in the list twice"),
    ("stages.model.dataset", "scores", "comes later"),
    ("stages.model.batch_size", "99", "99 is more than the 98 samples"),
    (
        "stages.model.hardware",
        "{accelerator: gpu}",
        "hardware.accelerator: 'cuda' was asked for; torch sees no CUDA device",
    ),
    ("stages.scores.splits", "[]", "at least one split"),
    ("stages.scores.model", '""', "this key must be given"),
    ("stages.scores.model", '"${"', "stages.scores.model: "),
    ("stages.adapted.benchmark", "{name: lapa, root: .}", "stages.adapted.benchmark_root: this is a stand-in for 300w"),
    ("stages.adapted.train_split", "common", "train_split: fine-tuning does not touch the test split"),
    ("stages.small.model", "adapted", "photographs is not exported"),
    ("stages.unseen", "{run: generate, annotators: [depth], filters: [visible]}", "filters[0]: 'visible' reads"),
    ("stages.adapted.with_levels", "true, with_features: false", "with_levels: needs with_features"),
    ("stages.report.evaluations", "[tests]", "tests holds no evaluation"),
    # ranges
    ("stages.dataset.samples", "1e11", "100,000,000,000 is out of range, which is 1 to 100,000,000"),
    ("stages.dataset.resolution", "100000", "100,000 px is out of range, which is 16 to 4,096 px"),
    ("stages.dataset.shard_size", "20001", "20,001 is out of range, which is 1 to 20,000"),
    ("stages.dataset.start", "9223372036854775800", "an index above"),
    ("stages.dataset.depth_scale", "1e-300", "out of range"),
    ("stages.model.epochs", "0", "0 is out of range"),
    ("stages.model.ema", "1", "at least 0 and below 1"),
    (
        "stages.model.augmentation",
        "{policy: light, rotation: 1000}",
        "rotation: 1,000 degrees is out of range",
    ),
    (
        "stages.model.augmentation",
        "{policy: light, blur: [2, 1]}",
        "blur: 2 is out of range, which is 0 to 1",
    ),
    ("stages.adapted.lr", ".inf", "inf is not a finite number"),
    (f"{GENERATOR}.camera.azimuth", "60", "azimuth_degrees: 3,437.75 degrees is out of range, which is -180 to 180"),
    (f"{GENERATOR}.camera.azimuth_degrees", ".nan", "is not a finite number"),
    (f"{GENERATOR}.camera.azimuth_degrees", "{low: 30, high: -30}", "low <= high"),
    (f"{GENERATOR}.glasses.present", "2", "2 is out of range, which is 0 to 1"),
    (f"{GENERATOR}.beard.style", "17", "none, stubble, full, goatee, moustache"),
    (f"{GENERATOR}.head", "{age_low: 0.9, age_high: 0.4}", "head.age_high: 0.4 lies below age_low (0.9)"),
    # types
    ("stages.model.epochs", "three", "a whole number is wanted, not 'three'"),
    ("stages.model.epochs", "1.5", "a whole number is wanted, not 1.5"),
    ("stages.model.ema", "'0.5'", "a number is wanted, not '0.5'; write 0.5 without quotes"),
    ("stages.model.epochs", "1_000", "a whole number is wanted, not '1_000'"),
    ("stages.adapted.with_features", "yes", "true or false is wanted, not 'yes'"),
    ("stages.model.tasks", "null", "a value is wanted, not null"),
    ("stages.model.augmentation", "3", "a policy's name or a mapping is wanted"),
    ("stages.adapted.with_features", "3", "true or false is wanted, not 3"),
    ("stages.scores.splits", "common", "a list is wanted, not 'common'"),
    ("stages.scores.label", "{a: 1}", "a text is wanted, not the mapping {'a': 1}"),
    ("stages.standin.counts", "[3]", "a mapping is wanted, not [3]"),
    (GENERATOR, "[anny]", "a generator is given by its name, or as a mapping"),
    (f"{GENERATOR}.camera", "3", "a mapping of its keys is wanted, not 3"),
    (f"{GENERATOR}.camera.azimuth_degrees", "[]", "a mapping of its keys is wanted, not []"),
    (f"{GENERATOR}.camera.azimuth_degrees", "{low: a, high: b}", "azimuth_degrees.low: a number is wanted, not 'a'"),
    (f"{GENERATOR}.head.gender_beta", "[0.2, 2]", "a number is wanted, not [0.2, 2]"),
]


FILES = {
    "": "a mapping of keys, this is empty",
    "- run: generate": "a mapping of keys, this is a list",
    "stages:\n\tdataset: {run: generate}": "wrong.yaml:2:1: not valid YAML: found character '\\t'",
    "stages: {}\n---\nstages: {}": "expected a single document in the stream",
    "stages: &a {dataset: *a}": "an alias is inside what it refers to",
    "stages: *nope": "undefined alias 'nope'",
    "stages: !!python/name:os.system": "could not determine a constructor",
    "stages:": "stages: a pipeline needs at least one stage",
    "stages: {a: generate}": "stages.a: a stage is a mapping with the key 'run'",
    "stages: {a: {<<: generate}}": "expected a mapping or list of mappings for merging",
    "benchmark: {a: '${benchmark.a}'}": "benchmark.a: Recursive interpolation",
    "stages: {a: {run: generate, start: '${defaults.first}'}}": "Interpolation key 'defaults.first' not found",
    "stages: {..: {run: generate}}": "a stage's name becomes a folder",
    "seed: true\nstages: {a: {run: generate}}": "seed: a whole number from 0 on, got True",
}


def written(key: str, value: str) -> str:
    """The pipeline with a key set to a text of YAML, whatever that is."""
    tree = yaml.safe_load(PIPELINE)
    *above, last = key.split(".")
    node = tree
    for name in above:
        node = node[name]
    node[last] = "VALUE"
    return yaml.safe_dump(tree, sort_keys=False, default_flow_style=True, width=10_000).replace("VALUE", value)


@pytest.mark.parametrize(("key", "value", "told"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_it_is_answered_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], key: str, value: str, told: str
) -> None:
    (tmp_path / "ends.py").write_text("import sys; sys.exit(3)")
    (tmp_path / "leaves.py").write_text("import os; os._exit(0)")
    path, out = tmp_path / "wrong.yaml", tmp_path / "out"
    path.write_text(written(key, value))
    monkeypatch.delenv("SYNTHFORGE_TRACEBACK", raising=False)
    for name in ("stdout", "stderr", "argv"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    answers = []
    for command in ("check", "run"):
        sys.argv = ["synthforge", command, str(path), "--out", str(out)]
        with pytest.raises(SystemExit) as caught:
            main()
        answers.append(capfd.readouterr().err)
        assert caught.value.code == 2, answers
    assert answers[0].count("error: ") == 1
    assert answers[0].partition("error: ")[2] == answers[1].partition("error: ")[2]
    assert str(path) in answers[0]
    assert told in answers[0].replace("\n  ", " ")
    named_elsewhere = told.startswith("stages.") or "YAML" in told or "duplicate" in told or key.endswith(".azimuth")
    assert key in answers[0] or named_elsewhere
    assert not out.exists()


@pytest.mark.parametrize(("text", "told"), [*FILES.items(), ("Grüße".encode("latin-1"), "is not UTF-8 text: byte 3")])
def test_a_file_that_is_no_pipeline(tmp_path: Path, text: str | bytes, told: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path, KINDS)
    assert str(path) in caught.value.message
    assert told in caught.value.message


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_folder_that_cannot_be_made_and_a_damaged_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    for name in ("stdout", "stderr", "argv"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    (path := tmp_path / "right.yaml").write_text(PIPELINE)
    (tmp_path / "out/model").mkdir(parents=True)
    (tmp_path / "out/model/.stage.json").write_text("garbage")
    for out, told in (
        (path / "in a file", f"{path} cannot be written"),
        (tmp_path / "out", f"mv {tmp_path}/out/model {tmp_path}/out/model.aside"),
    ):
        sys.argv = ["synthforge", command, str(path), "--out", str(out)]
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        assert told in capfd.readouterr().err
