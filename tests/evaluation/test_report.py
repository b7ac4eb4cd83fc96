"""The report: one self-contained page, honest about what it compares."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from toy_benchmarks import TASKS, Toy, find_dots, read_depth, read_labels, scored

from synthforge.core.errors import DataError
from synthforge.core.plugins import load_plugins
from synthforge.core.records import Metric, PublishedRow, Scores
from synthforge.datasets import crops, drawing
from synthforge.evaluation import curves, pictures, protocol, report, report_tables
from synthforge.evaluation.protocol import Evaluation
from synthforge.evaluation.scoring import METRICS
from synthforge.evaluation.store import load_evaluation, save_evaluation


@pytest.fixture(scope="module")
def points() -> Evaluation:
    return scored(find_dots, Toy("keypoints"), name="toy", cases=1)


@pytest.fixture(scope="module")
def labels() -> Evaluation:
    return scored(read_labels, Toy("segmentation", 4), name="parsing", cases=1)


def page_of(path: Path, *rows: tuple[str, Evaluation], **options: object) -> str:
    return report.write_report(rows, path, **options).read_text(encoding="utf-8")  # type: ignore[arg-type]


def test_the_page_is_self_contained(tmp_path: Path, points: Evaluation, labels: Evaluation) -> None:
    page = page_of(tmp_path, ("ours", points), ("ours", labels), facts={"trained for": "3 h"}, notes=["mind this"])
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:)""", page)
    assert "url(" not in page
    assert "<script" not in page
    assert page.count("<section>") == 2
    assert all(text in page for text in ("trained for", "3 h", "mind this", "ours"))
    embedded = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    assert len(embedded) == 3 * 2 + 3 * 4
    for data in embedded:
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (256, 256)


def test_text_from_files_is_escaped(tmp_path: Path, points: Evaluation) -> None:
    page = page_of(tmp_path, ("<b>bold</b>", replace(points, stand_in="<script>x</script>")))
    assert "<b>bold" not in page
    assert "<script" not in page
    assert "&lt;b&gt;bold" in page


def test_a_stand_in_is_called_one(tmp_path: Path, points: Evaluation) -> None:
    assert "Not real photographs" not in page_of(tmp_path, ("ours", points))
    page = page_of(tmp_path, ("ours", replace(points, stand_in="rendered heads")))
    assert "Not real photographs" in page
    assert "rendered heads" in page
    assert "not comparable" in page


def test_what_is_compared_is_said(tmp_path: Path, points: Evaluation) -> None:
    page = page_of(tmp_path, ("ours", points))
    assert "a paper" in page
    assert "Table 0" in page
    assert "orientation only" not in page
    part = page_of(tmp_path, ("ours", replace(points, count=5)))
    assert "part of the faces only" in part
    assert "only the first 5 of 10" in part
    row = PublishedRow("theirs", "Table 9", {"nme": 2.5}, split="another")
    assert "orientation only" in page_of(tmp_path, ("ours", replace(points, published=(row,))))
    assert "No published figures" in page_of(tmp_path, ("ours", replace(points, published=())))


def test_rows_of_one_split_share_a_section(tmp_path: Path, points: Evaluation, labels: Evaluation) -> None:
    page = page_of(tmp_path, ("first", points), ("between", labels), ("second", points))
    assert page.count("<section>") == 2
    assert page.count('<section class="summary">') == 1
    assert page.index(">toy, test<") < page.index(">parsing, test<")
    assert page.count("<polyline") == 2 + 1
    tasks = page_of(tmp_path, ("a", replace(labels, benchmark="toy")), ("a", points))
    assert ">toy, test, segmentation<" in tasks
    assert ">toy, test, keypoints<" in tasks


def test_report_json(tmp_path: Path, points: Evaluation) -> None:
    report.write_report([("ours", points)], tmp_path, facts={"seed": 3})
    data = json.loads((tmp_path / report.JSON).read_text())
    assert data["facts"] == {"seed": "3"}
    row = data["evaluations"][0]
    assert row["label"] == "ours"
    assert row["values"]["nme"] == pytest.approx(points.scores.values["nme"])
    assert data["versions"]["numpy"] == np.__version__


