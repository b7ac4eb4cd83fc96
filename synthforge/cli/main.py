"""The command line: one file per command, loaded when needed, so that `--help` imports little."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import warnings
from typing import Any

import click

from .. import __version__

# name -> (module, one line for the list). The rest is in the module's `command`.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "Six faces with all their labels, and the model on a photograph."),
    "run": ("run", "Run a pipeline: every stage that is not up to date."),
    "check": ("check", "Report mistakes in a configuration, and what would run."),
    "generate": ("generate", "Generate an annotated dataset."),
    "train": ("train", "Train a multi-task model on a dataset."),
    "finetune": ("finetune", "Fine-tune the labels of a model on real data."),
    "evaluate": ("evaluate", "Score a model on a benchmark."),
    "probe": ("probe", "Measure what makes a model err, one factor of rendered faces at a time."),
    "predict": ("predict", "Landmarks, classes and depth of the faces in photographs."),
    "track": ("track", "Landmarks of the faces in a video, with a number for each face."),
    "report": ("report", "Write a page that compares evaluations with published figures."),
    "export": ("export", "Prepare a model or a dataset for distribution, with its card."),
    "make": ("make", "Make a dataset again from its recipe, with the same bytes."),
    "verify": ("verify", "Check every byte and label of a dataset."),
    "repair": ("repair", "Make damaged and missing shards of a dataset again."),
    "merge": ("merge", "Finish a dataset whose shards were made in parts."),
    "show": ("show", "Draw a dataset with its labels: a page with filters, or a sheet."),
    "assets": ("assets", "List, add, convert and fake licensed files."),
    "plugins": ("plugins", "List plugins, and why some cannot be used."),
    "new": ("new", "Write a plugin package of your own, tests included."),
    "doctor": ("doctor", "Report what this machine can run."),
    "completion": ("completion", "Print a shell's completion script."),
}

EPILOG = """Example: synthforge run quickstart --out runs/quickstart

\b
Exit codes:
  0    done
  1    it failed, or a check found something (verify, doctor)
  2    the input is wrong: a key, a name, a path, a file
  130  interrupted (Ctrl-C); the same command resumes
  143  ended by SIGTERM; the same command resumes"""

TRACEBACK, LOG_JSON, METRICS = (f"SYNTHFORGE_{name}" for name in ("TRACEBACK", "LOG_JSON", "METRICS"))


def _common_options() -> list[click.Option]:
    """Options that every command takes. As variables they reach worker processes, too."""

    def remember(context: click.Context, option: click.Parameter, value: bool | str | None) -> None:
        if value:
            plain = "1" if value is True else value if "://" in value else os.path.abspath(value)
            os.environ[f"SYNTHFORGE_{str(option.name).upper()}"] = plain
        if os.environ.get(LOG_JSON):
            from ..core import events

            events.take_logging()
        if option.name == "metrics" and os.environ.get(METRICS):
            from ..core import events

            events.open_metrics()

    def option(name: str, text: str, **attributes: Any) -> click.Option:
        return click.Option([name], expose_value=False, callback=remember, help=text, **attributes)

    return [
        option("--traceback", f"Show where an error was raised [also {TRACEBACK}=1].", is_flag=True),
        option("--log-json", "Write one JSON object a line to stderr [also SYNTHFORGE_LOG_JSON=1].", is_flag=True),
        option("--metrics", "Write figures of the run to FILE, as Prometheus text.", metavar="FILE"),
    ]


class LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"synthforge.cli.{COMMANDS[name][0]}")
        command: click.Command = module.command
        command.name = name
        if not any(option.name == "traceback" for option in command.params):
            command.params += _common_options()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from ..core.errors import did_you_mean

            ctx.fail(f"there is no command '{args[0]}'. {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="synthforge")
def cli() -> None:
    """Synthetic, exactly annotated face datasets from 3-D generators, and models trained on them.

    Pipelines are composed in YAML: generate, train, finetune, evaluate, report.
    """


cli.params += _common_options()


def main() -> None:
    """Entry point: users' errors become one message and an exit code; a traceback is for our own bugs."""
    sys.exit(_told(_run()))


