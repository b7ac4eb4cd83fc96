"""The executor `ray`: actors of a Ray cluster, on one machine or many. Each builds the generator once, on its device.

Ray Core alone: actors run shards, and this process keeps the list of what is left. An actor or a node that dies costs
the shards in its hands, which others make again. When this process dies, Ray ends its actors; the same command goes on.
"""

from __future__ import annotations

import logging
import os
import pickle
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthforge.core import events
from synthforge.core.boundary import PluginFault, arrived, carried
from synthforge.core.config import key
from synthforge.core.cores import THREADS, available_cores, one_thread
from synthforge.core.errors import AssetError, DataError, PluginError, SynthForgeError, UserError
from synthforge.core.hookspecs import hookimpl
from synthforge.core.interfaces import Executor, Work

if TYPE_CHECKING:
    from synthforge.core.catalogue import Register

SLOW = 5.0  # seconds: a shard that takes less is no straggler
QUIET = 30.0  # seconds between two lines that say that nothing runs yet


@dataclass
class RayConfig:
    """Ray actors. The stage's `workers` is how many, 0 for as many as the cluster has room for."""

    address: str = key(
        "", "Cluster to join: `auto` or HOST:PORT. Empty: $RAY_ADDRESS, else one that runs here, else a new one."
    )
    cpus: float = key(1.0, "Processor cores of an actor, for Ray's book-keeping; it computes with one thread.", low=0)
    gpus: float = key(0.0, "GPUs of an actor; the generator's own key `device` must say `cuda`.", low=0)
    runtime_env: dict[str, Any] = key({}, "Ray's runtime_env of the actors, as Ray describes it.")
    retries: int = key(3, "How often a shard is tried again, elsewhere if there is an elsewhere.", low=0, high=1000)
    patience: float = key(
        3.0, "A shard is reported, and run by an idle actor as well, after so many times the median.", low=1
    )


class RayExecutor(Executor):
    """Units on Ray actors."""

    def __init__(self, config: RayConfig) -> None:
        try:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning about it
            import ray
        except ImportError as error:
            raise PluginError(
                "the executor 'ray' needs the package ray, which is not installed", hint="pip install 'synthforge[ray]'"
            ) from error
        self.config, self.ray = config, ray

    def run(
        self,
        work: Work,
        units: Sequence[int],
        *,
        workers: int,
        advance: Callable[[int], Any],
        say: Callable[[str], Any],
    ) -> Any:
        """See `Executor.run`. The progress moves shard by shard."""
        if not units:
            return work.open(True)
        started = not self.ray.is_initialized()
        if started:
            self._connect()
        try:
            return _Run(self.ray, self.config, work, units, workers, advance, say).run()
        finally:
            if started:
                self.ray.shutdown()

    def _connect(self) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        address = self.config.address or os.environ.get("RAY_ADDRESS")
        try:
            try:
                self.ray.init(address=address or "auto", **quiet)
            except ConnectionError:
                if address:
                    raise
                self.ray.init(address="local", num_cpus=available_cores(), include_dashboard=False, **quiet)
        except Exception as error:  # Ray raises plain ones where a node does not start in time
            hint = "Start one by `ray start --head`, or leave `address` empty. A busy machine may need a second try."
            if "AuthToken" in str(error):
                hint = "Its nodes ask for a token: set RAY_AUTH_MODE=token for every `ray start` and for this command."
            raise UserError(
                f"cannot join the Ray cluster {address or 'of this machine'}: {' '.join(str(error).split())}", hint=hint
            ) from error


@dataclass
class _Actor:
    """An actor, the node it runs on once it has said, and whether it is the one that fills the caches."""

    handle: Any
    first: bool
    node: str = ""


@dataclass
class _Assignment:
    """What an actor does since a time: a unit, or None while it opens the work."""

    actor: _Actor
    unit: int | None
    since: float