def with_figures(like: Evaluation, primary: str, **values: float) -> Evaluation:
    """The evaluation with other figures, `__` for `/` in their names."""
    named = {name.replace("__", "/"): value for name, value in values.items()}
    return replace(like, scores=Scores(named, dict.fromkeys(named, "%"), like.scores.per_item, primary))


PARSING = (
    PublishedRow("A", "Table 3", {"f1/nose": 90.0, "f1/skin": 95.0, "mean_f1/14": 88.0}, split="test"),
    PublishedRow("SB + LF", "Table 3", {"f1/nose": 92.0, "f1/skin": 94.0, "mean_f1/14": 87.0}, split="test"),
)


def test_ours_follow_the_published_row_of_their_name_and_the_best_are_marked(labels: Evaluation) -> None:
    known = replace(labels, published=PARSING)
    figures = {"f1__nose": 80.0, "f1__skin": 91.0, "f1__hat": 10.0, "mean_f1__14": 70.0, "mean_f1__18": 60.0}
    rows = [
        ("mine", with_figures(known, "mean_f1/14", **figures)),
        ("SB + LF", with_figures(known, "mean_f1/14", **{**figures, "f1__nose": 85.0, "mean_f1__18": 50.0})),
    ]
    table = report_tables.comparison(rows)
    assert table is not None
    assert [(row["label"], row["ours"]) for row in table["rows"]] == [
        ("A", False),
        ("SB + LF", False),
        ("SB + LF", True),
        ("mine", True),
    ]
    # What no published row has stays in the other table.
    assert table["columns"] == ["14 classes", "nose", "skin"]
    assert table["groups"] == [{"title": "mean F1, % ↑", "span": 1}, {"title": "F1 per class, % ↑", "span": 2}]
    cells = [[cell["text"] + "*" * cell["best"] for cell in row["cells"]] for row in table["rows"]]
    assert cells == [
        ["88.00*", "90.00", "95.00*"],
        ["87.00", "92.00*", "94.00"],
        ["70.00", "85.00*", "91.00"],  # equal figures have no best
        ["70.00", "80.00", "91.00"],
    ]
    assert table["shared"]
    assert table["same_faces"]
    assert table["source"] == "Table 3"


def test_lower_is_better_where_it_is(points: Evaluation) -> None:
    rows = [("a", with_figures(points, "nme", nme=4.0, fr=1.0)), ("b", with_figures(points, "nme", nme=5.0, fr=0.5))]
    lines = {line["name"]: [cell["best"] for cell in line["cells"]] for line in report_tables.figures(rows)["rows"]}
    assert lines == {"NME ↓": [True, False], "failures over ↓": [False, True]}


def test_a_benchmarks_own_figure_is_called_and_marked_as_it_says(points: Evaluation, tmp_path: Path) -> None:
    def turned(degrees: float) -> Evaluation:
        scores = Scores({"turn@5": degrees}, {"turn@5": ""}, {}, "turn@5", {"turn": Metric("turned by", True, "°")})
        return replace(points, scores=scores, cases=())

    save_evaluation(turned(4.0), tmp_path)
    _, read = load_evaluation(tmp_path, load_plugins())
    (line,) = report_tables.figures([("a", read), ("b", turned(5.0))])["rows"]
    assert line["name"] == "turned by 5° ↑"
    assert [cell["best"] for cell in line["cells"]] == [False, True]


