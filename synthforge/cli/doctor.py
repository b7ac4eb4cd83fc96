"""`synthforge doctor`: what this machine can run, and which problems it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..core.boundary import call
from .common import PATH_OR_URL, write_json_to


@dataclass(frozen=True)
class Finding:
    """One line of the report. level: ok, note (something optional is absent) or problem."""

    level: str
    what: str
    detail: str
    hint: str = ""


def _python() -> Iterator[Finding]:
    import platform

    from ..core.versions import versions

    yield Finding("ok", "Python", f"{platform.python_version()} on {platform.machine()} {platform.system()}")
    for name, number in versions().items():
        yield Finding("ok", name, number)


def _torch() -> Iterator[Finding]:
    import torch

    from ..core.cores import available_cores
    from ..learning.hardware import native_bf16, processor_kind

    cores = available_cores()
    speed = (
        "multiplies bf16 natively, so `precision: auto` trains and predicts in bf16"
        if native_bf16("cpu")
        else "does not multiply bf16 natively, so `precision: auto` is 32 bit: expect half the speed or less"
    )
    yield Finding("ok", "processor", f"{processor_kind()}: {speed}")
    yield Finding(
        "ok",
        "cores",
        f"{cores} for this process, torch uses {torch.get_num_threads()} threads; `generate` runs {cores} processes, "
        f"training 1 and its loaders, or {cores} with hardware.devices={cores}",
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield Finding("ok", f"GPU {index}", torch.cuda.get_device_name(index))
    else:
        yield Finding("note", "GPU", "none; everything runs on the processor")


def _rasterisers() -> Iterator[Finding]:
    import importlib.util

    from ..geometry.warp_runtime import devices

    yield Finding("ok", "warp rasteriser", f"devices: {', '.join(devices())}")
    if importlib.util.find_spec("pytorch3d"):
        yield Finding("ok", "pytorch3d rasteriser", "installed")
    else:
        yield Finding("note", "pytorch3d rasteriser", "not installed; optional", "pip install 'synthforge[pytorch3d]'")


def _plugins() -> Iterator[Finding]:
    from ..core.plugins import load_plugins

    plugins = load_plugins()
    for entry in (entry for catalogue in plugins.catalogues.values() for entry in catalogue if entry.built):
        path = call(f"`built` of the {entry.kind} '{entry.name}'", entry.built)  # type: ignore[arg-type]
        if path.is_file():
            yield Finding("ok", f"{entry.kind} {entry.name}", f"built: {path}")
        else:
            yield Finding("note", f"{entry.kind} {entry.name}", "not built yet; the first use takes half a minute")
    for kind, catalogue in plugins.catalogues.items():
        yield Finding("ok", f"{kind}s", ", ".join(catalogue.names()) or "none")
    for item in plugins.broken:
        yield Finding("problem", f"plugin {item.origin}", item.reason, f"It comes from {item.distribution}.")


def _disk() -> Iterator[Finding]:
    import shutil

    free = shutil.disk_usage(Path.cwd()).free / 2**30
    level = "ok" if free > 5 else "problem"
    yield Finding(level, "disk", f"{free:.1f} GiB free here", "" if level == "ok" else "A dataset needs a few GiB.")


CHECKS: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
    ("Python", _python),
    ("torch", _torch),
    ("rasterisers", _rasterisers),
    ("plugins", _plugins),
    ("disk", _disk),
)
COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def examine() -> list[Finding]:
    """All findings; a check that raises is a finding itself."""
    findings = []
    for name, check in CHECKS:
        try:
            findings += list(check())
        except Exception as error:  # the other checks must still run
            findings.append(Finding("problem", name, f"{type(error).__name__}: {error}"))
    return findings


@click.command(epilog="Example: synthforge doctor --json -")
@click.option("--json", "json_file", type=PATH_OR_URL, help="Write the findings as JSON; - is stdout.")
def command(json_file: Path | None) -> None:
    """Report what this machine can run, and its problems. Exit code 1 when there is a problem."""
    findings = examine()
    if json_file is not None:
        rows: list[dict[str, Any]] = [vars(item) for item in findings]
        write_json_to({"findings": rows}, json_file)
    else:
        from rich.text import Text

        from ..core.progress import console

        for item in findings:
            line = Text.assemble((f"{item.level:>7}", COLOURS[item.level]), f" {item.what}: {item.detail}")
            console().print(line.append(f" {item.hint}" if item.hint else "", "dim"), soft_wrap=True)
    if any(item.level == "problem" for item in findings):
        raise click.exceptions.Exit(1)
