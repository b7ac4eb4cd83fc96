"""Everything that is installed has a licence that is allowed, and the lock has a checksum of everything."""

from __future__ import annotations

import email.message
import re
import runpy
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LICENCES = runpy.run_path(str(ROOT / "docs" / "licences.py"))


def test_every_installed_package_has_an_allowed_licence() -> None:
    found = LICENCES["installed"](LOCK)
    assert len(found) > 100
    wrong = {
        each.name: LICENCES["licence"](each) for each in found if not LICENCES["allowed"](LICENCES["licence"](each))
    }
    assert not wrong, f"see docs/licences.py: {wrong}"


def test_the_page_says_what_is_installed() -> None:
    """Rows of other platforms may stand there, too."""
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").splitlines()
    missing = [row for row in LICENCES["table"](LOCK).splitlines() if row not in page]
    assert not missing, "run `python docs/licences.py`"


class Made:
    """Metadata of a package that does not exist."""

    def __init__(self, **about: str) -> None:
        self.name = "new-package"
        self.metadata = email.message.Message()
        for name, value in about.items():
            self.metadata[name.replace("_", "-")] = value


@pytest.mark.parametrize(
    ("about", "told", "allowed"),
    [
        ({"License_Expression": "MIT OR GPL-3.0-only"}, "MIT OR GPL-3.0-only", True),
        ({"License_Expression": "MIT AND GPL-3.0-only"}, "MIT AND GPL-3.0-only", False),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD", True),
        ({"License": "Apache License 2.0"}, "Apache-2.0", True),
        ({"License": "AGPL-3.0"}, "AGPL-3.0", False),
        ({"License": "MIT-like, but not for war"}, "MIT-like, but not for war", False),
        ({}, "", False),
    ],
)
def test_licences_are_read_and_judged(about: dict[str, Any], told: str, allowed: bool) -> None:
    assert LICENCES["licence"](Made(**about)) == told
    assert LICENCES["allowed"](told) is allowed


@pytest.mark.parametrize("name", ["requirements.lock", "tools.lock"])
def test_a_lock_has_a_checksum_of_every_package(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    rows = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert rows
    assert [row for row in rows if "==" not in row or "--hash=sha256:" not in row] == []
    assert "://" not in "\n".join(rows)


def test_the_lock_has_what_is_asked_for() -> None:
    """Every direct dependency, extras for developers included."""
    locked = {each.lower().replace("_", "-") for each in re.findall(r"^([A-Za-z0-9._-]+)==", LOCK, flags=re.M)}
    required = metadata.distribution("synthforge").requires or []
    asked = {re.split(r"[ <>=!~;\[]", each)[0].lower() for each in required if "extra" not in each or "'dev'" in each}
    assert asked - {"synthforge"} - locked == set()
