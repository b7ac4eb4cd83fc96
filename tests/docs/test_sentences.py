"""Manual, docstrings and comments are written in sentences that a stranger reads once: at most 30 words."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = [
    path
    for folder in ("synthforge", "plugins", "perf", "studies", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MOST = 30


def sentences(page: str) -> list[str]:
    """Sentences of a page in Markdown, without code blocks, tables, headings and rows of links.

    Code between backticks counts as one word, a link as its text.
    """
    page = re.sub(r"^ *```.*?^ *```$", "\n", page, flags=re.S | re.M)
    page = re.sub(r"<!--.*?-->", "\n", page, flags=re.S)
    page = re.sub(r"(?<=\n\n)(?: {4,}.*\n|\n)+", "\n", page)
    page = re.sub(r"^ *(?:\||#).*$", "\n", page, flags=re.M)
    page = re.sub(r"`[^`]+`", "code", page)
    page = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", page)
    page = re.sub(r"^ *(?:[-*]|\d+\.) ", "\n\n", page, flags=re.M)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", page)]
    return [
        sentence
        for paragraph in paragraphs
        if " · " not in paragraph
        for sentence in re.split(r"(?<=[.!?])[*)\"]*\s+", paragraph)
        if sentence
    ]


def words(sentence: str) -> int:
    """Words of a sentence: runs of characters with a letter or a digit."""
    return sum(any(map(str.isalnum, word)) for word in sentence.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_sentence_is_long(page: Path) -> None:
    """Split a long sentence, or make it a table."""
    found = sentences(page.read_text(encoding="utf-8"))
    assert found
    long = [f"{words(each)} words: {each}" for each in found if words(each) > MOST]
    assert not long, "\n".join(long)


def test_long_sentences_are_noticed() -> None:
    """Code, tables and headings are left out; everything else is counted, across lines and in lists."""
    page = f"# {'head ' * 40}\n\n```sh\n{'run ' * 40}\n```\n\n| {'cell ' * 40} |\n\n    {'code ' * 40}\n\n"
    assert sentences(page) == []
    text = "- Short one. " + "`a b` " * 16 + "\n  " + "[c](d.md) " * 16 + "end.\n- Next."
    assert [words(each) for each in sentences(page + text)] == [2, 33, 1]


def test_lines_are_no_duplicates_in_the_changelog() -> None:
    """Nothing is told twice."""
    lines = [line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
    assert len(lines) == len(set(lines))


def texts(source: str) -> Iterator[str]:
    """Docstrings, and comments of consecutive lines as one text each."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""
    block, last = "", -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            joined = token.line.lstrip().startswith("#") and token.start[0] == last + 1
            if not joined:
                yield block
                block = ""
            block += token.string.lstrip("#:") + "\n"
            last = token.start[0]
    yield block


def test_no_sentence_of_the_code_is_long() -> None:
    """Split a long sentence, or make it a list."""
    long = []
    for path in CODE:
        for text in texts(path.read_text(encoding="utf-8")):
            text = re.sub(r"; |: (?=[a-z_]+[:,] )", ". ", text)
            for each in sentences(text):
                if words(each) > MOST:
                    long.append(f"{path.relative_to(ROOT)}: {words(each)} words: {each}")
    assert not long, "\n".join(long)
