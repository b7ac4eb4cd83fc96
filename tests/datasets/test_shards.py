"""Shards: written whole, found again by index, and unlike another run's only where they should be."""

from __future__ import annotations

import json
import pickle
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_samples import FIELDS, make_sample, make_samples

from synthforge.core.camera import Camera
from synthforge.core.errors import ConfigError, DataError
from synthforge.core.files import clean_stale
from synthforge.core.records import Field, Rendering, Scene
from synthforge.datasets import reader
from synthforge.datasets.codecs import CODECS, Encoding
from synthforge.datasets.layout import header, marker_path, read_marker, tar_path
from synthforge.datasets.reader import ShardDataset
from synthforge.datasets.writer import finish, shard_done, to_sample, write_shard

EXACT = {
    "image": (np.uint8, (5, 5, 3)),
    "label": (np.uint8, (5, 5)),
    "points2d": (np.float32, (4, 2)),
    "points3d": (np.float32, (4, 3)),
    "flags": (np.bool_, (4,)),
}


def same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b) if isinstance(b, np.ndarray) else a == b


def samples_equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(same(a[name], b[name]) for name in b)


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_random_fields_come_back(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    kinds = data.draw(st.lists(st.sampled_from([*EXACT, "json"]), max_size=5))
    fields = [Field(f"f{i}_{kind}", kind) for i, kind in enumerate(kinds)]
    texts = st.text(st.characters(codec="utf-8"), max_size=8)
    plain = st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | texts, st.lists, max_leaves=4)

    def value(kind: str) -> Any:
        if kind == "json":
            return data.draw(plain)
        dtype, shape = EXACT[kind]
        elements = {"elements": st.floats(-9, 9, width=32)} if dtype == np.float32 else {}
        return data.draw(hnp.arrays(dtype, shape, **elements))

    keys = data.draw(st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True), unique=True, max_size=4))
    samples = [
        {"__key__": key, "image": value("image"), "scene": {"note": data.draw(texts)}, "camera": None}
        | {item.name: value(item.kind) for item in fields}
        for key in keys
    ]
    root = tmp_path_factory.mktemp("shards")
    info = write_shard(root, 0, samples, fields, config_hash="x", threads=data.draw(st.sampled_from([0, 2])))
    assert info.keys == tuple(keys)
    finish(root, shards=1, config_hash="x", config={}, licences={})
    dataset = ShardDataset(root)
    assert len(dataset) == len(samples)
    assert all(samples_equal(got, want) for got, want in zip(dataset, samples, strict=True))


def test_a_sample_comes_back_within_its_precision(make_dataset: Callable[..., Path]) -> None:
    dataset = ShardDataset(make_dataset(shards=2, count=3))
    assert len(dataset) == 6
    assert dataset.keys() == [f"{i:09d}" for i in range(6)]
    assert dataset.where(4) == dataset.where(-2) == (1, "000000004")
    got, want = dataset[4], make_sample(4)
    for name in ("image", "segmentation", "landmarks2d", "landmarks3d", "landmark_visibility", "words"):
        assert same(got[name], want[name]), name
    assert np.abs(got["depth"] - want["depth"]).max() <= 0.51e-4
    assert np.abs(got["normals"] - want["normals"]).max() < 0.01
    shape = want["scene"]["parameters"]["shape"].tolist()
    assert got["scene"]["parameters"]["shape"] == pytest.approx(shape, rel=1e-8)  # nine digits are kept
    assert Camera.from_json(got["camera"]) == Camera.from_json(want["camera"])
    with pytest.raises(IndexError):
        dataset[6]


def test_only_the_fields_asked_for_are_read(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset()
    assert set(ShardDataset(root, ["depth"])[0]) == {"__key__", "depth"}
    assert set(ShardDataset(root, ["image", "landmarks2d", "camera"])[0]) == {
        *("__key__", "image", "landmarks2d", "camera")
    }
    with pytest.raises(DataError, match="no field 'dept'") as caught:
        ShardDataset(root, ["dept"])
    assert "segmentation" in str(caught.value.hint)


def test_bytes_depend_on_the_samples_alone(tmp_path: Path) -> None:
    for name, threads in (("a", 0), ("b", 3)):
        write_shard(tmp_path / name, 7, make_samples(0, 4), FIELDS, config_hash="x", threads=threads)
        finish_alone(tmp_path / name)
    for path in ("shard-00007.tar", "shard-00007.json", "shard-00000.tar", "manifest.json"):
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
    with tarfile.open(tar_path(tmp_path / "a", 7)) as tar:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "", "", 0o644)}


def finish_alone(root: Path) -> None:
    write_shard(root, 0, make_samples(9, 1), FIELDS, config_hash="x")
    finish(root, shards=1, config_hash="x", config={"a": [1, 2]}, licences={"b": "c"})


