"""`make release`: everything a release consists of, in dist/, the same bytes from the same commit.

Sources (sdist), wheel, what was installed when they were built (SBOM, CycloneDX), the notes of this version from
CHANGELOG.md, and SHA256SUMS over all of them. A tree with changes, or a version without notes, is refused.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, **environment: str) -> str:
    """The output of a command; the program ends with its message where it fails."""
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def notes(version: str) -> str:
    """What CHANGELOG.md says of a version; of what is unreleased where that version has no section yet."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for heading in (re.escape(version), "Unreleased"):
        if found := re.search(rf"^## \[?{heading}\]?.*?\n(.*?)(?=^## |\Z)", text, re.M | re.S):
            return found[1].strip() + "\n"
    sys.exit(f"CHANGELOG.md says nothing of {version}")


def settle(sdist: Path, epoch: int) -> None:
    """Write an sdist anew with sorted members, one time and no owner: setuptools keeps those of the checkout."""
    buffer = io.BytesIO()
    with tarfile.open(sdist) as old, tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode, member.pax_headers = (0o755 if member.isdir() or member.mode & 0o100 else 0o644), {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    sdist.write_bytes(gzip.compress(buffer.getvalue(), mtime=epoch))


def main() -> None:
    """Write the release into --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    parser.add_argument("--no-sbom", action="store_true", help="leave out the SBOM, which lists this environment")
    options = parser.parse_args()
    if changed := run("git", "status", "--porcelain", "--untracked-files=no"):
        sys.exit(f"commit first; changed:\n{changed}")
    epoch, out = run("git", "log", "-1", "--format=%ct"), options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if left := sorted(path.name for path in out.iterdir()):
        sys.exit(f"{out} is not empty: {', '.join(left[:5])}. Move these files away first.")
    print("building sources and wheel (a minute)", flush=True)
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)  # the wheel from the sources
    run(*build, SOURCE_DATE_EPOCH=epoch)
    (sdist,) = out.glob("*.tar.gz")
    settle(sdist, int(epoch))
    version = sdist.name.removesuffix(".tar.gz").rpartition("-")[2]
    (out / "NOTES.md").write_text(notes(version), encoding="utf-8")
    if not options.no_sbom:
        sbom = ("cyclonedx_py", "environment", sys.executable, "--pyproject", "pyproject.toml", "--output-reproducible")
        run(sys.executable, "-m", *sbom, "--of", "JSON", "-o", str(out / "synthforge.cdx.json"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    print(f"{version} from {run('git', 'rev-parse', '--short', 'HEAD')}:\n{''.join(lines)}", end="")


if __name__ == "__main__":
    main()
