"""Pipelines: stages read from YAML, fingerprinted, and run once.

A stage's fingerprint covers its configuration, the fingerprints of its inputs, the data outside the run it reads, and
the versions that made it. A second run does nothing; a changed key reruns what depends on it and no more; an
interrupted run resumes. Results that no longer fit are set aside in `.previous/`, each under its own name, and are
restored if the old configuration is run again. A finished result counts only while all of its files exist
(`core.provenance`).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import events
from .config import apply_overrides, build_config, read_yaml, resolve, unknown_key
from .environment import hidden_data
from .errors import AssetError, ConfigError, DataError, PluginError, did_you_mean
from .files import sha256_of
from .locks import check_writable, locked
from .machine import check_config
from .parts import Part
from .plugins import Plugins, load_plugins
from .provenance import PREVIOUS, STATE_FILE, counted, damaged, digest, entries, folder_digest, read_state, way_out
from .ranks import launched
from .references import bind_keys
from .shipped import given_folder
from .stage import Promise as Promise
from .stage import Stage, StageRun, wait_for
from .stage import StageContext as StageContext
from .stage import StageKind as StageKind
from .stage import StageResult as StageResult
from .storage import is_remote, place
from .versions import versions

TOP_KEYS = ("description", "seed", "plugins", "environment", "benchmark", "benchmarks", "defaults", "stages")
LONGEST = 200  # bytes of a stage's name: results set aside get a suffix, and file systems allow 255


@dataclass(frozen=True)
class Pipeline:
    """A pipeline read from YAML: its stages in order, its seed and its plugin files."""

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
                wanted += [ref for ref in by_name[name].references.values() if ref in by_name]
        return dataclasses.replace(self, stages=tuple(s for s in self.stages if s.name in keep))


def load_pipeline(path: Path, kinds: Mapping[str, StageKind], *, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a pipeline and check every key of every stage. Raises ConfigError or PluginError, with the YAML path."""
    raw = read_yaml(path)
    data = resolve(apply_overrides(raw, overrides, file=str(path)), source=str(path))
    return make_pipeline(data, kinds, source=str(path), base=path.resolve().parent)


def make_pipeline(data: Mapping[str, Any], kinds: Mapping[str, StageKind], *, source: str, base: Path) -> Pipeline:
    """A pipeline from the data in its file. source: what messages call it; base: where plugin files are looked for.

    Raises as `load_pipeline` does.
    """
    for key in data:
        if key not in TOP_KEYS:
            raise unknown_key(key, TOP_KEYS, f"{source}:")
    stages_data = data.get("stages")
    if not isinstance(stages_data, dict) or not stages_data:
        raise ConfigError(f"{source}: stages: a pipeline needs at least one stage, as a mapping of names")
    seed = data.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"{source}: seed: a whole number from 0 on, got {seed!r}")
    files = data.get("plugins") or []
    if not isinstance(files, list) or not all(isinstance(item, str) for item in files):
        raise ConfigError(f"{source}: plugins: a list of files or modules, got {files!r}")
    description = data.get("description") or ""
    if not isinstance(description, (str, int, float)):
        raise ConfigError(f"{source}: description: a text, got {description!r}")
    try:
        plugins = load_plugins(files, base=base)
    except PluginError as error:
        raise PluginError(f"{source}: {error.message}", hint=error.hint) from None
    stages = tuple(_read_stage(str(n), v, kinds, f"{source}: stages.{n}") for n, v in stages_data.items())
    _check_references(stages)
    for stage in stages:
        bind_keys(stage.config, stage.kind.plugins, plugins, stage.where)
    return Pipeline(source, base, str(description), seed, tuple(files), plugins, stages)


