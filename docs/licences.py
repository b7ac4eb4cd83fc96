"""The licences of everything that is installed for users and developers: `python docs/licences.py` writes licences.md.

What counts is what the installed metadata say: the SPDX expression, else the classifiers, else the free text. `ALLOWED`
says what may be depended on; `GIVEN` what is known of packages whose metadata say nothing, with its source.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
LOCK = ROOT / "requirements.lock"

# Spellings of metadata, matched from their begin and in this order.
SPELLINGS = (
    (r"(OSI Approved :: )?(Apache|Apache-2\.0|Apache 2|Apache License|Apache Software).*", "Apache-2.0"),
    (r"(OSI Approved :: )?(The )?MIT(?!-).*", "MIT"),
    (r"(OSI Approved :: )?(3-Clause )?BSD.*|FreeBSD", "BSD"),
    (r"(OSI Approved :: )?Mozilla Public License 2\.0.*", "MPL-2.0"),
    (r"(OSI Approved :: )?(Python Software Foundation|PSF).*", "PSF-2.0"),
    (r"(OSI Approved :: )?ISC.*", "ISC"),
    (r"(OSI Approved :: )?(Boost|BSL-1\.0).*", "BSL-1.0"),
    (r"NVIDIA Proprietary.*|Other/Proprietary.*", "LicenseRef-NVIDIA-Proprietary"),
)
ALLOWED = {
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
    "MPL-2.0",  # of single files, which nobody changes here
    "LicenseRef-NVIDIA-Proprietary",  # CUDA libraries that torch's own Linux wheels bring
}
GIVEN = {
    "anny": ("Apache-2.0", "its LICENSE file"),
    "cuda-toolkit": ("LicenseRef-NVIDIA-Proprietary", "an empty package of NVIDIA's that names their CUDA libraries"),
    "easypytorch3d": ("BSD-3-Clause", "PyTorch3D's LICENSE file"),
    "mlcroissant": ("Apache-2.0", "its repository's LICENSE file"),
    "OpenEXR": ("BSD-3-Clause", "the SPDX line of its README and its LICENSE file"),
}


def installed(lock: str) -> list[metadata.Distribution]:
    """The distributions of the lock that are installed here, by name."""
    names = sorted(set(re.findall(r"^([A-Za-z0-9._-]+)==", lock, flags=re.M)), key=str.lower)
    found = []
    for name in names:
        try:
            found.append(metadata.distribution(name))
        except metadata.PackageNotFoundError:  # for another platform or Python
            continue
    return found


def licence(distribution: metadata.Distribution) -> str:
    """What the metadata say, in SPDX's names where they are clear; empty where they say nothing."""
    about = distribution.metadata
    given = GIVEN.get(distribution.name)
    if given:
        return given[0]
    if expression := about.get("License-Expression"):
        return expression
    classified = [each[11:] for each in about.get_all("Classifier", []) if each.startswith("License :: ")]
    for text in (*classified, (about.get("License") or "").strip()):
        for pattern, name in SPELLINGS:
            if re.fullmatch(pattern, text, flags=re.I | re.S):
                return name
    return (about.get("License") or "").strip().splitlines()[0] if about.get("License") else ""


def allowed(expression: str) -> bool:
    """Whether a licence, or one of alternatives and all parts of an aggregate, may be depended on."""
    alternatives = re.split(r"\s+OR\s+", expression.replace("(", "").replace(")", ""))
    return any(all(part in ALLOWED for part in re.split(r"\s+AND\s+", each)) for each in alternatives)


def table(lock: str) -> str:
    """The rows of the page."""
    rows = [f"| {each.metadata['Name']} | {licence(each)} |" for each in installed(lock)]
    return "\n".join(["| package | licence |", "|---|---|", *rows])


def written(page: str) -> str:
    """The page with the table of what is installed now."""
    made = f"<!-- table: packages -->\n{table(LOCK.read_text(encoding='utf-8'))}\n<!-- end -->"
    return re.sub(r"<!-- table: packages -->\n.*?<!-- end -->", lambda _: made, page, flags=re.DOTALL)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