def test_the_tar_is_ustar_and_members_lie_where_the_marker_says(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(shards=1)
    marker = json.loads(marker_path(root, 0).read_text())
    with tarfile.open(tar_path(root, 0), format=tarfile.USTAR_FORMAT) as tar:
        found = [(m.name, m.offset_data, m.size) for m in tar]
    assert found == [
        (f"{key}.{member}", offset, size)
        for key, offsets, sizes in zip(marker["keys"], marker["offsets"], marker["sizes"], strict=True)
        for member, offset, size in zip(marker["members"], offsets, sizes, strict=True)
    ]
    assert tar_path(root, 0).stat().st_size % tarfile.RECORDSIZE == 0


@given(st.from_regex(r"\A[A-Za-z0-9_.-]{1,100}\Z"), st.integers(0, 8**11 - 1))
def test_headers_are_those_of_the_tar_module(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    assert header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_webdataset_streams_the_shards(make_dataset: Callable[..., Path]) -> None:
    import webdataset as wds

    root = make_dataset(shards=2, count=3)
    dataset = ShardDataset(root)
    urls = [str(tar_path(root, shard)) for shard in range(2)]
    streamed = list(wds.WebDataset(urls, shardshuffle=False))
    assert [sample["__key__"] for sample in streamed] == dataset.keys()
    fields = {f"{item.name}.png": item for item in dataset.fields if CODECS[item.kind].member}
    for sample, own in zip(streamed, dataset, strict=True):
        points = np.array(json.loads(sample["json"])["annotations"]["landmarks2d"], np.float32)
        assert np.array_equal(points, own["landmarks2d"])
        for member, item in fields.items():
            decoded = CODECS[item.kind].decode(sample[member], item, Encoding())
            assert np.array_equal(decoded, own[item.name]), member
    # webdataset's own image decoder, with handlers named one by one so that nothing is unpickled
    handlers = [wds.autodecode.imagehandler("rgb8", ["png"])]
    decoded = list(wds.WebDataset(urls[:1], shardshuffle=False).decode(*handlers, only=["image.png"]))
    assert all(np.array_equal(sample["image.png"], own["image"]) for sample, own in zip(decoded, dataset, strict=False))


def test_renderings_become_samples(tmp_path: Path) -> None:
    camera = Camera.from_json(make_sample(0)["camera"])
    scene = Scene(5, 12, {"shape": np.arange(3, dtype=np.float32), "light": {"kind": "sun", "power": np.float64(2)}})
    sample = to_sample(Rendering(scene, camera, np.zeros((24, 24, 3), np.uint8)), {"words": ["a"]})
    write_shard(tmp_path, 0, [sample], [Field("words", "json")], config_hash="x")
    finish(tmp_path, shards=1, config_hash="x", config={}, licences={})
    (got,) = ShardDataset(tmp_path)
    assert got["__key__"] == "000000012"
    assert got["scene"] == {
        "seed": 5,
        "index": 12,
        "parameters": {"shape": [0.0, 1.0, 2.0], "light": {"kind": "sun", "power": 2.0}},
    }
    assert Camera.from_json(got["camera"]) == camera


def _shapes(dataset: ShardDataset, indices: list[int]) -> list[tuple[str, int]]:
    return [(dataset[i]["__key__"], int(dataset[i]["image"].sum())) for i in indices]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_many_processes_read_at_once(make_dataset: Callable[..., Path], method: str) -> None:
    dataset = ShardDataset(make_dataset())
    wanted = _shapes(dataset, list(range(6)))  # files are open before the fork
    with ProcessPoolExecutor(2 if method == "fork" else 1, get_context(method)) as pool:
        results = [pool.submit(_shapes, dataset, [i, 5 - i]) for i in range(6)]
        for i, result in enumerate(results):
            assert result.result(timeout=60) == [wanted[i], wanted[5 - i]]


def test_many_threads_read_at_once(make_dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthforge.datasets.reader._OPEN_FILES", 1)  # files close under other threads' hands
    dataset = ShardDataset(make_dataset(shards=4, count=2))
    wanted = _shapes(dataset, list(range(8)))
    failures: list[Any] = []

    def work(seed: int) -> None:
        for i in np.random.default_rng(seed).integers(0, 8, 40).tolist():
            if _shapes(dataset, [i]) != [wanted[i]]:
                failures.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_datasets_are_pickled_without_their_open_files(make_dataset: Callable[..., Path]) -> None:
    dataset = ShardDataset(make_dataset(), ["image"])
    first = dataset[0]
    copy = pickle.loads(pickle.dumps(dataset))
    assert samples_equal(copy[0], first)


def test_the_manifest_explains_the_dataset(make_dataset: Callable[..., Path]) -> None:
    root = make_dataset(shards=2, count=3)
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["count"] == 6
    assert [item["name"] for item in manifest["fields"]] == ["image", *(item.name for item in FIELDS)]
    assert manifest["encoding"] == {"depth_scale": 1e-4, "jpeg_quality": None}
    assert manifest["schemas"]["synthforge"]["classes"][5] == "nose"
    assert len(manifest["schemas"]["synthforge"]["colours"]) == len(manifest["schemas"]["synthforge"]["classes"])
    assert manifest["licences"] == {"made up": "CC0"}
    assert {"synthforge", "numpy", "torch", "python"} <= set(manifest["versions"])
    assert manifest["config"] == {"samples": 6}


def test_notes_may_be_filled_by_the_samples(tmp_path: Path) -> None:
    notes: dict[str, int] = {"rejected": 0}

    def samples() -> Any:
        yield make_sample(0)
        notes["rejected"] += 2

    write_shard(tmp_path, 0, samples(), FIELDS, config_hash="x", notes=notes)
    path = finish(tmp_path, shards=1, config_hash="x", config={}, licences={})
    assert json.loads(path.read_text())["shards"][0]["notes"] == {"rejected": 2}


def test_a_shard_counts_when_its_marker_stands(tmp_path: Path) -> None:
    assert not shard_done(tmp_path, 0, "x")
    write_shard(tmp_path, 0, make_samples(0, 2), FIELDS, config_hash="x")
    assert shard_done(tmp_path, 0, "x", verify=True)
    marker_path(tmp_path, 0).unlink()
    assert not shard_done(tmp_path, 0, "x")


def test_another_configuration_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, make_samples(0, 1), FIELDS, config_hash="old-hash")
    with pytest.raises(ConfigError, match="another configuration") as caught:
        shard_done(tmp_path, 0, "new-hash")
    assert "folder of its own" in str(caught.value.hint)


def test_finish_wants_every_shard_and_one_kind_of_them(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, make_samples(0, 1), FIELDS, config_hash="x")
    with pytest.raises(DataError, match="shard 1 of 2"):
        finish(tmp_path, shards=2, config_hash="x", config={}, licences={})
    write_shard(tmp_path, 1, make_samples(1, 1), FIELDS[:2], config_hash="x")
    with pytest.raises(DataError, match=r"shard 1 .* other fields"):
        finish(tmp_path, shards=2, config_hash="x", config={}, licences={})
    write_shard(tmp_path, 1, make_samples(0, 1), FIELDS, config_hash="x")
    with pytest.raises(DataError, match="more than one shard"):
        finish(tmp_path, shards=2, config_hash="x", config={}, licences={})
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"__key__": "a.b"}, "not a sample key"),
        ({"__key__": ""}, "not a sample key"),
        ({"image": np.zeros((24, 24), np.uint8)}, "shard 0, sample 000000001: field 'image'"),
        ({"__key__": "000000000"}, "comes twice"),
    ],
)
def test_a_bad_sample_leaves_nothing_behind(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    samples = [make_sample(0), make_sample(1) | change]
    for threads in (0, 2):
        with pytest.raises(DataError, match=message):
            write_shard(tmp_path, 0, samples, FIELDS, config_hash="x", threads=threads)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["Upper", "with.dot", "scene", "camera", "json", ""])
