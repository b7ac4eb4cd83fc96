"""What survives when things break: every command, broken at chosen calls, then given again.

    python studies/reliability.py --trials 1500 --flips 400 --page docs/reliability.md     (`make reliability`)
    python studies/reliability.py --seed 3 --trials 40 --commands train,predict --faults kill,full

A trial copies the state before a command, breaks the command at a call that names, writes or syncs a file
(`synthforge.testing.faults`), and gives the same command again. That must end well, with the bytes of an undisturbed
run, and with everything that lay there before: older results in `.previous`, and a user's own files. Half of the trials
start beside an older result of another configuration. Trial number n of a seed is the same everywhere.

The commands `... to S3` read from and write to a store (`broken_store.py`), of which the requests are counted. At one
of them the command gets a signal, or the server is killed. Those with workers have the fault in a worker process.

A flip turns one bit of one file. The command that reads the file must then refuse it by name, or end with the bytes of
an undisturbed run; `synthforge verify` must find it; and no other file may change.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from broken_commands import CLASSES, COMMANDS, OUT, Command, Workspace, content
from broken_store import DOWN

from synthforge.core import patience
from synthforge.core.cores import one_thread
from synthforge.core.files import write_text
from synthforge.core.progress import progress_bar
from synthforge.core.provenance import PREVIOUS
from synthforge.core.seeding import numpy_rng
from synthforge.testing.faults import FAULTS, Ended, Fault

# Kills are what happens most: three of four trials.
SHARES = {"kill": 24, "power": 1, "full": 1, "read-only": 1, "term": 1, "int": 1, "stop": 1, "clock": 1, "vanish": 1}
SHARES |= {"down": 12, "away": 2}


def wrong(found: Mapping[str, str], expected: Mapping[str, str], *, lost: bool) -> str:
    """What is not as it should be after the command was given again; lost: the output folder was deleted."""

    def split(names: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        aside = [digest for name, digest in names.items() if PREVIOUS in Path(name).parts]
        return {name: digest for name, digest in names.items() if PREVIOUS not in Path(name).parts}, aside

    (here, kept), (there, keep) = split(found), split(expected)
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            return f"{name} {'is missing' if name not in here else 'is too many' if name not in there else 'differs'}"
    if gone := Counter(keep) - Counter([*kept, *here.values()]):
        return "" if lost else f"{sum(gone.values())} files of older results are gone"
    return ""


@dataclass(frozen=True)
class Trial:
    """One command broken once. problem: empty where everything held."""

    number: int
    command: str
    fault: str
    at: int
    calls: int
    older: bool
    broke: bool
    problem: str


def draw(seed: int, number: int, commands: Sequence[str], faults: Sequence[str]) -> tuple[Command, str, bool, float]:
    """Command, fault, whether an older result lies there, and where in [0,1) of the calls."""
    rng = numpy_rng(seed, number, "fault")
    command = {each.name: each for each in COMMANDS}[commands[number % len(commands)]]
    faults = command.faults(faults)
    weights = np.array([SHARES[name] for name in faults], float)
    fault = faults[int(rng.choice(len(faults), p=weights / weights.sum()))]
    return command, fault, bool(rng.random() < 0.5), float(rng.random())


def attempt(space: Workspace, seed: int, number: int, commands: Sequence[str], faults: Sequence[str]) -> Trial:
    """Break a command and give it again."""
    command, kind, older, share = draw(seed, number, commands, faults)
    expected, calls = space.undisturbed(command, older)
    at = int(share * calls)
    folder = space.start(command, older)
    problem, broke = "", True
    try:
        first = space.run(command, command.arguments, Fault(kind, at, OUT, workers=command.workers))
        broke = first.code != 0
        problem = _judged(kind, first, command.workers)
        if not problem and (kind != "vanish" or not command.copied):
            again = space.run(command, command.arguments)
            if again.code:
                problem = f"the same command ended with {again.code}: {_last(again.output)}"
            else:
                problem = wrong(content(folder), expected, lost=kind == "vanish")
    except TimeoutError as error:
        problem = str(error)
    return Trial(number, command.name, kind, at, calls, older, broke, problem)


def _judged(kind: str, ended: Ended, workers: bool) -> str:
    """What is wrong with how a broken command ended."""
    if "Traceback" in ended.output:
        return f"a traceback: {_last(ended.output)}"
    allowed: dict[str, tuple[int, ...]] = {
        "kill": (-9,),
        "power": (-9,),
        "term": (-15, 143, 0),
        "int": (130, 0),
        "stop": (0,),
        "clock": (0,),
        "down": (0,),
    }
    if workers:  # an error of the command, never a signal that ends it, too
        allowed = dict.fromkeys(allowed, (0, 1, 143))
    if ended.code not in allowed.get(kind, (0, 1, 2)):
        return f"it ended with {ended.code}: {_last(ended.output)}"
    return ""


def _last(output: str) -> str:
    return " | ".join(line.strip() for line in output.strip().splitlines()[-3:])[:400]


@dataclass(frozen=True)
class Flip:
    """One bit turned. refused: the reader named it; else it ended as if nothing had been."""

    number: int
    kind: str
    byte: int
    bit: int
    refused: bool
    problem: str


def flip(space: Workspace, seed: int, number: int) -> Flip:
    """Turn one bit, read the file, verify it."""
    kind = CLASSES[number % len(CLASSES)]
    command = next(each for each in COMMANDS if each.name == kind.reader)
    folder = space.flipped(kind)
    rng, path = numpy_rng(seed, number, "flip"), folder / kind.file
    data = bytearray(path.read_bytes())
    byte, bit = int(rng.integers(len(data))), int(rng.integers(8))
    data[byte] ^= 1 << bit
    path.write_bytes(data)
    before = content(folder)
    problem = ""
    if kind.verify:
        found = space.run(command, ["verify", kind.verify])
        if found.code == 0 or "Traceback" in found.output:
            problem = f"verify ended with {found.code}: {_last(found.output)}"
    ended = space.run(command, command.arguments)
    after, (expected, _) = content(folder), space.undisturbed(command, older=False)
    changed = [n for n in before if n.startswith(OUT) is False and after.get(n) != before[n]]
    # Our own results may be made anew; then the damaged one is set aside.
    apart = {kind.file}
    if "Traceback" in ended.output:
        problem = problem or f"a traceback: {_last(ended.output)}"
    elif changed:
        problem = problem or f"{changed[0]} changed"
    elif ended.code == 0:
        differ = [n for n in expected if n not in apart and n.startswith(OUT) and after.get(n) != expected[n]]
        if differ or (kind.state and after.get(kind.file) != expected.get(kind.file)):
            problem = problem or f"read as if sound, and {[*differ, kind.file][0]} differs"
    elif Path(kind.file).name not in ended.output and Path(kind.file).stem not in ended.output:
        problem = problem or f"the file is not named: {_last(ended.output)}"
    return Flip(number, kind.name, byte, bit, ended.code != 0, problem)


def load_libraries(learns: bool) -> None:
    """Import once what the child processes need."""
    import importlib

    from synthforge.core.plugins import load_plugins

    load_plugins()
    quick = ("synthforge.cli.main", "synthforge.stages.merge", "synthforge.stages.repair", "synthforge.stages.job")
    quick = (*quick, "s3fs", "synthforge_plugins.executors.local")
    learning = (
        *(
            "synthforge.stages.predictor",
            "synthforge.learning.train",
            "synthforge.learning.finetune",
            "synthforge.prediction.run",
        ),
        *("synthforge.evaluation.report", "synthforge.evaluation.card", "synthforge.datasets.verify"),
        *("lightning.fabric", "torch.utils.tensorboard"),
    )
    for name in (*quick, *(learning if learns else ())):
        importlib.import_module(name)


def main() -> None:
    """Parse the command line, try, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first trial and flip")
    parser.add_argument("--trials", type=int, default=1500)
    parser.add_argument("--flips", type=int, default=0)
    parser.add_argument("--commands", default=",".join(command.name for command in COMMANDS))
    parser.add_argument("--faults", default=",".join((*FAULTS, *DOWN)))
    parser.add_argument("--folder", type=Path, help="where the trials run; one in memory is many times faster")
    parser.add_argument("--json", type=Path, help="add every trial to this file, as a line of JSON")
    parser.add_argument("--page", type=Path, help="write the tables into this page, of all trials in --json")
    parser.add_argument("--add", action="store_true", help="to the trials that the page tells of; of other seeds")
    options = parser.parse_args()
    one_thread(always=True)  # before torch loads
    patience.PATIENCE = patience.Patience(first=0.05, most=0.5)
    commands, faults = options.commands.split(","), options.faults.split(",")
    found: list[Trial | Flip] = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.trials or options.flips:
            learns = options.flips > 0 or any(each.learns for each in COMMANDS if each.name in commands)
            load_libraries(learns)
            space = Workspace(Path(folder).resolve())
            space.make(learns)
        with progress_bar("break", options.trials + options.flips, unit="trials") as advance:
            for number in range(options.first, options.first + max(options.trials, options.flips)):
                done: list[Trial | Flip] = []
                if number < options.first + options.trials:
                    done.append(attempt(space, options.seed, number, commands, faults))
                if number < options.first + options.flips:
                    done.append(flip(space, options.seed, number))
                for each in done:
                    if each.problem:
                        print(json.dumps(vars(each)), flush=True)
                    if options.json:
                        with options.json.open("a", encoding="utf-8") as file:
                            file.write(json.dumps({"seed": options.seed, **vars(each)}) + "\n")
                    advance(1)
                found += done
    failed = sum(bool(each.problem) for each in found)
    print(f"{len(found)} trials, {failed} did not hold")
    rows = [{"seed": options.seed, **vars(each)} for each in found]
    if options.json:
        rows = [json.loads(line) for line in options.json.read_text(encoding="utf-8").splitlines()]
    if options.page:
        write_page(options.page, rows, add=options.add)
    sys.exit(bool(failed))


