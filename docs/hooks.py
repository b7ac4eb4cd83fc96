"""What MkDocs asks while it builds the manual: pages made from the code, and links that leave the manual.

Keys come from the fields of configurations, schemas from the tables that plugins register, so neither is written twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("key", "type", "default", "unit", "range", "meaning")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the generated pages."""
    made = {
        "reference/stages.md": _keys("Keys of the stages", "stage"),
        "reference/plugins.md": _keys("Keys of the plugins", None),
        "reference/schemas.md": _schemas(),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "contributing.md": _outside("CONTRIBUTING.md"),
    }
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        made[f"notebooks/{path.stem}.md"] = _notebook(path)
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def _outside(name: str) -> str:
    """A page that lies beside the manual, with its links as from inside."""
    return (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](").replace("](SECURITY", "](../SECURITY")


def _notebook(path: Path) -> str:
    """A notebook as a page: its texts, and its code as blocks."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    parts.insert(1, f"*This page is the notebook [{path.name}]({path.name}): download it, or read on.*")
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Links to files of the repository outside the manual become their paths."""
    deep = "../" * page.file.src_uri.count("/")
    return re.sub(rf"\[([^\]]*)\]\((?:{re.escape(deep)})\.\./([^)]*)\)", _path, markdown)


def _path(match: re.Match[str]) -> str:
    text, path = match.groups()
    return f"`{path}`" if text.strip("`") == path else f"{text} (`{path}`)"


def _rows(kind: str | None) -> list[Mapping[str, Any]]:
    from synthforge.core.catalogue import describe
    from synthforge.core.keys import describe_keys
    from synthforge.core.plugins import load_plugins
    from synthforge.stages import KINDS

    if kind is not None:
        return [
            {"name": each.name, "kind": kind, "summary": each.config.__doc__, "keys": [*describe_keys(each.config)]}
            for each in KINDS.values()
        ]
    catalogues = load_plugins(()).catalogues
    return [dict(describe(entry)) for catalogue in catalogues.values() for entry in catalogue]


def _keys(title: str, kind: str | None) -> str:
    rows = _rows(kind)
    parts = [f"# {title}\n", "Made from the code; `synthforge plugins NAME` prints the same.\n"]
    for row in rows:
        heading = row["name"] if kind else f"{row['kind']} {row['name']}"
        parts += [f"## {heading}\n", " ".join((row["summary"] or "").split("\n\n")[0].split()) + "\n"]
        parts += [f"Licence: {row['licence']}.\n"] if row.get("licence") else []
        parts += ["\n".join(_table(row["keys"])) + "\n"] if row["keys"] else []
        presets = row.get("presets") or {}
        parts += ["\n".join(f"- preset `{name}`: {text}" for name, text in presets.items()) + "\n"] if presets else []
    return "\n".join(parts)


def _table(keys: list[Mapping[str, Any]]) -> Iterator[str]:
    from synthforge.cli.plugins import _short

    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|" + "---|" * len(COLUMNS)
    for key in keys:
        meaning = key["doc"] + (f" ({key['source']})" if key.get("source") else "")
        cells = [f"`{key['key']}`", *(_short(key.get(name, "")) for name in COLUMNS[1:5]), meaning]
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def _schemas() -> str:
    from synthforge.core.plugins import load_plugins
    from synthforge.core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS

    load_plugins(())
    parts = ["# Schemas\n", "Registered by plugins; left and right are the subject's.\n", "## Points\n"]
    parts += ["| name | points | regions |\n|---|---:|---|"]
    for name in POINT_SCHEMAS:
        schema = POINT_SCHEMAS[name]
        regions = ", ".join(schema.regions)
        parts += [f"| `{name}` | {len(schema)} | {regions} |"]
    parts += ["\n## Classes\n"]
    for name in CLASS_SCHEMAS:
        classes = CLASS_SCHEMAS[name].classes
        parts += [f"`{name}`: " + ", ".join(f"{i} {each}" for i, each in enumerate(classes)) + "\n"]
    return "\n".join(parts)
