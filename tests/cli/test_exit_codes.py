"""What the command line answers: exit codes, one message for what went wrong, paths as they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from synthforge.cli import common
from synthforge.cli.main import COMMANDS, cli, main
from synthforge.core.errors import ConfigWarning, DataError

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line in this process; returns the exit code."""
    monkeypatch.delenv("SYNTHFORGE_TRACEBACK", raising=False)

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["synthforge", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdout", sys.stdout)
        monkeypatch.setattr(sys, "stderr", sys.stderr)
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    return call


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let `synthforge doctor` do something else."""

    def replace(action: Callable[[], object]) -> None:
        monkeypatch.setattr(cli, "get_command", lambda ctx, name: click.Command("doctor", callback=action))

    return replace


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


def finding() -> None:
    raise click.exceptions.Exit(1)


@pytest.mark.parametrize(
    ("action", "code", "told"),
    [
        (lambda: None, 0, ""),
        (finding, 1, ""),
        (lambda: click.get_current_context().exit(3), 3, ""),
        (raising(DataError("it is cut short", hint="Copy it again.")), 2, "error: it is cut short\n  Copy it again.\n"),
        (raising(KeyboardInterrupt()), 130, "interrupted"),
        (raising(PermissionError(13, "Permission denied", "/out/x")), 1, "error: /out/x: Permission denied\n"),
        (raising(OSError(30, "Read-only file system", "/home/x")), 1, "error: /home/x: Read-only file system\n"),
        (raising(MemoryError()), 1, "error: there is not enough memory"),
        (raising(click.UsageError("two of them")), 2, "Error: two of them"),
    ],
)
def test_exit_codes_and_one_message(
    run: Run, command: Callable, capsys: pytest.CaptureFixture[str], action: Callable, code: int, told: str
) -> None:
    command(action)
    assert run("doctor") == code
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


def test_a_fault_of_ours_keeps_its_traceback(run: Run, command: Callable) -> None:
    command(raising(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError):
        run("doctor")


@pytest.mark.parametrize("arguments", [["--traceback", "doctor"], ["doctor", "--traceback"]])
def test_where_an_error_was_raised_is_told_on_demand(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    from synthforge.cli import doctor

    monkeypatch.setenv("SYNTHFORGE_TRACEBACK", "0")
    monkeypatch.setattr(doctor, "examine", raising(DataError("damaged")))
    assert run(*arguments) == 2
    assert "in action" in (err := capsys.readouterr().err)
    assert err.endswith("error: damaged\n")


def test_warnings_of_a_configuration_are_one_line(run: Run, command: Callable, capsys: pytest.CaptureFixture) -> None:
    command(lambda: warnings.warn("a.yaml: x: write 'y'", ConfigWarning, stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert run("doctor") == 0
    assert capsys.readouterr().err == "warning: a.yaml: x: write 'y'\n"


@pytest.mark.parametrize("text", ["/a/[draft] out", "x: /a[/b] out", "[/]", "[red]: y", "a :smile: b"])
def test_paths_are_printed_as_they_are(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    common.say(text)
    assert capfd.readouterr().err == text + "\n"


def test_a_damaged_dataset_and_a_missing_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text("{}")
    assert run("verify", tmp_path / "data") == 1
    assert run("verify", tmp_path / "none") == 2


def test_doctor_answers_1_when_there_is_a_problem(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthforge.cli import doctor

    monkeypatch.setattr(doctor, "CHECKS", (("x", raising(ValueError("broken [/b]"))),))
    assert run("doctor") == 1
    assert run("doctor", "--json", "-") == 1
    monkeypatch.setattr(doctor, "CHECKS", ())
    assert run("doctor") == 0


SYNTHFORGE = f"{sys.executable} -m synthforge"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"{SYNTHFORGE} plugins 2>&- >/dev/null", 0),
        (f"{SYNTHFORGE} plugins >&-", 0),
        (f"{SYNTHFORGE} run nothing 2>&-", 2),
        (f"{SYNTHFORGE} plugins | true", 0),
        (f"set -o pipefail; {SYNTHFORGE} run nothing 2>&1 >/dev/null | true", 2),
    ],
)
def test_streams_that_are_closed(line: str, code: int) -> None:
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == code
    assert done.stderr == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_common_options(name: str) -> None:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    names = [option.name for option in found.params]
    assert [names.count(each) for each in ("traceback", "log_json", "metrics")] == [1, 1, 1]


def test_keys_of_plugins_and_stages_as_json(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("plugins", "train", "--json", "-") == 0
    (row,) = json.loads(capfd.readouterr().out)["plugins"]
    assert row["kind"] == "stage"
    assert {"network.input_size", "batch_size", "tasks"} <= {each["key"] for each in row["keys"]}
    assert run("plugins", "depth", "--kind", "annotator") == 0
    assert "ray_distance" in capfd.readouterr().out
    assert run("plugins", "dpeth") == 2
    assert "Did you mean 'depth'?" in capfd.readouterr().err


def test_a_reader_that_goes_away_ends_a_list_quietly() -> None:
    command = f"{sys.executable} -m synthforge plugins | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) in ((141, ""), (0, ""))


@pytest.mark.parametrize("when", ["while modules are read", "when all is done"])
def test_ctrl_c_before_and_after_the_command_is_silent(tmp_path: Path, when: str) -> None:
    press = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.1)\n"
    if when == "while modules are read":
        (tmp_path / "click.py").write_text(press)
        code = "from synthforge.__main__ import main; main()"
    else:
        code = f"import atexit\natexit.register(lambda: exec({press!r}))\nfrom synthforge.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")