def test_the_summary_has_one_row_a_label_over_all_benchmarks(points: Evaluation, labels: Evaluation) -> None:
    known = replace(points, published=(PublishedRow("theirs", "Table 1", {"common/nme": 3.0, "challenge/nme": 4.0}),))

    def landmarks(nme: float) -> Evaluation:
        # Figures come back from a file in the order of their names.
        return with_figures(known, "nme", afw__nme=9.0, common__nme=nme - 1, nme=nme, nme__jaw=9.0)

    def parsing(f1: float) -> Evaluation:
        return with_figures(labels, "mean_f1/14", f1__skin=9.0, mean_f1__14=f1, mean_f1__18=f1 - 9)

    sections = [[("SB", landmarks(6)), ("LF", landmarks(4))], [("SB", parsing(50)), ("LF w/", parsing(70))]]
    table = report_tables.summary(sections)
    assert table is not None
    assert [(group["title"], group["span"]) for group in table["groups"]] == [("toy, test", 2), ("parsing, test", 2)]
    assert table["columns"] == ["NME ↓", "common NME ↓", "mean F1 over 14 classes ↑", "mean F1 over 18 classes ↑"]
    assert {row["label"]: [cell["text"] for cell in row["cells"]] for row in table["rows"]} == {
        "SB": ["6.00", "5.00", "50.00", "41.00"],
        "LF": ["4.00", "3.00", "–", "–"],
        "LF w/": ["–", "–", "70.00", "61.00"],
    }
    assert report_tables.summary(sections[:1]) is None


def test_markdown_holds_the_same_tables(tmp_path: Path, labels: Evaluation) -> None:
    mine = with_figures(
        replace(labels, published=PARSING), "mean_f1/14", mean_f1__14=70.0, f1__nose=80.0, f1__skin=90.0
    )
    page_of(tmp_path, ("a|b <i>", mine), notes=["mind *this*"])
    text = (tmp_path / report.MARKDOWN).read_text(encoding="utf-8")
    lines = text.splitlines()
    assert "| method | mean F1, % ↑: 14 classes | F1 per class, % ↑: nose | F1 per class, % ↑: skin |" in lines
    assert "| A | **88.00** | 90.00 | **95.00** |" in lines
    assert r"| **a\|b &lt;i&gt; (ours)** | 70.00 | 80.00 | 90.00 |" in lines
    assert "Published rows: Table 3." in lines
    assert r"**mind \*this\***" in lines
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("common/nme", "common NME ↓"),
        ("fr@8", "failures over 8 % ↓"),
        ("challenge/auc@10", "challenge AUC 10 % ↑"),
        ("f1/left_brow", "F1 left brow ↑"),
        ("mean_f1/14", "mean F1 over 14 classes ↑"),
        ("delta@1.25", "δ < 1.25 ↑"),
        ("detected/nme", "detected NME ↓"),
        ("something", "something"),
    ],
)
def test_metric_names(metric: str, name: str) -> None:
    assert report_tables.metric_name(metric, METRICS) == name


def test_the_error_curve_is_the_distribution(points: Evaluation) -> None:
    errors = {f"{i}": float(i) for i in range(1, 11)}
    curve = curves.errors([("a", replace(points, scores=replace(points.scores, per_item=errors)))])
    assert curve is not None
    ys = [float(pair.split(",")[1]) for pair in curve["lines"][0]["points"].split()]
    height = curve["height"] - curve["top"] - curve["bottom"]
    assert ys[0] == pytest.approx(curve["top"] + height)
    assert ys[101] == pytest.approx(curve["top"] + height * 0.5, abs=0.1)  # just past 5 %
    assert ys[-1] == pytest.approx(curve["top"])
    assert curves.errors([("a", replace(points, scores=replace(points.scores, per_item={"0": float("nan")})))]) is None


def test_a_curve_without_a_limit_of_its_own_leaves_out_the_last_faces(labels: Evaluation) -> None:
    errors = {f"{i}": float(i) for i in range(100)} | {"last": 1e4}
    curve = curves.errors([("a", replace(labels, scores=replace(labels.scores, per_item=errors)))])
    assert curve is not None
    assert curve["x_ticks"][-1][1] == "100"  # 98, rounded up