BEGIN, END = "<!-- written by studies/reliability.py -->", "<!-- until here -->"


def write_page(page: Path, rows: Sequence[Mapping[str, Any]], *, add: bool = False) -> None:
    """Put the tables of these trials between the two marks of a page. add: to those that it tells of."""
    head, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    before, _, rest = rest.partition(END)
    known = told(before) if add else []
    if twice := {row["seed"] for row in known} & {row["seed"] for row in rows}:
        raise SystemExit(f"{page} tells of the seeds {sorted(twice)} already")
    write_text(page, head + BEGIN + "\n\n" + tables([*known, *rows]) + "\n" + END + rest)


def told(text: str) -> list[dict[str, Any]]:
    """The trials that tables tell of; which of a seed is which is not known any more."""
    seeds = [(int(seed), int(count.replace(",", ""))) for seed, count in re.findall(r"(\d+) \(([\d,]+) trials\)", text)]
    classes, names, rows = {each.name for each in CLASSES}, list[str](), list[dict[str, Any]]()
    for line in text.splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if name == "command":
            names = cells
        elif name.startswith("`"):
            for fault, cell in zip(names[:-1], cells[:-1], strict=True):
                held, *all_ = map(int, re.findall(r"\d+", cell) or [0])
                trial = {"command": name.strip("`"), "fault": fault}
                rows += [{**trial, "problem": ""}] * held + [{**trial, "problem": "?"}] * (
                    all_[0] - held if all_ else 0
                )
        elif name in classes:
            _, refused, harmless, wrong_ones = map(int, cells)
            flips = (refused, True, ""), (harmless, False, ""), (wrong_ones, False, "?")
            rows += [
                {"kind": name, "refused": each, "problem": problem} for n, each, problem in flips for _ in range(n)
            ]
    return [{"seed": seed, **row} for seed, row in zip([s for s, n in seeds for _ in range(n)], rows, strict=True)]


