"""A stage of a pipeline: its context, what it promises, and running it unless its result is up to date."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import DataError
from .parts import Part
from .plugins import Plugins
from .provenance import (
    PREVIOUS,
    STATE_FILE,
    bring_back,
    changes,
    damaged,
    digest,
    entries,
    fits,
    kept_results,
    outputs,
    read_state,
    set_aside,
    write_state,
)
from .records import Field
from .scratch import fetched, working_folder


@dataclass(frozen=True)
class Promise:
    """What a stage will produce, known before it runs.

    what: `dataset`, `model`, `benchmark`, `evaluation` or `report`; fields and samples of a dataset, samples None where
    filters decide; tasks of a model, by name as in the YAML, its network, and whether it was trained on photographs;
    layout: the benchmark whose layout a stand-in has.
    """

    what: str
    fields: Mapping[str, Field] = field(default_factory=dict)
    samples: int | None = None
    tasks: Mapping[str, Any] = field(default_factory=dict)
    network: Any = None
    photographs: bool = False
    layout: str = ""


@dataclass(frozen=True)
class StageContext:
    """What a stage receives besides its configuration.

    - out: its output folder; previous: where its older results are set aside; base: the pipeline's folder;
    - inputs: folders that it reads, by configuration key, those of a list as `key.0`, `key.1` ...;
    - part: of the dataset's shards, where other processes make the others;
    - promised: what those inputs that are stages will produce;
    - seed: the pipeline's; where: file and YAML path for messages;
    - finished: a result of exactly this configuration exists, so that slow checks were made before.
    """

    name: str
    out: Path
    previous: Path
    inputs: Mapping[str, Path]
    plugins: Plugins
    plugin_files: tuple[str, ...]
    base: Path
    seed: int
    where: str
    say: Callable[[str], None]
    promised: Mapping[str, Promise] = field(default_factory=dict)
    part: Part | None = None
    finished: bool = False


@dataclass(frozen=True)
class StageKind:
    """A kind of stage.

    inputs: configuration keys that name an earlier stage or a folder. plugins: keys that name a plugin, or a list of
    them, with its kind; they are bound when the pipeline is read (`core.references.bind_keys`). check: called for every
    stage, in order, before the first one runs. promise: then returns what the stage will produce. lacks: then called
    for every stage, returns what is missing on this machine, so that all of it is reported at once. outside: a digest
    of what the stage reads outside the run. mends: the stage can make single missing files again; else a damaged result
    is made again as a whole. loose: patterns of files that may be missing (logs). spreads: whether a configuration lets
    several processes, such as those of torchrun, work on the stage together. direct: for a stage that writes to an
    object store itself, through `core.files`; it returns the checksums in the result's own records. Any other stage
    works in a local folder that is uploaded (`core.scratch`). local: inputs that are downloaded from a store, since
    they are read as files.
    """

    name: str
    config: type
    run: Callable[[StageContext, Any], None]
    inputs: tuple[str, ...] = ()
    plugins: Mapping[str, str] = field(default_factory=dict)
    check: Callable[[StageContext, Any], None] | None = None
    promise: Callable[[StageContext, Any], Promise] | None = None
    outside: Callable[[StageContext, Any], Any] | None = None
    lacks: Callable[[StageContext, Any], Sequence[str]] | None = None
    mends: bool = False
    loose: tuple[str, ...] = ()
    spreads: Callable[[Any], bool] = lambda config: False
    direct: Callable[[Path], Mapping[str, str]] | None = None
    local: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage of a pipeline, checked."""

    name: str
    kind: StageKind
    config: Any
    where: str

    @property
    def spreads(self) -> bool:
        """Whether several processes work on it together."""
        return self.kind.spreads(self.config)

    @property
    def references(self) -> dict[str, str]:
        """Its inputs as in the YAML: stages or folders by key, for a list by `key.0`, `key.1` ..."""
        found: dict[str, str] = {}
        for key in self.kind.inputs:
            value = getattr(self.config, key)
            if isinstance(value, (list, tuple)):
                found.update({f"{key}.{index}": str(item) for index, item in enumerate(value)})
            elif value:
                found[key] = str(value)
        return found


@dataclass
class StageResult:
    """The outcome of a stage: `done` (ran now), `part done`, `up to date` or `would run`, its folder and fingerprint.

    reason: why it ran or would run.
    """

    name: str
    kind: str
    status: str
    out: Path
    fingerprint: str
    seconds: float = 0.0
    reason: str = field(default="")


def wait_for(results: Mapping[Path, str]) -> None:
    """Return when the stages with these folders and fingerprints are done; those without a fingerprint are."""
    for folder, fingerprint in results.items():
        while fingerprint and not _is_done(folder, fingerprint):
            time.sleep(0.5)


def _is_done(folder: Path, fingerprint: str) -> bool:
    state = read_state(folder)
    return state is not None and state["state"] == "done" and state["fingerprint"] == fingerprint


