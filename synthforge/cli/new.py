"""`synthforge new`: a new plugin package that passes its tests as written."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

import click

from .common import LOCAL_PATH, say

#: kinds of plugins, and how to use each, for the README
USES = {
    "generator": "    synthforge generate anny --set stages.dataset.generator={name} \\\n"
    "      --set 'stages.dataset.annotators=[segmentation, depth]' --samples 8 --out faces",
    "annotator": "In a pipeline: `annotators: [landmarks, {name}]`.",
    "filter": "In a pipeline: `filters: [{name}]`.",
    "task": "In a pipeline: `tasks: [keypoints, {name}]`.",
    "benchmark": "    synthforge evaluate face --benchmark {name} --root DIR --split val",
    "detector": "    synthforge predict face photo.jpg --detector {name} --out seen",
}
#: template -> file in the package; `{module}` is the name of the module
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "ci.yml": ".github/workflows/test.yml",
    "test.py": "test_{module}.py",
}


@click.command(epilog="Example: synthforge new generator my-faces && cd my-faces && pip install -e '.[test]' && pytest")
@click.argument("kind", type=click.Choice(list(USES)))
@click.argument("name")
@click.option("--out", type=LOCAL_PATH, help="Folder of the package, by default NAME; it must be new.")
def command(kind: str, name: str, out: Path | None) -> None:
    """Write a package with a working plugin of a KIND called NAME, its tests, README and CI file.

    The example works as it is: replace it step by step by your own code while the tests keep passing.
    """
    from ..core.errors import UserError
    from ..core.plugins import load_plugins
    from ..core.tables import describe

    module = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(module):
        raise UserError(f"'{name}' is not a valid package name", hint="Use small letters, digits and single hyphens.")
    taken = [(kind, entry.name) for entry in load_plugins().catalogues.get(kind, ())]
    taken += [(row["kind"].removesuffix("s"), row["name"]) for row in describe()]
    if (kind, name) in taken:
        raise UserError(f"the {kind} '{name}' exists already", hint="Choose another name.")
    folder = out or Path(name)
    if folder.exists():
        raise UserError(f"{folder} exists already", hint="Name a new folder with --out.")
    for target, text in texts(kind, name).items():
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    say(f"{folder}: {module}.py is the plugin, test_{module}.py its test; README.md describes the next steps")


def texts(kind: str, name: str) -> dict[str, str]:
    """The files of a package, by path."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("synthforge.cli", "scaffold")
    templates = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)
    module = name.replace("-", "_")
    values = {
        "kind": kind,
        "shown": "detectors" if kind == "detector" else kind,
        "name": name,
        "module": module,
        "stem": "".join(part.capitalize() for part in name.split("-")),
        "article": "an" if kind[0] in "aeiou" else "a",
        "use": USES[kind].format(name=name),
    }
    files = {**FILES, f"{kind}.py": "{module}.py"}
    return {
        target.format(module=module): templates.get_template(f"{source}.jinja").render(values)
        for source, target in files.items()
    }