class _Run:
    """One run: what is left, who does what, and what has failed where."""

    def __init__(
        self,
        ray: Any,
        config: RayConfig,
        work: Work,
        units: Sequence[int],
        workers: int,
        advance: Callable[[int], Any],
        say: Callable[[str], Any],
    ) -> None:
        self.ray, self.config, self.work, self.advance, self.say = ray, config, work, advance, say
        self.waiting, self.left = deque(units), set(units)
        self.parcel = ray.put(pickle.dumps(work))
        self.workers = max(1, min(workers or self._room(), len(units)))
        self.actors: list[_Actor] = []
        self.running: dict[Any, _Assignment] = {}
        self.failed: dict[int, list[str]] = defaultdict(list)  # by unit, the nodes it failed on
        self.seconds: list[float] = []
        self.reported: set[int] = set()
        self.made, self.opened, self.losses, self.quiet = None, False, 0, time.monotonic()
        env = dict(config.runtime_env)
        env["env_vars"] = {**env.get("env_vars", {}), **dict.fromkeys(THREADS, "1")}
        self.kind = ray.remote(_Worker).options(
            num_cpus=config.cpus, num_gpus=config.gpus, runtime_env=env, scheduling_strategy="SPREAD", max_restarts=0
        )

    def _room(self) -> int:
        has = self.ray.cluster_resources()
        wants = {"CPU": self.config.cpus, "GPU": self.config.gpus}
        return int(min((has.get(name, 0) / count for name, count in wants.items() if count), default=1))

    def run(self) -> Any:
        """Hand out units until all are done; returns what the first actor made."""
        try:
            for _ in range(self.workers):
                self._hire()
            while self.left:
                ready, _ = self.ray.wait(list(self.running), timeout=1.0)
                for reference in ready:
                    self._settle(self.running.pop(reference), reference)
                self._hand_out()
                self._watch()
            return self.made
        finally:
            for actor in self.actors:
                self.ray.kill(actor.handle)

    def _hire(self) -> None:
        first = not self.opened and not any(actor.first for actor in self.actors)
        actor = _Actor(self.kind.remote(), first)
        self.actors.append(actor)
        self._start(actor, None, actor.handle.open.remote(self.parcel, first))

    def _start(self, actor: _Actor, unit: int | None, reference: Any) -> None:
        self.running[reference] = _Assignment(actor, unit, time.monotonic())

    def _settle(self, task: _Assignment, reference: Any) -> None:
        """Take in what an actor answered, or that it is gone."""
        try:
            what, value = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            self._lost(task, _first_line(error))
            return
        if what == "failed":
            self._failure(task, arrived(*value))
        elif task.unit is None:
            task.actor.node, made = value
            self.losses = 0
            if task.actor.first:
                self.made, self.opened = made, True
        elif task.unit in self.left:  # else another actor was faster
            self.left.discard(task.unit)
            self.losses = 0
            self.seconds.append(time.monotonic() - task.since)
            self.advance(self.work.size(task.unit))

    def _lost(self, task: _Assignment, reason: str) -> None:
        """An actor is gone: another takes its place, and the unit is tried again."""
        self.actors.remove(task.actor)
        self.ray.kill(task.actor.handle)
        self.losses += 1
        if task.unit is not None:
            self._again(task, SynthForgeError(f"its worker was lost ({reason})"))
        elif self.losses > self.config.retries + self.workers:
            raise SynthForgeError(
                f"{self.losses} Ray actors in a row were lost before they had finished anything: {reason}",
                hint="Ray's own logs say more: /tmp/ray/session_latest/logs on each node. Finished shards are kept.",
            )
        self._hire()

    def _failure(self, task: _Assignment, error: Exception) -> None:
        """What a unit or an opening raised. What would be the same everywhere ends the run."""
        same = isinstance(error, (UserError, PluginFault)) and not isinstance(error, (DataError, AssetError))
        if task.unit is not None:
            if same:
                raise error
            self._again(task, error)
            return
        self.actors.remove(task.actor)
        self.ray.kill(task.actor.handle)
        self.losses += 1
        if not self.actors or self.losses > self.config.retries + self.workers:
            raise error
        self.say(f"  a worker is left out: {_first_line(error)}")
        if task.actor.first:  # its duty is another's now
            self._hire()

    def _again(self, task: _Assignment, error: Exception) -> None:
        """Put a unit back, or give up when it has failed too often."""
        assert task.unit is not None
        if task.unit not in self.left or any(other.unit == task.unit for other in self.running.values()):
            return  # another actor has it
        nodes = self.failed[task.unit]
        nodes.append(task.actor.node)
        where = f"shard {task.unit} on node {task.actor.node[:8]}"
        if len(nodes) > self.config.retries:
            if isinstance(error, UserError):
                raise error
            raise SynthForgeError(
                f"{where} failed {len(nodes)} times, last: {_first_line(error)}",
                hint="Run the same command again: it goes on with the shards that are missing.",
            ) from error
        self.say(f"  {where}: {_first_line(error)}; tried again, {len(nodes)} of {self.config.retries}")
        self.waiting.appendleft(task.unit)
        events.figure("retries", sum(map(len, self.failed.values())))

    def _hand_out(self) -> None:
        """Give every idle actor a unit: one that waits and has not failed on its node, else a straggler's."""
        busy = {id(task.actor) for task in self.running.values()}
        nodes = {actor.node for actor in self.actors if actor.node}
        for actor in self.actors if self.opened else []:
            if id(actor) in busy or not actor.node:
                continue
            free = (u for u in self.waiting if actor.node not in self.failed[u] or nodes <= set(self.failed[u]))
            unit = next(free, None)
            if unit is not None:
                self.waiting.remove(unit)
            else:
                unit = next((task.unit for task in self._stragglers() if self._alone(task)), None)
            if unit is not None:
                self._start(actor, unit, actor.handle.run.remote(unit))
        events.figure("queue", len(self.waiting))

    def _alone(self, task: _Assignment) -> bool:
        return sum(other.unit == task.unit for other in self.running.values()) == 1

    def _stragglers(self) -> list[_Assignment]:
        usual = statistics.median(self.seconds) if self.seconds else float("inf")
        limit, now = max(SLOW, self.config.patience * usual), time.monotonic()
        return [task for task in self.running.values() if task.unit in self.left and now - task.since > limit]

    def _watch(self) -> None:
        """Say what takes long: a unit, or the cluster that has no room."""
        now = time.monotonic()
        for task in self._stragglers():
            if task.unit is not None and task.unit not in self.reported:
                self.reported.add(task.unit)
                usual = statistics.median(self.seconds)
                self.say(
                    f"  shard {task.unit} on node {task.actor.node[:8]} takes long: {now - task.since:.0f} s so far, "
                    f"usual are {usual:.1f} s"
                )
        if any(actor.node for actor in self.actors):
            self.quiet = now
        elif now - self.quiet > QUIET:
            self.quiet = now
            has = {name: value for name, value in self.ray.cluster_resources().items() if name in ("CPU", "GPU")}
            self.say(
                f"  no Ray actor is ready yet: they load the generator, or wait for room; each wants "
                f"{self.config.cpus:g} CPU and {self.config.gpus:g} GPU, the cluster has {has}"
            )


class _Worker:
    """The actor: it opens the work once and runs units; exceptions are answers, so that they arrive as they are."""

    def open(self, parcel: bytes, first: bool) -> tuple[str, Any]:
        import ray

        one_thread(always=True)  # before torch loads
        try:
            self.work: Work = pickle.loads(parcel)  # made by the driver of this very job; no foreign bytes
            return "made", (ray.get_runtime_context().get_node_id(), self.work.open(first))
        except Exception as error:  # a plugin may raise anything; the driver tells it
            return "failed", carried(error)

    def run(self, unit: int) -> tuple[str, Any]:
        try:
            self.work.run(unit, lambda count: None)
        except Exception as error:
            return "failed", carried(error)
        return "done", None


def _first_line(error: Exception) -> str:
    text = error.message if isinstance(error, SynthForgeError) else str(error)
    return " ".join((text.strip().splitlines() or [type(error).__name__])[0].split())


@hookimpl
def register_executors(register: Register) -> None:
    """Offer the executor `ray`."""
    register(
        "ray",
        RayExecutor,
        config=RayConfig,
        summary="actors of a Ray cluster; what a lost worker or node had in hand is made again elsewhere",
    )