def test_no_cell_beside_the_published_rows_is_empty(points: Evaluation) -> None:
    published = (
        PublishedRow("theirs", "Table 1", {"common/nme": 3.0}),
        PublishedRow("other", "Table 2", {"full/nme": 3.5}),
    )
    mine = with_figures(replace(points, published=published), "nme", nme=4.0, common__nme=4.0, afw__nme=6.0)
    table = report_tables.comparison([("mine", mine)])
    assert table is not None
    assert [row["label"] for row in table["rows"]] == ["theirs", "mine"]
    assert all(cell["text"] != "–" for row in table["rows"] for cell in row["cells"])
    alone = report_tables.comparison([("mine", with_figures(mine, "nme", nme=4.0))])
    assert alone is not None
    assert [row["label"] for row in alone["rows"]] == ["theirs", "other"]
    lines = report_tables.figures([("mine", mine)])["rows"]
    assert [line["name"] for line in lines] == ["NME ↓", "afw NME ↓"]  # `common/nme` says the same as `nme`


def test_errors_by_region_and_by_group(points: Evaluation, tmp_path: Path) -> None:
    group = {"faces": 4, "mean": 3.0}
    first = with_figures(points, "nme", nme=3.0, nme__jaw=8.0, nme__eyes=2.0, afw__nme=9.0)
    first = replace(
        first, details={"groups": {"skin.melanin": [{"group": "< 1", **group}, {"group": ">= 1", **group}]}}
    )
    second = with_figures(points, "nme", nme=2.0, nme__jaw=4.0, nme__eyes=1.0)
    second = replace(second, details={"groups": {"skin.melanin": [{"group": "< 1", "faces": 4, "mean": 6.0}]}})
    rows = [("a", first), ("b", second)]
    region, skin = report_tables.breakdowns(rows)
    assert (region["title"], region["columns"]) == ("NME by region, % ↓", ["a", "b"])
    assert [(row["name"], [cell["text"] for cell in row["cells"]]) for row in region["rows"]] == [
        ("jaw", ["8.00", "4.00"]),
        ("eyes", ["2.00", "1.00"]),
    ]
    assert [cell["width"] for cell in region["rows"][1]["cells"]] == [25.0, 12.5]
    assert skin["title"] == "NME, % by skin melanin ↓"
    assert [(row["name"], [cell["text"] for cell in row["cells"]]) for row in skin["rows"]] == [
        ("< 1 (4 faces)", ["3.00", "6.00"]),
        (">= 1 (4 faces)", ["3.00", "–"]),
    ]
    page_of(tmp_path, *rows)
    text = (tmp_path / report.MARKDOWN).read_text(encoding="utf-8")
    assert "| jaw | 8.00 | 4.00 |" in text
    assert "| &lt; 1 (4 faces) | 3.00 | 6.00 |" in text


def test_training_curves_run_to_their_last_step(points: Evaluation) -> None:
    history = {"step": [10, 20, 40], "loss": [2.0, -1.0, None], "nme": [8.0, 4.0, 2.0]}
    other = {"step": [5], "loss": [1.0]}
    loss, nme = curves.training(
        [("a", replace(points, details={"training": history})), ("b", replace(points, details={"training": other}))]
    )
    assert (loss["title"], nme["title"]) == ("loss by share of the steps", "NME by share of the steps")
    assert [line["label"] for line in nme["lines"]] == ["a (40 steps)"]
    xs, ys = zip(*(map(float, pair.split(",")) for pair in nme["lines"][0]["points"].split()), strict=True)
    assert xs[-1] == pytest.approx(nme["width"] - nme["right"])
    assert ys[0] == pytest.approx(nme["top"])
    assert len(loss["lines"][0]["points"].split()) == 2  # a figure that was not finite is left out
    assert loss["y_ticks"][0][1] == "-1"


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_in_a_browser(
    tmp_path: Path,
    points: Evaluation,
    labels: Evaluation,
    open_page: Callable[..., Any],
    faults: Callable[[Any], list[str]],
    width: int,
    dark: bool,
) -> None:
    details = {
        **points.details,
        "groups": {"yaw": [{"group": "< 0", "faces": 4, "mean": 3.0}]},
        "training": {"step": [1, 2], "nme": [3.0, 2.0]},
    }
    rows = [("a rather long name of a model", replace(points, details=details)), ("b", points)]
    parsing = replace(labels, published=PARSING, stand_in="rendered heads")
    path = report.write_report([*rows, ("a", parsing)], tmp_path, facts={"seed": 3})
    page = open_page(path, width, dark)
    for summary in page.locator("summary").all():
        if summary.locator("xpath=..").get_attribute("open") is None:
            summary.click()
    assert faults(page) == []


