"""Pipelines: stages read from YAML, fingerprinted, and run once.

A stage's fingerprint covers its configuration, the fingerprints of its inputs, the data outside the run it reads, and
the versions that made it. A second run does nothing; a changed key reruns what depends on it and no more; an
interrupted run goes on where it stopped. Results that no longer fit are set aside in `.previous/`, never deleted
unseen, and come back if the old configuration does.
"""

from __future__ import annotations

import dataclasses
import difflib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import apply_overrides, build_config, read_yaml, resolve, unknown_key
from .errors import AssetError, ConfigError, DataError, UserError
from .files import write_json
from .plugins import Plugins, load_plugins
from .shipped import given_folder
from .versions import versions

STATE_FILE = ".stage.json"
PREVIOUS = ".previous"
TOP_KEYS = ("description", "seed", "plugins", "benchmark", "benchmarks", "defaults", "stages")


@dataclass(frozen=True)
class StageContext:
    """What a stage is given besides its configuration.

    out: its own folder; inputs: folders of the stages (or of the user's) it reads, by configuration key, a list key as
    `key.0`, `key.1` ...; seed: the pipeline's; where: file and YAML path for messages; base: the pipeline's folder.
    """

    name: str
    out: Path
    inputs: Mapping[str, Path]
    plugins: Plugins
    plugin_files: tuple[str, ...]
    base: Path
    seed: int
    where: str
    say: Callable[[str], None]


@dataclass(frozen=True)
class StageKind:
    """A kind of stage.

    inputs: configuration keys that name an earlier stage or a folder; neutral: keys that do not change the result;
    check: called for every stage before the first one runs; lacks: then called for every stage, says what is missing
    on this machine, so that all of it can be named at once; outside: a digest of what the stage reads outside the run;
    newer: keys that came with a later release, which stay out of the fingerprint at their default, so that older
    results keep fitting.
    """

    name: str
    config: type
    run: Callable[[StageContext, Any], None]
    inputs: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    check: Callable[[StageContext, Any], None] | None = None
    outside: Callable[[StageContext, Any], Any] | None = None
    lacks: Callable[[StageContext, Any], Sequence[str]] | None = None
    newer: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline, checked."""

    name: str
    kind: StageKind
    config: Any
    where: str


@dataclass(frozen=True)
class Pipeline:
    """A pipeline read from YAML: its stages in order, its seed and the plugins it brings along."""

    source: str
    base: Path
    description: str
    seed: int
    plugin_files: tuple[str, ...]
    plugins: Plugins
    stages: tuple[Stage, ...]

    def only(self, kinds: Sequence[str]) -> Pipeline:
        """The pipeline cut down to the stages of the given kinds and all they depend on."""
        by_name = {stage.name: stage for stage in self.stages}
        wanted = [stage.name for stage in self.stages if stage.kind.name in kinds]
        if not wanted:
            raise ConfigError(f"{self.source}: no stage runs {' or '.join(kinds)}")
        keep: set[str] = set()
        while wanted:
            name = wanted.pop()
            if name not in keep:
                keep.add(name)
                wanted += [ref for ref in _references(by_name[name]).values() if ref in by_name]
        return dataclasses.replace(self, stages=tuple(s for s in self.stages if s.name in keep))


@dataclass
class StageResult:
    """What became of a stage: `done` (ran now) or `up to date`, its folder, fingerprint and seconds."""

    name: str
    kind: str
    status: str
    out: Path
    fingerprint: str
    seconds: float = 0.0
    reason: str = field(default="")


def load_pipeline(path: Path, kinds: Mapping[str, StageKind], *, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline and check every key of every stage. Raises ConfigError or PluginError, with the YAML path."""
    raw = read_yaml(path)
    data = resolve(apply_overrides(raw, overrides), source=str(path))
    for key in data:
        if key not in TOP_KEYS:
            raise unknown_key(key, TOP_KEYS, f"{path}:")
    stages_data = data.get("stages")
    if not isinstance(stages_data, dict) or not stages_data:
        raise ConfigError(f"{path}: stages: a pipeline needs at least one stage, as a mapping of names")
    seed = data.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"{path}: seed: a whole number from 0 on, got {seed!r}")
    files = data.get("plugins") or []
    if not isinstance(files, list) or not all(isinstance(item, str) for item in files):
        raise ConfigError(f"{path}: plugins: a list of files or modules, got {files!r}")
    base = path.resolve().parent
    plugins = load_plugins(files, base=base)
    stages = tuple(_read_stage(str(n), v, kinds, f"{path}: stages.{n}") for n, v in stages_data.items())
    _check_references(stages)
    return Pipeline(str(path), base, str(data.get("description", "")), seed, tuple(files), plugins, stages)


