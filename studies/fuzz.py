"""Hostile bytes for every reader, found by coverage: atheris (libFuzzer) on the table of `fuzz_readers.py`.

    pip install atheris                                        # for CPython 3.11 to 3.13 on x86-64 Linux
    python studies/fuzz.py --seconds 200 --page docs/reliability.md                          (`make fuzz`)
    python studies/fuzz.py --readers YAML,PNG --seconds 60

Each reader runs in a process of its own for the given seconds of processor time. A finding is an error
that is not the project's, an input that takes longer than `SECONDS`, or one that makes the process larger than
`MEGABYTES`. So is a file written outside the reader's folder, a process started, or a connection opened. The input is
kept in `runs/fuzz/`, and

    python studies/fuzz.py --readers YAML --input runs/fuzz/YAML-1a2b3c4d

shows it again.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import logging
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz_readers import READERS, ROOT, Reader

SECONDS = 20  # for one input; instrumented code is about five times slower than the reader itself
MEGABYTES = 2_500  # of the whole process, of which torch and the coverage take about 600
FOUND = ROOT / "runs" / "fuzz"
_FORBIDDEN = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "os.link"}
_NAMING = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.truncate", "shutil.rmtree"}


class Escaped(BaseException):
    """Something that no reader may do."""


def watched(folder: Path) -> Callable[[], list[str]]:
    """Note what is written outside of a folder, started or connected to; returns what hands the notes over."""
    notes: list[str] = []
    inside = (str(folder), "/dev/null")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
            bad = writes and not isinstance(path, int) and not os.path.abspath(os.fsdecode(path)).startswith(inside)
        elif event in _NAMING:
            paths = [os.path.abspath(os.fsdecode(each)) for each in arguments if isinstance(each, (str, bytes, Path))]
            bad = any(not path.startswith(inside) for path in paths)
        else:
            bad = event in _FORBIDDEN
        if bad:
            notes.append(f"{event} {arguments!r:.200}")

    sys.addaudithook(hook)

    def taken() -> list[str]:
        found = notes[:]
        notes.clear()
        return found

    return taken


def feed(reader: Reader, data: bytes, folder: Path, escapes: Callable[[], list[str]]) -> str:
    """What is wrong with how a reader takes an input; empty for nothing."""
    from synthforge.core.errors import SynthForgeError

    escapes()
    try:
        reader.read(data, folder)
    except SynthForgeError:
        pass
    except (Exception, SystemExit) as error:
        frames = [each for each in traceback.extract_tb(error.__traceback__) if "/studies/" not in each.filename]
        ours = [each for each in frames if str(ROOT) in each.filename] or frames[-1:]
        places = [f"{Path(each.filename).name}:{each.lineno}" for each in ours[-1:]]
        return f"{type(error).__name__} at {''.join(places)}: {error!s:.120}"
    finally:
        notes = escapes()
        for entry in list(os.scandir(folder)):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    return "; ".join(notes)


def child(name: str, seconds: float, out: Path) -> None:
    """Fuzz one reader in this process, which libFuzzer ends; notes go to `out` as JSON lines."""
    import atheris

    logging.disable()
    warnings.simplefilter("ignore")
    with atheris.instrument_imports(include=["synthforge", "synthforge_plugins", "yaml", "omegaconf", "PIL", "csv"]):
        for seed in READERS[name].seeds():  # imports what the reader needs
            with tempfile.TemporaryDirectory() as folder:
                feed(READERS[name], seed, Path(folder), list)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    corpus, box = out.parent / "corpus", folder / "box"
    corpus.mkdir(exist_ok=True)
    box.mkdir()
    for number, seed in enumerate(READERS[name].seeds()):
        (corpus / str(number)).write_bytes(seed)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    escapes, known = watched(folder), set()
    state = {"runs": 0, "said": 0.0}

    def one(data: bytes) -> None:
        state["runs"] += 1
        problem = feed(READERS[name], data, box, escapes)
        now = time.monotonic()
        place = problem.partition(": ")[0]
        if (problem and place not in known) or now - state["said"] > 2:
            known.add(place)
            state["said"] = now
            row = {"runs": state["runs"], "problem": problem, "input": data.hex() if problem else ""}
            descriptor = os.open(out, os.O_WRONLY | os.O_APPEND)
            os.write(descriptor, (json.dumps(row) + "\n").encode())
            os.close(descriptor)

    options = {"timeout": SECONDS, "rss_limit_mb": MEGABYTES, "max_len": 8192, "max_total_time": int(seconds)}
    options |= {
        "seed": 1,
        "artifact_prefix": f"{out.parent}/",
        "print_final_stats": 1,
        "verbosity": 0,
        "len_control": 0,
    }
    atheris.Setup([sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)], one)
    atheris.Fuzz()


def fuzz(name: str, seconds: float) -> dict[str, Any]:
    """Fuzz one reader in processes of its own until the time is over; its executions, seconds and findings."""
    runs, problems, spent = 0, {}, 0.0
    with tempfile.TemporaryDirectory() as text:
        while (left := seconds - spent) > 5 and len(problems) < 30:
            out = Path(text) / f"{len(os.listdir(text))}.jsonl"
            out.touch()
            command = [sys.executable, __file__, f"--child={name}", f"--seconds={left}", f"--out={out}"]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "SYNTHFORGE_CACHE": text}
            before = _processor_time()
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            spent += max(_processor_time() - before, 1.0)
            rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
            total = re.search(r"number_of_executed_units: (\d+)", ended.stderr)
            if ended.returncode and not rows and not total:
                raise SystemExit(f"{name}: the fuzzer itself ended:\n{ended.stderr[-3000:]}")
            runs += int(total[1]) if total else max([row["runs"] for row in rows], default=0)
            for row in rows:
                if row["problem"]:
                    place = row["problem"].partition(": ")[0]
                    problems.setdefault(place, (row["problem"], bytes.fromhex(row["input"])))
            for file in Path(text).glob("*-*"):  # libFuzzer ended the process, and kept the input
                place = f"{file.name.partition('-')[0]} at {_last(ended.stderr)}"
                problems.setdefault(place, (place, file.read_bytes()))
                file.unlink()
    findings = []
    for problem, data in problems.values():
        FOUND.mkdir(parents=True, exist_ok=True)
        file = FOUND / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}-{hashlib.sha256(data).hexdigest()[:8]}"
        file.write_bytes(data)
        findings.append({"problem": problem, "input": str(file.relative_to(ROOT))})
    return {"reader": name, "runs": runs, "seconds": round(spent), "findings": findings}


def _processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _last(text: str) -> str:
    """The innermost frame of ours in a dump of libFuzzer's."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', text)
    ours = [f"{Path(file).name}:{line}" for file, line in frames if "/studies/" not in file]
    return ours[0] if ours else "no frame"