def _read_stage(name: str, data: Any, kinds: Mapping[str, StageKind], where: str) -> Stage:
    if not isinstance(data, dict) or "run" not in data:
        raise ConfigError(f"{where}: a stage is a mapping with the key 'run'", hint=f"One of: {', '.join(kinds)}.")
    if not name or name.startswith(".") or "/" in name or "\0" in name or len(name.encode()) > LONGEST:
        raise ConfigError(f"{where}: a stage's name becomes a folder: 1 to {LONGEST} bytes, no '/' and no leading '.'")
    run = data["run"]
    kind = kinds.get(run) if isinstance(run, str) else None
    if kind is None:
        raise ConfigError(f"{where}.run: there is no stage {run!r}", hint=did_you_mean(run, kinds))
    values = {str(key): value for key, value in data.items() if key != "run"}
    return Stage(name, kind, build_config(kind.config, values, where=where), where)


def _check_references(stages: Sequence[Stage]) -> None:
    names = [stage.name for stage in stages]
    for position, stage in enumerate(stages):
        for key, reference in stage.references.items():
            if reference in names[:position] or given_folder(reference):
                continue
            if reference == stage.name:
                raise ConfigError(f"{stage.where}.{key}: the stage names itself; name an earlier one or a folder")
            if reference in names:
                raise ConfigError(f"{stage.where}.{key}: the stage '{reference}' comes later; move it before this one")
            raise ConfigError(
                f"{stage.where}.{key}: '{reference}' is not an earlier stage, a folder or a shipped model",
                hint=did_you_mean(reference, names[:position], "Earlier stages"),
            )


def run_pipeline(
    pipeline: Pipeline,
    out: Path,
    *,
    say: Callable[[str], None] = print,
    folders: Mapping[str, Path] | None = None,
    check: bool = False,
    dry: bool = False,
    part: Part | None = None,
) -> list[StageResult]:
    """Run every stage that is not up to date, in order, each into `out/NAME` (or the folder given by name).

    Everything that can be checked is checked before the first stage starts. check: compare the checksums of finished
    files, not only their sizes. dry: only report what would run and why; nothing is written. part: of the shards of one
    generate stage; several processes may write their parts to one folder.

    Of processes that a launcher started together for a stage that spreads over them, the first does everything; the
    others wait for its results and take part in such stages alone.
    """
    if follows := not dry and _follows(pipeline):
        say = _silent
        os.environ.pop(events.METRICS, None)  # the first process writes that file
    contexts: dict[str, StageContext] = {}
    promises: dict[str, Promise] = {}
    check_writable(out)
    if is_remote(out) and launched() is not None and any(stage.spreads for stage in pipeline.stages):
        raise ConfigError(
            f"--out {out}: several processes train together in a folder that all of them see, not in a store",
            hint="Choose a shared folder as --out; datasets may lie in a store.",
        )
    for stage in pipeline.stages:
        known = {key: promises[name] for key, name in stage.references.items() if name in promises}
        context = dataclasses.replace(_context(pipeline, stage, out, folders or {}, say), promised=known, part=part)
        contexts[stage.name] = context
        _check_free(context.out)
        if not context.finished:  # finished results may come from another machine
            check_config(stage.config, stage.where, made=[key.removesuffix("_root") for key in known])
        if stage.kind.check is not None:
            stage.kind.check(context, stage.config)
        if stage.kind.promise is not None:
            promises[stage.name] = stage.kind.promise(context, stage.config)
    _check_lacking(pipeline, contexts)
    fingerprints: dict[str, str] = {}
    results = []
    with nullcontext() if dry or follows else locked(out, shared=part is not None):
        for stage in pipeline.stages:
            context = contexts[stage.name]
            events.enter(stage.name)
            with nullcontext() if dry or follows or context.out == out else locked(context.out):
                facts = _facts(pipeline, stage, context, fingerprints)
                if joins := follows and stage.spreads:
                    wait_for({context.inputs[k]: fingerprints.get(name, "") for k, name in stage.references.items()})
                ready = StageRun.of(stage, context, facts, check)
                if joins:
                    result = ready.join()
                elif dry or follows:
                    result = ready.planned()
                else:
                    result = ready.run_part() if part else ready.run()
            fingerprints[stage.name] = result.fingerprint
            results.append(result)
            seconds = round(result.seconds, 3)
            events.event("stage", kind=result.kind, status=result.status, seconds=seconds, folder=str(result.out))
    return results


