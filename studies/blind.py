"""How well a small classifier tells renders from photographs: accuracy and AUC, whole face and regions.

    python studies/blind.py DATASET [DATASET ...] --photographs DIR --parsing DIR --side 256 --out OUT

DATASET: a generated dataset with landmarks; --photographs: a folder of 300W (afw/, helen/, lfpw/); --parsing:
CelebAMask-HQ. Only *training* photographs are read, and nothing learned here enters any training.

Faces are framed by the middles of eyes and mouth (annotated landmarks; part masks of CelebAMask-HQ; true landmarks of
renders), scaled down to --side pixels and stored as JPEG of quality 90. Faces seen at a smaller size, turned away or
cut off by the picture's edge are left out of both kinds. Half of each kind trains a small residual network from scratch
for every region, the other half is told apart, and the other way round. Beside it stands a
logistic regression on simple figures: mean and spread of the colours, and the spectrum of luma. Intervals are 95 %:
Wilson's for accuracy, bootstrap for the AUC. OUT receives `blind.json`, some faces, and a map of where the network
of the whole face looks. It shows by how much the score of renders falls when a cell of the picture is replaced by the
mean of all faces.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import rankdata
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from synthforge_plugins.schemas import CELEBAMASK19

from synthforge.core.plugins import load_plugins
from synthforge.core.progress import progress_bar
from synthforge.datasets.reader import ShardDataset
from synthforge.learning.hardware import native_bf16

#: centre and side of each region in units of a face (see `framed`), from the middle between eyes and mouth
REGIONS = {
    "whole": (0.0, -0.2, 3.0),
    "eye": (-0.5, -0.5, 0.8),
    "nose": (0.0, 0.05, 0.8),
    "mouth": (0.0, 0.5, 0.9),
    "cheek": (-0.55, 0.15, 0.5),
    "forehead": (0.0, -0.95, 0.6),
    "hair": (0.0, -1.35, 0.7),
    "jaw and neck": (0.0, 0.98, 0.6),
    "background": (-1.25, -1.25, 0.5),
}
JPEG, INPUT, CELLS = 90, 64, 8
Face = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # image, middles of right eye, left eye, mouth


def renders(root: Path) -> Iterator[Face]:
    """Faces of a generated dataset."""
    dataset = ShardDataset(root, fields=["image", "landmarks2d"])
    for index in range(len(dataset)):
        sample = dataset[index]
        yield sample["image"], *_middles(sample["landmarks2d"])


def photographs(landmarks: Path, parsing: Path, every: int = 1) -> Iterator[Face]:
    """Training photographs of CelebAMask-HQ, then of 300W."""
    plugins = load_plugins()
    benchmark = plugins.build("benchmark", {"name": "celebamask-hq", "root": str(parsing)}, where="studies")
    names = CELEBAMASK19.classes
    for item in benchmark.items("train")[::every]:
        sample = benchmark.load(item)
        parts = (("r_eye",), ("l_eye",), ("mouth", "u_lip", "l_lip"))
        seen = [np.argwhere(np.isin(sample.target, [names.index(n) for n in part])) for part in parts]
        if all(len(pixels) for pixels in seen):
            yield sample.image, *(pixels.mean(0)[::-1] + 0.5 for pixels in seen)
    benchmark = plugins.build("benchmark", {"name": "300w", "root": str(landmarks)}, where="studies")
    for item in benchmark.items("train")[::every]:
        sample = benchmark.load(item)
        yield sample.image, *_middles(np.asarray(sample.target))


def _middles(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return points[36:42].mean(0), points[42:48].mean(0), points[48:60].mean(0)


def framed(face: Face, side: int) -> np.ndarray | None:
    """The face as (side,side,3) uint8; None if it is too small, turned or cut off. A face's unit is the distance from
    the eyes to the mouth."""
    image, right, left, mouth = face
    eyes = (right + left) / 2
    unit = float(np.linalg.norm(mouth - eyes))
    apart = left - right
    x, y, size = REGIONS["whole"]
    centre = (eyes + mouth) / 2 + unit * np.array([x, y])
    half = unit * size / 2
    box = (*(centre - half), *(centre + half))
    inside = min(box[0], box[1]) >= 0 and box[2] <= image.shape[1] and box[3] <= image.shape[0]
    if 2 * half < side or not inside or apart[0] < 0.75 * unit or abs(apart[1]) > 0.35 * apart[0]:
        return None
    small = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS, box=box)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG)
    return np.asarray(Image.open(buffer).convert("RGB"))


def gathered(name: str, faces: Iterator[Face], side: int, count: int) -> np.ndarray:
    """Up to `count` framed faces (N,side,side,3), spread evenly over all that fit."""
    found = []
    with progress_bar(name, 0, unit="faces") as advance:
        for face in faces:
            advance(1)
            if (picture := framed(face, side)) is not None:
                found.append(picture)
    chosen = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
    return np.stack([found[k] for k in chosen])


def cut(faces: np.ndarray, region: str) -> torch.Tensor:
    """A region of framed faces as (N,3,INPUT,INPUT) in [-1, 1]."""
    x0, y0, whole = REGIONS["whole"]
    x, y, size = REGIONS[region]
    scale = faces.shape[1] / whole
    left, top = ((c - c0 + (whole - size) / 2) * scale for c, c0 in ((x, x0), (y, y0)))
    side = max(round(size * scale), 8)
    part = faces[:, round(top) : round(top) + side, round(left) : round(left) + side]
    pixels = torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return nn.functional.interpolate(pixels, (INPUT, INPUT), mode="bilinear", antialias=True)


class _Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            *(nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()),
            *(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)),
        )
        self.short = nn.Conv2d(before, after, 1, 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.way(x) + self.short(x))


def network() -> nn.Module:
    """A residual network of 0.2 million weights for INPUT x INPUT pixels; its answer: how sure it is of a render."""
    stem = (nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU())
    blocks = (_Block(24, 32), _Block(32, 64), _Block(64, 96), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*stem, *blocks, nn.Dropout(0.3), nn.Linear(96, 1), nn.Flatten(0))


def trained(pixels: torch.Tensor, truth: torch.Tensor, epochs: int) -> nn.Module:
    """A network that tells `truth` (N,) 1 from 0, trained on mirrored and slightly moved pictures."""
    torch.manual_seed(0)
    model, batch = network().to(memory_format=torch.channels_last), 50
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.02)
    steps = epochs * math.ceil(len(pixels) / batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(pixels)).split(batch):
            moved = nn.functional.pad(pixels[chosen], (4,) * 4, mode="reflect")
            j, i = torch.randint(0, 9, (2,)).tolist()
            moved = moved[:, :, j : j + INPUT, i : i + INPUT]
            moved = torch.where(torch.rand(len(moved), 1, 1, 1) < 0.5, moved.flip(-1), moved)
            moved = moved.contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16("cpu")):
                scores = model(moved)
            loss = nn.functional.binary_cross_entropy_with_logits(scores.float(), truth[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def figures(pixels: torch.Tensor) -> torch.Tensor:
    """Simple figures of pictures: mean and spread of the three colours and of saturation, spectrum of luma."""
    colour = torch.cat([pixels.mean((2, 3)), pixels.std((2, 3))], 1)
    saturation = pixels.amax(1) - pixels.amin(1)
    saturation = torch.stack([saturation.mean((1, 2)), saturation.std((1, 2))], 1)
    luma = torch.einsum("ncij,c->nij", pixels, torch.tensor([0.299, 0.587, 0.114]))
    window = torch.hann_window(INPUT)
    power = torch.fft.fft2((luma - luma.mean((1, 2), keepdim=True)) * window * window[:, None]).abs() ** 2
    frequency = torch.fft.fftfreq(INPUT) * INPUT
    ring = torch.hypot(frequency, frequency[:, None]).round().long()
    bands = [(ring >= low) & (ring < high) for low, high in pairwise(_BANDS)]
    spectrum = torch.stack([power[:, band].mean(1) for band in bands], 1)
    return torch.cat([colour, saturation, (spectrum + 1e-6).log()], 1)


_BANDS = (1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 33)


def regression(values: torch.Tensor, truth: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Logistic regression on standardised values (N,K) and their squares, with a small penalty: scores of `asked`."""
    mean, spread = values.mean(0), values.std(0) + 1e-6
    rows, others = ((v - mean) / spread for v in (values, asked))
    rows, others = (torch.cat([v, v * v, torch.ones(len(v), 1)], 1) for v in (rows, others))
    weights = torch.zeros(rows.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = nn.functional.binary_cross_entropy_with_logits(rows @ weights, truth) + 1e-3 * weights.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return (others @ weights).detach()


def auc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Probability that what is true (a render, say) scores higher than what is not: area under the ROC curve."""
    positive = int(truth.sum())
    ranks = rankdata(scores)[truth > 0].sum() - positive * (positive + 1) / 2
    return float(ranks / (positive * (len(truth) - positive)))


def measured(scores: torch.Tensor, truth: torch.Tensor, first: torch.Tensor) -> dict[str, float | list[float]]:
    """Accuracy and AUC of scores (N,), with their intervals. The AUC is the mean of those of the halves."""
    values, labels, half_of = scores.numpy(), truth.numpy(), first.numpy()
    hit, n, z = float(((values > 0) == (labels > 0)).mean()), len(labels), 1.96
    centre, half = hit + z * z / (2 * n), z * math.sqrt(hit * (1 - hit) / n + z * z / (4 * n * n))
    accuracy = [(centre + sign * half) / (1 + z * z / n) for sign in (-1, 1)]
    rng = np.random.default_rng(0)

    def mean(rows: np.ndarray) -> float:
        parts = (rows[half_of[rows] == half] for half in (False, True))
        return float(np.mean([auc(values[part], labels[part]) for part in parts]))

    drawn = [mean(rows) for rows in rng.integers(0, n, (500, n))]
    spread = [float(q) for q in np.quantile(drawn, [0.025, 0.975])]
    return {"accuracy": hit, "accuracy_interval": accuracy, "auc": mean(np.arange(n)), "auc_interval": spread}


@torch.no_grad()
def answers(model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Scores (N,) of pictures."""
    return torch.cat([model(part) for part in pixels.split(200)])


def attention(model: nn.Module, fakes: torch.Tensor, mean: torch.Tensor) -> np.ndarray:
    """By how much the score of renders falls when each of CELLS x CELLS cells is replaced by the mean picture."""
    before, edges = answers(model, fakes).mean(), np.linspace(0, INPUT, CELLS + 1).round().astype(int)
    fall = np.zeros((CELLS, CELLS))
    for j in range(CELLS):
        for i in range(CELLS):
            hidden, cell = fakes.clone(), np.s_[..., edges[j] : edges[j + 1], edges[i] : edges[i + 1]]
            hidden[cell] = mean[cell]
            fall[j, i] = before - answers(model, hidden).mean()
    return fall


def drawn(fall: np.ndarray, mean: torch.Tensor) -> Image.Image:
    """The mean render, and red over it where hiding a cell lowers the score most."""
    side = 4 * INPUT
    share = np.clip(fall / max(fall.max(), 1e-6), 0, 1)
    heat = np.asarray(Image.fromarray((share * 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC))
    pixels = nn.functional.interpolate(mean[None], (side, side), mode="bilinear")[0].permute(1, 2, 0).numpy()
    grey = np.clip((pixels.mean(-1, keepdims=True) + 1) * 127.5, 0, 255).repeat(3, -1)
    weight = heat[..., None] / 255.0 * 0.8
    return Image.fromarray((grey * (1 - weight) + np.array([255.0, 30.0, 20.0]) * weight).astype(np.uint8))


def compared(fakes: np.ndarray, real: np.ndarray, regions: list[str], epochs: int, place: Path) -> dict[str, dict]:
    """Figures of every region, from halves that are the same for all of them."""
    count = min(len(fakes), len(real))
    order = np.random.default_rng(0)
    faces = np.concatenate([fakes[order.permutation(len(fakes))[:count]], real[order.permutation(len(real))[:count]]])
    truth = torch.cat([torch.ones(count), torch.zeros(count)])
    first = torch.arange(2 * count) % 2 == 0
    found: dict[str, dict] = {}
    with progress_bar(place.name, len(regions), unit="regions") as advance:
        for region in regions:
            pixels = cut(faces, region)
            simple = figures(pixels)
            scores = torch.zeros(2, 2 * count)
            for half in (first, ~first):
                model = trained(pixels[half], truth[half], epochs)
                scores[0, ~half] = answers(model, pixels[~half])
                scores[1, ~half] = regression(simple[half], truth[half], simple[~half])
            names = ("network", "figures")
            found[region] = {name: measured(each, truth, first) for name, each in zip(names, scores, strict=True)}
            found[region]["faces"] = count
            if region == "whole":
                mine = pixels[first & (truth > 0)][:100]
                drawn(attention(model, mine, pixels.mean(0)), mine.mean(0)).save(place.with_suffix(".looks.png"))
            advance(1)
    rows = [np.concatenate(list(each[np.linspace(0, len(each) - 1, 8).astype(int)]), 1) for each in (fakes, real)]
    Image.fromarray(np.concatenate(rows)).save(place.with_suffix(".faces.png"))
    return found


def main() -> None:
    """Parse the command line, measure, print a table of each dataset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", type=Path, nargs="+", help="generated datasets with landmarks")
    parser.add_argument("--photographs", type=Path, required=True, help="300W's folder")
    parser.add_argument("--parsing", type=Path, required=True, help="the folder of CelebAMask-HQ")
    parser.add_argument("--side", type=int, default=128, help="pixels of a framed face: half the renders' side")
    parser.add_argument("--count", type=int, default=1000, help="most renders, and most photographs")
    parser.add_argument("--every", type=int, default=1, help="read every n-th photograph")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--regions", nargs="+", choices=list(REGIONS), default=list(REGIONS))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    real = gathered("photographs", photographs(given.photographs, given.parsing, given.every), given.side, given.count)
    results = {}
    for root in given.datasets:
        fakes = gathered(root.name, renders(root), given.side, given.count)
        count = min(len(fakes), len(real))
        print(f"\n{root.name}: {count} renders and as many photographs, {given.side} pixels\n")
        print("| region | accuracy | AUC | AUC of simple figures |\n|---|---|---|---|")
        results[root.name] = compared(fakes, real, given.regions, given.epochs, given.out / root.name)
        for region, each in results[root.name].items():
            net, low, high = each["network"], *each["network"]["accuracy_interval"]
            bounds = "{:.3f} to {:.3f}".format(*net["auc_interval"])
            cells = (
                f"{100 * net['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})",
                f"{net['auc']:.3f} ({bounds})",
            )
            print(f"| {region} | {cells[0]} | {cells[1]} | {each['figures']['auc']:.3f} |", flush=True)
        (given.out / "blind.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