def together(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a reader: executions and seconds of all its runs, and each finding once."""
    found: dict[str, dict[str, Any]] = {name: {"runs": 0, "seconds": 0, "findings": {}} for name in READERS}
    for row in rows:
        one = found.get(row["reader"])
        if one is not None:
            one["runs"] += row["runs"]
            one["seconds"] += row["seconds"]
            one["findings"] |= {each["problem"].partition(": ")[0]: each for each in row["findings"]}
    return [{"reader": name, **row, "findings": len(row["findings"])} for name, row in found.items() if row["runs"]]


def page_section(rows: Sequence[dict[str, Any]]) -> str:
    """The table of the page, in Markdown."""
    sums = {name: sum(row[name] for row in rows) for name in ("runs", "seconds", "findings")}
    lines = ["| reader | executions | processor seconds | findings |", "|---|---:|---:|---:|"]
    for row in [*rows, {"reader": "together", **sums}]:
        lines.append(f"| {row['reader']} | {row['runs']:,} | {row['seconds']:,} | {row['findings']} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", default="", help="Comma separated [default: all].")
    parser.add_argument("--seconds", type=float, default=60, help="For each reader.")
    parser.add_argument("--json", type=Path, help="Add a line a reader to this file; the page sums all of it.")
    parser.add_argument("--page", type=Path, help="Write the table into this page, between its marks.")
    parser.add_argument("--input", type=Path, help="Feed the readers with this file alone, and show what they raise.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = [name for name in options.readers.split(",") if name] or list(READERS)
    if unknown := set(names) - set(READERS):
        parser.error(f"no reader is called {', '.join(unknown)}; there are: {', '.join(READERS)}")
    if options.input:
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                print(name, READERS[name].read(options.input.read_bytes(), Path(folder)))
        return
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install atheris (CPython 3.11 to 3.13, x86-64 Linux)")
    if options.child:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        child(options.child, options.seconds, options.out)
        return
    rows = []
    for name in names:
        rows.append(fuzz(name, options.seconds))
        print(json.dumps(rows[-1]), flush=True)
        if options.json:
            with options.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    if options.page:
        lines = options.json.read_text(encoding="utf-8").splitlines() if options.json else map(json.dumps, rows)
        told = page_section(together([json.loads(line) for line in lines]))
        before, mark, rest = options.page.read_text(encoding="utf-8").partition("<!-- written by studies/fuzz.py -->\n")
        after = rest.partition("<!-- until here (fuzz) -->")[2]
        options.page.write_text(f"{before}{mark}\n{told}\n\n<!-- until here (fuzz) -->{after}", "utf-8")
    sys.exit(any(row["findings"] for row in rows))


if __name__ == "__main__":
    main()
