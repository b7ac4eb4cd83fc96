"""The command line answers at once and imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from synthforge.cli.main import COMMANDS


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["run", "--help"]])
def test_no_torch_is_imported(arguments: list[str]) -> None:
    done = _python(
        f"import sys; sys.argv = ['synthforge', *{arguments!r}]\n"
        "from synthforge.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print('HEAVY', [m for m in ('torch', 'warp', 'timm') if m in sys.modules])\n"
    )
    assert "HEAVY []" in done.stdout, done.stdout + done.stderr


def test_help_takes_under_half_a_second_of_cpu_time() -> None:
    code = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'synthforge', '--help'], stdout=subprocess.DEVNULL, check=True)\n"
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN); print(usage.ru_utime + usage.ru_stime)\n"
    )
    # The best of three: a busy machine must not decide.
    assert min(float(_python(code).stdout) for _ in range(3)) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "synthforge", name, "--help"], capture_output=True, text=True, check=True
    )
    assert "Example: synthforge" in " ".join(done.stdout.split())


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    done = subprocess.run([sys.executable, "-m", "synthforge", "genrate"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Did you mean 'generate'?" in done.stderr