def test_field_names_that_a_tar_member_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be a field name"):
        write_shard(tmp_path, 0, [], [Field(name, "json")], config_hash="x")


def test_only_our_own_dead_leftovers_are_cleaned(tmp_path: Path) -> None:
    from synthforge.core import files

    dead = 2**22 + 1  # above the largest process id Linux gives
    ours = [tmp_path / f".{name}.{files._HOST}.{dead}.0.tmp" for name in ("any name", "shard-00003.tar")]
    kept = [
        tmp_path / f".shard-00003.tar.{files._HOST}.1.0.tmp",  # its process lives
        tmp_path / f".shard-00003.tar.elsewhere.{dead}.0.tmp",  # another machine's
        tmp_path / f".notes.txt.{dead}.0.tmp",  # not a name of ours: no machine
        tmp_path / f".{files._HOST}.{dead}.0.tmp",  # and no file
        tmp_path / "shard-00003.tar.tmp",
    ]
    for path in (*ours, *kept):
        path.write_bytes(b"x")
    assert clean_stale(tmp_path) == ours
    assert all(path.exists() for path in kept)


def test_many_shards_are_looked_at_when_they_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a dataset of many shards reads the manifest alone; what is damaged is named when it is reached."""
    monkeypatch.setattr(reader, "_AT_ONCE", 8)
    for shard in range(6):
        write_shard(tmp_path, shard, make_samples(2 * shard, 2), FIELDS[:2], config_hash="x")
    finish(tmp_path, shards=6, config_hash="x", config={}, licences={})
    read: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(reader, "read_marker", lambda root, shard, sha256: read.append(shard) or read_marker(root, shard))
        dataset = ShardDataset(tmp_path)
        assert (len(dataset), read) == (12, [])
        for index in (7, 6, 7, 0):
            assert dataset[index]["__key__"] == f"{index:09d}"
        assert read == [3, 0]
        again = pickle.loads(pickle.dumps(dataset))
        assert again[11]["__key__"] == "000000011"
    assert dataset.keys() == [f"{index:09d}" for index in range(12)]
    (tmp_path / "shard-00005.json").write_bytes(b"{}")
    later = ShardDataset(tmp_path)
    assert later[9]["__key__"] == "000000009"
    with pytest.raises(DataError, match="shard-00005"):
        later[10]
    assert len(ShardDataset(tmp_path, skip_damaged=True)) == 10