def _told(code: int) -> int:
    if os.environ.get(LOG_JSON) or os.environ.get(METRICS):
        from ..core import events

        events.ended(code)
    return code


def _prepare() -> None:
    from ..core.cores import one_thread
    from ..core.progress import steady_streams

    one_thread()
    steady_streams()
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    threading.excepthook = _show_thread_end


def _run() -> int:
    from ..core.errors import SynthForgeError

    try:
        _prepare()
        # Outside its standalone mode, click returns the code that a command exits with.
        code = cli.main(prog_name="synthforge", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        if os.environ.get(LOG_JSON):
            return _complain(error, error.format_message(), code=error.exit_code)
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        if os.environ.get(LOG_JSON):
            return _complain(error, "interrupted; the same command resumes", code=130)
        click.echo("interrupted; the same command resumes", err=True)
        return 130
    except SynthForgeError as error:
        return _complain(error, error.message, error.hint, error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) closed the pipe; without this, Python reports it again at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE  # as a shell reports a program that the signal ended
    except OSError as error:  # a folder that cannot be written, a disk that is full
        return _complain(error, ": ".join(filter(None, (str(error.filename or ""), error.strerror or str(error)))))
    except MemoryError as error:
        return _complain(
            error, "there is not enough memory", "Make batches, resolution or the number of workers smaller."
        )
    except Exception as error:  # a bug of ours
        if not os.environ.get(LOG_JSON):
            _told(1)
            raise
        return _complain(error, f"{type(error).__name__}: {error}", "This is a bug: please report it.", fault=True)


def _complain(
    error: BaseException, message: str, hint: str | None = None, code: int = 1, *, fault: bool = False
) -> int:
    """Print an error once. `--traceback` shows where it was raised; a plugin's traceback is always kept in a file."""
    from ..core.environment import hidden

    message, details = hidden(message), hidden(getattr(error, "details", ""))
    if os.environ.get(LOG_JSON):
        import traceback

        from ..core import events

        shown = fault or details or os.environ.get(TRACEBACK) == "1"
        trace = {"traceback": details or "".join(traceback.format_exception(error))} if shown else {}
        events.event("error", level="critical" if fault else "error", message=message, hint=hint, **trace)
        return code
    if os.environ.get(TRACEBACK) == "1":
        import traceback

        click.echo(details or hidden("".join(traceback.format_exception(error))), err=True)
    elif details:
        import tempfile

        with tempfile.NamedTemporaryFile("w", prefix="synthforge-", suffix=".log", delete=False) as log:
            log.write(details)
        hint = f"{hint}\nIts traceback is in {log.name}, and shown with --traceback."
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(message, err=True)
    for line in (hint or "").splitlines():
        click.echo(f"  {line}", err=True)
    return code


def _show_warning(message: Warning | str, category: type[Warning], filename: str, line: int, *_: object) -> None:
    from ..core.environment import hidden
    from ..core.errors import ConfigWarning

    if os.environ.get(LOG_JSON):
        from ..core import events

        events.event("warning", level="warning", message=str(message))
        return
    plain = f"{message}" if issubclass(category, ConfigWarning) else f"{message} ({filename}:{line})"
    click.secho("warning: ", fg="yellow", nl=False, err=True)
    click.echo(hidden(plain), err=True)


def _show_thread_end(end: threading.ExceptHookArgs) -> None:
    """A full disk in a library's own thread (TensorBoard's writer) is one line; anything else is a bug of ours."""
    if isinstance(end.exc_value, OSError) and os.environ.get(TRACEBACK) != "1":
        warnings.warn(f"a background thread ended: {end.exc_value}", stacklevel=1)
    else:
        threading.__excepthook__(end)


if __name__ == "__main__":
    main()