def _read_stage(name: str, data: Any, kinds: Mapping[str, StageKind], where: str) -> Stage:
    if not isinstance(data, dict) or "run" not in data:
        raise ConfigError(f"{where}: a stage is a mapping with the key 'run'", hint=f"One of: {', '.join(kinds)}.")
    if name.startswith(".") or "/" in name:
        raise ConfigError(f"{where}: a stage's name becomes a folder: no '/' and no leading '.'")
    kind = kinds.get(data["run"])
    if kind is None:
        near = difflib.get_close_matches(str(data["run"]), kinds, n=1)
        guess = f"Did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"{where}.run: there is no stage '{data['run']}'", hint=f"{guess}Known: {', '.join(kinds)}.")
    values = {str(key): value for key, value in data.items() if key != "run"}
    return Stage(name, kind, build_config(kind.config, values, where=where), where)


def _references(stage: Stage) -> dict[str, str]:
    """Input references of a stage: {key or key.index: stage name or path}."""
    found: dict[str, str] = {}
    for key in stage.kind.inputs:
        value = getattr(stage.config, key)
        if isinstance(value, (list, tuple)):
            found.update({f"{key}.{index}": str(item) for index, item in enumerate(value)})
        elif value:
            found[key] = str(value)
    return found


def _check_references(stages: Sequence[Stage]) -> None:
    names = [stage.name for stage in stages]
    for position, stage in enumerate(stages):
        for key, reference in _references(stage).items():
            if reference in names[:position] or given_folder(reference):
                continue
            if reference in names:
                raise ConfigError(f"{stage.where}.{key}: the stage '{reference}' comes later; move it before this one")
            near = difflib.get_close_matches(reference, names[:position], n=1)
            guess = f"Did you mean '{near[0]}'? " if near else ""
            raise ConfigError(
                f"{stage.where}.{key}: '{reference}' is neither an earlier stage nor a folder nor a shipped model",
                hint=f"{guess}Earlier stages: {', '.join(names[:position]) or 'none'}.",
            )


