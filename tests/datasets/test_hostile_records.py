"""Manifests, markers and samples written to do harm, with checksums that fit: one error, never a traceback."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_samples import FIELDS, make_samples

from synthforge.core.errors import DataError, SynthForgeError
from synthforge.core.factors import Factor
from synthforge.core.files import sha256_of
from synthforge.core.records import Verdict
from synthforge.datasets.distributions import factors_of
from synthforge.datasets.layout import MANIFEST, digest, marker_path, to_bytes
from synthforge.datasets.reader import ShardDataset, read_manifest
from synthforge.datasets.rejections import NOTE, acceptance, read_rejections, rejection
from synthforge.datasets.verify import verify
from synthforge.datasets.writer import finish, shard_done, write_shard

#: what stands where something else should
HOSTILE: list[Any] = [
    *(None, True, -1, 0, 2**60, 1e308, 0.5, "", "x", "../../x", "\0", "é" * 300, [], {}, [[]], [None], [-1], {"": {}}),
    *({"shard": 0}, [["a"] * 8], {"name": ["x"]}, [{"kind": "label"}], [2**53] * 3, "NaN", {"__class__": "x"}),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    notes = {NOTE: [rejection(7, "visible", Verdict(False, "hidden", {"share": 0.25}))]}
    write_shard(root, 0, make_samples(0, 2), FIELDS, config_hash="abc", notes=notes)
    finish(
        root,
        shards=1,
        config_hash="abc",
        config={"generator": "anny", "samples": 3, "shard_size": 3},
        licences={"made up": "CC0"},
        filters=[{"name": "visible"}],
        factors=[Factor("camera.roll", ("drawn.camera.roll",), "normal", mean=0.0, std=0.1, unit="rad", source="a")],
    )
    return root


def nodes(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a record."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*place, key)
            yield from nodes(item, (*place, key))


def changed(record: Any, place: tuple[Any, ...], value: Any) -> Any:
    record = copy.deepcopy(record)
    *way, last = place
    inner = record
    for key in way:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return record


def read_all(root: Path) -> None:
    """Whatever a user may do with a dataset; only our errors."""
    with contextlib.suppress(SynthForgeError):
        shard_done(root, 0, "abc", verify=True)
    with contextlib.suppress(DataError):
        manifest = read_manifest(root)
        acceptance(manifest)
        factors_of(manifest)
        read_rejections(root)
    with contextlib.suppress(DataError):
        for sample in ShardDataset(root):
            assert sample["image"].shape == (24, 24, 3)
    json.dumps(verify(root).to_json())


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_record_ends_in_a_traceback(root: Path, data: st.DataObject) -> None:
    manifest, marker = root / MANIFEST, marker_path(root, 0)
    sound = manifest.read_bytes(), marker.read_bytes()
    try:
        record, shard = json.loads(sound[0]), json.loads(sound[1])
        value = data.draw(st.sampled_from([*HOSTILE, ...]))
        if data.draw(st.booleans()):
            shard = changed(shard, data.draw(st.sampled_from(list(nodes(shard)))), value)
            shard.pop("check", None)
            with contextlib.suppress(KeyError, TypeError):
                record["shards"][0] |= {name: shard[name] for name in ("sha256", "size", "count")}
            marker.write_bytes(to_bytes({**shard, "check": digest(shard)}))
            record["shards"][0]["marker_sha256"] = sha256_of(marker)
        else:
            record = changed(record, data.draw(st.sampled_from(list(nodes(record)))), value)
        record.pop("sha256", None)
        manifest.write_bytes(to_bytes({**record, "sha256": digest(record)}, indent=1))
        read_all(root)
    finally:
        manifest.write_bytes(sound[0])
        marker.write_bytes(sound[1])


SAMPLES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a camera that is none": lambda s: s.update(camera={"intrinsics": "x"}),
    "a camera of lists": lambda s: s.update(camera=[[]]),
    "a camera of nothing": lambda s: s.update(camera={}),
    "a scene that is none": lambda s: s.update(scene=[1]),
    "points that are visible and unknown": lambda s: s.update(
        landmarks2d=np.full((68, 2), np.nan, np.float32), landmark_visibility=np.ones(68, bool)
    ),
    "points far outside": lambda s: s.update(landmarks2d=np.full((68, 2), 1e30, np.float32)),
    "too few points": lambda s: s.update(landmarks2d=s["landmarks2d"][:5], landmark_visibility=np.ones(5, bool)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_verify_raises_nothing_whatever_a_sample_holds(tmp_path: Path, name: str) -> None:
    samples = list(make_samples(0, 2))
    SAMPLES[name](samples[1])
    write_shard(tmp_path, 0, samples, FIELDS, config_hash="abc")
    finish(tmp_path, shards=1, config_hash="abc", config={}, licences={})
    report = verify(tmp_path)
    assert json.dumps(report.to_json())
    assert all("sample 000000000" not in problem for problem in report.problems)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 10**5, b"\xff", b'{"state": NaN}', b"[]", b'{"fingerprint": 1}'])
def test_a_damaged_state_file_is_a_problem(tmp_path: Path, data: bytes) -> None:
    write_shard(tmp_path, 0, make_samples(0, 1), FIELDS, config_hash="abc")
    finish(tmp_path, shards=1, config_hash="abc", config={}, licences={})
    assert verify(tmp_path).ok
    (tmp_path / ".stage.json").write_bytes(data)
    assert [problem for problem in verify(tmp_path).problems if ".stage.json" in problem]


def test_every_flipped_bit_of_a_state_file_is_found(tmp_path: Path) -> None:
    from synthforge.core.provenance import read_state, write_state

    state = {"fingerprint": "a1", "state": "done", "seconds": 1.5, "facts": {"seed": 7, "config": {"x": [1, 2]}}}
    write_state(tmp_path, state)
    path = tmp_path / ".stage.json"
    sound, true = path.read_bytes(), read_state(tmp_path)
    for bit in range(0, 8 * len(sound), 11):
        damaged = bytearray(sound)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = read_state(tmp_path)
        except DataError:
            continue
        assert found is not None
        assert {name: found[name] for name in state} == {name: true[name] for name in state}, bit  # type: ignore[index]
