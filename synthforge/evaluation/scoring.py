"""From (sample, prediction) pairs to `Scores`, once for each kind of label; benchmarks call these with tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ..core.errors import UserError
from ..core.records import Metric, RealSample, Scores
from ..core.schemas import CLASS_SCHEMAS, POINT_SCHEMAS
from .metrics import Confusion, DepthErrors, PointErrors, auc, failure_rate, mean_of

Results = Iterable[tuple[RealSample, np.ndarray]]
THRESHOLDS = (8, 10)
#: how reports call the figures below
METRICS = {
    "nme": Metric("NME", False),
    "auc": Metric("AUC", True),
    "fr": Metric("failures over", False),
    "f1": Metric("F1", True, each="class"),
    "mean_f1": Metric("mean F1 over", True, over="classes"),
    "miou": Metric("mean IoU", True),
    "accuracy": Metric("pixel accuracy", True),
    "absrel": Metric("AbsRel", False),
    "rmse": Metric("RMSE", False),
    "delta": Metric("δ <", True, threshold=""),
    "detected": Metric("faces found", True),
}


def score_points(results: Results, schema: str, groups: Mapping[str, Sequence[str]] | None = None) -> Scores:
    """NME, AUC and failure rate at 8 % and 10 %, NME by region; all in percent.

    groups: names of sets of subsets (`common`: LFPW and HELEN test) that are also scored on their own, as
    `common/nme`, when every one of their subsets is among the results. Where there are several subsets, each has its
    own `lfpw/testset/nme`.
    """
    points = POINT_SCHEMAS[schema]
    errors, subsets = PointErrors(), {}
    for sample, prediction in results:
        _add(sample, errors.add, prediction, sample.target, points.eye_corners)
        subsets[sample.item.key] = sample.item.subset
    _require(subsets)
    per_item = errors.per_item()
    values = _point_figures(per_item, "")
    values |= {f"nme/{name}": errors.nme(indices) for name, indices in points.regions.items()}
    present = set(subsets.values())
    for name, members in (groups or {}).items():
        if present.issuperset(members):
            chosen = {key: error for key, error in per_item.items() if subsets[key] in members}
            values |= _point_figures(chosen, f"{name}/")
    if len(present) > 1:
        for subset in sorted(filter(None, present)):
            values[f"{subset}/nme"] = float(np.mean([e for key, e in per_item.items() if subsets[key] == subset]))
    return Scores(values, dict.fromkeys(values, "%"), per_item, primary="nme")


def _point_figures(per_item: Mapping[str, float], prefix: str) -> dict[str, float]:
    errors = list(per_item.values())
    figures = {f"{prefix}nme": float(np.mean(errors))}
    for threshold in THRESHOLDS:
        figures[f"{prefix}auc@{threshold}"] = auc(errors, threshold)
        figures[f"{prefix}fr@{threshold}"] = failure_rate(errors, threshold)
    return figures


def score_labels(results: Results, schema: str, means: Mapping[str, Sequence[str]], primary: str) -> Scores:
    """F1 per class from the confusion matrix summed over all results, its means over named sets of classes, mIoU.

    means: metric name (`mean_f1/10`) to the classes it runs over. per_item is 100 minus the mean F1 of the image's own
    classes. All in percent; a class neither present nor predicted has no value and does not count in a mean.
    """
    classes = CLASS_SCHEMAS[schema]
    total, per_item = Confusion(len(classes)), {}
    foreground = [index for index, name in enumerate(classes.classes) if name != classes.background]
    for sample, prediction in results:
        one = Confusion(len(classes))
        _add(sample, one.add, prediction, sample.target, sample.mask, keyed=False)
        total.merge(one)
        own = mean_of(one.f1(), foreground)
        per_item[sample.item.key] = 100.0 - own if np.isfinite(own) else 0.0
    _require(per_item)
    f1, iou = total.f1(), total.iou()
    values = {f"f1/{name}": float(f1[index]) for index, name in enumerate(classes.classes)}
    values |= {name: mean_of(f1, [classes.id(each) for each in members]) for name, members in means.items()}
    values |= {"miou": mean_of(iou, range(len(classes))), "accuracy": total.accuracy()}
    return Scores(values, dict.fromkeys(values, "%"), per_item, primary)


def score_depth(results: Results, unit: str) -> Scores:
    """AbsRel, RMSE (in `unit`) and delta < 1.25 (percent) after scale-and-shift alignment inside each mask."""
    errors = DepthErrors()
    for sample, prediction in results:
        mask = np.ones(sample.target.shape, bool) if sample.mask is None else sample.mask
        _add(sample, errors.add, prediction, sample.target, mask)
    _require(errors.errors)
    values = dict(errors.means())
    units = {"absrel": "", "rmse": unit, "delta@1.25": "%"}
    return Scores(values, units, {key: row[0] for key, row in errors.errors.items()}, primary="absrel")


def score_mean(results: Results, metric: str, unit: str, error: Callable[[RealSample, np.ndarray], float]) -> Scores:
    """The mean over all faces of one error each, of (sample, prediction): lower is better."""
    per_item: dict[str, float] = {}
    for sample, prediction in results:
        per_item[sample.item.key] = float(error(sample, prediction))
    _require(per_item)
    values = {metric: float(np.mean(list(per_item.values())))}
    metrics = {} if metric in METRICS else {metric: Metric(metric.replace("_", " "), False)}
    return Scores(values, {metric: unit}, per_item, metric, metrics)


def _add(sample: RealSample, add: Callable[..., None], *arguments: object, keyed: bool = True) -> None:
    """Call an accumulator's `add`, turning its ValueError into an error that names the face."""
    key = sample.item.key
    try:
        add(*((key, *arguments) if keyed else arguments))
    except ValueError as error:
        raise UserError(f"the prediction for '{key}' cannot be scored: {error}") from error


def _require(seen: Mapping[str, object]) -> None:
    if not seen:
        raise UserError("there is nothing to score: the split has no faces")
