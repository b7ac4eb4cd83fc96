"""Exports are read back by the libraries of their formats, with the labels and pixels of the dataset."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from exporting import export
from made_samples import FIELDS, make_sample, make_samples
from PIL import Image
from synthforge_plugins.executors import local

from synthforge.cli import export as export_command
from synthforge.core.errors import ConfigError, DataError, PluginError, UserError
from synthforge.core.plugins import load_plugins
from synthforge.core.provenance import files_of
from synthforge.core.records import MEMBER_FIELDS
from synthforge.core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS, class_mapping
from synthforge.datasets import formats
from synthforge.datasets.codecs import Encoding
from synthforge.datasets.formats import FORMATS
from synthforge.datasets.marks import marked, source_type
from synthforge.datasets.writer import finish, write_shard


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process writes by itself."""
    monkeypatch.setattr(local, "is_one_thread", lambda: True)


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Path:
    """Two shards of three samples."""
    return make_dataset()


def _pixels(data: bytes | memoryview | Path) -> np.ndarray:
    return np.asarray(Image.open(data if isinstance(data, Path) else io.BytesIO(data)))


def _files(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_of(folder)}


def test_coco_is_read_by_pycocotools(data: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    out = export(data, "coco", tmp_path / "out", val=0.34)
    schema = POINT_SCHEMAS["ibug68"]
    for split, indices in (("train", range(4)), ("val", range(4, 6))):
        faces = coco.COCO(str(out / f"annotations/face_keypoints_{split}.json"))
        parts = coco.COCO(str(out / f"annotations/face_parts_{split}.json"))
        (category,) = faces.loadCats(faces.getCatIds())
        assert len(category["keypoints"]) == len(set(category["keypoints"])) == len(schema)
        assert faces.getImgIds() == parts.getImgIds() == [index + 1 for index in indices]
        for index in indices:
            want = make_sample(index)
            (image,) = faces.loadImgs(index + 1)
            assert (image["width"], image["height"]) == (24, 24)
            assert np.array_equal(_pixels(out / "images" / image["file_name"]), want["image"])
            (face,) = faces.loadAnns(faces.getAnnIds(index + 1))
            found = np.array(face["keypoints"]).reshape(-1, 3)
            assert np.allclose(found[:, :2] + 0.5, want["landmarks2d"], atol=1e-4)
            assert np.array_equal(found[:, 2] == 2, want["landmark_visibility"])
            x0, y0, width, height = face["bbox"]
            corners = [want["landmarks2d"].min(0), want["landmarks2d"].max(0)]
            assert np.allclose(np.clip(corners, 0, 24), [[x0, y0], [x0 + width, y0 + height]], atol=1e-3)
            labels = np.zeros((24, 24), np.uint8)
            for part in parts.loadAnns(parts.getAnnIds(index + 1)):
                labels[parts.annToMask(part) > 0] = part["category_id"]
            assert np.array_equal(labels, want["segmentation"])


def test_yolo_pose_has_what_its_documents_ask_for(data: Path, tmp_path: Path) -> None:
    out = export(data, "yolo-pose", tmp_path / "out", val=0.5)
    head = yaml.safe_load((out / "data.yaml").read_text())
    assert (head["train"], head["val"], head["kpt_shape"]) == ("images/train", "images/val", [68, 3])
    assert head["flip_idx"] == list(POINT_SCHEMAS["ibug68"].mirror)
    assert sorted(p.stem for p in (out / "images/val").iterdir()) == ["000000003", "000000004", "000000005"]
    for index in range(6):
        split, want = "train" if index < 3 else "val", make_sample(index)
        (line,) = (out / f"labels/{split}/{index:09d}.txt").read_text().splitlines()
        label, *numbers = map(float, line.split())
        points = np.array(numbers[4:]).reshape(68, 3)
        inside = ((want["landmarks2d"] >= 0) & (want["landmarks2d"] <= 24)).all(-1)
        assert (label, len(numbers)) == (0, 4 + 3 * 68)
        assert np.allclose(points[inside, :2] * 24, want["landmarks2d"][inside], atol=1e-5)
        assert np.array_equal(points[:, 2], np.where(inside, np.where(want["landmark_visibility"], 2, 1), 0))
        assert min(numbers[2:4]) > 0
        assert max(numbers[:4]) <= 1


def test_hugging_face_reads_every_field(data: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    out = export(data, "huggingface", tmp_path / "out", val=0.34)
    found = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {name: len(rows) for name, rows in found.items()} == {"train": 4, "validation": 2}
    for index, row in enumerate([*found["train"], *found["validation"]]):
        want = make_sample(index)
        assert row["key"] == want["__key__"]
        assert np.array_equal(np.asarray(row["image"]), want["image"])
        assert np.array_equal(np.asarray(row["segmentation"]), want["segmentation"])
        assert np.abs(np.asarray(row["depth"]) * 1e-4 - want["depth"]).max() < 1e-4
        assert np.array_equal(np.array(row["landmarks2d"], np.float32), want["landmarks2d"])
        assert row["landmark_visibility"] == want["landmark_visibility"].tolist()
        assert json.loads(row["words"]) == want["words"]
        assert json.loads(row["scene"])["index"] == index
        assert json.loads(row["camera"]) == want["camera"]


def test_webdataset_streams_the_tars(data: Path, tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset")
    out = export(data, "webdataset", tmp_path / "out", val=0.34)
    index = json.loads((out / "train.json").read_text())
    assert [row["nsamples"] for row in index["shardlist"]] == [3, 1]
    urls = [str(out / row["url"]) for row in index["shardlist"]] + [str(out / "val-00001.tar")]
    handler = wds.autodecode.imagehandler("rgb8", ["png"])
    found = list(wds.WebDataset(urls, shardshuffle=False).decode(handler, only=["png"]))
    assert [row["__key__"] for row in found] == [f"{index:09d}" for index in range(6)]
    for index, row in enumerate(found):
        want = make_sample(index)
        assert np.array_equal(row["png"], want["image"])
        assert np.array_equal(_pixels(row["segmentation.png"]), want["segmentation"])
        assert json.loads(row["json"])["annotations"]["words"] == want["words"]


def test_litdata_streams_the_chunks(data: Path, tmp_path: Path) -> None:
    litdata = pytest.importorskip("litdata")
    out = export(data, "litdata", tmp_path / "out", val=0.34)
    rows: list[Any] = []
    for split in ("train", "val"):
        stream = litdata.StreamingDataset(str(out / split), shuffle=False)
        rows += [stream[index] for index in range(len(stream))]
    assert [row["key"] for row in rows] == [f"{index:09d}" for index in range(6)]
    for index, row in enumerate(rows):
        want = make_sample(index)
        assert np.array_equal(_pixels(row["image"]), want["image"])
        assert np.array_equal(_pixels(row["segmentation"]), want["segmentation"])
        assert np.array_equal(row["landmarks2d"], want["landmarks2d"])
        assert np.array_equal(row["landmark_visibility"], want["landmark_visibility"])


def test_the_benchmark_300w_reads_its_tree(data: Path, tmp_path: Path) -> None:
    out = export(data, "300w", tmp_path / "out")
    benchmark = load_plugins().build("benchmark", {"name": "300w", "root": str(out)})
    assert benchmark.stand_in, "a report must say that these are no photographs"
    items = benchmark.items("all-train")
    assert len(items) == 6
    for index, item in enumerate(items):
        sample, want = benchmark.load(item), make_sample(index)
        assert np.array_equal(sample.image, want["image"])
        assert np.allclose(sample.target, want["landmarks2d"], atol=1e-6)


@pytest.mark.parametrize(("to", "schema"), [("lapa", "lapa11"), ("celebamask-hq", "celebamask19")])
def test_parsing_benchmarks_read_their_trees(data: Path, tmp_path: Path, to: str, schema: str) -> None:
    out = export(data, to, tmp_path / "out", val=0.34)
    benchmark = load_plugins().build("benchmark", {"name": to, "root": str(out)})
    assert benchmark.stand_in
    items = [*benchmark.items("train"), *benchmark.items("val")]
    assert [len(benchmark.items(split)) for split in ("train", "val")] == [4, 2]
    table = class_mapping("synthforge", schema)
    for index, item in enumerate(items):
        sample, want = benchmark.load(item), make_sample(index)
        assert np.array_equal(sample.image, want["image"])
        assert np.array_equal(sample.target, table[want["segmentation"]])


def test_lapa_has_its_landmarks_where_the_dataset_has_them(tmp_path: Path) -> None:
    from synthforge.testing.formats import made_up_dataset

    out = export(made_up_dataset(tmp_path / "data"), "lapa", tmp_path / "out")
    benchmark = load_plugins().build("benchmark", {"name": "lapa", "root": str(out), "box": "landmarks"})
    x0, y0, x1, y1 = benchmark.load(benchmark.items("train")[0]).box
    assert 2 <= x0 < x1 <= 30
    assert 2 <= y0 < y1 <= 30


@pytest.mark.parametrize("to", list(FORMATS))
def test_each_export_has_a_card_and_a_croissant_file_that_is_valid(data: Path, tmp_path: Path, to: str) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    for module in FORMATS[to].modules:
        pytest.importorskip(module)
    out = export(data, to, tmp_path / "out")
    record = mlcroissant.Dataset(jsonld=str(out / "croissant.json")).metadata
    assert record.issues.errors == set()
    assert record.license == ["CC0"]
    _, head, body = (out / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "cc0"
    assert "6 samples" in body
    assert "landmark_visibility" in body
    assert not (out / ".parts").exists()


def test_croissant_loads_the_rows_of_a_table(data: Path, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    out = export(data, "huggingface", tmp_path / "out")
    rows = list(mlcroissant.Dataset(jsonld=str(out / "croissant.json")).records("samples"))
    assert [row["samples/key"].decode() for row in rows] == [f"{index:09d}" for index in range(6)]
    assert np.array_equal(np.asarray(rows[2]["samples/image"]), make_sample(2)["image"])


def test_pictures_say_what_made_them_and_keep_their_pixels(data: Path, tmp_path: Path) -> None:
    name = "images/000000000.png"
    plain = (export(data, "coco", tmp_path / "plain", mark=False) / name).read_bytes()
    with_mark = (export(data, "coco", tmp_path / "marked") / name).read_bytes()
    assert b"DigitalSourceType" not in plain
    image = Image.open(io.BytesIO(with_mark))
    assert "cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia" in image.info["XML:com.adobe.xmp"]
    assert np.array_equal(np.asarray(image), make_sample(0)["image"])
    assert len(with_mark) > len(plain)
    with pytest.raises(DataError, match="neither PNG nor JPEG"):
        marked(b"GIF89a", "algorithmicMedia")


def test_jpeg_pictures_are_marked_too(tmp_path: Path) -> None:
    root = tmp_path / "data"
    write_shard(root, 0, make_samples(0, 2), FIELDS, config_hash="x", encoding=Encoding(jpeg_quality=90))
    finish(root, shards=1, config_hash="x", config={}, licences={"a": "CC0", "b": "MIT License"})
    out = export(root, "300w", tmp_path / "out")
    image = Image.open(out / "afw/000000001.jpg")
    assert b"algorithmicMedia" in image.info["xmp"]
    plain = Image.open(io.BytesIO(formats.Export(formats.ShardDataset(root), out).sample(1).picture))
    assert np.array_equal(np.asarray(image), np.asarray(plain))
    assert "license: other" in (out / "README.md").read_text()


def test_the_mark_is_the_generators_word() -> None:
    assert source_type({"provenance": {}}) == "algorithmicMedia"
    trained = {"digital_source_type": "trainedAlgorithmicMedia"}
    assert source_type({"provenance": trained}) == "trainedAlgorithmicMedia"
    assert source_type({"provenance": {"layout": "shards", "provenance": trained}}) == "trainedAlgorithmicMedia"
    assert source_type({"provenance": {"digital_source_type": ""}}) == "", "nobody knows"


@pytest.mark.parametrize("to", ["coco", "celebamask-hq"])
def test_an_interrupted_export_goes_on_to_the_same_bytes(
    data: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, write, done = _files(export(data, to, tmp_path / "whole")), formats.write_part, []

    def interrupted(format: Any, made: Any, shard: int, advance: Any) -> None:
        if done:
            raise KeyboardInterrupt
        write(format, made, shard, advance)
        done.append(shard)

    monkeypatch.setattr(formats, "write_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(data, to, tmp_path / "out")
    assert (tmp_path / "out/.parts/00000.json").is_file()
    monkeypatch.setattr(formats, "write_part", lambda *given: (done.append(given[2]), write(*given)))
    assert _files(export(data, to, tmp_path / "out")) == whole
    assert done == [0, 1], "the shard that was there is not written again"
    export(data, to, tmp_path / "out")
    assert done == [0, 1], "what is up to date is not written again"


def test_what_is_wrong_is_said_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="there is no format 'cocoo'") as caught:
        export(data, "cocoo", out)
    assert "Did you mean 'coco'" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="does not tell splits apart"):
        export(data, "300w", out, val=0.1)
    with pytest.raises(ConfigError, match="is no dataset"):
        export(tmp_path, "coco", out)
    bare = tmp_path / "bare"
    write_shard(bare, 0, make_samples(0, 1), FIELDS[1:2], config_hash="x")
    finish(bare, shards=1, config_hash="x", config={}, licences={})
    with pytest.raises(DataError, match=r"to: the dataset has no points2d field") as caught:
        export(bare, "coco", out)
    assert "depth (depth)" in (caught.value.hint or "")
    with pytest.raises(DataError, match="no label field"):
        export(bare, "lapa", out)
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="not empty"):
        export(data, "coco", out)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_a_library_that_is_missing_is_named_with_the_way_to_get_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs pycocotools, which is not installed") as caught:
        export(data, "coco", tmp_path / "out")
    assert "synthforge[export]" in (caught.value.hint or "")


def test_damage_is_named_and_the_rest_is_kept(data: Path, tmp_path: Path) -> None:
    path = data / "shard-00001.tar"
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"shard 1, sample 000000003.*checksum"):
        export(data, "coco", tmp_path / "out")
    assert (tmp_path / "out/.parts/00000.json").is_file()
    content[2000] ^= 1
    path.write_bytes(content)
    assert len(list((export(data, "coco", tmp_path / "out") / "images").iterdir())) == 6


THEIRS = """
from synthforge.core.hookspecs import hookimpl
from synthforge.datasets.formats import Card, Format

def write(export, samples, shard):
    return [[sample.key, sample["landmarks2d"][30].tolist()] for sample in samples]

def finish(export):
    rows = [f"{key} {x} {y}" for record in export.records() for key, (x, y) in record]
    export.write("noses.txt", "\\n".join(rows).encode())
    return Card({"annotations_creators": ["machine-generated"]})

@hookimpl
def register_formats(register):
    register(Format("noses", "Where noses are", "noses.txt  key, x, y", write=write, finish=finish))
"""


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_third_party_adds_a_format_in_a_file_of_its_own(data: Path, tmp_path: Path, workers: int) -> None:
    name = f"noses{workers}"  # a name is registered once in a process
    (tmp_path / "theirs.py").write_text(THEIRS.replace('"noses"', f'"{name}"'))
    executor = {"name": "local", "few": 0}
    keys = {"plugins": ("./theirs.py",), "base": tmp_path, "workers": workers, "executor": executor}
    out = export(data, name, tmp_path / "out", **keys)
    rows = [line.split() for line in (out / "noses.txt").read_text().splitlines()]
    assert [row[0] for row in rows] == [f"{index:09d}" for index in range(6)]
    assert np.allclose([float(each) for each in rows[4][1:]], make_sample(4)["landmarks2d"][30])
    assert "annotations_creators:\n- machine-generated\n" in (out / "README.md").read_text()


def test_a_format_that_depends_on_order_is_found() -> None:
    from synthforge.testing import check_format

    written: list[int] = []

    def write(made: Any, samples: Iterator[Any], shard: int) -> None:
        written.append(shard)
        made.write(f"{shard}.txt", str(len(written)).encode())

    with pytest.raises(AssertionError, match="format 'odd': other bytes in another order of shards: "):
        check_format(formats.Format("odd", "counts calls", "N.txt", write=write))


def test_the_command_asks_for_what_it_lacks_and_tells_what_it_did(data: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert isinstance(run(export_command.command, [str(data), "--out", "x"]).exception, UserError)
    lacking = run(export_command.command, [str(data), "--to", "card"]).exception
    assert "--out" in str(lacking)
    arguments = [str(data), "--to", "card", "--out", str(tmp_path / "out"), "--json", "-"]
    done = run(export_command.command, arguments)
    assert done.exit_code == 0, done.output
    (stage,) = json.loads(done.stdout)["stages"]
    assert (stage["status"], stage["folder"]) == ("done", str(tmp_path / "out"))
    assert json.loads(run(export_command.command, arguments).stdout)["stages"][0]["status"] == "up to date"


def test_labels_that_no_mapping_leads_from_are_answered(tmp_path: Path) -> None:
    assert "lapa11" in CLASS_SCHEMAS
    field = formats.Field("labels", "label", schema="celebamask19")
    with pytest.raises(PluginError, match="no mapping from class schema 'celebamask19' to 'facesynthetics19'"):
        formats.labels_field([field], "facesynthetics19")


def test_one_person_is_not_in_both_splits(tmp_path: Path) -> None:
    root, fields = tmp_path / "data", (*FIELDS, *MEMBER_FIELDS)
    samples = [{**make_sample(index), "group": index // 4, "member": index % 4} for index in range(12)]
    write_shard(root, 0, samples, fields, config_hash="x")
    finish(root, shards=1, config_hash="x", config={}, licences={})
    dataset = formats.ShardDataset(root)
    sizes = [formats.Export(dataset, tmp_path, val).splits for val in (0, 0.1, 0.33, 0.5)]
    assert sizes == [{"train": 12}, {"train": 8, "val": 4}, {"train": 8, "val": 4}, {"train": 4, "val": 8}]


def test_a_split_without_samples_for_training_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leaves no sample for training"):
        export(data, "litdata", tmp_path / "out", val=0.99)


def test_files_of_a_shard_are_on_the_disk_before_its_record(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    out = tmp_path / "out"

    def sync() -> None:
        assert not formats.part_file(out, len(seen)).exists()
        seen.append(len(list((out / "afw").iterdir())))

    monkeypatch.setattr(formats, "sync_all", sync)
    export(data, "300w", out)
    assert seen == [6, 12]


def test_a_shard_may_have_a_record_of_any_size(data: Path, tmp_path: Path) -> None:
    made = formats.Export(formats.ShardDataset(data), tmp_path)
    for shard in range(2):
        path = formats.part_file(tmp_path, shard)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"record": list(range(1_600_000))}))  # more than a foreign file may hold
    assert [len(record) for record in made.records()] == [1_600_000] * 2
    path.write_text("{")
    with pytest.raises(DataError, match="is not a record of this export"):
        list(made.records())
