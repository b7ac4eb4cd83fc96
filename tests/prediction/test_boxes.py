from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import pytest

from synthforge.core.errors import DataError
from synthforge.prediction.boxes import read_boxes


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    photos = [tmp_path / "a.jpg", tmp_path / "sub/b.jpg", tmp_path / "none.jpg"]
    expected = {
        photos[0]: [(1.0, 2.0, 30.5, 40.0), (5.0, 6.0, 7.0, 8.0)],
        photos[1]: [(0.0, 0.0, 1.0, 1.0)],
        photos[2]: [],
    }
    texts = {
        "boxes.csv": (
            "file,x0,y0,x1,y1\n# two in one\na.jpg,1,2,30.5,40\n\na.jpg, 5,6,7,8\n"
            "sub/b.jpg,0,0,1,1\nother.jpg,0,0,1,1\n"
        ),
        "by_file.json": json.dumps({"a.jpg": [[1, 2, 30.5, 40], [5, 6, 7, 8]], "sub/b.jpg": [0, 0, 1, 1]}),
        "list.json": json.dumps(
            [
                {"file": "a.jpg", "box": [1, 2, 30.5, 40]},
                {"file": "a.jpg", "box": [5, 6, 7, 8]},
                {"file": str(photos[1]), "box": [0, 0, 1, 1]},
            ]
        ),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        assert read_boxes(tmp_path / name, photos).found == expected, name


def test_a_bare_name_is_enough_where_only_one_photograph_has_it(tmp_path: Path) -> None:
    boxes = tmp_path / "lists/boxes.csv"
    boxes.parent.mkdir()
    boxes.write_text("a.jpg,0,0,1,1\n")
    one, two = tmp_path / "one/a.jpg", tmp_path / "two/a.jpg"
    assert read_boxes(boxes, [one]).found[one] == [(0, 0, 1, 1)]
    with pytest.raises(DataError, match=r"boxes\.csv, line 1: 'a\.jpg' could be"):
        read_boxes(boxes, [one, two])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg,1,2,3\n", r"line 1: .* is not file,x0,y0,x1,y1"),
        ("file,x0,y0,x1,y1\na.jpg,1,2,x,4\n", "line 2: .* is not a box"),
        ("a.jpg,10,10,5,20\n", r"line 1: the box 10, 10, 5, 20 is empty"),
        ("a.jpg,0,0,nan,1\n", "is not a box"),
        ("a.jpg,0,0,1_0,1\n", "is not a box"),
        ("a.jpg,0,0,\u0661,1\n", "is not a box"),
        ("a.jpg,0,0,1e999,1\n", "is not a box"),
        ('{"a.jpg": [[0, 0, true, 1]]}', "is not a box"),
        ("other.jpg,0,0,1,1\n", "names none of the 1 photographs"),
        ("", "names none"),
        ("{", "is not valid JSON"),
        ('{"a.jpg": 3}', "'a.jpg': a list of boxes"),
        ('{"a.jpg": [[1, 2, 3]]}', "box 0: .* is not a box"),
        ("a\0b.jpg,0,0,1,1\na.jpg,0,0,1,1\n", "is no path|is not CSV"),
        ('[{"file": "a.jpg"}]', "entry 0: an object with 'file' and 'box'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "boxes.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_boxes(path, [tmp_path / "a.jpg"])


@pytest.mark.parametrize(("stored", "listed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accents_are_the_same_however_they_are_written(tmp_path: Path, stored: str, listed: str) -> None:
    photos = [tmp_path / normalize(stored, f"caf\u00e9/{name}\u00e9.png") for name in ("a", "b")]
    path = tmp_path / "boxes.csv"
    path.write_text(
        normalize(listed, "caf\u00e9/a\u00e9.png,0,0,1,1\nb\u00e9.png,0,0,2,2\nIMG_9.JPG,0,0,1,1\n"), "utf-8"
    )
    boxes = read_boxes(path, photos)
    assert boxes.found == {photos[0]: [(0, 0, 1, 1)], photos[1]: [(0, 0, 2, 2)]}
    assert list(boxes.others) == ["IMG_9.JPG"]


def test_two_files_whose_names_differ_by_the_form_alone_are_told_apart(tmp_path: Path) -> None:
    composed, split = (tmp_path / normalize(form, "\u00e9.png") for form in ("NFC", "NFD"))
    path = tmp_path / "boxes.csv"
    path.write_text(f"{composed.name},0,0,1,1\n{split.name},0,0,2,2\n", "utf-8")
    assert read_boxes(path, [composed, split]).found == {composed: [(0, 0, 1, 1)], split: [(0, 0, 2, 2)]}


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*gone\.csv"):
        read_boxes(tmp_path / "gone.csv", [])
