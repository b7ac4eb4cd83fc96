"""`synthforge completion`: what a shell needs to complete commands, options and names of configurations."""

from __future__ import annotations

import click

WHERE = {
    "bash": "~/.local/share/bash-completion/completions/synthforge",
    "zsh": "a file _synthforge in a folder of $fpath",
    "fish": "~/.config/fish/completions/synthforge.fish",
}


@click.command(
    epilog="Example: synthforge completion bash > ~/.local/share/bash-completion/completions/synthforge\n\n"
    "\b\nWhere the script belongs:\n" + "\n".join(f"  {shell:5}{place}" for shell, place in WHERE.items())
)
@click.argument("shell", type=click.Choice([*WHERE]))
def command(shell: str) -> None:
    """Print the completion script of SHELL. A new shell then completes commands, options and shipped configurations."""
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    root = click.get_current_context().find_root()
    click.echo(made(root.command, {}, "synthforge", "_SYNTHFORGE_COMPLETE").source())