def test_points_are_drawn_where_they_lie() -> None:
    at = np.full((68, 2), [20.0, 12.0])
    drawn = drawing.draw_points(np.zeros((40, 40, 3), np.uint8), [drawing.Points(at, "ibug68", (255, 0, 0))])
    weight = drawn[..., 0].astype(float)
    ys, xs = np.mgrid[:40, :40] + 0.5
    centre = ((weight * xs).sum() / weight.sum(), (weight * ys).sum() / weight.sum())
    assert centre == pytest.approx((20, 12), abs=0.15)  # Pillow rounds to an eighth of a pixel here


def test_wrong_labels_are_marked_red(labels: Evaluation) -> None:
    case = labels.cases[0]
    wrong = case.sample.target.copy()
    wrong[30:60, 40:80] = (wrong[30:60, 40:80] % 10) + 1
    panels = dict(pictures.draw_case(replace(case, prediction=wrong), TASKS["segmentation"], "lapa11"))
    differ = np.array(panels["where they differ"]).astype(int)
    matrix = crops.box_matrix(case.box, 256)
    x, y = crops.apply(matrix, np.array([60.0, 45.0])).astype(int)
    assert differ[y, x, 0] > differ[y, x, 1] + 80
    x, y = crops.apply(matrix, np.array([60.0, 75.0])).astype(int)
    assert differ[y, x, 0] == differ[y, x, 1]


def test_depth_panels_are_aligned() -> None:
    evaluation = scored(read_depth, Toy("depth", 3), cases=1)
    drawn = pictures.draw_case(evaluation.cases[0], TASKS["depth"], "")
    panels = {name: np.array(image).astype(int) for name, image in drawn}
    assert set(panels) == {"photograph", "annotation", "prediction, aligned"}
    difference = np.abs(panels["annotation"] - panels["prediction, aligned"])[60:190, 60:190]
    assert np.median(difference) < 12


@pytest.mark.parametrize(("count", "expected"), [(2, 0), (3, 1), (30, 4)])
def test_cases_never_repeat_a_face(count: int, expected: int) -> None:
    picked = protocol.pick_cases({f"{i:02d}": float(i) for i in range(count)}, 4)
    assert len(picked) == 3 * expected == len({key for _, key in picked})


@pytest.mark.parametrize("name", ["evaluation.json", "cases.npz"])
def test_no_flipped_bit_of_an_evaluation_is_read(tmp_path: Path, points: Evaluation, name: str) -> None:
    save_evaluation(points, tmp_path, label="ours")
    path = tmp_path / name
    sound, plugins = path.read_bytes(), load_plugins()
    for number, place in enumerate(range(0, len(sound), len(sound) // 40)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << number % 8
        path.write_bytes(damaged)
        try:
            label, _ = load_evaluation(tmp_path, plugins)
        except DataError:
            continue
        raise AssertionError(f"byte {place} of {name} was read as {label}")
    path.write_bytes(sound)
    assert load_evaluation(tmp_path, plugins)[1].scores.values == points.scores.values
    old = json.loads((tmp_path / "evaluation.json").read_text())
    del old["sha256"], old["digests"]  # as earlier releases wrote them
    (tmp_path / "evaluation.json").write_text(json.dumps(old))
    assert load_evaluation(tmp_path, plugins)[0] == "ours"
