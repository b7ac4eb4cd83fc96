"""Every reader on hostile bytes: the table of `studies/fuzz_readers.py`, which `make fuzz` feeds for longer."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_foreign import cheap

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "studies"))

from fuzz_readers import EDITS, READERS, edited, nodes

from synthforge.assets.unpickle import load_flame_pickle
from synthforge.core.config import apply_overrides, read_yaml, resolve
from synthforge.core.errors import ConfigError, DataError, SynthForgeError, UserError
from synthforge.core.foreign import check_record, read_array, read_arrays, read_bytes
from synthforge.core.provenance import STATE_FILE, UNMERGED, damaged, read_state, sealed
from synthforge.core.storage import place
from synthforge.evaluation.files import read_pairs
from synthforge.learning.weights import read_checkpoint, read_weights
from synthforge.stages.merge import merge
from synthforge.stages.probe import named

PIECES = [
    b"",
    b"\0",
    b"\xff",
    b"nan",
    b"-1",
    b"1e999",
    b"9" * 30,
    b"../",
    b"${a}",
    b"[",
    b"}",
    b":",
    b"\n",
    b"\xc2\xb2",
]
SEEDS = {name: reader.seeds() for name, reader in READERS.items()}


@st.composite
def damaged_bytes(draw: st.DrawFn, name: str) -> bytes:
    """A seed with pieces put in, taken out and said twice."""
    data = draw(st.sampled_from(SEEDS[name]))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 8)))
        piece = draw(st.sampled_from([*PIECES, data[start:end] * 2]) | st.binary(max_size=6))
        data = data[:start] + piece + data[end:]
    return data


@pytest.mark.parametrize("name", READERS)
@given(st.data())
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_bytes_are_only_our_errors_come_out(name: str, data: st.DataObject) -> None:
    given_bytes = data.draw(damaged_bytes(name))
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(SynthForgeError):
        READERS[name].read(given_bytes, Path(folder))


@pytest.mark.parametrize("name", READERS)
def test_every_seed_is_read_or_refused(name: str, tmp_path: Path) -> None:
    for number, seed in enumerate([*SEEDS[name], b"", b"\0"]):
        (tmp_path / str(number)).mkdir()
        with contextlib.suppress(SynthForgeError):
            READERS[name].read(seed, tmp_path / str(number))
    assert SEEDS[name]


BOMBS: dict[str, str] = {
    "texts": "x0: aaaaaaaaaa\n" + "\n".join(f"x{i}: '${{x{i - 1}}}${{x{i - 1}}}'" for i in range(1, 60)),
    "mappings": "x0: {}\n" + "\n".join(f"x{i}: {{a: '${{x{i - 1}}}', b: '${{x{i - 1}}}'}}" for i in range(1, 60)),
    "lists": "x0: [1]\n" + "\n".join(f"x{i}: ['${{x{i - 1}}}', '${{x{i - 1}}}']" for i in range(1, 60)),
    "resolvers": "x0: aa\n"
    + "\n".join(f"x{i}: '${{oc.select:x{i - 1}}}${{oc.select:x{i - 1}}}'" for i in range(1, 60)),
    "a long text many times": f"x0: {'a' * 900_000}\nx1: '{'${x0}' * 1900}'",
    "many references": f"x0: a\nx1: '{'${x0}' * 100_000}'",
    "itself inside itself": "x0: {a: '${x0}'}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_references_that_grow_without_end_are_answered_cheaply(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(BOMBS[name])
    with cheap(seconds=4.0), pytest.raises(ConfigError, match=r"x\.yaml: .*(references|Recursive|parent node)"):
        resolve(apply_overrides(read_yaml(path), []), source=str(path))


def test_references_are_replaced_as_before() -> None:
    data = {"a": {"b": [1, "${c}"]}, "c": "x", "d": "${a}", "e": "${a.b.1}/${c}", "f": None, "g": "${a.b}", "h": []}
    wanted = {"a": {"b": [1, "x"]}, "c": "x", "d": {"b": [1, "x"]}, "e": "x/x", "f": None, "g": [1, "x"], "h": []}
    assert resolve(apply_overrides(data, []), source="x") == wanted


PIPED: dict[str, Callable[[Path], Any]] = {
    "bytes": read_bytes,
    "NPY": read_array,
    "NPZ": read_arrays,
    "weights": read_weights,
    "checkpoint": read_checkpoint,
    "pickle": load_flame_pickle,
}


@pytest.mark.parametrize("name", PIPED)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / "x"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(SynthForgeError, match="not a regular file"):
            PIPED[name](path)
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert ended.wait(5)


@pytest.mark.parametrize("count", ["\u00b2", "\u0663", "9" * 5000, "-1", "1.0"])
def test_a_number_of_points_is_a_plain_number(tmp_path: Path, count: str) -> None:
    (tmp_path / "a.txt").write_text(f"{count}\n1 2\n")
    with pytest.raises(DataError, match=r"a\.txt, line 1: the number of points is expected here"):
        read_pairs(tmp_path / "a.txt", header=True)


@pytest.mark.parametrize("url", ["s3://[", "s3://[x]/a", "file://]["])
def test_a_url_that_is_none_is_said(url: str) -> None:
    with pytest.raises(UserError, match="not a URL"):
        place(url)


def test_levels_of_a_probe_are_numbers_or_names() -> None:
    with pytest.raises(UserError, match="levels are different numbers or names"):
        named("a={b: 1},2", {})


def test_a_record_of_parts_with_endless_shards_is_answered_at_once(tmp_path: Path) -> None:
    record = {"shards": 2**52, "config_hash": "a"}
    (tmp_path / UNMERGED).write_text(json.dumps(record))
    with cheap(), pytest.raises(DataError, match=r"4,503,599,627,370,496 of the .* missing or damaged: 0-45035996"):
        merge(tmp_path)


def test_a_configuration_comes_through_a_pipe_and_never_without_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=(tmp_path / "pipe").write_text, args=("a: 1\n",), daemon=True).start()
    assert read_yaml(tmp_path / "pipe") == {"a": 1}
    with cheap(), pytest.raises(ConfigError, match=r"at most 1\.0 MB is read"):
        read_yaml(Path("/dev/zero"))


@pytest.mark.parametrize("name", ["/dev/zero", "../outside", "a/../../outside"])
def test_a_state_file_names_no_files_elsewhere(tmp_path: Path, name: str) -> None:
    """Reading a device to hold it against its checksum would never end."""
    state = {"fingerprint": "a", "state": "done", "outputs": {name: [0, "x"]}}
    (tmp_path / STATE_FILE).write_text(json.dumps(sealed(state)))
    with pytest.raises(DataError, match="an output is"):
        read_state(tmp_path)
    (tmp_path / "device").symlink_to("/dev/zero")
    assert damaged(tmp_path, {"device": [0, "x"]}, content=True) == ["device"]


@pytest.mark.parametrize(
    ("value", "kind", "fits"),
    [
        (1, float, True),
        (True, float, False),
        (1.5, int, False),
        (None, str | None, True),
        (None, str, False),
        ({"a": [1, 2]}, dict[str, list[int]], True),
        ({"a": [1, "2"]}, dict[str, list[int]], False),
        ([None], list[float | None], True),
        ({}, Any, True),
    ],
)
def test_records_have_the_types_they_should(value: Any, kind: Any, fits: bool) -> None:
    context: Any = contextlib.nullcontext() if fits else pytest.raises(ValueError, match="its 'x' is")
    with context:
        check_record({"x": value}, {"x": kind})
    with pytest.raises(ValueError, match="x is missing"):
        check_record({}, {"x": int})
    check_record({}, {"x?": int})
    with pytest.raises(ValueError, match="not an object"):
        check_record([], {"x": int})


def test_edits_reach_every_place_of_a_record() -> None:
    record = {"a": {"b": [1, 2]}, "c": None}
    assert len(list(nodes(record))) == 5
    found = {str(edited(record, bytes([0, place, 4]))) for place in range(5)}
    assert len(found) == 5
    assert all(edited(record, edit) != record for edit in EDITS)
    assert edited({}, b"\0\0\0") == {}
