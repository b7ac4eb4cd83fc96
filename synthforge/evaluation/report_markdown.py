"""A report as Markdown: the same tables as the page, without pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .summary import table

STAND_IN = (
    "Not real photographs: a stand-in lies in this benchmark's place ({}). Its figures say that the pipeline works, "
    "not how well a model does on real faces."
)


def markdown(content: Mapping[str, Any]) -> str:
    """`content` as `report.write_report` gives it to the page's template, as GitHub's Markdown."""
    return "\n".join(_lines(content)).rstrip() + "\n"


def _lines(content: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"# {_text(content['title'])}", "")
    for note in content["notes"]:
        yield from (f"**{_text(note)}**", "")
    for name, value in content["facts"].items():
        yield f"- {_text(name)}: {_text(value)}"
    if content["facts"]:
        yield ""
    if content["summary"]:
        yield from ("## Summary", "")
        yield from _methods(content["summary"])
    for section in content["sections"]:
        yield from _section(section)
    made = ", ".join(f"{name} {version}" for name, version in content["versions"].items())
    yield f"↓ lower is better, ↑ higher is better; bold is the best of a group of rows. Made with {_text(made)}."


def _section(section: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {_text(section['title'])}", "")
    if section["stand_in"]:
        yield from (f"**{_text(STAND_IN.format(section['stand_in']))}**", "")
    for note in section["notes"]:
        yield f"- {_text(note)}"
    if section["notes"]:
        yield ""
    comparison = section["comparison"]
    if comparison:
        yield from ("### Beside the published rows", "")
        if section["remark"]:
            yield from (_text(section["remark"]), "")
        yield from _methods(comparison)
        if comparison["source"]:
            yield from (f"Published rows: {_text(comparison['source'])}.", "")
    else:
        yield from (_text(section["remark"]), "")
    for part in section["breakdowns"]:
        yield from (f"### {_text(part['title'])}", "")
        rows = [[_text(row["name"]), *map(_cell, row["cells"])] for row in part["rows"]]
        yield from table(["", *map(_text, part["columns"])], rows)
    figures = section["figures"]
    yield from ("### All figures", "")
    yield from table(
        ["figure", *map(_text, figures["columns"]), "unit"],
        [[_text(row["name"]), *map(_cell, row["cells"]), _text(row["unit"])] for row in figures["rows"]],
    )
    for model in section["models"]:
        yield from (f"{_text(model['label'])}: {_text(model['protocol'])}", "")


def _methods(content: Mapping[str, Any]) -> list[str]:
    """A table with two lines of headings, which Markdown has not: both go into each column's name.

    Sources are a column where there is more than one.
    """
    above = [group["title"] for group in content["groups"] for _ in range(group["span"])]
    heads = [f"{over}: {name}" if name else over for over, name in zip(above, content["columns"], strict=True)]
    sources = not content.get("source", "one")
    rows = []
    for row in content["rows"]:
        label = f"**{_text(row['label'])} (ours)**" if row["ours"] else _text(row["label"])
        rows.append([label, *map(_cell, row["cells"]), *([_text(row["source"])] if sources else [])])
    return table(["method", *map(_text, heads), *(["source"] if sources else [])], rows)


def _cell(cell: Mapping[str, Any]) -> str:
    return f"**{cell['text']}**" if cell["best"] else str(cell["text"])


def _text(value: object) -> str:
    """Text from files and YAML, with everything that Markdown or HTML would read as markup escaped."""
    text = " ".join(str(value).split())
    for mark in ("\\", "|", "*", "_", "`", "[", "]"):
        text = text.replace(mark, f"\\{mark}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
