"""A function that takes many values takes an object: nobody remembers the ninth parameter."""

from __future__ import annotations

import ast
from pathlib import Path

import synthforge

MOST = 8
# `key`: one line at each key of a configuration, keywords only. `command`: the options of the command line.
EXEMPT = {"key", "command"}


def test_public_functions_take_at_most_eight_parameters() -> None:
    package = Path(synthforge.__file__).parent
    seen, long = 0, []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or node.name in EXEMPT:
                continue
            if any(ast.unparse(each) in ("wp.func", "wp.kernel") for each in node.decorator_list):
                continue  # warp kernels take arrays and numbers alone
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [each.arg for each in given if each.arg not in ("self", "cls")]
            seen += 1
            if len(names) > MOST:
                long.append(f"{path.relative_to(package)}:{node.lineno} {node.name}: {len(names)}")
    assert seen > 500
    assert not long