@dataclass
class StageRun:
    """One stage and its folder: what it holds, whether that is valid, and what to do.

    state: of the result in the folder; gone: which of its files are missing or damaged; check: by their checksums.
    """

    stage: Stage
    context: StageContext
    facts: dict[str, Any]
    state: dict[str, Any] | None
    gone: list[str]
    check: bool

    @staticmethod
    def of(stage: Stage, context: StageContext, facts: dict[str, Any], check: bool) -> StageRun:
        made = StageRun(stage, context, facts, None, [], check)
        made.look()
        return made

    def look(self) -> None:
        """Read the state of the folder."""
        self.state = state = read_state(self.context.out)
        done = state is not None and state["state"] == "done"
        self.gone = damaged(self.context.out, state.get("outputs", {}), content=self.check) if state and done else []

    @property
    def fits(self) -> bool:
        return fits(self.state, self.facts, self.stage.config)

    @property
    def fingerprint(self) -> str:
        """The recorded one if the result is valid, so that later stages made from it stay valid."""
        return str(self.state["fingerprint"]) if self.state and self.fits else digest(self.facts)

    def planned(self) -> StageResult:
        """Status and reason of the stage as a run would report them."""
        name, kind, state = self.stage.name, self.stage.kind.name, self.state
        result = StageResult(name, kind, "would run", self.context.out, self.fingerprint)
        if state is None:
            result.reason = "starting"
        elif not self.fits:
            result.reason = f"running again ({changes(state.get('facts') or {}, self.facts)} changed)"
        elif state["state"] != "done":
            result.reason = "resuming"
        elif self.gone:
            more = f" and {len(self.gone) - 3} more" if len(self.gone) > 3 else ""
            result.reason = f"missing or damaged: {', '.join(self.gone[:3])}{more}; making them again"
        else:
            result.status = "up to date"
        return result

    def run(self) -> StageResult:
        """Set aside an invalid result, run the stage unless it is up to date, and record the result."""
        context = self.context
        if self.state is not None and self.fits:
            for place in self._kept():  # a killed run left a part of this result
                if not (place / STATE_FILE).exists() and place.name.startswith(self._aside("").name):
                    bring_back(place, context.out)
            self.look()
        result = self.planned()
        if result.status != "up to date":
            result.reason += self._make_room()
            result.status = self.planned().status
        context.say(f"{result.name} ({result.kind}): {result.reason or result.status}")
        if result.status == "up to date":
            return result
        record = {"stage": result.name, "kind": result.kind, "fingerprint": result.fingerprint, "facts": self.facts}
        write_state(context.out, {**record, "state": "running"})
        begin = time.monotonic()
        try:
            made = self._make()
        finally:
            if gone := not (context.out / STATE_FILE).exists():  # so that the next run resumes from this folder
                write_state(context.out, {**record, "state": "running"})
        result.seconds = time.monotonic() - begin
        result.status = "done"
        if gone:
            raise DataError(f"{context.out} was deleted while the stage ran", hint="Run the same command again.")
        seconds = round(result.seconds, 3)
        write_state(context.out, {**record, "state": "done", "seconds": seconds, "outputs": made})
        context.say(f"{result.name}: done in {result.seconds:.1f} s -> {context.out}")
        return result

    def _make(self) -> dict[str, list[Any]]:
        """Run the stage itself; size and checksum of what it made."""
        context, kind = self.context, self.stage.kind
        if kind.direct:
            kind.run(context, self.stage.config)
            return outputs(context.out, loose=kind.loose, known=kind.direct(context.out))
        with (
            working_folder(context.out, (STATE_FILE, PREVIOUS), kind.loose) as folder,
            fetched(context.inputs, kind.local) as inputs,
        ):
            kind.run(dataclasses.replace(context, out=folder, inputs=inputs), self.stage.config)
            return outputs(folder, loose=kind.loose)

    def run_part(self) -> StageResult:
        """Run this process's part of the stage; others run theirs. Nothing is set aside, and the stage is not recorded
        as finished.

        Raises DataError when the folder holds a result of another configuration.
        """
        context, result = self.context, self.planned()
        if self.state is not None and not self.fits:
            raise DataError(
                f"{context.out} was made differently ({changes(self.state.get('facts') or {}, self.facts)} changed)",
                hint="Choose another --out. Without --shards, the old result is set aside.",
            )
        context.say(f"{result.name} ({result.kind}), shards {context.part}: {result.reason or result.status}")
        if result.status == "up to date":
            return result
        record = {"stage": result.name, "kind": result.kind, "fingerprint": result.fingerprint, "facts": self.facts}
        write_state(context.out, {**record, "state": "running"})  # all parts write the same
        begin = time.monotonic()
        self.stage.kind.run(context, self.stage.config)
        result.seconds = time.monotonic() - begin
        result.status = "part done"
        return result

    def join(self) -> StageResult:
        """Take part in a stage whose first process sets aside old results and records the new one."""
        result = self.planned()
        if result.status != "up to date" and not any(map(self._suits, self._kept())):
            self.stage.kind.run(self.context, self.stage.config)
            result.status = "done"
        return result

    def _make_room(self) -> str:
        """Set aside an invalid or damaged result and restore a valid one; returns a text about it."""
        out, text = self.context.out, ""
        if self.gone and self.stage.kind.mends and self.fits:
            set_aside(out, self.gone, self._aside("damaged."), last=self.gone[-1])
            return text
        if self.state is not None and (self.gone or not self.fits):
            place = set_aside(out, entries(out), self._aside("damaged." if self.fits else ""))
            text = f"; the old result is in {place}, {len(self._kept())} kept there"
            self.look()
        if self.state is None:
            for place in self._kept():
                if not place.name.startswith(f"{out.name}.damaged.") and self._suits(place):
                    bring_back(place, out)
                    self.look()
                    return f"{text}; an earlier result of this configuration was restored"
        return text

    def _aside(self, what: str) -> Path:
        """Where the result in the folder is moved when it is set aside."""
        assert self.state is not None
        return self.context.previous / f"{self.context.out.name}.{what}{self.state['fingerprint'][:8]}"

    def _kept(self) -> list[Path]:
        return kept_results(self.context.out, self.context.previous)

    def _suits(self, place: Path) -> bool:
        with suppress(DataError):
            state = read_state(place)
            if state is not None and state.get("stage", self.stage.name) == self.stage.name:
                whole = not damaged(place, state.get("outputs", {}), content=self.check)
                return whole and fits(state, self.facts, self.stage.config)
        return False