def _follows(pipeline: Pipeline) -> bool:
    """Whether a launcher started this process beside a first one, to work on a stage together."""
    started = launched()
    return started is not None and started.rank > 0 and any(stage.spreads for stage in pipeline.stages)


def _silent(text: str) -> None:
    pass


def _check_free(out: Path) -> None:
    """Raise DataError for a folder with files that were not made by a stage."""
    if entries(out) and read_state(out) is None:
        raise DataError(
            f"{out} is not empty and was not made by a stage: it has no {STATE_FILE}",
            hint=f"Choose another --out. {way_out(out)}",
        )


def _finished(stage: Stage, out: Path) -> bool:
    """Whether the folder holds a finished result of exactly this configuration."""
    state = read_state(out) or {}
    facts = state.get("facts")
    config = facts.get("config") if isinstance(facts, Mapping) else None
    return state.get("state") == "done" and digest(config) == digest(hidden_data(_own(stage)))


def _own(stage: Stage) -> dict[str, Any]:
    """What counts of a stage's configuration, without its inputs."""
    return {key: value for key, value in counted(stage.config).items() if key not in stage.kind.inputs}


def _check_lacking(pipeline: Pipeline, contexts: Mapping[str, StageContext]) -> None:
    """Raise AssetError that lists every missing file once, with the stages that need it."""
    found: dict[str, list[str]] = {}
    for stage in pipeline.stages:
        for text in stage.kind.lacks(contexts[stage.name], stage.config) if stage.kind.lacks else ():
            found.setdefault(text, []).append(stage.name)
    if found:
        rows = "\n".join(f"- {text} [stages: {', '.join(names)}]" for text, names in found.items())
        raise AssetError(
            f"{pipeline.source}: {len(found)} file{'s' * (len(found) > 1)} missing; nothing was started\n{rows}",
            hint="`synthforge assets` lists licensed files, their sources and the folders that are searched.",
        )


def _context(
    pipeline: Pipeline, stage: Stage, out: Path, folders: Mapping[str, Path], say: Callable[[str], None]
) -> StageContext:
    names = {other.name for other in pipeline.stages}
    inputs = {
        key: folders.get(ref, out / ref) if ref in names else given_folder(ref) or place(ref)
        for key, ref in stage.references.items()
    }
    return StageContext(
        name=stage.name,
        out=folders.get(stage.name, out / stage.name),
        previous=out / PREVIOUS,
        inputs=inputs,
        plugins=pipeline.plugins,
        plugin_files=pipeline.plugin_files,
        base=pipeline.base,
        seed=pipeline.seed,
        where=stage.where,
        say=say,
        finished=_finished(stage, folders.get(stage.name, out / stage.name)),
    )


def _given(folder: Path, where: str) -> str:
    """The fingerprint of a folder that no stage of this run makes. Raises DataError when files of it are missing."""
    state = read_state(folder)
    if state is None:
        return folder_digest(folder)
    gone = damaged(folder, state.get("outputs", {}))
    if gone:
        raise DataError(
            f"{where}: {folder} is incomplete: {', '.join(gone[:3])} missing or of another size",
            hint="Run the pipeline that made it again: it restores what is missing.",
        )
    return str(state["fingerprint"])


def _facts(pipeline: Pipeline, stage: Stage, context: StageContext, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    inputs = {}
    for key, reference in stage.references.items():
        if reference in fingerprints:
            inputs[key] = fingerprints[reference]
        else:
            inputs[key] = _given(given_folder(reference) or place(reference), f"{stage.where}.{key}")
    files = {ref: sha256_of(pipeline.base / ref) for ref in pipeline.plugin_files if ref.endswith(".py")}
    outside = stage.kind.outside(context, stage.config) if stage.kind.outside else None
    facts = {
        "config": _own(stage),
        "seed": pipeline.seed,
        "inputs": inputs,
        "outside": outside,
        "plugin_files": files,
        "versions": versions(),
    }
    shown = hidden_data(facts)  # references, and one digest that changes with any value
    return facts if digest(shown) == digest(facts) else {**shown, "environment": digest(facts)}