def run_pipeline(
    pipeline: Pipeline, out: Path, *, say: Callable[[str], None] = print, folders: Mapping[str, Path] | None = None
) -> list[StageResult]:
    """Run every stage that is not up to date, in order, each into `out/NAME` (or the folder given by name).

    Everything that can be checked beforehand is checked before the first stage starts.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _locked(out):
        contexts = {stage.name: _context(pipeline, stage, out, folders or {}, say) for stage in pipeline.stages}
        for stage in pipeline.stages:
            if stage.kind.check is not None:
                stage.kind.check(contexts[stage.name], stage.config)
        _check_lacking(pipeline, contexts)
        fingerprints: dict[str, str] = {}
        results = []
        for stage in pipeline.stages:
            result = _run_stage(pipeline, stage, contexts[stage.name], fingerprints)
            fingerprints[stage.name] = result.fingerprint
            results.append(result)
        return results


def _check_lacking(pipeline: Pipeline, contexts: Mapping[str, StageContext]) -> None:
    """Raise AssetError that names everything any stage lacks, each once, with the stages that need it."""
    found: dict[str, list[str]] = {}
    for stage in pipeline.stages:
        for text in stage.kind.lacks(contexts[stage.name], stage.config) if stage.kind.lacks else ():
            found.setdefault(text, []).append(stage.name)
    if found:
        rows = "\n".join(f"- {text} [stages: {', '.join(names)}]" for text, names in found.items())
        raise AssetError(
            f"{pipeline.source}: {len(found)} file{'s' * (len(found) > 1)} missing; nothing was started\n{rows}",
            hint="`synthforge assets` lists licensed files, where they come from and where we look for them.",
        )


def _context(
    pipeline: Pipeline, stage: Stage, out: Path, folders: Mapping[str, Path], say: Callable[[str], None]
) -> StageContext:
    names = {other.name for other in pipeline.stages}
    inputs = {
        key: folders.get(ref, out / ref) if ref in names else given_folder(ref) or Path(ref)
        for key, ref in _references(stage).items()
    }
    return StageContext(
        name=stage.name,
        out=folders.get(stage.name, out / stage.name),
        inputs=inputs,
        plugins=pipeline.plugins,
        plugin_files=pipeline.plugin_files,
        base=pipeline.base,
        seed=pipeline.seed,
        where=stage.where,
        say=say,
    )


def _run_stage(pipeline: Pipeline, stage: Stage, context: StageContext, fingerprints: Mapping[str, str]) -> StageResult:
    facts = _facts(pipeline, stage, context, fingerprints)
    fingerprint = digest(facts)
    state = read_state(context.out)
    result = StageResult(stage.name, stage.kind.name, "up to date", context.out, fingerprint)
    if state and state["fingerprint"] == fingerprint and state["state"] == "done":
        context.say(f"[bold]{stage.name}[/] ({stage.kind.name}): up to date")
        return result
    result.reason = _make_room(context, fingerprint, facts, state)
    context.say(f"[bold]{stage.name}[/] ({stage.kind.name}): {result.reason}")
    context.out.mkdir(parents=True, exist_ok=True)
    record = {"stage": stage.name, "kind": stage.kind.name, "fingerprint": fingerprint, "facts": facts}
    write_json(context.out / STATE_FILE, {**record, "state": "running"})
    begin = time.monotonic()
    stage.kind.run(context, stage.config)
    result.seconds = time.monotonic() - begin
    result.status = "done"
    write_json(context.out / STATE_FILE, {**record, "state": "done", "seconds": round(result.seconds, 3)})
    context.say(f"[bold]{stage.name}[/]: done in {result.seconds:.1f} s -> {context.out}")
    return result


def _facts(pipeline: Pipeline, stage: Stage, context: StageContext, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    config = {key: value for key, value in _plain(stage.config).items() if key not in stage.kind.neutral}
    for key in stage.kind.inputs:
        config.pop(key, None)
    defaults = {item.name: _default(item) for item in dataclasses.fields(stage.config)}
    for key in stage.kind.newer:
        if config.get(key) == defaults[key]:
            config.pop(key, None)
    inputs = {}
    for key, reference in _references(stage).items():
        if reference in fingerprints:
            inputs[key] = fingerprints[reference]
        else:
            folder = given_folder(reference) or Path(reference)
            state = read_state(folder)
            inputs[key] = state["fingerprint"] if state else folder_digest(folder)
    files = {ref: _file_digest(pipeline.base / ref) for ref in pipeline.plugin_files if ref.endswith(".py")}
    outside = stage.kind.outside(context, stage.config) if stage.kind.outside else None
    return {
        "config": config,
        "seed": pipeline.seed,
        "inputs": inputs,
        "outside": outside,
        "plugin_files": files,
        "versions": versions(),
    }


def _default(item: dataclasses.Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default


def _make_room(
    context: StageContext, fingerprint: str, facts: Mapping[str, Any], state: Mapping[str, Any] | None
) -> str:
    """Set aside a result that does not fit, bring back one that does; say why the stage runs."""
    out = context.out
    if state is None:
        if out.is_dir() and any(out.iterdir()):
            raise DataError(
                f"{out} is not empty and was not made by a stage",
                hint="Choose another --out, or move what lies there.",
            )
        return "starting"
    if state["fingerprint"] == fingerprint:
        return "going on where it stopped"
    previous = out.parent / PREVIOUS / out.name
    old = read_state(previous)
    swap = out.parent / PREVIOUS / f"{out.name}.swap"
    changed = ", ".join(_changes(state.get("facts", {}), facts)) or "something"
    swap.parent.mkdir(exist_ok=True)
    if swap.exists():
        shutil.rmtree(swap)
    os.rename(out, swap)
    if old and old["fingerprint"] == fingerprint:
        os.rename(previous, out)
        os.rename(swap, previous)
        return "going on with an earlier result of this configuration"
    if previous.exists():
        shutil.rmtree(previous)
    os.rename(swap, previous)
    return f"running again ({changed} changed); the old result is in {previous}"


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key in ("config", "inputs", "versions", "plugin_files"):
        before, after = old.get(key) or {}, new.get(key) or {}
        for name in sorted(set(before) | set(after)):
            if before.get(name) != after.get(name):
                yield name if key == "config" else f"{key}.{name}"
    for key in ("seed", "outside"):
        if old.get(key) != new.get(key):
            yield {"outside": "the data read"}.get(key, key)


def read_state(folder: Path) -> dict[str, Any] | None:
    """What stands in a stage folder's state file, or None. Raises DataError when it is not readable."""
    path = folder / STATE_FILE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict) or not {"fingerprint", "state"} <= set(state):
            raise ValueError("keys are missing")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}", hint="Move that folder away and run again.") from error
    return state


def digest(facts: Any) -> str:
    """SHA-256 of plain data."""
    text = json.dumps(facts, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def folder_digest(folder: Path) -> str:
    """A cheap digest of a folder the run did not make: names, sizes and times of its files."""
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}")
    rows = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            info = path.stat()
            rows.append([str(path.relative_to(folder)), info.st_size, info.st_mtime_ns])
    return digest(rows)


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _plain(config: Any) -> dict[str, Any]:
    return dataclasses.asdict(config)


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One run at a time in a folder; the lock goes with the process, however it ends."""
    with open(out / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another run is at work in {out}", hint="Wait for it, or choose another --out.") from None
        yield
