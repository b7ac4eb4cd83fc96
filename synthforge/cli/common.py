"""What several commands share: options, finding a configuration, printing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.errors import ConfigError, did_you_mean
from ..core.storage import here, place

if TYPE_CHECKING:
    from ..core.pipeline import StageResult

F = TypeVar("F", bound=Callable[..., Any])


class PathOrUrl(click.Path):
    """A folder or file by path or by URL (`core.storage`)."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return place(value)


class LocalPath(click.Path):
    """A folder or file on this machine; a URL of a store is refused by name."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return here(value)


PATH_OR_URL = PathOrUrl()
LOCAL_PATH = LocalPath()


def _configs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """What a shell offers for CONFIG: shipped configurations and files."""
    from click.shell_completion import CompletionItem

    named = [CompletionItem(name) for name in shipped_configs() if name.startswith(incomplete)]
    return [*named, CompletionItem(incomplete, type="file")]


def pipeline_options(function: F) -> F:
    """CONFIG, --set, --out and --json, for commands that run a pipeline or a part of one."""
    for option in (
        click.option("--json", "json_file", type=PATH_OR_URL, help="Write what was done here as JSON."),
        click.option("--out", type=PATH_OR_URL, help="Folder or URL of the run [default: runs/CONFIG]."),
        click.option(
            "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. seed=3; repeatable."
        ),
        click.argument("config", shell_complete=_configs),
    ):
        function = option(function)
    return function


def find_config(name: str) -> Path:
    """A pipeline by path, or a shipped one by name: `quickstart`, `paper/table1_300w`."""
    path = here(name)
    if path.is_file():
        return path
    shipped = shipped_configs()
    stem = name.removeprefix("configs/").removesuffix(".yaml")
    if stem in shipped:
        return shipped[stem]
    raise ConfigError(f"there is no configuration {name}", hint=did_you_mean(stem, sorted(shipped), "Shipped"))


def shipped_configs() -> dict[str, Path]:
    """Configurations that come with the installation, by name."""
    root = Path(str(files("synthforge_configs")))
    return {str(path.relative_to(root).with_suffix("")): path for path in sorted(root.rglob("*.yaml"))}


def run_folder(config: Path, out: Path | None) -> Path:
    """The default output folder: `runs/NAME`, a shipped configuration's name with its folder."""
    if out is not None:
        return out
    shipped = {path.resolve(): name for name, path in shipped_configs().items()}
    return Path("runs") / shipped.get(config.resolve(), config.stem)


def say(text: str) -> None:
    """Print a line of progress to stderr, the part before a colon in bold: stdout is for results."""
    from ..core import events

    if events.log_json():
        events.event("message", message=text.strip())
        return
    from rich.text import Span, Text

    from ..core.environment import hidden
    from ..core.progress import console

    text = hidden(text)
    subject = 0 if text.startswith(" ") else max(text.find(":"), 0)
    console(stderr=True).print(Text(text, spans=[Span(0, subject, "bold")]), soft_wrap=True)


def write_results(results: Sequence[StageResult], json_file: Path | None) -> None:
    """The results of a run as JSON, if requested."""
    rows = [
        {
            "stage": r.name,
            "kind": r.kind,
            "status": r.status,
            "reason": r.reason,
            "folder": str(r.out),
            "fingerprint": r.fingerprint,
            "seconds": round(r.seconds, 3),
        }
        for r in results
    ]
    write_json_to({"stages": rows}, json_file)


def write_json_to(data: Mapping[str, Any], json_file: Path | None) -> None:
    """Write JSON to a file; `-` is stdout, None writes nothing."""
    if json_file is None:
        return
    if str(json_file) == "-":
        from ..core.environment import hidden

        sys.stdout.write(hidden(json.dumps(data, indent=2, sort_keys=True, default=str)) + "\n")
        return
    from ..core.files import write_json

    write_json(json_file, data)


def run_part(
    kinds: Sequence[str], config: str, overrides: Sequence[str], out: Path | None, json_file: Path | None
) -> None:
    """Run the stages of the given kinds and all they depend on."""
    from ..core.pipeline import load_pipeline, run_pipeline
    from ..stages import KINDS

    path = find_config(config)
    pipeline = load_pipeline(path, KINDS, overrides=overrides).only(kinds)
    write_results(run_pipeline(pipeline, run_folder(path, out), say=say), json_file)
