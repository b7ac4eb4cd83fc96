"""The command line: one file a command, loaded when it is asked for, so that `--help` imports next to nothing."""

from __future__ import annotations

import importlib
import os
import sys

import click

from .. import __version__

# name -> (module, one line for the list). The module's own `command` is the whole truth.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run a pipeline: every stage that is not up to date."),
    "generate": ("generate", "Generate an annotated dataset."),
    "train": ("train", "Train a multi-task model on a dataset."),
    "finetune": ("finetune", "Fine-tune the labels of a model on real data."),
    "evaluate": ("evaluate", "Score a model on a benchmark."),
    "predict": ("predict", "Landmarks, classes and depth of the faces in photographs."),
    "report": ("report", "Set evaluations beside the published rows, on one page."),
    "export": ("export", "Make a model ready to hand out, with its card."),
    "verify": ("verify", "Check every byte and label of a dataset."),
    "show": ("show", "Draw a contact sheet of a dataset."),
    "assets": ("assets", "List, add, convert and fake licensed files."),
    "plugins": ("plugins", "List plugins, with what is broken and why."),
    "doctor": ("doctor", "Say what this machine can run."),
}

EPILOG = """Example: synthforge run quickstart --out runs/quickstart

Exit codes: 0 done, 1 it failed, 2 the input is wrong, 130 interrupted (the same command goes on)."""


class LazyGroup(click.Group):
    """A group that imports a command's module only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"synthforge.cli.{COMMANDS[name][0]}")
        command: click.Command = module.command
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


def main() -> None:
    """Entry point: users' errors become one message and an exit code; a traceback is for our own bugs."""
    from ..core.cores import one_thread
    from ..core.errors import SynthForgeError

    one_thread()
    try:
        cli.main(prog_name="synthforge", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; the same command goes on where it stopped", err=True)
        sys.exit(130)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except SynthForgeError as error:
        click.secho("error: ", fg="red", bold=True, nl=False, err=True)
        click.echo(error.message, err=True)
        if error.hint:
            click.echo(f"  {error.hint}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader (head, less) went away; without this Python complains once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