def tables(rows: Sequence[Mapping[str, Any]]) -> str:
    """By command and fault how many trials there were and how many held; by class of file the same for flips."""
    broken = [row for row in rows if "command" in row]
    flips = [row for row in rows if "kind" in row]
    names = [name for name in (*FAULTS, *DOWN) if any(row["fault"] == name for row in broken)]
    lines = ["| command | " + " | ".join(names) + " | together |", "|---|" + "---:|" * (len(names) + 1)]
    for command in [*COMMANDS, None]:
        mine = [row for row in broken if command is None or command.name == row["command"]]
        able = names if command is None else command.faults(names)  # the others cannot happen to it
        cells = [_held([row for row in mine if row["fault"] == name]) if name in able else "" for name in names]
        lines.append(
            f"| {f'`{command.name}`' if command else 'together'} | " + " | ".join([*cells, _held(mine)]) + " |"
        )
    lines += ["", "| class of file | flips | refused by name | had no effect | wrong |", "|---|---:|---:|---:|---:|"]
    for name in [*(each.name for each in CLASSES), ""]:
        mine = [row for row in flips if name in ("", row["kind"])]
        wrong_ones = sum(bool(row["problem"]) for row in mine)
        refused = sum(row["refused"] for row in mine if not row["problem"])
        cells = (len(mine), refused, len(mine) - refused - wrong_ones, wrong_ones)
        lines.append(f"| {name or 'together'} | " + " | ".join(map(str, cells)) + " |")
    seeds = Counter(row["seed"] for row in rows)
    kills = sum(row["fault"] in ("kill", "power") for row in broken)
    lines += ["", f"{kills:,} of these trials end a process by SIGKILL. Seeds: "]
    lines[-1] += ", ".join(f"{seed} ({count:,} trials)" for seed, count in sorted(seeds.items())) + "."
    return "\n".join(lines) + "\n"


def _held(rows: Sequence[Mapping[str, Any]]) -> str:
    held = sum(not row["problem"] for row in rows)
    return f"{held}" if held == len(rows) else f"**{held} of {len(rows)}**"


if __name__ == "__main__":
    main()
