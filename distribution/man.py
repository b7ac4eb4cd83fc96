"""`make man`: a manual page of roff for every command, from the help that click prints: `python man.py build/man`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from synthforge import __version__
from synthforge.cli.main import cli


def roff(text: str) -> str:
    """Text as roff prints it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.splitlines())


def page(name: str, context: click.Context) -> Iterator[str]:
    """The lines of a command's page."""
    command = context.command
    summary, _, more = (command.help or "").partition("\n\n")
    yield f'.TH "{name.upper()}" 1 "" "synthforge {__version__}" "SynthForge"'
    yield f".SH NAME\n{roff(name)} \\- {roff(' '.join(summary.split()).rstrip('.'))}"
    yield f".SH SYNOPSIS\n.B {roff(context.command_path)}\n{roff(' '.join(command.collect_usage_pieces(context)))}"
    paragraphs = [" ".join(each.replace("\b", "").split()) for each in (summary, *more.split("\n\n")) if each.strip()]
    yield ".SH DESCRIPTION\n" + "\n.PP\n".join(map(roff, paragraphs))
    rows = [row for row in (each.get_help_record(context) for each in command.get_params(context)) if row and row[1]]
    yield ".SH OPTIONS\n" + "\n".join(f".TP\n.B {roff(names)}\n{roff(text)}" for names, text in rows)
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield f".TP\n.BR {roff(f'{name}-{each}')} (1)\n{roff(found.get_short_help_str(200))}"
    if command.epilog:
        yield ".SH EXAMPLE\n.nf\n" + roff(command.epilog.replace("\b\n", "").removeprefix("Example: ")) + "\n.fi"


def write(name: str, context: click.Context, out: Path) -> None:
    """The page of a command and of those under it."""
    (out / f"{name}.1").write_text("\n".join(page(name, context)) + "\n", encoding="utf-8")
    if isinstance(context.command, click.Group):
        for each in context.command.list_commands(context):
            command = context.command.get_command(context, each)
            assert command is not None
            write(f"{name}-{each}", click.Context(command, parent=context, info_name=each), out)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    write("synthforge", click.Context(cli, info_name="synthforge"), folder)
