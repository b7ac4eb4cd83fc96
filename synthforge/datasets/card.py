"""What an exported dataset says of itself: the dataset card (README.md), a Croissant file and the recipe.

Croissant 1.0: https://docs.mlcommons.org/croissant/docs/croissant-spec.html. The card's head: Hugging Face's dataset
card metadata.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..core.files import sha256_of, write_json, write_text
from ..core.provenance import files_of
from .distributions import compare, factors_of, read_values, words
from .formats import Card, Export, Format
from .marks import VOCABULARY, source_type
from .reader import ShardDataset
from .rejections import acceptance

CARD, CROISSANT, RECIPE = "README.md", "croissant.json", "recipe.yaml"
OURS = (CARD, CROISSANT, RECIPE)
#: by kind of field, what a dataset with it is for, as Hugging Face names it
TASKS = {"points2d": "keypoint-detection", "label": "image-segmentation", "depth": "depth-estimation"}
_SIZES = (("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000), ("100K<n<1M", 1_000_000))
_MEDIA = {".parquet": "application/x-parquet", ".tar": "application/x-tar", ".yaml": "application/yaml"}
#: beside Croissant's own, the vocabularies of schema.org and Dublin Core, as the specification gives them
_TERMS = (
    *("citeAs", "column", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references"),
    *("regex", "repeated", "replace", "separator", "source", "subField", "transform"),
)
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    **{term: f"cr:{term}" for term in _TERMS},
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
}


def describe(export: Export, format: Format, card: Card | None, recipe: str) -> None:
    """Write the recipe, where there is one, the card and the Croissant file of a finished export."""
    card = card or Card()
    if recipe:
        write_text(export.out / RECIPE, recipe)
    write_text(export.out / CARD, card_text(export, format, card, recipe))
    write_json(export.out / CROISSANT, croissant(export, format, card))


def title(export: Export) -> str:
    """What an exported dataset is called."""
    generator = export.dataset.manifest["config"].get("generator", "")
    kind = "synthetic faces" if source_type(export.dataset.manifest) else "faces"
    return f"{len(export.dataset):,} {kind}" + (f" of the generator {generator}" if generator else "")


def licence(manifest: Mapping[str, Any]) -> str:
    """The licence that everything in a dataset has, in lower case as SPDX names it, or `other` where they differ."""
    found = {str(text) for text in manifest["licences"].values()}
    (one,) = found if len(found) == 1 else ("",)
    return one.lower() if one and " " not in one else "other"


def card_text(export: Export, format: Format, card: Card, recipe: str) -> str:
    """The card: a head in YAML, then contents, files, distributions, licences and how to make it again."""
    manifest = export.dataset.manifest
    kinds = {item.kind for item in export.dataset.all_fields}
    count = len(export.dataset)
    head = {
        "pretty_name": title(export),
        "license": licence(manifest),
        "tags": [*(["synthetic"] if source_type(manifest) else []), "face", "croissant"],
        "task_categories": [task for kind, task in TASKS.items() if kind in kinds],
        "size_categories": [next((name for name, end in _SIZES if count < end), "1M<n<10M")],
        **card.front_matter,
    }
    rows = [
        (f"`{item.name}`", item.kind, item.unit, item.frame, item.schema, item.description)
        for item in export.dataset.all_fields
    ]
    sizes = "".join(f", {number:,} for {name}" for name, number in export.splits.items()) if export.val else ""
    kept = acceptance(manifest)
    lines = [
        f"# {title(export)}",
        "",
        f"{count:,} samples{sizes}, made by SynthForge.",
        *([f"\nQuality filters: {kept}."] if kept else []),
        "",
        "## Contents",
        "",
        *_table(("field", "kind", "unit", "frame", "schema", "what it is"), rows),
        "",
        "Left and right are the subject's. The centre of pixel i lies at i + 0.5, unless the files below differ.",
        "",
        "## Files",
        "",
        f"{format.summary}.",
        "",
        "\n".join(f"    {line}" for line in format.layout.strip().splitlines()),
        "",
        *(_mark_lines(export) if format.write is not None else []),
        *_distributions(export),
        "## Licence",
        "",
        *(f"- {name}: {text}" for name, text in manifest["licences"].items()),
        *(f"- {row['name']}: {row['licence']}" for row in manifest["licensed_files"]),
        "",
        "## Make it again",
        "",
        *_again(manifest, recipe),
    ]
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n" + "\n".join(lines).rstrip() + "\n"


def _mark_lines(export: Export) -> list[str]:
    if not export.mark:
        return []
    return [f"Pictures say in their metadata what made them: IPTC DigitalSourceType `{VOCABULARY}{export.mark}`.", ""]


def _again(manifest: Mapping[str, Any], recipe: str) -> list[str]:
    made = ", ".join(f"{name} {text}" for name, text in manifest["versions"].items())
    if not recipe:
        return ["No recipe determines these samples: they depend on other data.", "", f"Made with {made}."]
    return [
        f"`{RECIPE}` holds everything that the samples depend on, and their checksums:",
        "",
        f"    synthforge make {RECIPE} --out DIR",
        "",
        f"The bytes are the same on the same versions and kind of processor. Made with {made}.",
    ]


def _distributions(export: Export) -> list[str]:
    """What was drawn and what pictures show, factor by factor."""
    factors, note = factors_of(export.dataset.manifest)
    if not factors:
        return []
    records = compare(factors, read_values(ShardDataset(export.dataset.root, ["scene"]), factors))
    rows = []
    for record in records:
        drawn, shown = record["realised"]["drawn"], record["realised"]["rendered"]
        rows.append((f"`{record['name']}`", record["unit"], words(record["declared"]), words(drawn), words(shown)))
    text = "Declared by the generator, as drawn, and as the pictures show it: mean ± standard deviation, or shares."
    table = _table(("factor", "unit", "declared", "drawn", "rendered"), rows)
    return ["## Distributions", "", f"{text} {note}".strip(), "", *table, ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [tuple(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]


def croissant(export: Export, format: Format, card: Card) -> dict[str, Any]:
    """The Croissant record of the files in an export's folder.

    A folder with several files of one suffix is a file set; any other file is named with its checksum.
    """
    groups: dict[tuple[str, str], list[Path]] = {}
    for name, path in files_of(export.out):
        if name not in OURS and not name.startswith("."):
            groups.setdefault((Path(name).parent.as_posix(), path.suffix), []).append(path)
    distribution: list[dict[str, Any]] = []
    table = ""
    for (folder, suffix), paths in sorted(groups.items()):
        media = _MEDIA.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
        inside = "" if folder == "." else f"{folder}/"
        whole = f"{inside}*{suffix}"
        if card.table == whole:
            table = whole
        if len(paths) > 1 or card.table == whole:
            entry = {"@type": "cr:FileSet", "@id": whole, "name": whole, "encodingFormat": media, "includes": whole}
            distribution.append(entry)
            continue
        name = inside + paths[0].name
        distribution.append(
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{paths[0].stat().st_size} B",
                "encodingFormat": media,
                "sha256": sha256_of(paths[0]),
            }
        )
    record: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": title(export),
        "description": f"{title(export)}, made by SynthForge. {format.summary}.",
        "license": sorted(set(map(str, export.dataset.manifest["licences"].values()))),
        "version": "1.0.0",
        "distribution": distribution,
    }
    if table:
        record["recordSet"] = [_record_set(table, card.columns)]
    return record


def _record_set(table: str, columns: Mapping[str, str]) -> dict[str, Any]:
    def entry(name: str, kind: str) -> dict[str, Any]:
        source: dict[str, Any] = {"fileSet": {"@id": table}, "extract": {"column": name}}
        if kind == "sc:ImageObject":  # a file in a column is a record of bytes and path
            source["transform"] = {"jsonPath": "bytes"}
        return {"@type": "cr:Field", "@id": f"samples/{name}", "name": name, "dataType": kind, "source": source}

    fields = [entry(name, kind) for name, kind in columns.items()]
    return {"@type": "cr:RecordSet", "@id": "samples", "name": "samples", "field": fields}
